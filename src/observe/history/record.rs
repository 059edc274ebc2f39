//! What the history is made of: the changes of one Raft entry (or a part of them), and lineage, the
//! events after which a region's changes go on elsewhere, or not at all.
//!
//! Not here: their bytes (`codec::history`), where they lie (`journal`), which region has which
//! (`index`).

use std::fmt;

use torrens_journal::Lsn;

use crate::store::{ColumnFamily, Value};
use crate::{Derive, Incarnation, Key, KeyRange, RaftPosition, RegionId};

/// Of which entry of which region a record of changes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryHead {
    /// The region.
    pub region: RegionId,
    /// The creation of its peer on this store that applied the entry.
    pub incarnation: Incarnation,
    /// The region's epoch version when the entry was applied.
    pub version: u64,
    /// The entry.
    pub position: RaftPosition,
    /// The region's data index before the entry: a record whose `previous` is the index of the record
    /// before it has nothing missing in between.
    pub previous: u64,
    /// Wall clock of this store when it applied the entry, in microseconds since 1970. For lag, never
    /// compared between stores.
    pub wall_clock_micros: u64,
}

/// Which part of an entry's changes a record holds. An entry whose changes are larger than one record
/// is kept in several, in order, and counts only when the last is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryPart {
    /// From 0.
    pub number: u32,
    /// Whether no further part follows.
    pub is_last: bool,
}

impl EntryPart {
    /// All of the entry.
    pub const WHOLE: EntryPart = EntryPart {
        number: 0,
        is_last: true,
    };
}

/// One change of one key, or of all keys of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Column family.
    pub cf: ColumnFamily,
    /// What happened.
    pub op: ChangeOp,
}

/// What a [`Change`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOp {
    /// The key has the value.
    Put {
        /// The key.
        key: Key,
        /// Its value now.
        value: Value,
    },
    /// The key is not there any more, if it was.
    Delete {
        /// The key.
        key: Key,
    },
    /// No key of the range is there any more.
    DeleteRange {
        /// The keys.
        range: KeyRange,
    },
}

/// An event after which the changes of a region go on elsewhere, or begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The transition's record in the store's journal.
    pub lsn: Lsn,
    /// The region whose changes it concerns.
    pub region: RegionId,
    /// The creation of its peer that it happened to.
    pub incarnation: Incarnation,
    /// The entry; for what no entry caused, the last entry whose data the store held.
    pub position: RaftPosition,
    /// The last entry whose data the store held, or, behind a snapshot, the snapshot's.
    pub data_index: u64,
    /// What happened.
    pub event: LineageEvent,
    /// Wall clock of this store, in microseconds since 1970.
    pub wall_clock_micros: u64,
}

/// What a [`Lineage`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineageEvent {
    /// The region was split: changes of the keys beyond a boundary go on in the new regions.
    Split {
        /// The version that all parts have now.
        version: u64,
        /// Which part kept the id.
        derive: Derive,
        /// Where the parts meet, in key order; as many as children.
        boundaries: Vec<Key>,
        /// The new regions, in key order.
        children: Vec<LineageChild>,
    },
    /// Another region was taken in: its changes up to its end come before those of this region behind
    /// the entry.
    Merged {
        /// The version that the region has now.
        version: u64,
        /// The region that was taken in.
        source: RegionId,
        /// The creation of its peer that ended.
        source_incarnation: Incarnation,
    },
    /// The region's data was replaced by a snapshot at this position: what changed between the last
    /// entry before and the snapshot is not in the history, deletions least of all.
    SnapshotApplied {
        /// The range that the region has now.
        range: KeyRange,
        /// The region's version now.
        version: u64,
    },
    /// The region's peer on this store is gone.
    Destroyed,
    /// The region's peer on this store ended because a snapshot of another region covers its keys.
    Absorbed {
        /// That region.
        into: RegionId,
    },
    /// The region's peer on this store holds no data any more: it became a witness, or its data
    /// cannot be trusted.
    DataGone,
}

/// One new region of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LineageChild {
    /// Its id.
    pub region: RegionId,
    /// Whether this store has its part: the changes go on here.
    pub is_here: bool,
}

impl LineageEvent {
    /// Stable lower-case name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            LineageEvent::Split { .. } => "split",
            LineageEvent::Merged { .. } => "merged",
            LineageEvent::SnapshotApplied { .. } => "snapshot-applied",
            LineageEvent::Destroyed => "destroyed",
            LineageEvent::Absorbed { .. } => "absorbed",
            LineageEvent::DataGone => "data-gone",
        }
    }

    /// Whether the changes of that creation of the region's peer end with it.
    pub const fn ends(&self) -> bool {
        match self {
            LineageEvent::Split { .. }
            | LineageEvent::Merged { .. }
            | LineageEvent::SnapshotApplied { .. } => false,
            LineageEvent::Destroyed | LineageEvent::Absorbed { .. } | LineageEvent::DataGone => {
                true
            }
        }
    }
}

impl fmt::Display for LineageEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineageEvent::Split { children, .. } => {
                f.write_str("split into")?;
                children
                    .iter()
                    .try_for_each(|child| write!(f, " {}", child.region))
            }
            LineageEvent::Merged { source, .. } => write!(f, "merged {source}"),
            LineageEvent::Absorbed { into } => write!(f, "absorbed into {into}"),
            LineageEvent::SnapshotApplied { .. }
            | LineageEvent::Destroyed
            | LineageEvent::DataGone => f.write_str(self.as_str()),
        }
    }
}

/// A record of the history without its changes: all that the index needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryRecord {
    /// Changes of one entry.
    Changes {
        /// Of which.
        head: EntryHead,
        /// Which of them.
        part: EntryPart,
    },
    /// A lineage event.
    Lineage(Lineage),
}

impl HistoryRecord {
    /// When this store wrote it, in microseconds since 1970.
    pub const fn wall_clock_micros(&self) -> u64 {
        match self {
            HistoryRecord::Changes { head, .. } => head.wall_clock_micros,
            HistoryRecord::Lineage(lineage) => lineage.wall_clock_micros,
        }
    }

    /// The region that it is about.
    pub const fn region(&self) -> RegionId {
        match self {
            HistoryRecord::Changes { head, .. } => head.region,
            HistoryRecord::Lineage(lineage) => lineage.region,
        }
    }
}
