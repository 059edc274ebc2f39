use super::*;
use crate::store::contract::subjects;
use crate::store::{ColumnFamily, Lost, MemoryStore, StoreFault};
use crate::{RegionId, Sequence};

fn fill(store: &dyn DataStore, keys: std::ops::Range<u32>) {
    for n in keys {
        let mut batch = StoreBatch::new();
        for sequence in 1..=3 {
            for cf in [0, 7, 255] {
                let key = n.to_be_bytes();
                batch.put_version(
                    ColumnFamily::new(cf),
                    &key,
                    Sequence::new(sequence),
                    Some(b"v"),
                );
            }
        }
        batch.put_region_row(RegionId(n.into()), &row());
        store.apply(&batch).unwrap();
    }
}

fn row() -> crate::store::RegionRow {
    crate::store::RegionRow {
        incarnation: crate::Incarnation::new(torrens_journal::Lsn::FIRST),
        data_index: 1,
        data_term: 1,
        meta_lsn: torrens_journal::Lsn::FIRST,
    }
}

fn versions(store: &dyn DataStore) -> usize {
    store
        .scan(
            &super::super::keys::families_from(ColumnFamily::DEFAULT),
            Direction::Forward,
        )
        .count()
}

#[test]
fn every_version_in_every_family_goes_and_nothing_else() {
    for subject in subjects() {
        let store = subject.open();
        fill(&*store, 0..600);
        let range = KeyRange::new(100_u32.to_be_bytes(), Some(500_u32.to_be_bytes())).unwrap();
        assert_eq!(
            clear_range(&*store, &range).unwrap(),
            400 * 9,
            "more than one batch"
        );
        assert_eq!(versions(&*store), 200 * 9);
        for (key, gone) in [(99_u32, false), (100, true), (499, true), (500, false)] {
            let value = crate::store::get_at(
                &*store,
                ColumnFamily::new(255),
                &key.to_be_bytes(),
                Sequence::MAX,
            );
            assert_eq!(value.unwrap().is_none(), gone, "key {key}");
        }
        assert_eq!(clear_range(&*store, &range).unwrap(), 0, "again");
        assert_eq!(clear_range(&*store, &KeyRange::all()).unwrap(), 200 * 9);
        assert_eq!(crate::store::region_rows(&*store).count(), 600);
    }
}

#[test]
fn batches_are_bounded_and_a_clearing_that_stopped_is_done_again() {
    let store = MemoryStore::new();
    fill(&store, 0..500);
    let before = store.calls();
    store.fault_at(before + 3, StoreFault::Dies);
    assert!(clear_range(&store, &KeyRange::all()).is_err());
    let next = store.process_kill(Lost::AllButBatches(usize::MAX));
    let left = versions(&next);
    assert_eq!(
        left,
        500 * 9 - BATCH_KEYS_MAX - (500 * 3 - BATCH_KEYS_MAX),
        "two batches were done"
    );
    assert_eq!(clear_range(&next, &KeyRange::all()).unwrap(), left as u64);
}

#[test]
fn entries_that_are_not_readable_are_cleared_too() {
    let store = MemoryStore::new();
    fill(&store, 0..1);
    let mut batch = StoreBatch::new();
    batch.put(b"d\x00\x00\x00\x00\x00\xf7junk".to_vec(), b"junk".to_vec());
    store.apply(&batch).unwrap();
    assert_eq!(clear_range(&store, &KeyRange::all()).unwrap(), 10);
}
