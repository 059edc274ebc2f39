//! The transitions that a host calls, each with what must hold around its decision: the latch, the
//! barrier before it, the effects after it.

use super::core::Core;
use super::{Answer, EngineError};
use crate::lifecycle::{Cause, DestroyCause, Event, PeerChange, Split};
use crate::{Incarnation, PeerId, RaftPosition, Region, RegionEpoch, RegionId, StoreId};

impl Core {
    pub(super) fn bootstrap(&self, store: StoreId, region: Region) -> Result<Answer, EngineError> {
        let _latch = self.latches.hold(region.id);
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
        let event = Event::CreateByMessage { region, peer, from_store, message_epoch: epoch };
        self.commit(&event, Cause::Message { from_store })
    }

    pub(super) fn split(&self, split: Split) -> Result<Answer, EngineError> {
        let region = split.region;
        let latch = self.latches.hold(region);
        // Data never behind metadata: once the record says that a part of the keys is a child's, the
        // host will not send that part's older entries again.
        self.make_durable(region)?;
        let cause = cause_of(split.position);
        let decision = self.decide(&Event::Split(split), cause)?;
        if decision.answer.lsn().is_some() {
            // Before anyone can see the children: their first write must find what it needs.
            self.share_with_children(region);
        }
        let (answer, effects) = self.settle(decision)?;
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    pub(super) fn change_peers(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        change: PeerChange,
    ) -> Result<Answer, EngineError> {
        let latch = self.latches.hold(region);
        let event = Event::ChangePeers { region, epoch, position, change };
        let decision = self.decide(&event, cause_of(position))?;
        let gone = self.with_decided(|register| register.incarnation(region).is_none());
        let (answer, effects) = self.settle(decision)?;
        if gone {
            self.withdraw(region);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    pub(super) fn destroy(
        &self,
        region: RegionId,
        incarnation: Option<Incarnation>,
        peer: PeerId,
        cause: DestroyCause,
    ) -> Result<Answer, EngineError> {
        let latch = self.latches.hold(region);
        let event = Event::Destroy { region, incarnation, peer, cause };
        let decision = self.decide(&event, Cause::Host)?;
        let happened = decision.answer.lsn().is_some();
        let (answer, effects) = self.settle(decision)?;
        if happened {
            self.withdraw(region);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }

    /// Stops everything that serves a peer's data from memory. The record is durable.
    pub(super) fn withdraw(&self, region: RegionId) {
        self.caches.detach(region);
        self.fences.trip(region);
    }

    /// Waits for the barrier that covers the region's last write, if it is not durable yet. The
    /// caller holds the region's latch, so nothing is written meanwhile.
    pub(super) fn make_durable(&self, region: RegionId) -> Result<(), EngineError> {
        let incarnation = self.with_decided(|register| register.incarnation(region));
        match incarnation.and_then(|incarnation| self.rows.get(region, incarnation)) {
            Some(row) => self.reach_barrier(row.barrier),
            None => Ok(()),
        }
    }
}

fn cause_of(position: RaftPosition) -> Cause {
    Cause::Raft { term: position.term, index: position.index }
}
