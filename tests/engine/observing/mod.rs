//! What is promised to consumers of a feed, beyond what a scenario can show: sizes, threads, every crash.
//!
//! `Feed` is a store with observers of everything. Not here: orders of events (`tests/scenarios`), random
//! histories (`src/engine/feed/tests.rs`).

mod crowd;
mod edges;
mod order;
mod registration;
mod retention;
#[cfg(feature = "stream")]
mod stream;
mod transitions;
mod waiting;

use std::collections::BTreeSet;

use torrens::engine::{Ack, AckAnswer, ObserveOptions, Subscription};
use torrens::observe::FeedItem;
use torrens::{
    AddedObserver, Engine, KeyRange, LeadershipRole, ObserverId, ObserverName, ObserverPolicy,
    RegionId, StartFrom, WriteBatch,
};

use super::support::{self, World, at, epoch, incarnation, key, written};

/// A term that every region is led in.
const TERM: u64 = 6;

/// Tells the engine that this store leads a region, and lets the background do what follows.
fn lead(engine: &Engine, region: u64) {
    let live = incarnation(engine, region);
    let leader = LeadershipRole::Leader;
    let told = engine.report_leadership(RegionId(region), live, TERM, leader);
    let _ = told.unwrap();
    engine.wait_idle().unwrap();
}

fn try_observe(
    engine: &Engine,
    name: &str,
    from: StartFrom,
    policy: ObserverPolicy,
) -> AddedObserver {
    let name = ObserverName::new(name).unwrap();
    let added = engine.add_observer(name, vec![KeyRange::all()], from, policy);
    added.unwrap()
}

/// Adds an observer of all keys, attached to whatever is led.
fn observe(engine: &Engine, name: &str, from: StartFrom, policy: ObserverPolicy) -> ObserverId {
    let AddedObserver::Added { observer, .. } = try_observe(engine, name, from, policy) else {
        panic!("{name} is refused");
    };
    engine.wait_idle().unwrap();
    observer
}

fn subscribe(engine: &Engine, observer: ObserverId) -> Subscription {
    engine.observe(observer, ObserveOptions::default()).unwrap()
}

/// Region 1, led, and an observer of it from now on.
fn store(world: &World) -> (Engine, ObserverId) {
    let (engine, _) = world.open().unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let observer = observe(&engine, "copy", StartFrom::Now, ObserverPolicy::default());
    (engine, observer)
}

/// One put of so many bytes under a key of the index.
fn put(engine: &Engine, region: u64, index: u64, bytes: usize) {
    let mut batch = WriteBatch::new();
    batch.put(key(&format!("k{index:06}")), vec![7; bytes]);
    let epoch = epoch(engine, region);
    written(engine.write(RegionId(region), epoch, at(index), &batch)).unwrap();
}

/// The indexes of the entries that are told now, each whole; whatever else comes is looked past.
fn told(subscription: &mut Subscription) -> Vec<u64> {
    let mut told = Vec::new();
    while let Some(item) = subscription.try_next().unwrap() {
        if let FeedItem::Entry(entry) = item
            && entry.is_last
        {
            told.push(entry.position.index);
        }
    }
    told
}

fn ack(engine: &Engine, observer: ObserverId, region: u64, index: u64) -> AckAnswer {
    let register = engine.register();
    let attachment = register.observers().attachment(observer, RegionId(region));
    let ack = Ack {
        region: RegionId(region),
        generation: attachment.unwrap().generation,
        index,
    };
    engine.ack(observer, &[ack], true).unwrap()
}

/// The state of an observer's attachment to region 1.
fn state(engine: &Engine, observer: ObserverId) -> &'static str {
    engine.observed_regions(observer)[0].state
}

/// Everything that is known of observers and what they are attached to.
fn dump(engine: &Engine) -> BTreeSet<String> {
    let all = engine.observers().into_iter();
    let lines = all.flat_map(|status| {
        let regions = engine.observed_regions(status.id).into_iter();
        let shown = regions.map(|one| {
            format!(
                "{} {} {:?} {}",
                one.region, one.state, one.generation, one.acked
            )
        });
        let shown: Vec<String> = shown.collect();
        shown.into_iter().chain([format!("{status:?}")])
    });
    lines.collect()
}
