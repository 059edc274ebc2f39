//! `PersistentMap`: an ordered map whose clones share what they have in common.
//!
//! A B+-tree of reference-counted nodes. Cloning copies one pointer; changing a map that shares nodes
//! with a clone copies the nodes on one path, and changing one that shares nothing copies nothing. So
//! a picture of a million regions that is one record older than another costs a few kilobytes.
//!
//! * `node`: inserting, removing, splitting and joining. `iter`: walking.
//! * `search`: finding a key in a node, for keys that are numbers and for keys that are bytes.
//!
//! Not here: what is kept in such maps (`lifecycle::register`).

mod iter;
mod node;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use self::iter::{Ascending, Descending};
use self::node::Node;
pub(crate) use self::search::{MapKey, Probe};

/// An ordered map; see the module.
pub(crate) struct PersistentMap<K: MapKey, V> {
    root: Node<K, V>,
    entries: usize,
}

impl<K: MapKey, V: Clone> PersistentMap<K, V> {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The value of a key.
    pub(crate) fn get(&self, probe: impl Probe<K>) -> Option<&V> {
        self.root.get(&probe)
    }

    /// The value of a key, to be changed; nothing is copied if there is none.
    pub(crate) fn get_mut(&mut self, probe: impl Probe<K>) -> Option<&mut V> {
        self.root.get_mut(&probe)
    }

    /// The value of `key`, which is made if there is none.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
        K: Probe<K>,
    {
        if self.root.get(&key).is_none() {
            self.insert(key.clone(), V::default());
        }
        self.root
            .get_mut(&key)
            .expect("the value is there, or was just put there")
    }

    /// Puts a value in the place of the one before, which is given back.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.root.insert_into_root(key, value);
        self.entries += usize::from(before.is_none());
        before
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, probe: impl Probe<K>) -> Option<V> {
        self.root.get(&probe)?;
        let removed = self.root.remove_from_root(&probe);
        self.entries -= usize::from(removed.is_some());
        removed
    }

    /// The entry with the largest key.
    pub(crate) fn last_key_value(&self) -> Option<(&K, &V)> {
        Descending::all(&self.root).next()
    }

    /// The last entry at or before `probe`.
    pub(crate) fn at_or_before(&self, probe: impl Probe<K>) -> Option<(&K, &V)> {
        self.root.at_or_before(&probe)
    }

    /// All entries in ascending order.
    pub(crate) fn iter(&self) -> Ascending<'_, K, V> {
        Ascending::all(&self.root)
    }

    /// All values in the order of their keys.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entries at or after `probe`, ascending.
    pub(crate) fn from(&self, probe: impl Probe<K>) -> Ascending<'_, K, V> {
        Ascending::from(&self.root, &probe)
    }

    /// The entries before `probe`, descending.
    pub(crate) fn before(&self, probe: impl Probe<K>) -> Descending<'_, K, V> {
        Descending::before(&self.root, &probe)
    }
}

impl<K: MapKey, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        PersistentMap {
            root: Node::default(),
            entries: 0,
        }
    }
}

impl<K: MapKey, V> Clone for PersistentMap<K, V> {
    fn clone(&self) -> Self {
        PersistentMap {
            root: self.root.clone(),
            entries: self.entries,
        }
    }
}

impl<K: MapKey, V: Clone + PartialEq> PartialEq for PersistentMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
            && (self.root.is_same(&other.root) || self.iter().eq(other.iter()))
    }
}

impl<K: MapKey, V: Clone + Eq> Eq for PersistentMap<K, V> {}

impl<K: MapKey + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for PersistentMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: MapKey, V: Clone> Extend<(K, V)> for PersistentMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}
