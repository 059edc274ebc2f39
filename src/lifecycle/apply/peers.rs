//! Records about one peer: created, damaged, gone, its keys cleared; and barriers, which raise floors.

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens_journal::Lsn;

use super::regions::at_rest;
use super::{ApplyError, wrong_stage};
use crate::lifecycle::register::Claim;
use crate::lifecycle::step::later;
use crate::lifecycle::{
    CacheEntry, DamageReason, Damaged, DeletionCause, DeletionId, DestroyCause, EvictReason, Floor,
    FloorUpdate, Normal, Owner, PeerStage, PeerState, PendingDeletion, RaftPosition, Rare,
    Register, Tombstone, TombstoneCause,
};
use crate::{Incarnation, KeyRange, PeerId, RegionEpoch, RegionId};

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
    register.slot_or_new(region).peer = Some(PeerState {
        peer,
        incarnation: Incarnation::new(lsn),
        predecessor: Rare::default(),
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
            merging: peer.and_then(|peer| peer.stage.merging()),
        },
        Some(
            PeerStage::Uninitialized
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_),
        )
        | None => return Err(wrong_stage(register, region, "peer.damage")),
    };
    set_stage(register, region, PeerStage::Damaged(Box::new(damaged)));
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
    let normal = at_rest(register, region, KIND)?;
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
    bury(
        register,
        region,
        (peer, epoch, cause),
        EvictReason::Destroyed,
    );
    Ok(())
}

/// The peer is gone, and its tombstone stands. Its keys are somebody else's affair.
pub(super) fn bury(
    register: &mut Register,
    region: RegionId,
    (peer, epoch, cause): (PeerId, RegionEpoch, TombstoneCause),
    reason: EvictReason,
) {
    withdraw_cache(register, region, reason);
    register.drop_reservation(region);
    if let Some(slot) = super::slot(register, region) {
        let earlier = slot
            .tombstone
            .as_ref()
            .map_or(RegionEpoch::NONE, |fence| fence.epoch);
        slot.peer = None;
        slot.tombstone = Some(Box::new(Tombstone {
            highest_peer: peer,
            epoch: later(earlier, epoch),
            cause,
        }));
    }
}

pub(super) fn place_tombstone(
    register: &mut Register,
    region: RegionId,
    peer: PeerId,
    epoch: RegionEpoch,
) -> Result<(), ApplyError> {
    const KIND: &str = "peer.tombstone";
    if register.store.is_none() {
        return Err(ApplyError::Store { store: None });
    }
    if register.peer(region).is_some() {
        return Err(wrong_stage(register, region, KIND));
    }
    check_fence(register, region, peer)?;
    if region.0 == 0 {
        return Err(ApplyError::Peer { region, peer });
    }
    register.slot_or_new(region);
    let cause = TombstoneCause::Destroyed(DestroyCause::Operator);
    bury(
        register,
        region,
        (peer, epoch, cause),
        EvictReason::Destroyed,
    );
    Ok(())
}

pub(super) fn collect_tombstone(
    register: &mut Register,
    region: RegionId,
    highest_peer: PeerId,
) -> Result<(), ApplyError> {
    let slot = register.slot(region);
    let is_all = slot.is_some_and(|slot| {
        let fence = slot.tombstone.as_ref().map(|fence| fence.highest_peer);
        slot.peer.is_none() && *slot.cache == CacheEntry::Absent && fence == Some(highest_peer)
    });
    if !is_all {
        return Err(wrong_stage(register, region, "peer.collect"));
    }
    register.remove_slot(region);
    Ok(())
}

pub(super) fn finish_deletion(
    register: &mut Register,
    region: RegionId,
    deletion: DeletionId,
) -> Result<(), ApplyError> {
    let pending = register.deletions.get(deletion);
    let Some(pending) = pending.filter(|pending| pending.cause.region() == region) else {
        return Err(ApplyError::Deletion { deletion });
    };
    let released = Claim {
        range: pending.range.clone(),
        owner: Owner::Deletion(deletion),
    };
    if pending.cause.owns_range() {
        register
            .ledger
            .exchange(&[released], &[])
            .map_err(ApplyError::Ledger)?;
    }
    register.deletions.remove(deletion);
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
        if cause.owns_range() {
            taken.push(Claim {
                range: range.clone(),
                owner: Owner::Deletion(id),
            });
        }
        pending.push((id, PendingDeletion { range, cause }));
    }
    register
        .ledger
        .exchange(&released, &taken)
        .map_err(ApplyError::Ledger)?;
    register.deletions.extend(pending);
    Ok(())
}

pub(super) fn set_stage(register: &mut Register, region: RegionId, stage: PeerStage) {
    if let Some(peer) = super::slot(register, region).and_then(|slot| slot.peer.as_mut()) {
        peer.stage = stage;
    }
}

/// As [`set_stage`], of a peer that follows its region, as a witness or with data.
pub(super) fn set_following(register: &mut Register, region: RegionId, normal: Normal) {
    if let Some(peer) = super::slot(register, region).and_then(|slot| slot.peer.as_mut()) {
        peer.stage = PeerStage::following(normal, peer.peer);
    }
}

pub(super) fn withdraw_cache(register: &mut Register, region: RegionId, reason: EvictReason) {
    if let Some(slot) = super::slot(register, region) {
        slot.cache = slot.cache.withdrawn(reason).into();
    }
}
