use super::*;

fn header() -> SegmentHeader {
    SegmentHeader {
        format_minor: format::FORMAT_MINOR,
        compat_flags: 0x10,
        store: StoreUuid([9; 16]),
        segment: SegmentId::new(5),
        salt: 0x1122_3344_5566_7788,
        first_lsn: Lsn::new(1001),
        file_bytes: 32 * 1024,
        boot: Boot::new(3),
        predecessor: Some(Predecessor {
            segment: SegmentId::new(4),
            last_lsn: Lsn::new(1000),
            end_offset_bytes: 28 * 1024,
            chain: 0xabcd_ef01,
        }),
        oldest_needed_lsn: Lsn::new(17),
        wall_clock_micros: 1_700_000_000_000_000,
    }
}

/// Changes bytes and makes the checksum right again.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut page = header().encode();
    change(&mut page);
    let crc = crc_of(&page);
    put(&mut page, at::CRC, &crc.to_le_bytes());
    page
}

#[test]
fn every_field_survives_the_page() {
    let with = header();
    assert_eq!(decode(&with.encode(), None, None), Ok(with));
    let first = SegmentHeader {
        segment: SegmentId::FIRST,
        first_lsn: Lsn::FIRST,
        predecessor: None,
        ..with
    };
    assert_eq!(decode(&first.encode(), None, None), Ok(first));
    assert_eq!(first.first_chain(), 0);
    assert_eq!(with.first_chain(), 0xabcd_ef01);
}

#[test]
fn every_flipped_bit_is_a_fault() {
    let page = header().encode();
    for bit in 0..page.len() * 8 {
        let mut flipped = page.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped, None, None).is_err(), "bit {bit}");
    }
}

#[test]
fn a_header_of_another_store_or_segment_is_foreign() {
    let page = header().encode();
    let (store, segment) = (StoreUuid([1; 16]), SegmentId::new(6));
    assert_eq!(
        decode(&page, Some(store), None),
        Err(HeaderFault::ForeignStore {
            expected: store,
            found: StoreUuid([9; 16])
        })
    );
    assert_eq!(
        decode(&page, Some(StoreUuid([9; 16])), Some(segment)),
        Err(HeaderFault::ForeignSegment {
            expected: segment,
            found: SegmentId::new(5)
        })
    );
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let major = forged(|page| put(page, at::MAJOR, &2u16.to_le_bytes()));
    let feature = forged(|page| put(page, at::INCOMPAT, &4u32.to_le_bytes()));
    for (page, expected) in [(major, (2, 0)), (feature, (1, 4))] {
        match decode(&page, None, None) {
            Err(HeaderFault::NewerFormat {
                major,
                incompat_flags,
                ..
            }) => assert_eq!((major, incompat_flags), expected),
            other => panic!("{other:?}"),
        }
    }
    // Additions that an older reader may pass over are no reason to refuse.
    let minor = forged(|page| put(page, at::MINOR, &9u16.to_le_bytes()));
    assert_eq!(decode(&minor, None, None).unwrap().format_minor, 9);
}

#[test]
fn zero_short_and_strange_pages_have_their_own_faults() {
    assert_eq!(decode(&[0; 4096], None, None), Err(HeaderFault::Zero));
    assert_eq!(
        decode(&[7; 4095], None, None),
        Err(HeaderFault::Short { found_bytes: 4095 })
    );
    assert_eq!(
        decode(&[7; 4096], None, None),
        Err(HeaderFault::Magic {
            found: 0x0707_0707_0707_0707
        })
    );
}

#[test]
fn values_that_no_writer_writes_are_refused_under_a_good_checksum() {
    type Change = Box<dyn FnOnce(&mut Vec<u8>)>;
    let changes: [(usize, Change); 8] = [
        (at::MAJOR, Box::new(|p| put(p, at::MAJOR, &[0; 2]))),
        (at::SEGMENT, Box::new(|p| put(p, at::SEGMENT, &[0; 8]))),
        (at::FIRST_LSN, Box::new(|p| put(p, at::FIRST_LSN, &[0; 8]))),
        (
            at::FILE_BYTES,
            Box::new(|p| put(p, at::FILE_BYTES, &[0xff; 8])),
        ),
        (at::PAGE, Box::new(|p| put(p, at::PAGE, &[0; 4]))),
        (
            at::PREV_SEGMENT,
            Box::new(|p| put(p, at::PREV_SEGMENT, &[0; 8])),
        ),
        (
            at::PREV_SEGMENT,
            Box::new(|p| put(p, at::PREV_SEGMENT, &3u64.to_le_bytes())),
        ),
        (
            at::PREV_LAST_LSN,
            Box::new(|p| put(p, at::PREV_LAST_LSN, &1001u64.to_le_bytes())),
        ),
    ];
    for (field, change) in changes {
        match decode(&forged(change), None, None) {
            Err(HeaderFault::Impossible { field_offset, .. }) => assert_eq!(field_offset, field),
            other => panic!("field {field}: {other:?}"),
        }
    }
}
