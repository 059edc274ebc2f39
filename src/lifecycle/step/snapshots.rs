//! A snapshot apply: begin, end, abort. The range is reserved by the begin itself.

use super::{destroying, gate};
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    AbortReason, Change, DamageReason, DeletionCause, Effect, Floor, MergedSource, Mode, Outcome,
    Owner, PeerStage, PeerState, RaftPosition, Refusal, Register, SnapshotRef,
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

/// The snapshot has to be newer than what the peer has.
///
/// # Errors
/// The description is older, the position is not newer, or a snapshot is being applied.
fn check_newer(
    register: &Register,
    id: RegionId,
    peer: &PeerState,
    description: &Region,
    given: u64,
) -> Result<(), Refusal> {
    let (region, have, is_new) = match &peer.stage {
        PeerStage::Uninitialized => return Ok(()),
        PeerStage::Normal(normal) if *normal.mode == Mode::Unconfirmed => {
            return Err(Refusal::BootstrapUnconfirmed { region: id });
        }
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
    Ok(())
}

pub(super) fn begin(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    (description, known): (&Region, &[RegionId]),
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
    check_newer(register, id, peer, description, snapshot.position.index)?;
    let sources = check_range(register, id, incarnation, description, known)?;
    let mut effects = replaced(register, id, peer, description, &sources, false);
    effects.push(Planned::Known(Effect::IngestSnapshot {
        region: id,
        incarnation,
        snapshot,
    }));
    let description = description.clone();
    let change = match sources.is_empty() {
        true => Change::SnapshotBegun {
            description,
            snapshot,
        },
        false => Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        },
    };
    Ok(Outcome::accept_with(change, effects))
}

/// The same look as at the begin, taken before Raft has the snapshot. A newer one of the peer takes the
/// place of an earlier one.
pub(super) fn reserve(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    (description, known): (&Region, &[RegionId]),
    position: RaftPosition,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, id, Some(incarnation))?;
    let listed = register
        .store()
        .and_then(|store| description.peer_on(store));
    let as_witness = listed.is_some_and(|listed| listed.is_witness);
    check_description(register, id, peer, description, as_witness)?;
    check_newer(register, id, peer, description, position.index)?;
    let sources = check_range(register, id, incarnation, description, known)?;
    let sources: Vec<RegionId> = sources.iter().map(|source| source.region).collect();
    if let Some(reserved) = register.reservation(id)
        && *reserved.description == *description
        && reserved.position == position
        && reserved.sources == sources
    {
        return Ok(Outcome::AlreadyApplied);
    }
    Ok(Outcome::accept(Change::SnapshotReserved {
        description: description.clone(),
        position,
        sources,
    }))
}

pub(super) fn release(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
) -> Result<Outcome, Refusal> {
    gate::live(register, region, Some(incarnation))?;
    Ok(match register.reservation(region) {
        Some(_) => Outcome::accept(Change::SnapshotReleased { region }),
        None => Outcome::AlreadyApplied,
    })
}

/// No data comes, so there is no end to wait for; what the peer held before is cleared.
pub(super) fn install_witness(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    (description, known): (&Region, &[RegionId]),
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
    let sources = check_range(register, id, incarnation, description, known)?;
    let effects = replaced(register, id, peer, description, &sources, true);
    let change = Change::WitnessInstalled {
        description: description.clone(),
        position,
        sources,
    };
    Ok(Outcome::accept_with(change, effects))
}

/// What follows whatever a snapshot brings: the keys that are given up are cleared, and caches freed.
fn replaced(
    register: &Register,
    id: RegionId,
    peer: &PeerState,
    description: &Region,
    sources: &[MergedSource],
    as_witness: bool,
) -> Vec<Planned> {
    let left = given_up(
        register,
        (id, peer),
        &description.range,
        sources,
        as_witness,
    );
    let mut effects: Vec<Planned> = (0..)
        .zip(left)
        .map(|(ordinal, (range, _))| Planned::Clear { ordinal, range })
        .collect();
    let gone = sources.iter().map(|source| source.region);
    let freed = gone.chain([id]);
    effects.extend(freed.filter_map(|region| destroying::free_cache(register, region)));
    effects
}

/// The keys that a snapshot of `kept` leaves to be cleared, and why, in key order: what the peer and
/// the sources had outside of it; and, for a witness, the data that they had inside.
pub(in crate::lifecycle) fn given_up(
    register: &Register,
    (region, peer): (RegionId, &PeerState),
    kept: &KeyRange,
    sources: &[MergedSource],
    as_witness: bool,
) -> Vec<(KeyRange, DeletionCause)> {
    let incarnation = peer.incarnation;
    let own = DeletionCause::SnapshotShrank {
        region,
        incarnation,
    };
    let mut tenants = vec![(peer, own)];
    for source in sources {
        let cause = DeletionCause::Destroyed {
            region: source.region,
            incarnation: source.incarnation,
        };
        tenants.extend(register.peer(source.region).map(|peer| (peer, cause)));
    }
    let mut left = Vec::new();
    for (peer, cause) in tenants {
        let Some(range) = peer.stage.region().map(|region| &region.range) else {
            continue;
        };
        let outside = range.difference(kept).into_iter();
        left.extend(outside.map(|range| (range, cause)));
        let held = match &peer.stage {
            PeerStage::Normal(_) | PeerStage::Applying(_) | PeerStage::Damaged(_) => as_witness,
            PeerStage::Uninitialized | PeerStage::Witness(_) | PeerStage::Waiting(_) => false,
        };
        let inside = range.intersection(kept).filter(|_| held);
        let on_behalf = DeletionCause::Witness {
            region,
            incarnation,
        };
        left.extend(inside.map(|range| (range, on_behalf)));
    }
    left.sort_unstable_by(|(a, _), (b, _)| a.start().cmp(b.start()));
    left
}

/// The regions that end with the snapshot. Nobody else may own a key of the new range: not a live
/// region, and not a deletion under way.
///
/// A region may end with it if it was merged into this one: it prepared that itself, or the caller
/// knows (a peer that is behind has not heard of it). Either way the snapshot must be of a version
/// that only the merge can have led to.
fn check_range(
    register: &Register,
    id: RegionId,
    incarnation: Incarnation,
    description: &Region,
    known: &[RegionId],
) -> Result<Vec<MergedSource>, Refusal> {
    let own = Owner::Peer {
        region: id,
        incarnation,
    };
    let version = description.epoch.version;
    let mut busy = None;
    let mut sources = Vec::new();
    for claim in register.ledger.overlapping(&description.range) {
        match claim.owner {
            owner if owner == own => {}
            Owner::Peer {
                region: with,
                incarnation,
            } => {
                let overlap = Refusal::RangeOverlap { region: id, with };
                let Some(peer) = register.peer(with) else {
                    return Err(overlap);
                };
                let merging = peer.stage.merging();
                let prepared =
                    merging.is_some_and(|m| m.target == id && m.target_epoch.version < version);
                let reserved = register.reservation(id);
                let vouched = (known.contains(&with)
                    || reserved.is_some_and(|reserved| reserved.sources.contains(&with)))
                    && peer.stage.epoch().version < version;
                let is_applying = matches!(peer.stage, PeerStage::Applying(_));
                if is_applying || !(prepared || vouched) {
                    return Err(overlap);
                }
                sources.push(MergedSource {
                    region: with,
                    peer: peer.peer,
                    incarnation,
                });
            }
            Owner::Deletion(deletion) => {
                busy.get_or_insert(deletion);
            }
            Owner::Reservation { region: by, .. } if by == id => {}
            Owner::Reservation { region: by, .. } => {
                return Err(Refusal::RangeReserved { region: id, by });
            }
        }
    }
    // What clears for a witness owns no keys, and would clear what is ingested all the same.
    match busy.or_else(|| register.deletion_in(&description.range)) {
        Some(deletion) => Err(Refusal::RangeBusy {
            region: id,
            deletion,
        }),
        None => Ok(sources),
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
            | DamageReason::LogTruncated { .. }
            | DamageReason::MergeSourceLost { .. }) => {
                Err(Refusal::RegionDamaged { region, reason })
            }
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
            | DamageReason::LogTruncated { .. }
            | DamageReason::MergeSourceLost { .. } => Err(Refusal::NoSnapshot { region }),
        },
        PeerStage::Uninitialized
        | PeerStage::Normal(_)
        | PeerStage::Witness(_)
        | PeerStage::Waiting(_) => Err(Refusal::NoSnapshot { region }),
    }
}
