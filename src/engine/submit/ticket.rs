//! `TransitionTicket`: the claim on the answer of a transition that was submitted.
//!
//! An answer is known when everything that it rests on is published, so a ticket needs nothing but that
//! position: nothing is kept for one that is only waited for or asked. Not here: publishing (`durable`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use torrens_journal::Lsn;

use super::super::core::Core;
use super::super::{Answer, EngineError};

/// A transition on its way: what it was decided to be is known when its record is durable.
///
/// Wait for it ([`wait`](Self::wait)), ask it ([`answer`](Self::answer)), leave a callback
/// ([`on_answer`](Self::on_answer)) or await it. Dropping it changes nothing: the transition becomes
/// durable and visible all the same, as long as the store stays open.
#[must_use = "the transition is not durable yet"]
pub struct TransitionTicket {
    core: Arc<Core>,
    /// Every record that the answer rests on is at or below this.
    basis: Lsn,
    answer: Answer,
    /// For those who are told instead of asking, made when the first of them comes.
    told: OnceLock<Arc<Told>>,
}

type OnAnswer = Box<dyn FnOnce(Result<Answer, EngineError>) + Send>;

/// Who is told of the outcome.
#[derive(Default)]
struct Told {
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
#[derive(Clone, Copy, Debug)]
enum Lost {
    Poisoned,
    Closed,
}

impl From<Lost> for EngineError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Poisoned => EngineError::Poisoned,
            Lost::Closed => EngineError::Closed,
        }
    }
}

impl Told {
    fn complete(&self, outcome: Result<Answer, Lost>) {
        let mut state = self.state.lock();
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
}

impl State {
    fn outcome(&self) -> Option<Result<Answer, EngineError>> {
        let outcome = self.outcome.clone()?;
        Some(outcome.map_err(EngineError::from))
    }
}

impl fmt::Debug for TransitionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitionTicket")
            .field("basis", &self.basis)
            .field("answer", &self.answer())
            .finish_non_exhaustive()
    }
}

impl TransitionTicket {
    /// The ticket for an answer that rests on the records up to `basis`.
    pub(super) fn new(core: &Arc<Core>, answer: Answer, basis: Lsn) -> Self {
        TransitionTicket {
            core: Arc::clone(core),
            basis,
            answer,
            told: OnceLock::new(),
        }
    }

    /// The answer; none while it is not durable. After it is given, everybody can see it.
    ///
    /// # Errors
    /// [`EngineError::Poisoned`] if a sync failed: whether the transition is durable shows when the store
    /// is opened again. [`EngineError::Closed`] if the store was let go before.
    pub fn answer(&self) -> Option<Result<Answer, EngineError>> {
        let told = self.told.get();
        if let Some(outcome) = told.and_then(|told| told.state.lock().outcome()) {
            return Some(outcome);
        }
        if self.core.is_published(self.basis) {
            return Some(Ok(self.answer.clone()));
        }
        self.core
            .is_lost(self.basis)
            .then_some(Err(EngineError::Poisoned))
    }

    /// Waits for the answer. On a disk that does not allow threads (the simulated one) it syncs.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub fn wait(&self) -> Result<Answer, EngineError> {
        self.core.wait_durable(self.basis)?;
        Ok(self.answer.clone())
    }

    /// Waits for the answer for at most `timeout`, without making anything happen.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Answer, EngineError>> {
        if let Some(outcome) = self.answer() {
            return Some(outcome);
        }
        // No deadline if it lies beyond what the clock can say.
        let deadline = Instant::now().checked_add(timeout);
        let told = self.told();
        let mut state = told.state.lock();
        while state.outcome.is_none() {
            match deadline {
                None => told.done.wait(&mut state),
                Some(deadline) => {
                    if told.done.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.outcome()
    }

    /// Calls `tell` once with the answer: now, or on the thread that publishes it. It must be short, and
    /// not call the engine. Which of two calls comes first is not promised: one whose record is durable
    /// already is made at once. The order of the transitions is that of their records.
    pub fn on_answer(self, tell: impl FnOnce(Result<Answer, EngineError>) + Send + 'static) {
        if let Some(outcome) = self.answer() {
            return tell(outcome);
        }
        let mut state = self.told().state.lock();
        match state.outcome() {
            None => state.callback = Some(Box::new(tell)),
            Some(outcome) => {
                drop(state);
                tell(outcome);
            }
        }
    }

    /// Where the outcome is left by the journal, which tells it.
    fn told(&self) -> &Told {
        self.told.get_or_init(|| {
            let told = Arc::new(Told::default());
            let (teller, answer) = (Arc::clone(&told), self.answer.clone());
            // The journal is the core's: what it keeps must not keep the core.
            let (core, basis): (Weak<Core>, Lsn) = (Arc::downgrade(&self.core), self.basis);
            let asked = self.core.journal.on_durable(basis, move |outcome| {
                teller.complete(match core.upgrade() {
                    Some(core) => match core.note_durable(outcome, basis) {
                        Ok(()) => Ok(answer),
                        Err(_) => Err(Lost::Poisoned),
                    },
                    None => Err(Lost::Closed),
                });
            });
            if asked.is_err() {
                told.complete(Err(Lost::Closed));
            }
            told
        })
    }
}

impl Future for TransitionTicket {
    type Output = Result<Answer, EngineError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.answer() {
            return Poll::Ready(outcome);
        }
        let mut state = self.told().state.lock();
        match state.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
