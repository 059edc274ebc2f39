//! `CachePin`: a reader's hold on a region's memory as it was when the pin was taken.
//!
//! A pin owns what it reads, so it takes no lock, and writes, merges, splits and evictions change
//! nothing of it. Its memory stays charged until it is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layers::{Layers, Stage};
use super::{CacheRefusal, Scan};
use crate::store::{ColumnFamily, Direction};
use crate::sync::AtomicUsize;
use crate::{KeyRange, Sequence};

/// How many pins of one region's memory are held.
#[derive(Debug, Default)]
pub(super) struct Pins(AtomicUsize);

impl Pins {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// Reads of one region's memory, at the moment when it was pinned.
#[derive(Debug)]
#[must_use = "a pin that is dropped at once holds nothing"]
pub struct CachePin {
    layers: Arc<Layers>,
    range: KeyRange,
    floor: Sequence,
    pins: Arc<Pins>,
}

impl CachePin {
    /// A pin of ready layers, counted.
    pub(super) fn new(
        layers: Arc<Layers>,
        range: &KeyRange,
        pins: &Arc<Pins>,
    ) -> Result<Self, CacheRefusal> {
        let floor = match layers.stage {
            Stage::Ready { floor } => floor,
            Stage::Loading => return Err(CacheRefusal::Loading),
            Stage::Gone => return Err(CacheRefusal::Gone),
        };
        pins.0.fetch_add(1, Ordering::AcqRel);
        Ok(CachePin {
            layers,
            range: range.clone(),
            floor,
            pins: Arc::clone(pins),
        })
    }

    /// The keys that it answers for.
    pub fn range(&self) -> &KeyRange {
        &self.range
    }

    /// The oldest sequence that can be read.
    pub fn floor(&self) -> Sequence {
        self.floor
    }

    /// The newest value of `key` at or below `sequence`; `None` if there is none or it was deleted.
    ///
    /// What is read at a sequence that was not complete when the pin was taken is unspecified.
    ///
    /// # Errors
    /// A [`CacheRefusal`], after which the store is asked.
    #[inline]
    pub fn get(
        &self,
        cf: ColumnFamily,
        key: &[u8],
        sequence: Sequence,
    ) -> Result<Option<&[u8]>, CacheRefusal> {
        self.check(sequence)?;
        if !self.range.contains(key) {
            return Err(CacheRefusal::Outside);
        }
        Ok(self.layers.get(cf, key, sequence))
    }

    /// The keys of `range` with their newest value at or below `sequence`, deleted keys left out,
    /// in key order or its reverse. Rows are slices of the memory itself.
    ///
    /// # Errors
    /// A [`CacheRefusal`], after which the store is asked.
    pub fn scan(
        &self,
        cf: ColumnFamily,
        range: &KeyRange,
        sequence: Sequence,
        direction: Direction,
    ) -> Result<Scan<'_>, CacheRefusal> {
        self.check(sequence)?;
        if !self.range.covers(range) {
            return Err(CacheRefusal::Outside);
        }
        Ok(self.layers.scan(cf, range, sequence, direction))
    }

    #[inline]
    fn check(&self, sequence: Sequence) -> Result<(), CacheRefusal> {
        if sequence < self.floor {
            return Err(CacheRefusal::TooOld {
                sequence,
                floor: self.floor,
            });
        }
        Ok(())
    }
}

impl Drop for CachePin {
    fn drop(&mut self) {
        self.pins.0.fetch_sub(1, Ordering::AcqRel);
    }
}
