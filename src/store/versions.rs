//! Multi-version reads on top of any [`DataStore`]: the newest version at or below a sequence.
//!
//! A reader may walk while writes go on: versions never change in place, and new ones carry
//! sequences above the reader's, so what it yields is one consistent picture.
//!
//! Not here: who may read at which sequence (`sequence`, `engine`).

use super::keys::{self, DataKey, data_range, decode_value, versions_range};
use super::newest::{Newest, Version};
use super::range_deletions::{Mask, RangeDeletions, newest_in_store};
use super::{ColumnFamily, DataStore, Direction, StoreError, Value};
use crate::{Key, KeyRange, Sequence};

/// The newest value of `key` at or below `sequence`; `None` if there is none or it was deleted.
///
/// # Errors
/// The store did not answer, or holds an entry that is not readable.
pub fn get_at(
    store: &dyn DataStore,
    cf: ColumnFamily,
    key: &[u8],
    sequence: Sequence,
) -> Result<Option<Value>, StoreError> {
    // Looked up before the versions are: a deletion is removed only after what it hides.
    let deleted = match store.range_deletions() {
        Some(deletions) => deletions.newest_over(cf, key, sequence),
        None => newest_in_store(store, cf, key, sequence)?,
    };
    match store
        .scan(&versions_range(cf, key, sequence), Direction::Forward)
        .next()
    {
        None => Ok(None),
        Some(item) => {
            let (raw_key, tagged) = item?;
            let Some(deleted) = deleted else {
                let value = decode_value(&tagged);
                return value.map_err(|source| StoreError::BadEntry { raw_key, source });
            };
            let (version, value) = decode((raw_key, tagged))?;
            Ok(value.filter(|_| version.sequence >= deleted))
        }
    }
}

/// The keys of `range` with their newest value at or below `sequence`, deleted keys left out, in
/// key order or its reverse.
///
/// An item is an error if the store did not answer or holds an entry that is not readable; nothing
/// follows it.
pub fn scan_at<'a>(
    store: &'a dyn DataStore,
    cf: ColumnFamily,
    range: &KeyRange,
    sequence: Sequence,
    direction: Direction,
) -> impl Iterator<Item = Result<(Key, Value), StoreError>> + Send + use<'a> {
    // Looked up before the versions are: a deletion is removed only after what it hides.
    let (mask, failed) = match store.range_deletions() {
        Some(deletions) => (deletions.over(cf, range, sequence), None),
        None => match RangeDeletions::read(store) {
            Ok(deletions) => (deletions.over(cf, range, sequence), None),
            Err(error) => (Mask::default(), Some(Err(error))),
        },
    };
    let versions = failed
        .is_none()
        .then(|| store.scan(&data_range(cf, range), direction));
    let versions = versions.into_iter().flatten().map(|item| {
        let (version, value) = decode(item?)?;
        Ok((version.key, version.sequence, value))
    });
    let is_visible = move |version: &Result<Version, StoreError>| match version {
        Ok((key, version, _)) => mask.is_empty() || !mask.hides(key, *version),
        Err(_) => true,
    };
    let walk = failed.into_iter().chain(versions).filter(is_visible);
    Newest::new(walk, sequence, direction)
}

/// Every version of every key of `range` in one column family, in raw order: by key, newest first.
///
/// An item is an error if the store did not answer or holds an entry that is not readable.
pub fn scan_versions<'a>(
    store: &'a dyn DataStore,
    cf: ColumnFamily,
    range: &KeyRange,
) -> impl Iterator<Item = Result<(DataKey, Option<Value>), StoreError>> + Send + use<'a> {
    store
        .scan(&data_range(cf, range), Direction::Forward)
        .map(|item| decode(item?))
}

fn decode((raw_key, tagged): (Vec<u8>, Vec<u8>)) -> Result<(DataKey, Option<Value>), StoreError> {
    match DataKey::decode(&raw_key).and_then(|key| Ok((key, decode_value(&tagged)?))) {
        Ok(version) => Ok(version),
        Err(source) => Err(StoreError::BadEntry { raw_key, source }),
    }
}

/// The column families that hold anything, found by seeking from one to the next.
pub(super) fn families(store: &dyn DataStore) -> Result<Vec<ColumnFamily>, StoreError> {
    let mut found = Vec::new();
    let mut from = Some(ColumnFamily::DEFAULT);
    while let Some(cf) = from {
        let Some(item) = store
            .scan(&keys::families_from(cf), Direction::Forward)
            .next()
        else {
            break;
        };
        let (raw_key, _) = item?;
        // The second byte alone: a malformed key must not keep a range from being cleared.
        let number = match raw_key.get(1) {
            Some(number) => *number,
            None => {
                let source = super::KeyError::TooShort {
                    bytes: raw_key.len(),
                };
                return Err(StoreError::BadEntry { raw_key, source });
            }
        };
        found.push(ColumnFamily::new(number));
        from = number.checked_add(1).map(ColumnFamily::new);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
