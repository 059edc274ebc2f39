//! `Submission`: the transitions that can be submitted, as a host names them.
//!
//! Not here: what they do (`lifecycle`), how they are carried out.

use crate::lifecycle::{Cause, DestroyCause, Event, PeerChange, WitnessSwitch};
use crate::{Incarnation, PeerId, RaftPosition, RegionEpoch, RegionId, StoreId};

use super::super::transitions::cause_of;

/// A transition that can be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submission {
    /// As [`Engine::create_peer`].
    CreatePeer {
        /// Which region.
        region: RegionId,
        /// Which replica of it.
        peer: PeerId,
        /// Who sent the message.
        from_store: StoreId,
        /// The epoch in the message.
        epoch: RegionEpoch,
    },
    /// As [`Engine::change_peers`].
    ChangePeers {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// What changes.
        change: PeerChange,
    },
    /// As [`Engine::enter_joint`].
    EnterJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// What changes.
        changes: Vec<PeerChange>,
    },
    /// As [`Engine::leave_joint`].
    LeaveJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::switch_witness`].
    SwitchWitness {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Who becomes a witness, or is none any more.
        switches: Vec<WitnessSwitch>,
    },
    /// As [`Engine::destroy`].
    Destroy {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the caller knows it.
        epoch: RegionEpoch,
        /// Which creation of the peer, if the caller knows.
        incarnation: Option<Incarnation>,
        /// Which replica.
        peer: PeerId,
        /// Why.
        cause: DestroyCause,
    },
}

impl Submission {
    /// The region that it is about.
    pub fn region(&self) -> RegionId {
        match self {
            Submission::CreatePeer { region, .. }
            | Submission::ChangePeers { region, .. }
            | Submission::EnterJoint { region, .. }
            | Submission::LeaveJoint { region, .. }
            | Submission::SwitchWitness { region, .. }
            | Submission::Destroy { region, .. } => *region,
        }
    }

    pub(super) fn into_event(self) -> (Event, Cause) {
        let incarnation = None;
        match self {
            Submission::CreatePeer {
                region,
                peer,
                from_store,
                epoch,
            } => {
                let event = Event::CreateByMessage {
                    region,
                    peer,
                    from_store,
                    message_epoch: epoch,
                };
                (event, Cause::Message { from_store })
            }
            Submission::ChangePeers {
                region,
                epoch,
                position,
                change,
            } => {
                let event = Event::ChangePeers {
                    region,
                    incarnation,
                    epoch,
                    position,
                    change,
                };
                (event, cause_of(position))
            }
            Submission::EnterJoint {
                region,
                epoch,
                position,
                changes,
            } => {
                let event = Event::EnterJoint {
                    region,
                    incarnation,
                    epoch,
                    position,
                    changes,
                };
                (event, cause_of(position))
            }
            Submission::LeaveJoint {
                region,
                epoch,
                position,
            } => {
                let event = Event::LeaveJoint {
                    region,
                    incarnation,
                    epoch,
                    position,
                };
                (event, cause_of(position))
            }
            Submission::SwitchWitness {
                region,
                epoch,
                position,
                switches,
            } => {
                let event = Event::SwitchWitness {
                    region,
                    incarnation,
                    epoch,
                    position,
                    switches,
                };
                (event, cause_of(position))
            }
            Submission::Destroy {
                region,
                incarnation,
                peer,
                cause,
                ..
            } => {
                let event = Event::Destroy {
                    region,
                    incarnation,
                    peer,
                    cause,
                };
                (event, Cause::Host)
            }
        }
    }
}
