//! `Refusal`: why an event may not happen, with the facts that a caller needs to go on.
//!
//! A refusal is an answer about the request; the store is fine. Codes are stable.

use std::sync::Arc;

use super::{AbortReason, CacheState, DamageReason, DeletionId, EvictReason, ObserverRefusal};
use crate::{Incarnation, Key, PeerId, Region, RegionEpoch, RegionError, RegionId, StoreId};

/// Why an event may not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The store has no id yet, so it can have no peers.
    #[error("the store has no id yet")]
    StoreUnidentified,
    /// The store has another id.
    #[error("this is {current}, not {given}")]
    StoreMismatch {
        /// The id given.
        given: StoreId,
        /// The store's own.
        current: StoreId,
    },
    /// A cluster is bootstrapped on an empty store only.
    #[error("the store already has or had {region}")]
    NotEmpty {
        /// A region that it knows.
        region: RegionId,
    },
    /// An id that is 0.
    #[error("{id} id is 0")]
    IdZero {
        /// Which: `store`, `region` or `peer`.
        id: &'static str,
    },
    /// The description that was given breaks a rule.
    #[error("the description of {region} is not valid: {fault}")]
    InvalidDescription {
        /// Whose description it is.
        region: RegionId,
        /// The rule.
        fault: RegionError,
    },
    /// The description that was given does not list this store's peer.
    #[error("the description of {region} does not list {} on {store}", .peer.map_or("a peer".to_owned(), |peer| peer.to_string()))]
    NotListed {
        /// Whose description it is.
        region: RegionId,
        /// The peer that should be there, if it is known.
        peer: Option<PeerId>,
        /// This store.
        store: StoreId,
    },
    /// This store has no peer of that region, and never had one.
    #[error("{region} has no peer here")]
    RegionNotFound {
        /// The region asked for.
        region: RegionId,
    },
    /// That peer, or the last one that this store had, is gone for ever.
    #[error("{region} is gone from here up to {highest_peer} (epoch {epoch})")]
    PeerTombstoned {
        /// The region asked for.
        region: RegionId,
        /// Every peer up to this one is gone.
        highest_peer: PeerId,
        /// The epoch at which it went.
        epoch: RegionEpoch,
    },
    /// A newer replica lives here.
    #[error("{region} has the newer {live} here, not {given}")]
    StalePeer {
        /// The region asked for.
        region: RegionId,
        /// The peer given.
        given: PeerId,
        /// The peer that lives here.
        live: PeerId,
    },
    /// An older replica lives here; it has to be destroyed first.
    #[error("{region} still has the older {live} here, not {given}")]
    OlderPeerLives {
        /// The region asked for.
        region: RegionId,
        /// The peer given.
        given: PeerId,
        /// The peer that lives here.
        live: PeerId,
    },
    /// The creation of the peer that the caller means is gone.
    #[error("incarnation {given} of {region} is gone{}", .live.map_or(String::new(), |live| format!(", {live} lives")))]
    IncarnationGone {
        /// The region asked for.
        region: RegionId,
        /// The incarnation given.
        given: Incarnation,
        /// The incarnation that lives, if any.
        live: Option<Incarnation>,
    },
    /// The peer has no description yet.
    #[error("{peer} of {region} has no description yet")]
    PeerUninitialized {
        /// The region asked for.
        region: RegionId,
        /// Its peer here.
        peer: PeerId,
    },
    /// A snapshot is being applied; ask again when it has ended.
    #[error("a snapshot is being applied to {region}")]
    SnapshotApplying {
        /// The region asked for.
        region: RegionId,
    },
    /// No snapshot is being applied.
    #[error("no snapshot is being applied to {region}")]
    NoSnapshot {
        /// The region asked for.
        region: RegionId,
    },
    /// The peer's data cannot be trusted; it needs a snapshot.
    #[error("the data of {region} is damaged: {reason}")]
    RegionDamaged {
        /// The region asked for.
        region: RegionId,
        /// What is wrong with it.
        reason: DamageReason,
    },
    /// The epoch that was given is behind.
    #[error("epoch {given} of {region} is stale")]
    EpochStale {
        /// The region asked for.
        region: RegionId,
        /// The epoch given.
        given: RegionEpoch,
        /// The region as it is, and the neighbours that a split may have made of it.
        current: Vec<Arc<Region>>,
    },
    /// The epoch that was given is ahead: this peer has not applied as much.
    #[error("epoch {given} of {region} is ahead of {current}")]
    EpochAhead {
        /// The region asked for.
        region: RegionId,
        /// The epoch given.
        given: RegionEpoch,
        /// The region's own.
        current: RegionEpoch,
    },
    /// The message does not know more than the peer.
    #[error("epoch {given} is not newer than {current} of {region}")]
    EpochNotNewer {
        /// The region asked for.
        region: RegionId,
        /// The epoch given.
        given: RegionEpoch,
        /// The peer's own.
        current: RegionEpoch,
    },
    /// An epoch would leave the 64-bit space.
    #[error("the epoch {current} of {region} cannot grow any more")]
    EpochExhausted {
        /// The region asked for.
        region: RegionId,
        /// Its epoch.
        current: RegionEpoch,
    },
    /// The key lies outside the region.
    #[error("the key lies outside {region}")]
    KeyOutOfRange {
        /// The region asked for.
        region: RegionId,
        /// The key given.
        key: Key,
    },
    /// The split makes no sense.
    #[error("the split of {region} is not valid: {fault}")]
    InvalidSplit {
        /// The region asked for.
        region: RegionId,
        /// What is wrong with it.
        fault: SplitFault,
    },
    /// The change is about a peer that the region does not have.
    #[error("{region} has no {peer}")]
    PeerUnknown {
        /// The region asked for.
        region: RegionId,
        /// The peer given.
        peer: PeerId,
    },
    /// The peer already has that role.
    #[error("{peer} of {region} already is a {role}")]
    RoleUnchanged {
        /// The region asked for.
        region: RegionId,
        /// The peer given.
        peer: PeerId,
        /// Its role.
        role: &'static str,
    },
    /// The change of peers is not one that may be made.
    #[error("the change of peers of {region} is not valid: {fault}")]
    InvalidPeerChange {
        /// The region asked for.
        region: RegionId,
        /// What is wrong with it.
        fault: PeerChangeFault,
    },
    /// The peer holds no data: it is a witness.
    #[error("{peer} of {region} is a witness and holds no data")]
    PeerIsWitness {
        /// The region asked for.
        region: RegionId,
        /// Its peer here.
        peer: PeerId,
    },
    /// The peer was a witness and has no data yet; it needs a snapshot.
    #[error("{region} waits for its data here")]
    WaitingForData {
        /// The region asked for.
        region: RegionId,
    },
    /// A snapshot with data is for a witness, or one without is for a peer that holds data.
    #[error("{peer} of {region} is {}a witness in the description that is given", if *.is_witness { "" } else { "not " })]
    WitnessMismatch {
        /// The region asked for.
        region: RegionId,
        /// The peer.
        peer: PeerId,
        /// What the description says of it.
        is_witness: bool,
    },
    /// The region is about to be merged into another one.
    #[error("{region} is being merged into {target}")]
    RegionMerging {
        /// The region asked for.
        region: RegionId,
        /// The region that takes it in.
        target: RegionId,
    },
    /// The region is being set back to an earlier version of its data.
    #[error("{region} is in flashback")]
    RegionInFlashback {
        /// The region asked for.
        region: RegionId,
    },
    /// The region is not being set back.
    #[error("{region} is not in flashback")]
    NotInFlashback {
        /// The region asked for.
        region: RegionId,
    },
    /// The merge makes no sense.
    #[error("the merge of {region} is not valid: {fault}")]
    InvalidMerge {
        /// The region asked for.
        region: RegionId,
        /// What is wrong with it.
        fault: MergeFault,
    },
    /// No merge of the region was prepared.
    #[error("no merge of {region} was prepared")]
    NotMerging {
        /// The region asked for.
        region: RegionId,
    },
    /// Another attempt to merge the region is under way; what concerns an earlier one is ignored.
    #[error("{region} is in the merge that entry {current} prepared, not entry {given}")]
    OtherMerge {
        /// The region asked for.
        region: RegionId,
        /// The attempt given.
        given: u64,
        /// The attempt under way.
        current: u64,
    },
    /// The source is not what the entry that takes it in says: it went on without the merge.
    #[error("{source_region} is not as the merge into {region} has it")]
    MergeSourceMismatch {
        /// The target.
        region: RegionId,
        /// The source.
        source_region: RegionId,
    },
    /// A peer of the region lives here.
    #[error("{live} of {region} lives here")]
    RegionLives {
        /// The region asked for.
        region: RegionId,
        /// The peer that lives here.
        live: PeerId,
    },
    /// The bootstrap was confirmed; the region cannot be taken back.
    #[error("the bootstrap of {region} was confirmed")]
    BootstrapConfirmed {
        /// The region asked for.
        region: RegionId,
    },
    /// Whether the cluster begins with this region is not known yet.
    #[error("the bootstrap of {region} is not confirmed")]
    BootstrapUnconfirmed {
        /// The region asked for.
        region: RegionId,
    },
    /// The snapshot is one of another region.
    #[error("the snapshot is one of {given}, not of {region}")]
    SnapshotOfOther {
        /// The region asked for.
        region: RegionId,
        /// The region in the snapshot.
        given: RegionId,
    },
    /// The snapshot is not newer than what the peer has.
    #[error("a snapshot at index {given} of {region} is stale: it has {have}")]
    StaleSnapshot {
        /// The region asked for.
        region: RegionId,
        /// The snapshot's index.
        given: u64,
        /// The index that it would have to be above (or at, for a damaged peer).
        have: u64,
    },
    /// After opening the region's data is behind its description: entries between the two are missing
    /// until the host has sent its log again, so its rows are of no index that could be named.
    #[error(
        "the data of {region} is at index {data_index}, its description at {meta_index}: entries between are missing"
    )]
    DataBehind {
        /// The region asked for.
        region: RegionId,
        /// Last entry whose data is here.
        data_index: u64,
        /// The entry up to which the host has to send its log again.
        meta_index: u64,
    },
    /// The snapshot's range belongs to another live region.
    #[error("the range of {region} overlaps {with}")]
    RangeOverlap {
        /// The region asked for.
        region: RegionId,
        /// The first region, in key order, that has some of it.
        with: RegionId,
    },
    /// The range is kept free for another region's snapshot.
    #[error("the range of {region} is kept free for a snapshot of {by}")]
    RangeReserved {
        /// The region asked for.
        region: RegionId,
        /// The first region, in key order, whose snapshot has some of it.
        by: RegionId,
    },
    /// The snapshot's range is still being cleared; ask again when that has ended.
    #[error("the range of {region} is still being cleared ({deletion})")]
    RangeBusy {
        /// The region asked for.
        region: RegionId,
        /// The first pending deletion, in key order, that has some of it.
        deletion: DeletionId,
    },
    /// The floor does not fit: another index than the snapshot's, or a barrier that never was.
    #[error(
        "floor (index {index}, barrier {barrier}) of {region} does not fit: the snapshot is at {snapshot_index}, the last barrier is {last_barrier}"
    )]
    FloorMismatch {
        /// The region asked for.
        region: RegionId,
        /// The index given.
        index: u64,
        /// The barrier given.
        barrier: u64,
        /// The snapshot's index.
        snapshot_index: u64,
        /// The last journaled barrier.
        last_barrier: u64,
    },
    /// No record began such a deletion yet.
    #[error("there is no deletion {deletion}")]
    DeletionUnknown {
        /// The deletion given.
        deletion: DeletionId,
    },
    /// A region relies on the data store that is there; it has to be damaged first.
    #[error("{region} relies on barrier {barrier} of the data store that is to be replaced")]
    DataStoreInUse {
        /// The first region, by id, that relies on it.
        region: RegionId,
        /// The barrier that it relies on.
        barrier: u64,
    },
    /// The snapshot apply was given up.
    #[error("the snapshot apply of {region} was given up ({})", .reason.as_str())]
    SnapshotAborted {
        /// The region asked for.
        region: RegionId,
        /// Why.
        reason: AbortReason,
    },
    /// The load was cancelled.
    #[error("the load of {region} was cancelled ({})", .reason.as_str())]
    LoadCancelled {
        /// The region asked for.
        region: RegionId,
        /// Why.
        reason: EvictReason,
    },
    /// The cache is in a state in which that cannot happen.
    #[error("the cache of {region} is {}", .state.as_str())]
    CacheState {
        /// The region asked for.
        region: RegionId,
        /// Its cache's state.
        state: CacheState,
    },
    /// It is about observers.
    #[error("{0}")]
    Observer(ObserverRefusal),
}

/// What is wrong with a change of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerChangeFault {
    /// The region is in joint consensus: only leaving it may follow.
    #[error("the region is in joint consensus")]
    Joint,
    /// The region is not in joint consensus.
    #[error("the region is not in joint consensus")]
    NotJoint,
    /// Joint consensus is for two changes or more; a switch of witnesses for one or more.
    #[error("{changes} changes are too few")]
    TooFew {
        /// Changes given.
        changes: usize,
    },
    /// More changes than a region may have peers.
    #[error("{changes} changes, more than {} allowed", crate::Region::PEERS_MAX)]
    TooMany {
        /// Changes given.
        changes: usize,
    },
    /// Two changes are about one peer.
    #[error("{peer} is changed twice")]
    Twice {
        /// The peer.
        peer: PeerId,
    },
    /// A voter goes by way of a demotion; joint consensus cannot drop it at once.
    #[error("{peer} is a voter and has to be demoted first")]
    VoterRemoved {
        /// The peer.
        peer: PeerId,
    },
    /// No voter changes: that needs no joint consensus.
    #[error("only learners change")]
    LearnersOnly,
    /// This store is among those that are said to be lost.
    #[error("{store} is this store")]
    OwnStore {
        /// This store.
        store: StoreId,
    },
    /// A new peer begins as a voter or as a learner.
    #[error("{peer} cannot begin in a role of joint consensus")]
    JointRole {
        /// The peer.
        peer: PeerId,
    },
}

/// What is wrong with a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeFault {
    /// A region cannot be merged into itself.
    #[error("source and target are one region")]
    SameRegion,
    /// The ranges do not meet.
    #[error("the ranges do not meet")]
    NotNeighbours,
    /// The peers are not on the same stores, with the same roles.
    #[error("the peers are not on the same stores with the same roles")]
    OtherStores,
    /// One of the two is in joint consensus.
    #[error("{region} is in joint consensus")]
    Joint {
        /// Which.
        region: RegionId,
    },
    /// The lowest index that the log has to keep is not one before the entry that says so.
    #[error("index {given} is not one from 1 to {position}")]
    MinIndex {
        /// The index given.
        given: u64,
        /// The entry's own.
        position: u64,
    },
}

/// What is wrong with a split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitFault {
    /// It makes no new region.
    #[error("it makes no new region")]
    NoChildren,
    /// There is not one boundary for each new region.
    #[error("{children} new regions need as many boundaries, not {boundaries}")]
    Count {
        /// New regions given.
        children: usize,
        /// Boundaries given.
        boundaries: usize,
    },
    /// More new regions than [`Split::CHILDREN_MAX`](super::Split::CHILDREN_MAX).
    #[error(
        "{children} new regions, more than {} allowed",
        super::Split::CHILDREN_MAX
    )]
    TooMany {
        /// New regions given.
        children: usize,
    },
    /// A boundary does not lie above the one before and strictly inside the region.
    #[error("a boundary is not above the one before and inside the region")]
    Boundary {
        /// The boundary.
        key: Key,
    },
    /// A new region has the id of another part.
    #[error("{id} is the id of two parts")]
    IdTwice {
        /// The id.
        id: RegionId,
    },
    /// A new region's peers are not one for each peer of the region, on the same store and with the
    /// same role.
    #[error("the peers of {id} are not on the stores of the region's own, with their roles")]
    Peers {
        /// The new region.
        id: RegionId,
    },
    /// A new region's description breaks a rule.
    #[error("{fault}")]
    Child {
        /// The rule.
        fault: RegionError,
    },
}

impl Refusal {
    /// Stable code for logs, tools and hosts.
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::StoreUnidentified => "store-unidentified",
            Refusal::StoreMismatch { .. } => "store-mismatch",
            Refusal::NotEmpty { .. } => "store-not-empty",
            Refusal::IdZero { .. } => "id-zero",
            Refusal::InvalidDescription { .. } => "description-invalid",
            Refusal::NotListed { .. } => "peer-not-listed",
            Refusal::RegionNotFound { .. } => "region-not-found",
            Refusal::PeerTombstoned { .. } => "peer-tombstoned",
            Refusal::StalePeer { .. } => "peer-stale",
            Refusal::OlderPeerLives { .. } => "peer-older-lives",
            Refusal::IncarnationGone { .. } => "incarnation-gone",
            Refusal::PeerUninitialized { .. } => "peer-uninitialized",
            Refusal::SnapshotApplying { .. } => "snapshot-applying",
            Refusal::NoSnapshot { .. } => "snapshot-none",
            Refusal::RegionDamaged { .. } => "region-damaged",
            Refusal::EpochStale { .. } => "epoch-stale",
            Refusal::EpochAhead { .. } => "epoch-ahead",
            Refusal::EpochNotNewer { .. } => "epoch-not-newer",
            Refusal::EpochExhausted { .. } => "epoch-exhausted",
            Refusal::KeyOutOfRange { .. } => "key-out-of-range",
            Refusal::InvalidSplit { .. } => "split-invalid",
            Refusal::PeerUnknown { .. } => "peer-unknown",
            Refusal::RoleUnchanged { .. } => "role-unchanged",
            Refusal::InvalidPeerChange { .. } => "peer-change-invalid",
            Refusal::PeerIsWitness { .. } => "peer-is-witness",
            Refusal::WaitingForData { .. } => "waiting-for-data",
            Refusal::WitnessMismatch { .. } => "witness-mismatch",
            Refusal::RegionMerging { .. } => "region-merging",
            Refusal::RegionInFlashback { .. } => "region-in-flashback",
            Refusal::NotInFlashback { .. } => "flashback-none",
            Refusal::InvalidMerge { .. } => "merge-invalid",
            Refusal::NotMerging { .. } => "merge-none",
            Refusal::OtherMerge { .. } => "merge-other",
            Refusal::MergeSourceMismatch { .. } => "merge-source-mismatch",
            Refusal::RegionLives { .. } => "region-lives",
            Refusal::BootstrapConfirmed { .. } => "bootstrap-confirmed",
            Refusal::BootstrapUnconfirmed { .. } => "bootstrap-unconfirmed",
            Refusal::SnapshotOfOther { .. } => "snapshot-other-region",
            Refusal::StaleSnapshot { .. } => "snapshot-stale",
            Refusal::DataBehind { .. } => "data-behind",
            Refusal::RangeOverlap { .. } => "range-overlap",
            Refusal::RangeReserved { .. } => "range-reserved",
            Refusal::RangeBusy { .. } => "range-busy",
            Refusal::FloorMismatch { .. } => "floor-mismatch",
            Refusal::DeletionUnknown { .. } => "deletion-unknown",
            Refusal::DataStoreInUse { .. } => "data-store-in-use",
            Refusal::SnapshotAborted { .. } => "snapshot-aborted",
            Refusal::LoadCancelled { .. } => "load-cancelled",
            Refusal::CacheState { .. } => "cache-state",
            Refusal::Observer(refusal) => refusal.code(),
        }
    }
}
