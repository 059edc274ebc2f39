//! A merge touches two regions: it holds both latches from before its decision until its record is durable,
//! however it was asked for.
//!
//! The effects of it are in `tests/engine/submit_taking.rs`; who may touch a region is only seen from here.
//! `crowd`: many threads that wait at once.

mod crowd;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use torrens_journal::disk::{RealDisk, RealDiskOptions, op};

use crate::engine::core::Core;
use crate::engine::{Background, Engine};
use crate::store::{MemoryFactory, MemoryStore};
use crate::{
    Answer, Derive, Key, KeyRange, NewRegion, Peer, PeerId, RaftPosition, Region, RegionEpoch,
    RegionId, Split, StoreId, Submission, WriteBatch,
};

const STORE: StoreId = StoreId(4);
const TARGET: RegionId = RegionId(1);
const SOURCE: RegionId = RegionId(2);

/// What syncs wait for while it is shut.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        while *is_shut {
            self.opened.wait(&mut is_shut);
        }
    }
}

/// Opens the gate when a test ends, however it does.
struct Opens(Arc<Gate>);

impl Opens {
    /// The same for a scope, whose threads are waited for at its end.
    fn once_more(&self) -> Opens {
        Opens(Arc::clone(&self.0))
    }
}

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Regions 1 `.. m` and 2 `m ..`, of which the second is about to be merged into the first.
struct Siblings {
    /// Goes first: the engine ends when its syncs do.
    gate: Opens,
    engine: Engine,
    _place: tempfile::TempDir,
}

fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

fn peer(id: u64) -> Peer {
    Peer::voter(PeerId(id), STORE)
}

impl Siblings {
    fn new() -> Siblings {
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
            .background(Background::Thread)
            .disk(Arc::new(disk.unwrap()))
            .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
            .open(place.path().join("store"))
            .unwrap();
        let siblings = Siblings {
            engine,
            gate: Opens(gate),
            _place: place,
        };
        siblings.split();
        siblings
    }

    fn split(&self) {
        let (range, epoch) = (KeyRange::all(), RegionEpoch::BOOTSTRAP);
        let (id, peers) = (TARGET, vec![peer(10)]);
        let region = Region {
            id,
            range,
            epoch,
            peers,
        };
        holds(&self.engine.bootstrap(region).unwrap());
        let split = Split {
            region: TARGET,
            incarnation: None,
            epoch,
            position: at(7),
            boundaries: vec![Key::from(b"m".as_slice())],
            children: vec![NewRegion {
                id: SOURCE,
                peers: vec![peer(20)],
            }],
            derive: Derive::Left,
        };
        holds(&self.engine.split(split).unwrap());
    }

    fn described(&self, region: RegionId) -> Region {
        let status = self.engine.region(region).unwrap();
        Region::clone(&status.region.unwrap())
    }

    /// Prepares the merge at index 8 of the source's log; gives the entry of the target's that commits it.
    fn prepared(&self) -> Submission {
        let epoch = self.described(SOURCE).epoch;
        let target = self.described(TARGET);
        let prepared = self
            .engine
            .prepare_merge(SOURCE, epoch, at(8), target, 7)
            .unwrap();
        holds(&prepared);
        Submission::CommitMerge {
            region: TARGET,
            epoch: self.described(TARGET).epoch,
            position: at(8),
            source: self.described(SOURCE),
            commit: 8,
        }
    }

    /// A row of the target that no barrier covers.
    fn write_to_the_target(&self, index: u64) {
        let mut batch = WriteBatch::new();
        batch.put(b"a".as_slice(), b"row".as_slice());
        let epoch = self.described(TARGET).epoch;
        let written = self.engine.write(TARGET, epoch, at(index), &batch);
        assert!(written.is_ok(), "{written:?}");
    }

    fn core(&self) -> &Core {
        &self.engine.core
    }

    fn is_decided(&self) -> bool {
        let gone = |register: &crate::lifecycle::Register| register.peer(SOURCE).is_none();
        self.core().with_decided(gone)
    }

    /// Which of the two latches somebody holds.
    fn held(&self) -> [bool; 2] {
        [TARGET, SOURCE].map(|region| self.core().latches.is_held(region))
    }
}

fn holds(answer: &Answer) {
    assert!(answer.holds(), "{answer:?}");
}

#[test]
fn a_merge_comes_after_whatever_is_under_way_in_either_region() {
    for busy in [TARGET, SOURCE] {
        let siblings = Siblings::new();
        let merge = siblings.prepared();
        let latches = &siblings.core().latches;
        let under_way = latches.hold(busy);
        std::thread::scope(|scope| {
            let merging = scope.spawn(|| siblings.engine.submit(merge)?.wait());
            while !latches.is_awaited(busy) {
                assert!(!merging.is_finished(), "it did not wait for {busy}");
                std::thread::yield_now();
            }
            assert!(!siblings.is_decided(), "decided while {busy} is busy");
            drop(under_way);
            holds(&merging.join().unwrap().unwrap());
        });
        assert!(siblings.is_decided());
    }
}

#[test]
fn a_merge_that_is_submitted_keeps_both_regions_until_it_is_durable() {
    let siblings = Siblings::new();
    let merge = siblings.prepared();
    siblings.gate.0.set(true);
    let ticket = siblings.engine.submit(merge).unwrap();
    assert!(siblings.is_decided() && ticket.answer().is_none());
    assert_eq!(siblings.held(), [true, true]);
    siblings.gate.0.set(false);
    holds(&ticket.wait().unwrap());
    assert_eq!(siblings.held(), [false, false]);
}

#[test]
fn a_merge_that_is_waited_for_keeps_both_regions_until_it_is_durable() {
    let siblings = Siblings::new();
    let Submission::CommitMerge {
        region,
        epoch,
        position,
        source,
        commit,
    } = siblings.prepared()
    else {
        unreachable!("it is a merge");
    };
    siblings.gate.0.set(true);
    std::thread::scope(|scope| {
        let _opens = siblings.gate.once_more();
        let engine = &siblings.engine;
        let merging = scope.spawn(|| engine.commit_merge(region, epoch, position, source, commit));
        while !siblings.is_decided() {
            assert!(!merging.is_finished());
            std::thread::yield_now();
        }
        assert_eq!(siblings.held(), [true, true]);
        siblings.gate.0.set(false);
        holds(&merging.join().unwrap().unwrap());
    });
    assert_eq!(siblings.held(), [false, false]);
}

#[test]
fn a_merge_that_waits_for_a_barrier_keeps_both_regions_from_its_submission_on() {
    let siblings = Siblings::new();
    siblings.write_to_the_target(8);
    let Submission::CommitMerge {
        region,
        epoch,
        source,
        commit,
        ..
    } = siblings.prepared()
    else {
        unreachable!("it is a merge");
    };
    siblings.gate.0.set(true);
    let position = at(9);
    let ticket = siblings.engine.submit(Submission::CommitMerge {
        region,
        epoch,
        position,
        source,
        commit,
    });
    let ticket = ticket.unwrap();
    assert!(!siblings.is_decided(), "its data is not durable");
    assert_eq!(siblings.held(), [true, true]);
    siblings.gate.0.set(false);
    holds(&ticket.wait().unwrap());
    assert_eq!(siblings.held(), [false, false]);
}
