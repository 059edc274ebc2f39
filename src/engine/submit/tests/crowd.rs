//! Many threads that share syncs: each gets the answer to its own question, and only when it is durable.

use std::sync::Barrier;

use torrens_journal::Lsn;

use super::{Siblings, holds};
use crate::engine::EngineError;
use crate::{Answer, DestroyCause, PeerId, Refusal, RegionEpoch, RegionId, StoreId};

const THREADS: u64 = 12;
const ROUNDS: u64 = 20;

fn create(siblings: &Siblings, region: u64, peer: u64) -> Result<Answer, EngineError> {
    let (region, peer, from) = (RegionId(region), PeerId(peer), StoreId(5));
    let epoch = RegionEpoch::BOOTSTRAP;
    siblings.engine.create_peer(region, peer, from, epoch)
}

fn destroy(siblings: &Siblings, region: u64, peer: u64) -> Result<Answer, EngineError> {
    let (region, peer, cause) = (RegionId(region), PeerId(peer), DestroyCause::Operator);
    let engine = &siblings.engine;
    engine.destroy(region, RegionEpoch::NONE, None, peer, cause)
}

fn lsn(answer: &Answer) -> Lsn {
    answer.lsn().unwrap()
}

/// One thread's part; gives the positions of its records.
fn live_and_die(siblings: &Siblings, region: u64) -> Vec<Lsn> {
    let mut records = Vec::new();
    for round in 1..=ROUNDS {
        let created = create(siblings, region, round).unwrap();
        let status = siblings.engine.region(RegionId(region)).unwrap();
        assert_eq!(status.peer, PeerId(round), "an answer is seen by everybody");
        let again = create(siblings, region, round).unwrap();
        assert_eq!(again, Answer::AlreadyApplied);
        let destroyed = destroy(siblings, region, round).unwrap();
        assert_eq!(siblings.engine.region(RegionId(region)), None);
        let Answer::Refused(Refusal::PeerTombstoned { region: about, .. }) =
            create(siblings, region, round).unwrap()
        else {
            panic!("a tombstone fences");
        };
        assert_eq!(about, RegionId(region), "the answer to another's question");
        records.extend([lsn(&created), lsn(&destroyed)]);
    }
    records
}

#[test]
fn each_of_a_crowd_gets_the_answer_to_its_own_question() {
    let siblings = Siblings::new();
    let before = siblings.engine.register().last_lsn();
    let begin = Barrier::new(THREADS as usize);
    let mut records: Vec<Lsn> = std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| {
            let (siblings, begin) = (&siblings, &begin);
            scope.spawn(move || {
                begin.wait();
                live_and_die(siblings, 100 + thread)
            })
        });
        let threads: Vec<_> = threads.collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.flatten().collect()
    });
    records.sort_unstable();
    let expected: Vec<Lsn> = (1..=2 * THREADS * ROUNDS)
        .map(|n| Lsn::new(before.get() + n))
        .collect();
    assert_eq!(records, expected, "each record is answered once");
}

#[test]
fn nobody_of_a_crowd_hears_or_sees_anything_before_it_is_durable() {
    let siblings = Siblings::new();
    siblings.gate.0.set(true);
    std::thread::scope(|scope| {
        let siblings = &siblings;
        let _opens = siblings.gate.once_more();
        let threads = (0..THREADS)
            .map(|thread| scope.spawn(move || create(siblings, 100 + thread, 1 + thread).unwrap()));
        let threads: Vec<_> = threads.collect();
        let decided = |region| {
            let core = siblings.core();
            core.with_decided(|register| register.peer(RegionId(region)).is_some())
        };
        while !(0..THREADS).all(|thread| decided(100 + thread)) {
            std::thread::yield_now();
        }
        for (thread, asker) in threads.iter().enumerate() {
            let region = RegionId(100 + thread as u64);
            assert!(!asker.is_finished() && siblings.engine.region(region).is_none());
        }
        siblings.gate.0.set(false);
        for thread in threads {
            holds(&thread.join().unwrap());
        }
    });
}
