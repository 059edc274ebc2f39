use proptest::prelude::*;

use super::*;
use crate::bytes::put;
use crate::ids::{RecordKind, StoreUuid};
use crate::record::{self, NewRecord};

const OFFSET: u64 = 8192 + 3 * 4096;

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        format_minor: 0,
        compat_flags: 0,
        store: StoreUuid([4; 16]),
        segment: SegmentId::FIRST,
        salt: 99,
        first_lsn: Lsn::FIRST,
        file_bytes: 64 * 1024,
        boot: Boot::FIRST,
        predecessor: None,
        oldest_needed_lsn: Lsn::FIRST,
        wall_clock_micros: 0,
    }
}

fn context() -> GroupContext {
    GroupContext::new(&segment_header())
}

fn sealing(record_count: u32) -> Sealing {
    Sealing {
        offset_bytes: OFFSET,
        first_lsn: Lsn::new(20),
        record_count,
        chain: 0x1111,
        segment: SegmentId::FIRST,
        durable_lsn: Lsn::new(12),
        durable_chain: 0x2222,
        flags: GroupFlags::NONE,
        boot: Boot::new(2),
        number: 4,
    }
}

fn records(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (position, payload) in payloads.iter().enumerate() {
        let new = NewRecord {
            kind: RecordKind::new(position as u16),
            tag: 0,
            payload,
        };
        record::push(&mut bytes, Lsn::new(20 + position as u64), &new);
    }
    bytes
}

fn encoded(payloads: &[Vec<u8>]) -> Vec<u8> {
    let records = records(payloads);
    let pages = crate::format::group_pages(records.len() as u64).unwrap();
    // What the memory held before must not show.
    let mut out = vec![0xee; pages as usize * PAGE];
    let sealing = sealing(payloads.len() as u32);
    encode(&mut out, &records, &sealing, context().seed);
    out
}

/// Changes header or table and makes their checksum right again.
fn forged(mut bytes: Vec<u8>, offset: usize, value: &[u8]) -> Vec<u8> {
    put(&mut bytes, offset, value);
    let table_end = GROUP_HEADER_BYTES + 4 * (bytes.len() / PAGE);
    let crc = context().seed.sum(OFFSET, &bytes[at::CRC_FROM..table_end]);
    put(&mut bytes, at::CRC, &crc.to_le_bytes());
    bytes
}

fn payloads_of(group: &Group<'_>) -> Vec<Vec<u8>> {
    let records = group.records().map(|record| record.unwrap());
    records.map(|record| record.payload.to_vec()).collect()
}

#[test]
fn a_group_comes_back_with_its_header_and_records() {
    let payloads = vec![b"one".to_vec(), vec![7; 9000], Vec::new()];
    let bytes = encoded(&payloads);
    assert_eq!(bytes.len(), 3 * 4096);
    let group = decode(&bytes, OFFSET, &context()).unwrap();
    assert_eq!(payloads_of(&group), payloads);
    assert_eq!(group.end_offset_bytes(), OFFSET + 3 * 4096);
    let header = group.header;
    assert_eq!(
        (header.first_lsn, header.last_lsn()),
        (Lsn::new(20), Lsn::new(22))
    );
    assert_eq!((header.chain, header.durable_chain), (0x1111, 0x2222));
    assert_eq!(header.durable_lsn, Lsn::new(12));
    assert_eq!((header.boot, header.number), (Boot::new(2), 4));
    assert_eq!(header.records_offset_bytes, 80);
}

#[test]
fn a_group_without_records_carries_its_flags_and_the_next_lsn() {
    let mut out = vec![0xee; PAGE];
    let sealing = Sealing {
        flags: GroupFlags::RECOVERED.with(GroupFlags::SEAL),
        ..sealing(0)
    };
    encode(&mut out, &[], &sealing, context().seed);
    let group = decode(&out, OFFSET, &context()).unwrap();
    assert!(group.header.is_recovered() && group.header.is_seal());
    assert_eq!(group.header.first_lsn, Lsn::new(20));
    assert_eq!(group.header.last_lsn(), Lsn::new(19));
    assert_eq!(group.records().count(), 0);
    assert_eq!(out.len(), 4096);
}

#[test]
fn every_flipped_bit_is_a_fault() {
    let bytes = encoded(&[vec![1; 100], vec![2; 5000]]);
    assert_eq!(bytes.len(), 2 * 4096);
    // Every bit of header, table and first records; then a stride that meets every bit position.
    let dense = 0..512 * 8;
    let sparse = (512 * 8..bytes.len() * 8).step_by(7);
    for bit in dense.chain(sparse) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped, OFFSET, &context()).is_err(), "bit {bit}");
    }
}

#[test]
fn a_group_of_another_place_file_or_lap_does_not_verify() {
    let bytes = encoded(&[b"record".to_vec()]);
    let other_salt = SegmentHeader {
        salt: 100,
        ..segment_header()
    };
    let other_store = SegmentHeader {
        store: StoreUuid([5; 16]),
        ..segment_header()
    };
    for (offset_bytes, header) in [
        (OFFSET + 4096, segment_header()),
        (OFFSET, other_salt),
        (OFFSET, other_store),
    ] {
        let fault = decode(&bytes, offset_bytes, &GroupContext::new(&header)).unwrap_err();
        assert!(
            matches!(fault, GroupFault::HeaderChecksum { .. }),
            "{fault}"
        );
    }
}

#[test]
fn a_declared_length_is_checked_against_the_segment_before_anything_else() {
    let bytes = encoded(&[b"record".to_vec()]);
    let room_bytes = 64 * 1024 - OFFSET;
    for declared_bytes in [0, 4095, room_bytes as u32 + 4096, u32::MAX] {
        let lying = forged(bytes.clone(), at::PADDED, &declared_bytes.to_le_bytes());
        assert_eq!(
            decode_header(&lying, OFFSET, &context()),
            Err(GroupFault::Length {
                declared_bytes,
                max_bytes: room_bytes
            })
        );
    }
}

#[test]
fn values_that_no_writer_writes_are_refused_under_a_good_checksum() {
    for (field, value) in [
        (at::RECORDS, 80u64.to_le_bytes()[..2].to_vec()),
        (at::USED, 71u32.to_le_bytes().to_vec()),
        (at::USED, 4097u32.to_le_bytes().to_vec()),
        (at::COUNT, u32::MAX.to_le_bytes().to_vec()),
        (at::FIRST_LSN, 0u64.to_le_bytes().to_vec()),
        (at::FIRST_LSN, u64::MAX.to_le_bytes().to_vec()),
        (at::DURABLE_LSN, 20u64.to_le_bytes().to_vec()),
        (at::NUMBER, 0u32.to_le_bytes().to_vec()),
    ] {
        let bytes = forged(encoded(&[b"record".to_vec()]), field, &value);
        match decode(&bytes, OFFSET, &context()) {
            Err(GroupFault::Impossible { field_offset, .. }) => assert_eq!(field_offset, field),
            other => panic!("field {field}: {other:?}"),
        }
    }
    let foreign = forged(encoded(&[]), at::SEGMENT, &2u64.to_le_bytes());
    assert_eq!(
        decode(&foreign, OFFSET, &context()).unwrap_err(),
        GroupFault::ForeignSegment {
            expected: SegmentId::FIRST,
            found: SegmentId::new(2)
        }
    );
}

#[test]
fn no_group_starts_in_the_segment_header_or_inside_a_page() {
    let bytes = encoded(&[]);
    for offset_bytes in [0, 4096, OFFSET + 1, u64::MAX] {
        assert_eq!(
            decode(&bytes, offset_bytes, &context()).unwrap_err(),
            GroupFault::Misaligned { offset_bytes }
        );
    }
}

#[test]
fn each_expectation_is_checked() {
    let bytes = encoded(&[b"record".to_vec()]);
    let header = decode(&bytes, OFFSET, &context()).unwrap().header;
    let good = Expectation {
        lsn: Lsn::new(20),
        chain: 0x1111,
        group_number: 4,
        boot: Boot::new(2),
    };
    assert_eq!(good.check(&header), Ok(()));
    assert_eq!(
        Expectation {
            boot: Boot::FIRST,
            ..good
        }
        .check(&header),
        Ok(())
    );
    let lsn = Expectation {
        lsn: Lsn::new(21),
        ..good
    };
    let chain = Expectation { chain: 1, ..good };
    let number = Expectation {
        group_number: 5,
        ..good
    };
    let boot = Expectation {
        boot: Boot::new(3),
        ..good
    };
    assert!(matches!(
        lsn.check(&header),
        Err(GroupFault::UnexpectedLsn { .. })
    ));
    assert!(matches!(
        chain.check(&header),
        Err(GroupFault::UnexpectedChain { .. })
    ));
    assert!(matches!(
        number.check(&header),
        Err(GroupFault::UnexpectedNumber { .. })
    ));
    assert!(matches!(
        boot.check(&header),
        Err(GroupFault::BootWentBack { .. })
    ));
    let after = Expectation::after(&header);
    assert_eq!((after.lsn, after.chain), (Lsn::new(21), header.crc));
    assert_eq!((after.group_number, after.boot), (5, Boot::new(2)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_is_decoded(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..12),
    ) {
        let bytes = encoded(&payloads);
        let group = decode(&bytes, OFFSET, &context()).unwrap();
        prop_assert_eq!(payloads_of(&group), payloads);
    }

    #[test]
    fn any_header_and_any_records_under_good_checksums_decode_without_panic(
        head in prop::collection::vec(any::<u8>(), 56),
        body in prop::collection::vec(any::<u8>(), 0..600),
        lengths in prop::bool::ANY,
    ) {
        let mut bytes = encoded(&[vec![9; 400]]);
        if lengths {
            // Keep the lengths, so that the records themselves are reached.
            put(&mut bytes, 72, &body);
            let crc = context().seed.sum(OFFSET, &bytes[68..4096]);
            bytes = forged(bytes, at::TABLE, &crc.to_le_bytes());
        } else {
            bytes = forged(bytes, at::PADDED, &head);
        }
        if let Ok(group) = decode(&bytes, OFFSET, &context()) {
            prop_assert!(group.records().count() <= 200);
        }
    }
}
