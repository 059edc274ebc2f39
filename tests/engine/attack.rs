//! Attacks on the engine: odd orders of calls, faults between any two steps of one call, and what a
//! second crash does to what a first one left. Each of these once did harm.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use torrens::snapshot::{SnapshotMeta, SnapshotName, SnapshotWriter};
use torrens::store::{Lost, MemoryFactory, StoreFault};
use torrens::{
    Answer, Background, CacheState, Derive, Engine, EngineError, KeyRange, NewRegion, OpenMode,
    PeerId, ReadError, Region, RegionEpoch, RegionId, Sequence, Split, StoreId,
};
use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};

use crate::support::*;

const ONE: RegionId = RegionId(1);
const TWO: RegionId = RegionId(2);

/// Region 1 with two rows, not flushed.
fn furnished() -> (World, Engine) {
    let world = World::new(11);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    written(engine.write(ONE, EPOCH, at(6), &puts(&["a", "z"], "old"))).unwrap();
    (world, engine)
}

/// Splits region 1 at "m"; region 2 takes what is above.
fn split(engine: &Engine, index: u64) -> Result<(), EngineError> {
    let split = Split {
        region: ONE,
        incarnation: None,
        epoch: epoch(engine, 1),
        position: at(index),
        boundaries: vec![key("m")],
        children: vec![NewRegion {
            id: TWO,
            peers: vec![peer(20, STORE.0)],
        }],
        derive: Derive::Left,
    };
    holds(engine.split(split))
}

/// A snapshot of region 2 from "m" on, as another store sends it.
fn sent(peer_id: u64, index: u64, keys: &[&str]) -> (SnapshotName, Vec<u8>) {
    let (elsewhere, dir) = (Arc::new(SimDisk::new(5)), Path::new("other"));
    elsewhere.create_dir_all(dir).unwrap();
    let meta = SnapshotMeta {
        region: Region {
            id: TWO,
            range: KeyRange::new(b"m".as_slice(), None::<&[u8]>).unwrap(),
            epoch: RegionEpoch {
                conf_ver: 3,
                version: 2,
            },
            peers: vec![peer(peer_id, STORE.0), peer(90, 5)],
        },
        index,
        term: 6,
        sequence: Sequence::new(1),
    };
    let mut writer = SnapshotWriter::create(elsewhere.clone(), dir, index, &meta).unwrap();
    for name in keys {
        writer.push(name.as_bytes(), b"sent").unwrap();
    }
    let name = writer.finish().unwrap().name;
    (name, elsewhere.contents(&name.path_in(dir)).unwrap())
}

fn create(engine: &Engine, region: u64, id: u64) -> Result<Answer, EngineError> {
    engine.create_peer(RegionId(region), PeerId(id), StoreId(5), EPOCH)
}

/// Uses up the room that the journal has, so that the next record does not fit.
fn fill_up(world: &World, engine: &Engine) {
    world.disk.set_capacity(world.disk.used_bytes());
    let mut region = 1000;
    while create(engine, region, 1).is_ok() {
        region += 1;
        assert!(region < 3000, "the journal must fill up");
    }
}

#[test]
fn data_that_survived_a_kill_and_no_barrier_covered_is_sent_again_before_a_split_relies_on_it() {
    let (world, engine) = furnished();
    let floor = engine.flush().and_then(|_| engine.truncate_floor(ONE));
    assert_eq!(floor.unwrap(), 6);
    written(engine.write(ONE, EPOCH, at(7), &puts(&["b"], "7"))).unwrap();
    drop(engine);
    // Killed: the machine's own memory still has the data, the device does not.
    let world = world.kill(Lost::AllButBatches(usize::MAX));
    let (engine, report) = world.open().unwrap();
    assert_eq!(report.rolled_back.regions, [(ONE, 7, Some(6))], "{report}");
    assert!(report.to_string().contains("that no barrier covered"));
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 6);
    written(engine.write(ONE, EPOCH, at(7), &puts(&["b"], "7"))).unwrap();
    split(&engine, 8).unwrap();
    drop(engine);
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, report) = world.open().unwrap();
    assert!(report.damaged.is_empty(), "{report}");
    assert_eq!(
        engine.raft_start(ONE).unwrap().data.index,
        7,
        "the host sends nothing below 8 again"
    );
}

#[test]
fn a_view_of_the_whole_ends_when_the_part_of_a_skipped_child_is_cleared() {
    let (_world, engine) = furnished();
    holds(create(&engine, 2, 20)).unwrap();
    destroy(&engine, 2, 20).unwrap();
    let view = engine.view(ONE, EPOCH).unwrap();
    split(&engine, 7).unwrap();
    engine.wait_idle().unwrap();
    match view.get(b"z") {
        Err(ReadError::ViewEnded { .. }) => {}
        Ok(value) => assert!(value.is_some(), "a row went away under the view"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_load_that_was_asked_for_before_a_restart_is_done_after_it() {
    let (world, engine) = furnished();
    holds(engine.load(ONE, EPOCH)).unwrap();
    drop(engine);
    let (engine, _) = world.open().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(engine.region(ONE).unwrap().cache, CacheState::Active);
}

#[test]
fn the_range_of_an_apply_that_opening_took_back_is_free_again() {
    let world = World::new(11);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 2, 20).unwrap().incarnation().unwrap();
    let (name, bytes) = sent(20, 40, &["n"]);
    let staged = engine.receive_snapshot(name, bytes.as_slice()).unwrap();
    let fault = StoreFault::Fails(std::io::ErrorKind::Other);
    world.data.fault_at(world.data.calls() + 1, fault);
    engine
        .apply_snapshot(TWO, incarnation, &staged)
        .unwrap_err();
    drop(engine);
    let world = world.kill(Lost::AllButBatches(usize::MAX));
    let file = staged.name.path_in(Path::new("store/snapshots"));
    world.disk.remove(&file).unwrap();
    let (engine, report) = world.open().unwrap();
    assert_eq!(report.resolved_back(), 1, "{report}");
    engine.wait_idle().unwrap();
    let (name, bytes) = sent(20, 41, &["n"]);
    let staged = engine.receive_snapshot(name, bytes.as_slice()).unwrap();
    holds(engine.apply_snapshot(TWO, incarnation, &staged)).unwrap();
}

#[test]
fn an_apply_that_a_full_disk_stopped_goes_on_when_it_is_asked_for_again() {
    let mut stopped = 0;
    for fillers in 0..10 {
        let world = World::new(11);
        let (engine, _) = world.open().unwrap();
        let incarnation = create(&engine, 2, 20).unwrap().incarnation().unwrap();
        let (name, bytes) = sent(20, 40, &["n"]);
        let staged = engine.receive_snapshot(name, bytes.as_slice()).unwrap();
        world.disk.set_capacity(world.disk.used_bytes());
        for region in 0..fillers {
            let _ = create(&engine, 1000 + region, 1);
        }
        let first = engine.apply_snapshot(TWO, incarnation, &staged);
        world.disk.set_capacity(None);
        if first.is_err() && engine.region(TWO).unwrap().stage == "applying" {
            stopped += 1;
        }
        if first.is_err() {
            holds(engine.apply_snapshot(TWO, incarnation, &staged)).unwrap();
        }
        assert_eq!(engine.region(TWO).unwrap().stage, "normal", "{fillers}");
        assert_eq!(rows(&engine).len(), 1, "{fillers}");
    }
    assert!(stopped > 0, "no apply was stopped half way");
}

#[test]
fn a_staged_file_outlives_an_end_that_may_be_lost() {
    let mut tried = 0;
    // The sync of each record of an apply fails in turn; the last of them is its end's.
    for skip in 1..40 {
        let world = World::new(11);
        let (engine, _) = world.open().unwrap();
        let incarnation = create(&engine, 2, 20).unwrap().incarnation().unwrap();
        let (name, bytes) = sent(20, 40, &["n"]);
        let staged = engine.receive_snapshot(name, bytes.as_slice()).unwrap();
        world
            .disk
            .fail_at(world.disk.ops() + skip, SimFault::SyncLies);
        if engine.apply_snapshot(TWO, incarnation, &staged).is_ok() {
            continue;
        }
        if engine.region(TWO).unwrap().stage != "applying" {
            continue;
        }
        tried += 1;
        let removed = engine.remove_snapshot(staged.name);
        assert!(removed.is_err(), "operation {skip}: {removed:?}");
        drop(engine);
        let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
        let (engine, report) = world.open().unwrap();
        assert_eq!(report.resolved_forward(), 1, "{report}");
        assert_eq!(rows(&engine).len(), 1);
    }
    assert!(tried > 0, "no apply was stopped half way");
}

#[test]
fn every_handle_of_a_closed_engine_says_so() {
    let (_world, engine) = furnished();
    let other = engine.clone();
    engine.close().unwrap();
    let written = other.write(ONE, EPOCH, at(7), &puts(&["b"], "late"));
    assert!(matches!(written, Err(EngineError::Closed)), "{written:?}");
    assert!(matches!(other.flush(), Err(EngineError::Closed)));
    assert!(matches!(create(&other, 3, 30), Err(EngineError::Closed)));
    assert!(matches!(other.checkpoint(), Err(EngineError::Closed)));
    let taken = other.take_snapshot(ONE, EPOCH);
    assert!(matches!(taken, Err(EngineError::Closed)), "{taken:?}");
    let (name, bytes) = sent(20, 40, &["n"]);
    let received = other.receive_snapshot(name, bytes.as_slice());
    assert!(matches!(received, Err(EngineError::Closed)), "{received:?}");
}

#[test]
fn a_poisoned_engine_takes_no_writes_either() {
    let (world, engine) = furnished();
    // Another segment is begun, so that what fails next is a sync.
    holds(create(&engine, 4, 40)).unwrap();
    for op in 1..=2 {
        world
            .disk
            .fail_at(world.disk.ops() + op, SimFault::SyncLies);
    }
    assert!(matches!(create(&engine, 3, 30), Err(EngineError::Poisoned)));
    world.disk.clear_faults();
    let written = engine.write(ONE, EPOCH, at(7), &puts(&["b"], "late"));
    assert!(matches!(written, Err(EngineError::Poisoned)), "{written:?}");
    assert!(
        engine.wait_idle().is_err(),
        "not everything could be made durable"
    );
    assert!(engine.close().is_err());
}

#[test]
fn reading_only_what_hardly_began_is_no_reason_to_panic() {
    // Dies at every operation of the first opening; whatever can be looked at answers politely.
    for op in 1.. {
        let world = World::new(11);
        world.disk.fail_at(op, SimFault::Dies);
        if world.open().is_ok() {
            break;
        }
        let world = world.kill(Lost::Unflushed);
        let Ok((engine, _)) = look(&world) else {
            continue;
        };
        let region = Region {
            id: ONE,
            range: KeyRange::all(),
            epoch: EPOCH,
            peers: vec![peer(10, STORE.0)],
        };
        let refused = engine.bootstrap(region);
        assert!(matches!(refused, Err(EngineError::ReadOnly)), "{refused:?}");
    }
}

fn look(world: &World) -> Result<(Engine, torrens::OpenReport), torrens::OpenError> {
    Engine::options()
        .store(STORE)
        .mode(OpenMode::ReadOnly)
        .disk(Arc::new(world.disk.clone()))
        .data(Arc::new(MemoryFactory::new(world.data.clone())))
        .open("store")
}

#[test]
fn reading_only_serves_nothing_that_cannot_be_trusted() {
    let (world, engine) = furnished();
    engine.flush().unwrap();
    drop(engine);
    let (engine, _) = look(&world).unwrap();
    let view = engine.view(ONE, EPOCH).unwrap();
    let value = view.get(b"z").unwrap();
    assert!(value.is_some(), "what is whole is served");
    drop((view, engine));
    let world = world.power_cut(CutChoice::KeepAll, Lost::Everything);
    let (engine, _) = look(&world).unwrap();
    let read = engine
        .view(ONE, EPOCH)
        .and_then(|view| view.get(b"z").map(|value| value.is_some()));
    assert!(read.is_err(), "lost data is served as absent: {read:?}");
}

#[test]
fn a_deletion_that_a_full_disk_stopped_goes_on_when_there_is_space() {
    let (world, engine) = furnished();
    split(&engine, 7).unwrap();
    destroy(&engine, 2, 20).unwrap();
    fill_up(&world, &engine);
    assert!(matches!(engine.wait_idle(), Err(EngineError::DiskFull(_))));
    world.disk.set_capacity(None);
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(orphans(&world, &engine), Vec::<Vec<u8>>::new());
    let incarnation = create(&engine, 2, 21).unwrap().incarnation().unwrap();
    let (name, bytes) = sent(21, 40, &["n"]);
    let staged = engine.receive_snapshot(name, bytes.as_slice()).unwrap();
    holds(engine.apply_snapshot(TWO, incarnation, &staged)).unwrap();
}

#[test]
fn a_load_that_a_full_disk_stopped_goes_on_when_there_is_space() {
    let mut stopped = 0;
    for fillers in 0..12 {
        let (world, engine) = furnished();
        for region in 0..fillers {
            holds(create(&engine, 1000 + region, 1)).unwrap();
        }
        holds(engine.load(ONE, EPOCH)).unwrap();
        // What was asked for is a group of its own; the rest of the load needs another.
        engine.tick().unwrap();
        world.disk.set_capacity(world.disk.used_bytes());
        if engine.wait_idle().is_err() {
            stopped += 1;
        }
        world.disk.set_capacity(None);
        engine.tick().unwrap();
        engine.wait_idle().unwrap();
        let state = engine.region(ONE).unwrap().cache;
        assert_eq!(state, CacheState::Active, "{fillers}");
        let view = engine.view(ONE, EPOCH).unwrap();
        assert!(view.is_cached() && view.get(b"z").unwrap().is_some());
    }
    assert!(stopped > 0, "no load was stopped");
}

#[test]
fn a_region_is_served_from_memory_though_others_were_written_to_since_its_last_write() {
    let (_world, engine) = furnished();
    split(&engine, 7).unwrap();
    let epoch = epoch(&engine, 1);
    written(engine.write(TWO, epoch, at(6), &puts(&["n"], "new"))).unwrap();
    holds(engine.load(ONE, epoch)).unwrap();
    engine.wait_idle().unwrap();
    assert!(engine.view(ONE, epoch).unwrap().is_cached());
}

#[test]
fn a_failed_data_store_does_not_keep_the_journal_from_being_closed_in_order() {
    let (world, engine) = furnished();
    world.data.fault_at(
        world.data.calls() + 1,
        StoreFault::Fails(std::io::ErrorKind::Other),
    );
    engine.flush().unwrap_err();
    holds(engine.load(ONE, EPOCH)).unwrap();
    let other = engine.clone();
    assert_eq!(engine.close().unwrap_err().code(), "data-store-failed");
    let late = create(&other, 3, 30);
    assert!(matches!(late, Err(EngineError::Closed)), "{late:?}");
}

#[test]
fn the_clock_goes_on_for_records_when_the_data_store_has_failed() {
    let (world, engine) = furnished();
    world.data.fault_at(
        world.data.calls() + 1,
        StoreFault::Fails(std::io::ErrorKind::Other),
    );
    engine.flush().unwrap_err();
    holds(engine.load(ONE, EPOCH)).unwrap();
    engine.tick().unwrap_err();
    assert_eq!(engine.region(ONE).unwrap().cache, CacheState::LoadRequested);
}

#[test]
fn readers_never_meet_a_cache_that_is_being_freed() {
    let world = World::new(11);
    let (engine, _) = world.open_with(Background::Thread).unwrap();
    bootstrap(&engine).unwrap();
    let names: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    written(engine.write(ONE, EPOCH, at(6), &puts(&names, "x"))).unwrap();
    let until = Instant::now() + Duration::from_millis(700);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while Instant::now() < until {
                    let view = engine.view(ONE, EPOCH).unwrap();
                    assert_eq!(view.scan(..).count(), names.len());
                    assert!(view.get(b"k07").unwrap().is_some());
                }
            });
        }
        scope.spawn(|| {
            while Instant::now() < until {
                holds(engine.load(ONE, EPOCH)).unwrap();
                engine.wait_idle().unwrap();
                holds(engine.evict(ONE)).unwrap();
            }
        });
    });
    holds(engine.evict(ONE)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while engine.cache_bytes() > 0 {
        assert!(Instant::now() < deadline, "memory that nobody frees");
        thread::sleep(Duration::from_millis(5));
    }
    engine.close().unwrap();
}

#[test]
fn a_scan_whose_rows_were_cleared_says_that_the_view_ended() {
    let (_world, engine) = furnished();
    let view = engine.view(ONE, EPOCH).unwrap();
    let mut rows = view.scan(..);
    assert!(rows.next().unwrap().is_ok());
    destroy(&engine, 1, 10).unwrap();
    engine.wait_idle().unwrap();
    let ended =
        |row: Option<Result<_, ReadError>>| matches!(row, Some(Err(ReadError::ViewEnded { .. })));
    assert!(ended(rows.next()), "in the middle");
    assert!(rows.next().is_none(), "after an error nothing follows");
    assert!(ended(view.scan(..).next()), "where nothing is left");
}
