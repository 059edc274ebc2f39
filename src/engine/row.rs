//! `Row` and `PinnedSlice`: what reads hand out. From memory they are slices of it, held by the view
//! that was read; from the store they own their bytes. The reader need not know.

use std::fmt;
use std::ops::Deref;

use crate::Key;
use crate::store::Value;

/// Bytes of a key or a value; they deref to `[u8]`.
///
/// Those that come from memory borrow from the [`RegionView`](super::RegionView) that was read.
#[derive(Clone)]
pub struct PinnedSlice<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Memory(&'a [u8]),
    Key(Key),
    Value(Value),
}

impl<'a> PinnedSlice<'a> {
    pub(super) fn memory(bytes: &'a [u8]) -> Self {
        PinnedSlice(Repr::Memory(bytes))
    }

    pub(super) fn value(value: Value) -> Self {
        PinnedSlice(Repr::Value(value))
    }

    /// The bytes as a value of their own; copied only if they lie in a view's memory.
    pub fn into_value(self) -> Value {
        match self.0 {
            Repr::Memory(bytes) => Value::copy_from(bytes),
            Repr::Key(key) => Value::from(key),
            Repr::Value(value) => value,
        }
    }

    /// The bytes as a key of their own; copied only if they lie in a view's memory.
    pub fn into_key(self) -> Key {
        match self.0 {
            Repr::Memory(bytes) => Key::from(bytes),
            Repr::Key(key) => key,
            Repr::Value(value) => Key::from(&*value),
        }
    }
}

impl Deref for PinnedSlice<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Memory(bytes) => bytes,
            Repr::Key(key) => key,
            Repr::Value(value) => value,
        }
    }
}

impl AsRef<[u8]> for PinnedSlice<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for PinnedSlice<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for PinnedSlice<'_> {}

impl fmt::Debug for PinnedSlice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

/// One row of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its key.
    pub key: PinnedSlice<'a>,
    /// Its value.
    pub value: PinnedSlice<'a>,
}

impl<'a> Row<'a> {
    #[inline]
    pub(super) fn memory((key, value): (&'a [u8], &'a [u8])) -> Self {
        Row {
            key: PinnedSlice::memory(key),
            value: PinnedSlice::memory(value),
        }
    }

    pub(super) fn stored((key, value): (Key, Value)) -> Self {
        Row {
            key: PinnedSlice(Repr::Key(key)),
            value: PinnedSlice(Repr::Value(value)),
        }
    }

    /// Key and value of their own.
    pub fn into_owned(self) -> (Key, Value) {
        (self.key.into_key(), self.value.into_value())
    }
}
