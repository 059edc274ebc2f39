//! Carries out one run of the suite, in the process that was started for it.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use torrens::{Derive, Key, NewRegion, Peer, PeerId, RegionId, Split, StoreId, WriteBatch};
use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{Durability, Journal, JournalOptions, NewRecord, RecordKind, StoreUuid};

use super::store::{self, Mix, accepted, carry_out, position};
use crate::gauge::{self, Turn};
use crate::job::{EngineWork, Job, Sample, Time, figure};
use crate::proto;
use crate::rng::Rng;

/// Regions of the stores in which transitions are measured.
const REGIONS: u64 = 10_000;
/// Transitions in flight, by ticket.
const IN_FLIGHT: usize = 4_096;
/// Lookups that are counted at once.
const LOOKUPS_PER_COUNT: u64 = 64;
/// Between two splits beside lookups.
const SPLIT_PAUSE: Duration = Duration::from_micros(200);

/// Carries out `work` here and now.
pub(crate) fn carry(job: &Job, work: &EngineWork) -> Result<Sample> {
    let dir = &job.dir;
    match *work {
        EngineWork::Transitions { threads, time } => {
            let engine = store::create(dir, REGIONS)?;
            gauge::measure(dir, threads, time, |turn: &mut Turn<'_>| {
                let mut mix = Mix::new(&engine, REGIONS, turn.thread, threads)?;
                while turn.goes_on() {
                    let next = mix.next();
                    turn.timed(|| carry_out(&engine, next))?;
                }
                Ok(())
            })
        }
        EngineWork::Submissions { time } => {
            let engine = store::create(dir, REGIONS)?;
            gauge::measure(dir, 1, time, |turn: &mut Turn<'_>| {
                let mut mix = Mix::new(&engine, REGIONS, 0, 1)?;
                let mut open = VecDeque::new();
                while turn.goes_on() {
                    open.push_back(engine.submit(mix.next())?);
                    if open.len() > IN_FLIGHT
                        && let Some(oldest) = open.pop_front()
                    {
                        accepted(&oldest.wait()?)?;
                        turn.count(1);
                    }
                }
                open.into_iter()
                    .try_for_each(|ticket| accepted(&ticket.wait()?))
            })
        }
        EngineWork::Appends { threads, time } => {
            let journal = journal(job)?;
            let payloads = store::payloads();
            gauge::measure(dir, threads, time, |turn: &mut Turn<'_>| {
                for payload in payloads.iter().cycle() {
                    if !turn.goes_on() {
                        break;
                    }
                    turn.timed(|| {
                        journal.commit(&[record(payload)], Durability::Durable)?;
                        Ok(())
                    })?;
                }
                Ok(())
            })
        }
        EngineWork::Tickets { time } => {
            let journal = journal(job)?;
            let payloads = store::payloads();
            gauge::measure(dir, 1, time, |turn: &mut Turn<'_>| {
                let mut open = VecDeque::new();
                for payload in payloads.iter().cycle() {
                    if !turn.goes_on() {
                        break;
                    }
                    open.push_back(journal.submit(&[record(payload)], Durability::Durable)?);
                    if open.len() > IN_FLIGHT
                        && let Some(oldest) = open.pop_front()
                    {
                        oldest.wait()?;
                        turn.count(1);
                    }
                }
                Ok(())
            })
        }
        EngineWork::SplitDirty { parts, time } => split_dirty(job, parts, time),
        EngineWork::Bytes => bytes(job),
        EngineWork::Fill { regions } => fill(job, regions),
        EngineWork::Open { regions } => open(job, regions),
        EngineWork::Route { regions, map, time } => match map {
            false => route(job, regions, time),
            true => route_in_map(job, regions, time),
        },
    }
}

fn journal(job: &Job) -> Result<Journal> {
    let disk = std::sync::Arc::new(RealDisk::new());
    let lock = Disk::lock(&*disk, &job.dir.join("LOCK"))?;
    let options = JournalOptions::new();
    let journal = Journal::create(disk, &job.dir.join("journal"), StoreUuid([7; 16]), options)?;
    Ok(journal.holding(lock))
}

fn record(payload: &[u8]) -> NewRecord<'_> {
    NewRecord {
        kind: RecordKind::new(1),
        tag: 0,
        payload,
    }
}

/// Each turn writes a row into the first region and splits it there; or does the write, a barrier and a
/// transition without one.
fn split_dirty(job: &Job, parts: bool, time: Time) -> Result<Sample> {
    let engine = store::create(&job.dir, 2)?;
    gauge::measure(&job.dir, 1, time, |turn: &mut Turn<'_>| {
        let region = RegionId(2);
        let mut index = 10;
        let mut next = 1_000_000;
        while turn.goes_on() {
            let status = engine.region(region).context("it was made")?;
            let epoch = status.region.context("it has a description")?.epoch;
            next -= 1;
            let key = store::key(next);
            let mut batch = WriteBatch::new();
            batch.put(key.as_slice(), b"row".as_slice());
            index += 2;
            turn.timed(|| {
                let written = engine.write(region, epoch, position(index), &batch)?;
                ensure!(
                    matches!(written, torrens::WriteAnswer::Applied { .. }),
                    "{written:?}"
                );
                let at = position(index + 1);
                let learner = Peer::learner(PeerId(u64::from(u32::MAX)), StoreId(9));
                accepted(&if parts {
                    engine.flush()?;
                    let change = match next % 2 {
                        1 => torrens::PeerChange::Add { peer: learner },
                        _ => torrens::PeerChange::Remove { peer: learner.id },
                    };
                    engine.change_peers(region, epoch, at, change)?
                } else {
                    let peer = |store| Peer::voter(PeerId(next * 4 + store), StoreId(store));
                    engine.split(Split {
                        region,
                        incarnation: None,
                        epoch,
                        position: at,
                        boundaries: vec![Key::from(key.as_slice())],
                        children: vec![NewRegion {
                            id: RegionId(next),
                            peers: (1..=3).map(peer).collect(),
                        }],
                        derive: Derive::Left,
                    })?
                })
            })?;
        }
        Ok(())
    })
}

/// Counts what the mix takes in the journal, with 256 transitions in flight.
fn bytes(job: &Job) -> Result<Sample> {
    const TRANSITIONS: u64 = 40_000;
    let engine = store::create(&job.dir, REGIONS)?;
    let mut mix = Mix::new(&engine, REGIONS, 0, 1)?;
    let region = engine
        .region(RegionId(5_000))
        .and_then(|status| status.region);
    let protobuf = proto::local_state(&*region.context("it was made")?).len() as f64;
    let before = engine.journal_stats();
    let mut open = VecDeque::new();
    let mut sample = gauge::once(TRANSITIONS, || {
        for _ in 0..TRANSITIONS {
            open.push_back(engine.submit(mix.next())?);
            if open.len() > 256
                && let Some(oldest) = open.pop_front()
            {
                accepted(&oldest.wait()?)?;
            }
        }
        open.drain(..)
            .try_for_each(|ticket| accepted(&ticket.wait()?))
    })?;
    let after = engine.journal_stats();
    let transitions = (after.appended_records - before.appended_records) as f64;
    let padding = (after.padding_bytes - before.padding_bytes) as f64;
    let stored = (after.stored_bytes - before.stored_bytes) as f64;
    let each = (stored - padding) / transitions;
    let syncs = (after.syncs - before.syncs) as f64;
    for (name, value) in [
        (figure::RECORD_BYTES, each),
        (figure::PROTOBUF_BYTES, protobuf),
        (figure::BYTES_OVER_PROTOBUF, each / protobuf),
        (figure::PADDING_BYTES_PER_SYNC, padding / syncs),
    ] {
        sample.figures.insert(name.to_owned(), value);
    }
    Ok(sample)
}

/// A store with so many regions in its checkpoint, and as many records behind it.
fn fill(job: &Job, regions: u64) -> Result<Sample> {
    let engine = store::create(&job.dir, regions)?;
    engine.checkpoint()?;
    let sample = gauge::once(regions, || {
        let mut open = VecDeque::new();
        let mut mix = Mix::new(&engine, regions, 0, 1)?;
        for _ in 0..regions {
            open.push_back(engine.submit(mix.next())?);
            if open.len() > 65_536
                && let Some(oldest) = open.pop_front()
            {
                accepted(&oldest.wait()?)?;
            }
        }
        open.drain(..)
            .try_for_each(|ticket| accepted(&ticket.wait()?))
    })?;
    engine.close()?;
    Ok(sample)
}

/// Bytes of this process that lie in memory.
fn resident_bytes() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split_whitespace()
        .nth(1)
        .context("statm has a second field")?;
    Ok(pages.parse::<f64>()? * rustix::param::page_size() as f64)
}

fn open(job: &Job, regions: u64) -> Result<Sample> {
    let before = resident_bytes()?;
    let started = Instant::now();
    let mut engine = None;
    let mut sample = gauge::once(regions, || {
        engine = Some(store::open(&job.dir)?);
        Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let resident = resident_bytes()? - before;
    let engine = engine.context("it was opened")?;
    let found = engine
        .register()
        .region_ids()
        .take_while(|id| id.0 <= regions)
        .count() as u64;
    ensure!(found == regions, "{found} regions instead of {regions}");
    let replayed = engine.report().recovery.records_replayed;
    ensure!(replayed >= regions, "{replayed} records were replayed");
    for (name, value) in [
        (figure::SECONDS, seconds),
        (figure::RESIDENT_BYTES, resident / regions as f64),
    ] {
        sample.figures.insert(name.to_owned(), value);
    }
    Ok(sample)
}

fn lookups(
    seed: u64,
    regions: u64,
    turn: &mut Turn<'_>,
    find: impl Fn(&[u8]) -> Option<u64>,
) -> Result<()> {
    let mut rng = Rng::new(seed ^ turn.thread as u64);
    while turn.goes_on() {
        for _ in 0..LOOKUPS_PER_COUNT {
            let n = 1 + rng.below(regions as usize) as u64;
            let key = store::row_key(n, rng.next() % (1 << 20));
            let found = black_box(find(&key));
            ensure!(found.is_some(), "nobody has the key of region {n}");
        }
        turn.count(LOOKUPS_PER_COUNT);
    }
    Ok(())
}

/// Splits regions in the middle, one after the other, until the readers are done.
fn route(job: &Job, regions: u64, time: Time) -> Result<Sample> {
    let engine = store::open(&job.dir)?;
    gauge::measure(&job.dir, 3, time, |turn: &mut Turn<'_>| {
        if turn.thread < 2 {
            return lookups(job.seed, regions, turn, |key| {
                engine.route(key).map(|id| id.0)
            });
        }
        let mut rng = Rng::new(job.seed);
        let mut new = regions + 1;
        while turn.goes_on() {
            let n = 1 + rng.below(regions as usize) as u64;
            let status = engine.region(RegionId(n)).context("it was made")?;
            let region = status.region.context("it has a description")?;
            let middle = store::row_key(n, 1 << 19);
            if !region.range.contains(&middle) || **region.range.start() == middle {
                continue;
            }
            let peer = |peer: &Peer| Peer {
                id: PeerId((1 << 40) + new * 16 + peer.store.0),
                ..*peer
            };
            let answer = engine.split(Split {
                region: RegionId(n),
                incarnation: None,
                epoch: region.epoch,
                position: position(status.meta.map_or(5, |meta| meta.index) + 1),
                boundaries: vec![Key::from(middle.as_slice())],
                children: vec![NewRegion {
                    id: RegionId(new),
                    peers: region.peers.iter().map(peer).collect(),
                }],
                derive: Derive::Left,
            })?;
            accepted(&answer)?;
            new += 1;
            std::thread::sleep(SPLIT_PAUSE);
        }
        Ok(())
    })
}

/// The same in a map of starts to ends and ids, behind one lock.
fn route_in_map(job: &Job, regions: u64, time: Time) -> Result<Sample> {
    let end = |n: u64| (n < regions).then(|| store::key(n + 1).to_vec());
    let start = |n: u64| {
        if n == 1 {
            Vec::new()
        } else {
            store::key(n).to_vec()
        }
    };
    let all = (1..=regions).map(|n| (start(n), (end(n), n)));
    let map: BTreeMap<Vec<u8>, (Option<Vec<u8>>, u64)> = all.collect();
    let map = RwLock::new(map);
    gauge::measure(&job.dir, 3, time, |turn: &mut Turn<'_>| {
        if turn.thread < 2 {
            return lookups(job.seed, regions, turn, |key| {
                let map = map.read().unwrap_or_else(PoisonError::into_inner);
                let upto = (Bound::Unbounded, Bound::Included(key));
                let (_, (end, id)) = map.range::<[u8], _>(upto).next_back()?;
                end.as_ref().is_none_or(|end| key < &**end).then_some(*id)
            });
        }
        let mut rng = Rng::new(job.seed);
        let mut new = regions + 1;
        while turn.goes_on() {
            let n = 1 + rng.below(regions as usize) as u64;
            let middle = store::row_key(n, 1 << 19).to_vec();
            let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
            if let Some((end, _)) = map.get_mut(&start(n))
                && end.as_ref() != Some(&middle)
            {
                let end = end.replace(middle.clone());
                map.insert(middle, (end, new));
                new += 1;
            }
            drop(map);
            std::thread::sleep(SPLIT_PAUSE);
        }
        Ok(())
    })
}
