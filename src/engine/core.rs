//! The engine's inside: decide → append → sync → publish.
//!
//! `Core` is what all handles, workers and views of one engine share. What it does lies in rooms of their
//! own: `decide` and `durable` for every transition, `transitions`, `merges`, `snapshots` and `orders` for
//! what is special about some.
//!
//! Two pictures of the register exist. `decided` holds everything that was appended; decisions build
//! on it. `published` holds what is durable; readers see only that. When a sync is sealed, the picture behind
//! the last record that it covers is kept, which shares all but a few nodes with the one before; publishing
//! puts it in the place of the one that is seen, and applies nothing twice.
//!
//! Lock order: region latch → `decided` → `unpublished`, and `publishing` → `unpublished` or `published`. None
//! of them is held during a sync except the latch. The small locks of rows, fences and caches come last and hold nothing.
//! `visible` is the published picture once more, for those who look at one moment and take no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, DiskLock};

use super::EngineError;
use super::background::Queue;
use super::barrier::Barriers;
use super::caches::Caches;
use super::collect::{Collection, ReadPins};
use super::counting::Counting;
use super::durable::Follows;
use super::feed::{Carried, Feeds, Retention};
use super::fence::Fences;
use super::latch::Latches;
use super::layout::Layout;
use super::log::Log;
use super::observers::Observing;
use super::publication::Publication;
use super::rows::Rows;
use super::submit::parking::Parking;
use super::timing::SlowLog;
use crate::lifecycle::Register;
use crate::observe::history::History;
use crate::sequence::Sequencer;
use crate::store::{ColumnFamilies, VersionedStore};
use crate::sync::{Guard, RwLockReadGuard};
use crate::{Incarnation, RegionId, Sequence};

/// Everything that is shared by the handles, the background worker and the views of one engine.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) layout: Layout,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: Log,
    /// Everything at or below was complete when the store was opened.
    pub(super) opened_at: Sequence,
    pub(super) data: Arc<VersionedStore>,
    pub(super) history: Arc<History>,
    pub(super) feeds: Feeds,
    pub(super) retention: Retention,
    pub(super) carried: Carried,
    pub(super) families: ColumnFamilies,
    pub(super) pins: Arc<ReadPins>,
    pub(super) collection: Collection,
    pub(super) latches: Latches,
    pub(super) rows: Rows,
    pub(super) fences: Fences,
    pub(super) caches: Caches,
    pub(super) observing: Observing,
    pub(super) barriers: Barriers,
    pub(super) sequencer: Sequencer,
    pub(super) queue: Queue,
    pub(super) parking: Parking,
    pub(super) counting: Counting,
    pub(super) slow_log: SlowLog,
    #[cfg(feature = "metrics")]
    pub(super) histograms: super::export::Histograms,
    /// Held while keys of a range are cleared or ingested: one such effect at a time.
    pub(super) effects: Mutex<()>,
    pub(super) closed: AtomicBool,
    /// A sync of the journal failed.
    pub(super) poisoned: AtomicBool,
    /// A peer went since the staged snapshots were looked through.
    pub(super) snapshots_to_sweep: AtomicBool,
    /// Held while a checkpoint is written: one at a time.
    pub(super) checkpointing: Mutex<()>,
    /// Position of the newest checkpoint.
    pub(super) checkpointed: AtomicU64,
    /// Nobody else opens the directory while this lives.
    _lock: Option<Box<dyn DiskLock>>,
    /// What is decided, what is published, and the records between. The journal's hooks share it.
    pub(super) publication: Arc<Publication<Register, Follows>>,
}

/// The parts that opening brings together.
pub(super) struct Parts {
    pub(super) layout: Layout,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: Log,
    pub(super) lock: Option<Box<dyn DiskLock>>,
    pub(super) checkpoint: Option<Lsn>,
    pub(super) data: Arc<VersionedStore>,
    pub(super) history: Arc<History>,
    pub(super) families: ColumnFamilies,
    pub(super) register: Register,
    /// Regions that were cached when the process before ended.
    pub(super) warm: Vec<(RegionId, Incarnation)>,
    /// From how long on a transition is slow.
    pub(super) slow_transition_threshold: Duration,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            layout,
            disk,
            journal,
            lock,
            checkpoint,
            data,
            history,
            families,
            register,
            warm,
            slow_transition_threshold,
        } = parts;
        let caches = Caches::default();
        caches.remember_warm(warm);
        let ceiling = register.sequence_ceiling();
        Core {
            rows: Rows::new(register.barrier().saturating_add(1)),
            barriers: Barriers::new(register.barrier()),
            sequencer: Sequencer::new(ceiling),
            pins: ReadPins::new(ceiling),
            collection: Collection::default(),
            latches: Latches::default(),
            fences: Fences::default(),
            caches,
            observing: Observing::new(&register, Arc::clone(&history) as _),
            queue: Queue::default(),
            parking: Parking::default(),
            counting: Counting::default(),
            slow_log: SlowLog::new(slow_transition_threshold),
            #[cfg(feature = "metrics")]
            histograms: super::export::Histograms::new(),
            effects: Mutex::new(()),
            closed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            snapshots_to_sweep: AtomicBool::new(true),
            checkpointing: Mutex::new(()),
            checkpointed: AtomicU64::new(checkpoint.map_or(0, Lsn::get)),
            opened_at: ceiling,
            _lock: lock,
            publication: Arc::new(Publication::new(register.clone(), register.last_lsn())),
            layout,
            disk,
            journal,
            data,
            history,
            feeds: Feeds::default(),
            retention: Retention::default(),
            carried: Carried::default(),
            families,
        }
    }

    /// The durable state: all that readers, observers and callers may see. Nothing is published while
    /// this is held.
    pub(super) fn published(&self) -> RwLockReadGuard<'_, Register> {
        self.publication.read()
    }

    /// The durable state as it is at this moment. Waits for nobody and holds nobody up.
    pub(super) fn visible(&self) -> Guard<Arc<Register>> {
        self.publication.visible()
    }

    /// Looks at the state that decisions build on. Nothing seen here may be shown to anyone before
    /// [`Core::settle`]; keep it short, every decision waits for it.
    pub(super) fn with_decided<T>(&self, look: impl FnOnce(&Register) -> T) -> T {
        look(&self.publication.decided())
    }

    /// An error if the engine takes nothing any more: closed, for reading only, or poisoned.
    pub(super) fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(EngineError::Closed);
        }
        self.journal.check_writable()?;
        if self.poisoned.load(Ordering::Acquire) {
            return Err(EngineError::Poisoned);
        }
        Ok(())
    }
}
