//! What no log says: a bootstrap in steps, and orders of an operator or of the host about this store
//! alone.

use super::submit::Submission;
use super::{Answer, Engine, EngineError};
use crate::lifecycle::Mode;
use crate::{PeerId, Region, RegionEpoch, RegionId, StoreId};

impl Engine {
    /// First step of a bootstrap that others may win: the region stands, and serves nothing until
    /// [`Engine::confirm_bootstrap`]. After a crash [`Engine::prepared_bootstrap`] finds it, and the
    /// host asks the cluster again.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn prepare_bootstrap(&self, region: Region) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::PrepareBootstrap { region })
    }

    /// The region whose bootstrap was prepared and neither confirmed nor abandoned, if there is one.
    pub fn prepared_bootstrap(&self) -> Option<RegionId> {
        let published = self.core.published();
        let mut peers = published.normal_peers();
        peers.find_map(|(region, _, normal)| (*normal.mode == Mode::Unconfirmed).then_some(region))
    }

    /// Second step: the cluster begins with the region.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn confirm_bootstrap(&self, region: RegionId) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::ConfirmBootstrap { region })
    }

    /// Second step of whoever lost: the region goes, its keys are cleared in the background, and it
    /// leaves no tombstone, since nobody ever heard of it.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn abandon_bootstrap(&self, region: RegionId) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::AbandonBootstrap { region })
    }

    /// Creates a region by order of an operator, over keys whose replicas are all lost: at index 5
    /// and term 5, without data.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn recover_region(&self, region: Region) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::RecoverRegion { region })
    }

    /// Takes the votes of all peers on `failed` stores, by order of an operator, and ends joint
    /// consensus, so that what is left of the region can elect a leader. To be ordered on one replica
    /// only: the others learn of it by snapshot.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn force_voters(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        failed: Vec<StoreId>,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::ForceVoters {
            region,
            epoch,
            failed,
        })
    }

    /// Places a tombstone by order of an operator: no peer of the region up to `peer` ever lives here.
    /// Where one lives, [`Engine::destroy`] it instead.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn place_tombstone(
        &self,
        region: RegionId,
        peer: PeerId,
        epoch: RegionEpoch,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::PlaceTombstone {
            region,
            peer,
            epoch,
        })
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
            self.core.wait_for(Submission::CollectTombstone {
                region,
                highest_peer,
            })
        };
        tombstones.iter().map(collect).collect()
    }
}
