//! The segment header: who wrote this file, where it belongs, how its predecessor ended.
//!
//! Pure encode and decode of one header page; a segment starts with two identical ones. A header
//! is written once, before the file gets its final name, and never changed. Not here: reading the
//! file ([`crate::read`]), what a fault means.

use crate::bytes::{array_at, is_zero, put, u16_at, u32_at, u64_at};
use crate::format::{self, PAGE_BYTES, header_at as at};
use crate::ids::{Boot, SegmentId, StoreUuid};
use crate::lsn::Lsn;

/// How the segment before this one ended, as its writer saw it after syncing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its number, one less than this segment's.
    pub segment: SegmentId,
    /// Its last LSN; every record up to it was durable before this header was written.
    pub last_lsn: Lsn,
    /// Where its last group ends.
    pub end_offset_bytes: u64,
    /// The header checksum of its last group.
    pub chain: u32,
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Minor format version of the writer.
    pub format_minor: u16,
    /// Features that an older reader may pass over.
    pub compat_flags: u32,
    /// The store that the journal belongs to.
    pub store: StoreUuid,
    /// This segment's number.
    pub segment: SegmentId,
    /// Random; part of every checksum, so that an earlier use of the same blocks never verifies.
    pub salt: u64,
    /// The LSN of the first record in this segment.
    pub first_lsn: Lsn,
    /// Length of the file.
    pub file_bytes: u64,
    /// The boot that created the segment.
    pub boot: Boot,
    /// The end of the segment before; `None` in a journal's first segment.
    pub predecessor: Option<Predecessor>,
    /// No record below this was needed when the segment was created.
    pub oldest_needed_lsn: Lsn,
    /// When the segment was created, microseconds since the Unix epoch; information only.
    pub wall_clock_micros: u64,
}

impl SegmentHeader {
    /// The chain value that the first group of this segment carries.
    pub fn first_chain(&self) -> u32 {
        self.predecessor.map_or(0, |before| before.chain)
    }

    /// The page as it lies on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES as usize];
        put(&mut page, at::MAGIC, &format::SEGMENT_MAGIC.to_le_bytes());
        put(&mut page, at::MAJOR, &format::FORMAT_MAJOR.to_le_bytes());
        put(&mut page, at::MINOR, &self.format_minor.to_le_bytes());
        put(&mut page, at::COMPAT, &self.compat_flags.to_le_bytes());
        put(&mut page, at::STORE, &self.store.0);
        put(&mut page, at::SEGMENT, &self.segment.get().to_le_bytes());
        put(&mut page, at::SALT, &self.salt.to_le_bytes());
        put(
            &mut page,
            at::FIRST_LSN,
            &self.first_lsn.get().to_le_bytes(),
        );
        put(&mut page, at::FILE_BYTES, &self.file_bytes.to_le_bytes());
        put(&mut page, at::PAGE, &(PAGE_BYTES as u32).to_le_bytes());
        put(&mut page, at::BOOT, &self.boot.get().to_le_bytes());
        if let Some(before) = &self.predecessor {
            let (segment, last_lsn) = (before.segment.get(), before.last_lsn.get());
            put(&mut page, at::PREV_SEGMENT, &segment.to_le_bytes());
            put(&mut page, at::PREV_LAST_LSN, &last_lsn.to_le_bytes());
            put(
                &mut page,
                at::PREV_END,
                &before.end_offset_bytes.to_le_bytes(),
            );
            put(&mut page, at::PREV_CHAIN, &before.chain.to_le_bytes());
        }
        let oldest = self.oldest_needed_lsn.get();
        put(&mut page, at::OLDEST_NEEDED, &oldest.to_le_bytes());
        put(
            &mut page,
            at::WALL_CLOCK,
            &self.wall_clock_micros.to_le_bytes(),
        );
        let crc = crc_of(&page);
        put(&mut page, at::CRC, &crc.to_le_bytes());
        page
    }
}

/// Why a page is not a header that this crate can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The file ends before the page does.
    #[error("segment header is cut short: {found_bytes} bytes")]
    Short {
        /// Bytes that were there.
        found_bytes: u64,
    },
    /// The page holds only zeros.
    #[error("segment header is all zero")]
    Zero,
    /// Other first bytes than those of a segment.
    #[error("not a segment: starts with {found:#018x}")]
    Magic {
        /// The bytes that were found, as a little-endian number.
        found: u64,
    },
    /// The checksum does not match.
    #[error("segment header checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// The value in the page.
        stored: u32,
        /// The value of the bytes.
        computed: u32,
    },
    /// Written by a later version whose files this one cannot read.
    #[error(
        "segment format {major}.{minor} with features {incompat_flags:#x} is newer than this version"
    )]
    NewerFormat {
        /// Major version of the writer.
        major: u16,
        /// Minor version of the writer.
        minor: u16,
        /// Features that a reader must know.
        incompat_flags: u32,
    },
    /// The segment belongs to another store.
    #[error("segment belongs to store {found}, not to {expected}")]
    ForeignStore {
        /// The store that was asked for.
        expected: StoreUuid,
        /// The store that the segment names.
        found: StoreUuid,
    },
    /// The file's name and its header name different segments.
    #[error("file of segment {expected} holds segment {found}")]
    ForeignSegment {
        /// The number in the file's name.
        expected: SegmentId,
        /// The number in the header.
        found: SegmentId,
    },
    /// A field has a value that no writer writes, under a checksum that matches.
    #[error("segment header field at byte {field_offset} has the impossible value {found}")]
    Impossible {
        /// Byte offset of the field in the page.
        field_offset: usize,
        /// Its value.
        found: u64,
    },
    /// Both copies verify and differ.
    #[error("the two copies of the segment header differ")]
    CopiesDiffer,
}

/// The checksum of a header page. It has no seed: the page itself says what the seed is.
fn crc_of(page: &[u8]) -> u32 {
    crc32fast::hash(page.get(at::CRC_FROM..).unwrap_or_default())
}

/// Decodes one header page.
///
/// `store` and `segment` are what the caller expects, if it expects anything.
///
/// # Errors
/// The first fault found, in the order in which [`HeaderFault`] lists them.
pub fn decode(
    page: &[u8],
    store: Option<StoreUuid>,
    segment: Option<SegmentId>,
) -> Result<SegmentHeader, HeaderFault> {
    let short = || HeaderFault::Short {
        found_bytes: page.len() as u64,
    };
    let page = page.get(..PAGE_BYTES as usize).ok_or_else(short)?;
    if is_zero(page) {
        return Err(HeaderFault::Zero);
    }
    let raw = Raw::parse(page).ok_or_else(short)?;
    if raw.magic != format::SEGMENT_MAGIC {
        return Err(HeaderFault::Magic { found: raw.magic });
    }
    let computed = crc_of(page);
    if raw.crc != computed {
        return Err(HeaderFault::Checksum {
            stored: raw.crc,
            computed,
        });
    }
    if raw.major > format::FORMAT_MAJOR || raw.incompat_flags & !format::INCOMPAT_FLAGS_KNOWN != 0 {
        return Err(HeaderFault::NewerFormat {
            major: raw.major,
            minor: raw.header.format_minor,
            incompat_flags: raw.incompat_flags,
        });
    }
    let header = raw.header;
    if let Some(expected) = store
        && expected != header.store
    {
        return Err(HeaderFault::ForeignStore {
            expected,
            found: header.store,
        });
    }
    if let Some(expected) = segment
        && expected != header.segment
    {
        return Err(HeaderFault::ForeignSegment {
            expected,
            found: header.segment,
        });
    }
    possible(&raw)?;
    Ok(header)
}

/// Refuses values that no writer writes, so that later arithmetic rests on sane numbers.
fn possible(raw: &Raw) -> Result<(), HeaderFault> {
    let header = &raw.header;
    let impossible = |field_offset, found| {
        Err(HeaderFault::Impossible {
            field_offset,
            found,
        })
    };
    if raw.major == 0 {
        return impossible(at::MAJOR, 0);
    }
    if header.segment.get() == 0 {
        return impossible(at::SEGMENT, 0);
    }
    if header.first_lsn == Lsn::ZERO {
        return impossible(at::FIRST_LSN, 0);
    }
    let bytes = header.file_bytes;
    let sizes = format::SEGMENT_BYTES_MIN..=format::SEGMENT_BYTES_MAX;
    if !sizes.contains(&bytes) || !bytes.is_multiple_of(PAGE_BYTES) {
        return impossible(at::FILE_BYTES, bytes);
    }
    if u64::from(raw.page_bytes) != PAGE_BYTES {
        return impossible(at::PAGE, u64::from(raw.page_bytes));
    }
    match header.predecessor {
        None if header.segment != SegmentId::FIRST => impossible(at::PREV_SEGMENT, 0),
        Some(before) if before.segment.next() != Some(header.segment) => {
            impossible(at::PREV_SEGMENT, before.segment.get())
        }
        Some(before) if before.last_lsn.next() != Some(header.first_lsn) => {
            impossible(at::PREV_LAST_LSN, before.last_lsn.get())
        }
        None if header.first_lsn != Lsn::FIRST => impossible(at::FIRST_LSN, header.first_lsn.get()),
        None | Some(_) => Ok(()),
    }
}

/// Every field, unjudged.
struct Raw {
    magic: u64,
    crc: u32,
    major: u16,
    incompat_flags: u32,
    page_bytes: u32,
    header: SegmentHeader,
}

impl Raw {
    fn parse(page: &[u8]) -> Option<Raw> {
        let predecessor = match u64_at(page, at::PREV_SEGMENT)? {
            0 => None,
            number => Some(Predecessor {
                segment: SegmentId::new(number),
                last_lsn: Lsn::new(u64_at(page, at::PREV_LAST_LSN)?),
                end_offset_bytes: u64_at(page, at::PREV_END)?,
                chain: u32_at(page, at::PREV_CHAIN)?,
            }),
        };
        Some(Raw {
            magic: u64_at(page, at::MAGIC)?,
            crc: u32_at(page, at::CRC)?,
            major: u16_at(page, at::MAJOR)?,
            incompat_flags: u32_at(page, at::INCOMPAT)?,
            page_bytes: u32_at(page, at::PAGE)?,
            header: SegmentHeader {
                format_minor: u16_at(page, at::MINOR)?,
                compat_flags: u32_at(page, at::COMPAT)?,
                store: StoreUuid(array_at(page, at::STORE)?),
                segment: SegmentId::new(u64_at(page, at::SEGMENT)?),
                salt: u64_at(page, at::SALT)?,
                first_lsn: Lsn::new(u64_at(page, at::FIRST_LSN)?),
                file_bytes: u64_at(page, at::FILE_BYTES)?,
                boot: Boot::new(u32_at(page, at::BOOT)?),
                predecessor,
                oldest_needed_lsn: Lsn::new(u64_at(page, at::OLDEST_NEEDED)?),
                wall_clock_micros: u64_at(page, at::WALL_CLOCK)?,
            },
        })
    }
}

#[cfg(test)]
mod tests;
