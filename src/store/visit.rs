//! `visit_at`: every row of a range at a sequence, given to whoever looks at all of them.
//!
//! The same rows as [`scan_at`](super::scan_at) forward, for loads, snapshots and the like: nothing is
//! allocated for a row.

use std::ops::ControlFlow;

use super::keys::{data_range, split_data_key, unescape, value_bytes};
use super::range_deletions::RangeDeletions;
use super::{ColumnFamily, DataStore, StoreError};
use crate::{KeyRange, Sequence};

/// Gives the keys of `range` with their newest value at or below `sequence` to `each`, deleted keys
/// left out, in key order, until it says that it has enough.
///
/// # Errors
/// The store did not answer or holds an entry that is not readable; what came before it was given.
pub fn visit_at(
    store: &dyn DataStore,
    cf: ColumnFamily,
    range: &KeyRange,
    sequence: Sequence,
    mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    // Looked up before the versions are: a deletion is removed only after what it hides.
    let mask = match store.range_deletions() {
        Some(deletions) => deletions.over(cf, range, sequence),
        None => RangeDeletions::read(store)?.over(cf, range, sequence),
    };
    let (mut key, mut decided) = (Vec::new(), Vec::new());
    let mut bad = None;
    store.walk(&data_range(cf, range), &mut |raw_key, tagged| {
        let mut look = || {
            let (escaped, version) = split_data_key(raw_key)?;
            // Of a key the newest readable version comes first; the others are older.
            let value = value_bytes(tagged)?;
            if version > sequence || *decided == *escaped {
                return Ok(ControlFlow::Continue(()));
            }
            unescape(escaped, &mut key)?;
            if !mask.is_empty() && mask.hides(&key, version) {
                return Ok(ControlFlow::Continue(()));
            }
            decided.clear();
            decided.extend_from_slice(escaped);
            Ok(match value {
                Some(value) => each(&key, value),
                None => ControlFlow::Continue(()),
            })
        };
        look().unwrap_or_else(|source| {
            let raw_key = raw_key.to_vec();
            bad = Some(StoreError::BadEntry { raw_key, source });
            ControlFlow::Break(())
        })
    })?;
    bad.map_or(Ok(()), Err)
}
