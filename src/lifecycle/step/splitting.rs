//! Split: one region becomes several, in one record, with a decision for each new region.
//!
//! A new region may already be known here: a message made its peer (adopt), or a newer snapshot or
//! replica of it came or went first (skip; nobody owns its part then, so it is cleared).

use torrens_journal::planted;

use super::gate;
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    CacheState, Change, ChildFate, Derive, Effect, NewRegion, Outcome, PeerStage, Refusal,
    Register, SkipReason, Split, SplitChild, SplitFault,
};
use crate::{Key, KeyRange, Peer, PeerId, Region, RegionEpoch, RegionId};

/// What a split makes of a region, whoever may have the parts.
#[derive(Debug)]
pub(in crate::lifecycle) struct SplitParts {
    /// The part that keeps the id.
    pub(in crate::lifecycle) derived: Region,
    /// The new regions, in key order.
    pub(in crate::lifecycle) children: Vec<Region>,
}

/// The parts' description, borrowed from an event or from a record.
#[derive(Clone, Copy, Debug)]
pub(in crate::lifecycle) struct SplitPlan<'a> {
    pub(in crate::lifecycle) version: u64,
    pub(in crate::lifecycle) derive: Derive,
    pub(in crate::lifecycle) boundaries: &'a [Key],
}

pub(super) fn split(register: &Register, split: &Split) -> Result<Outcome, Refusal> {
    let id = split.region;
    let peer = gate::live(register, id, split.incarnation)?;
    if gate::is_applied(peer, split.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let normal = gate::following(id, peer)?;
    let region = &normal.region;
    gate::epoch(register, region, split.epoch)?;
    let invalid = |fault| Refusal::InvalidSplit { region: id, fault };
    check(region, split).map_err(invalid)?;
    let grown = u64::try_from(split.children.len()).ok();
    let version = grown.and_then(|grown| region.epoch.version.checked_add(grown));
    let Some(version) = version else {
        let current = region.epoch;
        return Err(Refusal::EpochExhausted {
            region: id,
            current,
        });
    };
    let plan = SplitPlan {
        version,
        derive: split.derive,
        boundaries: &split.boundaries,
    };
    let new = split
        .children
        .iter()
        .map(|child| (child.id, child.peers.as_slice()));
    let parts = split_parts(region, plan, new).map_err(invalid)?;

    let mut effects = Vec::new();
    let mut children = Vec::with_capacity(split.children.len());
    for (NewRegion { id, peers }, description) in split.children.iter().zip(&parts.children) {
        let own = register
            .store()
            .and_then(|store| description.peer_on(store));
        let Some(own) = own else {
            return Err(invalid(SplitFault::Peers { id: *id }));
        };
        let fate = fate(register, *id, own.id);
        if let ChildFate::Skipped { .. } = fate {
            effects.push(description.range.clone());
        }
        let (id, peers) = (*id, peers.clone());
        children.push(SplitChild { id, peers, fate });
    }
    let mut effects: Vec<Planned> = (0..)
        .zip(effects)
        .map(|(ordinal, range)| Planned::Clear { ordinal, range })
        .collect();
    if register.cache_state(id) == CacheState::Loading {
        // The copy under way is of the whole; what it has is let go.
        effects.push(Planned::Known(Effect::FreeCache { region: id }));
    }
    let change = Change::RegionSplit {
        region: id,
        position: split.position,
        version,
        derive: split.derive,
        boundaries: split.boundaries.clone(),
        children,
    };
    Ok(Outcome::accept_with(change, effects))
}

/// What holds of a split whatever this store has.
fn check(region: &Region, split: &Split) -> Result<(), SplitFault> {
    let children = split.children.len();
    if children == 0 {
        return Err(SplitFault::NoChildren);
    }
    if children > Split::CHILDREN_MAX {
        return Err(SplitFault::TooMany { children });
    }
    let mut ids: Vec<RegionId> = split.children.iter().map(|child| child.id).collect();
    ids.push(region.id);
    ids.sort_unstable();
    if let Some((id, _)) = ids.iter().zip(ids.iter().skip(1)).find(|(a, b)| a == b) {
        return Err(SplitFault::IdTwice { id: *id });
    }
    let seats = |peers: &[Peer]| {
        let seat = |peer: &Peer| (peer.store, peer.role, peer.is_witness);
        let mut seats: Vec<_> = peers.iter().map(seat).collect();
        seats.sort_unstable_by_key(|(store, ..)| *store);
        seats
    };
    let expected = seats(&region.peers);
    for child in &split.children {
        if seats(&child.peers) != expected {
            return Err(SplitFault::Peers { id: child.id });
        }
    }
    Ok(())
}

/// The descriptions of the parts.
///
/// # Errors
/// A boundary that is not inside or not above the one before, a count that does not fit, or a new
/// description that breaks a rule.
pub(in crate::lifecycle) fn split_parts<'a>(
    region: &Region,
    plan: SplitPlan<'_>,
    children: impl ExactSizeIterator<Item = (RegionId, &'a [Peer])>,
) -> Result<SplitParts, SplitFault> {
    let boundaries = plan.boundaries;
    if boundaries.len() != children.len() {
        return Err(SplitFault::Count {
            children: children.len(),
            boundaries: boundaries.len(),
        });
    }
    let mut ranges = Vec::with_capacity(boundaries.len() + 1);
    let mut rest = region.range.clone();
    for key in boundaries {
        let cut = |range: &KeyRange| {
            let left = KeyRange::new(range.start().clone(), Some(key.clone()))?;
            let right = KeyRange::new(key.clone(), range.end().cloned())?;
            Some((left, right))
        };
        let Some((left, right)) = cut(&rest) else {
            return Err(SplitFault::Boundary { key: key.clone() });
        };
        ranges.push(left);
        rest = right;
    }
    ranges.push(rest);
    let epoch = RegionEpoch {
        version: plan.version,
        ..region.epoch
    };
    let mut ranges = ranges.into_iter();
    let derived_range = match plan.derive {
        Derive::Left => ranges.next(),
        Derive::Right => ranges.next_back(),
    };
    let derived = Region {
        id: region.id,
        range: derived_range.unwrap_or_else(|| region.range.clone()),
        epoch,
        peers: region.peers.clone(),
    };
    let mut new = Vec::with_capacity(children.len());
    for ((id, peers), range) in children.zip(ranges) {
        let peers = peers.to_vec();
        let child = Region {
            id,
            range,
            epoch,
            peers,
        };
        child
            .validate()
            .map_err(|fault| SplitFault::Child { fault })?;
        new.push(child);
    }
    let fault = derived.validate().err();
    match fault {
        Some(fault) => Err(SplitFault::Child { fault }),
        None => Ok(SplitParts {
            derived,
            children: new,
        }),
    }
}

/// What comes of a new region on this store.
fn fate(register: &Register, id: RegionId, peer: PeerId) -> ChildFate {
    let Some(live) = register.peer(id) else {
        return match register.tombstone(id) {
            Some(fence) if fence.highest_peer >= peer => ChildFate::Skipped {
                reason: SkipReason::Tombstoned {
                    highest_peer: fence.highest_peer,
                },
            },
            Some(_) | None => ChildFate::Created,
        };
    };
    if live.peer != peer {
        return ChildFate::Skipped {
            reason: SkipReason::OtherPeer { peer: live.peer },
        };
    }
    match live.stage {
        PeerStage::Applying(_) if planted!("split-replaces-a-peer-that-applies-a-snapshot") => {
            ChildFate::Adopted {
                predecessor: live.incarnation,
            }
        }
        PeerStage::Uninitialized => ChildFate::Adopted {
            predecessor: live.incarnation,
        },
        PeerStage::Normal(_)
        | PeerStage::Witness(_)
        | PeerStage::Waiting(_)
        | PeerStage::Applying(_)
        | PeerStage::Damaged(_) => ChildFate::Skipped {
            reason: SkipReason::Initialized {
                incarnation: live.incarnation,
            },
        },
    }
}
