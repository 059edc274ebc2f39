//! The caches of hot regions: which regions have one, how it is filled, how it goes.
//!
//! The register says what state a region's cache is in; this room holds the memory. A cache is
//! *attached* when its load begins: from then on each write is mirrored into it, under the region's
//! latch, while a background job copies the older versions from the store. Reads use it only while
//! the *published* register says active. Evicting detaches it at once (serving less needs no sync)
//! and ends when no view pins it, or when those that do have had their time.
//!
//! A split moves nothing: the parts share the memory and each looks only at its own range. Views
//! that were taken of the whole pin the whole, so a part's eviction ends only when neither its own
//! views nor those pin it.
//!
//! * `load`, `evict`: from request to active, from active to gone. `completion`: waiting for either.
//! * `heat`: what is read of each region. `keeper`: rounds, warm restarts, memory that runs short.
//! * `leadership`, `preload`: what the host tells of Raft. `check`: comparing with the data store.
//! * `report`: what can be seen of all this. `api`: how the host calls it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use torrens_journal::planted;

use super::core::Core;
use crate::cache::{CacheMeter, CachePin, CacheSettings, Counting, Labels, RegionCache};
use crate::{Incarnation, KeyRange, RegionId, Sequence, sync};

mod api;
mod check;
mod completion;
mod evict;
mod heat;
mod keeper;
mod leadership;
mod load;
mod preload;
mod report;
#[cfg(all(test, shuttle))]
mod schedules;

pub use check::{CacheCheck, CheckOutcome};
pub use completion::{CacheOutcome, CacheTicket};
pub(super) use heat::Heat;
pub(super) use keeper::KeeperClock;
pub use leadership::LeadershipAnswer;
pub use preload::{Preload, PreloadOutcome, PreloadRefusal, PreloadTicket};
pub use report::{CacheReport, CachedRegion, EvictingRegion};

use completion::Watches;
use heat::Heats;

/// The regions that a warm restart has yet to ask for.
#[derive(Debug, Default)]
struct Warm {
    /// As they were sorted last: the one that is most worth it comes last.
    left: Vec<(RegionId, Incarnation)>,
    /// They are sorted anew when there are no more than so many.
    sort_at: usize,
}

/// The memory of the caches, and what is known about its use.
#[derive(Debug)]
pub(super) struct Caches {
    meter: CacheMeter,
    state: sync::Mutex<State>,
    /// Validated.
    settings: ArcSwap<CacheSettings>,
    pub(super) counting: Counting,
    heats: Heats,
    labels: Mutex<Labels>,
    watches: Watches,
    /// Regions that were active when the process before ended, and are not loaded again yet.
    warm: Mutex<Warm>,
    /// The region that was compared last.
    checked: Mutex<Option<RegionId>>,
}

#[derive(Debug, Default)]
struct State {
    /// Mirrored into by writes; read from while the register says active.
    attached: HashMap<RegionId, Attached>,
    /// Detached by an eviction, waiting for their pins.
    retiring: HashMap<RegionId, Vec<Retiring>>,
    /// When a round, or a lack of memory, evicted a region; forgotten after a while.
    sent_away: HashMap<RegionId, Instant>,
}

#[derive(Clone, Debug)]
struct Attached {
    incarnation: Incarnation,
    cache: RegionCache,
    /// Views of larger regions that this one was split from, as long as somebody pins them.
    inherited: Vec<RegionCache>,
    since: Instant,
}

#[derive(Debug)]
struct Retiring {
    attached: Attached,
    since: Instant,
}

impl Attached {
    fn pins(&self) -> usize {
        let caches = self.inherited.iter().chain([&self.cache]);
        caches.map(RegionCache::pins).sum()
    }
}

impl Default for Caches {
    fn default() -> Self {
        let settings = CacheSettings::default();
        let settings = settings.validated().expect("the defaults are valid");
        Caches {
            meter: CacheMeter::new(),
            state: sync::Mutex::default(),
            settings: ArcSwap::from_pointee(settings),
            counting: Counting::default(),
            heats: Heats::default(),
            labels: Mutex::default(),
            watches: Watches::default(),
            warm: Mutex::default(),
            checked: Mutex::default(),
        }
    }
}

impl Caches {
    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<CacheSettings> {
        self.settings.load_full()
    }

    /// Puts validated settings in force.
    pub(super) fn put_settings(&self, settings: CacheSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Remembers regions that were active before the store was opened.
    pub(super) fn remember_warm(&self, regions: Vec<(RegionId, Incarnation)>) {
        let sort_at = regions.len();
        *self.warm.lock() = Warm {
            left: regions,
            sort_at,
        };
    }

    /// Whether there is anything left of that.
    pub(super) fn is_warm_wanted(&self) -> bool {
        self.settings.load().warm_restart && !self.warm.lock().left.is_empty()
    }

    /// What is read of a region.
    pub(super) fn heat(&self, region: RegionId) -> Arc<Heat> {
        self.heats.of(region)
    }

    /// Ends every ticket: nothing more comes about.
    pub(super) fn close(&self) {
        self.watches.close();
    }

    /// The cache that this incarnation's writes are mirrored into, if any.
    fn attached(&self, region: RegionId, incarnation: Incarnation) -> Option<RegionCache> {
        let state = self.state.lock();
        let attached = state.attached.get(&region)?;
        (attached.incarnation == incarnation).then(|| attached.cache.clone())
    }

    /// Whether this incarnation has a cache attached.
    pub(super) fn is_attached(&self, region: RegionId, incarnation: Incarnation) -> bool {
        let state = self.state.lock();
        let attached = state.attached.get(&region);
        attached.is_some_and(|attached| attached.incarnation == incarnation)
    }

    /// Attaches a new, empty cache.
    fn attach(&self, region: RegionId, incarnation: Incarnation, range: KeyRange) -> RegionCache {
        let cache = RegionCache::loading(range, &self.meter);
        let attached = Attached {
            incarnation,
            cache: cache.clone(),
            inherited: Vec::new(),
            since: Instant::now(),
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
        if attached.incarnation != incarnation {
            return None;
        }
        attached.cache.pin(sequence).ok()
    }

    /// Stops mirroring into, and new reads from, the region's cache. The caller holds the latch.
    pub(super) fn detach(&self, region: RegionId) {
        self.state.lock().detach(region);
    }

    /// As [`Caches::detach`], if it is this incarnation's: a successor may have one already.
    pub(super) fn detach_of(&self, region: RegionId, incarnation: Incarnation) {
        let mut state = self.state.lock();
        let is_its = |attached: &Attached| attached.incarnation == incarnation;
        if state.attached.get(&region).is_some_and(is_its) {
            state.detach(region);
        }
    }

    /// Lets the parts of a split share the cache of the whole. The caller holds the whole's latch.
    pub(super) fn split(&self, whole: RegionId, parts: &[(RegionId, Incarnation, KeyRange)]) {
        let ids: Vec<_> = parts.iter().map(|(region, ..)| *region).collect();
        self.heats.split(whole, &ids);
        let mut state = self.state.lock();
        let Some(Attached {
            cache,
            mut inherited,
            since,
            ..
        }) = state.attached.remove(&whole)
        else {
            return;
        };
        inherited.push(cache.clone());
        inherited.retain(|cache| cache.pins() > 0);
        for (region, incarnation, range) in parts {
            if let Some(cache) = cache.part(range.clone()) {
                let attached = Attached {
                    incarnation: *incarnation,
                    cache,
                    inherited: inherited.clone(),
                    since,
                };
                state.attached.insert(*region, attached);
            }
        }
        // The parts hold what they need.
        cache.free();
    }

    /// Lets go of what was detached and is not pinned, or has been pinned for `timeout`; says whether
    /// that was all of it, and how many the time ran out for.
    fn free_retired(&self, region: RegionId, timeout: Option<Duration>) -> (bool, u64) {
        let mut state = self.state.lock();
        let Some(retiring) = state.retiring.get_mut(&region) else {
            return (true, 0);
        };
        let mut timed_out = 0;
        retiring.retain(|each| {
            let pinned =
                each.attached.pins() > 0 && !planted!("eviction-does-not-wait-for-readers");
            let late = timeout.is_some_and(|timeout| each.since.elapsed() >= timeout);
            timed_out += u64::from(pinned && late);
            pinned && !late
        });
        let all = retiring.is_empty();
        if all {
            state.retiring.remove(&region);
        }
        (all, timed_out)
    }

    /// Bytes of memory that the caches, and the views that pin them, hold.
    pub(super) fn bytes(&self) -> u64 {
        self.meter.bytes()
    }
}

impl State {
    fn detach(&mut self, region: RegionId) {
        if let Some(attached) = self.attached.remove(&region) {
            // Pins hold what they read; nobody else needs it.
            attached.cache.free();
            let since = Instant::now();
            let retiring = Retiring { attached, since };
            self.retiring.entry(region).or_default().push(retiring);
        }
    }
}

impl Core {
    /// The range of a region's live peer, durable or not.
    fn decided_range(&self, region: RegionId) -> Option<KeyRange> {
        self.with_decided(|register| Some(register.peer(region)?.stage.region()?.range.clone()))
    }
}
