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

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};

use crate::RegionId;

/// Held: nobody else changes this region's data or waits between deciding and durability for it.
pub(super) type RegionLatch = ArcMutexGuard<RawMutex, ()>;

/// The latches of all regions, made on demand.
#[derive(Debug, Default)]
pub(super) struct Latches {
    by_region: Mutex<HashMap<RegionId, Arc<Mutex<()>>>>,
}

impl Latches {
    /// Waits for the region's latch.
    pub(super) fn hold(&self, region: RegionId) -> RegionLatch {
        let latch = Arc::clone(self.by_region.lock().entry(region).or_default());
        latch.lock_arc()
    }

    /// Waits for the latches of several regions, in the order of their ids: whoever needs more than
    /// one comes here, so no two can wait for each other.
    pub(super) fn hold_all(&self, regions: &BTreeSet<RegionId>) -> Vec<RegionLatch> {
        regions.iter().map(|region| self.hold(*region)).collect()
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
}
