//! Giving the engine's numbers to the facade of the crate `metrics` (feature `metrics`).
//!
//! How long things took is given when it happens, through handles that are made when the store is opened;
//! so the recorder has to be installed before. Everything else is given when the host asks for it, right
//! before its numbers are fetched: counters as they stand, and gauges of that moment.
//!
//! Not here: which numbers there are (`crate::metrics`), counting them (`counting`, `timing`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{Histogram, Unit};

use super::core::Core;
use super::timing::TransitionSteps;
use crate::cache::CacheCounters;
use crate::lifecycle::{EvictReason, LoadReason, Register};
use crate::metrics::{ENGINE, MetricKind};

/// Steps of a transition, and all of them together.
const STEPS: [&str; 7] = [
    "region-wait",
    "barrier",
    "decision",
    "append",
    "sync",
    "publication",
    "total",
];

/// Stages of a peer.
const STAGES: [&str; 6] = [
    "uninitialized",
    "normal",
    "witness",
    "waiting-for-data",
    "applying",
    "damaged",
];

/// Where times go when they are known.
pub(super) struct Histograms {
    steps: [Histogram; STEPS.len()],
    pub(super) barrier: Histogram,
    pub(super) checkpoint: Histogram,
}

impl std::fmt::Debug for Histograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histograms").finish_non_exhaustive()
    }
}

impl Histograms {
    /// Describes every number to the recorder that is installed now, and takes its handles.
    pub(super) fn new() -> Self {
        for metric in ENGINE {
            let unit = match metric.unit {
                "seconds" => Unit::Seconds,
                "microseconds" => Unit::Microseconds,
                "bytes" => Unit::Bytes,
                _ => Unit::Count,
            };
            match metric.kind {
                MetricKind::Counter => {
                    metrics::describe_counter!(metric.name, unit, metric.meaning);
                }
                MetricKind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.meaning),
                MetricKind::Histogram => {
                    metrics::describe_histogram!(metric.name, unit, metric.meaning);
                }
            }
        }
        Histograms {
            steps: STEPS.map(
                |step| metrics::histogram!("torrens_engine_transition_seconds", "step" => step),
            ),
            barrier: metrics::histogram!("torrens_engine_barrier_seconds"),
            checkpoint: metrics::histogram!("torrens_engine_checkpoint_seconds"),
        }
    }

    /// A transition was published.
    pub(super) fn record(&self, steps: &TransitionSteps, total: Duration) {
        let took = steps.named().into_iter().map(|(_, took)| took);
        for (histogram, took) in self.steps.iter().zip(took.chain([total])) {
            histogram.record(took);
        }
    }
}

fn count(name: &'static str, total: u64) {
    metrics::counter!(name).absolute(total);
}

fn count_of(name: &'static str, label: &'static str, of: &'static str, total: u64) {
    metrics::counter!(name, label => of).absolute(total);
}

fn gauge(name: &'static str, value: u64) {
    // Exact up to 2^53.
    metrics::gauge!(name).set(value as f64);
}

fn gauge_of(name: &'static str, label: &'static str, of: &'static str, value: u64) {
    metrics::gauge!(name, label => of).set(value as f64);
}

impl Core {
    /// Gives every counter and gauge to the recorder that is installed. Looks at every region once.
    pub(super) fn export_metrics(&self) {
        self.export_decisions();
        self.export_journal();
        self.export_caches();
        self.export_observers();
        let visible = self.visible();
        self.export_register(&visible);
    }

    fn export_decisions(&self) {
        let counters = self.counters();
        for (answer, total) in [
            ("accepted", counters.accepted),
            ("already-applied", counters.already_applied),
            ("wait", counters.waits),
            ("refused", counters.refused),
        ] {
            count_of("torrens_engine_transitions_total", "answer", answer, total);
        }
        for (code, total) in counters.refusals {
            count_of("torrens_engine_refusals_total", "code", code, total);
        }
        for (kind, total) in counters.records {
            count_of("torrens_engine_records_total", "kind", kind.name(), total);
        }
        count(
            "torrens_engine_slow_transitions_total",
            counters.slow_transitions,
        );
        for (answer, total) in [
            ("applied", counters.writes_applied),
            ("already-applied", counters.writes_already_applied),
            ("refused", counters.writes_refused),
        ] {
            count_of("torrens_engine_writes_total", "answer", answer, total);
        }
        for (name, done, failed) in [
            (
                "torrens_engine_barriers_total",
                counters.barriers,
                counters.barriers_failed,
            ),
            (
                "torrens_engine_checkpoints_total",
                counters.checkpoints,
                counters.checkpoints_failed,
            ),
        ] {
            count_of(name, "outcome", "done", done);
            count_of(name, "outcome", "failed", failed);
        }
        for (step, total) in [
            ("taken", counters.snapshots_taken),
            ("received", counters.snapshots_received),
            ("applied", counters.snapshots_applied),
        ] {
            count_of("torrens_engine_snapshots_total", "step", step, total);
        }
        let collection = counters.collection;
        count(
            "torrens_engine_versions_seen_total",
            collection.versions_seen,
        );
        count(
            "torrens_engine_versions_removed_total",
            collection.versions_removed,
        );
        count("torrens_engine_collector_walks_total", collection.walks);
        gauge("torrens_engine_range_deletions", collection.range_deletions);
        gauge("torrens_engine_reader_pins", collection.pins);
        let poisoned = self.poisoned.load(Ordering::Acquire);
        gauge("torrens_engine_poisoned", u64::from(poisoned));
        let failed = self.barriers.check().is_err();
        gauge("torrens_engine_data_failed", u64::from(failed));
        let jobs = self.queue.len() as u64;
        gauge("torrens_engine_background_jobs", jobs);
    }

    fn export_journal(&self) {
        let journal = self.journal.stats();
        for (name, total) in [
            (
                "torrens_engine_journal_records_total",
                journal.appended_records,
            ),
            (
                "torrens_engine_journal_payload_bytes_total",
                journal.appended_payload_bytes,
            ),
            ("torrens_engine_journal_groups_total", journal.groups),
            (
                "torrens_engine_journal_stored_bytes_total",
                journal.stored_bytes,
            ),
            (
                "torrens_engine_journal_padding_bytes_total",
                journal.padding_bytes,
            ),
            ("torrens_engine_journal_syncs_total", journal.syncs),
            ("torrens_engine_journal_rotations_total", journal.rotations),
            ("torrens_engine_journal_marks_total", journal.marks),
            (
                "torrens_engine_journal_purged_segments_total",
                journal.purged_segments,
            ),
            (
                "torrens_engine_journal_recycled_segments_total",
                journal.recycled_segments,
            ),
            (
                "torrens_engine_journal_callback_panics_total",
                journal.callback_panics,
            ),
        ] {
            count(name, total);
        }
        count(
            "torrens_engine_journal_sync_microseconds_total",
            journal.sync_micros,
        );
        gauge("torrens_engine_journal_segments", journal.segments);
        gauge(
            "torrens_engine_journal_segments_ahead",
            journal.segments_ahead,
        );
        let since = self.journal.synced().distance_from(self.last_checkpoint());
        gauge("torrens_engine_records_since_checkpoint", since);
    }

    fn export_caches(&self) {
        let cache: CacheCounters = self.caches.counting.read();
        gauge("torrens_engine_cache_bytes", self.caches.bytes());
        for (name, label, values) in [
            (
                "torrens_engine_cache_views_total",
                "source",
                [
                    ("memory", cache.views_from_memory),
                    ("uncached", cache.views_uncached),
                    ("too-old", cache.views_too_old),
                ]
                .as_slice(),
            ),
            (
                "torrens_engine_cache_gets_total",
                "source",
                &[
                    ("memory", cache.gets_from_memory),
                    ("store", cache.gets_from_store),
                ],
            ),
            (
                "torrens_engine_cache_rows_total",
                "source",
                &[
                    ("memory", cache.rows_from_memory),
                    ("store", cache.rows_from_store),
                ],
            ),
            (
                "torrens_engine_cache_loads_total",
                "outcome",
                &[
                    ("begun", cache.loads_begun),
                    ("finished", cache.loads_finished),
                    ("cancelled", cache.loads_cancelled),
                    ("out-of-memory", cache.loads_out_of_memory),
                    ("failed", cache.loads_failed),
                ],
            ),
        ] {
            for (of, total) in values {
                count_of(name, label, of, *total);
            }
        }
        for reason in LoadReason::ALL {
            let (name, of) = ("torrens_engine_cache_asked_loads_total", reason.as_str());
            count_of(name, "reason", of, cache.loads(reason));
        }
        for reason in EvictReason::ALL {
            let (name, of) = ("torrens_engine_cache_evictions_total", reason.as_str());
            count_of(name, "reason", of, cache.evictions(reason));
        }
        for (name, total) in [
            ("torrens_engine_cache_load_rows_total", cache.load_rows),
            ("torrens_engine_cache_merges_total", cache.merges),
            (
                "torrens_engine_cache_timed_out_pins_total",
                cache.pins_timed_out,
            ),
            ("torrens_engine_cache_rounds_total", cache.rounds),
            ("torrens_engine_cache_checks_total", cache.checks),
            ("torrens_engine_cache_mismatches_total", cache.mismatches),
            (
                "torrens_engine_cache_stale_leadership_reports_total",
                cache.leadership_reports_stale,
            ),
            ("torrens_engine_cache_preloads_total", cache.preloads),
            (
                "torrens_engine_cache_refused_preloads_total",
                cache.preloads_refused,
            ),
        ] {
            count(name, total);
        }
        count(
            "torrens_engine_cache_load_microseconds_total",
            cache.load_micros,
        );
        count(
            "torrens_engine_cache_merge_microseconds_total",
            cache.merge_micros,
        );
    }

    fn export_observers(&self) {
        let observers = self.observing.registry.counting.read();
        for (name, total) in [
            (
                "torrens_engine_observer_late_reports_total",
                observers.reports_late,
            ),
            (
                "torrens_engine_observer_ignored_failures_total",
                observers.failures_ignored,
            ),
            ("torrens_engine_observer_audits_total", observers.audits),
            (
                "torrens_engine_observer_audit_repairs_total",
                observers.audit_repairs,
            ),
        ] {
            count(name, total);
        }
        let history = self.history.stats();
        gauge("torrens_engine_history_kept_bytes", history.kept_bytes);
        gauge("torrens_engine_history_file_bytes", history.file_bytes);
        count("torrens_engine_history_missed_total", history.missed);
        let statuses = self.observer_statuses();
        gauge("torrens_engine_observers", statuses.len() as u64);
        let lags: Vec<_> = statuses
            .iter()
            .filter_map(|status| self.observer_lag(status.id))
            .collect();
        let behind = lags.iter().map(|lag| lag.bytes).max();
        gauge("torrens_engine_observer_lag_bytes", behind.unwrap_or(0));
        if let Some(left) = lags.iter().map(|lag| lag.bytes_left).min() {
            gauge("torrens_engine_observer_left_bytes", left);
        }
        let sum = |of: fn(&super::ObserverRegions) -> usize| {
            statuses
                .iter()
                .map(|status| of(&status.regions) as u64)
                .sum::<u64>()
        };
        for (state, total) in [
            ("wanted", sum(|regions| regions.wanted)),
            ("catching-up", sum(|regions| regions.catching_up)),
            ("live", sum(|regions| regions.live)),
            ("draining", sum(|regions| regions.draining)),
            ("invalidated", sum(|regions| regions.invalidated)),
        ] {
            gauge_of("torrens_engine_observed_regions", "state", state, total);
        }
    }

    fn export_register(&self, register: &Register) {
        let mut stages: BTreeMap<&'static str, u64> =
            STAGES.into_iter().map(|stage| (stage, 0)).collect();
        let mut tombstones = 0;
        for (_, slot) in register.slots() {
            if let Some(peer) = &slot.peer {
                *stages.entry(peer.stage.name()).or_default() += 1;
            }
            tombstones += u64::from(slot.tombstone.is_some());
        }
        for (stage, total) in stages {
            gauge_of("torrens_engine_regions", "stage", stage, total);
        }
        gauge("torrens_engine_tombstones", tombstones);
        let deletions = register.deletions().count() as u64;
        gauge("torrens_engine_pending_deletions", deletions);
    }
}
