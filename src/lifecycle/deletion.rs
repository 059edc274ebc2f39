//! Ranges of keys that nobody serves and whose data is still to be cleared.
//!
//! A pending deletion owns its range until the clearing is durable, so that nothing can move in
//! before (except where it clears what a witness must not hold: the witness owns the keys then).
//! Not here: the clearing itself (`engine`).

use std::fmt;

use torrens_journal::Lsn;

use crate::{Incarnation, KeyRange, RegionId};

/// Names a pending deletion: the record that began it, and its place among those of that record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeletionId {
    /// The record that began it.
    pub lsn: Lsn,
    /// Its place among the deletions of that record, in key order, from 0.
    pub ordinal: u32,
}

impl fmt::Display for DeletionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}.{}", self.lsn, self.ordinal)
    }
}

/// A range whose keys are to be cleared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PendingDeletion {
    /// The keys.
    pub range: KeyRange,
    /// Who left them.
    pub cause: DeletionCause,
}

/// Who left a range of keys that nobody serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeletionCause {
    /// A peer that was destroyed, or removed by its own region.
    Destroyed {
        /// Its region.
        region: RegionId,
        /// Which creation of it.
        incarnation: Incarnation,
    },
    /// A new region of a split that this store may not have.
    SplitSkipped {
        /// The new region.
        region: RegionId,
    },
    /// A peer whose snapshot covers less than it had.
    SnapshotShrank {
        /// Its region.
        region: RegionId,
        /// Which creation of it.
        incarnation: Incarnation,
    },
    /// A peer that became a witness. Its keys stay its own: this clears them on its behalf, and
    /// nothing may be ingested over them before.
    Witness {
        /// Its region.
        region: RegionId,
        /// Which creation of it.
        incarnation: Incarnation,
    },
    /// A peer without data whose first snapshot could not be finished.
    SnapshotAborted {
        /// Its region.
        region: RegionId,
        /// Which creation of it.
        incarnation: Incarnation,
    },
}

impl DeletionCause {
    /// The region that left the keys.
    pub const fn region(self) -> RegionId {
        match self {
            DeletionCause::Destroyed { region, .. }
            | DeletionCause::SplitSkipped { region }
            | DeletionCause::SnapshotShrank { region, .. }
            | DeletionCause::Witness { region, .. }
            | DeletionCause::SnapshotAborted { region, .. } => region,
        }
    }

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeletionCause::Destroyed { .. } => "destroyed",
            DeletionCause::SplitSkipped { .. } => "split-skipped",
            DeletionCause::SnapshotShrank { .. } => "snapshot-shrank",
            DeletionCause::SnapshotAborted { .. } => "snapshot-aborted",
            DeletionCause::Witness { .. } => "witness",
        }
    }

    /// Whether the keys belong to nobody but the deletion.
    pub const fn owns_range(self) -> bool {
        match self {
            DeletionCause::Destroyed { .. }
            | DeletionCause::SplitSkipped { .. }
            | DeletionCause::SnapshotShrank { .. }
            | DeletionCause::SnapshotAborted { .. } => true,
            DeletionCause::Witness { .. } => false,
        }
    }
}
