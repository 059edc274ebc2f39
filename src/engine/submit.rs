//! Submitted transitions: decided and appended at once, answered when they are durable and published,
//! without a thread that waits.
//!
//! * `submission`: which transitions there are. `ticket`, `told`: the claim on the answer.
//! * `parking`: those that wait for a barrier first.
//!
//! One that takes this store's own data away, or the memory that a region is read from, is waited for under
//! the region's latch before `submit` returns: nothing may touch the region between its decision and the end
//! of its views.
//!
//! Not here: the waiting forms (`transitions`, `merges`, `orders`).

pub(super) mod parking;
mod submission;
mod ticket;
mod told;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use torrens_journal::Lsn;

pub use self::submission::Submission;
pub use self::ticket::TransitionTicket;

use self::parking::Parked;
use super::core::Core;
use super::durable::After;
use super::latch::RegionLatch;
use super::{Answer, Engine, EngineError, timing};
use crate::lifecycle::Register;
use crate::{Incarnation, RegionId};

impl Engine {
    /// Decides a transition and appends its record, and gives a ticket for the answer, so that one thread
    /// can have many under way. Transitions of one region take effect in the order in which they were
    /// submitted; nobody sees one before it is durable.
    ///
    /// One that moves keys ([`Submission::Split`]) or puts a region into a mode needs its data durable
    /// first. If it is not, only that region waits: whatever touches it next comes after the transition.
    /// Without background threads this call waits instead.
    ///
    /// One that takes this store's own data away (its peer goes, or becomes a witness) or the memory that a
    /// region is read from is durable when this returns.
    ///
    /// Calls that have no form here do not wait for a record (a reservation, an eviction), have tickets of
    /// their own (a load), write data between two records (a snapshot), or are given once in the life of a
    /// store.
    ///
    /// # Errors
    /// Nothing was decided: the engine takes nothing any more, the data store failed, or the disk is full.
    pub fn submit(&self, submission: Submission) -> Result<TransitionTicket, EngineError> {
        self.core.submit(submission)
    }
}

impl Core {
    fn submit(self: &Arc<Self>, submission: Submission) -> Result<TransitionTicket, EngineError> {
        self.check_open()?;
        let durable_first = submission.durable_first();
        let (answer, basis) = if durable_first.is_empty() {
            let latch = self.latches.hold(submission.region());
            self.carry_out_at_once(submission, latch)?
        } else {
            let latches = self.latches.hold_all(&durable_first);
            let is_durable = durable_first.iter().all(|region| self.is_durable(*region));
            let mut parked = Parked {
                latches,
                submission,
                told: Arc::default(),
                since: Instant::now(),
            };
            if !is_durable {
                let told = Arc::clone(&parked.told);
                match self.parking.park(parked) {
                    None => return Ok(TransitionTicket::parked(self, told)),
                    Some(back) => parked = back,
                }
            }
            self.carry_out_behind_barrier(parked.submission, parked.latches, None)?
        };
        self.journal.request_durable(basis);
        Ok(TransitionTicket::new(self, answer, basis))
    }

    /// Carries out what needs data durable first, under the latches of the regions concerned. Gives the
    /// answer, and the last record that it rests on. `parked` is since when it waits for that on another
    /// thread than the one that took the latches.
    fn carry_out_behind_barrier(
        &self,
        submission: Submission,
        latches: Vec<RegionLatch>,
        parked: Option<Instant>,
    ) -> Result<(Answer, Lsn), EngineError> {
        for region in submission.durable_first() {
            self.make_durable(region)?;
        }
        if let Some(since) = parked {
            // The wait for the latches was another thread's, and is over.
            timing::note_region_wait(Duration::ZERO);
            timing::note_barrier_wait(since);
        }
        match submission {
            Submission::Split(split) => {
                let decision = self.decide_split(split)?;
                drop(latches);
                let basis = decision.basis();
                Ok((decision.answer, basis))
            }
            Submission::CommitMerge { .. } => {
                let (event, cause) = submission.into_event();
                Ok((self.merge(&event, cause)?, Lsn::ZERO))
            }
            _ => {
                let region = submission.region();
                let (event, cause) = submission.into_event();
                let (decision, ended) = self.decide_mode(&event, cause)?;
                let basis = decision.basis();
                let Some(ended) = ended else {
                    return Ok((decision.answer, basis));
                };
                let (answer, effects) = self.settle(decision)?;
                self.caches.detach_of(region, ended);
                self.queue.push_effects(effects);
                Ok((answer, basis))
            }
        }
    }

    /// Carries out what leaves data alone, or takes it away.
    fn carry_out_at_once(
        &self,
        submission: Submission,
        latch: RegionLatch,
    ) -> Result<(Answer, Lsn), EngineError> {
        let region = submission.region();
        if let Submission::Destroy {
            epoch,
            incarnation,
            peer,
            ..
        } = submission
            && let Some(refused) = self.behind(region, epoch, incarnation, peer)
        {
            return Ok(refused);
        }
        let (event, cause) = submission.into_event();
        let had_data = Cell::new(false);
        let mut gone: Option<Incarnation> = None;
        let look = |register: &Register| had_data.set(holds(register, region));
        let decision = self.decide_looking(&event, cause, look, |made, effects| {
            let subject = made.subject?;
            let has_data = serves(made.register, region);
            gone = Some(subject).filter(|_| had_data.get() && !has_data);
            if gone.is_some() {
                return None;
            }
            // One without data has neither views nor memory; what was staged for it goes all the same.
            After::of(std::mem::take(effects), !had_data.get())
        })?;
        let basis = decision.basis();
        let Some(gone) = gone else {
            drop(latch);
            return Ok((decision.answer, basis));
        };
        let (answer, effects) = self.settle(decision)?;
        self.withdraw(region, gone);
        self.rows.forget(region, gone);
        drop(latch);
        self.queue.push_effects(effects);
        Ok((answer, basis))
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
