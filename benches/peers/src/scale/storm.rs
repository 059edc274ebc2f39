//! Many regions are asked for at once, or sent away at once; and a restart that brings them back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use torrens::{CacheSettings, CacheState, Engine, RegionId, WriteAnswer, WriteBatch};

use super::grown;
use crate::engine::store::{self, STORE, accepted, position};
use crate::job::{Sample, figure};

/// Rows of a region.
const ROWS: u64 = 8;
const VALUE_BYTES: usize = 64;
/// How long any of it may take.
const LONGEST: Duration = Duration::from_secs(300);

fn open(dir: &Path) -> Result<Engine> {
    // Nothing is loaded or evicted but what is asked for.
    let settings = CacheSettings {
        capacity_bytes: 8 << 30,
        automatic: false,
        ..CacheSettings::default()
    };
    let options = Engine::options().store(STORE).cache(settings);
    Ok(options.open(dir.join("store"))?.0)
}

/// A store of so many regions with a few rows each.
fn create(dir: &Path, regions: u64) -> Result<Engine> {
    let engine = open(dir)?;
    store::fill(&engine, regions)?;
    for n in 1..=regions {
        let status = engine.region(RegionId(n)).context("it was made")?;
        let epoch = status.region.context("it has a description")?.epoch;
        let mut batch = WriteBatch::new();
        for row in 0..ROWS {
            batch.put(
                store::row_key(n, row).as_slice(),
                [0x5a; VALUE_BYTES].as_slice(),
            );
        }
        let index = status.meta.map_or(5, |meta| meta.index) + 1;
        let answer = engine.write(RegionId(n), epoch, position(index), &batch)?;
        ensure!(matches!(answer, WriteAnswer::Applied { .. }), "{answer:?}");
    }
    engine.flush()?;
    Ok(engine)
}

fn in_state(engine: &Engine, state: CacheState) -> u64 {
    let register = engine.register();
    let states = register
        .region_ids()
        .map(|region| register.cache_state(region));
    states.filter(|each| *each == state).count() as u64
}

/// Waits until so many regions are in that state.
fn wait_for(engine: &Engine, state: CacheState, regions: u64) -> Result<()> {
    let begun = Instant::now();
    loop {
        engine.wait_idle()?;
        let found = in_state(engine, state);
        if found >= regions {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < LONGEST,
            "{found} of {regions} are {state:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn load_all(engine: &Engine, regions: u64) -> Result<()> {
    for n in 1..=regions {
        let status = engine.region(RegionId(n)).context("it was made")?;
        let epoch = status.region.context("it has a description")?.epoch;
        accepted(&engine.load(RegionId(n), epoch)?)?;
    }
    Ok(())
}

pub(super) fn carry(dir: &Path, regions: u64, is_load: bool) -> Result<Sample> {
    let engine = create(dir, regions)?;
    let begun = Instant::now();
    load_all(&engine, regions)?;
    wait_for(&engine, CacheState::Active, regions)?;
    let mut seconds = begun.elapsed().as_secs_f64();
    if !is_load {
        let begun = Instant::now();
        for n in 1..=regions {
            accepted(&engine.evict(RegionId(n))?)?;
        }
        wait_for(&engine, CacheState::Absent, regions)?;
        seconds = begun.elapsed().as_secs_f64();
    }
    Ok(grown::sample(
        regions as f64 / seconds,
        &[(figure::SECONDS, seconds)],
    ))
}

pub(super) fn restart(dir: &Path, regions: u64) -> Result<Sample> {
    let engine = create(dir, regions)?;
    load_all(&engine, regions)?;
    wait_for(&engine, CacheState::Active, regions)?;
    engine.close()?;
    let begun = Instant::now();
    let engine = open(dir)?;
    wait_for(&engine, CacheState::Active, regions)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(grown::sample(
        regions as f64 / seconds,
        &[(figure::SECONDS, seconds)],
    ))
}
