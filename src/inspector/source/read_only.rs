//! `ReadOnly`: a disk of which nothing but reading is asked. What it lists and opens say its two kinds (`packed`,
//! `pieces`); whatever would change something is refused.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, Entry, LockError, OpenMode, RealDisk, SyncPath,
};

/// What can be read, and how.
pub(super) trait Readable: Debug + Send + Sync + 'static {
    /// The operating system's, for what has nothing to do with files.
    fn real(&self) -> &RealDisk;

    /// The entries of a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// A file, for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Who holds a lock.
    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>>;
}

/// That, as a disk.
#[derive(Debug)]
pub(super) struct ReadOnly<R>(pub(super) R);

/// The answer to whatever would change something.
pub(super) fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl<R: Readable> Disk for ReadOnly<R> {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        match mode {
            OpenMode::Read => self.0.open(path),
            _ => refused(),
        }
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        Err(LockError::Io(io::ErrorKind::Unsupported.into()))
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        self.0.lock_holder(path)
    }

    fn random_u64(&self) -> u64 {
        self.0.real().random_u64()
    }

    fn wall_clock_micros(&self) -> u64 {
        self.0.real().wall_clock_micros()
    }

    fn sync_path(&self) -> SyncPath {
        self.0.real().sync_path()
    }
}
