//! `Ticket`: the claim on the durability of records that were appended, for whoever does not want to
//! wait on the spot.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::SyncError;
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::writer::Inner;
use crate::writer::completion::{Notify, WakerSlot};
use crate::writer::watch::Waited;

/// Records on their way to the device.
///
/// Wait for it ([`Ticket::wait`]), ask it ([`Ticket::outcome`]), leave a callback
/// ([`Ticket::on_durable`]) or await it: it is a [`Future`]. Dropping it changes nothing: the records
/// become durable all the same.
///
/// The journal syncs on its own for whoever holds a ticket, on a thread of its own. On a disk that
/// does not allow threads (the simulated one) it happens when somebody waits or calls
/// [`Journal::sync`](crate::Journal::sync).
#[must_use = "the records are not durable yet"]
pub struct Ticket {
    lsn: Lsn,
    durability: Durability,
    journal: Arc<Inner>,
    slot: Option<WakerSlot>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("lsn", &self.lsn)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    pub(super) fn new(lsn: Lsn, durability: Durability, journal: Arc<Inner>) -> Ticket {
        Ticket {
            lsn,
            durability,
            journal,
            slot: None,
        }
    }

    /// The last of the records.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// What has become of them; `None` while that is open.
    ///
    /// # Errors
    /// As for [`Journal::wait_durable`](crate::Journal::wait_durable).
    pub fn outcome(&self) -> Option<Result<Lsn, SyncError>> {
        self.journal.outcome(self.lsn, self.durability)
    }

    /// Waits, as [`Journal::wait_durable`](crate::Journal::wait_durable) or
    /// [`Journal::wait_witnessed`](crate::Journal::wait_witnessed) do.
    ///
    /// # Errors
    /// As theirs.
    pub fn wait(&self) -> Result<Lsn, SyncError> {
        self.journal.reach(self.lsn, self.durability)?;
        Ok(self.lsn)
    }

    /// Waits for at most `timeout`; `None` if the outcome is still open then. On a disk that does not
    /// allow threads it waits until the end.
    ///
    /// # Errors
    /// As for [`Ticket::wait`].
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Lsn, SyncError>> {
        if !self.journal.has_flusher() {
            return Some(self.wait());
        }
        let deadline = Instant::now().checked_add(timeout);
        self.journal.completions.want(self.lsn, self.durability);
        self.journal.nudge_flusher();
        let never = AtomicBool::new(false);
        match self.journal.watch.wait(self.lsn, Some(timeout), &never) {
            Waited::TimedOut | Waited::Stopped => return self.outcome(),
            Waited::Ended(_) => return Some(self.wait()),
            Waited::Reached => {}
        }
        // The mark comes a moment later and has no sleepers of its own.
        loop {
            if let Some(outcome) = self.outcome() {
                return Some(outcome);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return None;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Calls `callback` once: when the records are durable, or when it is known that they never
    /// will be through this journal. At once if that is known already.
    ///
    /// Callbacks of one journal run one after the other, in the order of LSNs, on the journal's own
    /// thread (or on the thread that syncs, where there is none). They may append and submit, and must
    /// not wait for a record of the same journal: the thread that would make it durable is theirs.
    pub fn on_durable(self, callback: impl FnOnce(Result<Lsn, SyncError>) + Send + 'static) {
        let notify = Notify::Call(Box::new(callback));
        self.journal.tell_when(self.lsn, self.durability, notify);
    }
}

impl Future for Ticket {
    type Output = Result<Lsn, SyncError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        if let Some(slot) = &self.slot {
            let mut waker = slot.lock();
            // An empty slot was woken: it is to be asked for again.
            if waker.is_some() {
                *waker = Some(context.waker().clone());
                drop(waker);
                return self.outcome().map_or(Poll::Pending, Poll::Ready);
            }
        }
        let slot = Arc::new(Mutex::new(Some(context.waker().clone())));
        self.slot = Some(Arc::clone(&slot));
        self.journal
            .tell_when(self.lsn, self.durability, Notify::Wake(slot));
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}
