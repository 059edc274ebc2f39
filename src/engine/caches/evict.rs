//! Evicting a region from memory: serving less at once, gone when nobody pins it.

use std::time::{Duration, Instant};

use super::completion::Wanted;
use super::{CacheTicket, Caches};
use crate::engine::background::Job;
use crate::engine::core::Core;
use crate::engine::{Answer, EngineError};
use crate::lifecycle::{CacheEntry, CacheState, Cause, Event, EvictReason};
use crate::{KeyRange, RegionId};

/// How long it is remembered at least that a region was sent away.
const SENT_AWAY_FORGOTTEN: Duration = Duration::from_secs(3600);

impl Core {
    /// Stops serving a region from memory, at once.
    pub(in crate::engine) fn evict_for(
        &self,
        region: RegionId,
        reason: EvictReason,
        cause: Cause,
    ) -> Result<Answer, EngineError> {
        let _latch = self.latches.hold(region);
        self.evict_latched(region, reason, cause)
    }

    /// As [`Core::evict_for`]; the caller holds the latch.
    pub(super) fn evict_latched(
        &self,
        region: RegionId,
        reason: EvictReason,
        cause: Cause,
    ) -> Result<Answer, EngineError> {
        let decision = self.decide(&Event::Evict { region, reason }, cause);
        // Serving less happens also when the record could not be written; and before the job that
        // frees what was detached can run.
        self.caches.detach(region);
        let (answer, effects) = self.settle(decision?)?;
        self.queue.push_effects(effects);
        Ok(answer)
    }

    /// Evicts a region whose data changes in a way that is not mirrored into memory. A load that did
    /// not begin yet will see the change, and stays. The caller holds the latch.
    pub(in crate::engine) fn stop_caching(&self, region: RegionId, reason: EvictReason) {
        self.caches.detach(region);
        match self.with_decided(|register| register.cache_state(region)) {
            CacheState::Absent | CacheState::LoadRequested | CacheState::LoadQueued => return,
            CacheState::Loading
            | CacheState::Active
            | CacheState::Cancelled
            | CacheState::EvictPending
            | CacheState::Evicting => {}
        }
        // Serving less needs no record: one that could not be written changes nothing here.
        if let Ok(decision) = self.decide(&Event::Evict { region, reason }, Cause::Host) {
            self.queue.push_effects(decision.effects);
        }
    }

    /// Evicts every region that overlaps a range; answers which ones had something to evict.
    pub(super) fn evict_range_for(
        &self,
        range: &KeyRange,
        reason: EvictReason,
    ) -> Result<Vec<RegionId>, EngineError> {
        let mut evicted = Vec::new();
        for (region, _) in self.regions_over(range) {
            if let Answer::Accepted { .. } = self.evict_for(region, reason, Cause::Host)? {
                evicted.push(region);
            }
        }
        Ok(evicted)
    }

    /// The regions of this store that overlap a range, with their epochs, in the order of their ids.
    pub(super) fn regions_over(&self, range: &KeyRange) -> Vec<(RegionId, crate::RegionEpoch)> {
        let published = self.published();
        let over = |region: RegionId| {
            let described = published.peer(region)?.stage.region()?;
            let overlaps = described.range.overlaps(range);
            overlaps.then_some((region, described.epoch))
        };
        published.region_ids().filter_map(over).collect()
    }

    /// A ticket for an eviction that was just asked for.
    pub(super) fn watch_eviction(&self, region: RegionId) -> CacheTicket {
        self.watch(region, None, Wanted::Gone)
    }

    /// Background: finish an eviction once nothing pins the memory.
    pub(in crate::engine) fn free_cache(&self, region: RegionId) -> Result<(), EngineError> {
        let timeout = self.caches.settings.load().pin_timeout;
        let (all, timed_out) = self.caches.free_retired(region, timeout);
        self.caches.counting.pins_timed_out.add(timed_out);
        if !all {
            self.queue.retry_later(Job::Free(region));
            return Ok(());
        }
        let _begun = self.commit(&Event::EvictBegin { region }, Cause::Host)?;
        let entry = self.with_decided(|register| register.cache(region));
        let ended = self.commit(&Event::EvictEnd { region }, Cause::Host)?;
        if let (Answer::Accepted { .. }, CacheEntry::Evicting { reason, .. }) = (ended, entry) {
            self.caches.counting.note_eviction(reason);
        }
        Ok(())
    }
}

impl Caches {
    /// Remembers that memory was taken from a region, so that a round does not give it back at once.
    pub(super) fn send_away(&self, region: RegionId) {
        let mut state = self.state.lock();
        let forgotten = self.settings.load().reload_pause.max(SENT_AWAY_FORGOTTEN);
        state.sent_away.retain(|_, at| at.elapsed() < forgotten);
        state.sent_away.insert(region, Instant::now());
    }
}
