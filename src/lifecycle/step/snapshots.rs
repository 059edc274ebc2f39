//! A snapshot apply: begin, end, abort. The range is reserved by the begin itself.

use std::sync::Arc;

use super::{destroying, gate};
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    AbortReason, Change, DamageReason, Effect, Floor, Outcome, Owner, PeerStage, PeerState,
    RaftPosition, Refusal, Register, SnapshotRef,
};
use crate::{Incarnation, KeyRange, Region, RegionId};

/// What a snapshot's description is held to, whether data comes with it or not.
fn check_description(
    register: &Register,
    id: RegionId,
    peer: &PeerState,
    description: &Region,
    as_witness: bool,
) -> Result<(), Refusal> {
    if description.id != id {
        return Err(Refusal::SnapshotOfOther {
            region: id,
            given: description.id,
        });
    }
    description
        .validate()
        .map_err(|fault| Refusal::InvalidDescription { region: id, fault })?;
    let Some(store) = register.store() else {
        return Err(Refusal::StoreUnidentified);
    };
    let listed = description.peer_on(store);
    let Some(listed) = listed.filter(|listed| listed.id == peer.peer) else {
        return Err(Refusal::NotListed {
            region: id,
            peer: Some(peer.peer),
            store,
        });
    };
    if listed.is_witness != as_witness {
        return Err(Refusal::WitnessMismatch {
            region: id,
            peer: peer.peer,
            is_witness: listed.is_witness,
        });
    }
    Ok(())
}

/// What the peer had; none if it had no description. The snapshot has to be newer than that.
///
/// # Errors
/// The description is older, the position is not newer, or a snapshot is being applied.
fn check_newer<'a>(
    register: &Register,
    id: RegionId,
    peer: &'a PeerState,
    description: &Region,
    given: u64,
) -> Result<Option<&'a Arc<Region>>, Refusal> {
    let (region, have, is_new) = match &peer.stage {
        PeerStage::Uninitialized => return Ok(None),
        PeerStage::Normal(normal) => {
            // The data may be further than any metadata, never less far than its floor.
            let have = normal.meta_index.index.max(normal.floor.index);
            (&normal.region, have, given > have)
        }
        // Data is what it asks for: the entry that its metadata is at will do.
        PeerStage::Witness(witness) => {
            let have = witness.meta_index.index.max(witness.floor.index);
            (&witness.region, have, given >= have)
        }
        PeerStage::Waiting(waiting) => {
            let have = waiting.meta_index.index;
            (&waiting.region, have, given >= have)
        }
        PeerStage::Damaged(damaged) => {
            let have = damaged.floor.index;
            (&damaged.region, have, given >= have)
        }
        PeerStage::Applying(_) => return Err(Refusal::SnapshotApplying { region: id }),
    };
    if description.epoch.is_stale_against(region.epoch) {
        return Err(gate::stale(register, region, description.epoch));
    }
    if !is_new {
        return Err(Refusal::StaleSnapshot {
            region: id,
            given,
            have,
        });
    }
    Ok(Some(region))
}

pub(super) fn begin(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    description: &Region,
    snapshot: SnapshotRef,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, id, Some(incarnation))?;
    check_description(register, id, peer, description, false)?;
    if let PeerStage::Applying(applying) = &peer.stage
        && applying.snapshot == snapshot
        && *applying.region == *description
    {
        return Ok(Outcome::AlreadyApplied);
    }
    let held = check_newer(register, id, peer, description, snapshot.position.index)?;
    check_range(register, id, incarnation, description)?;
    let left = held.map_or(Vec::new(), |region| {
        region.range.difference(&description.range)
    });
    let mut effects: Vec<Planned> = (0..)
        .zip(left)
        .map(|(ordinal, range)| Planned::Clear { ordinal, range })
        .collect();
    effects.extend(destroying::free_cache(register, id));
    effects.push(Planned::Known(Effect::IngestSnapshot {
        region: id,
        incarnation,
        snapshot,
    }));
    let change = Change::SnapshotBegun {
        description: description.clone(),
        snapshot,
    };
    Ok(Outcome::accept_with(change, effects))
}

/// No data comes, so there is no end to wait for; what the peer held before is cleared.
pub(super) fn install_witness(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    description: &Region,
    position: RaftPosition,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, id, Some(incarnation))?;
    check_description(register, id, peer, description, true)?;
    if let PeerStage::Witness(witness) = &peer.stage
        && *witness.region == *description
        && witness.meta_index == position
    {
        return Ok(Outcome::AlreadyApplied);
    }
    check_newer(register, id, peer, description, position.index)?;
    check_range(register, id, incarnation, description)?;
    let mut effects: Vec<Planned> = (0..)
        .zip(given_up(&peer.stage, &description.range))
        .map(|(ordinal, (range, _))| Planned::Clear { ordinal, range })
        .collect();
    effects.extend(destroying::free_cache(register, id));
    let change = Change::WitnessInstalled {
        description: description.clone(),
        position,
    };
    Ok(Outcome::accept_with(change, effects))
}

/// What has to be cleared when a peer becomes a witness of `kept`: the parts that it gives up, in
/// key order, and then the data in what stays its own. Says of each whether it stays its own.
pub(in crate::lifecycle) fn given_up(stage: &PeerStage, kept: &KeyRange) -> Vec<(KeyRange, bool)> {
    let (range, holds_data) = match stage {
        PeerStage::Uninitialized => return Vec::new(),
        PeerStage::Normal(normal) => (&normal.region.range, true),
        PeerStage::Damaged(damaged) => (&damaged.region.range, true),
        PeerStage::Applying(applying) => (&applying.region.range, true),
        PeerStage::Witness(witness) => (&witness.region.range, false),
        PeerStage::Waiting(waiting) => (&waiting.region.range, false),
    };
    let left = range.difference(kept).into_iter();
    let stays = range.intersection(kept).filter(|_| holds_data);
    left.map(|range| (range, false))
        .chain(stays.map(|range| (range, true)))
        .collect()
}

/// Nobody else may own a key of the new range: not a live region, and not a deletion under way.
fn check_range(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    description: &Region,
) -> Result<(), Refusal> {
    let own = Owner::Peer {
        region: id,
        incarnation,
    };
    let mut busy = None;
    for claim in register.ledger.overlapping(&description.range) {
        match claim.owner {
            owner if owner == own => {}
            Owner::Peer { region: with, .. } => {
                return Err(Refusal::RangeOverlap { region: id, with });
            }
            Owner::Deletion(deletion) => {
                busy.get_or_insert(deletion);
            }
        }
    }
    // What clears for a witness owns no keys, and would clear what is ingested all the same.
    match busy.or_else(|| register.deletion_in(&description.range)) {
        Some(deletion) => Err(Refusal::RangeBusy {
            region: id,
            deletion,
        }),
        None => Ok(()),
    }
}

pub(super) fn end(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
    floor: Floor,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, region, Some(incarnation))?;
    match &peer.stage {
        PeerStage::Applying(applying) => {
            let snapshot_index = applying.snapshot.position.index;
            if floor.index != snapshot_index || floor.barrier > register.barrier() {
                return Err(Refusal::FloorMismatch {
                    region,
                    index: floor.index,
                    barrier: floor.barrier,
                    snapshot_index,
                    last_barrier: register.barrier(),
                });
            }
            Ok(Outcome::accept(Change::SnapshotEnded { region, floor }))
        }
        PeerStage::Normal(normal) if floor.index <= normal.floor.index => {
            Ok(Outcome::AlreadyApplied)
        }
        PeerStage::Normal(_) | PeerStage::Witness(_) => Err(Refusal::NoSnapshot { region }),
        PeerStage::Waiting(_) => Err(Refusal::WaitingForData { region }),
        PeerStage::Uninitialized => Err(Refusal::PeerUninitialized {
            region,
            peer: peer.peer,
        }),
        PeerStage::Damaged(damaged) => match damaged.reason {
            DamageReason::SnapshotLost { reason } => {
                Err(Refusal::SnapshotAborted { region, reason })
            }
            reason @ (DamageReason::RowMissing { .. }
            | DamageReason::BelowFloor { .. }
            | DamageReason::StoreReplaced
            | DamageReason::StoreOlder { .. }
            | DamageReason::LogTruncated { .. }) => Err(Refusal::RegionDamaged { region, reason }),
        },
    }
}

pub(super) fn abort(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
    reason: AbortReason,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, region, Some(incarnation))?;
    match &peer.stage {
        PeerStage::Applying(applying) => {
            // A peer that never had data goes back to having none; what may be half in is cleared.
            let range = match applying.previous {
                None => Some(applying.region.range.clone()),
                Some(_) => None,
            };
            let clear = range.map(|range| Planned::Clear { ordinal: 0, range });
            let change = Change::SnapshotAborted { region, reason };
            Ok(Outcome::accept_with(change, clear.into_iter().collect()))
        }
        PeerStage::Damaged(damaged) => match damaged.reason {
            DamageReason::SnapshotLost { .. } => Ok(Outcome::AlreadyApplied),
            DamageReason::RowMissing { .. }
            | DamageReason::BelowFloor { .. }
            | DamageReason::StoreReplaced
            | DamageReason::StoreOlder { .. }
            | DamageReason::LogTruncated { .. } => Err(Refusal::NoSnapshot { region }),
        },
        PeerStage::Uninitialized
        | PeerStage::Normal(_)
        | PeerStage::Witness(_)
        | PeerStage::Waiting(_) => Err(Refusal::NoSnapshot { region }),
    }
}
