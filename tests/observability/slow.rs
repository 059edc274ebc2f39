//! The slow-transition log.

use std::sync::Arc;
use std::time::Duration;

use torrens::lifecycle::ChangeKind;
use torrens::store::MemoryStore;
use torrens::{Background, RegionEpoch, RegionId, Submission};
use torrens_journal::testing::SimDisk;

use super::world::{World, at, bootstrap, split, write};

/// Long enough to be told from what nothing waits for; a lower bound, so no machine is too slow for it.
const WAIT: Duration = Duration::from_millis(20);

#[test]
fn every_transition_is_in_the_log_if_the_threshold_is_zero_and_none_if_it_is_the_longest() {
    let engine = World::new().options();
    let engine = engine.slow_transition_threshold(Duration::ZERO);
    let (engine, _) = engine.open("store").expect("it opens");
    bootstrap(&engine);
    let slow = engine.slow_transitions();
    let last = slow.last().expect("one is there");
    assert_eq!(last.kind, ChangeKind::RegionBootstrapped);
    assert_eq!(last.region, Some(RegionId(1)));
    let steps = last.steps.named().map(|(_, took)| took);
    assert_eq!(last.steps.total(), steps.iter().sum());
    let before = engine.counters();
    assert_eq!(before.slow_transitions, slow.len() as u64);
    assert_eq!(before.records[&ChangeKind::RegionBootstrapped], 1);
    engine.set_slow_transition_threshold(Duration::MAX);
    write(&engine, 6);
    assert!(engine.split(split(7)).expect("it can").holds());
    let after = engine.counters();
    assert_eq!(after.slow_transitions, before.slow_transitions);
    assert!(after.accepted > before.accepted);
    assert_eq!(after.writes_applied, 1);
}

/// A data store whose flush takes a while once it is told so.
fn slow_flush(disk: &SimDisk) -> MemoryStore {
    let steps = disk.clone();
    MemoryStore::new().with_hook(Arc::new(move |name| {
        if name == "store.flush" {
            std::thread::sleep(WAIT);
        }
        steps.step(name)
    }))
}

#[test]
fn a_slow_flush_is_the_barrier_of_a_split_that_waits_and_of_one_that_is_submitted() {
    for background in [Background::Manual, Background::Thread] {
        let disk = SimDisk::new(9);
        let world = World::with(disk.clone(), slow_flush(&disk));
        let options = world.options().background(background);
        // Only the split asks for a barrier.
        let options = options.barrier_interval(Duration::from_secs(600));
        let (engine, _) = options.open("store").expect("it opens");
        engine.set_slow_transition_threshold(WAIT);
        bootstrap(&engine);
        write(&engine, 6);
        let holds = match background {
            Background::Manual => engine.split(split(7)).expect("it can").holds(),
            Background::Thread => {
                let ticket = engine.submit(Submission::Split(split(7))).expect("it can");
                ticket.wait().expect("it is carried out").holds()
            }
        };
        assert!(holds);
        let slow = engine.slow_transitions();
        let found = slow
            .iter()
            .find(|slow| slow.kind == ChangeKind::RegionSplit);
        let found = found.unwrap_or_else(|| panic!("{background:?}: {slow:?}"));
        assert!(found.steps.barrier >= WAIT, "{found:?}");
        // The barrier's own record did not wait for itself.
        let barrier = slow
            .iter()
            .find(|slow| slow.kind == ChangeKind::BarrierReached);
        assert!(barrier.is_none_or(|slow| slow.steps.barrier.is_zero()));
    }
}

#[test]
fn what_nobody_waits_for_has_its_wait_in_the_sync() {
    let engine = World::new().open();
    bootstrap(&engine);
    engine.set_slow_transition_threshold(WAIT);
    let answer = engine.load(RegionId(1), RegionEpoch::BOOTSTRAP);
    assert!(answer.expect("it can").holds());
    assert!(
        engine.slow_transitions().is_empty(),
        "it is not published yet"
    );
    std::thread::sleep(WAIT);
    engine.tick().expect("it can");
    let slow = engine.slow_transitions();
    let load = slow.iter().find(|slow| slow.kind.name() == "cache.request");
    let load = load.unwrap_or_else(|| panic!("{slow:?}"));
    assert!(load.steps.sync >= WAIT, "{load:?}");
    assert_eq!(engine.counters().slow_transitions, slow.len() as u64);
}

#[test]
fn refusals_are_counted_by_their_code() {
    let engine = World::new().open();
    bootstrap(&engine);
    let mut wrong = split(7);
    wrong.epoch = RegionEpoch::NONE;
    for _ in 0..2 {
        assert!(!engine.split(wrong.clone()).expect("it can").holds());
    }
    assert!(engine.split(split(7)).expect("it can").holds());
    assert!(engine.split(split(7)).expect("it can").holds());
    let counters = engine.counters();
    assert_eq!(counters.refused, 2);
    assert_eq!(counters.refusals.values().sum::<u64>(), 2);
    assert_eq!(
        counters.refusals.keys().copied().collect::<Vec<_>>(),
        ["epoch-stale"]
    );
    assert_eq!(counters.already_applied, 1);
    let _ = at(8);
}
