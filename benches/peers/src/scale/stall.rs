//! Whether a checkpoint of many regions holds transitions up.
//!
//! Turns with and without follow each other in one process, so that whatever else the machine does falls on
//! both.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use hdrhistogram::Histogram;

use super::{grown, named};
use crate::engine::store::{self, Mix};
use crate::job::{Sample, figure};

/// Threads that make transitions and wait for each.
const THREADS: usize = 4;
/// How long a turn takes at least.
const TURN: Duration = Duration::from_millis(1_000);

/// What goes on.
mod phase {
    pub(super) const QUIET: u8 = 0;
    pub(super) const CHECKPOINT: u8 = 1;
    pub(super) const BETWEEN: u8 = 2;
    pub(super) const END: u8 = 3;
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|error| anyhow!("{error}"))
}

pub(super) fn carry(dir: &Path, regions: u64, turns: usize) -> Result<Sample> {
    let engine = store::open(dir)?;
    let phase = AtomicU8::new(phase::BETWEEN);
    let both = Mutex::new([histogram()?, histogram()?]);
    let (mut checkpoints, mut seconds) = (0_u32, 0.0);
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (engine, phase, both) = (&engine, &phase, &both);
                scope.spawn(move || -> Result<()> {
                    let mut mix = Mix::new(engine, regions, thread, THREADS)?;
                    let mut own = [histogram()?, histogram()?];
                    loop {
                        let before = phase.load(Ordering::Relaxed);
                        if before == phase::END {
                            break;
                        }
                        let begun = Instant::now();
                        store::carry_out(engine, mix.next())?;
                        let took = begun.elapsed();
                        // One that began in a turn belongs to it, however long it took.
                        if let Some(own) = own.get_mut(usize::from(before)) {
                            own.saturating_record(took.as_nanos() as u64);
                        }
                    }
                    let mut both = both.lock().unwrap_or_else(PoisonError::into_inner);
                    for (all, own) in both.iter_mut().zip(&own) {
                        all.add(own).map_err(|error| anyhow!("{error}"))?;
                    }
                    Ok(())
                })
            })
            .collect();
        let outcome = (|| -> Result<()> {
            std::thread::sleep(TURN);
            for _ in 0..turns {
                phase.store(phase::QUIET, Ordering::Relaxed);
                std::thread::sleep(TURN);
                phase.store(phase::CHECKPOINT, Ordering::Relaxed);
                let begun = Instant::now();
                while begun.elapsed() < TURN {
                    let one = Instant::now();
                    engine.checkpoint()?;
                    seconds += one.elapsed().as_secs_f64();
                    checkpoints += 1;
                }
                phase.store(phase::BETWEEN, Ordering::Relaxed);
                std::thread::sleep(TURN / 4);
            }
            Ok(())
        })();
        phase.store(phase::END, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        outcome
    })?;
    let [quiet, during] = both.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(
        quiet.len() > 1_000 && during.len() > 1_000,
        "too few transitions"
    );
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let p99 = |all: &Histogram<u64>| micros(all.value_at_quantile(0.99));
    let figures = [
        (named::STALL, p99(&during) / p99(&quiet)),
        (named::QUIET_P99_US, p99(&quiet)),
        (named::LONGEST_US, micros(during.max())),
        (figure::P99_US, p99(&during)),
        (figure::P50_US, micros(during.value_at_quantile(0.5))),
    ];
    Ok(grown::sample(f64::from(checkpoints) / seconds, &figures))
}
