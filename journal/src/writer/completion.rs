//! `Completions`: who is to be told when a record is durable, without a thread of theirs waiting.
//!
//! Kept beside the journal's mutex, so that asking to be told costs an append little. The order of
//! looks makes sure that nobody is forgotten: who asks looks at the position under this lock, and who
//! moves the position stores it before it takes this lock.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::error::{MarkError, SyncError};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::writer::Inner;

/// Called once with the record's LSN, or with why it is not known to be durable.
pub(super) type Callback = Box<dyn FnOnce(Result<Lsn, SyncError>) + Send>;

/// The waker of a task that polls a ticket; the last one counts.
pub(super) type WakerSlot = Arc<Mutex<Option<Waker>>>;

/// How somebody is told.
pub(super) enum Notify {
    Call(Callback),
    Wake(WakerSlot),
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Notify::Call(_) => "Call",
            Notify::Wake(_) => "Wake",
        })
    }
}

/// Those who wait for one of the two positions, by LSN.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<(Lsn, Notify)>>,
    /// How many those are. Changed under the lock; read without it by whoever moves a position.
    count: AtomicUsize,
    /// The highest LSN that somebody wants to reach.
    wanted: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Completions {
    durable: Queue,
    witnessed: Queue,
}

impl Queue {
    fn want(&self, lsn: Lsn) {
        self.wanted.fetch_max(lsn.get(), Ordering::SeqCst);
    }

    fn wanted(&self) -> Lsn {
        Lsn::new(self.wanted.load(Ordering::SeqCst))
    }

    /// Takes out the first one whose record is at or below `reached`.
    fn next(&self, reached: Lsn) -> Option<(Lsn, Notify)> {
        let mut waiting = self.waiting.lock();
        match waiting.front() {
            Some((lsn, _)) if *lsn <= reached => {
                self.count.fetch_sub(1, Ordering::SeqCst);
                waiting.pop_front()
            }
            _ => None,
        }
    }

    /// Takes all out.
    fn take(&self) -> VecDeque<(Lsn, Notify)> {
        let mut waiting = self.waiting.lock();
        self.count.store(0, Ordering::SeqCst);
        std::mem::take(&mut waiting)
    }
}

impl Completions {
    fn queue(&self, durability: Durability) -> &Queue {
        match durability {
            Durability::Relaxed | Durability::Durable => &self.durable,
            Durability::Witnessed => &self.witnessed,
        }
    }

    /// Asks for `lsn` to become durable, or witnessed too.
    pub(super) fn want(&self, lsn: Lsn, durability: Durability) {
        self.queue(durability).want(lsn);
    }

    /// The highest LSN that is wanted durable, in either way.
    pub(super) fn wanted_durable(&self) -> Lsn {
        self.durable.wanted().max(self.witnessed.wanted())
    }

    /// The highest LSN that is wanted witnessed.
    pub(super) fn wanted_witnessed(&self) -> Lsn {
        self.witnessed.wanted()
    }

    /// Whether somebody waits to be told.
    pub(super) fn is_awaited(&self) -> bool {
        let queues = [&self.durable, &self.witnessed];
        queues
            .iter()
            .any(|queue| queue.count.load(Ordering::SeqCst) > 0)
    }
}

impl Inner {
    /// What has become of a record, if that is known.
    pub(super) fn outcome(
        &self,
        lsn: Lsn,
        durability: Durability,
    ) -> Option<Result<Lsn, SyncError>> {
        let reached = match durability {
            Durability::Relaxed | Durability::Durable => self.synced(),
            Durability::Witnessed => self.witnessed(),
        };
        if lsn <= reached {
            return Some(Ok(lsn));
        }
        self.ending(lsn, durability).map(Err)
    }

    /// Why a record will not reach its position any more.
    fn ending(&self, lsn: Lsn, durability: Durability) -> Option<SyncError> {
        let is_shut = self.is_shut.load(Ordering::SeqCst);
        if !is_shut && !self.watch.is_ended() {
            return None;
        }
        let state = self.state.lock();
        let unmarked = |error| Some(SyncError::NotWitnessed(Arc::new(error)));
        match &state.poison {
            Some(poison) if lsn > state.synced.lsn => Some(SyncError::Poisoned(Arc::clone(poison))),
            _ if durability != Durability::Witnessed => None,
            Some(poison) => unmarked(MarkError::Poisoned(Arc::clone(poison))),
            None if is_shut => unmarked(MarkError::Closed),
            None => None,
        }
    }

    /// Has `notify` told when the record has reached its position, or never will; at once if that is
    /// known.
    pub(super) fn tell_when(&self, lsn: Lsn, durability: Durability, notify: Notify) {
        let queue = self.completions.queue(durability);
        let mut waiting = queue.waiting.lock();
        // Under the lock: whoever moves a position or ends the journal from now on finds us.
        if let Some(outcome) = self.outcome(lsn, durability) {
            drop(waiting);
            return self.tell(notify, outcome);
        }
        let after = waiting.iter().rev().take_while(|(other, _)| *other > lsn);
        let place = waiting.len() - after.count();
        waiting.insert(place, (lsn, notify));
        queue.count.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        self.completions.want(lsn, durability);
        self.nudge_flusher();
    }

    fn tell(&self, notify: Notify, outcome: Result<Lsn, SyncError>) {
        match notify {
            Notify::Call(callback) => {
                // It is not ours, and must take nobody with it who waits behind it.
                if catch_unwind(AssertUnwindSafe(|| callback(outcome))).is_err() {
                    self.state.lock().stats.callback_panics += 1;
                }
            }
            Notify::Wake(slot) => {
                let waker = slot.lock().take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// After a position moved or the journal ended: tells those concerned, on the journal's own thread if it has one.
    pub(super) fn tell_reached(&self) {
        if !self.completions.is_awaited() {
            self.wake_from_doze();
        } else if self.has_flusher() {
            self.nudge_flusher();
        } else {
            self.run_completions();
        }
    }

    /// Tells everybody whose record has reached its position, or never will.
    pub(super) fn run_completions(&self) {
        for durability in [Durability::Durable, Durability::Witnessed] {
            let queue = self.completions.queue(durability);
            let reached = match durability {
                Durability::Relaxed | Durability::Durable => self.synced(),
                Durability::Witnessed => self.witnessed(),
            };
            while let Some((lsn, notify)) = queue.next(reached) {
                self.tell(notify, Ok(lsn));
            }
            let Some(lsn) = queue.waiting.lock().front().map(|(lsn, _)| *lsn) else {
                continue;
            };
            if let Some(Err(_)) = self.outcome(lsn, durability) {
                for (lsn, notify) in queue.take() {
                    // Each for itself: some may have been durable before the end.
                    match self.outcome(lsn, durability) {
                        Some(outcome) => self.tell(notify, outcome),
                        None => self.tell_when(lsn, durability, notify),
                    }
                }
            }
        }
    }

    /// Tells all who wait for a witness of what is durable that it could not be written.
    pub(super) fn refuse_witnesses(&self, reached: Lsn, error: &Arc<MarkError>) {
        while let Some((_, notify)) = self.completions.witnessed.next(reached) {
            self.tell(notify, Err(SyncError::NotWitnessed(Arc::clone(error))));
        }
    }
}
