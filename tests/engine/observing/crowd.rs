//! No observer blocks a writer, another observer, or its own removal.

use std::sync::mpsc;
use std::time::Duration;

use torrens::{Background, ObserverPolicy, StartFrom};

use super::*;

/// Runs `body` on a thread; whatever waits for ever is a failure.
fn ends(body: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        body();
        done.send(()).unwrap();
    });
    let ended = wait.recv_timeout(Duration::from_secs(120));
    assert!(
        ended != Err(mpsc::RecvTimeoutError::Timeout),
        "somebody waits for ever"
    );
    thread.join().unwrap();
}

/// In the middle of an item of one observer, everything else can be done: nothing is held meanwhile.
#[test]
fn between_two_items_everything_goes_on() {
    ends(|| {
        let world = World::new(1);
        let (engine, held) = store(&world);
        let other = observe(&engine, "other", StartFrom::Now, ObserverPolicy::default());
        let mut subscription = subscribe(&engine, held);
        for index in 6..16 {
            put(&engine, 1, index, 100);
        }
        engine.flush().unwrap();
        let first = subscription.next().unwrap().unwrap();
        assert!(matches!(first, FeedItem::Attached { .. }));
        let items = subscription.by_ref();
        let entry = items.next().unwrap().unwrap();
        assert_eq!(entry.acknowledges(), Some(6));
        put(&engine, 1, 16, 100);
        engine.flush().unwrap();
        engine.checkpoint().unwrap();
        engine.retain_history().unwrap();
        engine.audit_observers().unwrap();
        let mut read = subscribe(&engine, other);
        assert!(told(&mut read).into_iter().eq(6..=16));
        assert_eq!(ack(&engine, other, 1, 16), AckAnswer::Acknowledged);
        assert!(engine.observer_lag(held).is_some() && engine.observer_progress(held).is_some());
        assert!(engine.remove_observer(held).unwrap().holds());
        // What was read already comes, and then the end.
        for item in items.by_ref() {
            assert!(item.is_ok());
        }
        assert!(items.next().is_none());
    });
}

/// A consumer that does not read costs a writer nothing, memory stays what it was, and nothing is lost.
#[test]
fn whoever_does_not_read_keeps_nobody_and_is_told_everything_later() {
    ends(|| {
        const ENTRIES: u64 = 20_000;
        let world = World::new(1);
        let (engine, _) = world.open_with(Background::Thread).unwrap();
        support::bootstrap(&engine).unwrap();
        lead(&engine, 1);
        let slow = observe(&engine, "slow", StartFrom::Now, ObserverPolicy::default());
        let mut settings = engine.history_settings();
        settings.tail_bytes = 64 * 1024;
        engine.set_history_settings(settings).unwrap();
        let mut subscription = subscribe(&engine, slow);
        assert!(subscription.try_next().unwrap().is_some());
        for index in 6..6 + ENTRIES {
            put(&engine, 1, index, 50);
        }
        engine.flush().unwrap();
        assert!(told(&mut subscription).into_iter().eq(6..6 + ENTRIES));
    });
}

/// Writers, readers and removals at once: everything ends, and who is left was told everything.
#[test]
fn observers_come_and_go_while_writers_write() {
    ends(|| {
        let world = World::new(1);
        let (engine, stays) = store_with_threads(&world);
        let reader = std::thread::spawn({
            let engine = engine.clone();
            move || {
                let mut next = 6;
                let subscription = subscribe(&engine, stays);
                for item in subscription {
                    if let FeedItem::Entry(entry) = item.unwrap() {
                        assert_eq!(entry.position.index, next);
                        next += 1;
                    }
                    if next == 506 {
                        break;
                    }
                }
                next
            }
        });
        let comes_and_goes = std::thread::spawn({
            let engine = engine.clone();
            move || {
                for round in 0..20 {
                    let name = format!("o{round}");
                    let observer =
                        observe(&engine, &name, StartFrom::Now, ObserverPolicy::default());
                    let sleeper = std::thread::spawn({
                        let subscription = subscribe(&engine, observer);
                        move || subscription.count()
                    });
                    assert!(engine.remove_observer(observer).unwrap().holds());
                    let _items = sleeper.join().unwrap();
                }
            }
        });
        for index in 6..506 {
            put(&engine, 1, index, 200);
            if index % 16 == 0 {
                engine.flush().unwrap();
            }
        }
        engine.flush().unwrap();
        assert_eq!(reader.join().unwrap(), 506);
        comes_and_goes.join().unwrap();
    });
}

fn store_with_threads(world: &World) -> (Engine, ObserverId) {
    let (engine, _) = world.open_with(Background::Thread).unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let observer = observe(&engine, "stays", StartFrom::Now, ObserverPolicy::default());
    (engine, observer)
}
