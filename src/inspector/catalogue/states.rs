//! States, and the reasons for them: stages, caches, damage, tombstones, observers.

use super::{Rows, Topic};

pub(super) const TABLES: &[(Topic, Rows)] = &[
    (Topic::Stage, STAGES),
    (Topic::Cache, CACHES),
    (Topic::CacheReason, CACHE_REASONS),
    (Topic::Damage, DAMAGE),
    (Topic::Gone, GONE),
    (Topic::Observer, OBSERVERS),
];

const STAGES: Rows = &[
    (
        "uninitialized",
        "Made by a message: no description, no range, no data yet.",
        "",
    ),
    ("normal", "Holds its region's data and serves it.", ""),
    ("witness", "Follows its region and holds no data of it.", ""),
    (
        "waiting-for-data",
        "Was a witness and waits for a snapshot.",
        "",
    ),
    (
        "applying",
        "A snapshot apply was begun and has not ended; the data is neither old nor new.",
        "",
    ),
    (
        "damaged",
        "Its data cannot be trusted; it waits for a snapshot.",
        "`torrens why DIR --region R`.",
    ),
    ("serving", "Nothing is under way.", ""),
    (
        "merging",
        "The region is about to be merged into another one.",
        "",
    ),
    ("flashback", "The region is being set back.", ""),
    (
        "unconfirmed",
        "The first region of a cluster that may turn out to exist elsewhere already.",
        "",
    ),
];

const CACHES: Rows = &[
    ("absent", "No memory is held, none is wanted.", ""),
    (
        "load-requested",
        "A load was asked for and has not begun.",
        "",
    ),
    (
        "load-queued",
        "The load waits for the evictions of other regions that hold its keys.",
        "",
    ),
    (
        "loading",
        "The memory is being filled, and writes are mirrored into it.",
        "",
    ),
    ("active", "The memory is complete and serves reads.", ""),
    (
        "cancelled",
        "The load was cancelled; its memory is not yet let go.",
        "",
    ),
    (
        "evict-pending",
        "Serves no new reads; readers that hold it may still pin it.",
        "",
    ),
    (
        "evicting",
        "Nothing pins it; the memory is being freed.",
        "",
    ),
];

const CACHE_REASONS: Rows = &[
    ("requested", "The host asked for the eviction.", ""),
    (
        "memory-limit",
        "The memory of all caches was above its limit.",
        "",
    ),
    ("load-failed", "The load could not read the data store.", ""),
    (
        "split",
        "The region was split while its load was under way.",
        "",
    ),
    (
        "split-before-load",
        "The region was split before its load began.",
        "",
    ),
    ("snapshot", "A snapshot replaces the data.", ""),
    ("destroyed", "The peer is gone.", ""),
    ("damaged", "The peer's data cannot be trusted.", ""),
    ("restart", "The process ended: a cache is memory.", ""),
    ("cold", "The region was read too seldom.", ""),
    ("leadership-lost", "The peer leads no more.", ""),
    ("merge", "The region is being merged.", ""),
    (
        "delete-range",
        "A range of the region was deleted at once.",
        "",
    ),
    ("ingest", "Rows were brought in beside the write path.", ""),
    ("flashback", "The region is being set back.", ""),
    (
        "label-removed",
        "The label that kept the region in memory is gone.",
        "",
    ),
    ("disabled", "Caching was switched off.", ""),
    (
        "mismatch",
        "Memory did not answer as the data store does.",
        "A defect: report it. Reads were served from the data store since.",
    ),
    ("witness", "The peer became a witness.", ""),
    ("hot", "The region is read often.", ""),
    ("label", "A label keeps the region in memory.", ""),
    (
        "preload",
        "The host asked for the region to be loaded ahead.",
        "",
    ),
    (
        "warm-restart",
        "The region was in memory before the restart.",
        "",
    ),
    ("repair", "Memory was found wrong and is loaded anew.", ""),
    (
        "incarnation-gone",
        "The peer that the queued load was for is gone.",
        "",
    ),
    ("not-serving", "The peer does not serve.", ""),
    (
        "range-changed",
        "The region has another range than the queued load was for.",
        "",
    ),
];

const DAMAGE: Rows = &[
    (
        "row-missing",
        "The region's row is not in the data store.",
        "Let the leader send a snapshot.",
    ),
    (
        "below-floor",
        "The region's row is at a lower index than a barrier had made durable: the data store lost what it had acknowledged.",
        "Let the leader send a snapshot. Check the device.",
    ),
    (
        "store-replaced",
        "The data store is another one, or came back empty.",
        "Let the leaders send snapshots.",
    ),
    (
        "store-older",
        "The data store is an older copy of itself.",
        "Let the leaders send snapshots, or bring the newer copy back.",
    ),
    (
        "log-truncated",
        "The host's log starts above the entry that the data needs next.",
        "Let the leader send a snapshot.",
    ),
    (
        "snapshot-lost",
        "A snapshot apply could not be finished.",
        "Let the leader send another one.",
    ),
    (
        "merge-source-lost",
        "The region took in another one whose data is not here, or cannot be trusted.",
        "Let the leader send a snapshot.",
    ),
    (
        "staged-file-lost",
        "The staged file is missing, or is no longer what was staged.",
        "Let the leader send it again.",
    ),
    (
        "ingest-failed",
        "The data store refused the rows.",
        "Check space and the device of data/.",
    ),
    ("operator", "An operator gave the snapshot up.", ""),
];

const GONE: Rows = &[
    (
        "peers-changed",
        "Its own region removed the peer, by a change of peers that it applied itself.",
        "",
    ),
    (
        "removed",
        "Its region removed the peer, as a message says.",
        "",
    ),
    (
        "larger-peer",
        "A message for a newer peer of the region arrived.",
        "",
    ),
    (
        "operator",
        "The placement service or an operator wanted it gone.",
        "",
    ),
    ("merged", "Its region was merged into another one.", ""),
    (
        "destroyed",
        "A peer that was destroyed, or removed by its own region, left the keys.",
        "",
    ),
    (
        "split-skipped",
        "The new region of a split may not be on this store: its keys are cleared.",
        "",
    ),
    (
        "snapshot-shrank",
        "The snapshot covers less than the peer had.",
        "",
    ),
    (
        "snapshot-aborted",
        "The first snapshot of a peer without data could not be finished.",
        "",
    ),
    (
        "tombstoned",
        "The split's new region is fenced by a tombstone here, so its part is skipped.",
        "",
    ),
    (
        "other-peer",
        "Another peer of the split's new region lives here, so its part is skipped.",
        "",
    ),
    (
        "initialized",
        "The split's new region is here already, by a newer snapshot, so its part is skipped.",
        "",
    ),
    (
        "witness",
        "The peer became a witness: what it held is cleared.",
        "",
    ),
];

const OBSERVERS: Rows = &[
    (
        "goes-on",
        "A position that a consumer acknowledged on another store was taken over: what comes next is behind it.",
        "",
    ),
    (
        "already",
        "A position of another store was taken over, and the observer is as far here, or further; or the region ended here.",
        "",
    ),
    (
        "gone",
        "A position of another store was to be taken over, and changes behind it are not kept here.",
        "Choose between what is kept and a scan: Engine::rebase_observer.",
    ),
    (
        "not-observed",
        "A position of another store was to be taken over, and the observer has nothing to do with the region here.",
        "Add the observer with the keys that it wants, or leave the region out.",
    ),
    (
        "wanted",
        "The observer is to be attached to the region, and is not yet.",
        "",
    ),
    (
        "catching-up",
        "The observer gets what the region applied before, from its log.",
        "",
    ),
    ("live", "The observer gets what the region applies.", ""),
    (
        "draining",
        "The region is gone, and the observer gets what is left of it.",
        "",
    ),
    (
        "invalidated",
        "The observer lost events of the region.",
        "Rebase it after a scan.",
    ),
    ("added", "Wanted since the observer was added.", ""),
    ("created", "Wanted since the region came to be here.", ""),
    ("split", "Wanted since the region was split.", ""),
    ("merged", "Wanted since the region was merged.", ""),
    (
        "snapshot",
        "A snapshot replaced what the region had: wanted anew, or events are lost.",
        "",
    ),
    ("not-leader", "Wanted when this store leads the region.", ""),
    ("new-term", "Wanted anew in the region's new term.", ""),
    ("paused", "Wanted when the observer is resumed.", ""),
    ("restarted", "Wanted anew since the store was opened.", ""),
    (
        "damaged",
        "Wanted when the region's data can be trusted again.",
        "",
    ),
    (
        "stale",
        "The attachment was of an older description of the region.",
        "",
    ),
    (
        "failed",
        "The attachment could not be made, and is tried again.",
        "",
    ),
    ("rebased", "Wanted from another position, after a loss.", ""),
    (
        "bytes",
        "More was retained for the observer than its limit of bytes.",
        "Raise the limit, or acknowledge sooner.",
    ),
    (
        "age",
        "What was retained for the observer was older than its limit.",
        "Raise the limit, or acknowledge sooner.",
    ),
    (
        "history-lost",
        "The region's log does not reach back to what the observer needs.",
        "",
    ),
    (
        "history-damaged",
        "The region's log cannot be read where the observer needs it.",
        "",
    ),
    (
        "recovered",
        "An operator ordered the region to exist, so its history is not what it was.",
        "",
    ),
    (
        "region-damaged",
        "Not attached: the region's data here cannot be trusted.",
        "A snapshot heals it.",
    ),
    (
        "snapshot-applying",
        "Not attached: a snapshot is being applied to the region.",
        "",
    ),
    (
        "bootstrap-unconfirmed",
        "Not attached: the cluster has not agreed to begin with the region.",
        "Confirm the bootstrap, or abandon it.",
    ),
    (
        "leadership-unknown",
        "Not attached: nobody said that this store leads the region.",
        "Report leadership, or give the engine a leadership source.",
    ),
    (
        "backing-off",
        "Not attached: the last attempt failed, and the next one is due at a time.",
        "",
    ),
    ("attaching", "About to be attached.", ""),
    (
        "ended",
        "The region ended here; what is left of it is delivered.",
        "",
    ),
    ("none", "Nothing has to be done beside going on.", ""),
    (
        "marker",
        "The observer is told that events are missing.",
        "",
    ),
    ("scan", "The observer has to scan the region.", ""),
];
