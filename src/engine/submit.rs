//! Transitions as a host asks for them: submitted, and answered when they are durable and published, or waited
//! for. Both are carried out in one way; who waits is the only difference.
//!
//! * `submission`: which transitions there are. `event`: which events they are.
//! * `carry`: what is done around their decisions. `ticket`, `told`: the claim on the answer.
//! * `parking`: those that wait for a barrier first.
//!
//! One that takes this store's own data away, or the memory that a region is read from, keeps the latches of
//! its regions until its record is durable and what serves that data has ended: nothing may touch the regions
//! in between. Where the journal has a thread that syncs, that thread ends it, and nobody waits.
//!
//! Not here: snapshots, writes, caches, observers.

pub(super) mod carry;
mod event;
pub(super) mod parking;
mod submission;
#[cfg(test)]
mod tests;
mod ticket;
mod told;

use std::sync::Arc;
use std::time::Instant;

pub use self::submission::Submission;
pub use self::ticket::TransitionTicket;

use self::carry::Underway;
use self::parking::Parked;
use self::told::Told;
use super::core::Core;
use super::latch::RegionLatches;
use super::{Answer, Engine, EngineError};

impl Engine {
    /// Decides a transition and appends its record, and gives a ticket for the answer, so that one thread
    /// can have many under way. Transitions of one region take effect in the order in which they were
    /// submitted; nobody sees one before it is durable.
    ///
    /// One that moves keys ([`Submission::Split`], [`Submission::CommitMerge`]) or puts a region into a mode
    /// needs its data durable first. If it is not, only its regions wait: whatever touches them next comes
    /// after the transition. So it is with one that takes this store's own data away (its peer goes, becomes a
    /// witness, or is damaged) or the memory that a region is read from, until that is durable and nobody
    /// reads it any more. This call waits for neither, unless the threads that would do so are missing
    /// ([`Background::Manual`](crate::Background::Manual), a disk that allows none): then it waits itself.
    ///
    /// Calls that have no form here do not wait for a record (a reservation, an eviction), have tickets of
    /// their own (a load), or move data between two records (a snapshot).
    ///
    /// # Errors
    /// Nothing was decided: the engine takes nothing any more, the data store failed, or the disk is full.
    pub fn submit(&self, submission: Submission) -> Result<TransitionTicket, EngineError> {
        self.core.submit(submission)
    }
}

impl Core {
    /// Carries a transition out and waits until it is durable and published, and what it ends has ended.
    pub(super) fn wait_for(&self, submission: Submission) -> Result<Answer, EngineError> {
        self.check_open()?;
        let latches = self.latches_of(&submission);
        let underway = self.undertake(submission, None)?;
        let answer = self.finish_underway(underway)?;
        drop(latches);
        Ok(answer)
    }

    fn submit(self: &Arc<Self>, submission: Submission) -> Result<TransitionTicket, EngineError> {
        self.check_open()?;
        let mut latches = self.latches_of(&submission);
        let mut submission = submission;
        let durable_first = submission.durable_first();
        if !durable_first.iter().all(|region| self.is_durable(*region)) {
            let told = Arc::default();
            let parked = Parked {
                latches,
                submission,
                told: Arc::clone(&told),
                since: Instant::now(),
            };
            match self.parking.park(parked) {
                None => return Ok(TransitionTicket::told(self, told)),
                Some(back) => (submission, latches) = (back.submission, back.latches),
            }
        }
        let underway = self.undertake(submission, None)?;
        let latches = underway.keeping(latches);
        let basis = underway.basis;
        if !latches.is_empty() && self.journal.has_sync_thread() {
            let told = Arc::default();
            Told::complete_when_durable(&told, self, underway, latches);
            return Ok(TransitionTicket::told(self, told));
        }
        let answer = if latches.is_empty() {
            self.journal.request_durable(basis);
            underway.answer
        } else {
            self.finish_underway(underway)?
        };
        Ok(TransitionTicket::new(self, answer, basis))
    }

    /// Waits for the record, publishes it, and does what is left. The caller holds the regions' latches.
    fn finish_underway(&self, underway: Underway) -> Result<Answer, EngineError> {
        self.wait_durable(underway.basis)?;
        self.finish_rest(underway.rest);
        Ok(underway.answer)
    }

    /// The latches of the regions that a submission touches.
    fn latches_of(&self, submission: &Submission) -> RegionLatches {
        match submission {
            Submission::CommitMerge { region, source, .. } => {
                let both = self.latches.hold_all(&[*region, source.id].into());
                both.into_iter().collect()
            }
            _ => [self.latches.hold(submission.region())]
                .into_iter()
                .collect(),
        }
    }
}
