//! A store that begins empty: it learns its id, is bootstrapped in steps or gives that up, has regions
//! recovered and destroyed by order, tombstones placed and collected, its data store replaced.

use torrens::lifecycle::{Event, FloorUpdate};
use torrens::{DestroyCause, KeyRange, PeerId, Region, RegionId, StoreId};

use super::{CHILD, PARENT, STORE, creations, deletions, described, epoch, range};
use crate::model::store::Store;

fn first() -> Region {
    described(PARENT, range("", "m"), epoch(1, 1), 10)
}

pub(super) fn events(store: &Store, events: &mut Vec<Event>) {
    for id in [1, 2, 0] {
        events.push(Event::Identify { store: StoreId(id) });
    }
    events.push(Event::PrepareBootstrap {
        store: STORE,
        region: first(),
    });
    events.push(Event::Bootstrap {
        store: STORE,
        region: first(),
    });
    events.push(Event::Bootstrap {
        store: STORE,
        region: described(CHILD, KeyRange::all(), epoch(1, 1), 20),
    });
    let region = PARENT;
    events.push(Event::ConfirmBootstrap { region });
    events.push(Event::AbandonBootstrap { region });
    events.push(Event::RecoverRegion {
        region: described(PARENT, range("", "m"), epoch(9, 9), 14),
    });
    events.push(Event::RecoverRegion {
        region: described(CHILD, range("c", ""), epoch(1, 1), 20),
    });
    events.push(Event::ForceVoters {
        region,
        incarnation: None,
        epoch: epoch(1, 1),
        failed: vec![StoreId(2)],
    });
    events.push(Event::ForceVoters {
        region,
        incarnation: None,
        epoch: epoch(1, 1),
        failed: vec![STORE],
    });
    for peer in [PeerId(12), PeerId(0)] {
        events.push(Event::PlaceTombstone {
            region,
            peer,
            epoch: epoch(1, 1),
        });
    }
    for highest_peer in [PeerId(10), PeerId(12)] {
        events.push(Event::CollectTombstone {
            region,
            highest_peer,
        });
    }
    for region in [PARENT, RegionId(0)] {
        events.push(Event::CreateByMessage {
            region,
            peer: PeerId(12),
            from_store: StoreId(2),
            message_epoch: epoch(1, 1),
        });
    }
    events.push(Event::Destroy {
        region,
        incarnation: None,
        peer: PeerId(10),
        cause: DestroyCause::Operator,
    });
    // Data is relied on, and then the data store is another one.
    let floors = creations(store, PARENT)
        .into_iter()
        .filter(|incarnation| store.decided.normal(PARENT, *incarnation).is_some());
    let floors = floors.map(|incarnation| FloorUpdate {
        region: PARENT,
        incarnation,
        index: 6,
    });
    events.push(Event::Barrier {
        number: 1,
        floors: floors.collect(),
    });
    for generation in [[2; 16], [3; 16]] {
        events.push(Event::NewDataStore { generation });
    }
    deletions(store, events);
}
