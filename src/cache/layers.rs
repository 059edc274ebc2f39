//! `Layers`: all that a region has in memory at one moment, never changed once it is published.
//!
//! ```text
//! recent runs     what was written since the last merge began, newest last
//! frozen runs     what a merge is packing
//! bases           the packed rest, one for each column family that has any
//! ```
//!
//! A reader takes one `Layers` and reads from it alone, however long; writers and merges publish
//! new ones that share what did not change.

use std::sync::Arc;

use super::base::Base;
use super::run::{KeyHash, Run};
use super::scan::Scan;
use crate::store::{ColumnFamily, Direction};
use crate::{KeyRange, Sequence};

/// Packed versions of every column family that has any, in the order of their numbers.
pub(super) type Families = Box<[(ColumnFamily, Base)]>;

/// Written bytes that are always worth a merge, whatever the size of the base.
const MERGE_BYTES_MIN: u64 = 256 * 1024;
/// A merge is due when what was written takes that part of the base's bytes.
const MERGE_PART: u64 = 8;

/// What is served from a region's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    pub(super) families: Arc<Families>,
    pub(super) frozen: Arc<[Arc<Run>]>,
    pub(super) recent: Vec<Arc<Run>>,
    pub(super) stage: Stage,
    /// Bytes of the packed versions inside the range, from when they were packed.
    pub(super) packed_bytes: u64,
}

/// How far a region's memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Takes writes; serves nothing.
    #[default]
    Loading,
    /// Serves reads at or above the floor.
    Ready {
        /// The oldest sequence that can be read.
        floor: Sequence,
    },
    /// Takes and serves nothing any more.
    Gone,
}

impl Layers {
    /// The newest value of a key at or below `sequence`.
    #[inline]
    pub(super) fn get(&self, cf: ColumnFamily, key: &[u8], sequence: Sequence) -> Option<&[u8]> {
        if !(self.recent.is_empty() && self.frozen.is_empty()) {
            let hash = KeyHash::of(cf, key);
            let newest_first = self.recent.iter().rev().chain(self.frozen.iter().rev());
            for run in newest_first {
                if let Some(found) = run.get(hash, cf, key, sequence) {
                    return found.value();
                }
            }
        }
        self.base(cf)?.get(key, sequence)?.1
    }

    /// The keys of a range with their newest value at or below `sequence`.
    pub(super) fn scan(
        &self,
        cf: ColumnFamily,
        range: &KeyRange,
        sequence: Sequence,
        direction: Direction,
    ) -> Scan<'_> {
        let runs = self.recent.iter().rev().chain(self.frozen.iter().rev());
        let runs = runs.map(|run| run.within(cf, range));
        Scan::new(self.base(cf), range, runs, sequence, direction)
    }

    /// The packed versions of a column family.
    #[inline]
    pub(super) fn base(&self, cf: ColumnFamily) -> Option<&Base> {
        self.families
            .iter()
            .find_map(|(found, base)| (*found == cf).then_some(base))
    }

    /// Every run, oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.frozen.iter().chain(&self.recent)
    }

    /// Bytes of what lies in `range`; a segment on its edge counts by its keys' share, a run whole.
    pub(super) fn bytes(&self, range: &KeyRange) -> u64 {
        let packed = self.within(range).map(|(segment, keys)| {
            let share = u128::from(segment.bytes()) * keys as u128 / segment.keys() as u128;
            u64::try_from(share).unwrap_or(u64::MAX)
        });
        packed.sum::<u64>() + self.runs().map(|run| run.bytes()).sum::<u64>()
    }

    /// Versions of what lies in `range`, as [`bytes`](Self::bytes) counts.
    pub(super) fn versions(&self, range: &KeyRange) -> usize {
        let packed = self.within(range).map(|(segment, keys)| {
            // Whole segments are exact; one on the edge has about its keys' share.
            match keys == segment.keys() {
                true => segment.versions(),
                false => keys,
            }
        });
        let written = self.runs().flat_map(|run| run.entries());
        packed.sum::<usize>() + written.filter(|entry| range.contains(&entry.key)).count()
    }

    fn within(
        &self,
        range: &KeyRange,
    ) -> impl Iterator<Item = (&Arc<super::segment::Segment>, usize)> {
        self.families
            .iter()
            .flat_map(move |(_, base)| base.within(range))
    }

    /// Whether enough was written since the last merge for another to be worth its work.
    pub(super) fn is_merge_due(&self) -> bool {
        let written: u64 = self.runs().map(|run| run.bytes()).sum();
        let is_ready = matches!(self.stage, Stage::Ready { .. });
        is_ready && written >= MERGE_BYTES_MIN.max(self.packed_bytes / MERGE_PART)
    }

    /// Whether a packed key lies outside `range`, which a merge would let go.
    pub(super) fn has_foreign(&self, range: &KeyRange) -> bool {
        self.families.iter().any(|(_, base)| {
            let within: usize = base.within(range).map(|(_, keys)| keys).sum();
            let all: usize = base.segments().iter().map(|segment| segment.keys()).sum();
            within < all
        })
    }

    /// Whether a rise of the floor lets a packed version go.
    pub(super) fn is_collectable(&self) -> bool {
        self.families.iter().any(|(_, base)| {
            base.segments()
                .iter()
                .any(|segment| segment.is_collectable())
        })
    }
}

/// Bytes of packed versions.
pub(super) fn packed_bytes(families: &Families) -> u64 {
    let segments = families.iter().flat_map(|(_, base)| base.segments());
    segments.map(|segment| segment.bytes()).sum()
}
