//! Snapshots through the whole engine: late ones, wrong ones, and what a peer is afterwards.

use std::path::Path;
use std::sync::Arc;

use torrens::snapshot::{SnapshotMeta, SnapshotName, SnapshotWriter, StagedSnapshot};
use torrens::store::{Lost, StoreFault, scan_versions};
use torrens::{
    Answer, ColumnFamily, DestroyCause, Engine, EngineError, Incarnation, KeyRange, PeerId,
    Refusal, Region, RegionEpoch, RegionId, Sequence, StoreId, Taken,
};
use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk};

use crate::support::*;

const ID: RegionId = RegionId(7);

/// A snapshot as another store sends it.
fn sent(peer_id: u64, range: (&str, &str), index: u64, keys: &[&str]) -> (SnapshotName, Vec<u8>) {
    let (elsewhere, dir) = (Arc::new(SimDisk::new(5)), Path::new("other"));
    elsewhere.create_dir_all(dir).unwrap();
    let region = Region {
        id: ID,
        range: KeyRange::new(range.0.as_bytes(), Some(range.1.as_bytes())).unwrap(),
        epoch: RegionEpoch {
            conf_ver: 3,
            version: 2,
        },
        peers: vec![peer(peer_id, STORE.0), peer(90, 5)],
    };
    let meta = SnapshotMeta {
        region,
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

fn create(engine: &Engine, id: u64) -> Incarnation {
    let answer = engine
        .create_peer(ID, PeerId(id), StoreId(5), RegionEpoch::BOOTSTRAP)
        .unwrap();
    answer.incarnation().unwrap_or_else(|| panic!("{answer:?}"))
}

fn receive(engine: &Engine, sent: &(SnapshotName, Vec<u8>)) -> StagedSnapshot {
    engine.receive_snapshot(sent.0, sent.1.as_slice()).unwrap()
}

#[test]
fn a_snapshot_gives_an_uninitialised_peer_its_region_and_data() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c", "x"]));
    assert!(
        engine
            .apply_snapshot(ID, incarnation, &staged)
            .unwrap()
            .holds()
    );
    let start = engine.raft_start(ID).unwrap();
    assert_eq!(
        (start.status.stage, start.data.index, start.truncate_floor),
        ("normal", 40, 40)
    );
    assert_eq!(rows(&engine).len(), 2);
    let left = world
        .disk
        .files()
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("snap"));
    assert_eq!(left.count(), 0, "the staged file is gone");
    // What the host sends after it goes on behind it.
    let epoch = epoch(&engine, 7);
    written(engine.write(ID, epoch, at(41), &puts(&["d"], "later"))).unwrap();
    assert_eq!(rows(&engine).len(), 3);
}

#[test]
fn a_late_snapshot_for_a_peer_that_is_gone_touches_nothing() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let gone = create(&engine, 70);
    let late = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    holds(engine.destroy(
        ID,
        RegionEpoch::NONE,
        Some(gone),
        PeerId(70),
        DestroyCause::Operator,
    ))
    .unwrap();
    let successor = create(&engine, 71);
    let answer = engine.apply_snapshot(ID, gone, &late).unwrap();
    let Answer::Refused(Refusal::IncarnationGone { live, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(live, Some(successor));
    // Nor does it pass as the successor's: it does not list that peer.
    let answer = engine.apply_snapshot(ID, successor, &late).unwrap();
    assert!(
        matches!(answer, Answer::Refused(Refusal::NotListed { .. })),
        "{answer:?}"
    );
    assert_eq!(engine.region(ID).unwrap().stage, "uninitialized");
    assert_eq!(engine.snapshots().unwrap(), [late.name]);
    assert!(engine.remove_snapshot(late.name).unwrap());
    assert_eq!(engine.snapshots().unwrap(), []);
}

#[test]
fn receiving_what_is_staged_already_changes_nothing() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let file = sent(70, ("b", "y"), 40, &["c"]);
    let first = receive(&engine, &file);
    drop(engine);
    // Staged before a crash, sent once more after it.
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    assert_eq!(
        engine.receive_snapshot(file.0, std::io::empty()).unwrap(),
        first
    );
    let path = file.0.path_in(Path::new("store/snapshots"));
    world
        .disk
        .corrupt(&path, file.1.len() as u64 / 2, &[!file.1[file.1.len() / 2]])
        .unwrap();
    let refused = engine
        .receive_snapshot(file.0, file.1.as_slice())
        .unwrap_err();
    assert!(matches!(refused, EngineError::Snapshot(_)), "{refused}");
}

#[test]
fn a_snapshot_older_than_the_data_is_refused() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let first = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    assert!(
        engine
            .apply_snapshot(ID, incarnation, &first)
            .unwrap()
            .holds()
    );
    written(engine.write(ID, epoch(&engine, 7), at(45), &puts(&["d"], "newer"))).unwrap();
    // Newer than the last change of the metadata, older than the last write.
    let late = receive(&engine, &sent(70, ("b", "y"), 43, &["c"]));
    let answer = engine.apply_snapshot(ID, incarnation, &late).unwrap();
    let Answer::Refused(Refusal::StaleSnapshot { given, have, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((given, have, rows(&engine).len()), (43, 45, 2));
}

#[test]
fn a_range_that_another_region_holds_is_refused_and_one_being_cleared_waits() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    assert!(
        engine
            .apply_snapshot(ID, incarnation, &staged)
            .unwrap()
            .holds()
    );
    destroy(&engine, 7, 70).unwrap();
    // The keys of the old peer are not cleared yet: background work is stepped by hand.
    let successor = create(&engine, 71);
    let newer = receive(&engine, &sent(71, ("b", "y"), 50, &["d"]));
    let answer = engine.apply_snapshot(ID, successor, &newer).unwrap();
    assert!(
        matches!(answer, Answer::Refused(Refusal::RangeBusy { .. })),
        "{answer:?}"
    );
    engine.wait_idle().unwrap();
    assert!(
        engine
            .apply_snapshot(ID, successor, &newer)
            .unwrap()
            .holds()
    );
    let keys: Vec<_> = rows(&engine).into_keys().map(|(_, key)| key).collect();
    assert_eq!(keys, [b"d".to_vec()], "nothing of the first tenant is left");
}

#[test]
fn a_staged_file_that_changed_is_refused_before_anything_is_touched() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    let path = staged.name.path_in(Path::new("store/snapshots"));
    let bytes = world.disk.contents(&path).unwrap();
    world
        .disk
        .corrupt(&path, bytes.len() as u64 / 2, &[!bytes[bytes.len() / 2]])
        .unwrap();
    let refused = engine.apply_snapshot(ID, incarnation, &staged).unwrap_err();
    assert!(matches!(refused, EngineError::Snapshot(_)), "{refused}");
    assert_eq!(engine.region(ID).unwrap().stage, "uninitialized");
}

#[test]
fn another_whole_file_in_the_place_of_a_staged_one_is_refused() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    // Of the same peer at the same index, and whole: only what was received says that it is another one.
    let (_, bytes) = sent(70, ("b", "y"), 40, &["d"]);
    let path = staged.name.path_in(Path::new("store/snapshots"));
    assert_eq!(world.disk.contents(&path).unwrap().len(), bytes.len());
    world.disk.corrupt(&path, 0, &bytes).unwrap();
    let refused = engine.apply_snapshot(ID, incarnation, &staged).unwrap_err();
    assert!(matches!(refused, EngineError::Snapshot(_)), "{refused}");
    assert_eq!(engine.region(ID).unwrap().stage, "uninitialized");
}

#[test]
fn what_a_snapshot_brings_is_newer_than_all_that_was_there() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let apply = |index: u64, keys: &[&str]| {
        // Its own numbers are those of another store: 1, in each.
        let staged = receive(&engine, &sent(70, ("b", "y"), index, keys));
        let answer = engine.apply_snapshot(ID, incarnation, &staged).unwrap();
        assert!(answer.holds(), "{answer:?}");
    };
    let sequences = || -> Vec<Sequence> {
        let versions = scan_versions(&world.data, ColumnFamily::DEFAULT, &KeyRange::all());
        versions
            .map(|version| version.unwrap().0.sequence)
            .collect()
    };
    apply(40, &["c", "x"]);
    written(engine.write(ID, epoch(&engine, 7), at(41), &puts(&["c"], "later"))).unwrap();
    let newest = sequences().into_iter().max().unwrap();
    apply(50, &["c", "d"]);
    let brought = sequences();
    assert_eq!(brought.len(), 2, "{brought:?}");
    assert!(
        brought.iter().all(|at| *at > newest),
        "{brought:?}, {newest:?}"
    );
}

#[test]
fn a_staged_file_lost_in_a_crash_takes_the_apply_back() {
    // Dies right after begin is durable: at the first call of the data store that follows it.
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    let fault = StoreFault::Fails(std::io::ErrorKind::Other);
    world.data.fault_at(world.data.calls() + 1, fault);
    engine.apply_snapshot(ID, incarnation, &staged).unwrap_err();
    assert_eq!(engine.region(ID).unwrap().stage, "applying");
    drop(engine);
    let world = world.kill(Lost::AllButBatches(usize::MAX));
    world
        .disk
        .remove(&staged.name.path_in(Path::new("store/snapshots")))
        .unwrap();
    let (engine, report) = world.open().unwrap();
    assert_eq!(report.resolved_back(), 1, "{report}");
    assert_eq!(
        engine.region(ID).unwrap().stage,
        "uninitialized",
        "it never had data"
    );
    engine.wait_idle().unwrap();
    assert!(engine.region_for(b"c").is_none());
}

#[test]
fn a_snapshot_and_a_digest_of_one_index_have_one_hash_and_a_restored_peer_has_it_too() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c", "d", "x"]));
    let mut steps = Vec::new();
    let applied = engine.apply_snapshot_with(ID, incarnation, &staged, |progress| {
        assert_eq!(progress.rows, 3);
        steps.push((progress.step, progress.rows_done));
    });
    assert!(applied.unwrap().holds());
    use torrens::engine::SnapshotStep::*;
    assert_eq!(steps, [(Clear, 0), (Ingest, 0), (Flush, 3)]);
    let digest = |engine: &Engine| match engine.digest(ID, epoch(engine, 7)).unwrap() {
        torrens::engine::Digested::Digest(digest) => digest,
        other => panic!("{other:?}"),
    };
    let before = digest(&engine);
    assert_eq!((before.position.index, before.rows), (40, 3));
    let Taken::Snapshot(taken) = engine.take_snapshot(ID, epoch(&engine, 7)).unwrap() else {
        panic!("a serving region gives a snapshot")
    };
    let reader = engine.open_snapshot(taken.name).unwrap();
    assert_eq!(reader.verify_content().unwrap(), (taken, before.hash));
    assert_eq!(reader.meta().region, before.region);
    written(engine.write(ID, epoch(&engine, 7), at(41), &puts(&["c"], "later"))).unwrap();
    assert_ne!(digest(&engine).hash, before.hash);
    let stale = engine.digest(ID, EPOCH).unwrap();
    assert!(
        matches!(stale, torrens::engine::Digested::Refused(_)),
        "{stale:?}"
    );
}

#[test]
fn staged_files_go_with_the_peer_that_they_were_for_and_no_others() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let first = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
    assert!(
        engine
            .apply_snapshot(ID, incarnation, &first)
            .unwrap()
            .holds()
    );
    let own = receive(&engine, &sent(70, ("b", "y"), 50, &["c"]));
    let next = receive(&engine, &sent(71, ("b", "y"), 60, &["c"]));
    let Taken::Snapshot(taken) = engine.take_snapshot(ID, epoch(&engine, 7)).unwrap() else {
        panic!("a serving region gives a snapshot")
    };
    engine.tick().unwrap();
    assert_eq!(engine.snapshots().unwrap().len(), 3, "its peer lives");
    destroy(&engine, 7, 70).unwrap();
    engine.tick().unwrap();
    let left = engine.snapshots().unwrap();
    assert_eq!(left, [next.name], "without {} and {}", own.name, taken.name);
    // The same after a crash that came before the sweep.
    drop(engine);
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    create(&engine, 72);
    engine.tick().unwrap();
    assert_eq!(engine.snapshots().unwrap(), []);
}

#[test]
fn rows_of_a_family_that_the_store_lacks_are_refused_before_anything_is_staged() {
    let world = World::new(2);
    let families = [("default", 0), ("lock", 1), ("write", 2), ("raft", 7)];
    let families = torrens::ColumnFamilies::new(families).unwrap();
    let (name, bytes) = {
        let other = World::new(3);
        let (engine, _) = other
            .options()
            .column_families(families)
            .open("store")
            .unwrap();
        let incarnation = create(&engine, 70);
        let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c"]));
        assert!(
            engine
                .apply_snapshot(ID, incarnation, &staged)
                .unwrap()
                .holds()
        );
        let mut batch = torrens::WriteBatch::new();
        batch.put_cf(torrens::ColumnFamily::new(7), key("c"), *b"x");
        written(engine.write(ID, epoch(&engine, 7), at(41), &batch)).unwrap();
        let Taken::Snapshot(taken) = engine.take_snapshot(ID, epoch(&engine, 7)).unwrap() else {
            panic!("a serving region gives a snapshot")
        };
        let path = taken.name.path_in(Path::new("store/snapshots"));
        (taken.name, other.disk.contents(&path).unwrap())
    };
    let (engine, _) = world.open().unwrap();
    let refused = engine.receive_snapshot(name, bytes.as_slice()).unwrap_err();
    let text = format!("{refused:?}");
    assert!(
        text.contains("UnknownFamily { row: 1, family: 7 }"),
        "{text}"
    );
    assert_eq!(engine.snapshots().unwrap(), []);
}

#[test]
fn taking_a_snapshot_while_writes_go_on_gives_one_moment() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let incarnation = create(&engine, 70);
    let staged = receive(&engine, &sent(70, ("b", "y"), 40, &["c", "x"]));
    assert!(
        engine
            .apply_snapshot(ID, incarnation, &staged)
            .unwrap()
            .holds()
    );
    let Taken::Snapshot(taken) = engine.take_snapshot(ID, epoch(&engine, 7)).unwrap() else {
        panic!("a serving region gives a snapshot")
    };
    written(engine.write(ID, epoch(&engine, 7), at(41), &puts(&["c"], "later"))).unwrap();
    let reader = engine.open_snapshot(taken.name).unwrap();
    assert_eq!((reader.meta().index, taken.rows), (40, 2));
    let first = reader.rows().unwrap().next().unwrap().unwrap();
    assert_eq!(
        (&*first.key, &*first.value),
        (b"c".as_slice(), b"sent".as_slice())
    );
}
