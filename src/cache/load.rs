//! `CacheLoader`: fills a region's memory from what the store holds, while writes go on.
//!
//! Rows are packed as they come, so a load never takes more memory than the region will.

use super::base::BaseBuilder;
use super::layers::{Families, Stage, packed_bytes};
use super::{CacheMeter, RegionCache};
use crate::Sequence;
use crate::store::ColumnFamily;

/// Packs rows for one [`RegionCache`]. Dropping it unfinished leaves the cache as it was.
#[derive(Debug)]
pub struct CacheLoader {
    cache: RegionCache,
    sequence: Sequence,
    meter: CacheMeter,
    done: Vec<(ColumnFamily, super::base::Base)>,
    open: Option<(ColumnFamily, BaseBuilder)>,
}

impl CacheLoader {
    pub(super) fn new(cache: RegionCache, sequence: Sequence, meter: &CacheMeter) -> Self {
        CacheLoader {
            cache,
            sequence,
            meter: meter.clone(),
            done: Vec::new(),
            open: None,
        }
    }

    /// Adds the next row that is readable at the load's sequence: column families in the order of
    /// their numbers, keys in theirs. A key outside the range is left out.
    pub fn push(&mut self, cf: ColumnFamily, key: &[u8], value: &[u8]) {
        if !self.cache.range().contains(key) {
            return;
        }
        let builder = match &mut self.open {
            Some((open, builder)) if *open == cf => builder,
            _ => {
                self.close();
                let builder = BaseBuilder::new(self.sequence, &self.meter);
                &mut self.open.insert((cf, builder)).1
            }
        };
        builder.push(key, std::iter::once((self.sequence, Some(value))));
    }

    fn close(&mut self) {
        if let Some((cf, builder)) = self.open.take() {
            self.done.push((cf, builder.finish()));
        }
    }

    /// Says that every row was pushed: from now on reads at or above the load's sequence are
    /// answered. A cache that was freed meanwhile stays so.
    pub fn finish(mut self) {
        self.close();
        let families: Families = std::mem::take(&mut self.done).into_boxed_slice();
        let packed_bytes = packed_bytes(&families);
        self.cache.publish(|layers| {
            layers.families = families.into();
            layers.packed_bytes = packed_bytes;
            layers.stage = Stage::Ready {
                floor: self.sequence,
            };
        });
    }
}
