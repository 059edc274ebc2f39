//! `KeyRange`: a half-open range of keys with an explicit infinite end.
//!
//! Not here: how keys are encoded in the data store.

use std::fmt;
use std::sync::Arc;

/// Bytes of a key, shared cheaply between neighbouring ranges.
pub type Key = Arc<[u8]>;

/// Half-open range of keys: `start` is inside, `end` is not; no `end` means "to infinity".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Key,
    end: Option<Key>,
}

impl KeyRange {
    /// The whole key space.
    pub fn all() -> Self {
        KeyRange {
            start: Arc::from([].as_slice()),
            end: None,
        }
    }

    /// `start .. end`, or `None` if that is empty. `end` of `None` is infinity.
    pub fn new(start: impl Into<Key>, end: Option<impl Into<Key>>) -> Option<Self> {
        let range = KeyRange {
            start: start.into(),
            end: end.map(Into::into),
        };
        match &range.end {
            Some(end) if *end <= range.start => None,
            _ => Some(range),
        }
    }

    /// Puts equal bytes in the place of the bounds.
    pub(crate) fn share_bounds(&mut self, start: Option<Key>, end: Option<Key>) {
        debug_assert!(start.as_ref().is_none_or(|start| *start == self.start));
        debug_assert!(end.is_none() || end == self.end);
        self.start = start.unwrap_or_else(|| Key::clone(&self.start));
        self.end = end.or(self.end.take());
    }

    /// First key inside.
    pub fn start(&self) -> &Key {
        &self.start
    }

    /// First key after the range; `None` is infinity.
    pub fn end(&self) -> Option<&Key> {
        self.end.as_ref()
    }

    /// Whether `key` lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        *key >= *self.start && self.end.as_ref().is_none_or(|end| *key < **end)
    }

    /// Whether some key lies in both.
    pub fn overlaps(&self, other: &KeyRange) -> bool {
        let starts_before =
            |a: &KeyRange, b: &KeyRange| b.end.as_ref().is_none_or(|end| a.start < *end);
        starts_before(self, other) && starts_before(other, self)
    }

    /// Whether every key of `other` lies in `self`.
    pub fn covers(&self, other: &KeyRange) -> bool {
        self.start <= other.start
            && match (&self.end, &other.end) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(mine), Some(theirs)) => theirs <= mine,
            }
    }

    /// What both share, if anything.
    pub fn intersection(&self, other: &KeyRange) -> Option<KeyRange> {
        let start = self.start.clone().max(other.start.clone());
        let end = match (&self.end, &other.end) {
            (None, end) | (end, None) => end.clone(),
            (Some(a), Some(b)) => Some(a.clone().min(b.clone())),
        };
        KeyRange::new(start, end)
    }

    /// Both as one range, if they meet without sharing a key.
    pub fn join(&self, other: &KeyRange) -> Option<KeyRange> {
        let meet = |left: &KeyRange, right: &KeyRange| {
            left.end() == Some(right.start()) && left.start() < right.start()
        };
        let (left, right) = match (meet(self, other), meet(other, self)) {
            (true, _) => (self, other),
            (_, true) => (other, self),
            (false, false) => return None,
        };
        KeyRange::new(left.start.clone(), right.end.clone())
    }

    /// The keys of `self` that are not in `other`: none, one or two ranges, in key order.
    pub fn difference(&self, other: &KeyRange) -> Vec<KeyRange> {
        if !self.overlaps(other) {
            return vec![self.clone()];
        }
        let mut rest = Vec::new();
        rest.extend(
            KeyRange::new(self.start.clone(), Some(other.start.clone()))
                .filter(|left| self.covers(left)),
        );
        if let Some(end) = &other.end {
            rest.extend(
                KeyRange::new(end.clone(), self.end.clone()).filter(|right| self.covers(right)),
            );
        }
        rest
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" … ", self.start.escape_ascii())?;
        match &self.end {
            Some(end) => write!(f, "\"{}\"", end.escape_ascii()),
            None => f.write_str("∞"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        let end = (!end.is_empty()).then_some(end.as_bytes());
        KeyRange::new(start.as_bytes(), end).unwrap()
    }

    #[test]
    fn empty_ranges_do_not_exist() {
        assert_eq!(KeyRange::new(b"m".as_slice(), Some(b"m".as_slice())), None);
        assert_eq!(KeyRange::new(b"n".as_slice(), Some(b"m".as_slice())), None);
    }

    #[test]
    fn overlap_containment_and_difference_agree_with_every_key() {
        let bounds = ["", "b", "d", "f", "h"];
        let mut ranges = vec![];
        for (i, start) in bounds.iter().enumerate() {
            ranges.push(range(start, ""));
            for end in &bounds[i + 1..] {
                ranges.push(range(start, end));
            }
        }
        let keys = ["", "a", "b", "c", "d", "e", "f", "g", "h", "i"];
        for a in &ranges {
            for b in &ranges {
                let both = |key: &&&str| a.contains(key.as_bytes()) && b.contains(key.as_bytes());
                assert_eq!(a.overlaps(b), keys.iter().any(|k| both(&k)), "{a} {b}");
                assert_eq!(
                    a.covers(b),
                    keys.iter()
                        .all(|k| !b.contains(k.as_bytes()) || a.contains(k.as_bytes())),
                    "{a} {b}"
                );
                for key in keys {
                    let rest = a.difference(b);
                    let key = key.as_bytes();
                    assert_eq!(
                        rest.iter().any(|r| r.contains(key)),
                        a.contains(key) && !b.contains(key),
                        "{a} - {b} at {}",
                        key.escape_ascii()
                    );
                    let meet = a.end() == Some(b.start()) || b.end() == Some(a.start());
                    let joined = a.join(b);
                    assert_eq!(joined.is_some(), meet, "{a} {b}");
                    assert!(
                        joined
                            .is_none_or(|joined| joined.contains(key)
                                == (a.contains(key) || b.contains(key))),
                        "{a} {b}"
                    );
                    assert_eq!(
                        a.intersection(b).is_some_and(|r| r.contains(key)),
                        a.contains(key) && b.contains(key)
                    );
                }
            }
        }
    }
}
