//! A copy of a store's journal as a crash at one place would have left it.
//!
//! Wound back: the segments, the marks, the checkpoints. Not wound back: the data store, of which nothing is
//! copied. What a crash leaves of data that no barrier covered is not known, and opening goes back to the
//! last barrier anyway.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::format::{MARK_FILE_NAME, MARK_PAGES, PAGE_BYTES};
use torrens_journal::{Found, Lsn, SegmentId, SegmentReader, mark};
use torrens_recovery::{Item, RecordItem, checkpoint};

use super::RebuildError;
use super::error::io_error;
use crate::inspector::{InspectError, Inspector};

/// Bytes that are copied at once.
const CHUNK_BYTES: u64 = 1024 * 1024;

/// Where a crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    /// The record whose group was the last one to be written.
    pub lsn: Lsn,
    /// How many bytes of that group reached the disk; all of them, durably, if `None`.
    pub bytes: Option<u64>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crash {
    /// The segment of the last group.
    pub segment: SegmentId,
    /// Where that group begins.
    pub group_offset_bytes: u64,
    /// Its length.
    pub group_bytes: u64,
    /// Its first and last record.
    pub group: (Lsn, Lsn),
    /// The end of what reached the disk, in that segment.
    pub end_offset_bytes: u64,
    /// Every record up to this was acknowledged, or could have been.
    pub durable_lsn: Lsn,
    /// Later segments, which are not in the copy.
    pub segments_left: u64,
    /// Marks that were there then.
    pub marks_kept: u64,
    /// Marks that are of a later time. The ones that they replaced are not known.
    pub marks_left: u64,
    /// Checkpoints of a state that there was then, newest first.
    pub checkpoints_kept: Vec<Lsn>,
    /// Checkpoints of a later state.
    pub checkpoints_left: Vec<Lsn>,
}

/// Makes the copy in the empty directory `dir`. The source is only read; nobody may write to it meanwhile.
///
/// # Errors
/// [`RebuildError`]; [`InspectError::BeyondEnd`] in it if there is no such record, and
/// [`InspectError::Purged`] if no checkpoint of that time is left.
pub fn crash(
    source: &Inspector,
    disk: &Arc<dyn Disk>,
    dir: &Path,
    point: CrashPoint,
) -> Result<Crash, RebuildError> {
    // Says so if no state of that time can be rebuilt.
    source.look(Some(point.lsn))?;
    let item = find(source, point.lsn)?;
    let from = source.journal_dir();
    let mut reader = SegmentReader::open(&**source.disk(), from, item.segment, None)?;
    let Found::Group(group) = reader.group_at(item.group_offset_bytes, None)? else {
        let why = "its group changed while it was read".to_owned();
        let path = source.path().to_owned();
        return Err(InspectError::Damaged { path, why }.into());
    };
    let header = group.header;
    let group_bytes = u64::from(header.padded_bytes);
    let reached = point.bytes.unwrap_or(group_bytes).min(group_bytes);
    let durable_lsn = match point.bytes {
        None => header.last_lsn(),
        Some(_) => Lsn::new(header.first_lsn.get().saturating_sub(1)),
    };
    let mut made = Crash {
        segment: item.segment,
        group_offset_bytes: item.group_offset_bytes,
        group_bytes,
        group: (header.first_lsn, header.last_lsn()),
        end_offset_bytes: item.group_offset_bytes + reached,
        durable_lsn,
        segments_left: 0,
        marks_kept: 0,
        marks_left: 0,
        checkpoints_kept: Vec::new(),
        checkpoints_left: Vec::new(),
    };
    for part in ["journal", "checkpoints", "snapshots"] {
        let path = dir.join(part);
        disk.create_dir_all(&path)
            .map_err(io_error("create", &path))?;
    }
    let mut target = Target {
        source,
        disk,
        dir,
        total_bytes: 0,
        done_bytes: Cell::new(0),
    };
    target.measure(&made)?;
    target.segments(&mut made)?;
    target.marks(&mut made, header.boot)?;
    target.checkpoints(&mut made)?;
    for part in ["journal", "checkpoints", ""] {
        let path = dir.join(part);
        disk.sync_dir(&path).map_err(io_error("sync", &path))?;
    }
    Ok(made)
}

/// The record, as it lies in the history.
fn find(source: &Inspector, lsn: Lsn) -> Result<RecordItem<'static>, RebuildError> {
    let mut found = None;
    let report = source.records(lsn, &mut |item| match item {
        Item::Record(item) if item.record.lsn == lsn && !item.behind_gap => {
            found = Some(item.with_payload(&[]));
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    found.ok_or_else(|| {
        let asked = lsn;
        match report.first_lsn.filter(|first| lsn < *first) {
            Some(oldest) => InspectError::Purged { asked, oldest }.into(),
            None => InspectError::BeyondEnd {
                asked,
                last: report.last_lsn,
            }
            .into(),
        }
    })
}

/// Where it is made, and from what.
struct Target<'a> {
    source: &'a Inspector,
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    /// Bytes that are copied in all, and that were copied so far.
    total_bytes: u64,
    done_bytes: Cell<u64>,
}

impl Target<'_> {
    /// Bytes of everything that is copied.
    fn measure(&mut self, made: &Crash) -> Result<(), RebuildError> {
        let listing = torrens_journal::list(&**self.source.disk(), self.source.journal_dir())?;
        let segments = listing.segments.iter();
        let segments = segments
            .filter(|entry| entry.id <= made.segment)
            .map(|entry| match entry.id == made.segment {
                true => entry.bytes.min(made.end_offset_bytes),
                false => entry.bytes,
            });
        let checkpoints = self.listed_checkpoints()?;
        let checkpoints = checkpoints
            .iter()
            .filter(|file| file.lsn <= made.durable_lsn)
            .map(|file| file.bytes);
        self.total_bytes = segments.chain(checkpoints).fold(0, u64::saturating_add);
        Ok(())
    }

    fn listed_checkpoints(&self) -> Result<Vec<checkpoint::Listed>, RebuildError> {
        let dir = self.source.path().join("checkpoints");
        let listed = checkpoint::list(&**self.source.disk(), &dir)
            .map_err(|error| io_error("list", &dir)(std::io::Error::other(error)))?;
        Ok(listed)
    }

    /// Copies the first `kept_bytes` of a file; zeros from there on.
    fn copy(&self, name: &Path, kept_bytes: u64) -> Result<(), RebuildError> {
        let (from, to) = (self.source.path().join(name), self.dir.join(name));
        let source = self
            .source
            .disk()
            .open(&from, OpenMode::Read)
            .map_err(io_error("open", &from))?;
        let length = source.len().map_err(io_error("look at", &from))?;
        let target = self
            .disk
            .open(&to, OpenMode::CreateNew)
            .map_err(io_error("create", &to))?;
        let kept = kept_bytes.min(length);
        let mut at = 0;
        while at < kept {
            let mut bytes = vec![0; (kept - at).min(CHUNK_BYTES) as usize];
            source
                .read_exact_at(at, &mut bytes)
                .map_err(io_error("read", &from))?;
            target
                .write_all_at(at, &bytes)
                .map_err(io_error("write", &to))?;
            at += bytes.len() as u64;
            let done = self.done_bytes.get().saturating_add(bytes.len() as u64);
            self.done_bytes.set(done);
            if self
                .source
                .told(done, self.total_bytes.max(done))
                .is_break()
            {
                return Err(RebuildError::Stopped);
            }
        }
        target
            .write_zeros(kept, length - kept)
            .and_then(|()| target.sync_data())
            .map_err(io_error("write", &to))
    }

    fn segments(&self, made: &mut Crash) -> Result<(), RebuildError> {
        let listing = torrens_journal::list(&**self.source.disk(), self.source.journal_dir())?;
        for entry in listing.segments {
            let name = Path::new("journal").join(entry.id.file_name());
            match entry.id.cmp(&made.segment) {
                std::cmp::Ordering::Less => self.copy(&name, u64::MAX)?,
                std::cmp::Ordering::Equal => self.copy(&name, made.end_offset_bytes)?,
                std::cmp::Ordering::Greater => made.segments_left += 1,
            }
        }
        Ok(())
    }

    /// The marks that claim no more than there was.
    fn marks(&self, made: &mut Crash, boot: torrens_journal::Boot) -> Result<(), RebuildError> {
        let pages = mark::read_mark_pages(&**self.source.disk(), self.source.journal_dir())?;
        let path = self.dir.join("journal").join(MARK_FILE_NAME);
        let file = self
            .disk
            .open(&path, OpenMode::CreateNew)
            .map_err(io_error("create", &path))?;
        file.write_zeros(0, MARK_PAGES * PAGE_BYTES)
            .map_err(io_error("write", &path))?;
        for mark in pages.into_iter().flatten() {
            let was_then = mark.durable_lsn < made.durable_lsn
                || mark.durable_lsn == made.durable_lsn && !mark.clean_close;
            if !was_then || mark.boot > boot {
                made.marks_left += 1;
                continue;
            }
            made.marks_kept += 1;
            file.write_all_at(mark.page() * PAGE_BYTES, &mark.encode())
                .map_err(io_error("write", &path))?;
        }
        file.sync_data().map_err(io_error("sync", &path))
    }

    fn checkpoints(&self, made: &mut Crash) -> Result<(), RebuildError> {
        for file in self.listed_checkpoints()? {
            if file.lsn > made.durable_lsn {
                made.checkpoints_left.push(file.lsn);
                continue;
            }
            let name = file.path.file_name().unwrap_or_default();
            self.copy(&Path::new("checkpoints").join(name), u64::MAX)?;
            made.checkpoints_kept.push(file.lsn);
        }
        Ok(())
    }
}
