//! Submitted transitions that take a region or its memory away, where the journal has a thread that syncs:
//! nobody waits for them but whoever touches their regions, and a failure keeps nobody waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use torrens::store::{Lost, MemoryFactory, MemoryStore};
use torrens::{
    Answer, Background, DestroyCause, Engine, EngineError, PeerId, Region, RegionEpoch, RegionId,
    StoreId, Submission, WriteBatch,
};
use torrens_journal::disk::{RealDisk, RealDiskOptions, op};
use torrens_journal::testing::{CutChoice, SimFault};

use crate::support::*;

/// What syncs wait for while it is shut.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_shut = self.is_shut.lock().unwrap();
        while *is_shut {
            is_shut = self.opened.wait(is_shut).unwrap();
        }
    }
}

/// Opens the gate when a test ends, however it does.
struct Opens(Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A store with regions 1 and 2 on a real disk whose syncs pass the gate.
fn gated(background: Background) -> (tempfile::TempDir, Engine, Opens) {
    let gate = Arc::new(Gate::default());
    let passes = Arc::clone(&gate);
    let disk = RealDisk::with(RealDiskOptions {
        op_hook: Some(Arc::new(move |name, _| {
            if [op::SYNC, op::WRITE_DURABLE].contains(&name) {
                passes.pass();
            }
        })),
        ..RealDiskOptions::default()
    });
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::options()
        .store(STORE)
        .barrier_interval(Duration::from_secs(3600))
        .background(background)
        .disk(Arc::new(disk.unwrap()))
        .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
        .open(place.path().join("store"))
        .unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    (place, engine, Opens(gate))
}

fn destroy(engine: &Engine, region: u64) -> Submission {
    Submission::Destroy {
        region: RegionId(region),
        epoch: described(engine, region).epoch,
        incarnation: None,
        peer: PeerId(region * 10),
        cause: DestroyCause::Operator,
    }
}

fn described(engine: &Engine, region: u64) -> Region {
    let status = engine.region(RegionId(region)).unwrap();
    Region::clone(&status.region.unwrap())
}

fn write(engine: &Engine, region: u64, epoch: RegionEpoch, index: u64) -> Result<String, String> {
    let mut batch = WriteBatch::new();
    batch.put(b"z".as_slice(), b"row".as_slice());
    let written = engine.write(RegionId(region), epoch, at(index), &batch);
    written
        .map(|answer| format!("{answer:?}"))
        .map_err(|error| error.code().to_owned())
}

fn creation(region: u64) -> Submission {
    Submission::CreatePeer {
        region: RegionId(region),
        peer: PeerId(region * 10),
        from_store: StoreId(5),
        epoch: EPOCH,
    }
}

fn holds_now(outcome: &Result<Answer, EngineError>) {
    assert!(outcome.as_ref().is_ok_and(Answer::holds), "{outcome:?}");
}

#[test]
fn a_destroy_keeps_its_own_region_waiting_and_nobody_else() {
    for background in [Background::Thread, Background::Manual] {
        let (_place, engine, gate) = gated(background);
        let epoch = described(&engine, 2).epoch;
        let view = engine.view(RegionId(2), epoch).unwrap();
        gate.0.set(true);
        let gone = engine.submit(destroy(&engine, 2)).unwrap();
        let others: Vec<_> = (30..40)
            .map(|region| engine.submit(creation(region)).unwrap())
            .collect();
        assert!(gone.answer().is_none() && gone.wait_timeout(Duration::ZERO).is_none());
        assert!(others.iter().all(|ticket| ticket.answer().is_none()));
        assert!(engine.region(RegionId(2)).is_some(), "it is not durable");
        assert!(view.get(b"z").is_ok(), "and so it can be read");
        std::thread::scope(|scope| {
            let (engine, (told, hears)) = (&engine, mpsc::channel());
            scope.spawn(move || told.send(write(engine, 2, epoch, 6)).unwrap());
            assert!(hears.try_recv().is_err(), "whatever touches it waits");
            gate.0.set(false);
            holds_now(&gone.wait());
            assert!(engine.region(RegionId(2)).is_none());
            assert!(view.get(b"z").is_err(), "its views ended before it is told");
            let written = hears.recv().unwrap().unwrap();
            assert!(written.contains("Refused"), "{written}");
        });
        for ticket in others {
            holds_now(&ticket.wait());
        }
        engine.wait_idle().unwrap();
        assert_eq!(engine.register().deletions().count(), 0, "its keys went");
    }
}

#[test]
fn a_merge_is_committed_without_its_submitter_and_both_regions_wait_for_it() {
    let (_place, engine, gate) = gated(Background::Thread);
    let prepare = Submission::PrepareMerge {
        region: RegionId(2),
        epoch: described(&engine, 2).epoch,
        position: at(6),
        target: described(&engine, 1),
        min_index: 5,
    };
    holds_now(&engine.submit(prepare).unwrap().wait());
    let (target, source) = (described(&engine, 1), described(&engine, 2));
    let commit = |commit| Submission::CommitMerge {
        region: RegionId(1),
        epoch: target.epoch,
        position: at(8),
        source: source.clone(),
        commit,
    };
    gate.0.set(true);
    let merged = engine.submit(commit(6)).unwrap();
    assert!(merged.answer().is_none(), "the call is back before a sync");
    assert!(engine.region(RegionId(2)).is_some());
    std::thread::scope(|scope| {
        let (engine, (told, hears)) = (&engine, mpsc::channel());
        scope.spawn(move || {
            let merged = RegionEpoch {
                version: 4,
                ..EPOCH
            };
            told.send(write(engine, 1, merged, 9)).unwrap();
        });
        assert!(hears.try_recv().is_err(), "the target's write waits");
        gate.0.set(false);
        holds_now(&merged.wait());
        assert!(engine.region(RegionId(2)).is_none());
        let epoch = described(engine, 1).epoch;
        let written = hears.recv().unwrap().unwrap();
        assert!(written.contains("Applied"), "{written} at {epoch:?}");
    });
    assert!(matches!(
        engine.submit(commit(6)).unwrap().wait(),
        Ok(Answer::AlreadyApplied)
    ));
}

#[test]
fn what_was_being_taken_away_when_a_sync_failed_keeps_nobody_waiting() {
    let world = World::new(11);
    let fails = Arc::new(AtomicBool::new(false));
    let disk = world.disk.with_threads();
    let (engine, _) = world.options().disk(Arc::new(disk)).open("store").unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    engine.flush().unwrap();
    let before = Seen::of(&engine);
    let epoch = described(&engine, 2).epoch;
    let decides = Arc::clone(&fails);
    world.disk.watch(Arc::new(move |operation| {
        let is_sync = [op::SYNC, op::WRITE_DURABLE].contains(&operation.name);
        (is_sync && decides.load(Ordering::SeqCst)).then_some(SimFault::SyncLies)
    }));
    fails.store(true, Ordering::SeqCst);
    let gone = engine.submit(destroy(&engine, 2)).unwrap();
    let written = write(&engine, 2, epoch, 6);
    assert_eq!(written.unwrap_err(), "poisoned");
    let outcome = gone.wait();
    assert!(matches!(outcome, Err(EngineError::Poisoned)), "{outcome:?}");
    assert_eq!(Seen::of(&engine), before, "what is not durable is not seen");
    drop((gone, engine));
    world.disk.clear_faults();
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    assert_eq!(Seen::of(&engine), before);
}

#[test]
fn closing_ends_what_is_being_taken_away() {
    let (place, engine, gate) = gated(Background::Thread);
    gate.0.set(true);
    let gone = engine.submit(destroy(&engine, 2)).unwrap();
    std::thread::scope(|scope| {
        let closing = scope.spawn(move || engine.close());
        gate.0.set(false);
        closing.join().unwrap().unwrap();
    });
    holds_now(&gone.wait());
    drop(gone);
    let (engine, _) = Engine::options()
        .store(STORE)
        .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
        .open(place.path().join("store"))
        .unwrap();
    assert!(engine.region(RegionId(2)).is_none());
}
