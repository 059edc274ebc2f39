//! The lifecycle with journal and crashes, searched through: every interleaving within the bounds.
//!
//! Several models, each with its own alphabet, each searched to its end. A debug run keeps to small bounds;
//! `--release` takes larger ones; `TORRENS_MODEL=big` the largest. The counts are printed. Then each guard is
//! taken out in turn, and the search must find the law that it was for.

#![expect(clippy::print_stdout, reason = "a search prints what it has looked at")]

mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::MutexGuard;
use std::time::Instant;

use model::alphabet::Alphabet;
use model::laws::Breach;
use model::{Bounds, Reached, StoreModel};
use stateright::{Checker, HasDiscoveries, Model};
use torrens::lifecycle::CacheState;

/// A model: what happens in it, `(crashes, tail)` in a debug run, a release run and a big one, and what its
/// search must meet.
struct Search {
    name: &'static str,
    alphabet: Alphabet,
    sizes: [(u8, usize); 3],
    stages: &'static [&'static str],
    /// Refusals, each with the law that is broken without its guard.
    refusals: &'static [(&'static str, Breach)],
    waits: &'static [&'static str],
}

const SEARCHES: &[Search] = &[
    Search {
        name: "peers",
        alphabet: Alphabet::Peers,
        sizes: [(2, 1), (2, 2), (2, 3)],
        stages: &["uninitialized", "applying", "normal", "damaged"],
        refusals: &[
            ("deletion-unknown", Breach::Unbegun),
            ("epoch-not-newer", Breach::Unasked),
            ("epoch-stale", Breach::Overlap),
            ("floor-mismatch", Breach::Data),
            ("incarnation-gone", Breach::Late),
            ("peer-not-listed", Breach::Description),
            ("peer-older-lives", Breach::Unasked),
            ("peer-stale", Breach::Unasked),
            ("peer-tombstoned", Breach::Tombstone),
            ("peer-uninitialized", Breach::Data),
            ("range-busy", Breach::Overlap),
            ("range-overlap", Breach::Overlap),
            ("region-damaged", Breach::Data),
            ("region-not-found", Breach::Resurrected),
            ("snapshot-aborted", Breach::Unbegun),
            ("snapshot-applying", Breach::Unbegun),
            ("snapshot-none", Breach::Unbegun),
        ],
        waits: &[],
    },
    Search {
        name: "caches",
        alphabet: Alphabet::Caches,
        sizes: [(1, 1), (2, 1), (2, 2)],
        stages: &["applying", "normal", "damaged"],
        refusals: &[
            ("cache-state", Breach::Cache),
            ("load-cancelled", Breach::Cache),
            ("snapshot-stale", Breach::Index),
        ],
        waits: &[],
    },
    Search {
        name: "merged caches",
        alphabet: Alphabet::MergedCaches,
        sizes: [(1, 1), (2, 1), (2, 2)],
        stages: &["normal"],
        refusals: &[
            ("cache-state", Breach::Cache),
            ("load-cancelled", Breach::Cache),
            ("region-merging", Breach::Cache),
        ],
        waits: &[],
    },
    Search {
        name: "merges",
        alphabet: Alphabet::Merges,
        sizes: [(2, 1), (2, 2), (2, 3)],
        stages: &["applying", "normal", "damaged"],
        refusals: &[
            ("merge-invalid", Breach::Merge),
            ("merge-none", Breach::Epoch),
            ("merge-other", Breach::Merge),
            ("merge-source-mismatch", Breach::Merge),
            ("region-merging", Breach::Merge),
        ],
        waits: &["merge-source-applying", "merge-source-behind"],
    },
    Search {
        name: "joint",
        alphabet: Alphabet::Joint,
        sizes: [(2, 1), (2, 2), (2, 3)],
        stages: &[
            "applying",
            "normal",
            "damaged",
            "witness",
            "waiting-for-data",
        ],
        refusals: &[
            ("description-invalid", Breach::Description),
            ("epoch-ahead", Breach::Diverged),
            ("epoch-stale", Breach::Diverged),
            ("peer-change-invalid", Breach::Epoch),
            ("peer-is-witness", Breach::Description),
            ("peer-unknown", Breach::Epoch),
            ("region-in-flashback", Breach::Flashback),
            ("role-unchanged", Breach::Epoch),
            ("split-invalid", Breach::Overlap),
            ("waiting-for-data", Breach::Data),
            ("witness-mismatch", Breach::Description),
        ],
        waits: &[],
    },
    Search {
        name: "snapshots",
        alphabet: Alphabet::Snapshots,
        sizes: [(2, 1), (2, 2), (2, 2)],
        stages: &["uninitialized", "applying", "normal", "damaged"],
        refusals: &[
            ("range-reserved", Breach::Overlap),
            ("snapshot-other-region", Breach::Description),
        ],
        waits: &[],
    },
    Search {
        name: "orders",
        alphabet: Alphabet::Orders,
        sizes: [(2, 1), (2, 2), (2, 3)],
        stages: &["uninitialized", "normal"],
        refusals: &[
            ("bootstrap-confirmed", Breach::Unasked),
            ("bootstrap-unconfirmed", Breach::Unbegun),
            ("data-store-in-use", Breach::Data),
            ("id-zero", Breach::Identity),
            ("region-lives", Breach::Unasked),
            ("store-mismatch", Breach::Identity),
            ("store-not-empty", Breach::Resurrected),
            ("store-unidentified", Breach::Identity),
        ],
        waits: &[],
    },
];

/// Codes of refusals that no search meets, each with the reason.
const NOT_MET: &[(&str, &str)] = &[
    (
        "epoch-exhausted",
        "an epoch of 2^64: the hand-written tables and a scenario have it",
    ),
    (
        "data-behind",
        "the answer to whoever copies a region's rows; the models decide events",
    ),
    (
        "flashback-none",
        "the answer to a read on behalf of a flashback; the models decide events",
    ),
    (
        "key-out-of-range",
        "the answer to a read or a write of a key; the models decide events",
    ),
];

/// Codes of what has to be waited for that no search meets, each with the reason.
const NOT_WAITED_FOR: &[(&str, &str)] = &[(
    "merge-source-missing",
    "a merge of witnesses whose source is not here: a test of its own and a scenario have it",
)];

fn bounds(alphabet: Alphabet, (crashes, tail): (u8, usize)) -> Bounds {
    Bounds {
        alphabet,
        crashes,
        tail,
        without: None,
        publishes_early: false,
    }
}

fn size([debug, release, big]: [(u8, usize); 3]) -> (u8, usize) {
    match std::env::var("TORRENS_MODEL").as_deref() {
        Ok("big") => big,
        _ if cfg!(debug_assertions) => debug,
        _ => release,
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
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

fn reached(model: &StoreModel) -> MutexGuard<'_, Reached> {
    model.reached.lock().expect("nobody panics holding it")
}

/// Searches all of it; what is found is a failure.
fn search(name: &str) -> StoreModel {
    let search = SEARCHES.iter().find(|search| search.name == name);
    let search = search.expect("a search has a name");
    let bounds = bounds(search.alphabet, size(search.sizes));
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
    {
        let reached = reached(&model);
        println!("{name} met: {:?} {:?}", reached.records, reached.refusals);
        met("stages", search.stages, &reached.stages);
        let refusals: Vec<_> = search.refusals.iter().map(|(code, _)| *code).collect();
        met("refusals", &refusals, &reached.refusals);
        met("waits", search.waits, &reached.waits);
    }
    model
}

#[test]
fn peers_splits_and_snapshots_hold_in_every_order() {
    search("peers");
}

#[test]
fn caches_hold_in_every_order() {
    let model = search("caches");
    let states = CacheState::ALL.map(CacheState::as_str);
    met("states of caches", &states, &reached(&model).caches);
}

#[test]
fn caches_of_regions_that_merge_hold_in_every_order() {
    let model = search("merged caches");
    let states = CacheState::ALL.map(CacheState::as_str);
    met("states of caches", &states, &reached(&model).caches);
    let records = ["cache.wait", "cache.gone-wait"];
    met("records", &records, &reached(&model).records);
}

#[test]
fn merges_hold_in_every_order() {
    let model = search("merges");
    let records = [
        "region.merge-prepare",
        "region.merge-commit",
        "region.merge-rollback",
        "snapshot.begin-merged",
        "peer.damage",
    ];
    met("records", &records, &reached(&model).records);
}

#[test]
fn joint_consensus_and_witnesses_hold_in_every_order() {
    let model = search("joint");
    let records = [
        "region.enter-joint",
        "region.leave-joint",
        "region.switch-witness",
        "region.remove-self",
        "region.flashback-begin",
        "region.flashback-end",
        "snapshot.witness",
    ];
    met("records", &records, &reached(&model).records);
}

#[test]
fn reservations_hold_in_every_order() {
    let model = search("snapshots");
    let records = ["snapshot.reserve", "snapshot.release", "snapshot.begin"];
    met("records", &records, &reached(&model).records);
}

#[test]
fn orders_hold_in_every_order() {
    let model = search("orders");
    let records = [
        "region.bootstrap",
        "region.bootstrap-prepare",
        "region.bootstrap-confirm",
        "region.bootstrap-abandon",
        "region.recover",
        "region.force-voters",
        "peer.tombstone",
        "peer.collect",
        "store.new-data",
    ];
    met("records", &records, &reached(&model).records);
}

/// The codes that a source file gives out.
fn codes(file: &str) -> BTreeSet<String> {
    let path = format!("{}/src/lifecycle/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the source is part of the project");
    let (_, after) = text.split_once("fn code(&self)").expect("it has codes");
    let codes = after.split("=> \"").skip(1);
    codes
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect()
}

/// Each code is met or left out for a reason, and not both.
fn compare(met: &[&str], left: &[(&str, &str)], file: &str) {
    let met: BTreeSet<String> = met.iter().copied().map(str::to_owned).collect();
    let left: BTreeSet<String> = left.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(met.intersection(&left).count(), 0);
    assert_eq!(
        met.union(&left).cloned().collect::<BTreeSet<_>>(),
        codes(file)
    );
}

#[test]
fn every_refusal_is_met_by_a_search_or_left_out_for_a_reason() {
    let refusals = SEARCHES.iter().flat_map(|search| search.refusals);
    let refusals: Vec<&str> = refusals.map(|(code, _)| *code).collect();
    compare(&refusals, NOT_MET, "refusal.rs");
    let waits = SEARCHES.iter().flat_map(|search| search.waits);
    let waits: Vec<&str> = waits.copied().collect();
    compare(&waits, NOT_WAITED_FOR, "outcome.rs");
    for (code, reason) in NOT_MET.iter().chain(NOT_WAITED_FOR) {
        println!("not met by any search: {code}: {reason}");
    }
}

/// Every law that is broken without a guard, or with states shown before they are durable, and how.
fn wrong(bounds: Bounds) -> BTreeMap<&'static str, String> {
    let checker = StoreModel::new(bounds)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::All)
        .spawn_bfs()
        .join();
    let found = checker.discoveries().into_iter();
    found
        .map(|(property, path)| (property, told(path.into_actions())))
        .collect()
}

#[test]
fn each_guard_that_is_taken_out_lets_a_law_be_broken() {
    let mut idle = Vec::new();
    for search in SEARCHES {
        for (guard, law) in search.refusals {
            let bounds = Bounds {
                without: Some(guard),
                ..bounds(search.alphabet, (0, 1))
            };
            let wrong = wrong(bounds);
            println!("{}: without {guard}: {:?}", search.name, wrong.keys());
            match wrong.get(law.says()) {
                Some(path) => println!("not so: {}\n{path}", law.says()),
                None => idle.push((search.name, guard, law)),
            }
        }
    }
    assert!(idle.is_empty(), "nothing goes wrong without {idle:?}");
}

#[test]
fn showing_what_is_not_durable_is_found_out() {
    let bounds = Bounds {
        publishes_early: true,
        ..bounds(Alphabet::Peers, (1, 1))
    };
    let wrong = wrong(bounds);
    let path = wrong.get(Breach::Durability.says());
    let path = path.expect("a record that is lost was seen");
    println!(
        "published early, not so: {}\n{path}",
        Breach::Durability.says()
    );
}
