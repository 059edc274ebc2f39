//! What happens to a region while it is copied: what is written meanwhile is not in the copy, and of a
//! region that goes away there is none.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use torrens::engine::Digested;
use torrens::store::{
    DataStore, Direction, MemoryFactory, MemoryStore, RawRange, RawRows, StoreBatch, StoreError,
    StoreFactory, StoreOpenError, StoreOpenMode,
};
use torrens::{Engine, Refusal, RegionId, StoreId, Taken};

use crate::support::*;

const ONE: RegionId = RegionId(1);

type Meanwhile = Box<dyn FnOnce() + Send>;

/// Lets something happen once, right before the next range is read, outside the store's own locks.
#[derive(Clone)]
struct BeforeRead {
    memory: MemoryStore,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

/// The store that it happens in.
struct Watched {
    store: Arc<dyn DataStore>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl BeforeRead {
    /// A store in `world` that is read this way, with two rows at index 6.
    fn open(world: &World) -> (Engine, BeforeRead) {
        let before = BeforeRead {
            memory: world.data.clone(),
            meanwhile: Arc::default(),
        };
        let options = world.options().data(Arc::new(before.clone()));
        let (engine, _) = options.open("store").unwrap();
        bootstrap(&engine).unwrap();
        written(engine.write(ONE, EPOCH, at(6), &puts(&["a", "c"], "early"))).unwrap();
        (engine, before)
    }

    fn meanwhile(&self, what: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(what));
    }

    /// Writes to region 1 at `index`: a row changes, one goes, one comes.
    fn writes_meanwhile(&self, engine: &Engine, index: u64) {
        let engine = engine.clone();
        self.meanwhile(move || {
            let mut batch = puts(&["a", "b"], "later");
            batch.delete(key("c"));
            written(engine.write(ONE, EPOCH, at(index), &batch)).unwrap();
        });
    }

    fn happened(&self) -> bool {
        self.meanwhile.lock().unwrap().is_none()
    }
}

impl fmt::Debug for BeforeRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeforeRead").finish_non_exhaustive()
    }
}

impl StoreFactory for BeforeRead {
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        let store = MemoryFactory::new(self.memory.clone()).open(dir, mode)?;
        let meanwhile = self.meanwhile.clone();
        Ok(Arc::new(Watched { store, meanwhile }))
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl DataStore for Watched {
    fn apply(&self, batch: &StoreBatch) -> Result<(), StoreError> {
        self.store.apply(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn scan(&self, range: &RawRange, direction: Direction) -> RawRows<'_> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        self.store.scan(range, direction)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }

    fn kind(&self) -> &'static str {
        "before-read"
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.store.size_bytes()
    }
}

#[test]
fn what_is_written_while_a_region_is_digested_is_not_in_the_digest() {
    let (engine, before) = BeforeRead::open(&World::new(41));
    let digest = |engine: &Engine| match engine.digest(ONE, EPOCH).unwrap() {
        Digested::Digest(digest) => digest,
        other => panic!("{other:?}"),
    };
    let still = digest(&engine);
    before.writes_meanwhile(&engine, 7);
    assert_eq!(digest(&engine), still, "of the moment that it began at");
    assert!(before.happened());
    assert_ne!(digest(&engine), still);
}

#[test]
fn what_is_written_while_a_region_is_copied_is_not_in_the_copy() {
    let (engine, before) = BeforeRead::open(&World::new(44));
    before.writes_meanwhile(&engine, 7);
    let Taken::Snapshot(taken) = engine.take_snapshot(ONE, EPOCH).unwrap() else {
        panic!("a serving region gives a snapshot")
    };
    assert!(before.happened());
    assert_eq!(engine.raft_start(ONE).unwrap().data.index, 7);
    let reader = engine.open_snapshot(taken.name).unwrap();
    assert_eq!((reader.meta().index, taken.rows), (6, 2));
    let rows = reader.rows().unwrap().map(Result::unwrap);
    let rows: Vec<_> = rows
        .map(|row| (row.key.to_vec(), row.value.to_vec()))
        .collect();
    let early = |key: &str| (key.as_bytes().to_vec(), b"early".to_vec());
    assert_eq!(rows, [early("a"), early("c")]);
}

#[test]
fn what_is_written_while_a_store_is_backed_up_is_not_in_the_backup() {
    let world = World::new(43);
    let (engine, before) = BeforeRead::open(&world);
    before.writes_meanwhile(&engine, 7);
    let report = engine.backup("backup").unwrap();
    assert!(before.happened());
    assert_eq!(report.rows, 2);
    let data = MemoryStore::new();
    let options = || {
        let options = Engine::options().store(StoreId(9));
        let disk = Arc::new(world.disk.clone());
        let options = options.background(torrens::Background::Manual).disk(disk);
        options.data(Arc::new(MemoryFactory::new(data.clone())))
    };
    options().restore("backup", "new").unwrap();
    let (restored, _) = options().open("new").unwrap();
    let early = |key: &str| ((ONE, key.as_bytes().to_vec()), b"early".to_vec());
    assert_eq!(rows(&restored), [early("a"), early("c")].into());
    assert_eq!(restored.raft_start(ONE).unwrap().data.index, 6);
}

fn goes_meanwhile(engine: &Engine, before: &BeforeRead) {
    let engine = engine.clone();
    before.meanwhile(move || destroy(&engine, 1, 10).unwrap());
}

#[test]
fn of_a_region_that_goes_while_it_is_digested_there_is_no_digest() {
    let (engine, before) = BeforeRead::open(&World::new(42));
    goes_meanwhile(&engine, &before);
    let digested = engine.digest(ONE, EPOCH).unwrap();
    assert!(before.happened());
    assert!(
        matches!(
            digested,
            Digested::Refused(Refusal::IncarnationGone { region: ONE, .. })
        ),
        "{digested:?}"
    );
}

#[test]
fn of_a_region_that_goes_while_it_is_copied_there_is_no_copy() {
    let (engine, before) = BeforeRead::open(&World::new(42));
    goes_meanwhile(&engine, &before);
    let taken = engine.take_snapshot(ONE, EPOCH).unwrap();
    assert!(before.happened());
    assert!(
        matches!(
            taken,
            Taken::Refused(Refusal::IncarnationGone { region: ONE, .. })
        ),
        "{taken:?}"
    );
    assert_eq!(engine.snapshots().unwrap(), []);
}
