//! Backups: one moment of a store that goes on, and a store made of it that nobody takes for the old
//! one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens::store::{Lost, MemoryFactory, MemoryStore, read_acks};
use torrens::{
    AddedObserver, Background, BackupError, BackupReport, Engine, KeyRange, ObserverName,
    ObserverPolicy, OpenError, Options, RegionId, StartFrom, StoreId, WriteAnswer, WriteBatch,
};
use torrens_journal::testing::{CutChoice, SimDisk};

use crate::support::*;

const NEW: StoreId = StoreId(9);

/// The backup's own machine: the same disk, a data store of its own.
fn options(disk: &SimDisk, data: &MemoryStore, store: StoreId) -> Options {
    Engine::options()
        .store(store)
        .segment_bytes(32 * 1024)
        .background(Background::Manual)
        .disk(Arc::new(disk.clone()))
        .data(Arc::new(MemoryFactory::new(data.clone())))
}

/// Two regions with data, flushed and not, a destroyed one, and a checkpoint in the middle.
fn furnished(world: &World) -> Engine {
    furnished_with(world, "third")
}

/// The same with another last value.
fn furnished_with(world: &World, last: &str) -> Engine {
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    written(engine.write(RegionId(1), EPOCH, at(6), &puts(&["a", "z"], "first"))).unwrap();
    split_at_m(&engine).unwrap();
    engine.checkpoint().unwrap();
    let epoch = epoch(&engine, 1);
    written(engine.write(RegionId(1), epoch, at(8), &puts(&["b"], "second"))).unwrap();
    engine.flush().unwrap();
    let mut batch = puts(&["y"], last);
    batch.delete(key("z"));
    written(engine.write(RegionId(2), epoch, at(6), &batch)).unwrap();
    engine
}

fn back_up(engine: &Engine) -> BackupReport {
    engine.backup("backup").unwrap()
}

#[test]
fn a_restored_store_is_the_moment_of_the_backup_under_its_own_name() {
    let world = World::new(2);
    let engine = furnished(&world);
    let (seen, held) = (Seen::of(&engine), rows(&engine));
    let report = back_up(&engine);
    assert_eq!((report.store, report.regions, report.rows), (STORE, 2, 3));
    assert_eq!(report.lsn, engine.synced());
    // The old store goes on and knows nothing of it.
    let now = epoch(&engine, 1);
    written(engine.write(RegionId(1), now, at(9), &puts(&["c"], "later"))).unwrap();
    destroy(&engine, 2, 20).unwrap();

    let data = MemoryStore::new();
    let restored = options(&world.disk, &data, NEW)
        .restore("backup", "new")
        .unwrap();
    assert_eq!(restored, report);
    // Complete and durable: the power may go now.
    let disk = world.disk.power_cut(CutChoice::LoseAll);
    let data = data.power_cut(Lost::Unflushed);
    let (new, opened) = options(&disk, &data, NEW).open("new").unwrap();
    assert!(
        opened.damaged.is_empty() && opened.data_store_lost.is_none(),
        "{opened}"
    );
    assert_eq!(rows(&new), held);
    for (region, (peer, stage, description)) in &seen.peers {
        let (peer_now, stage_now, description_now) = &Seen::of(&new).peers[region];
        assert_eq!((peer_now, stage_now), (peer, stage));
        let (before, after) = (
            description.as_ref().unwrap(),
            description_now.as_ref().unwrap(),
        );
        assert_eq!(after.range, before.range);
        assert_eq!(after.epoch.version, before.epoch.version);
        assert_eq!(after.epoch.conf_ver, before.epoch.conf_ver + 1);
        assert_eq!(after.peer_on(NEW).map(|peer| peer.id), Some(*peer));
        assert_eq!(after.peer_on(STORE), None);
    }
    let start = new.raft_start(RegionId(2)).unwrap();
    assert_eq!(
        (
            start.data.index,
            new.raft_start(RegionId(1)).unwrap().data.index
        ),
        (6, 8)
    );
    // What was sent to the old store is refused.
    let behind = engine.region(RegionId(1)).unwrap().region.unwrap().epoch;
    let late = new.change_peers(
        RegionId(1),
        behind,
        at(9),
        torrens::PeerChange::Add {
            peer: torrens::Peer::learner(torrens::PeerId(77), StoreId(8)),
        },
    );
    let late = late.unwrap();
    assert!(!late.holds(), "{late:?}");
    // It lives as every other: transitions, writes, checkpoints, restarts.
    let now = epoch(&new, 1);
    written(new.write(RegionId(1), now, at(9), &puts(&["d"], "own"))).unwrap();
    new.checkpoint().unwrap();
    new.close().unwrap();
    let (new, _) = options(&disk, &data, NEW).open("new").unwrap();
    assert_eq!(rows(&new).len(), held.len() + 1);
    drop(new);
    let old_name = options(&disk, &data, STORE).open("new").unwrap_err();
    assert!(
        matches!(old_name, OpenError::OtherStore { .. }),
        "{old_name}"
    );
}

#[test]
fn a_backup_is_of_one_moment_while_writes_and_splits_go_on() {
    let world = World::new(3);
    let (engine, _) = world.open_with(Background::Thread).unwrap();
    bootstrap(&engine).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (host, stop) = (&engine, &stop);
        scope.spawn(move || {
            // Each entry writes its index under both keys: a moment shows one index in both.
            for index in 6.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                if index == 40 {
                    let split = torrens::Split {
                        region: RegionId(1),
                        incarnation: None,
                        epoch: EPOCH,
                        position: at(index),
                        boundaries: vec![key("m")],
                        children: vec![torrens::NewRegion {
                            id: RegionId(2),
                            peers: vec![peer(20, STORE.0)],
                        }],
                        derive: torrens::Derive::Left,
                    };
                    holds(host.split(split)).unwrap();
                    continue;
                }
                let batch = puts(&["a", "b"], &index.to_string());
                written(host.write(RegionId(1), epoch(host, 1), at(index), &batch)).unwrap();
                if index > 40 {
                    let batch = puts(&["y", "z"], &index.to_string());
                    written(host.write(RegionId(2), epoch(host, 2), at(index), &batch)).unwrap();
                }
            }
        });
        for round in 0..8 {
            let (backup, new) = (format!("backup{round}"), format!("new{round}"));
            engine.backup(&backup).unwrap();
            let data = MemoryStore::new();
            options(&world.disk, &data, NEW)
                .restore(&backup, &new)
                .unwrap();
            let (restored, opened) = options(&world.disk, &data, NEW).open(&new).unwrap();
            assert!(opened.damaged.is_empty(), "{opened}");
            let mut of_region: BTreeMap<RegionId, Vec<Vec<u8>>> = BTreeMap::new();
            for ((region, _), value) in rows(&restored) {
                of_region.entry(region).or_default().push(value);
            }
            for (region, values) in of_region {
                let index = restored.raft_start(region).unwrap().data.index;
                assert_eq!(values[0], values[1], "{region}");
                let written: u64 = String::from_utf8(values[0].clone())
                    .unwrap()
                    .parse()
                    .unwrap();
                // An entry without data of its own may be the last one.
                assert!(
                    written == index || index == 40,
                    "{region}: {written}, not {index}"
                );
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn what_is_no_whole_backup_is_refused_before_anything_is_made() {
    let world = World::new(2);
    let engine = furnished(&world);
    back_up(&engine);
    let twice = engine.backup("backup").unwrap_err();
    assert!(matches!(twice, BackupError::NotEmpty { .. }), "{twice}");
    let restore = |disk: &SimDisk, store: StoreId| {
        let refused = options(disk, &MemoryStore::new(), store).restore("backup", "new");
        let untouched = disk.files().iter().all(|path| !path.starts_with("/new"));
        assert!(untouched, "nothing was made");
        refused.unwrap_err().code()
    };
    assert_eq!(restore(&world.disk, STORE), "backup-store-id-taken");
    let files: Vec<_> = world.disk.files();
    let of_backup = files.iter().filter(|path| path.starts_with("/backup"));
    let mut damaged = 0;
    for path in of_backup {
        damaged += 1;
        let disk = world.disk.process_kill();
        let bytes = disk.contents(path).unwrap();
        let at = bytes.len() as u64 / 2;
        disk.corrupt(path, at, &[!bytes[at as usize]]).unwrap();
        let code = restore(&disk, NEW);
        let expected = match path.file_name().and_then(|name| name.to_str()) {
            Some("MANIFEST") => ["backup-incomplete"; 2],
            Some(name) if name.ends_with(".snap") => ["backup-rows", "backup-file-mismatch"],
            _ => ["backup-checkpoint"; 2],
        };
        assert!(expected.contains(&code), "{}: {code}", path.display());
        let disk = world.disk.process_kill();
        torrens_journal::disk::Disk::remove(&disk, path).unwrap();
        restore(&disk, NEW);
    }
    assert_eq!(
        damaged, 4,
        "the manifest, a checkpoint, and rows of two regions"
    );
}

#[test]
fn another_whole_file_in_the_place_of_one_of_a_backup_is_refused() {
    let (world, other) = (World::new(2), World::new(2));
    back_up(&furnished(&world));
    back_up(&furnished_with(&other, "thurd"));
    let files = world.disk.files();
    let of_rows = |path: &&PathBuf| {
        path.starts_with("/backup") && path.extension().is_some_and(|ending| ending == "snap")
    };
    let mut replaced = 0;
    for path in files.iter().filter(of_rows) {
        let bytes = other.disk.contents(path).unwrap();
        let before = world.disk.contents(path).unwrap();
        if bytes == before {
            continue;
        }
        assert_eq!(bytes.len(), before.len());
        replaced += 1;
        let disk = world.disk.process_kill();
        disk.corrupt(path, 0, &bytes).unwrap();
        let refused = options(&disk, &MemoryStore::new(), NEW).restore("backup", "new");
        // Each chunk of it is whole: only the manifest says that it is another one.
        assert_eq!(refused.unwrap_err().code(), "backup-file-mismatch");
        assert!(disk.files().iter().all(|path| !path.starts_with("/new")));
    }
    assert_eq!(replaced, 1, "the region that was written otherwise");
}

#[test]
fn a_backup_that_a_crash_cut_short_is_none() {
    let world = World::new(2);
    let engine = furnished(&world);
    let report = back_up(&engine);
    // The manifest is durable when the backup answers, and everything that it names before that.
    let disk = world.disk.power_cut(CutChoice::LoseAll);
    let data = MemoryStore::new();
    let restored = options(&disk, &data, NEW).restore("backup", "new").unwrap();
    assert_eq!(restored, report);
    torrens_journal::disk::Disk::remove(&disk, Path::new("backup/MANIFEST")).unwrap();
    let cut = options(&disk, &data, NEW)
        .restore("backup", "other")
        .unwrap_err();
    assert!(matches!(cut, BackupError::Manifest { .. }), "{cut}");
    // And an empty write goes on in the store that was backed up.
    let answer = engine.write(RegionId(1), epoch(&engine, 1), at(9), &WriteBatch::new());
    assert!(matches!(answer.unwrap(), WriteAnswer::Applied { .. }));
}

#[test]
fn a_backup_on_a_real_disk_is_one_moment_of_a_store_at_work() {
    let place = tempfile::tempdir().unwrap();
    let [dir, target, new] = ["store", "backup", "new"].map(|name| place.path().join(name));
    let (engine, _) = Engine::options().store(STORE).open(&dir).unwrap();
    bootstrap(&engine).unwrap();
    let batch = |index: u64| {
        let mut batch = WriteBatch::new();
        for name in ["a", "k", "z"] {
            batch.put(name.as_bytes(), index.to_string().into_bytes());
        }
        // A value that sled keeps in a file of its own, now and then.
        batch.put(
            b"long".as_slice(),
            vec![
                index as u8;
                if index.is_multiple_of(50) {
                    300_000
                } else {
                    10
                }
            ],
        );
        batch
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut index = 6;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                written(engine.write(RegionId(1), EPOCH, at(index), &batch(index))).unwrap();
                index += 1;
            }
            index
        });
        while engine.raft_start(RegionId(1)).unwrap().data.index < 100 {
            std::thread::yield_now();
        }
        let report = engine.backup(&target).unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let last = writer.join().unwrap();
        assert!(last > 100);
        report
    });
    assert_eq!((report.regions, report.rows), (1, 4));
    engine.close().unwrap();
    let restored = Engine::options().store(NEW).restore(&target, &new).unwrap();
    assert_eq!(restored, report);
    let (engine, opened) = Engine::options().store(NEW).open(&new).unwrap();
    assert!(opened.damaged.is_empty(), "{opened}");
    let index = engine.raft_start(RegionId(1)).unwrap().data.index;
    let view = engine.view(RegionId(1), epoch(&engine, 1)).unwrap();
    for name in ["a", "k", "z"] {
        let value = view.get(name.as_bytes()).unwrap().unwrap();
        assert_eq!(&*value, index.to_string().as_bytes(), "{name}");
    }
    assert_eq!(
        view.get(b"long").unwrap().unwrap().first(),
        Some(&(index as u8))
    );
    // A folder in which there is anything is left alone.
    let again = engine.backup(&target).unwrap_err();
    assert_eq!(again.code(), "backup-target-not-empty");
}

/// An acknowledgement that lies in the data store and is not journaled yet belongs to an observer of this store. A
/// store made of the backup has no observers, so it takes the effect and nothing that would move another one.
#[test]
fn a_restored_store_has_no_acknowledgement_that_was_under_way() {
    let world = World::new(5);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    let range = KeyRange::new(b"".as_slice(), Some(b"m".as_slice())).unwrap();
    let add = |engine: &Engine| {
        let name = ObserverName::new("consumer").unwrap();
        let policy = ObserverPolicy::default();
        let added = engine.add_observer(name, vec![range.clone()], StartFrom::Now, policy);
        let AddedObserver::Added {
            observer, starts, ..
        } = added.unwrap()
        else {
            panic!("not added");
        };
        (observer, starts[0].1)
    };
    let (observer, start) = add(&engine);
    let now = epoch(&engine, 1);
    written(engine.write(RegionId(1), now, at(8), &puts(&["b"], "change"))).unwrap();
    let mut effect = puts(&["y"], "effect");
    effect.acknowledge(observer, RegionId(1), 8);
    written(engine.write(RegionId(2), now, at(6), &effect)).unwrap();
    assert_eq!(engine.observed_regions(observer)[0].acked, start);
    back_up(&engine);

    let data = MemoryStore::new();
    let new = || options(&world.disk, &data, NEW);
    new().restore("backup", "restored").unwrap();
    let (restored, _) = new().open("restored").unwrap();
    assert!(restored.observers().is_empty());
    assert_eq!(read_acks(&data).unwrap(), []);
    let key = (RegionId(2), b"y".to_vec());
    assert_eq!(rows(&restored)[&key], b"effect");
    // An observer with the id of the old one begins where it says, and a barrier does not move it.
    let (other, start) = add(&restored);
    assert_eq!(other, observer);
    restored.flush().unwrap();
    restored.flush().unwrap();
    assert_eq!(restored.observed_regions(other)[0].acked, start);
}
