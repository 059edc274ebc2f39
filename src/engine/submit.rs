//! Submitted transitions: decided and appended at once, answered when they are durable and published,
//! without a thread that waits.
//!
//! * `submission`: which transitions there are. `ticket`: the claim on the answer.
//!
//! One that takes this store's own data away is waited for before `submit` returns, under the region's latch:
//! nothing may touch the region between its decision and the end of its views.
//!
//! Not here: the waiting forms (`transitions`, `merges`, `orders`).

mod submission;
mod ticket;

use std::cell::Cell;
use std::sync::Arc;

pub use self::submission::Submission;
pub use self::ticket::TransitionTicket;

use super::core::Core;
use super::decide::Decision;
use super::durable::After;
use super::{Engine, EngineError};
use crate::RegionId;
use crate::lifecycle::Register;

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
            self.journal.request_durable(basis);
            return Ok(TransitionTicket::new(self, answer, basis));
        }
        let (event, cause) = submission.into_event();
        let had_data = Cell::new(false);
        let mut gone = None;
        let look = |register: &Register| had_data.set(holds(register, region));
        let decision = self.decide_looking(&event, cause, look, |made, effects| {
            let subject = made.subject?;
            let has_data = serves(made.register, region);
            gone = Some(subject).filter(|_| had_data.get() && !has_data);
            if gone.is_some() {
                return None;
            }
            // One without data has neither views nor memory; what was staged for it goes all the same.
            let (went, effects) = (!had_data.get(), std::mem::take(effects));
            (went || !effects.is_empty()).then_some(After { effects, went })
        })?;
        let basis = decision.basis();
        if let Some(gone) = gone {
            let (answer, effects) = self.settle(decision)?;
            self.withdraw(region, gone);
            self.rows.forget(region, gone);
            self.queue.push_effects(effects);
            return Ok(TransitionTicket::new(self, answer, basis));
        }
        drop(latch);
        self.journal.request_durable(basis);
        let Decision { answer, .. } = decision;
        Ok(TransitionTicket::new(self, answer, basis))
    }
}

/// Whether the region's peer has a description.
fn holds(register: &Register, region: RegionId) -> bool {
    let peer = register.peer(region);
    peer.is_some_and(|peer| peer.stage.region().is_some())
}

/// Whether the region's peer holds data.
fn serves(register: &Register, region: RegionId) -> bool {
    let peer = register.peer(region);
    peer.is_some_and(|peer| peer.stage.holds_data())
}
