//! The mark file: a second, independent witness of how far the journal was durable.
//!
//! Four pages used in turn, so that a torn write of one leaves three. It is a file of its own on
//! purpose: it survives the loss of the whole last segment. A mark never claims more than a sync
//! that had returned. Not here: when marks are written (the writer), what they prove (recovery).

use std::path::Path;

use crate::bytes::{array_at, is_zero, put, u16_at, u32_at, u64_at};
use crate::disk::{Disk, OpenMode};
use crate::error::ReadError;
use crate::format::{self, MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES, mark_at as at};
use crate::ids::{Boot, SegmentId, StoreUuid};
use crate::lsn::Lsn;

/// Flag: the journal was closed in order after this position; nothing was appended behind it.
const CLEAN_CLOSE: u32 = 1;

/// One page of the mark file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The store that the journal belongs to.
    pub store: StoreUuid,
    /// Counts all marks of the journal from 1; the largest is the newest.
    pub number: u64,
    /// The segment of the last durable group.
    pub segment: SegmentId,
    /// Every record up to this was durable when the mark was written.
    pub durable_lsn: Lsn,
    /// Where the last durable group ends.
    pub end_offset_bytes: u64,
    /// Header checksum of the last durable group.
    pub chain: u32,
    /// The boot that wrote the mark.
    pub boot: Boot,
    /// Whether the journal was closed in order here.
    pub clean_close: bool,
    /// When, in microseconds since the Unix epoch; information only.
    pub wall_clock_micros: u64,
}

impl Mark {
    /// The page that this mark is written to.
    pub fn page(&self) -> u64 {
        self.number % MARK_PAGES
    }

    /// The page as it lies on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES as usize];
        let flags = if self.clean_close { CLEAN_CLOSE } else { 0 };
        put(&mut page, at::MAGIC, &format::MARK_MAGIC.to_le_bytes());
        put(&mut page, at::MAJOR, &format::FORMAT_MAJOR.to_le_bytes());
        put(&mut page, at::MINOR, &format::FORMAT_MINOR.to_le_bytes());
        put(&mut page, at::STORE, &self.store.0);
        put(&mut page, at::NUMBER, &self.number.to_le_bytes());
        put(&mut page, at::SEGMENT, &self.segment.get().to_le_bytes());
        put(
            &mut page,
            at::DURABLE_LSN,
            &self.durable_lsn.get().to_le_bytes(),
        );
        put(&mut page, at::END, &self.end_offset_bytes.to_le_bytes());
        put(&mut page, at::CHAIN, &self.chain.to_le_bytes());
        put(&mut page, at::BOOT, &self.boot.get().to_le_bytes());
        put(&mut page, at::FLAGS, &flags.to_le_bytes());
        put(
            &mut page,
            at::WALL_CLOCK,
            &self.wall_clock_micros.to_le_bytes(),
        );
        let crc = crc_of(&page, self.page());
        put(&mut page, at::CRC, &crc.to_le_bytes());
        page
    }
}

/// Why a page of the mark file is not a mark that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkFault {
    /// Fewer bytes than a page.
    #[error("mark is cut short: {found_bytes} bytes")]
    Short {
        /// Bytes that were there.
        found_bytes: u64,
    },
    /// The page was never written.
    #[error("mark is all zero")]
    Zero,
    /// Other first bytes than those of a mark.
    #[error("not a mark: starts with {found:#018x}")]
    Magic {
        /// The bytes that were found, as a little-endian number.
        found: u64,
    },
    /// The checksum does not match.
    #[error("mark checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// The value in the page.
        stored: u32,
        /// The value of the bytes.
        computed: u32,
    },
    /// Written by a later version whose files this one cannot read.
    #[error("mark format {major}.{minor} is newer than this version")]
    NewerFormat {
        /// Major version of the writer.
        major: u16,
        /// Minor version of the writer.
        minor: u16,
    },
    /// The mark lies in another page than its number says.
    #[error("mark {number} lies in page {page}")]
    Misplaced {
        /// The mark's number.
        number: u64,
        /// The page that it was found in.
        page: u64,
    },
}

/// The checksum of a mark page: `page number ‖ bytes from the version on`.
fn crc_of(page: &[u8], page_number: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page_number.to_le_bytes());
    hasher.update(page.get(at::CRC_FROM..).unwrap_or_default());
    hasher.finalize()
}

/// Decodes page `page_number` (0 to 3) of the mark file.
///
/// # Errors
/// The first fault found, in the order in which [`MarkFault`] lists them.
pub fn decode(page: &[u8], page_number: u64) -> Result<Mark, MarkFault> {
    let short = || MarkFault::Short {
        found_bytes: page.len() as u64,
    };
    let page = page.get(..PAGE_BYTES as usize).ok_or_else(short)?;
    if is_zero(page) {
        return Err(MarkFault::Zero);
    }
    let magic = u64_at(page, at::MAGIC).ok_or_else(short)?;
    if magic != format::MARK_MAGIC {
        return Err(MarkFault::Magic { found: magic });
    }
    let stored = u32_at(page, at::CRC).ok_or_else(short)?;
    let computed = crc_of(page, page_number);
    if stored != computed {
        return Err(MarkFault::Checksum { stored, computed });
    }
    let major = u16_at(page, at::MAJOR).ok_or_else(short)?;
    let minor = u16_at(page, at::MINOR).ok_or_else(short)?;
    if major > format::FORMAT_MAJOR {
        return Err(MarkFault::NewerFormat { major, minor });
    }
    let mark = parse(page).ok_or_else(short)?;
    if mark.page() != page_number {
        return Err(MarkFault::Misplaced {
            number: mark.number,
            page: page_number,
        });
    }
    Ok(mark)
}

fn parse(page: &[u8]) -> Option<Mark> {
    Some(Mark {
        store: StoreUuid(array_at(page, at::STORE)?),
        number: u64_at(page, at::NUMBER)?,
        segment: SegmentId::new(u64_at(page, at::SEGMENT)?),
        durable_lsn: Lsn::new(u64_at(page, at::DURABLE_LSN)?),
        end_offset_bytes: u64_at(page, at::END)?,
        chain: u32_at(page, at::CHAIN)?,
        boot: Boot::new(u32_at(page, at::BOOT)?),
        clean_close: u32_at(page, at::FLAGS)? & CLEAN_CLOSE != 0,
        wall_clock_micros: u64_at(page, at::WALL_CLOCK)?,
    })
}

/// The valid marks in the journal's directory, oldest first; those of `store` only, if it is given.
///
/// No mark file and a mark file that is too short give what marks there are, perhaps none.
///
/// # Errors
/// [`ReadError`] if the operating system refused to open or read the file.
pub fn read_marks(
    disk: &dyn Disk,
    dir: &Path,
    store: Option<StoreUuid>,
) -> Result<Vec<Mark>, ReadError> {
    let mut marks: Vec<Mark> = read_mark_pages(disk, dir)?
        .into_iter()
        .flatten()
        .filter(|mark| store.is_none_or(|store| store == mark.store))
        .collect();
    marks.sort_by_key(|mark| mark.number);
    Ok(marks)
}

/// Every whole page of the mark file in the journal's directory, in the order of the file: four, if
/// nothing is wrong with it; none if there is no such file.
///
/// # Errors
/// [`ReadError`] if the operating system refused to open or read the file.
pub fn read_mark_pages(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Vec<Result<Mark, MarkFault>>, ReadError> {
    let path = dir.join(MARK_FILE_NAME);
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ReadError::Open { path, source }),
    };
    let bytes = file.len().map_err(|source| ReadError::Open {
        path: path.clone(),
        source,
    })?;
    let mut pages = Vec::new();
    let mut page = vec![0; PAGE_BYTES as usize];
    for number in 0..MARK_PAGES.min(bytes / PAGE_BYTES) {
        let offset_bytes = number * PAGE_BYTES;
        file.read_exact_at(offset_bytes, &mut page)
            .map_err(|source| ReadError::Read {
                path: path.clone(),
                offset_bytes,
                length_bytes: PAGE_BYTES,
                source,
            })?;
        pages.push(decode(&page, number));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests;
