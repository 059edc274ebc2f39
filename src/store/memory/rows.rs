//! A scan of the memory store, as loose as a scan on disk: it copies a page of rows at a time and
//! lets writers in between.

use std::ops::Bound;

use super::MemoryStore;
use crate::store::{Direction, RawRange, StoreError};

/// Rows that a scan copies at a time.
const SCAN_PAGE_ROWS: usize = 128;

/// The rows of a range.
pub(super) struct Rows<'a> {
    store: &'a MemoryStore,
    /// What is still to be walked; empty at the end.
    range: RawRange,
    direction: Direction,
    page: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(store: &'a MemoryStore, range: RawRange, direction: Direction) -> Self {
        Rows {
            store,
            range,
            direction,
            page: Vec::new().into_iter(),
        }
    }

    fn read_page(&mut self) -> Result<(), StoreError> {
        let state = self.store.state.lock();
        state.check("store.scan")?;
        let end = match &self.range.end {
            Some(end) => Bound::Excluded(end.as_slice()),
            None => Bound::Unbounded,
        };
        let rows = state
            .live
            .range::<[u8], _>((Bound::Included(self.range.start.as_slice()), end));
        let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        let page: Vec<_> = match self.direction {
            Direction::Forward => rows.take(SCAN_PAGE_ROWS).map(copy).collect(),
            Direction::Reverse => rows.rev().take(SCAN_PAGE_ROWS).map(copy).collect(),
        };
        match (page.last(), self.direction) {
            (None, _) => {
                self.range = RawRange {
                    start: Vec::new(),
                    end: Some(Vec::new()),
                }
            }
            (Some((key, _)), Direction::Forward) => {
                self.range.start.clone_from(key);
                self.range.start.push(0);
            }
            (Some((key, _)), Direction::Reverse) => self.range.end = Some(key.clone()),
        }
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.page.next() {
            return Some(Ok(row));
        }
        if self.range.is_empty() {
            return None;
        }
        if let Err(error) = self.read_page() {
            self.range = RawRange {
                start: Vec::new(),
                end: Some(Vec::new()),
            };
            return Some(Err(error));
        }
        self.page.next().map(Ok)
    }
}
