//! What the engine knows of each region's row in the data store: the highest index whose batch is
//! in, the sequence number that reads use, and which barrier will have made it durable.
//!
//! The row itself lies in the store, written together with the data; this is its picture in
//! memory, brought up to date right after the store accepted the batch. The journal's metadata has
//! its own index; the two are never mixed.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::lifecycle::{FloorUpdate, INITIAL_POSITION};
use crate::{Incarnation, RaftPosition, RegionId, Sequence};

/// One region's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Whose data it is; a row of another incarnation counts as missing.
    pub(super) incarnation: Incarnation,
    /// Highest index whose batch the store holds.
    pub(super) data: RaftPosition,
    /// Every version of this region at or below this sequence number is complete.
    pub(super) sequence: Sequence,
    /// Reads below it would miss what a snapshot brought; zero if none did since opening.
    pub(super) oldest: Sequence,
    /// Number of the barrier that makes it durable; 0 if nothing was written since opening.
    pub(super) barrier: u64,
}

/// The rows of all regions, and the number that the next barrier will have.
#[derive(Debug)]
pub(super) struct Rows {
    state: Mutex<State>,
    /// Regions whose data was behind their metadata at opening, with the metadata's index, until the
    /// host has sent its log again up to there. Never grows after opening.
    behind: Mutex<HashMap<RegionId, (Incarnation, u64)>>,
    /// Spares everybody the lock once there is none.
    is_any_behind: AtomicBool,
}

#[derive(Debug)]
struct State {
    by_region: HashMap<RegionId, Row>,
    /// Regions whose row names the next barrier.
    dirty: BTreeSet<RegionId>,
    /// Regions whose peer went since the last barrier.
    gone: BTreeSet<RegionId>,
    next_barrier: u64,
}

impl State {
    fn note(
        &mut self,
        region: RegionId,
        incarnation: Incarnation,
        data: RaftPosition,
        (oldest, sequence): (Sequence, Sequence),
    ) {
        let row = Row {
            incarnation,
            data,
            sequence,
            oldest,
            barrier: self.next_barrier,
        };
        self.by_region.insert(region, row);
        self.dirty.insert(region);
    }
}

impl Rows {
    /// No rows; the first barrier to start will be `next_barrier`.
    pub(super) fn new(next_barrier: u64) -> Self {
        let (by_region, dirty, gone) = Default::default();
        Rows {
            state: Mutex::new(State {
                by_region,
                dirty,
                gone,
                next_barrier,
            }),
            behind: Mutex::default(),
            is_any_behind: AtomicBool::new(false),
        }
    }

    /// The row of this incarnation, if one is known.
    pub(super) fn get(&self, region: RegionId, incarnation: Incarnation) -> Option<Row> {
        let state = self.state.lock();
        state
            .by_region
            .get(&region)
            .filter(|row| row.incarnation == incarnation)
            .copied()
    }

    /// Notes a row that was read from the store: nothing of it waits for a barrier.
    pub(super) fn note_clean(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        data: RaftPosition,
        sequence: Sequence,
    ) {
        let row = Row {
            incarnation,
            data,
            sequence,
            oldest: Sequence::ZERO,
            barrier: 0,
        };
        self.state.lock().by_region.insert(region, row);
    }

    /// Notes at opening that the entries of a region between its data and `meta_index` are missing.
    pub(super) fn note_behind(&self, region: RegionId, incarnation: Incarnation, meta_index: u64) {
        self.behind.lock().insert(region, (incarnation, meta_index));
        self.is_any_behind.store(true, Ordering::Release);
    }

    /// Notes that the host sent an entry of the region that took effect, now or earlier. It sends a
    /// region's log in its order, so one at or above the metadata's index of opening comes after
    /// everything that was missing.
    pub(super) fn note_sent(&self, region: RegionId, index: u64) {
        if !self.is_any_behind.load(Ordering::Acquire) {
            return;
        }
        let mut behind = self.behind.lock();
        if behind
            .get(&region)
            .is_some_and(|(_, needed)| *needed <= index)
        {
            behind.remove(&region);
        }
        self.is_any_behind
            .store(!behind.is_empty(), Ordering::Release);
    }

    /// The index up to which the host has to send its log again before the region's rows are those of
    /// one index; `None` if they are.
    pub(super) fn missing_up_to(&self, region: RegionId, incarnation: Incarnation) -> Option<u64> {
        let behind = self.behind.lock();
        let (of, needed) = behind.get(&region)?;
        (*of == incarnation).then_some(*needed)
    }

    /// Notes a new region of a split, which can be read from where the whole could. Nothing of it
    /// waits for a barrier.
    pub(super) fn note_part(
        &self,
        (whole, whole_incarnation): (RegionId, Incarnation),
        (part, incarnation): (RegionId, Incarnation),
        sequence: Sequence,
    ) {
        let oldest = self.get(whole, whole_incarnation);
        let row = Row {
            incarnation,
            data: INITIAL_POSITION,
            sequence,
            oldest: oldest.map_or(Sequence::ZERO, |row| row.oldest),
            barrier: 0,
        };
        self.state.lock().by_region.insert(part, row);
    }

    /// Notes that the store accepted a batch; call it after the store did, under the latch.
    pub(super) fn note_written(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        data: RaftPosition,
        sequence: Sequence,
    ) {
        let mut state = self.state.lock();
        let before = state.by_region.get(&region);
        let oldest = before
            .filter(|row| row.incarnation == incarnation)
            .map_or(Sequence::ZERO, |row| row.oldest);
        state.note(region, incarnation, data, (oldest, sequence));
        drop(state);
        self.note_sent(region, data.index);
    }

    /// Notes that a snapshot replaced the region's data; as [`note_written`](Self::note_written).
    pub(super) fn note_ingested(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        data: RaftPosition,
        sequence: Sequence,
    ) {
        let mut state = self.state.lock();
        state.note(region, incarnation, data, (sequence, sequence));
        drop(state);
        self.note_sent(region, data.index);
    }

    /// Starts a barrier: its number, and the rows that it will make durable. Rows beyond what one
    /// barrier can record fall to the next.
    pub(super) fn start_barrier(&self) -> (u64, Vec<(RegionId, Row)>) {
        let mut state = self.state.lock();
        let number = state.next_barrier;
        state.next_barrier += 1;
        let next = state.next_barrier;
        let mut dirty = std::mem::take(&mut state.dirty);
        if let Some(first_left) = dirty.iter().nth(FloorUpdate::PER_BARRIER_MAX).copied() {
            state.dirty = dirty.split_off(&first_left);
            let State {
                dirty, by_region, ..
            } = &mut *state;
            for region in dirty.iter() {
                if let Some(row) = by_region.get_mut(region) {
                    row.barrier = next;
                }
            }
        }
        let row_of = |region: &RegionId| state.by_region.get(region).copied();
        (
            number,
            dirty
                .iter()
                .filter_map(|region| Some((*region, row_of(region)?)))
                .collect(),
        )
    }

    /// The rows that the next barrier will make durable, as they are now.
    pub(super) fn dirty(&self) -> Vec<(RegionId, Row)> {
        let state = self.state.lock();
        let rows = state.dirty.iter();
        let rows = rows.filter_map(|region| Some((*region, *state.by_region.get(region)?)));
        rows.collect()
    }

    /// The regions whose peer went since the last call, and that have no other one with data.
    pub(super) fn take_gone(&self) -> Vec<RegionId> {
        let state = &mut *self.state.lock();
        let gone = std::mem::take(&mut state.gone);
        let is_gone = |region: &RegionId| !state.by_region.contains_key(region);
        gone.into_iter().filter(is_gone).collect()
    }

    /// Puts the rows of a barrier that did not come about under the next one.
    pub(super) fn barrier_failed(&self, number: u64, covered: &[(RegionId, Row)]) {
        let state = &mut *self.state.lock();
        for (region, _) in covered {
            if let Some(row) = state
                .by_region
                .get_mut(region)
                .filter(|row| row.barrier == number)
            {
                row.barrier = state.next_barrier;
                state.dirty.insert(*region);
            }
        }
    }

    /// The number that the next barrier will have.
    pub(super) fn next_barrier(&self) -> u64 {
        self.state.lock().next_barrier
    }

    /// Whether the next barrier has anything to make durable.
    pub(super) fn is_dirty(&self) -> bool {
        !self.state.lock().dirty.is_empty()
    }

    /// Forgets the row of a peer that is gone; a split may have made a successor meanwhile, whose
    /// row stays.
    pub(super) fn forget(&self, region: RegionId, incarnation: Incarnation) {
        let mut state = self.state.lock();
        let known = state.by_region.get(&region);
        if known.is_some_and(|row| row.incarnation == incarnation) {
            state.by_region.remove(&region);
            self.behind.lock().remove(&region);
            state.dirty.remove(&region);
            state.gone.insert(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use torrens_journal::Lsn;

    use super::*;

    const REGION: RegionId = RegionId(1);
    const FIRST: Incarnation = Incarnation::new(Lsn::new(4));

    fn at(index: u64) -> RaftPosition {
        RaftPosition { index, term: 6 }
    }

    #[test]
    fn a_barrier_covers_what_was_written_before_it_started_and_nothing_later() {
        let rows = Rows::new(3);
        assert!(!rows.is_dirty());
        rows.note_written(REGION, FIRST, at(6), Sequence::new(10));
        let (number, covered) = rows.start_barrier();
        assert_eq!((number, covered.len()), (3, 1));
        rows.note_written(REGION, FIRST, at(7), Sequence::new(11));
        assert_eq!(rows.get(REGION, FIRST).unwrap().barrier, 4);
        rows.barrier_failed(3, &covered);
        assert_eq!(
            rows.start_barrier().1,
            vec![(
                REGION,
                Row {
                    incarnation: FIRST,
                    data: at(7),
                    sequence: Sequence::new(11),
                    oldest: Sequence::ZERO,
                    barrier: 4
                }
            )]
        );
    }

    #[test]
    fn what_is_missing_after_opening_is_there_when_the_log_reached_the_metadata_again() {
        let second = Incarnation::new(Lsn::new(9));
        let behind = || {
            let rows = Rows::new(1);
            rows.note_clean(REGION, FIRST, at(6), Sequence::ZERO);
            rows.note_behind(REGION, FIRST, 9);
            assert_eq!(rows.missing_up_to(REGION, FIRST), Some(9));
            assert_eq!(rows.missing_up_to(REGION, second), None);
            rows.note_written(REGION, FIRST, at(8), Sequence::new(2));
            rows.note_sent(REGION, 8);
            rows.note_sent(RegionId(2), 9);
            assert_eq!(rows.missing_up_to(REGION, FIRST), Some(9));
            rows
        };
        let rows = behind();
        rows.note_sent(REGION, 9);
        assert_eq!(rows.missing_up_to(REGION, FIRST), None);
        let rows = behind();
        rows.note_written(REGION, FIRST, at(10), Sequence::new(3));
        assert_eq!(rows.missing_up_to(REGION, FIRST), None);
        let rows = behind();
        rows.note_ingested(REGION, FIRST, at(12), Sequence::new(3));
        assert_eq!(rows.missing_up_to(REGION, FIRST), None);
        let rows = behind();
        rows.forget(REGION, FIRST);
        rows.note_clean(REGION, FIRST, at(6), Sequence::ZERO);
        assert_eq!(rows.missing_up_to(REGION, FIRST), None);
    }

    #[test]
    fn rows_beyond_what_a_barrier_records_fall_to_the_next() {
        let rows = Rows::new(1);
        let regions = FloorUpdate::PER_BARRIER_MAX as u64 + 1;
        for region in 1..=regions {
            rows.note_written(RegionId(region), FIRST, at(6), Sequence::new(region));
        }
        let (_, covered) = rows.start_barrier();
        assert_eq!(covered.len() as u64, regions - 1);
        let (number, covered) = rows.start_barrier();
        assert_eq!(covered.len(), 1);
        let left = rows.get(RegionId(regions), FIRST).unwrap();
        assert_eq!(left.barrier, number);
    }

    #[test]
    fn rows_of_a_failed_barrier_fall_to_the_next() {
        let rows = Rows::new(1);
        rows.note_written(REGION, FIRST, at(6), Sequence::new(10));
        let (number, covered) = rows.start_barrier();
        assert!(!rows.is_dirty());
        rows.barrier_failed(number, &covered);
        assert!(rows.is_dirty());
    }

    #[test]
    fn a_row_of_another_incarnation_counts_as_missing() {
        let rows = Rows::new(1);
        rows.note_written(REGION, FIRST, at(6), Sequence::new(10));
        let second = Incarnation::new(Lsn::new(9));
        assert_eq!(rows.get(REGION, second), None);
        rows.forget(REGION, second);
        assert!(rows.get(REGION, FIRST).is_some());
        rows.forget(REGION, FIRST);
        assert!(!rows.is_dirty());
        assert_eq!(rows.get(REGION, FIRST), None);
    }
}
