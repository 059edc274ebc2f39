//! Carries out one run of the suite, in the process that was started for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::stores::{self, Key, Store, Tally, Torrens, Value};
use super::{DataWork, cost, opening, snapshot, writes};
use crate::gauge::{self, Turn};
use crate::job::{Job, Sample, Time};
use crate::rng::Rng;

/// Rows that one scan reads.
const SCANNED: usize = 10_000;
/// Gets that are counted at once.
const GETS_PER_COUNT: usize = 64;
/// Rows in a batch that fills a store.
const ROWS_PER_FILLING_BATCH: usize = 1000;

/// The names of figures; all are rows a second unless they say otherwise.
pub(super) mod figure {
    /// The rate of the run itself.
    pub(in super::super) const RATE: &str = "rate";
    pub(in super::super) const ITERATE: &str = "iterate";
    pub(in super::super) const GET: &str = "get";
    pub(in super::super) const SCAN: &str = "scan";
    pub(in super::super) const CACHED_GET: &str = "cached_get";
    pub(in super::super) const CACHED_SCAN: &str = "cached_scan";
    pub(in super::super) const LOAD: &str = "load";
    /// Bytes that the engine says the region takes.
    pub(in super::super) const MEMORY: &str = "memory";
    /// Bytes of its keys and values.
    pub(in super::super) const LOGICAL: &str = "logical";
    /// Bytes that the process grew by.
    pub(in super::super) const RESIDENT: &str = "resident";
    pub(in super::super) const WRITE: &str = "write";
    pub(in super::super) const CACHED_WRITE: &str = "cached_write";
    pub(in super::super) const UNCACHED_WRITE: &str = "uncached_write";
    /// Time that a row takes with the region in memory over the time without, of turns side by side.
    pub(in super::super) const WRITE_COST: &str = "write_cost";
    /// Processor time of the process per row, in microseconds, with the work that is left behind.
    pub(in super::super) const CACHED_WRITE_CPU: &str = "cached_write_cpu";
    pub(in super::super) const UNCACHED_WRITE_CPU: &str = "uncached_write_cpu";

    /// The figure for batches of so many rows.
    pub(in super::super) fn of_batch(name: &str, rows: usize) -> String {
        format!("{name}.{rows}")
    }
}

/// Carries out `job` here and now.
pub(crate) fn carry_out(job: &Job, work: &DataWork) -> Result<Sample> {
    match *work {
        DataWork::Fill { rows } => {
            let store = stores::open(&job.peer, &job.setting, &job.dir)?;
            let sample = gauge::once(rows, || fill(&*store, rows, job.seed))?;
            store.close()?;
            Ok(sample)
        }
        DataWork::Read { rows, time } if job.peer == "torrens" => {
            read_torrens(&job.dir, rows, time, job.seed)
        }
        DataWork::Read { rows, time } => {
            let store = stores::open(&job.peer, &job.setting, &job.dir)?;
            let figures = read(&*store, &job.dir, rows, time, job.seed)?;
            sample(figures, figure::GET)
        }
        DataWork::Write {
            rows,
            threads,
            time,
        } => writes::rates(job, rows, threads, time),
        DataWork::TimedWrite { rows, time } => writes::latencies(job, rows, time),
        DataWork::Leave { rows } => opening::leave(job, rows),
        DataWork::Open { rows } => opening::open(job, rows),
        DataWork::CachedWrite { rows, turn } => cost::carry_out(job, rows, turn),
        DataWork::Snapshot { bytes } => snapshot::carry_out(job, bytes),
    }
}

/// A sample of figures, one of which is its rate.
pub(super) fn sample(figures: BTreeMap<String, f64>, rate: &str) -> Result<Sample> {
    let rate = *figures.get(rate).context("nothing was measured")?;
    Ok(Sample {
        rate,
        figures,
        ..Sample::default()
    })
}

/// Writes all rows in key order.
pub(super) fn fill(store: &dyn Store, rows: u64, seed: u64) -> Result<()> {
    let mut keys: Vec<Key> = (0..rows).map(stores::key).collect();
    keys.sort_unstable();
    let mut rng = Rng::new(seed);
    for keys in keys.chunks(ROWS_PER_FILLING_BATCH) {
        let batch: Vec<(Key, Value)> = keys.iter().map(|key| (*key, value(&mut rng))).collect();
        store.write(&batch)?;
    }
    Ok(())
}

pub(super) fn value(rng: &mut Rng) -> Value {
    let mut value = [0; 100];
    rng.fill(&mut value);
    value
}

/// Everything once, then gets, then scans.
fn read(
    store: &dyn Store,
    dir: &Path,
    rows: u64,
    time: Time,
    seed: u64,
) -> Result<BTreeMap<String, f64>> {
    iterate(store, rows)?;
    let iterated = gauge::once(rows, || iterate(store, rows))?;
    let gets = gets(store, dir, rows, time, seed)?;
    let scans = scans(store, dir, rows, time, seed)?;
    Ok(BTreeMap::from([
        (figure::ITERATE.to_owned(), iterated.rate),
        (figure::GET.to_owned(), gets.rate),
        (figure::SCAN.to_owned(), scans.rate),
    ]))
}

pub(super) fn iterate(store: &dyn Store, rows: u64) -> Result<()> {
    let tally = store.reader()?.scan(&[], usize::MAX)?;
    ensure!(tally.rows == rows, "{} rows instead of {rows}", tally.rows);
    Ok(())
}

fn gets(store: &dyn Store, dir: &Path, rows: u64, time: Time, seed: u64) -> Result<Sample> {
    gauge::measure(dir, 1, time, |turn: &mut Turn<'_>| {
        let (reader, mut rng) = (store.reader()?, Rng::new(seed));
        let mut keys = [stores::key(0); GETS_PER_COUNT];
        while turn.goes_on() {
            keys.fill_with(|| stores::key(rng.next() % rows));
            let tally = reader.gets(&keys)?;
            ensure!(tally.rows == keys.len() as u64, "a row is missing");
            turn.count(tally.rows);
        }
        Ok(())
    })
}

fn scans(store: &dyn Store, dir: &Path, rows: u64, time: Time, seed: u64) -> Result<Sample> {
    gauge::measure(dir, 1, time, |turn: &mut Turn<'_>| {
        let (reader, mut rng) = (store.reader()?, Rng::new(seed));
        while turn.goes_on() {
            // From a place that leaves enough rows.
            let from = stores::in_lower_half(stores::key(rng.next() % rows));
            let Tally { rows, .. } = reader.scan(&from, SCANNED)?;
            ensure!(rows == SCANNED as u64, "a scan ended after {rows} rows");
            turn.count(rows);
        }
        Ok(())
    })
}

/// As the others, and again with the region in memory.
fn read_torrens(dir: &Path, rows: u64, time: Time, seed: u64) -> Result<Sample> {
    let store = Torrens::open(dir)?;
    let mut figures = read(&store, dir, rows, time, seed)?;
    let resident_before = resident_bytes()?;
    let begun = Instant::now();
    store.load()?;
    figures.insert(
        figure::LOAD.to_owned(),
        rows as f64 / begun.elapsed().as_secs_f64(),
    );
    figures.insert(figure::MEMORY.to_owned(), store.cached_bytes() as f64);
    let grown = resident_bytes()?.saturating_sub(resident_before);
    figures.insert(figure::RESIDENT.to_owned(), grown as f64);
    let row_bytes = stores::key(0).len() + size_of::<Value>();
    figures.insert(figure::LOGICAL.to_owned(), (rows * row_bytes as u64) as f64);
    let cached = gets(&store, dir, rows, time, seed)?;
    figures.insert(figure::CACHED_GET.to_owned(), cached.rate);
    let cached = scans(&store, dir, rows, time, seed)?;
    figures.insert(figure::CACHED_SCAN.to_owned(), cached.rate);
    store.evict()?;
    let store: Box<dyn Store> = Box::new(store);
    store.close()?;
    sample(figures, figure::GET)
}

/// Memory of this process that is in use, in bytes.
fn resident_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("cannot read memory use")?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .context("memory use has another form than expected")?;
    Ok(pages * rustix::param::page_size() as u64)
}
