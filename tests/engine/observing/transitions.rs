//! The records of the store's journal as a feed, by LSN.

use std::time::Duration;

use torrens::Lsn;
use torrens::engine::{Transition, TransitionsError};
use torrens::store::Lost;
use torrens_journal::testing::CutChoice;

use super::*;

fn all(engine: &Engine, from: Lsn) -> Vec<Transition> {
    let mut feed = engine.transitions(from).unwrap();
    let mut found = Vec::new();
    while let Some(next) = feed.next_transition(Some(Duration::ZERO)).unwrap() {
        found.push(next);
        assert_eq!(Some(feed.next_lsn()), found.last().unwrap().lsn.next());
    }
    found
}

/// Whoever goes on behind what it was delivered, and not behind what there was, misses nothing.
#[test]
fn every_durable_transition_is_told_once_from_wherever_one_goes_on() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    support::split_at_m(&engine).unwrap();
    assert!(engine.pause_observer(observer).unwrap().holds());
    engine.wait_idle().unwrap();
    let whole = all(&engine, Lsn::FIRST);
    let kinds: Vec<&str> = whole
        .iter()
        .filter_map(|one| Some(one.record.as_ref()?.change.change_kind().name()))
        .collect();
    for kind in [
        "region.split",
        "observer.add",
        "observer.attach",
        "observer.pause",
    ] {
        assert!(kinds.contains(&kind), "{kind} of {kinds:?}");
    }
    assert!(whole.windows(2).all(|pair| pair[0].lsn < pair[1].lsn));
    for (place, one) in whole.iter().enumerate() {
        assert_eq!(all(&engine, one.lsn), whole[place..]);
    }
    // What is only appended is not told; what follows is, to the same reader.
    let mut feed = engine.transitions(whole.last().unwrap().lsn).unwrap();
    assert!(feed.next_transition(None).unwrap().is_some());
    let quiet = feed.next_transition(Some(Duration::from_millis(1)));
    assert_eq!(quiet.unwrap(), None);
    assert!(engine.resume_observer(observer).unwrap().holds());
    engine.wait_idle().unwrap();
    let next = feed.next_transition(None).unwrap().unwrap();
    assert_eq!(
        next.record.unwrap().change.change_kind().name(),
        "observer.resume"
    );
    drop((feed, engine));
    let back = world.power_cut(CutChoice::LoseAll, Lost::AllButBatches(usize::MAX));
    let (engine, _) = back.open().unwrap();
    assert_eq!(all(&engine, Lsn::FIRST)[..whole.len()], whole);
}

#[test]
fn what_went_with_a_checkpoint_is_refused_with_the_oldest_and_closing_ends_it() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    // Enough records for several segments, and checkpoints that cover them.
    let go_on = || {
        for _ in 0..4 {
            for _ in 0..400 {
                assert!(engine.pause_observer(observer).unwrap().holds());
                assert!(engine.resume_observer(observer).unwrap().holds());
            }
            engine.wait_idle().unwrap();
            engine.checkpoint().unwrap();
        }
    };
    // A reader keeps what it has not read.
    let reader = engine.transitions(Lsn::FIRST).unwrap();
    go_on();
    assert!(engine.transitions(Lsn::FIRST).is_ok());
    drop(reader);
    go_on();
    let gone = engine.transitions(Lsn::FIRST).unwrap_err();
    let TransitionsError::Gone { oldest, .. } = gone else {
        panic!("{gone:?}");
    };
    assert!(oldest > Lsn::FIRST);
    let mut feed = engine.transitions(oldest).unwrap();
    assert_eq!(feed.next_transition(None).unwrap().unwrap().lsn, oldest);
    let ahead = engine.transitions(engine.synced().next().unwrap().next().unwrap());
    assert!(ahead.is_err());
    engine.close().unwrap();
    let end = loop {
        match feed.next_transition(None) {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(end, Err(TransitionsError::Closed)), "{end:?}");
}
