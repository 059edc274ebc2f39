//! A writable shared map of a file's first bytes: the only place that names `memmap2`.
//!
//! A map is dangerous in ways that a write is not; each has its guard here:
//!
//! * A store into a hole or past the end of the file kills the process (SIGBUS). Such a file is
//!   refused, and while a map lives its file is not shortened (see `real::file`).
//! * So does a store to a page that the file system cannot give for writing any more: it was shut
//!   down after an error, the block is shared with a copy (reflink) and there is no room for one of
//!   its own, somebody else cut the file. `MADV_POPULATE_WRITE` asks for the pages first and gets an
//!   error where a store would get a signal. Left is the moment between the two.
//! * The kernel writes back whole folios. `MADV_RANDOM` keeps pages that are read in later small.
//! * A forked child would store into its parent's journal: `MADV_DONTFORK`.
//!
//! Nothing is ever read through the map, so no reference into it exists.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;

use super::real::{LiveMaps, Shared};
use super::refuse::{DiskRefusal, store_start};
use super::{DiskMap, op};

/// File systems may count a block more or less for a file (inline tails, rounding).
const ALLOCATION_SLACK_BYTES: u64 = 4096;

/// A mapped file. It keeps the mapping alive, not the descriptor.
pub(super) struct RealMap {
    map: MmapRaw,
    bytes: u64,
    path: PathBuf,
    /// Stores of one map happen one after the other, whatever the callers promise: this is what
    /// makes a safe `store` sound. Uncontended it costs nothing beside the copy.
    storing: Mutex<()>,
    shared: Arc<Shared>,
    maps: Arc<LiveMaps>,
}

impl RealMap {
    /// Maps the first `bytes` of `file`. The caller counts the new map in `maps`.
    pub(super) fn new(
        file: &File,
        bytes: u64,
        path: &Path,
        shared: Arc<Shared>,
        maps: Arc<LiveMaps>,
    ) -> io::Result<RealMap> {
        let length = match usize::try_from(bytes) {
            Ok(length) if (1..=isize::MAX as usize).contains(&length) => length,
            _ => return Err(DiskRefusal::MapLength { map_bytes: bytes }.into()),
        };
        check_allocated(file, bytes)?;
        let map = MmapOptions::new().len(length).map_raw(file)?;
        #[cfg(target_os = "linux")]
        {
            // A sandbox may forbid the call. Without the first, syncs write more than they must;
            // without the second, a host that forks without exec must not touch the journal.
            let _ = map.advise(memmap2::Advice::Random);
            let _ = map.advise(memmap2::Advice::DontFork);
        }
        let storing = Mutex::new(());
        Ok(RealMap {
            map,
            bytes,
            path: path.to_path_buf(),
            storing,
            shared,
            maps,
        })
    }
}

/// Refuses a file that is shorter than `bytes` or has a hole in them.
fn check_allocated(file: &File, bytes: u64) -> Result<(), io::Error> {
    let metadata = file.metadata()?;
    if metadata.len() < bytes {
        let file_bytes = metadata.len();
        return Err(DiskRefusal::MapPastEnd {
            map_bytes: bytes,
            file_bytes,
        }
        .into());
    }
    let allocated = metadata.blocks().saturating_mul(512);
    if allocated.saturating_add(ALLOCATION_SLACK_BYTES) < bytes {
        let hole_offset_bytes = allocated;
        return Err(DiskRefusal::MapHole {
            map_bytes: bytes,
            hole_offset_bytes,
        }
        .into());
    }
    // Exact where the file system knows its holes; where it does not, it names the end of the file.
    // Moves the descriptor's offset, which nobody uses.
    #[cfg(target_os = "linux")]
    if let Ok(hole_offset_bytes) = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0))
        && hole_offset_bytes < bytes
    {
        return Err(DiskRefusal::MapHole {
            map_bytes: bytes,
            hole_offset_bytes,
        }
        .into());
    }
    Ok(())
}

/// Pages that cannot be stored to.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot bring in {bytes} bytes at offset {offset_bytes} of {} for storing: the file was cut, its \
     blocks are shared and the disk is full, or its file system is shut down",
    .path.display()
)]
struct CannotStore {
    path: PathBuf,
    offset_bytes: u64,
    bytes: usize,
    #[source]
    source: io::Error,
}

impl RealMap {
    /// Brings the pages in for writing, so that the store that follows finds them there.
    #[cfg(target_os = "linux")]
    fn bring_in(&self, start: usize, bytes: usize) -> io::Result<()> {
        use rustix::io::Errno;
        if bytes == 0 {
            return Ok(());
        }
        loop {
            let Err(source) = self
                .map
                .advise_range(memmap2::Advice::PopulateWrite, start, bytes)
            else {
                return Ok(());
            };
            match Errno::from_io_error(&source) {
                Some(Errno::INTR | Errno::AGAIN) => {}
                // A kernel before 5.14, or a sandbox. The store then takes its chance.
                Some(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => return Ok(()),
                _ => {
                    let kind = source.kind();
                    let error = CannotStore {
                        path: self.path.clone(),
                        offset_bytes: start as u64,
                        bytes,
                        source,
                    };
                    return Err(io::Error::new(kind, error));
                }
            }
        }
    }
}

impl DiskMap for RealMap {
    fn len(&self) -> u64 {
        self.bytes
    }

    #[expect(
        unsafe_code,
        reason = "a store through a map has no safe form: see SAFETY below"
    )]
    fn store(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = store_start(offset, bytes.len(), self.bytes)?;
        self.shared.before(op::STORE);
        let _one_at_a_time = self.storing.lock();
        #[cfg(target_os = "linux")]
        self.bring_in(start, bytes.len())?;
        // SAFETY: `store_start` has checked that `start + bytes.len()` is at most the mapped
        // length, so the pointer stays inside the mapping, which lives as long as `self`. The
        // source cannot overlap: no reference into the mapping is ever given out. `storing`
        // excludes a second store through this mapping at the same time. The pages exist: the file
        // was allocated and long enough when it was mapped, and its length is not reduced while
        // the map lives.
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.map.as_mut_ptr().add(start),
                bytes.len(),
            );
        }
        Ok(())
    }
}

impl Drop for RealMap {
    fn drop(&mut self) {
        self.maps.unmapped();
    }
}

impl fmt::Debug for RealMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealMap")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish()
    }
}
