//! What one consumer costs one writer.
//!
//! One engine, one region, three kinds of turns again and again: nothing is kept; the history is kept and
//! nobody reads it; it is kept and a consumer is told. So all kinds see the same store at the same age.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use torrens::StartFrom;
use torrens::engine::ObserveOptions;

use super::named;
use super::store::{self, Writer};
use crate::engine::store as stores;
use crate::gauge::cpu::cpu_seconds;
use crate::job::{Sample, figure};
use crate::stats;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Plain,
    Kept,
    Fed,
}

pub(super) fn carry(dir: &Path, in_memory: bool, turn: Duration, turns: usize) -> Result<Sample> {
    let engine = match in_memory {
        true => store::open_in_memory(dir)?,
        false => stores::open(dir)?,
    };
    stores::fill(&engine, 1)?;
    store::lead(&engine, 1, 6)?;
    let mut writer = Writer::new(&engine, 1)?;
    let orders = [
        [Kind::Plain, Kind::Kept, Kind::Fed],
        [Kind::Fed, Kind::Plain, Kind::Kept],
        [Kind::Kept, Kind::Fed, Kind::Plain],
    ];
    let mut rates = BTreeMap::<Kind, Vec<Option<f64>>>::new();
    let mut cpu = 0.0;
    // The first is for warming up.
    for (at, order) in orders.iter().cycle().take(turns + 1).enumerate() {
        for kind in order {
            store::keep_all(&engine, *kind == Kind::Kept)?;
            engine.retain_history()?;
            engine.wait_idle()?;
            let (rate, cpu_us) = match kind {
                Kind::Plain | Kind::Kept => write(&engine, &mut writer, turn)?,
                Kind::Fed => fed(&engine, &mut writer, turn)?,
            };
            if at > 0 {
                rates.entry(*kind).or_default().push(Some(rate));
                cpu = if *kind == Kind::Fed { cpu_us } else { cpu };
            }
        }
    }
    let of = |kind| rates.get(&kind).context("it had turns");
    let (plain, kept, fed) = (of(Kind::Plain)?, of(Kind::Kept)?, of(Kind::Fed)?);
    let mut sample = Sample {
        rate: stats::median(fed.iter().copied().flatten()).unwrap_or(0.0),
        ..Sample::default()
    };
    for (name, value) in [
        (named::FED_OVER_KEPT, stats::ratio(fed, kept)),
        (named::KEPT_OVER_PLAIN, stats::ratio(kept, plain)),
        (named::WRITES, Some(sample.rate)),
        (figure::CPU_US, Some(cpu)),
    ] {
        let value = value.context("every kind had turns")?;
        sample.figures.insert(name.to_owned(), value);
    }
    Ok(sample)
}

/// One turn: writes a second, and processor time of the process per write in microseconds.
fn write(engine: &torrens::Engine, writer: &mut Writer, turn: Duration) -> Result<(f64, f64)> {
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let mut done = 0_u64;
    while begun.elapsed() < turn {
        for _ in 0..16 {
            writer.write(engine, 1)?;
        }
        done += 16;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    Ok((rate, (cpu_seconds() - cpu) * 1e6 / done as f64))
}

/// A turn in which a consumer is told.
fn fed(engine: &torrens::Engine, writer: &mut Writer, turn: Duration) -> Result<(f64, f64)> {
    let observer = store::add(engine, "consumer", StartFrom::Now)?;
    engine.wait_idle()?;
    let mut feed = engine.observe(observer, ObserveOptions::default())?;
    let end = AtomicU64::new(u64::MAX);
    let wrote = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            store::consume(engine, &mut feed, |_, last| {
                last >= end.load(Ordering::Relaxed)
            })
        });
        let wrote = write(engine, writer, turn);
        end.store(writer.index(), Ordering::Relaxed);
        let consumed = consumer.join().ok().context("the consumer lives")?;
        consumed?;
        wrote
    })?;
    drop(feed);
    let _ = engine.remove_observer(observer)?;
    Ok(wrote)
}
