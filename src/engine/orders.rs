//! What no log says: a bootstrap in steps, and orders of an operator or of the host about this store
//! alone.

use super::core::Core;
use super::{Answer, Engine, EngineError};
use crate::lifecycle::{Cause, Event, Mode, Register};
use crate::{PeerId, Region, RegionEpoch, RegionId, StoreId};

impl Engine {
    /// First step of a bootstrap that others may win: the region stands, and serves nothing until
    /// [`Engine::confirm_bootstrap`]. After a crash [`Engine::prepared_bootstrap`] finds it, and the
    /// host asks the cluster again.
    pub fn prepare_bootstrap(&self, region: Region) -> Result<Answer, EngineError> {
        self.core.check_open()?;
        let _latch = self.core.latches.hold(region.id);
        let store = self
            .core
            .with_decided(Register::store)
            .expect("opening gives the store its id");
        let event = Event::PrepareBootstrap { store, region };
        self.core.commit(&event, Cause::Host)
    }

    /// The region whose bootstrap was prepared and neither confirmed nor abandoned, if there is one.
    pub fn prepared_bootstrap(&self) -> Option<RegionId> {
        let published = self.core.published();
        let mut peers = published.normal_peers();
        peers.find_map(|(region, _, normal)| (*normal.mode == Mode::Unconfirmed).then_some(region))
    }

    /// Second step: the cluster begins with the region.
    pub fn confirm_bootstrap(&self, region: RegionId) -> Result<Answer, EngineError> {
        self.core
            .order(region, &Event::ConfirmBootstrap { region }, Cause::Host)
    }

    /// Second step of whoever lost: the region goes, its keys are cleared in the background, and it
    /// leaves no tombstone, since nobody ever heard of it.
    pub fn abandon_bootstrap(&self, region: RegionId) -> Result<Answer, EngineError> {
        self.core
            .order(region, &Event::AbandonBootstrap { region }, Cause::Host)
    }

    /// Creates a region by order of an operator, over keys whose replicas are all lost: at index 5
    /// and term 5, without data.
    pub fn recover_region(&self, region: Region) -> Result<Answer, EngineError> {
        let id = region.id;
        self.core
            .order(id, &Event::RecoverRegion { region }, Cause::Operator)
    }

    /// Takes the votes of all peers on `failed` stores, by order of an operator, and ends joint
    /// consensus, so that what is left of the region can elect a leader. To be ordered on one replica
    /// only: the others learn of it by snapshot.
    pub fn force_voters(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        failed: Vec<StoreId>,
    ) -> Result<Answer, EngineError> {
        let event = Event::ForceVoters {
            region,
            incarnation: None,
            epoch,
            failed,
        };
        self.core.order(region, &event, Cause::Operator)
    }

    /// Places a tombstone by order of an operator: no peer of the region up to `peer` ever lives here.
    /// Where one lives, [`Engine::destroy`] it instead.
    pub fn place_tombstone(
        &self,
        region: RegionId,
        peer: PeerId,
        epoch: RegionEpoch,
    ) -> Result<Answer, EngineError> {
        let event = Event::PlaceTombstone {
            region,
            peer,
            epoch,
        };
        self.core.order(region, &event, Cause::Operator)
    }

    /// Forgets tombstones whose regions nothing late can come for any more, as the caller knows: the
    /// region does not exist, or every store acknowledged its peers up to the one given. One answer
    /// for each.
    ///
    /// # Errors
    /// The store could not do it; those before were done.
    pub fn collect_tombstones(
        &self,
        tombstones: &[(RegionId, PeerId)],
    ) -> Result<Vec<Answer>, EngineError> {
        let collect = |(region, highest_peer): &(RegionId, PeerId)| {
            let (region, highest_peer) = (*region, *highest_peer);
            let event = Event::CollectTombstone {
                region,
                highest_peer,
            };
            self.core.order(region, &event, Cause::Host)
        };
        tombstones.iter().map(collect).collect()
    }
}

impl Core {
    fn order(&self, region: RegionId, event: &Event, cause: Cause) -> Result<Answer, EngineError> {
        self.check_open()?;
        let latch = self.latches.hold(region);
        let held = self.with_decided(|register| register.incarnation(region));
        let mut gone = None;
        let decision = self.decide_with(event, cause, |register, _| {
            gone = held.filter(|_| register.incarnation(region).is_none());
        })?;
        let (answer, effects) = self.settle(decision)?;
        if let Some(gone) = gone {
            self.withdraw(region, gone);
            self.rows.forget(region, gone);
        }
        drop(latch);
        self.queue.push_effects(effects);
        Ok(answer)
    }
}
