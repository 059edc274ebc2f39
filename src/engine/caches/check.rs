//! Comparing a cached region with the data store, and letting go of one that differs.
//!
//! Both are read at one sequence through one view, so that writes, merges and evictions meanwhile do
//! not matter; a view that ends meanwhile says nothing.

use crate::engine::core::Core;
use crate::engine::{EngineError, ReadError, RegionView};
use crate::lifecycle::{CacheState, Cause, EvictReason, LoadReason, Register};
use crate::store::{ColumnFamily, Direction, scan_at};
use crate::{Key, RegionId, Sequence};

/// What a comparison of one region found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCheck {
    /// The region.
    pub region: RegionId,
    /// The sequence at which both were read.
    pub sequence: Sequence,
    /// Rows that were found the same.
    pub rows: u64,
    /// What came of it.
    pub outcome: CheckOutcome,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// Memory holds what the data store holds.
    Same,
    /// They differ; the region was evicted and is loaded again.
    Different {
        /// Column family of the first difference.
        cf: ColumnFamily,
        /// Its key.
        key: Key,
    },
    /// The region stopped being served from memory before the end.
    Ended,
}

impl Core {
    /// Compares a region, if it is active.
    pub(super) fn check_cache(&self, view: &RegionView) -> Result<Option<CacheCheck>, EngineError> {
        let Some(pin) = view.pin() else {
            return Ok(None);
        };
        let (region, sequence) = (view.region().id, view.sequence());
        let range = &view.region().range;
        let mut rows = 0_u64;
        let mut different = None;
        'families: for cf in self.families.iter() {
            let Ok(mut cached) = pin.scan(cf, range, sequence, Direction::Forward) else {
                break;
            };
            let mut stored = scan_at(&*self.data, cf, range, sequence, Direction::Forward);
            loop {
                let (ours, theirs) = (cached.next(), stored.next().transpose());
                let theirs = match theirs {
                    Ok(theirs) => theirs,
                    // A store whose rows are being cleared may say anything.
                    Err(_) if view.is_ended() => break 'families,
                    Err(error) => return Err(EngineError::Data(error)),
                };
                let row = theirs.as_ref().map(|(key, value)| (&**key, &**value));
                match (ours, row) {
                    (None, None) => break,
                    (ours, theirs) if ours == theirs => rows += 1,
                    (ours, theirs) => {
                        let keys = [ours, theirs].into_iter().flatten().map(|(key, _)| key);
                        let key = keys.min().unwrap_or_default();
                        different = Some((cf, Key::from(key)));
                        break 'families;
                    }
                }
            }
        }
        self.caches.counting.checks.add(1);
        let outcome = match different {
            _ if view.is_ended() => CheckOutcome::Ended,
            None => CheckOutcome::Same,
            Some((cf, key)) => {
                self.caches.counting.mismatches.add(1);
                let _ = self.evict_for(region, EvictReason::Mismatch, Cause::Collector)?;
                self.load_by_keeper(region, LoadReason::Repair);
                CheckOutcome::Different { cf, key }
            }
        };
        Ok(Some(CacheCheck {
            region,
            sequence,
            rows,
            outcome,
        }))
    }

    /// Regions that are served from memory.
    pub(super) fn active_regions(&self) -> Vec<(RegionId, crate::RegionEpoch)> {
        let published = self.published();
        let active = |region: RegionId| {
            let described = published.peer(region)?.stage.region()?;
            let is_active = published.cache_state(region) == CacheState::Active;
            is_active.then_some((region, described.epoch))
        };
        published.region_ids().filter_map(active).collect()
    }

    /// Compares each region that is served from memory.
    pub(super) fn check_all(self: &std::sync::Arc<Self>) -> Result<Vec<CacheCheck>, EngineError> {
        let mut checks = Vec::new();
        for (region, epoch) in self.active_regions() {
            match self.view_at(region, epoch, None, Register::admit_read) {
                Ok(view) => checks.extend(self.check_cache(&view)?),
                // It changed since; whoever cares asks again.
                Err(
                    ReadError::Refused(_)
                    | ReadError::ViewEnded { .. }
                    | ReadError::SequenceCollected { .. }
                    | ReadError::SequenceAhead { .. },
                ) => {}
                Err(ReadError::Engine(error)) => return Err(error),
            }
        }
        Ok(checks)
    }

    /// Background: compares the next region in turn.
    pub(in crate::engine) fn check_next(self: &std::sync::Arc<Self>) -> Result<(), EngineError> {
        let active = self.active_regions();
        let next = {
            let mut checked = self.caches.checked.lock();
            let behind = active.iter().find(|(region, _)| Some(*region) > *checked);
            let next = behind.or(active.first()).copied();
            *checked = next.map(|(region, _)| region);
            next
        };
        if let Some((region, epoch)) = next
            && let Ok(view) = self.view_at(region, epoch, None, Register::admit_read)
        {
            self.check_cache(&view)?;
        }
        Ok(())
    }
}
