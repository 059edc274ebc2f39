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
//! | `engine.transitions.ticket` | one thread submits them, 4,096 in flight | the journal's tickets for those records |
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
use crate::bar::{Bar, Better};
use crate::child;
use crate::job::{EngineWork, Job, Time, Work, figure};
use crate::place::Place;
use crate::rounds::{self, Cell, Entrant, Outcome, Start};
use crate::row::Row;
use crate::stats;
use crate::suite;
use crate::table::Line;

/// One figure that a row states, with its bar.
struct Judged {
    bench: &'static str,
    threads: usize,
    /// The column beside Torrens; none for a figure that stands alone.
    peer: Option<&'static str>,
    /// The figure of the run; the rate if none.
    figure: Option<&'static str>,
    bar: Option<(f64, Better)>,
}

const fn beside(
    bench: &'static str,
    threads: usize,
    peer: &'static str,
    bar: Option<(f64, Better)>,
) -> Judged {
    let (peer, figure) = (Some(peer), None);
    Judged {
        bench,
        threads,
        peer,
        figure,
        bar,
    }
}

const fn alone(bench: &'static str, figure: &'static str, most: f64) -> Judged {
    Judged {
        bench,
        threads: 1,
        peer: None,
        figure: Some(figure),
        bar: Some((most, Better::Lower)),
    }
}

const NINE_TENTHS: Option<(f64, Better)> = Some((0.9, Better::Higher));

const JUDGED: &[Judged] = &[
    beside("engine.transitions", 1, JOURNAL, NINE_TENTHS),
    beside("engine.transitions", 64, JOURNAL, NINE_TENTHS),
    beside("engine.transitions.ticket", 1, JOURNAL, NINE_TENTHS),
    beside("engine.transitions.ticket", 1, JOURNAL_WAITING, None),
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
    let rows: Vec<Row> = outcomes.iter().flat_map(rows).collect();
    suite::finish(options, &rows, &lines(&rows))
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

/// A row for each figure that has a bar or a peer.
fn rows(outcome: &Outcome) -> Vec<Row> {
    let judged = JUDGED
        .iter()
        .filter(|judged| judged.bench == outcome.bench && judged.threads == outcome.threads);
    judged.filter_map(|judged| row(outcome, judged)).collect()
}

fn row(outcome: &Outcome, judged: &Judged) -> Option<Row> {
    let (torrens, _) = outcome.best("torrens")?;
    let mut row = Row::new(judged.bench, judged.threads);
    let value = match judged.figure {
        Some(name) => torrens.figure(name),
        None => torrens.rate(),
    };
    row.number("torrens", value);
    let measured = match judged.peer {
        Some(peer) => {
            let (theirs, _) = outcome.best(peer)?;
            row.text("peer", peer);
            row.number("peer_value", theirs.rate());
            let ratio = stats::ratio(&torrens.rates(), &theirs.rates());
            row.number("ratio", ratio);
            for name in [figure::P50_US, figure::P99_US, figure::CPU_US] {
                row.number(format!("peer_{name}"), theirs.figure(name));
            }
            ratio
        }
        None => {
            row.text("figure", judged.figure.unwrap_or_default());
            row.number("value", value);
            value
        }
    };
    if let Some(((bar, better), measured)) = judged.bar.zip(measured) {
        row.number("bar", Some(bar));
        row.text(
            "better",
            match better {
                Better::Higher => "higher",
                Better::Lower => "lower",
            },
        );
        let bar = Bar {
            bench: judged.bench,
            threads: &[],
            key: "",
            value: bar,
            better,
        };
        row.flag("met", bar.is_met(measured));
    }
    row.number("rounds", Some(torrens.runs.len() as f64));
    for name in figure::OF_THE_ENGINE {
        row.number(*name, torrens.figure(name));
    }
    Some(row)
}

/// The lines of the table.
pub(crate) fn lines(rows: &[Row]) -> Vec<Line> {
    let line = |row: &Row| {
        let ratio = row.get("ratio").or(row.get("value"))?;
        let bar = row.get("bar").map(|bar| match row.get_text("better") {
            Some("lower") => (format!("≤ {bar}"), ratio <= bar),
            _ => (format!("≥ {bar}"), ratio >= bar),
        });
        let against = row.get_text("peer").or(row.get_text("figure"));
        Some(Line {
            bench: row.bench().to_owned(),
            threads: row.threads(),
            torrens: row.get("torrens"),
            against: against.unwrap_or_default().to_owned(),
            theirs: row.get("peer_value"),
            ratio: Some(ratio),
            bar,
        })
    };
    rows.iter().filter_map(line).collect()
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
        let rows = rows(&outcome);
        let text = rows.first().map(ToString::to_string).unwrap_or_default();
        assert!(
            text.starts_with(
                r#"{"bench":"engine.transitions","threads":64,"torrens":90.0,"peer":"journal","peer_value":100.0,"ratio":0.9,"bar":0.9,"better":"higher","met":true"#
            ),
            "{text}"
        );
        let lines = lines(&rows);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            lines.first().and_then(|line| line.bar.clone()),
            Some(("≥ 0.9".to_owned(), true))
        );
    }
}
