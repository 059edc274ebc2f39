//! How far everything that an observer wants was delivered: one position over all of its keys.
//!
//! The position is a record of the history: all that this store applied up to it, of every observed key,
//! was told. It stands still as long as any observed key is not being told of, for whatever reason, and
//! never goes back while a subscription is open. The next one begins, after a restart too, with what is
//! acknowledged: what was told and not acknowledged is told again. Not here: progress of one region, which is
//! an item of the feed.

use torrens_journal::{Lsn, planted};

use super::subscription::Subscription;
use crate::engine::core::Core;
use crate::lifecycle::{AttachmentState, Reset, WantReason};
use crate::observe::{ObserverId, Start};
use crate::{KeyRange, RegionId};

/// How far all observed keys were told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverProgress {
    /// Every change of an observed key up to this record of the history was handed to the consumer, or is
    /// acknowledged.
    pub up_to: Lsn,
    /// When that record was written, in microseconds since 1970; none before the first.
    pub wall_clock_micros: Option<u64>,
    /// Regions that are being told of.
    pub regions: usize,
    /// What keeps it from moving on; together with the regions a partition of the observed keys.
    pub pinned: Vec<ProgressPin>,
}

/// Observed keys that are not being told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressPin {
    /// The keys.
    pub range: KeyRange,
    /// Whose they are, if anybody's.
    pub region: Option<RegionId>,
    /// Why.
    pub reason: PinReason,
}

/// Why keys are not being told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinReason {
    /// No region of this store has them, or none that holds data.
    Uncovered,
    /// Their region waits to be attached.
    Wanted(WantReason),
    /// Their region is attached and has not caught up.
    CatchingUp,
    /// Changes of their region are lost.
    Invalidated,
    /// What a region left is not told to its end.
    Draining,
    /// No subscription is open.
    Closed,
}

impl PinReason {
    /// Stable lower-case name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            PinReason::Uncovered => "uncovered",
            PinReason::Wanted(_) => "wanted",
            PinReason::CatchingUp => "catching-up",
            PinReason::Invalidated => "invalidated",
            PinReason::Draining => "draining",
            PinReason::Closed => "closed",
        }
    }
}

/// What a subscription knows of its progress.
#[derive(Debug, Default)]
pub(super) struct Known {
    up_to: Lsn,
    wall_clock_micros: Option<u64>,
}

impl Known {
    pub(super) fn told(&self) -> (Lsn, Option<u64>) {
        (self.up_to, self.wall_clock_micros)
    }
}

impl Core {
    /// What keeps the progress of an observer from moving on, and how many regions are told of.
    fn pins_of(&self, observer: ObserverId) -> Option<(Vec<ProgressPin>, usize)> {
        let published = self.published();
        let known = published.observers().get(observer)?;
        let (mut pinned, mut regions) = (Vec::new(), 0);
        let is_open = self.feeds.get(observer).is_some();
        for wanted in known.ranges.iter() {
            let mut rest = Some(wanted.clone());
            for (region, _) in published.tenants(wanted) {
                let Some(range) = published
                    .peer(region)
                    .and_then(|peer| peer.stage.region())
                    .and_then(|description| description.range.intersection(wanted))
                else {
                    continue;
                };
                // What lies between two regions is nobody's.
                if let Some(before) = &rest
                    && before.start() < range.start()
                    && let Some(hole) =
                        KeyRange::new(before.start().clone(), Some(range.start().clone()))
                {
                    pinned.push(ProgressPin {
                        range: hole,
                        region: None,
                        reason: PinReason::Uncovered,
                    });
                }
                rest = range
                    .end()
                    .and_then(|end| KeyRange::new(end.clone(), wanted.end().cloned()));
                let attachment = published.observers().attachment(observer, region);
                let reason = match attachment.map(|attachment| &attachment.state) {
                    None => Some(PinReason::Uncovered),
                    Some(AttachmentState::Wanted { reason }) => Some(PinReason::Wanted(*reason)),
                    Some(AttachmentState::CatchingUp { .. }) => Some(PinReason::CatchingUp),
                    Some(AttachmentState::Invalidated(_)) => Some(PinReason::Invalidated),
                    Some(AttachmentState::Draining(_)) => Some(PinReason::Draining),
                    Some(AttachmentState::Live { .. }) if !is_open => Some(PinReason::Closed),
                    Some(AttachmentState::Live { .. }) => None,
                };
                match reason {
                    None => regions += 1,
                    Some(reason) => pinned.push(ProgressPin {
                        range,
                        region: Some(region),
                        reason,
                    }),
                }
            }
            if let Some(hole) = rest {
                pinned.push(ProgressPin {
                    range: hole,
                    region: None,
                    reason: PinReason::Uncovered,
                });
            }
        }
        // What regions left that are not here any more is still owed.
        for (region, attachment) in known.attachments() {
            let is_left = matches!(attachment.state, AttachmentState::Draining(_));
            if is_left && !pinned.iter().any(|pin| pin.region == Some(region)) {
                pinned.push(ProgressPin {
                    range: KeyRange::all(),
                    region: Some(region),
                    reason: PinReason::Draining,
                });
            }
        }
        Some((pinned, regions))
    }

    pub(super) fn observer_progress(&self, observer: ObserverId) -> Option<ObserverProgress> {
        let (pinned, regions) = self.pins_of(observer)?;
        let shared = self.feeds.get(observer);
        let told = shared.as_ref().map(|shared| {
            let known = shared.progress.lock();
            (known.up_to, known.wall_clock_micros)
        });
        let told = told.filter(|(up_to, _)| *up_to > Lsn::ZERO);
        let acknowledged = match told {
            // As it was when the subscription began.
            Some(_) => self.feeds.acknowledged_before(observer),
            None => self.acknowledged_up_to(observer, &pinned),
        };
        let (up_to, wall_clock_micros) = told
            .filter(|(up_to, _)| *up_to >= acknowledged.0)
            .unwrap_or(acknowledged);
        Some(ObserverProgress {
            up_to,
            wall_clock_micros,
            regions,
            pinned,
        })
    }

    /// The last record of the history up to which every change of an observed key is acknowledged, and when it
    /// was written. It never goes back, but where the consumer chose an earlier place.
    fn acknowledged_up_to(
        &self,
        observer: ObserverId,
        pinned: &[ProgressPin],
    ) -> (Lsn, Option<u64>) {
        let is_unknown =
            |pin: &ProgressPin| matches!(pin.reason, PinReason::Uncovered | PinReason::Invalidated);
        // Of keys that nobody has here, or whose changes are lost, nothing can be said: it stands.
        let found = match pinned.iter().any(is_unknown) {
            true => Lsn::ZERO,
            false => self.acknowledged_now(observer),
        };
        let written = self
            .history
            .with_index(|index| index.sizes().written_at(found));
        let mut known = self.feeds.acknowledged.lock();
        let known = known.entry(observer).or_default();
        if found > known.up_to {
            (known.up_to, known.wall_clock_micros) = (found, written);
        }
        (known.up_to, known.wall_clock_micros)
    }

    /// The last durable record before the first of any attachment that is not acknowledged.
    fn acknowledged_now(&self, observer: ObserverId) -> Lsn {
        // Before the register is looked at: what these records stand on is published.
        let mut up_to = self.history.readable(false);
        let published = self.published().clone();
        let attachments = published.observers().get(observer);
        for (region, attachment) in attachments
            .into_iter()
            .flat_map(|known| known.attachments())
        {
            let first = match (
                attachment.reset,
                self.history.start(region, attachment.acked),
            ) {
                (Reset::None, Start::At(lsn)) => lsn,
                (Reset::None, Start::End) => continue,
                // What it begins with is not kept: all of it is acknowledged, or nothing was.
                (Reset::None, Start::Unknown | Start::Gone { .. }) => {
                    let live = published.incarnation(region);
                    let applied = live.map_or(0, |live| self.applied_index(region, live));
                    match applied <= attachment.acked {
                        true => continue,
                        false => Lsn::FIRST,
                    }
                }
                // Where a reset is to be told, nothing was.
                (Reset::Marker | Reset::Scan, _) => Lsn::FIRST,
            };
            up_to = up_to.min(Lsn::new(first.get().saturating_sub(1)));
        }
        up_to
    }
}

impl Subscription {
    /// Everything that was read so far is told, or about to be: moves the progress if nothing pins it.
    pub(super) fn note_progress(&self) {
        let up_to = Lsn::new(self.reader.next().get().saturating_sub(1));
        if self.shared.progress.lock().up_to >= up_to {
            return;
        }
        let is_held = self.cursors.values().any(|cursor| cursor.held_at.is_some());
        let mut pins = self.core.pins_of(self.shared.observer);
        if let Some((pinned, _)) = &mut pins
            && planted!("hole-does-not-pin")
        {
            pinned.clear();
        }
        if is_held || pins.is_none_or(|(pinned, _)| !pinned.is_empty()) {
            return;
        }
        let written = self
            .core
            .history
            .with_index(|index| index.sizes().written_at(up_to));
        let mut known = self.shared.progress.lock();
        known.up_to = up_to;
        known.wall_clock_micros = written;
    }
}
