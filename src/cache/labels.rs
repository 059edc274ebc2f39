//! `Labels`: key ranges that are to be held in memory, whatever is read of them.
//!
//! Labels may overlap; each counts on its own, so removing one leaves what another covers.

use std::collections::BTreeMap;

use crate::KeyRange;

/// Names one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(pub u64);

/// A range that is always to be cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its keys.
    pub range: KeyRange,
    /// Higher ones are loaded first and given up last.
    pub priority: i32,
}

/// Every label of a store.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    by_id: BTreeMap<LabelId, Label>,
    last: u64,
}

impl Labels {
    /// Adds a label.
    pub(crate) fn add(&mut self, label: Label) -> LabelId {
        self.last += 1;
        let id = LabelId(self.last);
        self.by_id.insert(id, label);
        id
    }

    /// Removes a label.
    pub(crate) fn remove(&mut self, id: LabelId) -> Option<Label> {
        self.by_id.remove(&id)
    }

    /// The highest priority of the labels that overlap the range; none if none does.
    pub(crate) fn priority(&self, range: &KeyRange) -> Option<i32> {
        let labels = self.by_id.values();
        let overlapping = labels.filter(|label| label.range.overlaps(range));
        overlapping.map(|label| label.priority).max()
    }

    /// Every label.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LabelId, &Label)> {
        self.by_id.iter().map(|(id, label)| (*id, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(start: &str, end: &str, priority: i32) -> Label {
        let range = KeyRange::new(start.as_bytes(), Some(end.as_bytes())).unwrap();
        Label { range, priority }
    }

    #[test]
    fn what_two_labels_cover_is_held_until_both_are_gone() {
        let mut labels = Labels::default();
        let first = labels.add(label("b", "m", 1));
        let second = labels.add(label("b", "m", 1));
        let third = labels.add(label("k", "z", 7));
        let held = |labels: &Labels, start, end| labels.priority(&label(start, end, 0).range);
        assert_eq!(held(&labels, "c", "d"), Some(1));
        assert_eq!(held(&labels, "l", "n"), Some(7));
        assert_eq!(held(&labels, "a", "b"), None);
        assert!(labels.remove(first).is_some() && labels.remove(first).is_none());
        assert_eq!(held(&labels, "c", "d"), Some(1), "the other label holds it");
        labels.remove(second);
        assert_eq!(held(&labels, "c", "d"), None);
        assert_eq!(labels.iter().map(|(id, _)| id).collect::<Vec<_>>(), [third]);
    }
}
