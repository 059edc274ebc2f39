use super::*;

fn mark(number: u64) -> Mark {
    Mark {
        store: StoreUuid([6; 16]),
        number,
        segment: SegmentId::new(3),
        durable_lsn: Lsn::new(4711),
        end_offset_bytes: 12_288,
        chain: 0xfeed,
        boot: Boot::new(2),
        clean_close: number.is_multiple_of(2),
        wall_clock_micros: 5,
    }
}

#[test]
fn every_field_survives_the_page() {
    for number in 1..=5 {
        let mark = mark(number);
        assert_eq!(mark.page(), number % 4);
        assert_eq!(decode(&mark.encode(), mark.page()), Ok(mark));
    }
}

#[test]
fn every_flipped_bit_is_a_fault() {
    let page = mark(1).encode();
    for bit in 0..page.len() * 8 {
        let mut flipped = page.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped, 1).is_err(), "bit {bit}");
    }
}

#[test]
fn a_mark_counts_only_in_its_own_page() {
    let page = mark(1).encode();
    assert!(matches!(decode(&page, 2), Err(MarkFault::Checksum { .. })));
    let mut forged = page;
    let crc = crc_of(&forged, 2);
    put(&mut forged, at::CRC, &crc.to_le_bytes());
    assert_eq!(
        decode(&forged, 2),
        Err(MarkFault::Misplaced { number: 1, page: 2 })
    );
}

#[test]
fn zero_short_strange_and_newer_pages_have_their_own_faults() {
    assert_eq!(decode(&[0; 4096], 0), Err(MarkFault::Zero));
    assert_eq!(
        decode(&[0; 100], 0),
        Err(MarkFault::Short { found_bytes: 100 })
    );
    assert!(matches!(
        decode(&[1; 4096], 0),
        Err(MarkFault::Magic { .. })
    ));
    let mut newer = mark(1).encode();
    put(&mut newer, at::MAJOR, &2u16.to_le_bytes());
    let crc = crc_of(&newer, 1);
    put(&mut newer, at::CRC, &crc.to_le_bytes());
    assert_eq!(
        decode(&newer, 1),
        Err(MarkFault::NewerFormat { major: 2, minor: 0 })
    );
}
