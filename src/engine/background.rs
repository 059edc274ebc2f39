//! Work that goes on behind the callers: effects of transitions, cache loads and evictions,
//! scheduled barriers, the sync of records that nobody waits for, checkpoints.
//!
//! Every job is idempotent and is found again at opening if a crash takes it away; one that a full
//! disk stopped is tried again at the next tick. By default a
//! thread runs them; with [`Background::Manual`] they run only in
//! [`Engine::step_background`](super::Engine::step_background), so that a test decides every order.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::caches::KeeperClock;
use super::core::Core;
use super::{EngineError, effects};
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{CacheEntry, Cause, DeletionId, Effect, Event};
use crate::{Incarnation, RegionId};

/// Who runs the background work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// A thread of the engine.
    #[default]
    Thread,
    /// Nobody but [`Engine::step_background`](super::Engine::step_background).
    Manual,
}

/// How often the background work does what nobody asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// A barrier while there is dirty data, a sync while there are unsynced records.
    pub(super) barrier_interval: Duration,
    /// A checkpoint after this many records.
    pub(super) checkpoint_records: u64,
    /// An audit of what is observed.
    pub(super) audit_interval: Duration,
}

/// One piece of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    /// Clear the range of a pending deletion and end it.
    Clear(DeletionId),
    /// Fill the cache of a region.
    Load(RegionId, Incarnation),
    /// Free the cache of a region once nothing pins it.
    Free(RegionId),
    /// Pack what was written into the cache of a region since the last time.
    Merge(RegionId),
    /// Look for caches that are worth a merge, and whether memory runs short.
    Sweep,
    /// Evict what has to go because memory runs short.
    Relieve,
    /// A round of automatic loads and evictions.
    Round,
    /// Load some of the regions that were cached before the restart.
    Warm,
    /// Compare the next cached region with the data store.
    Check,
    /// Attach and detach observers where something changed.
    Observe,
    /// Compare what should be observed with what is, everywhere.
    Audit,
}

/// A [`Job`] without its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobKind {
    Clear,
    Load,
    Free,
    Merge,
    Sweep,
    Relieve,
    Round,
    Warm,
    Check,
    Observe,
    Audit,
}

/// Who runs a job when there are threads: a long load must not keep barriers waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Deletions, and what is due by the clock.
    Keeping,
    /// Whatever fills and empties memory.
    Caching,
}

impl Job {
    /// Stable name, for step-by-step tests.
    pub(super) fn name(&self) -> &'static str {
        match self.kind() {
            JobKind::Clear => "clear",
            JobKind::Load => "load",
            JobKind::Free => "free",
            JobKind::Merge => "merge",
            JobKind::Sweep => "sweep",
            JobKind::Relieve => "relieve",
            JobKind::Round => "round",
            JobKind::Warm => "warm",
            JobKind::Check => "check",
            JobKind::Observe => "observe",
            JobKind::Audit => "audit",
        }
    }

    fn kind(&self) -> JobKind {
        match self {
            Job::Clear(_) => JobKind::Clear,
            Job::Load(..) => JobKind::Load,
            Job::Free(_) => JobKind::Free,
            Job::Merge(_) => JobKind::Merge,
            Job::Sweep => JobKind::Sweep,
            Job::Relieve => JobKind::Relieve,
            Job::Round => JobKind::Round,
            Job::Warm => JobKind::Warm,
            Job::Check => JobKind::Check,
            Job::Observe => JobKind::Observe,
            Job::Audit => JobKind::Audit,
        }
    }

    fn lane(&self) -> Lane {
        match self.kind() {
            JobKind::Clear | JobKind::Observe | JobKind::Audit => Lane::Keeping,
            JobKind::Load
            | JobKind::Free
            | JobKind::Merge
            | JobKind::Sweep
            | JobKind::Relieve
            | JobKind::Round
            | JobKind::Warm
            | JobKind::Check => Lane::Caching,
        }
    }
}

/// The jobs that wait, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    keeping: Waiting,
    caching: Waiting,
    /// Everything that waits in one of them: a storm of loads queues one for each region.
    queued: HashSet<Job>,
    /// The place of the next job among those of both lanes.
    next: u64,
    /// Jobs that wait for somebody, until the next tick.
    later: Vec<Job>,
    /// Jobs that run: one of the thread's, and those of whoever steps by hand.
    running: usize,
    stopping: bool,
    /// The first failure of the thread's jobs that nobody was told of yet.
    failed: Option<EngineError>,
}

/// The jobs of one lane, with the place of each among those of both.
type Waiting = VecDeque<(u64, Job)>;

impl State {
    fn lane(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Keeping => &mut self.keeping,
            Lane::Caching => &mut self.caching,
        }
    }

    /// Puts a job behind the others, if it does not wait already.
    fn push(&mut self, job: Job) {
        if self.queued.insert(job) {
            let place = self.next;
            self.next += 1;
            self.lane(job.lane()).push_back((place, job));
        }
    }

    /// The lane of the job that came first.
    fn first(&self) -> Option<Lane> {
        match (self.keeping.front(), self.caching.front()) {
            (Some((keeping, _)), Some((caching, _))) if caching < keeping => Some(Lane::Caching),
            (Some(_), _) => Some(Lane::Keeping),
            (None, Some(_)) => Some(Lane::Caching),
            (None, None) => None,
        }
    }

    fn take(&mut self, lane: Lane) -> Option<Job> {
        let (_, job) = self.lane(lane).pop_front()?;
        self.queued.remove(&job);
        Some(job)
    }

    /// What waits in either lane.
    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.keeping.iter().chain(&self.caching).map(|(_, job)| job)
    }
}

impl Queue {
    pub(super) fn push(&self, job: Job) {
        self.state.lock().push(job);
        self.changed.notify_all();
    }

    pub(super) fn push_effects(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::ClearRange { deletion, .. } => self.push(Job::Clear(deletion)),
                Effect::StartLoad {
                    region,
                    incarnation,
                } => {
                    self.push(Job::Load(region, incarnation));
                }
                Effect::FreeCache { region } => self.push(Job::Free(region)),
                // Carried out by the transition itself, which holds what they need.
                Effect::IngestSnapshot { .. } => {}
            }
        }
    }

    /// Puts a job that has to wait for somebody behind the others, not before the next tick.
    pub(super) fn retry_later(&self, job: Job) {
        let mut state = self.state.lock();
        if !state.later.contains(&job) {
            state.later.push(job);
        }
    }

    /// Lets the jobs that had to wait try again.
    fn retry_now(&self) {
        let mut state = self.state.lock();
        let later = std::mem::take(&mut state.later);
        if !later.is_empty() {
            later.into_iter().for_each(|job| state.push(job));
            self.changed.notify_all();
        }
    }

    /// How many jobs wait, also those that wait for somebody.
    #[cfg(feature = "metrics")]
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.queued.len() + state.later.len()
    }

    /// How many jobs of a kind wait, also those that wait for somebody.
    pub(super) fn waiting(&self, kind: JobKind) -> usize {
        let state = self.state.lock();
        let waiting = state.jobs().chain(&state.later);
        waiting.filter(|job| job.kind() == kind).count()
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Waits until no job waits or runs, and answers the first failure since the last call. In
    /// manual mode that is up to the caller's own steps.
    pub(super) fn wait_idle(&self) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        while (state.running > 0 || !state.queued.is_empty()) && !state.stopping {
            self.changed.wait(&mut state);
        }
        state.failed.take().map_or(Ok(()), Err)
    }

    /// The next job of a lane, or of any.
    fn take(&self, lane: Option<Lane>) -> Option<Job> {
        let mut state = self.state.lock();
        let lane = lane.or_else(|| state.first())?;
        let job = state.take(lane)?;
        state.running += 1;
        Some(job)
    }

    /// The name of the next job of any lane.
    #[cfg(feature = "play")]
    pub(super) fn next_name(&self) -> Option<&'static str> {
        let state = self.state.lock();
        let lane = match state.first()? {
            Lane::Keeping => &state.keeping,
            Lane::Caching => &state.caching,
        };
        lane.front().map(|(_, job)| job.name())
    }

    fn done(&self, failed: Option<EngineError>) {
        let mut state = self.state.lock();
        state.running = state.running.saturating_sub(1);
        if let Some(error) = failed {
            state.failed.get_or_insert(error);
        }
        self.changed.notify_all();
    }
}

impl Core {
    /// Background: clear the keys of a pending deletion, durably, and end it.
    fn clear_deletion(&self, deletion: DeletionId) -> Result<(), EngineError> {
        self.barriers.check()?;
        // No snapshot is ingested meanwhile, so nothing that was ingested can be cleared.
        let _effects = self.effects.lock();
        let Some(range) = self.with_decided(|register| {
            register
                .deletion(deletion)
                .map(|deletion| deletion.range.clone())
        }) else {
            return Ok(());
        };
        effects::clear(&*self.data, &range).map_err(|error| match error {
            EngineError::Data(error) => self.barriers.fail(error),
            error => error,
        })?;
        reach(CrashPoint::DeletionCleared);
        self.barrier()?;
        reach(CrashPoint::DeletionDurable);
        let _ended = self.commit(&Event::FinishDeletion { deletion }, Cause::Collector)?;
        Ok(())
    }

    /// Runs one job, if there is one; answers its name.
    pub(super) fn step_background(self: &Arc<Self>) -> Result<Option<&'static str>, EngineError> {
        let Some(job) = self.queue.take(None) else {
            return Ok(None);
        };
        let outcome = self.run_job(job);
        self.queue.done(None);
        outcome.map(|()| Some(job.name()))
    }

    fn run_job(self: &Arc<Self>, job: Job) -> Result<(), EngineError> {
        let outcome = match job {
            Job::Clear(deletion) => self.clear_deletion(deletion),
            Job::Load(region, incarnation) => self.load_cache(region, incarnation),
            Job::Free(region) => self.free_cache(region),
            Job::Merge(region) => {
                self.merge_cache(region);
                Ok(())
            }
            Job::Sweep => {
                self.sweep_caches();
                Ok(())
            }
            Job::Relieve => {
                self.relieve_caches();
                Ok(())
            }
            Job::Round => {
                let _decided = self.balance_caches();
                Ok(())
            }
            Job::Warm => {
                self.warm_caches();
                Ok(())
            }
            Job::Check => self.check_next(),
            Job::Observe => self.reconcile_observers(),
            Job::Audit => self.audit_observers().map(drop),
        };
        if outcome.as_ref().is_err_and(EngineError::may_pass) {
            self.queue.retry_later(job);
        }
        outcome
    }

    /// Queues what the register says is asked for and not done: loads, and keys to clear. For
    /// opening, when nothing is queued.
    pub(super) fn queue_open_work(&self) {
        let jobs: Vec<Job> = self.with_decided(|register| {
            let clears = register
                .deletions()
                .map(|(deletion, _)| Job::Clear(deletion));
            let loads = register
                .slots()
                .filter_map(|(region, slot)| match *slot.cache {
                    // What it waited for ended with the process.
                    CacheEntry::LoadRequested { incarnation }
                    | CacheEntry::LoadQueued { incarnation } => {
                        Some(Job::Load(region, incarnation))
                    }
                    CacheEntry::Absent
                    | CacheEntry::Loading { .. }
                    | CacheEntry::Active { .. }
                    | CacheEntry::Cancelled { .. }
                    | CacheEntry::EvictPending { .. }
                    | CacheEntry::Evicting { .. } => None,
                });
            clears.chain(loads).collect()
        });
        jobs.into_iter().for_each(|job| self.queue.push(job));
        if self.caches.is_warm_wanted() {
            self.queue.push(Job::Warm);
        }
        if !self.published().observers().is_empty() {
            self.observing.registry.dirty.mark_all();
            self.queue.push(Job::Observe);
        }
    }

    /// What is due by the clock or by volume rather than by a job.
    ///
    /// Each thing is tried whatever became of the others; the first failure is answered.
    pub(super) fn tick(&self, schedule: &Schedule) -> Result<(), EngineError> {
        self.queue.retry_now();
        self.tick_observers();
        self.latches.shrink();
        let flushed = match self.rows.is_dirty() {
            true => self.barrier().map(drop),
            false => Ok(()),
        };
        // Also when all is synced: the sync may have been another thread's, and come before the
        // record was in line to be published.
        let synced = self.sync();
        self.history.sync();
        // Written, not waited for: a witness in case the machine stays idle and then dies.
        let marked = self.journal.mark();
        let since = self.journal.synced().distance_from(self.last_checkpoint());
        let collected = self.collect_some();
        let swept = self.sweep_snapshots();
        let retained = match self.is_retention_due() {
            true => self.retain_history().map(drop),
            false => Ok(()),
        };
        let kept = match since >= schedule.checkpoint_records {
            true => self.checkpoint().map(drop),
            false => Ok(()),
        };
        flushed
            .and(synced.map(drop))
            .and(marked)
            .and(kept)
            .and(collected)
            .and(swept)
            .and(retained)
    }
}

/// Whoever waits for jobs must not wait for a thread that is gone, however it went.
struct Gone<'a>(&'a Queue);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Waits for a job of the lane until `due`, and runs it; false once the queue is stopped.
fn run_next(core: &Arc<Core>, lane: Lane, due: Instant) -> bool {
    {
        let mut state = core.queue.state.lock();
        while state.lane(lane).is_empty() && !state.stopping && Instant::now() < due {
            core.queue.changed.wait_until(&mut state, due);
        }
        if state.stopping {
            return false;
        }
    }
    if let Some(job) = core.queue.take(Some(lane)) {
        let failed = core.run_job(job).err();
        core.queue.done(failed);
    }
    true
}

/// The keeping thread's life: jobs as they come, the tick when it is due, until told to stop.
pub(super) fn run(core: &Arc<Core>, schedule: Schedule) {
    let _gone = Gone(&core.queue);
    let mut due = Instant::now() + schedule.barrier_interval;
    let mut audited = Instant::now();
    while run_next(core, Lane::Keeping, due) {
        if Instant::now() >= due {
            // A poisoned journal or a failed data store answers every later call by itself; a full
            // disk does so too, and the next tick tries again.
            let _ = core.tick(&schedule);
            if audited.elapsed() >= schedule.audit_interval {
                audited = Instant::now();
                core.queue.push(Job::Audit);
            }
            due = Instant::now() + schedule.barrier_interval;
        }
    }
}

/// The caching thread's life: jobs as they come, until told to stop.
pub(super) fn run_caching(core: &Arc<Core>) {
    let _gone = Gone(&core.queue);
    let mut clock = KeeperClock::new();
    while run_next(core, Lane::Caching, clock.due()) {
        clock.look(core);
    }
}
