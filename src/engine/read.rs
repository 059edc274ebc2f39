//! Reads: a view of one region, pinned at an epoch and a sequence number.
//!
//! A view is consistent: it shows exactly the region's data at the moment it was taken, however
//! long it is held and whatever is written meanwhile. It takes no latch and waits for no sync. It
//! ends with [`ReadError::ViewEnded`] if a snapshot or a destroy clears the data under it.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::collect::ReadPin;
use super::core::Core;
use super::fence::Fence;
use super::write::Admit;
use super::{EngineError, ReadError};
use crate::cache::CachePin;
use crate::lifecycle::{CacheState, Refusal};
use crate::store::{ColumnFamily, Direction, Value, get_at, scan_at};
use crate::{Key, KeyRange, Region, RegionEpoch, RegionId, Sequence};

/// A consistent picture of one region's data.
#[derive(Debug)]
pub struct RegionView {
    core: Arc<Core>,
    region: Arc<Region>,
    sequence: Sequence,
    fence: Arc<Fence>,
    cache: Option<CachePin>,
    /// The versions that the view needs stay in the store.
    _pin: ReadPin,
}

impl Core {
    /// A view at `at`, or at the newest sequence.
    pub(super) fn view_at(
        self: &Arc<Self>,
        region: RegionId,
        epoch: RegionEpoch,
        at: Option<Sequence>,
        admit: Admit,
    ) -> Result<RegionView, ReadError> {
        let published = self.published();
        let normal = admit(&published, region, epoch).map_err(ReadError::Refused)?;
        // Still under the published picture: whatever takes the data away is published first, and
        // trips the fence after that.
        let fence = self.fences.current(region);
        let range = &normal.region.range;
        let pin = self.pins.pin(range, |collected| {
            self.choose_sequence(region, normal.incarnation, at, collected)
        })?;
        let sequence = pin.sequence();
        let cache = match published.cache_state(region) {
            CacheState::Active => self.caches.pin(region, normal.incarnation, sequence),
            _ => None,
        };
        let region = Arc::clone(&normal.region);
        drop(published);
        Ok(RegionView {
            core: Arc::clone(self),
            region,
            sequence,
            fence,
            cache,
            _pin: pin,
        })
    }
}

impl RegionView {
    /// The region's description when the view was taken.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The sequence number that the view reads at.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Whether the view reads from memory.
    pub fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    /// The value of `key` in the default column family, if it has one.
    ///
    /// # Errors
    /// See [`RegionView::get_cf`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        self.get_cf(ColumnFamily::DEFAULT, key)
    }

    /// The value of `key` in a column family, if it has one.
    ///
    /// # Errors
    /// [`ReadError::Refused`] if the key lies outside the region, [`ReadError::ViewEnded`] if the
    /// data is being cleared, [`ReadError::Engine`] if the store failed.
    pub fn get_cf(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Value>, ReadError> {
        if !self.region.range.contains(key) {
            let region = self.region.id;
            return Err(ReadError::Refused(Refusal::KeyOutOfRange {
                region,
                key: key.into(),
            }));
        }
        // A view pins a cache that can serve it; were that ever wrong, the store still can.
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.get_at(cf, key, self.sequence).ok());
        let value = match cached {
            Some(value) => Ok(value),
            None => get_at(&*self.core.data, cf, key, self.sequence),
        };
        self.check_fence()?;
        value.map_err(|error| ReadError::Engine(EngineError::Data(error)))
    }

    /// The rows of the default column family whose keys lie in `range` (and in the region), in
    /// ascending key order. After an error nothing follows.
    pub fn scan<'a>(
        &'a self,
        range: impl RangeBounds<&'a [u8]>,
    ) -> impl Iterator<Item = Result<(Key, Value), ReadError>> + 'a {
        self.scan_cf(ColumnFamily::DEFAULT, range, Direction::Forward)
    }

    /// As [`RegionView::scan`], in descending key order.
    pub fn scan_reverse<'a>(
        &'a self,
        range: impl RangeBounds<&'a [u8]>,
    ) -> impl Iterator<Item = Result<(Key, Value), ReadError>> + 'a {
        self.scan_cf(ColumnFamily::DEFAULT, range, Direction::Reverse)
    }

    /// The rows of a column family whose keys lie in `range` (and in the region), in key order or
    /// its reverse. After an error nothing follows.
    pub fn scan_cf<'a>(
        &'a self,
        cf: ColumnFamily,
        range: impl RangeBounds<&'a [u8]>,
        direction: Direction,
    ) -> impl Iterator<Item = Result<(Key, Value), ReadError>> + 'a {
        let wanted = half_open(&range).and_then(|range| range.intersection(&self.region.range));
        let rows = wanted.map(|range| {
            let cached = self.cache.as_ref();
            let cached =
                cached.and_then(|cache| cache.scan_at(cf, &range, self.sequence, direction).ok());
            match cached {
                Some(rows) => Box::new(rows.map(Ok)) as Box<dyn Iterator<Item = _>>,
                None => Box::new(scan_at(
                    &*self.core.data,
                    cf,
                    &range,
                    self.sequence,
                    direction,
                )),
            }
        });
        // Checked behind the last row too: rows that went away end a scan early.
        let rows = rows.into_iter().flatten().map(Some).chain([None]);
        let mut ended = false;
        rows.map_while(move |row| {
            if ended {
                return None;
            }
            let item = match (self.check_fence(), row) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(row)) => {
                    row.map_err(|error| ReadError::Engine(EngineError::Data(error)))
                }
                (Ok(()), None) => return None,
            };
            ended = item.is_err();
            Some(item)
        })
    }

    /// After a read: was the data still whole?
    fn check_fence(&self) -> Result<(), ReadError> {
        if self.fence.is_tripped() {
            return Err(ReadError::ViewEnded {
                region: self.region.id,
            });
        }
        Ok(())
    }
}

/// Any bounds as a half-open range; `None` if they are empty.
fn half_open<'a>(bounds: &impl RangeBounds<&'a [u8]>) -> Option<KeyRange> {
    // The first key after `key` is `key` with a zero byte behind it.
    let after = |key: &[u8]| [key, &[0]].concat();
    let start = match bounds.start_bound() {
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Vec::new(),
    };
    let end = match bounds.end_bound() {
        Bound::Included(key) => Some(after(key)),
        Bound::Excluded(key) => Some(key.to_vec()),
        Bound::Unbounded => None,
    };
    KeyRange::new(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_bound_holds_the_keys_that_it_says() {
        let keys: [&[u8]; 5] = [b"", b"a", b"a\0", b"b", b"c"];
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        let all = [
            (Bound::Included(a), Bound::Included(b)),
            (Bound::Included(a), Bound::Excluded(b)),
            (Bound::Excluded(a), Bound::Included(b)),
            (Bound::Excluded(a), Bound::Excluded(b)),
            (Bound::Unbounded, Bound::Unbounded),
        ];
        for bounds in all {
            let range = half_open(&bounds).unwrap();
            for key in keys {
                assert_eq!(
                    range.contains(key),
                    bounds.contains(&key),
                    "{bounds:?} {key:?}"
                );
            }
        }
        assert_eq!(half_open(&(Bound::Included(b), Bound::Excluded(a))), None);
    }
}
