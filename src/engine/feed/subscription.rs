//! `Subscription`: reading, waiting, handing items out.
//!
//! Not here: which regions it reads (`attach`), acknowledging (`ack`).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use torrens_journal::{Lsn, planted};

use super::Shared;
use super::ack::Acker;
use super::scan::Scan;
use crate::RegionId;
use crate::codec;
use crate::engine::EngineError;
use crate::engine::core::Core;
use crate::lifecycle::{
    CaughtUp, Cause, Event, InvalidReason, Invalidated, Loss, ObserverEvent, Reset,
};
use crate::observe::feed::{Cursor, Fate, FeedItem};
use crate::observe::history::{HistoryReader, Read};
use crate::observe::{HistoryError, HistoryRecord, LineageEvent, ObserverId, ObserverRanges};

/// How a subscription reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserveOptions {
    /// Whether to be told also of what a crash could still take, flagged as such; `None`, the default, for
    /// what the observer's policy says.
    pub early: Option<bool>,
}

impl ObserveOptions {
    /// Whether to be told also of what a crash could still take.
    #[must_use]
    pub fn early(mut self, early: bool) -> Self {
        self.early = Some(early);
        self
    }
}

/// Why a subscription does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// There is no such observer, or none any more.
    #[error("there is no observer {observer}")]
    Removed {
        /// Which.
        observer: ObserverId,
    },
    /// Another subscription of the observer is open.
    #[error("another subscription of {observer} is open")]
    Busy {
        /// Which.
        observer: ObserverId,
    },
    /// The engine was closed; everything acknowledged is kept.
    #[error("the engine is closed")]
    Closed,
    /// The history failed; the next opening of the store says what is left.
    #[error("the history cannot be read")]
    History(#[source] HistoryError),
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] EngineError),
}

impl ObserveError {
    /// Stable code for logs and tools.
    pub fn code(&self) -> &'static str {
        match self {
            ObserveError::Removed { .. } => "observe-removed",
            ObserveError::Busy { .. } => "observe-busy",
            ObserveError::Closed => "observe-closed",
            ObserveError::History(source) => source.code(),
            ObserveError::Engine(source) => source.code(),
        }
    }
}

impl From<EngineError> for ObserveError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Closed => ObserveError::Closed,
            error => ObserveError::Engine(error),
        }
    }
}

/// An observer's feed: items in order, from what is acknowledged on.
///
/// It holds no lock while the consumer works, and nothing waits for it: what it has not read is kept in
/// the history, within limits. Memory is bounded by the regions and by one read of the history.
#[derive(Debug)]
pub struct Subscription {
    pub(super) core: Arc<Core>,
    pub(super) shared: Arc<Shared>,
    pub(super) ranges: ObserverRanges,
    early: bool,
    pub(super) cursors: HashMap<RegionId, Cursor>,
    /// How far regions were told whose attachment ended: the next one goes on there.
    pub(super) told: HashMap<RegionId, u64>,
    /// The losses that were told.
    pub(super) lost: HashMap<RegionId, Loss>,
    /// Regions that have to wait for others.
    pub(super) waiting: Vec<RegionId>,
    pub(super) scans: VecDeque<Scan>,
    pub(super) queue: VecDeque<FeedItem>,
    pub(super) reader: HistoryReader,
    /// Regions whose progress was not told.
    moved: BTreeSet<RegionId>,
    pub(super) is_ended: bool,
}

impl Subscription {
    pub(super) fn open(
        core: &Arc<Core>,
        observer: ObserverId,
        options: ObserveOptions,
    ) -> Result<Self, ObserveError> {
        core.check_open()?;
        let published = core.published();
        let known = published.observers().get(observer);
        let known = known.ok_or(ObserveError::Removed { observer })?;
        let (ranges, early) = (known.ranges.clone(), known.policy.early);
        let early = options.early.unwrap_or(early);
        drop(published);
        let shared = core.feeds.open(observer);
        let shared = shared.ok_or(ObserveError::Busy { observer })?;
        if early {
            core.history.bell.count_early(true);
        }
        let next = core.history.readable(true).next().unwrap_or(Lsn::FIRST);
        Ok(Subscription {
            core: Arc::clone(core),
            shared,
            ranges,
            early,
            cursors: HashMap::new(),
            told: HashMap::new(),
            lost: HashMap::new(),
            waiting: Vec::new(),
            scans: VecDeque::new(),
            queue: VecDeque::new(),
            // Behind everything; each region that is attached moves it back to what it needs.
            reader: HistoryReader::at(next, format!("observer {observer}")),
            moved: BTreeSet::new(),
            is_ended: false,
        })
    }

    /// Whose it is.
    pub fn observer(&self) -> ObserverId {
        self.shared.observer
    }

    /// What acknowledges for it, from any thread.
    pub fn acker(&self) -> Acker {
        Acker::new(Arc::clone(&self.core), Arc::clone(&self.shared))
    }

    /// The next item, at once if there is one; otherwise sleeps until there is, or for `timeout`, or as
    /// long as it takes. `None` when the time is over.
    ///
    /// # Errors
    /// [`ObserveError`]; [`ObserveError::Closed`] and [`ObserveError::Removed`] are the ordinary ends.
    pub fn next_item(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<Option<FeedItem>, ObserveError> {
        let due = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let seen = self.core.history.bell.rings();
            if let Some(item) = self.try_next()? {
                return Ok(Some(item));
            }
            let is_over = due.is_some_and(|due| due <= Instant::now());
            if is_over || !self.core.history.bell.wait(seen, due) {
                // What came in the last moment is for the next call.
                return Ok(None);
            }
        }
    }

    /// The next item if there is one now.
    ///
    /// # Errors
    /// As for [`Subscription::next_item`].
    pub fn try_next(&mut self) -> Result<Option<FeedItem>, ObserveError> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                self.hand_out(&item);
                return Ok(Some(item));
            }
            if self.core.check_open().is_err() && self.core.history.bell.is_closed() {
                return Err(ObserveError::Closed);
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn has_reset(&self, region: RegionId) -> bool {
        let published = self.core.published();
        let attachment = published
            .observers()
            .attachment(self.shared.observer, region);
        attachment.is_some_and(|attachment| attachment.reset != Reset::None)
    }

    /// From now on the consumer has it, and may acknowledge it.
    fn hand_out(&self, item: &FeedItem) {
        let delivered = match item {
            // Where a reset comes first, nothing was told before that.
            FeedItem::Attached { after, .. } if !self.has_reset(item.region()) => Some(*after),
            item => item.acknowledges(),
        };
        if let Some(index) = delivered {
            let (region, generation) = (item.region(), item.generation());
            let mut known = self.shared.delivered.lock();
            let entry = known.entry(region).or_insert((generation, index));
            let before = match entry.0 == generation {
                true => entry.1,
                false => 0,
            };
            *entry = (generation, before.max(index));
        }
    }

    /// Looks for items; false if there is nothing to look at now.
    fn fill(&mut self) -> Result<bool, ObserveError> {
        // Before the register is looked at: what these records stand on is published.
        let is_early = self.early || planted!("told-before-it-is-durable");
        let until = self.core.history.readable(is_early);
        self.look_at_register()?;
        self.release_holds();
        if self.scan_some()? || !self.queue.is_empty() {
            return Ok(true);
        }
        if self.read_some(until)? {
            return Ok(true);
        }
        self.report_caught_up()?;
        self.tell_progress();
        Ok(!self.queue.is_empty())
    }

    /// Reads some records; false if there are none.
    fn read_some(&mut self, until: Lsn) -> Result<bool, ObserveError> {
        if self.cursors.is_empty() {
            // What nobody is attached for is read when somebody is.
            self.reader
                .seek(until.next().unwrap_or(until).max(self.reader.next()));
            return Ok(false);
        }
        let mut gaps = Vec::new();
        let mut malformed = None;
        let (cursors, queue, ranges) = (&mut self.cursors, &mut self.queue, &self.ranges);
        let moved = &mut self.moved;
        let mut take = |read: Read<'_>| {
            let decoded = codec::decode_history(read.kind, read.payload);
            let (record, changes) = match decoded {
                Ok(Some(decoded)) => decoded,
                Ok(None) => return,
                Err(error) => {
                    malformed.get_or_insert((read.lsn, error.to_string()));
                    return;
                }
            };
            let region = record.region();
            let Some(cursor) = cursors.get_mut(&region) else {
                return;
            };
            let fate = match &record {
                HistoryRecord::Changes { head, part } => {
                    cursor.changes((read.lsn, read.is_early), head, *part, changes, ranges)
                }
                HistoryRecord::Lineage(lineage) => cursor.lineage(read.lsn, lineage),
            };
            // A region that was taken in has nothing behind this, and what took it in goes on.
            if let HistoryRecord::Lineage(lineage) = &record
                && let LineageEvent::Merged { source, .. } = lineage.event
                && cursors.get_mut(&source).is_some_and(Cursor::drain)
            {
                moved.insert(source);
                if let Some(target) = cursors.get_mut(&region) {
                    target.holds.retain(|hold| hold.region != source);
                }
            }
            let Some(cursor) = cursors.get_mut(&region) else {
                return;
            };
            match fate {
                Fate::Passed | Fate::Held => {}
                Fate::Told(item) => {
                    if cursor.progress < cursor.delivered {
                        moved.insert(region);
                    }
                    // An entry of which the observer wants nothing only moves the progress.
                    let is_empty = match &item {
                        FeedItem::Entry(entry) => entry.changes.is_empty(),
                        _ => false,
                    };
                    if !is_empty {
                        queue.push_back(item);
                    }
                }
                Fate::Gap { first_available } => {
                    gaps.push((region, cursor.delivered, first_available));
                    cursors.remove(&region);
                }
                Fate::Malformed(detail) => {
                    malformed.get_or_insert((read.lsn, detail));
                }
            }
        };
        let read = self.core.history.read(&mut self.reader, until, &mut take);
        self.shared
            .next
            .store(self.reader.next().get(), Ordering::Release);
        for (region, delivered, first_available) in gaps {
            self.lose(
                region,
                delivered,
                first_available,
                InvalidReason::HistoryLost,
            )?;
        }
        let damaged = |at: Lsn, detail| HistoryError::Damaged { at, detail };
        let read = match malformed {
            Some((at, detail)) => Err(damaged(at, detail)),
            None => read,
        };
        match read {
            Ok(count) => Ok(count > 0),
            Err(HistoryError::Gone { oldest, .. }) => {
                self.overtaken(oldest)?;
                Ok(true)
            }
            Err(HistoryError::Damaged { at, detail }) => {
                self.damaged_at(at, detail)?;
                Ok(true)
            }
            Err(error) => Err(ObserveError::History(error)),
        }
    }

    /// The history below `oldest` went while it was not read: every region says for itself what is left.
    fn overtaken(&mut self, oldest: Lsn) -> Result<(), ObserveError> {
        self.reader.seek(oldest);
        self.locate_all(InvalidReason::Bytes)
    }

    /// A record cannot be read: whatever needs it is lost, and what lies behind it is read on.
    fn damaged_at(&mut self, at: Lsn, detail: String) -> Result<(), ObserveError> {
        let regions: Vec<RegionId> = self.cursors.keys().copied().collect();
        let behind = at.next().unwrap_or(at);
        if regions.is_empty() {
            return Err(ObserveError::History(HistoryError::Damaged { at, detail }));
        }
        for region in regions {
            let Some(cursor) = self.cursors.remove(&region) else {
                continue;
            };
            let known = self.core.history.newest(region);
            let end = known.map_or(cursor.delivered, |span| span.end_index);
            if end > cursor.delivered {
                let reason = InvalidReason::HistoryDamaged;
                self.lose(region, cursor.delivered, end.saturating_add(1), reason)?;
            } else {
                self.cursors.insert(region, cursor);
            }
        }
        self.reader
            .seek(self.core.history.readable(true).next().unwrap_or(behind));
        Ok(())
    }

    /// Journals that changes behind `delivered` are lost to the observer.
    pub(super) fn lose(
        &mut self,
        region: RegionId,
        delivered: u64,
        first_available: u64,
        reason: InvalidReason,
    ) -> Result<(), ObserveError> {
        self.told.remove(&region);
        let first_lost = delivered.saturating_add(1);
        let loss = Loss {
            reason,
            first_lost,
            first_available: first_available.max(first_lost.saturating_add(1)),
        };
        let losses = vec![Invalidated { region, loss }];
        let observer = self.shared.observer;
        let event = Event::Observer(ObserverEvent::Invalidate { observer, losses });
        let _answer = self.core.commit(&event, Cause::Host)?;
        self.shared.dirty.lock().add(region);
        Ok(())
    }

    /// Tells the register which regions have reached what is applied.
    fn report_caught_up(&mut self) -> Result<(), ObserveError> {
        let observer = self.shared.observer;
        // What ended here and was read whole has nothing more, whatever its last entry was.
        for cursor in self
            .cursors
            .values_mut()
            .filter(|cursor| cursor.end.is_some())
        {
            let last = self.core.history.newest(cursor.region);
            let is_read = last.is_none_or(|span| span.last_lsn < self.reader.next());
            if is_read && cursor.drain() {
                self.moved.insert(cursor.region);
            }
        }
        let mut done = Vec::new();
        for cursor in self.cursors.values_mut() {
            let is_there = cursor.held_at.is_none() && !cursor.is_scanning;
            if cursor.is_catching_up && is_there {
                cursor.is_catching_up = false;
                done.push(CaughtUp {
                    observer,
                    region: cursor.region,
                    generation: cursor.generation,
                    index: cursor.delivered,
                });
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        done.sort_unstable_by_key(|done| done.region);
        for attachments in done.chunks(crate::lifecycle::Observers::PER_RECORD_MAX) {
            let attachments = attachments.to_vec();
            let event = Event::Observer(ObserverEvent::CatchUp { attachments });
            let _answer = self.core.commit(&event, Cause::Host)?;
        }
        Ok(())
    }

    /// Says of each region that moved how far everything was told.
    fn tell_progress(&mut self) {
        // What is not durable yet is no progress.
        let is_durable = !self.early || self.core.history.readable(false) >= self.reader_last();
        if !is_durable {
            return;
        }
        for region in std::mem::take(&mut self.moved) {
            let Some(cursor) = self.cursors.get_mut(&region) else {
                continue;
            };
            if cursor.progress < cursor.delivered {
                cursor.progress = cursor.delivered;
                self.queue.push_back(FeedItem::Progress {
                    region,
                    generation: cursor.generation,
                    index: cursor.delivered,
                });
            }
        }
        self.note_progress();
    }

    /// The last record that was read.
    fn reader_last(&self) -> Lsn {
        Lsn::new(self.reader.next().get().saturating_sub(1))
    }
}

/// Blocks for each item; ends when the engine is closed or the observer removed.
impl Iterator for Subscription {
    type Item = Result<FeedItem, ObserveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_ended {
            return None;
        }
        match self.next_item(None) {
            Ok(Some(item)) => Some(Ok(item)),
            Ok(None) => None,
            Err(ObserveError::Closed | ObserveError::Removed { .. }) => {
                self.is_ended = true;
                None
            }
            Err(error) => {
                self.is_ended = true;
                Some(Err(error))
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if self.early {
            self.core.history.bell.count_early(false);
        }
        self.core.feeds.close(self.shared.observer);
    }
}
