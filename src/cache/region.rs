//! `RegionCache`: the memory of one cached region; takes writes, is loaded, merged, split, pinned
//! and let go.
//!
//! What it holds is one [`Layers`] behind a pointer that is swapped. Those who change it take turns;
//! readers take a [`CachePin`] and are never waited for nor wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layers::{Layers, Stage, packed_bytes};
use super::load::CacheLoader;
use super::merge::merge;
use super::pin::Pins;
use super::run::{Run, settle};
use super::{CacheMeter, CachePin, CacheRefusal};
use crate::store::WriteBatch;
use crate::sync::{ArcSwap, AtomicBool, Mutex, MutexGuard};
use crate::{KeyRange, Sequence};

/// Versions in one run, at most, when runs are joined on the way of a write: bounds what one write
/// may have to copy.
const RUN_VERSIONS_MAX: usize = 4096;
/// One region's memory. Clones are the same.
#[derive(Clone, Debug)]
pub struct RegionCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    range: KeyRange,
    layers: ArcSwap<Layers>,
    /// Held while new layers are made out of the present ones, which is short.
    publishing: Mutex<()>,
    /// Held for the length of a merge.
    merging: Mutex<()>,
    /// A merge is due and was asked for.
    merge_asked: AtomicBool,
    /// Something was written since [`RegionCache::begin_rest`].
    written: AtomicBool,
    pins: Arc<Pins>,
    meter: CacheMeter,
}

impl RegionCache {
    /// An empty cache of `range` that is being loaded: it takes writes, and refuses reads until a
    /// [`CacheLoader`] is finished.
    pub fn loading(range: KeyRange, meter: &CacheMeter) -> Self {
        RegionCache::of(range, Arc::default(), meter)
    }

    fn of(range: KeyRange, layers: Arc<Layers>, meter: &CacheMeter) -> Self {
        RegionCache {
            shared: Arc::new(Shared {
                range,
                layers: ArcSwap::new(layers),
                publishing: Mutex::new(()),
                merging: Mutex::new(()),
                merge_asked: AtomicBool::new(false),
                written: AtomicBool::new(false),
                pins: Arc::default(),
                meter: meter.clone(),
            }),
        }
    }

    /// A cache of a part of this one, over the same memory, with pins of its own; `None` if `range`
    /// is not a part. A split makes one for each side; the next merge lets go what is the other's.
    pub fn part(&self, range: KeyRange) -> Option<RegionCache> {
        let layers = self.shared.layers.load_full();
        let is_part = self.shared.range.covers(&range);
        is_part.then(|| RegionCache::of(range, layers, &self.shared.meter))
    }

    /// The keys that it answers for.
    pub fn range(&self) -> &KeyRange {
        &self.shared.range
    }

    /// Adds what a write wrote at `sequence`, before that sequence becomes visible. Keys outside
    /// the range are left out: they are another region's. Sequences must come in their order.
    ///
    /// Says whether a merge became due, once until there was one.
    pub fn insert(&self, batch: &WriteBatch, sequence: Sequence) -> bool {
        let Some(run) = Run::of(batch, &self.shared.range, sequence, &self.shared.meter) else {
            return false;
        };
        let run = Arc::new(run);
        self.shared.written.store(true, Ordering::Relaxed);
        let layers = self.publish(|layers| {
            layers.recent.push(run);
            settle(&mut layers.recent, RUN_VERSIONS_MAX, &self.shared.meter);
        });
        layers.is_merge_due() && !self.shared.merge_asked.swap(true, Ordering::Relaxed)
    }

    /// Begins to fill it with what is readable at `sequence`; everything newer must have been
    /// inserted.
    pub fn loader(&self, sequence: Sequence) -> CacheLoader {
        CacheLoader::new(self.clone(), sequence, &self.shared.meter)
    }

    /// The oldest sequence that it can serve; `None` if it serves nothing.
    pub fn floor(&self) -> Option<Sequence> {
        match self.shared.layers.load().stage {
            Stage::Ready { floor } => Some(floor),
            Stage::Loading | Stage::Gone => None,
        }
    }

    /// Holds the memory as it is now, for reads at `sequence`.
    ///
    /// # Errors
    /// A [`CacheRefusal`], after which the store is asked.
    pub fn pin(&self, sequence: Sequence) -> Result<CachePin, CacheRefusal> {
        let pin = CachePin::new(
            self.shared.layers.load_full(),
            &self.shared.range,
            &self.shared.pins,
        )?;
        match sequence < pin.floor() {
            true => Err(CacheRefusal::TooOld {
                sequence,
                floor: pin.floor(),
            }),
            false => Ok(pin),
        }
    }

    /// Pins that are held.
    pub fn pins(&self) -> usize {
        self.shared.pins.count()
    }

    /// Whether a merge is worth its work: much was written since the last.
    pub fn is_merge_due(&self) -> bool {
        self.shared.layers.load().is_merge_due()
    }

    /// Says whether nothing was written since it was last asked, and asks from now on.
    pub fn begin_rest(&self) -> bool {
        !self.shared.written.swap(false, Ordering::Relaxed)
    }

    /// Whether memory is held of keys that a split gave to another region, which the next merge lets
    /// go.
    pub fn has_foreign(&self) -> bool {
        self.shared.layers.load().has_foreign(&self.shared.range)
    }

    /// Whether anything was written since the last merge, or a merge would let something go: old
    /// versions, or memory of keys that a split gave to another region.
    pub fn is_merge_useful(&self) -> bool {
        let layers = self.shared.layers.load();
        layers.runs().next().is_some()
            || layers.has_foreign(&self.shared.range)
            || layers.is_collectable()
    }

    /// Packs what was written since the last merge, and lets go what no read at or above `floor`
    /// can see: later pins refuse older reads. Readers and writers go on meanwhile. Says whether it
    /// did; not if another merge is running or it is not loaded.
    pub fn merge(&self, floor: Sequence) -> bool {
        self.begin_merge(floor).is_some_and(Merging::finish)
    }

    /// The first half of a merge: what was written so far is set apart, so that writers leave it as
    /// it is.
    pub(super) fn begin_merge(&self, floor: Sequence) -> Option<Merging<'_>> {
        let running = self.shared.merging.try_lock()?;
        self.shared.merge_asked.store(false, Ordering::Relaxed);
        let frozen = self.publish(|layers| {
            if matches!(layers.stage, Stage::Ready { .. }) {
                layers.frozen = layers.runs().cloned().collect();
                layers.recent.clear();
            }
        });
        match frozen.stage {
            Stage::Ready { floor: before } => Some(Merging {
                cache: self,
                frozen,
                floor: floor.max(before),
                _running: running,
            }),
            Stage::Loading | Stage::Gone => None,
        }
    }

    /// Lets go of the memory: nothing is taken or served from now on. Pins keep what they hold.
    pub fn free(&self) {
        self.publish(|layers| {
            *layers = Layers {
                stage: Stage::Gone,
                ..Layers::default()
            };
        });
    }

    /// Bytes of what it holds, without what pins alone hold. Memory that parts of a split share
    /// counts where its keys belong, once.
    pub fn bytes(&self) -> u64 {
        self.shared.layers.load().bytes(&self.shared.range)
    }

    /// Versions that it holds.
    pub fn versions(&self) -> usize {
        self.shared.layers.load().versions(&self.shared.range)
    }

    #[cfg(test)]
    pub(super) fn segments(&self) -> usize {
        let layers = self.shared.layers.load();
        let segments = layers
            .families
            .iter()
            .map(|(_, base)| base.segments().len());
        segments.sum()
    }

    /// Makes new layers out of the present ones and publishes them, unless they are gone.
    pub(super) fn publish(&self, change: impl FnOnce(&mut Layers)) -> Arc<Layers> {
        let _publishing = self.shared.publishing.lock();
        let present = self.shared.layers.load_full();
        if present.stage == Stage::Gone {
            return present;
        }
        let mut layers = Layers::clone(&present);
        change(&mut layers);
        let layers = Arc::new(layers);
        self.shared.layers.store(Arc::clone(&layers));
        layers
    }
}

/// A merge that is under way. Dropping it leaves everything to the next one.
pub(super) struct Merging<'a> {
    cache: &'a RegionCache,
    frozen: Arc<Layers>,
    floor: Sequence,
    _running: MutexGuard<'a, ()>,
}

impl Merging<'_> {
    /// Packs, and publishes the result in place of what was set apart; says whether that is still
    /// wanted.
    pub(super) fn finish(self) -> bool {
        let Merging {
            cache,
            frozen,
            floor,
            ..
        } = self;
        let families = merge(&frozen, cache.range(), floor, &cache.shared.meter);
        let packed_bytes = packed_bytes(&families);
        drop(frozen);
        let merged = cache.publish(|layers| {
            if matches!(layers.stage, Stage::Ready { .. }) {
                layers.families = Arc::new(families);
                layers.packed_bytes = packed_bytes;
                layers.frozen = Arc::default();
                layers.stage = Stage::Ready { floor };
            }
        });
        matches!(merged.stage, Stage::Ready { .. })
    }
}
