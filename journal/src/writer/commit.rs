//! Group commit: who syncs, who waits, who is told.
//!
//! One thread at a time leads: it waits a moment for those who are likely to come (`cohort`), seals
//! the open group, syncs outside the mutex, publishes, and hands the lead to *one* waiter of the next
//! batch. Everybody else waits on the batch that covers its record and is told once, when that batch
//! is durable; so a sync that returns wakes those it served and one more, never the crowd.
//!
//! Several syncs may be under way (`syncs_in_flight`). Each has a lane: an open file of its own, so
//! that none takes another's error. A second one starts only when as many wait as the first serves:
//! it would otherwise only split a batch. They may return in any order; what is published is always
//! the prefix that has returned without a gap. A sync that gives a segment its header and name runs
//! alone, since the header states that all before it is durable.
//!
//! The journal's owner may have something done around it ([`SyncHooks`]): before the seal that decides what
//! a sync covers, and when that is durable, before anybody who waits hears of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use crate::error::{Poison, PoisonedBy, SyncError};
use crate::group::GroupFlags;
use crate::ids::SegmentId;
use crate::lsn::Lsn;
use crate::writer::Inner;
use crate::writer::batch::{Batch, Woken};
use crate::writer::medium::Burst;
use crate::writer::state::{End, State, Unsynced};

/// Who may start the next sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Nobody is about to.
    Free,
    /// A waiter of the next batch was told to lead; newcomers join its batch.
    Promised,
    /// A thread prepares the next sync.
    Held,
}

/// A sync that is under way, or that returned and waits for an older one.
#[derive(Debug)]
pub(super) struct Flight {
    end: End,
    batch: Arc<Batch>,
    lane: usize,
    /// Threads that it serves.
    served: u32,
    /// Gives a segment its name, and runs alone.
    names_a_segment: bool,
    returned: bool,
}

/// One segment's part of a sync.
#[derive(Debug)]
struct Part {
    unsynced: Unsynced,
    burst: Burst,
}

/// What one sync has to do, taken out of the state.
struct Job {
    end: End,
    lane: usize,
    batch: Arc<Batch>,
    parts: Vec<Part>,
}

/// Ends the journal if the leader does not come back from its sync.
struct Leading<'j> {
    journal: &'j Inner,
    segment: SegmentId,
    batch: Arc<Batch>,
    returned: bool,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if !self.returned {
            let mut state = self.journal.state.lock();
            let source = std::io::Error::other("the syncing thread panicked");
            let poison = state.poison(PoisonedBy::Panic, self.segment, source);
            let mine = Arc::clone(&self.batch);
            state
                .flights
                .retain(|flight| !Arc::ptr_eq(&flight.batch, &mine));
            drop(state);
            mine.fail(&poison);
            self.journal.tell_reached();
        }
    }
}

impl Inner {
    /// See [`Journal::wait_durable`](super::Journal::wait_durable).
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
        let flying = state.flights.iter().find(|flight| lsn <= flight.end.lsn);
        let batch = match flying {
            Some(flight) => Arc::clone(&flight.batch),
            None if self.may_lead(&state, 1) => {
                state.lead = Lead::Held;
                return self.lead(state);
            }
            None => Arc::clone(&state.next_batch),
        };
        batch.join();
        let awake = self.awake(&state);
        drop(state);
        match batch.wait(awake) {
            Woken::Done => Ok(()),
            Woken::Failed(poison) => Err(SyncError::Poisoned(poison)),
            Woken::Lead => {
                let mut state = self.state.lock();
                batch.leave();
                state.lead = Lead::Held;
                self.lead(state)
            }
        }
    }

    /// Whether one who comes with `more` threads beside those who wait may start a sync now.
    fn may_lead(&self, state: &State, more: u32) -> bool {
        if state.lead != Lead::Free {
            return false;
        }
        let under_way = state.flights.iter().filter(|flight| !flight.returned);
        match under_way.clone().count() {
            0 => true,
            count if count >= self.options.get_syncs_in_flight() => false,
            _ => {
                let waiting = state.next_batch.waiters().saturating_add(more);
                let mut others = under_way;
                others.all(|flight| !flight.names_a_segment && flight.served <= waiting)
            }
        }
    }

    /// How long a waiter stays awake: not at all where a sync takes longer than is allowed.
    fn awake(&self, state: &State) -> Duration {
        let allowed = self.options.get_wait_awake();
        if state.cohort.sync_time() > allowed {
            Duration::ZERO
        } else {
            allowed
        }
    }

    /// Runs one sync that covers everything appended up to now. The caller holds the lead.
    fn lead(&self, state: MutexGuard<'_, State>) -> Result<(), SyncError> {
        let state = self.gather(state);
        let (taken, segment) = self.take_off(state);
        let job = match taken {
            Ok(job) => job,
            Err(poison) => {
                self.tell_reached();
                return Err(SyncError::Poisoned(poison));
            }
        };
        let batch = Arc::clone(&job.batch);
        let mut leading = Leading {
            journal: self,
            segment,
            batch: Arc::clone(&batch),
            returned: false,
        };
        let started = Instant::now();
        let outcome = self.run(&job);
        let took = started.elapsed();
        leading.returned = true;
        let is_published = self.land(job, outcome, took)?;
        if is_published {
            return Ok(());
        }
        // An older sync is still under way; who lands it tells this batch too. Nobody offers the
        // lead to a batch that has taken off.
        match batch.wait(self.options.get_wait_awake()) {
            Woken::Failed(poison) => Err(SyncError::Poisoned(poison)),
            Woken::Done | Woken::Lead => Ok(()),
        }
    }

    /// Waits for the threads that are likely to come, if that is likely to pay.
    fn gather<'j>(&'j self, mut state: MutexGuard<'j, State>) -> MutexGuard<'j, State> {
        // The leader is one of them.
        let waiting = state.next_batch.waiters() + 1;
        let Some((wanted, limit)) = state.cohort.wait_for(waiting) else {
            return state;
        };
        let started = Instant::now();
        loop {
            MutexGuard::unlocked(&mut state, std::thread::yield_now);
            let came = state.next_batch.waiters() + 1 >= wanted;
            if came || state.poison.is_some() || started.elapsed() >= limit {
                state.cohort.waited(came);
                return state;
            }
        }
    }

    /// The syncs of one job, oldest segment first: nothing gets its name before all that precedes
    /// it is durable.
    fn run(&self, job: &Job) -> Result<(), (PoisonedBy, SegmentId, std::io::Error)> {
        for part in &job.parts {
            let Unsynced { segment, header } = &part.unsynced;
            self.workshop
                .sync(segment, job.lane, header.as_ref(), &part.burst)
                .map_err(|(by, source)| (by, segment.id(), source))?;
        }
        Ok(())
    }

    /// Decides what the next sync covers, within what the journal's owner does around that, and frees the
    /// lead.
    fn take_off<'j>(&'j self, state: MutexGuard<'j, State>) -> (Taken, SegmentId) {
        let take = |mut state: MutexGuard<'_, State>| {
            let taken = self.take_job(&mut state);
            state.lead = Lead::Free;
            (taken, state.active.segment.id())
        };
        let Some(hooks) = self.hooks.get() else {
            let mut state = state;
            while must_fly_alone(&state) {
                MutexGuard::unlocked(&mut state, || std::thread::sleep(TAKE_OFF_PAUSE));
            }
            return take(state);
        };
        // The owner takes its own lock first, as it does when it appends.
        drop(state);
        let mut promise = Promise {
            journal: self,
            is_kept: false,
        };
        let mut taken = None;
        while taken.is_none() {
            let mut must_wait = false;
            hooks.seal(&mut || {
                let state = self.state.lock();
                must_wait = must_fly_alone(&state);
                if taken.is_none() && !must_wait {
                    taken = Some(take(state));
                }
            });
            if must_wait {
                std::thread::sleep(TAKE_OFF_PAUSE);
            } else if taken.is_none() {
                // It did not call us.
                taken = Some(take(self.state.lock()));
            }
        }
        promise.is_kept = true;
        taken.expect("the loop ends with it")
    }

    /// Seals the open group and takes everything that a sync must cover.
    fn take_job(&self, state: &mut State) -> Taken {
        if let Some(poison) = &state.poison {
            return Err(Arc::clone(poison));
        }
        if state.open.count > 0 {
            state.seal(GroupFlags::NONE)?;
        }
        let batch = std::mem::take(&mut state.next_batch);
        let lanes = 0..self.workshop.lanes;
        let is_free = |lane: &usize| {
            let mut flights = state.flights.iter();
            flights.all(|flight| flight.returned || flight.lane != *lane)
        };
        let lane = lanes.into_iter().find(is_free).unwrap_or_default();
        let parts: Vec<_> = state
            .unsynced
            .iter()
            .map(|unsynced| Part {
                unsynced: unsynced.clone(),
                burst: unsynced.segment.take(),
            })
            .collect();
        state.waiting_bytes = 0;
        state.flights.push_back(Flight {
            end: state.stored,
            batch: Arc::clone(&batch),
            lane,
            served: batch.waiters() + 1,
            names_a_segment: names_a_segment(state),
            returned: false,
        });
        Ok(Job {
            end: state.stored,
            lane,
            batch,
            parts,
        })
    }

    /// Records that a job's sync returned, publishes what is durable without a gap, and hands the
    /// lead on. Says whether the job itself is published.
    fn land(
        &self,
        job: Job,
        outcome: Result<(), (PoisonedBy, SegmentId, std::io::Error)>,
        took: Duration,
    ) -> Result<bool, SyncError> {
        let mut state = self.state.lock();
        if let Err((by, segment, source)) = outcome
            && !crate::planted!("ack-after-a-failed-sync")
        {
            state.poison(by, segment, source);
        }
        // A store or another sync may have failed while this one ran: then nothing is acknowledged
        // either.
        if let Some(poison) = state.poison.clone() {
            let flights: Vec<_> = state.flights.drain(..).collect();
            drop(state);
            for flight in flights {
                flight.batch.fail(&poison);
            }
            job.batch.fail(&poison);
            self.tell_reached();
            return Err(SyncError::Poisoned(poison));
        }
        for part in job.parts {
            for pages in part.burst.groups {
                state.free(pages);
            }
        }
        let mut served = 0;
        for flight in &mut state.flights {
            if Arc::ptr_eq(&flight.batch, &job.batch) {
                flight.returned = true;
                served = flight.served;
            }
        }
        let mut landed = Vec::new();
        while state.flights.front().is_some_and(|flight| flight.returned) {
            landed.extend(state.flights.pop_front());
        }
        if let Some(last) = landed.last() {
            publish(&mut state, last.end);
            self.watch.publish(last.end.lsn);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        state.stats.syncs += 1;
        state.stats.last_sync_micros = micros;
        state.stats.sync_micros = state.stats.sync_micros.saturating_add(micros);
        let waiting = state.next_batch.waiters();
        state.cohort.returned(served, waiting, took);
        if self.may_lead(&state, 0) && state.next_batch.offer_lead() {
            state.lead = Lead::Promised;
        }
        drop(state);
        let is_published = job.end.lsn <= self.synced();
        if let Some(last) = landed.last() {
            self.tell_owner(last.end.lsn);
        }
        for flight in &landed {
            flight.batch.finish();
        }
        if !landed.is_empty() {
            self.tell_reached();
        }
        Ok(is_published)
    }
}

/// What a sync has to do, or why there will be none.
type Taken = Result<Job, Arc<Poison>>;

/// Between two looks at whether older syncs have landed.
const TAKE_OFF_PAUSE: Duration = Duration::from_micros(50);

/// Until the syncs under way have landed, nothing may state in a header that they have.
fn must_fly_alone(state: &State) -> bool {
    names_a_segment(state) && !state.flights.is_empty()
}

/// Ends the journal if the owner's hook panics while it holds the lead.
struct Promise<'j> {
    journal: &'j Inner,
    is_kept: bool,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let mut state = self.journal.state.lock();
            let segment = state.active.segment.id();
            let source = std::io::Error::other("the hook around a seal panicked");
            state.poison(PoisonedBy::Panic, segment, source);
            state.lead = Lead::Free;
            drop(state);
            self.journal.tell_reached();
        }
    }
}

/// Whether the next sync gives a segment its header and name.
fn names_a_segment(state: &State) -> bool {
    state.unsynced.iter().any(|part| part.header.is_some())
}

/// Everything up to `end` is durable.
fn publish(state: &mut State, end: End) {
    state.synced = end;
    // Only the last segment can have got more groups meanwhile. If it was switched out since, the
    // next sync covers it once more.
    state
        .unsynced
        .retain(|unsynced| unsynced.segment.id() >= end.segment);
    for unsynced in &mut state.unsynced {
        if unsynced.segment.id() == end.segment {
            unsynced.header = None;
        }
    }
}
