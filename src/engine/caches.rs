//! The caches of hot regions: which regions have one, how it is filled, how it goes.
//!
//! The register says what state a region's cache is in; this file holds the memory. A cache is
//! *attached* when its load begins: from then on each write is mirrored into it, under the region's
//! latch, while a background job copies the older versions from the store. Reads use it only while
//! the *published* register says active. Evicting detaches it at once (serving less needs no sync)
//! and frees it when no view pins it.
//!
//! A split moves nothing: the parts share the memory and each looks only at its own range. Views
//! that were taken of the whole pin the whole, so a part's memory is freed only when neither its own
//! views nor those pin it.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::EngineError;
use super::background::Job;
use super::core::Core;
use crate::cache::{CacheMeter, CachePin, RegionCache};
use crate::lifecycle::{CacheEntry, CacheState, Cause, Event, EvictReason};
use crate::store::{Direction, scan_at};
use crate::{Incarnation, KeyRange, RegionId, Sequence};

/// The memory of the caches.
#[derive(Debug, Default)]
pub(super) struct Caches {
    meter: CacheMeter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Mirrored into by writes; read from while the register says active.
    attached: HashMap<RegionId, Attached>,
    /// Detached by an eviction, waiting for their pins.
    retiring: HashMap<RegionId, Vec<Attached>>,
}

#[derive(Clone, Debug)]
struct Attached {
    incarnation: Incarnation,
    cache: RegionCache,
    /// Views of larger regions that this one was split from, as long as somebody pins them.
    inherited: Vec<RegionCache>,
}

impl Attached {
    fn is_pinned(&self) -> bool {
        self.inherited
            .iter()
            .chain([&self.cache])
            .any(|cache| cache.pins() > 0)
    }
}

impl Caches {
    /// The cache that this incarnation's writes are mirrored into, if any.
    pub(super) fn attached(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Option<RegionCache> {
        let state = self.state.lock();
        let attached = state.attached.get(&region)?;
        (attached.incarnation == incarnation).then(|| attached.cache.clone())
    }

    /// Attaches a new, empty cache.
    fn attach(&self, region: RegionId, incarnation: Incarnation, range: KeyRange) -> RegionCache {
        let cache = RegionCache::loading(range, &self.meter);
        let attached = Attached {
            incarnation,
            cache: cache.clone(),
            inherited: Vec::new(),
        };
        self.state.lock().attached.insert(region, attached);
        cache
    }

    /// Pins the cache of this incarnation for a read at `sequence`, if it can serve that.
    ///
    /// Under the lock that detaching and freeing take, so nothing is freed between the look and the
    /// pin.
    pub(super) fn pin(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        sequence: Sequence,
    ) -> Option<CachePin> {
        let state = self.state.lock();
        let attached = state.attached.get(&region)?;
        let oldest = attached.cache.load_sequence()?;
        (attached.incarnation == incarnation && oldest <= sequence).then(|| attached.cache.pin())
    }

    /// Stops mirroring into, and new reads from, the region's cache. The caller holds the latch.
    pub(super) fn detach(&self, region: RegionId) {
        let mut state = self.state.lock();
        if let Some(attached) = state.attached.remove(&region) {
            state.retiring.entry(region).or_default().push(attached);
        }
    }

    /// As [`Caches::detach`], if it is this incarnation's: a successor may have one already.
    pub(super) fn detach_of(&self, region: RegionId, incarnation: Incarnation) {
        let mut state = self.state.lock();
        let is_its = |attached: &Attached| attached.incarnation == incarnation;
        if !state.attached.get(&region).is_some_and(is_its) {
            return;
        }
        if let Some(attached) = state.attached.remove(&region) {
            state.retiring.entry(region).or_default().push(attached);
        }
    }

    /// Lets the parts of a split share the cache of the whole. The caller holds the whole's latch.
    pub(super) fn split(&self, whole: RegionId, parts: &[(RegionId, Incarnation, KeyRange)]) {
        let mut state = self.state.lock();
        let Some(Attached {
            cache,
            mut inherited,
            ..
        }) = state.attached.remove(&whole)
        else {
            return;
        };
        inherited.push(cache.clone());
        inherited.retain(|cache| cache.pins() > 0);
        for (region, incarnation, range) in parts {
            if let Some(cache) = cache.view(range.clone()) {
                let inherited = inherited.clone();
                let attached = Attached {
                    incarnation: *incarnation,
                    cache,
                    inherited,
                };
                state.attached.insert(*region, attached);
            }
        }
    }

    /// Frees what was detached and is not pinned; says whether that was all of it.
    fn free_retired(&self, region: RegionId) -> bool {
        let mut state = self.state.lock();
        let Some(retiring) = state.retiring.get_mut(&region) else {
            return true;
        };
        retiring.retain(|attached| {
            let pinned = attached.is_pinned();
            if !pinned {
                attached.cache.free();
            }
            pinned
        });
        let all = retiring.is_empty();
        if all {
            state.retiring.remove(&region);
        }
        all
    }

    /// Bytes of memory that the caches hold.
    pub(super) fn bytes(&self) -> u64 {
        self.meter.bytes()
    }
}

impl Core {
    /// The range of a region's live peer, durable or not.
    fn decided_range(&self, region: RegionId) -> Option<KeyRange> {
        self.with_decided(|register| Some(register.peer(region)?.stage.region()?.range.clone()))
    }

    /// Background: attach a cache, copy the region into it, make it active.
    pub(super) fn load_cache(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Result<(), EngineError> {
        // Attach and choose the sequence under the latch: no write runs, so every version is either
        // in the store at or below `sequence`, or will be mirrored.
        let latch = self.latches.hold(region);
        let begun = self.commit(
            &Event::LoadBegin {
                region,
                incarnation,
            },
            Cause::Host,
        )?;
        // A load that a full disk kept from ending is begun already, and done over.
        let loading = CacheEntry::Loading { incarnation };
        let is_loading = self.with_decided(|register| register.cache(region) == loading);
        let (true, Some(range)) = (begun.holds() && is_loading, self.decided_range(region)) else {
            return Ok(());
        };
        // What reads of the region use now, though other regions' writes may be further: nothing of
        // this region lies between, and reads that come before its next write find the cache whole.
        let pin = self.pins.pin(&range, |_| {
            Ok::<_, EngineError>(self.read_sequence(region, incarnation))
        })?;
        let sequence = pin.sequence();
        let cache = self.caches.attach(region, incarnation, range.clone());
        drop(latch);

        for cf in self.families.iter() {
            for row in scan_at(&*self.data, cf, &range, sequence, Direction::Forward) {
                let (key, value) = match row {
                    Ok(row) => row,
                    Err(error) => {
                        let _latch = self.latches.hold(region);
                        self.caches.detach(region);
                        let reason = EvictReason::LoadFailed;
                        let event = Event::LoadCancel {
                            region,
                            incarnation,
                            reason,
                        };
                        let _cancelled = self.commit(&event, Cause::Host)?;
                        return Err(EngineError::Data(error));
                    }
                };
                if self.with_decided(|register| register.cache_state(region)) != CacheState::Loading
                {
                    return Ok(());
                }
                cache.fill(cf, key, sequence, Some(value));
            }
        }
        cache.finish_load(sequence);
        // The record is only appended; the sync of the next tick makes the cache readable.
        let _ended = self.commit(
            &Event::LoadEnd {
                region,
                incarnation,
            },
            Cause::Host,
        )?;
        Ok(())
    }

    /// Background: finish an eviction once nothing pins the memory.
    pub(super) fn free_cache(&self, region: RegionId) -> Result<(), EngineError> {
        if !self.caches.free_retired(region) {
            self.queue.retry_later(Job::Free(region));
            return Ok(());
        }
        let _begun = self.commit(&Event::EvictBegin { region }, Cause::Host)?;
        let _ended = self.commit(&Event::EvictEnd { region }, Cause::Host)?;
        Ok(())
    }
}
