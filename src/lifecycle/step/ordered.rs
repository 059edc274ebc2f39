//! What an operator, or the host on its own word, orders: regions recovered, voters forced,
//! tombstones placed and collected. No log says so; each is to be ordered on one store only, or is
//! about this store alone.

use super::{creation, gate};
use crate::lifecycle::{
    Change, Mode, Outcome, PeerChangeFault, PeerStage, PeerState, Refusal, Register,
};
use crate::{PeerId, PeerRole, Region, RegionEpoch, RegionId, StoreId};

/// The same order may come twice: the region is there then.
pub(super) fn recover(register: &Register, region: &Region) -> Result<Outcome, Refusal> {
    let Some(store) = register.store() else {
        return Err(Refusal::StoreUnidentified);
    };
    let peer = creation::check_first(region, store)?;
    let id = region.id;
    if let Some(live) = register.peer(id) {
        let is_it = match &live.stage {
            PeerStage::Normal(normal) => *normal.region == *region,
            PeerStage::Uninitialized
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => false,
        };
        return match is_it {
            true => Ok(Outcome::AlreadyApplied),
            false => Err(lives(id, live)),
        };
    }
    let fence = register.tombstone(id).filter(|t| t.highest_peer >= peer);
    if let Some(fence) = fence {
        return Err(Refusal::PeerTombstoned {
            region: id,
            highest_peer: fence.highest_peer,
            epoch: fence.epoch,
        });
    }
    creation::check_free(register, region)?;
    Ok(Outcome::accept(Change::RegionRecovered {
        region: region.clone(),
    }))
}

pub(super) fn force_voters(
    register: &Register,
    id: RegionId,
    peer: &PeerState,
    epoch: RegionEpoch,
    failed: &[StoreId],
) -> Result<Outcome, Refusal> {
    let region = &gate::following(id, peer)?.region;
    gate::conf_ver(register, region, epoch)?;
    if let Some(store) = register.store().filter(|store| failed.contains(store)) {
        let fault = PeerChangeFault::OwnStore { store };
        return Err(Refusal::InvalidPeerChange { region: id, fault });
    }
    if failed.len() > Region::PEERS_MAX {
        let changes = failed.len();
        let fault = PeerChangeFault::TooMany { changes };
        return Err(Refusal::InvalidPeerChange { region: id, fault });
    }
    let (forced, changes) = forced(region, failed);
    if changes == 0 {
        return Ok(Outcome::AlreadyApplied);
    }
    let current = region.epoch;
    let Some(conf_ver) = current.conf_ver.checked_add(changes) else {
        return Err(Refusal::EpochExhausted {
            region: id,
            current,
        });
    };
    forced
        .validate()
        .map_err(|fault| Refusal::InvalidDescription { region: id, fault })?;
    Ok(Outcome::accept(Change::VotersForced {
        region: id,
        conf_ver,
        failed: failed.to_vec(),
    }))
}

/// The description without votes of the failed stores and without joint consensus, its epoch as
/// before; and how many peers changed.
pub(in crate::lifecycle) fn forced(region: &Region, failed: &[StoreId]) -> (Region, u64) {
    let mut forced = region.clone();
    let mut changes = 0;
    for peer in &mut forced.peers {
        let role = match peer.role {
            _ if failed.contains(&peer.store) => PeerRole::Learner,
            PeerRole::Voter | PeerRole::IncomingVoter => PeerRole::Voter,
            PeerRole::Learner | PeerRole::DemotingVoter => PeerRole::Learner,
        };
        if peer.role != role {
            peer.role = role;
            changes += 1;
        }
    }
    (forced, changes)
}

pub(super) fn place_tombstone(
    register: &Register,
    region: RegionId,
    peer: PeerId,
    epoch: RegionEpoch,
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
    let fence = register.tombstone(region);
    if fence.is_some_and(|fence| fence.highest_peer >= peer) {
        return Ok(Outcome::AlreadyApplied);
    }
    if let Some(live) = register.peer(region) {
        return Err(lives(region, live));
    }
    Ok(Outcome::accept(Change::TombstonePlaced {
        region,
        peer,
        epoch,
    }))
}

/// Nothing of the region may be left but the tombstone: what is under way still needs the fence.
pub(super) fn collect_tombstone(
    register: &Register,
    region: RegionId,
    highest_peer: PeerId,
) -> Result<Outcome, Refusal> {
    if let Some(live) = register.peer(region) {
        return Err(lives(region, live));
    }
    let Some(fence) = register.tombstone(region) else {
        return Ok(Outcome::AlreadyApplied);
    };
    if fence.highest_peer > highest_peer {
        return Err(Refusal::PeerTombstoned {
            region,
            highest_peer: fence.highest_peer,
            epoch: fence.epoch,
        });
    }
    let mut pending = register.deletions();
    let left = pending.find(|(_, pending)| pending.cause.region() == region);
    if let Some((deletion, _)) = left {
        return Err(Refusal::RangeBusy { region, deletion });
    }
    let state = register.cache_state(region);
    if state != crate::lifecycle::CacheState::Absent {
        return Err(Refusal::CacheState { region, state });
    }
    Ok(Outcome::accept(Change::TombstoneCollected {
        region,
        highest_peer: fence.highest_peer,
    }))
}

/// The prepared region becomes the cluster's first.
pub(super) fn confirm_bootstrap(register: &Register, region: RegionId) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, region, None)?;
    match *gate::initialized(region, peer)?.mode {
        Mode::Unconfirmed => Ok(Outcome::accept(Change::BootstrapConfirmed { region })),
        Mode::Serving | Mode::Merging(_) | Mode::Flashback => Ok(Outcome::AlreadyApplied),
    }
}

/// The cluster began elsewhere.
pub(super) fn abandon_bootstrap(register: &Register, region: RegionId) -> Result<Outcome, Refusal> {
    let Some(peer) = register.peer(region) else {
        return match register.tombstone(region) {
            // It was a member of a cluster, so it was never abandoned.
            Some(_) => Err(Refusal::BootstrapConfirmed { region }),
            None => Ok(Outcome::AlreadyApplied),
        };
    };
    if peer.stage.mode() != Mode::Unconfirmed {
        return Err(Refusal::BootstrapConfirmed { region });
    }
    let effects = super::destroying::withdrawal(register, region, peer);
    let change = Change::BootstrapAbandoned { region };
    Ok(Outcome::accept_with(change, effects))
}

fn lives(region: RegionId, live: &PeerState) -> Refusal {
    let live = live.peer;
    Refusal::RegionLives { region, live }
}
