use super::*;
use crate::KeyRange;
use crate::store::contract::{Seeded, subjects};
use crate::store::{get_at, range_deletions, scan_at};

const FAMILIES: [ColumnFamily; 2] = [ColumnFamily::DEFAULT, ColumnFamily::WRITE];

fn some_range(random: &mut Seeded) -> KeyRange {
    loop {
        let end = (random.below(4) > 0).then(|| random.key());
        if let Some(range) = KeyRange::new(random.key(), end) {
            return range;
        }
    }
}

/// One write: puts, deletes and range deletes at one sequence.
fn write(random: &mut Seeded, store: &dyn DataStore, sequence: u64) {
    let mut batch = StoreBatch::new();
    let at = Sequence::new(sequence);
    for _ in 0..1 + random.below(4) {
        let cf = FAMILIES[random.below(2) as usize];
        match random.below(12) {
            0 => batch.delete_range(cf, &some_range(random), at),
            1..4 => batch.put_version(cf, &random.key(), at, None),
            _ => batch.put_version(cf, &random.key(), at, Some(&sequence.to_le_bytes())),
        }
    }
    store.apply(&batch).unwrap();
}

/// Everything that a reader at `sequence` can see.
fn seen(store: &dyn DataStore, sequence: Sequence) -> Vec<(u8, Key, Vec<u8>)> {
    let mut seen = Vec::new();
    for cf in FAMILIES {
        for row in scan_at(store, cf, &KeyRange::all(), sequence, Direction::Forward) {
            let (key, value) = row.unwrap();
            let got = get_at(store, cf, &key, sequence).unwrap();
            assert_eq!(got.as_ref(), Some(&value), "get and scan agree");
            seen.push((cf.number(), key, value.to_vec()));
        }
        let back: Vec<_> = scan_at(store, cf, &KeyRange::all(), sequence, Direction::Reverse)
            .map(|row| row.unwrap().0)
            .collect();
        let forth = seen.iter().rev().filter(|row| row.0 == cf.number());
        assert!(
            back.iter().eq(forth.map(|(_, key, _)| key)),
            "both directions agree"
        );
    }
    seen
}

#[test]
fn no_read_at_or_above_the_safe_point_can_tell_and_all_else_is_gone() {
    for subject in subjects() {
        let seed = 0x5eed_0012;
        let mut random = Seeded(seed);
        let store = subject.open();
        const LAST: u64 = 240;
        for sequence in 1..=LAST {
            write(&mut random, &*store, sequence);
        }
        for safe_point in [60, 200, LAST] {
            let pinned = Sequence::new(safe_point);
            let after: Vec<_> = (safe_point..=LAST)
                .map(|at| seen(&*store, Sequence::new(at)))
                .collect();
            let mut walks = 0;
            loop {
                let mut collector = Collector::all();
                let mut postponed = 0;
                loop {
                    let step = collector.step(&*store, |_, points| points.push(pinned));
                    let step = step.unwrap();
                    postponed += step.postponed;
                    if step.finished {
                        break;
                    }
                }
                walks += 1;
                if postponed == 0 {
                    break;
                }
            }
            assert!(
                walks <= 2,
                "a walk leaves nothing to the one after the next"
            );
            for (at, expected) in (safe_point..=LAST).zip(after) {
                let now = seen(&*store, Sequence::new(at));
                assert_eq!(
                    now, expected,
                    "{store:?}, seed {seed:#x}, {at} of {safe_point}"
                );
            }
        }
        let end = Sequence::new(LAST);
        let all = families_from(ColumnFamily::DEFAULT);
        let left = store.scan(&all, Direction::Forward).count();
        assert_eq!(left, seen(&*store, end).len(), "only what is read is left");
        let hidden: Vec<_> = range_deletions(&*store).map(Result::unwrap).collect();
        assert!(!hidden.is_empty(), "the history has range deletions");
        for deletion in &hidden {
            remove_range_deletion(&*store, deletion).unwrap();
        }
        assert_eq!(
            left,
            seen(&*store, end).len(),
            "and they hid nothing any more"
        );
    }
}

#[test]
fn a_walk_that_is_cut_into_steps_and_broken_off_anywhere_shows_nothing_it_hid() {
    // One key with more versions than a step looks at, with a deletion on top of them.
    let store = crate::store::MemoryStore::new();
    let versions = 3 * STEP_DELETIONS as u64;
    for sequence in 1..=versions {
        let mut batch = StoreBatch::new();
        let value = (sequence < versions).then_some(b"v".as_slice());
        batch.put_version(ColumnFamily::DEFAULT, b"k", Sequence::new(sequence), value);
        store.apply(&batch).unwrap();
    }
    let mut collector = Collector::all();
    let mut steps = 0;
    let mut postponed = 0;
    loop {
        let step = collector
            .step(&store, |_, points| points.push(Sequence::MAX))
            .unwrap();
        assert!(step.removed <= STEP_DELETIONS as u64 + 1);
        assert_eq!(
            get_at(&store, ColumnFamily::DEFAULT, b"k", Sequence::MAX).unwrap(),
            None
        );
        steps += 1;
        postponed += step.postponed;
        if step.finished {
            break;
        }
    }
    assert!(steps >= 3, "{steps}");
    // What it hid could come back as long as nothing was flushed.
    let all = families_from(ColumnFamily::DEFAULT);
    assert_eq!(store.scan(&all, Direction::Forward).count(), 1);
    assert_eq!(postponed, 1);
    let step = Collector::all().step(&store, |_, points| points.push(Sequence::MAX));
    assert_eq!(step.unwrap().removed, 1);
    assert_eq!(store.scan(&all, Direction::Forward).count(), 0);
}

#[test]
fn each_key_keeps_what_its_own_points_see_and_nothing_between_them() {
    let store = crate::store::MemoryStore::new();
    for sequence in 1..=6 {
        let mut batch = StoreBatch::new();
        for key in [b"a", b"b", b"c"] {
            // Of "c" the third version is a deletion.
            let value = (*key != *b"c" || sequence != 3).then_some(b"v".as_slice());
            batch.put_version(ColumnFamily::DEFAULT, key, Sequence::new(sequence), value);
        }
        store.apply(&batch).unwrap();
    }
    let points = |key: &[u8], points: &mut Vec<Sequence>| match key {
        b"a" => points.extend([5, 2].map(Sequence::new)),
        b"b" => {}
        _ => points.extend([3, 5, 4].map(Sequence::new)),
    };
    for postponed in [1, 0] {
        let step = Collector::all().step(&store, points).unwrap();
        assert!(step.finished);
        assert_eq!(step.postponed, postponed);
    }
    let kept = |key: &[u8]| -> Vec<u64> {
        let all = crate::store::scan_versions(&store, ColumnFamily::DEFAULT, &KeyRange::all());
        let of_key = all
            .map(|version| version.unwrap().0)
            .filter(|it| *it.key == *key);
        of_key.map(|version| version.sequence.get()).collect()
    };
    assert_eq!(kept(b"a"), [6, 5, 2]);
    assert_eq!(kept(b"b"), [6, 5, 4, 3, 2, 1]);
    // What the lowest point sees is a deletion of nothing.
    assert_eq!(kept(b"c"), [6, 5, 4]);
}

#[test]
fn readers_at_any_points_see_what_they_saw() {
    let seed = 0x5eed_0013;
    println!("seed {seed:#x}");
    let mut random = Seeded(seed);
    for _ in 0..20 {
        let store = crate::store::MemoryStore::new();
        const LAST: u64 = 80;
        for sequence in 1..=LAST {
            write(&mut random, &store, sequence);
        }
        let mut pins: Vec<Sequence> = (0..random.below(5))
            .map(|_| Sequence::new(random.below(LAST)))
            .collect();
        pins.push(Sequence::new(LAST));
        let expected: Vec<_> = pins.iter().map(|pin| seen(&store, *pin)).collect();
        let mut collector = Collector::all();
        while !collector
            .step(&store, |_, points| points.extend(&pins))
            .unwrap()
            .finished
        {}
        for (pin, expected) in pins.iter().zip(expected) {
            assert_eq!(seen(&store, *pin), expected, "at {pin} of {pins:?}");
        }
    }
}
