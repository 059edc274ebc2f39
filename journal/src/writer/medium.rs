//! The two writers: how sealed groups of a segment get from memory to the device.
//!
//! ```text
//! mapped   a group is stored through the map when it is sealed; a sync makes all of them durable
//! direct   a sealed group waits in memory; one write from aligned memory, durable when it returns
//! ```
//!
//! Same bytes at the same places, so each is the other's twin in tests, and a directory may be
//! written by one today and by the other tomorrow. Not here: which groups, when, for whom.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, DiskMap, OpenMode, Pages};
use crate::format::PAGE_BYTES;
use crate::options::{WriterChoice, WriterKind, WriterPath};

/// What one sync has to write of one segment: groups that lie one behind the other.
#[derive(Debug, Default)]
pub(super) struct Burst {
    pub(super) offset_bytes: u64,
    pub(super) groups: Vec<Pages>,
}

/// How sealed groups of one segment reach the device.
///
/// `put` and `take` are called under the journal's mutex and do no input or output but a copy of
/// memory; `make_durable` outside it, by several threads at once only with different lanes.
pub(super) trait SegmentWriter: Send + Sync + fmt::Debug {
    /// Takes a sealed group for its place, behind the one before. Gives the memory back if it is not
    /// needed any more.
    fn put(&self, offset_bytes: u64, group: Pages) -> io::Result<Option<Pages>>;

    /// What was put and not taken yet.
    fn take(&self) -> Burst;

    /// Makes the header page (both copies, if given) and everything that was put up to the `take` of
    /// `burst` durable. An error concerns only what this call had to do, or is told to every call
    /// that it may concern.
    fn make_durable(&self, lane: usize, header: Option<&Pages>, burst: &Burst) -> io::Result<()>;

    /// Whether nothing needs to be done for an empty burst.
    fn is_durable_without(&self, burst: &Burst) -> bool;
}

/// Which writer a journal uses in `dir`, and why not the other.
pub(super) fn choose(disk: &dyn Disk, dir: &Path, choice: WriterChoice) -> WriterPath {
    let probed = disk.probe_direct(dir);
    let kind = match (choice, &probed) {
        (WriterChoice::Direct, _) | (WriterChoice::Auto, Ok(())) => WriterKind::Direct,
        (WriterChoice::Mapped, _) | (WriterChoice::Auto, Err(_)) => WriterKind::Mapped,
    };
    let through_cache = probed
        .err()
        .map(|error| format!("this directory cannot be written around the page cache: {error}"));
    WriterPath {
        kind,
        fallback_reason: through_cache.filter(|_| choice != WriterChoice::Mapped),
    }
}

/// Opens a segment's file for writing, with `lanes` syncs at once.
///
/// # Errors
/// The file cannot be opened, or not be mapped: it is too short or has holes.
pub(super) fn open(
    disk: &dyn Disk,
    path: &Path,
    file_bytes: u64,
    kind: WriterKind,
    lanes: usize,
) -> io::Result<Box<dyn SegmentWriter>> {
    let mode = match kind {
        WriterKind::Mapped => OpenMode::Write,
        WriterKind::Direct => OpenMode::Direct,
    };
    // All of them before the first write, so that each hears of every error.
    let files: Vec<_> = (0..lanes.max(1))
        .map(|_| disk.open(path, mode))
        .collect::<io::Result<_>>()?;
    match (kind, files.first()) {
        (WriterKind::Mapped, Some(first)) => {
            let map = first.map(file_bytes)?;
            Ok(Box::new(Mapped { files, map }))
        }
        _ => Ok(Box::new(Direct {
            files,
            waiting: Mutex::default(),
        })),
    }
}

fn lane(files: &[Arc<dyn DiskFile>], lane: usize) -> &dyn DiskFile {
    &**files
        .get(lane)
        .expect("a segment has as many lanes as the journal")
}

/// Stores through a map.
#[derive(Debug)]
struct Mapped {
    /// One open file for each sync that may be under way. The map belongs to the first.
    files: Vec<Arc<dyn DiskFile>>,
    map: Box<dyn DiskMap>,
}

impl SegmentWriter for Mapped {
    fn put(&self, offset_bytes: u64, group: Pages) -> io::Result<Option<Pages>> {
        self.map.store(offset_bytes, group.as_slice())?;
        Ok(Some(group))
    }

    fn take(&self) -> Burst {
        Burst::default()
    }

    fn make_durable(&self, lane: usize, header: Option<&Pages>, _: &Burst) -> io::Result<()> {
        let file = self::lane(&self.files, lane);
        if let Some(page) = header {
            file.write_all_at(0, page.as_slice())?;
            file.write_all_at(PAGE_BYTES, page.as_slice())?;
        }
        file.sync_data()
    }

    fn is_durable_without(&self, _: &Burst) -> bool {
        false
    }
}

/// Writes from memory, around the page cache where that is possible.
#[derive(Debug)]
struct Direct {
    files: Vec<Arc<dyn DiskFile>>,
    waiting: Mutex<Burst>,
}

impl SegmentWriter for Direct {
    fn put(&self, offset_bytes: u64, group: Pages) -> io::Result<Option<Pages>> {
        let mut waiting = self.waiting.lock();
        if waiting.groups.is_empty() {
            waiting.offset_bytes = offset_bytes;
        }
        waiting.groups.push(group);
        Ok(None)
    }

    fn take(&self) -> Burst {
        std::mem::take(&mut self.waiting.lock())
    }

    fn make_durable(&self, lane: usize, header: Option<&Pages>, burst: &Burst) -> io::Result<()> {
        let file = self::lane(&self.files, lane);
        let groups = burst.groups.iter().map(Pages::as_slice).map(IoSlice::new);
        match header {
            // The first groups lie right behind the header: one write for both.
            Some(page) if burst.offset_bytes == 2 * PAGE_BYTES || burst.groups.is_empty() => {
                let copies = [IoSlice::new(page.as_slice()), IoSlice::new(page.as_slice())];
                let buffers: Vec<_> = copies.into_iter().chain(groups).collect();
                file.write_durable_at(0, &buffers)
            }
            Some(page) => {
                let copies = [IoSlice::new(page.as_slice()), IoSlice::new(page.as_slice())];
                file.write_durable_at(0, &copies)?;
                let buffers: Vec<_> = groups.collect();
                file.write_durable_at(burst.offset_bytes, &buffers)
            }
            None => {
                let buffers: Vec<_> = groups.collect();
                file.write_durable_at(burst.offset_bytes, &buffers)
            }
        }
    }

    fn is_durable_without(&self, burst: &Burst) -> bool {
        burst.groups.is_empty()
    }
}
