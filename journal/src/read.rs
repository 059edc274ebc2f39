//! Reading a journal's directory: plain reads, never a write, never a map, never a judgement.
//!
//! Works on a live directory as well as on a dead one. `Err` means that the operating system did not
//! let us look; what lies in the bytes is always a value. Reading is bounded by the file's length
//! and by the largest group: nothing is allocated from a length that was not checked.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::is_zero;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::ReadError;
use crate::format::{PAGE_BYTES, SEGMENT_HEADER_BYTES};
use crate::group::{self, Expectation, Group, GroupContext, GroupFault, GroupHeader};
use crate::header::{self, HeaderFault, SegmentHeader};
use crate::ids::{SegmentId, StoreUuid};

mod ahead;
mod cursor;
mod list;
mod locate;
mod lsn_reader;
mod position;
mod scan;

pub use ahead::{AheadBatch, AheadReader};
pub use list::{Listing, SegmentEntry, list};
pub use lsn_reader::{Batch, BatchRecords, LsnReader};
pub use position::{PositionError, PositionFault};
pub use scan::{ScannedGroup, TailScan};

pub(crate) use cursor::{Cursor, Met, Source};
pub(crate) use locate::locate;
pub(crate) use lsn_reader::{after, holds_any};

const PAGE: usize = PAGE_BYTES as usize;
/// Bytes that are read ahead at once, so that small groups do not cost a call each.
const WINDOW_BYTES: u64 = 256 * 1024;

/// What lies at a position of a segment.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// A group whose every checksum matches, and which is the expected one if one was expected.
    Group(Group<'a>),
    /// The page holds only zeros.
    Zero,
    /// Anything else. No judgement: the reader cannot know whether it was acknowledged.
    Invalid {
        /// Where, in the segment file.
        at_offset_bytes: u64,
        /// What is wrong.
        why: GroupFault,
    },
    /// The file, or the segment as its header states it, has no whole page left here.
    EndOfFile,
}

/// Reads one segment file.
#[derive(Debug)]
pub struct SegmentReader {
    path: PathBuf,
    id: SegmentId,
    file: Arc<dyn DiskFile>,
    file_bytes: u64,
    copies: [Result<SegmentHeader, HeaderFault>; 2],
    header: Result<SegmentHeader, HeaderFault>,
    buffer: Window,
    /// How much is read at once, if more than is asked for.
    read_ahead_bytes: u64,
}

/// What [`SegmentReader::look`] saw; the bytes of a good group are in the window.
enum Looked {
    Good(GroupHeader),
    Zero,
    Bad(GroupFault),
}

/// The bytes that were read last.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    offset_bytes: u64,
}

impl Window {
    /// What the window holds from `offset_bytes` on; empty if that lies outside.
    fn from(&self, offset_bytes: u64) -> &[u8] {
        offset_bytes
            .checked_sub(self.offset_bytes)
            .and_then(|skip| self.bytes.get(usize::try_from(skip).ok()?..))
            .unwrap_or_default()
    }
}

impl SegmentReader {
    /// Opens the file of segment `id` and looks at both copies of its header.
    ///
    /// A header that names another store than `store` (if given) or another segment than the file's
    /// name is a fault.
    ///
    /// # Errors
    /// [`ReadError`] if the operating system refused; a damaged header is not an error here.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        id: SegmentId,
        store: Option<StoreUuid>,
    ) -> Result<SegmentReader, ReadError> {
        let path = dir.join(id.file_name());
        let opened = disk
            .open(&path, OpenMode::Read)
            .and_then(|file| Ok((file.len()?, file)));
        let (file_bytes, file) = opened.map_err(|source| ReadError::Open {
            path: path.clone(),
            source,
        })?;
        let mut reader = SegmentReader {
            path,
            id,
            file,
            file_bytes,
            copies: [Err(HeaderFault::Zero), Err(HeaderFault::Zero)],
            header: Err(HeaderFault::Zero),
            buffer: Window::default(),
            read_ahead_bytes: WINDOW_BYTES,
        };
        reader.copies = [
            reader.read_copy(0, store)?,
            reader.read_copy(PAGE_BYTES, store)?,
        ];
        reader.header = match &reader.copies {
            [Ok(first), Ok(second)] if first != second => Err(HeaderFault::CopiesDiffer),
            [Ok(header), _] | [Err(_), Ok(header)] => Ok(*header),
            [Err(fault), Err(_)] => Err(fault.clone()),
        };
        Ok(reader)
    }

    fn read_copy(
        &self,
        offset_bytes: u64,
        store: Option<StoreUuid>,
    ) -> Result<Result<SegmentHeader, HeaderFault>, ReadError> {
        let found_bytes = self.file_bytes.saturating_sub(offset_bytes).min(PAGE_BYTES);
        let mut page = vec![0; found_bytes as usize];
        self.read_into(offset_bytes, &mut page)?;
        Ok(header::decode(&page, store, Some(self.id)))
    }

    /// The segment's number, from its name.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length when it was opened. Compare with [`SegmentHeader::file_bytes`].
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The segment's header, from whichever copy is good.
    ///
    /// # Errors
    /// What is wrong with the first copy if both are bad, or that they differ.
    pub fn header(&self) -> Result<&SegmentHeader, &HeaderFault> {
        self.header.as_ref()
    }

    /// Both copies of the header, each for itself.
    pub fn header_copies(&self) -> &[Result<SegmentHeader, HeaderFault>; 2] {
        &self.copies
    }

    /// What lies at `offset_bytes`. If `expected` is given, a good group that is not the expected
    /// one is [`Found::Invalid`].
    ///
    /// The page is read first, and the rest of a group only when its header verifies.
    ///
    /// # Errors
    /// [`ReadError::Read`] if the operating system refused the read.
    pub fn group_at(
        &mut self,
        offset_bytes: u64,
        expected: Option<&Expectation>,
    ) -> Result<Found<'_>, ReadError> {
        let context = match self.context() {
            Ok(context) => context,
            Err(why) => {
                return Ok(Found::Invalid {
                    at_offset_bytes: offset_bytes,
                    why,
                });
            }
        };
        if !self.has_page(offset_bytes, context.file_bytes()) {
            return Ok(Found::EndOfFile);
        }
        // What was read ahead may be older than what a live writer stored since: only a good group
        // is believed from the window, anything else is looked at again.
        let mut looked = self.look(offset_bytes, &context)?;
        if !matches!(looked, Looked::Good(_)) {
            self.buffer.bytes.clear();
            looked = self.look(offset_bytes, &context)?;
        }
        Ok(self.found(offset_bytes, &context, looked, expected))
    }

    /// The header of a group that starts at `offset_bytes`, if one verifies there; its pages are not
    /// looked at. Beyond the segment there is none.
    pub(crate) fn group_header_at(
        &mut self,
        offset_bytes: u64,
    ) -> Result<Option<GroupHeader>, ReadError> {
        let Ok(context) = self.context() else {
            return Ok(None);
        };
        if !self.has_page(offset_bytes, context.file_bytes()) {
            return Ok(None);
        }
        self.need(offset_bytes, PAGE_BYTES)?;
        let page = self.buffer.from(offset_bytes);
        Ok(group::decode_header(page, offset_bytes, &context).ok())
    }

    /// The group with `header` at `offset_bytes`, which [`SegmentReader::group_at`] was the last to
    /// find; `None` if something else was read since.
    pub(crate) fn held(&self, offset_bytes: u64, header: GroupHeader) -> Option<Group<'_>> {
        let context = self.context().ok()?;
        let bytes = self.buffer.from(offset_bytes);
        let bytes = bytes.get(..header.padded_bytes as usize)?;
        Some(Group::verified(header, offset_bytes, bytes, &context))
    }

    /// How much is read at once from now on, if more than is asked for: at most 256 KiB, at least
    /// a page.
    pub(crate) fn set_read_ahead(&mut self, bytes: u64) {
        self.read_ahead_bytes = bytes.clamp(PAGE_BYTES, WINDOW_BYTES);
    }

    /// Finds out what lies at `offset_bytes`, from the window as far as it holds it.
    fn look(&mut self, offset_bytes: u64, context: &GroupContext) -> Result<Looked, ReadError> {
        self.need(offset_bytes, PAGE_BYTES)?;
        let page = self.buffer.from(offset_bytes);
        let header = match group::decode_header(page, offset_bytes, context) {
            Ok(header) => header,
            Err(_) if page.get(..PAGE).is_some_and(is_zero) => return Ok(Looked::Zero),
            Err(why) => return Ok(Looked::Bad(why)),
        };
        self.need(offset_bytes, u64::from(header.padded_bytes))?;
        let bytes = self.buffer.from(offset_bytes);
        Ok(
            match group::decode_body(bytes, offset_bytes, context, header) {
                Ok(group) => Looked::Good(group.header),
                Err(why) => Looked::Bad(why),
            },
        )
    }

    fn found(
        &self,
        offset_bytes: u64,
        context: &GroupContext,
        looked: Looked,
        expected: Option<&Expectation>,
    ) -> Found<'_> {
        let invalid = |why| Found::Invalid {
            at_offset_bytes: offset_bytes,
            why,
        };
        match looked {
            Looked::Zero => Found::Zero,
            Looked::Bad(why) => invalid(why),
            Looked::Good(header) => match expected.map(|expected| expected.check(&header)) {
                Some(Err(why)) => invalid(why),
                None | Some(Ok(())) => {
                    let bytes = self.buffer.from(offset_bytes);
                    Found::Group(Group::verified(header, offset_bytes, bytes, context))
                }
            },
        }
    }

    /// The first page at or after `offset_bytes` that is not all zero, up to the end of the file;
    /// `None` if there is none. A last part of a page counts as a page.
    ///
    /// # Errors
    /// [`ReadError::Read`] if the operating system refused a read.
    pub fn is_zero_from(&self, offset_bytes: u64) -> Result<Option<u64>, ReadError> {
        self.first_used_page(offset_bytes..self.file_bytes)
    }

    /// Whether every byte in `range` is zero; what lies behind the file's end counts as zero.
    ///
    /// # Errors
    /// [`ReadError::Read`] if the operating system refused a read.
    pub fn is_zero_in(&self, range: Range<u64>) -> Result<bool, ReadError> {
        Ok(self.first_used_page(range)?.is_none())
    }

    fn first_used_page(&self, range: Range<u64>) -> Result<Option<u64>, ReadError> {
        let mut chunk = vec![0; WINDOW_BYTES as usize];
        let mut at = range.start;
        let end = range.end.min(self.file_bytes);
        while at < end {
            let bytes = (end - at).min(WINDOW_BYTES);
            let chunk = chunk.get_mut(..bytes as usize).unwrap_or_default();
            self.read_into(at, chunk)?;
            if let Some(page) = chunk.chunks(PAGE).position(|page| !is_zero(page)) {
                return Ok(Some(at + (page * PAGE) as u64));
            }
            at += bytes;
        }
        Ok(None)
    }

    /// Looks at every page from `offset_bytes` on for groups that verify on their own, whatever
    /// lies between them. After a good group it goes on behind it.
    pub fn tail_scan(&mut self, offset_bytes: u64) -> TailScan<'_> {
        TailScan {
            reader: self,
            // Up to the next page; the headers are not looked at.
            next_offset_bytes: offset_bytes
                .max(SEGMENT_HEADER_BYTES)
                .checked_next_multiple_of(PAGE_BYTES),
            used_end_bytes: None,
        }
    }

    fn context(&self) -> Result<GroupContext, GroupFault> {
        match &self.header {
            Ok(header) => Ok(GroupContext::new(header)),
            Err(_) => Err(GroupFault::NoSegmentHeader),
        }
    }

    /// Whether a whole page lies at `offset_bytes`, in the file and in the segment.
    fn has_page(&self, offset_bytes: u64, segment_bytes: u64) -> bool {
        offset_bytes
            .checked_add(PAGE_BYTES)
            .is_some_and(|end| end <= self.file_bytes.min(segment_bytes))
    }

    /// Reads a window at `offset_bytes`, at least `needed_bytes` of it unless the file ends.
    fn fill(&mut self, offset_bytes: u64, needed_bytes: u64) -> Result<(), ReadError> {
        let left = self.file_bytes.saturating_sub(offset_bytes);
        let needed = needed_bytes.min(left);
        let ahead = self.read_ahead_bytes.max(needed).min(left);
        let mut bytes = std::mem::take(&mut self.buffer.bytes);
        bytes.resize(ahead as usize, 0);
        let mut read = self.read_into(offset_bytes, &mut bytes);
        if read.is_err() && needed < ahead {
            // What is only read ahead must not hide what can be read.
            bytes.resize(needed as usize, 0);
            read = self.read_into(offset_bytes, &mut bytes);
        }
        if read.is_err() {
            bytes.clear();
        }
        self.buffer = Window {
            bytes,
            offset_bytes,
        };
        read
    }

    /// Makes the window hold `needed_bytes` from `offset_bytes` on, unless the file ends.
    fn need(&mut self, offset_bytes: u64, needed_bytes: u64) -> Result<(), ReadError> {
        if (self.buffer.from(offset_bytes).len() as u64) < needed_bytes {
            self.fill(offset_bytes, needed_bytes)?;
        }
        Ok(())
    }

    fn read_into(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        if buffer.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        READS.with(|reads| reads.set(reads.get() + 1));
        self.file
            .read_exact_at(offset_bytes, buffer)
            .map_err(|source| ReadError::Read {
                path: self.path.clone(),
                offset_bytes,
                length_bytes: buffer.len() as u64,
                source,
            })
    }
}

#[cfg(test)]
thread_local! {
    /// Reads of this thread, for tests of how many a search needs.
    static READS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
