//! `CacheReport`: what can be seen of the caches, as plain values.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::{CacheCounters, CacheSettings, Label, LabelId};
use crate::engine::background::JobKind;
use crate::engine::core::Core;
use crate::lifecycle::{CacheEntry, CacheState, EvictReason};
use crate::{Incarnation, KeyRange, RegionId, Sequence};

/// The caches of a store at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheReport {
    /// The settings in force.
    pub settings: Arc<CacheSettings>,
    /// Bytes that cached regions, and views that pin their memory, take.
    pub bytes: u64,
    /// Bytes of that which only views hold, of regions that were evicted, or merged since; and of what
    /// belongs to no region alone, which is little.
    pub bytes_held_by_views: u64,
    /// Totals since the store was opened.
    pub counters: CacheCounters,
    /// Every region that has memory or waits for some, by id.
    pub regions: Vec<CachedRegion>,
    /// Every region whose eviction has not ended, by id.
    pub evicting: Vec<EvictingRegion>,
    /// Loads that wait for the background work.
    pub loads_queued: usize,
    /// Evictions that wait for it, or for pins.
    pub evictions_queued: usize,
    /// Merges that wait for it.
    pub merges_queued: usize,
    /// Labels, by id.
    pub labels: Vec<(LabelId, Label)>,
}

/// One region in memory, or on its way there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CachedRegion {
    /// The region.
    pub region: RegionId,
    /// The peer whose data it is.
    pub incarnation: Incarnation,
    /// Its range.
    pub range: KeyRange,
    /// The durable state of its cache.
    pub state: CacheState,
    /// Bytes of its memory; where parts of a split share some, of its own keys.
    pub bytes: u64,
    /// Versions in its memory.
    pub versions: usize,
    /// The oldest sequence that it serves; none while it is loading.
    pub floor: Option<Sequence>,
    /// Views that pin it.
    pub pins: usize,
    /// How long it has been there.
    pub age: Duration,
    /// Gets and rows that were read of the region since the store was opened.
    pub reads: u64,
    /// Those of them that memory answered.
    pub reads_from_memory: u64,
    /// Reads per round, on a moving average.
    pub reads_per_round: u64,
}

impl CachedRegion {
    /// The part of the reads of the region that memory answered, 0 to 1; none before the first.
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.reads > 0).then(|| self.reads_from_memory as f64 / self.reads as f64)
    }
}

/// One eviction that has not ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EvictingRegion {
    /// The region.
    pub region: RegionId,
    /// Why it is evicted; none if another state of the region was decided since.
    pub reason: Option<EvictReason>,
    /// How long ago it stopped serving.
    pub age: Duration,
    /// Views that keep it.
    pub pins: usize,
}

impl Core {
    pub(super) fn cache_report(&self) -> CacheReport {
        let published = self.published();
        let state = self.caches.state.lock();
        let regions = state.attached.iter().map(|(region, attached)| {
            let (reads, reads_from_memory, reads_per_round) = self.caches.heats.known(*region);
            let cache = &attached.cache;
            CachedRegion {
                region: *region,
                incarnation: attached.incarnation,
                range: cache.range().clone(),
                state: published.cache_state(*region),
                bytes: cache.bytes(),
                versions: cache.versions(),
                floor: cache.floor(),
                pins: attached.pins(),
                age: attached.since.elapsed(),
                reads,
                reads_from_memory,
                reads_per_round,
            }
        });
        let mut regions: Vec<_> = regions.collect();
        regions.sort_by_key(|region| region.region);
        let evicting = state.retiring.iter().flat_map(|(region, retiring)| {
            let reason = match published.cache(*region) {
                CacheEntry::Cancelled { reason, .. }
                | CacheEntry::EvictPending { reason, .. }
                | CacheEntry::Evicting { reason, .. } => Some(reason),
                CacheEntry::Absent
                | CacheEntry::LoadRequested { .. }
                | CacheEntry::LoadQueued { .. }
                | CacheEntry::Loading { .. }
                | CacheEntry::Active { .. } => None,
            };
            retiring.iter().map(move |each| EvictingRegion {
                region: *region,
                reason,
                age: each.since.elapsed(),
                pins: each.attached.pins(),
            })
        });
        let mut evicting: Vec<_> = evicting.collect();
        evicting.sort_by_key(|region| region.region);
        drop(state);
        let bytes = self.caches.bytes();
        let attached: u64 = regions.iter().map(|region| region.bytes).sum();
        let labels = self.caches.labels.lock();
        CacheReport {
            settings: self.caches.settings(),
            bytes,
            bytes_held_by_views: bytes.saturating_sub(attached),
            counters: self.caches.counting.read(),
            regions,
            evicting,
            loads_queued: self.queue.waiting(JobKind::Load),
            evictions_queued: self.queue.waiting(JobKind::Free),
            merges_queued: self.queue.waiting(JobKind::Merge),
            labels: labels
                .iter()
                .map(|(id, label)| (id, label.clone()))
                .collect(),
        }
    }
}
