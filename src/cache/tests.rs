use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::store::contract::Seeded;
use crate::store::{self, ColumnFamily, DataStore, Direction, MemoryStore, StoreBatch, WriteBatch};
use crate::{Key, KeyRange, Sequence};

const CF: ColumnFamily = ColumnFamily::DEFAULT;

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange::new(
        start.as_bytes(),
        (!end.is_empty()).then_some(end.as_bytes()),
    )
    .unwrap()
}

/// A loaded cache of everything with `keys` at sequence 1.
fn loaded(meter: &CacheMeter, keys: &str) -> RegionCache {
    let cache = RegionCache::loading(KeyRange::all(), meter);
    for key in keys.bytes() {
        cache.fill(CF, Key::from([key]), Sequence::new(1), Some([key].into()));
    }
    cache.finish_load(Sequence::new(1));
    cache
}

fn keys(cache: &RegionCache, range: &KeyRange, direction: Direction) -> String {
    let rows = cache.scan_at(CF, range, Sequence::MAX, direction).unwrap();
    rows.map(|(key, _)| key[0] as char).collect()
}

#[test]
fn a_loaded_cache_answers_as_the_store_does_at_every_sequence_that_it_serves() {
    let seed = 0x5eed_0004;
    let mut random = Seeded(seed);
    let (store, meter) = (MemoryStore::new(), CacheMeter::new());
    let whole = range("", "");
    let mut cache = None;
    for sequence in (1..=600).map(Sequence::new) {
        let mut writes = WriteBatch::new();
        for _ in 0..1 + random.below(4) {
            let cf = ColumnFamily::new([0, 0, 255][random.below(3) as usize]);
            match random.below(3) {
                0 => writes.delete_cf(cf, random.key()),
                _ => writes.put_cf(cf, random.key(), sequence.get().to_be_bytes()),
            };
        }
        let mut raw = StoreBatch::new();
        for op in writes.ops() {
            raw.put_version(op.cf, &op.key, sequence, op.value.as_deref());
        }
        store.apply(&raw).unwrap();
        match sequence.get() {
            // The load attaches its delta at 200 and reads the store at 250, in two goes.
            200 => cache = Some(RegionCache::loading(whole.clone(), &meter)),
            250 => {
                let cache = cache.as_ref().unwrap();
                for cf in [CF, ColumnFamily::new(255)] {
                    for version in store::scan_versions(&store, cf, &whole) {
                        let (version, value) = version.unwrap();
                        if version.sequence <= sequence {
                            cache.fill(cf, version.key, version.sequence, value);
                        }
                    }
                }
                cache.finish_load(sequence);
            }
            _ => {}
        }
        let Some(cache) = &cache else { continue };
        cache.insert(&writes, sequence);
        if sequence.get() < 250 {
            assert_eq!(cache.get_at(CF, b"a", sequence), Err(CacheRefusal::Loading));
            continue;
        }
        let at = Sequence::new(250 + random.below(sequence.get() - 249));
        let (cf, key) = (
            ColumnFamily::new([0, 255][random.below(2) as usize]),
            random.key(),
        );
        assert_eq!(
            cache.get_at(cf, &key, at).unwrap(),
            store::get_at(&store, cf, &key, at).unwrap(),
            "seed {seed:#x}, {key:?} at {at} of {sequence}"
        );
        if sequence.get() % 10 == 0 {
            let end = (random.below(3) > 0).then(|| random.key());
            let Some(part) = KeyRange::new(random.key(), end) else {
                continue;
            };
            for direction in [Direction::Forward, Direction::Reverse] {
                let cached: Vec<_> = cache.scan_at(cf, &part, at, direction).unwrap().collect();
                let stored = store::scan_at(&store, cf, &part, at, direction);
                let stored: Vec<_> = stored.map(|row| row.unwrap()).collect();
                assert_eq!(
                    cached, stored,
                    "seed {seed:#x}, {part} at {at} of {sequence}"
                );
            }
        }
    }
    let cache = cache.unwrap();
    assert_eq!(cache.load_sequence(), Some(Sequence::new(250)));
    let (sequence, load_sequence) = (Sequence::new(249), Sequence::new(250));
    let refusal = CacheRefusal::TooOld {
        sequence,
        load_sequence,
    };
    assert_eq!(cache.get_at(CF, b"a", sequence), Err(refusal));
    assert!(
        cache
            .scan_at(CF, &whole, sequence, Direction::Forward)
            .is_err()
    );
}

#[test]
fn bytes_are_counted_exactly_and_are_back_to_zero_when_the_last_view_goes() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let fill = |sequence, value: Option<Vec<u8>>| {
        let before = cache.bytes();
        cache.fill(
            CF,
            Key::from(*b"key"),
            Sequence::new(sequence),
            value.map(Into::into),
        );
        assert_eq!(cache.bytes(), meter.bytes());
        cache.bytes() as i64 - before as i64
    };
    let deletion = fill(1, None);
    assert!(deletion > 3, "a version takes more than its key");
    assert_eq!(fill(2, Some(vec![0; 1000])), deletion + 1000);
    assert_eq!(fill(2, Some(vec![0; 1000])), 0, "the same again");
    assert_eq!(fill(2, Some(vec![0; 10])), -990);
    assert_eq!(fill(2, None), -10);
    assert_eq!(cache.versions(), 2);

    let other = loaded(&meter, "abc");
    assert_eq!(meter.bytes(), cache.bytes() + other.bytes());
    let (view, pin) = (other.view(range("b", "c")).unwrap(), other.pin());
    drop((cache, other, view));
    assert!(meter.bytes() > 0, "the pin holds it");
    assert_eq!(keys(&pin, &KeyRange::all(), Direction::Forward), "abc");
    drop(pin);
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn a_view_answers_for_its_own_range_and_takes_no_others_writes() {
    let meter = CacheMeter::new();
    let parent = loaded(&meter, "abcxyz");
    let (left, right) = (
        parent.view(range("", "m")).unwrap(),
        parent.view(range("m", "")).unwrap(),
    );
    drop(parent);
    assert_eq!(
        left.get_at(CF, b"x", Sequence::MAX),
        Err(CacheRefusal::Outside)
    );
    assert!(
        left.scan_at(CF, &range("a", "n"), Sequence::MAX, Direction::Forward)
            .is_err()
    );
    assert!(left.view(range("a", "n")).is_none());
    assert_eq!(keys(&left, left.range(), Direction::Forward), "abc");
    assert_eq!(keys(&right, right.range(), Direction::Reverse), "zyx");

    let mut batch = WriteBatch::new();
    batch.put(*b"d", *b"1").put(*b"q", *b"1");
    left.insert(&batch, Sequence::new(2));
    left.fill(CF, Key::from(*b"r"), Sequence::new(2), None);
    assert_eq!(keys(&left, left.range(), Direction::Forward), "abcd");
    assert_eq!(right.versions(), 7, "q and r were left out");

    let before = meter.bytes();
    let freed = left.free();
    assert_eq!((freed > 0, meter.bytes()), (true, before - freed));
    assert_eq!(keys(&right, right.range(), Direction::Forward), "xyz");
    drop((left, right));
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn pins_are_counted_per_view_and_eviction_can_wait_for_them() {
    let meter = CacheMeter::new();
    let parent = loaded(&meter, "ab");
    let child = parent.view(range("b", "")).unwrap();
    let pins = [parent.pin(), parent.clone().pin()];
    assert_eq!((parent.pins(), child.pins()), (2, 0));
    assert!(child.wait_unpinned(Duration::ZERO));
    assert!(!parent.wait_unpinned(Duration::from_millis(5)));
    let (tell, told) = mpsc::channel();
    let waiter = parent.clone();
    let thread = std::thread::spawn(move || tell.send(waiter.wait_unpinned(Duration::MAX)));
    let [first, second] = pins;
    drop(first);
    assert!(
        told.recv_timeout(Duration::from_millis(20)).is_err(),
        "one is still held"
    );
    drop(second);
    assert!(told.recv().unwrap());
    thread.join().unwrap().unwrap();
    assert_eq!(parent.pins(), 0);
}

#[test]
fn a_scan_longer_than_a_page_sees_every_key_once_while_writes_go_on() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    for n in 0..1000_u32 {
        cache.fill(
            CF,
            Key::from(n.to_be_bytes()),
            Sequence::new(1),
            Some([1].into()),
        );
    }
    cache.finish_load(Sequence::new(1));
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut seen = Vec::new();
        for (key, _) in cache
            .scan_at(CF, &KeyRange::all(), Sequence::new(1), direction)
            .unwrap()
        {
            let mut batch = WriteBatch::new();
            batch
                .delete(key.clone())
                .put([&key[..], b"x"].concat(), *b"new");
            cache.insert(&batch, Sequence::new(2));
            seen.push(u32::from_be_bytes(key[..].try_into().unwrap()));
        }
        if direction == Direction::Reverse {
            seen.reverse();
        }
        assert_eq!(seen, (0..1000).collect::<Vec<_>>(), "{direction:?}");
    }
}
