//! Writes over random rows with nothing in memory: how many, by one thread and by several that each
//! have a region of their own, and how long one of them takes while barriers go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::BATCHES;
use super::stores::{self, Key, Store, Torrens, Value, Way};
use super::work::{figure, iterate, sample, value};
use crate::gauge::{self, Turn};
use crate::job::{Job, Sample, Time};
use crate::rng::Rng;

/// Time between two barriers, or two flushes of sled's, where there are any.
const BARRIER_INTERVAL: Duration = Duration::from_millis(50);
/// Longer than any run.
const NEVER: Duration = Duration::from_secs(3600);

/// Batches of each size.
pub(super) fn rates(job: &Job, rows: u64, threads: usize, time: Time) -> Result<Sample> {
    let store = stores::open(&job.peer, &job.setting, &job.dir)?;
    iterate(&*store, rows)?;
    if threads > 1 {
        store.divide(threads)?;
    }
    let mut figures = BTreeMap::new();
    for per_batch in BATCHES {
        let written = gauge::measure(&job.dir, threads, time, |turn: &mut Turn<'_>| {
            let (part, seed) = (turn.thread, job.seed ^ *per_batch as u64);
            let mut rows = Rows::new(rows, threads, part, seed);
            while turn.goes_on() {
                store.write_part(part, &rows.batch(*per_batch))?;
                turn.count(*per_batch as u64);
            }
            Ok(())
        })?;
        figures.insert(figure::of_batch(figure::WRITE, *per_batch), written.rate);
    }
    store.close()?;
    sample(figures, &figure::of_batch(figure::WRITE, 1))
}

/// One row after the other by one thread, each timed, with barriers as the setting says.
pub(super) fn latencies(job: &Job, rows: u64, time: Time) -> Result<Sample> {
    let flushing = AtomicBool::new(job.setting == "flush");
    let (store, sled): (Box<dyn Store>, _) = match (job.peer.as_str(), job.setting.as_str()) {
        ("torrens", "barriers") => {
            let store = Torrens::open_with(&job.dir, Some(BARRIER_INTERVAL))?;
            (Box::new(store), None)
        }
        ("torrens", "no_barriers") => {
            let store = Torrens::open_with(&job.dir, Some(NEVER))?;
            (Box::new(store), None)
        }
        ("sled", "flush") => {
            let store = stores::open_sled(&job.dir, Way::Insert)?;
            let database = store.database().clone();
            (Box::new(store), Some(database))
        }
        (peer, setting) => bail!("{peer} is not timed with {setting}"),
    };
    iterate(&*store, rows)?;
    let outcome = std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            while flushing.load(Ordering::Relaxed) {
                std::thread::sleep(BARRIER_INTERVAL);
                if let Some(sled) = &sled {
                    sled.flush()?;
                }
            }
            Ok::<_, sled::Error>(())
        });
        let timed = gauge::measure(&job.dir, 1, time, |turn: &mut Turn<'_>| {
            let mut rows = Rows::new(rows, 1, 0, job.seed);
            while turn.goes_on() {
                let batch = rows.batch(1);
                turn.timed(|| store.write(&batch))?;
            }
            Ok(())
        });
        flushing.store(false, Ordering::Relaxed);
        let flushed = flusher.join();
        ensure!(matches!(flushed, Ok(Ok(()))), "sled did not flush");
        timed
    });
    let timed = outcome?;
    drop(sled);
    store.close()?;
    Ok(timed)
}

/// Random rows of one part of the table.
struct Rows {
    all: u64,
    parts: usize,
    part: usize,
    rng: Rng,
}

impl Rows {
    fn new(all: u64, parts: usize, part: usize, seed: u64) -> Rows {
        // The same rows for each store, others for each thread.
        let rng = Rng::new(seed ^ (part as u64) << 32);
        Rows {
            all,
            parts,
            part,
            rng,
        }
    }

    fn batch(&mut self, rows: usize) -> Vec<(Key, Value)> {
        let row = |_| {
            let mut key = stores::key(self.rng.next() % self.all);
            while stores::part_of(&key, self.parts) != self.part {
                key = stores::key(self.rng.next() % self.all);
            }
            (key, value(&mut self.rng))
        };
        (0..rows).map(row).collect()
    }
}
