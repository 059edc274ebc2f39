//! What the gate says of a message.

use super::{Rows, Topic};

pub(super) const TABLES: &[(Topic, Rows)] = &[(Topic::Gate, GATE)];

const GATE: Rows = &[
    ("deliver", "The peer gets the message.", ""),
    (
        "create",
        "A peer may be created for the message, and gets it then.",
        "",
    ),
    (
        "stale-tombstone",
        "The peer that the message is for is gone for ever, or the sender knows less than the tombstone says.",
        "Nothing: the message is late.",
    ),
    (
        "destroy-removed",
        "The sender knows that the live peer was removed: it has to go.",
        "",
    ),
    (
        "destroy-larger-peer",
        "The message is for a newer peer of the region: the live one has to go first.",
        "",
    ),
    (
        "destroy-operator",
        "An operator wants the live peer gone.",
        "",
    ),
    (
        "destroy-merged",
        "The region was merged into another one, which is past that here: the live peer was left behind and has to go.",
        "",
    ),
    (
        "reply-gone",
        "The sender's peer was removed from the region, and is told so.",
        "",
    ),
    (
        "reply-peers",
        "The sender asks who the peers are, and is told.",
        "",
    ),
    (
        "reply-merge-target",
        "The region was merged into another one; the sender is told which.",
        "",
    ),
    (
        "drop-wrong-store",
        "The message is for another store.",
        "Look at the sender's routing.",
    ),
    (
        "drop-no-epoch",
        "The message names no epoch.",
        "A defect of the sender.",
    ),
    (
        "drop-store-unidentified",
        "This store has no id yet.",
        "Open it with its id.",
    ),
    (
        "drop-id-zero",
        "A region or peer id is 0.",
        "A defect of the sender.",
    ),
    (
        "drop-peer-absent",
        "There is no such peer, and nothing to remove or to answer.",
        "",
    ),
    (
        "drop-not-initial",
        "There is no such peer, and a message of that kind creates none.",
        "",
    ),
    (
        "drop-peer-stale",
        "The message is for an older peer than the one that lives here.",
        "Nothing: the message is late.",
    ),
    (
        "drop-other-peer",
        "The message says that another peer than the live one was removed.",
        "",
    ),
    (
        "drop-not-newer",
        "The message says that the peer was removed, and knows no more than the peer.",
        "Nothing: the message is late.",
    ),
    (
        "drop-waiting-for-data",
        "The peer was a witness and waits for its data.",
        "The leader has to send a snapshot.",
    ),
    (
        "drop-damaged",
        "The peer's data is damaged: it takes a snapshot and nothing else.",
        "The leader has to send a snapshot.",
    ),
    (
        "drop-cannot-lead",
        "A peer that is no voter with data cannot lead.",
        "",
    ),
    (
        "drop-unconfirmed",
        "The bootstrap of the region is not confirmed.",
        "",
    ),
    (
        "drop-uninitialized",
        "The peer has no description that it could answer with.",
        "",
    ),
    (
        "drop-range-overlap",
        "The range belongs to another region.",
        "Wait until that one is split, merged or destroyed.",
    ),
    (
        "defer-peer-created",
        "A split, or a message that may create, makes the peer; the message may be parked until then.",
        "",
    ),
    (
        "defer-range-free",
        "Another region has to give up keys of the range first; the message may be parked until then.",
        "",
    ),
    (
        "defer-snapshot-applied",
        "A snapshot is being applied; the message may be parked until it has ended.",
        "",
    ),
    (
        "defer-target-merged",
        "The region that took this one in has not done so here yet; the message may be parked until then.",
        "",
    ),
];
