//! The words of observers: identities, generations, positions, where to start, and how much is kept.
//!
//! Not here: what is known of an observer (`lifecycle::observer`).

use std::fmt;
use std::sync::Arc;

use crate::{KeyRange, RegionId};

/// One registration of an observer on this store; never given twice. Shown as `o3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObserverId(pub u64);

impl fmt::Display for ObserverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "o{}", self.0)
    }
}

/// One attachment of an observer to a region: what is delivered, and what is acknowledged, belongs to
/// exactly one. Minted by a record of the journal and by nothing else, from 1, never twice. Shown as
/// `g12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// What an attachment has that was never attached.
    pub const NONE: Generation = Generation(0);
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// What identifies one change, the same on every store: the region, the index of its Raft entry, and
/// the change's place within the entry, from 0. Shown as `r7:131.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which region.
    pub region: RegionId,
    /// Index of the entry in the region's log.
    pub index: u64,
    /// Place of the change within the entry.
    pub sub: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.region, self.index, self.sub)
    }
}

/// What an observer is called: 1 to 64 lower-case letters, digits and `-._`, the first one a letter.
/// One living observer has it at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObserverName(Arc<str>);

impl ObserverName {
    /// Most bytes of a name.
    pub const BYTES_MAX: usize = 64;

    /// The name; none if it is not one.
    pub fn new(name: &str) -> Option<Self> {
        let is_letter = |byte: u8| byte.is_ascii_lowercase();
        let is_rest = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || b"-._".contains(&byte);
        let starts = name.bytes().next().is_some_and(is_letter);
        let fits = name.len() <= Self::BYTES_MAX && name.bytes().all(is_rest);
        (starts && fits).then(|| ObserverName(name.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObserverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys that an observer asks for: at least one range; ascending, none touches the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObserverRanges(Arc<[KeyRange]>);

/// Why ranges are not an observer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangesError {
    /// There is none.
    #[error("there is no range")]
    None,
    /// More than [`ObserverRanges::COUNT_MAX`], after those that touch were joined.
    #[error("{count} ranges, more than {} allowed", ObserverRanges::COUNT_MAX)]
    TooMany {
        /// Ranges given.
        count: usize,
    },
    /// Recorded ranges that are not ascending, or touch.
    #[error("the ranges are not ascending and apart")]
    Order,
}

/// The keys of `ranges`, in any order and overlapping or not, as ranges in key order that neither overlap nor
/// touch.
pub(crate) fn joined(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.sort_unstable_by(|a, b| a.start().cmp(b.start()));
    let mut joined: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if !is_apart(last, &range) => *last = span(last, &range),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

/// Whether one of `ascending`, as [`joined`] makes them, has a key of `range`.
pub(crate) fn any_overlaps(ascending: &[KeyRange], range: &KeyRange) -> bool {
    // The first that does not end before the range starts is the only one that can be first to overlap.
    let ends_before = |own: &KeyRange| own.end().is_some_and(|end| end <= range.start());
    let at = ascending.partition_point(ends_before);
    ascending.get(at).is_some_and(|own| own.overlaps(range))
}

impl ObserverRanges {
    /// Most ranges of one observer.
    pub const COUNT_MAX: usize = 1024;

    /// The keys of `ranges`, which may be given in any order and may overlap.
    ///
    /// # Errors
    /// [`RangesError`] if there is none, or too many.
    pub fn new(ranges: Vec<KeyRange>) -> Result<Self, RangesError> {
        Self::ascending(joined(ranges))
    }

    /// Ranges that are in order already, as a record has them.
    ///
    /// # Errors
    /// [`RangesError`] if they are not what [`ObserverRanges::new`] makes.
    pub fn ascending(ranges: Vec<KeyRange>) -> Result<Self, RangesError> {
        let count = ranges.len();
        if count == 0 {
            return Err(RangesError::None);
        }
        if count > Self::COUNT_MAX {
            return Err(RangesError::TooMany { count });
        }
        let mut pairs = ranges.iter().zip(ranges.iter().skip(1));
        if !pairs.all(|(first, second)| is_apart(first, second)) {
            return Err(RangesError::Order);
        }
        Ok(ObserverRanges(ranges.into()))
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &KeyRange> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether any key of `range` is asked for.
    pub fn overlaps(&self, range: &KeyRange) -> bool {
        any_overlaps(&self.0, range)
    }

    /// Whether `key` is asked for.
    pub fn contains(&self, key: &[u8]) -> bool {
        let ends_before = |own: &KeyRange| own.end().is_some_and(|end| &**end <= key);
        let at = self.0.partition_point(ends_before);
        self.0.get(at).is_some_and(|own| own.contains(key))
    }
}

/// Whether the first ends before the second starts, with keys between them.
fn is_apart(first: &KeyRange, second: &KeyRange) -> bool {
    first.end().is_some_and(|end| end < second.start())
}

/// Both and what is between; the first starts first.
fn span(first: &KeyRange, second: &KeyRange) -> KeyRange {
    let end = match (first.end(), second.end()) {
        (Some(a), Some(b)) => Some(a.max(b).clone()),
        (None, _) | (_, None) => None,
    };
    KeyRange::new(first.start().clone(), end).unwrap_or_else(|| first.clone())
}

/// From where on an observer wants the changes of its regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// What is applied after the registration.
    Now,
    /// The oldest change that is still kept of each region.
    Oldest,
    /// What comes after these indexes: of every observed region that holds data here, the last one that
    /// the consumer has already.
    After(Vec<(RegionId, u64)>),
}

/// How much of the past is kept for an observer that does not keep up, and how early it hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObserverPolicy {
    /// Most bytes of history that are kept for it; no limit if none.
    pub retain_bytes_max: Option<u64>,
    /// Longest time that history is kept for it, in milliseconds; no limit if none.
    pub retain_age_millis_max: Option<u64>,
    /// Whether it is also told what is applied and not yet durable, flagged as such.
    pub early: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        let end = (!end.is_empty()).then_some(end.as_bytes());
        KeyRange::new(start.as_bytes(), end).unwrap()
    }

    #[test]
    fn ranges_are_joined_ordered_and_searched() {
        let ranges = vec![
            range("m", "p"),
            range("a", "c"),
            range("b", "d"),
            range("d", "f"),
        ];
        let ranges = ObserverRanges::new(ranges).unwrap();
        let expected = [range("a", "f"), range("m", "p")];
        assert!(ranges.iter().eq(expected.iter()));
        for (start, end, overlaps) in [
            ("", "a", false),
            ("", "b", true),
            ("f", "m", false),
            ("e", "", true),
            ("p", "", false),
            ("o", "z", true),
        ] {
            assert_eq!(
                ranges.overlaps(&range(start, end)),
                overlaps,
                "{start} {end}"
            );
        }
        for (key, inside) in [
            ("a", true),
            ("f", false),
            ("l", false),
            ("m", true),
            ("p", false),
        ] {
            assert_eq!(ranges.contains(key.as_bytes()), inside, "{key}");
        }
        assert_eq!(ObserverRanges::new(Vec::new()), Err(RangesError::None));
        let touching = vec![range("a", "c"), range("c", "d")];
        assert_eq!(ObserverRanges::ascending(touching), Err(RangesError::Order));
        let open = vec![range("c", ""), range("a", "d"), range("x", "z")];
        let joined = ObserverRanges::new(open).unwrap();
        assert!(joined.iter().eq([range("a", "")].iter()));
    }

    #[test]
    fn names_are_plain_words() {
        for good in ["a", "backup", "cdc-1.eu_west"] {
            assert_eq!(ObserverName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "1a", "-a", "A", "a b", "ä", long.as_str()] {
            assert_eq!(ObserverName::new(bad), None, "{bad}");
        }
    }
}
