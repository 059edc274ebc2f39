//! A directory taken apart: its segments, groups, records, marks and checkpoints, and every page that is other
//! than what follows from them. Building from these parts gives the same bytes, damage included.

use std::ops::ControlFlow;
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, OpenMode};
use torrens_journal::format::{
    MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES, SEGMENT_HEADER_BYTES, group_pages, record_bytes,
};
use torrens_journal::{
    Found, Group, GroupPlan, JournalBuilder, Lsn, Mark, NewRecord, RecordRef, SegmentEntry,
    SegmentHeader, SegmentId, SegmentReader, mark,
};
use torrens_recovery::{RecordItem, checkpoint};

use super::error::io_error;
use super::{FilePart, MarkPart, PagePart, Part, RebuildError, RecordPart, SegmentPart};
use crate::inspector::Inspector;

/// Bytes of a file in one part.
const CHUNK_BYTES: u64 = 64 * 1024;
/// Pages that are read at once.
const READ_BYTES: u64 = 256 * 1024;

/// Is given a part, with the record that it is if it is one.
type Visit<'v> = &'v mut dyn FnMut(Part<'_>, Option<&RecordItem<'_>>) -> ControlFlow<()>;

/// How the walk goes on; `Err(None)` if the visitor had enough.
type Walk<T> = Result<T, Option<RebuildError>>;

fn go_on(flow: ControlFlow<()>) -> Walk<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(None),
    }
}

impl Inspector {
    /// Gives the parts of the directory to `visit`, in the order in which they are put together. Nobody may
    /// write to it meanwhile.
    ///
    /// # Errors
    /// [`RebuildError`] if the operating system refused a read. Damage is a part.
    pub fn parts(&self, visit: Visit<'_>) -> Result<(), RebuildError> {
        let witness = self.survey()?.report.witness;
        let mut walk = Apart {
            durable: witness.map_or(Lsn::ZERO, |witness| witness.lsn),
            disk: Arc::clone(self.disk()),
            inspector: self,
            journal: JournalBuilder::new(),
            visit,
        };
        match walk.all() {
            Ok(()) | Err(None) => Ok(()),
            Err(Some(error)) => Err(error),
        }
    }
}

struct Apart<'v> {
    disk: Arc<dyn Disk>,
    inspector: &'v Inspector,
    /// What a builder has made of the parts so far.
    journal: JournalBuilder,
    /// What a witness says was durable.
    durable: Lsn,
    visit: Visit<'v>,
}

impl Apart<'_> {
    fn all(&mut self) -> Walk<()> {
        let dir = self.inspector.journal_dir().to_owned();
        let listing =
            torrens_journal::list(&*self.disk, &dir).map_err(|error| Some(error.into()))?;
        let total = listing
            .segments
            .iter()
            .fold(0u64, |sum, segment| sum.saturating_add(segment.bytes));
        let mut done = 0u64;
        for entry in &listing.segments {
            if self.inspector.told(done, total).is_break() {
                return Err(Some(RebuildError::Stopped));
            }
            self.segment(entry)?;
            done = done.saturating_add(entry.bytes);
        }
        if listing.mark_bytes.is_some() {
            self.marks()?;
        }
        self.checkpoints()
    }

    fn give(&mut self, part: Part<'_>) -> Walk<()> {
        go_on((self.visit)(part, None))
    }

    fn segment(&mut self, entry: &SegmentEntry) -> Walk<()> {
        let dir = self.inspector.journal_dir().to_owned();
        let mut reader = SegmentReader::open(&*self.disk, &dir, entry.id, None)
            .map_err(|error| Some(error.into()))?;
        let path = reader.path().to_owned();
        let file = self.disk.open(&path, OpenMode::Read);
        let file = file.map_err(|error| Some(io_error("open", &path)(error)))?;
        let header = reader.header().ok().copied();
        let (part, page) = self.begin(entry, header);
        self.give(Part::Segment(part))?;
        let has_groups = page.is_some();
        let page = page.unwrap_or_else(|| vec![0; PAGE_BYTES as usize]);
        for offset in [0, PAGE_BYTES] {
            self.differing(&*file, entry, offset, &page)?;
        }
        let offset = match has_groups {
            true => self.groups(entry.id, &mut reader)?,
            false => SEGMENT_HEADER_BYTES,
        };
        self.rest(&*file, entry, offset)
    }

    /// Gives the groups from the segment's start on, as far as they follow each other; where they end.
    fn groups(&mut self, segment: SegmentId, reader: &mut SegmentReader) -> Walk<u64> {
        let mut offset = SEGMENT_HEADER_BYTES;
        loop {
            let found = reader.group_at(offset, None);
            let Found::Group(group) = found.map_err(|error| Some(error.into()))? else {
                return Ok(offset);
            };
            let Some(built) = self.group(segment, &group)? else {
                return Ok(offset);
            };
            offset = group.end_offset_bytes();
            let pages = built.chunks(PAGE_BYTES as usize);
            let actual = group.bytes().chunks(PAGE_BYTES as usize);
            for (number, (actual, _)) in (0u64..)
                .zip(actual.zip(pages))
                .filter(|(_, (actual, built))| actual != built)
            {
                self.give(Part::Page(PagePart {
                    segment,
                    offset_bytes: group.offset_bytes + number * PAGE_BYTES,
                    bytes: actual,
                }))?;
            }
        }
    }

    /// A segment as a part, and its header's page as it would be built.
    fn begin(
        &mut self,
        entry: &SegmentEntry,
        header: Option<SegmentHeader>,
    ) -> (SegmentPart, Option<Vec<u8>>) {
        let mut part = SegmentPart {
            id: entry.id,
            file_bytes: entry.bytes,
            header: None,
            is_detached: false,
        };
        let Some(header) = header else {
            self.journal = JournalBuilder::new();
            return (part, None);
        };
        let before = self.journal.end();
        let mut page = self.journal.begin_segment(&header).ok();
        if page.is_none() {
            part.is_detached = true;
            self.journal = JournalBuilder::new();
            page = self.journal.begin_segment(&header).ok();
        }
        if page.is_some() {
            let follows = !part.is_detached && before.is_some() && before == header.predecessor;
            part.header = Some(SegmentHeader {
                predecessor: header.predecessor.filter(|_| !follows),
                ..header
            });
        }
        (part, page)
    }

    /// Gives a group and its records; its bytes as they would be built, or `None` if it is no part of what
    /// can be built here.
    fn group(&mut self, segment: SegmentId, group: &Group<'_>) -> Walk<Option<Vec<u8>>> {
        let header = group.header;
        let records: Result<Vec<RecordRef<'_>>, _> = group.records().collect();
        let Ok(records) = records else {
            return Ok(None);
        };
        if header.first_lsn != self.journal.next_lsn() {
            return Ok(None);
        }
        let bytes = records
            .iter()
            .map(|record| record_bytes(record.payload.len() as u64));
        let least = group_pages(bytes.sum()).map(|pages| pages * PAGE_BYTES);
        let derived = self.journal.end_at(header.durable_lsn);
        let plan = GroupPlan {
            boot: header.boot,
            durable_lsn: header.durable_lsn,
            durable_chain: Some(header.durable_chain)
                .filter(|chain| *chain != derived.map_or(0, |end| end.chain)),
            flags: header.flags,
            padded_bytes: Some(header.padded_bytes)
                .filter(|padded| Some(u64::from(*padded)) != least),
        };
        let new: Vec<NewRecord<'_>> = records
            .iter()
            .map(|record| NewRecord {
                kind: record.kind,
                tag: record.tag,
                payload: record.payload,
            })
            .collect();
        let Ok(built) = self.journal.push_group(&plan, &new) else {
            return Ok(None);
        };
        self.give(Part::Group(plan))?;
        for record in records {
            let part = RecordPart {
                lsn: Some(record.lsn),
                kind: record.kind,
                tag: record.tag,
                payload: record.payload,
                boot: header.boot,
                group: None,
            };
            let durable = record.lsn <= self.durable;
            let item = RecordItem::in_group(record, segment, &header, group.offset_bytes, durable);
            go_on((self.visit)(Part::Record(part), Some(&item)))?;
        }
        Ok(Some(built.bytes))
    }

    /// Gives the page at `offset` if it is not `built`.
    fn differing(
        &mut self,
        file: &dyn DiskFile,
        entry: &SegmentEntry,
        offset: u64,
        built: &[u8],
    ) -> Walk<()> {
        let length = entry.bytes.saturating_sub(offset).min(PAGE_BYTES);
        let page = self.read(file, offset, length)?;
        match built.get(..page.len()) == Some(&*page) {
            true => Ok(()),
            false => self.give(Part::Page(PagePart {
                segment: entry.id,
                offset_bytes: offset,
                bytes: &page,
            })),
        }
    }

    /// Gives every page from `offset` on that is not zero.
    fn rest(&mut self, file: &dyn DiskFile, entry: &SegmentEntry, offset: u64) -> Walk<()> {
        let mut at = offset;
        while at < entry.bytes {
            let bytes = self.read(file, at, (entry.bytes - at).min(READ_BYTES))?;
            for (number, page) in (0u64..).zip(bytes.chunks(PAGE_BYTES as usize)) {
                if page.iter().any(|byte| *byte != 0) {
                    self.give(Part::Page(PagePart {
                        segment: entry.id,
                        offset_bytes: at + number * PAGE_BYTES,
                        bytes: page,
                    }))?;
                }
            }
            at += bytes.len() as u64;
        }
        Ok(())
    }

    fn read(&self, file: &dyn DiskFile, offset: u64, length: u64) -> Walk<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        match file.read_exact_at(offset, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(Some(io_error("read", self.inspector.path())(error))),
        }
    }

    /// Marks as marks; any other page of the file as it is.
    fn marks(&mut self) -> Walk<()> {
        let path = self.inspector.journal_dir().join(MARK_FILE_NAME);
        let file = self.disk.open(&path, OpenMode::Read);
        let file = file.map_err(|error| Some(io_error("open", &path)(error)))?;
        let name = format!("journal/{MARK_FILE_NAME}");
        let file_bytes = file
            .len()
            .map_err(|error| Some(io_error("look at", &path)(error)))?;
        let is_whole = file_bytes == MARK_PAGES * PAGE_BYTES;
        let mut offset = 0;
        while offset < file_bytes {
            let page = self.read(&*file, offset, (file_bytes - offset).min(PAGE_BYTES))?;
            let found = mark::decode(&page, offset / PAGE_BYTES)
                .ok()
                .filter(|mark| is_whole && mark.encode() == page);
            match found {
                Some(mark) => {
                    let part = self.mark(mark);
                    self.give(Part::Mark(part))?;
                }
                // The first part of a file says how long it is.
                None if page.iter().any(|byte| *byte != 0) || offset == 0 => {
                    self.give(Part::File(FilePart {
                        name: &name,
                        file_bytes,
                        offset_bytes: offset,
                        bytes: &page,
                    }))?;
                }
                None => {}
            }
            offset += page.len() as u64;
        }
        Ok(())
    }

    fn mark(&self, mark: Mark) -> MarkPart {
        let follows = MarkPart {
            mark,
            is_exact: false,
        };
        let end = self.journal.end_at(mark.durable_lsn);
        MarkPart {
            mark,
            is_exact: end.is_none() || follows.resolve(end) != mark,
        }
    }

    fn checkpoints(&mut self) -> Walk<()> {
        let dir = self.inspector.path().join("checkpoints");
        let listed = checkpoint::list(&*self.disk, &dir)
            .map_err(|error| Some(io_error("list", &dir)(std::io::Error::other(error))))?;
        for listed in listed {
            let path = &listed.path;
            let file = self.disk.open(path, OpenMode::Read);
            let file = file.map_err(|error| Some(io_error("open", path)(error)))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("checkpoints/{name}");
            let mut offset = 0;
            loop {
                let length = listed.bytes.saturating_sub(offset).min(CHUNK_BYTES);
                let bytes = self.read(&*file, offset, length)?;
                self.give(Part::File(FilePart {
                    name: &name,
                    file_bytes: listed.bytes,
                    offset_bytes: offset,
                    bytes: &bytes,
                }))?;
                offset += length;
                if offset >= listed.bytes {
                    break;
                }
            }
        }
        Ok(())
    }
}
