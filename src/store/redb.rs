//! `RedbStore`: region data in redb, the choice for machines whose power fails; the only module that
//! names `redb::`.
//!
//! redb writes copy-on-write and syncs when a commit asks for it: what it comes back with after a
//! power cut is its last synced commit, whole. Batches are committed without a sync, and a flush is
//! an empty commit with one. One table, so that a batch is atomic. Compared with sled it reads and
//! writes more per batch, has one writer at a time, and a scan that is held open keeps its pages from
//! being used again.
//!
//! redb trusts a file that it closed in order, and may panic on one that was damaged since: every
//! call runs guarded, opening included.
//!
//! Not here: when to flush (`engine`), the layout of keys (`keys`).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redb::{
    Builder, Database, DatabaseError, Durability, Error, Range, ReadOnlyDatabase, ReadOnlyTable,
    ReadableDatabase, StorageError, TableDefinition,
};

use super::device_sync::{create_dir, sync_dir, sync_parent};
use super::panic_guard::catch;
use super::refusing::Refusing;
use super::{
    DataStore, Direction, RawRange, RawRows, StoreBatch, StoreError, StoreFactory, StoreOp,
    StoreOpenError, StoreOpenMode,
};

const FILE: &str = "data.redb";
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("raw");
/// Pause between two tries for the file's lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How to open a [`RedbStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedbOptions {
    /// Bytes of memory for redb's page cache.
    pub cache_bytes: usize,
    /// How long to wait for a file whose last holder is only just letting go of it.
    pub lock_wait: Duration,
}

impl Default for RedbOptions {
    fn default() -> Self {
        RedbOptions {
            cache_bytes: 64 * 1024 * 1024,
            lock_wait: Duration::from_secs(2),
        }
    }
}

/// Opens [`RedbStore`]s.
#[derive(Clone, Debug, Default)]
pub struct RedbFactory {
    /// Used for each.
    pub options: RedbOptions,
}

impl StoreFactory for RedbFactory {
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        if mode != StoreOpenMode::CreateOrOpen {
            match fs::symlink_metadata(dir.join(FILE)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let path = dir.to_owned();
                    return Err(StoreOpenError::Missing { path });
                }
                Err(source) => {
                    let path = dir.to_owned();
                    return Err(StoreOpenError::Io { path, source });
                }
            }
        }
        let store = match mode {
            StoreOpenMode::ReadOnly => RedbStore::open_read_only(dir, &self.options)?,
            StoreOpenMode::CreateOrOpen | StoreOpenMode::ExistingOnly => {
                RedbStore::open(dir, &self.options)?
            }
        };
        Ok(Arc::new(store))
    }
}

/// A [`DataStore`] in a directory of its own.
pub struct RedbStore {
    dir: PathBuf,
    /// `None` only while dropping.
    handle: Option<Handle>,
    refusing: Refusing,
}

enum Handle {
    Writable(Database),
    ReadOnly(ReadOnlyDatabase),
}

impl RedbStore {
    /// Name of this kind of store.
    pub const KIND: &'static str = "redb";

    /// Opens the store in `dir`, creating the directory (mode 0700) and the store if missing. After a
    /// crash that takes the time of reading the whole file.
    ///
    /// # Errors
    /// [`StoreOpenError::Busy`] if it stays locked for `lock_wait`; `Panicked` or `Corrupt` if redb
    /// cannot make sense of its file; `Unsupported` for another version's; else `Io`.
    ///
    /// # Durability
    /// Everything that is visible on return is durable.
    pub fn open(dir: &Path, options: &RedbOptions) -> Result<RedbStore, StoreOpenError> {
        let io_error = |source| StoreOpenError::Io {
            path: dir.to_owned(),
            source,
        };
        create_dir(dir).map_err(io_error)?;
        let cache_bytes = options.cache_bytes;
        let database = try_open(dir, options.lock_wait, || {
            Builder::new()
                .set_cache_size(cache_bytes)
                .create(dir.join(FILE))
        })?;
        let store = RedbStore {
            dir: dir.to_owned(),
            handle: Some(Handle::Writable(database)),
            refusing: Refusing::default(),
        };
        // Makes the table, so that readers find one, and syncs what was found.
        store.flush().map_err(|error| store.failed_to_open(error))?;
        sync_dir(dir)
            .and_then(|()| sync_parent(dir))
            .map_err(io_error)?;
        Ok(store)
    }

    fn open_read_only(dir: &Path, options: &RedbOptions) -> Result<RedbStore, StoreOpenError> {
        let cache_bytes = options.cache_bytes;
        let database = try_open(dir, options.lock_wait, || {
            Builder::new()
                .set_cache_size(cache_bytes)
                .open_read_only(dir.join(FILE))
        })?;
        Ok(RedbStore {
            dir: dir.to_owned(),
            handle: Some(Handle::ReadOnly(database)),
            refusing: Refusing::default(),
        })
    }

    fn failed_to_open(&self, error: StoreError) -> StoreOpenError {
        let path = self.dir.clone();
        match error {
            StoreError::Io { source, .. } => StoreOpenError::Io {
                path,
                source: io::Error::new(source.kind(), source),
            },
            StoreError::Panicked { message, .. } => StoreOpenError::Panicked { path, message },
            error => StoreOpenError::Corrupt {
                path,
                detail: error.to_string(),
            },
        }
    }

    /// Commits a batch, synced or not.
    fn commit(
        &self,
        operation: &'static str,
        batch: &StoreBatch,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let database = match &self.handle {
            Some(Handle::Writable(database)) => database,
            Some(Handle::ReadOnly(_)) => return Err(StoreError::ReadOnly),
            None => return Err(closing(operation)),
        };
        let commit = || -> Result<(), Error> {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(durability)?;
            {
                let mut table = transaction.open_table(TABLE)?;
                for op in batch.ops() {
                    match op {
                        StoreOp::Put { key, value } => {
                            table.insert(key.as_slice(), value.as_slice())?;
                        }
                        StoreOp::Delete { key } => {
                            table.remove(key.as_slice())?;
                        }
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        };
        self.refusing
            .run(operation, true, || commit().map_err(typed(operation)))
    }

    /// The table as it is now.
    fn table(
        &self,
        operation: &'static str,
    ) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        let read = || -> Result<_, Error> {
            let transaction = match &self.handle {
                Some(Handle::Writable(database)) => database.begin_read()?,
                Some(Handle::ReadOnly(database)) => database.begin_read()?,
                None => return Err(Error::DatabaseClosed),
            };
            Ok(transaction.open_table(TABLE)?)
        };
        self.refusing
            .run(operation, false, || read().map_err(typed(operation)))
    }
}

impl DataStore for RedbStore {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.commit("store.apply", batch, Durability::None)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        const OPERATION: &str = "store.get";
        let table = self.table(OPERATION)?;
        self.refusing.run(OPERATION, false, || {
            let found = table
                .get(key)
                .map_err(|error| typed(OPERATION)(error.into()))?;
            Ok(found.map(|value| value.value().to_vec()))
        })
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        const OPERATION: &str = "store.scan";
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let opened = self.table(OPERATION).and_then(|table| {
            let start = range.start.as_slice();
            self.refusing.run(OPERATION, false, || {
                let rows = match &range.end {
                    Some(end) => table.range::<&[u8]>(start..end.as_slice()),
                    None => table.range::<&[u8]>(start..),
                };
                rows.map_err(|error| typed(OPERATION)(error.into()))
            })
        });
        let (rows, failed) = match opened {
            Ok(rows) => (Some(rows), None),
            Err(error) => (None, Some(error)),
        };
        Box::new(Rows {
            store: self,
            rows,
            failed,
            direction,
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.commit("store.flush", &StoreBatch::new(), Durability::Immediate)
    }

    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        const OPERATION: &str = "store.size";
        self.refusing.check()?;
        match fs::metadata(self.dir.join(FILE)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(source) => Err(StoreError::Io {
                operation: OPERATION,
                source: Arc::new(source),
            }),
        }
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // redb writes and syncs when it is dropped.
        let handle = self.handle.take();
        let _ = catch(move || drop(handle));
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("dir", &self.dir)
            .field("refusing", &self.refusing)
            .finish_non_exhaustive()
    }
}

/// A scan in which every step is guarded.
struct Rows<'a> {
    store: &'a RedbStore,
    /// `None` once the end or an error was met.
    rows: Option<Range<'static, &'static [u8], &'static [u8]>>,
    /// An error from opening the scan, still to be told.
    failed: Option<StoreError>,
    direction: Direction,
}

impl Iterator for Rows<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        const OPERATION: &str = "store.scan";
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let rows = self.rows.as_mut()?;
        let direction = self.direction;
        let step = self.store.refusing.run(OPERATION, false, || {
            let row = match direction {
                Direction::Forward => rows.next(),
                Direction::Reverse => rows.next_back(),
            };
            let row = row
                .transpose()
                .map_err(|error| typed(OPERATION)(error.into()))?;
            Ok(row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
        });
        if !matches!(step, Ok(Some(_))) {
            self.rows = None;
        }
        step.transpose()
    }
}

/// Opens a database, waiting for a holder that is only just letting go.
fn try_open<T>(
    dir: &Path,
    lock_wait: Duration,
    open: impl Fn() -> Result<T, DatabaseError>,
) -> Result<T, StoreOpenError> {
    let path = dir.to_owned();
    let begun = Instant::now();
    loop {
        let error = match catch(&open) {
            Ok(Ok(database)) => return Ok(database),
            Ok(Err(error)) => error,
            Err(message) => return Err(StoreOpenError::Panicked { path, message }),
        };
        return Err(match error {
            DatabaseError::DatabaseAlreadyOpen if begun.elapsed() < lock_wait => {
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                StoreOpenError::Busy { path }
            }
            DatabaseError::Storage(StorageError::Io(source))
                if source.kind() != io::ErrorKind::InvalidData =>
            {
                StoreOpenError::Io { path, source }
            }
            DatabaseError::UpgradeRequired(version) => StoreOpenError::Unsupported {
                path,
                detail: format!("file format {version}"),
            },
            // What needs a repair cannot be read without being written to.
            DatabaseError::RepairAborted => StoreOpenError::ModeUnsupported {
                kind: RedbStore::KIND,
                mode: StoreOpenMode::ReadOnly,
            },
            error => StoreOpenError::Corrupt {
                path,
                detail: error.to_string(),
            },
        });
    }
}

fn closing(operation: &'static str) -> StoreError {
    StoreError::Rejected {
        operation,
        detail: "the store is closing".to_owned(),
    }
}

fn typed(operation: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| match error {
        Error::Io(source) => StoreError::Io {
            operation,
            source: Arc::new(source),
        },
        error @ Error::Corrupted(_) => StoreError::Corrupt {
            operation,
            detail: error.to_string(),
        },
        error => StoreError::Rejected {
            operation,
            detail: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
