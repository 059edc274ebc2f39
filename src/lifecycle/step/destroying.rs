//! Events that take a peer or its data away: destroy, the end of a deletion, damage.

use super::gate;
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    CacheState, Change, DamageReason, DeletionId, DestroyCause, Effect, Outcome, PeerStage,
    PeerState, Refusal, Register,
};
use crate::{Incarnation, PeerId, RegionEpoch, RegionId};

pub(super) fn destroy(
    register: &Register,
    region: RegionId,
    incarnation: Option<Incarnation>,
    given: PeerId,
    cause: DestroyCause,
) -> Result<Outcome, Refusal> {
    let fence = register.tombstone(region);
    if fence.is_some_and(|fence| fence.highest_peer >= given) {
        return Ok(Outcome::AlreadyApplied);
    }
    let peer = gate::live(register, region, incarnation)?;
    let live = peer.peer;
    match live.cmp(&given) {
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => {
            return Err(Refusal::StalePeer {
                region,
                given,
                live,
            });
        }
        std::cmp::Ordering::Less => {
            return Err(Refusal::OlderPeerLives {
                region,
                given,
                live,
            });
        }
    }
    let current = peer.stage.epoch();
    let known = match cause {
        DestroyCause::Removed { epoch } => {
            if !current.is_stale_against(epoch) {
                return Err(Refusal::EpochNotNewer {
                    region,
                    given: epoch,
                    current,
                });
            }
            epoch
        }
        DestroyCause::LargerPeer { peer } => {
            if peer <= given {
                return Err(Refusal::StalePeer {
                    region,
                    given: peer,
                    live,
                });
            }
            current
        }
        DestroyCause::Operator | DestroyCause::Merged { .. } => current,
    };
    let earlier = fence.map_or(RegionEpoch::NONE, |fence| fence.epoch);
    let change = Change::PeerDestroyed {
        region,
        peer: live,
        epoch: later(later(earlier, current), known),
        cause,
    };
    let effects = withdrawal(register, region, peer);
    Ok(Outcome::accept_with(change, effects))
}

/// The later picture of the key range.
pub(in crate::lifecycle) fn later(a: RegionEpoch, b: RegionEpoch) -> RegionEpoch {
    if a.precedes(b) { b } else { a }
}

/// What follows when a peer goes: its keys are cleared, its cache is freed.
pub(super) fn withdrawal(register: &Register, region: RegionId, peer: &PeerState) -> Vec<Planned> {
    let range = peer.stage.region().map(|region| region.range.clone());
    let clear = range.map(|range| Planned::Clear { ordinal: 0, range });
    clear
        .into_iter()
        .chain(free_cache(register, region))
        .collect()
}

/// What follows when a peer stops serving: memory that it held is freed.
pub(super) fn free_cache(register: &Register, region: RegionId) -> Option<Planned> {
    match register.cache_state(region) {
        CacheState::Loading | CacheState::Active => {
            Some(Planned::Known(Effect::FreeCache { region }))
        }
        // Nothing is held, or its end is under way already.
        CacheState::Absent
        | CacheState::LoadRequested
        | CacheState::LoadQueued
        | CacheState::Cancelled
        | CacheState::EvictPending
        | CacheState::Evicting => None,
    }
}

pub(super) fn finish_deletion(
    register: &Register,
    deletion: DeletionId,
) -> Result<Outcome, Refusal> {
    match register.deletion(deletion) {
        Some(pending) => Ok(Outcome::accept(Change::DeletionFinished {
            region: pending.cause.region(),
            deletion,
        })),
        None if deletion.lsn <= register.last_lsn() => Ok(Outcome::AlreadyApplied),
        None => Err(Refusal::DeletionUnknown { deletion }),
    }
}

pub(super) fn damage(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
    reason: DamageReason,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, region, Some(incarnation))?;
    match &peer.stage {
        PeerStage::Normal(_) => Ok(Outcome::accept_with(
            Change::PeerDamaged { region, reason },
            free_cache(register, region).into_iter().collect(),
        )),
        PeerStage::Damaged(_) => Ok(Outcome::AlreadyApplied),
        PeerStage::Witness(_) => Err(Refusal::PeerIsWitness {
            region,
            peer: peer.peer,
        }),
        PeerStage::Waiting(_) => Err(Refusal::WaitingForData { region }),
        PeerStage::Uninitialized => Err(Refusal::PeerUninitialized {
            region,
            peer: peer.peer,
        }),
        PeerStage::Applying(_) => Err(Refusal::SnapshotApplying { region }),
    }
}
