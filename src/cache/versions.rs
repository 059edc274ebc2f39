//! `CachedVersions`: the versions of one load, in memory, in the order of the store's raw keys.
//!
//! A map behind a lock for now, behind few methods, so that a packed base with a small delta can
//! take its place. Scans copy a page at a time and hold no lock between pages.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::CacheMeter;
use crate::store::newest::Version;
use crate::store::{ColumnFamily, Direction, Value};
use crate::{Key, KeyRange, Sequence};

/// Versions that a scan copies at a time.
const PAGE_VERSIONS: usize = 128;
/// What a version takes beside its bytes: the map's entry, and the counts of two shared slices.
const VERSION_OVERHEAD_BYTES: u64 =
    (size_of::<Place>() + size_of::<Option<Value>>() + 2 * 2 * size_of::<usize>()) as u64;

/// As in the store: by key, newest version first.
type Place = (ColumnFamily, Key, Reverse<Sequence>);
type Bounds = (Bound<Place>, Bound<Place>);

/// Versions in memory, accounted.
#[derive(Debug)]
pub(super) struct CachedVersions {
    map: RwLock<BTreeMap<Place, Option<Value>>>,
    bytes: AtomicU64,
    meter: CacheMeter,
}

impl CachedVersions {
    pub(super) fn new(meter: CacheMeter) -> Self {
        CachedVersions {
            map: RwLock::default(),
            bytes: AtomicU64::new(0),
            meter,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.map.read().len()
    }

    /// Adds versions; one that is there already is replaced.
    pub(super) fn insert(
        &self,
        versions: impl Iterator<Item = (ColumnFamily, Key, Sequence, Option<Value>)>,
    ) {
        let mut map = self.map.write();
        for (cf, key, sequence, value) in versions {
            let key_bytes = key.len();
            self.grow(version_bytes(key_bytes, value.as_ref()));
            if let Some(replaced) = map.insert((cf, key, Reverse(sequence)), value) {
                self.shrink(version_bytes(key_bytes, replaced.as_ref()));
            }
        }
    }

    /// The newest version of a key at or below `sequence`.
    pub(super) fn get_at(&self, cf: ColumnFamily, key: &[u8], sequence: Sequence) -> Option<Value> {
        let key = Key::from(key);
        let newest = (cf, key.clone(), Reverse(sequence));
        let oldest = (cf, key, Reverse(Sequence::ZERO));
        let map = self.map.read();
        map.range(newest..=oldest)
            .next()
            .and_then(|(_, value)| value.clone())
    }

    /// A walk over the versions of a range.
    pub(super) fn walk(
        &self,
        cf: ColumnFamily,
        range: &KeyRange,
        direction: Direction,
    ) -> Walk<'_> {
        Walk {
            versions: self,
            left: Some(bounds(cf, range)),
            direction,
            page: Vec::new().into_iter(),
        }
    }

    /// Removes the versions of a range in every column family; returns the bytes that they took.
    pub(super) fn remove(&self, range: &KeyRange) -> u64 {
        let mut removed = 0;
        self.map.write().retain(|(_, key, _), value| {
            let stays = !range.contains(key);
            if !stays {
                removed += version_bytes(key.len(), value.as_ref());
            }
            stays
        });
        self.shrink(removed);
        removed
    }

    fn grow(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.meter.add(bytes);
    }

    fn shrink(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.meter.subtract(bytes);
    }
}

impl Drop for CachedVersions {
    fn drop(&mut self) {
        self.shrink(self.bytes());
    }
}

fn version_bytes(key_bytes: usize, value: Option<&Value>) -> u64 {
    VERSION_OVERHEAD_BYTES + key_bytes as u64 + value.map_or(0, |value| value.len()) as u64
}

fn bounds(cf: ColumnFamily, range: &KeyRange) -> Bounds {
    let first = |key: &Key| (cf, key.clone(), Reverse(Sequence::MAX));
    let end = match range.end() {
        Some(end) => Bound::Excluded(first(end)),
        None => match cf.number().checked_add(1) {
            Some(next) => {
                let first_of_next = (
                    ColumnFamily::new(next),
                    Key::from([]),
                    Reverse(Sequence::MAX),
                );
                Bound::Excluded(first_of_next)
            }
            None => Bound::Unbounded,
        },
    };
    (Bound::Included(first(range.start())), end)
}

/// A walk over versions in raw order or its reverse.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    versions: &'a CachedVersions,
    /// `None` when the last page was copied.
    left: Option<Bounds>,
    direction: Direction,
    page: std::vec::IntoIter<Version>,
}

impl Walk<'_> {
    fn read_page(&mut self, left: Bounds) {
        let copy = |(place, value): (&Place, &Option<Value>)| (place.clone(), value.clone());
        let map = self.versions.map.read();
        let range = map.range(left.clone());
        let page: Vec<_> = match self.direction {
            Direction::Forward => range.take(PAGE_VERSIONS).map(copy).collect(),
            Direction::Reverse => range.rev().take(PAGE_VERSIONS).map(copy).collect(),
        };
        drop(map);
        if let Some((last, _)) = page.last().filter(|_| page.len() == PAGE_VERSIONS) {
            let last = Bound::Excluded(last.clone());
            self.left = Some(match self.direction {
                Direction::Forward => (last, left.1),
                Direction::Reverse => (left.0, last),
            });
        }
        let versions: Vec<_> = page
            .into_iter()
            .map(|((_, key, sequence), value)| (key, sequence.0, value))
            .collect();
        self.page = versions.into_iter();
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Version, Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 {
            let left = self.left.take()?;
            self.read_page(left);
        }
        self.page.next().map(Ok)
    }
}
