//! Group commit: who syncs, who waits, who is told.
//!
//! One thread at a time leads: it seals the open group, syncs outside the mutex, publishes, and
//! hands the lead to *one* waiter of the next batch. That takes a moment, in which others join the
//! batch. Everybody else sleeps on the batch that covers its record and is woken once, when that
//! batch is durable; so a sync that returns wakes those it served and one more, never the crowd.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::{Poison, PoisonedBy, SyncError};
use crate::group::GroupFlags;
use crate::ids::SegmentId;
use crate::lsn::Lsn;
use crate::writer::Journal;
use crate::writer::state::{End, State, Unsynced};

/// Who may start the next sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Nobody syncs; whoever comes may.
    Free,
    /// A waiter of the next batch was woken to lead; newcomers join its batch.
    Promised,
    /// A sync runs.
    Held,
}

/// Threads whose records the same sync makes durable.
#[derive(Debug, Default)]
pub(super) struct Batch {
    inner: Mutex<BatchInner>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct BatchInner {
    waiters: usize,
    signal: Signal,
}

#[derive(Debug, Default)]
enum Signal {
    /// Sleep on.
    #[default]
    Parked,
    /// One waiter takes this and leads.
    Lead,
    /// The batch is durable.
    Done,
    /// It never will be.
    Failed(Arc<Poison>),
}

/// What a waiter woke up to.
enum Woken {
    Lead,
    Done,
    Failed(Arc<Poison>),
}

impl Batch {
    /// Counts the caller in. Called under the journal's mutex, so that a leader who finds no waiter
    /// there may free the lead.
    fn join(&self) {
        self.inner.lock().waiters += 1;
    }

    fn wait(&self) -> Woken {
        let mut inner = self.inner.lock();
        loop {
            match &inner.signal {
                Signal::Parked => self.woken.wait(&mut inner),
                Signal::Lead => {
                    inner.signal = Signal::Parked;
                    inner.waiters -= 1;
                    return Woken::Lead;
                }
                Signal::Done => return Woken::Done,
                Signal::Failed(poison) => return Woken::Failed(Arc::clone(poison)),
            }
        }
    }

    /// Hands the lead to one waiter; `false` if nobody waits.
    fn offer_lead(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.waiters == 0 || matches!(inner.signal, Signal::Failed(_)) {
            return false;
        }
        inner.signal = Signal::Lead;
        self.woken.notify_one();
        true
    }

    fn finish(&self) {
        let mut inner = self.inner.lock();
        if !matches!(inner.signal, Signal::Failed(_)) {
            inner.signal = Signal::Done;
        }
        self.woken.notify_all();
    }

    pub(super) fn fail(&self, poison: &Arc<Poison>) {
        self.inner.lock().signal = Signal::Failed(Arc::clone(poison));
        self.woken.notify_all();
    }
}

/// What one sync has to do, taken out of the state.
struct Job {
    end: End,
    unsynced: Vec<Unsynced>,
    batch: Arc<Batch>,
}

/// Ends the journal if the leader does not come back from its sync.
struct Leading<'j> {
    journal: &'j Journal,
    segment: SegmentId,
    returned: bool,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if !self.returned {
            let mut state = self.journal.state.lock();
            let source = std::io::Error::other("the syncing thread panicked");
            let poison = state.poison(PoisonedBy::Panic, self.segment, source);
            state.lead = Lead::Free;
            if let Some((_, batch)) = state.in_flight.take() {
                batch.fail(&poison);
            }
        }
    }
}

impl Journal {
    /// See [`Journal::wait_durable`].
    pub(super) fn commit(&self, lsn: Lsn) -> Result<(), SyncError> {
        if lsn <= self.synced() {
            return Ok(());
        }
        let mut state = self.state.lock();
        // Everything up to here was acknowledged before a failure, if there was one.
        if lsn <= state.synced.lsn {
            return Ok(());
        }
        if let Some(poison) = &state.poison {
            return Err(SyncError::Poisoned(Arc::clone(poison)));
        }
        if lsn > state.appended {
            return Err(SyncError::NotAppended {
                lsn,
                appended: state.appended,
            });
        }
        let batch = match &state.in_flight {
            Some((end, batch)) if lsn <= *end => Arc::clone(batch),
            _ if state.lead == Lead::Free => {
                state.lead = Lead::Held;
                return self.lead(state);
            }
            _ => Arc::clone(&state.next_batch),
        };
        batch.join();
        drop(state);
        match batch.wait() {
            Woken::Done => Ok(()),
            Woken::Failed(poison) => Err(SyncError::Poisoned(poison)),
            Woken::Lead => {
                let mut state = self.state.lock();
                state.lead = Lead::Held;
                self.lead(state)
            }
        }
    }

    /// Runs one sync that covers everything appended up to now. The caller holds the lead.
    fn lead(&self, mut state: MutexGuard<'_, State>) -> Result<(), SyncError> {
        let taken = take_job(&mut state);
        let segment = state.active.segment.id();
        drop(state);
        let job = match taken {
            Ok(job) => job,
            Err(poison) => {
                self.state.lock().lead = Lead::Free;
                return Err(SyncError::Poisoned(poison));
            }
        };
        let mut leading = Leading {
            journal: self,
            segment,
            returned: false,
        };
        let started = Instant::now();
        let outcome = self.run(&job);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        leading.returned = true;

        let mut state = self.state.lock();
        state.in_flight = None;
        if let Err((by, segment, source)) = outcome {
            state.poison(by, segment, source);
        }
        // A store may have failed while this sync ran: then nothing is acknowledged either.
        if let Some(poison) = state.poison.clone() {
            state.lead = Lead::Free;
            drop(state);
            job.batch.fail(&poison);
            return Err(SyncError::Poisoned(poison));
        }
        publish(&mut state, &job);
        self.watch.publish(job.end.lsn);
        state.stats.syncs += 1;
        state.stats.last_sync_micros = micros;
        state.stats.sync_micros = state.stats.sync_micros.saturating_add(micros);
        state.lead = if state.next_batch.offer_lead() {
            Lead::Promised
        } else {
            Lead::Free
        };
        drop(state);
        job.batch.finish();
        Ok(())
    }

    /// The syncs of one job, oldest segment first: nothing gets its name before all that precedes
    /// it is durable.
    fn run(&self, job: &Job) -> Result<(), (PoisonedBy, SegmentId, std::io::Error)> {
        for unsynced in &job.unsynced {
            unsynced
                .segment
                .sync(&*self.disk, &self.dir, unsynced.header.as_ref())
                .map_err(|(by, source)| (by, unsynced.segment.id(), source))?;
        }
        Ok(())
    }
}

/// Seals the open group and takes everything that a sync must cover.
fn take_job(state: &mut State) -> Result<Job, Arc<Poison>> {
    if let Some(poison) = &state.poison {
        return Err(Arc::clone(poison));
    }
    if state.open.count > 0 {
        state.seal(GroupFlags::NONE)?;
    }
    let batch = std::mem::take(&mut state.next_batch);
    state.in_flight = Some((state.stored.lsn, Arc::clone(&batch)));
    Ok(Job {
        end: state.stored,
        unsynced: state.unsynced.clone(),
        batch,
    })
}

/// Records that a job's sync returned.
fn publish(state: &mut State, job: &Job) {
    state.synced = job.end;
    // Only the last segment of the job can have got more groups meanwhile. If it was switched out
    // since, the next sync covers it once more.
    let last = job.end.segment;
    state
        .unsynced
        .retain(|unsynced| unsynced.segment.id() >= last);
    for unsynced in &mut state.unsynced {
        if unsynced.segment.id() == last {
            unsynced.header = None;
        }
    }
}
