use std::cmp::Reverse;
use std::collections::BTreeMap;

use std::ops::ControlFlow;

use super::*;
use crate::store::contract::{Seeded, subjects};
use crate::store::{MemoryStore, StoreBatch, visit_at};

const CF: ColumnFamily = ColumnFamily::DEFAULT;

/// What was written, as a plain list per key, oldest first.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, Vec<Written>>);

/// Sequence, and the value or a deletion.
type Written = (u64, Option<Vec<u8>>);

impl Model {
    fn get_at(&self, key: &[u8], sequence: u64) -> Option<Vec<u8>> {
        let versions = self.0.get(key)?;
        versions
            .iter()
            .rfind(|(written, _)| *written <= sequence)?
            .1
            .clone()
    }

    fn scan_at(&self, range: &KeyRange, sequence: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = self.0.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((key.clone(), self.get_at(key, sequence)?)))
            .collect()
    }
}

fn scanned(
    store: &dyn DataStore,
    range: &KeyRange,
    sequence: u64,
    direction: Direction,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = scan_at(store, CF, range, Sequence::new(sequence), direction);
    let rows: Vec<_> = rows
        .map(|row| {
            row.map(|(key, value)| (key.to_vec(), value.to_vec()))
                .unwrap()
        })
        .collect();
    if direction == Direction::Forward {
        // Whoever visits all rows sees the same, and no more than it wants.
        let enough = rows.len() / 2;
        for wanted in [rows.len() + 1, enough + 1] {
            let mut visited = Vec::new();
            let visit = |key: &[u8], value: &[u8]| {
                visited.push((key.to_vec(), value.to_vec()));
                match visited.len() < wanted {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            visit_at(store, CF, range, Sequence::new(sequence), visit).unwrap();
            assert_eq!(visited, rows[..wanted.min(rows.len())]);
        }
    }
    rows
}

#[test]
fn reads_at_any_sequence_agree_with_a_plain_model() {
    for subject in subjects() {
        let seed = 0x5eed_0002;
        let mut random = Seeded(seed);
        let store = subject.open();
        let mut model = Model::default();
        for sequence in 1..=400_u64 {
            let mut batch = StoreBatch::new();
            for _ in 0..1 + random.below(3) {
                let key = random.key();
                let value = (random.below(3) > 0).then(|| sequence.to_be_bytes().to_vec());
                batch.put_version(CF, &key, Sequence::new(sequence), value.as_deref());
                // Another family with the same keys must never show.
                batch.put_version(
                    ColumnFamily::new(1),
                    &key,
                    Sequence::new(sequence),
                    Some(b"no"),
                );
                let versions = model.0.entry(key).or_default();
                versions.retain(|(written, _)| *written != sequence);
                versions.push((sequence, value));
            }
            store.apply(&batch).unwrap();

            let (key, at) = (random.key(), random.below(sequence + 2));
            let value = get_at(&*store, CF, &key, Sequence::new(at)).unwrap();
            assert_eq!(
                value.map(|v| v.to_vec()),
                model.get_at(&key, at),
                "seed {seed:#x}"
            );
            if sequence % 10 == 0 {
                let end = (random.below(3) > 0).then(|| random.key());
                let Some(range) = KeyRange::new(random.key(), end) else {
                    continue;
                };
                let mut expected = model.scan_at(&range, at);
                let place = format!("seed {seed:#x}, {range} at {at} of {sequence}");
                assert_eq!(
                    scanned(&*store, &range, at, Direction::Forward),
                    expected,
                    "{place}"
                );
                expected.reverse();
                assert_eq!(
                    scanned(&*store, &range, at, Direction::Reverse),
                    expected,
                    "{place}"
                );
            }
        }
        let walked: Vec<_> = scan_versions(&*store, CF, &KeyRange::all())
            .map(|version| version.unwrap().0)
            .map(|version| (version.key, Reverse(version.sequence)))
            .collect();
        assert!(walked.is_sorted(), "by key, newest first");
        assert_eq!(walked.len(), model.0.values().map(Vec::len).sum::<usize>());
    }
}

#[test]
fn a_walk_sees_one_picture_while_writes_go_on() {
    for subject in subjects() {
        let store = subject.open();
        let write = |sequence: u64, step: usize| {
            let mut batch = StoreBatch::new();
            for n in (0..500_u32).step_by(step) {
                let value = (n % 3 > 0).then_some(b"new".as_slice());
                batch.put_version(CF, &n.to_be_bytes(), Sequence::new(sequence), value);
            }
            store.apply(&batch).unwrap();
        };
        write(1, 1);
        for direction in [Direction::Forward, Direction::Reverse] {
            let before = scanned(&*store, &KeyRange::all(), 1, direction);
            let rows = scan_at(&*store, CF, &KeyRange::all(), Sequence::new(1), direction);
            let mut during = Vec::new();
            for row in rows {
                let (key, value) = row.unwrap();
                during.push((key.to_vec(), value.to_vec()));
                if during.len() % 100 == 0 {
                    write(2 + during.len() as u64, 7);
                }
            }
            assert_eq!(during, before, "{store:?}, {direction:?}");
        }
    }
}

#[test]
fn the_oldest_and_the_newest_sequence_are_readable() {
    let store = MemoryStore::new();
    let mut batch = StoreBatch::new();
    batch.put_version(CF, b"k", Sequence::ZERO, Some(b"oldest"));
    batch.put_version(CF, b"k", Sequence::MAX, Some(b"newest"));
    batch.put_version(CF, b"k\0", Sequence::new(1), Some(b"neighbour"));
    store.apply(&batch).unwrap();
    let get = |sequence| get_at(&store, CF, b"k", sequence).unwrap().unwrap();
    assert_eq!(&*get(Sequence::ZERO), b"oldest");
    assert_eq!(&*get(Sequence::new(u64::MAX - 1)), b"oldest");
    assert_eq!(&*get(Sequence::MAX), b"newest");
    assert_eq!(get_at(&store, CF, b"", Sequence::MAX).unwrap(), None);
}

#[test]
fn an_unreadable_entry_is_an_error_and_ends_the_walk() {
    for (raw_key, value) in [
        (
            b"d\x00\x00\x00junk that is long enough".to_vec(),
            b"\x01v".to_vec(),
        ),
        (
            super::super::keys::data_key(CF, b"k", Sequence::new(5)),
            b"\x07v".to_vec(),
        ),
    ] {
        let store = MemoryStore::new();
        let mut batch = StoreBatch::new();
        batch.put_version(CF, b"z", Sequence::new(1), Some(b"v"));
        batch.put(raw_key.clone(), value);
        store.apply(&batch).unwrap();
        let mut rows = scan_at(
            &store,
            CF,
            &KeyRange::all(),
            Sequence::MAX,
            Direction::Forward,
        );
        match rows.next() {
            Some(Err(StoreError::BadEntry { raw_key: found, .. })) => assert_eq!(found, raw_key),
            other => panic!("{other:?}"),
        }
        assert!(rows.next().is_none());
    }
}

#[test]
fn what_a_range_deletion_hides_is_not_visited_either() {
    for subject in subjects() {
        let store = subject.open();
        let mut batch = StoreBatch::new();
        for name in [b"a", b"b", b"c"] {
            batch.put_version(CF, name, Sequence::new(1), Some(b"old"));
        }
        let hidden = KeyRange::new(*b"b", None::<[u8; 1]>).unwrap();
        batch.delete_range(CF, &hidden, Sequence::new(2));
        batch.put_version(CF, b"c", Sequence::new(3), Some(b"new"));
        store.apply(&batch).unwrap();
        let names = |sequence| -> Vec<_> {
            let rows = scanned(&*store, &KeyRange::all(), sequence, Direction::Forward);
            rows.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(names(1), [b"a", b"b", b"c"]);
        assert_eq!(names(2), [b"a"]);
        assert_eq!(names(3), [b"a", b"c"]);
    }
}
