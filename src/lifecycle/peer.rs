//! The state of one live peer on this store: who it is, and its stage.
//!
//! Not here: what it leaves behind (`tombstone`, `deletion`), its cache (`cache`).

use std::fmt;
use std::sync::Arc;

use torrens_journal::Lsn;

use super::{RaftPosition, Rare, Usual};
use crate::snapshot::{SnapshotName, StagedSnapshot};
use crate::{Incarnation, PeerId, Region, RegionEpoch, RegionId};

/// A live peer: one creation of one replica of a region on this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// Which replica.
    pub peer: PeerId,
    /// Which creation of it.
    pub incarnation: Incarnation,
    /// The creation that this one adopted: a split met a peer that a message had made.
    pub predecessor: Rare<Option<Incarnation>>,
    /// How far it is.
    pub stage: PeerStage,
}

/// How far a live peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerStage {
    /// Made by a message: no description, no range, no data.
    Uninitialized,
    /// Holds its region's data, and serves it unless its [`Mode`] forbids.
    Normal(Normal),
    /// Follows its region and holds no data of it: a witness.
    Witness(Normal),
    /// Was a witness and is none any more: it serves nothing until a snapshot brought the data.
    Waiting(Waiting),
    /// A snapshot apply was begun and has not ended; the data is neither old nor new.
    Applying(Box<Applying>),
    /// Its data cannot be trusted; it waits for a snapshot.
    Damaged(Box<Damaged>),
}

/// A peer that follows its region: it has a description, and all data that belongs to it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal {
    /// The region's description.
    pub region: Arc<Region>,
    /// Last Raft entry that changed the metadata.
    pub meta_index: RaftPosition,
    /// What of the region's data a barrier made durable. A witness has none; its floor stays where
    /// it was.
    pub floor: Floor,
    /// What the region's log has put it into.
    pub mode: Rare<Mode>,
}

/// What a region's log, or the host, has put the region into. Whatever is not `Serving` serves no
/// reads, takes no ordinary writes and no transition but the one that ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing is under way.
    #[default]
    Serving,
    /// The region is about to be merged into another one.
    Merging(MergeSource),
    /// The region is being set back to an earlier version of its data.
    Flashback,
    /// The first region of a cluster that may turn out to exist elsewhere already.
    Unconfirmed,
}

impl Usual for Mode {
    const USUAL: &'static Mode = &Mode::Serving;
}

impl Usual for Option<Incarnation> {
    const USUAL: &'static Option<Incarnation> = &None;
}

/// What the source of a merge remembers between prepare and commit or rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MergeSource {
    /// The region that takes it in.
    pub target: RegionId,
    /// The target's epoch when the merge was prepared.
    pub target_epoch: RegionEpoch,
    /// Entries from this index on must stay in the source's log: the slowest replica needs them.
    pub min_index: u64,
    /// Index of the entry that prepared the merge; names the attempt.
    pub commit: u64,
}

/// A peer that waits for its region's data: it was a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The region's description.
    pub region: Arc<Region>,
    /// The entry that made it hold data: only a snapshot at or above it brings enough.
    pub meta_index: RaftPosition,
}

/// Between the begin and the end of a snapshot apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applying {
    /// The description that the snapshot brings; its range is already the peer's.
    pub region: Arc<Region>,
    /// The staged file.
    pub snapshot: SnapshotRef,
    /// What the peer was before; none if it never had data.
    pub previous: Option<Previous>,
    /// The record that began it.
    pub begun: Lsn,
}

/// What a peer was before a snapshot replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The description that was replaced.
    pub region: Arc<Region>,
    /// Last Raft entry that had changed it.
    pub meta_index: RaftPosition,
}

/// A peer whose data cannot be trusted: it keeps identity, epoch and range, serves no reads, and is
/// healed by a snapshot at or above its floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The region's description.
    pub region: Arc<Region>,
    /// Last Raft entry that changed the metadata.
    pub meta_index: RaftPosition,
    /// What had been durable; a snapshot below its index would lose acknowledged data.
    pub floor: Floor,
    /// Why.
    pub reason: DamageReason,
    /// The merge that it was the source of when it was damaged: a snapshot of the target may take
    /// its place.
    pub merging: Option<MergeSource>,
}

/// An index that a barrier made durable. Never goes down while the incarnation lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Floor {
    /// Every entry up to this index is in the data store, durably.
    pub index: u64,
    /// Number of the barrier that made it so; 0 if none was needed because there was no data yet.
    pub barrier: u64,
}

/// The staged snapshot file that an apply ingests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotRef {
    /// Raft position that the rows are at.
    pub position: RaftPosition,
    /// Tells apart snapshots of one region at one position; part of the file's name.
    pub id: u64,
    /// Checksum of the whole file.
    pub checksum: u32,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
}

impl SnapshotRef {
    /// The reference to a staged file.
    pub fn of(staged: &StagedSnapshot) -> Self {
        SnapshotRef {
            position: RaftPosition {
                index: staged.name.index,
                term: staged.name.term,
            },
            id: staged.name.id,
            checksum: staged.checksum,
            bytes: staged.bytes,
            rows: staged.rows,
        }
    }

    /// The staged file that `region`'s reference names.
    pub fn staged(&self, region: RegionId) -> StagedSnapshot {
        StagedSnapshot {
            name: SnapshotName {
                region,
                index: self.position.index,
                term: self.position.term,
                id: self.id,
            },
            checksum: self.checksum,
            bytes: self.bytes,
            rows: self.rows,
        }
    }
}

/// Why a peer's data cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DamageReason {
    /// The region's row is not in the data store.
    RowMissing {
        /// Index that had been durable.
        floor: u64,
    },
    /// The region's row is at a lower index than a barrier had made durable.
    BelowFloor {
        /// Index in the row.
        have: u64,
        /// Index that had been durable.
        floor: u64,
    },
    /// The data store is another one, or came back empty.
    StoreReplaced,
    /// The data store is an older copy of itself.
    StoreOlder {
        /// Last barrier that the store took part in.
        barrier: u64,
        /// Barrier that the region relies on.
        floor: u64,
    },
    /// The host's log starts above the entry that the data needs next.
    LogTruncated {
        /// First index in the host's log.
        first_index: u64,
        /// Last index in the data store.
        data_index: u64,
    },
    /// A snapshot apply could not be finished.
    SnapshotLost {
        /// What happened to it.
        reason: AbortReason,
    },
    /// The region took in another one whose data is not here, or cannot be trusted.
    MergeSourceLost {
        /// The other one.
        source: RegionId,
    },
}

/// Why a begun snapshot apply cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbortReason {
    /// The staged file is missing, or is no longer what was staged.
    StagedFileLost,
    /// The data store refused the rows.
    IngestFailed,
    /// An operator gave it up.
    Operator,
}

impl AbortReason {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            AbortReason::StagedFileLost => "staged-file-lost",
            AbortReason::IngestFailed => "ingest-failed",
            AbortReason::Operator => "operator",
        }
    }
}

impl DamageReason {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            DamageReason::RowMissing { .. } => "row-missing",
            DamageReason::BelowFloor { .. } => "below-floor",
            DamageReason::StoreReplaced => "store-replaced",
            DamageReason::StoreOlder { .. } => "store-older",
            DamageReason::LogTruncated { .. } => "log-truncated",
            DamageReason::SnapshotLost { .. } => "snapshot-lost",
            DamageReason::MergeSourceLost { .. } => "merge-source-lost",
        }
    }
}

impl fmt::Display for DamageReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageReason::RowMissing { floor } => {
                write!(f, "its row is missing, and index {floor} had been durable")
            }
            DamageReason::BelowFloor { have, floor } => {
                write!(
                    f,
                    "its row is at index {have}, and index {floor} had been durable"
                )
            }
            DamageReason::StoreReplaced => f.write_str("the data store is not the one it was in"),
            DamageReason::StoreOlder { barrier, floor } => write!(
                f,
                "the data store is at barrier {barrier}, older than barrier {floor} that it relies on"
            ),
            DamageReason::LogTruncated {
                first_index,
                data_index,
            } => write!(
                f,
                "the host's log starts at index {first_index}, and the data ends at {data_index}"
            ),
            DamageReason::SnapshotLost { reason } => {
                write!(f, "a snapshot apply was given up ({})", reason.as_str())
            }
            DamageReason::MergeSourceLost { source } => {
                write!(f, "it took in {source}, whose data is not here")
            }
        }
    }
}

impl Mode {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Serving => "serving",
            Mode::Merging(_) => "merging",
            Mode::Flashback => "flashback",
            Mode::Unconfirmed => "unconfirmed",
        }
    }
}

impl PeerStage {
    /// The stage of a peer that follows its region: a witness or not, as the description lists it.
    pub(super) fn following(normal: Normal, peer: PeerId) -> Self {
        let listed = normal.region.peer(peer);
        match listed.is_some_and(|listed| listed.is_witness) {
            true => PeerStage::Witness(normal),
            false => PeerStage::Normal(normal),
        }
    }

    /// What the region's log has put it into; nothing if the peer does not follow it.
    pub fn mode(&self) -> Mode {
        match self {
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => *normal.mode,
            PeerStage::Uninitialized
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => Mode::Serving,
        }
    }

    /// Whether the region's data is here and can be trusted.
    pub const fn holds_data(&self) -> bool {
        match self {
            PeerStage::Normal(_) => true,
            PeerStage::Uninitialized
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => false,
        }
    }

    /// The merge that the peer's region is the source of, as far as the peer knows.
    pub fn merging(&self) -> Option<MergeSource> {
        match self {
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => match *normal.mode {
                Mode::Merging(source) => Some(source),
                Mode::Serving | Mode::Flashback | Mode::Unconfirmed => None,
            },
            PeerStage::Damaged(damaged) => damaged.merging,
            PeerStage::Uninitialized | PeerStage::Applying(_) | PeerStage::Waiting(_) => None,
        }
    }

    /// Stable lower-case name.
    pub const fn name(&self) -> &'static str {
        match self {
            PeerStage::Uninitialized => "uninitialized",
            PeerStage::Normal(_) => "normal",
            PeerStage::Witness(_) => "witness",
            PeerStage::Waiting(_) => "waiting-for-data",
            PeerStage::Applying(_) => "applying",
            PeerStage::Damaged(_) => "damaged",
        }
    }

    /// The region's description; none while uninitialised. Its range is what the peer owns.
    pub fn region(&self) -> Option<&Arc<Region>> {
        match self {
            PeerStage::Uninitialized => None,
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => Some(&normal.region),
            PeerStage::Waiting(waiting) => Some(&waiting.region),
            PeerStage::Applying(applying) => Some(&applying.region),
            PeerStage::Damaged(damaged) => Some(&damaged.region),
        }
    }

    /// As [`PeerStage::region`], to be changed.
    pub(super) fn region_mut(&mut self) -> Option<&mut Arc<Region>> {
        match self {
            PeerStage::Uninitialized => None,
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => Some(&mut normal.region),
            PeerStage::Waiting(waiting) => Some(&mut waiting.region),
            PeerStage::Applying(applying) => Some(&mut applying.region),
            PeerStage::Damaged(damaged) => Some(&mut damaged.region),
        }
    }

    /// Last Raft entry that changed the metadata; the snapshot's while one is applied.
    pub fn meta_index(&self) -> Option<RaftPosition> {
        match self {
            PeerStage::Uninitialized => None,
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => Some(normal.meta_index),
            PeerStage::Waiting(waiting) => Some(waiting.meta_index),
            PeerStage::Applying(applying) => Some(applying.snapshot.position),
            PeerStage::Damaged(damaged) => Some(damaged.meta_index),
        }
    }

    /// The epoch; [`RegionEpoch::NONE`] while uninitialised.
    pub fn epoch(&self) -> RegionEpoch {
        self.region()
            .map_or(RegionEpoch::NONE, |region| region.epoch)
    }
}
