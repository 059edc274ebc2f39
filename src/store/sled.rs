//! `SledStore`: region data in sled 0.34, the only module that names `sled::`.
//!
//! What sled does not do, this does:
//! * sled's `flush` hands bytes to the operating system (`sync_file_range`) and not to the device;
//!   [`SledStore::flush`] then syncs every file and directory of sled's. sled's own background
//!   flusher is off, so that nothing half-flushed is taken for durable.
//! * sled takes what it handed to the operating system for durable and reuses space on that belief, so
//!   that a power cut can take what was flushed long before; its files are marked so that the belief
//!   is true (`write_through`). Where they cannot be, an end of the machine that was not in order puts
//!   the whole store in doubt, and it says so ([`DataStore::doubt`]).
//! * sled writes a table of its pages at each opening, first under a name that ends with `.generating`,
//!   and takes the unfinished file of a process that was killed meanwhile for the newest table; it then
//!   refuses to open (`Read corrupted data at file offset None`). Such a file is removed, and sled
//!   opened again.
//! * sled panics on files that a power cut left; every call runs inside `panic_guard`, opening
//!   included, and a store that panicked or failed to write is refused for good.
//!
//! One tree, so that a batch is atomic.
//!
//! Not here: when to flush (`engine`), the layout of keys (`keys`).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::device_sync::{DeviceSync, create_dir, file_names};
use super::panic_guard::catch;
use super::refusing::Refusing;
use super::write_through::{Incumbent, mark, mark_file};
use super::{
    DataStore, Direction, RawRange, RawRows, RowVisitor, StoreBatch, StoreError, StoreFactory,
    StoreOp, StoreOpenError, StoreOpenMode,
};

/// sled's log, its one file that is written in place.
const LOG_FILE: &str = "db";
/// sled's directory of values that are too long for its log; a file there is written once.
const BLOB_DIR: &str = "blobs";
/// How sled's tables of its pages are named, and those that it has not finished.
const TABLE_PREFIX: &str = "snap.";
const UNFINISHED_TABLE_SUFFIX: &str = ".generating";
/// File of ours in sled's directory: which boot and mount wrote there last.
const INCUMBENT_FILE: &str = "incumbent";
/// Pause between two tries for sled's lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Rows, and bytes, that a walk reads ahead of its reader, at most (and a row).
const WALK_ROWS: usize = 256;
const WALK_BYTES: usize = 64 * 1024;

/// How to open a [`SledStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// Bytes of memory for sled's page cache.
    pub cache_bytes: u64,
    /// How long to wait for the lock of a store whose last holder, in this process or another, is
    /// only just letting go of it.
    pub lock_wait: Duration,
    /// Whether each of sled's writes waits for the device, where the file system can do that (ext4,
    /// XFS, btrfs). Without it the store is in doubt after every end of the machine that was not in
    /// order, and its regions are damaged then.
    pub write_through: bool,
}

impl Default for SledOptions {
    fn default() -> Self {
        SledOptions {
            cache_bytes: 64 * 1024 * 1024,
            lock_wait: Duration::from_secs(2),
            write_through: true,
        }
    }
}

/// Opens [`SledStore`]s.
#[derive(Clone, Debug, Default)]
pub struct SledFactory {
    /// Used for each.
    pub options: SledOptions,
}

impl StoreFactory for SledFactory {
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        match mode {
            StoreOpenMode::CreateOrOpen => {}
            StoreOpenMode::ExistingOnly => match fs::symlink_metadata(dir.join(LOG_FILE)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(StoreOpenError::Missing {
                        path: dir.to_owned(),
                    });
                }
                Err(source) => {
                    return Err(StoreOpenError::Io {
                        path: dir.to_owned(),
                        source,
                    });
                }
            },
            // sled writes when it opens: it zeroes what it did not accept.
            StoreOpenMode::ReadOnly => {
                return Err(StoreOpenError::ModeUnsupported {
                    kind: SledStore::KIND,
                    mode,
                });
            }
        }
        Ok(Arc::new(SledStore::open(dir, &self.options)?))
    }
}

/// A [`DataStore`] in a directory of its own.
pub struct SledStore {
    dir: PathBuf,
    /// `None` only while dropping.
    db: Option<sled::Db>,
    /// Locked over a whole flush: flushes are one at a time.
    device: Mutex<DeviceSync>,
    refusing: Refusing,
    doubt: Option<String>,
}

impl SledStore {
    /// Name of this kind of store.
    pub const KIND: &'static str = "sled";

    /// Opens the store in `dir`, creating the directory (mode 0700) and the store if missing.
    ///
    /// # Errors
    /// [`StoreOpenError::Busy`] if it stays locked for `lock_wait`; `Panicked` or `Corrupt` if sled
    /// cannot make sense of its files; `Unsupported` for another version of sled; else `Io`.
    ///
    /// # Durability
    /// Everything that is visible on return is durable.
    pub fn open(dir: &Path, options: &SledOptions) -> Result<SledStore, StoreOpenError> {
        let io_error = |source| StoreOpenError::Io {
            path: dir.to_owned(),
            source,
        };
        create_dir(dir).map_err(io_error)?;
        let incumbent = Incumbent::of(dir, INCUMBENT_FILE);
        let was_here = incumbent.is_same();
        let is_written_through = options.write_through && write_through(dir).map_err(io_error)?;
        let doubt = (!is_written_through && !was_here).then(|| {
            "sled's writes do not wait for the device there, and the machine may have ended since: \
             what was flushed may be lost"
                .to_owned()
        });
        let db = open_sled(dir, options)?;
        let mut device = DeviceSync::open(dir, LOG_FILE, BLOB_DIR).map_err(io_error)?;
        // What was just read may have been in the page cache only, and the names may be new.
        device
            .sync_all()
            .and_then(|()| device.sync_parent())
            .map_err(io_error)?;
        incumbent.remember().map_err(io_error)?;
        Ok(SledStore {
            dir: dir.to_owned(),
            db: Some(db),
            device: Mutex::new(device),
            refusing: Refusing::default(),
            doubt,
        })
    }

    /// Syncs of files and directories that reached the device so far.
    pub fn device_syncs(&self) -> u64 {
        self.device.lock().syncs()
    }

    /// Runs sled code; a panic refuses the store for good, and so does a failed write.
    fn run<T>(
        &self,
        operation: &'static str,
        writes: bool,
        work: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        self.refusing.run(operation, writes, || match &self.db {
            Some(db) => work(db).map_err(|error| typed(operation, error)),
            None => Err(StoreError::Rejected {
                operation,
                detail: "the store is closing".to_owned(),
            }),
        })
    }
}

impl DataStore for SledStore {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.run("store.apply", true, |db| {
            let mut changes = sled::Batch::default();
            for op in batch.ops() {
                match op {
                    StoreOp::Put { key, value } => changes.insert(key.as_slice(), value.as_slice()),
                    StoreOp::Delete { key } => changes.remove(key.as_slice()),
                }
            }
            db.apply_batch(changes)
        })
    }

    fn apply_each(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        // A batch of sled's locks everybody out and writes sled's buffer to the file twice, however
        // little is in it; a change by itself stays in the buffer, and other threads' run beside it.
        self.run("store.apply", true, |db| {
            for op in batch.ops() {
                match op {
                    StoreOp::Put { key, value } => db.insert(key, value.as_slice())?,
                    StoreOp::Delete { key } => db.remove(key)?,
                };
            }
            Ok(())
        })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.run("store.get", false, |db| {
            Ok(db.get(key)?.map(|value| value.to_vec()))
        })
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let opened = self.run("store.scan", false, |db| {
            Ok(match &range.end {
                Some(end) => db.range::<&[u8], _>(range.start.as_slice()..end.as_slice()),
                None => db.range::<&[u8], _>(range.start.as_slice()..),
            })
        });
        Box::new(match opened {
            Ok(iter) => Rows {
                store: self,
                iter: Some(iter),
                failed: None,
                direction,
            },
            Err(error) => Rows {
                store: self,
                iter: None,
                failed: Some(error),
                direction,
            },
        })
    }

    fn walk(&self, range: &RawRange, each: &mut RowVisitor<'_>) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut iter = self.run("store.scan", false, |db| {
            Ok(match &range.end {
                Some(end) => db.range::<&[u8], _>(range.start.as_slice()..end.as_slice()),
                None => db.range::<&[u8], _>(range.start.as_slice()..),
            })
        })?;
        // Some rows at a time lie in one piece of memory, so that guarding sled's code costs little,
        // and `each`, which is not sled's, runs outside of the guard.
        let (mut bytes, mut rows) = (Vec::new(), Vec::new());
        loop {
            bytes.clear();
            rows.clear();
            let read = self.run("store.scan", false, |_| {
                while rows.len() < WALK_ROWS && bytes.len() < WALK_BYTES {
                    let Some(row) = iter.next() else { break };
                    let (key, value) = row?;
                    bytes.extend_from_slice(&key);
                    bytes.extend_from_slice(&value);
                    rows.push((key.len(), value.len()));
                }
                Ok(())
            });
            let mut rest = bytes.as_slice();
            for (key_bytes, value_bytes) in &rows {
                let (key, behind) = rest.split_at(*key_bytes);
                let (value, behind) = behind.split_at(*value_bytes);
                rest = behind;
                if each(key, value).is_break() {
                    return Ok(());
                }
            }
            read?;
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    fn flush(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "store.flush";
        let mut device = self.device.lock();
        self.run(OPERATION, true, |db| db.flush())?;
        device.sync_all().map_err(|source| {
            let error = StoreError::Io {
                operation: OPERATION,
                source: Arc::new(source),
            };
            self.refusing.refuse(OPERATION, &error);
            error
        })
    }

    fn doubt(&self) -> Option<String> {
        self.doubt.clone()
    }

    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.run("store.size", false, |db| db.size_on_disk())
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // sled writes and syncs when it is dropped, and unwraps the results.
        let db = self.db.take();
        let _ = catch(move || drop(db));
        // Whatever it wrote last; nobody is left who could be told.
        let _ = self.device.lock().sync_all();
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("dir", &self.dir)
            .field("refusing", &self.refusing)
            .finish_non_exhaustive()
    }
}

/// A scan in which every step is guarded.
struct Rows<'a> {
    store: &'a SledStore,
    /// `None` once the end or an error was met.
    iter: Option<sled::Iter>,
    /// An error from opening the scan, still to be told.
    failed: Option<StoreError>,
    direction: Direction,
}

impl Iterator for Rows<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let iter = self.iter.as_mut()?;
        let direction = self.direction;
        let step = self.store.run("store.scan", false, |_| {
            let row = match direction {
                Direction::Forward => iter.next(),
                Direction::Reverse => iter.next_back(),
            };
            row.transpose()
        });
        match step {
            Ok(Some((key, value))) => Some(Ok((key.to_vec(), value.to_vec()))),
            Ok(None) => {
                self.iter = None;
                None
            }
            Err(error) => {
                self.iter = None;
                Some(Err(error))
            }
        }
    }
}

/// Marks sled's files, and what hands the mark on to new ones; `false` if there is no such mark.
fn write_through(dir: &Path) -> io::Result<bool> {
    let blobs = dir.join(BLOB_DIR);
    create_dir(&blobs)?;
    Ok(mark(dir)? && mark(&blobs)? && mark_file(&dir.join(LOG_FILE))?)
}

fn open_sled(dir: &Path, options: &SledOptions) -> Result<sled::Db, StoreOpenError> {
    let path = || dir.to_owned();
    let begun = Instant::now();
    loop {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None);
        let error = match catch(|| config.open()) {
            Ok(Ok(db)) => return Ok(db),
            // Whether it was about that file, the next try shows.
            Ok(Err(sled::Error::Corruption { .. })) if remove_unfinished_tables(dir) => continue,
            Ok(Err(error)) => error,
            Err(message) => {
                return Err(StoreOpenError::Panicked {
                    path: path(),
                    message,
                });
            }
        };
        return Err(match error {
            sled::Error::Io(error) if is_lock_conflict(&error) => {
                // sled's worker threads keep the file open for a moment after a store is dropped.
                if begun.elapsed() < options.lock_wait {
                    std::thread::sleep(LOCK_PAUSE);
                    continue;
                }
                StoreOpenError::Busy { path: path() }
            }
            sled::Error::Io(source) => StoreOpenError::Io {
                path: path(),
                source,
            },
            sled::Error::Unsupported(detail) => StoreOpenError::Unsupported {
                path: path(),
                detail,
            },
            error @ (sled::Error::Corruption { .. }
            | sled::Error::ReportableBug(_)
            | sled::Error::CollectionNotFound(_)) => StoreOpenError::Corrupt {
                path: path(),
                detail: error.to_string(),
            },
        });
    }
}

/// Removes a table of pages that a process was still writing when it ended; whether there was one. The
/// finished one before it is there as long as it has not its final name, and without any sled reads its
/// whole log.
fn remove_unfinished_tables(dir: &Path) -> bool {
    let names = file_names(dir).unwrap_or_default();
    let mut unfinished = names.iter().filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with(TABLE_PREFIX) && name.ends_with(UNFINISHED_TABLE_SUFFIX)
    });
    // One that cannot be removed is no reason to try again.
    unfinished.any(|name| fs::remove_file(dir.join(name)).is_ok())
}

/// sled tells a lock conflict only by its text; the version is pinned and a test holds it to that.
fn is_lock_conflict(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().starts_with("could not acquire lock")
}

fn typed(operation: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => StoreError::Io {
            operation,
            source: Arc::new(source),
        },
        error @ sled::Error::Corruption { .. } => StoreError::Corrupt {
            operation,
            detail: error.to_string(),
        },
        error @ (sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_)) => StoreError::Rejected {
            operation,
            detail: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
