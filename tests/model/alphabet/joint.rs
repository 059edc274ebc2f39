//! One region whose peers change: through joint consensus and one by one, learners, witnesses and the way
//! back to data, flashback; with entries that are behind, ahead, or make no sense.

use torrens::lifecycle::{DamageReason, Event};
use torrens::{KeyRange, Peer, PeerChange, PeerId, Region, RegionEpoch, StoreId, WitnessSwitch};

use super::{CHILD, PARENT, applied, at, bootstrap, creations, deletions, epoch, peer, split};
use crate::model::store::Store;

pub(super) fn beginning() -> Vec<Event> {
    bootstrap()
}

fn change(epoch: RegionEpoch, index: u64, change: PeerChange) -> Event {
    Event::ChangePeers {
        region: PARENT,
        incarnation: None,
        epoch,
        position: at(index),
        change,
    }
}

fn enter(epoch: RegionEpoch, index: u64, changes: Vec<PeerChange>) -> Event {
    Event::EnterJoint {
        region: PARENT,
        incarnation: None,
        epoch,
        position: at(index),
        changes,
    }
}

fn leave(epoch: RegionEpoch, index: u64) -> Event {
    Event::LeaveJoint {
        region: PARENT,
        incarnation: None,
        epoch,
        position: at(index),
    }
}

fn switch(epoch: RegionEpoch, index: u64, own: u64, witness: bool) -> Event {
    let peer = PeerId(own);
    Event::SwitchWitness {
        region: PARENT,
        incarnation: None,
        epoch,
        position: at(index),
        switches: vec![WitnessSwitch { peer, witness }],
    }
}

/// The region with three peers, this store's a witness or not.
fn three(conf_ver: u64, is_witness: bool) -> Region {
    let own = Peer {
        is_witness,
        ..peer(10, 1)
    };
    Region {
        id: PARENT,
        range: KeyRange::all(),
        epoch: epoch(conf_ver, 1),
        peers: vec![own, Peer::learner(PeerId(11), StoreId(2)), peer(12, 3)],
    }
}

pub(super) fn events(store: &Store, events: &mut Vec<Event>) {
    let added = PeerChange::Add { peer: peer(12, 3) };
    let demoted = PeerChange::Demote { peer: PeerId(11) };
    // c1 → c3 (joint) → c5; there a switch to a witness (c6) and back (c7), a promotion (c6), the end.
    events.push(enter(epoch(1, 1), 6, vec![demoted, added]));
    events.push(leave(epoch(3, 1), 7));
    events.push(switch(epoch(5, 1), 8, 10, true));
    events.push(switch(epoch(6, 1), 9, 10, false));
    let promoted = PeerChange::Promote { peer: PeerId(11) };
    events.push(change(epoch(5, 1), 8, promoted));
    events.push(change(epoch(7, 1), 10, promoted));
    let removed = PeerChange::Remove { peer: PeerId(10) };
    events.push(change(epoch(6, 1), 10, removed));
    // Legal, but not while the region is in joint consensus, in flashback, or without data.
    events.push(change(
        epoch(3, 1),
        7,
        PeerChange::Add { peer: peer(13, 4) },
    ));
    events.push(enter(epoch(1, 1), 6, vec![demoted]));
    events.push(leave(epoch(1, 1), 6));
    events.push(leave(epoch(5, 1), 8));
    // Of a peer that is not there, that already is what it should become, on a store that has one.
    events.push(change(
        epoch(1, 1),
        6,
        PeerChange::Remove { peer: PeerId(99) },
    ));
    events.push(change(
        epoch(1, 1),
        6,
        PeerChange::Promote { peer: PeerId(11) },
    ));
    events.push(change(
        epoch(1, 1),
        6,
        PeerChange::Add { peer: peer(14, 2) },
    ));
    // Modes, and what is not asked of a peer in each of them.
    for (epoch, index) in [(epoch(1, 1), 6), (epoch(5, 1), 8)] {
        events.push(Event::BeginFlashback {
            region: PARENT,
            incarnation: None,
            epoch,
            position: at(index),
        });
        events.push(Event::EndFlashback {
            region: PARENT,
            incarnation: None,
            epoch,
            position: at(index + 1),
        });
    }
    events.push(split(PARENT, epoch(1, 1), 7, "", CHILD, 20));
    events.push(split(PARENT, epoch(1, 1), 7, "m", CHILD, 20));
    for incarnation in creations(store, PARENT) {
        events.push(Event::Damage {
            region: PARENT,
            incarnation,
            reason: DamageReason::StoreReplaced,
        });
        events.push(Event::LoadRequest {
            region: PARENT,
            incarnation,
            epoch: epoch(1, 1),
        });
        events.push(Event::InstallWitness {
            region: PARENT,
            incarnation,
            description: three(6, true),
            position: at(20),
            sources: Vec::new(),
        });
        events.push(Event::InstallWitness {
            region: PARENT,
            incarnation,
            description: three(7, false),
            position: at(20),
            sources: Vec::new(),
        });
    }
    applied(store, &three(7, false), 20, events);
    deletions(store, events);
}
