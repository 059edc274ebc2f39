//! The nodes: what is copied when it is shared, split when it is full, joined when it is nearly empty.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::search::{MapKey, Probe};

/// Most entries of a leaf, and most children of an inner node.
pub(super) const ENTRIES_MAX: usize = 32;
/// A node with fewer is joined with its neighbour, if both together leave room.
const ENTRIES_FEW: usize = ENTRIES_MAX / 4;
/// What both together may have.
const ENTRIES_JOINED_MAX: usize = ENTRIES_MAX * 3 / 4;

pub(super) enum Node<K: MapKey, V> {
    Leaf(Arc<Leaf<K, V>>),
    Inner(Arc<Inner<K, V>>),
}

pub(super) struct Leaf<K: MapKey, V> {
    index: K::Index,
    pub(super) keys: ArrayVec<K, ENTRIES_MAX>,
    pub(super) values: ArrayVec<V, ENTRIES_MAX>,
}

pub(super) struct Inner<K: MapKey, V> {
    index: K::Index,
    /// Between two children each: every key in the left one is smaller, none in the right one is.
    bounds: ArrayVec<K, ENTRIES_MAX>,
    pub(super) children: ArrayVec<Node<K, V>, ENTRIES_MAX>,
}

/// A node that was split off, and a lower bound of its keys.
type Right<K, V> = (K, Node<K, V>);

impl<K: MapKey, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(leaf) => Node::Leaf(Arc::clone(leaf)),
            Node::Inner(inner) => Node::Inner(Arc::clone(inner)),
        }
    }
}

impl<K: MapKey, V: Clone> Clone for Leaf<K, V> {
    fn clone(&self) -> Self {
        Leaf {
            index: self.index.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K: MapKey, V> Clone for Inner<K, V> {
    fn clone(&self) -> Self {
        Inner {
            index: self.index.clone(),
            bounds: self.bounds.clone(),
            children: self.children.clone(),
        }
    }
}

impl<K: MapKey, V> Default for Node<K, V> {
    fn default() -> Self {
        Node::Leaf(Arc::new(Leaf {
            index: K::Index::default(),
            keys: ArrayVec::new(),
            values: ArrayVec::new(),
        }))
    }
}

impl<K: MapKey, V> Leaf<K, V> {
    /// How many entries lie below `probe`.
    pub(super) fn below(&self, probe: &impl Probe<K>) -> usize {
        probe.below(&self.index, &self.keys)
    }

    /// Where the entry of `probe` is, or would be.
    fn find(&self, probe: &impl Probe<K>) -> Result<usize, usize> {
        probe.find(&self.index, &self.keys)
    }

    fn reindex(&mut self) {
        self.index = K::index(&self.keys);
    }
}

impl<K: MapKey, V> Inner<K, V> {
    /// The child in which `probe` is, or would be.
    pub(super) fn child_of(&self, probe: &impl Probe<K>) -> usize {
        match probe.find(&self.index, &self.bounds) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    fn reindex(&mut self) {
        self.index = K::index(&self.bounds);
    }
}

impl<K: MapKey, V> Node<K, V> {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Node::Leaf(a), Node::Leaf(b)) => Arc::ptr_eq(a, b),
            (Node::Inner(a), Node::Inner(b)) => Arc::ptr_eq(a, b),
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => false,
        }
    }

    fn leaf_of(&self, probe: &impl Probe<K>) -> Option<&Leaf<K, V>> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Inner(inner) => node = inner.children.get(inner.child_of(probe))?,
            }
        }
    }

    pub(super) fn get(&self, probe: &impl Probe<K>) -> Option<&V> {
        let leaf = self.leaf_of(probe)?;
        leaf.values.get(leaf.find(probe).ok()?)
    }

    /// The last entry at or before `probe`.
    pub(super) fn at_or_before(&self, probe: &impl Probe<K>) -> Option<(&K, &V)> {
        let leaf = self.leaf_of(probe)?;
        let at = match leaf.find(probe) {
            Ok(at) => at,
            Err(above) => match above.checked_sub(1) {
                Some(at) => at,
                // Bounds are lower than keys: the entry is then in a leaf before this one.
                None => return super::Descending::before(self, probe).next(),
            },
        };
        leaf.keys.get(at).zip(leaf.values.get(at))
    }

    /// How many leaves there are.
    #[cfg(test)]
    pub(super) fn leaves(&self) -> usize {
        match self {
            Node::Leaf(_) => 1,
            Node::Inner(inner) => inner.children.iter().map(Node::leaves).sum(),
        }
    }

    fn entries(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }
}

impl<K: MapKey, V: Clone> Node<K, V> {
    /// The value of a key; nothing is copied if there is none.
    pub(super) fn get_mut(&mut self, probe: &impl Probe<K>) -> Option<&mut V> {
        if self.is_shared() {
            self.get(probe)?;
            return self.get_mut_of(probe);
        }
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.find(probe).ok()?;
                Arc::make_mut(leaf).values.get_mut(at)
            }
            Node::Inner(inner) => {
                let at = inner.child_of(probe);
                Arc::make_mut(inner).children.get_mut(at)?.get_mut(probe)
            }
        }
    }

    /// The value of a key that is there.
    fn get_mut_of(&mut self, probe: &impl Probe<K>) -> Option<&mut V> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.find(probe).ok()?;
                Arc::make_mut(leaf).values.get_mut(at)
            }
            Node::Inner(inner) => {
                let at = inner.child_of(probe);
                Arc::make_mut(inner).children.get_mut(at)?.get_mut_of(probe)
            }
        }
    }

    fn is_shared(&self) -> bool {
        match self {
            Node::Leaf(leaf) => Arc::strong_count(leaf) > 1,
            Node::Inner(inner) => Arc::strong_count(inner) > 1,
        }
    }

    pub(super) fn insert_into_root(&mut self, key: K, value: V) -> Option<V> {
        let (before, right) = self.insert(key, value);
        if let Some((bound, right)) = right {
            let left = std::mem::take(self);
            let mut inner = Inner {
                index: K::Index::default(),
                bounds: ArrayVec::new(),
                children: ArrayVec::new(),
            };
            inner.bounds.push(bound);
            inner.children.push(left);
            inner.children.push(right);
            inner.reindex();
            *self = Node::Inner(Arc::new(inner));
        }
        before
    }

    fn insert(&mut self, key: K, value: V) -> (Option<V>, Option<Right<K, V>>) {
        match self {
            Node::Leaf(leaf) => Arc::make_mut(leaf).insert(key, value),
            Node::Inner(inner) => {
                let at = inner.child_of(&key);
                let inner = Arc::make_mut(inner);
                let Some(child) = inner.children.get_mut(at) else {
                    return (None, None);
                };
                let (before, right) = child.insert(key, value);
                (before, right.and_then(|right| inner.adopt(at + 1, right)))
            }
        }
    }

    pub(super) fn remove_from_root(&mut self, probe: &impl Probe<K>) -> Option<V> {
        let removed = self.remove(probe);
        while let Node::Inner(inner) = self
            && inner.children.len() <= 1
        {
            *self = inner.children.first().cloned().unwrap_or_default();
        }
        removed
    }

    fn remove(&mut self, probe: &impl Probe<K>) -> Option<V> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.find(probe).ok()?;
                let leaf = Arc::make_mut(leaf);
                leaf.keys.remove(at);
                let removed = leaf.values.remove(at);
                K::index_removed(&mut leaf.index, &leaf.keys, at);
                Some(removed)
            }
            Node::Inner(inner) => {
                let at = inner.child_of(probe);
                let inner = Arc::make_mut(inner);
                let child = inner.children.get_mut(at)?;
                let removed = child.remove(probe);
                if child.entries() < ENTRIES_FEW {
                    inner.join(at);
                }
                removed
            }
        }
    }
}

impl<K: MapKey, V: Clone> Leaf<K, V> {
    fn insert(&mut self, key: K, value: V) -> (Option<V>, Option<Right<K, V>>) {
        let at = match self.find(&key) {
            Ok(at) => {
                let before = self.values.get_mut(at);
                let before = before.map(|before| std::mem::replace(before, value));
                return (before, None);
            }
            Err(at) => at,
        };
        if !self.keys.is_full() {
            self.keys.insert(at, key);
            self.values.insert(at, value);
            K::index_inserted(&mut self.index, &self.keys, at);
            return (None, None);
        }
        // What comes in ascending order leaves full nodes behind.
        let cut = match at == self.keys.len() {
            true => at,
            false => ENTRIES_MAX / 2,
        };
        let mut right = Leaf {
            index: K::Index::default(),
            keys: self.keys.drain(cut..).collect(),
            values: self.values.drain(cut..).collect(),
        };
        let (into, place) = match at.checked_sub(cut) {
            Some(place) => (&mut right, place),
            None => (&mut *self, at),
        };
        into.keys.insert(place, key);
        into.values.insert(place, value);
        self.reindex();
        right.reindex();
        let bound = right.keys.first().cloned();
        (
            None,
            bound.map(|bound| (bound, Node::Leaf(Arc::new(right)))),
        )
    }
}

impl<K: MapKey, V: Clone> Inner<K, V> {
    /// Takes a child in at `at`, behind another one; gives back what was split off for it.
    fn adopt(&mut self, at: usize, (bound, child): Right<K, V>) -> Option<Right<K, V>> {
        if !self.children.is_full() {
            self.put(at, bound, child);
            return None;
        }
        let mut right = Inner {
            index: K::Index::default(),
            bounds: ArrayVec::new(),
            children: ArrayVec::new(),
        };
        // What comes in ascending order leaves full nodes behind.
        if at == self.children.len() {
            right.children.push(child);
            return Some((bound, Node::Inner(Arc::new(right))));
        }
        let cut = ENTRIES_MAX / 2;
        right.children = self.children.drain(cut..).collect();
        right.bounds = self.bounds.drain(cut..).collect();
        let between = self.bounds.pop()?;
        match at.checked_sub(cut + 1) {
            Some(before) => right.put(before + 1, bound, child),
            None => self.put(at, bound, child),
        }
        self.reindex();
        right.reindex();
        Some((between, Node::Inner(Arc::new(right))))
    }

    fn put(&mut self, at: usize, bound: K, child: Node<K, V>) {
        self.bounds.insert(at - 1, bound);
        self.children.insert(at, child);
        K::index_inserted(&mut self.index, &self.bounds, at - 1);
    }

    /// Joins the child at `at`, which has few entries, with a neighbour that has room.
    fn join(&mut self, at: usize) {
        let entries = |at: usize| self.children.get(at).map(Node::entries);
        if entries(at) == Some(0) {
            self.children.remove(at);
            if !self.bounds.is_empty() {
                self.bounds.remove(at.saturating_sub(1));
            }
            return self.reindex();
        }
        let left = at.saturating_sub(1);
        let (Some(before), Some(after)) = (entries(left), entries(left + 1)) else {
            return;
        };
        if before + after > ENTRIES_JOINED_MAX {
            return;
        }
        let gone = self.children.remove(left + 1);
        let bound = self.bounds.remove(left);
        match (self.children.get_mut(left), gone) {
            (Some(Node::Leaf(into)), Node::Leaf(gone)) => {
                let into = Arc::make_mut(into);
                into.keys.extend(gone.keys.iter().cloned());
                into.values.extend(gone.values.iter().cloned());
                into.reindex();
            }
            (Some(Node::Inner(into)), Node::Inner(gone)) => {
                let into = Arc::make_mut(into);
                into.bounds.push(bound);
                into.bounds.extend(gone.bounds.iter().cloned());
                into.children.extend(gone.children.iter().cloned());
                into.reindex();
            }
            _ => unreachable!("the children of a node are all leaves or all inner nodes"),
        }
        self.reindex();
    }
}
