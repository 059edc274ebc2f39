//! `Rare`: a value that is nearly always the usual one, and takes eight bytes as long as it is.
//!
//! Not here: what is kept like that (`peer`, `register`).

use std::fmt;
use std::ops::Deref;

/// A type one of whose values is the one that nearly every region has.
pub trait Usual: Copy + PartialEq + 'static {
    /// That value.
    const USUAL: &'static Self;
}

/// A value that lies elsewhere in memory unless it is [`Usual::USUAL`]; read it with `*`, make it with `into`.
#[derive(Clone, PartialEq, Eq)]
pub struct Rare<T: Usual>(Option<Box<T>>);

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::USUAL)
    }
}

impl<T: Usual> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Rare((value != *T::USUAL).then(|| Box::new(value)))
    }
}

impl<T: Usual> Default for Rare<T> {
    fn default() -> Self {
        Rare(None)
    }
}

impl<T: Usual + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{CacheEntry, Mode, PeerState, Slot};

    #[test]
    fn the_usual_value_is_written_down_in_one_way_only() {
        for mode in [Mode::Serving, Mode::Flashback] {
            let rare = Rare::from(mode);
            assert_eq!(*rare, mode);
            assert_eq!(rare.0.is_some(), mode != Mode::Serving);
            assert_eq!(rare == Rare::default(), mode == Mode::Serving);
            assert_eq!(format!("{rare:?}"), format!("{mode:?}"));
        }
        assert_eq!(*Rare::<CacheEntry>::default(), CacheEntry::Absent);
    }

    /// A million regions make a megabyte of each byte.
    #[test]
    fn a_slot_keeps_to_its_size() {
        assert_eq!(size_of::<Rare<Mode>>(), 8);
        assert!(size_of::<PeerState>() <= 80, "{}", size_of::<PeerState>());
        assert!(size_of::<Slot>() <= 112, "{}", size_of::<Slot>());
    }
}
