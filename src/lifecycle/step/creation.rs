//! Events that create a peer: bootstrap, and a message for a peer that does not exist here. Split and
//! an operator's order are in files of their own; there is no other way.

use torrens_journal::planted;

use crate::lifecycle::{
    Change, INITIAL_POSITION, Mode, Outcome, Owner, PeerStage, Refusal, Register,
};
use crate::{PeerId, Region, RegionEpoch, RegionId, StoreId};

/// Only on a store that never had a region; asking again for the very same is no harm. Prepared, it
/// serves nothing until it is confirmed.
pub(super) fn bootstrap(
    register: &Register,
    store: StoreId,
    region: &Region,
    is_prepared: bool,
) -> Result<Outcome, Refusal> {
    if store.0 == 0 {
        return Err(Refusal::IdZero { id: "store" });
    }
    if let Some(current) = register.store().filter(|current| *current != store) {
        let given = store;
        return Err(Refusal::StoreMismatch { given, current });
    }
    check_first(region, store)?;
    if let Some(PeerStage::Normal(normal)) = register.peer(region.id).map(|peer| &peer.stage)
        && *normal.region == *region
        && normal.meta_index == INITIAL_POSITION
    {
        return match *normal.mode {
            Mode::Unconfirmed if !is_prepared => {
                Err(Refusal::BootstrapUnconfirmed { region: region.id })
            }
            Mode::Serving | Mode::Unconfirmed | Mode::Merging(_) | Mode::Flashback => {
                Ok(Outcome::AlreadyApplied)
            }
        };
    }
    if let Some((region, _)) = register.slots().next() {
        return Err(Refusal::NotEmpty { region });
    }
    // What an abandoned bootstrap left may still be there.
    check_free(register, region)?;
    let region = region.clone();
    Ok(Outcome::accept(match is_prepared {
        true => Change::BootstrapPrepared { store, region },
        false => Change::RegionBootstrapped { store, region },
    }))
}

/// The peer that this store has in the description of a region that begins here, with data.
pub(super) fn check_first(region: &Region, store: StoreId) -> Result<PeerId, Refusal> {
    let id = region.id;
    region
        .validate()
        .map_err(|fault| Refusal::InvalidDescription { region: id, fault })?;
    let Some(own) = region.peer_on(store) else {
        return Err(Refusal::NotListed {
            region: id,
            peer: None,
            store,
        });
    };
    if own.is_witness {
        return Err(Refusal::WitnessMismatch {
            region: id,
            peer: own.id,
            is_witness: true,
        });
    }
    Ok(own.id)
}

/// Nobody may own a key of a region that begins here, and nothing may be clearing one.
pub(super) fn check_free(register: &Register, region: &Region) -> Result<(), Refusal> {
    let id = region.id;
    if let Some(claim) = register.ledger.overlapping(&region.range).next() {
        return Err(match claim.owner {
            Owner::Peer { region: with, .. } => Refusal::RangeOverlap { region: id, with },
            Owner::Deletion(deletion) => Refusal::RangeBusy {
                region: id,
                deletion,
            },
            Owner::Reservation { region: by, .. } => Refusal::RangeReserved { region: id, by },
        });
    }
    match register.deletion_in(&region.range) {
        Some(deletion) => Err(Refusal::RangeBusy {
            region: id,
            deletion,
        }),
        None => Ok(()),
    }
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
        .filter(|t| t.highest_peer >= peer && !planted!("tombstone-not-looked-at"))
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
