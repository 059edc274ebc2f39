//! What the engine tells the crate `tracing` (feature `tracing`): every span and event, under a stable name
//! and the target `torrens`.
//!
//! Without the feature each of these does nothing. Names and fields are stable and listed in
//! docs/OBSERVABILITY.md; a test compares the two, and both with what is really told. Values that may be keys
//! of users are never told.

use std::time::Duration;

use torrens_journal::Lsn;

use crate::engine::{OpenReport, SlowTransition};
use crate::lifecycle::{ChangeKind, Refusal};
use crate::{RegionId, StoreId};

/// Names of the spans, with the level at which each is.
pub const SPANS: [(&str, &str); 6] = [
    ("torrens.open", "INFO"),
    ("torrens.barrier", "DEBUG"),
    ("torrens.checkpoint", "INFO"),
    ("torrens.take_snapshot", "INFO"),
    ("torrens.apply_snapshot", "INFO"),
    ("torrens.load", "DEBUG"),
];

/// Names of the events, with the level at which each is.
pub const EVENTS: [(&str, &str); 9] = [
    ("torrens.opened", "INFO"),
    ("torrens.closed", "INFO"),
    ("torrens.transition", "DEBUG"),
    ("torrens.slow_transition", "WARN"),
    ("torrens.refused", "DEBUG"),
    ("torrens.damaged", "ERROR"),
    ("torrens.checkpoint_written", "INFO"),
    ("torrens.poisoned", "ERROR"),
    ("torrens.data_failed", "ERROR"),
];

/// A span that is entered; it ends when this is dropped.
#[must_use]
pub(crate) struct Entered(
    #[cfg(feature = "tracing")]
    #[expect(dead_code, reason = "ends the span")]
    tracing::span::EnteredSpan,
);

#[cfg(feature = "tracing")]
mod told {
    use tracing::{debug_span, event, info_span};

    use super::*;

    const TARGET: &str = "torrens";

    fn micros(took: Duration) -> u64 {
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn open(store: StoreId) -> Entered {
        Entered(info_span!(target: TARGET, "torrens.open", store = store.0).entered())
    }

    pub(crate) fn barrier() -> Entered {
        Entered(debug_span!(target: TARGET, "torrens.barrier").entered())
    }

    pub(crate) fn checkpoint() -> Entered {
        Entered(info_span!(target: TARGET, "torrens.checkpoint").entered())
    }

    pub(crate) fn take_snapshot(region: RegionId) -> Entered {
        Entered(info_span!(target: TARGET, "torrens.take_snapshot", region = region.0).entered())
    }

    pub(crate) fn apply_snapshot(region: RegionId) -> Entered {
        Entered(info_span!(target: TARGET, "torrens.apply_snapshot", region = region.0).entered())
    }

    pub(crate) fn load(region: RegionId) -> Entered {
        Entered(debug_span!(target: TARGET, "torrens.load", region = region.0).entered())
    }

    pub(crate) fn opened(report: &OpenReport) {
        event!(
            name: "torrens.opened",
            target: TARGET,
            tracing::Level::INFO,
            store = report.store.0,
            created = report.created,
            verdict = report.recovery.verdict.name(),
            damaged_regions = report.damaged.len(),
            took_us = micros(report.took),
            "store opened"
        );
        for (region, reason) in &report.damaged {
            damaged(*region, reason);
        }
    }

    pub(crate) fn closed(store: StoreId, is_clean: bool) {
        event!(
            name: "torrens.closed",
            target: TARGET,
            tracing::Level::INFO,
            store = store.0,
            is_clean,
            "store closed"
        );
    }

    pub(crate) fn transition(
        lsn: Lsn,
        kind: ChangeKind,
        region: Option<RegionId>,
        total: Duration,
    ) {
        event!(
            name: "torrens.transition",
            target: TARGET,
            tracing::Level::DEBUG,
            lsn = lsn.get(),
            kind = kind.name(),
            region = region.map(|region| region.0),
            total_us = micros(total),
            "transition published"
        );
    }

    pub(crate) fn slow_transition(slow: &SlowTransition) {
        let steps = &slow.steps;
        event!(
            name: "torrens.slow_transition",
            target: TARGET,
            tracing::Level::WARN,
            lsn = slow.lsn.get(),
            kind = slow.kind.name(),
            region = slow.region.map(|region| region.0),
            region_wait_us = micros(steps.region_wait),
            barrier_us = micros(steps.barrier),
            decision_us = micros(steps.decision),
            append_us = micros(steps.append),
            sync_us = micros(steps.sync),
            publication_us = micros(steps.publication),
            total_us = micros(steps.total()),
            "slow transition"
        );
    }

    pub(crate) fn refused(region: Option<RegionId>, refusal: &Refusal) {
        event!(
            name: "torrens.refused",
            target: TARGET,
            tracing::Level::DEBUG,
            region = region.map(|region| region.0),
            code = refusal.code(),
            "transition refused"
        );
    }

    pub(crate) fn damaged(region: RegionId, reason: &str) {
        event!(
            name: "torrens.damaged",
            target: TARGET,
            tracing::Level::ERROR,
            region = region.0,
            reason,
            "region damaged: a snapshot has to heal it"
        );
    }

    pub(crate) fn checkpoint_written(lsn: Lsn, took: Duration) {
        event!(
            name: "torrens.checkpoint_written",
            target: TARGET,
            tracing::Level::INFO,
            lsn = lsn.get(),
            took_us = micros(took),
            "checkpoint written"
        );
    }

    pub(crate) fn poisoned() {
        event!(
            name: "torrens.poisoned",
            target: TARGET,
            tracing::Level::ERROR,
            "a sync of the journal failed: the store has to be opened again"
        );
    }

    pub(crate) fn data_failed(error: &str) {
        event!(
            name: "torrens.data_failed",
            target: TARGET,
            tracing::Level::ERROR,
            error,
            "the data store failed: the store has to be opened again"
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod told {
    use super::*;

    pub(crate) fn open(_: StoreId) -> Entered {
        Entered()
    }

    pub(crate) fn barrier() -> Entered {
        Entered()
    }

    pub(crate) fn checkpoint() -> Entered {
        Entered()
    }

    pub(crate) fn take_snapshot(_: RegionId) -> Entered {
        Entered()
    }

    pub(crate) fn apply_snapshot(_: RegionId) -> Entered {
        Entered()
    }

    pub(crate) fn load(_: RegionId) -> Entered {
        Entered()
    }

    pub(crate) fn opened(_: &OpenReport) {}
    pub(crate) fn closed(_: StoreId, _: bool) {}
    pub(crate) fn transition(_: Lsn, _: ChangeKind, _: Option<RegionId>, _: Duration) {}
    pub(crate) fn slow_transition(_: &SlowTransition) {}
    pub(crate) fn refused(_: Option<RegionId>, _: &Refusal) {}
    pub(crate) fn damaged(_: RegionId, _: &str) {}
    pub(crate) fn checkpoint_written(_: Lsn, _: Duration) {}
    pub(crate) fn poisoned() {}
    pub(crate) fn data_failed(_: &str) {}
}

pub(crate) use told::*;
