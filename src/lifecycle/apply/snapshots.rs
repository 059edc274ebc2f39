//! Records about a snapshot that replaces a peer's data: begin, end, abort.

use std::sync::Arc;

use torrens_journal::{Lsn, planted};

use super::peers::{bury, hand_over, owner, set_stage, withdraw_cache};
use super::{ApplyError, wrong_stage};
use crate::lifecycle::register::{Claim, LedgerFault};
use crate::lifecycle::step::given_up;
use crate::lifecycle::{
    AbortReason, Applying, DamageReason, Damaged, DeletionCause, EvictReason, Floor, MergedSource,
    Normal, Owner, PeerStage, Previous, RaftPosition, Rare, Register, Reservation, SnapshotRef,
    TombstoneCause, Waiting,
};
use crate::{Region, RegionId};

pub(super) fn begin(
    register: &mut Register,
    lsn: Lsn,
    description: &Region,
    snapshot: SnapshotRef,
    sources: &[MergedSource],
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
    if listed.is_none_or(|listed| listed.id != peer.peer || listed.is_witness) {
        let peer = peer.peer;
        return Err(ApplyError::Peer { region, peer });
    }
    let (previous, floor) = match &peer.stage {
        PeerStage::Uninitialized => (None, Floor::default()),
        PeerStage::Normal(Normal {
            region,
            meta_index,
            floor,
            ..
        })
        | PeerStage::Witness(Normal {
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
        PeerStage::Damaged(damaged) => {
            let previous = Previous {
                region: Arc::clone(&damaged.region),
                meta_index: damaged.meta_index,
            };
            (Some(previous), damaged.floor)
        }
        PeerStage::Waiting(Waiting { region, meta_index }) => {
            let previous = Previous {
                region: Arc::clone(region),
                meta_index: *meta_index,
            };
            let index = meta_index.index;
            (Some(previous), Floor { index, barrier: 0 })
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
    take_over(register, lsn, description, sources, false, KIND)?;
    let applying = Applying {
        region: Arc::new(description.clone()),
        snapshot,
        previous,
        begun: lsn,
    };
    set_stage(register, region, PeerStage::Applying(Box::new(applying)));
    if !planted!("snapshot-leaves-the-cache") {
        withdraw_cache(register, region, EvictReason::Snapshot);
    }
    Ok(())
}

/// The keys of the description become the peer's, whoever of it and of the sources had them; what
/// they give up is to be cleared, and the sources end.
fn take_over(
    register: &mut Register,
    lsn: Lsn,
    description: &Region,
    sources: &[MergedSource],
    as_witness: bool,
    kind: &'static str,
) -> Result<(), ApplyError> {
    let region = description.id;
    let Some(peer) = register.peer(region) else {
        return Err(wrong_stage(register, region, kind));
    };
    let incarnation = peer.incarnation;
    let claim = |region, incarnation, stage: &PeerStage| {
        stage.region().map(|description| Claim {
            range: description.range.clone(),
            owner: owner(region, incarnation),
        })
    };
    let mut released: Vec<Claim> = claim(region, incarnation, &peer.stage)
        .into_iter()
        .collect();
    let mut buried = Vec::with_capacity(sources.len());
    for (position, source) in sources.iter().enumerate() {
        let MergedSource {
            region: id,
            peer,
            incarnation,
        } = *source;
        let mut earlier = sources.iter().take(position);
        let live = register
            .peer(id)
            .filter(|live| live.peer == peer && live.incarnation == incarnation && id != region);
        let is_twice = earlier.any(|earlier| earlier.region == id);
        let (Some(live), false) = (live, is_twice) else {
            return Err(wrong_stage(register, id, kind));
        };
        if let PeerStage::Applying(_) | PeerStage::Uninitialized = live.stage {
            return Err(wrong_stage(register, id, kind));
        }
        released.extend(claim(id, incarnation, &live.stage));
        let cause = TombstoneCause::Merged { target: region };
        buried.push((id, (peer, live.stage.epoch(), cause)));
    }
    let left = given_up(
        register,
        (region, peer),
        &description.range,
        sources,
        as_witness,
    );
    let taken = Claim {
        range: description.range.clone(),
        owner: owner(region, incarnation),
    };
    // Data must not come over keys that are still to be cleared, whoever owns them.
    let busy = register.deletion_in(&description.range);
    if let Some(deletion) = busy.filter(|_| !as_witness) {
        return Err(ApplyError::Deletion { deletion });
    }
    released.extend(
        register
            .reservation(region)
            .map_or(Vec::new(), Reservation::claims),
    );
    hand_over(register, lsn, released, Some(taken), left)?;
    // Its keys are the peer's now.
    register.reservations.remove(region);
    for (source, tombstone) in buried {
        bury(register, source, tombstone, EvictReason::Merge);
    }
    Ok(())
}

pub(super) fn reserve(
    register: &mut Register,
    lsn: Lsn,
    description: &Region,
    position: RaftPosition,
    sources: &[RegionId],
) -> Result<(), ApplyError> {
    const KIND: &str = "snapshot.reserve";
    let region = description.id;
    let Some(incarnation) = register.incarnation(region) else {
        return Err(wrong_stage(register, region, KIND));
    };
    description
        .validate()
        .map_err(|source| ApplyError::Description { region, source })?;
    let own = Owner::Reservation {
        region,
        incarnation,
    };
    // What belongs to anybody but the peer and the sources could not have been reserved.
    for claim in register.ledger.overlapping(&description.range) {
        let may = match claim.owner {
            owner if owner == own => true,
            Owner::Peer { region: with, .. } => with == region || sources.contains(&with),
            Owner::Deletion(_) | Owner::Reservation { .. } => false,
        };
        if !may {
            let (range, by) = (description.range.clone(), claim.owner);
            return Err(ApplyError::Ledger(LedgerFault::Occupied { range, by }));
        }
    }
    let reservation = Reservation {
        incarnation,
        description: Arc::new(description.clone()),
        position,
        sources: sources.to_vec(),
        parts: register.free_parts(&description.range, own),
        reserved: lsn,
    };
    let earlier = register
        .reservation(region)
        .map_or(Vec::new(), Reservation::claims);
    register
        .ledger
        .exchange(&earlier, &reservation.claims())
        .map_err(ApplyError::Ledger)?;
    register.reservations.insert(region, reservation);
    Ok(())
}

pub(super) fn release(register: &mut Register, region: RegionId) -> Result<(), ApplyError> {
    if register.reservation(region).is_none() {
        return Err(wrong_stage(register, region, "snapshot.release"));
    }
    register.drop_reservation(region);
    Ok(())
}

/// A witness has its description at once.
pub(super) fn install_witness(
    register: &mut Register,
    lsn: Lsn,
    description: &Region,
    position: RaftPosition,
    sources: &[MergedSource],
) -> Result<(), ApplyError> {
    const KIND: &str = "snapshot.witness";
    let region = description.id;
    let Some(peer) = register.peer(region) else {
        return Err(wrong_stage(register, region, KIND));
    };
    description
        .validate()
        .map_err(|source| ApplyError::Description { region, source })?;
    let listed = register.store.and_then(|store| description.peer_on(store));
    if listed.is_none_or(|listed| listed.id != peer.peer || !listed.is_witness) {
        let peer = peer.peer;
        return Err(ApplyError::Peer { region, peer });
    }
    let (floor, have) = match &peer.stage {
        PeerStage::Uninitialized => (Floor::default(), 0),
        PeerStage::Waiting(waiting) => (Floor::default(), waiting.meta_index.index),
        PeerStage::Normal(normal) | PeerStage::Witness(normal) => {
            (normal.floor, normal.meta_index.index)
        }
        PeerStage::Damaged(damaged) => (damaged.floor, damaged.floor.index),
        PeerStage::Applying(_) => return Err(wrong_stage(register, region, KIND)),
    };
    let old = peer.stage.region();
    if old.is_some_and(|old| description.epoch.is_stale_against(old.epoch))
        || position.index < have.max(floor.index)
    {
        return Err(ApplyError::Backwards {
            what: "the epoch of a region",
        });
    }
    take_over(register, lsn, description, sources, true, KIND)?;
    let witness = Normal {
        region: Arc::new(description.clone()),
        meta_index: position,
        floor: Floor {
            index: position.index,
            ..floor
        },
        mode: Rare::default(),
    };
    set_stage(register, region, PeerStage::Witness(witness));
    withdraw_cache(register, region, EvictReason::Witness);
    Ok(())
}

pub(super) fn end(
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
        mode: Rare::default(),
    };
    set_stage(register, region, PeerStage::Normal(normal));
    Ok(())
}

pub(super) fn abort(
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
            merging: None,
        };
        set_stage(register, region, PeerStage::Damaged(Box::new(damaged)));
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

fn applying(
    register: &Register,
    region: RegionId,
    kind: &'static str,
) -> Result<Applying, ApplyError> {
    match register.peer(region).map(|peer| &peer.stage) {
        Some(PeerStage::Applying(applying)) => Ok(Applying::clone(applying)),
        Some(
            PeerStage::Uninitialized
            | PeerStage::Normal(_)
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Damaged(_),
        )
        | None => Err(wrong_stage(register, region, kind)),
    }
}
