//! The keeper: what happens to caches without anybody asking. Rounds of automatic loads and
//! evictions, relief when memory runs short, the warm restart, packing of what nobody writes to any
//! more.
//!
//! What to do is decided in `crate::cache::policy`; each thing that is done has its reason in the
//! journal and a counter.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Warm;
use crate::cache::policy::{HeatPlace, RegionHeat, decide};
use crate::cache::{CacheDecision, RegionCache};
use crate::engine::background::Job;
use crate::engine::core::Core;
use crate::lifecycle::{CacheState, Cause, EvictReason, LoadReason};
use crate::{KeyRange, RegionId};

/// Time between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Regions that the warm restart asks for before it looks again at what is read.
const WARM_AT_A_TIME: usize = 4;
/// With more than so many left it does so only when an eighth of them is asked for.
const WARM_SORTED_EACH_TIME: usize = 256;

/// Which regions are looked at.
#[derive(Clone, Copy, Debug)]
enum Among {
    All,
    Cached,
}

/// When the keeper's work is due.
#[derive(Debug)]
pub(in crate::engine) struct KeeperClock {
    sweep: Instant,
    round: Instant,
    check: Instant,
}

impl KeeperClock {
    pub(in crate::engine) fn new() -> Self {
        let now = Instant::now();
        KeeperClock {
            sweep: now,
            round: now,
            check: now,
        }
    }

    /// When to look again.
    pub(in crate::engine) fn due(&self) -> Instant {
        self.sweep + SWEEP_INTERVAL
    }

    /// Queues what is due.
    pub(in crate::engine) fn look(&mut self, core: &Core) {
        let now = Instant::now();
        let settings = core.caches.settings.load();
        if now >= self.due() {
            self.sweep = now;
            core.queue.push(Job::Sweep);
        }
        if now >= self.round + settings.round_interval {
            self.round = now;
            core.queue.push(Job::Round);
        }
        match settings.check_interval {
            Some(interval) if now >= self.check + interval => {
                self.check = now;
                core.queue.push(Job::Check);
            }
            Some(_) | None => {}
        }
    }
}

impl Core {
    /// One round of automatic loads and evictions; answers what it decided.
    pub(in crate::engine) fn balance_caches(&self) -> Vec<CacheDecision> {
        self.caches.counting.rounds.add(1);
        {
            let published = self.published();
            let is_live = |region| published.peer(region).is_some();
            self.caches.heats.end_round(is_live);
            self.observing
                .leadership
                .retain(|region, incarnation| published.incarnation(region) == Some(incarnation));
        }
        self.carry_out(Among::All)
    }

    /// Evicts what has to go if memory runs short.
    pub(in crate::engine) fn relieve_caches(&self) {
        let threshold = self.caches.settings.load().evict_bytes_effective();
        if self.caches.bytes() > threshold {
            // Nothing is loaded while memory is short, so nobody else matters. This is asked for by writes:
            // it must not take as long as the store has regions.
            let _decided = self.carry_out(Among::Cached);
        }
    }

    fn carry_out(&self, among: Among) -> Vec<CacheDecision> {
        let settings = self.caches.settings();
        if !settings.enabled {
            return Vec::new();
        }
        let regions = self.heat_of_regions(among);
        let decisions = decide(&settings, self.caches.bytes(), &regions);
        for decision in &decisions {
            match *decision {
                CacheDecision::Load(region, reason) => self.load_by_keeper(region, reason),
                CacheDecision::Evict(region, reason) => {
                    self.caches.send_away(region);
                    // Memory stops serving whatever becomes of the record.
                    let _ = self.evict_for(region, reason, Cause::Collector);
                }
            }
        }
        decisions
    }

    fn heat_of_regions(&self, among: Among) -> Vec<RegionHeat> {
        let published = self.published();
        // The lock is given back before the regions are looked at: every write takes it.
        let (cached, sent_away) = {
            let state = self.caches.state.lock();
            let cached = state.attached.iter().map(|(region, attached)| {
                let (bytes, since) = (attached.cache.bytes(), attached.since.elapsed());
                (*region, HeatPlace::Cached { bytes, since })
            });
            (cached.collect::<BTreeMap<_, _>>(), state.sent_away.clone())
        };
        let labels = self.caches.labels.lock();
        let heat = |region: RegionId| {
            let peer = published.peer(region)?;
            let normal = published.normal(region, peer.incarnation)?;
            let place = match published.cache_state(region) {
                CacheState::Active => cached.get(&region).cloned().unwrap_or(HeatPlace::Neither),
                CacheState::Absent if self.may_load(region, peer.incarnation) => {
                    let evicted = sent_away.get(&region).map(Instant::elapsed);
                    HeatPlace::Absent { evicted }
                }
                CacheState::Absent
                | CacheState::LoadRequested
                | CacheState::LoadQueued
                | CacheState::Loading
                | CacheState::Cancelled
                | CacheState::EvictPending
                | CacheState::Evicting => HeatPlace::Neither,
            };
            Some(RegionHeat {
                region,
                reads: self.caches.heats.known(region).2,
                label: labels.priority(&normal.region.range),
                place,
            })
        };
        match among {
            Among::All => published.region_ids().filter_map(heat).collect(),
            Among::Cached => cached.keys().copied().filter_map(heat).collect(),
        }
    }

    /// Packs what was written to regions since their last merge, also where it is little: a region at
    /// rest takes no more than it has to.
    ///
    /// One that was written to since the last sweep is not at rest, and left to the merge that its
    /// writes ask for when they are enough: packing it each second would cost its writes more than
    /// they cost by themselves. Only what a split left in two regions' memory is not kept until then.
    pub(in crate::engine) fn sweep_caches(&self) {
        let attached: Vec<(RegionId, RegionCache)> = {
            let state = self.caches.state.lock();
            let attached = state.attached.iter();
            attached
                .map(|(region, attached)| (*region, attached.cache.clone()))
                .collect()
        };
        // Looked at without the lock, which every write takes.
        let useful = attached.into_iter().filter_map(|(region, cache)| {
            let rests = cache.begin_rest();
            let useful = cache.floor().is_some()
                && ((rests && cache.is_merge_useful()) || cache.has_foreign());
            useful.then_some(region)
        });
        useful
            .into_iter()
            .for_each(|region| self.queue.push(Job::Merge(region)));
        self.relieve_caches();
    }

    /// Asks for some of the regions that were active before the restart: labelled ones first, by
    /// priority, then those that are read most since.
    pub(in crate::engine) fn warm_caches(&self) {
        let settings = self.caches.settings();
        if !(settings.enabled && settings.warm_restart) {
            self.caches.warm.lock().left.clear();
            return;
        }
        let Warm {
            mut left,
            mut sort_at,
        } = std::mem::take(&mut *self.caches.warm.lock());
        if left.len() <= sort_at {
            let published = self.published();
            let labels = self.caches.labels.lock();
            left.retain(|(region, incarnation)| published.normal(*region, *incarnation).is_some());
            left.sort_by_cached_key(|(region, incarnation)| {
                let normal = published.normal(*region, *incarnation);
                let label = normal.and_then(|normal| labels.priority(&normal.region.range));
                let (reads, ..) = self.caches.heats.known(*region);
                (label, reads, std::cmp::Reverse(*region))
            });
            drop(labels);
            // Looking at all of many each time would take the square of their number.
            sort_at = match left.len() {
                many if many > WARM_SORTED_EACH_TIME => many - many / 8,
                few => few,
            };
        }
        if self.caches.bytes() >= settings.stop_load_bytes_effective() {
            return;
        }
        for _ in 0..WARM_AT_A_TIME {
            let Some((region, incarnation)) = left.pop() else {
                return;
            };
            let is_live = self.published().normal(region, incarnation).is_some();
            if is_live {
                self.load_by_keeper(region, LoadReason::WarmRestart);
            }
        }
        if !left.is_empty() {
            *self.caches.warm.lock() = Warm { left, sort_at };
            self.queue.push(Job::Warm);
        }
    }

    /// Loads the regions that a label covers, now that there is one.
    pub(super) fn load_labelled(&self, range: &KeyRange) {
        for (region, _) in self.regions_over(range) {
            self.load_by_keeper(region, LoadReason::Label);
        }
    }

    /// Evicts the regions that no label covers any more.
    pub(super) fn evict_unlabelled(&self, range: &KeyRange) {
        for (region, _) in self.regions_over(range) {
            let of_region = self.decided_range(region);
            let labels = self.caches.labels.lock();
            let held = of_region.is_some_and(|range| labels.priority(&range).is_some());
            drop(labels);
            if !held {
                // Memory stops serving whatever becomes of the record.
                let _ = self.evict_for(region, EvictReason::LabelRemoved, Cause::Host);
            }
        }
    }
}

impl Core {
    /// Regions that have memory, or are about to.
    pub(super) fn cached_regions(&self) -> Vec<RegionId> {
        self.with_decided(|register| {
            let slots = register.slots();
            let cached = slots.filter(|(_, slot)| slot.cache.state() != CacheState::Absent);
            cached.map(|(region, _)| region).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use torrens_journal::testing::SimDisk;

    use super::*;
    use crate::engine::background::JobKind;
    use crate::engine::{Background, Engine, WriteAnswer};
    use crate::store::{MemoryFactory, MemoryStore, WriteBatch};
    use crate::{Peer, PeerId, RaftPosition, Region, RegionEpoch, StoreId};

    #[test]
    fn a_region_is_packed_when_it_rests_and_not_while_it_is_written_to() {
        let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
        let (engine, _) = Engine::options()
            .store(StoreId(4))
            .disk(Arc::new(SimDisk::new(7)))
            .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
            .background(Background::Manual)
            .open(Path::new("store"))
            .unwrap();
        let peers = vec![Peer::voter(PeerId(1), StoreId(4))];
        let range = KeyRange::all();
        let region = Region {
            id,
            range,
            epoch,
            peers,
        };
        assert!(engine.bootstrap(region).unwrap().holds());
        assert!(engine.load(id, epoch).unwrap().holds());
        while engine.step_background().unwrap().is_some() {}
        let write = |index| {
            let mut batch = WriteBatch::new();
            batch.put(*b"a", [index as u8]);
            let at = RaftPosition { index, term: 6 };
            let answer = engine.write(id, epoch, at, &batch).unwrap();
            assert!(matches!(answer, WriteAnswer::Applied { .. }));
        };
        let merges_after_a_sweep = || {
            engine.core.sweep_caches();
            engine.core.queue.waiting(JobKind::Merge)
        };
        for index in 6..9 {
            write(index);
            assert_eq!(merges_after_a_sweep(), 0, "it was just written to");
        }
        assert_eq!(merges_after_a_sweep(), 1, "it rests");
        while engine.step_background().unwrap().is_some() {}
        assert_eq!(merges_after_a_sweep(), 0, "nothing was written since");
    }
}
