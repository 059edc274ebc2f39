//! The lifecycle with journal and crashes, searched through: every interleaving within the bounds.
//!
//! A debug run keeps to small bounds; `--release` takes larger ones; `TORRENS_MODEL=big` the largest. The
//! counts are printed. Then each guard is taken out in turn, and the search must find what it was for.

#![expect(clippy::print_stdout, reason = "a search prints what it has looked at")]

mod model;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::time::Instant;

use model::alphabet::Alphabet;
use model::{Bounds, StoreModel};
use stateright::{Checker, HasDiscoveries, Model};
use torrens::lifecycle::CacheState;

const PEERS: Alphabet = Alphabet {
    peers: true,
    parent_snapshots: false,
    caches: false,
};
const CACHES: Alphabet = Alphabet {
    peers: false,
    parent_snapshots: true,
    caches: true,
};

fn bounds(alphabet: Alphabet, crashes: u8, tail: usize) -> Bounds {
    Bounds {
        alphabet,
        crashes,
        tail,
        without: None,
        publishes_early: false,
    }
}

/// `(crashes, tail)` of this run.
fn size(debug: (u8, usize), release: (u8, usize), big: (u8, usize)) -> (u8, usize) {
    match std::env::var("TORRENS_MODEL").as_deref() {
        Ok("big") => big,
        _ if cfg!(debug_assertions) => debug,
        _ => release,
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Searches all of it; what is found is a failure.
fn search(name: &str, bounds: Bounds) -> StoreModel {
    let began = Instant::now();
    let model = StoreModel::new(bounds.clone());
    let checker = model
        .clone()
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} states, {} transitions looked at, depth {}, closed, {} crashes, {} records unsynced, {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        bounds.crashes,
        bounds.tail,
        began.elapsed()
    );
    let found = checker.discoveries().into_iter();
    let found: Vec<String> = found
        .map(|(property, path)| format!("{property}\n{}", told(path.into_actions())))
        .collect();
    assert!(found.is_empty(), "{name}: not so: {}", found.join("\n"));
    assert!(checker.is_done(), "{name} is not searched through");
    model
}

fn told(actions: Vec<model::Action>) -> String {
    let line = |action| format!("  {action:?}\n");
    actions.into_iter().map(line).collect()
}

/// What a search must have met.
fn met(what: &str, expected: &[&str], reached: &BTreeSet<&'static str>) {
    let missed: Vec<_> = expected
        .iter()
        .filter(|word| !reached.contains(*word))
        .collect();
    assert!(missed.is_empty(), "{what} not reached: {missed:?}");
}

#[test]
fn peers_splits_and_snapshots_hold_in_every_order() {
    let (crashes, tail) = size((2, 1), (2, 2), (2, 3));
    let model = search("peers", bounds(PEERS, crashes, tail));
    let reached = model.reached.lock().unwrap();
    met(
        "stages",
        &["uninitialized", "applying", "normal", "damaged"],
        &reached.stages,
    );
    met("refusals", PEER_GUARDS, &reached.refusals);
    println!("records: {:?}", reached.records);
}

#[test]
fn caches_hold_in_every_order() {
    let (crashes, tail) = size((1, 1), (1, 2), (2, 2));
    let model = search("caches", bounds(CACHES, crashes, tail));
    let reached = model.reached.lock().unwrap();
    let states = CacheState::ALL.map(CacheState::as_str);
    met("states of caches", &states, &reached.caches);
    met("refusals", CACHE_GUARDS, &reached.refusals);
    println!("records: {:?}", reached.records);
}

/// The first thing that goes wrong without a guard, or with states shown before they are durable.
fn first_wrong(bounds: Bounds) -> Option<(&'static str, String)> {
    let checker = StoreModel::new(bounds)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::Any)
        .spawn_bfs()
        .join();
    let mut found: Vec<_> = checker.discoveries().into_iter().collect();
    found.sort_by_key(|(property, _)| *property);
    let (property, path) = found.into_iter().next()?;
    Some((property, told(path.into_actions())))
}

#[test]
fn each_guard_that_is_taken_out_is_missed() {
    let mut idle = Vec::new();
    for (alphabet, guards) in [(PEERS, PEER_GUARDS), (CACHES, CACHE_GUARDS)] {
        for guard in guards {
            let bounds = Bounds {
                without: Some(guard),
                ..bounds(alphabet, 0, 1)
            };
            match first_wrong(bounds) {
                Some((property, path)) => {
                    let steps = path.lines().count();
                    println!("without {guard}, after {steps} steps, not so: {property}");
                }
                None => idle.push(guard),
            }
        }
    }
    assert!(idle.is_empty(), "nothing goes wrong without {idle:?}");
}

#[test]
fn showing_what_is_not_durable_is_found_out() {
    let bounds = Bounds {
        publishes_early: true,
        ..bounds(PEERS, 1, 1)
    };
    let (property, path) = first_wrong(bounds).expect("a record that is lost was seen");
    println!("published early, not so: {property}\n{path}");
    assert_eq!(property, "nothing is visible before it is durable");
}

/// Every refusal that the search of peers meets.
const PEER_GUARDS: &[&str] = &[
    "deletion-unknown",
    "epoch-not-newer",
    "epoch-stale",
    "floor-mismatch",
    "incarnation-gone",
    "peer-not-listed",
    "peer-older-lives",
    "peer-stale",
    "peer-tombstoned",
    "peer-uninitialized",
    "range-busy",
    "range-overlap",
    "region-damaged",
    "region-not-found",
    "snapshot-aborted",
    "snapshot-applying",
    "snapshot-none",
];

/// Every refusal that the search of caches meets, beyond those.
const CACHE_GUARDS: &[&str] = &["cache-state", "load-cancelled", "snapshot-stale"];
