//! `RealDisk`: the [`Disk`] that asks the operating system.
//!
//! ```text
//! real.rs         options, directories, names
//! real/file.rs    an open file: plain positioned reads and writes, sync
//! real/durable.rs writing and making durable in one call
//! real/lock.rs    the exclusive lock and who holds it
//! real/sync.rs    which mechanism a sync uses, and why not the preferred one
//! map.rs          the writable map            uring.rs   the io_uring that carries syncs
//! ```
//!
//! Invariants: a file is never opened through a link, never followed into a device or a pipe, and
//! never created readable by others; no error of a sync is retried or swallowed; an operation that
//! changes something is announced to the hook before it happens.

use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use super::refuse::DiskRefusal;
use super::{Disk, DiskFile, DiskLock, Entry, EntryKind, LockError, OpenMode, SyncPath, op};

mod durable;
mod file;
mod lock;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use file::LiveMaps;
use file::RealFile;
use sync::Syncer;

/// Called before each operation that changes something, with the operation's name (see [`op`])
/// and its number, counted from 1 over the whole disk and all threads.
///
/// A torture run aborts the process in it at the Nth operation. It runs on the thread that does the
/// operation, possibly under its caller's locks: it must not use the disk.
pub type OpHook = Arc<dyn Fn(&'static str, u64) + Send + Sync>;

/// Which mechanism makes data durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncChoice {
    /// What measured best: the plain sync for syncs, io_uring for the zeros of new segments if the
    /// kernel and its policy allow it.
    #[default]
    Auto,
    /// io_uring for both, or no disk at all.
    IoUring,
    /// `fdatasync(2)` and plain writes (on other systems than Linux their plain full sync).
    Fdatasync,
}

/// How a [`RealDisk`] is set up. The default is right for everything but tests and measurements.
#[derive(Clone, Default)]
pub struct RealDiskOptions {
    /// The mechanism for syncs.
    pub sync: SyncChoice,
    /// Told of each operation that changes something, before it happens.
    pub op_hook: Option<OpHook>,
    /// Journals on this disk have no threads of their own: nothing is synced, and no segment prepared, before
    /// somebody needs it, so what is durable at each moment is the caller's to say.
    pub without_threads: bool,
}

impl fmt::Debug for RealDiskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealDiskOptions")
            .field("sync", &self.sync)
            .field("op_hook", &self.op_hook.is_some())
            .field("without_threads", &self.without_threads)
            .finish()
    }
}

/// The operating system's files.
#[derive(Debug)]
pub struct RealDisk {
    shared: Arc<Shared>,
    without_threads: bool,
}

/// What a disk and its open files have in common.
pub(crate) struct Shared {
    syncer: Syncer,
    op_hook: Option<OpHook>,
    ops: AtomicU64,
}

impl Shared {
    /// Announces the operation that is about to happen.
    pub(crate) fn before(&self, op: &'static str) {
        if let Some(hook) = &self.op_hook {
            // Only uniqueness of the number matters; the hook orders nothing by it.
            hook(
                op,
                self.ops.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            );
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("sync", &self.syncer.path())
            .finish_non_exhaustive()
    }
}

impl RealDisk {
    /// A disk with the default options. Probes io_uring once and does without it if it is refused.
    pub fn new() -> RealDisk {
        RealDisk::from_parts(Syncer::auto(), RealDiskOptions::default())
    }

    /// A disk with these options.
    ///
    /// # Errors
    /// `Unsupported` if [`SyncChoice::IoUring`] is asked for and the kernel or its policy refuses.
    pub fn with(options: RealDiskOptions) -> io::Result<RealDisk> {
        let syncer = Syncer::choose(options.sync)?;
        Ok(RealDisk::from_parts(syncer, options))
    }

    fn from_parts(syncer: Syncer, options: RealDiskOptions) -> RealDisk {
        RealDisk {
            without_threads: options.without_threads,
            shared: Arc::new(Shared {
                syncer,
                op_hook: options.op_hook,
                ops: AtomicU64::new(0),
            }),
        }
    }
}

impl Default for RealDisk {
    fn default() -> Self {
        RealDisk::new()
    }
}

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            // It may stem from a process that died between creating and syncing it.
            return match self.sync_parent(path) {
                // A parent that may not be read is not ours, and neither is this entry.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                other => other,
            };
        }
        if let Some(parent) = parent_of(path) {
            self.create_dir_all(parent)?;
        }
        self.shared.before(op::CREATE_DIR);
        match fs::DirBuilder::new().mode(0o700).create(path) {
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other?,
        }
        self.sync_parent(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Of a link this is the link's own metadata.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since it was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let kind = match metadata.file_type() {
                t if t.is_file() => EntryKind::File,
                t if t.is_dir() => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            let bytes = if kind == EntryKind::File {
                metadata.len()
            } else {
                0
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, kind, bytes });
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let (file, direct) = match mode {
            OpenMode::Read => (open_regular(path, OFlags::RDONLY)?, false),
            OpenMode::Write => (open_regular(path, OFlags::RDWR)?, false),
            OpenMode::CreateNew => {
                self.shared.before(op::CREATE);
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
                (open_regular(path, flags)?, false)
            }
            OpenMode::Direct => match open_direct(path) {
                Ok(file) => (file, true),
                // The file system does not have it; through the page cache is right too.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    (open_regular(path, OFlags::RDWR)?, false)
                }
                Err(error) => return Err(error),
            },
        };
        let shared = Arc::clone(&self.shared);
        Ok(Arc::new(RealFile::new(file, path, direct, shared)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.before(op::RENAME);
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.before(op::REMOVE);
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.before(op::REMOVE);
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.before(op::SYNC_DIR);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry_interrupted(|| rustix::fs::open(dir, flags, Mode::empty()))?;
        sync::sync_entries(&dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.shared.before(op::LOCK);
        lock::acquire(path)
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        lock::holder(path)
    }

    fn random_u64(&self) -> u64 {
        // The system's generator does not fail once it is seeded at boot. Should it all the same,
        // the standard library's keys still differ between processes and calls.
        getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(self.wall_clock_micros()))
    }

    fn wall_clock_micros(&self) -> u64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
    }

    fn sync_path(&self) -> SyncPath {
        self.shared.syncer.path()
    }

    fn probe_direct(&self, dir: &Path) -> io::Result<()> {
        probe_direct(dir)
    }

    fn allows_threads(&self) -> bool {
        !self.without_threads
    }
}

impl RealDisk {
    /// Makes the entry `path` in its parent durable.
    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        match parent_of(path) {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}

/// The directory that holds `path`'s entry; `None` for a root.
fn parent_of(path: &Path) -> Option<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".")),
        other => other,
    }
}

/// Opens a regular file and nothing else, mode 0600 if `flags` create it.
///
/// The last component of the path must not be a link. Opening does not block on a pipe that
/// somebody put in the file's place.
fn open_regular(path: &Path, flags: OFlags) -> io::Result<fs::File> {
    let not_regular = || {
        io::Error::from(DiskRefusal::NotRegular {
            path: path.to_path_buf(),
        })
    };
    // NONBLOCK means nothing for regular files.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match retry_interrupted(|| rustix::fs::open(path, flags, mode)) {
        Ok(fd) => fs::File::from(fd),
        Err(error) => {
            // What the kernel says of a link, a directory, a socket varies by system.
            let found = fs::symlink_metadata(path);
            let creating = flags.contains(OFlags::EXCL);
            return Err(match found {
                Ok(metadata) if !metadata.is_file() && !creating => not_regular(),
                _ => error,
            });
        }
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

/// Opens a regular file for reading and writing around the page cache. `InvalidInput` if its file
/// system cannot.
#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<fs::File> {
    open_regular(path, OFlags::RDWR | OFlags::DIRECT)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<fs::File> {
    Err(io::ErrorKind::InvalidInput.into())
}

/// Opens a nameless file of the directory's file system in the way that is asked about.
#[cfg(target_os = "linux")]
fn probe_direct(dir: &Path) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = fs::File::from(retry_interrupted(|| rustix::fs::open(dir, flags, mode))?);
    // Some file systems take the flag and refuse the write.
    let mut page = super::Pages::default();
    page.resize(1);
    let written = rustix::io::pwrite(&file, page.as_slice(), 0)?;
    if written == page.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

#[cfg(not(target_os = "linux"))]
fn probe_direct(_: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "writing around the page cache is used on Linux only",
    ))
}

/// Repeats a call that a signal interrupted before it did anything.
fn retry_interrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
