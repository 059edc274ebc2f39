//! One latch per region: who may touch a region's data right now.
//!
//! A write to the data store holds the region's latch while it checks the region and applies its
//! batch. A transition that a later write depends on holds it from its decision until its record is
//! durable, so no batch above index N can enter the store before the record of N is durable, and no
//! running batch can slip past a destroy. A thread takes one latch, or all that it needs in the order of
//! their regions' ids, so latches cannot deadlock; a latch is always taken before any other lock of the
//! engine.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use foldhash::fast::RandomState;
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};

use super::timing;
use crate::RegionId;

/// Held: nobody else changes this region's data or waits between deciding and durability for it.
pub(super) type RegionLatch = ArcMutexGuard<RawMutex, ()>;

/// Those of the regions of one transition: of one, or of the two that a merge touches.
pub(super) type RegionLatches = ArrayVec<RegionLatch, 2>;

/// The latches of all regions, made on demand.
#[derive(Debug, Default)]
pub(super) struct Latches {
    by_region: Mutex<HashMap<RegionId, Arc<Mutex<()>>, RandomState>>,
}

impl Latches {
    /// Waits for the region's latch.
    pub(super) fn hold(&self, region: RegionId) -> RegionLatch {
        let (latch, waited) = self.take(region);
        timing::note_region_wait(waited);
        latch
    }

    /// Waits for the region's latch; gives how long, too.
    fn take(&self, region: RegionId) -> (RegionLatch, Duration) {
        let latch = Arc::clone(self.by_region.lock().entry(region).or_default());
        // Nobody asks for the time who need not wait.
        if let Some(latch) = latch.try_lock_arc() {
            return (latch, Duration::ZERO);
        }
        let asked = Instant::now();
        let latch = latch.lock_arc();
        (latch, asked.elapsed())
    }

    /// Waits for the latches of several regions, in the order of their ids: whoever needs more than
    /// one comes here, so no two can wait for each other.
    pub(super) fn hold_all(&self, regions: &BTreeSet<RegionId>) -> Vec<RegionLatch> {
        let mut waited = Duration::ZERO;
        let held = regions.iter().map(|region| {
            let (latch, each) = self.take(*region);
            waited += each;
            latch
        });
        let held = held.collect();
        timing::note_region_wait(waited);
        held
    }

    /// Whether somebody holds the region's latch.
    #[cfg(test)]
    pub(super) fn is_held(&self, region: RegionId) -> bool {
        let latches = self.by_region.lock();
        latches.get(&region).is_some_and(|latch| latch.is_locked())
    }

    /// Whether somebody waits for the region's latch, or is about to ask for it, while another one holds it.
    #[cfg(test)]
    pub(super) fn is_awaited(&self, region: RegionId) -> bool {
        let latches = self.by_region.lock();
        // The map's, the holder's, and the one of whoever waits.
        let is_awaited = |latch: &Arc<Mutex<()>>| latch.is_locked() && Arc::strong_count(latch) > 2;
        latches.get(&region).is_some_and(is_awaited)
    }

    /// Forgets the latches that nobody holds or waits for.
    pub(super) fn shrink(&self) {
        self.by_region
            .lock()
            .retain(|_, latch| Arc::strong_count(latch) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_latch_survives_shrinking_and_others_go() {
        let latches = Latches::default();
        let held = latches.hold(RegionId(1));
        drop(latches.hold(RegionId(2)));
        latches.shrink();
        assert_eq!(latches.by_region.lock().len(), 1);
        let same = Arc::clone(&latches.by_region.lock()[&RegionId(1)]);
        assert!(
            same.try_lock().is_none(),
            "the latch that survived is the one that is held"
        );
        drop(held);
    }

    /// What the second of two threads waits for the same region, and what is left of that at its next latch.
    fn waits(latches: &Latches) -> (Duration, Duration) {
        let held = latches.hold(RegionId(1));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                drop(latches.hold_all(&BTreeSet::from([RegionId(1), RegionId(2)])));
                let waited = timing::region_wait();
                drop(latches.hold(RegionId(1)));
                (waited, timing::region_wait())
            });
            // Ours, the map's, and that of the thread that is about to wait.
            while Arc::strong_count(&latches.by_region.lock()[&RegionId(1)]) < 3 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(2));
            drop(held);
            other.join().unwrap()
        })
    }

    #[test]
    fn how_long_a_latch_was_waited_for_is_known_and_nothing_is_left_of_an_earlier_wait() {
        let latches = Latches::default();
        // A thread that is held up before it asks need not wait; not each time.
        let found = (0..100)
            .map(|_| waits(&latches))
            .find(|(waited, _)| !waited.is_zero());
        assert_eq!(found.map(|(_, later)| later), Some(Duration::ZERO));
    }
}
