//! Clearing a key range: every version of every key in every column family.
//!
//! Done in bounded batches, so it can stop anywhere and be done again; the caller journals that it
//! began and that it ended. Region rows are not touched.

use super::keys::{data_range, range_deletion_key};
use super::range_deletions::range_deletions;
use super::versions::families;
use super::{DataStore, Direction, RawRange, StoreBatch, StoreError};
use crate::KeyRange;

/// Most deletions in one batch.
const BATCH_KEYS_MAX: usize = 1024;
/// Most bytes of raw keys in one batch, give or take one key.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Deletes all versions of all keys of `range` in all column families; returns how many there
/// were. Doing it again is fine, and so is finding entries that are not readable.
///
/// # Errors
/// The store did not answer; some of the range may be cleared.
///
/// # Durability
/// None until the next flush.
pub fn clear_range(store: &dyn DataStore, range: &KeyRange) -> Result<u64, StoreError> {
    let mut cleared: u64 = 0;
    for cf in families(store)? {
        let mut left = data_range(cf, range);
        loop {
            let (batch, reached) = next_deletions(store, &left)?;
            if !batch.is_empty() {
                // Each deletion stands for itself: nobody reads what is being cleared.
                store.apply_each(&batch)?;
            }
            cleared = cleared.saturating_add(batch.len() as u64);
            match reached {
                Some(after) => left.start = after,
                None => break,
            }
        }
    }
    clear_range_deletions(store, range)?;
    Ok(cleared)
}

/// Removes the range deletions that have nothing left to hide. One that reaches beyond the range
/// stays, and hides nothing that is written later.
fn clear_range_deletions(store: &dyn DataStore, range: &KeyRange) -> Result<(), StoreError> {
    let mut batch = StoreBatch::new();
    let listed: Vec<_> = match store.range_deletions() {
        Some(deletions) => deletions.list(),
        None => range_deletions(store).collect::<Result<_, _>>()?,
    };
    for deletion in listed.iter().filter(|one| range.covers(&one.range)) {
        let start = deletion.range.start();
        batch.delete(range_deletion_key(deletion.cf, start, deletion.sequence));
    }
    match batch.is_empty() {
        true => Ok(()),
        false => store.apply(&batch),
    }
}

/// A bounded batch of deletions from the start of `range`, and where to go on (`None` at the end).
fn next_deletions(
    store: &dyn DataStore,
    range: &RawRange,
) -> Result<(StoreBatch, Option<Vec<u8>>), StoreError> {
    let mut batch = StoreBatch::new();
    for item in store.scan(range, Direction::Forward) {
        let (raw_key, _) = item?;
        let mut after = raw_key.clone();
        after.push(0);
        batch.delete(raw_key);
        if batch.len() >= BATCH_KEYS_MAX || batch.bytes() >= BATCH_BYTES_MAX {
            return Ok((batch, Some(after)));
        }
    }
    Ok((batch, None))
}

#[cfg(test)]
mod tests;
