//! Region data: one ordered map of raw keys behind [`DataStore`], and what lies in it.
//!
//! * [`DataStore`], [`StoreFactory`]: the narrow trait; [`SledStore`] on disk, `RedbStore` on disk with
//!   the feature `store-redb`, [`MemoryStore`] the twin that can lose what is unflushed. `contract` holds
//!   all to the same suite.
//! * `keys`, `rows`: the layout of raw keys, region rows and the store's own rows.
//! * `versions`, `visit`, `range_deletions`, `versioned`: multi-version reads on top of any [`DataStore`].
//! * `covered`, `roll_back`: what each barrier covered, and going back to one.
//! * `clear`, `collect`: taking away a range, and the versions that nobody reads any more.
//! * `families`, `write_batch`: column families, and what a caller writes.
//!
//! Invariants
//! * One [`StoreBatch`] is applied as a whole or not at all, also across a crash, unless it is asked to
//!   be applied change by change.
//! * A version, once written, is never changed in place; it is only deleted.
//! * Only [`DataStore::flush`] makes anything durable. After any failed `apply` or `flush`, and
//!   after a panic inside a store, that store answers [`StoreError::Refused`] for good.
//!
//! Not here: which index is where, floors, barriers (`engine`).

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::Disk;

mod acks;
mod clear;
mod collect;
mod covered;
mod device_sync;
mod error;
mod families;
mod keys;
mod memory;
pub(crate) mod newest;
mod none;
mod panic_guard;
mod range_deletions;
#[cfg(feature = "store-redb")]
mod redb;
mod refusing;
mod roll_back;
mod rows;
mod sled;
mod value;
mod versioned;
mod versions;
mod visit;
mod write_batch;
mod write_through;

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "store-redb")]
pub use self::redb::{RedbFactory, RedbOptions, RedbStore};
pub use self::sled::{SledFactory, SledOptions, SledStore};
pub use acks::{AckRow, read_acks};
pub use clear::clear_range;
pub use collect::{Collected, Collector, remove_range_deletion};
pub use covered::{Covered, Floored, FlooredFound, floored_rows, read_covered};
pub use error::{StoreError, StoreOpenError};
pub use families::{ColumnFamilies, ColumnFamily, FamiliesError};
pub use keys::{DataKey, KeyError, StoreKey};
pub use memory::{DurableImage, Lost, MemoryFactory, MemoryStore, StoreFault, StoreHook};
pub use none::NoStore;
pub use range_deletions::{RangeDeletion, RangeDeletions, range_deletions};
pub use roll_back::{RolledBack, holds_data, roll_back};
pub use rows::{
    RegionRow, RegionRowFound, RowError, StoreGeneration, read_barrier, read_closed, read_families,
    read_generation, read_region_row, region_rows,
};
pub use value::Value;
pub use versioned::VersionedStore;
pub use versions::{get_at, scan_at, scan_versions};
pub use visit::visit_at;
pub use write_batch::{BatchError, RangeDelete, WriteBatch, WriteOp};

/// Order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Reverse,
}

/// Half-open range of raw keys: `start` is inside, `end` is not; no `end` means "to the last key".
/// May be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRange {
    /// First raw key inside.
    pub start: Vec<u8>,
    /// First raw key after the range.
    pub end: Option<Vec<u8>>,
}

impl RawRange {
    /// Every raw key.
    pub fn all() -> Self {
        RawRange {
            start: Vec::new(),
            end: None,
        }
    }

    /// Whether no key can lie inside.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// One change of one raw key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Sets the key's value.
    Put {
        /// Raw key.
        key: Vec<u8>,
        /// Raw value.
        value: Vec<u8>,
    },
    /// Removes the key; fine if it is not there.
    Delete {
        /// Raw key.
        key: Vec<u8>,
    },
}

/// Changes of raw keys that take effect together. Later changes of a key win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreBatch {
    ops: Vec<StoreOp>,
    bytes: usize,
}

impl StoreBatch {
    /// An empty batch.
    pub fn new() -> Self {
        StoreBatch::default()
    }

    /// Sets a raw key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes = self
            .bytes
            .saturating_add(key.len())
            .saturating_add(value.len());
        self.ops.push(StoreOp::Put { key, value });
    }

    /// Removes a raw key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(key.len());
        self.ops.push(StoreOp::Delete { key });
    }

    /// The changes, in the order in which they were added.
    pub fn ops(&self) -> &[StoreOp] {
        &self.ops
    }

    /// How many changes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether it removes keys and sets none.
    pub fn is_removal(&self) -> bool {
        let is_delete = |op: &StoreOp| matches!(op, StoreOp::Delete { .. });
        !self.ops.is_empty() && self.ops.iter().all(is_delete)
    }

    /// Sum of the lengths of raw keys and values, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a scan yields: raw key and raw value. After an error nothing follows.
pub type RawRows<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + Send + 'a>;

/// Takes a walk's raw keys and raw values, until it says that it has enough.
pub type RowVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map of raw keys in which batches are atomic and only `flush` promises durability.
pub trait DataStore: Send + Sync + fmt::Debug {
    /// Applies the whole batch, or nothing of it.
    ///
    /// # Errors
    /// After any error the outcome is unknown and the store is refused for good.
    ///
    /// # Durability
    /// None: visible to readers on return, durable at the next [`flush`](Self::flush). Of unflushed
    /// batches a killed process keeps a prefix; after a power cut nothing of them is relied on.
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError>;

    /// Applies the changes of the batch in their order, each by itself: for whoever neither reads any of
    /// it before all of it is in, nor trusts after an unclean end what no barrier covered, as the
    /// engine's writes do. A store for which atomic batches cost more than their changes spares that.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    ///
    /// # Durability
    /// None, as for [`apply`](Self::apply); until the next [`flush`](Self::flush) has come back, any part
    /// of the batch may be all that a crash leaves.
    fn apply_each(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.apply(batch)
    }

    /// The value of a raw key.
    ///
    /// # Errors
    /// The store could not be read; that says nothing about whether the key is there.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The rows of a range in key order (or its reverse). Not a snapshot: rows that are written or
    /// deleted while it runs may or may not be seen; rows that stay are seen exactly once.
    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_>;

    /// As [`scan`](Self::scan) forward: gives each row's raw key and raw value to `each`, until it
    /// says that it has enough. For those who look at many rows and keep few: a store that can
    /// spares the copies.
    ///
    /// # Errors
    /// The first that a scan would meet; what came before it was given.
    fn walk(&self, range: &RawRange, each: &mut RowVisitor<'_>) -> Result<(), StoreError> {
        for row in self.scan(range, Direction::Forward) {
            let (key, value) = row?;
            if each(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Makes everything that was applied before the call durable on the device.
    ///
    /// # Errors
    /// After any error nothing since the last good flush can be relied on, and the store is
    /// refused for good.
    ///
    /// # Durability
    /// On `Ok`, every batch applied before the call survives a power cut, also one that comes after more
    /// was written; a store that cannot promise that says so when it is opened ([`doubt`](Self::doubt)).
    fn flush(&self) -> Result<(), StoreError>;

    /// Why what was flushed before this opening may be lost in part, if it may; asked only after an
    /// end that was not in order. A store that keeps what it flushed, whatever was written since,
    /// has no reason to.
    fn doubt(&self) -> Option<String> {
        None
    }

    /// The store's range deletions, if it keeps a list of them; otherwise readers look them up.
    fn range_deletions(&self) -> Option<&RangeDeletions> {
        None
    }

    /// Stable lower-case name of the implementation, for reports.
    fn kind(&self) -> &'static str;

    /// Bytes that the store takes where it lies (approximate).
    ///
    /// # Errors
    /// The store could not be asked.
    fn size_bytes(&self) -> Result<u64, StoreError>;
}

/// How to open a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOpenMode {
    /// Opens it, creating it if it is missing.
    CreateOrOpen,
    /// Opens it only if it exists.
    ExistingOnly,
    /// Opens it only if it exists, and never changes a byte of it. Not every store can.
    ReadOnly,
}

/// Opens a store in a directory; how the engine is told which kind of store to use.
pub trait StoreFactory: Send + Sync + fmt::Debug {
    /// Opens the store that lies in `dir`.
    ///
    /// # Errors
    /// See [`StoreOpenError`]; a store that panics while it opens is one of them.
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError>;

    /// Keeps the closed store of `dir` as `aside`, a name beside it, so that [`open`](Self::open) makes
    /// a new one in `dir`. Renames the directory, if not said otherwise.
    ///
    /// # Errors
    /// The operating system refused; the store may be under either name.
    fn set_aside(&self, disk: &dyn Disk, dir: &Path, aside: &Path) -> io::Result<()> {
        disk.rename(dir, aside)
    }
}
