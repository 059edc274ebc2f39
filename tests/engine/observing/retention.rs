//! History goes only when nobody needs it or after whoever needs it was told durably, and then it does go.

use std::time::Duration;

use torrens::engine::ObserverLag;
use torrens::observe::RetentionStage;
use torrens::store::Lost;
use torrens::{Background, ObserverPolicy, Rebase, StartFrom};
use torrens_journal::testing::{CutChoice, SimFault};

use super::*;

const LIMIT: u64 = 200_000;

fn limited() -> ObserverPolicy {
    ObserverPolicy {
        retain_bytes_max: Some(LIMIT),
        ..ObserverPolicy::default()
    }
}

/// A store with one observer that never acknowledges and one that always does, and 600 KB of history.
fn beyond_the_limit(world: &World) -> (Engine, ObserverId, ObserverId) {
    let (engine, quick) = store(world);
    let slow = observe(&engine, "slow", StartFrom::Now, limited());
    let mut subscription = subscribe(&engine, quick);
    for index in 6..206 {
        put(&engine, 1, index, 3_000);
        // Two checkpoints of the index: files before the older one may go.
        if index == 35 || index == 65 {
            engine.flush().unwrap();
            assert_eq!(engine.retain_history().unwrap().invalidated, 0);
        }
    }
    engine.flush().unwrap();
    assert_eq!(told(&mut subscription).len(), 200);
    assert_eq!(ack(&engine, quick, 1, 205), AckAnswer::Acknowledged);
    drop(subscription);
    (engine, slow, quick)
}

fn lag(engine: &Engine, observer: ObserverId) -> ObserverLag {
    engine.observer_lag(observer).unwrap()
}

#[test]
fn stages_come_in_order_with_what_is_left_and_an_acknowledgement_ends_them() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let slow = observe(&engine, "slow", StartFrom::Now, limited());
    let mut subscription = subscribe(&engine, slow);
    let mut stages = vec![lag(&engine, slow).stage];
    let mut left = lag(&engine, slow).bytes_left;
    assert_eq!(left, LIMIT);
    for index in 6..66 {
        put(&engine, 1, index, 3_000);
        let lag = lag(&engine, slow);
        assert!(lag.bytes_left <= left && lag.bytes + lag.bytes_left == LIMIT);
        left = lag.bytes_left;
        if stages.last() != Some(&lag.stage) {
            stages.push(lag.stage);
        }
    }
    use RetentionStage::{AtRisk, Extended, Ok};
    assert_eq!(stages, [Ok, Extended, AtRisk]);
    engine.flush().unwrap();
    assert_eq!(engine.retain_history().unwrap().invalidated, 0);
    // At the edge everything is acknowledged: nothing was lost.
    assert_eq!(told(&mut subscription).len(), 60);
    assert_eq!(ack(&engine, slow, 1, 65), AckAnswer::Acknowledged);
    assert_eq!(lag(&engine, slow).stage, Ok);
    assert_eq!(lag(&engine, slow).bytes_left, LIMIT);
}

#[test]
fn the_slow_one_is_told_what_is_lost_the_quick_one_loses_nothing_and_files_go() {
    let world = World::new(1);
    let (engine, slow, quick) = beyond_the_limit(&world);
    let before = engine.history_stats().file_bytes;
    assert_eq!(lag(&engine, slow).stage, RetentionStage::Invalidated);
    let report = engine.retain_history().unwrap();
    assert_eq!(report.invalidated, 1);
    assert_eq!(state(&engine, slow), "invalidated");
    for index in 206..209 {
        put(&engine, 1, index, 10);
        engine.flush().unwrap();
        assert_eq!(engine.retain_history().unwrap().invalidated, 0);
    }
    let after = engine.history_stats();
    assert!(
        after.file_bytes + 300_000 < before,
        "{} of {before} left",
        after.file_bytes
    );
    assert!(
        after.kept_bytes <= LIMIT + 64 * 1024,
        "{}",
        after.kept_bytes
    );
    let mut subscription = subscribe(&engine, slow);
    let item = subscription.try_next().unwrap().unwrap();
    let FeedItem::Invalidated {
        first_lost,
        first_available,
        ..
    } = item
    else {
        panic!("{item:?}");
    };
    assert_eq!(first_lost, 6);
    // What is within the limit: the last 200 KB of entries of 3 KB.
    assert!((138..=158).contains(&first_available), "{first_available}");
    assert_eq!(subscription.try_next().unwrap(), None);
    put(&engine, 1, 209, 10);
    engine.flush().unwrap();
    assert!(told(&mut subscription).is_empty());
    assert!(
        told(&mut subscribe(&engine, quick))
            .into_iter()
            .eq(206..=209)
    );
    // The power goes right behind it: it is still told, and what it chooses then holds.
    drop((engine, subscription));
    let back = world.power_cut(CutChoice::LoseAll, Lost::AllButBatches(usize::MAX));
    let (engine, _) = back.open().unwrap();
    lead(&engine, 1);
    assert_eq!(state(&engine, slow), "invalidated");
    assert!(
        engine
            .rebase_observer(slow, &[], Rebase::Now)
            .unwrap()
            .holds()
    );
    engine.wait_idle().unwrap();
    let mut subscription = subscribe(&engine, slow);
    put(&engine, 1, 210, 10);
    engine.flush().unwrap();
    let mut items = Vec::new();
    while let Some(item) = subscription.try_next().unwrap() {
        items.push(item);
    }
    let reset = items.iter().position(|item| {
        matches!(
            item,
            FeedItem::Reset {
                is_scanned: false,
                ..
            }
        )
    });
    let entry = items
        .iter()
        .position(|item| matches!(item, FeedItem::Entry(entry) if entry.position.index == 210));
    assert!(reset.unwrap() < entry.unwrap(), "{items:?}");
}

/// Wherever the process dies while history goes: either the consumer still finds everything that it did not
/// acknowledge, or it is told durably that it lost some.
#[test]
fn no_byte_goes_before_its_loss_is_durable() {
    let (mut whole, mut lost) = (0, 0);
    for op in 1.. {
        let world = World::new(op);
        let (engine, slow, quick) = beyond_the_limit(&world);
        world
            .disk
            .fail_at(world.disk.ops() + op, SimFault::DiesMidway);
        let report = engine.retain_history();
        if !world.disk.is_dead() {
            assert_eq!(report.unwrap().invalidated, 1);
            break;
        }
        drop(engine);
        for back in [
            world.kill(Lost::AllButBatches(usize::MAX)),
            world.power_cut(CutChoice::LoseAll, Lost::AllButBatches(usize::MAX)),
            world.power_cut(CutChoice::Seeded(op), Lost::AllButBatches(usize::MAX)),
        ] {
            let (engine, _) = back.open().unwrap();
            lead(&engine, 1);
            match state(&engine, slow) {
                "invalidated" => lost += 1,
                _ => {
                    whole += 1;
                    let mut subscription = subscribe(&engine, slow);
                    assert!(told(&mut subscription).into_iter().eq(6..206), "op {op}");
                }
            }
            assert!(told(&mut subscribe(&engine, quick)).is_empty(), "op {op}");
            assert_ne!(state(&engine, quick), "invalidated");
        }
    }
    assert!(
        whole > 0 && lost > 0,
        "{whole} whole, {lost} told of a loss"
    );
}

/// What is gone is refused with the oldest that is left, and that one is the first that is told, be it a
/// deletion or not (etcd#18089, #19179).
#[test]
fn a_start_at_the_oldest_that_is_left_tells_exactly_that_first() {
    let world = World::new(1);
    let (engine, quick) = store(&world);
    let mut subscription = subscribe(&engine, quick);
    for index in 6..=205 {
        let mut batch = WriteBatch::new();
        batch.delete(key("gone"));
        batch.put(key("there"), vec![1; 2_000]);
        written(engine.write(RegionId(1), support::EPOCH, at(index), &batch)).unwrap();
        if index % 50 == 5 {
            engine.flush().unwrap();
            assert!(!told(&mut subscription).is_empty());
            assert_eq!(ack(&engine, quick, 1, index - 5), AckAnswer::Acknowledged);
            engine.retain_history().unwrap();
        }
    }
    drop((subscription, engine));
    for choice in [CutChoice::KeepAll, CutChoice::LoseAll] {
        let back = world.power_cut(choice, Lost::AllButBatches(usize::MAX));
        let (engine, _) = back.open().unwrap();
        lead(&engine, 1);
        let gone = StartFrom::After(vec![(RegionId(1), 5)]);
        let refused = try_observe(&engine, "late", gone, ObserverPolicy::default());
        let AddedObserver::Refused(refusal) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal.code(), "observer-history-gone");
        let text = refusal.to_string();
        let oldest = text
            .split(" at ")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let oldest: u64 = oldest.and_then(|text| text.parse().ok()).unwrap();
        assert!((20..=201).contains(&oldest), "{text}");
        assert_eq!(engine.observers().len(), 1, "nothing is registered");
        let from = |oldest: u64| StartFrom::After(vec![(RegionId(1), oldest - 1)]);
        let before = try_observe(&engine, "late", from(oldest - 1), ObserverPolicy::default());
        assert!(matches!(before, AddedObserver::Refused(_)), "{before:?}");
        let late = observe(&engine, "late", from(oldest), ObserverPolicy::default());
        assert!(
            told(&mut subscribe(&engine, late))
                .into_iter()
                .eq(oldest..=205)
        );
    }
}

/// A limit in time is that of what is not acknowledged, not of what was written before it.
#[test]
fn a_consumer_that_is_seconds_behind_is_not_beyond_a_limit_of_minutes() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let policy = ObserverPolicy {
        retain_age_millis_max: Some(60_000),
        ..ObserverPolicy::default()
    };
    let observer = observe(&engine, "copy", StartFrom::Now, policy);
    let mut subscription = subscribe(&engine, observer);
    for index in 6..=9 {
        put(&engine, 1, index, 10);
        engine.flush().unwrap();
        world.disk.advance_clock(Duration::from_secs(5));
        let lag = lag(&engine, observer);
        assert!((5..8).contains(&lag.age.as_secs()), "{:?}", lag.age);
        assert_eq!(engine.retain_history().unwrap().invalidated, 0);
        assert_eq!(told(&mut subscription), [index]);
        assert_eq!(ack(&engine, observer, 1, index), AckAnswer::Acknowledged);
        world.disk.advance_clock(Duration::from_secs(3_600));
    }
    put(&engine, 1, 10, 10);
    put(&engine, 1, 11, 10);
    world.disk.advance_clock(Duration::from_secs(61));
    assert_eq!(engine.retain_history().unwrap().invalidated, 1);
    let item = subscription.try_next().unwrap().unwrap();
    let FeedItem::Invalidated {
        first_lost,
        first_available,
        ..
    } = item
    else {
        panic!("{item:?}");
    };
    assert_eq!((first_lost, first_available), (10, 12));
}

/// The engine does it by itself, and the files stay within the limit and two segments.
#[test]
fn the_background_keeps_the_files_within_the_limit() {
    let world = World::new(1);
    let (engine, _) = world.open_with(Background::Thread).unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let mut settings = engine.history_settings();
    settings.bytes_max = LIMIT;
    engine.set_history_settings(settings).unwrap();
    let slow = observe(&engine, "slow", StartFrom::Now, ObserverPolicy::default());
    for index in 6..506 {
        put(&engine, 1, index, 3_000);
        if index % 20 == 0 {
            engine.flush().unwrap();
        }
    }
    // Whatever is due is done in the background while somebody goes on writing, and by nobody else.
    let is_within = |engine: &Engine| engine.history_stats().file_bytes <= LIMIT + 3 * 32 * 1024;
    for index in 506..806 {
        put(&engine, 1, index, 3_000);
        engine.flush().unwrap();
        engine.tick().unwrap();
        engine.wait_idle().unwrap();
        if state(&engine, slow) == "invalidated" && is_within(&engine) {
            break;
        }
    }
    assert_eq!(state(&engine, slow), "invalidated");
    assert!(is_within(&engine), "{}", engine.history_stats().file_bytes);
}

#[test]
fn a_crash_at_any_step_of_a_checkpoint_shows_the_same_observers() {
    let mut deaths = 0;
    for op in 1.. {
        let world = World::new(op);
        let (engine, slow, _) = beyond_the_limit(&world);
        let _subscription = subscribe(&engine, slow);
        engine.retain_history().unwrap();
        engine.flush().unwrap();
        world
            .disk
            .fail_at(world.disk.ops() + op, SimFault::DiesMidway);
        let written = engine.checkpoint();
        if !world.disk.is_dead() {
            written.unwrap();
            break;
        }
        deaths += 1;
        drop((_subscription, engine));
        let dumps = [
            world.kill(Lost::AllButBatches(usize::MAX)),
            world.power_cut(CutChoice::LoseAll, Lost::AllButBatches(usize::MAX)),
            world.power_cut(CutChoice::KeepAll, Lost::AllButBatches(usize::MAX)),
        ]
        .map(|back| dump(&back.open().unwrap().0));
        assert_eq!(dumps[0], dumps[1], "op {op}");
        assert_eq!(dumps[0], dumps[2], "op {op}");
        assert!(
            dumps[0].iter().any(|line| line.contains("invalidated")),
            "{:?}",
            dumps[0]
        );
    }
    assert!(deaths > 3, "{deaths}");
}
