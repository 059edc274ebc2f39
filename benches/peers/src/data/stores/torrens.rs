//! Torrens: the whole engine, with its data in sled.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use torrens::store::{Direction, SledFactory, SledOptions};
use torrens::{
    CacheOutcome, CacheSettings, ColumnFamily, Derive, Engine, EvictReason, KeyRange, NewRegion,
    Peer, PeerChange, PeerId, PeerRole, RaftPosition, Region, RegionEpoch, RegionId, RegionView,
    Split, StoreId, Taken, WriteAnswer, WriteBatch,
};

use super::{CACHE_BYTES, Key, Reader, SPREAD, Store, Tally, Value, in_lower_half, key};

/// Longer than any load or eviction of a run takes.
const PATIENCE: Duration = Duration::from_secs(120);
const TERM: u64 = 6;

/// More than any run divides its store in.
const PARTS_MAX: usize = 4;

/// A store with one region of everything, or with equal parts of it.
pub(in super::super) struct Torrens {
    engine: Engine,
    /// Of the last entry, for all regions.
    index: AtomicU64,
    /// Of each part when it was first written to, so that a write does not ask for it.
    epochs: [OnceLock<RegionEpoch>; PARTS_MAX],
}

/// One of two regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Half {
    Lower,
    Upper,
}

impl Half {
    pub(in super::super) fn other(self) -> Half {
        match self {
            Half::Lower => Half::Upper,
            Half::Upper => Half::Lower,
        }
    }

    /// Whether the key is of this half.
    pub(in super::super) fn has(self, key: &Key) -> bool {
        let is_lower = in_lower_half(*key) == *key;
        is_lower == (self == Half::Lower)
    }

    fn region(self) -> RegionId {
        region_of(self.part())
    }

    fn part(self) -> usize {
        match self {
            Half::Lower => 0,
            Half::Upper => 1,
        }
    }
}

/// The region of a part.
fn region_of(part: usize) -> RegionId {
    RegionId(part as u64 + 1)
}

fn replica(id: u64, store: u64, role: PeerRole) -> Peer {
    Peer {
        id: PeerId(id),
        store: StoreId(store),
        role,
        is_witness: false,
    }
}

impl Torrens {
    /// Opens the store; a new one has a region.
    pub(in super::super) fn open(dir: &Path) -> Result<Torrens> {
        Torrens::open_with(dir, None)
    }

    /// As `open`, with barriers as often as that; by default as often as the engine has them.
    pub(in super::super) fn open_with(dir: &Path, barriers: Option<Duration>) -> Result<Torrens> {
        let store = Torrens::open_as(dir, 1, barriers)?;
        if store.engine.region(RegionId(1)).is_none() {
            let region = Region {
                id: RegionId(1),
                range: KeyRange::all(),
                epoch: RegionEpoch::BOOTSTRAP,
                peers: vec![replica(1, 1, PeerRole::Voter)],
            };
            ensure!(store.engine.bootstrap(region)?.holds(), "no first region");
        }
        let last = store.engine.raft_start(RegionId(1))?.data.index;
        store.index.store(last, Ordering::Relaxed);
        Ok(store)
    }

    /// Another store, without a region.
    pub(in super::super) fn open_other(dir: &Path) -> Result<Torrens> {
        Torrens::open_as(dir, 2, None)
    }

    fn open_as(dir: &Path, store: u64, barriers: Option<Duration>) -> Result<Torrens> {
        // Loads and evictions are the benchmark's own; nothing else is changed.
        let cache = CacheSettings {
            automatic: false,
            warm_restart: false,
            ..CacheSettings::default()
        };
        let data = SledFactory {
            options: SledOptions {
                cache_bytes: CACHE_BYTES,
                ..SledOptions::default()
            },
        };
        let mut options = Engine::options()
            .store(StoreId(store))
            .data(Arc::new(data))
            .cache(cache);
        if let Some(interval) = barriers {
            options = options.barrier_interval(interval);
        }
        let (engine, _) = options.open(dir.join("torrens"))?;
        Ok(Torrens {
            engine,
            index: AtomicU64::new(0),
            epochs: Default::default(),
        })
    }

    fn next(&self) -> RaftPosition {
        let index = self.index.fetch_add(1, Ordering::Relaxed) + 1;
        RaftPosition { index, term: TERM }
    }

    fn epoch(&self, region: RegionId) -> Result<RegionEpoch> {
        let status = self.engine.region(region).context("no such region")?;
        Ok(status.region.context("no description")?.epoch)
    }

    pub(in super::super) fn write_half(&self, half: Half, batch: &[(Key, Value)]) -> Result<()> {
        self.write_part(half.part(), batch)
    }

    fn write_to(&self, region: RegionId, epoch: RegionEpoch, rows: &[(Key, Value)]) -> Result<()> {
        let mut batch = WriteBatch::new();
        for (key, value) in rows {
            batch.put(*key, *value);
        }
        match self.engine.write(region, epoch, self.next(), &batch)? {
            WriteAnswer::Applied { .. } => Ok(()),
            other => bail!("a write was not applied: {other:?}"),
        }
    }

    /// Splits the region into its halves.
    pub(in super::super) fn split(&self) -> Result<()> {
        self.divide(2)
    }

    pub(in super::super) fn load(&self) -> Result<()> {
        self.load_half(Half::Lower)
    }

    /// Loads a region, and waits until it is active.
    pub(in super::super) fn load_half(&self, half: Half) -> Result<()> {
        let region = half.region();
        let (answer, ticket) = self.engine.load_tracked(region, self.epoch(region)?)?;
        let ticket = ticket.with_context(|| format!("not loaded: {answer:?}"))?;
        ensure!(
            ticket.wait(PATIENCE) == Some(CacheOutcome::Done),
            "{ticket:?}"
        );
        let view = self.engine.view(region, self.epoch(region)?)?;
        ensure!(view.is_cached(), "memory is not read");
        Ok(())
    }

    pub(in super::super) fn evict(&self) -> Result<()> {
        self.evict_half(Half::Lower)
    }

    pub(in super::super) fn evict_half(&self, half: Half) -> Result<()> {
        let (answer, ticket) = self
            .engine
            .evict_tracked(half.region(), EvictReason::Requested)?;
        ensure!(answer.holds(), "not evicted: {answer:?}");
        ensure!(
            ticket.wait(PATIENCE) == Some(CacheOutcome::Done),
            "{ticket:?}"
        );
        Ok(())
    }

    pub(in super::super) fn wait_idle(&self) -> Result<()> {
        Ok(self.engine.wait_idle()?)
    }

    pub(in super::super) fn flush(&self) -> Result<()> {
        self.engine.flush()?;
        Ok(())
    }

    /// Bytes that cached regions take.
    pub(in super::super) fn cached_bytes(&self) -> u64 {
        self.engine.cache_bytes()
    }

    /// Gives the region a replica on the other store.
    pub(in super::super) fn add_replica(&self) -> Result<()> {
        let region = Half::Lower.region();
        let change = PeerChange::Add {
            peer: replica(7, 2, PeerRole::Learner),
        };
        let epoch = self.epoch(region)?;
        let answer = self
            .engine
            .change_peers(region, epoch, self.next(), change)?;
        ensure!(answer.holds(), "no replica: {answer:?}");
        Ok(())
    }

    /// Takes a snapshot, sends it to the other store, and applies it there.
    pub(in super::super) fn send_to(&self, other: &Torrens) -> Result<()> {
        let region = Half::Lower.region();
        let epoch = self.epoch(region)?;
        let created = other
            .engine
            .create_peer(region, PeerId(7), StoreId(1), epoch)?;
        let incarnation = created.incarnation().context("no peer to send to")?;
        let staged = match self.engine.take_snapshot(region, epoch)? {
            Taken::Snapshot(staged) => staged,
            Taken::Refused(refusal) => bail!("no snapshot: {refusal}"),
        };
        let sent = self.engine.open_snapshot(staged.name)?;
        let received = other
            .engine
            .receive_snapshot(staged.name, &mut sent.bytes_stream())?;
        let answer = other
            .engine
            .apply_snapshot(region, incarnation, &received)?;
        ensure!(answer.holds(), "not applied: {answer:?}");
        Ok(())
    }
}

impl Store for Torrens {
    fn write(&self, batch: &[(Key, Value)]) -> Result<()> {
        self.write_part(0, batch)
    }

    fn divide(&self, parts: usize) -> Result<()> {
        ensure!((2..=PARTS_MAX).contains(&parts), "not into {parts} parts");
        let key = key(0);
        let table = key.get(..SPREAD).context("no table")?;
        let boundary = |part: usize| [table, &[(256 * part / parts) as u8]].concat().into();
        let child = |part: usize| NewRegion {
            id: region_of(part),
            peers: vec![replica(part as u64 + 1, 1, PeerRole::Voter)],
        };
        let split = Split {
            region: region_of(0),
            incarnation: None,
            epoch: self.epoch(region_of(0))?,
            position: self.next(),
            boundaries: (1..parts).map(boundary).collect(),
            children: (1..parts).map(child).collect(),
            derive: Derive::Left,
        };
        ensure!(self.engine.split(split)?.holds(), "no split");
        Ok(())
    }

    fn write_part(&self, part: usize, batch: &[(Key, Value)]) -> Result<()> {
        let region = region_of(part);
        let known = self.epochs.get(part).context("no such part")?;
        let epoch = match known.get() {
            Some(epoch) => *epoch,
            None => {
                let epoch = self.epoch(region)?;
                *known.get_or_init(|| epoch)
            }
        };
        self.write_to(region, epoch, batch)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let region = Half::Lower.region();
        Ok(Box::new(View(
            self.engine.view(region, self.epoch(region)?)?,
        )))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.engine.wait_idle()?;
        Ok(self.engine.close()?)
    }
}

struct View(RegionView);

impl Reader for View {
    fn gets(&self, keys: &[Key]) -> Result<Tally> {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(&self.0.get(key)?.context("no row")?);
        }
        Ok(tally)
    }

    fn scan(&self, from: &[u8], limit: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        let rows = self
            .0
            .rows(ColumnFamily::DEFAULT, from.., Direction::Forward);
        for row in rows.take(limit) {
            tally.add(&row?.value);
        }
        Ok(tally)
    }
}
