//! Sizes and byte offsets of every structure on disk, the mirror of docs/FORMAT.md.
//!
//! Everything is little endian. Not here: how a structure is checked (that is beside its decoder).

/// The unit in which everything is laid out, stored and synced.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes at the start of a segment that hold its header: two identical pages.
pub const SEGMENT_HEADER_BYTES: u64 = 2 * PAGE_BYTES;
/// The smallest segment.
pub const SEGMENT_BYTES_MIN: u64 = 32 * 1024;
/// The largest segment.
pub const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of a group's header, before the table of page checksums.
pub const GROUP_HEADER_BYTES: usize = 64;
/// Pages in the largest group; its table of page checksums just fits the first page.
pub const GROUP_PAGES_MAX: u64 = 1000;
/// Bytes of a record's header, before the payload.
pub const RECORD_HEADER_BYTES: usize = 24;
/// Records start at multiples of this.
pub const RECORD_ALIGN_BYTES: usize = 8;
/// Pages in the mark file.
pub const MARK_PAGES: u64 = 4;
/// Bytes of the largest payload, in a segment that is large enough for the largest group.
///
/// A smaller segment allows less, see
/// [`JournalOptions::payload_bytes_max`](crate::JournalOptions::payload_bytes_max).
pub const PAYLOAD_BYTES_MAX: u64 =
    group_capacity_bytes(GROUP_PAGES_MAX) - RECORD_HEADER_BYTES as u64;

/// Name of the mark file inside the journal's directory.
pub const MARK_FILE_NAME: &str = "journal.mark";
/// Suffix of a file that is not finished; readers ignore it, the next writer removes it.
pub const UNFINISHED_SUFFIX: &str = ".new";

/// Format version that this crate writes; it refuses to read a larger major one.
pub const FORMAT_MAJOR: u16 = 1;
/// Minor format version: additions that an older reader may pass over.
pub const FORMAT_MINOR: u16 = 0;
/// Incompatible features that this crate understands (none yet).
pub const INCOMPAT_FLAGS_KNOWN: u32 = 0;

/// `TORRENS\x01`, first bytes of a segment.
pub const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"TORRENS\x01");
/// `TGRP`, first bytes of a group.
pub const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"TGRP");
/// `TORMARK\x01`, first bytes of a mark.
pub const MARK_MAGIC: u64 = u64::from_le_bytes(*b"TORMARK\x01");

/// Bytes before the first record of a group of `pages` pages: header, table, padding to 8.
pub const fn records_offset_bytes(pages: u64) -> u64 {
    (GROUP_HEADER_BYTES as u64 + 4 * pages).next_multiple_of(RECORD_ALIGN_BYTES as u64)
}

/// Bytes that the records of a group of `pages` pages may take, headers and padding included.
pub const fn group_capacity_bytes(pages: u64) -> u64 {
    (pages * PAGE_BYTES).saturating_sub(records_offset_bytes(pages))
}

/// Pages of the smallest group whose records take `record_bytes`; `None` if no group is that large.
pub const fn group_pages(record_bytes: u64) -> Option<u64> {
    if record_bytes > group_capacity_bytes(GROUP_PAGES_MAX) {
        return None;
    }
    // A page carries 4096 bytes less its table entry. The estimate is never too large by more than
    // the padding of the table, and never too small by more than one.
    let mut pages = (record_bytes + GROUP_HEADER_BYTES as u64).div_ceil(PAGE_BYTES - 4);
    while group_capacity_bytes(pages) < record_bytes {
        pages += 1;
    }
    Some(pages)
}

/// Bytes that a record with a payload of `payload_bytes` takes in a group, padding included.
pub const fn record_bytes(payload_bytes: u64) -> u64 {
    (RECORD_HEADER_BYTES as u64)
        .saturating_add(payload_bytes)
        .next_multiple_of(RECORD_ALIGN_BYTES as u64)
}

/// Byte offsets in a segment's header page.
pub mod header_at {
    #![expect(missing_docs, reason = "the names are the fields of docs/FORMAT.md")]
    pub const MAGIC: usize = 0;
    pub const CRC: usize = 8;
    pub const CRC_FROM: usize = 12;
    pub const MAJOR: usize = 12;
    pub const MINOR: usize = 14;
    pub const COMPAT: usize = 16;
    pub const INCOMPAT: usize = 20;
    pub const STORE: usize = 24;
    pub const SEGMENT: usize = 40;
    pub const SALT: usize = 48;
    pub const FIRST_LSN: usize = 56;
    pub const FILE_BYTES: usize = 64;
    pub const PAGE: usize = 72;
    pub const BOOT: usize = 76;
    pub const PREV_SEGMENT: usize = 80;
    pub const PREV_LAST_LSN: usize = 88;
    pub const PREV_END: usize = 96;
    pub const PREV_CHAIN: usize = 104;
    pub const OLDEST_NEEDED: usize = 112;
    pub const WALL_CLOCK: usize = 120;
    pub const END: usize = 128;
}

/// Byte offsets in a group's header.
pub mod group_at {
    #![expect(missing_docs, reason = "the names are the fields of docs/FORMAT.md")]
    pub const MAGIC: usize = 0;
    pub const CRC: usize = 4;
    pub const CRC_FROM: usize = 8;
    pub const PADDED: usize = 8;
    pub const USED: usize = 12;
    pub const FIRST_LSN: usize = 16;
    pub const COUNT: usize = 24;
    pub const CHAIN: usize = 28;
    pub const SEGMENT: usize = 32;
    pub const DURABLE_LSN: usize = 40;
    pub const DURABLE_CHAIN: usize = 48;
    pub const FLAGS: usize = 52;
    pub const RECORDS: usize = 54;
    pub const BOOT: usize = 56;
    pub const NUMBER: usize = 60;
    pub const TABLE: usize = 64;
}

/// Byte offsets in a record's header.
pub mod record_at {
    #![expect(missing_docs, reason = "the names are the fields of docs/FORMAT.md")]
    pub const CRC: usize = 0;
    pub const CRC_FROM: usize = 4;
    pub const PAYLOAD_BYTES: usize = 4;
    pub const LSN: usize = 8;
    pub const KIND: usize = 16;
    pub const RESERVED: usize = 18;
    pub const TAG: usize = 20;
    pub const PAYLOAD: usize = 24;
}

/// Byte offsets in a page of the mark file.
pub mod mark_at {
    #![expect(missing_docs, reason = "the names are the fields of docs/FORMAT.md")]
    pub const MAGIC: usize = 0;
    pub const CRC: usize = 8;
    pub const CRC_FROM: usize = 12;
    pub const MAJOR: usize = 12;
    pub const MINOR: usize = 14;
    pub const STORE: usize = 16;
    pub const NUMBER: usize = 32;
    pub const SEGMENT: usize = 40;
    pub const DURABLE_LSN: usize = 48;
    pub const END: usize = 56;
    pub const CHAIN: usize = 64;
    pub const BOOT: usize = 68;
    pub const FLAGS: usize = 72;
    pub const WALL_CLOCK: usize = 80;
}

// The arithmetic that docs/FORMAT.md states.
const _: () = {
    assert!(records_offset_bytes(GROUP_PAGES_MAX) <= PAGE_BYTES);
    assert!(records_offset_bytes(1) == 72);
    assert!(PAYLOAD_BYTES_MAX == 4_091_912);
    assert!(group_at::TABLE == GROUP_HEADER_BYTES);
    assert!(group_at::NUMBER + 4 == GROUP_HEADER_BYTES);
    assert!(record_at::TAG + 4 == RECORD_HEADER_BYTES);
    assert!(record_at::PAYLOAD == RECORD_HEADER_BYTES);
    assert!(header_at::WALL_CLOCK + 8 == header_at::END);
    assert!(SEGMENT_BYTES_MIN.is_multiple_of(PAGE_BYTES));
    assert!(GROUP_PAGES_MAX * PAGE_BYTES <= u32::MAX as u64);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_pages_is_the_smallest_number_of_pages_that_holds_the_records() {
        for record_bytes in (0..200_000).step_by(8).chain(
            // Around every edge of a large group too.
            (900..=GROUP_PAGES_MAX).flat_map(|pages| {
                let edge = group_capacity_bytes(pages);
                [edge - 8, edge]
            }),
        ) {
            let pages = group_pages(record_bytes).unwrap();
            assert!(
                group_capacity_bytes(pages) >= record_bytes,
                "{record_bytes}"
            );
            assert!(
                pages == 1 || group_capacity_bytes(pages - 1) < record_bytes,
                "{record_bytes} bytes fit {} pages",
                pages - 1
            );
        }
        assert_eq!(group_pages(group_capacity_bytes(GROUP_PAGES_MAX) + 8), None);
    }
}
