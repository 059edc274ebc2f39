//! The suite `engine`: the engine's transitions, opening, routing and bytes, each beside what bounds it.
//!
//! ```text
//! engine.rs         which runs there are, rows and lines     engine/work.rs    carries one out
//! engine/store.rs   stores, keys, the stated mix             proto.rs          the protobuf that bytes are compared with
//! ```
//!
//! | benchmark | what is counted | beside |
//! |---|---|---|
//! | `engine.transitions` | threads make durable transitions of the mix | the journal's own durable appends of those records |
//! | `engine.transitions.ticket` | one thread submits them, 4,096 in flight | the journal's tickets for those records, and its 64 waiting threads |
//! | `engine.split_dirty` | writes of a row, each followed by a split | the same write, a barrier and a change of peers |
//! | `engine.route` | lookups of random keys by two threads, beside a thread that splits | a `BTreeMap` behind an `RwLock` |
//! | `engine.open` | opening a million regions and a million records | |
//! | `engine.bytes` | journaled bytes of a transition of the mix | the region's description in protobuf |

pub(crate) mod store;
pub(crate) mod work;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::args::Options;
use crate::bar::Better;
use crate::child;
use crate::job::{EngineWork, Job, Time, Work, figure};
use crate::judged::{self, Judged, alone, beside};
use crate::place::Place;
use crate::rounds::{self, Cell, Entrant, Start};
use crate::row::Row;
use crate::suite;

const NINE_TENTHS: Option<(f64, Better)> = Some((0.9, Better::Higher));

const JUDGED: &[Judged] = &[
    beside("engine.transitions", 1, JOURNAL, NINE_TENTHS),
    beside("engine.transitions", 64, JOURNAL, NINE_TENTHS),
    beside("engine.transitions.ticket", 1, JOURNAL, NINE_TENTHS),
    // As many durable appends as threads that wait for each can make.
    beside("engine.transitions.ticket", 1, JOURNAL_WAITING, NINE_TENTHS),
    beside("engine.split_dirty", 1, "write+barrier+transition", None),
    beside(
        "engine.route",
        2,
        "rwlock_btreemap",
        Some((5.0, Better::Higher)),
    ),
    alone("engine.open", figure::SECONDS, 1.5),
    alone("engine.open", figure::RESIDENT_BYTES, 400.0),
    alone("engine.bytes", figure::BYTES_OVER_PROTOBUF, 1.0),
];

const JOURNAL: &str = "journal";
const JOURNAL_WAITING: &str = "journal@64";

/// Runs the suite and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let place = suite::begin("engine", options)?;
    let cells = cells(options, &place)?;
    if cells.is_empty() {
        bail!("no benchmark matches --only");
    }
    let outcomes = rounds::run(&cells, options.rounds(), options.seed, &place)?;
    let rows: Vec<Row> = outcomes
        .iter()
        .flat_map(|outcome| judged::rows(JUDGED, outcome))
        .collect();
    suite::finish(options, &rows, &judged::lines(&rows))
}

fn entrant(options: &Options, column: &str, work: EngineWork, start: &Start) -> Entrant {
    Entrant {
        column: column.to_owned(),
        start: start.clone(),
        job: Job {
            peer: "torrens".to_owned(),
            setting: "default".to_owned(),
            dir: PathBuf::new(),
            seed: options.seed,
            work: Work::Engine(work),
        },
    }
}

fn cells(options: &Options, place: &Place) -> Result<Vec<Cell>> {
    let measured = options.measured();
    let time = Time {
        warm_up: (measured / 4).clamp(Duration::from_millis(30), Duration::from_millis(200)),
        measured,
    };
    let fresh = Start::Fresh;
    let mut cells = Vec::new();
    for threads in [1, 64] {
        if options.wants("engine.transitions", threads) {
            let transitions = EngineWork::Transitions { threads, time };
            let appends = EngineWork::Appends { threads, time };
            cells.push(Cell {
                bench: "engine.transitions",
                threads,
                entrants: vec![
                    entrant(options, "torrens", transitions, &fresh),
                    entrant(options, JOURNAL, appends, &fresh),
                ],
            });
        }
    }
    if options.wants("engine.transitions.ticket", 1) {
        let threads = 64;
        cells.push(Cell {
            bench: "engine.transitions.ticket",
            threads: 1,
            entrants: vec![
                entrant(options, "torrens", EngineWork::Submissions { time }, &fresh),
                entrant(options, JOURNAL, EngineWork::Tickets { time }, &fresh),
                entrant(
                    options,
                    JOURNAL_WAITING,
                    EngineWork::Appends { threads, time },
                    &fresh,
                ),
            ],
        });
    }
    if options.wants("engine.split_dirty", 1) {
        let parts = |parts| EngineWork::SplitDirty { parts, time };
        cells.push(Cell {
            bench: "engine.split_dirty",
            threads: 1,
            entrants: vec![
                entrant(options, "torrens", parts(false), &fresh),
                entrant(options, "write+barrier+transition", parts(true), &fresh),
            ],
        });
    }
    if options.wants("engine.bytes", 1) {
        cells.push(Cell {
            bench: "engine.bytes",
            threads: 1,
            entrants: vec![entrant(options, "torrens", EngineWork::Bytes, &fresh)],
        });
    }
    let big: u64 = if options.quick { 100_000 } else { 1_000_000 };
    let wants_open = options.wants("engine.open", 1);
    let wants_route = options.wants("engine.route", 2);
    if wants_open || wants_route {
        let dir = place.fresh()?.keep();
        let fill = EngineWork::Fill { regions: big };
        let mut job = entrant(options, "torrens", fill, &fresh).job;
        job.dir.clone_from(&dir);
        let filled = child::run(&job)?;
        eprintln!(
            "filled {big} regions and as many records: {:?}",
            filled.about
        );
        let start = Start::ColdCopy(dir);
        if wants_open {
            cells.push(Cell {
                bench: "engine.open",
                threads: 1,
                entrants: vec![entrant(
                    options,
                    "torrens",
                    EngineWork::Open { regions: big },
                    &start,
                )],
            });
        }
        if wants_route {
            let route = |map| EngineWork::Route {
                regions: big,
                map,
                time,
            };
            cells.push(Cell {
                bench: "engine.route",
                threads: 2,
                entrants: vec![
                    entrant(options, "torrens", route(false), &start),
                    entrant(options, "rwlock_btreemap", route(true), &fresh),
                ],
            });
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::tests::outcome;

    #[test]
    fn a_row_states_its_own_bar() {
        let rates: &[f64] = &[90.0, 95.0, 80.0];
        let outcome = outcome(
            "engine.transitions",
            64,
            &[
                ("torrens", "default", rates),
                (JOURNAL, "default", &[100.0, 100.0, 100.0]),
            ],
        );
        let rows = judged::rows(JUDGED, &outcome);
        let text = rows.first().map(ToString::to_string).unwrap_or_default();
        assert!(
            text.starts_with(
                r#"{"bench":"engine.transitions","threads":64,"torrens":90.0,"peer":"journal","peer_value":100.0,"ratio":0.9,"bar":0.9,"better":"higher","met":true"#
            ),
            "{text}"
        );
        let lines = judged::lines(&rows);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            lines.first().and_then(|line| line.bar.clone()),
            Some(("≥ 0.9".to_owned(), true))
        );
    }
}
