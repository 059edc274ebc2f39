//! `Builder`: a new directory put together from parts.
//!
//! * `segments`: segments, and bytes in them. * `files`: the mark file and the checkpoints. Here: records become
//!   groups.
//!
//! Not here: the bytes of groups and headers (`torrens_journal::JournalBuilder`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile};
use torrens_journal::format::{GROUP_PAGES_MAX, PAGE_BYTES, record_bytes};
use torrens_journal::{
    Boot, BuildFault, GroupFlags, GroupPlan, JournalBuilder, Lsn, NewRecord, RecordKind, SegmentId,
    StoreUuid,
};

use super::error::io_error;
use super::{MarkPart, Part, RebuildError, RecordPart};
use segments::{OpenSegment, SEGMENT_BYTES};

mod files;
mod segments;

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
}
