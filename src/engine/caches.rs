//! The caches of hot regions: which regions have one, how it is filled, how it goes.
//!
//! The register says what state a region's cache is in; this file holds the memory. A cache is
//! *attached* when its load begins: from then on each write is mirrored into it, under the region's
//! latch, while a background job copies the older versions from the store. Reads use it only while
//! the *published* register says active. Evicting detaches it at once (serving less needs no sync)
//! and frees it when no view pins it.
//!
//! A split moves nothing: children share the parent's cache and each looks only at its own range.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::core::Core;
use super::{Answer, EngineError};
use crate::cache::RegionCache;
use crate::lifecycle::{CacheCancel, CacheState, Cause, Event};
use crate::store::versions;
use crate::{Incarnation, RegionId};

/// The memory of the caches.
#[derive(Debug, Default)]
pub(super) struct Caches {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Mirrored into by writes; read from while the register says active.
    attached: HashMap<RegionId, Attached>,
    /// Detached by an eviction, waiting for their pins.
    retiring: HashMap<RegionId, Vec<Arc<RegionCache>>>,
}

#[derive(Clone, Debug)]
struct Attached {
    incarnation: Incarnation,
    cache: Arc<RegionCache>,
}

impl Caches {
    /// The cache that this incarnation's writes are mirrored into, if any.
    pub(super) fn attached(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Option<Arc<RegionCache>> {
        let state = self.state.lock();
        let attached = state.attached.get(&region)?;
        (attached.incarnation == incarnation).then(|| Arc::clone(&attached.cache))
    }

    fn attach(&self, region: RegionId, incarnation: Incarnation, cache: Arc<RegionCache>) {
        self.state.lock().attached.insert(region, Attached { incarnation, cache });
    }

    /// Stops mirroring into, and new reads from, the region's cache.
    pub(super) fn detach(&self, region: RegionId) {
        let mut state = self.state.lock();
        if let Some(attached) = state.attached.remove(&region) {
            state.retiring.entry(region).or_default().push(attached.cache);
        }
    }

    /// Lets the new regions of a split share their parent's cache.
    pub(super) fn share(&self, parent: RegionId, children: &[(RegionId, Incarnation)]) {
        let mut state = self.state.lock();
        let Some(Attached { cache, .. }) = state.attached.get(&parent).cloned() else { return };
        for (region, incarnation) in children {
            let (incarnation, cache) = (*incarnation, Arc::clone(&cache));
            state.attached.insert(*region, Attached { incarnation, cache });
        }
    }

    /// Frees what was detached, if nothing pins it; says whether all of it is free.
    fn free_retired(&self, region: RegionId) -> bool {
        let mut state = self.state.lock();
        let Some(retiring) = state.retiring.get_mut(&region) else { return true };
        retiring.retain(|cache| cache.pins() > 0);
        let free = retiring.is_empty();
        if free {
            state.retiring.remove(&region);
        }
        free
    }

    /// Bytes of the attached caches, each counted once however many regions share it.
    pub(super) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        let mut caches: Vec<_> = state.attached.values().map(|attached| &attached.cache).collect();
        caches.sort_unstable_by_key(|cache| Arc::as_ptr(cache));
        caches.dedup_by_key(|cache| Arc::as_ptr(cache));
        caches.iter().map(|cache| cache.bytes()).sum()
    }
}

impl Core {
    /// Background: attach a cache, copy the region into it, make it active.
    pub(super) fn load_cache(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Result<(), EngineError> {
        // Attach and choose the sequence under the latch: no write runs, so every version is either
        // in the store at or below `sequence`, or will be mirrored.
        let latch = self.latches.hold(region);
        let begun = self.commit(&Event::LoadBegin { region, incarnation }, Cause::Host)?;
        let Answer::Accepted { .. } = begun else { return Ok(()) };
        let Some(range) = self.with_decided(|register| {
            register.normal(region, incarnation).map(|normal| normal.region.range.clone())
        }) else {
            return Ok(());
        };
        let sequence = self.sequencer.last_allocated();
        let cache = Arc::new(RegionCache::new(sequence));
        self.caches.attach(region, incarnation, Arc::clone(&cache));
        drop(latch);

        for version in versions::scan_at(&*self.data, &range, sequence, false) {
            let still_loading = self.with_decided(|register| {
                register.cache_state(region) == CacheState::Loading
            });
            if !still_loading {
                return Ok(());
            }
            match version {
                Ok((key, value)) => cache.fill(key, sequence, value),
                Err(error) => {
                    let reason = CacheCancel::StoreFailed;
                    let event = Event::LoadCancel { region, incarnation, reason };
                    self.caches.detach(region);
                    self.commit(&event, Cause::Host)?;
                    return Err(EngineError::Data(error));
                }
            }
        }
        // The record is only appended; the sync of the next tick makes the cache readable.
        self.commit(&Event::LoadEnd { region, incarnation }, Cause::Host)?;
        Ok(())
    }

    /// Background: finish an eviction once nothing pins the memory.
    pub(super) fn free_cache(&self, region: RegionId) -> Result<(), EngineError> {
        self.caches.detach(region);
        if !self.caches.free_retired(region) {
            // Tried again when a pin goes.
            return Ok(());
        }
        self.commit(&Event::EvictBegin { region }, Cause::Host)?;
        self.commit(&Event::EvictEnd { region }, Cause::Host)?;
        Ok(())
    }
}
