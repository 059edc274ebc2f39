//! What is wrong with bytes that are no group of this segment, or not the one that must follow.

use crate::ids::{Boot, SegmentId};
use crate::lsn::Lsn;

/// Why the bytes at a position are not a group of this segment, or not the one that must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupFault {
    /// The segment's own header is not usable, so nothing in it can be verified.
    #[error("segment header is not usable")]
    NoSegmentHeader,
    /// Not at a page, or inside the segment header.
    #[error("no group can start at offset {offset_bytes}")]
    Misaligned {
        /// The offset that was asked for.
        offset_bytes: u64,
    },
    /// Fewer bytes than the structure needs.
    #[error("group is cut short: {found_bytes} of {needed_bytes} bytes")]
    Short {
        /// Bytes that were there.
        found_bytes: u64,
        /// Bytes that the structure takes.
        needed_bytes: u64,
    },
    /// Other first bytes than those of a group.
    #[error("not a group: starts with {found:#010x}")]
    Magic {
        /// The bytes that were found, as a little-endian number.
        found: u32,
    },
    /// The declared length is none that a group can have at this place; nothing was read for it.
    #[error("group declares {declared_bytes} bytes, where at most {max_bytes} are possible")]
    Length {
        /// The length in the header.
        declared_bytes: u32,
        /// The largest that the place allows.
        max_bytes: u64,
    },
    /// The checksum of header and table does not match.
    #[error("group header checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    HeaderChecksum {
        /// The value in the header.
        stored: u32,
        /// The value of the bytes.
        computed: u32,
    },
    /// The group was written for another segment.
    #[error("group belongs to segment {found}, not to {expected}")]
    ForeignSegment {
        /// The segment that was read.
        expected: SegmentId,
        /// The segment that the group names.
        found: SegmentId,
    },
    /// A field has a value that no writer writes, under a checksum that matches.
    #[error("group header field at byte {field_offset} has the impossible value {found}")]
    Impossible {
        /// Byte offset of the field in the header.
        field_offset: usize,
        /// Its value.
        found: u64,
    },
    /// A page's checksum does not match.
    #[error("page {page} of the group: checksum stored {stored:#010x}, computed {computed:#010x}")]
    PageChecksum {
        /// Number of the page in the group, from 0.
        page: u32,
        /// The value in the table.
        stored: u32,
        /// The value of the bytes.
        computed: u32,
    },
    /// A good group, and not the one that must follow: another first LSN.
    #[error("group starts with LSN {found}, expected {expected}")]
    UnexpectedLsn {
        /// What must follow.
        expected: Lsn,
        /// What the group has.
        found: Lsn,
    },
    /// A good group, and not the one that must follow: another predecessor.
    #[error("group follows the group {found:#010x}, expected {expected:#010x}")]
    UnexpectedChain {
        /// What must follow.
        expected: u32,
        /// What the group has.
        found: u32,
    },
    /// A good group, and not the one that must follow: another number.
    #[error("group has number {found}, expected {expected}")]
    UnexpectedNumber {
        /// What must follow.
        expected: u32,
        /// What the group has.
        found: u32,
    },
    /// A good group, and not the one that must follow: written by an earlier boot.
    #[error("group was written by boot {found}, after one of boot {before}")]
    BootWentBack {
        /// Boot of the group before.
        before: Boot,
        /// Boot of this group.
        found: Boot,
    },
}
