//! What a cached region is worth: `cargo bench --bench cache`.
//!
//! A million rows (keys of 21 bytes, values of 100), read by one thread in random order, from sled
//! itself, from a cached region, and through a view of the engine that reads from memory or from
//! the store; then what a load and a cached write cost. Comparisons with other engines are not here.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run says where"
)]
#![expect(
    clippy::print_stderr,
    reason = "ratios and memory are nothing that divan could show"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tempfile::TempDir;
use torrens::cache::{CacheMeter, RegionCache};
use torrens::store::{Direction, SledFactory, SledOptions};
use torrens::{
    ColumnFamily, Engine, KeyRange, Peer, PeerId, PeerRole, RaftPosition, Region, RegionEpoch,
    RegionId, Sequence, StoreId, WriteAnswer, WriteBatch,
};

const REGION: RegionId = RegionId(1);
const EPOCH: RegionEpoch = RegionEpoch::BOOTSTRAP;
const CF: ColumnFamily = ColumnFamily::DEFAULT;
const VALUE: [u8; 100] = [7; 100];
/// Rows that one scan reads.
const SCANNED: usize = 100_000;

fn main() {
    if std::env::var_os("WRITES").is_some() {
        compare_writes();
        return;
    }
    divan::main();
}

/// Writes with a cached region and without, in turns, since a store gets slower as it grows:
/// `WRITES=1 cargo bench --bench cache`.
fn compare_writes() {
    const TURNS: usize = 12;
    for per_batch in [1, 16] {
        let turn = || {
            let (begun, mut row) = (Instant::now(), random());
            for _ in 0..4000 / per_batch {
                let mut batch = WriteBatch::new();
                for _ in 0..per_batch {
                    batch.put(key(row()), VALUE);
                }
                FURNISHED.write(&batch);
            }
            begun.elapsed().as_secs_f64()
        };
        let mut ratios: Vec<f64> = (0..TURNS)
            .map(|_| {
                FURNISHED.make_absent();
                let absent = turn();
                FURNISHED.make_active();
                turn() / absent
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        eprintln!(
            "writes of {per_batch}: {:.3} x with a cached region ({:.3} .. {:.3})",
            ratios[TURNS / 2],
            ratios[TURNS / 4],
            ratios[TURNS * 3 / 4]
        );
    }
}

fn rows() -> u64 {
    std::env::var("ROWS").map_or(1_000_000, |rows| rows.parse().unwrap())
}

/// 21 bytes: a table, and a row number that is spread over the whole table.
fn key(row: u64) -> [u8; 21] {
    let mut key = *b"table/17/....../00000";
    let spread = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key[9..17].copy_from_slice(&spread.to_be_bytes());
    key
}

/// Rows in an order that no processor foresees.
fn random() -> impl FnMut() -> u64 {
    let (mut state, rows) = (0x5eed_u64, rows());
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % rows
    }
}

struct Furnished {
    _place: TempDir,
    engine: Engine,
    sled: sled::Db,
    cache: RegionCache,
    index: AtomicU64,
}

impl Furnished {
    fn next(&self) -> RaftPosition {
        let index = self.index.fetch_add(1, Ordering::Relaxed);
        RaftPosition { index, term: 6 }
    }

    fn write(&self, batch: &WriteBatch) {
        let answer = self.engine.write(REGION, EPOCH, self.next(), batch);
        assert!(matches!(answer, Ok(WriteAnswer::Applied { .. })));
    }

    fn make_active(&self) {
        assert!(self.engine.load(REGION, EPOCH).unwrap().holds());
        self.engine.wait_idle().unwrap();
        assert!(self.engine.view(REGION, EPOCH).unwrap().is_cached());
    }

    fn make_absent(&self) {
        assert!(self.engine.evict(REGION).unwrap().holds());
        self.engine.wait_idle().unwrap();
        assert!(!self.engine.view(REGION, EPOCH).unwrap().is_cached());
    }
}

static FURNISHED: LazyLock<Furnished> = LazyLock::new(|| {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = SledOptions {
        cache_bytes: 1 << 30,
        ..SledOptions::default()
    };
    let (engine, _) = Engine::options()
        .store(StoreId(1))
        .data(Arc::new(SledFactory { options }))
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
    let sled = sled::Config::new()
        .path(place.path().join("sled"))
        .cache_capacity(1 << 30)
        .flush_every_ms(None)
        .open()
        .unwrap();
    let furnished = Furnished {
        _place: place,
        engine,
        sled,
        cache: RegionCache::loading(KeyRange::all(), &CacheMeter::new()),
        index: AtomicU64::new(6),
    };
    let mut keys: Vec<_> = (0..rows()).map(key).collect();
    keys.sort_unstable();
    let mut loader = furnished.cache.loader(Sequence::new(1));
    for keys in keys.chunks(1000) {
        let (mut ours, mut theirs) = (WriteBatch::new(), sled::Batch::default());
        for key in keys {
            ours.put(*key, VALUE);
            theirs.insert(key.as_slice(), VALUE.as_slice());
            loader.push(CF, key, &VALUE);
        }
        furnished.sled.apply_batch(theirs).unwrap();
        furnished.write(&ours);
    }
    loader.finish();
    let logical = rows() * 121;
    let bytes = furnished.cache.bytes();
    eprintln!(
        "memory of the region: {:.3} x its bytes",
        bytes as f64 / logical as f64
    );
    furnished
});

#[divan::bench(sample_count = 20, sample_size = 20_000)]
fn get_sled(bencher: Bencher<'_, '_>) {
    let sled = &FURNISHED.sled;
    let mut row = random();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let value = sled.get(key(row())).unwrap().unwrap();
        value[3]
    });
}

#[divan::bench(sample_count = 20, sample_size = 20_000)]
fn get_cache(bencher: Bencher<'_, '_>) {
    let pin = FURNISHED.cache.pin(Sequence::new(1)).unwrap();
    let mut row = random();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let value = pin.get(CF, &key(row()), Sequence::new(1)).unwrap().unwrap();
        value[3]
    });
}

/// With a hundredth of the rows written since the last merge, one by one.
#[divan::bench(sample_count = 20, sample_size = 20_000)]
fn get_cache_with_writes(bencher: Bencher<'_, '_>) {
    let cache = with_writes();
    let pin = cache.pin(Sequence::MAX).unwrap();
    let mut row = random();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let value = pin.get(CF, &key(row()), Sequence::MAX).unwrap().unwrap();
        value[3]
    });
}

fn with_writes() -> RegionCache {
    let cache = FURNISHED.cache.part(KeyRange::all()).unwrap();
    let mut row = random();
    for sequence in 2..2 + rows() / 100 {
        let mut batch = WriteBatch::new();
        batch.put(key(row()), VALUE);
        cache.insert(&batch, Sequence::new(sequence));
    }
    cache
}

fn view_get(bencher: Bencher<'_, '_>) {
    let view = FURNISHED.engine.view(REGION, EPOCH).unwrap();
    let mut row = random();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let value = view.get(&key(row())).unwrap().unwrap();
        value[3]
    });
}

#[divan::bench(sample_count = 20, sample_size = 20_000)]
fn get_view_memory(bencher: Bencher<'_, '_>) {
    FURNISHED.make_active();
    view_get(bencher);
}

#[divan::bench(sample_count = 20, sample_size = 20_000)]
fn get_view_store(bencher: Bencher<'_, '_>) {
    FURNISHED.make_absent();
    view_get(bencher);
}

/// A view for each get.
#[divan::bench(sample_count = 20, sample_size = 20_000)]
fn get_views_memory(bencher: Bencher<'_, '_>) {
    FURNISHED.make_active();
    let mut row = random();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let view = FURNISHED.engine.view(REGION, EPOCH).unwrap();
        let value = view.get(&key(row())).unwrap().unwrap();
        value[3]
    });
}

fn sum<'a>(rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> u64 {
    let add = |sum: u64, (key, value): (&[u8], &[u8])| sum + u64::from(key[12] ^ value[3]);
    rows.take(SCANNED).fold(0, add)
}

#[divan::bench(sample_count = 20)]
fn scan_sled(bencher: Bencher<'_, '_>) {
    let sled = &FURNISHED.sled;
    let mut row = random();
    bencher.counter(ItemsCount::new(SCANNED)).bench_local(|| {
        // From a place that leaves enough rows.
        let from = key(row()).map(|byte| byte & 0x7f);
        let rows = sled.range(from..).take(SCANNED).map(|row| row.unwrap());
        rows.fold(0, |sum, (key, value)| sum + u64::from(key[12] ^ value[3]))
    });
}

fn cache_scan(bencher: Bencher<'_, '_>, cache: &RegionCache, direction: Direction) {
    let pin = cache.pin(Sequence::MAX).unwrap();
    let mut row = random();
    bencher.counter(ItemsCount::new(SCANNED)).bench_local(|| {
        let edge = key(row());
        let range = match direction {
            Direction::Forward => KeyRange::new(edge.map(|byte| byte & 0x7f), None::<[u8; 0]>),
            Direction::Reverse => {
                let mut edge = edge;
                edge[9] |= 0x80;
                KeyRange::new([], Some(edge))
            }
        };
        let rows = pin.scan(CF, &range.unwrap(), Sequence::MAX, direction);
        sum(rows.unwrap())
    });
}

#[divan::bench(sample_count = 20)]
fn scan_cache(bencher: Bencher<'_, '_>) {
    cache_scan(bencher, &FURNISHED.cache, Direction::Forward);
}

#[divan::bench(sample_count = 20)]
fn scan_cache_reverse(bencher: Bencher<'_, '_>) {
    cache_scan(bencher, &FURNISHED.cache, Direction::Reverse);
}

#[divan::bench(sample_count = 20)]
fn scan_cache_with_writes(bencher: Bencher<'_, '_>) {
    cache_scan(bencher, &with_writes(), Direction::Forward);
}

fn view_scan(bencher: Bencher<'_, '_>) {
    let view = FURNISHED.engine.view(REGION, EPOCH).unwrap();
    let mut row = random();
    bencher.counter(ItemsCount::new(SCANNED)).bench_local(|| {
        let from = key(row()).map(|byte| byte & 0x7f);
        let rows = view.rows(CF, from.as_slice().., Direction::Forward);
        let rows = rows.take(SCANNED).map(|row| row.unwrap());
        rows.fold(0, |sum, row| sum + u64::from(row.key[12] ^ row.value[3]))
    });
}

#[divan::bench(sample_count = 20)]
fn scan_view_memory(bencher: Bencher<'_, '_>) {
    FURNISHED.make_active();
    view_scan(bencher);
}

#[divan::bench(sample_count = 10)]
fn scan_view_store(bencher: Bencher<'_, '_>) {
    FURNISHED.make_absent();
    view_scan(bencher);
}

/// All rows of sled, touched: what a load is compared with.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn load_sled_iterated(bencher: Bencher<'_, '_>) {
    let sled = &FURNISHED.sled;
    bencher.counter(ItemsCount::new(rows())).bench_local(|| {
        let rows = sled.iter().map(|row| row.unwrap());
        rows.fold(0, |sum, (key, value)| sum + u64::from(key[12] ^ value[3]))
    });
}

/// A region of the engine, from the request to active.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn load_region(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(rows()))
        .with_inputs(|| FURNISHED.make_absent())
        .bench_local_values(|()| FURNISHED.make_active());
}

fn write_rows(bencher: Bencher<'_, '_>, per_batch: u64) {
    let mut row = random();
    bencher.counter(ItemsCount::new(per_batch)).bench_local(|| {
        let mut batch = WriteBatch::new();
        for _ in 0..per_batch {
            batch.put(key(row()), VALUE);
        }
        FURNISHED.write(black_box(&batch));
    });
}

#[divan::bench(args = [1, 16], sample_count = 200, sample_size = 50)]
fn write_absent(bencher: Bencher<'_, '_>, per_batch: u64) {
    FURNISHED.make_absent();
    write_rows(bencher, per_batch);
}

#[divan::bench(args = [1, 16], sample_count = 200, sample_size = 50)]
fn write_cached(bencher: Bencher<'_, '_>, per_batch: u64) {
    FURNISHED.make_active();
    write_rows(bencher, per_batch);
}
