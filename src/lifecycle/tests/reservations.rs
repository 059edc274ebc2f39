//! Keys that are kept free for a snapshot, from the look at it to its begin.

use super::world::{World, at, epoch, range, region, split, word};
use crate::lifecycle::{Derive, DestroyCause, Event, OpenOperation, Outcome, Owner};
use crate::{Incarnation, PeerId, Region, RegionId, StoreId};

fn reserve(world: &World, description: Region, index: u64) -> Event {
    Event::ReserveSnapshot {
        region: description.id,
        incarnation: world.incarnation(description.id.0),
        description,
        position: at(index),
        sources: Vec::new(),
    }
}

fn release(world: &World, id: u64) -> Event {
    Event::ReleaseSnapshot {
        region: RegionId(id),
        incarnation: world.incarnation(id),
    }
}

fn owner(id: u64, incarnation: Incarnation) -> Owner {
    Owner::Reservation {
        region: RegionId(id),
        incarnation,
    }
}

#[test]
fn two_snapshots_on_their_way_never_overlap() {
    let mut world = World::bootstrapped("", "c");
    let (first, _) = (world.create(2), world.create(3));
    world.accept(&reserve(&world, region(2, "c", "m", (1, 2)), 9));
    assert_eq!(world.register.owner_at(b"d"), Some(owner(2, first)));
    assert_eq!(world.register.owner_of(b"d"), None, "nobody serves it");
    for event in [
        reserve(&world, region(3, "f", "z", (1, 2)), 9),
        world.begin(region(3, "f", "z", (1, 2)), 9),
        Event::RecoverRegion {
            region: region(4, "f", "z", (1, 1)),
        },
    ] {
        assert_eq!(word(&world.ask(&event)), "range-reserved", "{event:?}");
    }
    world.accept(&reserve(&world, region(3, "m", "z", (1, 2)), 9));
    // Begun, the keys are the peer's; dropped by Raft, they are nobody's.
    world.accept(&world.begin(region(2, "c", "m", (1, 2)), 9));
    assert_eq!(world.register.owner_of(b"d"), Some(RegionId(2)));
    assert_eq!(world.register.reservation(RegionId(2)), None);
    world.accept(&release(&world, 3));
    assert_eq!(world.register.owner_at(b"n"), None);
    let again = release(&world, 3);
    assert_eq!(world.ask(&again), Outcome::AlreadyApplied);
}

#[test]
fn a_reservation_owns_only_what_nobody_has_and_the_newest_wins() {
    let mut world = World::bootstrapped("f", "m");
    let incarnation = world.incarnation(1);
    world.accept(&reserve(&world, region(1, "c", "t", (1, 2)), 9));
    let parts = |world: &World| {
        world
            .register
            .reservation(RegionId(1))
            .unwrap()
            .parts
            .clone()
    };
    assert_eq!(parts(&world), [range("c", "f"), range("m", "t")]);
    assert_eq!(world.register.owner_of(b"g"), Some(RegionId(1)));
    let newer = reserve(&world, region(1, "d", "z", (1, 3)), 10);
    world.accept(&newer);
    assert_eq!(parts(&world), [range("d", "f"), range("m", "z")]);
    assert_eq!(world.register.owner_at(b"c"), None);
    assert_eq!(world.register.owner_at(b"n"), Some(owner(1, incarnation)));
    assert_eq!(world.ask(&newer), Outcome::AlreadyApplied);
    let open = world.register.open_operations();
    assert!(matches!(open[..], [OpenOperation::Reservation { .. }]));
    world.accept(&world.begin(region(1, "d", "z", (1, 3)), 10));
    assert_eq!(world.register.owner_of(b"y"), Some(RegionId(1)));
}

#[test]
fn a_reservation_waits_for_keys_that_are_being_cleared() {
    let mut world = World::bootstrapped("", "");
    world.accept(&Event::Destroy {
        region: RegionId(1),
        incarnation: None,
        peer: PeerId(11),
        cause: DestroyCause::Operator,
    });
    world.create(2);
    let event = reserve(&world, region(2, "c", "m", (1, 2)), 9);
    assert_eq!(word(&world.ask(&event)), "range-busy");
    world.finish_deletions();
    world.accept(&event);
}

#[test]
fn a_reservation_ends_with_the_creation_that_it_was_for() {
    let mut world = World::bootstrapped("", "m");
    world.create(2);
    world.accept(&reserve(&world, region(2, "p", "z", (1, 5)), 9));
    let gone = release(&world, 2);
    // A split makes the same peer: what was on its way was for the predecessor.
    world.accept(&split(1, epoch(1, 1), 6, "f", 2, Derive::Left));
    assert_eq!(world.register.owner_at(b"q"), None);
    assert_eq!(word(&world.ask(&gone)), "incarnation-gone");
    let mut world = World::bootstrapped("", "m");
    world.create(2);
    world.accept(&reserve(&world, region(2, "p", "z", (1, 5)), 9));
    world.accept(&Event::Destroy {
        region: RegionId(2),
        incarnation: None,
        peer: PeerId(21),
        cause: DestroyCause::Operator,
    });
    assert_eq!(world.register.owner_at(b"q"), None);
    world.accept(&Event::CreateByMessage {
        region: RegionId(2),
        peer: PeerId(29),
        from_store: StoreId(2),
        message_epoch: epoch(1, 1),
    });
    assert_eq!(world.register.reservation(RegionId(2)), None);
}

#[test]
fn sources_that_a_reservation_knows_end_with_the_begin() {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    let description = region(1, "", "", (1, 5));
    let unknown = reserve(&world, description.clone(), 9);
    assert_eq!(word(&world.ask(&unknown)), "range-overlap");
    world.accept(&Event::ReserveSnapshot {
        region: RegionId(1),
        incarnation: world.incarnation(1),
        description: description.clone(),
        position: at(9),
        sources: vec![RegionId(2)],
    });
    // The keys are the source's until then.
    assert_eq!(world.register.owner_of(b"n"), Some(RegionId(2)));
    world.accept(&world.begin(description, 9));
    assert_eq!(world.last_change().kind_name(), "snapshot.begin-merged");
    assert_eq!(world.register.peer(RegionId(2)), None);
}
