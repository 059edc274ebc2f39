//! What the engine really tells the crate `tracing`, against the list.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use torrens::snapshot::StagedSnapshot;
use torrens::store::{MemoryStore, StoreFault};
use torrens::trace::{EVENTS, SPANS};
use torrens::{Engine, PeerId, RegionEpoch, RegionId, StoreId, Taken};
use torrens_journal::testing::SimFault;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::world::{World, bootstrap, split, write};

/// Every span and event under the target `torrens`, with its level.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<(Told, Told)>>);

/// Names and levels.
type Told = BTreeSet<(String, String)>;

fn told(metadata: &Metadata<'_>) -> (String, String) {
    (metadata.name().to_owned(), metadata.level().to_string())
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "torrens"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut all = self.0.lock().expect("nothing panics here");
        all.0.insert(told(span.metadata()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut all = self.0.lock().expect("nothing panics here");
        all.1.insert(told(event.metadata()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn epoch(engine: &Engine, region: u64) -> RegionEpoch {
    let status = engine.region(RegionId(region));
    let region = status.and_then(|status| status.region);
    region.expect("the region is there").epoch
}

fn snapshot(engine: &Engine, region: u64) -> StagedSnapshot {
    match engine.take_snapshot(RegionId(region), epoch(engine, region)) {
        Ok(Taken::Snapshot(staged)) => staged,
        other => panic!("{other:?}"),
    }
}

/// A life in which everything happens that is told.
fn live() {
    let world = World::new();
    let engine = world.open();
    engine.set_slow_transition_threshold(std::time::Duration::ZERO);
    bootstrap(&engine);
    write(&engine, 6);
    assert!(engine.split(split(7)).expect("it can").holds());
    let mut wrong = split(8);
    wrong.epoch = RegionEpoch::NONE;
    assert!(!engine.split(wrong).expect("it can").holds());
    let load = engine.load(RegionId(1), epoch(&engine, 1));
    assert!(load.expect("it can").holds());
    engine.wait_idle().expect("it can");
    let staged = snapshot(&engine, 2);
    let incarnation = engine.region(RegionId(2)).expect("it is there").incarnation;
    // It has all of it already; the work around it is done all the same.
    let _ = engine.apply_snapshot(RegionId(2), incarnation, &staged);
    engine.checkpoint().expect("it can");
    engine.close().expect("it can");

    // The data store is replaced: its regions are damaged.
    let replaced = World::with(world.disk.process_kill(), MemoryStore::new());
    let engine = replaced.open();
    assert_eq!(
        engine.region(RegionId(1)).map(|status| status.stage),
        Some("damaged")
    );
    drop(engine);

    // Its flush fails.
    let failing = World::new();
    let engine = failing.open();
    bootstrap(&engine);
    write(&engine, 6);
    failing.data.fault_at(
        failing.data.calls() + 2,
        StoreFault::Fails(std::io::ErrorKind::Other),
    );
    assert!(engine.flush().is_err());
    drop(engine);

    // A sync of the journal fails.
    let poisoned = World::new();
    let engine = poisoned.open();
    bootstrap(&engine);
    for op in 1..=2 {
        let at = poisoned.disk.ops() + op;
        poisoned.disk.fail_at(at, SimFault::SyncLies);
    }
    let created = engine.create_peer(RegionId(9), PeerId(90), StoreId(5), RegionEpoch::BOOTSTRAP);
    assert!(created.is_err());
}

#[test]
fn the_engine_tells_every_span_and_event_of_the_list_at_its_level_and_no_other() {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), live);
    let all = listener.0.lock().expect("nothing panics here");
    let owned = |list: &[(&str, &str)]| -> Told {
        let pairs = list.iter();
        pairs
            .map(|(name, level)| ((*name).to_owned(), (*level).to_owned()))
            .collect()
    };
    assert_eq!(all.0, owned(&SPANS));
    assert_eq!(all.1, owned(&EVENTS));
}
