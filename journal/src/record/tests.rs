use super::*;
use crate::ids::{SegmentId, StoreUuid};

const AT: u64 = 8192 + 72;

fn seed() -> Seed {
    Seed::new(StoreUuid([3; 16]), SegmentId::new(2), 77)
}

/// Records with LSNs from 10, unstamped.
fn pushed(payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (position, payload) in payloads.iter().enumerate() {
        let record = NewRecord {
            kind: RecordKind::new(0x8000 + position as u16),
            tag: 100 + position as u32,
            payload,
        };
        push(&mut bytes, Lsn::new(10 + position as u64), &record);
    }
    bytes
}

fn stamped(mut bytes: Vec<u8>) -> Vec<u8> {
    stamp_checksums(&mut bytes, AT, seed());
    bytes
}

fn read(bytes: &[u8], count: u32) -> Vec<Result<RecordRef<'_>, RecordFault>> {
    Records::new(bytes, AT, Lsn::new(10), count, seed()).collect()
}

#[test]
fn records_come_back_in_order_with_all_their_parts() {
    let payloads: [&[u8]; 3] = [b"", b"seven b", &[5; 300]];
    let bytes = stamped(pushed(&payloads));
    let records: Vec<_> = read(&bytes, 3).into_iter().map(Result::unwrap).collect();
    let mut offset_bytes = AT;
    for (position, record) in records.iter().enumerate() {
        assert_eq!(record.lsn, Lsn::new(10 + position as u64));
        assert_eq!(record.kind.get(), 0x8000 + position as u16);
        assert_eq!(record.tag, 100 + position as u32);
        assert_eq!(record.payload, payloads[position]);
        assert_eq!(record.offset_bytes, offset_bytes);
        assert!(offset_bytes.is_multiple_of(8));
        offset_bytes += crate::format::record_bytes(record.payload.len() as u64);
    }
    assert_eq!(records.len(), 3);
}

#[test]
fn a_fault_ends_the_iteration_after_the_good_records() {
    let mut bytes = stamped(pushed(&[b"first", b"second", b"third"]));
    bytes[32 + 24] ^= 1;
    let records = read(&bytes, 3);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].unwrap().payload, b"first");
    match records[1] {
        Err(RecordFault::Checksum { offset_bytes, .. }) => assert_eq!(offset_bytes, AT + 32),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_length_that_runs_past_the_group_is_not_followed() {
    for length in [u32::MAX, u32::MAX - 24, 4096] {
        let mut bytes = stamped(pushed(&[b"first"]));
        put(&mut bytes, at::PAYLOAD_BYTES, &length.to_le_bytes());
        assert_eq!(
            read(&bytes, 1),
            [Err(RecordFault::PastGroup {
                offset_bytes: AT,
                left_bytes: 32
            })],
            "{length}"
        );
    }
    assert_eq!(
        read(&[], 1),
        [Err(RecordFault::PastGroup {
            offset_bytes: AT,
            left_bytes: 0
        })]
    );
}

#[test]
fn a_record_at_another_offset_or_with_another_lsn_is_a_fault() {
    let bytes = stamped(pushed(&[b"first"]));
    let moved: Vec<_> = Records::new(&bytes, AT + 8, Lsn::new(10), 1, seed()).collect();
    assert!(
        matches!(moved[..], [Err(RecordFault::Checksum { .. })]),
        "{moved:?}"
    );
    let renumbered: Vec<_> = Records::new(&bytes, AT, Lsn::new(11), 1, seed()).collect();
    assert_eq!(
        renumbered,
        [Err(RecordFault::Lsn {
            offset_bytes: AT,
            expected: Lsn::new(11),
            found: Lsn::new(10)
        })]
    );
}

#[test]
fn a_reserved_field_in_use_and_bytes_behind_the_last_record_are_faults() {
    let mut bytes = pushed(&[b"first"]);
    put(&mut bytes, at::RESERVED, &7u16.to_le_bytes());
    assert_eq!(
        read(&stamped(bytes), 1),
        [Err(RecordFault::Reserved {
            offset_bytes: AT,
            found: 7
        })]
    );
    let bytes = stamped(pushed(&[b"first", b"second"]));
    assert_eq!(
        read(&bytes, 1)[1],
        Err(RecordFault::Trailing {
            offset_bytes: AT + 32,
            left_bytes: 32
        })
    );
}
