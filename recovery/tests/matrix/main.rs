//! The corruption matrix: every damage of every kind to a small directory of several segments, two
//! checkpoints and a mark file. The exact history comes back, or a typed verdict; never a panic, never
//! less than what an undamaged witness vouches for, never a large allocation; and a repair can be
//! planned, or is refused, for each.
//!
//! `cargo test --release -p torrens-recovery --test matrix -- --nocapture` tries every case and prints the
//! table of docs/RELIABILITY.md; a debug build takes a part of the large kinds.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that slices out of bounds fails, as it should"
)]
#![expect(clippy::print_stdout, reason = "the table is for people to read")]

mod count;
mod damage;
mod flat;
#[allow(dead_code, reason = "shared with the suite")]
#[path = "../suite/host.rs"]
mod host;
mod kinds;
#[allow(dead_code, reason = "shared with the suite")]
#[path = "../suite/tally.rs"]
mod tally;

use std::collections::BTreeMap;

use damage::{Outcome, Store};

/// Cases of each kind and outcome.
type Table = BTreeMap<(&'static str, Outcome), u64>;

/// Of a large kind, a debug build takes every n-th case only.
const PART: usize = if cfg!(debug_assertions) { 191 } else { 1 };

#[test]
fn every_damage_gives_the_exact_history_or_a_verdict() {
    let crashed = Store::crashed();
    let closed = Store::closed();
    let mut table = Table::new();
    for store in [&crashed, &closed] {
        for kind in kinds::all(store) {
            let met = damage::run(store, &kind, PART);
            for (outcome, cases) in met {
                *table.entry((kind.name, outcome)).or_insert(0) += cases;
            }
        }
    }
    print(&table);
    let cases: u64 = table.values().sum();
    let least = if cfg!(debug_assertions) {
        10_000
    } else {
        1_000_000
    };
    assert!(cases > least, "{cases} cases");
    let outcomes: std::collections::BTreeSet<Outcome> =
        table.keys().map(|(_, outcome)| *outcome).collect();
    for expected in [
        Outcome::Exact,
        Outcome::TornTail,
        Outcome::AckedLoss,
        Outcome::MidLog,
    ] {
        assert!(outcomes.contains(&expected), "{expected:?} was never met");
    }
    let largest = count::largest_bytes();
    assert!(
        largest <= 2 * 1024 * 1024,
        "an allocation of {largest} bytes for files of at most 32 KiB"
    );
}

fn print(table: &Table) {
    let mut kinds: Vec<&str> = table.keys().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    println!("| damage | cases | exact | shorter | torn tail | 4 | 5 | other | no journal |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for kind in kinds {
        let of = |outcome| table.get(&(kind, outcome)).copied().unwrap_or(0);
        let counts = Outcome::ALL.map(of);
        let cells: Vec<String> = counts.iter().map(ToString::to_string).collect();
        println!(
            "| {kind} | {} | {} |",
            counts.iter().sum::<u64>(),
            cells.join(" | ")
        );
    }
}
