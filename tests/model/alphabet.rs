//! What may happen in the model: a fixed set of committed entries, messages, snapshots and wishes, and
//! late work of creations that ended. Each names what its sender knew, so most can happen once only and
//! the search ends by itself.

use torrens::lifecycle::{
    AbortReason, DamageReason, DeletionId, Event, EvictReason, Floor, SnapshotRef,
};
use torrens::{
    Derive, DestroyCause, Incarnation, Key, KeyRange, NewRegion, Peer, PeerChange, PeerId,
    PeerRole, RaftPosition, Region, RegionEpoch, RegionId, Split, StoreId,
};
use torrens_journal::Lsn;

use super::Store;

const STORE: StoreId = StoreId(1);
const PARENT: RegionId = RegionId(1);
const CHILD: RegionId = RegionId(2);

/// Which families of events take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alphabet {
    /// Messages, splits, changes of peers, destroys, damage.
    pub(crate) peers: bool,
    /// Snapshots for the parent too, not only for the child.
    pub(crate) parent_snapshots: bool,
    /// Loads and evictions.
    pub(crate) caches: bool,
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
pub(crate) fn bootstrap() -> Vec<Event> {
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

/// Snapshots that are on their way, whoever they are for: region, description, index.
fn snapshots(parents_too: bool) -> Vec<(RegionId, Region, u64)> {
    let describe = |id, range, epoch, own| Region {
        id,
        range,
        epoch,
        peers: vec![peer(own, 1), peer(own + 1, 2)],
    };
    let mut all = vec![
        (CHILD, describe(CHILD, range("m", ""), epoch(1, 2), 20), 9),
        (CHILD, describe(CHILD, range("m", ""), epoch(3, 2), 22), 30),
    ];
    if parents_too {
        let whole = || describe(PARENT, KeyRange::all(), epoch(1, 4), 10);
        all.push((
            PARENT,
            describe(PARENT, range("", "m"), epoch(1, 2), 10),
            40,
        ));
        // Two of one epoch: the older may come late.
        all.push((PARENT, whole(), 45));
        all.push((PARENT, whole(), 50));
    }
    all
}

impl Alphabet {
    /// Everything that may be asked of a store in that state.
    pub(crate) fn events(&self, store: &Store) -> Vec<Event> {
        let mut events = Vec::new();
        if self.peers {
            self.peers(store, &mut events);
        } else {
            events.push(split(PARENT, epoch(1, 1), 8, "m", CHILD, 20));
        }
        self.snapshots(store, &mut events);
        for region in [PARENT, CHILD] {
            if self.caches {
                caches(store, region, &mut events);
            }
        }
        events
    }

    fn peers(&self, store: &Store, events: &mut Vec<Event>) {
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

    fn snapshots(&self, store: &Store, events: &mut Vec<Event>) {
        for (region, description, index) in snapshots(self.parent_snapshots) {
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

/// Everything that may be asked of a cache. A load names the version that the caller sees.
fn caches(store: &Store, region: RegionId, events: &mut Vec<Event>) {
    let seen = store.published.peer(region).map(|peer| peer.stage.epoch());
    for incarnation in creations(store, region) {
        events.push(Event::LoadRequest {
            region,
            incarnation,
            epoch: seen.unwrap_or(RegionEpoch::BOOTSTRAP),
        });
        events.push(Event::LoadBegin {
            region,
            incarnation,
        });
        events.push(Event::LoadEnd {
            region,
            incarnation,
        });
        events.push(Event::LoadCancel {
            region,
            incarnation,
            reason: EvictReason::LoadFailed,
        });
    }
    events.push(Event::Evict {
        region,
        reason: EvictReason::Requested,
    });
    events.push(Event::EvictBegin { region });
    events.push(Event::EvictEnd { region });
}
