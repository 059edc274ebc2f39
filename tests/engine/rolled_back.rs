//! Nothing behind the last barrier is trusted after an unclean end: it is taken away, and the host sends it
//! again; and whatever lies at or below the barrier is there to go back to.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use torrens::store::{
    DataStore, Direction, Lost, MemoryFactory, RawRange, RawRows, StoreBatch, StoreError,
    StoreFactory, StoreOpenError, StoreOpenMode,
};
use torrens::{Engine, KeyRange, RegionId, RegionView, WriteBatch};
use torrens_journal::testing::CutChoice;

use crate::support::*;

const ONE: RegionId = RegionId(1);
const TWO: RegionId = RegionId(2);
const SEEDS: u64 = 64;

fn write(engine: &Engine, region: RegionId, index: u64, batch: &WriteBatch) {
    let epoch = epoch(engine, region.0);
    written(engine.write(region, epoch, at(index), batch)).unwrap();
}

fn view(engine: &Engine, region: RegionId) -> RegionView {
    engine.view(region, epoch(engine, region.0)).unwrap()
}

fn names(engine: &Engine, region: RegionId) -> Vec<String> {
    let rows = view(engine, region);
    let name = |row: Result<(torrens::Key, torrens::Value), _>| {
        String::from_utf8(row.unwrap().0.to_vec()).unwrap()
    };
    rows.scan(..).map(name).collect()
}

fn opened(world: &World) -> Engine {
    let (engine, report) = world.open().unwrap();
    assert!(report.damaged.is_empty(), "{report}");
    engine
}

/// As often as there are seeds: the machine comes back with any part of what was not flushed.
fn each_scattered(dead: &World, look: impl Fn(&World, &Engine)) {
    for seed in 0..SEEDS {
        for world in [
            dead.kill(Lost::Scattered(seed)),
            dead.power_cut(CutChoice::LoseAll, Lost::Scattered(seed)),
        ] {
            look(&world, &opened(&world));
        }
    }
}

#[test]
fn a_region_is_exactly_what_its_last_barrier_covered_whatever_survived() {
    let world = World::new(31);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, ONE, 6, &puts(&["a", "b", "z"], "6"));
    split_at_m(&engine).unwrap();
    write(&engine, TWO, 6, &puts(&["y"], "6"));
    engine.flush().unwrap();
    for index in 8..14 {
        write(&engine, ONE, index, &puts(&["a", "c"], &index.to_string()));
        write(&engine, TWO, index, &puts(&["z", "x"], &index.to_string()));
    }
    let mut batch = WriteBatch::new();
    batch.delete_range(KeyRange::new(b"a".as_slice(), Some(b"c".as_slice())).unwrap());
    write(&engine, ONE, 14, &batch);
    drop(engine);
    each_scattered(&world, |_, engine| {
        for (region, index, expected) in [(ONE, 6, ["a", "b"]), (TWO, 6, ["y", "z"])] {
            assert_eq!(engine.raft_start(region).unwrap().data, at(index));
            assert_eq!(names(engine, region), expected);
            let view = view(engine, region);
            let value = view.get(expected[0].as_bytes()).unwrap();
            assert_eq!(value.as_deref(), Some(b"6".as_slice()));
        }
    });
}

#[test]
fn a_store_that_was_closed_in_order_is_taken_as_it_is_and_a_later_crash_goes_no_further_back() {
    let world = World::new(32);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, ONE, 6, &puts(&["a"], "6"));
    engine.close().unwrap();
    let engine = opened(&world);
    assert_eq!(engine.report().rolled_back.versions, 0);
    assert_eq!(engine.raft_start(ONE).unwrap().data, at(6));
    write(&engine, ONE, 7, &puts(&["b"], "7"));
    drop(engine);
    each_scattered(&world, |_, engine| {
        assert_eq!(engine.raft_start(ONE).unwrap().data, at(6));
        assert_eq!(names(engine, ONE), ["a"]);
    });
}

#[test]
fn a_second_crash_on_the_way_back_comes_to_the_same() {
    let world = World::new(33);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, ONE, 6, &puts(&["a"], "6"));
    engine.flush().unwrap();
    for index in 7..12 {
        write(&engine, ONE, index, &puts(&["a", "b"], "later"));
    }
    drop(engine);
    each_scattered(&world, |world, engine| {
        let again = world.kill(Lost::Scattered(engine.synced().get()));
        let engine = opened(&again);
        assert_eq!(names(&engine, ONE), ["a"]);
        // And what is sent again counts, with the barrier that covers it.
        write(&engine, ONE, 7, &puts(&["b"], "7"));
        engine.flush().unwrap();
        drop(engine);
        let engine = opened(&again.power_cut(CutChoice::LoseAll, Lost::Unflushed));
        assert_eq!(engine.raft_start(ONE).unwrap().data, at(7));
        assert_eq!(names(&engine, ONE), ["a", "b"]);
    });
}

/// Called before each batch goes into a store, outside the store's own locks.
#[derive(Clone)]
struct Before {
    store: Option<Arc<dyn DataStore>>,
    factory: Arc<dyn StoreFactory>,
    call: Arc<dyn Fn() + Send + Sync>,
}

impl Before {
    fn store(&self) -> &dyn DataStore {
        &**self.store.as_ref().unwrap()
    }
}

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Before").finish_non_exhaustive()
    }
}

impl StoreFactory for Before {
    fn open(
        &self,
        dir: &std::path::Path,
        mode: StoreOpenMode,
    ) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        let store = Some(self.factory.open(dir, mode)?);
        let before = self.clone();
        Ok(Arc::new(Before { store, ..before }))
    }
}

impl DataStore for Before {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        (self.call)();
        self.store().apply(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().get(key)
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        self.store().scan(range, direction)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store().flush()
    }

    fn kind(&self) -> &'static str {
        "before"
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.store().size_bytes()
    }
}

/// A barrier starts while a write of another region is under way, which has the lower sequence number.
#[test]
fn a_barrier_waits_for_writes_under_way_so_that_its_sequence_number_means_something() {
    let world = World::new(34);
    let (entered, is_entered) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let may_leave = std::sync::Mutex::new(may_leave);
    let slow = Before {
        store: None,
        factory: Arc::new(MemoryFactory::new(world.data.clone())),
        call: Arc::new(move || {
            if std::thread::current().name() == Some("slow") {
                entered.send(()).unwrap();
                may_leave.lock().unwrap().recv().unwrap();
            }
        }),
    };
    let (engine, _) = world.options().data(Arc::new(slow)).open("store").unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    std::thread::scope(|scope| {
        let of_slow = engine.clone();
        std::thread::Builder::new()
            .name("slow".to_owned())
            .spawn_scoped(scope, move || write(&of_slow, ONE, 8, &puts(&["a"], "8")))
            .unwrap();
        is_entered.recv().unwrap();
        write(&engine, TWO, 8, &puts(&["z"], "8"));
        let (done, is_done) = mpsc::channel();
        let of_barrier = engine.clone();
        scope.spawn(move || {
            of_barrier.flush().unwrap();
            done.send(()).unwrap();
        });
        let early = is_done.recv_timeout(Duration::from_millis(200));
        leave.send(()).unwrap();
        assert!(early.is_err(), "the barrier left a lower number behind");
        is_done.recv().unwrap();
    });
    assert_eq!(engine.truncate_floor(ONE).unwrap(), 8);
    assert_eq!(engine.truncate_floor(TWO).unwrap(), 8);
}

#[test]
fn what_a_version_behind_the_barrier_replaces_is_not_collected() {
    let world = World::new(35);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    let keys: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    write(&engine, ONE, 6, &puts(&keys, "6"));
    engine.flush().unwrap();
    // No barrier comes about any more, since none can be journaled.
    world.disk.set_capacity(world.disk.used_bytes());
    let mut region = 1000;
    while engine
        .create_peer(
            RegionId(region),
            torrens::PeerId(1),
            torrens::StoreId(5),
            EPOCH,
        )
        .is_ok()
    {
        region += 1;
        assert!(region < 3000, "the journal must fill up");
    }
    for index in 7..47 {
        write(&engine, ONE, index, &puts(&keys, &index.to_string()));
    }
    let before = engine.collection_stats();
    assert!(engine.tick().is_err());
    let after = engine.collection_stats();
    assert!(
        after.versions_seen > before.versions_seen,
        "the collector ran"
    );
    drop(engine);
    let world = world.kill(Lost::AllButBatches(usize::MAX));
    world.disk.set_capacity(u64::MAX);
    let engine = opened(&world);
    assert_eq!(engine.raft_start(ONE).unwrap().data, at(6));
    let view = view(&engine, ONE);
    for key in keys {
        let value = view.get(key.as_bytes()).unwrap();
        assert_eq!(value.as_deref(), Some(b"6".as_slice()), "{key}");
    }
}

#[test]
fn what_a_collected_deletion_hid_does_not_come_back() {
    let deletes: [fn(&mut WriteBatch); 2] = [
        |batch| {
            batch.delete(b"k".as_slice());
        },
        |batch| {
            batch.delete_range(KeyRange::all());
        },
    ];
    let collects: [fn(&Engine); 2] = [
        |engine| assert!(engine.collect_versions().unwrap() > 0),
        |engine| engine.tick().unwrap(),
    ];
    for (delete, collect) in deletes
        .iter()
        .flat_map(|one| collects.iter().map(move |c| (one, c)))
    {
        let world = World::new(36);
        let (engine, _) = world.open().unwrap();
        bootstrap(&engine).unwrap();
        for index in 6..9 {
            write(&engine, ONE, index, &puts(&["k", "l"], "old"));
        }
        let mut batch = WriteBatch::new();
        delete(&mut batch);
        batch.put(b"n".as_slice(), b"new".as_slice());
        write(&engine, ONE, 9, &batch);
        let left = names(&engine, ONE);
        collect(&engine);
        assert_eq!(names(&engine, ONE), left);
        drop(engine);
        each_scattered(&world, |_, engine| assert_eq!(names(engine, ONE), left));
    }
}

#[test]
fn nothing_of_another_stores_data_is_served_not_even_where_no_barrier_ever_was() {
    let furnished = |seed| {
        let world = World::new(seed);
        let (engine, _) = world.open().unwrap();
        bootstrap(&engine).unwrap();
        (world, engine)
    };
    let (other, engine) = furnished(37);
    write(&engine, ONE, 6, &puts(&["k"], "6"));
    engine.flush().unwrap();
    drop(engine);
    // The same region, peer and incarnation, of more barriers, and nothing was ever written to it.
    let (mut world, engine) = furnished(38);
    for _ in 0..5 {
        engine.flush().unwrap();
    }
    drop(engine);
    world = world.kill(Lost::Unflushed);
    world.data = other.power_cut(CutChoice::LoseAll, Lost::Unflushed).data;
    let engine = opened(&world);
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 5);
    assert_eq!(names(&engine, ONE), Vec::<String>::new());
}
