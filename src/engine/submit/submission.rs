//! `Submission`: the transitions that can be submitted, as a host names them.
//!
//! Not here: what they do (`lifecycle`), how they are carried out.

use std::collections::BTreeSet;

use super::super::transitions::cause_of;
use crate::lifecycle::{Cause, DestroyCause, Event, PeerChange, Split, WitnessSwitch};
use crate::{Incarnation, PeerId, RaftPosition, Region, RegionEpoch, RegionId, StoreId};

/// A transition that can be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submission {
    /// As [`Engine::create_peer`](crate::Engine::create_peer).
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
    /// As [`Engine::change_peers`](crate::Engine::change_peers).
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
    /// As [`Engine::enter_joint`](crate::Engine::enter_joint).
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
    /// As [`Engine::leave_joint`](crate::Engine::leave_joint).
    LeaveJoint {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::switch_witness`](crate::Engine::switch_witness).
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
    /// As [`Engine::split`](crate::Engine::split).
    Split(Split),
    /// As [`Engine::prepare_merge`](crate::Engine::prepare_merge).
    PrepareMerge {
        /// The source.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The target, as the proposer knew it.
        target: Region,
        /// From here on the source's log has to be kept.
        min_index: u64,
    },
    /// As [`Engine::commit_merge`](crate::Engine::commit_merge).
    CommitMerge {
        /// The target.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// The source, as the proposer knew it.
        source: Region,
        /// Index of the entry that began the merge on the source.
        commit: u64,
    },
    /// As [`Engine::rollback_merge`](crate::Engine::rollback_merge).
    RollbackMerge {
        /// The source.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
        /// Index of the entry that began the merge.
        commit: u64,
    },
    /// As [`Engine::begin_flashback`](crate::Engine::begin_flashback).
    BeginFlashback {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::end_flashback`](crate::Engine::end_flashback).
    EndFlashback {
        /// Which region.
        region: RegionId,
        /// Its epoch, as the proposer knew it.
        epoch: RegionEpoch,
        /// The entry.
        position: RaftPosition,
    },
    /// As [`Engine::install_witness`](crate::Engine::install_witness).
    InstallWitness {
        /// Which region.
        region: RegionId,
        /// Which creation of the peer.
        incarnation: Incarnation,
        /// What the region is.
        description: Region,
        /// The entry that the description is from.
        position: RaftPosition,
    },
    /// As [`Engine::collect_tombstones`](crate::Engine::collect_tombstones), of one tombstone.
    CollectTombstone {
        /// Which region.
        region: RegionId,
        /// The highest peer that the tombstone fences.
        highest_peer: PeerId,
    },
    /// As [`Engine::destroy`](crate::Engine::destroy).
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
            | Submission::PrepareMerge { region, .. }
            | Submission::CommitMerge { region, .. }
            | Submission::RollbackMerge { region, .. }
            | Submission::BeginFlashback { region, .. }
            | Submission::EndFlashback { region, .. }
            | Submission::InstallWitness { region, .. }
            | Submission::CollectTombstone { region, .. }
            | Submission::Destroy { region, .. } => *region,
            Submission::Split(split) => split.region,
        }
    }

    /// The regions whose data has to be durable before the record is: the transition moves keys, or a mode
    /// of the region stands for what it has. Empty for those that leave data alone.
    pub(super) fn durable_first(&self) -> BTreeSet<RegionId> {
        match self {
            Submission::Split(_)
            | Submission::PrepareMerge { .. }
            | Submission::RollbackMerge { .. }
            | Submission::BeginFlashback { .. }
            | Submission::EndFlashback { .. } => BTreeSet::from([self.region()]),
            Submission::CommitMerge { region, source, .. } => BTreeSet::from([*region, source.id]),
            Submission::CreatePeer { .. }
            | Submission::ChangePeers { .. }
            | Submission::EnterJoint { .. }
            | Submission::LeaveJoint { .. }
            | Submission::SwitchWitness { .. }
            | Submission::InstallWitness { .. }
            | Submission::CollectTombstone { .. }
            | Submission::Destroy { .. } => BTreeSet::new(),
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
            Submission::Split(split) => {
                let cause = cause_of(split.position);
                (Event::Split(split), cause)
            }
            Submission::PrepareMerge {
                region,
                epoch,
                position,
                target,
                min_index,
            } => {
                let event = Event::PrepareMerge {
                    region,
                    incarnation,
                    epoch,
                    position,
                    target,
                    min_index,
                };
                (event, cause_of(position))
            }
            Submission::CommitMerge {
                region,
                epoch,
                position,
                source,
                commit,
            } => {
                let event = Event::CommitMerge {
                    region,
                    incarnation,
                    epoch,
                    position,
                    source,
                    commit,
                };
                (event, cause_of(position))
            }
            Submission::RollbackMerge {
                region,
                epoch,
                position,
                commit,
            } => {
                let event = Event::RollbackMerge {
                    region,
                    incarnation,
                    epoch,
                    position,
                    commit,
                };
                (event, cause_of(position))
            }
            Submission::BeginFlashback {
                region,
                epoch,
                position,
            } => {
                let event = Event::BeginFlashback {
                    region,
                    incarnation,
                    epoch,
                    position,
                };
                (event, cause_of(position))
            }
            Submission::EndFlashback {
                region,
                epoch,
                position,
            } => {
                let event = Event::EndFlashback {
                    region,
                    incarnation,
                    epoch,
                    position,
                };
                (event, cause_of(position))
            }
            Submission::InstallWitness {
                region,
                incarnation,
                description,
                position,
            } => {
                let event = Event::InstallWitness {
                    region,
                    incarnation,
                    description,
                    position,
                    sources: Vec::new(),
                };
                (event, Cause::Host)
            }
            Submission::CollectTombstone {
                region,
                highest_peer,
            } => {
                let event = Event::CollectTombstone {
                    region,
                    highest_peer,
                };
                (event, Cause::Host)
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
