//! A disk that does everything twice: on the real file system, and on the simulated disk. Reads are the real one's.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, DiskMap, Entry, LockError, OpenMode, RealDisk, SyncPath,
};
use torrens_journal::testing::SimDisk;

use crate::possible::Trace;

/// The two disks.
#[derive(Debug)]
pub(crate) struct Both {
    real: RealDisk,
    hand: Hand,
}

/// The simulated disk, and who is told of each operation.
#[derive(Clone, Debug)]
struct Hand {
    simulated: SimDisk,
    trace: Arc<Trace>,
}

impl Hand {
    /// Does on the simulated disk what was done on the real one.
    fn also<T>(&self, does: impl FnOnce(&SimDisk) -> io::Result<T>) -> io::Result<T> {
        let done = does(&self.simulated)?;
        self.trace.done(&self.simulated);
        Ok(done)
    }
}

impl Both {
    pub(crate) fn new(trace: Arc<Trace>, mount: &Path) -> Both {
        let simulated = SimDisk::new(1);
        simulated.create_dir_all(mount).unwrap();
        Both {
            real: RealDisk::new(),
            hand: Hand { simulated, trace },
        }
    }
}

impl Disk for Both {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.real.create_dir_all(path)?;
        self.hand.also(|disk| disk.create_dir_all(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.real.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let real = self.real.open(path, mode)?;
        let simulated = self.hand.also(|disk| disk.open(path, mode))?;
        let hand = self.hand.clone();
        Ok(Arc::new(BothFiles {
            real,
            simulated,
            hand,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)?;
        self.hand.also(|disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.real.remove(path)?;
        self.hand.also(|disk| disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.real.sync_dir(dir)?;
        self.hand.also(|disk| disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.real.lock(path)
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        self.real.lock_holder(path)
    }

    fn random_u64(&self) -> u64 {
        self.hand.simulated.random_u64()
    }

    fn wall_clock_micros(&self) -> u64 {
        self.hand.simulated.wall_clock_micros()
    }

    fn sync_path(&self) -> SyncPath {
        self.real.sync_path()
    }

    fn probe_direct(&self, dir: &Path) -> io::Result<()> {
        self.real.probe_direct(dir)
    }

    /// The order of operations must be the same on both.
    fn allows_threads(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct BothFiles {
    real: Arc<dyn DiskFile>,
    simulated: Arc<dyn DiskFile>,
    hand: Hand,
}

impl DiskFile for BothFiles {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.real.read_exact_at(offset, buffer)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.real.write_all_at(offset, bytes)?;
        self.hand
            .also(|_| self.simulated.write_all_at(offset, bytes))
    }

    fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.real.write_zeros(offset, bytes)?;
        self.hand
            .also(|_| self.simulated.write_zeros(offset, bytes))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.real.set_len(bytes)?;
        self.hand.also(|_| self.simulated.set_len(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.real.sync_data()?;
        self.hand.also(|_| self.simulated.sync_data())
    }

    fn write_durable_at(&self, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<()> {
        self.real.write_durable_at(offset, buffers)?;
        self.hand
            .also(|_| self.simulated.write_durable_at(offset, buffers))
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.real.drop_cache()
    }

    fn will_read_in_order(&self) {
        self.real.will_read_in_order();
    }

    fn will_store(&self, offset: u64, bytes: u64) {
        self.real.will_store(offset, bytes);
    }

    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>> {
        let real = self.real.map(bytes)?;
        let simulated = self.hand.also(|_| self.simulated.map(bytes))?;
        let hand = self.hand.clone();
        Ok(Box::new(BothMaps {
            real,
            simulated,
            hand,
        }))
    }
}

#[derive(Debug)]
struct BothMaps {
    real: Box<dyn DiskMap>,
    simulated: Box<dyn DiskMap>,
    hand: Hand,
}

impl DiskMap for BothMaps {
    fn len(&self) -> u64 {
        self.real.len()
    }

    fn store(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.real.store(offset, bytes)?;
        self.hand.also(|_| self.simulated.store(offset, bytes))
    }
}
