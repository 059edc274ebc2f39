//! Segments of a new directory, and bytes in them.

use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::disk::{DiskFile, OpenMode};
use torrens_journal::format::{PAGE_BYTES, SEGMENT_BYTES_MAX};
use torrens_journal::{BuildFault, JournalBuilder, Lsn, Predecessor, SegmentHeader, SegmentId};

use super::Builder;
use crate::rebuild::error::io_error;
use crate::rebuild::{PagePart, RebuildError, SegmentPart};

/// Length of the segments that no part describes.
pub(super) const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The segment that is being filled.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) id: SegmentId,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) file_bytes: u64,
    /// Whether groups can be built in it.
    pub(super) has_header: bool,
}

impl Builder {
    /// The first segment, where no part describes it. Records before `first_lsn` are a checkpoint's.
    pub(super) fn first_segment(&mut self, first_lsn: Lsn) -> Result<(), RebuildError> {
        if first_lsn <= Lsn::FIRST {
            return self.new_segment(SegmentId::FIRST, Lsn::FIRST, None);
        }
        let before = Predecessor {
            segment: SegmentId::FIRST,
            last_lsn: Lsn::new(first_lsn.get() - 1),
            end_offset_bytes: torrens_journal::format::SEGMENT_HEADER_BYTES,
            chain: 0,
        };
        self.new_segment(SegmentId::new(2), first_lsn, Some(before))
    }

    /// Begins at `first_lsn`, with no record yet.
    ///
    /// # Errors
    /// As [`Builder::add`].
    pub fn begin_at(&mut self, first_lsn: Lsn) -> Result<(), RebuildError> {
        match self.segment {
            None => self.first_segment(first_lsn),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn new_segment(
        &mut self,
        id: SegmentId,
        first_lsn: Lsn,
        predecessor: Option<Predecessor>,
    ) -> Result<(), RebuildError> {
        let header = SegmentHeader {
            format_minor: torrens_journal::format::FORMAT_MINOR,
            compat_flags: 0,
            store: self.store,
            segment: id,
            salt: self.disk.random_u64(),
            first_lsn,
            file_bytes: self.segment_bytes,
            boot: self.boot,
            predecessor,
            oldest_needed_lsn: first_lsn,
            wall_clock_micros: self.disk.wall_clock_micros(),
        };
        self.segment(&SegmentPart {
            id,
            file_bytes: self.segment_bytes,
            header: Some(header),
            is_detached: false,
        })
    }

    pub(super) fn segment(&mut self, part: &SegmentPart) -> Result<(), RebuildError> {
        self.finish_segment()?;
        if part.file_bytes > SEGMENT_BYTES_MAX {
            return Err(RebuildError::File {
                name: part.id.file_name(),
                end_bytes: part.file_bytes,
            });
        }
        if part.is_detached || part.header.is_none() {
            self.journal = JournalBuilder::new();
        }
        let mut page = None;
        if let Some(mut header) = part.header {
            if header.predecessor.is_none() {
                header.predecessor = self.journal.end();
            }
            self.store = header.store;
            self.boot = self.boot.max(header.boot);
            page = Some(self.journal.begin_segment(&header)?);
        }
        let path = self.dir.join("journal").join(part.id.file_name());
        let file = self
            .disk
            .open(&path, OpenMode::CreateNew)
            .map_err(io_error("create", &path))?;
        file.write_zeros(0, part.file_bytes)
            .map_err(io_error("write", &path))?;
        self.segment = Some(OpenSegment {
            id: part.id,
            file,
            path,
            file_bytes: part.file_bytes,
            has_header: page.is_some(),
        });
        match page {
            Some(page) => {
                self.write(0, &page)?;
                self.write(PAGE_BYTES, &page)
            }
            None => Ok(()),
        }
    }

    pub(super) fn finish_segment(&mut self) -> Result<(), RebuildError> {
        match &self.segment {
            Some(open) => open.file.sync_data().map_err(io_error("sync", &open.path)),
            None => Ok(()),
        }
    }

    pub(super) fn write(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), RebuildError> {
        let open = self.segment.as_ref().ok_or(BuildFault::NoSegment)?;
        let end = offset_bytes.saturating_add(bytes.len() as u64);
        if end > open.file_bytes {
            return Err(RebuildError::Page {
                segment: open.id,
                offset_bytes,
            });
        }
        open.file
            .write_all_at(offset_bytes, bytes)
            .map_err(io_error("write", &open.path))
    }

    pub(super) fn page(&mut self, page: &PagePart<'_>) -> Result<(), RebuildError> {
        let is_here = self
            .segment
            .as_ref()
            .is_some_and(|open| open.id == page.segment);
        let fits =
            page.offset_bytes.is_multiple_of(PAGE_BYTES) && page.bytes.len() as u64 <= PAGE_BYTES;
        match is_here && fits {
            true => self.write(page.offset_bytes, page.bytes),
            false => Err(RebuildError::Page {
                segment: page.segment,
                offset_bytes: page.offset_bytes,
            }),
        }
    }
}
