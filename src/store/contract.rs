//! The contract of [`DataStore`] and [`StoreFactory`], held to by every implementation alike.
//!
//! Here too: the seeded random numbers that the tests of this room share.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// One implementation, in a place of its own.
pub(crate) struct Subject {
    pub(crate) factory: Box<dyn StoreFactory>,
    pub(crate) place: TempDir,
}

impl Subject {
    pub(crate) fn open(&self) -> Arc<dyn DataStore> {
        self.open_as(StoreOpenMode::CreateOrOpen).unwrap()
    }

    fn open_as(&self, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        self.factory.open(&self.place.path().join("data"), mode)
    }
}

/// Every implementation, empty.
pub(crate) fn subjects() -> Vec<Subject> {
    let factories: Vec<Box<dyn StoreFactory>> = vec![
        Box::new(MemoryFactory::new(MemoryStore::new())),
        Box::new(SledFactory {
            options: SledOptions {
                cache_bytes: 4 << 20,
                lock_wait: Duration::from_millis(1500),
                ..SledOptions::default()
            },
        }),
        #[cfg(feature = "store-redb")]
        Box::new(RedbFactory {
            options: RedbOptions {
                cache_bytes: 4 << 20,
                lock_wait: Duration::from_millis(300),
            },
        }),
    ];
    let place = || tempfile::tempdir().unwrap();
    factories
        .into_iter()
        .map(|factory| Subject {
            factory,
            place: place(),
        })
        .collect()
}

/// SplitMix64: the same numbers for the same seed.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A short key of few letters, so that keys collide and are prefixes of each other.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        let letters = [0x00, 0x01, b'a', b'b', 0xfe, 0xff];
        let length = self.below(12);
        (0..length)
            .map(|_| letters[self.below(6) as usize])
            .collect()
    }
}

type Apply = fn(&dyn DataStore, &StoreBatch) -> Result<(), StoreError>;

/// Both ways to apply a batch.
const WAYS: [Apply; 2] = [
    |store, batch| store.apply(batch),
    |store, batch| store.apply_each(batch),
];

/// Every implementation, empty, with each way to apply a batch.
fn subjects_and_ways() -> impl Iterator<Item = (Subject, Apply)> {
    let subjects = |apply: Apply| subjects().into_iter().map(move |one| (one, apply));
    WAYS.into_iter().flat_map(subjects)
}

fn batch(rows: &[(&[u8], Option<&[u8]>)]) -> StoreBatch {
    let mut batch = StoreBatch::new();
    for (key, value) in rows {
        match value {
            Some(value) => batch.put(key.to_vec(), value.to_vec()),
            None => batch.delete(key.to_vec()),
        }
    }
    batch
}

fn rows(store: &dyn DataStore, range: &RawRange, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    store
        .scan(range, direction)
        .map(|row| row.unwrap())
        .collect()
}

fn expected(
    model: &BTreeMap<Vec<u8>, Vec<u8>>,
    range: &RawRange,
    direction: Direction,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> = match (range.is_empty(), &range.end) {
        (true, _) => Vec::new(),
        (false, None) => model.range(range.start.clone()..).collect(),
        (false, Some(end)) => model
            .range::<Vec<u8>, _>((Bound::Included(&range.start), Bound::Excluded(end)))
            .collect(),
    };
    if direction == Direction::Reverse {
        rows.reverse();
    }
    rows.into_iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[test]
fn later_changes_of_a_key_in_one_batch_win() {
    for (subject, apply) in subjects_and_ways() {
        let store = subject.open();
        apply(
            &*store,
            &batch(&[
                (b"a", Some(b"1")),
                (b"a", Some(b"2")),
                (b"b", Some(b"1")),
                (b"b", None),
                (b"c", None),
                (b"c", Some(b"")),
            ]),
        )
        .unwrap();
        assert_eq!(
            store.get(b"a").unwrap().as_deref(),
            Some(&b"2"[..]),
            "{store:?}"
        );
        assert_eq!(store.get(b"b").unwrap(), None, "{store:?}");
        assert_eq!(
            store.get(b"c").unwrap().as_deref(),
            Some(&b""[..]),
            "{store:?}"
        );
    }
}

#[test]
fn gets_and_scans_agree_with_a_map_after_any_history_and_after_reopening() {
    for (subject, apply) in subjects_and_ways() {
        let seed = 0x5eed_0001;
        let mut random = Seeded(seed);
        let mut model = BTreeMap::new();
        for round in 0..4 {
            let store = subject.open();
            for _ in 0..150 {
                let mut changes = StoreBatch::new();
                for _ in 0..random.below(6) {
                    let key = random.key();
                    if random.below(3) == 0 {
                        model.remove(&key);
                        changes.delete(key);
                    } else {
                        let value =
                            random.next().to_le_bytes()[..random.below(9) as usize].to_vec();
                        model.insert(key.clone(), value.clone());
                        changes.put(key, value);
                    }
                }
                apply(&*store, &changes).unwrap();
                let key = random.key();
                assert_eq!(
                    store.get(&key).unwrap(),
                    model.get(&key).cloned(),
                    "seed {seed:#x}"
                );
            }
            for _ in 0..60 {
                let end = (random.below(4) > 0).then(|| random.key());
                let range = RawRange {
                    start: random.key(),
                    end,
                };
                for direction in [Direction::Forward, Direction::Reverse] {
                    assert_eq!(
                        rows(&*store, &range, direction),
                        expected(&model, &range, direction),
                        "{store:?}, seed {seed:#x}, round {round}, {range:?}, {direction:?}"
                    );
                }
            }
            store.flush().unwrap();
            assert!(store.size_bytes().unwrap() > 0);
        }
    }
}

#[test]
fn rows_that_stay_are_seen_exactly_once_while_others_come_and_go() {
    for (subject, apply) in subjects_and_ways() {
        let store = subject.open();
        let name = |kind: &str, n: u32| format!("{n:06}{kind}").into_bytes();
        let mut first = StoreBatch::new();
        for n in 0..2000 {
            first.put(name("stays", n), vec![b'v'; 40]);
            first.put(name("goes", n), vec![b'v'; 40]);
        }
        apply(&*store, &first).unwrap();
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut seen = 0;
            for (position, row) in store.scan(&RawRange::all(), direction).enumerate() {
                let (key, _) = row.unwrap();
                if key.ends_with(b"stays") {
                    let n = if direction == Direction::Forward {
                        seen
                    } else {
                        1999 - seen
                    };
                    assert_eq!(key, name("stays", n), "{store:?}, {direction:?}");
                    seen += 1;
                }
                let n = (position as u32).wrapping_mul(977) % 2000;
                let mut change = StoreBatch::new();
                change.delete(name("goes", n));
                change.put(name("new", n), vec![b'w'; 300]);
                apply(&*store, &change).unwrap();
            }
            assert_eq!(seen, 2000, "{store:?}, {direction:?}");
        }
    }
}

#[test]
fn flushed_rows_of_every_size_are_there_after_reopening() {
    for (subject, apply) in subjects_and_ways() {
        let store = subject.open();
        let sizes = [0, 1, 4096, 200_000, WriteBatch::VALUE_BYTES_MAX + 1];
        for (n, size) in sizes.iter().enumerate() {
            let mut change = StoreBatch::new();
            change.put(vec![n as u8], vec![n as u8; *size]);
            apply(&*store, &change).unwrap();
        }
        let longest_key = DataKey {
            cf: ColumnFamily::DEFAULT,
            key: vec![0xff; crate::Region::KEY_BYTES_MAX].into(),
            sequence: crate::Sequence::new(7),
        }
        .encode();
        apply(&*store, &batch(&[(&longest_key, Some(b"x"))])).unwrap();
        store.flush().unwrap();
        drop(store);
        let store = subject.open_as(StoreOpenMode::ExistingOnly).unwrap();
        for (n, size) in sizes.iter().enumerate() {
            let value = store.get(&[n as u8]).unwrap().unwrap();
            assert!(value == vec![n as u8; *size], "{store:?}, {size} bytes");
        }
        assert_eq!(store.get(&longest_key).unwrap().as_deref(), Some(&b"x"[..]));
    }
}

#[test]
fn a_store_has_one_holder_at_a_time() {
    for subject in subjects() {
        let store = subject.open();
        let second = subject.open_as(StoreOpenMode::ExistingOnly);
        assert!(
            matches!(second, Err(StoreOpenError::Busy { .. })),
            "{second:?}"
        );
        drop(store);
        subject.open_as(StoreOpenMode::ExistingOnly).unwrap();
    }
}

#[test]
fn a_missing_store_is_only_made_when_asked() {
    for subject in subjects() {
        let missing = subject.open_as(StoreOpenMode::ExistingOnly);
        assert!(
            matches!(missing, Err(StoreOpenError::Missing { .. })),
            "{missing:?}"
        );
        drop(subject.open());
        subject.open_as(StoreOpenMode::ExistingOnly).unwrap();
    }
}

#[test]
fn writers_and_scanners_on_many_threads_do_not_disturb_each_other() {
    for (subject, apply) in subjects_and_ways() {
        let store = subject.open();
        std::thread::scope(|scope| {
            for writer in 0..3_u8 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..300_u32 {
                        let mut change = StoreBatch::new();
                        change.put([&[writer][..], &n.to_be_bytes()].concat(), vec![writer; 20]);
                        apply(&**store, &change).unwrap();
                        if n % 100 == 0 {
                            store.flush().unwrap();
                        }
                    }
                });
            }
            let store = &store;
            scope.spawn(move || {
                for _ in 0..20 {
                    let seen = rows(&**store, &RawRange::all(), Direction::Forward);
                    assert!(seen.is_sorted());
                    // Each writer's rows come in order, so what is seen of one is a prefix.
                    for writer in 0..3_u8 {
                        let of_one = seen.iter().filter(|(key, _)| key[0] == writer);
                        for (n, (key, _)) in of_one.enumerate() {
                            assert_eq!(key[1..], (n as u32).to_be_bytes());
                        }
                    }
                }
            });
        });
        assert_eq!(
            rows(&*store, &RawRange::all(), Direction::Reverse).len(),
            900
        );
    }
}

/// Enough rows that what holds them is divided many times while it is read.
#[test]
fn what_stays_is_seen_exactly_once_while_many_threads_write_between_it() {
    const STAYS: u32 = 3000;
    for (subject, apply) in subjects_and_ways() {
        let store = subject.open();
        let stays = |n: u32| [&n.to_be_bytes()[..], b"stays"].concat();
        let mut first = StoreBatch::new();
        (0..STAYS).for_each(|n| first.put(stays(n), vec![b'v'; 40]));
        store.apply(&first).unwrap();
        let expected: Vec<Vec<u8>> = (0..STAYS).map(stays).collect();
        std::thread::scope(|scope| {
            let store = &store;
            for writer in 0..2_u8 {
                scope.spawn(move || {
                    for n in 0..1500_u32 {
                        let at = n.wrapping_mul(977) % STAYS;
                        let mut change = StoreBatch::new();
                        for part in 0..4_u8 {
                            let name = [&at.to_be_bytes()[..], &[writer, part]].concat();
                            match n % 3 {
                                0 => change.delete(name),
                                _ => change.put(name, vec![writer; 100]),
                            }
                        }
                        apply(&**store, &change).unwrap();
                    }
                });
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                let mut expected = expected.clone();
                if direction == Direction::Reverse {
                    expected.reverse();
                }
                scope.spawn(move || {
                    for _ in 0..8 {
                        let all = rows(&**store, &RawRange::all(), direction);
                        let seen = all.into_iter().map(|(key, _)| key);
                        let seen = seen.filter(|key| key.ends_with(b"stays"));
                        assert!(
                            seen.eq(expected.iter().cloned()),
                            "{store:?}, {direction:?}"
                        );
                    }
                });
            }
        });
    }
}
