//! What a region in memory costs those who write to it.
//!
//! One engine, split in the middle: one half is in memory, the other is not, and they are written to
//! in turns. Then the halves change places. So both kinds of turns see the same store at the same
//! age, and whatever slows the machine slows both.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::BATCHES;
use super::stores::{self, Half, Key, Torrens, Value};
use super::work::{figure, sample, value};
use crate::gauge::cpu::cpu_seconds;
use crate::job::{Job, Sample};
use crate::rng::Rng;

/// Turns of each kind, for each size of a batch, in each place.
const TURNS: usize = 3;

/// What was done in the turns of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    rows: u64,
    seconds: f64,
    cpu_seconds: f64,
}

pub(super) fn carry_out(job: &Job, rows: u64, turn: Duration) -> Result<Sample> {
    let store = Torrens::open(&job.dir)?;
    store.split()?;
    let mut done = BTreeMap::<(usize, bool), Done>::new();
    for in_memory in [Half::Lower, Half::Upper] {
        store.load_half(in_memory)?;
        for per_batch in BATCHES {
            for round in 0..TURNS {
                let mut kinds = [(in_memory, true), (in_memory.other(), false)];
                if round % 2 == 1 {
                    kinds.reverse();
                }
                for (half, cached) in kinds {
                    let one = write(
                        &store,
                        half,
                        *per_batch,
                        rows,
                        turn,
                        job.seed ^ round as u64,
                    )?;
                    let sum = done.entry((*per_batch, cached)).or_default();
                    sum.rows += one.rows;
                    sum.seconds += one.seconds;
                    sum.cpu_seconds += one.cpu_seconds;
                }
            }
        }
        store.evict_half(in_memory)?;
    }
    let mut figures = BTreeMap::new();
    for ((per_batch, cached), done) in done {
        let (rate, cpu) = match cached {
            true => (figure::CACHED_WRITE, figure::CACHED_WRITE_CPU),
            false => (figure::UNCACHED_WRITE, figure::UNCACHED_WRITE_CPU),
        };
        let rows = done.rows as f64;
        figures.insert(figure::of_batch(rate, per_batch), rows / done.seconds);
        figures.insert(
            figure::of_batch(cpu, per_batch),
            done.cpu_seconds * 1e6 / rows,
        );
    }
    sample(figures, &figure::of_batch(figure::CACHED_WRITE, 1))
}

/// One turn. What goes on behind the writes counts as far as it slows them; what is left of it when
/// they end is waited for, and is part of the processor time alone.
fn write(
    store: &Torrens,
    half: Half,
    per_batch: usize,
    rows: u64,
    turn: Duration,
    seed: u64,
) -> Result<Done> {
    let mut rng = Rng::new(seed);
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let mut done = Done::default();
    while begun.elapsed() < turn {
        let row = |_| {
            let mut key = stores::key(rng.next() % rows);
            while !half.has(&key) {
                key = stores::key(rng.next() % rows);
            }
            (key, value(&mut rng))
        };
        let batch: Vec<(Key, Value)> = (0..per_batch).map(row).collect();
        store.write_half(half, &batch)?;
        done.rows += per_batch as u64;
    }
    done.seconds = begun.elapsed().as_secs_f64();
    store.wait_idle()?;
    done.cpu_seconds = cpu_seconds() - cpu;
    Ok(done)
}
