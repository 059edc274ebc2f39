//! A subscription as an iterator that blocks, with a timeout, and its ends.

use std::time::Duration;

use torrens::engine::ObserveError;
use torrens::{Background, ObserverPolicy, StartFrom};

use super::*;

#[test]
fn a_call_with_a_timeout_ends_and_what_comes_later_is_for_the_next() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    let mut subscription = subscribe(&engine, observer);
    let soon = Some(Duration::from_millis(1));
    let item = subscription.next_item(soon).unwrap();
    assert!(matches!(item, Some(FeedItem::Attached { .. })));
    assert_eq!(subscription.next_item(soon).unwrap(), None);
    put(&engine, 1, 6, 10);
    assert_eq!(
        subscription.next_item(soon).unwrap(),
        None,
        "it is not durable"
    );
    engine.flush().unwrap();
    let item = subscription.next_item(soon).unwrap().unwrap();
    assert_eq!(item.acknowledges(), Some(6));
}

#[test]
fn whoever_sleeps_is_woken_by_what_becomes_durable_and_by_the_end() {
    let world = World::new(1);
    let (engine, _) = world.open_with(Background::Thread).unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let names = ["first", "second"];
    let [first, second] =
        names.map(|name| observe(&engine, name, StartFrom::Now, ObserverPolicy::default()));
    let sleeper = |observer: ObserverId| {
        let mut subscription = subscribe(&engine, observer);
        std::thread::spawn(move || {
            let entry = subscription
                .by_ref()
                .map(Result::unwrap)
                .find(|item| matches!(item, FeedItem::Entry(_)));
            let rest = subscription.by_ref().map(Result::unwrap).count();
            (entry.unwrap().acknowledges(), rest, subscription)
        })
    };
    let (one, other) = (sleeper(first), sleeper(second));
    put(&engine, 1, 6, 10);
    engine.flush().unwrap();
    // One ends with its observer, the other with the engine.
    while engine.observer_lag(first).unwrap().regions[0].delivered < 6 {
        std::thread::yield_now();
    }
    assert!(engine.remove_observer(first).unwrap().holds());
    let (index, _, mut ended) = one.join().unwrap();
    assert_eq!(index, Some(6));
    let why = ended.try_next().unwrap_err();
    assert!(matches!(why, ObserveError::Removed { .. }), "{why:?}");
    while engine.observer_lag(second).unwrap().regions[0].delivered < 6 {
        std::thread::yield_now();
    }
    engine.close().unwrap();
    let (index, _, mut ended) = other.join().unwrap();
    assert_eq!(index, Some(6));
    assert!(matches!(ended.try_next(), Err(ObserveError::Closed)));
}
