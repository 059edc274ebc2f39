//! `RegionCache`: one region's view of cached versions.
//!
//! A load makes one; a split gives each side a view of its own range over the same memory, which
//! goes when the last view and the last pin on it are gone. Readers pin the view; eviction waits
//! until nobody does.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::CacheMeter;
use super::versions::CachedVersions;
use crate::store::newest::Newest;
use crate::store::{ColumnFamily, Direction, Value, WriteBatch};
use crate::{Key, KeyRange, Sequence};

/// Why the cache does not answer a read; the store can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheRefusal {
    /// The load has not finished.
    #[error("the region is still being loaded")]
    Loading,
    /// Older than what was loaded.
    #[error("sequence {sequence} is below {load_sequence}, the oldest that the cache can serve")]
    TooOld {
        /// Sequence of the read.
        sequence: Sequence,
        /// Oldest sequence that can be served.
        load_sequence: Sequence,
    },
    /// The key or range is not this region's.
    #[error("outside the cached range")]
    Outside,
}

#[derive(Debug)]
struct Load {
    versions: CachedVersions,
    /// Set once, when the load is complete.
    sequence: OnceLock<Sequence>,
}

#[derive(Debug, Default)]
struct Pins {
    count: Mutex<usize>,
    gone: Condvar,
}

/// One region's cached versions. Clones are the same view, with the same pins.
#[derive(Clone, Debug)]
pub struct RegionCache {
    load: Arc<Load>,
    range: KeyRange,
    pins: Arc<Pins>,
}

impl RegionCache {
    /// An empty cache of `range` that is being loaded: it takes writes, and refuses reads until
    /// [`finish_load`](Self::finish_load).
    pub fn loading(range: KeyRange, meter: &CacheMeter) -> Self {
        let versions = CachedVersions::new(meter.clone());
        RegionCache {
            load: Arc::new(Load {
                versions,
                sequence: OnceLock::new(),
            }),
            range,
            pins: Arc::default(),
        }
    }

    /// A view of a part of this one, with the same memory and pins of its own; `None` if `range`
    /// is not a part. A split makes one for each side.
    pub fn view(&self, range: KeyRange) -> Option<RegionCache> {
        self.range.covers(&range).then(|| RegionCache {
            load: self.load.clone(),
            range,
            pins: Arc::default(),
        })
    }

    /// The keys that it answers for.
    pub fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Adds what a write wrote at `sequence`, before that sequence becomes visible. Keys outside
    /// the range are left out: they are another region's.
    pub fn insert(&self, batch: &WriteBatch, sequence: Sequence) {
        let ops = batch.ops().iter().filter(|op| self.range.contains(&op.key));
        let versions = ops.map(|op| (op.cf, op.key.clone(), sequence, op.value.clone()));
        self.load.versions.insert(versions);
    }

    /// Adds a version that the loader read from the store; a value of `None` is a deletion. A key
    /// outside the range is left out.
    pub fn fill(&self, cf: ColumnFamily, key: Key, sequence: Sequence, value: Option<Value>) {
        if self.range.contains(&key) {
            self.load
                .versions
                .insert(std::iter::once((cf, key, sequence, value)));
        }
    }

    /// Says that everything readable at `sequence` was filled in and everything newer was
    /// inserted: from now on reads at or above it are answered. A second call changes nothing.
    pub fn finish_load(&self, sequence: Sequence) {
        let _ = self.load.sequence.set(sequence);
    }

    /// The oldest sequence that it can serve; `None` while it is being loaded.
    pub fn load_sequence(&self) -> Option<Sequence> {
        self.load.sequence.get().copied()
    }

    /// The newest value of `key` at or below `sequence`; `None` if there is none or it was deleted.
    ///
    /// # Errors
    /// A [`CacheRefusal`], after which the store is asked.
    pub fn get_at(
        &self,
        cf: ColumnFamily,
        key: &[u8],
        sequence: Sequence,
    ) -> Result<Option<Value>, CacheRefusal> {
        self.check(self.range.contains(key), sequence)?;
        Ok(self.load.versions.get_at(cf, key, sequence))
    }

    /// The keys of `range` with their newest value at or below `sequence`, deleted keys left out,
    /// in key order or its reverse.
    ///
    /// # Errors
    /// A [`CacheRefusal`], after which the store is asked.
    pub fn scan_at(
        &self,
        cf: ColumnFamily,
        range: &KeyRange,
        sequence: Sequence,
        direction: Direction,
    ) -> Result<impl Iterator<Item = (Key, Value)> + Send + use<'_>, CacheRefusal> {
        self.check(self.range.covers(range), sequence)?;
        let walk = self.load.versions.walk(cf, range, direction);
        Ok(Newest::new(walk, sequence, direction).map(|Ok(row)| row))
    }

    fn check(&self, inside: bool, sequence: Sequence) -> Result<(), CacheRefusal> {
        if !inside {
            return Err(CacheRefusal::Outside);
        }
        match self.load_sequence() {
            None => Err(CacheRefusal::Loading),
            Some(load_sequence) if sequence < load_sequence => Err(CacheRefusal::TooOld {
                sequence,
                load_sequence,
            }),
            Some(_) => Ok(()),
        }
    }

    /// Bytes that the memory behind it takes, with what other views of it see.
    pub fn bytes(&self) -> u64 {
        self.load.versions.bytes()
    }

    /// Versions in the memory behind it, with those that other views of it see.
    pub fn versions(&self) -> usize {
        self.load.versions.len()
    }

    /// Frees the versions of its range, also where other views keep the rest; returns the bytes
    /// freed. For the end of an eviction: nobody reads through this view any more.
    pub fn free(&self) -> u64 {
        self.load.versions.remove(&self.range)
    }

    /// Keeps the view from being evicted until the pin is dropped.
    pub fn pin(&self) -> CachePin {
        *self.pins.count.lock() += 1;
        CachePin {
            cache: self.clone(),
        }
    }

    /// Pins that are held.
    pub fn pins(&self) -> usize {
        *self.pins.count.lock()
    }

    /// Waits until no pin is held, at most `timeout`; whether that came true.
    pub fn wait_unpinned(&self, timeout: Duration) -> bool {
        // No deadline if it lies beyond what the clock can say.
        let deadline = Instant::now().checked_add(timeout);
        let mut count = self.pins.count.lock();
        while *count > 0 {
            match deadline {
                None => self.pins.gone.wait(&mut count),
                Some(deadline) => {
                    if self.pins.gone.wait_until(&mut count, deadline).timed_out() {
                        return *count == 0;
                    }
                }
            }
        }
        true
    }
}

/// A reader's hold on a [`RegionCache`], which it reads through.
#[derive(Debug)]
#[must_use = "a pin that is dropped at once holds nothing"]
pub struct CachePin {
    cache: RegionCache,
}

impl std::ops::Deref for CachePin {
    type Target = RegionCache;

    fn deref(&self) -> &RegionCache {
        &self.cache
    }
}

impl Drop for CachePin {
    fn drop(&mut self) {
        let mut count = self.cache.pins.count.lock();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.cache.pins.gone.notify_all();
        }
    }
}
