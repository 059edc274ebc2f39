//! The storage process: takes the script's steps, and says what it begins and what is done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use torrens::store::{SledFactory, StoreFactory};
use torrens::{
    DestroyCause, Engine, OpenError, OpenReport, RaftPosition, Region, RegionId, WriteAnswer,
};

use crate::script::{STORE, Script, Step};

/// sled with long values and no barriers but those of splits.
pub const SLED_RARE: &str = "sled-rare";
/// The same on redb.
#[cfg(feature = "store-redb")]
pub const REDB_RARE: &str = "redb-rare";

/// How long the values of a script for that kind are.
pub fn value_scale(kind: &str) -> usize {
    if is_rare(kind) { 40 } else { 1 }
}

fn is_rare(kind: &str) -> bool {
    kind.ends_with("-rare")
}

/// Opens the engine on a data store of that kind.
pub fn open(kind: &str, dir: &Path) -> Result<(Engine, OpenReport), OpenError> {
    let data: Arc<dyn StoreFactory> = match kind {
        "sled" | SLED_RARE => Arc::new(SledFactory::default()),
        #[cfg(feature = "store-redb")]
        "redb" | REDB_RARE => Arc::new(torrens::store::RedbFactory::default()),
        other => panic!("no data store {other}"),
    };
    Engine::options()
        .store(STORE)
        .segment_bytes(1 << 20)
        .checkpoint_records(400)
        .barrier_interval(Duration::from_millis(if is_rare(kind) {
            60_000
        } else {
            50
        }))
        .data(data)
        .open(dir)
}

/// Works until the power goes.
pub fn run() {
    let told = |name: &str| std::env::var(name).expect("set by the parent");
    let (dir, kind) = (told("TORRENS_CUT_STORE"), told("TORRENS_CUT_KIND"));
    let from: usize = told("TORRENS_CUT_FROM").parse().unwrap();
    let script = Script::of(
        told("TORRENS_CUT_SEED").parse().unwrap(),
        value_scale(&kind),
    );
    let (engine, _) = open(&kind, Path::new(&dir)).unwrap();
    if from == 0 && engine.regions().is_empty() {
        let (id, first) = script.after(0).regions.first_key_value().unwrap();
        let bootstrapped = engine.bootstrap(Region {
            id: *id,
            range: first.range.clone(),
            epoch: first.epoch,
            peers: first.peers.clone(),
        });
        assert!(bootstrapped.unwrap().holds());
    }
    send_again(&engine, &script, from);
    println!("\nready");
    for (number, step) in script.steps.iter().enumerate().skip(from) {
        println!("begin {number}");
        if is_rare(&kind) && matches!(step, Step::Flush) {
            println!("done {number}");
            continue;
        }
        take(&engine, step);
        println!("done {number}");
        if let Step::Write { region, .. } = step {
            let floor = engine.truncate_floor(*region).unwrap();
            println!("floor {} {floor}", region.0);
        }
    }
    panic!("the script is too short for the time that it was given");
}

/// What a host does after opening: every entry behind what the data store holds comes again.
fn send_again(engine: &Engine, script: &Script, upto: usize) {
    for step in &script.steps[..upto] {
        if let Step::Write { region, index, .. } = step
            && let Ok(start) = engine.raft_start(*region)
            && start.data.index < *index
        {
            take(engine, step);
        }
    }
}

fn take(engine: &Engine, step: &Step) {
    match step {
        Step::Write {
            region,
            index,
            delete,
            puts,
        } => {
            let epoch = engine.region(*region).unwrap().region.unwrap().epoch;
            let position = RaftPosition {
                index: *index,
                term: 6,
            };
            // Sent again after a split, an entry of the whole has keys that are no longer its own;
            // the split made them durable, so they are not among those.
            let batch = Script::batch(delete, puts);
            let answer = engine.write(RegionId(region.0), epoch, position, &batch);
            assert!(matches!(answer.unwrap(), WriteAnswer::Applied { .. }));
        }
        Step::Split(split) => assert!(engine.split(split.clone()).unwrap().holds()),
        Step::Change {
            region,
            epoch,
            position,
            change,
        } => {
            let changed = engine.change_peers(*region, *epoch, *position, *change);
            assert!(changed.unwrap().holds());
        }
        Step::Destroy {
            region,
            epoch,
            peer,
        } => {
            let gone = engine.destroy(*region, *epoch, None, *peer, DestroyCause::Operator);
            assert!(gone.unwrap().holds());
        }
        Step::Flush => {
            engine.flush().unwrap();
        }
        Step::Checkpoint => {
            engine.checkpoint().unwrap();
        }
    }
}
