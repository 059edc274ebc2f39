//! Records about a region as a whole: bootstrap, recovery by order, split.

use std::sync::Arc;

use torrens_journal::{Lsn, planted};

use super::peers::{check_fence, hand_over, owner, set_following};
use super::{ApplyError, slot, wrong_stage};
use crate::lifecycle::register::Claim;
use crate::lifecycle::step::{SplitPlan, split_parts};
use crate::lifecycle::{
    CacheEntry, ChildFate, DeletionCause, Derive, EvictReason, Floor, INITIAL_INDEX,
    INITIAL_POSITION, Mode, Normal, PeerStage, PeerState, RaftPosition, Rare, Register, SplitChild,
};
use crate::{Incarnation, Key, PeerId, Region, RegionId, StoreId};

pub(super) fn identify(register: &mut Register, store: StoreId) -> Result<(), ApplyError> {
    if register.store.is_some() || store.0 == 0 {
        return Err(ApplyError::Store {
            store: register.store,
        });
    }
    register.store = Some(store);
    Ok(())
}

pub(super) fn bootstrap(
    register: &mut Register,
    lsn: Lsn,
    store: StoreId,
    region: &Region,
    mode: Mode,
) -> Result<(), ApplyError> {
    let id = region.id;
    if store.0 == 0 || register.store.is_some_and(|current| current != store) {
        return Err(ApplyError::Store {
            store: register.store,
        });
    }
    if register.slots().next().is_some() {
        return Err(wrong_stage(register, id, "region.bootstrap"));
    }
    found(register, lsn, store, region, mode)?;
    register.store = Some(store);
    Ok(())
}

pub(super) fn recover(
    register: &mut Register,
    lsn: Lsn,
    region: &Region,
) -> Result<(), ApplyError> {
    let id = region.id;
    let Some(store) = register.store else {
        return Err(ApplyError::Store { store: None });
    };
    if register.peer(id).is_some() {
        return Err(wrong_stage(register, id, "region.recover"));
    }
    if let Some(own) = region.peer_on(store) {
        check_fence(register, id, own.id)?;
    }
    found(register, lsn, store, region, Mode::Serving)
}

/// A region begins here, with a peer that holds its (empty) data.
fn found(
    register: &mut Register,
    lsn: Lsn,
    store: StoreId,
    region: &Region,
    mode: Mode,
) -> Result<(), ApplyError> {
    let id = region.id;
    region
        .validate()
        .map_err(|source| ApplyError::Description { region: id, source })?;
    let own = region.peer_on(store).filter(|own| !own.is_witness);
    let Some(peer) = own.map(|own| own.id) else {
        return Err(ApplyError::Parts { region: id });
    };
    let incarnation = Incarnation::new(lsn);
    let taken = Claim {
        range: region.range.clone(),
        owner: owner(id, incarnation),
    };
    register
        .ledger
        .exchange(&[], &[taken])
        .map_err(ApplyError::Ledger)?;
    let normal = Normal {
        region: Arc::new(region.clone()),
        meta_index: INITIAL_POSITION,
        floor: Floor {
            index: INITIAL_INDEX,
            barrier: 0,
        },
        mode: mode.into(),
    };
    register.slot_or_new(id).peer = Some(PeerState {
        peer,
        incarnation,
        predecessor: Rare::default(),
        stage: PeerStage::Normal(normal),
    });
    Ok(())
}

pub(super) fn confirm_bootstrap(
    register: &mut Register,
    region: RegionId,
) -> Result<(), ApplyError> {
    let normal = unconfirmed(register, region, "region.bootstrap-confirm")?;
    let mode = Mode::Serving;
    let mode = mode.into();
    set_following(register, region, Normal { mode, ..normal });
    Ok(())
}

/// The region goes and leaves no tombstone: nobody else ever heard of its peer.
pub(super) fn abandon_bootstrap(
    register: &mut Register,
    lsn: Lsn,
    region: RegionId,
) -> Result<(), ApplyError> {
    const KIND: &str = "region.bootstrap-abandon";
    let normal = unconfirmed(register, region, KIND)?;
    let Some(incarnation) = register.incarnation(region) else {
        return Err(wrong_stage(register, region, KIND));
    };
    let range = normal.region.range.clone();
    let released = Claim {
        range: range.clone(),
        owner: owner(region, incarnation),
    };
    let left = DeletionCause::Destroyed {
        region,
        incarnation,
    };
    hand_over(register, lsn, Some(released), None, [(range, left)])?;
    register.drop_reservation(region);
    register.remove_slot(region);
    Ok(())
}

fn unconfirmed(
    register: &Register,
    region: RegionId,
    kind: &'static str,
) -> Result<Normal, ApplyError> {
    let normal = following(register, region, kind)?;
    match *normal.mode {
        Mode::Unconfirmed => Ok(normal),
        Mode::Serving | Mode::Merging(_) | Mode::Flashback => {
            Err(wrong_stage(register, region, kind))
        }
    }
}

/// What a peer follows; an error of `kind` if it does not follow its region.
pub(super) fn following(
    register: &Register,
    region: RegionId,
    kind: &'static str,
) -> Result<Normal, ApplyError> {
    match register.peer(region).map(|peer| &peer.stage) {
        Some(PeerStage::Normal(normal) | PeerStage::Witness(normal)) => Ok(normal.clone()),
        Some(
            PeerStage::Uninitialized
            | PeerStage::Waiting(_)
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_),
        )
        | None => Err(wrong_stage(register, region, kind)),
    }
}

/// As [`following`], of a region that nothing holds up.
pub(super) fn at_rest(
    register: &Register,
    region: RegionId,
    kind: &'static str,
) -> Result<Normal, ApplyError> {
    let normal = following(register, region, kind)?;
    match *normal.mode {
        Mode::Serving => Ok(normal),
        Mode::Merging(_) | Mode::Flashback | Mode::Unconfirmed => {
            Err(wrong_stage(register, region, kind))
        }
    }
}

/// One child that this store has, ready to be put in.
struct Born {
    region: Arc<Region>,
    peer: PeerId,
    predecessor: Option<Incarnation>,
}

pub(super) fn split(
    register: &mut Register,
    lsn: Lsn,
    id: RegionId,
    position: RaftPosition,
    (version, derive, boundaries): (u64, Derive, &[Key]),
    children: &[SplitChild],
) -> Result<(), ApplyError> {
    const KIND: &str = "region.split";
    let whole = at_rest(register, id, KIND)?;
    if position.index <= whole.meta_index.index || version <= whole.region.epoch.version {
        return Err(ApplyError::Backwards {
            what: "the epoch of a region",
        });
    }
    let misfit = ApplyError::Parts { region: id };
    let Some(incarnation) = register.incarnation(id) else {
        return Err(wrong_stage(register, id, KIND));
    };
    let plan = SplitPlan {
        version,
        derive,
        boundaries,
    };
    let new = children
        .iter()
        .map(|child| (child.id, child.peers.as_slice()));
    let parts = split_parts(&whole.region, plan, new).map_err(|_| misfit.clone())?;

    let mut taken = vec![Claim {
        range: parts.derived.range.clone(),
        owner: owner(id, incarnation),
    }];
    let (mut born, mut left) = (Vec::new(), Vec::new());
    for (child, region) in children.iter().zip(parts.children) {
        let is_twice = children.iter().filter(|other| other.id == child.id).count() > 1;
        let own = register.store.and_then(|store| region.peer_on(store));
        let (false, false, Some(own)) = (is_twice, child.id == id, own.map(|own| own.id)) else {
            return Err(misfit);
        };
        let Some(predecessor) = check_fate(register, child, own)? else {
            left.push((
                region.range,
                DeletionCause::SplitSkipped { region: child.id },
            ));
            continue;
        };
        taken.push(Claim {
            range: region.range.clone(),
            owner: owner(child.id, Incarnation::new(lsn)),
        });
        born.push(Born {
            region: Arc::new(region),
            peer: own,
            predecessor,
        });
    }
    let released = Claim {
        range: whole.region.range.clone(),
        owner: owner(id, incarnation),
    };
    hand_over(register, lsn, Some(released), taken, left)?;

    let derived = Normal {
        region: Arc::new(parts.derived),
        meta_index: position,
        floor: whole.floor,
        mode: Rare::default(),
    };
    set_following(register, id, derived);
    let shared = share_cache(register, id);
    for child in born {
        put_child(register, lsn, id, &whole.floor, child, shared);
    }
    Ok(())
}

/// What a created or adopted child's predecessor is; none for a skipped one.
///
/// # Errors
/// The fate cannot have been decided on this state.
fn check_fate(
    register: &Register,
    child: &SplitChild,
    own: PeerId,
) -> Result<Option<Option<Incarnation>>, ApplyError> {
    const KIND: &str = "region.split";
    let live = register.peer(child.id);
    match child.fate {
        ChildFate::Skipped { .. } => Ok(None),
        ChildFate::Created => {
            check_fence(register, child.id, own)?;
            match live {
                None => Ok(Some(None)),
                Some(_) => Err(wrong_stage(register, child.id, KIND)),
            }
        }
        ChildFate::Adopted { predecessor } => match live {
            Some(PeerState {
                peer,
                incarnation,
                stage: PeerStage::Uninitialized,
                ..
            }) if *peer == own && *incarnation == predecessor => Ok(Some(Some(predecessor))),
            Some(_) | None => Err(wrong_stage(register, child.id, KIND)),
        },
    }
}

/// The whole's cache goes on as the derived region's if it is complete; a load under way ends. Says
/// whether the children share it.
fn share_cache(register: &mut Register, id: RegionId) -> bool {
    let Some(slot) = slot(register, id) else {
        return false;
    };
    match *slot.cache {
        CacheEntry::Active { .. } => true,
        CacheEntry::Absent
        | CacheEntry::LoadRequested { .. }
        | CacheEntry::LoadQueued { .. }
        | CacheEntry::Loading { .. }
        | CacheEntry::Cancelled { .. }
        | CacheEntry::EvictPending { .. }
        | CacheEntry::Evicting { .. } => {
            slot.cache = slot.cache.withdrawn(EvictReason::Split).into();
            false
        }
    }
}

fn put_child(
    register: &mut Register,
    lsn: Lsn,
    parent: RegionId,
    floor: &Floor,
    child: Born,
    shares_cache: bool,
) {
    let Born {
        region,
        peer,
        predecessor,
    } = child;
    let incarnation = Incarnation::new(lsn);
    // What was about to come was for the predecessor.
    register.drop_reservation(region.id);
    let slot = register.slot_or_new(region.id);
    // An earlier incarnation's memory may still be on its way out; that comes first.
    if shares_cache && *slot.cache == CacheEntry::Absent {
        slot.cache = Rare::from(CacheEntry::Active {
            incarnation,
            shared_from: Some(parent),
        });
    }
    let normal = Normal {
        region,
        meta_index: INITIAL_POSITION,
        // The part's data was the whole's, and relies on the same barrier.
        floor: Floor {
            index: INITIAL_INDEX,
            barrier: match planted!("part-without-its-barrier") {
                true => 0,
                false => floor.barrier,
            },
        },
        mode: Rare::default(),
    };
    slot.peer = Some(PeerState {
        peer,
        incarnation,
        predecessor: predecessor.into(),
        stage: PeerStage::following(normal, peer),
    });
}
