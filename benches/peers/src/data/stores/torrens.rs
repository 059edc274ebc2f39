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

/// A store with one region of everything, or with two halves of it.
pub(in super::super) struct Torrens {
    engine: Engine,
    /// Of the last entry, for all regions.
    index: AtomicU64,
    /// Of both halves when they were first written to, so that a write does not ask for it.
    epochs: [OnceLock<RegionEpoch>; 2],
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
        match self {
            Half::Lower => RegionId(1),
            Half::Upper => RegionId(2),
        }
    }
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
        let store = Torrens::open_as(dir, 1)?;
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
        Torrens::open_as(dir, 2)
    }

    fn open_as(dir: &Path, store: u64) -> Result<Torrens> {
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
        let (engine, _) = Engine::options()
            .store(StoreId(store))
            .data(Arc::new(data))
            .cache(cache)
            .open(dir.join("torrens"))?;
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
        let region = half.region();
        let [lower, upper] = &self.epochs;
        let known = if half == Half::Lower { lower } else { upper };
        let epoch = match known.get() {
            Some(epoch) => *epoch,
            None => *known.get_or_init(|| self.epoch(region).unwrap_or_default()),
        };
        self.write_to(region, epoch, batch)
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
        let boundary = key(0).get(..SPREAD).map(|table| [table, &[0x80]].concat());
        let split = Split {
            region: Half::Lower.region(),
            incarnation: None,
            epoch: self.epoch(Half::Lower.region())?,
            position: self.next(),
            boundaries: vec![boundary.context("no table")?.into()],
            children: vec![NewRegion {
                id: Half::Upper.region(),
                peers: vec![replica(2, 1, PeerRole::Voter)],
            }],
            derive: Derive::Left,
        };
        ensure!(self.engine.split(split)?.holds(), "no split");
        Ok(())
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
        self.write_half(Half::Lower, batch)
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
