//! The suite `data`: a region's rows, in memory and on disk, beside stores that one would use instead.
//!
//! ```text
//! data.rs           which runs there are        data/work.rs    carries one out (in its own process)
//! data/report.rs    rows from samples           data/bars.rs    what each figure must reach
//! data/cost.rs      what a cached region costs its writes
//! data/snapshot.rs  moving a region             data/stores.rs  one store after another, one small trait
//! ```
//!
//! Rows have keys of 21 bytes that are spread evenly, and values of 100 random bytes. Every store is
//! filled once, in key order, and each run works on a copy of its own, which it reads through once
//! before anything is measured: nothing here waits for the disk.
//!
//! | benchmark | what is counted |
//! |---|---|
//! | `data.cached_get`, `data.cached_scan` | rows a second through a view of a region in memory, in random order, and in scans of 10,000 |
//! | `data.load` | rows a second from the request to a region that is active, against reading all rows |
//! | `data.memory` | bytes of a cached region at rest over the bytes of its keys and values |
//! | `data.cached_write` | rows a second written to a cached region and to one that is not, in turns; the cost is their quotient |
//! | `data.snapshot` | bytes a second from one store into another, against copying rows from tree to tree |
//! | `data.write`, `data.get`, `data.scan` | rows a second through the engine, with nothing in memory |

mod bars;
mod cost;
mod report;
mod snapshot;
mod stores;
pub(crate) mod work;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::Options;
use crate::child;
use crate::compare;
use crate::job::{Job, Time, Work};
use crate::place::{self, Place};
use crate::rounds::{self, Cell, Entrant, Start};
use crate::row::Row;
use crate::suite;

/// Rows in a batch, of the benchmarks that write.
const BATCHES: &[usize] = &[1, 10, 100];
/// Bytes of keys and values that a snapshot moves.
const SNAPSHOT_BYTES: u64 = 64 << 20;
/// Whoever is measured beside Torrens.
const PEERS: &[&str] = &["sled", "redb", "fjall"];

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum DataWork {
    /// Writes so many rows, makes them durable and closes in order.
    Fill { rows: u64 },
    /// Reads everything, then at random, then in scans; Torrens also loads the region and does it again.
    Read { rows: u64, time: Time },
    /// Writes over random rows, in batches of each size.
    Write { rows: u64, time: Time },
    /// Writes over random rows of a region in memory and of one that is not, in batches of each size.
    CachedWrite { rows: u64, turn: Duration },
    /// Moves rows of so many bytes to another store.
    Snapshot { bytes: u64 },
}

/// Runs the suite and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let place = suite::begin("data", options)?;
    let cells = Plan {
        options,
        place: &place,
    }
    .cells()?;
    if cells.iter().all(|cell| cell.entrants.is_empty()) {
        bail!("no benchmark matches --only");
    }
    let outcomes = rounds::run(&cells, options.rounds(), options.seed, &place)?;
    let mut rows: Vec<Row> = outcomes.iter().flat_map(report::rows).collect();
    rows.retain(|row| options.wants(row.bench(), row.threads()));
    let lines: Vec<_> = rows.iter().map(compare::line).collect();
    suite::finish(options, &rows, &lines)
}

/// What one invocation runs.
struct Plan<'a> {
    options: &'a Options,
    place: &'a Place,
}

impl Plan<'_> {
    fn rows(&self) -> u64 {
        if self.options.quick {
            200_000
        } else {
            1_000_000
        }
    }

    fn cells(&self) -> Result<Vec<Cell>> {
        let (rows, measured) = (self.rows(), self.options.measured());
        let time = Time {
            warm_up: (measured / 4).clamp(Duration::from_millis(30), Duration::from_millis(200)),
            measured,
        };
        let wants = |benches: &[String]| benches.iter().any(|bench| self.options.wants(bench, 1));
        let reads = wants(&report::READS.map(str::to_owned));
        let writes = wants(&report::by_batch("data.write"));
        let costs = wants(&report::by_batch("data.cached_write"));
        let mut cells = Vec::new();
        if reads || writes || costs {
            let peers: &[&str] = if reads || writes { PEERS } else { &[] };
            let filled = self.fill(peers, rows)?;
            let mut cell = |bench, work: DataWork, torrens_alone: bool| {
                let who = filled
                    .iter()
                    .filter(|(peer, _)| !torrens_alone || *peer == "torrens");
                let entrants = who.map(|(peer, dir)| {
                    self.entrant(peer, "default", Start::Copy(dir.clone()), work.clone())
                });
                let entrants = entrants.collect();
                cells.push(Cell {
                    bench,
                    threads: 1,
                    entrants,
                });
            };
            if reads {
                cell("data.read", DataWork::Read { rows, time }, false);
            }
            if writes {
                cell("data.write", DataWork::Write { rows, time }, false);
            }
            if costs {
                let turn = measured / 4;
                cell(
                    "data.cached_write",
                    DataWork::CachedWrite { rows, turn },
                    true,
                );
            }
        }
        if self.options.wants("data.snapshot", 1) {
            let work = DataWork::Snapshot {
                bytes: SNAPSHOT_BYTES,
            };
            let who = [
                ("torrens", "default"),
                ("sled", "insert"),
                ("sled", "batch"),
            ];
            let entrants =
                who.map(|(peer, setting)| self.entrant(peer, setting, Start::Fresh, work.clone()));
            cells.push(Cell {
                bench: "data.snapshot",
                threads: 1,
                entrants: entrants.into(),
            });
        }
        Ok(cells)
    }

    /// Fills a store for each, once.
    fn fill<'p>(&self, peers: &[&'p str], rows: u64) -> Result<Vec<(&'p str, PathBuf)>> {
        let mut filled = Vec::new();
        let wanted = |peer: &&&str| {
            let peers = &self.options.peers;
            peers.is_empty() || peers.iter().any(|wanted| wanted == **peer)
        };
        for peer in [&"torrens"].into_iter().chain(peers.iter().filter(wanted)) {
            // Kept until the place goes.
            let dir = self.place.fresh()?.keep();
            let mut entrant = self.entrant(peer, "default", Start::Fresh, DataWork::Fill { rows });
            entrant.job.dir.clone_from(&dir);
            child::run(&entrant.job)?;
            let mib = place::disk_bytes(&dir)? >> 20;
            eprintln!("filled {peer}: {rows} rows, {mib} MiB on disk");
            filled.push((*peer, dir));
        }
        Ok(filled)
    }

    fn entrant(&self, peer: &str, setting: &str, start: Start, work: DataWork) -> Entrant {
        Entrant {
            column: peer.to_owned(),
            start,
            job: Job {
                peer: peer.to_owned(),
                setting: setting.to_owned(),
                dir: PathBuf::new(),
                seed: self.options.seed,
                work: Work::Data(work),
            },
        }
    }
}
