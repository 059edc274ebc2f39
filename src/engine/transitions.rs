//! What transitions need of the engine around their decisions: whether a caller is behind, data made durable,
//! memory handed to the parts of a split or withdrawn; and where a host's log goes on.
//!
//! Not here: how they are carried out (`submit`), merges and modes (`merges`).

use std::sync::atomic::Ordering;
use std::time::Instant;

use torrens_journal::{Lsn, planted};

use super::background::Job;
use super::core::Core;
use super::decide::Decision;
use super::durable::After;
use super::{Answer, EngineError, RaftStart, status, timing};
use crate::lifecycle::{CacheState, Cause, Event, PeerStage, Register, Split};
use crate::{Incarnation, PeerId, RaftPosition, RegionEpoch, RegionId};

impl Core {
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

    pub(super) fn raft_start(&self, region: RegionId) -> Result<RaftStart, EngineError> {
        let published = self.published();
        let no_peer = EngineError::NoPeer { region };
        let status = status::of(&published, region).ok_or(no_peer)?;
        let peer = published
            .peer(region)
            .ok_or(EngineError::NoPeer { region })?;
        let mut found = self.data_position(region, peer.incarnation);
        if planted!("log-restarts-from-the-maximum") {
            found = found.max(peer.stage.meta_index().unwrap_or_default());
        }
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
        if !planted!("views-outlive-their-data") {
            self.fences.trip(region);
        }
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
