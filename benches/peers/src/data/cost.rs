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
use crate::stats;

/// Pairs of turns that count, for each size of a batch, in each place; an even number, since every
/// second pair is taken in the other order.
const PAIRS: usize = 8;

/// One turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Rows a second.
    rate: f64,
    /// Microseconds a row.
    cpu: f64,
}

pub(super) fn carry_out(job: &Job, rows: u64, turn: Duration) -> Result<Sample> {
    let store = Torrens::open(&job.dir)?;
    store.split()?;
    let mut pairs = BTreeMap::<usize, Vec<(Turn, Turn)>>::new();
    for in_memory in [Half::Lower, Half::Upper] {
        store.load_half(in_memory)?;
        for per_batch in BATCHES {
            let write = |half, pair| {
                let seed = job.seed ^ pair as u64;
                write(&store, half, *per_batch, rows, turn, seed)
            };
            // The first pair is for warming up.
            for pair in 0..=PAIRS {
                let (cached, uncached) = if pair % 2 == 0 {
                    let cached = write(in_memory, pair)?;
                    (cached, write(in_memory.other(), pair)?)
                } else {
                    let uncached = write(in_memory.other(), pair)?;
                    (write(in_memory, pair)?, uncached)
                };
                if pair > 0 {
                    let of_size = pairs.entry(*per_batch).or_default();
                    of_size.push((cached, uncached));
                }
            }
        }
        store.evict_half(in_memory)?;
    }
    let mut figures = BTreeMap::new();
    for (per_batch, pairs) in pairs {
        let mut put = |name: &str, of: fn(&(Turn, Turn)) -> f64| {
            if let Some(median) = stats::median(pairs.iter().map(of)) {
                figures.insert(figure::of_batch(name, per_batch), median);
            }
        };
        put(figure::CACHED_WRITE, |(cached, _)| cached.rate);
        put(figure::UNCACHED_WRITE, |(_, uncached)| uncached.rate);
        put(figure::WRITE_COST, |(cached, uncached)| {
            uncached.rate / cached.rate
        });
        put(figure::CACHED_WRITE_CPU, |(cached, _)| cached.cpu);
        put(figure::UNCACHED_WRITE_CPU, |(_, uncached)| uncached.cpu);
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
) -> Result<Turn> {
    let mut rng = Rng::new(seed);
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let mut done = 0;
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
        done += per_batch as u64;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    store.wait_idle()?;
    let cpu = (cpu_seconds() - cpu) * 1e6 / done as f64;
    Ok(Turn { rate, cpu })
}
