//! Submitted transitions: decided and appended at once, answered when they are durable and published,
//! without a thread that waits.
//!
//! Only transitions that need no barrier before their record are submitted. One that takes this store's
//! own data away is waited for before `submit` returns, under the region's latch: nothing may touch the
//! region between its decision and the end of its views.
//!
//! Not here: the waiting forms (`transitions`, `merges`, `orders`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use torrens_journal::Lsn;

use super::core::{Core, Decision};
use super::transitions::cause_of;
use super::{Answer, Engine, EngineError};
use crate::lifecycle::{Cause, DestroyCause, Effect, Event, PeerChange, Register, WitnessSwitch};
use crate::{Incarnation, PeerId, RaftPosition, RegionEpoch, RegionId, StoreId};

/// A transition that can be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submission {
    /// As [`Engine::create_peer`].
    CreatePeer {
        /// Which region.
        region: RegionId,
        /// Which replica of it.
        peer: PeerId,
        /// Who sent the message.
        from_store: StoreId,
        /// The epoch in the message.
        epoch: RegionEpoch,
    },
    /// As [`Engine::change_peers`].
    ChangePeers {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// What changes.
        change: PeerChange,
    },
    /// As [`Engine::enter_joint`].
    EnterJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// What changes.
        changes: Vec<PeerChange>,
    },
    /// As [`Engine::leave_joint`].
    LeaveJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::switch_witness`].
    SwitchWitness {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Who becomes a witness, or is none any more.
        switches: Vec<WitnessSwitch>,
    },
    /// As [`Engine::destroy`].
    Destroy {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the caller knows it.
        epoch: RegionEpoch,
        /// Which creation of the peer, if the caller knows.
        incarnation: Option<Incarnation>,
        /// Which replica.
        peer: PeerId,
        /// Why.
        cause: DestroyCause,
    },
}

impl Submission {
    /// The region that it is about.
    pub fn region(&self) -> RegionId {
        match self {
            Submission::CreatePeer { region, .. }
            | Submission::ChangePeers { region, .. }
            | Submission::EnterJoint { region, .. }
            | Submission::LeaveJoint { region, .. }
            | Submission::SwitchWitness { region, .. }
            | Submission::Destroy { region, .. } => *region,
        }
    }

    fn into_event(self) -> (Event, Cause) {
        let incarnation = None;
        match self {
            Submission::CreatePeer {
                region,
                peer,
                from_store,
                epoch,
            } => {
                let event = Event::CreateByMessage {
                    region,
                    peer,
                    from_store,
                    message_epoch: epoch,
                };
                (event, Cause::Message { from_store })
            }
            Submission::ChangePeers {
                region,
                epoch,
                position,
                change,
            } => {
                let event = Event::ChangePeers {
                    region,
                    incarnation,
                    epoch,
                    position,
                    change,
                };
                (event, cause_of(position))
            }
            Submission::EnterJoint {
                region,
                epoch,
                position,
                changes,
            } => {
                let event = Event::EnterJoint {
                    region,
                    incarnation,
                    epoch,
                    position,
                    changes,
                };
                (event, cause_of(position))
            }
            Submission::LeaveJoint {
                region,
                epoch,
                position,
            } => {
                let event = Event::LeaveJoint {
                    region,
                    incarnation,
                    epoch,
                    position,
                };
                (event, cause_of(position))
            }
            Submission::SwitchWitness {
                region,
                epoch,
                position,
                switches,
            } => {
                let event = Event::SwitchWitness {
                    region,
                    incarnation,
                    epoch,
                    position,
                    switches,
                };
                (event, cause_of(position))
            }
            Submission::Destroy {
                region,
                incarnation,
                peer,
                cause,
                ..
            } => {
                let event = Event::Destroy {
                    region,
                    incarnation,
                    peer,
                    cause,
                };
                (event, Cause::Host)
            }
        }
    }
}

/// A transition on its way: what it was decided to be is known when its record is durable.
///
/// Wait for it ([`wait`](Self::wait)), ask it ([`answer`](Self::answer)), leave a callback
/// ([`on_answer`](Self::on_answer)) or await it. Dropping it changes nothing: the transition becomes
/// durable and visible all the same, as long as the store stays open.
#[must_use = "the transition is not durable yet"]
pub struct TransitionTicket {
    core: Arc<Core>,
    basis: Lsn,
    shared: Arc<Shared>,
}

type OnAnswer = Box<dyn FnOnce(Result<Answer, EngineError>) + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<Answer, Lost>>,
    told: Option<OnAnswer>,
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

impl Shared {
    /// The first outcome stays.
    fn complete(&self, outcome: Result<Answer, Lost>) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        let told = state.told.take();
        let waker = state.waker.take();
        state.outcome = Some(outcome.clone());
        drop(state);
        self.done.notify_all();
        if let Some(told) = told {
            told(outcome.map_err(EngineError::from));
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn outcome(&self) -> Option<Result<Answer, EngineError>> {
        let outcome = self.state.lock().outcome.clone();
        outcome.map(|outcome| outcome.map_err(EngineError::from))
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
    /// The answer; none while it is not durable. After it is given, everybody can see it.
    ///
    /// # Errors
    /// [`EngineError::Poisoned`] if a sync failed: whether the transition is durable shows when the store
    /// is opened again. [`EngineError::Closed`] if the store was let go before.
    pub fn answer(&self) -> Option<Result<Answer, EngineError>> {
        self.shared.outcome()
    }

    /// Waits for the answer. On a disk that does not allow threads (the simulated one) it syncs.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub fn wait(&self) -> Result<Answer, EngineError> {
        if let Some(outcome) = self.answer() {
            return outcome;
        }
        if self.core.wait_durable(self.basis).is_err() {
            // As the journal tells it, sooner or later.
            self.shared.complete(Err(Lost::Poisoned));
        }
        let mut state = self.shared.state.lock();
        while state.outcome.is_none() {
            self.shared.done.wait(&mut state);
        }
        drop(state);
        self.answer().unwrap_or(Err(EngineError::Closed))
    }

    /// Waits for the answer for at most `timeout`, without making anything happen.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Answer, EngineError>> {
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
        drop(state);
        self.answer()
    }

    /// Calls `tell` once with the answer: now, or on the thread that publishes it. It must be short, and
    /// not call the engine. Which of two calls comes first is not promised: one whose record is durable
    /// already is made at once. The order of the transitions is that of their records.
    pub fn on_answer(self, tell: impl FnOnce(Result<Answer, EngineError>) + Send + 'static) {
        let mut state = self.shared.state.lock();
        match state.outcome.clone() {
            None => state.told = Some(Box::new(tell)),
            Some(outcome) => {
                drop(state);
                tell(outcome.map_err(EngineError::from));
            }
        }
    }
}

impl Future for TransitionTicket {
    type Output = Result<Answer, EngineError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock();
        match state.outcome.clone() {
            Some(outcome) => Poll::Ready(outcome.map_err(EngineError::from)),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Engine {
    /// Decides a transition and appends its record, and gives a ticket for the answer, so that one thread
    /// can have many under way. Transitions of one region take effect in the order in which they were
    /// submitted; nobody sees one before it is durable.
    ///
    /// One that takes this store's own data away (its peer goes, or becomes a witness) is durable when this
    /// returns.
    ///
    /// # Errors
    /// Nothing was decided: the engine takes nothing any more, or the disk is full.
    pub fn submit(&self, submission: Submission) -> Result<TransitionTicket, EngineError> {
        self.core.submit(submission)
    }
}

/// What follows when the record is durable.
#[derive(Debug, Default)]
struct After {
    effects: Vec<Effect>,
    /// The peer is gone.
    went: bool,
}

impl Core {
    fn submit(self: &Arc<Self>, submission: Submission) -> Result<TransitionTicket, EngineError> {
        self.check_open()?;
        let region = submission.region();
        let latch = self.latches.hold(region);
        if let Submission::Destroy {
            epoch,
            incarnation,
            peer,
            ..
        } = submission
            && let Some((answer, basis)) = self.behind(region, epoch, incarnation, peer)
        {
            return Ok(self.ticket(answer, After::default(), basis));
        }
        let held = |register: &Register| {
            let peer = register.peer(region);
            peer.is_some_and(|peer| peer.stage.region().is_some())
        };
        let serves = |register: &Register| {
            let peer = register.peer(region);
            peer.is_some_and(|peer| peer.stage.holds_data())
        };
        let had_data = self.with_decided(held);
        let mut has_data = had_data;
        let (event, cause) = submission.into_event();
        let decision =
            self.decide_with(&event, cause, |register, _| has_data = serves(register))?;
        let gone = decision.subject.filter(|_| had_data && !has_data);
        // One without data has neither views nor memory; what was staged for it goes all the same.
        let went = decision.subject.is_some() && !had_data;
        if let Some(gone) = gone {
            let basis = decision.basis();
            let (answer, effects) = self.settle(decision)?;
            self.withdraw(region, gone);
            self.rows.forget(region, gone);
            let after = After {
                effects,
                went: true,
            };
            return Ok(self.ticket(answer, after, basis));
        }
        drop(latch);
        let basis = decision.basis();
        let Decision {
            answer, effects, ..
        } = decision;
        let after = After { effects, went };
        Ok(self.ticket(answer, after, basis))
    }

    /// The ticket for an answer that rests on the records up to `basis`.
    fn ticket(self: &Arc<Self>, answer: Answer, after: After, basis: Lsn) -> TransitionTicket {
        let shared = Arc::new(Shared::default());
        let ticket = TransitionTicket {
            core: Arc::clone(self),
            basis,
            shared: Arc::clone(&shared),
        };
        // The journal is the core's: what it keeps must not keep the core.
        let core: Weak<Core> = Arc::downgrade(self);
        let told = self.journal.on_durable(basis, move |outcome| {
            let outcome = match core.upgrade() {
                Some(core) => core.conclude(outcome, answer, after, basis),
                None => Err(Lost::Closed),
            };
            shared.complete(outcome);
        });
        if told.is_err() {
            ticket.shared.complete(Err(Lost::Closed));
        }
        ticket
    }

    /// The record is durable, or never will be known to be.
    fn conclude(
        &self,
        outcome: Result<(), EngineError>,
        answer: Answer,
        after: After,
        basis: Lsn,
    ) -> Result<Answer, Lost> {
        match self.note_durable(outcome, basis) {
            Ok(()) => {
                if after.went {
                    self.snapshots_to_sweep.store(true, Ordering::Release);
                }
                self.queue.push_effects(after.effects);
                Ok(answer)
            }
            Err(_) => Err(Lost::Poisoned),
        }
    }
}
