//! Snapshots on their way whose ranges overlap: reserved, dropped by Raft, begun, ended, given up; with data,
//! as a witness, over keys that are still cleared, for a replica that is gone, and one of another region.

use torrens::lifecycle::{Event, Floor};
use torrens::{DestroyCause, PeerId, Region, RegionId};

use super::{
    CHILD, PARENT, applied, at, bootstrap, creations, deletions, described, epoch, range, snapshot,
};
use crate::model::store::Store;

const OTHER: RegionId = RegionId(3);

/// Region 1 ends before the keys that the snapshots bring.
pub(super) fn beginning() -> Vec<Event> {
    let mut events = bootstrap();
    for event in &mut events {
        if let Event::Bootstrap { region, .. } = event {
            region.range = range("", "f");
        }
    }
    events
}

/// What arrives, and at which index. The first two overlap.
fn arriving() -> [(Region, u64); 3] {
    [
        (described(CHILD, range("m", "t"), epoch(1, 2), 20), 9),
        (described(OTHER, range("p", ""), epoch(1, 2), 30), 9),
        (described(CHILD, range("f", "p"), epoch(1, 3), 20), 12),
    ]
}

pub(super) fn events(store: &Store, events: &mut Vec<Event>) {
    for (region, own) in [(CHILD, 20), (OTHER, 30)] {
        events.push(Event::CreateByMessage {
            region,
            peer: PeerId(own),
            from_store: torrens::StoreId(2),
            message_epoch: epoch(1, 2),
        });
    }
    for (description, index) in arriving() {
        let region = description.id;
        for incarnation in creations(store, region) {
            events.push(Event::ReserveSnapshot {
                region,
                incarnation,
                description: description.clone(),
                position: at(index),
                sources: Vec::new(),
            });
        }
        applied(store, &description, index, events);
    }
    for region in [CHILD, OTHER] {
        for incarnation in creations(store, region) {
            events.push(Event::ReleaseSnapshot {
                region,
                incarnation,
            });
        }
    }
    for incarnation in creations(store, CHILD) {
        events.push(Event::Destroy {
            region: CHILD,
            incarnation: Some(incarnation),
            peer: PeerId(20),
            cause: DestroyCause::Operator,
        });
        // Of another region; of a peer that it does not list; without data for a peer that holds some;
        // of a version that is behind; an end that names a barrier that never was.
        let other = described(OTHER, range("p", ""), epoch(1, 2), 30);
        let stranger = described(CHILD, range("m", "t"), epoch(1, 2), 24);
        let older = described(CHILD, range("m", "t"), epoch(1, 1), 20);
        for description in [other, stranger, older] {
            events.push(Event::BeginSnapshot {
                region: CHILD,
                incarnation,
                description,
                snapshot: snapshot(30),
                sources: Vec::new(),
            });
        }
        events.push(Event::InstallWitness {
            region: CHILD,
            incarnation,
            description: described(CHILD, range("m", "t"), epoch(1, 2), 20),
            position: at(9),
            sources: Vec::new(),
        });
        events.push(Event::EndSnapshot {
            region: CHILD,
            incarnation,
            floor: Floor {
                index: 9,
                barrier: 7,
            },
        });
        // The range reaches into a region that lives.
        events.push(Event::BeginSnapshot {
            region: CHILD,
            incarnation,
            description: described(CHILD, range("c", "p"), epoch(1, 3), 20),
            snapshot: snapshot(12),
            sources: vec![PARENT],
        });
    }
    deletions(store, events);
}
