use super::*;
use crate::store::contract::Seeded;
use crate::store::{self, ColumnFamily, DataStore, Direction, MemoryStore, StoreBatch, WriteBatch};
use crate::{Key, KeyRange, Sequence, Value};

mod histories;
mod orders;

const CF: ColumnFamily = ColumnFamily::DEFAULT;

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange::new(
        start.as_bytes(),
        (!end.is_empty()).then_some(end.as_bytes()),
    )
    .unwrap()
}

fn at(sequence: u64) -> Sequence {
    Sequence::new(sequence)
}

/// A loaded cache of everything with `keys` at sequence 1.
fn loaded(meter: &CacheMeter, keys: &str) -> RegionCache {
    let cache = RegionCache::loading(KeyRange::all(), meter);
    let mut loader = cache.loader(at(1));
    for key in keys.bytes() {
        loader.push(CF, &[key], &[key]);
    }
    loader.finish();
    cache
}

fn put(cache: &RegionCache, keys: &str, sequence: u64) {
    let mut batch = WriteBatch::new();
    for key in keys.bytes() {
        batch.put([key], sequence.to_be_bytes());
    }
    let _ = cache.insert(&batch, at(sequence));
}

fn keys(cache: &RegionCache, direction: Direction) -> String {
    let pin = cache.pin(Sequence::MAX).unwrap();
    let rows = pin
        .scan(CF, cache.range(), Sequence::MAX, direction)
        .unwrap();
    rows.map(|(key, _)| key[0] as char).collect()
}

#[test]
fn a_cache_that_is_loading_takes_writes_and_refuses_reads() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    put(&cache, "bd", 6);
    assert_eq!(cache.pin(at(6)).unwrap_err(), CacheRefusal::Loading);
    assert!(!cache.merge(at(6)), "there is nothing to merge into yet");
    let mut loader = cache.loader(at(5));
    for key in ["a", "b", "c"] {
        loader.push(CF, key.as_bytes(), b"loaded");
    }
    loader.finish();
    let (sequence, floor) = (at(4), at(5));
    assert_eq!(
        cache.pin(sequence).unwrap_err(),
        CacheRefusal::TooOld { sequence, floor }
    );
    let pin = cache.pin(at(5)).unwrap();
    assert_eq!(pin.get(CF, b"b", at(5)), Ok(Some(b"loaded".as_slice())));
    assert_eq!(pin.get(CF, b"b", at(6)), Ok(Some(&6_u64.to_be_bytes()[..])));
    assert_eq!(pin.get(CF, b"d", at(5)), Ok(None));
    assert_eq!(pin.get(ColumnFamily::LOCK, b"b", at(6)), Ok(None));
    assert_eq!(keys(&cache, Direction::Forward), "abcd");
    assert_eq!(keys(&cache, Direction::Reverse), "dcba");
}

#[test]
fn a_pin_sees_nothing_of_what_happens_after_it() {
    let meter = CacheMeter::new();
    let cache = loaded(&meter, "abc");
    put(&cache, "b", 2);
    let pin = cache.pin(at(2)).unwrap();
    put(&cache, "bx", 3);
    assert!(cache.merge(at(3)));
    let (sequence, floor) = (at(2), at(3));
    assert_eq!(
        cache.pin(sequence).unwrap_err(),
        CacheRefusal::TooOld { sequence, floor },
        "what an older read would need is gone"
    );
    assert_eq!(pin.get(CF, b"b", at(2)), Ok(Some(&2_u64.to_be_bytes()[..])));
    cache.free();
    assert_eq!(cache.pin(at(3)).unwrap_err(), CacheRefusal::Gone);
    put(&cache, "z", 4);
    let rows = pin.scan(CF, &KeyRange::all(), at(2), Direction::Forward);
    let names: Vec<_> = rows.unwrap().map(|(key, _)| key).collect();
    assert_eq!(names, [b"a", b"b", b"c"]);
    assert!(meter.bytes() > 0, "a pin's memory counts");
    assert_eq!(cache.pins(), 1);
    drop(pin);
    assert_eq!((cache.pins(), meter.bytes()), (0, 0));
}

#[test]
fn outside_of_the_range_nothing_is_answered_and_nothing_is_kept() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(range("b", "y"), &meter);
    let mut loader = cache.loader(at(1));
    for key in ["a", "b", "x", "y"] {
        loader.push(CF, key.as_bytes(), b"");
    }
    loader.finish();
    put(&cache, "acz", 2);
    assert_eq!(keys(&cache, Direction::Forward), "bcx");
    let pin = cache.pin(at(2)).unwrap();
    for key in [b"a", b"y"] {
        assert_eq!(pin.get(CF, key, at(2)), Err(CacheRefusal::Outside));
    }
    let wide = pin.scan(CF, &KeyRange::all(), at(2), Direction::Forward);
    assert_eq!(wide.unwrap_err(), CacheRefusal::Outside);
    assert!(cache.part(range("a", "c")).is_none());
}

#[test]
fn parts_of_a_split_share_memory_until_a_merge_lets_the_other_side_go() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let mut loader = cache.loader(at(1));
    // Several segments, so that whole ones lie on either side.
    for n in 0..6000_u32 {
        loader.push(CF, &n.to_be_bytes(), &[7; 50]);
    }
    loader.finish();
    let whole = meter.bytes();
    let middle = 3000_u32.to_be_bytes();
    let left = cache
        .part(KeyRange::new([], Some(middle)).unwrap())
        .unwrap();
    let right = cache
        .part(KeyRange::new(middle, None::<Key>).unwrap())
        .unwrap();
    drop(cache);
    assert!(meter.bytes() < whole + whole / 50, "nothing was copied");
    let sum = left.bytes() + right.bytes();
    assert!(sum.abs_diff(whole) < whole / 20, "{sum} of {whole}");
    assert_eq!((left.versions(), right.versions()), (3000, 3000));
    assert!(left.is_merge_useful() && right.is_merge_useful());
    assert!(left.merge(at(1)) && right.merge(at(1)));
    assert!(!left.is_merge_useful() && !right.is_merge_useful());
    right.free();
    assert!(
        meter.bytes() < whole * 11 / 20,
        "{} of {whole}",
        meter.bytes()
    );
    assert_eq!(
        left.pin(at(1))
            .unwrap()
            .scan(CF, left.range(), at(1), Direction::Forward)
            .unwrap()
            .count(),
        3000
    );
    drop((left, right));
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn a_merge_shares_what_it_does_not_touch_and_keeps_segments_from_shrinking() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let mut loader = cache.loader(at(1));
    for n in 0..20_000_u32 {
        loader.push(CF, &n.to_be_bytes(), &[7; 50]);
    }
    loader.finish();
    let (before, whole) = (cache.segments(), meter.bytes());
    let pin = cache.pin(at(1)).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(9_999_u32.to_be_bytes(), *b"new");
    let _ = cache.insert(&batch, at(2));
    assert!(cache.merge(at(2)));
    let copied = meter.bytes() - whole;
    assert!(
        copied < whole / 8,
        "{copied} of {whole} were copied for one row"
    );
    drop(pin);
    for round in 0..2000_u32 {
        let mut batch = WriteBatch::new();
        batch.delete((round * 9).to_be_bytes());
        let _ = cache.insert(&batch, at(3 + u64::from(round)));
        if round % 100 == 99 {
            assert!(cache.merge(at(3 + u64::from(round))));
        }
    }
    assert!(
        cache.segments() <= before + 2,
        "{} of {before}",
        cache.segments()
    );
    assert_eq!(cache.versions(), 18_000);
}

#[test]
fn versions_that_a_reader_may_ask_for_survive_merges() {
    let meter = CacheMeter::new();
    let cache = loaded(&meter, "ab");
    for sequence in 2..=9 {
        put(&cache, "b", sequence);
    }
    let mut batch = WriteBatch::new();
    batch.delete(*b"a");
    let _ = cache.insert(&batch, at(10));
    assert!(cache.merge(at(5)));
    assert_eq!(cache.floor(), Some(at(5)));
    let pin = cache.pin(at(5)).unwrap();
    for sequence in 5..=9 {
        let value = pin.get(CF, b"b", at(sequence)).unwrap().unwrap();
        assert_eq!(value, sequence.to_be_bytes());
        assert_eq!(pin.get(CF, b"a", at(sequence)), Ok(Some(b"a".as_slice())));
    }
    assert_eq!(pin.get(CF, b"a", at(10)), Ok(None));
    // a: a deletion over a value; b: 5 to 9.
    assert_eq!(cache.versions(), 2 + 5);
    assert!(cache.is_merge_useful());
    assert!(cache.merge(at(10)));
    assert_eq!(cache.versions(), 1, "only b's newest is left");
    assert!(!cache.is_merge_useful());
}

#[test]
fn a_region_at_rest_takes_less_than_one_and_a_half_times_its_bytes() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let mut loader = cache.loader(at(1));
    let rows = 50_000_u64;
    for n in 0..rows {
        let key = format!("t{n:020}");
        loader.push(CF, key.as_bytes(), &[7; 100]);
    }
    loader.finish();
    let logical = rows * 121;
    // All of it is the region's, but for the list of segments.
    assert!(meter.bytes() - cache.bytes() < logical / 1000);
    assert!(
        meter.bytes() * 10 <= logical * 12,
        "{} of {logical}",
        meter.bytes()
    );
    // Written rather than loaded, it comes to the same.
    let written = RegionCache::loading(KeyRange::all(), &meter);
    written.loader(at(1)).finish();
    for n in 0..rows {
        let mut batch = WriteBatch::new();
        batch.put(format!("t{n:020}").into_bytes(), [7; 100]);
        if written.insert(&batch, at(2 + n)) {
            assert!(written.merge(at(2 + n)));
        }
    }
    assert!(written.merge(at(2 + rows)));
    assert!(
        written.bytes() * 10 <= logical * 12,
        "{} of {logical}",
        written.bytes()
    );
}

#[test]
fn segments_that_shrank_are_joined_with_their_neighbours() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let (per_segment, segments) = (segment::SEGMENT_KEYS_MAX as u32, 20);
    let mut loader = cache.loader(at(1));
    for n in 0..per_segment * segments {
        loader.push(CF, &n.to_be_bytes(), &[7; 50]);
    }
    loader.finish();
    assert_eq!(cache.segments(), segments as usize);
    // One segment shrinks to a sixteenth at a time; each merge finds its neighbours untouched.
    for segment in 0..segments {
        let mut batch = WriteBatch::new();
        for n in segment * per_segment..(segment + 1) * per_segment {
            if n % 16 > 0 {
                batch.delete(n.to_be_bytes());
            }
        }
        let sequence = at(2 + u64::from(segment));
        let _ = cache.insert(&batch, sequence);
        assert!(cache.merge(sequence));
    }
    let left = (per_segment * segments / 16) as usize;
    assert_eq!(cache.versions(), left);
    let packed = left.div_ceil(per_segment as usize);
    assert!(
        cache.segments() <= packed + 1,
        "{} segments for what fits in {packed}",
        cache.segments()
    );
}

#[test]
fn a_region_rests_from_the_second_look_after_its_last_write() {
    let meter = CacheMeter::new();
    let cache = loaded(&meter, "abc");
    assert!(cache.begin_rest(), "nothing was written yet");
    put(&cache, "b", 2);
    assert!(!cache.begin_rest());
    assert!(cache.begin_rest());
    put(&cache, "b", 3);
    put(&cache, "b", 4);
    assert!(!cache.begin_rest());
    assert!(!cache.has_foreign());
    let part = cache.part(range("b", "")).unwrap();
    assert!(part.has_foreign());
    assert!(part.merge(at(4)));
    assert!(!part.has_foreign());
}
