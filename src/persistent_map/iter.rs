//! Walking through the entries, up or down.

use arrayvec::ArrayVec;

use super::node::{Inner, Leaf, Node};
use super::search::{MapKey, Probe};

/// Most inner nodes above one another. A root is split only when it is full, and nodes with few entries are
/// joined, so one level more needs some ten times the entries.
const INNER_LEVELS_MAX: usize = 20;

/// From a node down to a leaf, and how far each is done.
struct Path<'a, K: MapKey, V> {
    inner: ArrayVec<(&'a Inner<K, V>, usize), INNER_LEVELS_MAX>,
    leaf: Option<&'a Leaf<K, V>>,
    /// Entries of the leaf before the place.
    at: usize,
}

/// Which way down a path goes.
enum Way<'p, P> {
    First,
    Last,
    Below(&'p P),
}

impl<'a, K: MapKey, V> Path<'a, K, V> {
    fn new(root: &'a Node<K, V>, way: &Way<'_, impl Probe<K>>) -> Self {
        let mut path = Path {
            inner: ArrayVec::new(),
            leaf: None,
            at: 0,
        };
        path.descend(root, way);
        path
    }

    fn descend(&mut self, mut node: &'a Node<K, V>, way: &Way<'_, impl Probe<K>>) {
        loop {
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = Some(leaf);
                    self.at = match way {
                        Way::First => 0,
                        Way::Last => leaf.keys.len(),
                        Way::Below(probe) => leaf.below(*probe),
                    };
                    return;
                }
                Node::Inner(inner) => {
                    let at = match way {
                        Way::First => 0,
                        Way::Last => inner.children.len().saturating_sub(1),
                        Way::Below(probe) => inner.child_of(*probe),
                    };
                    self.inner.push((inner, at));
                    let Some(child) = inner.children.get(at) else {
                        return;
                    };
                    node = child;
                }
            }
        }
    }

    fn entry(&self, at: usize) -> Option<(&'a K, &'a V)> {
        let leaf = self.leaf?;
        leaf.keys.get(at).zip(leaf.values.get(at))
    }

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some(entry) = self.entry(self.at) {
                self.at += 1;
                return Some(entry);
            }
            let next = loop {
                let (inner, at) = self.inner.pop()?;
                if let Some(next) = inner.children.get(at + 1) {
                    self.inner.push((inner, at + 1));
                    break next;
                }
            };
            self.descend(next, &Way::<K>::First);
        }
    }

    fn previous(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some(at) = self.at.checked_sub(1) {
                self.at = at;
                return self.entry(at);
            }
            let before = loop {
                let (inner, at) = self.inner.pop()?;
                if let Some((at, child)) = at
                    .checked_sub(1)
                    .and_then(|at| Some((at, inner.children.get(at)?)))
                {
                    self.inner.push((inner, at));
                    break child;
                }
            };
            self.descend(before, &Way::<K>::Last);
        }
    }
}

/// Entries in ascending order.
pub(crate) struct Ascending<'a, K: MapKey, V>(Path<'a, K, V>);

/// Entries in descending order.
pub(crate) struct Descending<'a, K: MapKey, V>(Path<'a, K, V>);

impl<'a, K: MapKey, V> Ascending<'a, K, V> {
    pub(super) fn all(root: &'a Node<K, V>) -> Self {
        Ascending(Path::new(root, &Way::<K>::First))
    }

    pub(super) fn from(root: &'a Node<K, V>, probe: &impl Probe<K>) -> Self {
        Ascending(Path::new(root, &Way::Below(probe)))
    }
}

impl<'a, K: MapKey, V> Descending<'a, K, V> {
    pub(super) fn all(root: &'a Node<K, V>) -> Self {
        Descending(Path::new(root, &Way::<K>::Last))
    }

    pub(super) fn before(root: &'a Node<K, V>, probe: &impl Probe<K>) -> Self {
        Descending(Path::new(root, &Way::Below(probe)))
    }
}

impl<'a, K: MapKey, V> Iterator for Ascending<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl<'a, K: MapKey, V> Iterator for Descending<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.previous()
    }
}
