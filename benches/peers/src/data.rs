//! The suite `data`: a region's rows, in memory and on disk, beside stores that one would use instead.
//!
//! ```text
//! data.rs           which runs there are        data/work.rs    carries one out (in its own process)
//! data/report.rs    rows from samples           data/bars.rs    what each figure must reach
//! data/cost.rs      what a cached region costs its writes
//! data/snapshot.rs  moving a region             data/stores.rs  one store after another, one small trait
//! data/writes.rs    writing, and how long a write takes
//! data/opening.rs   opening after a kill
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
//! | `data.write`, `data.get`, `data.scan` | rows a second through the engine, with nothing in memory; writes also by four threads that have a region each. `sled` inserts row by row, `sled_batch` applies each batch as one |
//! | `data.write_p99` | microseconds that one write of a row takes, 99th percentile, with a barrier every 50 ms, against no barriers, and against sled's inserts with a `flush` of sled's every 50 ms |
//! | `data.open` | seconds until a cold store with 10,000 rows behind its last barrier is open after a kill, against one that was closed in order, against sled's own opening of those files, and that with reading every row |

mod bars;
mod cost;
mod opening;
mod report;
mod snapshot;
mod stores;
pub(crate) mod work;
mod writes;

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
const PEERS: &[&str] = &[
    "sled",
    "redb",
    "fjall",
    #[cfg(feature = "rocksdb")]
    "rocksdb",
];
/// Threads that write, each to a region of its own.
const WRITERS: &[usize] = &[1, 4];

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum DataWork {
    /// Writes so many rows, makes them durable and closes in order.
    Fill { rows: u64 },
    /// Reads everything, then at random, then in scans; Torrens also loads the region and does it again.
    Read { rows: u64, time: Time },
    /// Writes over random rows, in batches of each size, by so many threads.
    Write {
        rows: u64,
        threads: usize,
        time: Time,
    },
    /// Writes over random rows, one by one, with barriers as the setting says.
    TimedWrite { rows: u64, time: Time },
    /// Fills a store, and leaves it as the setting says.
    Leave { rows: u64 },
    /// Opens what was left.
    Open { rows: u64 },
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
        if let Some(rows) = self.options.rows {
            rows
        } else if self.options.quick {
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
        let wants = |benches: &[String], threads| {
            benches
                .iter()
                .any(|bench| self.options.wants(bench, threads))
        };
        let reads = wants(&report::READS.map(str::to_owned), 1);
        let writers = WRITERS.iter().copied();
        let writers: Vec<usize> = writers
            .filter(|threads| wants(&report::by_batch("data.write"), *threads))
            .collect();
        let costs = wants(&report::by_batch("data.cached_write"), 1);
        let timed = self.options.wants("data.write_p99", 1);
        let mut cells = Vec::new();
        let with_peers = reads || !writers.is_empty();
        if with_peers || costs || timed {
            let peers: &[&str] = if with_peers {
                PEERS
            } else if timed {
                &["sled"]
            } else {
                &[]
            };
            let filled = self.fill(peers, rows)?;
            let from = |peer: &str| filled.iter().find(|(filled, _)| *filled == peer);
            // Column, peer, setting; only who was filled runs.
            let mut cell = |bench, threads, who: &[(&str, &str, &str)], work: DataWork| {
                let entrants = who.iter().filter_map(|(column, peer, setting)| {
                    let start = Start::Copy(from(peer)?.1.clone());
                    let entrant = self.entrant(peer, setting, start, work.clone());
                    Some(Entrant {
                        column: (*column).to_owned(),
                        ..entrant
                    })
                });
                let entrants = entrants.collect();
                cells.push(Cell {
                    bench,
                    threads,
                    entrants,
                });
            };
            let everyone = ["torrens"].iter().chain(PEERS);
            let everyone: Vec<_> = everyone.map(|peer| (*peer, *peer, "default")).collect();
            if reads {
                cell("data.read", 1, &everyone, DataWork::Read { rows, time });
            }
            for threads in writers {
                let mut who = everyone.clone();
                for (column, _, setting) in &mut who {
                    if *column == "sled" {
                        *setting = "insert";
                    }
                }
                who.push(("sled_batch", "sled", "apply_batch"));
                let work = DataWork::Write {
                    rows,
                    threads,
                    time,
                };
                cell("data.write", threads, &who, work);
            }
            if costs {
                let turn = measured / 4;
                let work = DataWork::CachedWrite { rows, turn };
                cell(
                    "data.cached_write",
                    1,
                    &[("torrens", "torrens", "default")],
                    work,
                );
            }
            if timed {
                let who = [
                    ("torrens", "torrens", "barriers"),
                    ("no_barriers", "torrens", "no_barriers"),
                    ("sled", "sled", "flush"),
                ];
                // Some tens of barriers.
                let time = Time {
                    measured: measured * 4,
                    ..time
                };
                cell(
                    "data.write_p99",
                    1,
                    &who,
                    DataWork::TimedWrite { rows, time },
                );
            }
        }
        if self.options.wants("data.open", 1) {
            cells.push(self.opening(rows)?);
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

    /// Opening what was left behind.
    fn opening(&self, rows: u64) -> Result<Cell> {
        let left = |setting| {
            // Kept until the place goes.
            let dir = self.place.fresh()?.keep();
            let mut entrant =
                self.entrant("torrens", setting, Start::Fresh, DataWork::Leave { rows });
            entrant.job.dir.clone_from(&dir);
            child::run(&entrant.job)?;
            Ok::<_, anyhow::Error>(Start::ColdCopy(dir))
        };
        let (killed, closed) = (left("killed")?, left("closed")?);
        let who = [
            ("torrens", "killed", &killed),
            ("closed", "closed", &closed),
            ("sled", "sled", &killed),
            ("sled_rows", "sled_rows", &killed),
        ];
        let entrants = who.map(|(column, setting, start)| Entrant {
            column: column.to_owned(),
            ..self.entrant("torrens", setting, start.clone(), DataWork::Open { rows })
        });
        Ok(Cell {
            bench: "data.open",
            threads: 1,
            entrants: entrants.into(),
        })
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
