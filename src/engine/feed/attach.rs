//! A subscription's cursors follow the attachments in the published register.
//!
//! Not here: who is attached to what, and why (`lifecycle::observer`).

use std::collections::BTreeSet;

use torrens_journal::{Lsn, planted};

use super::scan::Scan;
use super::subscription::{ObserveError, Subscription};
use crate::RegionId;
use crate::lifecycle::{Attachment, AttachmentState, InvalidReason, Register, Reset, WantReason};
use crate::observe::Start;
use crate::observe::feed::{Cursor, FeedItem, Hold};

/// What an attachment asks of the subscription.
enum Seen {
    /// There is none (any more).
    Nothing,
    /// It delivers.
    Delivers(Attachment),
    /// It does not.
    Waits(Option<WantReason>),
    /// It lost changes.
    Lost(Attachment),
}

fn see(register: &Register, subscription: &Subscription, region: RegionId) -> Seen {
    let observer = subscription.shared.observer;
    let Some(attachment) = register.observers().attachment(observer, region) else {
        return Seen::Nothing;
    };
    match &attachment.state {
        AttachmentState::Invalidated(_) => Seen::Lost(attachment.clone()),
        AttachmentState::Wanted { reason } => Seen::Waits(Some(*reason)),
        AttachmentState::Draining(drain) if !drain.attached => Seen::Waits(None),
        AttachmentState::Draining(_)
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. } => Seen::Delivers(attachment.clone()),
    }
}

impl Subscription {
    /// Looks at every attachment that may have changed since the last time.
    pub(super) fn look_at_register(&mut self) -> Result<(), ObserveError> {
        let dirty = std::mem::take(&mut *self.shared.dirty.lock());
        if !dirty.all && dirty.regions.is_empty() {
            return Ok(());
        }
        for region in std::mem::take(&mut *self.shared.chosen.lock()) {
            self.lost.remove(&region);
        }
        let observer = self.shared.observer;
        let seen: Vec<(RegionId, Seen)> = {
            let published = self.core.published();
            let Some(known) = published.observers().get(observer) else {
                // Whoever asks again is told again.
                self.shared.dirty.lock().add_all();
                return Err(ObserveError::Removed { observer });
            };
            let regions = match dirty.all {
                false => dirty.regions,
                true => {
                    let attached = known.attachments().map(|(region, _)| region);
                    let regions: BTreeSet<_> =
                        attached.chain(self.cursors.keys().copied()).collect();
                    regions
                }
            };
            let look = |region| (region, see(&published, self, region));
            regions.into_iter().map(look).collect()
        };
        let mut earliest: Option<Lsn> = None;
        for (region, seen) in seen {
            match seen {
                Seen::Nothing => {
                    self.end(region, None);
                    self.told.remove(&region);
                    self.lost.remove(&region);
                }
                Seen::Waits(reason) => self.end(region, reason),
                Seen::Lost(attachment) => self.tell_loss(region, &attachment),
                Seen::Delivers(attachment) => {
                    self.lost.remove(&region);
                    let from = self.follow(region, &attachment)?;
                    earliest = earliest.into_iter().chain(from).min();
                }
            }
        }
        if let Some(from) = earliest.filter(|from| *from < self.reader.next()) {
            self.reader.seek(from);
        }
        Ok(())
    }

    /// Ends what is delivered of a region.
    fn end(&mut self, region: RegionId, reason: Option<WantReason>) {
        self.scans.retain(|scan| scan.region != region);
        let Some(cursor) = self.cursors.remove(&region) else {
            return;
        };
        // Where the consumer chose another place it does not go on here.
        match reason {
            Some(WantReason::Rebased | WantReason::Snapshot) => self.told.remove(&region),
            _ if cursor.is_scanning => self.told.remove(&region),
            _ => self.told.insert(region, cursor.delivered),
        };
        self.queue.push_back(FeedItem::Detached {
            region,
            generation: cursor.generation,
            reason,
            index: cursor.delivered,
        });
    }

    fn tell_loss(&mut self, region: RegionId, attachment: &Attachment) {
        let AttachmentState::Invalidated(loss) = &attachment.state else {
            return;
        };
        self.scans.retain(|scan| scan.region != region);
        self.cursors.remove(&region);
        self.told.remove(&region);
        if self.lost.insert(region, **loss) == Some(**loss) {
            return;
        }
        let generation = attachment.generation;
        let (first_lost, first_available) = (loss.first_lost, loss.first_available);
        self.queue.push_back(match loss.reason {
            InvalidReason::Snapshot => FeedItem::SnapshotApplied {
                region,
                generation,
                first_untold: first_lost,
                index: first_available.saturating_sub(1),
            },
            InvalidReason::Bytes
            | InvalidReason::Age
            | InvalidReason::HistoryLost
            | InvalidReason::HistoryDamaged
            | InvalidReason::Recovered => FeedItem::Invalidated {
                region,
                generation,
                reason: loss.reason,
                first_lost,
                first_available,
            },
        });
    }

    /// Makes or keeps the cursor of an attachment that delivers; where it has to read from, if that lies
    /// before what is read next.
    fn follow(
        &mut self,
        region: RegionId,
        attachment: &Attachment,
    ) -> Result<Option<Lsn>, ObserveError> {
        let generation = attachment.generation;
        let is_same = self
            .cursors
            .get(&region)
            .is_some_and(|cursor| cursor.generation == generation);
        let mut from = match is_same {
            true => None,
            false => self.begin(region, attachment)?,
        };
        let drain = match &attachment.state {
            AttachmentState::Draining(drain) => Some(**drain),
            _ => None,
        };
        let for_parts = attachment.is_for_parts();
        let told_for_parts = for_parts.then(|| self.told_for_parts(region)).flatten();
        let mut is_longer = false;
        if let Some(cursor) = self.cursors.get_mut(&region) {
            let before = cursor.end;
            cursor.end = match for_parts && !planted!("whole-told-beyond-its-parts") {
                // Where nothing waits any more, it ends where it is.
                true => told_for_parts.max(before).or(Some(cursor.delivered)),
                false => drain.and_then(|drain| drain.end),
            };
            // What lies between the two ends may have been passed over.
            let goes_further = |before| cursor.end.is_none_or(|end| end > before);
            is_longer = is_same && before.is_some_and(goes_further);
            let catches_up = matches!(attachment.state, AttachmentState::CatchingUp { .. });
            cursor.is_catching_up = !is_same && catches_up && !for_parts;
        }
        if is_longer && let Some(cursor) = self.cursors.get(&region) {
            let delivered = cursor.delivered;
            from = self.locate(region, delivered, InvalidReason::HistoryLost)?;
        }
        if let Some((drain, into)) = drain.and_then(|drain| Some((drain, drain.into?)))
            && let Some(target) = self.cursors.get_mut(&into.region)
        {
            target.holds.retain(|hold| hold.region != region);
            target.holds.push(Hold {
                region,
                until: drain.end,
                above: into.index,
            });
            self.waiting.push(into.region);
        }
        Ok(from)
    }

    /// Begins to deliver a region under a new generation.
    fn begin(
        &mut self,
        region: RegionId,
        attachment: &Attachment,
    ) -> Result<Option<Lsn>, ObserveError> {
        let generation = attachment.generation;
        if self.cursors.contains_key(&region) {
            self.end(region, Some(WantReason::NewTerm));
        }
        let told = match attachment.reset {
            Reset::None => self.told.remove(&region).unwrap_or(0),
            Reset::Marker | Reset::Scan => 0,
        };
        let after = attachment.acked.max(told);
        let mut cursor = Cursor::new(region, generation, after);
        self.queue.push_back(FeedItem::Attached {
            region,
            generation,
            after,
        });
        if let Some(origin) = &attachment.origin {
            cursor.holds.push(Hold {
                region: origin.region,
                until: Some(origin.index),
                above: 0,
            });
            self.waiting.push(region);
        }
        // Regions that were taken in, and are not read to their end yet, come first.
        for hold in self.holds_of_sources(region) {
            cursor.holds.push(hold);
            self.waiting.push(region);
        }
        if attachment.reset == Reset::Scan {
            cursor.is_scanning = true;
            self.cursors.insert(region, cursor);
            self.scans.push_back(Scan::new(region, generation));
            return Ok(None);
        }
        if attachment.reset == Reset::Marker {
            // What comes here comes from elsewhere: whoever had the same keys here before comes first.
            for (other, until) in self.left_before(region) {
                cursor.holds.push(Hold {
                    region: other,
                    until,
                    above: 0,
                });
                self.waiting.push(region);
            }
            let range = self.range_of(region);
            if let Some(range) = range {
                self.queue.push_back(FeedItem::Reset {
                    region,
                    generation,
                    range,
                    index: after,
                    is_scanned: false,
                });
            }
        }
        self.cursors.insert(region, cursor);
        self.locate(region, after, InvalidReason::HistoryLost)
    }

    fn told_for_parts(&self, region: RegionId) -> Option<u64> {
        let published = self.core.published();
        let known = published.observers().get(self.shared.observer)?;
        known.told_for_parts(region)
    }

    fn holds_of_sources(&self, target: RegionId) -> Vec<Hold> {
        let published = self.core.published();
        let observer = published.observers().get(self.shared.observer);
        let holds = observer.into_iter().flat_map(|known| known.attachments());
        let holds = holds.filter_map(|(region, attachment)| match &attachment.state {
            AttachmentState::Draining(drain) => {
                let into = drain.into.filter(|into| into.region == target)?;
                Some(Hold {
                    region,
                    until: drain.end,
                    above: into.index,
                })
            }
            _ => None,
        });
        holds.collect()
    }

    pub(super) fn range_of(&self, region: RegionId) -> Option<crate::KeyRange> {
        let published = self.core.published();
        let stage = &published.peer(region)?.stage;
        Some(stage.region()?.range.clone())
    }

    /// Where everything of a region behind `after` begins; if it is not there, that is journaled.
    pub(super) fn locate(
        &mut self,
        region: RegionId,
        after: u64,
        reason: InvalidReason,
    ) -> Result<Option<Lsn>, ObserveError> {
        let live = self.core.published().incarnation(region);
        let applied = live.map_or(0, |live| self.core.applied_index(region, live));
        let (start, next) = self.core.history.start_now(region, after);
        let first_available = match start {
            Start::At(lsn) => {
                self.begin_at(region, lsn);
                return Ok(Some(lsn));
            }
            Start::End => {
                self.begin_at(region, next);
                return Ok(None);
            }
            // Nothing was written since: what comes is kept, and what comes again after a crash as well.
            Start::Unknown | Start::Gone { .. }
                if applied <= after && (live.is_some() || start == Start::Unknown) =>
            {
                self.begin_at(region, next);
                return Ok(None);
            }
            Start::Unknown => applied.saturating_add(1),
            Start::Gone { base } => base.saturating_add(1),
        };
        self.cursors.remove(&region);
        self.lose(region, after, first_available, reason)?;
        Ok(None)
    }

    /// What lies before the record is not for the region's cursor, whatever it says of the region.
    fn begin_at(&mut self, region: RegionId, lsn: Lsn) {
        if let Some(cursor) = self.cursors.get_mut(&region) {
            cursor.begins_at = lsn;
        }
    }

    /// Looks for the place of every cursor anew.
    pub(super) fn locate_all(&mut self, reason: InvalidReason) -> Result<(), ObserveError> {
        let places: Vec<_> = self
            .cursors
            .values()
            .filter(|cursor| !cursor.is_scanning)
            .map(|cursor| (cursor.region, cursor.delivered))
            .collect();
        let mut earliest: Option<Lsn> = None;
        for (region, delivered) in places {
            let from = self.locate(region, delivered, reason)?;
            earliest = earliest.into_iter().chain(from).min();
        }
        if let Some(from) = earliest {
            self.reader.seek(from);
        }
        Ok(())
    }

    /// Lets go on what has waited long enough, from the record at which it began to wait.
    pub(super) fn release_holds(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable();
        waiting.dedup();
        let mut earliest: Option<Lsn> = None;
        for region in waiting {
            let Some(cursor) = self.cursors.get(&region) else {
                continue;
            };
            let left: Vec<Hold> = cursor
                .holds
                .iter()
                .copied()
                .filter(|hold| !self.is_over(hold))
                .collect();
            let is_left = !left.is_empty();
            let Some(cursor) = self.cursors.get_mut(&region) else {
                continue;
            };
            // A hold may also have ended while records were read.
            let is_less = left.len() < cursor.holds.len() || !is_left;
            cursor.holds = left;
            if is_less && !cursor.is_scanning {
                earliest = earliest.into_iter().chain(cursor.held_at.take()).min();
            }
            if is_left {
                self.waiting.push(region);
            }
        }
        if let Some(from) = earliest.filter(|from| *from < self.reader.next()) {
            self.reader.seek(from);
        }
    }

    /// Whether what a hold waits for was told, or never will be.
    fn is_over(&self, hold: &Hold) -> bool {
        if let Some(cursor) = self.cursors.get(&hold.region) {
            return match hold.until {
                Some(until) => cursor.delivered >= until,
                None => cursor.is_at_end(),
            };
        }
        let told = self.told.get(&hold.region);
        if hold
            .until
            .is_some_and(|until| told.is_some_and(|told| *told >= until))
        {
            return true;
        }
        let published = self.core.published();
        let observers = published.observers();
        let attachment = observers.attachment(self.shared.observer, hold.region);
        attachment.is_none_or(|attachment| match &attachment.state {
            // It says so itself.
            AttachmentState::Invalidated(_) => true,
            _ => hold.until.is_some_and(|until| attachment.acked >= until),
        })
    }
}
