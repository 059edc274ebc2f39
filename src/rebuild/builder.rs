//! `Builder`: a new directory put together from parts.
//!
//! Not here: the bytes of groups and headers (`torrens_journal::JournalBuilder`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, OpenMode};
use torrens_journal::format::{
    GROUP_PAGES_MAX, MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES, SEGMENT_BYTES_MAX, record_bytes,
};
use torrens_journal::{
    Boot, BuildFault, GroupFlags, GroupPlan, JournalBuilder, Lsn, NewRecord, Predecessor,
    RecordKind, SegmentHeader, SegmentId, StoreUuid,
};

use super::error::io_error;
use super::{FilePart, MarkPart, PagePart, Part, RebuildError, RecordPart, SegmentPart};

/// Length of the segments that no part describes.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// The longest checkpoint.
const FILE_BYTES_MAX: u64 = 1 << 40;
/// The longest mark file, which holds four pages if it is whole.
const MARK_FILE_BYTES_MAX: u64 = 1 << 20;

/// Puts a new directory together. Parts that say where records lie are followed to the byte; records without
/// any are laid out one behind the other.
#[derive(Debug)]
pub struct Builder {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreUuid,
    segment_bytes: u64,
    journal: JournalBuilder,
    segment: Option<OpenSegment>,
    group: Option<Pending>,
    files: BTreeMap<String, Arc<dyn DiskFile>>,
    boot: Boot,
    records: u64,
}

#[derive(Debug)]
struct OpenSegment {
    id: SegmentId,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    file_bytes: u64,
    /// Whether groups can be built in it.
    has_header: bool,
}

/// A group whose records are still coming.
#[derive(Debug)]
struct Pending {
    /// `None` if it follows from the records.
    plan: Option<GroupPlan>,
    of: Option<(SegmentId, u32)>,
    boot: Boot,
    records: Vec<(RecordKind, u32, Vec<u8>)>,
    bytes: u64,
}

impl Builder {
    /// Begins in the empty directory `dir`. `store` is who it belongs to where no segment says it.
    ///
    /// # Errors
    /// [`RebuildError::Io`] if the operating system refused.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, store: StoreUuid) -> Result<Builder, RebuildError> {
        for part in ["journal", "checkpoints", "snapshots"] {
            let path = dir.join(part);
            disk.create_dir_all(&path)
                .map_err(io_error("create", &path))?;
        }
        Ok(Builder {
            disk,
            dir: dir.to_owned(),
            store,
            segment_bytes: SEGMENT_BYTES,
            journal: JournalBuilder::new(),
            segment: None,
            group: None,
            files: BTreeMap::new(),
            boot: Boot::FIRST,
            records: 0,
        })
    }

    /// Makes segments that no part describes that long.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The store that records without a segment belong to from now on.
    pub fn set_store(&mut self, store: StoreUuid) {
        self.store = store;
    }

    /// Adds the next part.
    ///
    /// # Errors
    /// [`RebuildError`]; the directory is of no use then.
    pub fn add(&mut self, part: Part<'_>) -> Result<(), RebuildError> {
        match part {
            Part::Record(record) => self.record(&record),
            Part::Segment(segment) => {
                self.finish_group()?;
                self.segment(&segment)
            }
            Part::Group(plan) => {
                self.finish_group()?;
                self.group = Some(Pending {
                    plan: Some(plan),
                    of: None,
                    boot: plan.boot,
                    records: Vec::new(),
                    bytes: 0,
                });
                Ok(())
            }
            Part::Page(page) => {
                self.finish_group()?;
                self.page(&page)
            }
            Part::Mark(mark) => {
                self.finish_group()?;
                self.mark(&mark)
            }
            Part::File(file) => {
                self.finish_group()?;
                self.file(&file)
            }
        }
    }

    /// Marks everything that was added as durable.
    ///
    /// # Errors
    /// As [`Builder::add`].
    pub fn mark_all(&mut self) -> Result<(), RebuildError> {
        self.finish_group()?;
        let Some(end) = self.journal.end() else {
            return Ok(());
        };
        self.mark(&MarkPart {
            mark: torrens_journal::Mark {
                store: self.store,
                number: 1,
                segment: end.segment,
                durable_lsn: end.last_lsn,
                end_offset_bytes: end.end_offset_bytes,
                chain: end.chain,
                boot: self.boot,
                clean_close: false,
                wall_clock_micros: self.disk.wall_clock_micros(),
            },
            is_exact: true,
        })
    }

    /// Completes the directory. Gives the number of its records.
    ///
    /// # Durability
    /// Everything is durable when it returns, except the name of the directory itself.
    ///
    /// # Errors
    /// As [`Builder::add`], and [`RebuildError::Nothing`] if no segment was made.
    pub fn finish(mut self) -> Result<u64, RebuildError> {
        self.finish_group()?;
        if self.segment.is_none() {
            return Err(RebuildError::Nothing);
        }
        self.finish_segment()?;
        for (name, file) in &self.files {
            file.sync_data()
                .map_err(io_error("sync", &self.dir.join(name)))?;
        }
        for part in ["journal", "checkpoints", ""] {
            let path = self.dir.join(part);
            self.disk.sync_dir(&path).map_err(io_error("sync", &path))?;
        }
        Ok(self.records)
    }

    fn record(&mut self, record: &RecordPart<'_>) -> Result<(), RebuildError> {
        let is_new = match &self.group {
            None => true,
            Some(group) => {
                group.plan.is_none() && (record.group.is_none() || group.of != record.group)
            }
        };
        if is_new {
            self.finish_group()?;
            if self.segment.is_none() {
                self.boot = self.boot.max(record.boot);
                self.first_segment(record.lsn.unwrap_or(Lsn::FIRST))?;
            }
        }
        let pending = self.group.as_ref().map_or(0, |group| group.records.len());
        let expected = self.journal.next_lsn().checked_add(pending as u64);
        let expected = expected.ok_or(BuildFault::LsnsUsedUp)?;
        if let Some(found) = record.lsn.filter(|found| *found != expected) {
            return Err(RebuildError::Lsn { expected, found });
        }
        let group = self.group.get_or_insert_with(|| Pending {
            plan: None,
            of: record.group,
            boot: record.boot,
            records: Vec::new(),
            bytes: 0,
        });
        group.bytes = group
            .bytes
            .saturating_add(record_bytes(record.payload.len() as u64));
        // More than any group holds is not kept in memory.
        if group.bytes > GROUP_PAGES_MAX * PAGE_BYTES {
            let end = self.journal.end();
            return Err(RebuildError::Build(BuildFault::NoRoom {
                segment: end.map_or(SegmentId::FIRST, |end| end.segment),
                offset_bytes: end.map_or(0, |end| end.end_offset_bytes),
                needed_bytes: group.bytes,
                room_bytes: GROUP_PAGES_MAX * PAGE_BYTES,
            }));
        }
        group
            .records
            .push((record.kind, record.tag, record.payload.to_vec()));
        self.records += 1;
        Ok(())
    }

    /// Writes the group whose records came.
    fn finish_group(&mut self) -> Result<(), RebuildError> {
        let Some(group) = self.group.take() else {
            return Ok(());
        };
        if self.segment.as_ref().is_none_or(|open| !open.has_header) {
            return Err(BuildFault::NoSegment.into());
        }
        let records: Vec<NewRecord<'_>> = group
            .records
            .iter()
            .map(|(kind, tag, payload)| NewRecord {
                kind: *kind,
                tag: *tag,
                payload,
            })
            .collect();
        let plan = match group.plan {
            Some(plan) => plan,
            None => {
                self.begin_boot(group.boot)?;
                self.make_room(group.bytes)?;
                self.plan()
            }
        };
        self.boot = self.boot.max(plan.boot);
        let built = self.journal.push_group(&plan, &records)?;
        self.write(built.offset_bytes, &built.bytes)
    }

    /// A group that says that everything before it is durable.
    fn plan(&self) -> GroupPlan {
        GroupPlan {
            boot: self.boot,
            durable_lsn: Lsn::new(self.journal.next_lsn().get().saturating_sub(1)),
            durable_chain: None,
            flags: GroupFlags::NONE,
            padded_bytes: None,
        }
    }

    /// Opens a later boot as a writer would: with a group of no records.
    fn begin_boot(&mut self, boot: Boot) -> Result<(), RebuildError> {
        if boot <= self.boot {
            return Ok(());
        }
        self.make_room(0)?;
        self.boot = boot;
        let opens = GroupPlan {
            flags: GroupFlags::RECOVERED,
            ..self.plan()
        };
        let built = self.journal.push_group(&opens, &[])?;
        self.write(built.offset_bytes, &built.bytes)
    }

    /// Goes on in a new segment if records of that many bytes have no room in this one.
    fn make_room(&mut self, bytes: u64) -> Result<(), RebuildError> {
        let needed = torrens_journal::format::group_pages(bytes).unwrap_or(GROUP_PAGES_MAX);
        if needed * PAGE_BYTES <= self.journal.room_bytes() {
            return Ok(());
        }
        let seal = GroupPlan {
            flags: GroupFlags::SEAL,
            ..self.plan()
        };
        let built = self.journal.push_group(&seal, &[])?;
        self.write(built.offset_bytes, &built.bytes)?;
        let Some(end) = self.journal.end() else {
            return Ok(());
        };
        let id = end.segment.next().ok_or(BuildFault::LsnsUsedUp)?;
        self.new_segment(id, self.journal.next_lsn(), Some(end))
    }

    /// The first segment, where no part describes it. Records before `first_lsn` are a checkpoint's.
    fn first_segment(&mut self, first_lsn: Lsn) -> Result<(), RebuildError> {
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

    fn new_segment(
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

    fn segment(&mut self, part: &SegmentPart) -> Result<(), RebuildError> {
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

    fn finish_segment(&mut self) -> Result<(), RebuildError> {
        match &self.segment {
            Some(open) => open.file.sync_data().map_err(io_error("sync", &open.path)),
            None => Ok(()),
        }
    }

    fn write(&self, offset_bytes: u64, bytes: &[u8]) -> Result<(), RebuildError> {
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

    fn page(&mut self, page: &PagePart<'_>) -> Result<(), RebuildError> {
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

    fn mark(&mut self, part: &MarkPart) -> Result<(), RebuildError> {
        let mark = part.resolve(self.journal.end_at(part.mark.durable_lsn));
        self.file(&FilePart {
            name: &format!("journal/{MARK_FILE_NAME}"),
            file_bytes: MARK_PAGES * PAGE_BYTES,
            offset_bytes: mark.page() * PAGE_BYTES,
            bytes: &mark.encode(),
        })
    }

    fn file(&mut self, part: &FilePart<'_>) -> Result<(), RebuildError> {
        let FilePart {
            name,
            file_bytes,
            offset_bytes,
            bytes,
        } = *part;
        let end_bytes = offset_bytes.saturating_add(bytes.len() as u64);
        let max = match name.ends_with(MARK_FILE_NAME) {
            true => MARK_FILE_BYTES_MAX,
            false => FILE_BYTES_MAX,
        };
        if !is_file_of_a_store(name) || end_bytes > file_bytes || file_bytes > max {
            let name = name.to_owned();
            return Err(RebuildError::File { name, end_bytes });
        }
        let path = self.dir.join(name);
        let file = match self.files.get(name) {
            Some(file) => Arc::clone(file),
            None => {
                let file = self
                    .disk
                    .open(&path, OpenMode::CreateNew)
                    .map_err(io_error("create", &path))?;
                if name.ends_with(MARK_FILE_NAME) {
                    file.write_zeros(0, file_bytes)
                        .map_err(io_error("write", &path))?;
                }
                self.files.insert(name.to_owned(), Arc::clone(&file));
                file
            }
        };
        file.write_all_at(offset_bytes, bytes)
            .map_err(io_error("write", &path))
    }
}

/// The mark file, or a plain name among the checkpoints: nothing that leads out of the directory.
fn is_file_of_a_store(name: &str) -> bool {
    if name == format!("journal/{MARK_FILE_NAME}") {
        return true;
    }
    name.strip_prefix("checkpoints/").is_some_and(|name| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && !name.starts_with('.') && name.len() < 200 && name.bytes().all(plain)
    })
}
