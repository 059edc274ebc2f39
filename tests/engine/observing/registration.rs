//! Registering: all or nothing whatever dies, never twice the same id, no limit on regions or queues.

use torrens::engine::AckAnswer;
use torrens::store::Lost;
use torrens::{
    AddedObserver, Derive, KeyRange, LeadershipRole, NewRegion, ObserverId, ObserverPolicy,
    RegionId, Split, StartFrom,
};
use torrens_journal::testing::{CutChoice, SimFault};

use super::*;
use crate::support::peer;

#[test]
fn a_crash_at_any_operation_of_a_registration_leaves_all_of_it_or_nothing() {
    let (mut absent, mut there) = (0, 0);
    for op in 1.. {
        let world = World::new(op);
        let (engine, _) = world.open().unwrap();
        support::bootstrap(&engine).unwrap();
        put(&engine, 1, 6, 10);
        world
            .disk
            .fail_at(world.disk.ops() + op, SimFault::DiesMidway);
        let name = ObserverName::new("copy").unwrap();
        let added = engine.add_observer(
            name,
            vec![KeyRange::all()],
            StartFrom::Now,
            ObserverPolicy::default(),
        );
        if !world.disk.is_dead() {
            let _ = added.unwrap();
            break;
        }
        drop(engine);
        let ways = [
            world.kill(Lost::AllButBatches(usize::MAX)),
            world.power_cut(CutChoice::Seeded(op), Lost::AllButBatches(usize::MAX)),
        ];
        for back in ways {
            let (engine, _) = back.open().unwrap();
            match engine.observer(ObserverId(1)) {
                None => {
                    assert!(added.is_err(), "op {op}: it answered, and is gone");
                    absent += 1;
                    let again = observe(&engine, "copy", StartFrom::Now, ObserverPolicy::default());
                    assert_eq!(again, ObserverId(1), "nothing of it is left");
                }
                Some(_) => there += 1,
            }
            lead(&engine, 1);
            let mut subscription = subscribe(&engine, ObserverId(1));
            put(&engine, 1, 7, 10);
            engine.flush().unwrap();
            assert_eq!(told(&mut subscription), [7], "op {op}");
        }
    }
    assert!(
        absent > 0 && there > 0,
        "{absent} without it, {there} with it"
    );
}

/// Splits the last region into so many, from this number of a key on.
fn split_last(engine: &Engine, (last, index): (u64, u64), count: u64) {
    let boundary = |number: u64| key(&format!("k{:06}", last + number));
    let child = |number: u64| NewRegion {
        id: RegionId(last + number),
        peers: vec![peer(1000 + last + number, support::STORE.0)],
    };
    let numbers = 1..=count;
    let answer = engine.split(Split {
        region: RegionId(last),
        incarnation: None,
        epoch: epoch(engine, last),
        position: at(index),
        boundaries: numbers.clone().map(boundary).collect(),
        children: numbers.map(child).collect(),
        derive: Derive::Left,
    });
    let answer = answer.unwrap();
    assert!(answer.holds(), "{answer:?}");
}

#[test]
fn a_storm_of_leaders_is_attached_by_few_records_and_no_queue_is_too_short() {
    const REGIONS: u64 = 2_001;
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    support::bootstrap(&engine).unwrap();
    for part in 0..8 {
        split_last(&engine, (1 + 250 * part, 7), 250);
    }
    let observer = observe(&engine, "copy", StartFrom::Now, ObserverPolicy::default());
    for region in 1..=REGIONS {
        let live = incarnation(&engine, region);
        let told = engine.report_leadership(RegionId(region), live, TERM, LeadershipRole::Leader);
        let _ = told.unwrap();
    }
    let before = engine.synced();
    engine.wait_idle().unwrap();
    let records = engine.synced().distance_from(before);
    let status = engine.observer(observer).unwrap();
    assert_eq!(status.regions.live, usize::try_from(REGIONS).unwrap());
    assert!(records <= 4, "{records} records attach {REGIONS} regions");
    // Each has its own generation, and each is delivered.
    let regions = engine.observed_regions(observer);
    let generations: BTreeSet<_> = regions.iter().map(|one| one.generation).collect();
    assert_eq!(generations.len(), regions.len());
}

#[test]
fn ids_and_generations_never_come_again_whatever_is_removed_or_dies() {
    let world = World::new(1);
    let (engine, first) = store(&world);
    let generation = engine.observed_regions(first)[0].generation;
    assert!(engine.remove_observer(first).unwrap().holds());
    engine.checkpoint().unwrap();
    drop(engine);
    let (engine, _) = world
        .power_cut(CutChoice::LoseAll, Lost::AllButBatches(usize::MAX))
        .open()
        .unwrap();
    lead(&engine, 1);
    let second = observe(&engine, "copy", StartFrom::Now, ObserverPolicy::default());
    assert!(second > first, "{second} after {first}");
    let _subscription = subscribe(&engine, second);
    assert!(engine.observed_regions(second)[0].generation > generation);
    let stale = Ack {
        region: RegionId(1),
        generation,
        index: 5,
    };
    let answer = engine.ack(second, &[stale], true).unwrap();
    assert!(matches!(answer, AckAnswer::Refused(_)), "{answer:?}");
    let again = try_observe(&engine, "copy", StartFrom::Now, ObserverPolicy::default());
    assert!(matches!(again, AddedObserver::Refused(_)), "{again:?}");
}
