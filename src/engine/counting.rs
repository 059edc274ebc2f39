//! `EngineCounters`: what the engine did since the store was opened. Always on, never reset.
//!
//! Not here: how long things took (`timing`), giving the numbers to a monitoring system (`export`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use torrens_journal::JournalStats;

use super::collect::CollectionStats;
use super::core::Core;
use super::{Answer, EngineError};
use crate::cache::CacheCounters;
use crate::lifecycle::{ChangeKind, Refusal};
use crate::observe::{HistoryStats, ObserverCounters};

const KINDS: usize = ChangeKind::ALL.len();

/// Totals since the store was opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineCounters {
    /// Decisions that a transition happens, those about caches and observers too.
    pub accepted: u64,
    /// Decisions that it had happened already.
    pub already_applied: u64,
    /// Decisions that it waits for something else on this store.
    pub waits: u64,
    /// Decisions that it may not happen.
    pub refused: u64,
    /// The refusals by [`Refusal::code`]; none of a code that was never given.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Records that were appended, by kind; every kind is there.
    pub records: BTreeMap<ChangeKind, u64>,
    /// Transitions that took at least
    /// [`Options::slow_transition_threshold`](super::Options::slow_transition_threshold).
    pub slow_transitions: u64,
    /// Writes of region data that went in.
    pub writes_applied: u64,
    /// Writes that the store had already.
    pub writes_already_applied: u64,
    /// Writes that were refused.
    pub writes_refused: u64,
    /// Barriers that came about.
    pub barriers: u64,
    /// Barriers that failed.
    pub barriers_failed: u64,
    /// How long the barriers that came about took together, in microseconds.
    pub barrier_micros: u64,
    /// Checkpoints that were written.
    pub checkpoints: u64,
    /// Checkpoints that failed.
    pub checkpoints_failed: u64,
    /// How long the checkpoints that were written took together, in microseconds.
    pub checkpoint_micros: u64,
    /// Snapshots that were taken.
    pub snapshots_taken: u64,
    /// Snapshots that were received and staged.
    pub snapshots_received: u64,
    /// Snapshots that were applied to their end.
    pub snapshots_applied: u64,
    /// The journal's.
    pub journal: JournalStats,
    /// The caches'.
    pub cache: CacheCounters,
    /// Of what became of old versions.
    pub collection: CollectionStats,
    /// Of the observers.
    pub observers: ObserverCounters,
    /// Of the history of observed regions.
    pub history: HistoryStats,
}

/// The totals while they are counted.
#[derive(Debug)]
pub(super) struct Counting {
    already_applied: AtomicU64,
    waits: AtomicU64,
    refused: AtomicU64,
    /// Rare enough for a lock.
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    records: [AtomicU64; KINDS],
    pub(super) slow_transitions: AtomicU64,
    pub(super) writes_applied: AtomicU64,
    pub(super) writes_already_applied: AtomicU64,
    pub(super) writes_refused: AtomicU64,
    barriers: Work,
    checkpoints: Work,
    pub(super) snapshots_taken: AtomicU64,
    pub(super) snapshots_received: AtomicU64,
    pub(super) snapshots_applied: AtomicU64,
}

/// Work that takes time, and may fail.
#[derive(Debug, Default)]
struct Work {
    done: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

impl Default for Counting {
    fn default() -> Self {
        Counting {
            already_applied: AtomicU64::default(),
            waits: AtomicU64::default(),
            refused: AtomicU64::default(),
            refusals: Mutex::default(),
            records: [const { AtomicU64::new(0) }; KINDS],
            slow_transitions: AtomicU64::default(),
            writes_applied: AtomicU64::default(),
            writes_already_applied: AtomicU64::default(),
            writes_refused: AtomicU64::default(),
            barriers: Work::default(),
            checkpoints: Work::default(),
            snapshots_taken: AtomicU64::default(),
            snapshots_received: AtomicU64::default(),
            snapshots_applied: AtomicU64::default(),
        }
    }
}

/// One more.
pub(super) fn count(total: &AtomicU64) {
    total.fetch_add(1, Ordering::Relaxed);
}

fn read(total: &AtomicU64) -> u64 {
    total.load(Ordering::Relaxed)
}

impl Work {
    fn note(&self, took: Duration, is_done: bool) {
        if is_done {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.micros.fetch_add(micros, Ordering::Relaxed);
            count(&self.done);
        } else {
            count(&self.failed);
        }
    }
}

impl Counting {
    /// An answer that changes nothing.
    pub(super) fn note_unchanged(&self, answer: &Answer) {
        match answer {
            Answer::Accepted { .. } => {}
            Answer::AlreadyApplied => count(&self.already_applied),
            Answer::Wait(_) => count(&self.waits),
            Answer::Refused(refusal) => self.note_refusal(refusal),
        }
    }

    fn note_refusal(&self, refusal: &Refusal) {
        count(&self.refused);
        *self.refusals.lock().entry(refusal.code()).or_default() += 1;
    }

    pub(super) fn note_record(&self, kind: ChangeKind) {
        let at = ChangeKind::ALL.binary_search(&kind);
        if let Some(total) = at.ok().and_then(|at| self.records.get(at)) {
            count(total);
        }
    }
}

impl Core {
    /// Does the work of a barrier, counted.
    pub(super) fn counted_barrier(
        &self,
        work: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let begun = Instant::now();
        let outcome = work();
        let took = begun.elapsed();
        self.counting.barriers.note(took, outcome.is_ok());
        #[cfg(feature = "metrics")]
        self.histograms.barrier.record(took);
        outcome
    }

    /// Does the work of a checkpoint, counted.
    pub(super) fn counted_checkpoint<T>(
        &self,
        work: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let begun = Instant::now();
        let outcome = work();
        let took = begun.elapsed();
        self.counting.checkpoints.note(took, outcome.is_ok());
        #[cfg(feature = "metrics")]
        self.histograms.checkpoint.record(took);
        outcome
    }

    /// The totals now.
    pub(super) fn counters(&self) -> EngineCounters {
        let counting = &self.counting;
        let kinds = ChangeKind::ALL.into_iter();
        let records: BTreeMap<_, _> = kinds.zip(counting.records.iter().map(read)).collect();
        EngineCounters {
            accepted: records.values().sum(),
            already_applied: read(&counting.already_applied),
            waits: read(&counting.waits),
            refused: read(&counting.refused),
            refusals: counting.refusals.lock().clone(),
            records,
            slow_transitions: read(&counting.slow_transitions),
            writes_applied: read(&counting.writes_applied),
            writes_already_applied: read(&counting.writes_already_applied),
            writes_refused: read(&counting.writes_refused),
            barriers: read(&counting.barriers.done),
            barriers_failed: read(&counting.barriers.failed),
            barrier_micros: read(&counting.barriers.micros),
            checkpoints: read(&counting.checkpoints.done),
            checkpoints_failed: read(&counting.checkpoints.failed),
            checkpoint_micros: read(&counting.checkpoints.micros),
            snapshots_taken: read(&counting.snapshots_taken),
            snapshots_received: read(&counting.snapshots_received),
            snapshots_applied: read(&counting.snapshots_applied),
            journal: self.journal.stats(),
            cache: self.caches.counting.read(),
            collection: self.collection_stats(),
            observers: self.observing.registry.counting.read(),
            history: self.history.stats(),
        }
    }
}
