//! Events that create a peer: bootstrap, and a message for a peer that does not exist here. Split is
//! in its own file; there is no other way.

use crate::lifecycle::{Change, INITIAL_POSITION, Outcome, PeerStage, Refusal, Register};
use crate::{PeerId, Region, RegionEpoch, RegionId, StoreId};

/// Only on a store that never had a region; asking again for the very same is no harm.
pub(super) fn bootstrap(
    register: &Register,
    store: StoreId,
    region: &Region,
) -> Result<Outcome, Refusal> {
    if store.0 == 0 {
        return Err(Refusal::IdZero { id: "store" });
    }
    if let Some(current) = register.store().filter(|current| *current != store) {
        let given = store;
        return Err(Refusal::StoreMismatch { given, current });
    }
    region
        .validate()
        .map_err(|fault| Refusal::InvalidDescription {
            region: region.id,
            fault,
        })?;
    if region.peer_on(store).is_none() {
        return Err(Refusal::NotListed {
            region: region.id,
            peer: None,
            store,
        });
    }
    if register
        .peer(region.id)
        .is_some_and(|peer| match &peer.stage {
            PeerStage::Normal(normal) => {
                *normal.region == *region && normal.meta_index == INITIAL_POSITION
            }
            PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Uninitialized
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => false,
        })
    {
        return Ok(Outcome::AlreadyApplied);
    }
    if let Some((region, _)) = register.slots().next() {
        return Err(Refusal::NotEmpty { region });
    }
    Ok(Outcome::accept(Change::RegionBootstrapped {
        store,
        region: region.clone(),
    }))
}

/// Only above the tombstone, and only where no other replica lives.
pub(super) fn create_by_message(
    register: &Register,
    region: RegionId,
    peer: PeerId,
    message_epoch: RegionEpoch,
) -> Result<Outcome, Refusal> {
    if region.0 == 0 {
        return Err(Refusal::IdZero { id: "region" });
    }
    if peer.0 == 0 {
        return Err(Refusal::IdZero { id: "peer" });
    }
    if register.store().is_none() {
        return Err(Refusal::StoreUnidentified);
    }
    if let Some(live) = register.peer(region).map(|live| live.peer) {
        let given = peer;
        return match live.cmp(&given) {
            std::cmp::Ordering::Equal => Ok(Outcome::AlreadyApplied),
            std::cmp::Ordering::Greater => Err(Refusal::StalePeer {
                region,
                given,
                live,
            }),
            std::cmp::Ordering::Less => Err(Refusal::OlderPeerLives {
                region,
                given,
                live,
            }),
        };
    }
    if let Some(fence) = register
        .tombstone(region)
        .filter(|t| t.highest_peer >= peer)
    {
        return Err(Refusal::PeerTombstoned {
            region,
            highest_peer: fence.highest_peer,
            epoch: fence.epoch,
        });
    }
    Ok(Outcome::accept(Change::PeerCreated {
        region,
        peer,
        message_epoch,
    }))
}
