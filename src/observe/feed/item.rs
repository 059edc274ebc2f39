//! The items of a subscription.
//!
//! Not here: how they come about.

use crate::lifecycle::{InvalidReason, WantReason};
use crate::observe::{Change, Generation, LineageEvent, Position};
use crate::store::{ColumnFamily, Value};
use crate::{Key, KeyRange, RaftPosition, RegionId};

/// One thing that a consumer is told. Items of one region come in the order of its log; everything of a
/// region before a split comes before what its parts have, and everything of a region that was taken in
/// before what the whole has from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedItem {
    /// From now on the region is delivered under this generation, behind this index.
    Attached {
        /// The region.
        region: RegionId,
        /// What names the attachment in acknowledgements.
        generation: Generation,
        /// The first item is behind this index.
        after: u64,
    },
    /// What the consumer knows of the range may be wrong in any way, deletions that it was never told of
    /// included. With `is_scanned` every row that there is follows, as of `index`; without, only what
    /// changes from then on.
    Reset {
        /// The region.
        region: RegionId,
        /// The attachment.
        generation: Generation,
        /// The keys.
        range: KeyRange,
        /// What follows is behind this index, or, if scanned, the rows are of it.
        index: u64,
        /// Whether rows follow.
        is_scanned: bool,
    },
    /// Some rows of a scan.
    Rows {
        /// The region.
        region: RegionId,
        /// The attachment.
        generation: Generation,
        /// The entry that the rows are of.
        index: u64,
        /// The rows, in the order of families and keys.
        rows: Vec<FeedRow>,
        /// Whether these were the last.
        is_last: bool,
    },
    /// Changes of one entry, or a part of them.
    Entry(FeedEntry),
    /// A lineage event at its place between the entries.
    Event(FeedEvent),
    /// Everything of the region up to this index was delivered.
    Progress {
        /// The region.
        region: RegionId,
        /// The attachment.
        generation: Generation,
        /// The index.
        index: u64,
    },
    /// Nothing more comes under this generation.
    Detached {
        /// The region.
        region: RegionId,
        /// The attachment.
        generation: Generation,
        /// Why the region waits; none if it ended here, or is not the observer's any more.
        reason: Option<WantReason>,
        /// The last index that was delivered.
        index: u64,
    },
    /// A snapshot replaced the region's data, or that of the region which it was a part of. What lies between what
    /// was told and the snapshot was not applied here entry by entry, deletions least of all, so a scan
    /// ([`Rebase::Scan`](crate::Rebase::Scan)) is what brings a consumer there; nothing of the region comes before it
    /// chose. What comes to whoever had all of it already is an [`Event`](FeedItem::Event).
    SnapshotApplied {
        /// The region.
        region: RegionId,
        /// The attachment.
        generation: Generation,
        /// First index that was not told.
        first_untold: u64,
        /// The entry that the snapshot is of: everything behind it is told as ever.
        index: u64,
    },
    /// Changes are lost. Nothing of the region comes before the consumer chose where to go on.
    Invalidated {
        /// The region.
        region: RegionId,
        /// The attachment.
        generation: Generation,
        /// Why.
        reason: InvalidReason,
        /// First index whose changes may be lost.
        first_lost: u64,
        /// First index from which on changes are there again.
        first_available: u64,
    },
}

/// Changes of one Raft entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// The region.
    pub region: RegionId,
    /// The attachment.
    pub generation: Generation,
    /// The region's epoch version when the entry was applied.
    pub version: u64,
    /// The entry.
    pub position: RaftPosition,
    /// The changes that the observer wants, in the order in which they take effect.
    pub changes: Vec<FeedChange>,
    /// Whether the entry has no further changes: all changes of one entry are acknowledged together.
    pub is_last: bool,
    /// Whether a crash could still take the entry from this store; it comes again then, the same.
    pub is_early: bool,
    /// When this store applied it, in microseconds since 1970.
    pub wall_clock_micros: u64,
}

/// One change and its place in the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// Its place, from 0, with those counted that the observer does not want.
    pub sub: u32,
    /// What happened.
    pub change: Change,
}

impl FeedEntry {
    /// What identifies a change of the entry, on every store.
    pub fn position_of(&self, change: &FeedChange) -> Position {
        Position {
            region: self.region,
            index: self.position.index,
            sub: change.sub,
        }
    }
}

/// A lineage event of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// The region.
    pub region: RegionId,
    /// The attachment.
    pub generation: Generation,
    /// The entry, or the last one before.
    pub position: RaftPosition,
    /// What happened.
    pub event: LineageEvent,
}

/// One row of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Column family.
    pub cf: ColumnFamily,
    /// Key.
    pub key: Key,
    /// Value.
    pub value: Value,
}

impl FeedItem {
    /// The region that it is about.
    pub const fn region(&self) -> RegionId {
        match self {
            FeedItem::Entry(entry) => entry.region,
            FeedItem::Event(event) => event.region,
            FeedItem::Attached { region, .. }
            | FeedItem::Reset { region, .. }
            | FeedItem::Rows { region, .. }
            | FeedItem::Progress { region, .. }
            | FeedItem::Detached { region, .. }
            | FeedItem::SnapshotApplied { region, .. }
            | FeedItem::Invalidated { region, .. } => *region,
        }
    }

    /// The attachment that it belongs to.
    pub const fn generation(&self) -> Generation {
        match self {
            FeedItem::Entry(entry) => entry.generation,
            FeedItem::Event(event) => event.generation,
            FeedItem::Attached { generation, .. }
            | FeedItem::Reset { generation, .. }
            | FeedItem::Rows { generation, .. }
            | FeedItem::Progress { generation, .. }
            | FeedItem::Detached { generation, .. }
            | FeedItem::SnapshotApplied { generation, .. }
            | FeedItem::Invalidated { generation, .. } => *generation,
        }
    }

    /// What may be acknowledged once the consumer has dealt with the item and all before it; none if the
    /// item moves nothing.
    pub const fn acknowledges(&self) -> Option<u64> {
        match self {
            FeedItem::Entry(entry) if entry.is_last && !entry.is_early => {
                Some(entry.position.index)
            }
            FeedItem::Event(event) => Some(event.position.index),
            FeedItem::Progress { index, .. }
            | FeedItem::Reset {
                index,
                is_scanned: false,
                ..
            }
            | FeedItem::Rows {
                index,
                is_last: true,
                ..
            } => Some(*index),
            FeedItem::Entry(_)
            | FeedItem::Rows { .. }
            | FeedItem::Attached { .. }
            | FeedItem::Reset { .. }
            | FeedItem::Detached { .. }
            | FeedItem::SnapshotApplied { .. }
            | FeedItem::Invalidated { .. } => None,
        }
    }
}
