//! Changes of a region's peers: one at a time, several at once through joint consensus, and the
//! switch of a witness.
//!
//! What is checked here are facts that every replica shares: epoch, roles, the list of peers. Whether
//! the leader may demote itself, whether a quorum stays healthy, when joint consensus is left: that is
//! the host's, which proposes; here the entry has been committed.

use std::sync::Arc;

use super::{destroying, gate};
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    Change, Outcome, PeerChange, PeerChangeFault, PeerStage, PeerState, RaftPosition, Refusal,
    Register, TombstoneCause, WitnessSwitch,
};
use crate::{Incarnation, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId};

/// The entry that an event is about: who it is for, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) region: RegionId,
    pub(super) peer: &'a PeerState,
    pub(super) epoch: RegionEpoch,
    pub(super) position: RaftPosition,
}

pub(super) fn change_peers(
    register: &Register,
    entry: Entry<'_>,
    change: PeerChange,
) -> Result<Outcome, Refusal> {
    let Some((region, conf_ver)) = admit(register, entry, 1)? else {
        return Ok(Outcome::AlreadyApplied);
    };
    let _changed = changed(region, conf_ver, change)?;
    let Entry {
        region,
        peer,
        position,
        ..
    } = entry;
    if let PeerChange::Remove { peer: removed } = change
        && removed == peer.peer
    {
        return Ok(own_removal(register, entry, conf_ver));
    }
    Ok(Outcome::accept(Change::PeersChanged {
        region,
        position,
        conf_ver,
        change,
    }))
}

/// Whether these changes, proposed at that epoch, already removed this store's own peer: its tombstone
/// says which peer went by a change of peers, and to which `conf_ver` that led. A host that sends its log
/// again does not know that the entry was applied. It does not know the incarnation either: whoever names
/// one that is gone is late, and is told so.
pub(super) fn has_removed_own(
    register: &Register,
    region: RegionId,
    given: Option<Incarnation>,
    epoch: RegionEpoch,
    changes: &[PeerChange],
) -> bool {
    let Some(fence) = register.tombstone(region) else {
        return false;
    };
    let grown = u64::try_from(changes.len()).ok();
    let conf_ver = grown.and_then(|grown| epoch.conf_ver.checked_add(grown));
    let peer = fence.highest_peer;
    given.is_none()
        && register.peer(region).is_none()
        && fence.cause == TombstoneCause::PeersChanged
        && changes.contains(&PeerChange::Remove { peer })
        && conf_ver == Some(fence.epoch.conf_ver)
}

pub(super) fn enter_joint(
    register: &Register,
    entry: Entry<'_>,
    changes: &[PeerChange],
) -> Result<Outcome, Refusal> {
    let Some((region, conf_ver)) = admit(register, entry, changes.len())? else {
        return Ok(Outcome::AlreadyApplied);
    };
    let _changed = changed_jointly(region, conf_ver, changes)?;
    let own = entry.peer.peer;
    if changes.contains(&PeerChange::Remove { peer: own }) {
        return Ok(own_removal(register, entry, conf_ver));
    }
    Ok(Outcome::accept(Change::JointEntered {
        region: entry.region,
        position: entry.position,
        conf_ver,
        changes: changes.to_vec(),
    }))
}

pub(super) fn leave_joint(register: &Register, entry: Entry<'_>) -> Result<Outcome, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(Outcome::AlreadyApplied);
    }
    let joint = gate::following(entry.region, entry.peer)?;
    let leaving = joint.region.peers.iter();
    let changes = leaving.filter(|peer| peer.role.is_joint()).count();
    let Some((region, conf_ver)) = admit(register, entry, changes)? else {
        return Ok(Outcome::AlreadyApplied);
    };
    let _changed = joint_left(region, conf_ver)?;
    Ok(Outcome::accept(Change::JointLeft {
        region: entry.region,
        position: entry.position,
        conf_ver,
    }))
}

pub(super) fn switch_witness(
    register: &Register,
    entry: Entry<'_>,
    switches: &[WitnessSwitch],
) -> Result<Outcome, Refusal> {
    let Some((region, conf_ver)) = admit(register, entry, switches.len())? else {
        return Ok(Outcome::AlreadyApplied);
    };
    let _switched = switched(region, conf_ver, switches)?;
    let own = switches
        .iter()
        .find(|switch| switch.peer == entry.peer.peer);
    let mut effects = Vec::new();
    if let (Some(WitnessSwitch { witness: true, .. }), PeerStage::Normal(normal)) =
        (own, &entry.peer.stage)
    {
        let range = normal.region.range.clone();
        effects.push(Planned::Clear { ordinal: 0, range });
        effects.extend(destroying::free_cache(register, entry.region));
    }
    let change = Change::WitnessesSwitched {
        region: entry.region,
        position: entry.position,
        conf_ver,
        switches: switches.to_vec(),
    };
    Ok(Outcome::accept_with(change, effects))
}

/// The region and the `conf_ver` that `changes` changes lead to; none if the entry was applied.
fn admit<'a>(
    register: &Register,
    entry: Entry<'a>,
    changes: usize,
) -> Result<Option<(&'a Arc<Region>, u64)>, Refusal> {
    if gate::is_applied(entry.peer, entry.position) {
        return Ok(None);
    }
    let normal = gate::following(entry.region, entry.peer)?;
    gate::conf_ver(register, &normal.region, entry.epoch)?;
    let current = normal.region.epoch;
    let grown = u64::try_from(changes).ok();
    let conf_ver = grown.and_then(|grown| current.conf_ver.checked_add(grown));
    let Some(conf_ver) = conf_ver else {
        return Err(Refusal::EpochExhausted {
            region: entry.region,
            current,
        });
    };
    Ok(Some((&normal.region, conf_ver)))
}

fn own_removal(register: &Register, entry: Entry<'_>, conf_ver: u64) -> Outcome {
    let change = Change::OwnPeerRemoved {
        region: entry.region,
        position: entry.position,
        conf_ver,
        peer: entry.peer.peer,
    };
    let effects = destroying::withdrawal(register, entry.region, entry.peer);
    Outcome::accept_with(change, effects)
}

/// The description after one change.
///
/// # Errors
/// The region is in joint consensus, the change is about a peer that is not there or already is what
/// it should become, or the description would break a rule.
pub(in crate::lifecycle) fn changed(
    region: &Region,
    conf_ver: u64,
    change: PeerChange,
) -> Result<Region, Refusal> {
    let mut changed = region.clone();
    changed.epoch.conf_ver = conf_ver;
    if region.is_joint() {
        return Err(fault(region, PeerChangeFault::Joint));
    }
    match change {
        PeerChange::Add { peer } => add(&mut changed, peer)?,
        PeerChange::Remove { peer } => remove(&mut changed, peer)?,
        PeerChange::Promote { peer } => {
            set_role(&mut changed, peer, PeerRole::Learner, PeerRole::Voter)?;
        }
        PeerChange::Demote { peer } => {
            set_role(&mut changed, peer, PeerRole::Voter, PeerRole::Learner)?;
        }
    }
    validated(changed)
}

/// The description in joint consensus, on the way to all of `changes`.
///
/// # Errors
/// As [`changed`]; and what joint consensus forbids ([`PeerChangeFault`]).
pub(in crate::lifecycle) fn changed_jointly(
    region: &Region,
    conf_ver: u64,
    changes: &[PeerChange],
) -> Result<Region, Refusal> {
    let mut changed = region.clone();
    changed.epoch.conf_ver = conf_ver;
    if region.is_joint() {
        return Err(fault(region, PeerChangeFault::Joint));
    }
    let count = changes.len();
    if count < 2 {
        return Err(fault(region, PeerChangeFault::TooFew { changes: count }));
    }
    if count > Region::PEERS_MAX {
        return Err(fault(region, PeerChangeFault::TooMany { changes: count }));
    }
    for (position, change) in changes.iter().enumerate() {
        let peer = change.peer();
        let mut earlier = changes.iter().take(position);
        if earlier.any(|earlier| earlier.peer() == peer) {
            return Err(fault(region, PeerChangeFault::Twice { peer }));
        }
        match *change {
            PeerChange::Add { peer: new } => {
                let role = new.role;
                add(&mut changed, new)?;
                if role == PeerRole::Voter {
                    let joint = PeerRole::IncomingVoter;
                    set_role(&mut changed, peer, PeerRole::Voter, joint)?;
                }
            }
            PeerChange::Remove { peer } => {
                let listed = region.peer(peer);
                if listed.is_some_and(|listed| listed.role == PeerRole::Voter) {
                    return Err(fault(region, PeerChangeFault::VoterRemoved { peer }));
                }
                remove(&mut changed, peer)?;
            }
            PeerChange::Promote { peer } => {
                let joint = PeerRole::IncomingVoter;
                set_role(&mut changed, peer, PeerRole::Learner, joint)?;
            }
            PeerChange::Demote { peer } => {
                let joint = PeerRole::DemotingVoter;
                set_role(&mut changed, peer, PeerRole::Voter, joint)?;
            }
        }
    }
    if !changed.is_joint() {
        return Err(fault(region, PeerChangeFault::LearnersOnly));
    }
    validated(changed)
}

/// The description after joint consensus.
///
/// # Errors
/// The region is not in joint consensus.
pub(in crate::lifecycle) fn joint_left(region: &Region, conf_ver: u64) -> Result<Region, Refusal> {
    if !region.is_joint() {
        return Err(fault(region, PeerChangeFault::NotJoint));
    }
    let mut changed = region.clone();
    changed.epoch.conf_ver = conf_ver;
    for peer in &mut changed.peers {
        peer.role = match peer.role {
            PeerRole::Voter | PeerRole::IncomingVoter => PeerRole::Voter,
            PeerRole::Learner | PeerRole::DemotingVoter => PeerRole::Learner,
        };
    }
    validated(changed)
}

/// The description after a switch of witnesses.
///
/// # Errors
/// None is switched, or one twice, or one that is not there or already is what it should become.
pub(in crate::lifecycle) fn switched(
    region: &Region,
    conf_ver: u64,
    switches: &[WitnessSwitch],
) -> Result<Region, Refusal> {
    let mut changed = region.clone();
    changed.epoch.conf_ver = conf_ver;
    if switches.is_empty() {
        return Err(fault(region, PeerChangeFault::TooFew { changes: 0 }));
    }
    let id = region.id;
    for (position, WitnessSwitch { peer, witness }) in switches.iter().copied().enumerate() {
        let mut earlier = switches.iter().take(position);
        if earlier.any(|earlier| earlier.peer == peer) {
            return Err(fault(region, PeerChangeFault::Twice { peer }));
        }
        let listed = listed(&mut changed, peer)?;
        if listed.is_witness == witness {
            let role = if witness { "witness" } else { "holder of data" };
            return Err(Refusal::RoleUnchanged {
                region: id,
                peer,
                role,
            });
        }
        listed.is_witness = witness;
    }
    validated(changed)
}

fn fault(region: &Region, fault: PeerChangeFault) -> Refusal {
    let region = region.id;
    Refusal::InvalidPeerChange { region, fault }
}

fn listed(region: &mut Region, peer: PeerId) -> Result<&mut Peer, Refusal> {
    let unknown = Refusal::PeerUnknown {
        region: region.id,
        peer,
    };
    let listed = region.peers.iter_mut().find(|listed| listed.id == peer);
    listed.ok_or(unknown)
}

/// Two peers on one store, or one twice, are found by the check of the whole description.
fn add(region: &mut Region, peer: Peer) -> Result<(), Refusal> {
    if peer.role.is_joint() {
        return Err(fault(region, PeerChangeFault::JointRole { peer: peer.id }));
    }
    region.peers.push(peer);
    Ok(())
}

fn remove(region: &mut Region, peer: PeerId) -> Result<(), Refusal> {
    let _listed = listed(region, peer)?;
    region.peers.retain(|listed| listed.id != peer);
    Ok(())
}

fn set_role(
    region: &mut Region,
    peer: PeerId,
    from: PeerRole,
    to: PeerRole,
) -> Result<(), Refusal> {
    let id = region.id;
    let listed = listed(region, peer)?;
    if listed.role != from {
        let role = listed.role.as_str();
        return Err(Refusal::RoleUnchanged {
            region: id,
            peer,
            role,
        });
    }
    listed.role = to;
    Ok(())
}

fn validated(changed: Region) -> Result<Region, Refusal> {
    let region = changed.id;
    match changed.validate() {
        Ok(()) => Ok(changed),
        Err(fault) => Err(Refusal::InvalidDescription { region, fault }),
    }
}
