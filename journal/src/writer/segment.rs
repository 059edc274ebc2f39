//! One segment file as the writer uses it: prepared aside, filled by one of the two writers, synced.
//!
//! A segment is written under an unfinished name: real zeros first, the header when its predecessor
//! is sealed. It gets its own name only when the header, and every group that the same sync covers,
//! are durable. Groups may be stored before; nobody is told of them until the name is durable too.
//!
//! A new segment takes the blocks of a purged one if there is one: overwriting blocks with zeros
//! costs less than allocating them. Nothing of what was in it can come back: the zeros are durable
//! before the segment is used, and the seed of every checksum is another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::Seed;
use crate::disk::{Disk, DiskFile, OpenMode, Pages};
use crate::error::PoisonedBy;
use crate::format::UNFINISHED_SUFFIX;
use crate::header::SegmentHeader;
use crate::ids::{SegmentId, StoreUuid};
use crate::options::WriterKind;
use crate::writer::medium::{self, Burst, SegmentWriter};

/// A segment file that is open for writing.
#[derive(Debug)]
pub(super) struct Segment {
    id: SegmentId,
    seed: Seed,
    file_bytes: u64,
    writer: Box<dyn SegmentWriter>,
}

/// A segment that waits for its turn: allocated, zeroed and open, under its unfinished name.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) segment: Arc<Segment>,
    pub(super) store: StoreUuid,
    pub(super) salt: u64,
}

/// A file could not be prepared.
#[derive(Debug)]
pub(super) struct PrepareError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

/// What is the same for all segments of one opened journal.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store: StoreUuid,
    pub(super) kind: WriterKind,
    /// Syncs that may be under way at once.
    pub(super) lanes: usize,
}

/// The path that a file has until it is finished.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED_SUFFIX);
    PathBuf::from(name)
}

/// Creates `path` under its unfinished name, full of zeros that are durable. A leftover of that
/// name is replaced; after an error nothing is left behind, as far as the disk allows.
pub(super) fn create_zeroed(
    disk: &dyn Disk,
    path: &Path,
    file_bytes: u64,
    kind: WriterKind,
) -> Result<Arc<dyn DiskFile>, PrepareError> {
    let path = unfinished(path);
    let made = remove_if_there(disk, &path).and_then(|()| {
        let file = disk.open(&path, OpenMode::CreateNew)?;
        match kind {
            // Written page by page, they lie in the page cache page by page, and stay there: a later
            // store through the map dirties 4 KiB, and needs no read first.
            WriterKind::Mapped => fill_with_zeros(&*file, file_bytes)?,
            WriterKind::Direct => {
                fill_with_zeros(&*disk.open(&path, OpenMode::Direct)?, file_bytes)?;
            }
        }
        Ok(file)
    });
    made.map_err(|source| {
        // So that a half-written file does not hold the space that it did not get.
        let _ = remove_if_there(disk, &path);
        PrepareError { path, source }
    })
}

fn fill_with_zeros(file: &dyn DiskFile, file_bytes: u64) -> io::Result<()> {
    file.write_zeros(0, file_bytes)?;
    file.sync_data()
}

/// How much of a reopened segment is brought into the page cache for storing: two thousand syncs.
const WARM_BYTES: u64 = 8 * 1024 * 1024;

/// Removes a file; that it is not there is fine.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

impl Workshop {
    /// Prepares segment `id` of `file_bytes`, in the blocks of the purged file at `recycled` if
    /// that can be used.
    pub(super) fn prepare(
        &self,
        id: SegmentId,
        file_bytes: u64,
        recycled: Option<PathBuf>,
    ) -> Result<Spare, PrepareError> {
        let path = self.dir.join(id.file_name());
        let again = recycled.is_some_and(|old| match self.recycle(&old, &path, file_bytes) {
            Ok(()) => true,
            // It only had a better start: a new file does as well.
            Err(_) => {
                let _ = remove_if_there(&*self.disk, &old);
                false
            }
        });
        if !again {
            create_zeroed(&*self.disk, &path, file_bytes, self.kind)?;
        }
        let salt = self.disk.random_u64();
        let unfinished = unfinished(&path);
        match medium::open(&*self.disk, &unfinished, file_bytes, self.kind, self.lanes) {
            Ok(writer) => Ok(Spare {
                segment: Arc::new(Segment {
                    id,
                    seed: Seed::new(self.store, id, salt),
                    file_bytes,
                    writer,
                }),
                store: self.store,
                salt,
            }),
            Err(source) => {
                let _ = remove_if_there(&*self.disk, &unfinished);
                Err(PrepareError {
                    path: unfinished,
                    source,
                })
            }
        }
    }

    /// Makes the purged file `old` the unfinished file of `path`, full of durable zeros.
    fn recycle(&self, old: &Path, path: &Path, file_bytes: u64) -> io::Result<()> {
        let file = self.disk.open(old, OpenMode::Write)?;
        // A second name is somebody's backup, whose contents are not ours to change.
        if file.len()? != file_bytes || file.has_other_names()? {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let path = unfinished(path);
        self.disk.rename(old, &path)?;
        let zeroed = match self.kind {
            WriterKind::Mapped => {
                // It may lie in the cache in large pieces.
                let _ = file.drop_cache();
                fill_with_zeros(&*file, file_bytes)
            }
            WriterKind::Direct => self
                .disk
                .open(&path, OpenMode::Direct)
                .and_then(|file| fill_with_zeros(&*file, file_bytes)),
        };
        if zeroed.is_err() {
            let _ = remove_if_there(&*self.disk, &path);
        }
        zeroed
    }

    /// Opens a finished segment to go on in it at `offset_bytes`, behind which everything is zero.
    pub(super) fn reopen(
        &self,
        header: &SegmentHeader,
        offset_bytes: u64,
    ) -> Result<Segment, PrepareError> {
        let path = self.dir.join(header.segment.file_name());
        let warmed = match self.kind {
            WriterKind::Mapped => self.warm(&path, header.file_bytes, offset_bytes),
            WriterKind::Direct => Ok(()),
        };
        let opened = warmed.and_then(|()| {
            let bytes = header.file_bytes;
            medium::open(&*self.disk, &path, bytes, self.kind, self.lanes)
        });
        let writer = opened.map_err(|source| PrepareError { path, source })?;
        Ok(Segment {
            id: header.segment,
            seed: Seed::new(header.store, header.segment, header.salt),
            file_bytes: header.file_bytes,
            writer,
        })
    }

    /// Recovery read the file, perhaps into large folios, of which a store of one page would dirty
    /// all; without any, the first store to a page would read it. So the zeros that come next are
    /// asked for once more, page by page. Only speed hangs on it.
    fn warm(&self, path: &Path, file_bytes: u64, offset_bytes: u64) -> io::Result<()> {
        let file = self.disk.open(path, OpenMode::Write)?;
        let _ = file.drop_cache();
        let warm_bytes = WARM_BYTES.min(file_bytes.saturating_sub(offset_bytes));
        file.will_store(offset_bytes, warm_bytes);
        Ok(())
    }

    /// Makes what is in `burst` and was put before durable. With a `header` also writes that, and
    /// gives the file its name last.
    ///
    /// # Errors
    /// What failed. The segment must not be trusted any more.
    pub(super) fn sync(
        &self,
        segment: &Segment,
        lane: usize,
        header: Option<&SegmentHeader>,
        burst: &Burst,
    ) -> Result<(), (PoisonedBy, io::Error)> {
        let Some(header) = header else {
            if segment.writer.is_durable_without(burst) {
                return Ok(());
            }
            let made = segment.writer.make_durable(lane, None, burst);
            return made.map_err(|source| (PoisonedBy::Sync, source));
        };
        let mut page = Pages::default();
        page.resize(1);
        page.as_mut_slice().copy_from_slice(&header.encode());
        segment
            .writer
            .make_durable(lane, Some(&page), burst)
            .map_err(|source| (PoisonedBy::WriteHeader, source))?;
        let path = self.dir.join(segment.id.file_name());
        self.disk
            .rename(&unfinished(&path), &path)
            .map_err(|source| (PoisonedBy::Rename, source))?;
        if crate::planted!("directory-not-synced") {
            return Ok(());
        }
        self.disk
            .sync_dir(&self.dir)
            .map_err(|source| (PoisonedBy::SyncDir, source))
    }
}

impl Segment {
    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Puts a sealed group in its place. Gives the memory back if it is not needed any more.
    pub(super) fn put(&self, offset_bytes: u64, group: Pages) -> io::Result<Option<Pages>> {
        self.writer.put(offset_bytes, group)
    }

    /// What was put and not taken yet.
    pub(super) fn take(&self) -> Burst {
        self.writer.take()
    }
}
