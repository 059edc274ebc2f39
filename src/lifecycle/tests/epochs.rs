//! Worked epochs, as TiKV has them.

use super::world::{World, at, epoch, key, range, region, split, voter, word};
use crate::lifecycle::{
    Derive, Effect, Event, INITIAL_POSITION, NewRegion, Outcome, PeerChange, PeerChangeFault,
    PeerStage, Refusal, Split, TombstoneCause, WitnessSwitch,
};
use crate::{Peer, PeerId, PeerRole, RegionId, StoreId};

fn change(world: &World, index: u64, change: PeerChange) -> Event {
    Event::ChangePeers {
        region: RegionId(1),
        incarnation: Some(world.incarnation(1)),
        epoch: world.description(1).epoch,
        position: at(index),
        change,
    }
}

#[test]
fn each_change_of_peers_adds_one_to_conf_ver_and_nothing_to_version() {
    let mut world = World::bootstrapped("", "");
    assert_eq!(world.description(1).epoch, epoch(1, 1));
    for (at, store) in [(6, 3), (7, 4), (8, 5)] {
        let add = change(
            &world,
            at,
            PeerChange::Add {
                peer: voter(10 + store, store),
            },
        );
        world.accept(&add);
    }
    assert_eq!(world.description(1).epoch, epoch(4, 1));
    let demote = change(&world, 9, PeerChange::Demote { peer: PeerId(12) });
    world.accept(&demote);
    let learner = world.description(1).peer(PeerId(12)).unwrap().role;
    assert_eq!(learner, PeerRole::Learner);
    let promote = change(&world, 10, PeerChange::Promote { peer: PeerId(12) });
    world.accept(&promote);
    let remove = change(&world, 11, PeerChange::Remove { peer: PeerId(15) });
    world.accept(&remove);
    assert_eq!(world.description(1).epoch, epoch(7, 1));
    assert_eq!(world.description(1).peers.len(), 4);
}

#[test]
fn own_removal_leaves_a_tombstone_at_the_new_conf_ver_and_a_deletion_in_one_record() {
    let mut world = World::bootstrapped("", "");
    let remove = change(&world, 6, PeerChange::Remove { peer: PeerId(11) });
    world.accept(&remove);
    let tombstone = world.register.tombstone(RegionId(1)).unwrap();
    assert_eq!(tombstone.epoch, epoch(2, 1));
    assert_eq!(tombstone.highest_peer, PeerId(11));
    assert_eq!(tombstone.cause, TombstoneCause::PeersChanged);
    assert_eq!(world.register.peer(RegionId(1)), None);
    assert_eq!(world.register.deletions().count(), 1);
}

#[test]
fn a_split_adds_one_to_version_for_each_new_region_and_all_parts_have_it() {
    for derive in [Derive::Left, Derive::Right] {
        let mut world = World::bootstrapped("", "");
        let child = |id| NewRegion {
            id: RegionId(id),
            peers: region(id, "", "", (1, 1)).peers,
        };
        world.accept(&Event::Split(Split {
            region: RegionId(1),
            incarnation: None,
            epoch: epoch(1, 1),
            position: at(6),
            boundaries: vec![key("d"), key("m"), key("t")],
            children: vec![child(2), child(3), child(4)],
            derive,
        }));
        let parts = match derive {
            Derive::Left => [(1, "", "d"), (2, "d", "m"), (3, "m", "t"), (4, "t", "")],
            Derive::Right => [(2, "", "d"), (3, "d", "m"), (4, "m", "t"), (1, "t", "")],
        };
        for (id, start, end) in parts {
            assert_eq!(world.description(id), region(id, start, end, (1, 4)));
            let PeerStage::Normal(normal) = &world.register.peer(RegionId(id)).unwrap().stage
            else {
                panic!("r{id} does not serve");
            };
            let expected = if id == 1 { at(6) } else { INITIAL_POSITION };
            assert_eq!(normal.meta_index, expected, "r{id}");
        }
    }
}

#[test]
fn a_split_in_two_makes_version_2() {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Right));
    assert_eq!(world.description(1).epoch, epoch(1, 2));
    assert_eq!(world.description(2).epoch, epoch(1, 2));
}

#[test]
fn an_entry_at_or_below_the_metadata_is_already_applied_whatever_its_epoch() {
    let mut world = World::bootstrapped("", "");
    let first = split(1, epoch(1, 1), 6, "m", 2, Derive::Left);
    world.accept(&first);
    assert_eq!(world.ask(&first), Outcome::AlreadyApplied);
    // A later entry with the old epoch is refused, with the region and what was split off.
    let late = split(1, epoch(1, 1), 7, "f", 3, Derive::Left);
    let Outcome::Refused(Refusal::EpochStale { current, .. }) = world.ask(&late) else {
        panic!("the epoch is stale");
    };
    let ids: Vec<_> = current.iter().map(|region| region.id.0).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn an_epoch_that_cannot_grow_is_refused_and_does_not_wrap() {
    let mut world = World::new();
    world.create(1);
    world.accept(&world.begin(region(1, "", "", (u64::MAX, u64::MAX)), 9));
    world.end(1, 9);
    let add = change(&world, 10, PeerChange::Add { peer: voter(13, 3) });
    let split = split(1, epoch(u64::MAX, u64::MAX), 10, "m", 2, Derive::Left);
    for event in [add, split] {
        assert!(matches!(
            world.ask(&event),
            Outcome::Refused(Refusal::EpochExhausted { .. })
        ));
    }
}

#[test]
fn reads_and_writes_compare_the_version_only() {
    let mut world = World::bootstrapped("", "");
    let add = change(&world, 6, PeerChange::Add { peer: voter(13, 3) });
    world.accept(&add);
    let register = &world.register;
    for conf_ver in [1, 2, 9] {
        assert!(register.admit_read(RegionId(1), epoch(conf_ver, 1)).is_ok());
        assert!(
            register
                .admit_write(RegionId(1), epoch(conf_ver, 1))
                .is_ok()
        );
    }
    let code = |version| {
        let admitted = register.admit_write(RegionId(1), epoch(2, version));
        admitted.unwrap_err().code()
    };
    assert_eq!((code(0), code(2)), ("epoch-stale", "epoch-ahead"));
}

fn joint(world: &World, index: u64, changes: Vec<PeerChange>) -> Event {
    Event::EnterJoint {
        region: RegionId(1),
        incarnation: Some(world.incarnation(1)),
        epoch: world.description(1).epoch,
        position: at(index),
        changes,
    }
}

fn leave(world: &World, index: u64) -> Event {
    Event::LeaveJoint {
        region: RegionId(1),
        incarnation: Some(world.incarnation(1)),
        epoch: world.description(1).epoch,
        position: at(index),
    }
}

fn roles(world: &World) -> Vec<(u64, PeerRole)> {
    let peers = world.description(1).peers;
    peers.iter().map(|peer| (peer.id.0, peer.role)).collect()
}

#[test]
fn joint_consensus_adds_one_for_each_change_and_one_for_each_role_that_leaving_settles() {
    let mut world = World::bootstrapped("", "");
    let add = |peer| PeerChange::Add { peer };
    let learner = Peer::learner(PeerId(14), StoreId(4));
    world.accept(&joint(
        &world,
        6,
        vec![
            add(voter(13, 3)),
            PeerChange::Demote { peer: PeerId(12) },
            add(learner),
        ],
    ));
    assert_eq!(world.description(1).epoch, epoch(4, 1));
    assert!(world.description(1).is_joint());
    assert_eq!(
        roles(&world),
        [
            (11, PeerRole::Voter),
            (12, PeerRole::DemotingVoter),
            (13, PeerRole::IncomingVoter),
            (14, PeerRole::Learner)
        ]
    );
    // Nothing but leaving may follow; a split takes the roles along.
    for event in [
        joint(
            &world,
            7,
            vec![
                PeerChange::Promote { peer: PeerId(14) },
                PeerChange::Remove { peer: PeerId(12) },
            ],
        ),
        change(&world, 7, PeerChange::Promote { peer: PeerId(14) }),
    ] {
        let Outcome::Refused(Refusal::InvalidPeerChange { fault, .. }) = world.ask(&event) else {
            panic!("{event:?}");
        };
        assert_eq!(fault, PeerChangeFault::Joint);
    }
    world.accept(&leave(&world, 7));
    // Two roles were settled; the learner's was settled before.
    assert_eq!(world.description(1).epoch, epoch(6, 1));
    assert_eq!(
        roles(&world),
        [
            (11, PeerRole::Voter),
            (12, PeerRole::Learner),
            (13, PeerRole::Voter),
            (14, PeerRole::Learner)
        ]
    );
    assert_eq!(world.ask(&leave(&world, 7)), Outcome::AlreadyApplied);
    assert_eq!(word(&world.ask(&leave(&world, 8))), "peer-change-invalid");
}

#[test]
fn every_rule_of_joint_consensus_has_its_own_answer() {
    let mut world = World::bootstrapped("", "");
    let learner = Peer::learner(PeerId(14), StoreId(4));
    world.accept(&change(&world, 6, PeerChange::Add { peer: learner }));
    let add = |peer| PeerChange::Add { peer };
    let (promote, remove, demote) = (
        |peer| PeerChange::Promote { peer: PeerId(peer) },
        |peer| PeerChange::Remove { peer: PeerId(peer) },
        |peer| PeerChange::Demote { peer: PeerId(peer) },
    );
    let joint_role = Peer {
        role: PeerRole::IncomingVoter,
        ..voter(15, 5)
    };
    let many = (0..65).map(|n| add(voter(100 + n, 100 + n))).collect();
    let other = Peer::learner(PeerId(16), StoreId(6));
    let cases = [
        (vec![], PeerChangeFault::TooFew { changes: 0 }),
        (vec![promote(14)], PeerChangeFault::TooFew { changes: 1 }),
        (many, PeerChangeFault::TooMany { changes: 65 }),
        (
            vec![promote(14), remove(14)],
            PeerChangeFault::Twice { peer: PeerId(14) },
        ),
        (
            vec![promote(14), remove(12)],
            PeerChangeFault::VoterRemoved { peer: PeerId(12) },
        ),
        (vec![add(other), remove(14)], PeerChangeFault::LearnersOnly),
        (
            vec![add(joint_role), promote(14)],
            PeerChangeFault::JointRole { peer: PeerId(15) },
        ),
    ];
    for (changes, expected) in cases {
        let event = joint(&world, 7, changes);
        let Outcome::Refused(Refusal::InvalidPeerChange { fault, .. }) = world.ask(&event) else {
            panic!("{event:?}");
        };
        assert_eq!(fault, expected);
    }
    assert_eq!(
        word(&world.ask(&joint(&world, 7, vec![promote(12), demote(11)]))),
        "role-unchanged"
    );
    assert_eq!(
        word(&world.ask(&joint(&world, 7, vec![promote(99), demote(11)]))),
        "peer-unknown"
    );
    // One peer per store, also in joint consensus.
    assert_eq!(
        word(&world.ask(&joint(&world, 7, vec![add(voter(17, 2)), promote(14)]))),
        "description-invalid"
    );
    let simple = change(&world, 7, add(joint_role));
    assert_eq!(word(&world.ask(&simple)), "peer-change-invalid");
}

#[test]
fn the_last_voter_is_never_removed_not_even_by_itself() {
    let mut world = World::bootstrapped("", "");
    world.accept(&change(&world, 6, PeerChange::Demote { peer: PeerId(12) }));
    for peer in [PeerId(11)] {
        for event in [PeerChange::Remove { peer }, PeerChange::Demote { peer }] {
            let answer = word(&world.ask(&change(&world, 7, event)));
            assert_eq!(answer, "description-invalid", "{event:?}");
        }
    }
}

#[test]
fn joint_consensus_may_remove_this_stores_own_learner_in_the_same_record() {
    let mut world = World::bootstrapped("", "");
    world.accept(&change(&world, 6, PeerChange::Demote { peer: PeerId(11) }));
    let changes = vec![
        PeerChange::Remove { peer: PeerId(11) },
        PeerChange::Add { peer: voter(13, 3) },
    ];
    world.accept(&joint(&world, 7, changes));
    assert_eq!(world.register.peer(RegionId(1)), None);
    let tombstone = world.register.tombstone(RegionId(1)).unwrap();
    assert_eq!(tombstone.epoch, epoch(4, 1));
    assert_eq!(tombstone.cause, TombstoneCause::PeersChanged);
}

#[test]
fn a_witness_gives_its_data_up_and_has_to_wait_for_it_when_it_is_none_any_more() {
    let mut world = World::bootstrapped("", "");
    let switch = |world: &World, index, witness| Event::SwitchWitness {
        region: RegionId(1),
        incarnation: None,
        epoch: world.description(1).epoch,
        position: at(index),
        switches: vec![
            WitnessSwitch {
                peer: PeerId(11),
                witness,
            },
            WitnessSwitch {
                peer: PeerId(12),
                witness,
            },
        ],
    };
    world.accept(&switch(&world, 6, true));
    assert_eq!(world.description(1).epoch, epoch(3, 1));
    let stage = |world: &World| world.register.peer(RegionId(1)).unwrap().stage.name();
    assert_eq!(stage(&world), "witness");
    // The keys stay the witness's own; what they held is cleared on its behalf.
    let owner = world.register.owner_of(b"k");
    assert_eq!(owner, Some(RegionId(1)));
    let pending: Vec<_> = world.register.deletions().collect();
    assert_eq!(pending.len(), 1);
    assert!(!pending[0].1.cause.owns_range());
    let read = world.register.admit_read(RegionId(1), epoch(3, 1));
    assert_eq!(read.unwrap_err().code(), "peer-is-witness");

    world.accept(&switch(&world, 7, false));
    assert_eq!(stage(&world), "waiting-for-data");
    let read = world.register.admit_read(RegionId(1), epoch(5, 1));
    assert_eq!(read.unwrap_err().code(), "waiting-for-data");
    // Not before the old data is cleared, or the clearing would take the new.
    let begin = world.begin(region(1, "", "", (5, 1)), 9);
    assert_eq!(word(&world.ask(&begin)), "range-busy");
    world.finish_deletions();
    world.accept(&begin);
    world.end(1, 9);
    assert!(world.register.admit_read(RegionId(1), epoch(5, 1)).is_ok());
}

#[test]
fn a_peer_with_data_that_a_snapshot_makes_a_witness_gives_all_of_it_up() {
    let mut world = World::bootstrapped("b", "y");
    let mut description = region(1, "f", "z", (2, 2));
    description.peers[0].is_witness = true;
    world.accept(&Event::InstallWitness {
        region: RegionId(1),
        incarnation: world.incarnation(1),
        description,
        position: at(9),
        sources: Vec::new(),
    });
    let pending: Vec<_> = world
        .register
        .deletions()
        .map(|(_, pending)| (pending.range.clone(), pending.cause.as_str()))
        .collect();
    assert_eq!(
        pending,
        [
            (range("b", "f"), "snapshot-shrank"),
            (range("f", "y"), "witness")
        ]
    );
    let cleared = world.effects.iter();
    let cleared = cleared.filter(|effect| matches!(effect, Effect::ClearRange { .. }));
    assert_eq!(cleared.count(), 2);
    // Another region may not move into the part that was given up before it is cleared.
    world.finish_deletions();
    assert_eq!(world.register.owner_at(b"c"), None);
    assert_eq!(world.register.owner_of(b"yy"), Some(RegionId(1)));
}
