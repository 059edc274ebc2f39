//! What callers see of a region's peer: the durable state, as plain values.

use std::sync::Arc;

use crate::lifecycle::{CacheState, Mode, Register};
use crate::{Incarnation, PeerId, RaftPosition, Region, RegionId};

/// The durable state of one region's peer on this store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionStatus {
    /// Which region.
    pub id: RegionId,
    /// Which replica of it.
    pub peer: PeerId,
    /// Which creation of that replica.
    pub incarnation: Incarnation,
    /// Stable lower-case name of the peer's stage: `uninitialized`, `normal`, `witness`,
    /// `waiting-for-data`, `applying` or `damaged`.
    pub stage: &'static str,
    /// What the region's log has put it into: `serving` unless something is under way.
    pub mode: Mode,
    /// The region's description; none while the peer is uninitialised.
    pub region: Option<Arc<Region>>,
    /// Last Raft position that changed the metadata; none while the peer is uninitialised.
    pub meta: Option<RaftPosition>,
    /// What the cache of the region is doing.
    pub cache: CacheState,
}

/// What a host needs to start a region's Raft node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RaftStart {
    /// The peer's state.
    pub status: RegionStatus,
    /// The incarnation that this one adopted, whose hard state the host carries over.
    pub predecessor: Option<Incarnation>,
    /// Last entry whose data is in the store: the host sends every entry above it again.
    pub data: RaftPosition,
    /// Highest index up to which the host may compact its log.
    pub truncate_floor: u64,
    /// Whether the peer's data is lost: it serves no reads and must ask for a snapshot.
    pub damaged: bool,
    /// Whether the peer must ask for a snapshot and take no entries before it came: its data is
    /// lost, or it was a witness and never had any.
    pub needs_snapshot: bool,
}

pub(super) fn of(register: &Register, id: RegionId) -> Option<RegionStatus> {
    let peer = register.peer(id)?;
    Some(RegionStatus {
        id,
        peer: peer.peer,
        incarnation: peer.incarnation,
        stage: peer.stage.name(),
        mode: peer.stage.mode(),
        region: peer.stage.region().cloned(),
        meta: peer.stage.meta_index(),
        cache: register.cache_state(id),
    })
}

pub(super) fn all(register: &Register) -> Vec<RegionStatus> {
    register
        .region_ids()
        .filter_map(|id| of(register, id))
        .collect()
}
