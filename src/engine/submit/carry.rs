//! Carrying a submission out: what is looked at before its decision, and what is left to do behind it, once
//! the record is durable and before anybody touches its regions.
//!
//! Not here: whether somebody waits for that or is told (`super`), the decisions themselves (`transitions`,
//! `merges`, `lifecycle`).

use std::cell::Cell;
use std::time::{Duration, Instant};

use torrens_journal::{Lsn, planted};

use super::Submission;
use crate::engine::core::Core;
use crate::engine::durable::After;
use crate::engine::latch::RegionLatches;
use crate::engine::{Answer, EngineError, timing};
use crate::lifecycle::{Cause, DamageReason, Effect, Event, Refusal, Register};
use crate::{Incarnation, RegionId};

/// A transition that was decided: its record is appended and not durable yet.
#[derive(Debug)]
pub(in crate::engine) struct Underway {
    pub(in crate::engine) answer: Answer,
    /// Every record that the answer rests on is at or below this.
    pub(in crate::engine) basis: Lsn,
    pub(in crate::engine) rest: Rest,
}

/// What is left to do once the record is durable. The latches of the regions are held until it is done.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rest {
    pub(in crate::engine) ends: Vec<End>,
    pub(in crate::engine) effects: Vec<Effect>,
}

/// One creation of a peer that ends serving something.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct End {
    pub(in crate::engine) region: RegionId,
    pub(in crate::engine) incarnation: Incarnation,
    pub(in crate::engine) what: Ends,
}

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Ends {
    /// Its memory.
    Memory,
    /// And whoever reads it.
    Reading,
    /// Its memory and its row: whoever read it was stopped when the record was published.
    Row,
    /// Everything.
    All,
}

impl Underway {
    /// What changes nothing and rests on the records up to `basis`.
    pub(super) fn unchanged((answer, basis): (Answer, Lsn)) -> Self {
        Underway {
            answer,
            basis,
            rest: Rest::default(),
        }
    }

    /// The latches that it needs from now on: those that it has, or none.
    pub(super) fn keeping(&self, latches: RegionLatches) -> RegionLatches {
        match self.rest.is_empty() {
            true => RegionLatches::new(),
            false => latches,
        }
    }
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.effects.is_empty()
    }
}

impl Core {
    /// Does what is left. The record is durable and published; the caller holds the regions' latches.
    pub(super) fn finish_rest(&self, rest: Rest) {
        for End {
            region,
            incarnation,
            what,
        } in rest.ends
        {
            match what {
                Ends::Memory | Ends::Row => self.caches.detach_of(region, incarnation),
                Ends::Reading | Ends::All => self.withdraw(region, incarnation),
            }
            if matches!(what, Ends::Row | Ends::All) {
                self.rows.forget(region, incarnation);
            }
        }
        self.queue.push_effects(rest.effects);
    }

    /// Decides a submission under the latches of its regions. What needs data durable first waits for a
    /// barrier here, if it is not; `parked` is since when it waits for that on another thread than the one that
    /// took the latches.
    pub(super) fn undertake(
        &self,
        submission: Submission,
        parked: Option<Instant>,
    ) -> Result<Underway, EngineError> {
        // Data never behind metadata: once the record says that a part of the keys is another's, the host
        // will not send that part's older entries again.
        let is_planted =
            planted!("split-without-a-barrier") && matches!(submission, Submission::Split(_));
        if !is_planted {
            for region in submission.durable_first() {
                self.make_durable(region)?;
            }
        }
        if let Some(since) = parked {
            // The wait for the latches was another thread's, and is over.
            timing::note_region_wait(Duration::ZERO);
            timing::note_barrier_wait(since);
        }
        let region = submission.region();
        if let Submission::Destroy {
            epoch,
            incarnation,
            peer,
            ..
        } = submission
            && let Some(refused) = self.behind(region, epoch, incarnation, peer)
        {
            return Ok(Underway::unchanged(refused));
        }
        let may_take_away = submission.may_take_away();
        let (event, cause) = match submission {
            // Whoever publishes it has its effects done.
            Submission::Split(split) => {
                let decision = self.decide_split(split)?;
                return Ok(Underway {
                    basis: decision.basis(),
                    answer: decision.answer,
                    rest: Rest::default(),
                });
            }
            Submission::ReportLogStart {
                region,
                incarnation,
                first_index,
            } => return self.judge_log_start(region, incarnation, first_index),
            other => self.event_of(other),
        };
        match &event {
            Event::CommitMerge { .. } => self.decide_merge(&event, cause),
            Event::PrepareMerge { .. }
            | Event::RollbackMerge { .. }
            | Event::BeginFlashback { .. }
            | Event::EndFlashback { .. } => self.decide_mode(&event, cause),
            _ if may_take_away => self.decide_taking(region, &event, cause),
            _ => {
                let look = |_: &Register| {};
                let decision = self.decide_looking(&event, cause, look, |_, effects| {
                    After::of(std::mem::take(effects), false)
                })?;
                Ok(Underway {
                    basis: decision.basis(),
                    answer: decision.answer,
                    rest: Rest::default(),
                })
            }
        }
    }

    fn event_of(&self, submission: Submission) -> (Event, Cause) {
        let store = || {
            let store = self.with_decided(Register::store);
            store.expect("opening gives the store its id")
        };
        let event = submission.into_event(store);
        event.expect("what is judged before there is an event was judged")
    }

    /// Decides what may end this store's own peer of the region, or its data.
    fn decide_taking(
        &self,
        region: RegionId,
        event: &Event,
        cause: Cause,
    ) -> Result<Underway, EngineError> {
        let had_data = Cell::new(false);
        let mut gone: Option<Incarnation> = None;
        let look = |register: &Register| had_data.set(holds(register, region));
        let decision = self.decide_looking(event, cause, look, |made, effects| {
            let subject = made.subject;
            let has_data = serves(made.register, region);
            gone = subject.filter(|_| had_data.get() && !has_data);
            if gone.is_some() {
                return None;
            }
            // One without data has neither views nor memory; what was staged for it goes all the same.
            let went = subject.is_some() && !had_data.get();
            After::of(std::mem::take(effects), went)
        })?;
        let ended = |incarnation| End {
            region,
            incarnation,
            what: Ends::All,
        };
        Ok(Underway {
            basis: decision.basis(),
            answer: decision.answer,
            rest: Rest {
                ends: gone.map(ended).into_iter().collect(),
                effects: decision.effects,
            },
        })
    }

    /// Judges where the host's log starts: a gap above the region's data is damage.
    fn judge_log_start(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        first_index: u64,
    ) -> Result<Underway, EngineError> {
        let (live, basis) =
            self.with_decided(|register| (register.incarnation(region), register.last_lsn()));
        // Whatever is answered without a record of its own rests on what was decided so far.
        if live != Some(incarnation) {
            let refusal = Refusal::IncarnationGone {
                region,
                given: incarnation,
                live,
            };
            return Ok(Underway::unchanged((Answer::Refused(refusal), basis)));
        }
        let data_index = self.data_position(region, incarnation).index;
        if first_index <= data_index.saturating_add(1) || planted!("short-log-not-heard") {
            return Ok(Underway::unchanged((Answer::AlreadyApplied, basis)));
        }
        let event = Event::Damage {
            region,
            incarnation,
            reason: DamageReason::LogTruncated {
                first_index,
                data_index,
            },
        };
        let decision = self.decide(&event, Cause::Host)?;
        let damaged = decision.answer.lsn().map(|_| End {
            region,
            incarnation,
            what: Ends::Reading,
        });
        Ok(Underway {
            basis: decision.basis(),
            answer: decision.answer,
            rest: Rest {
                ends: damaged.into_iter().collect(),
                effects: decision.effects,
            },
        })
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
