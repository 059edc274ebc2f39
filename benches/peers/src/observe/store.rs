//! Stores that are observed: rows of a hundred bytes, leadership, observers, and a consumer that only counts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use torrens::engine::{Ack, AckAnswer, Subscription};
use torrens::observe::{FeedItem, HistorySettings};
use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{
    AddedObserver, Engine, KeyRange, LeadershipRole, ObserverId, ObserverName, ObserverPolicy,
    RegionEpoch, RegionId, StartFrom, WriteAnswer, WriteBatch,
};

use crate::engine::store::{self, position};

/// Bytes of a value; the key takes 19 more.
pub(super) const VALUE_BYTES: usize = 100;

/// A store whose data store is in memory; the journals are on the disk as always.
pub(super) fn open_in_memory(dir: &Path) -> Result<Engine> {
    let data = MemoryFactory::new(MemoryStore::new());
    let options = Engine::options().store(store::STORE).data(Arc::new(data));
    Ok(options.open(dir.join("store"))?.0)
}

/// Tells that this store leads regions 1 to `regions` in that term.
pub(super) fn lead(engine: &Engine, regions: u64, term: u64) -> Result<()> {
    for status in engine.regions() {
        if status.id.0 <= regions {
            let _ = engine.report_leadership(
                status.id,
                status.incarnation,
                term,
                LeadershipRole::Leader,
            )?;
        }
    }
    Ok(())
}

/// An observer of everything.
pub(super) fn add(engine: &Engine, name: &str, from: StartFrom) -> Result<ObserverId> {
    let name = ObserverName::new(name).context("a name")?;
    let policy = ObserverPolicy::default();
    match engine.add_observer(name, vec![KeyRange::all()], from, policy)? {
        AddedObserver::Added { observer, .. } => Ok(observer),
        AddedObserver::Refused(refusal) => bail!("not added: {refusal}"),
    }
}

/// Keeps the history of everything although nobody asks, or does not.
pub(super) fn keep_all(engine: &Engine, is_kept: bool) -> Result<()> {
    let mut settings = HistorySettings::default();
    settings.bytes_max = 4 << 30;
    if is_kept {
        settings.ranges = vec![KeyRange::all()];
    }
    Ok(engine.set_history_settings(settings)?)
}

/// Writes rows to one region, each a version of one of a hundred thousand keys.
#[derive(Debug)]
pub(super) struct Writer {
    region: RegionId,
    epoch: RegionEpoch,
    index: u64,
    next: u64,
}

impl Writer {
    pub(super) fn new(engine: &Engine, region: u64) -> Result<Writer> {
        let region = RegionId(region);
        let start = engine.raft_start(region)?;
        let description = start.status.region.context("it has a description")?;
        let meta = start.status.meta.map_or(0, |meta| meta.index);
        Ok(Writer {
            region,
            epoch: description.epoch,
            index: start.data.index.max(meta),
            next: 0,
        })
    }

    /// Writes an entry of so many rows.
    pub(super) fn write(&mut self, engine: &Engine, rows: u64) -> Result<()> {
        let mut batch = WriteBatch::new();
        for _ in 0..rows {
            self.next = (self.next + 7_919) % 100_000;
            let key = store::row_key(self.region.0, self.next);
            let mut value = [0x5a_u8; VALUE_BYTES];
            for (into, byte) in value.iter_mut().zip(self.index.to_le_bytes()) {
                *into = byte;
            }
            batch.put(key.as_slice(), value.as_slice());
        }
        self.index += 1;
        let at = position(self.index);
        let answer = engine.write(self.region, self.epoch, at, &batch)?;
        ensure!(matches!(answer, WriteAnswer::Applied { .. }), "{answer:?}");
        Ok(())
    }

    /// The last entry written.
    pub(super) fn index(&self) -> u64 {
        self.index
    }
}

/// Reads until `is_enough` of the changes so far and of the last index; acknowledges, not durably, whenever
/// there is nothing to read. Answers how many changes there were.
pub(super) fn consume(
    engine: &Engine,
    feed: &mut Subscription,
    is_enough: impl Fn(u64, u64) -> bool,
) -> Result<u64> {
    let (mut changes, mut last) = (0, 0);
    let mut ack: Option<Ack> = None;
    while !is_enough(changes, last) {
        let item = match feed.try_next()? {
            Some(item) => item,
            None => {
                if let Some(ack) = ack.take() {
                    let answer = engine.ack(feed.observer(), &[ack], false)?;
                    ensure!(!matches!(answer, AckAnswer::Refused(_)), "{answer:?}");
                }
                match feed.next_item(Some(Duration::from_millis(20)))? {
                    Some(item) => item,
                    None => continue,
                }
            }
        };
        if let FeedItem::Entry(entry) = &item {
            changes += entry.changes.len() as u64;
            last = entry.position.index;
        }
        if let Some(index) = item.acknowledges() {
            let (region, generation) = (item.region(), item.generation());
            ack = Some(Ack {
                region,
                generation,
                index,
            });
        }
    }
    Ok(changes)
}
