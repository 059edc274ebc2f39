//! Random histories against a store that keeps every version: what a cache answers is what the store
//! answers, whatever was merged, split or let go meanwhile.

use super::*;

const CFS: [ColumnFamily; 3] = [CF, ColumnFamily::WRITE, ColumnFamily::new(255)];

struct World {
    seed: u64,
    random: Seeded,
    store: MemoryStore,
    meter: CacheMeter,
    sequence: u64,
}

impl World {
    /// Writes a batch of short, colliding keys.
    fn write(&mut self) -> WriteBatch {
        let mut writes = WriteBatch::new();
        for _ in 0..1 + self.random.below(4) {
            let cf = CFS[self.random.below(3) as usize];
            match self.random.below(3) {
                0 => writes.delete_cf(cf, self.random.key()),
                _ => writes.put_cf(cf, self.random.key(), self.random.next().to_be_bytes()),
            };
        }
        self.sequence += 1;
        let mut raw = StoreBatch::new();
        for op in writes.ops() {
            raw.put_version(op.cf, &op.key, at(self.sequence), op.value.as_deref());
        }
        self.store.apply(&raw).unwrap();
        writes
    }

    fn fill(&self, cache: &RegionCache, sequence: u64) {
        let mut loader = cache.loader(at(sequence));
        for cf in CFS {
            let rows = store::scan_at(
                &self.store,
                cf,
                cache.range(),
                at(sequence),
                Direction::Forward,
            );
            for row in rows {
                let (key, value) = row.unwrap();
                loader.push(cf, &key, &value);
            }
        }
        loader.finish();
    }

    fn compare(&mut self, pin: &CachePin, sequence: u64, scans: bool) {
        let what = format!("seed {:#x}, at {sequence} of {}", self.seed, self.sequence);
        for cf in CFS {
            let key = self.random.key();
            match pin.get(cf, &key, at(sequence)) {
                Ok(cached) => {
                    let stored = store::get_at(&self.store, cf, &key, at(sequence)).unwrap();
                    assert_eq!(cached, stored.as_deref(), "{key:?}, {what}");
                }
                Err(refusal) => {
                    assert_eq!(refusal, CacheRefusal::Outside, "{what}");
                    assert!(!pin.range().contains(&key), "{key:?}, {what}");
                }
            }
            if !scans {
                continue;
            }
            let end = (self.random.below(3) > 0).then(|| self.random.key());
            let part = KeyRange::new(self.random.key(), end);
            let Some(part) = part.and_then(|part| part.intersection(pin.range())) else {
                continue;
            };
            for direction in [Direction::Forward, Direction::Reverse] {
                let cached: Vec<(Vec<u8>, Vec<u8>)> = pin
                    .scan(cf, &part, at(sequence), direction)
                    .unwrap()
                    .map(|(key, value)| (key.to_vec(), value.to_vec()))
                    .collect();
                let stored = store::scan_at(&self.store, cf, &part, at(sequence), direction);
                let stored: Vec<_> = stored
                    .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
                    .collect::<Result<_, _>>()
                    .unwrap();
                assert_eq!(cached, stored, "{direction:?} {part} {what}");
            }
        }
    }
}

/// A cached region, and pins that were taken of it or of what it was split from.
struct Cached {
    cache: RegionCache,
    pins: Vec<(u64, CachePin)>,
}

fn play(seed: u64) {
    let mut world = World {
        seed,
        random: Seeded(seed),
        store: MemoryStore::new(),
        meter: CacheMeter::new(),
        sequence: 0,
    };
    let mut regions: Vec<Cached> = Vec::new();
    let mut gone: Vec<(u64, CachePin)> = Vec::new();
    for step in 0..500 {
        match world.random.below(20) {
            // Everything is let go, and loaded again while writes go on.
            0 => {
                for region in regions.drain(..) {
                    region.cache.free();
                    gone.extend(region.pins);
                }
                let cache = RegionCache::loading(KeyRange::all(), &world.meter);
                let sequence = world.sequence;
                for _ in 0..world.random.below(4) {
                    let batch = world.write();
                    cache.insert(&batch, at(world.sequence));
                }
                world.fill(&cache, sequence);
                regions.push(Cached {
                    cache,
                    pins: Vec::new(),
                });
            }
            1..9 => {
                let batch = world.write();
                for region in &regions {
                    region.cache.insert(&batch, at(world.sequence));
                }
            }
            9..12 => {
                for region in &regions {
                    if world.random.below(2) == 0 {
                        let back = world.random.below(5);
                        assert!(region.cache.merge(at(world.sequence.saturating_sub(back))));
                    }
                }
            }
            12 if !regions.is_empty() && regions.len() < 6 => {
                let which = world.random.below(regions.len() as u64) as usize;
                let boundary = Key::from(world.random.key());
                let whole = regions[which].cache.range().clone();
                let left = KeyRange::new(whole.start().clone(), Some(boundary.clone()));
                let right = KeyRange::new(boundary.clone(), whole.end().cloned());
                if let (true, Some(left), Some(right)) = (whole.contains(&boundary), left, right) {
                    let before = regions.swap_remove(which);
                    gone.extend(before.pins);
                    for part in [left, right] {
                        let cache = before.cache.part(part).unwrap();
                        regions.push(Cached {
                            cache,
                            pins: Vec::new(),
                        });
                    }
                }
            }
            13 => {
                for region in &mut regions {
                    let back = world.random.below(4);
                    let sequence = world.sequence.saturating_sub(back);
                    match region.cache.pin(at(sequence)) {
                        Ok(pin) => region.pins.push((sequence, pin)),
                        Err(refusal) => {
                            assert!(matches!(refusal, CacheRefusal::TooOld { .. }), "{refusal}");
                            assert!(region.cache.floor().unwrap() > at(sequence));
                        }
                    }
                }
            }
            14 => {
                for region in &mut regions {
                    region.pins.clear();
                }
                gone.clear();
            }
            _ => {
                for region in &regions {
                    let pin = region.cache.pin(at(world.sequence)).unwrap();
                    world.compare(&pin, world.sequence, step % 2 == 0);
                    for (sequence, pin) in &region.pins {
                        world.compare(pin, *sequence, step % 4 == 0);
                    }
                }
                for (sequence, pin) in &gone {
                    world.compare(pin, *sequence, step % 4 == 0);
                }
            }
        }
    }
    drop((regions, gone));
    assert_eq!(world.meter.bytes(), 0, "seed {seed:#x}");
}

#[test]
fn a_cache_answers_as_the_store_does_through_any_history() {
    let seed = std::env::var("TORRENS_SEED").map_or(0x5eed_0004, |seed| seed.parse().unwrap());
    for seed in seed..seed + 40 {
        play(seed);
    }
}

#[test]
fn large_regions_answer_as_a_map_does() {
    use std::collections::BTreeMap;
    let seed = 0x5eed_0005;
    let mut random = Seeded(seed);
    let meter = CacheMeter::new();
    // Keys that share long prefixes, keys that differ only beyond eight bytes, and ordinary ones.
    let name = |random: &mut Seeded| -> Vec<u8> {
        let n = random.below(40_000);
        match n % 3 {
            0 => format!("table/17/row/{:06}", n).into_bytes(),
            1 => format!("u{:014}/x{:03}", n / 900, n % 900).into_bytes(),
            _ => n.to_be_bytes().to_vec(),
        }
    };
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for _ in 0..30_000 {
        let value = vec![7; random.below(60) as usize];
        model.insert(name(&mut random), value);
    }
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let mut loader = cache.loader(at(1));
    for (key, value) in &model {
        loader.push(CF, key, value);
    }
    loader.finish();
    for sequence in 2..6000 {
        let mut batch = WriteBatch::new();
        for _ in 0..random.below(5) {
            let key = name(&mut random);
            match random.below(3) {
                0 => {
                    model.remove(&key);
                    batch.delete(key);
                }
                _ => {
                    let value = random.next().to_be_bytes();
                    model.insert(key.clone(), value.to_vec());
                    batch.put(key, value);
                }
            }
        }
        cache.insert(&batch, at(sequence));
        if sequence % 1500 == 0 {
            assert!(cache.merge(at(sequence)));
        }
        let pin = cache.pin(at(sequence)).unwrap();
        let key = name(&mut random);
        let found = pin.get(CF, &key, at(sequence)).unwrap();
        assert_eq!(
            found,
            model.get(&key).map(|value| &value[..]),
            "seed {seed:#x}, {key:?}"
        );
        if sequence % 100 == 0 {
            let range = KeyRange::new(key.clone(), None::<Key>).unwrap();
            let some = 500;
            let rows = pin
                .scan(CF, &range, at(sequence), Direction::Forward)
                .unwrap();
            assert!(
                rows.take(some).eq(model
                    .range(key.clone()..)
                    .take(some)
                    .map(|(k, v)| (&k[..], &v[..]))),
                "seed {seed:#x}, from {key:?}"
            );
            let Some(range) = KeyRange::new([], Some(key.clone())) else {
                continue;
            };
            let rows = pin
                .scan(CF, &range, at(sequence), Direction::Reverse)
                .unwrap();
            assert!(
                rows.take(some).eq(model
                    .range(..key.clone())
                    .rev()
                    .take(some)
                    .map(|(k, v)| (&k[..], &v[..]))),
                "seed {seed:#x}, before {key:?}"
            );
        }
    }
}

#[test]
fn values_of_every_size_come_back() {
    let meter = CacheMeter::new();
    let cache = RegionCache::loading(KeyRange::all(), &meter);
    let sizes = [
        0,
        1,
        15,
        16,
        127,
        128,
        4096,
        300_000,
        WriteBatch::VALUE_BYTES_MAX,
    ];
    let mut loader = cache.loader(at(1));
    for (n, size) in sizes.iter().enumerate() {
        loader.push(CF, &[n as u8], &vec![n as u8; *size]);
    }
    loader.finish();
    let longest = vec![0xff; crate::Region::KEY_BYTES_MAX];
    let mut batch = WriteBatch::new();
    batch.put(longest.clone(), Value::from(vec![1; 3]));
    cache.insert(&batch, at(2));
    assert!(cache.merge(at(2)));
    let pin = cache.pin(at(2)).unwrap();
    for (n, size) in sizes.iter().enumerate() {
        let value = pin.get(CF, &[n as u8], at(2)).unwrap().unwrap();
        assert!(
            value.len() == *size && value.iter().all(|byte| *byte == n as u8),
            "{size}"
        );
    }
    assert_eq!(pin.get(CF, &longest, at(2)), Ok(Some(&[1, 1, 1][..])));
}
