//! Loading a region into memory: asked for, begun, copied from the data store, active.

use std::ops::ControlFlow;
use std::time::Instant;

use torrens_journal::planted;

use super::CacheTicket;
use super::completion::Wanted;
use crate::cache::RegionCache;
use crate::engine::background::Job;
use crate::engine::core::Core;
use crate::engine::{Answer, EngineError};
use crate::lifecycle::{CacheEntry, CacheState, Cause, Event, EvictReason, LoadReason};
use crate::store::{StoreError, WriteBatch, visit_at};
use crate::{Incarnation, KeyRange, RegionEpoch, RegionId, Sequence, trace};

/// Rows, and bytes, between two looks at whether the load is still wanted and has room.
const ROWS_PER_LOOK: u64 = 512;
const BYTES_PER_LOOK: usize = 1 << 20;

/// Why a load ended early.
enum Stopped {
    /// Somebody else took it back, and frees the memory.
    Withdrawn,
    Because(EvictReason),
    Failed(StoreError),
}

impl Core {
    /// Asks for a region to be held in memory.
    pub(in crate::engine) fn load_for(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        cause: Cause,
    ) -> Result<(Answer, Incarnation), EngineError> {
        self.check_open()?;
        let _latch = self.latches.hold(region);
        let (live, basis) =
            self.with_decided(|register| (register.incarnation(region), register.last_lsn()));
        let Some(incarnation) = live else {
            self.wait_durable(basis)?;
            return Err(EngineError::NoPeer { region });
        };
        let event = Event::LoadRequest {
            region,
            incarnation,
            epoch,
        };
        let answer = self.commit(&event, cause)?;
        if let (Answer::Accepted { .. }, Cause::Keeper { why }) = (&answer, cause) {
            self.caches.counting.note_load(why);
        }
        Ok((answer, incarnation))
    }

    /// As [`Core::load_for`], for the keeper, which takes no for an answer.
    pub(super) fn load_by_keeper(&self, region: RegionId, why: LoadReason) {
        let epoch = {
            let published = self.published();
            let peer = published.peer(region);
            peer.and_then(|peer| Some(peer.stage.region()?.epoch))
        };
        if let Some(epoch) = epoch {
            // Refused, or the journal takes nothing any more: then it is not loaded.
            let _ = self.load_for(region, epoch, Cause::Keeper { why });
        }
    }

    /// A ticket for the load of an incarnation that was just asked for.
    pub(super) fn watch_load(&self, region: RegionId, incarnation: Incarnation) -> CacheTicket {
        self.watch(region, Some(incarnation), Wanted::Loaded)
    }

    /// A ticket for what was decided so far.
    pub(super) fn watch(
        &self,
        region: RegionId,
        incarnation: Option<Incarnation>,
        wanted: Wanted,
    ) -> CacheTicket {
        let after = self.with_decided(|register| register.last_lsn());
        let ticket = self.caches.watches.add(region, incarnation, wanted, after);
        self.tell_watches();
        ticket
    }

    /// Completes the tickets that what is published completes.
    pub(in crate::engine) fn tell_watches(&self) {
        if !self.caches.watches.is_empty() {
            let ended = self.caches.watches.settle(&self.published());
            ended.tell();
        }
    }

    /// Adds what a write wrote to the region's cache, if it has one, before the write's sequence
    /// becomes visible. The caller holds the latch.
    pub(in crate::engine) fn mirror(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        batch: &WriteBatch,
        sequence: Sequence,
    ) {
        let Some(cache) = self.caches.attached(region, incarnation) else {
            return;
        };
        let state = || self.with_decided(|register| register.cache_state(region));
        if planted!("load-loses-writes") && state() == CacheState::Loading {
            return;
        }
        if cache.insert(batch, sequence) {
            self.queue.push(Job::Merge(region));
        }
        let (used, settings) = (self.caches.bytes(), self.caches.settings.load());
        if used >= settings.capacity_bytes {
            // The write is in the store; that memory serves less is said as soon as it can be.
            self.caches.send_away(region);
            self.stop_caching(region, EvictReason::MemoryLimit);
        } else if used > settings.evict_bytes_effective() {
            self.queue.push(Job::Relieve);
        }
    }

    /// Background: pack what was written into a region's cache.
    pub(in crate::engine) fn merge_cache(&self, region: RegionId) {
        let live = self.with_decided(|register| register.incarnation(region));
        let attached = live.and_then(|live| Some((live, self.caches.attached(region, live)?)));
        let Some((incarnation, cache)) = attached else {
            return;
        };
        // Views read at the newest sequence, or where the host keeps versions for them; those that
        // were taken before hold what they need.
        let newest = self.read_sequence(region, incarnation);
        let floor = newest.min(self.pins.keep_from().unwrap_or(newest));
        let begun = Instant::now();
        if cache.merge(floor) {
            self.caches.counting.merges.add(1);
            self.caches.counting.merge_micros.add(micros(begun));
        }
    }

    /// Background: attach a cache, copy the region into it, make it active.
    pub(in crate::engine) fn load_cache(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Result<(), EngineError> {
        let _span = trace::load(region);
        // Attach and choose the sequence under the latch: no write runs, so every version is either
        // in the store at or below `sequence`, or will be mirrored.
        let latch = self.latches.hold(region);
        let is_asked_for = |entry| {
            entry == CacheEntry::LoadRequested { incarnation }
                || entry == CacheEntry::LoadQueued { incarnation }
        };
        if let (true, Some(reason)) = (
            self.with_decided(|register| is_asked_for(register.cache(region))),
            self.reason_not_to_load(),
        ) {
            return self.cancel_load(region, incarnation, reason);
        }
        let event = Event::LoadBegin {
            region,
            incarnation,
        };
        let begun = self.commit(&event, Cause::Host)?;
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

        self.caches.counting.loads_begun.add(1);
        let started = Instant::now();
        let filled = self.fill_cache(region, loading, &cache, &range, sequence);
        self.caches.counting.load_micros.add(micros(started));
        match filled {
            Ok(()) => {}
            Err(Stopped::Withdrawn) => {
                self.caches.counting.loads_cancelled.add(1);
                return Ok(());
            }
            Err(Stopped::Because(reason)) => {
                self.caches.counting.loads_out_of_memory.add(1);
                let _latch = self.latches.hold(region);
                self.caches.detach_of(region, incarnation);
                return self.cancel_load(region, incarnation, reason);
            }
            Err(Stopped::Failed(error)) => {
                self.caches.counting.loads_failed.add(1);
                let _latch = self.latches.hold(region);
                self.caches.detach_of(region, incarnation);
                self.cancel_load(region, incarnation, EvictReason::LoadFailed)?;
                return Err(EngineError::Data(error));
            }
        }
        // The record is only appended; the sync of the next tick makes the cache readable.
        let event = Event::LoadEnd {
            region,
            incarnation,
        };
        match self.commit(&event, Cause::Host)? {
            Answer::Accepted { .. } | Answer::AlreadyApplied => {
                self.caches.counting.loads_finished.add(1);
            }
            Answer::Wait(_) | Answer::Refused(_) => self.caches.counting.loads_cancelled.add(1),
        }
        Ok(())
    }

    /// Copies what is readable at `sequence`.
    fn fill_cache(
        &self,
        region: RegionId,
        loading: CacheEntry,
        cache: &RegionCache,
        range: &KeyRange,
        sequence: Sequence,
    ) -> Result<(), Stopped> {
        let mut loader = cache.loader(sequence);
        let (mut rows, mut bytes) = (0_u64, 0);
        for cf in self.families.iter() {
            let mut stopped = None;
            visit_at(&*self.data, cf, range, sequence, |key, value| {
                bytes += key.len() + value.len();
                if rows.is_multiple_of(ROWS_PER_LOOK) || bytes >= BYTES_PER_LOOK {
                    if let Err(why) = self.look_at_load(region, loading) {
                        stopped = Some(why);
                        return ControlFlow::Break(());
                    }
                    bytes = 0;
                }
                loader.push(cf, key, value);
                rows += 1;
                ControlFlow::Continue(())
            })
            .map_err(Stopped::Failed)?;
            stopped.map_or(Ok(()), Err)?;
        }
        self.look_at_load(region, loading)?;
        loader.finish();
        self.caches.counting.load_rows.add(rows);
        Ok(())
    }

    fn look_at_load(&self, region: RegionId, loading: CacheEntry) -> Result<(), Stopped> {
        if self.with_decided(|register| register.cache(region)) != loading {
            return Err(Stopped::Withdrawn);
        }
        let settings = self.caches.settings.load();
        if !settings.enabled {
            return Err(Stopped::Because(EvictReason::Disabled));
        }
        match self.caches.bytes() >= settings.capacity_bytes {
            true => Err(Stopped::Because(EvictReason::MemoryLimit)),
            false => Ok(()),
        }
    }

    /// Why no load may begin now.
    fn reason_not_to_load(&self) -> Option<EvictReason> {
        let settings = self.caches.settings.load();
        if !settings.enabled {
            return Some(EvictReason::Disabled);
        }
        let full = self.caches.bytes() >= settings.stop_load_bytes_effective();
        full.then_some(EvictReason::MemoryLimit)
    }

    fn cancel_load(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        reason: EvictReason,
    ) -> Result<(), EngineError> {
        let event = Event::LoadCancel {
            region,
            incarnation,
            reason,
        };
        let _cancelled = self.commit(&event, Cause::Host)?;
        Ok(())
    }
}

pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
