//! Versions: range deletes, reads at older sequences, column families by name, and what the collector
//! may and may not take away.

use std::collections::BTreeMap;

use torrens::store::{Lost, range_deletions, scan_versions};
use torrens::{
    BatchError, ColumnFamilies, ColumnFamily, Engine, EngineError, KeyRange, OpenError, ReadError,
    Refusal, RegionEpoch, RegionId, RegionView, Sequence, WriteAnswer, WriteBatch,
};
use torrens_journal::testing::CutChoice;

use crate::support::*;

const ONE: RegionId = RegionId(1);

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange::new(start.as_bytes(), Some(end.as_bytes())).unwrap()
}

fn write(engine: &Engine, region: u64, index: u64, batch: &WriteBatch) -> Sequence {
    let region = RegionId(region);
    let epoch = epoch(engine, region.0);
    match engine.write(region, epoch, at(index), batch).unwrap() {
        WriteAnswer::Applied { sequence } => sequence,
        answer => panic!("{answer:?}"),
    }
}

fn names(view: &RegionView) -> Vec<String> {
    let name = |row: Result<(torrens::Key, torrens::Value), ReadError>| {
        String::from_utf8(row.unwrap().0.to_vec()).unwrap()
    };
    let forward: Vec<_> = view.scan(..).map(name).collect();
    let mut backward: Vec<_> = view.scan_reverse(..).map(name).collect();
    backward.reverse();
    assert_eq!(forward, backward, "both directions agree");
    for name in &forward {
        assert!(view.get(name.as_bytes()).unwrap().is_some(), "{name}");
    }
    forward
}

fn view(engine: &Engine, region: u64) -> RegionView {
    engine
        .view(RegionId(region), epoch(engine, region))
        .unwrap()
}

/// How many versions the store holds.
fn held(world: &World) -> usize {
    let all = ColumnFamily::ALL.into_iter();
    all.map(|cf| scan_versions(&world.data, cf, &KeyRange::all()).count())
        .sum()
}

#[test]
fn a_range_delete_is_one_step_with_its_index_and_hides_nothing_newer() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, 6, &puts(&["a", "b", "c", "d"], "old"));
    let before = view(&engine, 1);
    let mut batch = puts(&["b"], "goes too");
    batch.delete_range(range("b", "d")).put(key("c"), *b"new");
    let sequence = write(&engine, 1, 7, &batch);
    assert_eq!(names(&view(&engine, 1)), ["a", "c", "d"]);
    assert_eq!(&*view(&engine, 1).get(b"c").unwrap().unwrap(), b"new");
    assert_eq!(
        names(&before),
        ["a", "b", "c", "d"],
        "an older view sees what it saw"
    );
    write(&engine, 1, 8, &puts(&["b"], "newer"));
    assert_eq!(names(&view(&engine, 1)), ["a", "b", "c", "d"]);
    let at_delete = engine.view_at(ONE, EPOCH, sequence).unwrap();
    assert_eq!(names(&at_delete), ["a", "c", "d"]);
    // Durable with the index that it came with, or lost with it.
    engine.flush().unwrap();
    drop((before, at_delete, engine));
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 8);
    assert_eq!(names(&view(&engine, 1)), ["a", "b", "c", "d"]);
    write(
        &engine,
        1,
        9,
        WriteBatch::new().delete_range(KeyRange::all()),
    );
    assert!(names(&view(&engine, 1)).is_empty());
    drop(engine);
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, _) = world.open().unwrap();
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 8);
    assert_eq!(names(&view(&engine, 1)), ["a", "b", "c", "d"]);
}

#[test]
fn a_range_delete_of_a_cached_region_is_seen_at_once_and_ends_the_cache() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, 6, &puts(&["a", "b", "c"], "old"));
    assert!(engine.load(ONE, EPOCH).unwrap().holds());
    engine.wait_idle().unwrap();
    let cached = view(&engine, 1);
    assert!(cached.is_cached());
    write(
        &engine,
        1,
        7,
        WriteBatch::new().delete_range(range("a", "c")),
    );
    let now = view(&engine, 1);
    assert!(!now.is_cached());
    assert_eq!(names(&now), ["c"]);
    assert_eq!(names(&cached), ["a", "b", "c"]);
    drop((cached, now));
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(engine.cache_bytes(), 0);
}

#[test]
fn what_a_range_delete_hides_goes_in_the_background_and_then_the_delete_itself() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    for index in 6..16 {
        let keys: Vec<String> = (0..300).map(|n| format!("k{index:02}{n:04}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        write(&engine, 1, index, &puts(&keys, "v"));
    }
    let pinned = view(&engine, 1);
    write(
        &engine,
        1,
        16,
        WriteBatch::new().delete_range(range("k06", "k15")),
    );
    for _ in 0..3 {
        engine.tick().unwrap();
    }
    assert_eq!(held(&world), 3000, "a reader still looks behind it");
    assert_eq!(names(&pinned).len(), 3000);
    drop(pinned);
    engine.tick().unwrap();
    assert_eq!(held(&world), 300);
    assert_eq!(range_deletions(&world.data).count(), 0);
    assert_eq!(names(&view(&engine, 1)).len(), 300);
    let stats = engine.collection_stats();
    assert_eq!(
        (stats.versions_removed, stats.range_deletions, stats.pins),
        (2700, 0, 0)
    );
}

#[test]
fn writes_pay_for_the_collection_of_what_they_replace() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let keys: Vec<String> = (0..200).map(|n| format!("k{n:04}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for index in 6..106 {
        write(&engine, 1, index, &puts(&keys, "v"));
        engine.tick().unwrap();
    }
    let held = held(&world);
    assert!(held < 4000, "20000 versions were written, {held} are left");
    assert_eq!(names(&view(&engine, 1)).len(), 200);
}

#[test]
fn a_pin_outlives_a_split_and_keeps_what_it_needs_on_both_sides() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, 6, &puts(&["a", "z"], "first"));
    let pinned = view(&engine, 1);
    split_at_m(&engine).unwrap();
    for index in 8..12 {
        write(&engine, 1, index, &puts(&["a"], "later"));
        write(&engine, 2, index, &puts(&["z"], "later"));
    }
    engine.collect_versions().unwrap();
    for name in [b"a", b"z"] {
        assert_eq!(&*pinned.get(name).unwrap().unwrap(), b"first");
    }
    assert_eq!(
        held(&world),
        4,
        "of each key, what the pin needs and the newest"
    );
    drop(pinned);
    engine.collect_versions().unwrap();
    assert_eq!(held(&world), 2);
}

#[test]
fn reads_at_an_older_sequence_are_exact_or_refused() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let mut at_index = BTreeMap::new();
    for index in 6..12 {
        let text = format!("v{index}");
        at_index.insert(write(&engine, 1, index, &puts(&["k"], &text)), text);
    }
    let read = |epoch: RegionEpoch, sequence: Sequence| -> Result<String, ReadError> {
        let view = engine.view_at(ONE, epoch, sequence)?;
        let value = view.get(b"k")?.unwrap();
        Ok(String::from_utf8(value.to_vec()).unwrap())
    };
    for (sequence, text) in &at_index {
        assert_eq!(&read(EPOCH, *sequence).unwrap(), text);
    }
    let sequences: Vec<Sequence> = at_index.keys().copied().collect();
    let newest = sequences[5];
    let ahead = read(EPOCH, newest.saturating_add(1)).unwrap_err();
    assert_eq!(ahead.code(), "sequence-ahead", "{ahead}");
    engine.set_safe_point(Some(sequences[2]));
    assert_eq!(engine.collect_versions().unwrap(), 2);
    for (n, sequence) in sequences.iter().enumerate() {
        match read(EPOCH, *sequence) {
            Ok(text) => assert!(n >= 2 && text == at_index[sequence]),
            Err(ReadError::SequenceCollected { oldest, .. }) => {
                assert!(n < 2 && oldest == sequences[2]);
            }
            Err(other) => panic!("{other}"),
        }
    }
    engine.set_safe_point(None);
    engine.collect_versions().unwrap();
    assert_eq!(held(&world), 1);
    assert_eq!(read(EPOCH, newest).unwrap(), "v11");
    let gone = read(EPOCH, sequences[4]).unwrap_err();
    assert_eq!(gone.code(), "sequence-collected", "{gone}");
    // A part of a split can be read from where the whole could.
    split_at_m(&engine).unwrap();
    let part = epoch(&engine, 2);
    assert!(engine.view_at(RegionId(2), part, newest).is_ok());
    // After a restart nothing older than the restart.
    drop(engine);
    let (engine, _) = world.open().unwrap();
    let after = engine.view_at(ONE, epoch(&engine, 1), newest).unwrap_err();
    assert_eq!(after.code(), "sequence-collected", "{after}");
}

#[test]
fn column_families_have_names_that_a_store_remembers() {
    let world = World::new(2);
    let with = |named: &[(&str, u8)]| {
        let families = ColumnFamilies::new(named.iter().copied()).unwrap();
        world.options().column_families(families).open("store")
    };
    let three = [("default", 0), ("lock", 1), ("write", 2)];
    let four = [("default", 0), ("lock", 1), ("write", 2), ("raft", 7)];
    let (engine, _) = with(&three).unwrap();
    bootstrap(&engine).unwrap();
    let raft = ColumnFamily::new(7);
    let mut batch = WriteBatch::new();
    batch.put_cf(raft, key("a"), *b"1");
    let refused = engine.write(ONE, EPOCH, at(6), &batch).unwrap_err();
    assert!(
        matches!(refused, EngineError::Batch(BatchError::UnknownFamily { cf }) if cf == raft),
        "{refused}"
    );
    engine.close().unwrap();
    let (engine, _) = with(&four).unwrap();
    assert_eq!(engine.column_families().by_name("raft"), Some(raft));
    write(&engine, 1, 6, &batch);
    assert!(
        engine
            .view(ONE, EPOCH)
            .unwrap()
            .get_cf(raft, b"a")
            .unwrap()
            .is_some()
    );
    // In memory too, and in a snapshot.
    assert!(engine.load(ONE, EPOCH).unwrap().holds());
    engine.wait_idle().unwrap();
    let cached = engine.view(ONE, EPOCH).unwrap();
    assert!(cached.is_cached() && cached.get_cf(raft, b"a").unwrap().is_some());
    drop(cached);
    engine.close().unwrap();
    for fewer in [
        &three[..],
        &[("default", 0), ("lock", 1), ("write", 2), ("log", 7)],
    ] {
        let refused = with(fewer).unwrap_err();
        assert!(matches!(refused, OpenError::Families { .. }), "{refused}");
        assert_eq!(refused.code(), "open-column-families");
    }
    with(&four).unwrap();
}

#[test]
fn every_way_of_writing_wrongly_is_told_apart_and_an_empty_batch_moves_the_index() {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    let now = epoch(&engine, 1);
    let refused = |region: u64, epoch: RegionEpoch, batch: &WriteBatch| -> Refusal {
        match engine
            .write(RegionId(region), epoch, at(50), batch)
            .unwrap()
        {
            WriteAnswer::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    };
    for outside in [range("a", "n"), range("n", "o")] {
        let refusal = refused(1, now, WriteBatch::new().delete_range(outside));
        assert!(
            matches!(refusal, Refusal::KeyOutOfRange { .. }),
            "{refusal}"
        );
    }
    match refused(1, EPOCH, &WriteBatch::new()) {
        Refusal::EpochStale { current, .. } => {
            let ids: Vec<u64> = current.iter().map(|region| region.id.0).collect();
            assert_eq!(ids, [1, 2], "the regions as they are now");
        }
        other => panic!("{other}"),
    }
    // A change of peers moves no data, so its part of the epoch is not compared.
    let conf_ver = now.conf_ver + 5;
    let other_peers = RegionEpoch { conf_ver, ..now };
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 5);
    let empty = engine
        .write(ONE, other_peers, at(50), &WriteBatch::new())
        .unwrap();
    assert!(matches!(empty, WriteAnswer::Applied { .. }), "{empty:?}");
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 50);
    for index in [50, 49, 1] {
        let again = engine
            .write(ONE, now, at(index), &puts(&["a"], "x"))
            .unwrap();
        assert_eq!(again, WriteAnswer::AlreadyApplied { data_index: 50 });
    }
    assert!(names(&view(&engine, 1)).is_empty());
    destroy(&engine, 2, 20).unwrap();
    assert_eq!(
        refused(2, now, &WriteBatch::new()).code(),
        "peer-tombstoned"
    );
    let message = RegionEpoch {
        conf_ver: 1,
        version: 9,
    };
    let made = engine.create_peer(
        RegionId(3),
        torrens::PeerId(30),
        torrens::StoreId(5),
        message,
    );
    assert!(made.unwrap().holds());
    assert_eq!(
        refused(3, message, &WriteBatch::new()).code(),
        "peer-uninitialized"
    );
    assert_eq!(
        refused(9, message, &WriteBatch::new()).code(),
        "region-not-found"
    );
}
