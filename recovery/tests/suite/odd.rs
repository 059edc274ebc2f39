//! A simulated disk with one oddity that the platform is free to have.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, DiskMap, Entry, LockError, OpenMode, SyncPath,
};
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::testing::SimDisk;

/// What is odd.
#[derive(Clone, Debug)]
pub(crate) enum Oddity {
    /// The page cache is never dropped: what a failed sync left there is read again and again, and
    /// no later sync writes it.
    StickyCache,
    /// Of every file, the page at this offset reads as zeros this many times: what a look sees that
    /// comes a moment before a group is stored.
    LatePage(u64, Arc<AtomicU64>),
    /// Something happens before a group is read for the first time: what a look sees that is held up.
    Meanwhile(Happening),
}

type OnceOnly = Box<dyn FnOnce() + Send>;

/// What happens once.
#[derive(Clone)]
pub(crate) struct Happening(Arc<Mutex<Option<OnceOnly>>>);

impl Happening {
    pub(crate) fn new(happens: impl FnOnce() + Send + 'static) -> Self {
        Happening(Arc::new(Mutex::new(Some(Box::new(happens)))))
    }

    fn happen(&self) {
        let happens = self.0.lock().expect("nobody panics in it").take();
        if let Some(happens) = happens {
            happens();
        }
    }
}

impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Happening")
    }
}

#[derive(Debug)]
pub(crate) struct OddDisk(pub(crate) SimDisk, pub(crate) Oddity);

#[derive(Debug)]
struct OddFile(Arc<dyn DiskFile>, Oddity, IsSegment);

type IsSegment = bool;

impl Disk for OddDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let is_segment = path.extension().is_some_and(|ending| ending == "seg");
        let file = self.0.open(path, mode)?;
        Ok(Arc::new(OddFile(file, self.1.clone(), is_segment)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.0.lock(path)
    }
    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        self.0.lock_holder(path)
    }
    fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }
    fn wall_clock_micros(&self) -> u64 {
        self.0.wall_clock_micros()
    }
    fn sync_path(&self) -> SyncPath {
        self.0.sync_path()
    }
}

impl DiskFile for OddFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if let Oddity::Meanwhile(happening) = &self.1
            && self.2
            && offset >= SEGMENT_HEADER_BYTES
        {
            happening.happen();
        }
        self.0.read_exact_at(offset, buffer)?;
        if let Oddity::LatePage(page, hidden) = &self.1
            && let Some(at) = page.checked_sub(offset)
            && let Some(there) = buffer.get_mut(at as usize..at as usize + 4096)
            && hidden
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok()
        {
            there.fill(0);
        }
        Ok(())
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(offset, bytes)
    }
    fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.0.write_zeros(offset, bytes)
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn drop_cache(&self) -> io::Result<()> {
        match self.1 {
            Oddity::StickyCache => Ok(()),
            Oddity::LatePage(..) | Oddity::Meanwhile(_) => self.0.drop_cache(),
        }
    }
    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>> {
        self.0.map(bytes)
    }
}
