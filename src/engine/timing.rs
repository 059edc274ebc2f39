//! How long each step of a transition took, and the log of the slow ones.
//!
//! A record carries its times from its decision to its publication; whoever publishes it adds the last two
//! steps. So a transition that somebody waits for and one that was submitted are measured alike.
//!
//! What a thread waited for before a decision (the region's latch, a barrier) it notes for the next record
//! of a region that it appends. Taking a latch begins anew, so nothing of an earlier call is left.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use torrens_journal::Lsn;

use super::core::Core;
use super::counting::count;
use crate::RegionId;
use crate::lifecycle::{Change, ChangeKind, Record};

/// How many slow transitions are remembered.
pub(super) const SLOW_TRANSITIONS_MAX: usize = 64;

/// How long each step of one transition took, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionSteps {
    /// Waiting for the region: another call of it was under way.
    pub region_wait: Duration,
    /// Waiting for the barrier that made the region's data durable first.
    pub barrier: Duration,
    /// Deciding, waiting for other decisions included.
    pub decision: Duration,
    /// Encoding the record, giving it to the journal, and moving the decided state.
    pub append: Duration,
    /// From there until a sync had made it durable. For a record that nobody waits for (the caches') that
    /// includes the wait for the next sync.
    pub sync: Duration,
    /// From there until everybody saw it.
    pub publication: Duration,
}

impl TransitionSteps {
    /// All steps together.
    pub fn total(&self) -> Duration {
        self.named().map(|(_, took)| took).iter().sum()
    }

    /// Each step with its stable name.
    pub fn named(&self) -> [(&'static str, Duration); 6] {
        [
            ("region-wait", self.region_wait),
            ("barrier", self.barrier),
            ("decision", self.decision),
            ("append", self.append),
            ("sync", self.sync),
            ("publication", self.publication),
        ]
    }
}

/// A transition that took at least
/// [`Options::slow_transition_threshold`](super::Options::slow_transition_threshold).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowTransition {
    /// Position of its record.
    pub lsn: Lsn,
    /// The kind of its record.
    pub kind: ChangeKind,
    /// Its region, if it is about one.
    pub region: Option<RegionId>,
    /// How long each step took.
    pub steps: TransitionSteps,
}

/// Before a decision.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    region: Duration,
    barrier: Duration,
}

thread_local! {
    static WAITS: Cell<Waits> = const { Cell::new(Waits { region: Duration::ZERO, barrier: Duration::ZERO }) };
}

/// This thread holds its regions' latches after waiting so long.
pub(super) fn note_region_wait(region: Duration) {
    let barrier = Duration::ZERO;
    WAITS.set(Waits { region, barrier });
}

/// What this thread waited for its regions' latches.
#[cfg(test)]
pub(super) fn region_wait() -> Duration {
    WAITS.get().region
}

/// This thread waited for a barrier since `begun`, under its regions' latches.
pub(super) fn note_barrier_wait(begun: Instant) {
    let waits = WAITS.get();
    let barrier = waits.barrier.saturating_add(begun.elapsed());
    WAITS.set(Waits { barrier, ..waits });
}

/// The times of a record up to its place in the journal. Every record carries one until it is published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) lsn: Lsn,
    waits: Waits,
    decision: Duration,
    append: Duration,
    at: Instant,
}

impl Appended {
    /// The record at `lsn` has its place now; deciding it began at `begun` and ended at `decided`.
    pub(super) fn now(lsn: Lsn, record: &Record, begun: Instant, decided: Instant) -> Self {
        // A barrier's own record, or a lease's, is made on the way to another.
        let waits = match record.header.region {
            Some(_) => WAITS.take(),
            None => Waits::default(),
        };
        let at = Instant::now();
        Appended {
            lsn,
            waits,
            decision: decided.saturating_duration_since(begun),
            append: at.saturating_duration_since(decided),
            at,
        }
    }

    /// Everybody sees it since `published`; it was known to be durable at `durable`.
    fn published(self, durable: Instant, published: Instant) -> TransitionSteps {
        // A record that was appended while an earlier one was published was durable at once.
        let durable = durable.max(self.at);
        TransitionSteps {
            region_wait: self.waits.region,
            barrier: self.waits.barrier,
            decision: self.decision,
            append: self.append,
            sync: durable.saturating_duration_since(self.at),
            publication: published.saturating_duration_since(durable),
        }
    }
}

/// The slow-transition log.
#[derive(Debug)]
pub(super) struct SlowLog {
    threshold_nanos: AtomicU64,
    recent: Mutex<VecDeque<SlowTransition>>,
}

impl SlowLog {
    /// Logs from `threshold` on.
    pub(super) fn new(threshold: Duration) -> Self {
        let nanos = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
        SlowLog {
            threshold_nanos: AtomicU64::new(nanos),
            recent: Mutex::default(),
        }
    }

    pub(super) fn set_threshold(&self, threshold: Duration) {
        let nanos = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
        self.threshold_nanos.store(nanos, Ordering::Relaxed);
    }

    fn is_slow(&self, total: Duration) -> bool {
        total.as_nanos() >= u128::from(self.threshold_nanos.load(Ordering::Relaxed))
    }

    /// The last ones, the oldest first.
    pub(super) fn recent(&self) -> Vec<SlowTransition> {
        self.recent.lock().iter().cloned().collect()
    }
}

impl Core {
    /// Takes note of how long the transitions took that were published just now.
    pub(super) fn note_published<'a>(
        &self,
        records: impl Iterator<Item = (&'a Record, &'a Appended)>,
        durable: Instant,
    ) {
        let published = Instant::now();
        for (record, appended) in records {
            let steps = appended.published(durable, published);
            let total = steps.total();
            #[cfg(feature = "metrics")]
            self.histograms.record(&steps, total);
            let (lsn, kind) = (appended.lsn, record.change.change_kind());
            let region = record.header.region;
            crate::trace::transition(lsn, kind, region, total);
            if let Change::PeerDamaged { region, reason } = &record.change {
                crate::trace::damaged(*region, reason.as_str());
            }
            if !self.slow_log.is_slow(total) {
                continue;
            }
            count(&self.counting.slow_transitions);
            let slow = SlowTransition {
                lsn,
                kind,
                region,
                steps,
            };
            crate::trace::slow_transition(&slow);
            let mut recent = self.slow_log.recent.lock();
            if recent.len() == SLOW_TRANSITIONS_MAX {
                recent.pop_front();
            }
            recent.push_back(slow);
        }
    }
}
