//! Barriers: the moment from which region data is durable.
//!
//! A barrier has a number. It captures the rows that were written since the last one, flushes the
//! data store down to the device, and journals its number with the index of each captured row as
//! that region's *floor*. Only then may anyone rely on it. Whoever needs the same barrier shares it,
//! and regions that do not need one never wait.
//!
//! The store remembers what a barrier covered: the highest sequence number, and each captured row. For
//! that number to mean something no write is under way at the moment of the capture: everything at or
//! below it is in the store and in the rows, everything above is in neither. After an unclean end the
//! store goes back to that moment (`store::roll_back`).
//!
//! A flush that failed is never retried: the data store is failed until the engine is reopened.

use std::collections::HashMap;

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use torrens_journal::planted;

use super::core::Core;
use super::rows::Row;
use super::{Answer, EngineError};
use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{Cause, Event, FloorUpdate};
use crate::store::{Covered, DataStore, Floored, StoreBatch, StoreError};
use crate::{Incarnation, RegionId, Sequence, trace};

/// Which barriers have come about.
#[derive(Debug)]
pub(super) struct Barriers {
    state: Mutex<State>,
    changed: Condvar,
    known: Mutex<Known>,
    /// Held for reading from a write's sequence number until its row is noted.
    writing: RwLock<()>,
}

/// What the last journaled barrier covered.
#[derive(Debug, Default)]
struct Known {
    covered: Covered,
    floors: HashMap<RegionId, Floored>,
}

/// What a barrier is about to make durable.
#[derive(Debug)]
struct Captured {
    now: Covered,
    rows: Vec<(RegionId, Row)>,
    /// Rows that are made durable too, but whose floor is left to the next barrier's record.
    unrecorded: Vec<(RegionId, Row)>,
    /// Regions whose peer is gone.
    gone: Vec<RegionId>,
}

#[derive(Debug)]
struct State {
    /// Highest barrier that is durable and journaled.
    completed: u64,
    running: bool,
    /// The first failure of the data store, for good.
    failed: Option<String>,
}

impl Barriers {
    /// `completed` is the last journaled barrier.
    pub(super) fn new(completed: u64) -> Self {
        let state = State {
            completed,
            running: false,
            failed: None,
        };
        Barriers {
            state: Mutex::new(state),
            changed: Condvar::new(),
            known: Mutex::default(),
            writing: RwLock::new(()),
        }
    }

    /// Takes over what the store remembers of the last journaled barrier.
    pub(super) fn know(&self, covered: Covered, floors: HashMap<RegionId, Floored>) {
        *self.known.lock() = Known { covered, floors };
    }

    /// The highest sequence number that a journaled barrier covers: what is at or below it is durable,
    /// and stays whatever happens.
    pub(super) fn covered(&self) -> Sequence {
        self.known.lock().covered.sequence
    }

    /// The highest barrier that is durable and journaled.
    pub(super) fn completed(&self) -> u64 {
        self.state.lock().completed
    }

    /// Whether the last journaled barrier left the region's data at that index.
    pub(super) fn has_floor(&self, region: RegionId, incarnation: Incarnation, index: u64) -> bool {
        let known = self.known.lock();
        let floor = known.floors.get(&region);
        floor.is_some_and(|floor| floor.incarnation == incarnation && floor.data_index == index)
    }

    /// Keeps the next barrier from starting: hold it from before a write's sequence number is taken
    /// until the write is in the store and its row is noted.
    pub(super) fn hold_off(&self) -> RwLockReadGuard<'_, ()> {
        self.writing.read()
    }

    /// An error if the data store has failed.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        match &self.state.lock().failed {
            Some(first) => Err(EngineError::DataFailed {
                first: first.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Remembers that the data store failed: nothing is written to it any more.
    pub(super) fn fail(&self, error: StoreError) -> EngineError {
        let mut state = self.state.lock();
        if state.failed.is_none() {
            let text = error.to_string();
            trace::data_failed(&text);
            state.failed = Some(text);
        }
        self.changed.notify_all();
        EngineError::Data(error)
    }
}

impl Core {
    /// Makes everything that the data store accepted so far durable; answers the barrier's number.
    pub(super) fn barrier(&self) -> Result<u64, EngineError> {
        self.check_open()?;
        let number = self.rows.next_barrier();
        self.reach_barrier(number)?;
        Ok(number)
    }

    /// Returns once barrier `number` is durable and journaled, running it if nobody does.
    pub(super) fn reach_barrier(&self, number: u64) -> Result<(), EngineError> {
        let barriers = &self.barriers;
        let mut state = barriers.state.lock();
        loop {
            if state.completed >= number {
                return Ok(());
            }
            if let Some(first) = &state.failed {
                return Err(EngineError::DataFailed {
                    first: first.clone(),
                });
            }
            if state.running {
                barriers.changed.wait(&mut state);
                continue;
            }
            state.running = true;
            drop(state);
            let captured = self.capture();
            let outcome = self.counted_barrier(|| self.run_barrier(&captured));
            state = barriers.state.lock();
            state.running = false;
            barriers.changed.notify_all();
            match outcome {
                Ok(()) => state.completed = captured.now.barrier,
                Err(error) => {
                    let number = captured.now.barrier;
                    self.rows.barrier_failed(number, &captured.rows);
                    return Err(error);
                }
            }
        }
    }

    /// Begins a barrier. Writes wait for a moment; one that is under way is waited for.
    fn capture(&self) -> Captured {
        let _no_write = self.barriers.writing.write();
        let (barrier, rows) = self.rows.start_barrier();
        let (unrecorded, gone) = (self.rows.dirty(), self.rows.take_gone());
        // Last, so that it is not below an ingest that was captured; those are not waited for, since
        // one that has not ended is done again.
        let sequence = self.sequencer.last_begun();
        Captured {
            now: Covered { barrier, sequence },
            rows,
            unrecorded,
            gone,
        }
    }

    fn run_barrier(&self, captured: &Captured) -> Result<(), EngineError> {
        let _span = trace::barrier();
        reach(CrashPoint::BarrierCaptured);
        // A floor vouches for the history, too: what lies below it is never sent again.
        self.history.sync();
        reach(CrashPoint::BarrierHistorySynced);
        let Captured { now, rows, .. } = captured;
        let (batch, floors) = self.barrier_batch(captured);
        let flushed = match planted!("barrier-without-a-flush") {
            true => self.data.apply(&batch),
            false => self.data.apply(&batch).and_then(|()| self.data.flush()),
        };
        flushed.map_err(|error| self.barriers.fail(error))?;
        reach(CrashPoint::BarrierFlushed);
        let number = now.barrier;
        let raised = rows.iter().map(|(region, row)| FloorUpdate {
            region: *region,
            incarnation: row.incarnation,
            index: row.data.index,
        });
        let event = Event::Barrier {
            number,
            floors: match planted!("floors-not-journaled") {
                true => Vec::new(),
                false => raised.collect(),
            },
        };
        match self.commit(&event, Cause::Host)? {
            Answer::Accepted { .. } | Answer::AlreadyApplied => {
                reach(CrashPoint::BarrierJournaled);
                let mut known = self.barriers.known.lock();
                known.covered = *now;
                known.floors.extend(floors);
                for region in &captured.gone {
                    known.floors.remove(region);
                }
                drop(known);
                self.settle_carried(now.sequence)
            }
            answer @ (Answer::Wait(_) | Answer::Refused(_)) => {
                unreachable!("a barrier is a fact: {answer:?}")
            }
        }
    }

    /// What the store is to remember of a barrier.
    fn barrier_batch(&self, captured: &Captured) -> (StoreBatch, Vec<(RegionId, Floored)>) {
        let known = self.barriers.known.lock();
        let mut batch = StoreBatch::new();
        batch.put_covered(known.covered, captured.now);
        for region in &captured.gone {
            batch.delete_floored(*region);
        }
        let rows = captured.rows.iter().chain(&captured.unrecorded);
        let floors = rows.map(|(region, row)| {
            let floor = Floored {
                barrier: captured.now.barrier,
                incarnation: row.incarnation,
                data_index: row.data.index,
                data_term: row.data.term,
            };
            batch.put_floored(*region, known.floors.get(region), &floor);
            (*region, floor)
        });
        let floors = floors.collect();
        (batch, floors)
    }
}
