//! The shapes that records and checkpoint items share, as they lie in bytes, and the way between
//! them and the domain.
//!
//! The order of fields and of variants is the format: append nothing, move nothing; a change is a
//! new payload version.

use std::sync::Arc;

use bincode::{BorrowDecode, Decode, Encode};
use torrens_journal::Lsn;

use super::CodecError;
use super::bytes::List;
use crate::lifecycle::{
    self, DamageReason, DeletionCause, DeletionId, DestroyCause, Floor, MergeSource, Mode,
    RaftPosition, SnapshotRef,
};
use crate::{
    Incarnation, Key, KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, StoreId,
};

/// An enum without facts, mirrored variant by variant.
macro_rules! mirror {
    ($name:ident = $domain:path { $($variant:ident),+ $(,)? }) => {
        #[derive(Clone, Copy, Encode, Decode)]
        pub(super) enum $name {
            $($variant),+
        }

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                match value {
                    $(<$domain>::$variant => $name::$variant),+
                }
            }
        }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => <$domain>::$variant),+
                }
            }
        }
    };
}

mirror!(WireDerive = lifecycle::Derive { Left, Right });
mirror!(
    WireAbort = lifecycle::AbortReason {
        StagedFileLost,
        IngestFailed,
        Operator
    }
);
mirror!(
    WireDrop = lifecycle::DropReason {
        IncarnationGone,
        NotServing,
        RangeChanged
    }
);
mirror!(
    WireEvict = lifecycle::EvictReason {
        Requested,
        MemoryLimit,
        LoadFailed,
        Split,
        Snapshot,
        Destroyed,
        Damaged,
        Restart,
        Cold,
        LeadershipLost,
        Merge,
        DeleteRange,
        Ingest,
        Flashback,
        LabelRemoved,
        Disabled,
        Mismatch,
        Witness,
        SplitBeforeLoad,
    }
);
mirror!(
    WireLoad = lifecycle::LoadReason {
        Hot,
        Label,
        Preload,
        WarmRestart,
        Repair,
    }
);

mirror!(
    WireWant = lifecycle::WantReason {
        Added,
        Created,
        Split,
        Merged,
        Snapshot,
        NotLeader,
        NewTerm,
        Paused,
        Restarted,
        Damaged,
        Stale,
        Failed,
        Rebased,
    }
);
mirror!(
    WireInvalid = lifecycle::InvalidReason {
        Snapshot,
        Bytes,
        Age,
        HistoryLost,
        HistoryDamaged,
        Recovered,
    }
);
mirror!(WireReset = lifecycle::Reset { None, Marker, Scan });

/// The journal's positions start at 1.
pub(super) fn lsn(position: u64) -> Result<Lsn, CodecError> {
    match position {
        0 => Err(CodecError::LsnZero),
        position => Ok(Lsn::new(position)),
    }
}

pub(super) fn incarnation(position: u64) -> Result<Incarnation, CodecError> {
    lsn(position).map(Incarnation::new)
}

pub(super) fn from_incarnation(incarnation: Incarnation) -> u64 {
    incarnation.lsn().get()
}

/// A list may not be longer than `max`.
pub(super) fn bounded(what: &'static str, count: usize, max: usize) -> Result<(), CodecError> {
    if count > max {
        return Err(CodecError::TooMany { what, count, max });
    }
    Ok(())
}

pub(super) fn key(bytes: &[u8]) -> Result<Key, CodecError> {
    bounded("bytes in a key", bytes.len(), Region::KEY_BYTES_MAX)?;
    Ok(Key::from(bytes))
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireRange<'a> {
    start: &'a [u8],
    end: Option<&'a [u8]>,
}

impl<'a> From<&'a KeyRange> for WireRange<'a> {
    fn from(range: &'a KeyRange) -> Self {
        WireRange {
            start: range.start(),
            end: range.end().map(|end| &**end),
        }
    }
}

impl TryFrom<WireRange<'_>> for KeyRange {
    type Error = CodecError;

    fn try_from(wire: WireRange<'_>) -> Result<Self, CodecError> {
        let start = key(wire.start)?;
        let end = wire.end.map(key).transpose()?;
        KeyRange::new(start, end).ok_or(CodecError::EmptyRange)
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WireEpoch {
    conf_ver: u64,
    version: u64,
}

impl From<RegionEpoch> for WireEpoch {
    fn from(epoch: RegionEpoch) -> Self {
        let RegionEpoch { conf_ver, version } = epoch;
        WireEpoch { conf_ver, version }
    }
}

impl From<WireEpoch> for RegionEpoch {
    fn from(wire: WireEpoch) -> Self {
        let WireEpoch { conf_ver, version } = wire;
        RegionEpoch { conf_ver, version }
    }
}

/// Role and witness flag in one choice: a flag of its own would cost every voter a byte.
#[derive(Clone, Copy, Encode, Decode)]
enum WireRole {
    Voter,
    Learner,
    IncomingVoter,
    DemotingVoter,
    WitnessVoter,
    WitnessLearner,
    WitnessIncomingVoter,
    WitnessDemotingVoter,
}

impl WireRole {
    fn of(role: PeerRole, is_witness: bool) -> Self {
        match (role, is_witness) {
            (PeerRole::Voter, false) => WireRole::Voter,
            (PeerRole::Learner, false) => WireRole::Learner,
            (PeerRole::IncomingVoter, false) => WireRole::IncomingVoter,
            (PeerRole::DemotingVoter, false) => WireRole::DemotingVoter,
            (PeerRole::Voter, true) => WireRole::WitnessVoter,
            (PeerRole::Learner, true) => WireRole::WitnessLearner,
            (PeerRole::IncomingVoter, true) => WireRole::WitnessIncomingVoter,
            (PeerRole::DemotingVoter, true) => WireRole::WitnessDemotingVoter,
        }
    }

    fn into_parts(self) -> (PeerRole, bool) {
        match self {
            WireRole::Voter => (PeerRole::Voter, false),
            WireRole::Learner => (PeerRole::Learner, false),
            WireRole::IncomingVoter => (PeerRole::IncomingVoter, false),
            WireRole::DemotingVoter => (PeerRole::DemotingVoter, false),
            WireRole::WitnessVoter => (PeerRole::Voter, true),
            WireRole::WitnessLearner => (PeerRole::Learner, true),
            WireRole::WitnessIncomingVoter => (PeerRole::IncomingVoter, true),
            WireRole::WitnessDemotingVoter => (PeerRole::DemotingVoter, true),
        }
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WirePeer {
    id: u64,
    store: u64,
    role: WireRole,
}

impl From<Peer> for WirePeer {
    fn from(peer: Peer) -> Self {
        WirePeer {
            id: peer.id.0,
            store: peer.store.0,
            role: WireRole::of(peer.role, peer.is_witness),
        }
    }
}

impl From<WirePeer> for Peer {
    fn from(wire: WirePeer) -> Self {
        let (role, is_witness) = wire.role.into_parts();
        Peer {
            id: PeerId(wire.id),
            store: StoreId(wire.store),
            role,
            is_witness,
        }
    }
}

pub(super) fn from_peers(peers: &[Peer]) -> List<WirePeer> {
    List(peers.iter().copied().map(WirePeer::from).collect())
}

pub(super) fn peers(List(wire): List<WirePeer>) -> Result<Vec<Peer>, CodecError> {
    bounded("peers", wire.len(), Region::PEERS_MAX)?;
    Ok(wire.into_iter().map(Peer::from).collect())
}

/// A description without its id, which stands before it.
#[derive(Encode, BorrowDecode)]
pub(super) struct WireRegion<'a> {
    range: WireRange<'a>,
    epoch: WireEpoch,
    peers: List<WirePeer>,
}

impl<'a> From<&'a Region> for WireRegion<'a> {
    fn from(region: &'a Region) -> Self {
        WireRegion {
            range: (&region.range).into(),
            epoch: region.epoch.into(),
            peers: from_peers(&region.peers),
        }
    }
}

impl WireRegion<'_> {
    pub(super) fn into_region(self, id: RegionId) -> Result<Region, CodecError> {
        Ok(Region {
            id,
            range: self.range.try_into()?,
            epoch: self.epoch.into(),
            peers: peers(self.peers)?,
        })
    }

    pub(super) fn into_shared(self, id: RegionId) -> Result<Arc<Region>, CodecError> {
        self.into_region(id).map(Arc::new)
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WirePosition {
    index: u64,
    term: u64,
}

impl From<RaftPosition> for WirePosition {
    fn from(position: RaftPosition) -> Self {
        let RaftPosition { index, term } = position;
        WirePosition { index, term }
    }
}

impl From<WirePosition> for RaftPosition {
    fn from(wire: WirePosition) -> Self {
        let WirePosition { index, term } = wire;
        RaftPosition { index, term }
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WireFloor {
    index: u64,
    barrier: u64,
}

impl From<Floor> for WireFloor {
    fn from(floor: Floor) -> Self {
        let Floor { index, barrier } = floor;
        WireFloor { index, barrier }
    }
}

impl From<WireFloor> for Floor {
    fn from(wire: WireFloor) -> Self {
        let WireFloor { index, barrier } = wire;
        Floor { index, barrier }
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WireSnapshot {
    position: WirePosition,
    id: u64,
    /// Fixed width: checksums do not get shorter as variable-length integers.
    checksum: [u8; 4],
    bytes: u64,
    rows: u64,
}

impl From<SnapshotRef> for WireSnapshot {
    fn from(snapshot: SnapshotRef) -> Self {
        WireSnapshot {
            position: snapshot.position.into(),
            id: snapshot.id,
            checksum: snapshot.checksum.to_le_bytes(),
            bytes: snapshot.bytes,
            rows: snapshot.rows,
        }
    }
}

impl From<WireSnapshot> for SnapshotRef {
    fn from(wire: WireSnapshot) -> Self {
        SnapshotRef {
            position: wire.position.into(),
            id: wire.id,
            checksum: u32::from_le_bytes(wire.checksum),
            bytes: wire.bytes,
            rows: wire.rows,
        }
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) enum WireDamage {
    RowMissing { floor: u64 },
    BelowFloor { have: u64, floor: u64 },
    StoreReplaced,
    StoreOlder { barrier: u64, floor: u64 },
    LogTruncated { first_index: u64, data_index: u64 },
    SnapshotLost { reason: WireAbort },
    MergeSourceLost { source: u64 },
}

impl From<DamageReason> for WireDamage {
    fn from(reason: DamageReason) -> Self {
        use DamageReason as D;
        match reason {
            D::RowMissing { floor } => WireDamage::RowMissing { floor },
            D::BelowFloor { have, floor } => WireDamage::BelowFloor { have, floor },
            D::StoreReplaced => WireDamage::StoreReplaced,
            D::StoreOlder { barrier, floor } => WireDamage::StoreOlder { barrier, floor },
            D::LogTruncated {
                first_index,
                data_index,
            } => WireDamage::LogTruncated {
                first_index,
                data_index,
            },
            D::SnapshotLost { reason } => WireDamage::SnapshotLost {
                reason: reason.into(),
            },
            D::MergeSourceLost { source } => WireDamage::MergeSourceLost { source: source.0 },
        }
    }
}

impl From<WireDamage> for DamageReason {
    fn from(wire: WireDamage) -> Self {
        use DamageReason as D;
        match wire {
            WireDamage::RowMissing { floor } => D::RowMissing { floor },
            WireDamage::BelowFloor { have, floor } => D::BelowFloor { have, floor },
            WireDamage::StoreReplaced => D::StoreReplaced,
            WireDamage::StoreOlder { barrier, floor } => D::StoreOlder { barrier, floor },
            WireDamage::LogTruncated {
                first_index,
                data_index,
            } => D::LogTruncated {
                first_index,
                data_index,
            },
            WireDamage::SnapshotLost { reason } => D::SnapshotLost {
                reason: reason.into(),
            },
            WireDamage::MergeSourceLost { source } => D::MergeSourceLost {
                source: RegionId(source),
            },
        }
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) enum WireDestroy {
    Removed { epoch: WireEpoch },
    LargerPeer { peer: u64 },
    Operator,
    Merged { target: u64 },
}

impl From<DestroyCause> for WireDestroy {
    fn from(cause: DestroyCause) -> Self {
        match cause {
            DestroyCause::Removed { epoch } => WireDestroy::Removed {
                epoch: epoch.into(),
            },
            DestroyCause::LargerPeer { peer } => WireDestroy::LargerPeer { peer: peer.0 },
            DestroyCause::Operator => WireDestroy::Operator,
            DestroyCause::Merged { target } => WireDestroy::Merged { target: target.0 },
        }
    }
}

impl From<WireDestroy> for DestroyCause {
    fn from(wire: WireDestroy) -> Self {
        match wire {
            WireDestroy::Removed { epoch } => DestroyCause::Removed {
                epoch: epoch.into(),
            },
            WireDestroy::LargerPeer { peer } => DestroyCause::LargerPeer { peer: PeerId(peer) },
            WireDestroy::Operator => DestroyCause::Operator,
            WireDestroy::Merged { target } => DestroyCause::Merged {
                target: RegionId(target),
            },
        }
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WireDeletionId {
    lsn: u64,
    ordinal: u32,
}

impl From<DeletionId> for WireDeletionId {
    fn from(id: DeletionId) -> Self {
        WireDeletionId {
            lsn: id.lsn.get(),
            ordinal: id.ordinal,
        }
    }
}

impl TryFrom<WireDeletionId> for DeletionId {
    type Error = CodecError;

    fn try_from(wire: WireDeletionId) -> Result<Self, CodecError> {
        Ok(DeletionId {
            lsn: lsn(wire.lsn)?,
            ordinal: wire.ordinal,
        })
    }
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) enum WireDeletionCause {
    Destroyed { region: u64, incarnation: u64 },
    SplitSkipped { region: u64 },
    SnapshotShrank { region: u64, incarnation: u64 },
    SnapshotAborted { region: u64, incarnation: u64 },
    Witness { region: u64, incarnation: u64 },
}

impl From<DeletionCause> for WireDeletionCause {
    fn from(cause: DeletionCause) -> Self {
        use DeletionCause as D;
        let region = cause.region().0;
        match cause {
            D::SplitSkipped { .. } => WireDeletionCause::SplitSkipped { region },
            D::Destroyed { incarnation, .. } => {
                let incarnation = from_incarnation(incarnation);
                WireDeletionCause::Destroyed {
                    region,
                    incarnation,
                }
            }
            D::SnapshotShrank { incarnation, .. } => {
                let incarnation = from_incarnation(incarnation);
                WireDeletionCause::SnapshotShrank {
                    region,
                    incarnation,
                }
            }
            D::SnapshotAborted { incarnation, .. } => {
                let incarnation = from_incarnation(incarnation);
                WireDeletionCause::SnapshotAborted {
                    region,
                    incarnation,
                }
            }
            D::Witness { incarnation, .. } => {
                let incarnation = from_incarnation(incarnation);
                WireDeletionCause::Witness {
                    region,
                    incarnation,
                }
            }
        }
    }
}

impl TryFrom<WireDeletionCause> for DeletionCause {
    type Error = CodecError;

    fn try_from(wire: WireDeletionCause) -> Result<Self, CodecError> {
        use DeletionCause as D;
        Ok(match wire {
            WireDeletionCause::Destroyed {
                region,
                incarnation: created,
            } => D::Destroyed {
                region: RegionId(region),
                incarnation: incarnation(created)?,
            },
            WireDeletionCause::SplitSkipped { region } => D::SplitSkipped {
                region: RegionId(region),
            },
            WireDeletionCause::SnapshotShrank {
                region,
                incarnation: created,
            } => D::SnapshotShrank {
                region: RegionId(region),
                incarnation: incarnation(created)?,
            },
            WireDeletionCause::SnapshotAborted {
                region,
                incarnation: created,
            } => D::SnapshotAborted {
                region: RegionId(region),
                incarnation: incarnation(created)?,
            },
            WireDeletionCause::Witness {
                region,
                incarnation: created,
            } => D::Witness {
                region: RegionId(region),
                incarnation: incarnation(created)?,
            },
        })
    }
}

/// A mode that is not the ordinary one.
#[derive(Clone, Copy, Encode, Decode)]
pub(super) enum WireMode {
    Merging(WireMerge),
    Flashback,
    Unconfirmed,
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WireMerge {
    target: u64,
    target_epoch: WireEpoch,
    min_index: u64,
    commit: u64,
}

impl From<MergeSource> for WireMerge {
    fn from(source: MergeSource) -> Self {
        WireMerge {
            target: source.target.0,
            target_epoch: source.target_epoch.into(),
            min_index: source.min_index,
            commit: source.commit,
        }
    }
}

impl From<WireMerge> for MergeSource {
    fn from(wire: WireMerge) -> Self {
        MergeSource {
            target: RegionId(wire.target),
            target_epoch: wire.target_epoch.into(),
            min_index: wire.min_index,
            commit: wire.commit,
        }
    }
}

/// `None` is the ordinary mode.
pub(super) fn from_mode(mode: Mode) -> Option<WireMode> {
    match mode {
        Mode::Serving => None,
        Mode::Merging(source) => Some(WireMode::Merging(source.into())),
        Mode::Flashback => Some(WireMode::Flashback),
        Mode::Unconfirmed => Some(WireMode::Unconfirmed),
    }
}

impl From<WireMode> for Mode {
    fn from(wire: WireMode) -> Self {
        match wire {
            WireMode::Merging(source) => Mode::Merging(source.into()),
            WireMode::Flashback => Mode::Flashback,
            WireMode::Unconfirmed => Mode::Unconfirmed,
        }
    }
}
