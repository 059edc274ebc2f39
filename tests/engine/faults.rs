//! Faults of the disk under the whole engine: a failed sync ends it for good, a full disk does not,
//! a failed data store takes no more writes; and nothing that was acknowledged is lost by any.

use std::io;

use torrens::store::{Lost, StoreFault};
use torrens::{Engine, EngineError, PeerId, RegionId, StoreId};
use torrens_journal::testing::{CutChoice, SimFault};

use crate::support::*;

fn create(engine: &Engine, region: u64) -> Result<(), EngineError> {
    holds(engine.create_peer(RegionId(region), PeerId(region * 10), StoreId(5), EPOCH))
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_reopened() {
    let world = World::new(9);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let before = Seen::of(&engine);
    // The next sync fails as Linux file systems fail: readers see the pages, the device lacks them,
    // and the sync after that succeeds.
    for op in 1..=2 {
        world
            .disk
            .fail_at(world.disk.ops() + op, SimFault::SyncLies);
    }
    assert!(matches!(create(&engine, 2), Err(EngineError::Poisoned)));
    world.disk.clear_faults();
    assert_eq!(Seen::of(&engine), before, "what is not durable is not seen");
    assert!(
        matches!(create(&engine, 3), Err(EngineError::Poisoned)),
        "poisoned for good"
    );
    assert!(matches!(engine.flush(), Err(EngineError::Poisoned)));
    let view = engine.view(RegionId(1), EPOCH).unwrap();
    assert!(
        view.get(b"any").unwrap().is_none(),
        "reading what is durable goes on"
    );
    drop((view, engine));

    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    assert_eq!(Seen::of(&engine), before);
    create(&engine, 3).unwrap();
}

#[test]
fn the_loss_of_a_witnessed_transition_is_never_taken_for_the_trace_of_a_crash() {
    for witnessed in [false, true] {
        let world = World::new(9);
        let (engine, _) = world.open().unwrap();
        bootstrap(&engine).unwrap();
        let answer = engine
            .create_peer(RegionId(2), PeerId(20), StoreId(5), EPOCH)
            .unwrap();
        let lsn = answer.lsn().unwrap();
        if witnessed {
            engine.witness(lsn).unwrap();
        }
        let late = engine.witness(lsn.next().unwrap()).unwrap_err();
        assert_eq!(late.code(), "no-such-record");
        let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
        // The device loses the last group, which was acknowledged.
        let segments = world.disk.files().into_iter();
        let path = segments.filter(|path| path.extension().is_some_and(|e| e == "seg"));
        let path = path.max().unwrap();
        let bytes = world.disk.contents(&path).unwrap();
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 4096 * 4096;
        world.disk.corrupt(&path, last as u64, &[0; 4096]).unwrap();
        match world.open() {
            // Nothing can tell this from a crash before the sync returned.
            Ok((_, report)) if !witnessed => assert!(!report.recovery.decided, "{report}"),
            Err(error) if witnessed => assert_eq!(error.code(), "open-recovery"),
            other => panic!("witnessed {witnessed}: {other:?}"),
        }
    }
}

#[test]
fn a_full_disk_is_an_answer_and_the_engine_goes_on_when_there_is_space() {
    let world = World::new(9);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    world.disk.set_capacity(world.disk.used_bytes());
    let mut created = 1;
    let refused = loop {
        match create(&engine, created + 1) {
            Ok(()) => created += 1,
            Err(error) => break error,
        }
        assert!(created < 1000, "the segment must fill up");
    };
    assert!(matches!(refused, EngineError::DiskFull(_)), "{refused}");
    assert_eq!(
        engine.regions().len() as u64,
        created,
        "the refused one is not there"
    );
    assert!(
        matches!(create(&engine, created + 1), Err(EngineError::DiskFull(_))),
        "nor the next"
    );
    engine.view(RegionId(1), EPOCH).unwrap();

    world.disk.set_capacity(None);
    create(&engine, created + 1).unwrap();
    let seen = Seen::of(&engine);
    engine.close().unwrap();
    let (engine, _) = world.open().unwrap();
    assert_eq!(Seen::of(&engine), seen);
}

#[test]
fn a_checkpoint_that_does_not_fit_leaves_everything_as_it_was() {
    let world = World::new(9);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    world.disk.set_capacity(world.disk.used_bytes());
    let refused = engine.checkpoint().unwrap_err();
    assert!(matches!(refused, EngineError::Checkpoint(_)), "{refused}");
    create(&engine, 2).unwrap();
    world.disk.set_capacity(None);
    let lsn = engine.checkpoint().unwrap();
    assert_eq!(lsn, engine.synced());
    drop(engine);
    let (_, report) = world.open().unwrap();
    assert_eq!(report.recovery.checkpoint.map(|used| used.lsn), Some(lsn));
}

#[test]
fn a_data_store_that_failed_takes_no_more_writes_and_loses_nothing_acknowledged() {
    let world = World::new(9);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    written(engine.write(RegionId(1), EPOCH, at(6), &puts(&["a"], "durable"))).unwrap();
    engine.flush().unwrap();
    written(engine.write(RegionId(1), EPOCH, at(7), &puts(&["b"], "applied"))).unwrap();
    world.data.fault_at(
        world.data.calls() + 2,
        StoreFault::Fails(io::ErrorKind::Other),
    );
    assert!(matches!(engine.flush(), Err(EngineError::Data(_))));
    let refused = engine
        .write(RegionId(1), EPOCH, at(8), &puts(&["c"], "late"))
        .unwrap_err();
    assert_eq!(refused.code(), "data-store-failed");
    create(&engine, 2).unwrap();
    drop(engine);

    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, report) = world.open().unwrap();
    assert!(report.damaged.is_empty(), "{report}");
    assert_eq!(
        engine.raft_start(RegionId(1)).unwrap().data.index,
        6,
        "7 is sent again"
    );
    assert!(engine.region(RegionId(2)).is_some());
}
