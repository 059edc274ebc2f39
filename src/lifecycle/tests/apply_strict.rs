//! Records that did not follow the state: each is an error that changes nothing, or at worst leaves
//! a state in which every invariant holds.

use torrens_journal::Lsn;

use super::histories::{Random, history};
use super::world::World;
use crate::lifecycle::{ApplyError, Cause, Event, EvictReason, Record, RecordHeader, Stamp, apply};
use crate::{Incarnation, RegionId};

#[test]
fn a_record_of_another_history_is_refused_unchanged_or_keeps_every_invariant() {
    let (mut refused, mut applied) = (0, 0);
    for seed in 0..30 {
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
