//! Records about a region's list of peers. The removal of this store's own peer is a destroy and lies
//! with the others (`peers`).

use std::sync::Arc;

use torrens_journal::Lsn;

use super::ApplyError;
use super::peers::{hand_over, set_following, set_stage, withdraw_cache};
use super::regions::at_rest;
use crate::lifecycle::step::forced;
use crate::lifecycle::{
    DeletionCause, EvictReason, Normal, PeerStage, RaftPosition, Refusal, Register, Waiting,
};
use crate::{Region, RegionId, StoreId};

/// Puts the description that `changed` makes in the place of the one before.
pub(super) fn apply(
    register: &mut Register,
    lsn: Lsn,
    id: RegionId,
    position: RaftPosition,
    conf_ver: u64,
    changed: impl FnOnce(&Region) -> Result<Region, Refusal>,
) -> Result<(), ApplyError> {
    let before = at_rest(register, id, "a change of peers")?;
    let current = before.region.epoch.conf_ver;
    if position.index <= before.meta_index.index || conf_ver <= current {
        return Err(ApplyError::Backwards {
            what: "the epoch of a region",
        });
    }
    let misfit = ApplyError::PeerChange { region: id };
    let mut region = changed(&before.region).map_err(|_| misfit.clone())?;
    // It stays as it is for long, and there are many.
    region.peers.shrink_to_fit();
    let own = register.peer(id).map(|peer| (peer.peer, peer.incarnation));
    let listed = register.store.and_then(|store| region.peer_on(store));
    let (Some((own, incarnation)), Some(listed)) = (own, listed) else {
        return Err(misfit);
    };
    if listed.id != own {
        return Err(misfit);
    }
    let was_witness = before.region.peer(own).is_some_and(|peer| peer.is_witness);
    let is_witness = listed.is_witness;
    let after = Normal {
        region: Arc::new(region),
        meta_index: position,
        ..before
    };
    match (was_witness, is_witness) {
        (true, false) => {
            let waiting = Waiting {
                region: after.region,
                meta_index: position,
            };
            set_stage(register, id, PeerStage::Waiting(waiting));
        }
        (false, true) => {
            let cause = DeletionCause::Witness {
                region: id,
                incarnation,
            };
            let range = after.region.range.clone();
            hand_over(register, lsn, None, None, [(range, cause)])?;
            withdraw_cache(register, id, EvictReason::Witness);
            set_following(register, id, after);
        }
        (true, true) | (false, false) => set_following(register, id, after),
    }
    Ok(())
}

/// No entry says so, so no index moves.
pub(super) fn force(
    register: &mut Register,
    id: RegionId,
    conf_ver: u64,
    failed: &[StoreId],
) -> Result<(), ApplyError> {
    let before = at_rest(register, id, "region.force-voters")?;
    if conf_ver <= before.region.epoch.conf_ver {
        return Err(ApplyError::Backwards {
            what: "the epoch of a region",
        });
    }
    let (mut region, _) = forced(&before.region, failed);
    region.epoch.conf_ver = conf_ver;
    region
        .validate()
        .map_err(|source| ApplyError::Description { region: id, source })?;
    let region = Arc::new(region);
    set_following(register, id, Normal { region, ..before });
    Ok(())
}
