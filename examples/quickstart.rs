//! A region, a row, a split, and the rows again after a restart: `cargo run --example quickstart`.
//!
//! One promise: what was answered is there after the store was closed and opened again.

use std::error::Error;

use torrens::{
    Derive, Engine, KeyRange, NewRegion, Peer, PeerId, RaftPosition, Region, RegionEpoch, RegionId,
    Split, StoreId, WriteAnswer, WriteBatch,
};

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path().join("store");
    let (engine, _) = Engine::options().store(StoreId(1)).open(&dir)?;

    // The first region of a cluster: all keys, one peer.
    let peer = Peer::voter(PeerId(1), StoreId(1));
    let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
    let answer = engine.bootstrap(Region {
        id,
        range: KeyRange::all(),
        epoch,
        peers: vec![peer],
    })?;
    println!("bootstrap: {answer:?}");

    // A Raft entry's data, at the entry's position. It is visible at once and durable at the next
    // barrier; until then the host keeps the entry in its log.
    let mut batch = WriteBatch::new();
    batch
        .put(b"JFK".as_slice(), b"New York".as_slice())
        .put(b"SFO".as_slice(), b"San Francisco".as_slice());
    let answer = engine.write(id, epoch, RaftPosition { index: 6, term: 6 }, &batch)?;
    assert!(matches!(answer, WriteAnswer::Applied { .. }));
    println!("write: {answer:?}");

    // A committed split: durable, and both regions visible, when it answers.
    let answer = engine.split(Split {
        region: id,
        incarnation: None,
        epoch,
        position: RaftPosition { index: 7, term: 6 },
        boundaries: vec![b"M".as_slice().into()],
        children: vec![NewRegion {
            id: RegionId(2),
            peers: vec![Peer::voter(PeerId(2), StoreId(1))],
        }],
        derive: Derive::Left,
    })?;
    assert!(answer.holds());
    println!("split: {answer:?}");
    engine.close()?;

    let (engine, report) = Engine::options().store(StoreId(1)).open(&dir)?;
    println!("\nopened again:\n{report}");
    for status in engine.regions() {
        let region = status.region.ok_or("no description")?;
        let view = engine.view(region.id, region.epoch)?;
        for row in view.scan(..) {
            let (key, value) = row?;
            println!(
                "{}: {} = {}",
                region.id,
                String::from_utf8_lossy(&key),
                String::from_utf8_lossy(&value)
            );
        }
        let start = engine.raft_start(region.id)?;
        println!(
            "{}: the host sends again from index {}",
            region.id,
            start.data.index + 1
        );
    }
    assert_eq!(engine.regions().len(), 2);
    engine.close()?;
    Ok(())
}
