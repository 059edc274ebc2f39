//! Caches: filled while writes go on, served while active, gone when evicted, shared by a split, and
//! never asked for more than they hold.

use torrens::{Answer, CacheState, Engine, KeyRange, PeerId, Region, RegionId, StoreId};

use crate::support::*;

const ID: RegionId = RegionId(1);

fn furnished() -> (World, Engine) {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    let peers = vec![peer(10, STORE.0)];
    holds(engine.bootstrap(Region {
        id: ID,
        range: KeyRange::all(),
        epoch: EPOCH,
        peers,
    }))
    .unwrap();
    written(engine.write(ID, EPOCH, at(6), &puts(&["a", "m", "z"], "old"))).unwrap();
    (world, engine)
}

fn state(engine: &Engine) -> CacheState {
    engine.region(ID).unwrap().cache
}

/// What a view of the region reads, and whether from memory.
fn read(engine: &Engine, region: u64) -> (Vec<(String, String)>, bool) {
    let view = engine
        .view(RegionId(region), epoch(engine, region))
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let rows = view.scan(..).map(|row| row.unwrap());
    (
        rows.map(|(key, value)| (text(&key), text(&value)))
            .collect(),
        view.is_cached(),
    )
}

#[test]
fn a_loaded_region_serves_what_the_disk_holds_and_what_is_written_later() {
    let (_world, engine) = furnished();
    let before = engine.cache_bytes();
    holds(engine.load(ID, EPOCH)).unwrap();
    assert!(!read(&engine, 1).1, "not before it is filled");
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    let mut batch = puts(&["b", "m"], "new");
    batch.delete(key("z"));
    written(engine.write(ID, EPOCH, at(7), &batch)).unwrap();
    let (cached, from_memory) = read(&engine, 1);
    assert!(from_memory);
    holds(engine.evict(ID)).unwrap();
    let (on_disk, from_memory) = read(&engine, 1);
    assert!(!from_memory, "evicting serves less at once");
    assert_eq!(cached, on_disk);
    engine.wait_idle().unwrap();
    assert_eq!(
        (state(&engine), engine.cache_bytes()),
        (CacheState::Absent, before)
    );
}

#[test]
fn an_eviction_waits_for_pins_and_a_load_waits_for_the_eviction() {
    let (_world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    let pinned = engine.view(ID, EPOCH).unwrap();
    assert!(pinned.is_cached());
    holds(engine.evict(ID)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::EvictPending);
    // The request of the first case: a load of a region that is still evicting.
    let queued = engine.load(ID, EPOCH).unwrap();
    assert!(matches!(queued, Answer::Accepted { .. }), "{queued:?}");
    assert_eq!(engine.load(ID, EPOCH).unwrap(), Answer::AlreadyApplied);
    assert_eq!(
        pinned.get(b"a").unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    drop(pinned);
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(
        state(&engine),
        CacheState::Active,
        "the queued load ran behind the eviction"
    );
    assert!(read(&engine, 1).1);
}

#[test]
fn a_split_moves_nothing_and_each_part_goes_on_alone() {
    let (_world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    let of_whole = engine.view(ID, EPOCH).unwrap();
    split_at_m(&engine).unwrap();
    let version2 = epoch(&engine, 2);
    written(engine.write(RegionId(2), version2, at(6), &puts(&["n"], "child"))).unwrap();
    written(engine.write(ID, version2, at(8), &puts(&["b"], "parent"))).unwrap();
    for (region, expected) in [(1, vec!["a", "b"]), (2, vec!["m", "n", "z"])] {
        let (rows, from_memory) = read(&engine, region);
        let names: Vec<_> = rows.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!((names, from_memory), (expected, true), "region {region}");
    }
    // The part's memory outlives its eviction as long as a view of the whole still needs it.
    holds(engine.evict(RegionId(2))).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(
        of_whole.get(b"z").unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    assert_eq!(
        engine.region(RegionId(2)).unwrap().cache,
        CacheState::EvictPending
    );
    drop(of_whole);
    engine.tick().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(
        engine.region(RegionId(2)).unwrap().cache,
        CacheState::Absent
    );
    assert_eq!(read(&engine, 2).0.len(), 3, "and the disk serves it");
    assert!(read(&engine, 1).1, "the other part is still in memory");
    destroy(&engine, 1, 10).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(engine.cache_bytes(), 0);
}

#[test]
fn a_load_that_was_asked_for_and_not_begun_is_carried_out_after_a_restart() {
    let (world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    // The request is durable; the background work never got to it.
    create_somebody(&engine);
    drop(engine);
    let (engine, _) = world.open().unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    assert!(read(&engine, 1).1);
}

/// Any transition that waits for the journal, and so for everything before it.
fn create_somebody(engine: &Engine) {
    holds(engine.create_peer(RegionId(9), PeerId(90), StoreId(5), EPOCH)).unwrap();
}

#[test]
fn a_restart_ends_every_cache_and_says_so() {
    let (world, engine) = furnished();
    holds(engine.load(ID, EPOCH)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(state(&engine), CacheState::Active);
    drop(engine);
    let (engine, report) = world.open().unwrap();
    assert_eq!(
        (state(&engine), engine.cache_bytes()),
        (CacheState::Absent, 0)
    );
    assert_eq!(report.resolved_forward(), 1, "{report}");
}
