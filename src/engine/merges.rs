//! Merge and flashback: entries that put a region into a mode, and take it out again.
//!
//! A merge moves keys from one region to another without touching them. So the data of both is
//! durable before the record (*data never behind metadata*), and both latches are held until it is
//! (*metadata never behind data*). Not here: which merge is legal, and what it waits for
//! (`lifecycle`).

use std::collections::BTreeSet;

use super::core::Core;
use super::decide::Decision;
use super::durable::After;
use super::transitions::cause_of;
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
    pub fn prepare_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        target: Region,
        min_index: u64,
    ) -> Result<Answer, EngineError> {
        self.core.enter_mode(&Event::PrepareMerge {
            region,
            incarnation: None,
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
    pub fn commit_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        source: Region,
        commit: u64,
    ) -> Result<Answer, EngineError> {
        self.core
            .commit_merge(region, epoch, position, source, commit)
    }

    /// Ends a prepared merge without its taking place: the region serves again. Names the attempt by
    /// `commit`, the index of the entry that prepared it; another attempt is not touched.
    pub fn rollback_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        commit: u64,
    ) -> Result<Answer, EngineError> {
        self.core.enter_mode(&Event::RollbackMerge {
            region,
            incarnation: None,
            epoch,
            position,
            commit,
        })
    }

    /// Puts a region into flashback: until [`Engine::end_flashback`] it serves only
    /// [`Engine::write_in_flashback`] and [`Engine::view_in_flashback`].
    pub fn begin_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.core.enter_mode(&Event::BeginFlashback {
            region,
            incarnation: None,
            epoch,
            position,
        })
    }

    /// Ends a flashback.
    pub fn end_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.core.enter_mode(&Event::EndFlashback {
            region,
            incarnation: None,
            epoch,
            position,
        })
    }
}

impl Core {
    /// An entry that changes what its region is in. What is in memory goes with it if it ends
    /// serving.
    fn enter_mode(&self, event: &Event) -> Result<Answer, EngineError> {
        let (Some(region), Some(position)) = (event.region(), event.position()) else {
            unreachable!("every mode is entered by an entry of a region: {event:?}");
        };
        self.check_open()?;
        let latch = self.latches.hold(region);
        self.make_durable(region)?;
        let (decision, ended) = self.decide_mode(event, cause_of(position))?;
        let (answer, effects) = self.settle(decision)?;
        if let Some(ended) = ended {
            self.caches.detach_of(region, ended);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    /// Decides an entry that puts its region into a mode, or takes it out. Its data is durable and its latch
    /// is held. Gives the incarnation whose memory serves no more: the caller lets that go once the record is
    /// durable, and has the effects done. Without one, whoever publishes the record has them done.
    pub(super) fn decide_mode(
        &self,
        event: &Event,
        cause: Cause,
    ) -> Result<(Decision, Option<Incarnation>), EngineError> {
        let mut ended = None;
        let look = |_: &Register| {};
        let decision = self.decide_looking(event, cause, look, |made, effects| {
            let region = event.region()?;
            let live = made.register.incarnation(region);
            let serves = live.is_some_and(|live| made.register.serving(region, live).is_some());
            let is_cached = |subject: &Incarnation| self.caches.is_attached(region, *subject);
            ended = made.subject.filter(|_| !serves).filter(is_cached);
            match ended {
                Some(_) => None,
                None => After::of(std::mem::take(effects), false),
            }
        })?;
        Ok((decision, ended))
    }

    fn commit_merge(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        source: Region,
        commit: u64,
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        let source_region = source.id;
        let _latches = self
            .latches
            .hold_all(&BTreeSet::from([region, source_region]));
        self.make_durable(source_region)?;
        self.make_durable(region)?;
        let event = Event::CommitMerge {
            region,
            incarnation: None,
            epoch,
            position,
            source,
            commit,
        };
        self.merge(&event, cause_of(position))
    }

    /// Commits a merge of two regions whose data is durable and whose latches are held.
    pub(super) fn merge(&self, event: &Event, cause: Cause) -> Result<Answer, EngineError> {
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
        let subject = decision.subject;
        let (answer, effects) = self.settle(decision)?;
        if let Some(incarnation) = subject {
            match damaged {
                Some(_) => self.withdraw(region, incarnation),
                None => self.caches.detach_of(region, incarnation),
            }
        }
        if let Some(gone) = gone {
            // Its views were stopped when the merge was published.
            self.caches.detach_of(source_region, gone);
            self.rows.forget(source_region, gone);
        }
        self.queue.push_effects(effects);
        Ok(match damaged {
            Some(reason) => Answer::Refused(Refusal::RegionDamaged { region, reason }),
            None => answer,
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
