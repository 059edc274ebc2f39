//! What a store of many regions takes: opening, looking up, splitting, checkpoints, and the journal's files.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use torrens::{Derive, Engine, Key, NewRegion, Peer, PeerId, RegionId, Split, Submission};

use super::named;
use crate::engine::store::{self, Mix, STORE, accepted, position};
use crate::job::{Job, Sample, Time, figure};
use crate::place;
use crate::rng::Rng;

/// Splits in flight, by ticket.
pub(super) const IN_FLIGHT: usize = 1_024;
/// The size of a segment, so that the journal's can be counted.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Ids of the regions that are split off, above all others.
const NEW: u64 = 1 << 33;

/// Bytes of this process that lie in memory.
pub(super) fn resident_bytes() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).context("a second field")?;
    Ok(pages.parse::<f64>()? * rustix::param::page_size() as f64)
}

pub(super) fn sample(rate: f64, figures: &[(&str, f64)]) -> Sample {
    let figures = figures.iter();
    Sample {
        rate,
        figures: figures
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect::<BTreeMap<_, _>>(),
        ..Sample::default()
    }
}

pub(super) fn fill(dir: &Path, regions: u64) -> Result<Sample> {
    let engine = store::create(dir, regions)?;
    engine.checkpoint()?;
    engine.close()?;
    Ok(Sample::default())
}

pub(super) fn open(dir: &Path, regions: u64) -> Result<Sample> {
    let before = resident_bytes()?;
    let begun = Instant::now();
    let engine = store::open(dir)?;
    let seconds = begun.elapsed().as_secs_f64();
    let resident = resident_bytes()? - before;
    let found = engine.register().region_ids().count() as u64;
    ensure!(found == regions, "{found} regions instead of {regions}");
    let figures = [
        (figure::SECONDS, seconds),
        (figure::RESIDENT_BYTES, resident / regions as f64),
    ];
    Ok(sample(regions as f64 / seconds, &figures))
}

pub(super) fn lookup(job: &Job, regions: u64, time: Time) -> Result<Sample> {
    let engine = store::open(&job.dir)?;
    let mut rng = Rng::new(job.seed);
    let mut find = || -> Result<()> {
        let n = 1 + rng.below(usize::try_from(regions)?) as u64;
        let key = store::row_key(n, rng.next() % (1 << 20));
        let status = black_box(engine.region_for(&key));
        ensure!(
            status.is_some_and(|status| status.id.0 == n),
            "another region than {n}"
        );
        Ok(())
    };
    let begun = Instant::now();
    while begun.elapsed() < time.warm_up {
        find()?;
    }
    let (begun, mut found) = (Instant::now(), 0_u64);
    while begun.elapsed() < time.measured {
        for _ in 0..64 {
            find()?;
        }
        found += 64;
    }
    Ok(sample(found as f64 / begun.elapsed().as_secs_f64(), &[]))
}

/// Splits of random regions, each at a key of its own.
struct Splitter<'a> {
    engine: &'a Engine,
    rng: Rng,
    regions: u64,
    made: u64,
}

impl Splitter<'_> {
    fn next(&mut self) -> Result<Split> {
        let n = 1 + self.rng.below(usize::try_from(self.regions)?) as u64;
        let status = self.engine.region(RegionId(n)).context("it was made")?;
        let region = status.region.context("it has a description")?;
        self.made += 1;
        // Nearer to the region's beginning each time, so that what is left of it always has the key.
        let row = (1 << 19) - self.made % (1 << 19);
        let key = match n {
            1 => store::row_key(1, row.min(1 << 18)),
            n => store::row_key(n, row),
        };
        let id = NEW + self.made;
        let peer = |store| Peer::voter(PeerId(id * 4 + store), torrens::StoreId(store));
        let meta = status.meta.map_or(5, |meta| meta.index);
        Ok(Split {
            region: RegionId(n),
            incarnation: None,
            epoch: region.epoch,
            position: position(meta + 1),
            boundaries: vec![Key::from(key.as_slice())],
            children: vec![NewRegion {
                id: RegionId(id),
                peers: (STORE.0..STORE.0 + 3).map(peer).collect(),
            }],
            derive: Derive::Left,
        })
    }
}

pub(super) fn split(job: &Job, regions: u64, in_flight: usize, time: Time) -> Result<Sample> {
    let engine = store::open(&job.dir)?;
    let mut splitter = Splitter {
        engine: &engine,
        rng: Rng::new(job.seed),
        regions,
        made: 0,
    };
    let mut tickets: VecDeque<torrens::TransitionTicket> = VecDeque::new();
    let (mut done, mut refused) = (0_u64, 0_u64);
    let begun = Instant::now();
    let mut measured: Option<(Instant, u64)> = None;
    loop {
        let now = begun.elapsed();
        if measured.is_none() && now >= time.warm_up {
            measured = Some((Instant::now(), done));
        }
        if now >= time.warm_up + time.measured {
            break;
        }
        let split = splitter.next()?;
        if in_flight == 1 {
            accepted(&engine.split(split)?)?;
            done += 1;
            continue;
        }
        tickets.push_back(engine.submit(Submission::Split(split))?);
        if tickets.len() == in_flight
            && let Some(first) = tickets.pop_front()
        {
            // A region that was chosen again before its last split was seen is refused.
            match first.wait()?.lsn() {
                Some(_) => done += 1,
                None => refused += 1,
            }
        }
    }
    let (since, before) = measured.context("it was measured")?;
    let seconds = since.elapsed().as_secs_f64();
    for ticket in tickets {
        let _ = ticket.wait()?;
    }
    let counted = done - before;
    ensure!(
        counted > refused,
        "{refused} splits were refused, {counted} not"
    );
    Ok(sample(counted as f64 / seconds, &[]))
}

pub(super) fn checkpoint(dir: &Path, regions: u64) -> Result<Sample> {
    let engine = store::open(dir)?;
    let mut mix = Mix::new(&engine, 1_000, 0, 1)?;
    // A checkpoint at the same position would be none.
    store::carry_out(&engine, mix.next())?;
    let begun = Instant::now();
    engine.checkpoint()?;
    let seconds = begun.elapsed().as_secs_f64();
    let folder = dir.join("store").join("checkpoints");
    let newest = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .max();
    let bytes = newest.context("there is a checkpoint")? as f64;
    let figures = [
        (figure::SECONDS, seconds),
        (named::CHECKPOINT_BYTES, bytes / regions as f64),
    ];
    Ok(sample(regions as f64 / seconds, &figures))
}

pub(super) fn retention(dir: &Path, transitions: u64) -> Result<Sample> {
    let options = Engine::options().store(STORE).segment_bytes(SEGMENT_BYTES);
    let (engine, _) = options.open(dir.join("store"))?;
    store::fill(&engine, 1_000)?;
    let mut mix = Mix::new(&engine, 1_000, 0, 1)?;
    let mut tickets = VecDeque::new();
    let journal = dir.join("store").join("journal");
    let mut most = 0;
    let begun = Instant::now();
    for made in 0..transitions {
        tickets.push_back(engine.submit(mix.next())?);
        if tickets.len() == 4_096
            && let Some(first) = tickets.pop_front()
        {
            accepted(&first.wait()?)?;
        }
        if made.is_multiple_of(20_000) {
            most = most.max(place::disk_bytes(&journal)?);
        }
    }
    for ticket in tickets {
        accepted(&ticket.wait()?)?;
    }
    most = most.max(place::disk_bytes(&journal)?);
    let seconds = begun.elapsed().as_secs_f64();
    let segments = most as f64 / SEGMENT_BYTES as f64;
    Ok(sample(
        transitions as f64 / seconds,
        &[(named::SEGMENTS, segments)],
    ))
}
