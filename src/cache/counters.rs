//! `CacheCounters`: what the caches did since the store was opened. Always on; never reset.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::lifecycle::{EvictReason, LoadReason};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Totals since the store was opened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct CacheCounters {
            $($(#[$doc])* pub $name: u64,)+
            /// Loads that the store asked for itself, in the order of [`LoadReason::ALL`].
            pub loads_by_reason: [u64; LoadReason::ALL.len()],
            /// Evictions that ended, in the order of [`EvictReason::ALL`].
            pub evictions_by_reason: [u64; EvictReason::ALL.len()],
        }

        /// The totals while they are counted.
        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: Counter,)+
            loads_by_reason: [Counter; LoadReason::ALL.len()],
            evictions_by_reason: [Counter; EvictReason::ALL.len()],
        }

        impl Counting {
            /// The totals now.
            pub(crate) fn read(&self) -> CacheCounters {
                CacheCounters {
                    $($name: self.$name.get(),)+
                    loads_by_reason: self.loads_by_reason.each_ref().map(Counter::get),
                    evictions_by_reason: self.evictions_by_reason.each_ref().map(Counter::get),
                }
            }
        }
    };
}

counters! {
    /// Views that read from memory.
    views_from_memory,
    /// Views of regions that have no active cache.
    views_uncached,
    /// Views that an active cache could not serve, being older than what it holds.
    views_too_old,
    /// Gets that memory answered.
    gets_from_memory,
    /// Gets that the data store answered.
    gets_from_store,
    /// Rows of scans out of memory.
    rows_from_memory,
    /// Rows of scans out of the data store.
    rows_from_store,
    /// Loads that began.
    loads_begun,
    /// Loads after which the region became active.
    loads_finished,
    /// Loads that were cancelled by an eviction, or by a change of the region.
    loads_cancelled,
    /// Loads that were given up because memory was short.
    loads_out_of_memory,
    /// Loads that the data store failed.
    loads_failed,
    /// Rows that loads read.
    load_rows,
    /// Time that loads took, in microseconds.
    load_micros,
    /// Merges of written versions into packed ones.
    merges,
    /// Time that merges took, in microseconds.
    merge_micros,
    /// Evictions that ended although readers held the memory.
    pins_timed_out,
    /// Rounds of automatic loading and evicting.
    rounds,
    /// Comparisons of a cached region with the data store.
    checks,
    /// Comparisons that found a difference.
    mismatches,
    /// Reports of leadership that were older than what was known.
    leadership_reports_stale,
    /// Preloads that were asked for.
    preloads,
    /// Preloads that were refused.
    preloads_refused,
}

impl CacheCounters {
    /// The part of views that read from memory, 0 to 1; none before the first view.
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.views_from_memory + self.views_uncached + self.views_too_old;
        (all > 0).then(|| self.views_from_memory as f64 / all as f64)
    }

    /// Loads that the store asked for itself, for that reason.
    pub fn loads(&self, reason: LoadReason) -> u64 {
        let by_reason = LoadReason::ALL.iter().zip(self.loads_by_reason);
        by_reason
            .filter(|(each, _)| **each == reason)
            .map(|(_, count)| count)
            .sum()
    }

    /// Evictions that ended, for that reason.
    pub fn evictions(&self, reason: EvictReason) -> u64 {
        let by_reason = EvictReason::ALL.iter().zip(self.evictions_by_reason);
        by_reason
            .filter(|(each, _)| **each == reason)
            .map(|(_, count)| count)
            .sum()
    }
}

impl Counting {
    pub(crate) fn note_load(&self, reason: LoadReason) {
        let by_reason = LoadReason::ALL.iter().zip(&self.loads_by_reason);
        by_reason
            .filter(|(each, _)| **each == reason)
            .for_each(|(_, counter)| counter.add(1));
    }

    pub(crate) fn note_eviction(&self, reason: EvictReason) {
        let by_reason = EvictReason::ALL.iter().zip(&self.evictions_by_reason);
        by_reason
            .filter(|(each, _)| **each == reason)
            .for_each(|(_, counter)| counter.add(1));
    }
}

/// A total.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
