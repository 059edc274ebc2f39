//! `NoStore`: stands where the data store cannot be read without being written to. It holds nothing
//! and says so; nobody mistakes it for an empty store.

use super::{DataStore, Direction, RawRange, RawRows, StoreBatch, StoreError};

/// A data store that cannot be looked at.
#[derive(Debug)]
pub struct NoStore;

fn refused(operation: &'static str) -> StoreError {
    let reason = "the data store cannot be read without being written to".to_owned();
    StoreError::Refused { operation, reason }
}

impl DataStore for NoStore {
    fn apply(&self, _: &StoreBatch) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Err(refused("get"))
    }

    fn scan(&self, _: &RawRange, _: Direction) -> RawRows<'_> {
        Box::new(std::iter::once(Err(refused("scan"))))
    }

    fn flush(&self) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn kind(&self) -> &'static str {
        "none"
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Err(refused("size"))
    }
}
