//! Merge: a source is prepared in its own log, and taken in, or not, as another log says.
//!
//! Prepare and rollback are entries of the source; commit is an entry of the target and touches both.
//! Where the source is behind on this store, the target waits; where its data is lost, the target is
//! damaged and does not move: a snapshot of the merged region heals it.

use torrens_journal::planted;

use super::conf_change::Entry;
use super::{destroying, gate};
use crate::lifecycle::{
    Change, DamageReason, MergeFault, MergedSource, Mode, Outcome, PeerStage, Refusal, Register,
    WaitReason,
};
use crate::{Peer, Region, RegionEpoch};

pub(super) fn prepare(
    register: &Register,
    entry: Entry<'_>,
    target: &Region,
    min_index: u64,
) -> Result<Outcome, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let region = entry.region;
    let source = &gate::following(region, entry.peer)?.region;
    gate::epoch(register, source, entry.epoch)?;
    check_pair(region, source, target)?;
    let position = entry.position.index;
    if min_index == 0 || min_index > position {
        let given = min_index;
        let fault = MergeFault::MinIndex { given, position };
        return Err(Refusal::InvalidMerge { region, fault });
    }
    let current = source.epoch;
    let (Some(conf_ver), Some(version)) = (
        current.conf_ver.checked_add(1),
        current.version.checked_add(1),
    ) else {
        return Err(Refusal::EpochExhausted { region, current });
    };
    let change = Change::MergePrepared {
        region,
        position: entry.position,
        epoch: RegionEpoch { conf_ver, version },
        target: target.id,
        target_epoch: target.epoch,
        min_index,
    };
    let effects = destroying::free_cache(register, region);
    Ok(Outcome::accept_with(change, effects.into_iter().collect()))
}

pub(super) fn rollback(
    register: &Register,
    entry: Entry<'_>,
    given: u64,
) -> Result<Outcome, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let region = entry.region;
    let source = gate::initialized(region, entry.peer)?;
    let attempt = match *source.mode {
        Mode::Merging(attempt) => attempt.commit,
        Mode::Serving | Mode::Flashback | Mode::Unconfirmed => {
            return Err(Refusal::NotMerging { region });
        }
    };
    if attempt != given && !planted!("rollback-of-another-merge") {
        let current = attempt;
        return Err(Refusal::OtherMerge {
            region,
            given,
            current,
        });
    }
    gate::epoch(register, &source.region, entry.epoch)?;
    let current = source.region.epoch;
    let Some(version) = current.version.checked_add(1) else {
        return Err(Refusal::EpochExhausted { region, current });
    };
    Ok(Outcome::accept(Change::MergeRolledBack {
        region,
        position: entry.position,
        version,
    }))
}

pub(super) fn commit(
    register: &Register,
    entry: Entry<'_>,
    source: &Region,
    attempt: u64,
) -> Result<Outcome, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let region = entry.region;
    let target = &gate::following(region, entry.peer)?.region;
    gate::epoch(register, target, entry.epoch)?;
    check_pair(region, target, source)?;
    let current = target.epoch;
    let version = current.version.max(source.epoch.version).checked_add(1);
    let Some(version) = version else {
        return Err(Refusal::EpochExhausted { region, current });
    };
    let source_region = source.id;
    let Some(peer) = register.peer(source_region) else {
        return Ok(source_lost(register, entry, source));
    };
    let here = match &peer.stage {
        PeerStage::Normal(normal) | PeerStage::Witness(normal) => normal,
        PeerStage::Applying(_) => {
            return Ok(Outcome::Wait(WaitReason::SourceApplying { source_region }));
        }
        PeerStage::Uninitialized | PeerStage::Waiting(_) | PeerStage::Damaged(_) => {
            return Ok(source_lost(register, entry, source));
        }
    };
    let is_prepared = matches!(*here.mode, Mode::Merging(merge)
        if merge.target == region && merge.commit == attempt);
    if !(is_prepared && *here.region == *source) {
        let has = here.meta_index.index;
        if has < attempt && !planted!("merge-does-not-wait-for-its-source") {
            let needs = attempt;
            return Ok(Outcome::Wait(WaitReason::SourceBehind {
                source_region,
                needs,
                has,
            }));
        }
        return Err(Refusal::MergeSourceMismatch {
            region,
            source_region,
        });
    }
    let change = Change::RegionsMerged {
        region,
        position: entry.position,
        version,
        source: MergedSource {
            region: source_region,
            peer: peer.peer,
            incarnation: peer.incarnation,
        },
    };
    let effects = [region, source_region]
        .into_iter()
        .filter_map(|region| destroying::free_cache(register, region));
    Ok(Outcome::accept_with(change, effects.collect()))
}

/// The data that the target should have from now on is not here. A witness would not have it anyway,
/// but cannot own keys that it was not given.
fn source_lost(register: &Register, entry: Entry<'_>, source: &Region) -> Outcome {
    if let PeerStage::Witness(_) = entry.peer.stage {
        return Outcome::Wait(WaitReason::SourceMissing {
            source_region: source.id,
        });
    }
    let change = Change::PeerDamaged {
        region: entry.region,
        reason: DamageReason::MergeSourceLost { source: source.id },
    };
    let effects = destroying::free_cache(register, entry.region);
    Outcome::accept_with(change, effects.into_iter().collect())
}

/// What holds of source and target whatever this store has. `ours` is what the entry's own log has.
fn check_pair(region: crate::RegionId, ours: &Region, other: &Region) -> Result<(), Refusal> {
    let invalid = |fault| Refusal::InvalidMerge { region, fault };
    if ours.id == other.id {
        return Err(invalid(MergeFault::SameRegion));
    }
    other
        .validate()
        .map_err(|fault| Refusal::InvalidDescription {
            region: other.id,
            fault,
        })?;
    for one in [ours, other] {
        if one.is_joint() {
            return Err(invalid(MergeFault::Joint { region: one.id }));
        }
    }
    let seats = |region: &Region| {
        let seat = |peer: &Peer| (peer.store, peer.role, peer.is_witness);
        let mut seats: Vec<_> = region.peers.iter().map(seat).collect();
        seats.sort_unstable_by_key(|(store, ..)| *store);
        seats
    };
    if seats(ours) != seats(other) {
        return Err(invalid(MergeFault::OtherStores));
    }
    match ours.range.join(&other.range) {
        Some(_) => Ok(()),
        None => Err(invalid(MergeFault::NotNeighbours)),
    }
}
