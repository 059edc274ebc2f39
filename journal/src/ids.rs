//! Identities that the journal writes into its files: store, segment, boot, record kind.
//!
//! Not here: positions ([`crate::Lsn`]) and anything that a payload identifies.

use std::fmt;

/// The store that a journal belongs to. A file that names another store is foreign.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreUuid(pub [u8; 16]);

impl fmt::Display for StoreUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUuid({self})")
    }
}

/// The number of a segment file. The first is 1; numbers are dense and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(u64);

impl SegmentId {
    /// The first segment of a journal.
    pub const FIRST: SegmentId = SegmentId(1);

    /// Wraps a raw number.
    pub const fn new(number: u64) -> Self {
        SegmentId(number)
    }

    /// The raw number; 0 stands for "no segment" in the files.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The segment after this one, or `None` at the end of the 64-bit space.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(SegmentId(number)),
            None => None,
        }
    }

    /// The file's name inside the journal's directory: twenty digits and `.seg`.
    pub fn file_name(self) -> String {
        format!("{:020}.seg", self.0)
    }

    /// The segment that a file name stands for; `None` for any other name, and for number 0.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".seg")?;
        if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match digits.parse() {
            Ok(0) | Err(_) => None,
            Ok(number) => Some(SegmentId(number)),
        }
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How often the journal was opened for writing. The first is 1; each opening adds one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(u32);

impl Boot {
    /// The boot that created the journal.
    pub const FIRST: Boot = Boot(1);

    /// Wraps a raw number.
    pub const fn new(number: u32) -> Self {
        Boot(number)
    }

    /// The raw number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The boot after this one, or `None` at the end of the 32-bit space.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Boot(number)),
            None => None,
        }
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The kind of a record, chosen by the journal's user. The journal only carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(u16);

impl RecordKind {
    /// The bit that lets a reader pass over a kind that it does not know.
    pub const IGNORABLE: u16 = 0x8000;

    /// Wraps a raw kind.
    pub const fn new(kind: u16) -> Self {
        RecordKind(kind)
    }

    /// The raw kind.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a reader that does not know this kind may pass over the record.
    pub const fn is_ignorable(self) -> bool {
        self.0 & Self::IGNORABLE != 0
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_round_trip_and_nothing_else_is_a_segment() {
        for number in [1, 7, 12_345, u64::MAX] {
            let id = SegmentId::new(number);
            assert_eq!(SegmentId::from_file_name(&id.file_name()), Some(id));
        }
        for name in [
            "1.seg",
            "00000000000000000000.seg",
            "99999999999999999999.seg",
            "+0000000000000000001.seg",
            "00000000000000000001.seg.new",
            "00000000000000000001.SEG",
            "",
        ] {
            assert_eq!(SegmentId::from_file_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn store_is_shown_as_a_uuid() {
        let store = StoreUuid([
            0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 1, 2, 3, 4, 5, 6, 7,
        ]);
        assert_eq!(store.to_string(), "01234567-89ab-cdef-0001-020304050607");
    }

    #[test]
    fn the_high_bit_makes_a_kind_ignorable() {
        assert!(RecordKind::new(0x8001).is_ignorable());
        assert!(!RecordKind::new(0x7fff).is_ignorable());
    }
}
