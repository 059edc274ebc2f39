//! Reads: a view of one region, pinned at an epoch and a sequence number.
//!
//! A view is consistent: it shows exactly the region's data at the moment it was taken, however
//! long it is held and whatever is written meanwhile. It takes no latch and waits for no sync. It
//! ends with [`ReadError::ViewEnded`] if a snapshot or a destroy clears the data under it.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::caches::Heat;
use super::collect::ReadPin;
use super::core::Core;
use super::fence::Fence;
use super::row::{PinnedSlice, Row};
use super::write::Admit;
use super::{EngineError, ReadError};
use crate::cache::{CachePin, Scan};
use crate::lifecycle::{CacheState, Refusal};
use crate::store::{ColumnFamily, Direction, StoreError, Value, get_at, scan_at};
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
    reads: Reads,
}

/// What a view read, counted without a shared counter until it ends.
#[derive(Debug, Default)]
struct Reads {
    heat: Arc<Heat>,
    gets: AtomicU64,
    rows: AtomicU64,
}

impl Reads {
    /// Two threads that count at once may lose one: these are statistics.
    fn count(counter: &AtomicU64, count: u64) {
        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }
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
        let is_active = published.cache_state(region) == CacheState::Active;
        let cache = is_active.then(|| self.caches.pin(region, normal.incarnation, sequence));
        let cache = cache.flatten();
        let described = Arc::clone(&normal.region);
        drop(published);
        let counting = &self.caches.counting;
        match cache {
            Some(_) => counting.views_from_memory.add(1),
            None if is_active => counting.views_too_old.add(1),
            None => counting.views_uncached.add(1),
        }
        let reads = Reads {
            heat: self.caches.heat(region),
            ..Reads::default()
        };
        let region = described;
        Ok(RegionView {
            core: Arc::clone(self),
            region,
            sequence,
            fence,
            cache,
            _pin: pin,
            reads,
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

    /// What it pins in memory, if anything.
    pub(super) fn pin(&self) -> Option<&CachePin> {
        self.cache.as_ref()
    }

    /// Whether the data was taken away.
    pub(super) fn is_ended(&self) -> bool {
        self.fence.is_tripped()
    }

    /// Whether the view reads from memory.
    pub fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    /// The value of `key` in the default column family, if it has one.
    ///
    /// # Errors
    /// See [`RegionView::get_cf`].
    pub fn get(&self, key: &[u8]) -> Result<Option<PinnedSlice<'_>>, ReadError> {
        self.get_cf(ColumnFamily::DEFAULT, key)
    }

    /// The value of `key` in a column family, if it has one.
    ///
    /// # Errors
    /// [`ReadError::Refused`] if the key lies outside the region, [`ReadError::ViewEnded`] if the
    /// data is being cleared, [`ReadError::Engine`] if the store failed.
    pub fn get_cf(
        &self,
        cf: ColumnFamily,
        key: &[u8],
    ) -> Result<Option<PinnedSlice<'_>>, ReadError> {
        Reads::count(&self.reads.gets, 1);
        if let Some(cache) = &self.cache {
            // A view pins a cache that can serve it; were that ever wrong, the store still can.
            if let Ok(value) = cache.get(cf, key, self.sequence) {
                self.check_fence()?;
                return Ok(value.map(PinnedSlice::memory));
            }
        }
        if !self.region.range.contains(key) {
            let region = self.region.id;
            return Err(ReadError::Refused(Refusal::KeyOutOfRange {
                region,
                key: key.into(),
            }));
        }
        let value = get_at(&*self.core.data, cf, key, self.sequence);
        self.check_fence()?;
        match value {
            Ok(value) => Ok(value.map(PinnedSlice::value)),
            Err(error) => Err(ReadError::Engine(EngineError::Data(error))),
        }
    }

    /// The rows of the default column family whose keys lie in `range` (and in the region), in
    /// ascending key order. After an error nothing follows.
    ///
    /// Each row owns its bytes; [`RegionView::rows`] copies nothing that lies in memory.
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

    /// As [`RegionView::scan`], of any column family, in key order or its reverse.
    pub fn scan_cf<'a>(
        &'a self,
        cf: ColumnFamily,
        range: impl RangeBounds<&'a [u8]>,
        direction: Direction,
    ) -> impl Iterator<Item = Result<(Key, Value), ReadError>> + 'a {
        let rows = self.rows(cf, range, direction);
        rows.map(|row| row.map(Row::into_owned))
    }

    /// The rows of a column family whose keys lie in `range` (and in the region), in key order or
    /// its reverse, as slices of memory where they lie there. After an error nothing follows.
    pub fn rows<'k>(
        &self,
        cf: ColumnFamily,
        range: impl RangeBounds<&'k [u8]>,
        direction: Direction,
    ) -> Rows<'_> {
        let wanted = half_open(&range).and_then(|range| range.intersection(&self.region.range));
        let source = match wanted {
            None => Source::Ended,
            Some(range) => {
                let cache = self.cache.as_ref();
                let cached =
                    cache.and_then(|cache| cache.scan(cf, &range, self.sequence, direction).ok());
                match cached {
                    Some(rows) => Source::Memory(rows),
                    None => {
                        let data = &*self.core.data;
                        let rows = scan_at(data, cf, &range, self.sequence, direction);
                        Source::Store(Box::new(rows))
                    }
                }
            }
        };
        Rows {
            view: self,
            source,
            count: 0,
        }
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

/// The rows of a range of a view.
pub struct Rows<'a> {
    view: &'a RegionView,
    source: Source<'a>,
    count: u64,
}

/// Where rows come from.
enum Source<'a> {
    Memory(Scan<'a>),
    Store(Box<dyn Iterator<Item = Result<(Key, Value), StoreError>> + Send + 'a>),
    /// The end or an error was met.
    Ended,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, ReadError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let row = match &mut self.source {
            Source::Memory(rows) => match rows.next() {
                Some(row) if !self.view.fence.is_tripped() => {
                    self.count += 1;
                    return Some(Ok(Row::memory(row)));
                }
                Some(_) | None => None,
            },
            Source::Store(rows) => rows.next(),
            Source::Ended => return None,
        };
        self.check_row(row)
    }
}

impl<'a> Rows<'a> {
    /// Checked behind the last row too: rows that went away end a scan early.
    fn check_row(
        &mut self,
        row: Option<Result<(Key, Value), StoreError>>,
    ) -> Option<Result<Row<'a>, ReadError>> {
        let item = match (self.view.check_fence(), row) {
            (Err(error), _) => Some(Err(error)),
            (Ok(()), Some(Ok(row))) => {
                self.count += 1;
                return Some(Ok(Row::stored(row)));
            }
            (Ok(()), Some(Err(error))) => Some(Err(ReadError::Engine(EngineError::Data(error)))),
            (Ok(()), None) => None,
        };
        self.source = Source::Ended;
        item
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        Reads::count(&self.view.reads.rows, self.count);
    }
}

impl Drop for RegionView {
    fn drop(&mut self) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (gets, rows) = (load(&self.reads.gets), load(&self.reads.rows));
        let from_memory = self.cache.is_some();
        self.reads.heat.add(gets + rows, from_memory);
        let counting = &self.core.caches.counting;
        let (of_gets, of_rows) = match from_memory {
            true => (&counting.gets_from_memory, &counting.rows_from_memory),
            false => (&counting.gets_from_store, &counting.rows_from_store),
        };
        if gets > 0 {
            of_gets.add(gets);
        }
        if rows > 0 {
            of_rows.add(rows);
        }
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("region", &self.view.region.id)
            .finish_non_exhaustive()
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
