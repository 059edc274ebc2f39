//! An open file of the [`RealDisk`](super::RealDisk): positioned reads and writes, sync.
//!
//! Not here: stores (see `map`). The file knows how many maps of it live, because shortening a
//! mapped file turns a later store into SIGBUS.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::super::map::RealMap;
use super::super::refuse::DiskRefusal;
use super::super::{DiskFile, DiskMap, Pages, op};
use super::{Shared, durable};

/// One page of the page cache, and the unit in which zeros are written.
const PAGE_BYTES: usize = 4096;
static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
/// Pages of zeros in one write around the page cache: 1 MiB.
const ZERO_PAGES: usize = 256;
static ZERO_BLOCK: OnceLock<Pages> = OnceLock::new();

/// A file, opened without following a link.
#[derive(Debug)]
pub(super) struct RealFile {
    file: File,
    path: PathBuf,
    /// Whether it really goes around the page cache.
    direct: bool,
    shared: Arc<Shared>,
    maps: Arc<LiveMaps>,
}

/// How many maps of one open file live. Locked while the file is mapped or its length set.
#[derive(Debug, Default)]
pub(crate) struct LiveMaps(Mutex<usize>);

impl LiveMaps {
    /// One map less.
    pub(crate) fn unmapped(&self) {
        let mut live = self.0.lock();
        *live = live.saturating_sub(1);
    }
}

/// Refuses to make a file longer than this process may (`RLIMIT_FSIZE`). The kernel would send a
/// signal that kills a process which does not expect it.
fn check_size_limit(offset: u64, bytes: u64) -> io::Result<()> {
    let limit_bytes = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    let end = offset.saturating_add(bytes);
    match limit_bytes {
        Some(limit_bytes) if end > limit_bytes => Err(io::ErrorKind::FileTooLarge.into()),
        _ => Ok(()),
    }
}

impl RealFile {
    pub(super) fn new(file: File, path: &Path, direct: bool, shared: Arc<Shared>) -> RealFile {
        RealFile {
            file,
            path: path.to_path_buf(),
            direct,
            shared,
            maps: Arc::default(),
        }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn has_other_names(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() > 1)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        check_size_limit(offset, bytes.len() as u64)?;
        self.shared.before(op::WRITE);
        self.file.write_all_at(bytes, offset)
    }

    fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<()> {
        check_size_limit(offset, bytes)?;
        self.shared.before(op::WRITE_ZEROS);
        let end = offset
            .checked_add(bytes)
            .ok_or(io::ErrorKind::InvalidInput)?;
        if self.direct {
            // No page of it enters the cache, so the pieces may be large.
            let block = ZERO_BLOCK.get_or_init(|| {
                let mut block = Pages::default();
                block.resize(ZERO_PAGES);
                block
            });
            return self
                .shared
                .syncer
                .write_zeros(&self.file, block.as_slice(), offset, bytes);
        }
        let mut at = offset;
        while at < end {
            // The first piece ends at a page boundary, so that none straddles two pages.
            let to_boundary = PAGE_BYTES as u64 - at % PAGE_BYTES as u64;
            let piece = to_boundary.min(end - at);
            let (zeros, _) = ZERO_PAGE.split_at(usize::try_from(piece).unwrap_or(PAGE_BYTES));
            self.file.write_all_at(zeros, at)?;
            at += piece;
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.shared.before(op::SET_LEN);
        let live = self.maps.0.lock();
        let file_bytes = self.len()?;
        if bytes > file_bytes {
            check_size_limit(0, bytes)?;
        }
        if *live > 0 && bytes < file_bytes {
            return Err(DiskRefusal::ShrinkMapped {
                file_bytes,
                wanted_bytes: bytes,
            }
            .into());
        }
        self.file.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.before(op::SYNC);
        self.shared.syncer.sync_data(&self.file)
    }

    fn write_durable_at(&self, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        check_size_limit(offset, bytes)?;
        self.shared.before(op::WRITE_DURABLE);
        durable::write(&self.file, offset, buffers)
    }

    fn drop_cache(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    fn will_read_in_order(&self) {
        // Whatever it answers, the file can be read.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::Sequential);
    }

    fn will_store(&self, offset: u64, bytes: u64) {
        // Linux reads what it is asked for in this way into single pages, where its own read-ahead
        // makes large folios, of which a store of one page dirties all.
        #[cfg(target_os = "linux")]
        if let Some(bytes) = std::num::NonZero::new(bytes) {
            let _ = rustix::fs::fadvise(
                &self.file,
                offset,
                Some(bytes),
                rustix::fs::Advice::WillNeed,
            );
        }
    }

    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>> {
        let mut live = self.maps.0.lock();
        let map = RealMap::new(
            &self.file,
            bytes,
            &self.path,
            Arc::clone(&self.shared),
            Arc::clone(&self.maps),
        )?;
        *live += 1;
        Ok(Box::new(map))
    }
}
