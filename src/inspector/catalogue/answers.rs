//! Refusals, and what a committed entry waits for.

use super::{Rows, Topic};

pub(super) const TABLES: &[(Topic, Rows)] = &[
    (Topic::Refusal, REFUSALS),
    (Topic::Refusal, OBSERVERS),
    (Topic::Wait, WAITS),
];

const REFUSALS: Rows = &[
    (
        "store-unidentified",
        "The store has no id yet.",
        "Open it with its id.",
    ),
    (
        "store-mismatch",
        "The request is for another store than this one.",
        "Send it to the store that it names.",
    ),
    (
        "store-not-empty",
        "A bootstrap is for a store that never had a region, and this one has or had one.",
        "Ask the placement service which cluster the store belongs to.",
    ),
    (
        "id-zero",
        "A region or peer id is 0, which no region and no peer has.",
        "A defect of the host.",
    ),
    (
        "description-invalid",
        "The description of the region breaks a rule, which the message names.",
        "A defect of whoever made the description.",
    ),
    (
        "peer-not-listed",
        "The description does not list a peer on this store.",
        "Send it to a store that it lists.",
    ),
    (
        "region-not-found",
        "The region has no peer here.",
        "`torrens why DIR --region R` says since when and why.",
    ),
    (
        "peer-tombstoned",
        "That peer, or a newer one, was here and is gone for ever.",
        "Nothing: the request is late. A new replica needs a larger peer id.",
    ),
    (
        "peer-stale",
        "A newer peer of the region lives here.",
        "Nothing: the request is late.",
    ),
    (
        "peer-older-lives",
        "An older peer of the region still lives here.",
        "Destroy it first; the gate says so too.",
    ),
    (
        "incarnation-gone",
        "The work was made for an earlier creation of the peer, which is gone.",
        "Drop it: it is late.",
    ),
    (
        "peer-uninitialized",
        "The peer has no description yet.",
        "Wait for its first snapshot, or for the split that makes it.",
    ),
    (
        "snapshot-applying",
        "A snapshot is being applied to the region.",
        "Try again when it has ended.",
    ),
    (
        "snapshot-none",
        "No snapshot is being applied to the region.",
        "A defect of the host, or the apply was ended already.",
    ),
    (
        "region-damaged",
        "The data of the region cannot be trusted; the reason is in the message.",
        "Let the leader send a snapshot. `torrens why DIR --region R` shows what happened.",
    ),
    (
        "epoch-stale",
        "The request was made for an older description of the region.",
        "Look at the region's present description and ask again.",
    ),
    (
        "epoch-ahead",
        "The request was made for a newer description than this store has.",
        "Wait until the store has applied it.",
    ),
    (
        "epoch-not-newer",
        "A removal must know a newer epoch than the peer's own, and does not.",
        "Nothing: the message is late.",
    ),
    (
        "epoch-exhausted",
        "A part of the epoch is at its 64-bit end and cannot grow.",
        "",
    ),
    (
        "key-out-of-range",
        "The key lies outside the region.",
        "Ask which region owns the key: `torrens owner DIR --key K`.",
    ),
    (
        "split-invalid",
        "The split breaks a rule, which the message names.",
        "A defect of whoever proposed it.",
    ),
    (
        "peer-unknown",
        "The region has no such peer.",
        "Nothing: the change was made already, or is late.",
    ),
    ("role-unchanged", "The peer has that role already.", ""),
    (
        "peer-change-invalid",
        "The change of peers breaks a rule, which the message names.",
        "A defect of whoever proposed it.",
    ),
    (
        "peer-is-witness",
        "The peer is a witness and holds no data.",
        "Ask a peer with data.",
    ),
    (
        "waiting-for-data",
        "The peer was a witness and waits for a snapshot.",
        "Wait for the snapshot.",
    ),
    (
        "witness-mismatch",
        "The description does not list the peer as what the request takes it for.",
        "Look at the region's present description.",
    ),
    (
        "region-merging",
        "The region is being merged into another one and takes nothing else.",
        "Wait for the commit or rollback of the merge.",
    ),
    (
        "region-in-flashback",
        "The region is being set back and takes nothing else.",
        "Wait for the end of the flashback.",
    ),
    ("flashback-none", "The region is not in flashback.", ""),
    (
        "merge-invalid",
        "The merge breaks a rule, which the message names.",
        "A defect of whoever proposed it.",
    ),
    ("merge-none", "No merge of the region was prepared.", ""),
    (
        "merge-other",
        "The region is in another merge than the one that is named.",
        "Nothing: the entry is late.",
    ),
    (
        "merge-source-mismatch",
        "The source is not as the merge has it.",
        "A defect of whoever proposed it.",
    ),
    (
        "region-lives",
        "A peer of the region lives here, so no tombstone can be placed or collected.",
        "Destroy the peer first.",
    ),
    (
        "bootstrap-confirmed",
        "The bootstrap was confirmed and cannot be abandoned.",
        "",
    ),
    (
        "bootstrap-unconfirmed",
        "The bootstrap is not confirmed, so the region serves nothing.",
        "Confirm or abandon it.",
    ),
    (
        "snapshot-other-region",
        "The snapshot is one of another region.",
        "A defect of the host.",
    ),
    (
        "snapshot-stale",
        "The peer is at or beyond the snapshot's index.",
        "Nothing: the snapshot is late.",
    ),
    (
        "data-behind",
        "After opening the region's data ends below its description: a snapshot, digest or backup would miss entries.",
        "Send the committed log again from `raft_start` up to the named index, and ask again.",
    ),
    (
        "range-overlap",
        "The range overlaps that of another region with a peer here.",
        "Wait until the other one is split, merged or destroyed.",
    ),
    (
        "range-reserved",
        "The range is kept free for a snapshot of another region.",
        "Wait until that snapshot is applied or released.",
    ),
    (
        "range-busy",
        "Keys of the range are still being cleared.",
        "Wait until the pending deletion is finished: `torrens state DIR` lists it.",
    ),
    (
        "floor-mismatch",
        "What is said to be durable does not fit the snapshot or the last barrier.",
        "A defect of the engine: report it.",
    ),
    (
        "deletion-unknown",
        "There is no such pending deletion.",
        "Nothing: it is finished already.",
    ),
    (
        "data-store-in-use",
        "Regions rely on the data store that is to be replaced.",
        "A defect of the engine: report it.",
    ),
    (
        "snapshot-aborted",
        "The snapshot apply was given up.",
        "Let the leader send another one.",
    ),
    (
        "load-cancelled",
        "The load was cancelled before it ended.",
        "",
    ),
    (
        "cache-state",
        "The cache is not in a state from which that can happen.",
        "",
    ),
];

const OBSERVERS: Rows = &[
    (
        "observer-unknown",
        "There is no such observer.",
        "`torrens dump DIR --kind 'observer.*'` shows which were added and removed.",
    ),
    (
        "observer-name-taken",
        "Another observer has that name.",
        "Give another name, or remove the other one.",
    ),
    (
        "observer-ranges-invalid",
        "The ranges of the observer break a rule, which the message names.",
        "",
    ),
    (
        "observer-too-many",
        "There are as many observers as there may be.",
        "Remove one.",
    ),
    (
        "observer-too-many-regions",
        "The observer holds keys of more regions than one record can name.",
        "Observe fewer keys at once.",
    ),
    (
        "observer-position-missing",
        "A region of the observer has no position to start from.",
        "Give one for each region that holds keys of it.",
    ),
    (
        "observer-region-unknown",
        "The observer does not observe that region.",
        "Nothing: the request is late.",
    ),
    (
        "observer-history-gone",
        "The entries from there on are not in the region's log any more.",
        "Start from a later position, after a scan.",
    ),
    (
        "observer-generation-stale",
        "The attachment was made anew since.",
        "Nothing: the request is late.",
    ),
    (
        "observer-beyond-delivered",
        "The position is beyond what was delivered.",
        "A defect of the observer.",
    ),
    (
        "observer-invalidated",
        "The observer lost events of that region and has to be set back first.",
        "Rebase it: scan the region, then go on at the position that is available.",
    ),
];

const WAITS: Rows = &[
    (
        "merge-source-behind",
        "The source of the merge has not applied all entries that the merge needs.",
        "Apply the source's entries up to the commit, then give the entry again.",
    ),
    (
        "merge-source-applying",
        "A snapshot is being applied to the source of the merge.",
        "Give the entry again when it has ended.",
    ),
    (
        "merge-source-missing",
        "The source of the merge is not here.",
        "Wait for its snapshot, or for one of the target that covers it.",
    ),
];
