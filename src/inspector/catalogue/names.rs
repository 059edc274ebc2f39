//! Kinds of records, who asked for them, stages, states and reasons.

use super::{Rows, Topic};

pub(super) const TABLES: &[(Topic, Rows)] = &[(Topic::Record, RECORDS), (Topic::Cause, CAUSES)];

const RECORDS: Rows = &[
    ("store.identify", "The store has an id.", ""),
    (
        "store.new-data",
        "The data store is a new one: what regions had in the old one is gone.",
        "",
    ),
    (
        "store.lease",
        "Sequence numbers up to the one named may be used.",
        "",
    ),
    (
        "store.barrier",
        "All data that was written before is durable; the floors of regions rise to the indexes named.",
        "",
    ),
    (
        "store.repair",
        "The journal was told of a repair: which records it lost.",
        "`torrens explain DIR` and the files in journal/repair/ say more.",
    ),
    (
        "region.bootstrap",
        "The first region of a cluster stands.",
        "",
    ),
    (
        "region.split",
        "A region was split. One record, so that all parts exist or none.",
        "",
    ),
    (
        "region.change-peers",
        "A peer of the region was added, removed, promoted or demoted.",
        "",
    ),
    (
        "region.remove-self",
        "The region removed this store's own peer: its destroy begins.",
        "",
    ),
    (
        "region.enter-joint",
        "Several peers change together: both sets of voters count until the end.",
        "",
    ),
    ("region.leave-joint", "Joint consensus is over.", ""),
    (
        "region.switch-witness",
        "Peers became witnesses, or hold data again.",
        "",
    ),
    (
        "region.merge-prepare",
        "The region is about to be merged into a neighbour.",
        "",
    ),
    (
        "region.merge-commit",
        "The region took its neighbour in; the neighbour's peer is gone.",
        "",
    ),
    (
        "region.merge-rollback",
        "The merge does not take place.",
        "",
    ),
    (
        "region.flashback-begin",
        "The region is being set back to an earlier version of its data.",
        "",
    ),
    (
        "region.flashback-end",
        "The region is set back and serves again.",
        "",
    ),
    (
        "region.bootstrap-prepare",
        "The first region of a cluster stands, if the cluster does not exist already.",
        "",
    ),
    (
        "region.bootstrap-confirm",
        "The cluster begins with the region.",
        "",
    ),
    (
        "region.bootstrap-abandon",
        "The cluster began elsewhere; the region's keys are cleared.",
        "",
    ),
    (
        "region.recover",
        "An operator ordered the region to exist.",
        "",
    ),
    (
        "region.force-voters",
        "An operator ordered that peers on failed stores vote no more.",
        "",
    ),
    (
        "peer.create",
        "A peer without description exists, because a message for it arrived.",
        "",
    ),
    (
        "peer.destroy-begin",
        "The peer is gone for ever; a tombstone fences it, and its keys are a pending deletion.",
        "",
    ),
    (
        "peer.destroy-end",
        "The keys of a pending deletion are cleared.",
        "",
    ),
    (
        "peer.damage",
        "The peer's data cannot be trusted.",
        "Let the leader send a snapshot.",
    ),
    (
        "peer.tombstone",
        "An operator placed a tombstone where no peer lived.",
        "",
    ),
    (
        "peer.collect",
        "A tombstone is not needed any more, as the host says.",
        "",
    ),
    (
        "snapshot.begin",
        "The peer's data is being replaced by a snapshot.",
        "",
    ),
    ("snapshot.end", "The snapshot is in, and durable.", ""),
    ("snapshot.abort", "The snapshot apply was given up.", ""),
    (
        "snapshot.witness",
        "A witness has a new description; it holds no data.",
        "",
    ),
    (
        "snapshot.begin-merged",
        "The peer's data is being replaced by a snapshot, which takes merged regions in.",
        "",
    ),
    (
        "snapshot.reserve",
        "The keys of a snapshot that is on its way are kept free.",
        "",
    ),
    (
        "snapshot.release",
        "The snapshot does not come; its keys are free again.",
        "",
    ),
    (
        "cache.request",
        "A load of the region into memory was asked for.",
        "",
    ),
    (
        "cache.queue",
        "A load was asked for while an eviction is under way, and waits for its end.",
        "",
    ),
    (
        "cache.unqueue",
        "The queued load is not wanted any more.",
        "",
    ),
    ("cache.loading", "The load began.", ""),
    ("cache.active", "The cache serves reads.", ""),
    ("cache.cancel", "The load under way was cancelled.", ""),
    ("cache.evict-pending", "The cache serves no new reads.", ""),
    ("cache.evicting", "The memory is being freed.", ""),
    ("cache.gone", "No memory is held.", ""),
    (
        "cache.wait",
        "The load waits for the evictions of other regions that hold its keys.",
        "",
    ),
    (
        "cache.gone-wait",
        "No memory is held, and the queued load waits for the evictions of other regions.",
        "",
    ),
    (
        "observer.add",
        "An observer of keys exists, with a name, ranges and limits.",
        "",
    ),
    ("observer.remove", "The observer is gone.", ""),
    (
        "observer.pause",
        "The observer gets nothing until it is resumed.",
        "",
    ),
    ("observer.resume", "The observer goes on.", ""),
    ("observer.policy", "The observer has other limits.", ""),
    (
        "observer.attach",
        "The observer gets what regions apply from an index on.",
        "",
    ),
    (
        "observer.caught-up",
        "The observer got everything up to an index, and goes on with what is applied.",
        "",
    ),
    (
        "observer.detach",
        "The observer gets nothing of these regions any more, for now.",
        "",
    ),
    (
        "observer.ack",
        "The observer has dealt with everything up to these indexes.",
        "",
    ),
    (
        "observer.invalidate",
        "The observer lost events of these regions.",
        "Rebase it after a scan.",
    ),
    (
        "observer.rebase",
        "The observer goes on from other positions, after a loss.",
        "",
    ),
    (
        "observer.end",
        "The regions are gone; the observer gets what is left of them.",
        "",
    ),
    (
        "observer.restart",
        "The store was opened: what was attached is wanted again.",
        "",
    ),
];

const CAUSES: Rows = &[
    (
        "raft",
        "A committed Raft entry; its term and index are in the record.",
        "",
    ),
    ("message", "A message from another store.", ""),
    ("operator", "An operator.", ""),
    ("recovery", "Recovery, while the store was opened.", ""),
    ("collector", "The background work that ends operations.", ""),
    ("host", "The host, for reasons of its own.", ""),
    (
        "keeper",
        "The keeper of the caches, which loads regions by itself.",
        "",
    ),
];
