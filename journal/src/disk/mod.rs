//! Everything that Torrens asks of the operating system for its own files, as one narrow trait.
//!
//! [`RealDisk`] carries it out; `testing::SimDisk` (feature `testing`) keeps a
//! live and a durable image and can lose power. The same code above runs on both, which is what
//! the crash tests stand on. Snapshots, checkpoints and the journal use this trait; the data store
//! (sled) has its own.
//!
//! Not here: what the bytes mean. Paths are given in full; nothing below this trait joins names.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
mod contract;
mod map;
pub mod op;
mod pages;
mod real;
mod refuse;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod sim;
#[cfg(target_os = "linux")]
mod uring;

pub use pages::Pages;
pub use real::{OpHook, RealDisk, RealDiskOptions, SyncChoice};
pub use refuse::DiskRefusal;

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: a link, a socket, a device.
    Other,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name inside the directory; entries whose name is not UTF-8 are given lossily.
    pub name: String,
    /// What it is (links are not followed).
    pub kind: EntryKind,
    /// File length in bytes; 0 for anything but a file.
    pub bytes: u64,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reading only.
    Read,
    /// Existing file, reading and writing.
    Write,
    /// New file (fails with `AlreadyExists`), mode 0600, reading and writing.
    CreateNew,
    /// Existing file, reading and writing, around the page cache where the platform can (`O_DIRECT`).
    /// Every offset, length and buffer is a multiple of 4096 then; [`Pages`] has such buffers.
    Direct,
}

/// The way in which syncs, and the zeros of new segments, reach the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPath {
    /// The mechanism of syncs.
    pub method: SyncMethod,
    /// Whether new segments that are written around the page cache get their zeros through io_uring,
    /// several writes at once.
    pub zeros_by_io_uring: bool,
    /// Why a preferred mechanism is not in use, for the report; `None` if it is.
    pub fallback_reason: Option<String>,
}

/// A mechanism for making a file's data durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMethod {
    /// `IORING_OP_FSYNC` with the datasync flag.
    IoUring,
    /// `fdatasync(2)`.
    Fdatasync,
    /// The platform's plain full sync.
    FullSync,
    /// The simulated disk.
    Simulated,
}

impl SyncMethod {
    /// Stable lower-case name for reports and machine-readable output.
    pub const fn as_str(self) -> &'static str {
        match self {
            SyncMethod::IoUring => "io_uring",
            SyncMethod::Fdatasync => "fdatasync",
            SyncMethod::FullSync => "fsync",
            SyncMethod::Simulated => "simulated",
        }
    }
}

impl fmt::Display for SyncMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an exclusive lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another holder has it, in this process or another.
    #[error("locked by {}", match .holder_pid { Some(pid) => format!("process {pid}"), None => "an unknown process".to_owned() })]
    Busy {
        /// The pid that the holder wrote into the lock file; diagnostic only.
        holder_pid: Option<u32>,
    },
    /// The operating system refused.
    #[error("cannot take the lock")]
    Io(#[source] io::Error),
}

/// An exclusive lock, released when dropped (and by the kernel when the process dies).
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// Every operating-system call that Torrens makes for its own files.
///
/// # Durability
/// Only [`DiskFile::sync_data`] makes file contents durable and only [`Disk::sync_dir`] makes
/// directory entries (created, renamed, removed names) durable. Everything else may be lost or kept,
/// in any order, by a power cut.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Creates `path` and its missing parents, mode 0700. An existing directory is fine.
    ///
    /// # Durability
    /// The directories' own entries are durable on return (also of one that existed, which may stem
    /// from a process that died here), so the caller syncs no parent.
    ///
    /// # Errors
    /// What the operating system answered; some of the directories may be there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, in no particular order.
    ///
    /// # Errors
    /// What the operating system answered: `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Opens a file. Links are refused, so that a planted link cannot lead outside.
    ///
    /// # Errors
    /// What the operating system answered: `NotFound` or `AlreadyExists` as the mode says, and an error for a link.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, replacing the target if it exists.
    ///
    /// # Errors
    /// What the operating system answered; then neither name has changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system answered: `NotFound` if there is no such file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    /// `Unsupported` on a disk that keeps its directories.
    fn remove_dir(&self, _dir: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// What the operating system answered: then no entry may be relied on.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock of the file at `path`, creating it if needed, and writes this
    /// process's id into it. A second call in the same process is `Busy` too while the first holds.
    ///
    /// The file is never removed. A lock that another process has may be asked for again for a
    /// quarter of a second before it is `Busy`: one that was just killed can hold it a moment longer.
    ///
    /// # Errors
    /// [`LockError::Busy`] if somebody has it, [`LockError::Io`] if the operating system refused.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError>;
    /// The pid of the process that holds the lock at `path`, if any process does. Never takes it
    /// and creates no file; a missing file is held by nobody.
    ///
    /// # Errors
    /// `InvalidData` if the lock is held and its file names no process.
    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>>;
    /// Unpredictable bits for identities and salts (deterministic on a simulated disk).
    fn random_u64(&self) -> u64;
    /// Microseconds since the Unix epoch. May jump; never used for order.
    fn wall_clock_micros(&self) -> u64;
    /// How syncs reach the device.
    fn sync_path(&self) -> SyncPath;
    /// Whether files of `dir` can be written around the page cache ([`OpenMode::Direct`]).
    ///
    /// # Errors
    /// Why not, for a report: the file system, the platform or a policy does not have it.
    fn probe_direct(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Whether a journal may use this disk from threads of its own. A simulated disk says no if it is not told
    /// otherwise, so that the order of its operations is the caller's.
    fn allows_threads(&self) -> bool {
        true
    }
}

/// An open file.
///
/// Errors of a failed write-back are reported once per open file; keep the file that you wrote
/// through for the sync, and after one failed sync trust none of what was not synced before. Syncs
/// that overlap each need an open file of their own, opened before the first of the writes:
/// of two on the same one, only the first to look would hear of an error.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Current length in bytes.
    ///
    /// # Errors
    /// What the operating system answered.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As of [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Whether the file has more names than the one that it was opened by.
    ///
    /// # Errors
    /// What the operating system answered.
    fn has_other_names(&self) -> io::Result<bool> {
        Ok(false)
    }
    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file ends before.
    ///
    /// # Errors
    /// `UnexpectedEof`, or what the operating system answered; the buffer's contents are unspecified then.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file if needed.
    ///
    /// # Errors
    /// What the operating system answered: any part of the bytes may be written then.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes zeros over `offset .. offset + bytes` in page-sized writes (4096 bytes each), so that
    /// the blocks are really allocated and the pages enter the page cache one by one: a store
    /// through a map then dirties 4 KiB and not a large folio.
    ///
    /// # Errors
    /// What the operating system answered: any part of the range may be written then.
    fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<()>;
    /// Shortens or lengthens the file. Only repair shortens.
    ///
    /// # Errors
    /// What the operating system answered.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes the contents (and the length) durable.
    ///
    /// # Errors
    /// What the operating system answered: nothing that was written since the last sync may be relied
    /// on then, also not after another sync that succeeds.
    fn sync_data(&self) -> io::Result<()>;
    /// Writes `buffers` one behind the other from `offset` on, inside the file's length, and makes
    /// them durable: one request to the device where the platform can do that. What else was written
    /// to the file need not be durable when it returns.
    ///
    /// # Errors
    /// As for [`DiskFile::sync_data`]: any part of it may be on the device.
    fn write_durable_at(&self, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        for buffer in buffers {
            self.write_all_at(at, buffer)?;
            at = at.saturating_add(buffer.len() as u64);
        }
        self.sync_data()
    }
    /// Drops clean cached pages, so that the next read comes from the device as far as the
    /// platform allows. A hint: success promises nothing.
    ///
    /// # Errors
    /// What the operating system answered; nothing hangs on it.
    fn drop_cache(&self) -> io::Result<()>;
    /// Says that the file is going to be read from its beginning to its end, so that the platform
    /// may read far ahead. A hint: nothing but speed hangs on it.
    fn will_read_in_order(&self) {}
    /// Says that the bytes are going to be stored to through a map, page by page: brings them into
    /// the page cache, in pages of 4 KiB and in the background, as far as the platform does that.
    /// A hint: nothing but speed hangs on it.
    fn will_store(&self, _offset: u64, _bytes: u64) {}
    /// Maps the first `bytes` of the file for storing. The file must be at least that long, really
    /// allocated, and must not shrink while the map lives.
    ///
    /// # Errors
    /// What the operating system answered, or that the file is shorter.
    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>>;
}

/// A shared, writable map of a file's first bytes.
pub trait DiskMap: Send + Sync + fmt::Debug {
    /// Mapped length in bytes.
    fn len(&self) -> u64;
    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Copies `bytes` into the map at `offset`. The caller never stores to one place from two
    /// threads at once. Out of bounds is an `InvalidInput` error and stores nothing.
    ///
    /// # Errors
    /// `InvalidInput` if the place is not in the map.
    fn store(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}
