//! Errors of whoever looks at a directory or repairs it: positions, repairs, the tool.

use super::{Rows, Topic};

pub(super) const TABLES: &[(Topic, Rows)] = &[
    (Topic::Position, POSITION),
    (Topic::Repair, REPAIR),
    (Topic::Tool, TOOL),
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
        "decoder",
        "The program of --decoder could not be started, ended too early, or answered with something else than a line of JSON.",
        "What it could not say is shown as without it. It gets a line of JSON for each key and record, and answers each with a line of JSON; null declines.",
    ),
    (
        "one-directory",
        "Several directories were named, and this looks at one.",
        "Run it once for each of them.",
    ),
    (
        "only-a-part",
        "There are segments and no store, and what was asked for needs a whole store.",
        "Give the store's directory, the one that holds journal/.",
    ),
    (
        "no-segment",
        "A file or standard input was to be looked at, and holds no segment of a journal.",
        "Give one or more segments, as they are or packed by zstd.",
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
