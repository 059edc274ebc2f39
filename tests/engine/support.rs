//! A whole world for one engine: a simulated disk and an in-memory data store that share one count of
//! operations, and a small host that plays a fixed history step by step.
//!
//! The host does what a host must: it keeps its log, sends again after a crash, and remembers what was
//! acknowledged. Not here: what a test demands.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use torrens::lifecycle::Mode;
use torrens::snapshot::{SnapshotName, SnapshotReader, SnapshotWriter};
use torrens::store::{Lost, MemoryFactory, MemoryStore, scan_versions};
use torrens::{
    Answer, Background, ColumnFamily, Derive, DestroyCause, Engine, EngineError, Incarnation, Key,
    KeyRange, NewRegion, OpenError, OpenReport, Peer, PeerId, PeerRole, RaftPosition, Region,
    RegionEpoch, RegionId, RegionStatus, Split, StoreId, Tombstone, WriteAnswer, WriteBatch,
};
use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk};

/// The store that every test plays.
pub const STORE: StoreId = StoreId(4);

/// One simulated machine.
#[derive(Clone, Debug)]
pub struct World {
    /// The disk of journal, checkpoints and snapshots.
    pub disk: SimDisk,
    /// The data store; its calls count as operations of the disk.
    pub data: MemoryStore,
}

impl World {
    /// A machine with nothing on it.
    pub fn new(seed: u64) -> World {
        World::with(SimDisk::new(seed), MemoryStore::new())
    }

    fn with(disk: SimDisk, data: MemoryStore) -> World {
        let steps = disk.clone();
        let data = data.with_hook(Arc::new(move |name| steps.step(name)));
        World { disk, data }
    }

    /// The machine after the power went.
    pub fn power_cut(&self, disk: CutChoice, data: Lost) -> World {
        World::with(self.disk.power_cut(disk), self.data.power_cut(data))
    }

    /// The machine after the process was killed: everything written is there, also what was not
    /// synced; of the data store's own buffers, what `data` says.
    pub fn kill(&self, data: Lost) -> World {
        World::with(self.disk.process_kill(), self.data.process_kill(data))
    }

    /// Opens the store, stepping the background work by hand.
    pub fn open(&self) -> Result<(Engine, OpenReport), OpenError> {
        self.open_with(Background::Manual)
    }

    /// Opens the store.
    pub fn open_with(&self, background: Background) -> Result<(Engine, OpenReport), OpenError> {
        self.options().background(background).open("store")
    }

    /// What the store is opened with: background work stepped by hand.
    pub fn options(&self) -> torrens::Options {
        Engine::options()
            .store(STORE)
            .segment_bytes(32 * 1024)
            .background(Background::Manual)
            .disk(Arc::new(self.disk.clone()))
            .data(Arc::new(MemoryFactory::new(self.data.clone())))
    }
}

/// A peer on this store or another.
pub fn peer(id: u64, store: u64) -> Peer {
    Peer {
        id: PeerId(id),
        store: StoreId(store),
        role: PeerRole::Voter,
        is_witness: false,
    }
}

/// A key.
pub fn key(text: &str) -> Key {
    Key::from(text.as_bytes())
}

/// A batch that puts `text` under each key.
pub fn puts(keys: &[&str], text: &str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for name in keys {
        batch.put(key(name), text.as_bytes());
    }
    batch
}

/// A Raft position in term 6.
pub fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

/// The epoch of a region that was just bootstrapped.
pub const EPOCH: RegionEpoch = RegionEpoch::BOOTSTRAP;

/// Bootstraps region 1 with peer 10 over the whole key space.
pub fn bootstrap(engine: &Engine) -> Result<(), EngineError> {
    let peers = vec![peer(10, STORE.0)];
    let (id, range, epoch) = (RegionId(1), KeyRange::all(), EPOCH);
    holds(engine.bootstrap(Region {
        id,
        range,
        epoch,
        peers,
    }))
}

/// Splits region 1 at "m" by the entry at index 7; region 2 with peer 20 gets what lies behind.
pub fn split_at_m(engine: &Engine) -> Result<(), EngineError> {
    let split = Split {
        region: RegionId(1),
        incarnation: None,
        epoch: EPOCH,
        position: at(7),
        boundaries: vec![key("m")],
        children: vec![NewRegion {
            id: RegionId(2),
            peers: vec![peer(20, STORE.0)],
        }],
        derive: Derive::Left,
    };
    holds(engine.split(split))
}

/// What can be seen of a store, without what differs between two runs (incarnations, LSNs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Stage (or what it is in, if it does not serve) and description of each peer.
    pub peers: BTreeMap<RegionId, (PeerId, &'static str, Option<Region>)>,
    /// Highest peer and epoch of each tombstone.
    pub tombstones: BTreeMap<RegionId, (PeerId, RegionEpoch)>,
}

impl Seen {
    /// What `engine` shows.
    pub fn of(engine: &Engine) -> Seen {
        let peer = |status: RegionStatus| {
            let region = status.region.map(|region| (*region).clone());
            let state = match status.mode {
                Mode::Serving => status.stage,
                mode => mode.as_str(),
            };
            (status.id, (status.peer, state, region))
        };
        let grave =
            |(region, stone): (RegionId, Tombstone)| (region, (stone.highest_peer, stone.epoch));
        Seen {
            peers: engine.regions().into_iter().map(peer).collect(),
            tombstones: engine.tombstones().into_iter().map(grave).collect(),
        }
    }
}

/// Every row of every region that serves reads.
pub fn rows(engine: &Engine) -> BTreeMap<(RegionId, Vec<u8>), Vec<u8>> {
    let mut rows = BTreeMap::new();
    for status in engine.regions() {
        let serves = status.stage == "normal" && status.mode == Mode::Serving;
        let Some(region) = status.region.filter(|_| serves) else {
            continue;
        };
        let view = engine
            .view(region.id, region.epoch)
            .expect("a normal region serves reads");
        for row in view.scan(..) {
            let (key, value) = row.expect("a whole store reads");
            rows.insert((region.id, key.to_vec()), value.to_vec());
        }
    }
    rows
}

/// Keys that lie in the data store and belong to nobody: what a destroy left behind.
pub fn orphans(world: &World, engine: &Engine) -> Vec<Vec<u8>> {
    let mut orphans = Vec::new();
    for cf in ColumnFamily::ALL {
        for version in scan_versions(&world.data, cf, &KeyRange::all()) {
            let key = version.expect("a whole store reads").0.key;
            if engine.region_for(&key).is_none() {
                orphans.push(key.to_vec());
            }
        }
    }
    orphans
}

/// The epoch that a destroy of the region's peer names: none if it has no description.
pub fn known_epoch(engine: &Engine, region: RegionId) -> RegionEpoch {
    let description = engine.region(region).and_then(|status| status.region);
    description.map_or(RegionEpoch::NONE, |region| region.epoch)
}

/// The current epoch of a region that has one.
pub fn epoch(engine: &Engine, region: u64) -> RegionEpoch {
    let status = engine.region(RegionId(region)).expect("the region is here");
    status.region.expect("it has a description").epoch
}

/// The current incarnation of a region's peer.
pub fn incarnation(engine: &Engine, region: u64) -> Incarnation {
    engine
        .region(RegionId(region))
        .expect("the region is here")
        .incarnation
}

/// An answer that must mean "it holds now".
pub fn holds(answer: Result<Answer, EngineError>) -> Result<(), EngineError> {
    let answer = answer?;
    assert!(answer.holds(), "{answer:?}");
    Ok(())
}

/// A write's answer that must mean "it is in".
pub fn written(answer: Result<WriteAnswer, EngineError>) -> Result<(), EngineError> {
    let answer = answer?;
    assert!(!matches!(answer, WriteAnswer::Refused(_)), "{answer:?}");
    Ok(())
}

/// An operator's destroy.
pub fn destroy(engine: &Engine, region: u64, peer: u64) -> Result<(), EngineError> {
    let (region, peer) = (RegionId(region), PeerId(peer));
    holds(engine.destroy(
        region,
        known_epoch(engine, region),
        None,
        peer,
        DestroyCause::Operator,
    ))
}

/// The snapshot as another store would send it after it had replaced this store's peer by `newer`.
pub fn resent(taken: &SnapshotReader, newer: PeerId) -> (SnapshotName, Vec<u8>) {
    resent_at(taken, newer, taken.meta().index)
}

/// The same at a later entry that changed no data.
pub fn resent_at(taken: &SnapshotReader, newer: PeerId, index: u64) -> (SnapshotName, Vec<u8>) {
    let mut meta = taken.meta().clone();
    meta.index = index;
    meta.region.epoch.conf_ver += 2;
    for peer in meta
        .region
        .peers
        .iter_mut()
        .filter(|peer| peer.store == STORE)
    {
        peer.id = newer;
    }
    let (elsewhere, dir) = (Arc::new(SimDisk::new(5)), Path::new("other"));
    elsewhere
        .create_dir_all(dir)
        .expect("another store has a disk");
    let mut writer = SnapshotWriter::create(elsewhere.clone(), dir, 77, &meta).expect("and room");
    for row in taken
        .rows()
        .expect("a snapshot that was just taken is whole")
    {
        let row = row.expect("and so are its rows");
        writer
            .push_cf(row.cf, &row.key, &row.value)
            .expect("they go in as they came out");
    }
    let name = writer.finish().expect("and make a file").name;
    let bytes = elsewhere.contents(&name.path_in(dir)).expect("with a name");
    (name, bytes)
}
