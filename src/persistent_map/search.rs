//! Finding a key among those of one node.
//!
//! Numbers are compared as they are. Keys of bytes lie elsewhere in memory, so a node keeps an index
//! of them: the prefix that they share, and for each the eight bytes after it as one number. Where two keys
//! of the node have these in common too, it keeps the eight after them as well: in a node whose keys are of
//! two tables, the first eight end before the part in which the rows of one table differ. A lookup then
//! touches the keys themselves only where that does not decide.
//!
//! All numbers of a node are counted through rather than halved: none waits for another one to come from
//! memory, and a node that nobody looked at for a while costs one wait instead of three.

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

/// Numbers of a node, one for each key.
type Numbers = [u64; super::node::ENTRIES_MAX];

/// The index of keys of bytes.
#[derive(Clone)]
pub(crate) struct Heads {
    prefix_bytes: u8,
    prefix: [u8; PREFIX_BYTES_MAX],
    /// Of each key the eight bytes after the prefix.
    first: Numbers,
    /// Of each key the eight bytes after these; only if two keys have the first eight in common.
    second: Option<Box<Numbers>>,
}

impl Default for Heads {
    fn default() -> Self {
        Heads {
            prefix_bytes: 0,
            prefix: [0; PREFIX_BYTES_MAX],
            first: [0; super::node::ENTRIES_MAX],
            second: None,
        }
    }
}

/// The first eight bytes as a number that is ordered as they are; missing ones count as zero.
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            for (into, byte) in eight.iter_mut().zip(bytes) {
                *into = *byte;
            }
            u64::from_be_bytes(eight)
        }
    }
}

/// [`head`] of what comes after the first eight bytes.
fn second_head(bytes: &[u8]) -> u64 {
    head(bytes.get(8..).unwrap_or_default())
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Whether both are the same bytes: eight at a time, without the call that comparing slices is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.len() == b.len()
        && a_rest.len() == b_rest.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// How many of ascending numbers are below `own`, and how many are equal to it.
fn place(numbers: &[u64], own: u64) -> (usize, usize) {
    let below = numbers.iter().filter(|number| **number < own).count();
    let (_, from) = numbers.split_at(below);
    (
        below,
        from.iter().take_while(|number| **number == own).count(),
    )
}

/// Makes room for one number at `at` among those of `keys` keys.
fn put(numbers: &mut Numbers, at: usize, keys: usize, number: u64) {
    if let Some(moved) = numbers.get_mut(at..keys) {
        moved.rotate_right(1);
    }
    if let Some(into) = numbers.get_mut(at) {
        *into = number;
    }
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
        for (into, key) in index.first.iter_mut().zip(keys) {
            *into = head(key.get(bytes..).unwrap_or_default());
        }
        let first = index.first.get(..keys.len()).unwrap_or_default();
        if first.windows(2).any(|two| matches!(two, [a, b] if a == b)) {
            let mut second = Box::new([0; super::node::ENTRIES_MAX]);
            for (into, key) in second.iter_mut().zip(keys) {
                *into = second_head(key.get(bytes..).unwrap_or_default());
            }
            index.second = Some(second);
        }
        index
    }

    fn index_inserted(index: &mut Heads, keys: &[Self], at: usize) {
        let Some(own) = keys.get(at) else { return };
        let Some(rest) = own.strip_prefix(index.prefix()) else {
            *index = Self::index(keys);
            return;
        };
        put(&mut index.first, at, keys.len(), head(rest));
        let same = |at: Option<usize>| at.and_then(|at| index.first.get(..keys.len())?.get(at));
        if let Some(second) = &mut index.second {
            put(second, at, keys.len(), second_head(rest));
        } else if [at.checked_sub(1), at.checked_add(1)]
            .map(same)
            .contains(&Some(&head(rest)))
        {
            *index = Self::index(keys);
        }
    }

    fn index_removed(index: &mut Heads, keys: &[Self], at: usize) {
        let second = index.second.as_deref_mut();
        for numbers in std::iter::once(&mut index.first).chain(second) {
            if let Some(moved) = numbers.get_mut(at..=keys.len()) {
                moved.rotate_left(1);
            }
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
        if !is_same(start, prefix) {
            return Err(match start.cmp(prefix) {
                Ordering::Less => 0,
                Ordering::Greater | Ordering::Equal => keys.len(),
            });
        }
        let first = index.first.get(..keys.len()).unwrap_or_default();
        let (mut below, mut tied) = place(first, head(rest));
        if tied == 0 {
            return Err(below);
        }
        if let Some(second) = &index.second {
            let second = second.get(below..below + tied).unwrap_or_default();
            let (more, still) = place(second, second_head(rest));
            (below, tied) = (below + more, still);
        }
        // Those of which the same bytes are in the index are told apart by the whole key.
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
