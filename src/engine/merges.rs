//! Merge and flashback: entries that put a region into a mode, and take it out again.
//!
//! A merge moves keys from one region to another without touching them. So the data of both is
//! durable before the record (*data never behind metadata*), and both latches are held until it is
//! (*metadata never behind data*). Not here: which merge is legal, and what it waits for
//! (`lifecycle`).

use std::collections::BTreeSet;

use super::core::Core;
use super::transitions::cause_of;
use super::{Answer, Engine, EngineError};
use crate::lifecycle::{DamageReason, Event, PeerStage, Refusal, Register};
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
        let mut serves = true;
        let decision = self.decide_with(event, cause_of(position), |register, _| {
            let live = register.incarnation(region);
            serves = live.is_some_and(|live| register.serving(region, live).is_some());
        })?;
        let subject = decision.subject.filter(|_| !serves);
        let (answer, effects) = self.settle(decision)?;
        if let Some(incarnation) = subject {
            self.caches.detach_of(region, incarnation);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
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
        let latches = self
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
        let mut gone = None;
        let mut damaged = None;
        let source_live = self.with_decided(|register| register.incarnation(source_region));
        let decision = self.decide_with(&event, cause_of(position), |register, _| {
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
        drop(latches);
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
