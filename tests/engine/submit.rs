//! Submitted transitions: decided at once, answered once, in order, and not seen before they are durable.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use torrens::store::{Lost, MemoryFactory, MemoryStore};
use torrens::{
    Answer, Derive, Engine, EngineError, NewRegion, Peer, PeerChange, PeerId, Region, RegionEpoch,
    RegionId, Split, StoreId, Submission, WriteAnswer, WriteBatch,
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

/// Data never assumes a record that a crash could take away.
#[test]
fn a_write_comes_behind_the_last_record_of_its_region() {
    let world = World::new(4);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    // Leases sequences, which is a sync of its own.
    written(engine.write(RegionId(1), EPOCH, at(6), &puts(&["a"], "0"))).unwrap();
    let ticket = engine.submit(change(0)).unwrap();
    assert!(ticket.answer().is_none(), "nobody has synced yet");
    let batch = puts(&["a"], "1");
    let epoch = RegionEpoch {
        conf_ver: 2,
        version: 1,
    };
    let answer = engine.write(RegionId(1), epoch, at(8), &batch).unwrap();
    assert!(matches!(answer, WriteAnswer::Applied { .. }));
    accepted(
        &ticket
            .answer()
            .expect("its record is durable before the data"),
    );
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

/// A store whose flushes wait while the gate is shut.
fn gated() -> (tempfile::TempDir, Engine, MemoryStore, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let waits = Arc::clone(&gate);
    let data =
        MemoryStore::new().with_hook(Arc::new(move |operation: &'static str| match operation {
            "store.flush" => waits.pass(),
            _ => Ok(()),
        }));
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::options()
        .store(STORE)
        .barrier_interval(Duration::from_secs(3600))
        .data(Arc::new(MemoryFactory::new(data.clone())))
        .open(place.path().join("store"))
        .unwrap();
    bootstrap(&engine).unwrap();
    (place, engine, data, gate)
}

#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
    /// Whoever passes fails.
    fails: AtomicBool,
}

impl Gate {
    fn shut(&self) {
        *self.is_shut.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.is_shut.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) -> std::io::Result<()> {
        let mut is_shut = self.is_shut.lock().unwrap();
        while *is_shut {
            is_shut = self.opened.wait(is_shut).unwrap();
        }
        match self.fails.load(Ordering::SeqCst) {
            true => Err(std::io::Error::other("planted")),
            false => Ok(()),
        }
    }
}

/// Writes `keys` to region 1 by the entry at `index`.
fn write(engine: &Engine, version: u64, index: u64, key: &str) {
    let epoch = RegionEpoch {
        conf_ver: 1,
        version,
    };
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), b"row".as_slice());
    let written = engine.write(RegionId(1), epoch, at(index), &batch).unwrap();
    assert!(
        matches!(written, WriteAnswer::Applied { .. }),
        "{written:?}"
    );
}

fn split(index: u64) -> Submission {
    Submission::Split(Split {
        region: RegionId(1),
        incarnation: None,
        epoch: EPOCH,
        position: at(index),
        boundaries: vec![key("m")],
        children: vec![NewRegion {
            id: RegionId(2),
            peers: vec![Peer::voter(PeerId(20), STORE)],
        }],
        derive: Derive::Left,
    })
}

#[test]
fn a_split_of_a_region_that_was_written_to_parks_that_region_alone() {
    let (_place, engine, _, gate) = gated();
    write(&engine, 1, 6, "a");
    gate.shut();
    let parked = engine.submit(split(7)).unwrap();
    let (told, hears) = mpsc::channel();
    // Others go on, as often as they like.
    for region in 10..20 {
        accepted(&engine.submit(creation(region)).unwrap().wait());
    }
    assert!(parked.answer().is_none() && engine.region(RegionId(2)).is_none());
    assert!(parked.wait_timeout(Duration::ZERO).is_none());
    std::thread::scope(|scope| {
        let engine = &engine;
        scope.spawn(move || {
            // What comes after it in the region's log waits for it, and finds it done.
            write(engine, 2, 8, "b");
            told.send(engine.region(RegionId(2)).is_some()).unwrap();
        });
        assert!(hears.try_recv().is_err(), "the write waits");
        gate.open();
        accepted(&parked.wait());
        assert_eq!(hears.recv(), Ok(true), "the write came after the split");
    });
    assert_eq!(engine.regions().len(), 12);
    // Data never behind metadata: what was written before the split was durable before its record.
    let start = engine.raft_start(RegionId(1)).unwrap();
    assert!(start.truncate_floor >= 6, "{start:?}");
}

#[test]
fn closing_waits_for_what_is_parked() {
    let (place, engine, data, gate) = gated();
    write(&engine, 1, 6, "a");
    gate.shut();
    let (told, hears) = mpsc::channel();
    let parked = engine.submit(split(7)).unwrap();
    parked.on_answer(move |outcome| told.send(accepted(&outcome)).unwrap());
    std::thread::scope(|scope| {
        let closing = scope.spawn(move || engine.close());
        assert!(hears.try_recv().is_err());
        gate.open();
        closing.join().unwrap().unwrap();
    });
    assert!(hears.recv().is_ok(), "it was carried out");
    let (engine, _) = Engine::options()
        .store(STORE)
        .data(Arc::new(MemoryFactory::new(data)))
        .open(place.path().join("store"))
        .unwrap();
    assert!(engine.region(RegionId(2)).is_some());
}

#[test]
fn what_is_parked_when_the_data_store_fails_is_not_carried_out() {
    let (_place, engine, _, gate) = gated();
    write(&engine, 1, 6, "a");
    gate.shut();
    let parked = engine.submit(split(7)).unwrap();
    let also = engine.submit(creation(3)).unwrap();
    gate.fails.store(true, Ordering::SeqCst);
    gate.open();
    let outcome = parked.wait();
    let Err(EngineError::NotCarriedOut(cause)) = &outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(cause.code(), "data-store-failed");
    assert_eq!(outcome.unwrap_err().code(), "data-store-failed");
    // Metadata alone goes on.
    accepted(&also.wait());
    assert!(engine.region(RegionId(2)).is_none());
}

#[test]
fn every_entry_of_a_merge_can_be_submitted() {
    let world = World::new(8);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    accepted(&engine.submit(split(7)).unwrap().wait());
    let described = |id: u64| engine.region(RegionId(id)).unwrap().region.unwrap();
    let prepare = |index: u64| Submission::PrepareMerge {
        region: RegionId(2),
        epoch: described(2).epoch,
        position: at(index),
        target: Region::clone(&described(1)),
        min_index: index - 1,
    };
    accepted(&engine.submit(prepare(6)).unwrap().wait());
    let rollback = Submission::RollbackMerge {
        region: RegionId(2),
        epoch: described(2).epoch,
        position: at(7),
        commit: 6,
    };
    accepted(&engine.submit(rollback).unwrap().wait());
    accepted(&engine.submit(prepare(8)).unwrap().wait());
    let commit = Submission::CommitMerge {
        region: RegionId(1),
        epoch: described(1).epoch,
        position: at(8),
        source: Region::clone(&described(2)),
        commit: 8,
    };
    let ticket = engine.submit(commit).unwrap();
    assert!(ticket.answer().is_some(), "it takes a region away");
    accepted(&ticket.wait());
    assert!(engine.region(RegionId(2)).is_none());
    let collect = Submission::CollectTombstone {
        region: RegionId(2),
        highest_peer: PeerId(20),
    };
    accepted(&engine.submit(collect).unwrap().wait());
    assert!(engine.tombstones().is_empty());
    for end in [false, true] {
        let (region, epoch) = (RegionId(1), described(1).epoch);
        let mode = match end {
            false => Submission::BeginFlashback {
                region,
                epoch,
                position: at(9),
            },
            true => Submission::EndFlashback {
                region,
                epoch,
                position: at(10),
            },
        };
        accepted(&engine.submit(mode).unwrap().wait());
    }
}
