//! How a store is opened: every knob with its meaning, unit, default and bounds.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use torrens_journal::disk::{Disk, RealDisk, RealDiskOptions, SyncChoice};
use torrens_journal::{JournalOptions, WriterChoice};
use torrens_recovery::Progress;

use super::background::{Background, Schedule};
use super::report::OpenReport;
use super::{BackupError, BackupReport, Engine, OpenError};
use crate::StoreId;
use crate::cache::CacheSettings;
use crate::observe::HistorySettings;
use crate::store::{ColumnFamilies, SledFactory, StoreFactory};

/// Whether opening may create, and may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Create the store if the directory is missing or empty.
    #[default]
    CreateIfMissing,
    /// Open an existing store only.
    ExistingOnly,
    /// Open an existing store without changing, locking or repairing anything: metadata only,
    /// exactly what is durable. Data cannot be read, since the data store cannot be opened without
    /// writing to it.
    ReadOnly,
}

/// Builder for opening an [`Engine`].
pub struct Options {
    pub(super) store: StoreId,
    pub(super) mode: OpenMode,
    pub(super) segment_bytes: u64,
    pub(super) barrier_interval: Duration,
    pub(super) checkpoint_records: u64,
    pub(super) observer_audit_interval: Duration,
    pub(super) background: Background,
    pub(super) sync: SyncChoice,
    pub(super) writer: WriterChoice,
    pub(super) disk: Option<Arc<dyn Disk>>,
    pub(super) data: Arc<dyn StoreFactory>,
    pub(super) families: ColumnFamilies,
    pub(super) cache: CacheSettings,
    pub(super) on_recovery: Option<OnRecovery>,
    pub(super) history: HistorySettings,
    pub(super) set_aside_max: usize,
    pub(super) slow_transition_threshold: Duration,
}

/// Told how far recovery is; breaking stops it as long as nothing was changed.
pub(super) type OnRecovery = Arc<dyn Fn(Progress) -> ControlFlow<()> + Send + Sync>;

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("store", &self.store)
            .field("mode", &self.mode)
            .field("segment_bytes", &self.segment_bytes)
            .field("barrier_interval", &self.barrier_interval)
            .field("checkpoint_records", &self.checkpoint_records)
            .field("observer_audit_interval", &self.observer_audit_interval)
            .field("background", &self.background)
            .field("sync", &self.sync)
            .field("writer", &self.writer)
            .field("disk", &self.disk)
            .field("data", &self.data)
            .field("families", &self.families)
            .field("cache", &self.cache)
            .field("history", &self.history)
            .field("set_aside_max", &self.set_aside_max)
            .field("slow_transition_threshold", &self.slow_transition_threshold)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            store: StoreId(1),
            mode: OpenMode::default(),
            segment_bytes: JournalOptions::default().get_segment_bytes(),
            barrier_interval: Duration::from_millis(50),
            checkpoint_records: 100_000,
            observer_audit_interval: Duration::from_secs(10),
            background: Background::default(),
            sync: SyncChoice::Auto,
            writer: WriterChoice::Auto,
            disk: None,
            data: Arc::new(SledFactory::default()),
            families: ColumnFamilies::default(),
            cache: CacheSettings::default(),
            on_recovery: None,
            history: HistorySettings::default(),
            set_aside_max: 2,
            slow_transition_threshold: Duration::from_millis(100),
        }
    }
}

impl Options {
    /// This node's id in the cluster; default 1. An existing store must have the same.
    pub fn store(mut self, store: StoreId) -> Self {
        self.store = store;
        self
    }

    /// Whether opening may create, and may write; default [`OpenMode::CreateIfMissing`].
    pub fn mode(mut self, mode: OpenMode) -> Self {
        self.mode = mode;
        self
    }

    /// Which of the two writers the journal uses; default the faster one where it works. The report of
    /// the opening says which it is, and why not the other.
    pub fn writer(mut self, writer: WriterChoice) -> Self {
        self.writer = writer;
        self
    }

    /// Size of each journal segment in bytes: a multiple of 4096, at least 32 KiB; default 64 MiB.
    /// Segments that exist keep theirs.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How long written data may wait for a barrier; default 50 ms, at least 1 ms.
    pub fn barrier_interval(mut self, interval: Duration) -> Self {
        self.barrier_interval = interval;
        self
    }

    /// A checkpoint is written after this many records; default 100 000, at least 1.
    pub fn checkpoint_records(mut self, records: u64) -> Self {
        self.checkpoint_records = records;
        self
    }

    /// How long a lost notification may keep a region from being observed: the background compares what
    /// should be observed with what is that often; default 10 s, at least 1 ms.
    pub fn observer_audit_interval(mut self, interval: Duration) -> Self {
        self.observer_audit_interval = interval;
        self
    }

    /// Who runs the background work; default a thread.
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// How syncs of Torrens's own files reach the device; default a probe. Ignored if a disk is
    /// given.
    pub fn sync(mut self, sync: SyncChoice) -> Self {
        self.sync = sync;
        self
    }

    /// The operating system to run on; default the real one. Tests give a simulated disk.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// The data store is sled, with that many bytes of memory for its page cache; default 64 MiB. At
    /// least 1 MiB are taken. The same as [`data`](Self::data) with a `SledFactory` of that size.
    pub fn sled_cache_bytes(mut self, bytes: u64) -> Self {
        let mut factory = SledFactory::default();
        factory.options.cache_bytes = bytes.max(1 << 20);
        self.data = Arc::new(factory);
        self
    }

    /// The data store to use; default sled.
    pub fn data(mut self, data: Arc<dyn StoreFactory>) -> Self {
        self.data = data;
        self
    }

    /// The column families, with numbers that are for ever; default TiKV's three. A store that
    /// exists must have been opened with these or some of them, under the same numbers.
    pub fn column_families(mut self, families: ColumnFamilies) -> Self {
        self.families = families;
        self
    }

    /// How much memory cached regions may take and how they are looked after; default
    /// [`CacheSettings::default`]. They can be changed later.
    pub fn cache(mut self, settings: CacheSettings) -> Self {
        self.cache = settings;
        self
    }

    /// How much history of observed regions is kept; default [`HistorySettings::default`]. It can be
    /// changed later.
    pub fn history(mut self, settings: HistorySettings) -> Self {
        self.history = settings;
        self
    }

    /// How many data stores, and how many histories, that could not be used are kept beside the new one;
    /// default 2. When there are more the oldest are removed at opening; 0 keeps none.
    pub fn set_aside_max(mut self, max: usize) -> Self {
        self.set_aside_max = max;
        self
    }

    /// From how long on a transition goes into the log of the slow ones ([`Engine::slow_transitions`]);
    /// default 100 ms. Zero takes every one, [`Duration::MAX`] none. It can be changed later.
    pub fn slow_transition_threshold(mut self, threshold: Duration) -> Self {
        self.slow_transition_threshold = threshold;
        self
    }

    /// Called now and then while the journal is recovered, with how far it is. Answering
    /// [`ControlFlow::Break`] stops opening, with nothing changed, as long as the repair has not begun.
    pub fn on_recovery(
        mut self,
        progress: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_recovery = Some(Arc::new(progress));
        self
    }

    /// Opens the store in `dir`, recovering it first.
    ///
    /// # Errors
    /// See [`OpenError`]. A corrupt or unreadable journal refuses to open and changes nothing; a
    /// data store that is damaged or gone does not: its regions come back *damaged*.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<(Engine, OpenReport), OpenError> {
        super::open::open(self, dir.as_ref())
    }

    /// Makes a store in `dir`, which is missing or empty, of the backup in `backup`, under the id that
    /// [`store`](Self::store) gives, which no region of the backup may know. Everything of the
    /// backup is verified first. The new store has the backed-up peers in place of the old store's,
    /// with a higher `conf_ver` in every region, and another journal identity; the old store may
    /// live on, and what was sent to it is refused here.
    ///
    /// # Errors
    /// [`BackupError`]; a directory that was begun does not open, and may be removed.
    ///
    /// # Durability
    /// On `Ok` the new store is complete and synced.
    pub fn restore(
        self,
        backup: impl AsRef<Path>,
        dir: impl AsRef<Path>,
    ) -> Result<BackupReport, BackupError> {
        super::backup::restore(&self, backup.as_ref(), dir.as_ref())
    }

    pub(super) fn journal(&self) -> JournalOptions {
        JournalOptions::default()
            .segment_bytes(self.segment_bytes)
            .writer(self.writer)
    }

    pub(super) fn schedule(&self) -> Schedule {
        Schedule {
            barrier_interval: self.barrier_interval,
            checkpoint_records: self.checkpoint_records,
            audit_interval: self.observer_audit_interval,
        }
    }

    pub(super) fn validate(&self) -> Result<(), OpenError> {
        let wrong = |option, given: String, must| {
            Err(OpenError::Option {
                option,
                given,
                must,
            })
        };
        if self.store.0 == 0 {
            return wrong("store", "0".to_owned(), "at least 1");
        }
        if self.barrier_interval < Duration::from_millis(1) {
            return wrong(
                "barrier_interval",
                format!("{:?}", self.barrier_interval),
                "at least 1 ms",
            );
        }
        if self.observer_audit_interval < Duration::from_millis(1) {
            return wrong(
                "observer_audit_interval",
                format!("{:?}", self.observer_audit_interval),
                "at least 1 ms",
            );
        }
        if let Err(error) = self.cache.clone().validated() {
            return wrong(error.setting, error.given, "as `CacheSettings` says");
        }
        if let Err(error) = self.history.clone().validated() {
            return wrong(error.setting, error.given, error.must);
        }
        if self.checkpoint_records == 0 {
            return wrong("checkpoint_records", "0".to_owned(), "at least 1");
        }
        if let Err(error) = self.journal().validate() {
            return wrong(
                "segment_bytes",
                error.to_string(),
                "a multiple of 4096, at least 32768",
            );
        }
        Ok(())
    }

    pub(super) fn open_disk(&self) -> Result<Arc<dyn Disk>, std::io::Error> {
        match &self.disk {
            Some(disk) => Ok(Arc::clone(disk)),
            None => {
                let options = RealDiskOptions {
                    sync: self.sync,
                    ..RealDiskOptions::default()
                };
                Ok(Arc::new(RealDisk::with(options)?))
            }
        }
    }
}
