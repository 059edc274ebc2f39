//! `CacheTicket`: waiting for a load or an eviction to come about.
//!
//! A ticket looks at the published register only, after each publication, and at nothing that a
//! code path could forget to call: whatever ends the load or the eviction, the ticket hears of it,
//! once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use torrens_journal::Lsn;

use crate::lifecycle::{CacheEntry, EvictReason, Register};
use crate::{Incarnation, RegionId};

/// How a load or an eviction that was asked for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// As it was asked for: the region is active, or it is gone from memory.
    Done,
    /// A load did not come about: something evicted the region, or cancelled its load. The reason
    /// is missing if all that is left of it is that nothing is cached.
    Cancelled(Option<EvictReason>),
    /// The peer that it was for is gone.
    PeerGone,
    /// The engine was closed.
    Closed,
}

/// One load or eviction that was asked for. Completes exactly once; clones are the same.
#[derive(Clone)]
pub struct CacheTicket {
    region: RegionId,
    shared: Arc<Shared>,
}

type OnDone = Box<dyn FnOnce(CacheOutcome) + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<Progress>,
    done: Condvar,
}

#[derive(Default)]
struct Progress {
    outcome: Option<CacheOutcome>,
    told: Vec<OnDone>,
}

impl CacheTicket {
    fn new(region: RegionId) -> Self {
        let shared = Arc::default();
        CacheTicket { region, shared }
    }

    /// The region that it is about.
    pub fn region(&self) -> RegionId {
        self.region
    }

    /// How it ended; none yet.
    pub fn outcome(&self) -> Option<CacheOutcome> {
        self.shared.state.lock().outcome
    }

    /// Waits for the end, at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<CacheOutcome> {
        // No deadline if it lies beyond what the clock can say.
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state.lock();
        while state.outcome.is_none() {
            match deadline {
                None => self.shared.done.wait(&mut state),
                Some(deadline) => {
                    if self
                        .shared
                        .done
                        .wait_until(&mut state, deadline)
                        .timed_out()
                    {
                        break;
                    }
                }
            }
        }
        state.outcome
    }

    /// Calls `tell` once with how it ended: now, or on the thread that publishes the end. It must be
    /// short, and not call the engine.
    pub fn on_done(&self, tell: impl FnOnce(CacheOutcome) + Send + 'static) {
        let mut state = self.shared.state.lock();
        match state.outcome {
            None => state.told.push(Box::new(tell)),
            Some(outcome) => {
                drop(state);
                tell(outcome);
            }
        }
    }

    /// The first outcome stays.
    fn complete(&self, outcome: CacheOutcome) {
        let mut state = self.shared.state.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let told = std::mem::take(&mut state.told);
        drop(state);
        self.shared.done.notify_all();
        told.into_iter().for_each(|tell| tell(outcome));
    }
}

impl fmt::Debug for CacheTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheTicket")
            .field("region", &self.region)
            .field("outcome", &self.outcome())
            .finish()
    }
}

/// What a ticket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Loaded,
    Gone,
}

#[derive(Debug)]
struct Watch {
    ticket: CacheTicket,
    wanted: Wanted,
    incarnation: Option<Incarnation>,
    /// The record that asked for it, or that the answer rested on: before it is published, the
    /// register says nothing about the request.
    after: Lsn,
}

/// The tickets that are not complete.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// How many there are, for those who would rather not take the lock.
    count: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    watches: Vec<Watch>,
    closed: bool,
}

impl Watches {
    /// A ticket for what was asked for at `after`.
    pub(super) fn add(
        &self,
        region: RegionId,
        incarnation: Option<Incarnation>,
        wanted: Wanted,
        after: Lsn,
    ) -> CacheTicket {
        let ticket = CacheTicket::new(region);
        let mut list = self.list.lock();
        if list.closed {
            drop(list);
            ticket.complete(CacheOutcome::Closed);
            return ticket;
        }
        list.watches.push(Watch {
            ticket: ticket.clone(),
            wanted,
            incarnation,
            after,
        });
        self.count.store(list.watches.len(), Ordering::Release);
        ticket
    }

    /// Whether anybody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Takes out the tickets that are complete now; the caller tells them, holding no lock.
    #[must_use = "the tickets have to be told"]
    pub(super) fn settle(&self, published: &Register) -> Ended {
        let mut list = self.list.lock();
        let mut ended = Vec::new();
        list.watches.retain(|watch| match watch.outcome(published) {
            Some(outcome) => {
                ended.push((watch.ticket.clone(), outcome));
                false
            }
            None => true,
        });
        self.count.store(list.watches.len(), Ordering::Release);
        Ended(ended)
    }

    /// Completes every ticket, and every later one at once.
    pub(super) fn close(&self) {
        let mut list = self.list.lock();
        list.closed = true;
        let watches = std::mem::take(&mut list.watches);
        self.count.store(0, Ordering::Release);
        drop(list);
        for watch in watches {
            watch.ticket.complete(CacheOutcome::Closed);
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tickets that are complete and were not told.
#[derive(Debug)]
pub(super) struct Ended(Vec<(CacheTicket, CacheOutcome)>);

impl Ended {
    pub(super) fn tell(self) {
        for (ticket, outcome) in self.0 {
            ticket.complete(outcome);
        }
    }
}

impl Watch {
    fn outcome(&self, published: &Register) -> Option<CacheOutcome> {
        if published.last_lsn() < self.after {
            return None;
        }
        let entry = published.cache(self.ticket.region);
        match self.wanted {
            Wanted::Gone => match entry {
                CacheEntry::Cancelled { .. }
                | CacheEntry::EvictPending { .. }
                | CacheEntry::Evicting { .. } => None,
                // Something may have been asked for since; the eviction has ended.
                CacheEntry::Absent
                | CacheEntry::LoadRequested { .. }
                | CacheEntry::LoadQueued { .. }
                | CacheEntry::Loading { .. }
                | CacheEntry::Active { .. } => Some(CacheOutcome::Done),
            },
            Wanted::Loaded => {
                if published.incarnation(self.ticket.region) != self.incarnation {
                    return Some(CacheOutcome::PeerGone);
                }
                match entry {
                    CacheEntry::Active { .. } => Some(CacheOutcome::Done),
                    CacheEntry::LoadRequested { .. }
                    | CacheEntry::LoadQueued { .. }
                    | CacheEntry::Loading { .. } => None,
                    CacheEntry::Absent => Some(CacheOutcome::Cancelled(None)),
                    CacheEntry::Cancelled { reason, queued, .. }
                    | CacheEntry::EvictPending { reason, queued, .. }
                    | CacheEntry::Evicting { reason, queued, .. } => match queued {
                        Some(_) => None,
                        None => Some(CacheOutcome::Cancelled(Some(reason))),
                    },
                }
            }
        }
    }
}
