//! Messages, splits, own removal, destroys, damage and snapshots of two regions.

use torrens::lifecycle::{AbortReason, DamageReason, DeletionId, Event, Floor};
use torrens::{DestroyCause, KeyRange, PeerChange, PeerId, Region, RegionId, StoreId};
use torrens_journal::Lsn;

use super::{CHILD, PARENT, at, creations, described, epoch, range, snapshot, split};
use crate::model::store::Store;

/// Snapshots that are on their way, whoever they are for: region, description, index.
pub(super) fn on_their_way(parents_too: bool) -> Vec<(RegionId, Region, u64)> {
    let mut all = vec![
        (CHILD, described(CHILD, range("m", ""), epoch(1, 2), 20), 9),
        (CHILD, described(CHILD, range("m", ""), epoch(3, 2), 22), 30),
    ];
    if parents_too {
        let whole = || described(PARENT, KeyRange::all(), epoch(1, 4), 10);
        all.push((
            PARENT,
            described(PARENT, range("", "m"), epoch(1, 2), 10),
            40,
        ));
        // Two of one epoch: the older may come late.
        all.push((PARENT, whole(), 45));
        all.push((PARENT, whole(), 50));
    }
    all
}

pub(super) fn events(store: &Store, events: &mut Vec<Event>) {
    arriving(store, false, events);
    let create = |region, peer| Event::CreateByMessage {
        region,
        peer: PeerId(peer),
        from_store: StoreId(2),
        message_epoch: epoch(1, 2),
    };
    events.extend([create(CHILD, 20), create(CHILD, 22), create(PARENT, 12)]);
    // The split as two replicas may have it: proposed before or after the change of peers.
    events.push(split(PARENT, epoch(1, 1), 8, "m", CHILD, 20));
    events.push(split(CHILD, epoch(1, 2), 8, "t", RegionId(3), 30));
    events.push(Event::ChangePeers {
        region: PARENT,
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(9),
        change: PeerChange::Remove { peer: PeerId(10) },
    });
    for (region, own) in [(CHILD, 20), (CHILD, 22)] {
        for incarnation in creations(store, region) {
            events.push(Event::Destroy {
                region,
                incarnation: Some(incarnation),
                peer: PeerId(own),
                cause: DestroyCause::Removed { epoch: epoch(2, 2) },
            });
            events.push(Event::Damage {
                region,
                incarnation,
                reason: DamageReason::StoreReplaced,
            });
        }
    }
    events.push(Event::Destroy {
        region: CHILD,
        incarnation: None,
        peer: PeerId(20),
        cause: DestroyCause::LargerPeer { peer: PeerId(22) },
    });
    for (deletion, _) in store.decided.deletions() {
        events.push(Event::FinishDeletion { deletion });
    }
    events.push(Event::FinishDeletion {
        deletion: DeletionId {
            lsn: Lsn::new(u64::MAX),
            ordinal: 0,
        },
    });
}

/// Snapshots arrive, end and are given up, and keys are cleared.
pub(super) fn arriving(store: &Store, parents_too: bool, events: &mut Vec<Event>) {
    for (region, description, index) in on_their_way(parents_too) {
        for incarnation in creations(store, region) {
            events.push(Event::BeginSnapshot {
                region,
                incarnation,
                description: description.clone(),
                snapshot: snapshot(index),
                sources: Vec::new(),
            });
            events.push(Event::EndSnapshot {
                region,
                incarnation,
                floor: Floor { index, barrier: 1 },
            });
        }
    }
    for region in [PARENT, CHILD] {
        for incarnation in creations(store, region) {
            events.push(Event::AbortSnapshot {
                region,
                incarnation,
                reason: AbortReason::StagedFileLost,
            });
        }
    }
    let deletions = store.decided.deletions();
    events.extend(deletions.map(|(deletion, _)| Event::FinishDeletion { deletion }));
}
