//! What a guard keeps from happening: the change that a refused event would have made, had nobody looked.
//!
//! Built from the event alone, as a careless engine would. `apply` still stands behind it.

use torrens::RegionId;
use torrens::lifecycle::{Change, ChildFate, Event, Register, SplitChild};

/// The change; none for events that no guard of the model refuses.
pub(crate) fn change(register: &Register, event: &Event) -> Option<Change> {
    let epoch = |region: RegionId| register.peer(region).map(|peer| peer.stage.epoch());
    Some(match event {
        Event::CreateByMessage {
            region,
            peer,
            message_epoch,
            ..
        } => Change::PeerCreated {
            region: *region,
            peer: *peer,
            message_epoch: *message_epoch,
        },
        Event::Split(split) => Change::RegionSplit {
            region: split.region,
            position: split.position,
            version: split.epoch.version + split.children.len() as u64,
            derive: split.derive,
            boundaries: split.boundaries.clone(),
            children: split
                .children
                .iter()
                .map(|child| SplitChild {
                    id: child.id,
                    peers: child.peers.clone(),
                    fate: ChildFate::Created,
                })
                .collect(),
        },
        Event::ChangePeers {
            region,
            epoch,
            position,
            change,
            ..
        } => Change::PeersChanged {
            region: *region,
            position: *position,
            conf_ver: epoch.conf_ver + 1,
            change: *change,
        },
        Event::BeginSnapshot {
            description,
            snapshot,
            ..
        } => Change::SnapshotBegun {
            description: description.clone(),
            snapshot: *snapshot,
        },
        Event::EndSnapshot { region, floor, .. } => Change::SnapshotEnded {
            region: *region,
            floor: *floor,
        },
        Event::AbortSnapshot { region, reason, .. } => Change::SnapshotAborted {
            region: *region,
            reason: *reason,
        },
        Event::Destroy {
            region,
            peer,
            cause,
            ..
        } => Change::PeerDestroyed {
            region: *region,
            peer: *peer,
            epoch: epoch(*region).unwrap_or_default(),
            cause: *cause,
        },
        Event::Damage { region, reason, .. } => Change::PeerDamaged {
            region: *region,
            reason: *reason,
        },
        Event::FinishDeletion { deletion } => Change::DeletionFinished {
            region: RegionId(1),
            deletion: *deletion,
        },
        Event::LoadRequest { region, .. } => Change::CacheLoadRequested { region: *region },
        Event::LoadBegin { region, .. } => Change::CacheLoading { region: *region },
        Event::LoadEnd { region, .. } => Change::CacheActive { region: *region },
        Event::LoadCancel { region, reason, .. } => Change::CacheCancelled {
            region: *region,
            reason: *reason,
        },
        Event::EvictBegin { region } => Change::CacheEvicting { region: *region },
        _ => return None,
    })
}
