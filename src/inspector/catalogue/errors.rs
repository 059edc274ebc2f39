//! Verdicts, and errors of every part.

use super::{Rows, Topic};

pub(super) const TABLES: &[(Topic, Rows)] = &[
    (Topic::Verdict, VERDICTS),
    (Topic::Gap, GAPS),
    (Topic::Open, OPEN),
    (Topic::Engine, ENGINE),
    (Topic::Read, READ),
    (Topic::Backup, BACKUP),
    (Topic::Preload, PRELOAD),
];

const VERDICTS: Rows = &[
    (
        "clean",
        "Every record up to the end is there and can follow the ones before it. Exit code 0.",
        "",
    ),
    (
        "torn-tail",
        "The bytes behind the last record are an unfinished write, the usual trace of a crash. No record that was witnessed as acknowledged is lost. Exit code 3.",
        "Nothing: opening cuts the tail and keeps what it cuts in journal/cut/.",
    ),
    (
        "corrupt-acked-loss",
        "A record that was acknowledged is unreadable or missing, and nothing valid comes after it. Opening refuses. Exit code 4.",
        "`torrens explain DIR` says what is lost and which repairs are possible. If the directory was copied, compare it with the original first.",
    ),
    (
        "corrupt-mid-log",
        "A record that was acknowledged is unreadable or missing, and valid records come after it: no crash looks like that. Opening refuses. Exit code 5.",
        "`torrens explain DIR` shows the evidence, the regions that are hit, and which repairs are possible. Check the device.",
    ),
    (
        "impossible-sequence",
        "Every byte verifies, and a record cannot follow the ones before it. Opening refuses. Exit code 6.",
        "A defect of the writer: keep a copy of the directory and report it. `torrens explain DIR` names the record.",
    ),
    (
        "newer-format",
        "A newer version wrote something that must not be guessed at. Opening refuses. Exit code 7.",
        "Use a torrens at least as new as the one that wrote it.",
    ),
    (
        "unreadable",
        "The operating system refused a read. Nothing is known about what could not be read. Exit code 8.",
        "Check permissions and the device; nothing was changed.",
    ),
];

const GAPS: Rows = &[
    (
        "lost",
        "Acknowledged records are unreadable or missing here.",
        "`torrens explain DIR`.",
    ),
    (
        "reclaimed",
        "A writer purged the segment while it was read. What was in it is in a checkpoint.",
        "",
    ),
];

const OPEN: Rows = &[
    (
        "open-history",
        "The history of observed regions could not be opened, and could not be set aside either.",
        "Check the folder history/ of the store, its permissions and the space on the device.",
    ),
    (
        "open-not-found",
        "There is nothing at that path, and the options forbid creating a store.",
        "Check the path, or open with creation allowed.",
    ),
    (
        "open-not-a-store",
        "The directory holds things that are not a store's.",
        "Give an empty directory, or the store's own.",
    ),
    (
        "open-busy",
        "Another process, or another engine in this process, has the store open.",
        "Close it there. The process id is in the message if it is known.",
    ),
    (
        "open-option",
        "An option is out of its range.",
        "The message names the option and its limits.",
    ),
    (
        "open-other-store",
        "The directory belongs to a store with another id.",
        "Give the directory of this store, or its id.",
    ),
    (
        "open-recovery",
        "The journal or a checkpoint did not let the state be recovered.",
        "`torrens explain DIR`.",
    ),
    (
        "open-create-journal",
        "A new journal could not be made.",
        "Check permissions and free space.",
    ),
    (
        "open-column-families",
        "The column families of the options do not have all those of the store.",
        "Give the families that the store was created with.",
    ),
    (
        "open-data-store",
        "The data store is held by somebody else or cannot be reached at all.",
        "Look who has the folder data/ open, and at its permissions.",
    ),
    (
        "open-io",
        "The operating system refused something while the store was opened.",
        "The message names the path and the system's answer.",
    ),
];

const ENGINE: Rows = &[
    (
        "history-setting",
        "A setting of the history is out of its range; nothing was changed.",
        "The message names the setting and its range.",
    ),
    (
        "history-absent",
        "There is no history: nothing was ever observed, or the store was opened for reading.",
        "Add an observer first.",
    ),
    (
        "history-failed",
        "The history failed at an append or a sync and takes nothing more until the store is opened again. Writes of regions go on.",
        "Check the device and open the store again; what is missing is told to each observer as a loss.",
    ),
    (
        "history-record-gone",
        "The record of the history that was asked for is not kept any more.",
        "Rebase the observer.",
    ),
    (
        "history-damaged",
        "A part of the history cannot be read.",
        "Rebase the observer; the loss is told to it.",
    ),
    (
        "transitions-gone",
        "The transitions from that place on are not kept any more.",
        "Begin at a later place, or with a checkpoint.",
    ),
    (
        "transitions-closed",
        "The store was closed while its transitions were followed.",
        "Open it again and go on behind the last transition.",
    ),
    (
        "transitions-undecodable",
        "A record of the journal could not be decoded.",
        "`torrens verify DIR`.",
    ),
    ("observe-removed", "The observer was removed.", "Nothing."),
    (
        "observe-busy",
        "Another subscription of the observer is open.",
        "Drop that one first.",
    ),
    (
        "observe-closed",
        "The store was closed.",
        "Open it again and observe again: what was acknowledged does not come again.",
    ),
    (
        "poisoned",
        "A sync of the journal failed. Nothing is acknowledged any more, because what the device holds is unknown.",
        "Reopen the store: recovery finds out what is there. Check the device.",
    ),
    (
        "disk-full",
        "The journal has no room for the record. Nothing changed.",
        "Make space and try again.",
    ),
    (
        "read-only",
        "The engine was opened for reading only.",
        "Open it for writing.",
    ),
    (
        "closed",
        "The engine was closed.",
        "A handle outlived it: a defect of the host.",
    ),
    (
        "record-too-large",
        "One transition's record is larger than a journal record may be.",
        "Split the request, for example a split into fewer parts.",
    ),
    (
        "data-store-failed",
        "The data store failed. It takes no more writes until the store is reopened.",
        "Reopen the store. Check the device of data/.",
    ),
    (
        "snapshot-unusable",
        "A snapshot file could not be written, or is not what it claims to be.",
        "Let the sender send it again.",
    ),
    (
        "snapshot-in-use",
        "The staged file belongs to an apply that has begun and not ended.",
        "Wait for its end.",
    ),
    (
        "checkpoint-failed",
        "A checkpoint could not be written. The journal keeps what it would have replaced.",
        "Check space and permissions; restarts take longer until one succeeds.",
    ),
    (
        "batch-invalid",
        "The batch holds a key or value that the store does not take.",
        "The message says which limit.",
    ),
    (
        "sequences-exhausted",
        "All 64-bit sequence numbers are used up.",
        "",
    ),
    (
        "purge-failed",
        "Old journal segments could not be removed. Nothing is lost but space.",
        "Check permissions; the next checkpoint tries again.",
    ),
    (
        "mark-failed",
        "The mark file could not be written. Nothing is lost but evidence.",
        "Check space and permissions.",
    ),
    (
        "not-witnessed",
        "The record is durable; the mark that would prove it could not be written.",
        "Ask again.",
    ),
    (
        "no-such-record",
        "A position was waited for that no record has yet.",
        "A defect of the host.",
    ),
    (
        "close-failed",
        "The journal is durable and could not be marked as closed in order.",
        "The next opening reads more, and finds everything.",
    ),
    (
        "append-failed",
        "The journal did not take the record, for a reason in the message.",
        "",
    ),
    (
        "no-peer",
        "The region has no peer on this store.",
        "`torrens why DIR --region R` says since when and why.",
    ),
    (
        "io",
        "The operating system refused something.",
        "The message names the path and the system's answer.",
    ),
];

const READ: Rows = &[
    (
        "view-ended",
        "The data of the view is being replaced by a snapshot, or removed.",
        "Take a new view, where the region lives now.",
    ),
    (
        "sequence-collected",
        "Versions that a read at that sequence needs may be gone.",
        "Read at a newer sequence, or keep a view to hold versions.",
    ),
    (
        "sequence-ahead",
        "Nothing of the region is that new yet.",
        "Wait for the writes, or read at an older sequence.",
    ),
];

const BACKUP: Rows = &[
    (
        "backup-target-not-empty",
        "There is something at the target already. Nothing was changed.",
        "Give an empty or new directory.",
    ),
    (
        "backup-incomplete",
        "The manifest is missing or not what was written: the folder is no complete backup.",
        "Use another backup.",
    ),
    (
        "backup-file-mismatch",
        "A file of the backup is not the one that the manifest names.",
        "Use another backup.",
    ),
    (
        "backup-store-id-taken",
        "The new store's id is one that a region of the backup knows already.",
        "Give an id that the cluster never used.",
    ),
    (
        "backup-register",
        "The register of the backup cannot be taken over.",
        "The message says why.",
    ),
    (
        "backup-rows",
        "A file of a region's rows cannot be written or read.",
        "Check space, permissions and the device.",
    ),
    (
        "backup-checkpoint",
        "The checkpoint of the backup cannot be written or read.",
        "Check space, permissions and the device.",
    ),
    (
        "backup-journal",
        "The new store's journal could not be made.",
        "Check space and permissions.",
    ),
    (
        "backup-data-store",
        "The data store could not be read, or the new one not be made.",
        "Check space, permissions and the device.",
    ),
    (
        "backup-io",
        "The operating system refused something.",
        "The message names the path and the system's answer.",
    ),
];

const PRELOAD: Rows = &[
    ("no-peer", "The region has no peer on this store.", ""),
    (
        "peer-uninitialized",
        "The peer has no description yet, so there is nothing to load.",
        "Try again after its first snapshot or split.",
    ),
    (
        "not-serving",
        "The data of the peer is being replaced, or lost.",
        "Try again when it serves.",
    ),
    (
        "cache-disabled",
        "Caching is switched off.",
        "Switch it on in the options.",
    ),
    (
        "cache-memory-short",
        "There is no memory for more regions.",
        "Evict others, or raise the limit.",
    ),
];
