use super::*;
use crate::store::MemoryStore;

fn row() -> RegionRow {
    RegionRow {
        incarnation: Incarnation::new(Lsn::new(97)),
        data_index: 12,
        data_term: 6,
        meta_lsn: Lsn::new(103),
    }
}

#[test]
fn no_flipped_bit_and_no_other_length_reads_as_a_row() {
    let good = row().encode();
    assert_eq!(RegionRow::decode(&good), Ok(row()));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(RegionRow::decode(&bad).is_err(), "bit {bit}");
    }
    for length in 0..good.len() {
        let short = RegionRow::decode(&good[..length]);
        assert_eq!(
            short,
            Err(RowError::Length {
                expected: good.len(),
                found: length
            })
        );
    }
    let long = RegionRow::decode(&[good.as_slice(), &[0]].concat());
    assert_eq!(
        long,
        Err(RowError::Length {
            expected: good.len(),
            found: good.len() + 1
        })
    );
}

#[test]
fn the_layout_is_the_documented_one() {
    let hex: String = row()
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "0161000000000000000c000000000000000600000000000000670000000000000005ab37c0"
    );
}

#[test]
fn another_version_and_an_incarnation_of_zero_are_told_apart() {
    let reseal = |change: fn(&mut [u8])| {
        let mut bytes = row().encode();
        let end = bytes.len() - 4;
        change(&mut bytes[..end]);
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        RegionRow::decode(&bytes)
    };
    assert_eq!(
        reseal(|row| row[0] = 2),
        Err(RowError::Version { version: 2 })
    );
    assert_eq!(reseal(|row| row[1] = 0), Err(RowError::NoIncarnation));
}

#[test]
fn rows_come_in_order_of_region_and_a_bad_one_damages_itself_only() {
    let store = MemoryStore::new();
    let mut batch = StoreBatch::new();
    for id in [300, 2, 0x0100_0000_0000] {
        batch.put_region_row(RegionId(id), &row());
    }
    batch.put_generation(&[9; 16]);
    batch.put_barrier(41);
    batch.put(region_row_key(RegionId(5)), b"junk".to_vec());
    store.apply(&batch).unwrap();

    let found: Vec<_> = region_rows(&store).map(|row| row.unwrap()).collect();
    let junk = Err(RowError::Length {
        expected: REGION_ROW_BYTES,
        found: 4,
    });
    assert_eq!(
        found,
        [
            (RegionId(2), Ok(row())),
            (RegionId(5), junk),
            (RegionId(300), Ok(row())),
            (RegionId(0x0100_0000_0000), Ok(row())),
        ]
    );
    assert_eq!(read_region_row(&store, RegionId(2)).unwrap(), Some(row()));
    assert_eq!(read_region_row(&store, RegionId(3)).unwrap(), None);
    match read_region_row(&store, RegionId(5)) {
        Err(StoreError::BadRegionRow {
            region: RegionId(5),
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(read_generation(&store).unwrap(), Some([9; 16]));
    assert_eq!(read_barrier(&store).unwrap(), Some(41));

    let mut batch = StoreBatch::new();
    batch.delete_region_row(RegionId(2));
    batch.put(meta_key(b"barrier"), b"junk".to_vec());
    store.apply(&batch).unwrap();
    assert_eq!(read_region_row(&store, RegionId(2)).unwrap(), None);
    match read_barrier(&store) {
        Err(StoreError::BadStoreRow {
            name: "barrier", ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_store_has_no_generation_no_barrier_and_no_rows() {
    let store = MemoryStore::new();
    assert_eq!(read_generation(&store).unwrap(), None);
    assert_eq!(read_barrier(&store).unwrap(), None);
    assert_eq!(region_rows(&store).count(), 0);
}
