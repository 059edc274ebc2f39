//! Records about what a region's log puts the region into: merge (prepared, taken in, rolled back)
//! and flashback.

use std::sync::Arc;

use super::peers::{bury, owner, set_following, withdraw_cache};
use super::regions::{at_rest, following};
use super::{ApplyError, wrong_stage};
use crate::lifecycle::register::Claim;
use crate::lifecycle::{
    EvictReason, Floor, MergeSource, MergedSource, Mode, Normal, RaftPosition, Rare, Register,
    TombstoneCause,
};
use crate::{Region, RegionEpoch, RegionId};

const BACKWARDS: ApplyError = ApplyError::Backwards {
    what: "the epoch of a region",
};

/// The description at another epoch.
fn at_epoch(region: &Region, epoch: RegionEpoch) -> Arc<Region> {
    let mut changed = region.clone();
    changed.epoch = epoch;
    Arc::new(changed)
}

pub(super) fn prepare(
    register: &mut Register,
    id: RegionId,
    position: RaftPosition,
    epoch: RegionEpoch,
    source: MergeSource,
) -> Result<(), ApplyError> {
    let before = at_rest(register, id, "region.merge-prepare")?;
    let current = before.region.epoch;
    if position.index <= before.meta_index.index
        || epoch.version <= current.version
        || epoch.conf_ver <= current.conf_ver
    {
        return Err(BACKWARDS);
    }
    let after = Normal {
        region: at_epoch(&before.region, epoch),
        meta_index: position,
        floor: before.floor,
        mode: Mode::Merging(source).into(),
    };
    set_following(register, id, after);
    withdraw_cache(register, id, EvictReason::Merge);
    Ok(())
}

pub(super) fn rollback(
    register: &mut Register,
    id: RegionId,
    position: RaftPosition,
    version: u64,
) -> Result<(), ApplyError> {
    const KIND: &str = "region.merge-rollback";
    let before = following(register, id, KIND)?;
    match *before.mode {
        Mode::Merging(_) => {}
        Mode::Serving | Mode::Flashback | Mode::Unconfirmed => {
            return Err(wrong_stage(register, id, KIND));
        }
    }
    let current = before.region.epoch;
    if position.index <= before.meta_index.index || version <= current.version {
        return Err(BACKWARDS);
    }
    let after = Normal {
        region: at_epoch(&before.region, RegionEpoch { version, ..current }),
        meta_index: position,
        floor: before.floor,
        mode: Rare::default(),
    };
    set_following(register, id, after);
    Ok(())
}

/// Two ranges become one, and one peer goes. No key is cleared and none changes its data.
pub(super) fn commit(
    register: &mut Register,
    id: RegionId,
    position: RaftPosition,
    version: u64,
    gone: MergedSource,
) -> Result<(), ApplyError> {
    const KIND: &str = "region.merge-commit";
    let target = at_rest(register, id, KIND)?;
    let source = following(register, gone.region, KIND)?;
    let is_prepared = matches!(*source.mode, Mode::Merging(merge) if merge.target == id);
    let live = register.peer(gone.region);
    let is_meant =
        live.is_some_and(|live| live.peer == gone.peer && live.incarnation == gone.incarnation);
    let Some(incarnation) = register.incarnation(id).filter(|_| is_prepared && is_meant) else {
        return Err(wrong_stage(register, gone.region, KIND));
    };
    let newest = target.region.epoch.version.max(source.region.epoch.version);
    if position.index <= target.meta_index.index || version <= newest {
        return Err(BACKWARDS);
    }
    let Some(range) = target.region.range.join(&source.region.range) else {
        return Err(ApplyError::Parts { region: id });
    };
    let released = [
        Claim {
            range: target.region.range.clone(),
            owner: owner(id, incarnation),
        },
        Claim {
            range: source.region.range.clone(),
            owner: owner(gone.region, gone.incarnation),
        },
    ];
    let taken = Claim {
        range: range.clone(),
        owner: owner(id, incarnation),
    };
    register
        .ledger
        .exchange(&released, &[taken])
        .map_err(ApplyError::Ledger)?;
    let mut region = Region::clone(&target.region);
    region.range = range;
    region.epoch.version = version;
    let after = Normal {
        region: Arc::new(region),
        meta_index: position,
        // The source's data relies on its own barrier, and is the target's now.
        floor: Floor {
            index: target.floor.index,
            barrier: target.floor.barrier.max(source.floor.barrier),
        },
        mode: Rare::default(),
    };
    set_following(register, id, after);
    withdraw_cache(register, id, EvictReason::Merge);
    let cause = TombstoneCause::Merged { target: id };
    bury(
        register,
        gone.region,
        (gone.peer, source.region.epoch, cause),
        EvictReason::Merge,
    );
    Ok(())
}

pub(super) fn flashback(
    register: &mut Register,
    id: RegionId,
    position: RaftPosition,
    begins: bool,
) -> Result<(), ApplyError> {
    let kind = match begins {
        true => "region.flashback-begin",
        false => "region.flashback-end",
    };
    let before = following(register, id, kind)?;
    match *before.mode {
        Mode::Serving | Mode::Flashback => {}
        Mode::Merging(_) | Mode::Unconfirmed => return Err(wrong_stage(register, id, kind)),
    }
    if position.index <= before.meta_index.index {
        return Err(BACKWARDS);
    }
    let after = Normal {
        meta_index: position,
        mode: match begins {
            true => Mode::Flashback,
            false => Mode::Serving,
        }
        .into(),
        ..before
    };
    set_following(register, id, after);
    if begins {
        withdraw_cache(register, id, EvictReason::Flashback);
    }
    Ok(())
}
