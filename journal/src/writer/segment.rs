//! One segment file as the writer uses it: prepared aside, filled through the map, synced.
//!
//! A segment is written under an unfinished name: real zeros first, the header when its predecessor
//! is sealed. It gets its own name only when the header, and every group that the same sync covers,
//! are durable. Groups may be stored before; nobody is told of them until the name is durable too.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::Seed;
use crate::disk::{Disk, DiskFile, DiskMap, OpenMode};
use crate::error::PoisonedBy;
use crate::format::{PAGE_BYTES, UNFINISHED_SUFFIX};
use crate::header::SegmentHeader;
use crate::ids::{SegmentId, StoreUuid};

/// A mapped segment file.
#[derive(Debug)]
pub(super) struct Segment {
    id: SegmentId,
    seed: Seed,
    file_bytes: u64,
    /// Syncs go through the same open file as the map, so that a failed write-back is seen here.
    file: Arc<dyn DiskFile>,
    map: Box<dyn DiskMap>,
}

/// The next segment: allocated, zeroed and mapped, under its unfinished name.
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
) -> Result<Arc<dyn DiskFile>, PrepareError> {
    let path = unfinished(path);
    let made = remove_if_there(disk, &path).and_then(|()| {
        let file = disk.open(&path, OpenMode::CreateNew)?;
        file.write_zeros(0, file_bytes)?;
        // Written page by page, they lie in the page cache page by page, and stay there: a later
        // store through the map dirties 4 KiB, and needs no read first.
        file.sync_data()?;
        Ok(file)
    });
    made.map_err(|source| {
        // So that a half-written file does not hold the space that it did not get.
        let _ = remove_if_there(disk, &path);
        PrepareError { path, source }
    })
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

impl Spare {
    /// Prepares segment `id` in `dir`.
    pub(super) fn prepare(
        disk: &dyn Disk,
        dir: &Path,
        store: StoreUuid,
        id: SegmentId,
        file_bytes: u64,
    ) -> Result<Spare, PrepareError> {
        let path = dir.join(id.file_name());
        let file = create_zeroed(disk, &path, file_bytes)?;
        let salt = disk.random_u64();
        match file.map(file_bytes) {
            Ok(map) => Ok(Spare {
                segment: Arc::new(Segment {
                    id,
                    seed: Seed::new(store, id, salt),
                    file_bytes,
                    file,
                    map,
                }),
                store,
                salt,
            }),
            Err(source) => {
                let path = unfinished(&path);
                let _ = remove_if_there(disk, &path);
                Err(PrepareError { path, source })
            }
        }
    }
}

impl Segment {
    /// Opens a finished segment to go on in it at `offset_bytes`, behind which everything is zero.
    pub(super) fn reopen(
        disk: &dyn Disk,
        dir: &Path,
        header: &SegmentHeader,
        offset_bytes: u64,
    ) -> Result<Segment, PrepareError> {
        let path = dir.join(header.segment.file_name());
        let opened = disk.open(&path, OpenMode::Write).and_then(|file| {
            // Recovery read the file, perhaps into large folios, of which a store of one page would
            // dirty all; without any, the first store to a page would read it. So the zeros that
            // come next are written once more, page by page. Only speed hangs on it.
            let _ = file.drop_cache();
            let warm_bytes = WARM_BYTES.min(header.file_bytes.saturating_sub(offset_bytes));
            file.write_zeros(offset_bytes, warm_bytes)?;
            file.sync_data()?;
            let map = file.map(header.file_bytes)?;
            Ok((file, map))
        });
        let (file, map) = opened.map_err(|source| PrepareError { path, source })?;
        Ok(Segment {
            id: header.segment,
            seed: Seed::new(header.store, header.segment, header.salt),
            file_bytes: header.file_bytes,
            file,
            map,
        })
    }

    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Stores a sealed group.
    pub(super) fn store(&self, offset_bytes: u64, group: &[u8]) -> io::Result<()> {
        self.map.store(offset_bytes, group)
    }

    /// Makes everything that was stored durable. With a `header` also writes that first, and gives
    /// the file its name last.
    ///
    /// # Errors
    /// What failed. The segment must not be trusted any more.
    pub(super) fn sync(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        header: Option<&SegmentHeader>,
    ) -> Result<(), (PoisonedBy, io::Error)> {
        if let Some(header) = header {
            let page = header.encode();
            self.file
                .write_all_at(0, &page)
                .and_then(|()| self.file.write_all_at(PAGE_BYTES, &page))
                .map_err(|source| (PoisonedBy::WriteHeader, source))?;
        }
        self.file
            .sync_data()
            .map_err(|source| (PoisonedBy::Sync, source))?;
        if header.is_some() {
            let path = dir.join(self.id.file_name());
            disk.rename(&unfinished(&path), &path)
                .map_err(|source| (PoisonedBy::Rename, source))?;
            disk.sync_dir(dir)
                .map_err(|source| (PoisonedBy::SyncDir, source))?;
        }
        Ok(())
    }
}
