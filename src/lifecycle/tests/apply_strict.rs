//! Records that did not follow the state: each is an error that changes nothing, or at worst leaves
//! a state in which every invariant holds.

use torrens_journal::Lsn;

use super::histories::{Random, history};
use super::world::{World, at, key, region, snapshot, voter};
use crate::lifecycle::{
    ApplyError, Cause, Change, ChildFate, Derive, Event, EvictReason, FloorUpdate, PeerChange,
    Record, RecordHeader, SplitChild, Stamp, apply,
};
use crate::{Incarnation, PeerId, RegionId};

#[test]
fn a_record_of_another_history_is_refused_unchanged_or_keeps_every_invariant() {
    let (mut refused, mut applied) = (0, 0);
    for seed in 0..60 {
        println!("seed {seed}");
        let target = history(seed, 120);
        let source = history(seed + 1000, 120);
        let mut random = Random(seed);
        for (_, record) in &source.records {
            // Its header is made to fit, so that only the change itself can be wrong.
            let stamp = Stamp {
                wall_clock_micros: 0,
                boot: 1,
                cause: Cause::Host,
            };
            let record = Record::new(&target.register, record.change.clone(), stamp);
            let mut register = target.register.clone();
            let gap = 1 + random.below(3);
            let lsn = register.last_lsn().checked_add(gap).unwrap();
            match apply(&mut register, lsn, &record) {
                Ok(()) => {
                    applied += 1;
                    register
                        .check_invariants()
                        .unwrap_or_else(|violation| panic!("{record:?}: {violation}"));
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(register, target.register, "{record:?}: {error}");
                }
            }
        }
    }
    assert!(
        refused > 400 && applied > 100,
        "{refused} refused, {applied} applied"
    );
}

#[test]
fn a_header_that_does_not_fit_the_state_is_refused() {
    let world = World::bootstrapped("", "");
    let mut after = world.clone();
    after.accept(&Event::Destroy {
        region: RegionId(1),
        incarnation: None,
        peer: crate::PeerId(11),
        cause: crate::lifecycle::DestroyCause::Operator,
    });
    let (lsn, good) = after.records.last().unwrap().clone();
    let with = |header: RecordHeader| {
        let mut register = world.register.clone();
        let change = good.change.clone();
        let outcome = apply(&mut register, lsn, &Record { header, change });
        (outcome.is_err()).then(|| assert_eq!(register, world.register));
        outcome
    };
    assert_eq!(with(good.header), Ok(()));
    let none = RecordHeader {
        region: None,
        ..good.header
    };
    assert!(matches!(with(none), Err(ApplyError::Region { .. })));
    let incarnation = Some(Incarnation::new(Lsn::new(77)));
    let other = RecordHeader {
        incarnation,
        ..good.header
    };
    assert!(matches!(with(other), Err(ApplyError::Incarnation { .. })));
    let skipped = RecordHeader {
        previous: Some(Lsn::new(1)),
        ..good.header
    };
    assert!(matches!(with(skipped), Err(ApplyError::BackLink { .. })));
    let first = RecordHeader {
        previous: None,
        ..good.header
    };
    assert!(matches!(with(first), Err(ApplyError::BackLink { .. })));
}

#[test]
fn lsn_0_is_no_record_and_a_gap_of_passed_over_kinds_is_allowed() {
    let mut world = World::bootstrapped("", "");
    let (_, record) = world.records[0].clone();
    assert_eq!(
        apply(&mut world.register, Lsn::ZERO, &record),
        Err(ApplyError::LsnZero)
    );
    let change = crate::lifecycle::Change::SequencesLeased {
        up_to: crate::Sequence::new(5),
    };
    let stamp = Stamp {
        wall_clock_micros: 0,
        boot: 1,
        cause: Cause::Host,
    };
    let record = Record::new(&world.register, change, stamp);
    apply(&mut world.register, Lsn::new(50), &record).unwrap();
    assert_eq!(world.register.last_lsn(), Lsn::new(50));
}

#[test]
fn cache_records_move_the_back_link_and_not_the_last_transition() {
    let mut world = World::bootstrapped("", "");
    let created = world.register.last_lsn();
    let incarnation = world.incarnation(1);
    let epoch = world.description(1).epoch;
    let region = RegionId(1);
    let request = Event::LoadRequest {
        region,
        incarnation,
        epoch,
    };
    let requested = world.accept(&request);
    assert_eq!(world.register.last_record(region), Some(requested));
    assert_eq!(world.register.last_transition(region), Some(created));
    let reason = EvictReason::Requested;
    let gone = world.accept(&Event::Evict { region, reason });
    assert_eq!(
        world.records.last().unwrap().1.header.previous,
        Some(requested)
    );
    assert_eq!(world.register.last_record(region), Some(gone));
}

/// Changes that no event can have on that state, each with a header that fits.
#[test]
fn an_outcome_that_cannot_have_been_decided_is_refused() {
    let mut world = World::bootstrapped("b", "y");
    let message_made = world.create(2);
    world.barrier();
    let split = |version, index, boundary: &str, children| Change::RegionSplit {
        region: RegionId(1),
        position: at(index),
        version,
        derive: Derive::Left,
        boundaries: vec![key(boundary)],
        children,
    };
    let child = |id, fate| {
        let peers = region(id, "", "", (1, 1)).peers;
        let id = RegionId(id);
        vec![SplitChild { id, peers, fate }]
    };
    let adopted = |predecessor| ChildFate::Adopted { predecessor };
    let other = Incarnation::new(Lsn::new(1));
    let changed = |conf_ver, index, change| Change::PeersChanged {
        region: RegionId(1),
        position: at(index),
        conf_ver,
        change,
    };
    let add = PeerChange::Add { peer: voter(13, 3) };
    let own = PeerChange::Remove { peer: PeerId(11) };
    let own_removed = |conf_ver, index| Change::OwnPeerRemoved {
        region: RegionId(1),
        position: at(index),
        conf_ver,
        peer: PeerId(11),
    };
    let begun = |description| Change::SnapshotBegun {
        description,
        snapshot: snapshot(9),
    };
    let barrier = |number, floors| Change::BarrierReached { number, floors };
    let floor = |incarnation, index| FloorUpdate {
        region: RegionId(1),
        incarnation,
        index,
    };
    let first = world.incarnation(1);
    let good = [
        split(2, 6, "m", child(3, ChildFate::Created)),
        split(2, 6, "m", child(2, adopted(message_made))),
        changed(2, 6, add),
        own_removed(2, 6),
        begun(region(1, "b", "z", (1, 1))),
        barrier(2, vec![floor(first, 6)]),
    ];
    let bad = [
        split(1, 6, "m", child(3, ChildFate::Created)),
        split(2, 5, "m", child(3, ChildFate::Created)),
        split(2, 6, "b", child(3, ChildFate::Created)),
        split(2, 6, "z", child(3, ChildFate::Created)),
        split(2, 6, "m", child(1, ChildFate::Created)),
        split(2, 6, "m", child(2, ChildFate::Created)),
        split(2, 6, "m", child(2, adopted(other))),
        split(2, 6, "m", child(3, adopted(other))),
        changed(1, 6, add),
        changed(2, 5, add),
        changed(2, 6, own),
        changed(2, 6, PeerChange::Remove { peer: PeerId(99) }),
        own_removed(1, 6),
        own_removed(2, 5),
        begun(region(1, "z", "", (1, 0))),
        begun(region(2, "m", "z", (1, 1))),
        barrier(1, vec![]),
        barrier(2, vec![floor(other, 6)]),
        barrier(2, vec![floor(first, 5)]),
        barrier(2, vec![floor(first, 6), floor(first, 7)]),
        Change::StoreIdentified {
            store: crate::StoreId(1),
        },
        Change::PeerCreated {
            region: RegionId(1),
            peer: PeerId(50),
            message_epoch: crate::RegionEpoch::NONE,
        },
        Change::PeerDestroyed {
            region: RegionId(1),
            peer: PeerId(12),
            epoch: crate::RegionEpoch::NONE,
            cause: crate::lifecycle::DestroyCause::Operator,
        },
        Change::SequencesLeased {
            up_to: crate::Sequence::ZERO,
        },
    ];
    let stamp = Stamp {
        wall_clock_micros: 0,
        boot: 1,
        cause: Cause::Host,
    };
    let lsn = world.register.last_lsn().next().unwrap();
    let outcome = |change: &Change| {
        let mut register = world.register.clone();
        let record = Record::new(&register, change.clone(), stamp);
        let outcome = apply(&mut register, lsn, &record);
        if outcome.is_err() {
            assert_eq!(register, world.register, "{change:?}");
        } else {
            register.check_invariants().unwrap();
        }
        outcome
    };
    for change in good {
        assert_eq!(outcome(&change), Ok(()), "{change:?}");
    }
    for change in bad {
        assert!(outcome(&change).is_err(), "{change:?}");
    }
}
