//! Which event of the lifecycle each submission is, and what it is caused by.
//!
//! Not here: what is looked at before it is decided (`carry`).

use super::Submission;
use crate::StoreId;
use crate::engine::transitions::cause_of;
use crate::lifecycle::{Cause, Event};

impl Submission {
    /// The event that a store with the id that `store` gives decides, and its cause. None for a report, which is
    /// judged before there is one.
    pub(super) fn into_event(self, store: impl FnOnce() -> StoreId) -> Option<(Event, Cause)> {
        let incarnation = None;
        Some(match self {
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
            Submission::Bootstrap { region } => {
                let store = store();
                (Event::Bootstrap { store, region }, Cause::Host)
            }
            Submission::PrepareBootstrap { region } => {
                let store = store();
                (Event::PrepareBootstrap { store, region }, Cause::Host)
            }
            Submission::ConfirmBootstrap { region } => {
                (Event::ConfirmBootstrap { region }, Cause::Host)
            }
            Submission::AbandonBootstrap { region } => {
                (Event::AbandonBootstrap { region }, Cause::Host)
            }
            Submission::RecoverRegion { region } => {
                (Event::RecoverRegion { region }, Cause::Operator)
            }
            Submission::ForceVoters {
                region,
                epoch,
                failed,
            } => {
                let event = Event::ForceVoters {
                    region,
                    incarnation,
                    epoch,
                    failed,
                };
                (event, Cause::Operator)
            }
            Submission::PlaceTombstone {
                region,
                peer,
                epoch,
            } => {
                let event = Event::PlaceTombstone {
                    region,
                    peer,
                    epoch,
                };
                (event, Cause::Operator)
            }
            Submission::ReportLogStart { .. } => return None,
        })
    }
}
