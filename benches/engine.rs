//! How long the engine's own steps take on this machine's disk: `cargo bench --bench engine`.
//!
//! Each durable step is one sync of the device at least; compare with `raw_sync`, which is one 4 KiB
//! write into a file of real zeros and its sync. Comparisons with other engines are not here.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::Bencher;
use tempfile::TempDir;
use torrens::{
    Engine, KeyRange, Peer, PeerId, PeerRole, RaftPosition, Region, RegionEpoch, RegionId, StoreId,
    WriteBatch,
};
use torrens_journal::disk::{Disk, OpenMode, RealDisk};

fn main() {
    divan::main();
}

const REGION: RegionId = RegionId(1);
const EPOCH: RegionEpoch = RegionEpoch::BOOTSTRAP;

/// A store in the target folder's file system, with one region.
fn store() -> (TempDir, Engine) {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (engine, _) = Engine::options()
        .store(StoreId(1))
        .open(place.path().join("store"))
        .unwrap();
    let peers = vec![Peer {
        id: PeerId(1),
        store: StoreId(1),
        role: PeerRole::Voter,
        is_witness: false,
    }];
    let region = Region {
        id: REGION,
        range: KeyRange::all(),
        epoch: EPOCH,
        peers,
    };
    assert!(engine.bootstrap(region).unwrap().holds());
    (place, engine)
}

/// One 4 KiB write into real zeros, and its sync: the floor under every durable step.
#[divan::bench(sample_count = 500)]
fn raw_sync(bencher: Bencher<'_, '_>) {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = RealDisk::new();
    let file = disk
        .open(&place.path().join("raw"), OpenMode::CreateNew)
        .unwrap();
    file.write_zeros(0, 16 << 20).unwrap();
    file.sync_data().unwrap();
    let mut page = 0;
    bencher.bench_local(|| {
        file.write_all_at((page % 4096) * 4096, &[7; 4096]).unwrap();
        file.sync_data().unwrap();
        page += 1;
    });
}

/// One durable transition: a peer created by a message.
#[divan::bench(threads = [1, 4, 16], sample_count = 200)]
fn durable_transition(bencher: Bencher<'_, '_>) {
    let (_place, engine) = store();
    let next = AtomicU64::new(100);
    bencher.bench(|| {
        let region = RegionId(next.fetch_add(1, Ordering::Relaxed));
        assert!(
            engine
                .create_peer(region, PeerId(9), StoreId(2), EPOCH)
                .unwrap()
                .holds()
        );
    });
}

/// One applied write of ten rows of 100 bytes.
#[divan::bench(sample_count = 500)]
fn applied_write(bencher: Bencher<'_, '_>) {
    let (_place, engine) = store();
    let mut index = 5;
    bencher.bench_local(|| {
        index += 1;
        let mut batch = WriteBatch::new();
        for row in 0..10 {
            batch.put(format!("{index:08}/{row}").into_bytes(), vec![7; 100]);
        }
        let position = RaftPosition { index, term: 6 };
        engine.write(REGION, EPOCH, position, &batch).unwrap()
    });
}

/// Opening a store with 10 000 peers in its checkpoint and 10 000 records behind that.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn open(bencher: Bencher<'_, '_>) {
    let (place, engine) = store();
    let engine = Arc::new(engine);
    for half in 0..2 {
        std::thread::scope(|scope| {
            for thread in 0..50 {
                let engine = Arc::clone(&engine);
                scope.spawn(move || {
                    for peer in 0..200 {
                        let region = RegionId(2 + half * 10_000 + thread * 200 + peer);
                        let _ = engine
                            .create_peer(region, PeerId(9), StoreId(2), EPOCH)
                            .unwrap();
                    }
                });
            }
        });
        if half == 0 {
            engine.checkpoint().unwrap();
        }
    }
    drop(engine);
    let dir = place.path().join("store");
    bencher.bench_local(|| {
        Engine::options()
            .store(StoreId(1))
            .open(&dir)
            .unwrap()
            .1
            .took
    });
}
