//! The checks that several events share, each with the refusal that it gives.

use std::sync::Arc;

use torrens_journal::planted;

use crate::lifecycle::{
    MergeSource, Mode, Normal, Owner, PeerStage, PeerState, RaftPosition, Refusal, Register,
};
use crate::{Incarnation, Region, RegionEpoch, RegionId};

/// Most neighbours that a stale caller is told about, on each side.
const NEIGHBOURS_MAX: u64 = 8;

/// The live peer; the one that the caller means, if it says so.
pub(in crate::lifecycle) fn live(
    register: &Register,
    region: RegionId,
    given: Option<Incarnation>,
) -> Result<&PeerState, Refusal> {
    let Some(slot) = register.slot(region) else {
        return Err(Refusal::RegionNotFound { region });
    };
    match (&slot.peer, given, &slot.tombstone) {
        (Some(peer), None, _) => Ok(peer),
        (Some(peer), Some(given), _)
            if peer.incarnation == given || planted!("incarnations-not-compared") =>
        {
            Ok(peer)
        }
        (peer, Some(given), _) => Err(Refusal::IncarnationGone {
            region,
            given,
            live: peer.as_ref().map(|peer| peer.incarnation),
        }),
        (None, None, Some(tombstone)) => Err(Refusal::PeerTombstoned {
            region,
            highest_peer: tombstone.highest_peer,
            epoch: tombstone.epoch,
        }),
        (None, None, None) => Err(Refusal::RegionNotFound { region }),
    }
}

/// What a peer serves that holds data and whose region nothing holds up.
pub(in crate::lifecycle) fn serving(
    region: RegionId,
    peer: &PeerState,
) -> Result<&Normal, Refusal> {
    let normal = following(region, peer)?;
    match peer.stage {
        PeerStage::Witness(_) => Err(Refusal::PeerIsWitness {
            region,
            peer: peer.peer,
        }),
        PeerStage::Normal(_)
        | PeerStage::Uninitialized
        | PeerStage::Waiting(_)
        | PeerStage::Applying(_)
        | PeerStage::Damaged(_) => Ok(normal),
    }
}

/// What a peer follows, with data or without, whose region nothing holds up.
pub(in crate::lifecycle) fn following(
    region: RegionId,
    peer: &PeerState,
) -> Result<&Normal, Refusal> {
    let normal = initialized(region, peer)?;
    match *normal.mode {
        Mode::Serving => Ok(normal),
        Mode::Merging(MergeSource { target, .. }) => Err(Refusal::RegionMerging { region, target }),
        Mode::Flashback => Err(Refusal::RegionInFlashback { region }),
        Mode::Unconfirmed => Err(Refusal::BootstrapUnconfirmed { region }),
    }
}

/// What a peer follows, with data or without, whatever its region is in.
pub(in crate::lifecycle) fn initialized(
    region: RegionId,
    peer: &PeerState,
) -> Result<&Normal, Refusal> {
    match &peer.stage {
        PeerStage::Normal(normal) | PeerStage::Witness(normal) => Ok(normal),
        PeerStage::Waiting(_) => Err(Refusal::WaitingForData { region }),
        PeerStage::Uninitialized => Err(Refusal::PeerUninitialized {
            region,
            peer: peer.peer,
        }),
        PeerStage::Applying(_) => Err(Refusal::SnapshotApplying { region }),
        PeerStage::Damaged(damaged) => Err(Refusal::RegionDamaged {
            region,
            reason: damaged.reason,
        }),
    }
}

/// Whether the entry at `position` already changed the peer's metadata.
pub(super) fn is_applied(peer: &PeerState, position: RaftPosition) -> bool {
    let meta = peer.stage.meta_index();
    meta.is_some_and(|meta| position.index <= meta.index)
}

/// The version must be the current one.
pub(in crate::lifecycle) fn version(
    register: &Register,
    region: &Arc<Region>,
    given: RegionEpoch,
) -> Result<(), Refusal> {
    let current = region.epoch;
    let compared = RegionEpoch {
        conf_ver: current.conf_ver,
        ..given
    };
    if planted!("version-not-compared") {
        return Ok(());
    }
    equal(register, region, given, compared)
}

/// The `conf_ver` must be the current one.
pub(super) fn conf_ver(
    register: &Register,
    region: &Arc<Region>,
    given: RegionEpoch,
) -> Result<(), Refusal> {
    let current = region.epoch;
    let compared = RegionEpoch {
        version: current.version,
        ..given
    };
    equal(register, region, given, compared)
}

/// Both parts must be the current ones.
pub(in crate::lifecycle) fn epoch(
    register: &Register,
    region: &Arc<Region>,
    given: RegionEpoch,
) -> Result<(), Refusal> {
    equal(register, region, given, given)
}

/// `compared` is what counts of `given`.
fn equal(
    register: &Register,
    region: &Arc<Region>,
    given: RegionEpoch,
    compared: RegionEpoch,
) -> Result<(), Refusal> {
    if compared == region.epoch {
        return Ok(());
    }
    if compared.is_stale_against(region.epoch) {
        return Err(stale(register, region, given));
    }
    Err(Refusal::EpochAhead {
        region: region.id,
        given,
        current: region.epoch,
    })
}

/// The refusal of a caller that is behind: with the region as it is, and with as many neighbours as
/// splits may have made of what the caller knew.
pub(super) fn stale(register: &Register, region: &Arc<Region>, given: RegionEpoch) -> Refusal {
    let behind = region.epoch.version.saturating_sub(given.version);
    let wanted = usize::try_from(behind.min(NEIGHBOURS_MAX)).unwrap_or(0);
    let (before, after) = register.ledger.neighbours(region.range.start());
    let description = |owner: Owner| match owner {
        Owner::Peer { region, .. } => register.peer(region)?.stage.region().cloned(),
        Owner::Deletion(_) | Owner::Reservation { .. } => None,
    };
    let mut current = vec![Arc::clone(region)];
    current.extend(
        before
            .filter_map(|claim| description(claim.owner))
            .take(wanted),
    );
    current.extend(
        after
            .filter_map(|claim| description(claim.owner))
            .take(wanted),
    );
    Refusal::EpochStale {
        region: region.id,
        given,
        current,
    }
}
