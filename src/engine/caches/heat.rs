//! `Heat`: how much is read of each region, cached or not.
//!
//! Views count for themselves and add their counts when they end, so reading many rows costs no
//! shared counter.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::RegionId;
use crate::cache::policy::average;

/// Reads of one region since the store was opened.
#[derive(Debug, Default)]
pub(in crate::engine) struct Heat {
    reads: AtomicU64,
    from_memory: AtomicU64,
}

impl Heat {
    /// Adds the gets and rows of a view.
    pub(in crate::engine) fn add(&self, reads: u64, from_memory: bool) {
        self.reads.fetch_add(reads, Ordering::Relaxed);
        if from_memory {
            self.from_memory.fetch_add(reads, Ordering::Relaxed);
        }
    }

    /// Gets and rows, and how many of them memory answered.
    pub(super) fn reads(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.reads), load(&self.from_memory))
    }
}

/// The heat of every region that was read.
#[derive(Debug, Default)]
pub(super) struct Heats {
    by_region: Mutex<HashMap<RegionId, Measured>>,
}

#[derive(Debug, Default)]
struct Measured {
    heat: Arc<Heat>,
    /// Reads up to the last round.
    seen: u64,
    /// Reads per round.
    average: u64,
}

impl Heats {
    pub(super) fn of(&self, region: RegionId) -> Arc<Heat> {
        let mut by_region = self.by_region.lock();
        Arc::clone(&by_region.entry(region).or_default().heat)
    }

    /// What is known of a region: its heat so far, and the average of its rounds.
    pub(super) fn known(&self, region: RegionId) -> (u64, u64, u64) {
        let by_region = self.by_region.lock();
        by_region.get(&region).map_or((0, 0, 0), |measured| {
            let (reads, from_memory) = measured.heat.reads();
            (reads, from_memory, measured.average)
        })
    }

    /// Ends a round: averages move; regions that are gone, or not read any more, are forgotten.
    pub(super) fn end_round(&self, is_live: impl Fn(RegionId) -> bool) {
        self.by_region.lock().retain(|region, measured| {
            let (reads, _) = measured.heat.reads();
            measured.average = average(measured.average, reads - measured.seen);
            measured.seen = reads;
            let held = Arc::strong_count(&measured.heat) > 1;
            held || (is_live(*region) && measured.average > 0)
        });
    }

    /// Lets the parts of a split start with their share of what the whole was read.
    pub(super) fn split(&self, whole: RegionId, parts: &[RegionId]) {
        let mut by_region = self.by_region.lock();
        let Some(before) = by_region.get_mut(&whole) else {
            return;
        };
        let share = before.average / (parts.len() as u64).max(1);
        before.average = share;
        for part in parts.iter().filter(|part| **part != whole) {
            by_region.entry(*part).or_default().average = share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_follow_reads_and_are_shared_by_a_split() {
        let heats = Heats::default();
        let (whole, part) = (RegionId(1), RegionId(2));
        heats.of(whole).add(800, true);
        heats.end_round(|_| true);
        assert_eq!(heats.known(whole), (800, 800, 200));
        heats.split(whole, &[whole, part]);
        assert_eq!((heats.known(whole).2, heats.known(part).2), (100, 100));
        for _ in 0..40 {
            heats.end_round(|_| true);
        }
        assert_eq!(heats.known(whole).2, heats.known(part).2);
        heats.end_round(|region| region != part);
        assert_eq!(
            heats.known(part),
            (0, 0, 0),
            "a region that is gone is forgotten"
        );
    }
}
