//! The suite `scale`: one store with a million regions.
//!
//! ```text
//! scale.rs          which runs there are, and their rows
//! scale/stall.rs    transitions beside a checkpoint          scale/storm.rs   loads and evictions of many regions
//! scale/grown.rs    opening, lookups, splits, retention
//! ```
//!
//! | benchmark | what is counted | beside |
//! |---|---|---|
//! | `scale.open` | seconds until a store of a million regions is open, from a checkpoint; memory of a region | |
//! | `scale.lookup` | lookups of a region by a random key, with its description | |
//! | `scale.split` | durable splits by one thread that waits for each | the same in a store of a thousand regions |
//! | `scale.split.ticket` | splits that one thread submits, many in flight | the same in a store of a thousand regions |
//! | `scale.checkpoint` | seconds of a checkpoint of all regions; bytes of a region in it | |
//! | `scale.checkpoint.stall` | the 99th percentile of transitions while checkpoints are written | the same while none is |
//! | `scale.retention` | bytes of the journal after a million transitions, in segments | |
//! | `scale.storm.load` | regions that are all asked for at once, until all are in memory | |
//! | `scale.storm.evict` | those, all sent away at once, until their memory is free | |
//! | `scale.restart` | seconds from opening until every region that was in memory is there again | |

mod grown;
mod stall;
mod storm;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::Options;
use crate::bar::Better;
use crate::child;
use crate::job::{Job, Sample, Time, Work, figure};
use crate::judged::{self, Judged, alone, beside};
use crate::place::Place;
use crate::rounds::{self, Cell, Entrant, Start};
use crate::row::Row;
use crate::suite;

/// One run of the suite.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum ScaleWork {
    /// Makes so many regions, and a checkpoint.
    Fill { regions: u64 },
    /// Opens that.
    Open { regions: u64 },
    /// Looks regions up by random keys.
    Lookup { regions: u64, time: Time },
    /// Splits regions over and over; by ticket, so many in flight, or one after the other.
    Split {
        regions: u64,
        in_flight: usize,
        time: Time,
    },
    /// Writes a checkpoint.
    Checkpoint { regions: u64 },
    /// Transitions by turns: while checkpoints are written, and while none is.
    Stall { regions: u64, turns: usize },
    /// Makes so many transitions with checkpoints as they are due.
    Retention { transitions: u64 },
    /// Loads so many regions at once, and evicts them at once.
    Storm { regions: u64, is_load: bool },
    /// Opens a store of which so many regions were in memory.
    Restart { regions: u64 },
}

/// Names of figures of this suite.
mod named {
    /// The 99th percentile beside a checkpoint over the one without.
    pub(super) const STALL: &str = "p99_over_undisturbed";
    /// The 99th percentile while no checkpoint is written, in microseconds.
    pub(super) const QUIET_P99_US: &str = "undisturbed_p99_us";
    /// The longest transition beside a checkpoint, in microseconds.
    pub(super) const LONGEST_US: &str = "longest_us";
    /// Bytes of the checkpoint's file, per region.
    pub(super) const CHECKPOINT_BYTES: &str = "checkpoint_bytes_per_region";
    /// Most bytes that the journal had on the disk, in segments.
    pub(super) const SEGMENTS: &str = "journal_segments_max";
}

/// Regions of the small store that the large one is compared with.
const SMALL: u64 = 1_000;
const SMALL_STORE: &str = "1000 regions";

const fn stated(bench: &'static str, figure: Option<&'static str>) -> Judged {
    Judged {
        bench,
        threads: 1,
        peer: None,
        figure,
        bar: None,
    }
}

const fn least(bench: &'static str, least: f64) -> Judged {
    Judged {
        bar: Some((least, Better::Higher)),
        ..stated(bench, None)
    }
}

const JUDGED: &[Judged] = &[
    alone("scale.open", figure::SECONDS, 1.0),
    alone("scale.open", figure::RESIDENT_BYTES, 400.0),
    least("scale.lookup", 500_000.0),
    // A store a thousand times as large may cost a fifth.
    beside("scale.split", 1, SMALL_STORE, Some((0.8, Better::Higher))),
    beside(
        "scale.split.ticket",
        1,
        SMALL_STORE,
        Some((0.5, Better::Higher)),
    ),
    alone("scale.checkpoint", figure::SECONDS, 2.0),
    alone("scale.checkpoint", named::CHECKPOINT_BYTES, 200.0),
    alone("scale.checkpoint.stall", named::STALL, 2.0),
    stated("scale.checkpoint.stall", Some(named::QUIET_P99_US)),
    stated("scale.checkpoint.stall", Some(named::LONGEST_US)),
    alone("scale.retention", named::SEGMENTS, 8.0),
    least("scale.storm.load", 10_000.0),
    least("scale.storm.evict", 20_000.0),
    alone("scale.restart", figure::SECONDS, 5.0),
];

/// Runs the suite and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let place = suite::begin("scale", options)?;
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

/// Carries out `work` here and now.
pub(crate) fn carry(job: &Job, work: &ScaleWork) -> Result<Sample> {
    match *work {
        ScaleWork::Fill { regions } => grown::fill(&job.dir, regions),
        ScaleWork::Open { regions } => grown::open(&job.dir, regions),
        ScaleWork::Lookup { regions, time } => grown::lookup(job, regions, time),
        ScaleWork::Split {
            regions,
            in_flight,
            time,
        } => grown::split(job, regions, in_flight, time),
        ScaleWork::Checkpoint { regions } => grown::checkpoint(&job.dir, regions),
        ScaleWork::Retention { transitions } => grown::retention(&job.dir, transitions),
        ScaleWork::Stall { regions, turns } => stall::carry(&job.dir, regions, turns),
        ScaleWork::Storm { regions, is_load } => storm::carry(&job.dir, regions, is_load),
        ScaleWork::Restart { regions } => storm::restart(&job.dir, regions),
    }
}

fn entrant(options: &Options, column: &str, work: ScaleWork, start: &Start) -> Entrant {
    Entrant {
        column: column.to_owned(),
        start: start.clone(),
        job: Job {
            peer: "torrens".to_owned(),
            setting: "default".to_owned(),
            dir: PathBuf::new(),
            seed: options.seed,
            work: Work::Scale(work),
        },
    }
}

/// A store of so many regions, to copy.
fn filled(options: &Options, place: &Place, regions: u64) -> Result<Start> {
    let dir = place.fresh()?.keep();
    let fill = ScaleWork::Fill { regions };
    let mut job = entrant(options, "torrens", fill, &Start::Fresh).job;
    job.dir.clone_from(&dir);
    child::run(&job)?;
    eprintln!("filled {regions} regions");
    Ok(Start::ColdCopy(dir))
}

fn cells(options: &Options, place: &Place) -> Result<Vec<Cell>> {
    let measured = options.measured();
    let time = Time {
        warm_up: (measured / 4).clamp(Duration::from_millis(30), Duration::from_millis(200)),
        measured,
    };
    let regions: u64 = if options.quick { 100_000 } else { 1_000_000 };
    let cached: u64 = if options.quick { 10_000 } else { 50_000 };
    let turns = if options.quick { 2 } else { 4 };
    let split = |regions, in_flight| ScaleWork::Split {
        regions,
        in_flight,
        time,
    };
    let of_large = [
        ("scale.open", ScaleWork::Open { regions }),
        ("scale.lookup", ScaleWork::Lookup { regions, time }),
        ("scale.split", split(regions, 1)),
        ("scale.split.ticket", split(regions, grown::IN_FLIGHT)),
        ("scale.checkpoint", ScaleWork::Checkpoint { regions }),
        (
            "scale.checkpoint.stall",
            ScaleWork::Stall { regions, turns },
        ),
    ];
    let of_none = [
        (
            "scale.retention",
            ScaleWork::Retention {
                transitions: regions,
            },
        ),
        (
            "scale.storm.load",
            ScaleWork::Storm {
                regions: cached,
                is_load: true,
            },
        ),
        (
            "scale.storm.evict",
            ScaleWork::Storm {
                regions: cached,
                is_load: false,
            },
        ),
        ("scale.restart", ScaleWork::Restart { regions: cached }),
    ];
    let mut cells = Vec::new();
    let wanted = of_large.iter().filter(|(bench, _)| options.wants(bench, 1));
    let mut stores: Option<(Start, Start)> = None;
    for (bench, work) in wanted {
        let (large, small) = match &stores {
            Some(stores) => stores,
            None => stores.insert((
                filled(options, place, regions)?,
                filled(options, place, SMALL)?,
            )),
        };
        let mut entrants = vec![entrant(options, "torrens", *work, large)];
        if let ScaleWork::Split { in_flight, .. } = *work {
            let work = split(SMALL, in_flight);
            entrants.push(entrant(options, SMALL_STORE, work, small));
        }
        cells.push(Cell {
            bench,
            threads: 1,
            entrants,
        });
    }
    for (bench, work) in of_none {
        if options.wants(bench, 1) {
            cells.push(Cell {
                bench,
                threads: 1,
                entrants: vec![entrant(options, "torrens", work, &Start::Fresh)],
            });
        }
    }
    Ok(cells)
}
