//! The suite `journal`: the journal beside other logs, in records of 128 bytes per second.
//!
//! ```text
//! journal.rs           which runs there are       journal/work.rs      carries one out (in its own process)
//! journal/report.rs    rows and lines from samples    journal/bars.rs  what each figure must reach
//! ```
//!
//! | benchmark | what is counted |
//! |---|---|
//! | `journal.durable` | threads append one record each and wait until it is durable |
//! | `journal.ticket` | one thread submits, and many records are in flight; against 64 waiting threads of the peers |
//! | `journal.buffered` | threads append and wait for nothing |
//! | `journal.replay` | opening a log of a million records with a cold cache, and reading every record |

mod bars;
mod report;
pub(crate) mod work;

pub(crate) use report::lines;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::Options;
use crate::child;
use crate::job::{Job, Time, Work};
use crate::peers::{self, Mode, Payloads};
use crate::place::{self, Place};
use crate::rounds::{self, Cell, Entrant, Start};
use crate::suite;

const DURABLE_THREADS: &[usize] = &[1, 4, 16, 64];
const BUFFERED_THREADS: &[usize] = &[1, 4];
/// The threads of the peers that tickets are compared with.
const TICKET_PEER_THREADS: usize = 64;
/// Records in flight: what a few dozen groups in flight hold.
const TICKETS_IN_FLIGHT: usize = 65_536;
/// The column of the writer that is not the default one.
const OTHER_WRITER: &str = "torrens.other";

/// Runs the suite and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let place = suite::begin("journal", options)?;
    let plan = Plan::new(options, &place)?;
    let cells = plan.cells()?;
    if cells.iter().all(|cell| cell.entrants.is_empty()) {
        bail!("no benchmark matches --only");
    }
    let outcomes = rounds::run(&cells, options.rounds(), options.seed, &place)?;
    let expected = Payloads::expected(options.seed, plan.replay_records());
    let mut rows = Vec::new();
    for outcome in &outcomes {
        if outcome.bench == "journal.replay" {
            report::check_replay(outcome, expected)?;
        }
        rows.extend(report::rows(outcome));
    }
    rows.retain(|row| options.wants(row.bench(), row.threads()));
    suite::finish(options, &rows, &lines(&rows))
}

/// What one invocation runs.
struct Plan<'a> {
    options: &'a Options,
    place: &'a Place,
    /// The setting of the writer that is not the default, if there are two.
    other_writer: Option<&'static str>,
    has_tickets: bool,
}

impl<'a> Plan<'a> {
    fn new(options: &'a Options, place: &'a Place) -> Result<Self> {
        let torrens = peers::by_name("torrens")?;
        let has = |name: &str| torrens.settings().iter().any(|s| s.name == name);
        let mut plan = Plan {
            options,
            place,
            other_writer: None,
            has_tickets: torrens
                .settings()
                .iter()
                .any(|s| s.modes.contains(&Mode::Ticket)),
        };
        if has("mapped") && has("direct") {
            plan.other_writer = match plan.default_writer()?.as_str() {
                "mapped" => Some("direct"),
                "direct" => Some("mapped"),
                other => bail!("the journal chose a writer that is unknown here: {other}"),
            };
        }
        Ok(plan)
    }

    /// Asks a journal with default options which writer it chose for this place.
    fn default_writer(&self) -> Result<String> {
        let dir = self.place.fresh()?;
        let sample = child::run(&Job {
            peer: "torrens".to_owned(),
            setting: "default".to_owned(),
            dir: dir.path().to_owned(),
            seed: self.options.seed,
            work: Work::Fill { records: 1 },
        })?;
        let writer = sample.about.get("writer");
        Ok(writer.context("the journal names no writer")?.clone())
    }

    fn replay_records(&self) -> u64 {
        if self.options.quick {
            200_000
        } else {
            1_000_000
        }
    }

    fn time(&self) -> Time {
        let measured = self.options.measured();
        Time {
            warm_up: (measured / 4).clamp(Duration::from_millis(30), Duration::from_millis(200)),
            measured,
        }
    }

    fn cells(&self) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for &threads in DURABLE_THREADS {
            let other = ["journal.durable.mapped", "journal.durable.direct"]
                .iter()
                .any(|bench| self.options.wants(bench, threads));
            let time = self.time();
            if self.options.wants("journal.durable", threads) || other {
                let work = Work::Durable { threads, time };
                cells.push(self.cell("journal.durable", threads, Mode::Durable, &work));
            }
        }
        if self.options.wants("journal.ticket", 1) {
            cells.extend(self.tickets());
        }
        for &threads in BUFFERED_THREADS {
            if self.options.wants("journal.buffered", threads) {
                let time = self.time();
                let work = Work::Buffered { threads, time };
                cells.push(self.cell("journal.buffered", threads, Mode::Buffered, &work));
            }
        }
        if self.options.wants("journal.replay", 1) {
            cells.push(self.replay()?);
        }
        Ok(cells)
    }

    /// Torrens with its default writer, the peers, and for durable appends the other writer too.
    fn cell(&self, bench: &'static str, threads: usize, mode: Mode, work: &Work) -> Cell {
        let mut entrants = vec![self.entrant("torrens", "default", "torrens", work)];
        if let Some(other) = self.other_writer.filter(|_| mode == Mode::Durable) {
            entrants.push(self.entrant("torrens", other, OTHER_WRITER, work));
        }
        entrants.extend(self.field(mode, work));
        Cell {
            bench,
            threads,
            entrants,
        }
    }

    fn field(&self, mode: Mode, work: &Work) -> impl Iterator<Item = Entrant> {
        suite::field(self.options, mode)
            .map(|(peer, setting)| self.entrant(peer.name(), setting.name, setting.column, work))
    }

    fn entrant(&self, peer: &str, setting: &str, column: &str, work: &Work) -> Entrant {
        Entrant {
            column: column.to_owned(),
            start: Start::Fresh,
            job: Job {
                peer: peer.to_owned(),
                setting: setting.to_owned(),
                dir: PathBuf::new(),
                seed: self.options.seed,
                work: work.clone(),
            },
        }
    }

    /// One thread with tickets against the peers' many threads, which is what they offer instead.
    fn tickets(&self) -> Option<Cell> {
        if !self.has_tickets {
            eprintln!("note: this journal has no tickets; journal.ticket is left out");
            return None;
        }
        let time = self.time();
        let in_flight = TICKETS_IN_FLIGHT;
        let ticket = Work::Ticket { in_flight, time };
        let threads = TICKET_PEER_THREADS;
        let durable = Work::Durable { threads, time };
        let mut entrants = vec![self.entrant("torrens", "default", "torrens", &ticket)];
        // Those that come near; the others' figures stand in journal.durable.
        let near = ["raft_engine", "okaywal", "raw"];
        let field = self.field(Mode::Durable, &durable);
        entrants.extend(field.filter(|entrant| near.contains(&entrant.column.as_str())));
        Some(Cell {
            bench: "journal.ticket",
            threads: 1,
            entrants,
        })
    }

    /// Fills a log for each entrant once; every run then reads a cold copy of it.
    fn replay(&self) -> Result<Cell> {
        let records = self.replay_records();
        let work = Work::Replay { records };
        let mut cell = self.cell("journal.replay", 1, Mode::Replay, &work);
        let mut filled = Vec::new();
        for mut entrant in cell.entrants {
            let what = format!("{} ({})", entrant.job.peer, entrant.job.setting);
            match self.fill(&entrant, records) {
                Ok(dir) => {
                    let mib = place::disk_bytes(&dir)? >> 20;
                    eprintln!("filled {what}: {records} records, {mib} MiB on disk");
                    entrant.start = Start::ColdCopy(dir);
                    filled.push(entrant);
                }
                Err(error) if entrant.job.peer == "torrens" => return Err(error),
                Err(error) => eprintln!("note: {what} cannot be filled: {error:#}"),
            }
        }
        cell.entrants = filled;
        Ok(cell)
    }

    fn fill(&self, entrant: &Entrant, records: u64) -> Result<PathBuf> {
        // Kept until the place goes.
        let dir = self.place.fresh()?.keep();
        let job = Job {
            dir: dir.clone(),
            work: Work::Fill { records },
            ..entrant.job.clone()
        };
        child::run(&job)?;
        Ok(dir)
    }
}
