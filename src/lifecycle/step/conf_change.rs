//! A change of one peer. Legality against Raft's rules (quorums, the leader) is the host's and was
//! decided when the entry was proposed; here it has been committed.

use std::sync::Arc;

use super::{destroying, gate};
use crate::lifecycle::{Change, Outcome, PeerChange, PeerState, RaftPosition, Refusal, Register};
use crate::{PeerRole, Region, RegionEpoch, RegionId};

pub(super) fn change_peers(
    register: &Register,
    id: RegionId,
    peer: &PeerState,
    epoch: RegionEpoch,
    position: RaftPosition,
    change: PeerChange,
) -> Result<Outcome, Refusal> {
    if gate::is_applied(peer, position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let normal = gate::serving(id, peer)?;
    gate::conf_ver(register, &normal.region, epoch)?;
    let current = normal.region.epoch;
    let Some(conf_ver) = current.conf_ver.checked_add(1) else {
        return Err(Refusal::EpochExhausted {
            region: id,
            current,
        });
    };
    if let PeerChange::Remove { peer: removed } = change
        && removed == peer.peer
    {
        let change = Change::OwnPeerRemoved {
            region: id,
            position,
            conf_ver,
            peer: removed,
        };
        let effects = destroying::withdrawal(register, id, peer);
        return Ok(Outcome::accept_with(change, effects));
    }
    let _changed = changed(&normal.region, conf_ver, change)?;
    Ok(Outcome::accept(Change::PeersChanged {
        region: id,
        position,
        conf_ver,
        change,
    }))
}

/// The description after the change.
///
/// # Errors
/// The change is about a peer that is not there or already is what it should become, or the
/// description would break a rule.
pub(in crate::lifecycle) fn changed(
    region: &Arc<Region>,
    conf_ver: u64,
    change: PeerChange,
) -> Result<Region, Refusal> {
    let mut changed = Region::clone(region);
    changed.epoch.conf_ver = conf_ver;
    let id = region.id;
    match change {
        PeerChange::Add { peer } => changed.peers.push(peer),
        PeerChange::Remove { peer } => {
            changed.peers.retain(|listed| listed.id != peer);
            if changed.peers.len() == region.peers.len() {
                return Err(Refusal::PeerUnknown { region: id, peer });
            }
        }
        PeerChange::Promote { peer } | PeerChange::Demote { peer } => {
            let role = match change {
                PeerChange::Promote { .. } => PeerRole::Voter,
                PeerChange::Demote { .. } | PeerChange::Add { .. } | PeerChange::Remove { .. } => {
                    PeerRole::Learner
                }
            };
            let listed = changed.peers.iter_mut().find(|listed| listed.id == peer);
            let Some(listed) = listed else {
                return Err(Refusal::PeerUnknown { region: id, peer });
            };
            if listed.role == role {
                let role = role.as_str();
                return Err(Refusal::RoleUnchanged {
                    region: id,
                    peer,
                    role,
                });
            }
            listed.role = role;
        }
    }
    changed
        .validate()
        .map_err(|fault| Refusal::InvalidDescription { region: id, fault })?;
    Ok(changed)
}
