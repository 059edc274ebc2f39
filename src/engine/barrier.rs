//! Barriers: the moment from which region data is durable.
//!
//! A barrier has a number. It captures the rows that were written since the last one, flushes the
//! data store down to the device, and journals its number with the index of each captured row as
//! that region's *floor*. Only then may anyone rely on it. Whoever needs the same barrier shares it,
//! and regions that do not need one never wait.
//!
//! A flush that failed is never retried: the data store is failed until the engine is reopened.

use parking_lot::{Condvar, Mutex};

use super::core::Core;
use super::rows::Row;
use super::{Answer, EngineError};
use crate::RegionId;
use crate::lifecycle::{Cause, Event, FloorUpdate};
use crate::store::{DataStore, StoreBatch, StoreError};

/// Which barriers have come about.
#[derive(Debug)]
pub(super) struct Barriers {
    state: Mutex<State>,
    changed: Condvar,
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
        }
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
        state.failed.get_or_insert_with(|| error.to_string());
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
            let (started, covered) = self.rows.start_barrier();
            drop(state);
            let outcome = self.run_barrier(started, &covered);
            state = barriers.state.lock();
            state.running = false;
            barriers.changed.notify_all();
            match outcome {
                Ok(()) => state.completed = started,
                Err(error) => {
                    self.rows.barrier_failed(started, &covered);
                    return Err(error);
                }
            }
        }
    }

    fn run_barrier(&self, number: u64, covered: &[(RegionId, Row)]) -> Result<(), EngineError> {
        let mut batch = StoreBatch::new();
        batch.put_barrier(number);
        let flushed = self.data.apply(&batch).and_then(|()| self.data.flush());
        flushed.map_err(|error| self.barriers.fail(error))?;
        let floors = covered.iter().map(|(region, row)| FloorUpdate {
            region: *region,
            incarnation: row.incarnation,
            index: row.data.index,
        });
        let event = Event::Barrier {
            number,
            floors: floors.collect(),
        };
        match self.commit(&event, Cause::Host)? {
            Answer::Accepted { .. } | Answer::AlreadyApplied => Ok(()),
            answer @ (Answer::Wait(_) | Answer::Refused(_)) => {
                unreachable!("a barrier is a fact: {answer:?}")
            }
        }
    }
}
