//! `Lsn`, the position of a record in the journal's total order.
//!
//! Not here: offsets in files (those are plain byte counts, named as such).

use std::fmt;

/// Log sequence number: the position of a record in the journal's total order.
///
/// The first record has LSN 1 and there are no gaps. [`Lsn::ZERO`] stands *before* the first
/// record, so "everything up to `Lsn::ZERO`" is "nothing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The position before the first record.
    pub const ZERO: Lsn = Lsn(0);
    /// The position of the first record.
    pub const FIRST: Lsn = Lsn(1);

    /// Wraps a raw position.
    pub const fn new(position: u64) -> Self {
        Lsn(position)
    }

    /// The raw position; 0 only for [`Lsn::ZERO`].
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next position, or `None` at the end of the 64-bit space.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(position) => Some(Lsn(position)),
            None => None,
        }
    }

    /// The position `records` later, or `None` past the end of the 64-bit space.
    pub const fn checked_add(self, records: u64) -> Option<Self> {
        match self.0.checked_add(records) {
            Some(position) => Some(Lsn(position)),
            None => None,
        }
    }

    /// How many records lie in `earlier < lsn <= self`; 0 if `earlier` is not earlier.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_dense_and_end_without_overflow() {
        assert_eq!(Lsn::ZERO.next(), Some(Lsn::FIRST));
        assert_eq!(Lsn::new(u64::MAX).next(), None);
        assert_eq!(Lsn::new(u64::MAX - 1).checked_add(2), None);
        assert_eq!(Lsn::new(7).distance_from(Lsn::new(3)), 4);
        assert_eq!(Lsn::new(3).distance_from(Lsn::new(7)), 0);
    }
}
