//! A small store on a simulated disk, with background work stepped by hand.

use std::sync::Arc;

use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{
    Background, Derive, Engine, Key, KeyRange, NewRegion, Options, Peer, PeerId, RaftPosition,
    Region, RegionEpoch, RegionId, Split, StoreId, WriteAnswer, WriteBatch,
};
use torrens_journal::testing::SimDisk;

pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) data: MemoryStore,
}

impl World {
    pub(super) fn new() -> World {
        World::with(SimDisk::new(9), MemoryStore::new())
    }

    pub(super) fn with(disk: SimDisk, data: MemoryStore) -> World {
        World { disk, data }
    }

    pub(super) fn options(&self) -> Options {
        Engine::options()
            .store(StoreId(4))
            .segment_bytes(32 * 1024)
            .background(Background::Manual)
            .disk(Arc::new(self.disk.clone()))
            .data(Arc::new(MemoryFactory::new(self.data.clone())))
    }

    pub(super) fn open(&self) -> Engine {
        self.options().open("store").expect("it opens").0
    }
}

pub(super) fn bootstrap(engine: &Engine) {
    let peer = Peer::voter(PeerId(10), StoreId(4));
    let region = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer],
    };
    assert!(engine.bootstrap(region).expect("it can").holds());
}

pub(super) fn write(engine: &Engine, index: u64) {
    let mut batch = WriteBatch::new();
    batch.put(b"apple".as_slice(), b"1".as_slice());
    let answer = engine.write(RegionId(1), RegionEpoch::BOOTSTRAP, at(index), &batch);
    assert!(matches!(answer, Ok(WriteAnswer::Applied { .. })));
}

pub(super) fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: 6 }
}

pub(super) fn split(index: u64) -> Split {
    Split {
        region: RegionId(1),
        incarnation: None,
        epoch: RegionEpoch::BOOTSTRAP,
        position: at(index),
        boundaries: vec![Key::from(b"m".as_slice())],
        children: vec![NewRegion {
            id: RegionId(2),
            peers: vec![Peer::voter(PeerId(20), StoreId(4))],
        }],
        derive: Derive::Left,
    }
}
