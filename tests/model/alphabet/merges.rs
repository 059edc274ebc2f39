//! Two neighbours, one of which is merged into the other: prepared, committed, rolled back and tried again,
//! with late entries of another attempt, a source or a target that is lost, and snapshots that heal.

use torrens::lifecycle::{DamageReason, Event};
use torrens::{DestroyCause, PeerId, RaftPosition, Region, RegionEpoch, RegionId};

use super::{
    CHILD, PARENT, applied, at, bootstrap, creations, deletions, described, epoch, range, snapshot,
    split,
};
use crate::model::store::Store;

/// Two neighbours that a split made, both at version 2.
pub(super) fn beginning() -> Vec<Event> {
    let mut events = bootstrap();
    events.push(split(PARENT, epoch(1, 1), 6, "m", CHILD, 20));
    events
}

fn target(range: torrens::KeyRange) -> Region {
    described(PARENT, range, epoch(1, 2), 10)
}

fn prepare(epoch: RegionEpoch, position: RaftPosition, target: Region) -> Event {
    Event::PrepareMerge {
        region: CHILD,
        incarnation: None,
        epoch,
        position,
        target,
        min_index: 6,
    }
}

fn commit(source: RegionEpoch, attempt: u64) -> Event {
    Event::CommitMerge {
        region: PARENT,
        incarnation: None,
        epoch: epoch(1, 2),
        position: at(8),
        source: described(CHILD, range("m", ""), source, 20),
        commit: attempt,
    }
}

fn rollback(epoch: RegionEpoch, position: u64, attempt: u64) -> Event {
    Event::RollbackMerge {
        region: CHILD,
        incarnation: None,
        epoch,
        position: at(position),
        commit: attempt,
    }
}

/// One attempt, which the target's log takes in or the source's log takes back.
pub(super) fn attempt() -> Vec<Event> {
    vec![
        prepare(epoch(1, 2), at(7), target(range("", "m"))),
        commit(epoch(2, 3), 7),
        rollback(epoch(2, 3), 9, 7),
    ]
}

pub(super) fn events(store: &Store, events: &mut Vec<Event>) {
    events.extend(attempt());
    // Again after the rollback; and late entries that speak of the wrong attempt, or of none.
    events.push(prepare(epoch(2, 4), at(11), target(range("", "m"))));
    events.push(commit(epoch(3, 5), 11));
    events.push(rollback(epoch(3, 5), 13, 7));
    events.push(rollback(epoch(3, 5), 13, 11));
    events.push(rollback(epoch(1, 2), 7, 7));
    // A target that does not lie beside it; a source that is to change while it stands still.
    events.push(prepare(epoch(1, 2), at(7), target(range("", "c"))));
    events.push(split(CHILD, epoch(2, 3), 10, "t", RegionId(3), 30));
    events.push(split(CHILD, epoch(1, 2), 7, "t", RegionId(3), 30));
    for incarnation in creations(store, CHILD) {
        events.push(Event::Damage {
            region: CHILD,
            incarnation,
            reason: DamageReason::StoreReplaced,
        });
        events.push(Event::Destroy {
            region: CHILD,
            incarnation: Some(incarnation),
            peer: PeerId(20),
            cause: DestroyCause::Merged { target: PARENT },
        });
    }
    // Of the source, before it heard of the merge.
    let source = described(CHILD, range("m", ""), epoch(1, 2), 20);
    applied(store, &source, 6, events);
    // Of the merged region, over a source that is still here, and over one that is not.
    let merged = described(PARENT, torrens::KeyRange::all(), epoch(1, 4), 10);
    applied(store, &merged, 20, events);
    for incarnation in creations(store, PARENT) {
        events.push(Event::BeginSnapshot {
            region: PARENT,
            incarnation,
            description: merged.clone(),
            snapshot: snapshot(20),
            sources: vec![CHILD],
        });
    }
    deletions(store, events);
}
