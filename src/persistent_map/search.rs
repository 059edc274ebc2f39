//! Finding a key among those of one node.
//!
//! Numbers are compared as they are. Keys of bytes lie elsewhere in memory, so a node keeps an index
//! of them: the prefix that they share, and for each the sixteen bytes after it as one number. A lookup
//! then touches the keys themselves only where sixteen bytes do not decide. Eight would not do: in a node
//! whose keys are of two tables, they end before the part in which the rows of one table differ.

use std::cmp::Ordering;

use crate::lifecycle::DeletionId;
use crate::{Key, RegionId};

/// A key of a [`PersistentMap`](super::PersistentMap).
pub(crate) trait MapKey: Clone + Ord + Probe<Self> {
    /// What a node keeps to find its keys quickly.
    type Index: Clone + Default;

    /// The index of a node's keys, which are ascending.
    fn index(keys: &[Self]) -> Self::Index;

    /// Brings the index up to date with a key that was put in at `at`.
    fn index_inserted(index: &mut Self::Index, keys: &[Self], at: usize);

    /// Brings the index up to date after the key at `at` was taken out.
    fn index_removed(index: &mut Self::Index, keys: &[Self], at: usize);
}

/// What is looked up: a key, or something that stands in for one.
pub(crate) trait Probe<K: MapKey> {
    /// Where it is among a node's keys, or else how many of them are below it.
    fn find(&self, index: &K::Index, keys: &[K]) -> Result<usize, usize>;

    /// How many of a node's keys are below it.
    fn below(&self, index: &K::Index, keys: &[K]) -> usize {
        match self.find(index, keys) {
            Ok(at) | Err(at) => at,
        }
    }
}

macro_rules! number {
    ($key:ty) => {
        impl MapKey for $key {
            type Index = ();

            fn index(_: &[Self]) -> Self::Index {}

            fn index_inserted((): &mut (), _: &[Self], _: usize) {}

            fn index_removed((): &mut (), _: &[Self], _: usize) {}
        }

        impl Probe<$key> for $key {
            fn find(&self, (): &(), keys: &[$key]) -> Result<usize, usize> {
                keys.binary_search(self)
            }
        }
    };
}

number!(RegionId);
number!(DeletionId);

/// Longest shared prefix that an index takes; what is longer is compared byte by byte.
const PREFIX_BYTES_MAX: usize = 39;

/// The index of keys of bytes.
#[derive(Clone)]
pub(crate) struct Heads {
    prefix: [u8; PREFIX_BYTES_MAX],
    prefix_bytes: u8,
    heads: [u128; super::node::ENTRIES_MAX],
}

impl Default for Heads {
    fn default() -> Self {
        Heads {
            prefix: [0; PREFIX_BYTES_MAX],
            prefix_bytes: 0,
            heads: [0; super::node::ENTRIES_MAX],
        }
    }
}

/// The first sixteen bytes as a number that is ordered as they are; missing ones count as zero.
fn head(bytes: &[u8]) -> u128 {
    match bytes.first_chunk() {
        Some(sixteen) => u128::from_be_bytes(*sixteen),
        None => {
            let mut sixteen = [0; 16];
            for (into, byte) in sixteen.iter_mut().zip(bytes) {
                *into = *byte;
            }
            u128::from_be_bytes(sixteen)
        }
    }
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl MapKey for Key {
    type Index = Heads;

    fn index(keys: &[Self]) -> Heads {
        let mut index = Heads::default();
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return index;
        };
        // They are ascending: what the outermost share, all share.
        let bytes = shared(first, last).min(PREFIX_BYTES_MAX);
        for (into, byte) in index.prefix.iter_mut().zip(first.iter().take(bytes)) {
            *into = *byte;
        }
        index.prefix_bytes = bytes as u8;
        for (into, key) in index.heads.iter_mut().zip(keys) {
            *into = head(key.get(bytes..).unwrap_or_default());
        }
        index
    }

    fn index_inserted(index: &mut Heads, keys: &[Self], at: usize) {
        let Some(own) = keys.get(at) else { return };
        let Some(rest) = own.strip_prefix(index.prefix()) else {
            *index = Self::index(keys);
            return;
        };
        if let Some(moved) = index.heads.get_mut(at..keys.len()) {
            moved.rotate_right(1);
        }
        if let Some(into) = index.heads.get_mut(at) {
            *into = head(rest);
        }
    }

    fn index_removed(index: &mut Heads, keys: &[Self], at: usize) {
        if let Some(moved) = index.heads.get_mut(at..=keys.len()) {
            moved.rotate_left(1);
        }
    }
}

impl Heads {
    fn prefix(&self) -> &[u8] {
        let bytes = usize::from(self.prefix_bytes);
        self.prefix.get(..bytes).unwrap_or_default()
    }
}

impl Probe<Key> for &[u8] {
    fn find(&self, index: &Heads, keys: &[Key]) -> Result<usize, usize> {
        let prefix = index.prefix();
        let (start, rest) = self.split_at(self.len().min(prefix.len()));
        match start.cmp(prefix) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(keys.len()),
            Ordering::Equal => {}
        }
        let heads = index.heads.get(..keys.len()).unwrap_or_default();
        let own = head(rest);
        let below = heads.partition_point(|head| *head < own);
        if heads.get(below) != Some(&own) {
            return Err(below);
        }
        // Those with the same sixteen bytes are told apart by the whole key.
        let (_, tied) = heads.split_at(below);
        let tied = tied.partition_point(|head| *head == own);
        let tied = keys.get(below..below + tied).unwrap_or_default();
        match tied.binary_search_by(|key| (**key).cmp(*self)) {
            Ok(at) => Ok(below + at),
            Err(at) => Err(below + at),
        }
    }
}

impl Probe<Key> for Key {
    fn find(&self, index: &Heads, keys: &[Key]) -> Result<usize, usize> {
        Probe::find(&&**self, index, keys)
    }
}
