//! `Change`: the outcome of an accepted event, as a record keeps it for ever.
//!
//! A change says *what came of it*, in full: replay carries it out and decides nothing again. What
//! follows from the state alone (which keys a destroyed peer leaves, which states its cache passes)
//! is part of what the change means and is not repeated in it.
//!
//! The kinds and their meanings are frozen: a new meaning is a new kind. Not here: the bytes
//! (`codec`), carrying it out (`apply`).

use super::{
    AbortReason, DamageReason, DeletionId, Derive, DestroyCause, EvictReason, Floor, FloorUpdate,
    ObserverChange, PeerChange, QueuedLoadFate, RaftPosition, SnapshotRef, WitnessSwitch,
};
use crate::{Incarnation, Key, Peer, PeerId, Region, RegionEpoch, RegionId, Sequence, StoreId};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The store has an id.
    StoreIdentified {
        /// The id.
        store: StoreId,
    },
    /// The data store is a new one.
    DataStoreReplaced {
        /// Its generation.
        generation: [u8; 16],
    },
    /// Sequence numbers up to this one may be used.
    SequencesLeased {
        /// The new ceiling.
        up_to: Sequence,
    },
    /// All data written before this barrier is durable.
    BarrierReached {
        /// Its number.
        number: u64,
        /// The floors that it raised.
        floors: Vec<FloorUpdate>,
    },
    /// The first region of a cluster stands.
    RegionBootstrapped {
        /// This node.
        store: StoreId,
        /// Its description.
        region: Region,
    },
    /// The first region of a cluster stands, if the cluster does not turn out to exist already.
    BootstrapPrepared {
        /// This node.
        store: StoreId,
        /// Its description.
        region: Region,
    },
    /// The cluster begins with the region.
    BootstrapConfirmed {
        /// Which region.
        region: RegionId,
    },
    /// The cluster began elsewhere. The region's keys are a pending deletion; there is no tombstone,
    /// since no peer of it was ever known to anybody.
    BootstrapAbandoned {
        /// Which region.
        region: RegionId,
    },
    /// An operator ordered the region to exist.
    RegionRecovered {
        /// Its description.
        region: Region,
    },
    /// An operator ordered that peers on failed stores vote no more; joint consensus, if it was under
    /// way, is over.
    VotersForced {
        /// Which region.
        region: RegionId,
        /// The `conf_ver` that it has now.
        conf_ver: u64,
        /// The stores whose peers are learners now.
        failed: Vec<StoreId>,
    },
    /// A region is about to be merged into a neighbour.
    MergePrepared {
        /// Which region: the source.
        region: RegionId,
        /// The entry; its index names the attempt.
        position: RaftPosition,
        /// The epoch that it has now.
        epoch: RegionEpoch,
        /// The region that takes it in.
        target: RegionId,
        /// The target's epoch when the merge was proposed.
        target_epoch: RegionEpoch,
        /// Entries from this index on must stay in the source's log.
        min_index: u64,
    },
    /// A source was taken in: its keys are the target's, uncleared, and its peer is gone.
    RegionsMerged {
        /// Which region: the target.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The version that it has now.
        version: u64,
        /// The source, as it was.
        source: MergedSource,
    },
    /// A merge does not take place.
    MergeRolledBack {
        /// Which region: the source.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The version that it has now.
        version: u64,
    },
    /// A region is being set back.
    FlashbackBegun {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
    },
    /// A region is set back.
    FlashbackEnded {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
    },
    /// An operator placed a tombstone where no peer lived.
    TombstonePlaced {
        /// Which region.
        region: RegionId,
        /// The peer up to which nothing may live.
        peer: PeerId,
        /// The epoch that the tombstone keeps.
        epoch: RegionEpoch,
    },
    /// A tombstone is gone: nothing late can come any more, as the host says.
    TombstoneCollected {
        /// Which region.
        region: RegionId,
        /// What its highest peer was.
        highest_peer: PeerId,
    },
    /// Keys are kept free for a snapshot that a peer is about to get: those of its range that are
    /// neither the peer's own nor those of the sources. An earlier reservation of the peer is gone.
    SnapshotReserved {
        /// The description that it brings.
        description: Region,
        /// The entry that it is at.
        position: RaftPosition,
        /// Regions that were merged into this one, whose keys the snapshot will take.
        sources: Vec<RegionId>,
    },
    /// The snapshot does not come.
    SnapshotReleased {
        /// Which region.
        region: RegionId,
    },
    /// As [`Change::SnapshotBegun`], and regions that were merged into this one end with it: their
    /// keys are the snapshot's, and what the snapshot does not cover is a pending deletion.
    SnapshotBegunOverSources {
        /// The description that it brings.
        description: Region,
        /// The staged file.
        snapshot: SnapshotRef,
        /// The sources, in key order.
        sources: Vec<MergedSource>,
    },
    /// A peer without description exists.
    PeerCreated {
        /// Which region.
        region: RegionId,
        /// Which replica.
        peer: PeerId,
        /// The epoch that the message's sender knew.
        message_epoch: RegionEpoch,
    },
    /// A region was split.
    RegionSplit {
        /// The region that was split.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The version that all parts have now.
        version: u64,
        /// Which part kept the id.
        derive: Derive,
        /// Where the parts meet, in key order; as many as children.
        boundaries: Vec<Key>,
        /// The new regions, in key order.
        children: Vec<SplitChild>,
    },
    /// A region has other peers.
    PeersChanged {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The `conf_ver` that it has now.
        conf_ver: u64,
        /// The change.
        change: PeerChange,
    },
    /// A region entered joint consensus.
    JointEntered {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The `conf_ver` that it has now.
        conf_ver: u64,
        /// The changes on the way.
        changes: Vec<PeerChange>,
    },
    /// A region left joint consensus.
    JointLeft {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The `conf_ver` that it has now.
        conf_ver: u64,
    },
    /// Peers became witnesses, or hold data again. What this store's own peer held, if it became
    /// one, is a pending deletion.
    WitnessesSwitched {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The `conf_ver` that it has now.
        conf_ver: u64,
        /// Who became what.
        switches: Vec<WitnessSwitch>,
    },
    /// A witness has a description. Whatever the peer held before is a pending deletion.
    WitnessInstalled {
        /// The description.
        description: Region,
        /// The entry that it is at.
        position: RaftPosition,
        /// The regions that were merged into this one and end with it, in key order.
        sources: Vec<MergedSource>,
    },
    /// A region removed this store's own peer, which is the begin of its destroy.
    OwnPeerRemoved {
        /// Which region.
        region: RegionId,
        /// The entry.
        position: RaftPosition,
        /// The `conf_ver` that it has now.
        conf_ver: u64,
        /// The peer that went.
        peer: PeerId,
    },
    /// A peer is being replaced by a snapshot.
    SnapshotBegun {
        /// The description that it brings.
        description: Region,
        /// The staged file.
        snapshot: SnapshotRef,
    },
    /// The snapshot is in.
    SnapshotEnded {
        /// Which region.
        region: RegionId,
        /// What is durable now.
        floor: Floor,
    },
    /// The snapshot was given up.
    SnapshotAborted {
        /// Which region.
        region: RegionId,
        /// Why.
        reason: AbortReason,
    },
    /// A peer is gone; its keys, if it had any, are a pending deletion.
    PeerDestroyed {
        /// Which region.
        region: RegionId,
        /// The peer that went.
        peer: PeerId,
        /// The epoch that the tombstone keeps.
        epoch: RegionEpoch,
        /// Why.
        cause: DestroyCause,
    },
    /// The keys of a pending deletion are cleared: nobody owns them any more.
    DeletionFinished {
        /// The region that left them.
        region: RegionId,
        /// Which.
        deletion: DeletionId,
    },
    /// A peer's data cannot be trusted.
    PeerDamaged {
        /// Which region.
        region: RegionId,
        /// Why.
        reason: DamageReason,
    },
    /// A load was asked for.
    CacheLoadRequested {
        /// Which region.
        region: RegionId,
    },
    /// A load was asked for while an eviction is under way, and waits for its end.
    CacheLoadQueued {
        /// Which region.
        region: RegionId,
        /// The region's version that it was asked for.
        version: u64,
    },
    /// A load was asked for, and waits for the end of other regions' evictions, whose memory holds some
    /// of its keys.
    CacheLoadWaits {
        /// Which region.
        region: RegionId,
    },
    /// No memory is held; the load that was queued behind it waits for other regions' evictions too.
    CacheGoneLoadWaits {
        /// Which region.
        region: RegionId,
        /// Why the memory went.
        reason: EvictReason,
    },
    /// A queued load is not wanted any more.
    CacheLoadUnqueued {
        /// Which region.
        region: RegionId,
        /// Why.
        reason: EvictReason,
    },
    /// The load began.
    CacheLoading {
        /// Which region.
        region: RegionId,
    },
    /// The cache serves reads.
    CacheActive {
        /// Which region.
        region: RegionId,
    },
    /// The load under way was cancelled.
    CacheCancelled {
        /// Which region.
        region: RegionId,
        /// Why.
        reason: EvictReason,
    },
    /// The cache serves no new reads.
    CacheEvictPending {
        /// Which region.
        region: RegionId,
        /// Why.
        reason: EvictReason,
    },
    /// The memory is being freed.
    CacheEvicting {
        /// Which region.
        region: RegionId,
    },
    /// No memory is held.
    CacheGone {
        /// Which region.
        region: RegionId,
        /// Why it went.
        reason: EvictReason,
        /// What became of a load that waited for that.
        queued: QueuedLoadFate,
    },
    /// Who observes what.
    Observer(ObserverChange),
}

/// A region that was merged into another one, and its peer here that ended with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MergedSource {
    /// Which region.
    pub region: RegionId,
    /// Its peer.
    pub peer: PeerId,
    /// Which creation of it.
    pub incarnation: Incarnation,
}

impl MergedSource {
    /// Most regions that end with one snapshot; keeps its record within what a journal takes.
    pub const PER_SNAPSHOT_MAX: usize = 4096;
}

/// One new region of a split, and what came of it on this store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SplitChild {
    /// Its id.
    pub id: RegionId,
    /// Its peers.
    pub peers: Vec<Peer>,
    /// Whether this store has its part.
    pub fate: ChildFate,
}

/// What came of a new region on this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChildFate {
    /// Its peer was created.
    Created,
    /// A message had made the same peer: the new incarnation takes its place.
    Adopted {
        /// The incarnation that a message had made.
        predecessor: Incarnation,
    },
    /// This store may not have it; its keys are a pending deletion.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
}

/// Why a new region of a split was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// That peer, or a newer one, was here and is gone.
    Tombstoned {
        /// The tombstone's highest peer.
        highest_peer: PeerId,
    },
    /// Another replica of that region lives here.
    OtherPeer {
        /// That replica.
        peer: PeerId,
    },
    /// The very peer lives here and has a description: a newer snapshot made it.
    Initialized {
        /// Its incarnation.
        incarnation: Incarnation,
    },
}

/// Whether the caller may hear of a change before it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Not before: ownership, epoch, identity, begins, tombstones, floors, generations, leases.
    Wait,
    /// At once: its loss only repeats work, or serves less.
    AppendOnly,
}

impl Change {
    /// Other regions whose history it belongs to as well: the children of a split, the sources of a
    /// merge.
    pub fn also(&self) -> Vec<RegionId> {
        match self {
            Change::RegionSplit { children, .. } => children.iter().map(|child| child.id).collect(),
            Change::RegionsMerged { source, .. } => vec![source.region],
            Change::SnapshotBegunOverSources { sources, .. }
            | Change::WitnessInstalled { sources, .. } => {
                sources.iter().map(|source| source.region).collect()
            }
            Change::StoreIdentified { .. }
            | Change::DataStoreReplaced { .. }
            | Change::SequencesLeased { .. }
            | Change::BarrierReached { .. }
            | Change::RegionBootstrapped { .. }
            | Change::BootstrapPrepared { .. }
            | Change::BootstrapConfirmed { .. }
            | Change::BootstrapAbandoned { .. }
            | Change::RegionRecovered { .. }
            | Change::VotersForced { .. }
            | Change::MergePrepared { .. }
            | Change::MergeRolledBack { .. }
            | Change::FlashbackBegun { .. }
            | Change::FlashbackEnded { .. }
            | Change::TombstonePlaced { .. }
            | Change::TombstoneCollected { .. }
            | Change::PeerCreated { .. }
            | Change::PeersChanged { .. }
            | Change::JointEntered { .. }
            | Change::JointLeft { .. }
            | Change::WitnessesSwitched { .. }
            | Change::OwnPeerRemoved { .. }
            | Change::SnapshotReserved { .. }
            | Change::SnapshotReleased { .. }
            | Change::SnapshotBegun { .. }
            | Change::SnapshotEnded { .. }
            | Change::SnapshotAborted { .. }
            | Change::PeerDestroyed { .. }
            | Change::DeletionFinished { .. }
            | Change::PeerDamaged { .. }
            | Change::CacheLoadRequested { .. }
            | Change::CacheLoadQueued { .. }
            | Change::CacheLoadUnqueued { .. }
            | Change::CacheLoadWaits { .. }
            | Change::CacheGoneLoadWaits { .. }
            | Change::CacheLoading { .. }
            | Change::CacheActive { .. }
            | Change::CacheCancelled { .. }
            | Change::CacheEvictPending { .. }
            | Change::CacheEvicting { .. }
            | Change::CacheGone { .. }
            | Change::Observer(_) => Vec::new(),
        }
    }

    /// The region whose history it belongs to; none for what concerns the whole store.
    pub const fn region(&self) -> Option<RegionId> {
        match self {
            Change::StoreIdentified { .. }
            | Change::DataStoreReplaced { .. }
            | Change::SequencesLeased { .. }
            | Change::BarrierReached { .. }
            | Change::Observer(_) => None,
            Change::RegionBootstrapped { region, .. }
            | Change::BootstrapPrepared { region, .. }
            | Change::RegionRecovered { region } => Some(region.id),
            Change::SnapshotBegun { description, .. }
            | Change::SnapshotReserved { description, .. }
            | Change::SnapshotBegunOverSources { description, .. }
            | Change::WitnessInstalled { description, .. } => Some(description.id),
            Change::RegionSplit { region, .. }
            | Change::PeersChanged { region, .. }
            | Change::JointEntered { region, .. }
            | Change::JointLeft { region, .. }
            | Change::WitnessesSwitched { region, .. }
            | Change::BootstrapConfirmed { region }
            | Change::BootstrapAbandoned { region }
            | Change::VotersForced { region, .. }
            | Change::MergePrepared { region, .. }
            | Change::RegionsMerged { region, .. }
            | Change::MergeRolledBack { region, .. }
            | Change::FlashbackBegun { region, .. }
            | Change::FlashbackEnded { region, .. }
            | Change::TombstonePlaced { region, .. }
            | Change::TombstoneCollected { region, .. }
            | Change::SnapshotReleased { region }
            | Change::OwnPeerRemoved { region, .. }
            | Change::PeerCreated { region, .. }
            | Change::PeerDestroyed { region, .. }
            | Change::DeletionFinished { region, .. }
            | Change::PeerDamaged { region, .. }
            | Change::SnapshotEnded { region, .. }
            | Change::SnapshotAborted { region, .. }
            | Change::CacheLoadRequested { region }
            | Change::CacheLoadQueued { region, .. }
            | Change::CacheLoadUnqueued { region, .. }
            | Change::CacheLoadWaits { region }
            | Change::CacheGoneLoadWaits { region, .. }
            | Change::CacheLoading { region }
            | Change::CacheActive { region }
            | Change::CacheCancelled { region, .. }
            | Change::CacheEvictPending { region, .. }
            | Change::CacheEvicting { region }
            | Change::CacheGone { region, .. } => Some(*region),
        }
    }
}

impl SkipReason {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            SkipReason::Tombstoned { .. } => "tombstoned",
            SkipReason::OtherPeer { .. } => "other-peer",
            SkipReason::Initialized { .. } => "initialized",
        }
    }
}
