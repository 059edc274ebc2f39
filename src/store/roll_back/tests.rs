use torrens_journal::Lsn;

use super::*;
use crate::store::{ColumnFamily, MemoryStore, get_at, range_deletions, read_region_row};
use crate::{Incarnation, Key, KeyRange};

const CF: ColumnFamily = ColumnFamily::DEFAULT;

fn row(incarnation: u64, data_index: u64) -> RegionRow {
    RegionRow {
        incarnation: Incarnation::new(Lsn::new(incarnation)),
        data_index,
        data_term: 6,
        meta_lsn: Lsn::FIRST,
    }
}

fn floored(barrier: u64, row: &RegionRow) -> Floored {
    Floored {
        barrier,
        incarnation: row.incarnation,
        data_index: row.data_index,
        data_term: row.data_term,
    }
}

fn at(barrier: u64, sequence: u64) -> Covered {
    Covered {
        barrier,
        sequence: Sequence::new(sequence),
    }
}

/// Barrier 3 covers sequences up to 10, barrier 4, which the journal may not know, up to 20; written
/// until 30.
fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let mut batch = StoreBatch::new();
    for sequence in [5, 10, 11, 20, 21, 30] {
        let value = sequence.to_string();
        batch.put_version(CF, b"k", Sequence::new(sequence), Some(value.as_bytes()));
    }
    for sequence in [7, 15, 25] {
        batch.delete_range(CF, &KeyRange::all(), Sequence::new(sequence));
    }
    for n in 0..3000_u64 {
        batch.put_version(CF, &n.to_be_bytes(), Sequence::new(31 + n), None);
    }
    batch.put_covered(at(3, 10), at(4, 20));
    // One that both barriers covered, one that only the newer did, one that none did, one whose
    // entries are of another creation, one that is as it was, and one that lost something.
    for (region, last, now, has) in [
        (1, Some(row(4, 6)), Some(row(4, 8)), row(4, 9)),
        (2, None, Some(row(5, 7)), row(5, 7)),
        (3, None, None, row(6, 6)),
        (4, Some(row(7, 6)), None, row(8, 6)),
        (5, Some(row(9, 6)), None, row(9, 6)),
        (6, Some(row(9, 6)), None, row(9, 5)),
    ] {
        let region = RegionId(region);
        batch.put_region_row(region, &has);
        match (last, now) {
            (last, Some(now)) => {
                let last = last.map(|last| floored(3, &last));
                batch.put_floored(region, last.as_ref(), &floored(4, &now));
            }
            (Some(last), None) => batch.put_floored(region, None, &floored(3, &last)),
            (None, None) => {}
        }
    }
    store.apply(&batch).unwrap();
    store
}

fn indexes(store: &MemoryStore) -> Vec<Option<u64>> {
    let index = |region| {
        read_region_row(store, RegionId(region))
            .unwrap()
            .map(|row| row.data_index)
    };
    (1..=6).map(index).collect()
}

#[test]
fn nothing_behind_the_barrier_stays_and_nothing_before_it_goes() {
    for (barrier, sequence, rows) in [
        (3, 10, [Some(6), None, None, None, Some(6), Some(5)]),
        (4, 20, [Some(8), Some(7), None, None, Some(6), Some(5)]),
        (9, 20, [Some(8), Some(7), None, None, Some(6), Some(5)]),
        // One that the store never heard of: nothing counts.
        (2, 0, [None; 6]),
    ] {
        let store = store();
        let done = roll_back(&store, Some(barrier)).unwrap();
        let below = |all: &[u64]| all.iter().filter(|at| **at <= sequence).count() as u64;
        let kept = below(&[5, 10, 11, 20, 21, 30]) + below(&[7, 15, 25]);
        assert_eq!(done.versions, 3009 - kept, "{barrier}");
        assert_eq!(indexes(&store), rows, "{barrier}");
        let deleted: Vec<u64> = range_deletions(&store)
            .map(|found| found.unwrap().sequence.get())
            .collect();
        assert_eq!(deleted.len() as u64, below(&[7, 15, 25]), "{barrier}");
        let newest = get_at(&store, CF, &Key::from(b"k".as_slice()), Sequence::MAX).unwrap();
        let newest = newest.map(|value| String::from_utf8(value.to_vec()).unwrap());
        let expected = (sequence > 0).then(|| sequence.to_string());
        assert_eq!(newest, expected, "{barrier}");
        // Of a barrier that never came about nothing is remembered: another one gets its number.
        let covered = read_covered(&store, u64::MAX).unwrap();
        assert_eq!(covered.sequence.get(), sequence, "{barrier}");
        for found in floored_rows(&store, u64::MAX) {
            let floor = found.unwrap().1.unwrap();
            assert!(
                floor.is_none_or(|floor| floor.barrier <= barrier),
                "{floor:?}"
            );
        }
        // Again it finds nothing to do.
        let again = roll_back(&store, Some(barrier)).unwrap();
        assert_eq!((again.versions, again.regions.len()), (0, 0), "{barrier}");
    }
}

#[test]
fn a_store_with_nothing_but_its_own_rows_holds_no_data() {
    let empty = MemoryStore::new();
    let mut batch = StoreBatch::new();
    batch.put_generation(&[7; 16]);
    batch.put_covered(at(3, 10), at(4, 20));
    empty.apply(&batch).unwrap();
    assert!(!holds_data(&empty).unwrap());
    let with = |fill: &dyn Fn(&mut StoreBatch)| {
        let store = MemoryStore::new();
        let mut batch = StoreBatch::new();
        fill(&mut batch);
        store.apply(&batch).unwrap();
        holds_data(&store).unwrap()
    };
    assert!(with(&|batch| batch.put_version(
        CF,
        b"k",
        Sequence::new(1),
        None
    )));
    assert!(with(&|batch| batch.delete_range(
        CF,
        &KeyRange::all(),
        Sequence::new(1)
    )));
    assert!(with(&|batch| batch.put_region_row(RegionId(1), &row(4, 6))));
}

#[test]
fn of_a_store_that_is_another_ones_nothing_is_left() {
    let store = store();
    let done = roll_back(&store, None).unwrap();
    assert_eq!(done.versions, 3009);
    assert_eq!(indexes(&store), [None; 6]);
    assert_eq!(floored_rows(&store, u64::MAX).count(), 0);
}
