//! Submitted transitions: decided at once, answered once, in order, and not seen before they are durable.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use torrens::store::{Lost, MemoryFactory, MemoryStore};
use torrens::{
    Answer, Engine, EngineError, Peer, PeerChange, PeerId, RegionEpoch, RegionId, StoreId,
    Submission,
};
use torrens_journal::testing::{CutChoice, SimFault};

use crate::support::*;

fn creation(region: u64) -> Submission {
    Submission::CreatePeer {
        region: RegionId(region),
        peer: PeerId(region * 10),
        from_store: StoreId(5),
        epoch: EPOCH,
    }
}

/// The `n`th change of region 1's peers, from 0: a learner comes, and goes again.
fn change(n: u64) -> Submission {
    let peer = Peer::learner(PeerId(90), StoreId(9));
    Submission::ChangePeers {
        region: RegionId(1),
        epoch: RegionEpoch {
            conf_ver: 1 + n,
            version: 1,
        },
        position: at(7 + n),
        change: match n % 2 {
            0 => PeerChange::Add { peer },
            _ => PeerChange::Remove { peer: peer.id },
        },
    }
}

fn accepted(outcome: &Result<Answer, EngineError>) -> u64 {
    match outcome {
        Ok(Answer::Accepted { lsn }) => lsn.get(),
        other => panic!("not accepted: {other:?}"),
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_seen_before_it_is_durable_and_everybody_is_told_once_in_order() {
    let world = World::new(3);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let waited = engine.submit(change(0)).unwrap();
    for (n, submission) in [(1, change(1)), (2, change(2)), (3, creation(3))] {
        let (told, looks) = (Arc::clone(&told), engine.clone());
        let ticket = engine.submit(submission).unwrap();
        ticket.on_answer(move |outcome| {
            let lsn = accepted(&outcome);
            assert!(looks.register().last_lsn().get() >= lsn, "told before seen");
            told.lock().unwrap().push((n, lsn));
        });
    }
    let mut future = pin!(engine.submit(creation(2)).unwrap());
    // Built on what is appended and not durable; the answer waits all the same.
    let repeated = engine.submit(change(0)).unwrap();
    let refused = engine
        .submit(Submission::Destroy {
            region: RegionId(3),
            epoch: RegionEpoch::NONE,
            incarnation: None,
            peer: PeerId(31),
            cause: torrens::DestroyCause::Operator,
        })
        .unwrap();
    let wakes = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(repeated.answer().is_none() && refused.answer().is_none() && waited.answer().is_none());
    assert!(waited.wait_timeout(Duration::ZERO).is_none());
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(engine.regions().len(), 1, "nothing is published");
    let region = engine.region(RegionId(1)).unwrap().region.unwrap();
    assert_eq!(region.peers.len(), 1);

    let first = accepted(&waited.wait());
    // What was submitted later shares the sync, or comes with the next.
    assert!(matches!(refused.wait(), Ok(Answer::Refused(_))));
    assert_eq!(repeated.answer().unwrap().unwrap(), Answer::AlreadyApplied);
    let told = told.lock().unwrap();
    assert_eq!(*told, [(1, first + 1), (2, first + 2), (3, first + 3)]);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    match future.as_mut().poll(&mut context) {
        Poll::Ready(outcome) => assert_eq!(accepted(&outcome), first + 4),
        Poll::Pending => panic!("it was woken"),
    }
    assert_eq!(engine.regions().len(), 3);
    let region = engine.region(RegionId(1)).unwrap().region.unwrap();
    assert_eq!(region.peers.len(), 2);
}

#[test]
fn after_a_failed_sync_every_ticket_is_answered_once_with_poisoned() {
    let world = World::new(9);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let before = Seen::of(&engine);
    let count = Arc::new(AtomicUsize::new(0));
    let mut tickets = Vec::new();
    for region in 2..8 {
        tickets.push(engine.submit(creation(region)).unwrap());
        let count = Arc::clone(&count);
        let ticket = engine.submit(creation(region + 10)).unwrap();
        ticket.on_answer(move |outcome| {
            assert!(matches!(outcome, Err(EngineError::Poisoned)), "{outcome:?}");
            count.fetch_add(1, Ordering::SeqCst);
        });
    }
    for op in 1..=2 {
        let faulty = world.disk.ops() + op;
        world.disk.fail_at(faulty, SimFault::SyncLies);
    }
    for ticket in &tickets {
        for _ in 0..2 {
            let outcome = ticket.wait();
            assert!(matches!(outcome, Err(EngineError::Poisoned)), "{outcome:?}");
        }
    }
    world.disk.clear_faults();
    assert_eq!(count.load(Ordering::SeqCst), 6);
    assert_eq!(Seen::of(&engine), before, "what is not durable is not seen");
    let late = engine.submit(creation(30));
    assert!(matches!(late, Err(EngineError::Poisoned)), "{late:?}");
    drop((tickets, engine));
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    assert_eq!(Seen::of(&engine), before);
}

#[test]
fn a_ticket_that_is_dropped_changes_nothing_and_one_that_outlives_the_store_is_told() {
    let world = World::new(4);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    drop(engine.submit(creation(2)).unwrap());
    accepted(&engine.submit(creation(3)).unwrap().wait());
    assert!(engine.region(RegionId(2)).is_some());
    let (send, receive) = mpsc::channel();
    let ticket = engine.submit(creation(4)).unwrap();
    ticket.on_answer(move |outcome| send.send(outcome.is_ok()).unwrap());
    engine.close().unwrap();
    assert_eq!(receive.recv(), Ok(true), "closing makes it durable");
}

#[test]
fn a_transition_that_takes_the_stores_own_data_away_is_durable_when_it_was_submitted() {
    let world = World::new(5);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    let id = RegionId(2);
    let epoch = engine.region(id).unwrap().region.unwrap().epoch;
    let view = engine.view(id, epoch).unwrap();
    let ticket = engine
        .submit(Submission::Destroy {
            region: id,
            epoch,
            incarnation: None,
            peer: PeerId(20),
            cause: torrens::DestroyCause::Operator,
        })
        .unwrap();
    assert!(
        ticket
            .answer()
            .is_some_and(|answer| answer.unwrap().holds())
    );
    assert!(engine.region(id).is_none());
    assert!(
        view.get(b"z").is_err(),
        "its views ended before its keys go"
    );
}

#[test]
fn many_threads_submit_and_each_is_told_once() {
    const THREADS: u64 = 4;
    const EACH: u64 = 300;
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::options()
        .store(STORE)
        .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
        .open(place.path().join("store"))
        .unwrap();
    bootstrap(&engine).unwrap();
    let (told, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, told) = (&engine, &told);
            scope.spawn(move || {
                let mut tickets = Vec::new();
                for n in 0..EACH {
                    let region = 100 + thread * EACH + n;
                    tickets.push(engine.submit(creation(region)).unwrap());
                    let told = told.clone();
                    let gone = Submission::Destroy {
                        region: RegionId(region),
                        epoch: RegionEpoch::NONE,
                        incarnation: None,
                        peer: PeerId(region * 10),
                        cause: torrens::DestroyCause::Operator,
                    };
                    let ticket = engine.submit(gone).unwrap();
                    ticket.on_answer(move |outcome| told.send(accepted(&outcome)).unwrap());
                }
                let lsns: Vec<u64> = tickets.iter().map(|t| accepted(&t.wait())).collect();
                assert!(lsns.is_sorted());
            });
        }
    });
    engine.flush().unwrap();
    // The last callbacks may still be on their way; a minute is for one that never comes.
    let next = |_| receive.recv_timeout(Duration::from_secs(60)).unwrap();
    let told: BTreeSet<u64> = (0..THREADS * EACH).map(next).collect();
    assert!(receive.try_recv().is_err(), "nobody is told twice");
    assert_eq!(told.len() as u64, THREADS * EACH, "each is told once");
    assert_eq!(engine.regions().len(), 1);
    assert_eq!(engine.tombstones().len() as u64, THREADS * EACH);
}

#[test]
fn submissions_of_one_region_take_effect_in_their_order() {
    const CHANGES: u64 = 600;
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::options()
        .store(STORE)
        .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
        .open(place.path().join("store"))
        .unwrap();
    bootstrap(&engine).unwrap();
    let tickets: Vec<_> = (0..CHANGES)
        .map(|n| engine.submit(change(n)).unwrap())
        .collect();
    // The last one first: no wait makes the order.
    let mut lsns: Vec<u64> = tickets.iter().rev().map(|t| accepted(&t.wait())).collect();
    lsns.reverse();
    let is_ascending = lsns.is_sorted_by(|earlier, later| earlier < later);
    assert!(is_ascending, "{lsns:?}");
    let status = engine.region(RegionId(1)).unwrap();
    assert_eq!(status.region.unwrap().epoch.conf_ver, 1 + CHANGES);
    assert_eq!(status.meta, Some(at(6 + CHANGES)));
}
