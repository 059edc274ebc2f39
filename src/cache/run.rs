//! `Run`: versions that were written since the base was packed, sorted and never changed.
//!
//! Each write makes a run of its own, newest last; runs of about equal size are joined, so a region
//! has few of them and each version is copied a few times only. A run is published by adding it to
//! a list, so readers that hold an older list see nothing of it.
//!
//! Invariants
//! * Entries ascend by column family and key, and descend by sequence.
//! * Of two runs of one region, all sequences of the later are above all of the earlier.

use std::cmp::Reverse;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::meter::{CacheMeter, Charge};
use crate::store::{ColumnFamily, Value, WriteBatch};
use crate::{Key, KeyRange, Sequence};

/// Bits of a run's filter for each entry.
const FILTER_BITS: usize = 8;
/// What an entry takes beside its bytes: itself, and the counts of two shared slices.
const ENTRY_BYTES: usize = size_of::<RunEntry>() + 4 * size_of::<usize>();

/// One version.
#[derive(Clone, Debug)]
pub(super) struct RunEntry {
    pub(super) cf: ColumnFamily,
    pub(super) key: Key,
    pub(super) sequence: Sequence,
    /// `None` is a deletion.
    pub(super) value: Option<Value>,
}

impl RunEntry {
    fn place(&self) -> (ColumnFamily, &[u8], Reverse<Sequence>) {
        (self.cf, &self.key, Reverse(self.sequence))
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

/// Sorted versions, with a filter that says for most keys that are not there that they are not.
#[derive(Debug)]
pub(super) struct Run {
    entries: Box<[RunEntry]>,
    filter: Box<[u64]>,
    charge: Charge,
}

/// A key's hash, for [`Run::get`].
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    pub(super) fn of(cf: ColumnFamily, key: &[u8]) -> Self {
        KeyHash(FixedState::default().hash_one((cf.number(), key)))
    }

    /// Two bits of a filter of that many words: word and mask.
    fn bits(self, words: usize) -> [(usize, u64); 2] {
        let bit = |hash: u64| {
            // Words are a power of two.
            let word = (hash >> 6) as usize & (words - 1);
            (word, 1 << (hash & 63))
        };
        [bit(self.0), bit(self.0 >> 32)]
    }
}

impl Run {
    /// What a batch writes at `sequence` inside `range`; none if that is nothing. Of several writes
    /// of one key the last counts.
    pub(super) fn of(
        batch: &WriteBatch,
        range: &KeyRange,
        sequence: Sequence,
        meter: &CacheMeter,
    ) -> Option<Run> {
        let ops = batch.ops().iter().filter(|op| range.contains(&op.key));
        let mut entries: Vec<_> = ops
            .map(|op| RunEntry {
                cf: op.cf,
                key: op.key.clone(),
                sequence,
                value: op.value.clone(),
            })
            .collect();
        // Stable, so the last write of a key is the last of its neighbours, and stays.
        entries.sort_by(|a, b| (a.cf, &a.key).cmp(&(b.cf, &b.key)));
        let mut kept: Vec<RunEntry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match kept.last_mut() {
                Some(last) if last.cf == entry.cf && last.key == entry.key => *last = entry,
                _ => kept.push(entry),
            }
        }
        (!kept.is_empty()).then(|| Run::new(kept, meter))
    }

    fn new(entries: Vec<RunEntry>, meter: &CacheMeter) -> Run {
        let entries = entries.into_boxed_slice();
        let words = (entries.len() * FILTER_BITS)
            .div_ceil(64)
            .next_power_of_two();
        let mut filter = vec![0; words].into_boxed_slice();
        let mut taken = size_of::<Run>() + size_of_val(&*filter);
        for entry in &entries {
            for (word, mask) in KeyHash::of(entry.cf, &entry.key).bits(words) {
                if let Some(word) = filter.get_mut(word) {
                    *word |= mask;
                }
            }
            taken += ENTRY_BYTES + entry.key.len() + entry.value.as_ref().map_or(0, |v| v.len());
        }
        Run {
            entries,
            filter,
            charge: meter.charge(taken as u64),
        }
    }

    /// Both in one; `later` is the later.
    pub(super) fn join(earlier: &Run, later: &Run, meter: &CacheMeter) -> Run {
        let mut entries = Vec::with_capacity(earlier.entries.len() + later.entries.len());
        let (mut old, mut new) = (earlier.entries.iter(), later.entries.iter());
        let (mut next_old, mut next_new) = (old.next(), new.next());
        loop {
            match (next_old, next_new) {
                (Some(a), Some(b)) if a.place() < b.place() => {
                    entries.push(a.clone());
                    next_old = old.next();
                }
                (_, Some(b)) => {
                    entries.push(b.clone());
                    next_new = new.next();
                }
                (Some(a), None) => {
                    entries.push(a.clone());
                    next_old = old.next();
                }
                (None, None) => return Run::new(entries, meter),
            }
        }
    }

    /// How many versions it has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        self.charge.bytes()
    }

    pub(super) fn entries(&self) -> &[RunEntry] {
        &self.entries
    }

    /// The newest version of the key at or below `sequence`.
    #[inline]
    pub(super) fn get(
        &self,
        hash: KeyHash,
        cf: ColumnFamily,
        key: &[u8],
        sequence: Sequence,
    ) -> Option<&RunEntry> {
        let may_have =
            |(word, mask): (usize, u64)| self.filter.get(word).is_some_and(|word| word & mask != 0);
        if !hash.bits(self.filter.len()).into_iter().all(may_have) {
            return None;
        }
        let wanted = (cf, key, Reverse(sequence));
        let at = self.entries.partition_point(|entry| entry.place() < wanted);
        let found = self.entries.get(at)?;
        (found.cf == cf && *found.key == *key).then_some(found)
    }

    /// The entries of a range in one column family.
    pub(super) fn within(&self, cf: ColumnFamily, range: &KeyRange) -> &[RunEntry] {
        let below = |key: &[u8]| {
            let wanted = (cf, key, Reverse(Sequence::MAX));
            self.entries.partition_point(|entry| entry.place() < wanted)
        };
        let end = match range.end() {
            Some(end) => below(end),
            None => self.entries.partition_point(|entry| entry.cf <= cf),
        };
        self.entries
            .get(below(range.start())..end)
            .unwrap_or_default()
    }
}

/// Joins the last runs as long as the one before is not clearly larger; a run of `joined_max`
/// entries is not joined any more.
pub(super) fn settle(runs: &mut Vec<Arc<Run>>, joined_max: usize, meter: &CacheMeter) {
    while let [.., earlier, later] = runs.as_slice() {
        let (a, b) = (earlier.len(), later.len());
        if a > 2 * b || a + b > joined_max {
            return;
        }
        let joined = Arc::new(Run::join(earlier, later, meter));
        runs.truncate(runs.len() - 2);
        runs.push(joined);
    }
}
