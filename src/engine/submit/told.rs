//! `Told`: where the outcome of a transition is left for those who are told instead of asking.
//!
//! Not here: the ticket that they hold (`ticket`), when there is an outcome (`durable`).

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::super::core::Core;
use super::super::latch::RegionLatches;
use super::super::{Answer, EngineError};
use super::carry::Underway;

type OnAnswer = Box<dyn FnOnce(Result<Answer, EngineError>) + Send>;

/// Who is told of the outcome of one transition.
#[derive(Default)]
pub(super) struct Told {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<Answer, Lost>>,
    callback: Option<OnAnswer>,
    waker: Option<Waker>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    Poisoned,
    Closed,
    /// Nothing was decided.
    NotCarriedOut(Arc<EngineError>),
}

impl From<EngineError> for Lost {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Poisoned => Lost::Poisoned,
            EngineError::Closed => Lost::Closed,
            error => Lost::NotCarriedOut(Arc::new(error)),
        }
    }
}

impl From<Lost> for EngineError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Poisoned => EngineError::Poisoned,
            Lost::Closed => EngineError::Closed,
            Lost::NotCarriedOut(error) => EngineError::NotCarriedOut(error),
        }
    }
}

impl Told {
    /// The first outcome stays.
    pub(super) fn complete(&self, outcome: Result<Answer, Lost>) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        let callback = state.callback.take();
        let waker = state.waker.take();
        state.outcome = Some(outcome.clone());
        drop(state);
        self.done.notify_all();
        if let Some(callback) = callback {
            callback(outcome.map_err(EngineError::from));
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The outcome, if there is one.
    pub(super) fn outcome(&self) -> Option<Result<Answer, EngineError>> {
        self.state.lock().outcome()
    }

    /// Waits for the outcome; until `deadline`, if there is one.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<Result<Answer, EngineError>> {
        let mut state = self.state.lock();
        while state.outcome.is_none() {
            match deadline {
                None => self.done.wait(&mut state),
                Some(deadline) => {
                    if self.done.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.outcome()
    }

    /// Calls `tell` once with the outcome: now, or on the thread that completes it.
    pub(super) fn call(&self, tell: impl FnOnce(Result<Answer, EngineError>) + Send + 'static) {
        let mut state = self.state.lock();
        match state.outcome() {
            None => state.callback = Some(Box::new(tell)),
            Some(outcome) => {
                drop(state);
                tell(outcome);
            }
        }
    }

    /// The outcome, or has `waker` woken when there is one.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Result<Answer, EngineError>> {
        let mut state = self.state.lock();
        match state.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Has the journal complete it when everything that the answer rests on is durable, or never will be:
    /// what is left to do is done first, and then `latches`, which it needs, are given back.
    pub(super) fn complete_when_durable(
        told: &Arc<Self>,
        core: &Arc<Core>,
        underway: Underway,
        latches: RegionLatches,
    ) {
        let Underway {
            answer,
            basis,
            rest,
        } = underway;
        let tells = Arc::clone(told);
        // The journal is the core's: what it keeps must not keep the core.
        let weak = Arc::downgrade(core);
        let asked = core.journal.on_durable(basis, move |outcome| {
            let outcome = match weak.upgrade() {
                Some(core) => match core.note_durable(outcome, basis) {
                    Ok(()) => {
                        core.finish_rest(rest);
                        Ok(answer)
                    }
                    Err(_) => Err(Lost::Poisoned),
                },
                None => Err(Lost::Closed),
            };
            drop(latches);
            tells.complete(outcome);
        });
        if asked.is_err() {
            told.complete(Err(Lost::Closed));
        }
    }
}

impl State {
    fn outcome(&self) -> Option<Result<Answer, EngineError>> {
        let outcome = self.outcome.clone()?;
        Some(outcome.map_err(EngineError::from))
    }
}
