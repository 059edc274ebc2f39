//! Range deletions: one row that hides every older version of every key in a range.
//!
//! A deletion of a million keys so costs one small row, in the same batch as the region's
//! index. A deletion at sequence T hides versions *below* T: what the same batch writes after it is
//! at T and stays. Sequences only grow, so a deletion that is left behind never hides anything newer;
//! the collector removes the hidden versions in bounded steps, and then the row.
//!
//! In memory the deletions are kept as disjoint fragments, so that a lookup is one step down a tree
//! however many overlap.
//!
//! Not here: who writes them (`write_batch`), who collects what they hide (`collect`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::keys::{decode_range_end, range_deletions_range};
use super::{ColumnFamily, DataStore, Direction, StoreError, StoreKey};
use crate::{Key, KeyRange, Sequence};

/// Every key of a range is deleted as of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeDeletion {
    /// Column family.
    pub cf: ColumnFamily,
    /// The keys.
    pub range: KeyRange,
    /// Versions below it are hidden.
    pub sequence: Sequence,
}

impl RangeDeletion {
    /// Reads a row of the store.
    fn decode(raw_key: Vec<u8>, value: &[u8]) -> Result<RangeDeletion, StoreError> {
        let decoded = match StoreKey::decode(&raw_key) {
            Ok(StoreKey::RangeDeletion(key)) => {
                decode_range_end(key.key, value).map(|range| RangeDeletion {
                    cf: key.cf,
                    range,
                    sequence: key.sequence,
                })
            }
            Ok(
                StoreKey::Data(_)
                | StoreKey::RegionRow(_)
                | StoreKey::FloorRow(_)
                | StoreKey::Ack { .. }
                | StoreKey::Meta(_),
            ) => {
                let prefix = raw_key.first().copied().unwrap_or(0);
                Err(super::KeyError::UnknownPrefix { prefix })
            }
            Err(error) => Err(error),
        };
        decoded.map_err(|source| StoreError::BadEntry { raw_key, source })
    }

    fn hides(&self, cf: ColumnFamily, key: &[u8]) -> bool {
        self.cf == cf && self.range.contains(key)
    }
}

/// Every range deletion in the store, in raw order.
///
/// # Errors
/// An item is an error if the store did not answer or holds an entry that is not readable.
pub fn range_deletions(
    store: &dyn DataStore,
) -> impl Iterator<Item = Result<RangeDeletion, StoreError>> + Send + '_ {
    store
        .scan(&range_deletions_range(), Direction::Forward)
        .map(|item| {
            let (raw_key, value) = item?;
            RangeDeletion::decode(raw_key, &value)
        })
}

/// The range deletions of one store, for lookups.
#[derive(Debug, Default)]
pub struct RangeDeletions {
    /// How many there are: a store without any pays one load for a lookup.
    count: AtomicUsize,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As they were written: by family, first key, sequence; with where they end.
    written: BTreeMap<(ColumnFamily, Key, Sequence), KeyRange>,
    /// Disjoint within a family, by first key.
    fragments: BTreeMap<(ColumnFamily, Key), Fragment>,
}

#[derive(Clone, Debug)]
struct Fragment {
    end: Option<Key>,
    sequences: BTreeSet<Sequence>,
}

impl RangeDeletions {
    /// Reads those of a store.
    ///
    /// # Errors
    /// The store did not answer, or holds an entry that is not readable.
    pub fn read(store: &dyn DataStore) -> Result<RangeDeletions, StoreError> {
        let read = RangeDeletions::default();
        for deletion in range_deletions(store) {
            read.insert(deletion?);
        }
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// All of them, in raw order but that later sequences come last.
    pub fn list(&self) -> Vec<RangeDeletion> {
        let state = self.state.read();
        let listed = state
            .written
            .iter()
            .map(|((cf, _, sequence), range)| RangeDeletion {
                cf: *cf,
                range: range.clone(),
                sequence: *sequence,
            });
        listed.collect()
    }

    /// The newest deletion of `key` at or below `sequence`; versions below it are hidden.
    pub fn newest_over(
        &self,
        cf: ColumnFamily,
        key: &[u8],
        sequence: Sequence,
    ) -> Option<Sequence> {
        if self.is_empty() {
            return None;
        }
        self.state.read().newest_over(cf, key, sequence)
    }

    /// Those at or below `sequence` that touch `range`, for a walk over it.
    pub(super) fn over(&self, cf: ColumnFamily, range: &KeyRange, sequence: Sequence) -> Mask {
        if self.is_empty() {
            return Mask::default();
        }
        let state = self.state.read();
        let mut fragments = BTreeMap::new();
        for ((_, start), fragment) in state.touching(cf, range) {
            if let Some(newest) = fragment.sequences.range(..=sequence).next_back() {
                fragments.insert(start.clone(), (fragment.end.clone(), *newest));
            }
        }
        Mask { fragments }
    }

    pub(super) fn insert(&self, deletion: RangeDeletion) {
        let mut state = self.state.write();
        let RangeDeletion {
            cf,
            range,
            sequence,
        } = deletion;
        let place = (cf, range.start().clone(), sequence);
        if let Some(before) = state.written.insert(place, range.clone()) {
            // The same row again, or one that ends elsewhere.
            state.uncover(cf, &before, sequence);
        }
        state.cover(cf, &range, sequence);
        self.count.store(state.written.len(), Ordering::Release);
    }

    pub(super) fn remove(&self, cf: ColumnFamily, start: &Key, sequence: Sequence) {
        let mut state = self.state.write();
        if let Some(range) = state.written.remove(&(cf, start.clone(), sequence)) {
            state.uncover(cf, &range, sequence);
        }
        self.count.store(state.written.len(), Ordering::Release);
    }

    /// Keeps up with a batch that the store has taken.
    pub(super) fn note(&self, batch: &super::StoreBatch) {
        for op in batch.ops() {
            let raw_key = match op {
                super::StoreOp::Put { key, .. } | super::StoreOp::Delete { key } => key,
            };
            if raw_key.first() != Some(&super::keys::PREFIX_RANGE_DELETION) {
                continue;
            }
            match op {
                super::StoreOp::Put { key, value } => {
                    // What does not decode was not written by this version, and hides nothing.
                    if let Ok(deletion) = RangeDeletion::decode(key.clone(), value) {
                        self.insert(deletion);
                    }
                }
                super::StoreOp::Delete { key } => {
                    if let Ok(StoreKey::RangeDeletion(key)) = StoreKey::decode(key) {
                        self.remove(key.cf, &key.key, key.sequence);
                    }
                }
            }
        }
    }
}

impl State {
    fn newest_over(&self, cf: ColumnFamily, key: &[u8], sequence: Sequence) -> Option<Sequence> {
        let first = (cf, Key::from(b"".as_slice()));
        let last = (cf, Key::from(key));
        let (_, fragment) = self.fragments.range(first..=last).next_back()?;
        if fragment.end.as_ref().is_some_and(|end| **end <= *key) {
            return None;
        }
        fragment.sequences.range(..=sequence).next_back().copied()
    }

    /// The fragments of a family that share a key with `range`.
    fn touching<'a>(
        &'a self,
        cf: ColumnFamily,
        range: &'a KeyRange,
    ) -> impl Iterator<Item = (&'a (ColumnFamily, Key), &'a Fragment)> {
        let first = (cf, Key::from(b"".as_slice()));
        let from = (cf, range.start().clone());
        let before = self
            .fragments
            .range(first..from.clone())
            .next_back()
            .filter(|(_, fragment)| {
                fragment
                    .end
                    .as_ref()
                    .is_none_or(|end| *end > *range.start())
            });
        let rest = self
            .fragments
            .range(from..)
            .take_while(move |((family, start), _)| {
                *family == cf && range.end().is_none_or(|end| start < end)
            });
        before.into_iter().chain(rest)
    }

    /// Cuts the fragment that has `key` inside, so that one starts there.
    fn cut(&mut self, cf: ColumnFamily, key: &Key) {
        let first = (cf, Key::from(b"".as_slice()));
        let before = self
            .fragments
            .range_mut(first..(cf, key.clone()))
            .next_back();
        let Some((_, fragment)) = before else { return };
        if fragment.end.as_ref().is_none_or(|end| end > key) {
            let right = fragment.clone();
            fragment.end = Some(key.clone());
            self.fragments.insert((cf, key.clone()), right);
        }
    }

    fn cover(&mut self, cf: ColumnFamily, range: &KeyRange, sequence: Sequence) {
        self.cut(cf, range.start());
        if let Some(end) = range.end() {
            self.cut(cf, end);
        }
        let mut gaps = Vec::new();
        let mut at = Some(range.start().clone());
        let inside = (
            Bound::Included((cf, range.start().clone())),
            match range.end() {
                Some(end) => Bound::Excluded((cf, end.clone())),
                None => Bound::Unbounded,
            },
        );
        for ((family, start), fragment) in self.fragments.range_mut(inside) {
            if *family != cf {
                break;
            }
            if let Some(from) = at.filter(|at| at < start) {
                gaps.push((from, Some(start.clone())));
            }
            fragment.sequences.insert(sequence);
            at = fragment.end.clone();
        }
        if let Some(from) = at.filter(|at| range.end().is_none_or(|end| at < end)) {
            gaps.push((from, range.end().cloned()));
        }
        for (start, end) in gaps {
            let sequences = BTreeSet::from([sequence]);
            self.fragments
                .insert((cf, start), Fragment { end, sequences });
        }
    }

    fn uncover(&mut self, cf: ColumnFamily, range: &KeyRange, sequence: Sequence) {
        let mut empty = Vec::new();
        let from = (cf, range.start().clone());
        for ((family, start), fragment) in self.fragments.range_mut(from..) {
            if *family != cf || range.end().is_some_and(|end| start >= end) {
                break;
            }
            fragment.sequences.remove(&sequence);
            if fragment.sequences.is_empty() {
                empty.push(start.clone());
            }
        }
        for start in empty {
            self.fragments.remove(&(cf, start));
        }
    }
}

/// What a walk at one sequence must not see: the newest deletion over each part of its range.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask {
    fragments: BTreeMap<Key, (Option<Key>, Sequence)>,
}

impl Mask {
    pub(super) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// Whether a version of `key` at `sequence` is hidden.
    pub(super) fn hides(&self, key: &[u8], sequence: Sequence) -> bool {
        let upto: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Included(key));
        match self.fragments.range::<[u8], _>(upto).next_back() {
            Some((_, (end, deleted))) => {
                sequence < *deleted && end.as_ref().is_none_or(|end| *key < **end)
            }
            None => false,
        }
    }
}

/// The newest deletion of `key` at or below `sequence` in a store that keeps no list of them.
pub(super) fn newest_in_store(
    store: &dyn DataStore,
    cf: ColumnFamily,
    key: &[u8],
    sequence: Sequence,
) -> Result<Option<Sequence>, StoreError> {
    let mut newest = None;
    for deletion in range_deletions(store) {
        let deletion = deletion?;
        if deletion.hides(cf, key) && deletion.sequence <= sequence {
            newest = newest.max(Some(deletion.sequence));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests;
