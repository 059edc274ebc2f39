//! Worked epochs, as TiKV has them.

use super::world::{World, at, epoch, key, region, split, voter};
use crate::lifecycle::{
    Derive, Event, INITIAL_POSITION, NewRegion, Outcome, PeerChange, PeerStage, Refusal, Split,
    TombstoneCause,
};
use crate::{PeerId, PeerRole, RegionId};

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
