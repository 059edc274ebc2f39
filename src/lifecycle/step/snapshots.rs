//! A snapshot apply: begin, end, abort. The range is reserved by the begin itself.

use super::{destroying, gate};
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    AbortReason, Change, DamageReason, Effect, Floor, Outcome, Owner, PeerStage, Refusal, Register,
    SnapshotRef,
};
use crate::{Incarnation, Region, RegionId};

pub(super) fn begin(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    description: &Region,
    snapshot: SnapshotRef,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, id, Some(incarnation))?;
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
    if listed.is_none_or(|listed| listed.id != peer.peer) {
        return Err(Refusal::NotListed {
            region: id,
            peer: Some(peer.peer),
            store,
        });
    }
    let given = snapshot.position.index;
    let held = match &peer.stage {
        PeerStage::Uninitialized => None,
        PeerStage::Normal(normal) => {
            // The data may be further than any metadata, never less far than its floor.
            let have = normal.meta_index.index.max(normal.floor.index);
            Some((&normal.region, have, given > have))
        }
        PeerStage::Damaged(damaged) => {
            let have = damaged.floor.index;
            Some((&damaged.region, have, given >= have))
        }
        PeerStage::Applying(applying)
            if applying.snapshot == snapshot && *applying.region == *description =>
        {
            return Ok(Outcome::AlreadyApplied);
        }
        PeerStage::Applying(_) => return Err(Refusal::SnapshotApplying { region: id }),
    };
    if let Some((region, have, is_new)) = held {
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
    }
    check_range(register, id, incarnation, description)?;
    let left = held.map_or(Vec::new(), |(region, _, _)| {
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
    match busy {
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
        PeerStage::Normal(_) => Err(Refusal::NoSnapshot { region }),
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
        PeerStage::Uninitialized | PeerStage::Normal(_) => Err(Refusal::NoSnapshot { region }),
    }
}
