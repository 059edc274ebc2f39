//! The suite `observe`: what observers cost those who write, and what they get.
//!
//! ```text
//! observe.rs          which runs there are, and their rows
//! observe/feed.rs     what a consumer costs a writer      observe/storm.rs   attaching, and memory
//! observe/catch_up.rs reading what was kept               observe/homes.rs   two homes of the history
//! observe/store.rs    stores that are observed
//! ```
//!
//! | benchmark | what is counted | beside |
//! |---|---|---|
//! | `observe.feed` | writes of a row by one thread while one consumer is told of them | turns in which the history is kept for nobody |
//! | | those turns | turns in which no history is kept |
//! | `observe.feed.in_memory` | the same with the data store in memory, where nothing hides behind its writes | |
//! | `observe.attach` | seconds until 100 observers of 10,000 regions are attached after all changed their term | |
//! | | resident bytes of an attachment | |
//! | `observe.catch_up` | changes of 100 bytes that a consumer reads of what was kept, in entries of one and of ten | |
//! | `observe.home` | writes, reading and removal with the history in a journal of its own | the history in the store's own batch |

mod catch_up;
mod feed;
mod homes;
mod store;
mod storm;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::Options;
use crate::bar::Better;
use crate::job::{Job, Sample, Work, figure};
use crate::judged::{self, Judged, alone};
use crate::rounds::{self, Cell, Entrant, Start};
use crate::row::Row;
use crate::suite;

/// One run of the suite.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum ObserveWork {
    /// Writes by turns: with a consumer, with history for nobody, without.
    Feed {
        in_memory: bool,
        turn: Duration,
        turns: usize,
    },
    /// Attaches so many observers to so many regions after a storm.
    Storm { observers: u64, regions: u64 },
    /// Writes so many changes, in entries of so many, and reads what was kept.
    CatchUp { changes: u64, per_entry: u64 },
    /// Writes, reads and removes so many changes, kept in one of the homes.
    Home { home: Home, changes: u64 },
}

/// Where the history lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Home {
    /// Nowhere: what the store's own batches cost.
    Nowhere,
    /// In a journal beside the store, synced before each flush.
    Journal,
    /// In the store: rows by region, index and sub-index, in the batch of the write.
    Batch,
}

/// Names of figures of this suite.
mod named {
    /// Writes with a consumer over writes with history for nobody, of turns side by side.
    pub(super) const FED_OVER_KEPT: &str = "fed_over_kept";
    /// Writes with history for nobody over writes without history.
    pub(super) const KEPT_OVER_PLAIN: &str = "kept_over_plain";
    /// Writes a second with a consumer.
    pub(super) const WRITES: &str = "writes_per_second";
    /// Changes read back a second.
    pub(super) const READ: &str = "changes_read_per_second";
    /// Changes removed a second, durably.
    pub(super) const REMOVED: &str = "changes_removed_per_second";
    /// Resident bytes of one attachment.
    pub(super) const ATTACHMENT_BYTES: &str = "resident_bytes_per_attachment";
}

const fn least(bench: &'static str, figure: &'static str, least: Option<f64>) -> Judged {
    let bar = match least {
        Some(least) => Some((least, Better::Higher)),
        None => None,
    };
    Judged {
        bench,
        threads: 1,
        peer: None,
        figure: Some(figure),
        bar,
    }
}

const fn home(figure: Option<&'static str>, peer: &'static str) -> Judged {
    Judged {
        bench: "observe.home",
        threads: 1,
        peer: Some(peer),
        figure,
        bar: None,
    }
}

const NO_HISTORY: &str = "no history";
const SAME_BATCH: &str = "same batch";

const JUDGED: &[Judged] = &[
    least("observe.feed", named::FED_OVER_KEPT, Some(0.95)),
    least("observe.feed", named::KEPT_OVER_PLAIN, None),
    least("observe.feed", named::WRITES, None),
    least("observe.feed.in_memory", named::FED_OVER_KEPT, None),
    least("observe.feed.in_memory", named::KEPT_OVER_PLAIN, None),
    least("observe.feed.in_memory", named::WRITES, None),
    alone("observe.attach", figure::SECONDS, 1.0),
    alone("observe.attach", named::ATTACHMENT_BYTES, 200.0),
    least("observe.catch_up", named::READ, Some(1e6)),
    least("observe.catch_up.of_10", named::READ, Some(1e6)),
    home(None, NO_HISTORY),
    home(None, SAME_BATCH),
    home(Some(figure::DEVICE_KIB), SAME_BATCH),
    home(Some(named::READ), SAME_BATCH),
    home(Some(named::REMOVED), SAME_BATCH),
];

/// Runs the suite and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let place = suite::begin("observe", options)?;
    let cells = cells(options);
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

/// Carries out `work` here and now.
pub(crate) fn carry(job: &Job, work: &ObserveWork) -> Result<Sample> {
    match *work {
        ObserveWork::Feed {
            in_memory,
            turn,
            turns,
        } => feed::carry(&job.dir, in_memory, turn, turns),
        ObserveWork::Storm { observers, regions } => storm::carry(&job.dir, observers, regions),
        ObserveWork::CatchUp { changes, per_entry } => {
            catch_up::carry(&job.dir, changes, per_entry)
        }
        ObserveWork::Home { home, changes } => homes::carry(&job.dir, home, changes),
    }
}

fn entrant(options: &Options, column: &str, work: ObserveWork) -> Entrant {
    Entrant {
        column: column.to_owned(),
        start: Start::Fresh,
        job: Job {
            peer: "torrens".to_owned(),
            setting: "default".to_owned(),
            dir: PathBuf::new(),
            seed: options.seed,
            work: Work::Observe(work),
        },
    }
}

fn cells(options: &Options) -> Vec<Cell> {
    let small = options.quick;
    let alone = |bench, work| Cell {
        bench,
        threads: 1,
        entrants: vec![entrant(options, "torrens", work)],
    };
    let mut cells = Vec::new();
    for (bench, in_memory) in [("observe.feed", false), ("observe.feed.in_memory", true)] {
        if options.wants(bench, 1) {
            let work = ObserveWork::Feed {
                in_memory,
                turn: options.measured(),
                turns: if small { 3 } else { 6 },
            };
            cells.push(alone(bench, work));
        }
    }
    if options.wants("observe.attach", 1) {
        let (observers, regions) = (100, if small { 1_000 } else { 10_000 });
        let work = ObserveWork::Storm { observers, regions };
        cells.push(alone("observe.attach", work));
    }
    let changes: u64 = if small { 100_000 } else { 1_000_000 };
    for (bench, per_entry) in [("observe.catch_up", 1), ("observe.catch_up.of_10", 10)] {
        if options.wants(bench, 1) {
            let work = ObserveWork::CatchUp { changes, per_entry };
            cells.push(alone(bench, work));
        }
    }
    if options.wants("observe.home", 1) {
        let changes = changes / 5;
        let of = |home| ObserveWork::Home { home, changes };
        cells.push(Cell {
            bench: "observe.home",
            threads: 1,
            entrants: vec![
                entrant(options, "torrens", of(Home::Journal)),
                entrant(options, SAME_BATCH, of(Home::Batch)),
                entrant(options, NO_HISTORY, of(Home::Nowhere)),
            ],
        });
    }
    cells
}
