//! The group: all records of one sync, page-aligned, stored once and never again.
//!
//! Pure. A decoder checks the first page alone (header and table of page checksums) before anything
//! trusts the lengths in it; then each page. Beside it: what is wrong with bytes that are no group
//! (`fault`), what must follow what (`expect`), and the encoder (`encode`). Not here: where groups
//! are looked for ([`crate::read`]), whether a group that fails was ever acknowledged.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::checksum::Seed;
use crate::format::{
    self, GROUP_HEADER_BYTES, GROUP_PAGES_MAX, PAGE_BYTES, RECORD_HEADER_BYTES, group_at as at,
};
use crate::header::SegmentHeader;
use crate::ids::{Boot, SegmentId};
use crate::lsn::Lsn;
use crate::record::{RecordFault, Records};

mod encode;
mod expect;
mod fault;

pub(crate) use encode::{Sealing, encode};
pub use expect::Expectation;
pub use fault::GroupFault;

#[cfg(any(test, feature = "testing"))]
mod mend;
#[cfg(any(test, feature = "testing"))]
pub use mend::mend;

const PAGE: usize = PAGE_BYTES as usize;

/// Bits of a group's flags field. Unknown bits are kept and mean nothing to this version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFlags(u16);

impl GroupFlags {
    /// No flag.
    pub const NONE: GroupFlags = GroupFlags(0);
    /// The last group of its segment: the journal goes on in the next one.
    pub const SEAL: GroupFlags = GroupFlags(1);
    /// The first group of a boot: everything before it was accepted and made durable by recovery.
    pub const RECOVERED: GroupFlags = GroupFlags(2);

    /// Wraps raw bits.
    pub const fn from_bits(bits: u16) -> Self {
        GroupFlags(bits)
    }

    /// The raw bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other`'s bits are set.
    pub const fn contains(self, other: GroupFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: GroupFlags) -> GroupFlags {
        GroupFlags(self.0 | other.0)
    }
}

/// What a group says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Checksum of header and table; the next group carries it as its `chain`.
    pub crc: u32,
    /// Bytes in the file, a multiple of the page.
    pub padded_bytes: u32,
    /// Bytes up to the end of the last record.
    pub used_bytes: u32,
    /// LSN of the first record; in a group without records, of the next one to come.
    pub first_lsn: Lsn,
    /// Records in the group; 0 only where a flag is the message.
    pub record_count: u32,
    /// The header checksum of the group before, also across segments.
    pub chain: u32,
    /// The segment that the group was written for.
    pub segment: SegmentId,
    /// Highest LSN whose sync had returned when this group was sealed: a witness that every record
    /// up to it was durable.
    pub durable_lsn: Lsn,
    /// The header checksum of the group that ends at `durable_lsn`.
    pub durable_chain: u32,
    /// See [`GroupFlags`].
    pub flags: GroupFlags,
    /// Where the first record starts, from the group's start.
    pub records_offset_bytes: u16,
    /// The boot that wrote the group.
    pub boot: Boot,
    /// Number in the segment, from 1.
    pub number: u32,
}

impl GroupHeader {
    /// LSN of the last record; of the record before the group if it holds none.
    pub fn last_lsn(&self) -> Lsn {
        // Decoding refuses a group whose end overflows, and none starts at zero.
        let end = self
            .first_lsn
            .get()
            .saturating_add(u64::from(self.record_count));
        Lsn::new(end.saturating_sub(1))
    }

    /// Whether the journal goes on in the next segment.
    pub fn is_seal(&self) -> bool {
        self.flags.contains(GroupFlags::SEAL)
    }

    /// Whether this is the first group of a boot.
    pub fn is_recovered(&self) -> bool {
        self.flags.contains(GroupFlags::RECOVERED)
    }
}

/// What a decoder must know of the segment that a group lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupContext {
    segment: SegmentId,
    file_bytes: u64,
    pub(crate) seed: Seed,
}

impl GroupContext {
    /// From the segment's header.
    pub fn new(header: &SegmentHeader) -> Self {
        GroupContext {
            segment: header.segment,
            file_bytes: header.file_bytes,
            seed: Seed::new(header.store, header.segment, header.salt),
        }
    }

    /// Where the segment ends, as its header says.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }
}

/// A group whose every checksum matches, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// What the group says about itself.
    pub header: GroupHeader,
    /// Where it starts in the segment file.
    pub offset_bytes: u64,
    bytes: &'a [u8],
    seed: Seed,
    /// The records' own checksums were compared before, on the same bytes.
    records_verified: bool,
}

impl<'a> Group<'a> {
    /// A group that [`decode`] accepted before, from the same bytes.
    pub(crate) fn verified(
        header: GroupHeader,
        offset_bytes: u64,
        bytes: &'a [u8],
        context: &GroupContext,
    ) -> Self {
        Group {
            header,
            offset_bytes,
            bytes: bytes.get(..header.padded_bytes as usize).unwrap_or(bytes),
            seed: context.seed,
            records_verified: false,
        }
    }

    /// The same group, for a caller that has gone through its records before: going through them
    /// again computes no checksum.
    pub(crate) fn with_verified_records(self) -> Self {
        Group {
            records_verified: true,
            ..self
        }
    }

    /// Goes through all records and compares their checksums, once: whoever goes through them in the
    /// group that this gives computes none.
    ///
    /// # Errors
    /// The first record that is not one.
    pub fn verify_records(self) -> Result<Self, RecordFault> {
        if !self.records_verified {
            self.records().try_for_each(|record| record.map(drop))?;
        }
        Ok(self.with_verified_records())
    }

    /// Where the next group would start.
    pub fn end_offset_bytes(&self) -> u64 {
        self.offset_bytes + u64::from(self.header.padded_bytes)
    }

    /// All bytes of the group, as they lie in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records in order of their LSNs.
    pub fn records(&self) -> Records<'a> {
        let from = usize::from(self.header.records_offset_bytes);
        let used = self
            .bytes
            .get(from..self.header.used_bytes as usize)
            .unwrap_or_default();
        let records = Records::new(
            used,
            self.offset_bytes + from as u64,
            self.header.first_lsn,
            self.header.record_count,
            self.seed,
        );
        if self.records_verified {
            records.without_checksums()
        } else {
            records
        }
    }
}

/// Decodes the group at the start of `bytes`, which lie at `offset_bytes` of the segment.
/// `bytes` may go on after the group.
///
/// # Errors
/// The first fault found. Expectations ([`Expectation::check`]) are not looked at.
pub fn decode<'a>(
    bytes: &'a [u8],
    offset_bytes: u64,
    context: &GroupContext,
) -> Result<Group<'a>, GroupFault> {
    let header = decode_header(bytes, offset_bytes, context)?;
    decode_body(bytes, offset_bytes, context, header)
}

/// Decodes header and table from the group's first page, the first of `bytes`.
///
/// # Errors
/// The first fault found. `Ok` means that the lengths are possible at this place.
pub fn decode_header(
    bytes: &[u8],
    offset_bytes: u64,
    context: &GroupContext,
) -> Result<GroupHeader, GroupFault> {
    if !offset_bytes.is_multiple_of(PAGE_BYTES) || offset_bytes < format::SEGMENT_HEADER_BYTES {
        return Err(GroupFault::Misaligned { offset_bytes });
    }
    let short = || GroupFault::Short {
        found_bytes: bytes.len() as u64,
        needed_bytes: PAGE_BYTES,
    };
    let page = bytes.get(..PAGE).ok_or_else(short)?;
    let magic = u32_at(page, at::MAGIC).ok_or_else(short)?;
    if magic != format::GROUP_MAGIC {
        return Err(GroupFault::Magic { found: magic });
    }
    let header = parse(page).ok_or_else(short)?;
    let room_bytes = context.file_bytes.saturating_sub(offset_bytes);
    let max_bytes = room_bytes.min(GROUP_PAGES_MAX * PAGE_BYTES);
    let padded_bytes = u64::from(header.padded_bytes);
    if padded_bytes == 0 || !padded_bytes.is_multiple_of(PAGE_BYTES) || padded_bytes > max_bytes {
        return Err(GroupFault::Length {
            declared_bytes: header.padded_bytes,
            max_bytes,
        });
    }
    let pages = padded_bytes / PAGE_BYTES;
    let table_end = GROUP_HEADER_BYTES + 4 * pages as usize;
    let summed = page.get(at::CRC_FROM..table_end).ok_or_else(short)?;
    let computed = context.seed.sum(offset_bytes, summed);
    if header.crc != computed {
        return Err(GroupFault::HeaderChecksum {
            stored: header.crc,
            computed,
        });
    }
    if header.segment != context.segment {
        return Err(GroupFault::ForeignSegment {
            expected: context.segment,
            found: header.segment,
        });
    }
    possible(&header, pages)?;
    Ok(header)
}

/// Checks each page of a group whose header is good.
///
/// # Errors
/// [`GroupFault::Short`] or [`GroupFault::PageChecksum`].
pub fn decode_body<'a>(
    bytes: &'a [u8],
    offset_bytes: u64,
    context: &GroupContext,
    header: GroupHeader,
) -> Result<Group<'a>, GroupFault> {
    let padded = header.padded_bytes as usize;
    let short = || GroupFault::Short {
        found_bytes: bytes.len() as u64,
        needed_bytes: padded as u64,
    };
    let bytes = bytes.get(..padded).ok_or_else(short)?;
    let table_end = GROUP_HEADER_BYTES + 4 * (padded / PAGE);
    for (number, page) in bytes.chunks_exact(PAGE).enumerate() {
        let stored = u32_at(bytes, at::TABLE + 4 * number).ok_or_else(short)?;
        // The table and the header are covered by the header's checksum.
        let from = if number == 0 { table_end } else { 0 };
        let summed = page.get(from..).ok_or_else(short)?;
        let computed = context
            .seed
            .sum(offset_bytes + (number * PAGE) as u64, summed);
        if stored != computed && !crate::planted!("page-checksums-not-compared") {
            return Err(GroupFault::PageChecksum {
                page: number as u32,
                stored,
                computed,
            });
        }
    }
    Ok(Group {
        header,
        offset_bytes,
        bytes,
        seed: context.seed,
        records_verified: false,
    })
}

fn parse(page: &[u8]) -> Option<GroupHeader> {
    Some(GroupHeader {
        crc: u32_at(page, at::CRC)?,
        padded_bytes: u32_at(page, at::PADDED)?,
        used_bytes: u32_at(page, at::USED)?,
        first_lsn: Lsn::new(u64_at(page, at::FIRST_LSN)?),
        record_count: u32_at(page, at::COUNT)?,
        chain: u32_at(page, at::CHAIN)?,
        segment: SegmentId::new(u64_at(page, at::SEGMENT)?),
        durable_lsn: Lsn::new(u64_at(page, at::DURABLE_LSN)?),
        durable_chain: u32_at(page, at::DURABLE_CHAIN)?,
        flags: GroupFlags(u16_at(page, at::FLAGS)?),
        records_offset_bytes: u16_at(page, at::RECORDS)?,
        boot: Boot::new(u32_at(page, at::BOOT)?),
        number: u32_at(page, at::NUMBER)?,
    })
}

/// Refuses values that no writer writes, so that later arithmetic rests on sane numbers.
fn possible(header: &GroupHeader, pages: u64) -> Result<(), GroupFault> {
    let impossible = |field_offset, found| {
        Err(GroupFault::Impossible {
            field_offset,
            found,
        })
    };
    let from = u64::from(header.records_offset_bytes);
    if from != format::records_offset_bytes(pages) {
        return impossible(at::RECORDS, from);
    }
    let used = u64::from(header.used_bytes);
    if used < from || used > u64::from(header.padded_bytes) {
        return impossible(at::USED, used);
    }
    let count = u64::from(header.record_count);
    if count.saturating_mul(RECORD_HEADER_BYTES as u64) > used - from {
        return impossible(at::COUNT, count);
    }
    if header.first_lsn == Lsn::ZERO || header.first_lsn.checked_add(count).is_none() {
        return impossible(at::FIRST_LSN, header.first_lsn.get());
    }
    if header.durable_lsn >= header.first_lsn {
        return impossible(at::DURABLE_LSN, header.durable_lsn.get());
    }
    if header.number == 0 {
        return impossible(at::NUMBER, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
