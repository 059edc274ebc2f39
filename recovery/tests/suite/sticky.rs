//! A simulated disk whose page cache cannot be dropped, as the platform is free to do: what a failed
//! sync left there is read again and again, and no later sync writes it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, DiskMap, Entry, LockError, OpenMode, SyncPath,
};
use torrens_journal::testing::SimDisk;

#[derive(Debug)]
pub(crate) struct StickyCache(pub(crate) SimDisk);

#[derive(Debug)]
struct StickyFile(Arc<dyn DiskFile>);

impl Disk for StickyCache {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(StickyFile(self.0.open(path, mode)?)))
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

impl DiskFile for StickyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, buffer)
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
        Ok(())
    }
    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>> {
        self.0.map(bytes)
    }
}
