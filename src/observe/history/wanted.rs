//! Which keys' changes are kept: a list of ranges that do not touch.
//!
//! Not here: who wants them (observers, and whoever asked for history by range).

use std::sync::Arc;

use crate::KeyRange;
use crate::observe::ids::{any_overlaps, joined};

/// Ranges in key order that neither overlap nor touch. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    ranges: Arc<[KeyRange]>,
}

impl Wanted {
    /// What any of `ranges` covers.
    pub(crate) fn of(ranges: impl IntoIterator<Item = KeyRange>) -> Self {
        Wanted {
            ranges: joined(ranges.into_iter().collect()).into(),
        }
    }

    /// Whether nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether some key of `range` is wanted.
    pub(crate) fn touches(&self, range: &KeyRange) -> bool {
        any_overlaps(&self.ranges, range)
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
    fn ranges_that_meet_are_one_and_those_between_are_not_wanted() {
        let wanted = Wanted::of([
            range("m", "p"),
            range("a", "c"),
            range("b", "d"),
            range("d", "e"),
        ]);
        assert_eq!(&*wanted.ranges, &[range("a", "e"), range("m", "p")]);
        for (start, end, expected) in [
            ("", "a", false),
            ("", "aa", true),
            ("e", "m", false),
            ("e", "n", true),
            ("o", "", true),
            ("p", "", false),
        ] {
            assert_eq!(
                wanted.touches(&range(start, end)),
                expected,
                "{start}..{end}"
            );
        }
        assert!(!Wanted::default().touches(&KeyRange::all()));
        let all = Wanted::of([range("x", ""), KeyRange::all()]);
        assert_eq!(&*all.ranges, &[KeyRange::all()]);
    }
}
