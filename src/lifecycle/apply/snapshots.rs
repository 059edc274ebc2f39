//! Records about a snapshot that replaces a peer's data: begin, end, abort.

use std::sync::Arc;

use torrens_journal::Lsn;

use super::peers::{hand_over, owner, set_stage, withdraw_cache};
use super::{ApplyError, wrong_stage};
use crate::lifecycle::register::Claim;
use crate::lifecycle::step::given_up;
use crate::lifecycle::{
    AbortReason, Applying, DamageReason, Damaged, DeletionCause, EvictReason, Floor, Mode, Normal,
    PeerStage, Previous, RaftPosition, Register, SnapshotRef, Waiting,
};
use crate::{Region, RegionId};

pub(super) fn begin(
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

/// A witness has its description at once.
pub(super) fn install_witness(
    register: &mut Register,
    lsn: Lsn,
    description: &Region,
    position: RaftPosition,
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
    let incarnation = peer.incarnation;
    let owner = owner(region, incarnation);
    let released = old.map(|old| Claim {
        range: old.range.clone(),
        owner,
    });
    let taken = Claim {
        range: description.range.clone(),
        owner,
    };
    let left = given_up(&peer.stage, &description.range)
        .into_iter()
        .map(|(range, stays)| {
            let cause = match stays {
                true => DeletionCause::Witness {
                    region,
                    incarnation,
                },
                false => DeletionCause::SnapshotShrank {
                    region,
                    incarnation,
                },
            };
            (range, cause)
        });
    hand_over(register, lsn, released, Some(taken), left)?;
    let witness = Normal {
        region: Arc::new(description.clone()),
        meta_index: position,
        floor: Floor {
            index: position.index,
            ..floor
        },
        mode: Mode::Serving,
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
        mode: Mode::Serving,
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

fn applying(
    register: &Register,
    region: RegionId,
    kind: &'static str,
) -> Result<Applying, ApplyError> {
    match register.peer(region).map(|peer| &peer.stage) {
        Some(PeerStage::Applying(applying)) => Ok(applying.clone()),
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
