//! What may happen in a model: a fixed set of committed entries, messages, snapshots and wishes, and late
//! work of creations that ended. Each names what its sender knew, so most can happen once only and the
//! search ends by itself.
//!
//! One file for each alphabet. A new one (who observes a region, say) is a file here, a variant of
//! [`Alphabet`], and a search of its own in `tests/model_check.rs`.

mod caches;
mod joint;
mod merges;
mod orders;
mod peers;
mod snapshots;

use torrens::lifecycle::{AbortReason, Event, Floor, SnapshotRef};
use torrens::{
    Derive, Incarnation, Key, KeyRange, NewRegion, Peer, PeerId, PeerRole, RaftPosition, Region,
    RegionEpoch, RegionId, Split, StoreId,
};

use super::store::Store;

const STORE: StoreId = StoreId(1);
const PARENT: RegionId = RegionId(1);
const CHILD: RegionId = RegionId(2);

/// Which events take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Messages, splits, own removal, destroys, damage, snapshots.
    Peers,
    /// Loads and evictions beside a split and snapshots.
    Caches,
    /// Loads and evictions beside a merge and its rollback.
    MergedCaches,
    /// Merges: prepared, committed, rolled back and tried again, with sources that are lost.
    Merges,
    /// Joint consensus, learners, witnesses and the way back, flashback.
    Joint,
    /// Reservations of snapshots that overlap, with data and without.
    Snapshots,
    /// What operators order, and bootstraps in steps.
    Orders,
}

impl Alphabet {
    /// What has happened before the search begins.
    pub(crate) fn beginning(self) -> Vec<Event> {
        match self {
            Alphabet::Peers | Alphabet::Caches => bootstrap(),
            Alphabet::MergedCaches | Alphabet::Merges => merges::beginning(),
            Alphabet::Joint => joint::beginning(),
            Alphabet::Snapshots => snapshots::beginning(),
            Alphabet::Orders => Vec::new(),
        }
    }

    /// Everything that may be asked of a store in that state.
    pub(crate) fn events(self, store: &Store) -> Vec<Event> {
        let mut events = Vec::new();
        match self {
            Alphabet::Peers => peers::events(store, &mut events),
            Alphabet::Caches => caches::events(store, &mut events),
            Alphabet::MergedCaches => caches::merged(store, &mut events),
            Alphabet::Merges => merges::events(store, &mut events),
            Alphabet::Joint => joint::events(store, &mut events),
            Alphabet::Snapshots => snapshots::events(store, &mut events),
            Alphabet::Orders => orders::events(store, &mut events),
        }
        events
    }
}

fn peer(id: u64, store: u64) -> Peer {
    Peer {
        id: PeerId(id),
        store: StoreId(store),
        role: PeerRole::Voter,
        is_witness: false,
    }
}

fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

fn epoch(conf_ver: u64, version: u64) -> RegionEpoch {
    RegionEpoch { conf_ver, version }
}

fn range(start: &str, end: &str) -> KeyRange {
    let end = (!end.is_empty()).then_some(end.as_bytes());
    KeyRange::new(start.as_bytes(), end).expect("a range of the alphabet")
}

/// An open store with region 1 on stores 1 and 2.
fn bootstrap() -> Vec<Event> {
    let region = Region {
        id: PARENT,
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer(10, 1), peer(11, 2)],
    };
    vec![
        Event::NewDataStore {
            generation: [1; 16],
        },
        Event::Identify { store: STORE },
        Event::Bootstrap {
            store: STORE,
            region,
        },
        Event::Barrier {
            number: 1,
            floors: Vec::new(),
        },
    ]
}

fn snapshot(index: u64) -> SnapshotRef {
    SnapshotRef {
        position: at(index),
        id: 1,
        checksum: 1,
        bytes: 1,
        rows: 1,
    }
}

/// The creation that lives and the last one that ended.
fn creations(store: &Store, region: RegionId) -> Vec<Incarnation> {
    let live = store.decided.incarnation(region);
    let ghost = store.ghosts.get(&region).copied();
    live.into_iter().chain(ghost).collect()
}

fn split(
    region: RegionId,
    epoch: RegionEpoch,
    index: u64,
    boundary: &str,
    child: RegionId,
    own: u64,
) -> Event {
    Event::Split(Split {
        region,
        incarnation: None,
        epoch,
        position: at(index),
        boundaries: vec![Key::from(boundary.as_bytes())],
        children: vec![NewRegion {
            id: child,
            peers: vec![peer(own, 1), peer(own + 1, 2)],
        }],
        derive: Derive::Left,
    })
}

/// A region on stores 1 and 2; its peers are `own` and the next one.
fn described(id: RegionId, range: KeyRange, epoch: RegionEpoch, own: u64) -> Region {
    Region {
        id,
        range,
        epoch,
        peers: vec![peer(own, 1), peer(own + 1, 2)],
    }
}

/// The begin of a snapshot of that description, for whoever may think that it is for them, and its ends.
fn applied(store: &Store, description: &Region, index: u64, events: &mut Vec<Event>) {
    let region = description.id;
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
        events.push(Event::AbortSnapshot {
            region,
            incarnation,
            reason: AbortReason::StagedFileLost,
        });
    }
}

fn deletions(store: &Store, events: &mut Vec<Event>) {
    let deletions = store.decided.deletions();
    events.extend(deletions.map(|(deletion, _)| Event::FinishDeletion { deletion }));
}
