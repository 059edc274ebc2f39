//! Merge and flashback: entries that put a region into a mode, and take it out again.
//!
//! A merge moves keys from one region to another without touching them. So the data of both is
//! durable before the record (*data never behind metadata*), and both latches are held until it is
//! (*metadata never behind data*). Not here: which merge is legal, and what it waits for
//! (`lifecycle`).

use super::core::Core;
use super::durable::After;
use super::submit::Submission;
use super::submit::carry::{End, Ends, Rest, Underway};
use super::{Answer, Engine, EngineError};
use crate::lifecycle::{Cause, DamageReason, Event, PeerStage, Refusal, Register};
use crate::{Incarnation, RaftPosition, Region, RegionEpoch, RegionId};

impl Engine {
    /// Prepares a region to be merged into its neighbour `target`: from now on it serves neither
    /// reads nor writes and its log keeps every entry from `min_index` on ([`Engine::raft_start`]
    /// and [`Engine::truncate_floor`] say so), until the merge is committed in the target's log or
    /// rolled back in its own.
    ///
    /// The region's data is made durable first.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions), or of a barrier ([`Engine::flush`]).
    pub fn prepare_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        target: Region,
        min_index: u64,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::PrepareMerge {
            region,
            epoch,
            position,
            target,
            min_index,
        })
    }

    /// Takes a prepared source into `region`: its keys become the region's, uncleared, and its peer
    /// here is gone, with a tombstone that names the region. `source` is the source as the entry at
    /// `commit` of its log left it.
    ///
    /// Answers [`Answer::Wait`] while the source is behind here: give its log the entries that the
    /// committed entry carries, apply them, and ask again. If the source's data is not here or cannot
    /// be trusted, the region becomes damaged, its index does not move, and the answer is the refusal
    /// [`Refusal::RegionDamaged`]: a snapshot of the merged region heals it.
    ///
    /// # Durability
    /// Durable when it answers. The data of both regions is durable before.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions), or of a barrier ([`Engine::flush`]).
    pub fn commit_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        source: Region,
        commit: u64,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::CommitMerge {
            region,
            epoch,
            position,
            source,
            commit,
        })
    }

    /// Ends a prepared merge without its taking place: the region serves again. Names the attempt by
    /// `commit`, the index of the entry that prepared it; another attempt is not touched.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn rollback_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        commit: u64,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::RollbackMerge {
            region,
            epoch,
            position,
            commit,
        })
    }

    /// Puts a region into flashback: until [`Engine::end_flashback`] it serves only
    /// [`Engine::write_in_flashback`] and [`Engine::view_in_flashback`].
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions), or of a barrier ([`Engine::flush`]).
    pub fn begin_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::BeginFlashback {
            region,
            epoch,
            position,
        })
    }

    /// Ends a flashback.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions), or of a barrier ([`Engine::flush`]).
    pub fn end_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::EndFlashback {
            region,
            epoch,
            position,
        })
    }
}

impl Core {
    /// Decides an entry that puts its region into a mode, or takes it out. Its data is durable and its latch
    /// is held. What is in memory goes with it if it ends serving; if nothing is, whoever publishes the record
    /// has its effects done.
    pub(super) fn decide_mode(&self, event: &Event, cause: Cause) -> Result<Underway, EngineError> {
        let mut ends = Vec::new();
        let look = |_: &Register| {};
        let decision = self.decide_looking(event, cause, look, |made, effects| {
            let region = event.region()?;
            let live = made.register.incarnation(region);
            let serves = live.is_some_and(|live| made.register.serving(region, live).is_some());
            let is_cached = |subject: &Incarnation| self.caches.is_attached(region, *subject);
            let ended = made.subject.filter(|_| !serves).filter(is_cached);
            ends.extend(ended.map(|incarnation| End {
                region,
                incarnation,
                what: Ends::Memory,
            }));
            match ended {
                Some(_) => None,
                None => After::of(std::mem::take(effects), false),
            }
        })?;
        Ok(Underway {
            basis: decision.basis(),
            answer: decision.answer,
            rest: Rest {
                ends,
                effects: decision.effects,
            },
        })
    }

    /// Decides to commit a merge of two regions whose data is durable and whose latches are held.
    pub(super) fn decide_merge(
        &self,
        event: &Event,
        cause: Cause,
    ) -> Result<Underway, EngineError> {
        let &Event::CommitMerge {
            region, ref source, ..
        } = event
        else {
            unreachable!("only a merge is committed: {event:?}");
        };
        let source_region = source.id;
        let mut gone = None;
        let mut damaged = None;
        let source_live = self.with_decided(|register| register.incarnation(source_region));
        let decision = self.decide_with(event, cause, |register, _| {
            damaged = damage_of(register, region);
            if let (None, Some(source_live)) = (damaged, source_live) {
                gone = Some(source_live);
                // Before anyone can see the merged region: a read has to see all of both.
                self.join_rows(
                    (region, register.incarnation(region)),
                    (source_region, source_live),
                );
            }
        })?;
        let target = decision.subject.map(|incarnation| End {
            region,
            incarnation,
            what: match damaged {
                Some(_) => Ends::Reading,
                None => Ends::Memory,
            },
        });
        // Its views are stopped when the merge is published.
        let source = gone.map(|incarnation| End {
            region: source_region,
            incarnation,
            what: Ends::Row,
        });
        Ok(Underway {
            basis: decision.basis(),
            answer: match damaged {
                Some(reason) => Answer::Refused(Refusal::RegionDamaged { region, reason }),
                None => decision.answer,
            },
            rest: Rest {
                ends: target.into_iter().chain(source).collect(),
                effects: decision.effects,
            },
        })
    }

    /// From now on a read of the target sees what was complete in either.
    fn join_rows(
        &self,
        (target, live): (RegionId, Option<Incarnation>),
        (source, gone): (RegionId, Incarnation),
    ) {
        let Some(live) = live else {
            return;
        };
        let sequence = self
            .read_sequence(target, live)
            .max(self.read_sequence(source, gone));
        let data = self.data_position(target, live);
        self.rows.note_clean(target, live, data, sequence);
    }
}

fn damage_of(register: &Register, region: RegionId) -> Option<DamageReason> {
    match &register.peer(region)?.stage {
        PeerStage::Damaged(damaged) => Some(damaged.reason),
        PeerStage::Uninitialized
        | PeerStage::Normal(_)
        | PeerStage::Witness(_)
        | PeerStage::Waiting(_)
        | PeerStage::Applying(_) => None,
    }
}
