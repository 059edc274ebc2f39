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
    (Topic::Position, POSITION),
    (Topic::Repair, REPAIR),
    (Topic::Tool, TOOL),
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

const POSITION: Rows = &[
    (
        "gone",
        "The records from there on were purged.",
        "Read on at the oldest that is left; take the state at that point first.",
    ),
    (
        "not-yet",
        "The position is beyond the next record to come.",
        "Ask for the next one, or an earlier one.",
    ),
    (
        "damaged",
        "A record that was durable once is not readable.",
        "`torrens explain DIR`.",
    ),
    (
        "newer-format",
        "The record lies in a segment that a newer version wrote.",
        "Use a newer version.",
    ),
    (
        "no-journal",
        "The directory holds no segment.",
        "Check the path.",
    ),
    (
        "unreadable",
        "The operating system refused a read.",
        "Check permissions and the device.",
    ),
    (
        "poisoned",
        "The journal failed; everything that was acknowledged was delivered before.",
        "Reopen the store and follow again.",
    ),
    (
        "revoked",
        "Somebody revoked the pin: it holds no segment any more.",
        "Pin again from the oldest record.",
    ),
];

const REPAIR: Rows = &[
    (
        "not-repairable",
        "The verdict is one that no repair answers: nothing is wrong, nothing could be read, or a newer version wrote it.",
        "`torrens explain DIR`.",
    ),
    (
        "no-way",
        "That way does not lead to a directory that opens.",
        "`torrens explain DIR` lists the ways that do.",
    ),
    (
        "changed",
        "The directory is not the one that the plan was made for.",
        "Plan again.",
    ),
    (
        "not-the-plan",
        "The plan was edited, or made by a version that would do something else. Nothing was done.",
        "Plan again, and apply the file as it is.",
    ),
    (
        "changed-since",
        "Something was written since the repair, which undoing it would destroy.",
        "Keep both: copy the directory first.",
    ),
    (
        "unfinished",
        "Another repair was begun and not ended.",
        "Resume it or undo it first.",
    ),
    (
        "wrong-state",
        "There is no such repair, or not in a state that allows what was asked.",
        "List the repairs.",
    ),
    (
        "bad-file",
        "A file in repair/ is not what was written there.",
        "Look at it; nothing is done on a plan that cannot be read.",
    ),
    (
        "io",
        "The operating system refused something.",
        "The message names the path and the system's answer; what was begun can be resumed or undone.",
    ),
];

const TOOL: Rows = &[
    (
        "missing",
        "There is nothing at that path.",
        "Check the path.",
    ),
    (
        "not-a-directory",
        "The path is a file, or anything else that holds no entries.",
        "Give the store's directory, the one that holds journal/.",
    ),
    (
        "empty",
        "The directory is empty: no store was ever created there.",
        "",
    ),
    (
        "not-a-store",
        "The directory holds other things than a store's.",
        "A store's directory holds LOCK, journal/, checkpoints/, snapshots/ and data/.",
    ),
    (
        "no-journal",
        "There is a journal's directory, and nothing was ever acknowledged in it.",
        "Opening it with the engine creates a new store.",
    ),
    (
        "purged",
        "The state that was asked for is older than everything that the directory still holds.",
        "Ask for a later point; `first` is the oldest.",
    ),
    (
        "beyond-end",
        "There is no record that far.",
        "Ask for an earlier point; `last` is the newest.",
    ),
    (
        "no-such-point",
        "The point that was named is not there: no such boot, checkpoint, or number of records.",
        "`torrens info DIR` shows what there is.",
    ),
    (
        "damaged",
        "A record that was durable is not readable.",
        "`torrens explain DIR`.",
    ),
    ("stopped", "The look was interrupted.", ""),
    (
        "io",
        "The operating system refused something.",
        "Check the permissions of the directory and the device.",
    ),
    (
        "inspect",
        "The directory could be read and still not be inspected.",
        "The message says why.",
    ),
    (
        "other-machines",
        "The address to listen on is reached by other machines, and was not allowed to be.",
        "Listen on 127.0.0.1, or add --allow-other-machines.",
    ),
    (
        "listen",
        "The address cannot be listened on: it is taken, or not of this machine.",
        "Name another with --listen; port 0 takes a free one.",
    ),
    (
        "no-terminal",
        "A view on the whole screen was asked for where there is no terminal.",
        "`torrens state`, `torrens show` and `torrens tail` print the same.",
    ),
    (
        "terminal",
        "The terminal refused something.",
        "Try another terminal, or the commands that print.",
    ),
    (
        "first-look",
        "The first look at the directory has not ended yet.",
        "Wait; it goes on.",
    ),
    (
        "internal",
        "The tool itself failed at a look.",
        "Keep the directory as it is, and report it with what torrens printed.",
    ),
    (
        "output",
        "The output could not be written.",
        "Check the file or device that it goes to.",
    ),
    (
        "locked",
        "A process has the store open, and the command changes files or needs them to stand still.",
        "Close the store first; the reading commands work beside it.",
    ),
    (
        "lock",
        "The operating system refused the lock of the store.",
        "Check the permissions of the directory.",
    ),
    (
        "input",
        "A file that was handed in cannot be read.",
        "Check the path and the permissions.",
    ),
    (
        "bad-input",
        "A file that was handed in is not what it must be. Nothing was done.",
        "For a repair: `torrens repair plan DIR --save FILE` writes a plan.",
    ),
    (
        "exists",
        "Something has the name that was to be given to something new. Nothing was done. Exit code 10.",
        "Name a new place, or move that away. A name with the ending `.unfinished` is left of a command that was killed.",
    ),
    (
        "inside-the-store",
        "What was to be written would lie inside the store's directory, which is only read. Exit code 2.",
        "Name a place elsewhere.",
    ),
    (
        "no-such-output",
        "The tool writes no such objects. Exit code 2.",
        "`torrens schema` without a name prints all of them.",
    ),
    (
        "not-a-line",
        "A line of the input is none that a directory can be built from. Nothing was made. Exit code 11.",
        "The input is what `torrens dump --raw` or `torrens extract` writes; records need their bytes.",
    ),
    (
        "not-buildable",
        "What the lines say cannot be in a journal. Nothing was made. Exit code 11.",
        "The message says what a reader would refuse.",
    ),
    (
        "not-the-next-record",
        "A record carries another position than the next one. Nothing was made. Exit code 11.",
        "Records follow each other without a hole; leave out what lies behind a gap.",
    ),
    (
        "no-such-page",
        "A page belongs to no segment that is being made, or lies outside of it. Nothing was made. Exit code 11.",
        "Pages follow the line of their segment.",
    ),
    (
        "no-such-file",
        "A file is none that a store has beside its segments, or it is too long. Nothing was made. Exit code 11.",
        "There are journal/journal.mark and checkpoints/NAME.",
    ),
    (
        "nothing-to-build",
        "There is no record and no segment to make a store of. Nothing was made. Exit code 11.",
        "`torrens extract DIR -o FILE` writes every record that can be read.",
    ),
    (
        "source-io",
        "The operating system refused a read of the store that was to be taken apart. Exit code 8.",
        "Check the permissions and the device.",
    ),
    (
        "target-io",
        "The operating system refused a write to what was being made, which is gone again. Exit code 8.",
        "Check the space, the permissions and the device.",
    ),
    (
        "recovery",
        "The copy could be judged and not be recovered. Exit code 8.",
        "The message says what the recovery answered; keep the copy with --to and report it.",
    ),
    (
        "no-such-command",
        "The tool has no command of that name.",
        "`torrens --help` lists them.",
    ),
    (
        "unknown-code",
        "There is no such code.",
        "`torrens explain --codes` lists them all.",
    ),
    (
        "message",
        "The message for the gate is not complete, or not one.",
        "`torrens gate --help` shows the fields.",
    ),
    (
        "no-scenario",
        "There is no scenario file below the paths.",
        "A directory is searched for *.scenario.",
    ),
    (
        "disk",
        "The directory of `torrens play --disk` is not empty, or cannot be used.",
        "Give a directory that is new or empty.",
    ),
    (
        "unreadable",
        "A file cannot be read.",
        "Check the path and its permissions.",
    ),
];
