//! Bootstrap in steps, and what an operator orders.

use super::world::{STORE, World, at, epoch, range, region, voter, word};
use crate::lifecycle::{DestroyCause, Event, Outcome, PeerChange};
use crate::{PeerId, PeerRole, RegionId, StoreId};

fn prepare() -> Event {
    Event::PrepareBootstrap {
        store: STORE,
        region: region(1, "", "", (1, 1)),
    }
}

const CONFIRM: Event = Event::ConfirmBootstrap {
    region: RegionId(1),
};
const ABANDON: Event = Event::AbandonBootstrap {
    region: RegionId(1),
};

#[test]
fn the_removal_of_the_own_peer_that_is_sent_again_is_known_by_its_tombstone() {
    let remove = |epoch, peer| Event::ChangePeers {
        region: RegionId(1),
        incarnation: None,
        epoch,
        position: at(6),
        change: PeerChange::Remove { peer: PeerId(peer) },
    };
    let mut world = World::bootstrapped("", "");
    let incarnation = Some(world.incarnation(1));
    world.accept(&remove(epoch(1, 1), 11));
    assert_eq!(world.ask(&remove(epoch(1, 1), 11)), Outcome::AlreadyApplied);
    // Another entry, another peer, or somebody who means the creation that is gone.
    let late = |event| match event {
        Event::ChangePeers {
            region,
            epoch,
            position,
            change,
            ..
        } => Event::ChangePeers {
            region,
            incarnation,
            epoch,
            position,
            change,
        },
        other => other,
    };
    for (event, expected) in [
        (remove(epoch(2, 1), 11), "peer-tombstoned"),
        (remove(epoch(1, 1), 12), "peer-tombstoned"),
        (late(remove(epoch(1, 1), 11)), "incarnation-gone"),
    ] {
        assert_eq!(word(&world.ask(&event)), expected, "{event:?}");
    }
    // A destroy is no entry.
    let mut world = World::bootstrapped("", "");
    world.accept(&Event::Destroy {
        region: RegionId(1),
        incarnation: None,
        peer: PeerId(11),
        cause: DestroyCause::Operator,
    });
    let answer = world.ask(&remove(epoch(1, 1), 11));
    assert_eq!(word(&answer), "peer-tombstoned");
    // Through joint consensus, by as much as it has changes.
    let mut world = World::bootstrapped("", "");
    world.accept(&Event::ChangePeers {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(6),
        change: PeerChange::Demote { peer: PeerId(11) },
    });
    let joint = Event::EnterJoint {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(2, 1),
        position: at(7),
        changes: vec![
            PeerChange::Remove { peer: PeerId(11) },
            PeerChange::Add { peer: voter(13, 3) },
        ],
    };
    world.accept(&joint);
    assert_eq!(world.ask(&joint), Outcome::AlreadyApplied);
}

#[test]
fn a_prepared_bootstrap_serves_nothing_until_it_is_confirmed() {
    let mut world = World::new();
    world.accept(&prepare());
    // Asked again after a crash, by either name.
    assert_eq!(world.ask(&prepare()), Outcome::AlreadyApplied);
    let at_once = Event::Bootstrap {
        store: STORE,
        region: region(1, "", "", (1, 1)),
    };
    assert_eq!(word(&world.ask(&at_once)), "bootstrap-unconfirmed");
    let read = world.register.admit_read(RegionId(1), epoch(1, 1));
    assert_eq!(read.unwrap_err().code(), "bootstrap-unconfirmed");
    let add = Event::ChangePeers {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(6),
        change: PeerChange::Add { peer: voter(13, 3) },
    };
    assert_eq!(word(&world.ask(&add)), "bootstrap-unconfirmed");
    let begin = world.begin(region(1, "", "", (2, 1)), 9);
    assert_eq!(word(&world.ask(&begin)), "bootstrap-unconfirmed");

    world.accept(&CONFIRM);
    assert_eq!(world.ask(&CONFIRM), Outcome::AlreadyApplied);
    assert_eq!(world.ask(&at_once), Outcome::AlreadyApplied);
    assert!(world.register.admit_read(RegionId(1), epoch(1, 1)).is_ok());
    assert_eq!(word(&world.ask(&ABANDON)), "bootstrap-confirmed");
    world.accept(&add);
}

#[test]
fn whoever_loses_the_bootstrap_is_as_if_it_had_never_tried() {
    let mut world = World::new();
    assert_eq!(world.ask(&ABANDON), Outcome::AlreadyApplied);
    assert_eq!(word(&world.ask(&CONFIRM)), "region-not-found");
    world.accept(&prepare());
    world.accept(&ABANDON);
    assert_eq!(world.ask(&ABANDON), Outcome::AlreadyApplied);
    assert_eq!(world.register.slots().count(), 0, "not even a tombstone");
    // Its keys are cleared before anything else begins there.
    assert_eq!(word(&world.ask(&prepare())), "range-busy");
    world.finish_deletions();
    world.accept(&prepare());
}

#[test]
fn a_confirmed_region_that_went_was_never_abandoned() {
    let mut world = World::bootstrapped("", "");
    world.accept(&Event::Destroy {
        region: RegionId(1),
        incarnation: None,
        peer: PeerId(11),
        cause: DestroyCause::Operator,
    });
    assert_eq!(word(&world.ask(&ABANDON)), "bootstrap-confirmed");
}

#[test]
fn the_first_peer_of_a_region_holds_data() {
    let mut world = World::new();
    let mut witness = region(1, "", "", (1, 1));
    witness.peers[0].is_witness = true;
    for event in [
        Event::Bootstrap {
            store: STORE,
            region: witness.clone(),
        },
        Event::RecoverRegion { region: witness },
    ] {
        assert_eq!(word(&world.ask(&event)), "witness-mismatch");
    }
}

#[test]
fn a_region_is_recovered_once_where_nobody_owns_the_keys() {
    let mut world = World::bootstrapped("", "m");
    let recover = |id, start, end| Event::RecoverRegion {
        region: region(id, start, end, (1, 1)),
    };
    assert_eq!(word(&world.ask(&recover(2, "l", "z"))), "range-overlap");
    world.accept(&recover(2, "m", "z"));
    assert_eq!(world.ask(&recover(2, "m", "z")), Outcome::AlreadyApplied);
    assert_eq!(word(&world.ask(&recover(2, "m", "x"))), "region-lives");
    assert!(world.register.admit_write(RegionId(2), epoch(1, 1)).is_ok());
    world.accept(&Event::Destroy {
        region: RegionId(2),
        incarnation: None,
        peer: PeerId(21),
        cause: DestroyCause::Operator,
    });
    assert_eq!(word(&world.ask(&recover(2, "m", "z"))), "peer-tombstoned");
    assert_eq!(word(&world.ask(&recover(3, "m", "z"))), "range-busy");
    world.finish_deletions();
    world.accept(&recover(3, "m", "z"));
    let mut elsewhere = region(4, "z", "", (1, 1));
    elsewhere.peers.remove(0);
    let elsewhere = Event::RecoverRegion { region: elsewhere };
    assert_eq!(word(&world.ask(&elsewhere)), "peer-not-listed");
}

#[test]
fn a_single_replica_is_left_to_vote_when_an_operator_says_so() {
    let mut world = World::bootstrapped("", "");
    world.accept(&Event::ChangePeers {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(6),
        change: PeerChange::Add { peer: voter(13, 3) },
    });
    world.accept(&Event::EnterJoint {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(2, 1),
        position: at(7),
        changes: vec![
            PeerChange::Demote { peer: PeerId(12) },
            PeerChange::Add { peer: voter(14, 4) },
        ],
    });
    let force = |conf_ver, failed: &[u64]| Event::ForceVoters {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(conf_ver, 1),
        failed: failed.iter().copied().map(StoreId).collect(),
    };
    assert_eq!(word(&world.ask(&force(4, &[1, 2]))), "peer-change-invalid");
    assert_eq!(word(&world.ask(&force(3, &[2, 3]))), "epoch-stale");
    world.accept(&force(4, &[2, 3]));
    // The demoting voter, the failed voter and the incoming one changed; one entry did not.
    assert_eq!(world.description(1).epoch, epoch(7, 1));
    let roles: Vec<_> = world.description(1).peers.iter().map(|p| p.role).collect();
    let (voter, learner) = (PeerRole::Voter, PeerRole::Learner);
    assert_eq!(roles, [voter, learner, learner, voter]);
    assert_eq!(world.ask(&force(7, &[2, 3])), Outcome::AlreadyApplied);
    world.accept(&force(7, &[4]));
    let last = world.description(1).peers[3].role;
    assert_eq!(last, learner);
    let position = world.register.peer(RegionId(1)).unwrap().stage.meta_index();
    assert_eq!(position, Some(at(7)), "no entry was applied");
}

#[test]
fn a_tombstone_is_placed_and_fences_and_is_collected_on_the_hosts_word_only() {
    let mut world = World::bootstrapped("", "m");
    let place = |peer| Event::PlaceTombstone {
        region: RegionId(7),
        peer: PeerId(peer),
        epoch: epoch(4, 4),
    };
    let collect = |peer| Event::CollectTombstone {
        region: RegionId(7),
        highest_peer: PeerId(peer),
    };
    let create = |peer| Event::CreateByMessage {
        region: RegionId(7),
        peer: PeerId(peer),
        from_store: StoreId(2),
        message_epoch: epoch(1, 1),
    };
    world.accept(&place(71));
    assert_eq!(world.ask(&place(71)), Outcome::AlreadyApplied);
    assert_eq!(word(&world.ask(&create(71))), "peer-tombstoned");
    world.accept(&create(75));
    assert_eq!(word(&world.ask(&place(80))), "region-lives");
    assert_eq!(word(&world.ask(&collect(80))), "region-lives");
    let description = {
        let mut description = region(7, "m", "t", (5, 5));
        description.peers[0].id = PeerId(75);
        description
    };
    world.accept(&world.begin(description, 9));
    world.end(7, 9);
    world.accept(&Event::Destroy {
        region: RegionId(7),
        incarnation: None,
        peer: PeerId(75),
        cause: DestroyCause::Operator,
    });
    // Not while its keys are being cleared; not below the last peer.
    assert_eq!(word(&world.ask(&collect(75))), "range-busy");
    world.finish_deletions();
    assert_eq!(word(&world.ask(&collect(74))), "peer-tombstoned");
    world.accept(&collect(75));
    assert_eq!(world.register.slot(RegionId(7)), None);
    assert_eq!(world.ask(&collect(75)), Outcome::AlreadyApplied);
    assert_eq!(world.register.owner_at(b"n"), None);
    assert!(range("m", "t").contains(b"n"));
    for (region, peer, expected) in [(0, 1, "id-zero"), (8, 0, "id-zero")] {
        let zero = Event::PlaceTombstone {
            region: RegionId(region),
            peer: PeerId(peer),
            epoch: epoch(1, 1),
        };
        assert_eq!(word(&world.ask(&zero)), expected);
    }
}
