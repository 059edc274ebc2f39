//! Records about one peer: created, replaced by a snapshot, damaged, gone, its keys cleared.

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens_journal::Lsn;

use super::{ApplyError, wrong_stage};
use crate::lifecycle::register::Claim;
use crate::lifecycle::step::later;
use crate::lifecycle::{
    AbortReason, Applying, DamageReason, Damaged, DeletionCause, DeletionId, DestroyCause,
    EvictReason, Floor, FloorUpdate, Normal, Owner, PeerStage, PeerState, PendingDeletion,
    Previous, RaftPosition, Register, SnapshotRef, Tombstone, TombstoneCause,
};
use crate::{Incarnation, KeyRange, PeerId, Region, RegionEpoch, RegionId};

pub(super) fn create(
    register: &mut Register,
    lsn: Lsn,
    region: RegionId,
    peer: PeerId,
) -> Result<(), ApplyError> {
    if register.store.is_none() {
        return Err(ApplyError::Store { store: None });
    }
    if register.peer(region).is_some() {
        return Err(wrong_stage(register, region, "peer.create"));
    }
    check_fence(register, region, peer)?;
    if region.0 == 0 {
        return Err(ApplyError::Peer { region, peer });
    }
    register.slots.entry(region).or_default().peer = Some(PeerState {
        peer,
        incarnation: Incarnation::new(lsn),
        predecessor: None,
        stage: PeerStage::Uninitialized,
    });
    Ok(())
}

/// A peer must be above its region's tombstone.
pub(super) fn check_fence(
    register: &Register,
    region: RegionId,
    peer: PeerId,
) -> Result<(), ApplyError> {
    let fence = register.tombstone(region);
    if peer.0 == 0 || fence.is_some_and(|fence| fence.highest_peer >= peer) {
        return Err(ApplyError::Peer { region, peer });
    }
    Ok(())
}

pub(super) fn owner(region: RegionId, incarnation: Incarnation) -> Owner {
    Owner::Peer {
        region,
        incarnation,
    }
}

pub(super) fn begin_snapshot(
    register: &mut Register,
    lsn: Lsn,
    description: &Region,
    snapshot: SnapshotRef,
) -> Result<(), ApplyError> {
    const KIND: &str = "snapshot.begin";
    let region = description.id;
    let Some(peer) = register.peer(region) else {
        return Err(wrong_stage(register, region, KIND));
    };
    description
        .validate()
        .map_err(|source| ApplyError::Description { region, source })?;
    let listed = register.store.and_then(|store| description.peer_on(store));
    if listed.is_none_or(|listed| listed.id != peer.peer) {
        let peer = peer.peer;
        return Err(ApplyError::Peer { region, peer });
    }
    let (previous, floor) = match &peer.stage {
        PeerStage::Uninitialized => (None, Floor::default()),
        PeerStage::Normal(Normal {
            region,
            meta_index,
            floor,
        })
        | PeerStage::Damaged(Damaged {
            region,
            meta_index,
            floor,
            ..
        }) => {
            let previous = Previous {
                region: Arc::clone(region),
                meta_index: *meta_index,
            };
            (Some(previous), *floor)
        }
        PeerStage::Applying(_) => return Err(wrong_stage(register, region, KIND)),
    };
    let old = previous.as_ref().map(|previous| &previous.region);
    if old.is_some_and(|old| description.epoch.is_stale_against(old.epoch)) {
        return Err(ApplyError::Backwards {
            what: "the epoch of a region",
        });
    }
    if snapshot.position.index < floor.index {
        return Err(ApplyError::Backwards {
            what: "the floor of a region",
        });
    }
    let incarnation = peer.incarnation;
    let owner = owner(region, incarnation);
    let old_range = old.map(|old| old.range.clone());
    let left = old_range
        .as_ref()
        .map_or(Vec::new(), |old| old.difference(&description.range));
    let cause = DeletionCause::SnapshotShrank {
        region,
        incarnation,
    };
    let taken = Claim {
        range: description.range.clone(),
        owner,
    };
    let released = old_range.map(|range| Claim { range, owner });
    let left = left.into_iter().map(|range| (range, cause));
    hand_over(register, lsn, released, Some(taken), left)?;
    let applying = Applying {
        region: Arc::new(description.clone()),
        snapshot,
        previous,
        begun: lsn,
    };
    set_stage(register, region, PeerStage::Applying(applying));
    withdraw_cache(register, region, EvictReason::Snapshot);
    Ok(())
}

pub(super) fn end_snapshot(
    register: &mut Register,
    region: RegionId,
    floor: Floor,
) -> Result<(), ApplyError> {
    const KIND: &str = "snapshot.end";
    let applying = applying(register, region, KIND)?;
    if floor.index != applying.snapshot.position.index || floor.barrier > register.barrier {
        return Err(ApplyError::Backwards {
            what: "the floor of a region",
        });
    }
    let normal = Normal {
        region: applying.region,
        meta_index: applying.snapshot.position,
        floor,
    };
    set_stage(register, region, PeerStage::Normal(normal));
    Ok(())
}

pub(super) fn abort_snapshot(
    register: &mut Register,
    lsn: Lsn,
    region: RegionId,
    reason: AbortReason,
) -> Result<(), ApplyError> {
    const KIND: &str = "snapshot.abort";
    let applying = applying(register, region, KIND)?;
    if applying.previous.is_some() {
        let position = applying.snapshot.position;
        let damaged = Damaged {
            region: applying.region,
            meta_index: position,
            // What is needed to heal it: the log below the snapshot is gone.
            floor: Floor {
                index: position.index,
                barrier: register.barrier,
            },
            reason: DamageReason::SnapshotLost { reason },
        };
        set_stage(register, region, PeerStage::Damaged(damaged));
        return Ok(());
    }
    let Some(incarnation) = register.incarnation(region) else {
        return Err(wrong_stage(register, region, KIND));
    };
    let cause = DeletionCause::SnapshotAborted {
        region,
        incarnation,
    };
    let range = applying.region.range.clone();
    let released = Claim {
        range: range.clone(),
        owner: owner(region, incarnation),
    };
    hand_over(register, lsn, Some(released), None, [(range, cause)])?;
    set_stage(register, region, PeerStage::Uninitialized);
    Ok(())
}

pub(super) fn damage(
    register: &mut Register,
    region: RegionId,
    reason: DamageReason,
) -> Result<(), ApplyError> {
    let peer = register.peer(region);
    let damaged = match peer.map(|peer| &peer.stage) {
        Some(PeerStage::Normal(normal)) => Damaged {
            region: Arc::clone(&normal.region),
            meta_index: normal.meta_index,
            floor: normal.floor,
            reason,
        },
        Some(PeerStage::Uninitialized | PeerStage::Applying(_) | PeerStage::Damaged(_)) | None => {
            return Err(wrong_stage(register, region, "peer.damage"));
        }
    };
    set_stage(register, region, PeerStage::Damaged(damaged));
    withdraw_cache(register, region, EvictReason::Damaged);
    Ok(())
}

pub(super) fn destroy(
    register: &mut Register,
    lsn: Lsn,
    region: RegionId,
    peer: PeerId,
    epoch: RegionEpoch,
    cause: DestroyCause,
) -> Result<(), ApplyError> {
    let cause = TombstoneCause::Destroyed(cause);
    retire(
        register,
        lsn,
        region,
        "peer.destroy-begin",
        (peer, epoch, cause),
    )
}

pub(super) fn remove_own(
    register: &mut Register,
    lsn: Lsn,
    region: RegionId,
    position: RaftPosition,
    conf_ver: u64,
    peer: PeerId,
) -> Result<(), ApplyError> {
    const KIND: &str = "region.remove-self";
    let stage = register.peer(region).map(|peer| &peer.stage);
    let Some(PeerStage::Normal(normal)) = stage else {
        return Err(wrong_stage(register, region, KIND));
    };
    let current = normal.region.epoch;
    if position.index <= normal.meta_index.index || conf_ver <= current.conf_ver {
        return Err(ApplyError::Backwards {
            what: "the epoch of a region",
        });
    }
    let epoch = RegionEpoch {
        conf_ver,
        ..current
    };
    let epoch = register
        .tombstone(region)
        .map_or(epoch, |earlier| later(earlier.epoch, epoch));
    retire(
        register,
        lsn,
        region,
        KIND,
        (peer, epoch, TombstoneCause::PeersChanged),
    )
}

/// The peer goes: a tombstone, and a pending deletion of what it owned.
fn retire(
    register: &mut Register,
    lsn: Lsn,
    region: RegionId,
    kind: &'static str,
    (peer, epoch, cause): (PeerId, RegionEpoch, TombstoneCause),
) -> Result<(), ApplyError> {
    let Some(live) = register.peer(region) else {
        return Err(wrong_stage(register, region, kind));
    };
    if live.peer != peer {
        return Err(ApplyError::Peer { region, peer });
    }
    let incarnation = live.incarnation;
    if let Some(range) = live.stage.region().map(|region| region.range.clone()) {
        let released = Claim {
            range: range.clone(),
            owner: owner(region, incarnation),
        };
        let left = DeletionCause::Destroyed {
            region,
            incarnation,
        };
        hand_over(register, lsn, Some(released), None, [(range, left)])?;
    }
    withdraw_cache(register, region, EvictReason::Destroyed);
    if let Some(slot) = super::slot(register, region) {
        slot.peer = None;
        slot.tombstone = Some(Tombstone {
            highest_peer: peer,
            epoch,
            cause,
        });
    }
    Ok(())
}

pub(super) fn finish_deletion(
    register: &mut Register,
    region: RegionId,
    deletion: DeletionId,
) -> Result<(), ApplyError> {
    let pending = register.deletions.get(&deletion);
    let Some(pending) = pending.filter(|pending| pending.cause.region() == region) else {
        return Err(ApplyError::Deletion { deletion });
    };
    let released = Claim {
        range: pending.range.clone(),
        owner: Owner::Deletion(deletion),
    };
    register
        .ledger
        .exchange(&[released], &[])
        .map_err(ApplyError::Ledger)?;
    register.deletions.remove(&deletion);
    Ok(())
}

pub(super) fn barrier(
    register: &mut Register,
    number: u64,
    floors: &[FloorUpdate],
) -> Result<(), ApplyError> {
    if number <= register.barrier {
        return Err(ApplyError::Backwards {
            what: "the number of barriers",
        });
    }
    let mut raised = BTreeMap::new();
    for floor in floors {
        let Some(normal) = register.normal(floor.region, floor.incarnation) else {
            return Err(wrong_stage(register, floor.region, "store.barrier"));
        };
        let is_first = raised.insert(floor.region, floor.index).is_none();
        if floor.index <= normal.floor.index || !is_first {
            return Err(ApplyError::Backwards {
                what: "the floor of a region",
            });
        }
    }
    for (region, index) in raised {
        let slot = super::slot(register, region);
        if let Some(PeerStage::Normal(normal)) = slot
            .and_then(|slot| slot.peer.as_mut())
            .map(|peer| &mut peer.stage)
        {
            normal.floor = Floor {
                index,
                barrier: number,
            };
        }
    }
    register.barrier = number;
    Ok(())
}

/// Ranges change hands: some are given up, one may be taken, and the rest becomes pending deletions
/// of this record, in key order.
pub(super) fn hand_over(
    register: &mut Register,
    lsn: Lsn,
    released: impl IntoIterator<Item = Claim>,
    taken: impl IntoIterator<Item = Claim>,
    left: impl IntoIterator<Item = (KeyRange, DeletionCause)>,
) -> Result<(), ApplyError> {
    let released: Vec<Claim> = released.into_iter().collect();
    let mut taken: Vec<Claim> = taken.into_iter().collect();
    let mut pending = Vec::new();
    for (ordinal, (range, cause)) in (0..).zip(left) {
        let id = DeletionId { lsn, ordinal };
        taken.push(Claim {
            range: range.clone(),
            owner: Owner::Deletion(id),
        });
        pending.push((id, PendingDeletion { range, cause }));
    }
    register
        .ledger
        .exchange(&released, &taken)
        .map_err(ApplyError::Ledger)?;
    register.deletions.extend(pending);
    Ok(())
}

fn applying(
    register: &Register,
    region: RegionId,
    kind: &'static str,
) -> Result<Applying, ApplyError> {
    match register.peer(region).map(|peer| &peer.stage) {
        Some(PeerStage::Applying(applying)) => Ok(applying.clone()),
        Some(PeerStage::Uninitialized | PeerStage::Normal(_) | PeerStage::Damaged(_)) | None => {
            Err(wrong_stage(register, region, kind))
        }
    }
}

pub(super) fn set_stage(register: &mut Register, region: RegionId, stage: PeerStage) {
    if let Some(peer) = super::slot(register, region).and_then(|slot| slot.peer.as_mut()) {
        peer.stage = stage;
    }
}

fn withdraw_cache(register: &mut Register, region: RegionId, reason: EvictReason) {
    if let Some(slot) = super::slot(register, region) {
        slot.cache = slot.cache.withdrawn(reason);
    }
}
