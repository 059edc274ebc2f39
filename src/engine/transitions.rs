//! The transitions that a host calls, each with what must hold around its decision: the latch, the
//! barrier before it, the effects after it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use torrens_journal::{Lsn, planted};

use super::background::Job;
use super::core::Core;
use super::decide::Decision;
use super::durable::After;
use super::{Answer, EngineError, RaftStart, status, timing};
use crate::lifecycle::{
    CacheState, Cause, DamageReason, DestroyCause, Event, PeerChange, PeerStage, Refusal, Register,
    Split,
};
use crate::{Incarnation, PeerId, RaftPosition, Region, RegionEpoch, RegionId, StoreId};

impl Core {
    pub(super) fn bootstrap(&self, region: Region) -> Result<Answer, EngineError> {
        self.check_open()?;
        let _latch = self.latches.hold(region.id);
        let store = self
            .with_decided(Register::store)
            .expect("opening gives the store its id");
        self.commit(&Event::Bootstrap { store, region }, Cause::Host)
    }

    pub(super) fn create_peer(
        &self,
        region: RegionId,
        peer: PeerId,
        from_store: StoreId,
        epoch: RegionEpoch,
    ) -> Result<Answer, EngineError> {
        let _latch = self.latches.hold(region);
        let event = Event::CreateByMessage {
            region,
            peer,
            from_store,
            message_epoch: epoch,
        };
        self.commit(&event, Cause::Message { from_store })
    }

    pub(super) fn split(&self, split: Split) -> Result<Answer, EngineError> {
        let region = split.region;
        let _latch = self.latches.hold(region);
        // Data never behind metadata: once the record says that a part of the keys is a child's, the
        // host will not send that part's older entries again.
        if !planted!("split-without-a-barrier") {
            self.make_durable(region)?;
        }
        let (answer, _) = self.settle(self.decide_split(split)?)?;
        Ok(answer)
    }

    /// Decides a split of a region whose data is durable and whose latch is held. Whoever publishes it has
    /// its effects done.
    pub(super) fn decide_split(&self, split: Split) -> Result<Decision, EngineError> {
        let (region, cause) = (split.region, cause_of(split.position));
        let children: Vec<_> = split.children.iter().map(|child| child.id).collect();
        let (event, look) = (Event::Split(split), |_: &Register| {});
        self.decide_looking(&event, cause, look, |made, effects| {
            // Before anyone can see the children: their first write and read must find it.
            let new = Incarnation::new(made.lsn);
            self.share_with_children(made.register, region, &children, new);
            After::of(std::mem::take(effects), false)
        })
    }

    pub(super) fn change_peers(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        change: PeerChange,
    ) -> Result<Answer, EngineError> {
        let incarnation = None;
        self.conf_change(&Event::ChangePeers {
            region,
            incarnation,
            epoch,
            position,
            change,
        })
    }

    /// An entry that changes the peers of its region, and may take this store's own one away, or
    /// its data.
    pub(super) fn conf_change(&self, event: &Event) -> Result<Answer, EngineError> {
        let (Some(region), Some(position)) = (event.region(), event.position()) else {
            unreachable!("every change of peers is an entry of a region: {event:?}");
        };
        self.check_open()?;
        let latch = self.latches.hold(region);
        let mut holds = true;
        let decision = self.decide_with(event, cause_of(position), |register, _| {
            let peer = register.peer(region);
            holds = peer.is_some_and(|peer| peer.stage.holds_data());
        })?;
        let gone = decision.subject.filter(|_| !holds);
        let (answer, effects) = self.settle(decision)?;
        if let Some(gone) = gone {
            self.withdraw(region, gone);
            self.rows.forget(region, gone);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    pub(super) fn install_witness(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        description: Region,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        let latch = self.latches.hold(region);
        let event = Event::InstallWitness {
            region,
            incarnation,
            description,
            position,
            sources: Vec::new(),
        };
        let decision = self.decide(&event, Cause::Host)?;
        let held = decision.subject;
        let (answer, effects) = self.settle(decision)?;
        if let Some(held) = held {
            self.withdraw(region, held);
            self.rows.forget(region, held);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    pub(super) fn destroy(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        incarnation: Option<Incarnation>,
        peer: PeerId,
        cause: DestroyCause,
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        let latch = self.latches.hold(region);
        if let Some((refused, basis)) = self.behind(region, epoch, incarnation, peer) {
            self.wait_durable(basis)?;
            return Ok(refused);
        }
        let event = Event::Destroy {
            region,
            incarnation,
            peer,
            cause,
        };
        let decision = self.decide(&event, Cause::Host)?;
        let gone = decision.subject;
        let (answer, effects) = self.settle(decision)?;
        if let Some(gone) = gone {
            self.withdraw(region, gone);
            self.rows.forget(region, gone);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    /// The answer for a caller that would destroy a peer and does not know its region as it is, and the
    /// last record that the answer rests on. The caller holds the region's latch.
    pub(super) fn behind(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        incarnation: Option<Incarnation>,
        peer: PeerId,
    ) -> Option<(Answer, Lsn)> {
        // Another peer, or another creation of it, has its own refusals; they come first.
        self.with_decided(|register| match register.peer(region) {
            Some(live)
                if live.peer == peer && incarnation.is_none_or(|i| i == live.incarnation) =>
            {
                let refusal = register.expect_epoch(region, epoch).err()?;
                Some((Answer::Refused(refusal), register.last_lsn()))
            }
            Some(_) | None => None,
        })
    }

    /// Hands what the whole had in memory to the parts of a split: its sequence and its cache (its
    /// fences follow when the split is published). The caller holds the latch of the whole, and
    /// nobody can see the children yet.
    fn share_with_children(
        &self,
        register: &Register,
        whole: RegionId,
        children: &[RegionId],
        new: Incarnation,
    ) {
        let part = |region| {
            let peer = register.peer(region)?;
            Some((region, peer.incarnation, peer.stage.region()?.range.clone()))
        };
        let born = children.iter().filter_map(|child| part(*child));
        let born = born.filter(|(_, incarnation, _)| *incarnation == new);
        let mut parts: Vec<_> = part(whole).into_iter().chain(born).collect();
        let Some((_, whole_incarnation, _)) = parts.first() else {
            return;
        };
        let sequence = self.read_sequence(whole, *whole_incarnation);
        let born = parts.get(1..).unwrap_or_default();
        for (region, incarnation, _) in born {
            let (whole, part) = ((whole, *whole_incarnation), (*region, *incarnation));
            if !planted!("child-without-its-sequence") {
                self.rows.note_part(whole, part, sequence);
            }
        }
        match register.cache_state(whole) {
            CacheState::Active => {
                // A child whose earlier incarnation still holds memory starts without.
                parts.retain(|(region, ..)| register.cache_state(*region) == CacheState::Active);
                self.caches.split(whole, &parts);
                // Lets go, in time, what each holds of the other's keys.
                for (region, ..) in &parts {
                    self.queue.push(Job::Merge(*region));
                }
            }
            _ => self.caches.detach(whole),
        }
    }

    pub(super) fn report_log_start(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        first_index: u64,
    ) -> Result<Answer, EngineError> {
        self.check_open()?;
        let _latch = self.latches.hold(region);
        let (live, basis) =
            self.with_decided(|register| (register.incarnation(region), register.last_lsn()));
        // Whatever is answered without a record of its own rests on what was decided so far.
        if live != Some(incarnation) {
            self.wait_durable(basis)?;
            let given = incarnation;
            return Ok(Answer::Refused(Refusal::IncarnationGone {
                region,
                given,
                live,
            }));
        }
        let data_index = self.data_position(region, incarnation).index;
        if first_index <= data_index.saturating_add(1) {
            self.wait_durable(basis)?;
            return Ok(Answer::AlreadyApplied);
        }
        let reason = DamageReason::LogTruncated {
            first_index,
            data_index,
        };
        let event = Event::Damage {
            region,
            incarnation,
            reason,
        };
        let (answer, effects) = self.settle(self.decide(&event, Cause::Host)?)?;
        if answer.lsn().is_some() {
            self.withdraw(region, incarnation);
        }
        self.queue.push_effects(effects);
        Ok(answer)
    }

    pub(super) fn raft_start(&self, region: RegionId) -> Result<RaftStart, EngineError> {
        let published = self.published();
        let no_peer = EngineError::NoPeer { region };
        let status = status::of(&published, region).ok_or(no_peer)?;
        let peer = published
            .peer(region)
            .ok_or(EngineError::NoPeer { region })?;
        let found = self.data_position(region, peer.incarnation);
        let (data, truncate_floor) = match &peer.stage {
            PeerStage::Uninitialized => (RaftPosition::default(), 0),
            PeerStage::Normal(normal) => (found, normal.floor.index),
            PeerStage::Damaged(damaged) => (found, damaged.floor.index),
            // No data is behind any entry: what changed the metadata is all that counts.
            PeerStage::Witness(witness) => (witness.meta_index, witness.meta_index.index),
            PeerStage::Waiting(waiting) => (waiting.meta_index, waiting.meta_index.index),
            // Until it ends there is no data to start from but the snapshot's.
            PeerStage::Applying(applying) => {
                (applying.snapshot.position, applying.snapshot.position.index)
            }
        };
        // The log of a merge's source feeds the slowest of its replicas.
        let truncate_floor = peer.stage.merging().map_or(truncate_floor, |source| {
            truncate_floor.min(source.min_index.saturating_sub(1))
        });
        let damaged = matches!(peer.stage, PeerStage::Damaged(_));
        let needs_snapshot = damaged || matches!(peer.stage, PeerStage::Waiting(_));
        let predecessor = *peer.predecessor;
        Ok(RaftStart {
            status,
            predecessor,
            data,
            truncate_floor,
            damaged,
            needs_snapshot,
        })
    }

    /// Stops everything that serves a peer's data from memory. The record is durable.
    pub(super) fn withdraw(&self, region: RegionId, incarnation: Incarnation) {
        self.caches.detach_of(region, incarnation);
        self.fences.trip(region);
        self.snapshots_to_sweep.store(true, Ordering::Release);
    }

    /// Whether a barrier covers the region's last write. The caller holds the region's latch.
    pub(super) fn is_durable(&self, region: RegionId) -> bool {
        let live = self.with_decided(|register| register.incarnation(region));
        let row = live.and_then(|live| self.rows.get(region, live));
        row.is_none_or(|row| row.barrier <= self.barriers.completed())
    }

    /// Waits for the barrier that covers the region's last write, if it is not durable yet. The
    /// caller holds the region's latch, so nothing is written meanwhile.
    pub(super) fn make_durable(&self, region: RegionId) -> Result<(), EngineError> {
        let Some(incarnation) = self.with_decided(|register| register.incarnation(region)) else {
            return Ok(());
        };
        // A barrier that has too many rows to record leaves some to the next.
        let number = || self.rows.get(region, incarnation).map(|row| row.barrier);
        let mut reached = None;
        while let Some(next) = number().filter(|next| Some(*next) != reached) {
            if next > self.barriers.completed() {
                let begun = Instant::now();
                self.reach_barrier(next)?;
                timing::note_barrier_wait(begun);
            }
            reached = Some(next);
        }
        Ok(())
    }
}

pub(super) fn cause_of(position: RaftPosition) -> Cause {
    Cause::Raft {
        term: position.term,
        index: position.index,
    }
}
