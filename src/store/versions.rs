//! Multi-version reads on top of any [`DataStore`]: the newest version at or below a sequence.
//!
//! A reader may walk while writes go on: versions never change in place, and new ones carry
//! sequences above the reader's, so what it yields is one consistent picture.
//!
//! Not here: who may read at which sequence (`sequence`, `engine`).

use super::keys::{self, DataKey, data_range, decode_value, versions_range};
use super::{ColumnFamily, DataStore, Direction, RawRows, StoreError, Value};
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
    match store
        .scan(&versions_range(cf, key, sequence), Direction::Forward)
        .next()
    {
        None => Ok(None),
        Some(item) => {
            let (raw_key, tagged) = item?;
            decode_value(&tagged).map_err(|source| StoreError::BadEntry { raw_key, source })
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
) -> Versions<'a> {
    Versions {
        rows: Some(store.scan(&data_range(cf, range), direction)),
        sequence,
        direction,
        current: None,
    }
}

/// Every version of every key of `range` in one column family, in raw order: by key, newest first.
///
/// An item is an error if the store did not answer or holds an entry that is not readable.
pub fn scan_versions<'a>(
    store: &'a dyn DataStore,
    cf: ColumnFamily,
    range: &KeyRange,
) -> impl Iterator<Item = Result<(DataKey, Option<Value>), StoreError>> + 'a {
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

/// Iterator of [`scan_at`]: keys with their values.
pub struct Versions<'a> {
    /// `None` once the end or an error was met.
    rows: Option<RawRows<'a>>,
    sequence: Sequence,
    direction: Direction,
    /// Forward: the key whose newest readable version was yielded or found deleted; its older ones
    /// are skipped. Reverse: the best version so far of the key that is being walked.
    current: Option<(Key, Option<Value>)>,
}

impl Versions<'_> {
    /// Next readable version in raw order, with those above the sequence left out.
    fn next_readable(&mut self) -> Option<Result<(Key, Option<Value>), StoreError>> {
        loop {
            let item = self.rows.as_mut()?.next();
            let decoded = match item {
                Some(item) => item.and_then(decode),
                None => {
                    self.rows = None;
                    return None;
                }
            };
            match decoded {
                Ok((key, value)) if key.sequence <= self.sequence => {
                    return Some(Ok((key.key, value)));
                }
                Ok(_) => {}
                Err(error) => {
                    self.rows = None;
                    self.current = None;
                    return Some(Err(error));
                }
            }
        }
    }

    fn next_forward(&mut self) -> Option<Result<(Key, Value), StoreError>> {
        loop {
            let (key, value) = match self.next_readable()? {
                Ok(version) => version,
                Err(error) => return Some(Err(error)),
            };
            if self.current.as_ref().is_some_and(|(seen, _)| *seen == key) {
                continue;
            }
            self.current = Some((key.clone(), None));
            if let Some(value) = value {
                return Some(Ok((key, value)));
            }
        }
    }

    fn next_reverse(&mut self) -> Option<Result<(Key, Value), StoreError>> {
        loop {
            // Raw order reversed is oldest version first, so the last one of a key is the newest.
            let finished = match self.next_readable() {
                Some(Ok((key, value))) => match self.current.replace((key.clone(), value)) {
                    Some((before, _)) if before == key => None,
                    before => before,
                },
                Some(Err(error)) => return Some(Err(error)),
                None => Some(self.current.take()?),
            };
            if let Some((key, Some(value))) = finished {
                return Some(Ok((key, value)));
            }
        }
    }
}

impl Iterator for Versions<'_> {
    type Item = Result<(Key, Value), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.direction {
            Direction::Forward => self.next_forward(),
            Direction::Reverse => self.next_reverse(),
        }
    }
}

impl std::fmt::Debug for Versions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Versions")
            .field("sequence", &self.sequence)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
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
