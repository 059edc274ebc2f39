use super::*;
use crate::store::{MemoryStore, read_barrier};

fn covered(barrier: u64, sequence: u64) -> Covered {
    Covered {
        barrier,
        sequence: Sequence::new(sequence),
    }
}

fn floored(barrier: u64, incarnation: u64, data_index: u64) -> Floored {
    Floored {
        barrier,
        incarnation: Incarnation::new(Lsn::new(incarnation)),
        data_index,
        data_term: 6,
    }
}

fn hex(store: &MemoryStore, key: &[u8]) -> String {
    let row = store.get(key).unwrap().unwrap();
    row.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_newest_barrier_that_the_journal_knows_counts() {
    let store = MemoryStore::new();
    assert_eq!(read_covered(&store, 9).unwrap(), Covered::default());
    let mut batch = StoreBatch::new();
    batch.put_covered(covered(4, 70), covered(5, 90));
    batch.put_floored(RegionId(7), Some(&floored(3, 97, 12)), &floored(5, 97, 15));
    batch.put_floored(RegionId(8), None, &floored(5, 98, 6));
    store.apply(&batch).unwrap();
    assert_eq!(read_barrier(&store).unwrap(), Some(5));
    for (known, expected, of_seven, of_eight) in [
        (9, covered(5, 90), Some(15), Some(6)),
        (5, covered(5, 90), Some(15), Some(6)),
        // The barrier that wrote the rows may never have come about.
        (4, covered(4, 70), Some(12), None),
        (3, Covered::default(), Some(12), None),
        (2, Covered::default(), None, None),
    ] {
        assert_eq!(read_covered(&store, known).unwrap(), expected, "{known}");
        let found: Vec<_> = floored_rows(&store, known)
            .map(|found| found.unwrap())
            .map(|(region, found)| (region.0, found.unwrap().map(|entry| entry.data_index)))
            .collect();
        assert_eq!(found, [(7, of_seven), (8, of_eight)], "{known}");
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let store = MemoryStore::new();
    let mut batch = StoreBatch::new();
    batch.put_covered(covered(4, 258), covered(5, 300));
    batch.put_floored(RegionId(7), None, &floored(5, 97, 12));
    store.apply(&batch).unwrap();
    assert_eq!(
        hex(&store, b"mcovered"),
        "010400000000000000020100000000000005000000000000002c010000000000003437bb0d"
    );
    assert_eq!(
        hex(&store, b"f\0\0\0\0\0\0\0\x07"),
        "01\
         0000000000000000000000000000000000000000000000000000000000000000\
         050000000000000061000000000000000c000000000000000600000000000000\
         b6011525"
    );
}

#[test]
fn a_row_that_is_not_readable_is_told_apart_from_none() {
    let store = MemoryStore::new();
    let mut batch = StoreBatch::new();
    batch.put(b"mcovered".to_vec(), vec![1; COVERED_ROW_BYTES]);
    batch.put_floored(RegionId(7), None, &floored(5, 97, 12));
    batch.put(floor_row_key(RegionId(8)), vec![1; 3]);
    store.apply(&batch).unwrap();
    let covered = read_covered(&store, 9);
    assert!(matches!(covered, Err(StoreError::BadStoreRow { .. })));
    let found: Vec<_> = floored_rows(&store, 9)
        .map(|found| found.unwrap())
        .collect();
    assert!(matches!(found[0], (RegionId(7), Ok(Some(_)))));
    assert!(matches!(
        found[1],
        (RegionId(8), Err(RowError::Length { .. }))
    ));
    let mut batch = StoreBatch::new();
    batch.delete_floored(RegionId(8));
    store.apply(&batch).unwrap();
    assert_eq!(floored_rows(&store, 9).count(), 1);
}
