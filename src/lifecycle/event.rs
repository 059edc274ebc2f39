//! What may happen to a store's regions and peers: the questions that [`step`](super::step) answers.
//!
//! Not here: what an event does (`step`), what is recorded of it (`change`).

use super::{
    AbortReason, DamageReason, DeletionId, DestroyCause, EvictReason, Floor, ObserverEvent,
    RaftPosition, SnapshotRef,
};
use crate::{Incarnation, Key, Peer, PeerId, Region, RegionEpoch, RegionId, Sequence, StoreId};

/// Something that happened, or that somebody wants to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new store learns its own id.
    Identify {
        /// This node.
        store: StoreId,
    },
    /// The first region of a cluster is created here.
    Bootstrap {
        /// This node; must be the id that the store has, if it has one.
        store: StoreId,
        /// Its description; lists a peer on `store`.
        region: Region,
    },
    /// A message for a peer that does not exist here arrived.
    CreateByMessage {
        /// Which region.
        region: RegionId,
        /// Which replica.
        peer: PeerId,
        /// Who sent it.
        from_store: StoreId,
        /// The epoch that the sender knows.
        message_epoch: RegionEpoch,
    },
    /// Raft committed a split.
    Split(Split),
    /// Raft committed a change of one peer.
    ChangePeers {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; its `conf_ver` must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The change.
        change: PeerChange,
    },
    /// The first region of a cluster is created here, and whether the cluster begins with it is not
    /// known yet: [`Event::ConfirmBootstrap`] or [`Event::AbandonBootstrap`] must follow.
    PrepareBootstrap {
        /// This node; must be the id that the store has, if it has one.
        store: StoreId,
        /// Its description; lists a peer on `store`.
        region: Region,
    },
    /// The cluster begins with the prepared region.
    ConfirmBootstrap {
        /// The prepared region.
        region: RegionId,
    },
    /// The cluster began elsewhere: the prepared region goes and leaves nothing.
    AbandonBootstrap {
        /// The prepared region.
        region: RegionId,
    },
    /// An operator orders a region to exist here, over keys that lost all their replicas.
    RecoverRegion {
        /// Its description; lists this store's peer.
        region: Region,
    },
    /// An operator orders that peers on stores that are lost for good vote no more, so that what is
    /// left can go on. Outside of Raft: to be ordered on one replica only.
    ForceVoters {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the operator knows; its `conf_ver` must be the current one.
        epoch: RegionEpoch,
        /// The stores that are lost.
        failed: Vec<StoreId>,
    },
    /// An operator orders that no peer of the region up to that one ever lives here (again).
    PlaceTombstone {
        /// Which region.
        region: RegionId,
        /// The peer up to which.
        peer: PeerId,
        /// The epoch that the operator knows.
        epoch: RegionEpoch,
    },
    /// The host knows that nothing late can come for the region's peers any more.
    CollectTombstone {
        /// Which region.
        region: RegionId,
        /// The highest peer that the host speaks of; must not be below the tombstone's.
        highest_peer: PeerId,
    },
    /// Raft committed that the region is about to be merged into a neighbour.
    PrepareMerge {
        /// Which region: the source.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The region that takes it in, as it was when the merge was proposed.
        target: Region,
        /// Lowest index that the slowest replica of the source may still need.
        min_index: u64,
    },
    /// Raft committed, in the target's log, that a prepared source is taken in.
    CommitMerge {
        /// Which region: the target.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The source as the entry that prepared the merge left it.
        source: Region,
        /// Index of that entry.
        commit: u64,
    },
    /// Raft committed, in the source's log, that the merge does not take place.
    RollbackMerge {
        /// Which region: the source.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Index of the entry that prepared the merge.
        commit: u64,
    },
    /// Raft committed that the region is set back to an earlier version of its data.
    BeginFlashback {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// Raft committed that the region is set back.
    EndFlashback {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// Raft committed several changes of peers at once: the region enters joint consensus.
    EnterJoint {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; its `conf_ver` must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The changes, two or more.
        changes: Vec<PeerChange>,
    },
    /// Raft committed the end of joint consensus. When it is proposed is the host's affair.
    LeaveJoint {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; its `conf_ver` must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// Raft committed that peers become witnesses, or hold data again.
    SwitchWitness {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// The epoch that the entry was proposed at; its `conf_ver` must be the current one.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Who becomes what; one or more.
        switches: Vec<WitnessSwitch>,
    },
    /// A snapshot arrived and is about to be given to Raft: its keys are kept free for it.
    ReserveSnapshot {
        /// Which region.
        region: RegionId,
        /// The peer that it is for.
        incarnation: Incarnation,
        /// The description that it brings.
        description: Region,
        /// The entry that it is at.
        position: RaftPosition,
        /// Regions that the caller knows to have been merged into this one.
        sources: Vec<RegionId>,
    },
    /// Raft did not take the reserved snapshot.
    ReleaseSnapshot {
        /// Which region.
        region: RegionId,
        /// The peer that it was for.
        incarnation: Incarnation,
    },
    /// A snapshot arrived for a peer that is a witness: a description and a position, no data.
    InstallWitness {
        /// Which region.
        region: RegionId,
        /// The peer that the snapshot was accepted for.
        incarnation: Incarnation,
        /// The description that it brings; lists the peer as a witness.
        description: Region,
        /// The entry that the description is at.
        position: RaftPosition,
        /// Regions that the caller knows to have been merged into this one.
        sources: Vec<RegionId>,
    },
    /// A staged snapshot is about to replace a peer's data.
    BeginSnapshot {
        /// Which region.
        region: RegionId,
        /// The peer that the snapshot was accepted for.
        incarnation: Incarnation,
        /// The description that it brings.
        description: Region,
        /// The staged file; synced.
        snapshot: SnapshotRef,
        /// Regions that the caller knows to have been merged into this one. Those that prepared it
        /// themselves need not be named.
        sources: Vec<RegionId>,
    },
    /// The snapshot's data is in the store, durably.
    EndSnapshot {
        /// Which region.
        region: RegionId,
        /// The peer that applied it.
        incarnation: Incarnation,
        /// The snapshot's index, and the barrier that made it durable.
        floor: Floor,
    },
    /// The begun snapshot apply cannot be finished.
    AbortSnapshot {
        /// Which region.
        region: RegionId,
        /// The peer that was applying it.
        incarnation: Incarnation,
        /// Why.
        reason: AbortReason,
    },
    /// A peer is to go.
    Destroy {
        /// Which region.
        region: RegionId,
        /// Which creation of its peer the caller means; any if none.
        incarnation: Option<Incarnation>,
        /// Which replica.
        peer: PeerId,
        /// Why.
        cause: DestroyCause,
    },
    /// The keys of a pending deletion are cleared, durably.
    FinishDeletion {
        /// Which.
        deletion: DeletionId,
    },
    /// A peer's data was found not to be what was durable.
    Damage {
        /// Which region.
        region: RegionId,
        /// The peer.
        incarnation: Incarnation,
        /// What was found.
        reason: DamageReason,
    },
    /// A barrier came about: all data written before it is durable. Never refused; floors of peers
    /// that are gone or not serving are left out.
    Barrier {
        /// Its number; grows.
        number: u64,
        /// What it made durable.
        floors: Vec<FloorUpdate>,
    },
    /// The data store is a new one.
    NewDataStore {
        /// Its generation.
        generation: [u8; 16],
    },
    /// A block of sequence numbers is taken.
    SequenceLease {
        /// Every number up to this one may be used.
        up_to: Sequence,
    },
    /// A region is to be held in memory.
    LoadRequest {
        /// Which region.
        region: RegionId,
        /// The peer.
        incarnation: Incarnation,
        /// The epoch that the caller knows; its version must be the current one.
        epoch: RegionEpoch,
    },
    /// The memory is attached: writes are mirrored, the copy begins.
    LoadBegin {
        /// Which region.
        region: RegionId,
        /// The peer.
        incarnation: Incarnation,
    },
    /// The copy is complete.
    LoadEnd {
        /// Which region.
        region: RegionId,
        /// The peer.
        incarnation: Incarnation,
    },
    /// The load that is asked for or under way is given up. Never touches an active cache.
    LoadCancel {
        /// Which region.
        region: RegionId,
        /// The peer.
        incarnation: Incarnation,
        /// Why.
        reason: EvictReason,
    },
    /// The region is not to be held in memory.
    Evict {
        /// Which region.
        region: RegionId,
        /// Why.
        reason: EvictReason,
    },
    /// Nothing pins the memory any more; it is being freed.
    EvictBegin {
        /// Which region.
        region: RegionId,
    },
    /// The memory is freed.
    EvictEnd {
        /// Which region.
        region: RegionId,
    },
    /// The process that held the memory is gone.
    CacheLost {
        /// Which region.
        region: RegionId,
    },
    /// Something about who observes what.
    Observer(ObserverEvent),
}

/// A committed split of one region into itself and new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The region that is split, and keeps its id for one of the parts.
    pub region: RegionId,
    /// Which creation of its peer the caller means; any if none.
    pub incarnation: Option<Incarnation>,
    /// The epoch that the entry was proposed at; must be the current one.
    pub epoch: RegionEpoch,
    /// The entry.
    pub position: RaftPosition,
    /// Where the parts meet: strictly increasing, strictly inside the region; one for each child.
    pub boundaries: Vec<Key>,
    /// The new regions, in key order.
    pub children: Vec<NewRegion>,
    /// Which part keeps the id.
    pub derive: Derive,
}

/// One new region of a split.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewRegion {
    /// Its id.
    pub id: RegionId,
    /// Its peers: one on each store of the split region, with the same role.
    pub peers: Vec<Peer>,
}

/// Which part of a split keeps the region's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Derive {
    /// The first.
    Left,
    /// The last.
    Right,
}

/// One change of a region's peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerChange {
    /// A new replica, on a store that has none.
    Add {
        /// The replica.
        peer: Peer,
    },
    /// A replica goes. If it is this store's own, that is the begin of its destroy.
    Remove {
        /// The replica.
        peer: PeerId,
    },
    /// A learner becomes a voter.
    Promote {
        /// The replica.
        peer: PeerId,
    },
    /// A voter becomes a learner.
    Demote {
        /// The replica.
        peer: PeerId,
    },
}

/// One peer that becomes a witness, or holds data again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WitnessSwitch {
    /// The replica.
    pub peer: PeerId,
    /// Whether it is a witness from now on.
    pub witness: bool,
}

/// What a barrier made durable of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloorUpdate {
    /// Which region.
    pub region: RegionId,
    /// The peer that the data belongs to.
    pub incarnation: Incarnation,
    /// Every entry up to this index is durable.
    pub index: u64,
}

impl Split {
    /// Most new regions of one split; keeps its record within what a journal takes.
    pub const CHILDREN_MAX: usize = 256;
}

impl FloorUpdate {
    /// Most floors that one barrier records; keeps its record within what a journal takes. Floors
    /// beyond it stay where they are, which only keeps more of the hosts' logs.
    pub const PER_BARRIER_MAX: usize = 100_000;
}

impl Derive {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Derive::Left => "left",
            Derive::Right => "right",
        }
    }
}

impl PeerChange {
    /// The replica that it is about.
    pub const fn peer(self) -> PeerId {
        match self {
            PeerChange::Add { peer } => peer.id,
            PeerChange::Remove { peer }
            | PeerChange::Promote { peer }
            | PeerChange::Demote { peer } => peer,
        }
    }

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            PeerChange::Add { .. } => "add",
            PeerChange::Remove { .. } => "remove",
            PeerChange::Promote { .. } => "promote",
            PeerChange::Demote { .. } => "demote",
        }
    }
}

impl Event {
    /// The Raft entry that it is; none for what no log orders.
    pub const fn position(&self) -> Option<RaftPosition> {
        match self {
            Event::Split(split) => Some(split.position),
            Event::ChangePeers { position, .. }
            | Event::EnterJoint { position, .. }
            | Event::LeaveJoint { position, .. }
            | Event::PrepareMerge { position, .. }
            | Event::CommitMerge { position, .. }
            | Event::RollbackMerge { position, .. }
            | Event::BeginFlashback { position, .. }
            | Event::EndFlashback { position, .. }
            | Event::SwitchWitness { position, .. } => Some(*position),
            Event::Identify { .. }
            | Event::Bootstrap { .. }
            | Event::PrepareBootstrap { .. }
            | Event::ConfirmBootstrap { .. }
            | Event::AbandonBootstrap { .. }
            | Event::RecoverRegion { .. }
            | Event::ForceVoters { .. }
            | Event::PlaceTombstone { .. }
            | Event::CollectTombstone { .. }
            | Event::CreateByMessage { .. }
            | Event::ReserveSnapshot { .. }
            | Event::ReleaseSnapshot { .. }
            | Event::InstallWitness { .. }
            | Event::BeginSnapshot { .. }
            | Event::EndSnapshot { .. }
            | Event::AbortSnapshot { .. }
            | Event::Destroy { .. }
            | Event::FinishDeletion { .. }
            | Event::Damage { .. }
            | Event::Barrier { .. }
            | Event::NewDataStore { .. }
            | Event::SequenceLease { .. }
            | Event::LoadRequest { .. }
            | Event::LoadBegin { .. }
            | Event::LoadEnd { .. }
            | Event::LoadCancel { .. }
            | Event::Evict { .. }
            | Event::EvictBegin { .. }
            | Event::EvictEnd { .. }
            | Event::CacheLost { .. }
            | Event::Observer(_) => None,
        }
    }

    /// The region that it names; none for what concerns the whole store.
    pub const fn region(&self) -> Option<RegionId> {
        match self {
            Event::Bootstrap { region, .. }
            | Event::PrepareBootstrap { region, .. }
            | Event::RecoverRegion { region } => Some(region.id),
            Event::Split(split) => Some(split.region),
            Event::CreateByMessage { region, .. }
            | Event::ChangePeers { region, .. }
            | Event::EnterJoint { region, .. }
            | Event::LeaveJoint { region, .. }
            | Event::SwitchWitness { region, .. }
            | Event::ConfirmBootstrap { region }
            | Event::AbandonBootstrap { region }
            | Event::ForceVoters { region, .. }
            | Event::PlaceTombstone { region, .. }
            | Event::CollectTombstone { region, .. }
            | Event::PrepareMerge { region, .. }
            | Event::CommitMerge { region, .. }
            | Event::RollbackMerge { region, .. }
            | Event::BeginFlashback { region, .. }
            | Event::EndFlashback { region, .. }
            | Event::InstallWitness { region, .. }
            | Event::ReserveSnapshot { region, .. }
            | Event::ReleaseSnapshot { region, .. }
            | Event::BeginSnapshot { region, .. }
            | Event::EndSnapshot { region, .. }
            | Event::AbortSnapshot { region, .. }
            | Event::Destroy { region, .. }
            | Event::Damage { region, .. }
            | Event::LoadRequest { region, .. }
            | Event::LoadBegin { region, .. }
            | Event::LoadEnd { region, .. }
            | Event::LoadCancel { region, .. }
            | Event::Evict { region, .. }
            | Event::EvictBegin { region }
            | Event::EvictEnd { region }
            | Event::CacheLost { region } => Some(*region),
            Event::Identify { .. }
            | Event::FinishDeletion { .. }
            | Event::Barrier { .. }
            | Event::NewDataStore { .. }
            | Event::SequenceLease { .. }
            | Event::Observer(_) => None,
        }
    }
}
