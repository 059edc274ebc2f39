//! A crash between two steps of a split, and what opening makes of it:
//! `cargo run --example crash_and_reopen`.
//!
//! The disk and the data store are simulated, so that the power can be cut at will: everything that
//! was not synced is gone. The host then sends its log again from where the store says.

use std::error::Error;
use std::sync::Arc;

use torrens::store::{Lost, MemoryFactory, MemoryStore};
use torrens::{
    Background, Derive, Engine, KeyRange, NewRegion, OpenError, OpenReport, Peer, PeerId, PeerRole,
    RaftPosition, Region, RegionEpoch, RegionId, Split, StoreId, WriteBatch,
};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};

fn open(disk: &SimDisk, data: &MemoryStore) -> Result<(Engine, OpenReport), OpenError> {
    Engine::options()
        .store(StoreId(1))
        .segment_bytes(64 * 1024)
        .background(Background::Manual)
        .disk(Arc::new(disk.clone()))
        .data(Arc::new(MemoryFactory::new(data.clone())))
        .open("store")
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let (disk, data) = (SimDisk::new(7), MemoryStore::new());
    let (engine, _) = open(&disk, &data)?;
    let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
    let peer = |id| Peer {
        id: PeerId(id),
        store: StoreId(1),
        role: PeerRole::Voter,
        is_witness: false,
    };
    let region = Region {
        id,
        range: KeyRange::all(),
        epoch,
        peers: vec![peer(1)],
    };
    assert!(engine.bootstrap(region)?.holds());
    let mut batch = WriteBatch::new();
    batch
        .put(b"apple".as_slice(), b"1".as_slice())
        .put(b"zebra".as_slice(), b"2".as_slice());
    let _ = engine.write(id, epoch, RaftPosition { index: 6, term: 6 }, &batch)?;

    let split = Split {
        region: id,
        incarnation: None,
        epoch,
        position: RaftPosition { index: 7, term: 6 },
        boundaries: vec![b"m".as_slice().into()],
        children: vec![NewRegion {
            id: RegionId(2),
            peers: vec![peer(2)],
        }],
        derive: Derive::Left,
    };
    // The machine dies at the sync of the split's record.
    disk.fail_at(disk.ops() + 3, SimFault::Dies);
    println!(
        "splitting … {}",
        engine
            .split(split.clone())
            .err()
            .ok_or("it should have died")?
    );
    drop(engine);

    let disk = disk.power_cut(CutChoice::LoseAll);
    let data = data.power_cut(Lost::Unflushed);
    let (engine, report) = open(&disk, &data)?;
    println!("\nafter the power came back:\n{report}");
    println!("regions: {}", engine.regions().len());
    let start = engine.raft_start(id)?;
    println!("the host sends again from index {}", start.data.index + 1);
    assert!(engine.split(split)?.holds());
    println!(
        "regions after the split came again: {}",
        engine.regions().len()
    );
    engine.close()?;
    Ok(())
}
