//! `TransitionTicket`: the claim on the answer of a transition that was submitted.
//!
//! An answer is known when everything that it rests on is published, so a ticket needs nothing but that
//! position: nothing is kept for one that is only waited for or asked. Not here: publishing (`durable`), those
//! who are told instead of asking (`told`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use torrens_journal::Lsn;

use super::super::core::Core;
use super::super::latch::RegionLatches;
use super::super::{Answer, EngineError};
use super::carry::Underway;
use super::told::Told;

/// A transition on its way: what it was decided to be is known when its record is durable.
///
/// Wait for it ([`wait`](Self::wait)), ask it ([`answer`](Self::answer)), leave a callback
/// ([`on_answer`](Self::on_answer)) or await it. Dropping it changes nothing: the transition becomes
/// durable and visible all the same, as long as the store stays open.
#[must_use = "the transition is not durable yet"]
pub struct TransitionTicket {
    core: Arc<Core>,
    /// The answer and the last record that it rests on; none if a barrier is waited for, or something is left
    /// to do behind the record: then it is told.
    decided: Option<(Answer, Lsn)>,
    /// Made when the first comes who is told instead of asking.
    told: OnceLock<Arc<Told>>,
}

impl fmt::Debug for TransitionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let basis = self.decided.as_ref().map(|(_, basis)| basis);
        f.debug_struct("TransitionTicket")
            .field("basis", &basis)
            .field("answer", &self.answer())
            .finish_non_exhaustive()
    }
}

impl TransitionTicket {
    /// The ticket for an answer that rests on the records up to `basis`.
    pub(super) fn new(core: &Arc<Core>, answer: Answer, basis: Lsn) -> Self {
        TransitionTicket {
            core: Arc::clone(core),
            decided: Some((answer, basis)),
            told: OnceLock::new(),
        }
    }

    /// The ticket of a transition that somebody else carries on: its outcome is told.
    pub(super) fn told(core: &Arc<Core>, told: Arc<Told>) -> Self {
        TransitionTicket {
            core: Arc::clone(core),
            decided: None,
            told: OnceLock::from(told),
        }
    }

    /// The answer; none while it is not durable. After it is given, everybody can see it.
    ///
    /// # Errors
    /// [`EngineError::Poisoned`] if a sync failed: whether the transition is durable shows when the store
    /// is opened again. [`EngineError::Closed`] if the store was let go before.
    /// [`EngineError::NotCarriedOut`] if it had to wait for a barrier and could not be decided then.
    pub fn answer(&self) -> Option<Result<Answer, EngineError>> {
        if let Some(outcome) = self.told.get().and_then(|told| told.outcome()) {
            return Some(outcome);
        }
        let (answer, basis) = self.decided.as_ref()?;
        if self.core.is_published(*basis) {
            return Some(Ok(answer.clone()));
        }
        let is_lost = self.core.is_lost(*basis);
        is_lost.then_some(Err(EngineError::Poisoned))
    }

    /// Waits for the answer. On a disk that does not allow threads (the simulated one) it syncs.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub fn wait(&self) -> Result<Answer, EngineError> {
        match &self.decided {
            Some((answer, basis)) => {
                self.core.wait_durable(*basis)?;
                Ok(answer.clone())
            }
            None => {
                let outcome = self.leave_word().wait(None);
                outcome.unwrap_or(Err(EngineError::Closed))
            }
        }
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
        self.leave_word().wait(Instant::now().checked_add(timeout))
    }

    /// Calls `tell` once with the answer: now, or on the thread that publishes it. It must be short, and
    /// not call the engine. Which of two calls comes first is not promised: one whose record is durable
    /// already is made at once. The order of the transitions is that of their records.
    pub fn on_answer(self, tell: impl FnOnce(Result<Answer, EngineError>) + Send + 'static) {
        match self.answer() {
            Some(outcome) => tell(outcome),
            None => self.leave_word().call(tell),
        }
    }

    /// Where the outcome is left.
    fn leave_word(&self) -> &Told {
        self.told.get_or_init(|| {
            let told = Arc::new(Told::default());
            if let Some((answer, basis)) = &self.decided {
                let underway = Underway::unchanged((answer.clone(), *basis));
                Told::complete_when_durable(&told, &self.core, underway, RegionLatches::new());
            }
            told
        })
    }
}

impl Future for TransitionTicket {
    type Output = Result<Answer, EngineError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.answer() {
            Some(outcome) => Poll::Ready(outcome),
            None => self.leave_word().poll(context.waker()),
        }
    }
}
