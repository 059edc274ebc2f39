//! The gate of messages as a host uses it: a late split, first messages that wait for it, a snapshot
//! that is reserved before Raft has it, and what a restart makes of that.

use torrens::lifecycle::{GateAnswer, GateDrop, MessageHeader, MessageKind, Owner, ParkingLot};
use torrens::{Answer, Engine, KeyRange, PeerId, Refusal, Region, RegionEpoch, RegionId, StoreId};

use crate::support::*;

const CHILD: RegionId = RegionId(2);

fn vote(to_peer: u64, range: Option<KeyRange>) -> MessageHeader {
    MessageHeader {
        region: CHILD,
        to_store: STORE,
        to_peer: PeerId(to_peer),
        from_store: StoreId(5),
        from_peer: PeerId(99),
        epoch: RegionEpoch {
            conf_ver: 1,
            version: 2,
        },
        range,
        kind: MessageKind::Vote { is_first: true },
    }
}

fn behind_m() -> KeyRange {
    KeyRange::new(key("m"), None::<torrens::Key>).unwrap()
}

#[test]
fn a_first_message_that_comes_before_the_split_waits_for_it() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let message = vote(20, Some(behind_m()));
    let answer = engine.gate(&message);
    assert_eq!(answer.code(), "defer-range-free", "{answer:?}");
    let mut parked = ParkingLot::default();
    assert_eq!(parked.park(CHILD, PeerId(20), message), None);
    split_at_m(&engine).unwrap();
    let message = parked.take(CHILD, PeerId(20)).unwrap();
    let created = incarnation(&engine, 2);
    assert_eq!(
        engine.gate(&message),
        GateAnswer::Deliver {
            incarnation: created
        }
    );
    destroy(&engine, 2, 20).unwrap();
    engine.wait_idle().unwrap();
    assert!(matches!(engine.gate(&message), GateAnswer::Stale(_)));
    engine.close().unwrap();
}

#[test]
fn a_permit_creates_the_peer_and_an_order_makes_room_for_it() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    let GateAnswer::Create(permit) = engine.gate(&vote(20, Some(behind_m()))) else {
        panic!("nobody is here");
    };
    holds(engine.create_permitted(permit)).unwrap();
    let answer = engine.gate(&vote(30, None));
    let GateAnswer::Destroy {
        incarnation,
        peer,
        cause,
    } = answer
    else {
        panic!("{answer:?}");
    };
    holds(engine.destroy(CHILD, RegionEpoch::NONE, Some(incarnation), peer, cause)).unwrap();
    let GateAnswer::Create(permit) = engine.gate(&vote(30, None)) else {
        panic!("the older peer went");
    };
    holds(engine.create_permitted(permit)).unwrap();
    let late = engine.gate(&vote(20, None));
    assert_eq!(
        late,
        GateAnswer::Drop(GateDrop::PeerStale { live: PeerId(30) })
    );
    engine.close().unwrap();
}

fn reserve(engine: &Engine, region: u64, start: &str) -> Answer {
    let description = Region {
        id: RegionId(region),
        range: KeyRange::new(key(start), None::<torrens::Key>).unwrap(),
        epoch: RegionEpoch {
            conf_ver: 2,
            version: 3,
        },
        peers: vec![peer(10 * region, STORE.0)],
    };
    let created = incarnation(engine, region);
    let answer = engine.reserve_snapshot(RegionId(region), created, description, at(9), &[]);
    answer.unwrap()
}

#[test]
fn keys_are_kept_free_for_one_snapshot_until_it_is_begun_dropped_or_the_process_ends() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    for region in [2, 3] {
        let (id, peer) = (RegionId(region), PeerId(10 * region));
        holds(engine.create_peer(id, peer, StoreId(5), RegionEpoch::BOOTSTRAP)).unwrap();
    }
    holds(Ok(reserve(&engine, 2, "m"))).unwrap();
    let refused = reserve(&engine, 3, "t");
    let Answer::Refused(Refusal::RangeReserved { by, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(by, CHILD);
    holds(engine.release_snapshot(CHILD, incarnation(&engine, 2))).unwrap();
    holds(Ok(reserve(&engine, 3, "t"))).unwrap();
    engine.wait_idle().unwrap();
    let (owners, created) = (
        engine.register().owners().collect::<Vec<_>>(),
        incarnation(&engine, 3),
    );
    let expected = Owner::Reservation {
        region: RegionId(3),
        incarnation: created,
    };
    assert!(
        owners.iter().any(|(_, owner)| *owner == expected),
        "{owners:?}"
    );
    engine.close().unwrap();
    // Raft asks again after a restart.
    let (engine, report) = world.open().unwrap();
    assert_eq!(report.resolved_back(), 1);
    assert_eq!(engine.register().owners().count(), 0);
    holds(Ok(reserve(&engine, 2, "m"))).unwrap();
    engine.close().unwrap();
}
