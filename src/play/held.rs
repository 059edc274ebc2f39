//! A piece of background work that stands still in its middle, so that a scenario can put commands
//! between its rows.
//!
//! The work runs on a thread of its own, and its reads of the data store go through a [`Gate`], where
//! it waits. Only one of the two threads ever runs: whoever starts or releases the work waits until it
//! stands again or has ended, so a scenario stays deterministic.
//!
//! Not here: which commands do that (`commands::machines`).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};

use parking_lot::{Condvar, Mutex};
use torrens_journal::disk::Disk;

use crate::store::{
    DataStore, Direction, RangeDeletions, RawRange, RawRows, StoreBatch, StoreError, StoreFactory,
    StoreKey, StoreOpenError, StoreOpenMode,
};
use crate::{Engine, EngineError};

/// What the work came to: the name of the job, if there was one.
type Ran = Result<Option<&'static str>, EngineError>;

/// Where the held thread waits.
#[derive(Clone, Default)]
pub(super) struct Gate {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The thread whose reads are counted; none if nothing is held.
    thread: Option<ThreadId>,
    /// Rows that it may still read before it stands.
    rows_left: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It runs, towards the row where it is to stand.
    #[default]
    Running,
    /// It stands.
    Standing,
    /// It was let go, and does not stand again.
    Free,
    /// Its next read fails: of the disk, or because the process is gone.
    Cut,
    /// It has ended.
    Ended,
}

/// Work that stands still, or is on its way to where it does.
pub(super) struct Held {
    gate: Gate,
    worker: Option<JoinHandle<Ran>>,
}

/// How held work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// To its end.
    GoOn,
    /// Its next read of the data store fails.
    Fail,
}

impl Gate {
    /// Runs one piece of background work up to where it has read that many rows.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn run_until(&self, engine: Engine, rows: u64) -> io::Result<Held> {
        *self.shared.state.lock() = State {
            rows_left: rows,
            ..State::default()
        };
        let gate = self.clone();
        let worker = thread::Builder::new().spawn(move || {
            gate.shared.state.lock().thread = Some(thread::current().id());
            let ran = engine.step_background();
            // Whoever waits for the end may open the store again, which only one process may.
            drop(engine);
            gate.enter(Phase::Ended);
            ran
        })?;
        let held = Held {
            gate: self.clone(),
            worker: Some(worker),
        };
        let mut state = self.shared.state.lock();
        while state.phase == Phase::Running {
            self.shared.changed.wait(&mut state);
        }
        drop(state);
        Ok(held)
    }

    fn enter(&self, phase: Phase) {
        self.shared.state.lock().phase = phase;
        self.shared.changed.notify_all();
    }

    /// Before each row of a scan: stands if this is the held thread and it has read enough.
    fn pass(&self) -> Result<(), StoreError> {
        let mut state = self.shared.state.lock();
        if state.thread != Some(thread::current().id()) {
            return Ok(());
        }
        if state.phase == Phase::Running && state.rows_left == 0 {
            state.phase = Phase::Standing;
            self.shared.changed.notify_all();
            while state.phase == Phase::Standing {
                self.shared.changed.wait(&mut state);
            }
        }
        match state.phase {
            Phase::Cut => Err(StoreError::Io {
                operation: "store.scan",
                source: Arc::new(io::Error::other("injected failure of store.scan")),
            }),
            Phase::Running | Phase::Standing | Phase::Free | Phase::Ended => Ok(()),
        }
    }

    fn count(&self, key: &[u8]) {
        let mut state = self.shared.state.lock();
        let is_row = || matches!(StoreKey::decode(key), Ok(StoreKey::Data(_)));
        if state.thread == Some(thread::current().id()) && is_row() {
            state.rows_left = state.rows_left.saturating_sub(1);
        }
    }
}

impl Held {
    /// Whether it stands: otherwise it came to its end before.
    pub(super) fn stands(&self) -> bool {
        self.gate.shared.state.lock().phase == Phase::Standing
    }

    /// Lets it go, and waits for its end.
    pub(super) fn release(mut self, how: Release) -> Ran {
        self.end(match how {
            Release::GoOn => Phase::Free,
            Release::Fail => Phase::Cut,
        })
        .unwrap_or(Ok(None))
    }

    fn end(&mut self, phase: Phase) -> Option<Ran> {
        let worker = self.worker.take()?;
        if self.stands() {
            self.gate.enter(phase);
        }
        let ran = match worker.join() {
            Ok(ran) => ran,
            // Its panic is this thread's, as it is where the work runs here.
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.gate.shared.state.lock().thread = None;
        Some(ran)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The process is gone: what the work would still have done happens nowhere.
        if !thread::panicking() {
            let _ = self.end(Phase::Cut);
        }
    }
}

/// Opens stores whose scans pass a gate.
pub(super) struct GatedFactory<F> {
    pub(super) inner: F,
    pub(super) gate: Gate,
}

impl<F: StoreFactory> fmt::Debug for GatedFactory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<F: StoreFactory> StoreFactory for GatedFactory<F> {
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        let inner = self.inner.open(dir, mode)?;
        let gate = self.gate.clone();
        Ok(Arc::new(Gated { inner, gate }))
    }

    fn set_aside(&self, disk: &dyn Disk, dir: &Path, aside: &Path) -> io::Result<()> {
        self.inner.set_aside(disk, dir, aside)
    }
}

/// A data store whose scans pass a gate.
struct Gated {
    inner: Arc<dyn DataStore>,
    gate: Gate,
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl DataStore for Gated {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.inner.apply(batch)
    }

    fn apply_each(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.inner.apply_each(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        let inner = self.inner.scan(range, direction);
        Box::new(GatedRows {
            inner: Some(inner),
            gate: &self.gate,
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }

    fn doubt(&self) -> Option<String> {
        self.inner.doubt()
    }

    fn range_deletions(&self) -> Option<&RangeDeletions> {
        self.inner.range_deletions()
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.inner.size_bytes()
    }
}

struct GatedRows<'a> {
    /// None after an error.
    inner: Option<RawRows<'a>>,
    gate: &'a Gate,
}

impl Iterator for GatedRows<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let inner = self.inner.as_mut()?;
        if let Err(error) = self.gate.pass() {
            self.inner = None;
            return Some(Err(error));
        }
        let row = inner.next()?;
        if let Ok((key, _)) = &row {
            self.gate.count(key);
        }
        Some(row)
    }
}
