//! What of the history may go: everything that is acknowledged durably, and whatever is beyond a limit,
//! after whoever needed it was told.
//!
//! The order is the promise: a loss is journaled and durable before the first byte of it is removed.
//! Not here: the limits (`observe::history::settings`), removing files (`observe::history::log`).

use std::time::Duration;

use parking_lot::Mutex;
use torrens_journal::{Lsn, planted};

use super::lag::{Limits, Need};
use crate::crash_points::{CrashPoint, reach};
use crate::engine::EngineError;
use crate::engine::core::Core;
use crate::lifecycle::{
    AttachmentState, Cause, Event, InvalidReason, Invalidated, Loss, ObserverEvent, Observers,
    Register,
};
use crate::observe::{HistorySettings, ObserverId, RetentionStage};

/// What a round of retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Records below this one are needed by nobody.
    pub below: Lsn,
    /// The oldest record that is left.
    pub oldest: Lsn,
    /// Attachments that lost changes.
    pub invalidated: usize,
}

/// When the next round is due.
#[derive(Debug, Default)]
pub(in crate::engine) struct Retention {
    last: Mutex<Last>,
    /// Held during a round.
    round: Mutex<()>,
}

#[derive(Debug, Default)]
struct Last {
    bytes: u64,
    wall_clock_micros: u64,
}

/// A round is due when this part of a limit has passed since the last.
const PART: u64 = 32;

impl Core {
    /// Whether a round may have anything to do.
    pub(in crate::engine) fn is_retention_due(&self) -> bool {
        if !self.history.is_open() {
            return false;
        }
        if self.history.is_trim_due() {
            return true;
        }
        let settings = self.history.settings();
        let last = self.retention.last.lock();
        let bytes = self.history.with_index(|index| index.sizes().bytes());
        let grown = bytes.saturating_sub(last.bytes);
        let is_more = grown >= (settings.bytes_max / PART).max(1);
        let age = settings.age_max.unwrap_or(Duration::from_secs(60));
        let step = u64::try_from(age.as_micros()).unwrap_or(u64::MAX) / PART;
        let now = self.disk.wall_clock_micros();
        let is_later = now.saturating_sub(last.wall_clock_micros) >= step.max(1);
        is_more || (is_later && bytes > 0)
    }

    pub(in crate::engine) fn retain_history(&self) -> Result<RetentionReport, EngineError> {
        self.check_open()?;
        let _round = self.retention.round.lock();
        let stats = self.history.stats();
        if !stats.is_open {
            return Ok(RetentionReport::default());
        }
        let (settings, now) = (self.history.settings(), self.disk.wall_clock_micros());
        *self.retention.last.lock() = Last {
            bytes: stats.bytes,
            wall_clock_micros: now,
        };
        let losses = self.losses(&settings, now);
        let mut invalidated = 0;
        for (observer, losses) in losses {
            for losses in losses.chunks(Observers::PER_RECORD_MAX) {
                invalidated += losses.len();
                let losses = losses.to_vec();
                let event = Event::Observer(ObserverEvent::Invalidate { observer, losses });
                // Durable when this returns, as every record of a loss is.
                match planted!("history-goes-before-the-loss-is-durable") {
                    true => drop(self.decide(&event, Cause::Collector)?),
                    false => drop(self.commit(&event, Cause::Collector)?),
                }
            }
        }
        if invalidated > 0 {
            reach(CrashPoint::HistoryLossDurable);
        }
        // What is published now is durable: nothing that an acknowledgement could still take back goes.
        let below = self.needed_from(&settings, now);
        self.history.revoke_below(below);
        reach(CrashPoint::HistoryRevoked);
        self.history.trim(below).map_err(EngineError::History)?;
        reach(CrashPoint::HistoryTrimmed);
        Ok(RetentionReport {
            below,
            oldest: self.history.stats().oldest,
            invalidated,
        })
    }

    /// The attachments that are beyond a limit.
    fn losses(&self, settings: &HistorySettings, now: u64) -> Vec<(ObserverId, Vec<Invalidated>)> {
        let published = self.published();
        let mut all = Vec::new();
        self.history.with_index(|index| {
            for (observer, known) in published.observers().iter() {
                let limits = Limits::of(settings, &known.policy);
                let mut losses = Vec::new();
                for (region, attachment) in known.attachments() {
                    if matches!(attachment.state, AttachmentState::Invalidated(_)) {
                        continue;
                    }
                    let need = Need::of(index, region, attachment, limits, now);
                    if need.stage < RetentionStage::Invalidated || planted!("limits-not-looked-at")
                    {
                        continue;
                    }
                    let by_bytes = need.bytes > limits.bytes_max;
                    let first_lost = attachment.acked.saturating_add(1);
                    let kept = kept_from(index.sizes(), limits, now);
                    let kept = kept.and_then(|kept| index.first_behind(region, kept));
                    let end = index.newest(region).map(|span| span.end_index);
                    let behind = end.map(|end| end.saturating_add(1));
                    losses.push(Invalidated {
                        region,
                        loss: Loss {
                            reason: match by_bytes {
                                true => InvalidReason::Bytes,
                                false => InvalidReason::Age,
                            },
                            first_lost,
                            first_available: kept
                                .or(behind)
                                .unwrap_or(first_lost)
                                .max(first_lost.saturating_add(1)),
                        },
                    });
                }
                if !losses.is_empty() {
                    all.push((observer, losses));
                }
            }
        });
        all
    }

    /// The first record that somebody needs.
    fn needed_from(&self, settings: &HistorySettings, now: u64) -> Lsn {
        let published = match planted!("history-goes-before-the-loss-is-durable") {
            true => self.with_decided(Register::clone),
            false => self.published().clone(),
        };
        self.history.with_index(|index| {
            let end = index.last_lsn().next().unwrap_or(index.last_lsn());
            let mut needed = end;
            for (_, known) in published.observers().iter() {
                let limits = Limits::of(settings, &known.policy);
                for (region, attachment) in known.attachments() {
                    if matches!(attachment.state, AttachmentState::Invalidated(_)) {
                        continue;
                    }
                    let need = Need::of(index, region, attachment, limits, now);
                    if !planted!("history-goes-unacknowledged") {
                        needed = needed.min(need.lsn.unwrap_or(end));
                    }
                }
            }
            if !settings.ranges.is_empty() {
                let limits = Limits {
                    bytes_max: settings.bytes_max,
                    age_max: settings.age_max,
                };
                // What is behind the last sample may be within the limits.
                let kept = kept_from(index.sizes(), limits, now);
                needed = needed.min(kept.unwrap_or(index.sizes().last()));
            }
            needed
        })
    }
}

/// The first sampled record within both limits; none if there is none.
fn kept_from(sizes: &crate::observe::Sizes, limits: Limits, now: u64) -> Option<Lsn> {
    let by_bytes = sizes.within(limits.bytes_max)?;
    let Some(age) = limits.age_max else {
        return Some(by_bytes);
    };
    let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    let by_age = sizes.since(now.saturating_sub(age))?;
    Some(by_bytes.max(by_age))
}
