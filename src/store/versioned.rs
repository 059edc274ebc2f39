//! `VersionedStore`: a data store that knows its range deletions by heart.
//!
//! Reads of versions are right on any [`DataStore`]; on one that keeps no list they look the range
//! deletions up in the store each time. This wrapper keeps the list and stays what it wraps in
//! everything else.
//!
//! Not here: what the deletions mean for a read (`versions`).

use std::sync::Arc;

use super::range_deletions::RangeDeletions;
use super::{DataStore, Direction, RawRange, RawRows, RowVisitor, StoreBatch, StoreError};

/// A data store with its range deletions at hand.
#[derive(Debug)]
pub struct VersionedStore {
    store: Arc<dyn DataStore>,
    deletions: RangeDeletions,
}

impl VersionedStore {
    /// Reads the range deletions of `store`, which from now on is written through this wrapper only.
    ///
    /// # Errors
    /// The store did not answer, or holds an entry that is not readable.
    pub fn open(store: Arc<dyn DataStore>) -> Result<VersionedStore, StoreError> {
        let deletions = RangeDeletions::read(&*store)?;
        Ok(VersionedStore { store, deletions })
    }

    /// Wraps a store that is not there to be read.
    pub fn unread(store: Arc<dyn DataStore>) -> VersionedStore {
        let deletions = RangeDeletions::default();
        VersionedStore { store, deletions }
    }
}

impl DataStore for VersionedStore {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.store.apply(batch)?;
        // Before anybody is told that the batch is in, so before anybody reads at its sequence.
        self.deletions.note(batch);
        Ok(())
    }

    fn apply_each(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.store.apply_each(batch)?;
        // Not before the last change, as above.
        self.deletions.note(batch);
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        self.store.scan(range, direction)
    }

    fn walk(&self, range: &RawRange, each: &mut RowVisitor<'_>) -> Result<(), StoreError> {
        self.store.walk(range, each)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }

    fn doubt(&self) -> Option<String> {
        self.store.doubt()
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.store.size_bytes()
    }

    fn range_deletions(&self) -> Option<&RangeDeletions> {
        Some(&self.deletions)
    }
}
