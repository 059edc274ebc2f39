use proptest::prelude::*;

use super::*;

fn data(key: &[u8], sequence: u64) -> DataKey {
    DataKey {
        cf: ColumnFamily::DEFAULT,
        key: key.into(),
        sequence: Sequence::new(sequence),
    }
}

/// Keys of few letters, often prefixes of each other and around the group length.
fn user_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop::sample::select(vec![0_u8, 1, 0x7f, 0xf7, 0xfe, 0xff]),
        0..20,
    )
}

proptest! {
    #[test]
    fn raw_order_is_user_order_and_newest_first(
        (a, b) in (user_key(), user_key()),
        (newer, older) in (any::<u64>(), any::<u64>()),
        (cf_a, cf_b) in (0_u8..3, 0_u8..3),
    ) {
        let key = |cf, key: &[u8], sequence| data_key(ColumnFamily::new(cf), key, Sequence::new(sequence));
        let user = (cf_a, &a, std::cmp::Reverse(newer)).cmp(&(cf_b, &b, std::cmp::Reverse(older)));
        prop_assert_eq!(key(cf_a, &a, newer).cmp(&key(cf_b, &b, older)), user);
    }

    #[test]
    fn what_is_encoded_decodes_to_itself(cf: u8, key in user_key(), sequence: u64, id: u64, name in prop::collection::vec(any::<u8>(), 1..9)) {
        let data = DataKey { cf: ColumnFamily::new(cf), ..data(&key, sequence) };
        prop_assert_eq!(version_sequence(&data.encode()), Some(data.sequence));
        for key in [
            StoreKey::RegionRow(RegionId(id)),
            StoreKey::FloorRow(RegionId(id)),
            StoreKey::Meta(name.clone()),
        ] {
            prop_assert_eq!(version_sequence(&key.encode()), None);
        }
        for key in [
            StoreKey::Data(data),
            StoreKey::RegionRow(RegionId(id)),
            StoreKey::FloorRow(RegionId(id)),
            StoreKey::Meta(name),
        ] {
            prop_assert_eq!(StoreKey::decode(&key.encode()), Ok(key));
        }
    }

    #[test]
    fn junk_is_refused_or_is_exactly_what_an_encoder_writes(
        raw in prop::collection::vec(prop::sample::select(vec![b'd', b'm', b'r', 0, 1, 0xf7, 0xfe, 0xff]), 0..40)
    ) {
        if let Ok(key) = StoreKey::decode(&raw) {
            prop_assert_eq!(key.encode(), raw);
        }
    }

    #[test]
    fn a_ranges_raw_keys_are_those_of_its_keys(
        (a, b, key) in (user_key(), user_key(), user_key()), finite: bool, sequence: u64, cf: u8, other: u8,
    ) {
        let (start, end) = if a < b { (a, b) } else { (b, a) };
        let Some(range) = KeyRange::new(start, finite.then_some(end)) else { return Ok(()) };
        let raw_range = data_range(ColumnFamily::new(cf), &range);
        let raw = data_key(ColumnFamily::new(other), &key, Sequence::new(sequence));
        let inside = raw >= raw_range.start && raw_range.end.is_none_or(|end| raw < end);
        prop_assert_eq!(inside, cf == other && range.contains(&key));
    }
}

#[test]
fn each_way_of_being_malformed_has_its_own_answer() {
    let good = data(b"12345678abc", 5).encode();
    assert_eq!(good.len(), 2 + 18 + 8);
    let with = |at: usize, byte: u8| {
        let mut raw = good.clone();
        raw[at] = byte;
        DataKey::decode(&raw)
    };
    assert_eq!(with(0, b'r'), Err(KeyError::UnknownPrefix { prefix: b'r' }));
    assert_eq!(
        with(10, 0xf6),
        Err(KeyError::BadGroup { offset: 2 }),
        "no such marker"
    );
    assert_eq!(
        with(10, 0xfe),
        Err(KeyError::BadGroup { offset: 2 }),
        "padded with an 8"
    );
    assert_eq!(
        with(19, 0xff),
        Err(KeyError::BadGroup { offset: 20 }),
        "no last group"
    );
    assert_eq!(
        with(18, 1),
        Err(KeyError::BadGroup { offset: 11 }),
        "padding is not zero"
    );
    let mut longer = good.clone();
    longer.splice(20..20, [0; 9]);
    assert_eq!(
        DataKey::decode(&longer),
        Err(KeyError::TrailingBytes { offset: 20 })
    );
    assert_eq!(
        DataKey::decode(&good[..18]),
        Err(KeyError::TooShort { bytes: 18 })
    );
    let long = data(&vec![1; Region::KEY_BYTES_MAX + 1], 5).encode();
    assert_eq!(
        DataKey::decode(&long),
        Err(KeyError::KeyTooLong {
            max: Region::KEY_BYTES_MAX
        })
    );

    assert_eq!(StoreKey::decode(b""), Err(KeyError::TooShort { bytes: 0 }));
    assert_eq!(StoreKey::decode(b"m"), Err(KeyError::TooShort { bytes: 1 }));
    assert_eq!(
        StoreKey::decode(b"r1234567"),
        Err(KeyError::TooShort { bytes: 8 })
    );
    assert_eq!(
        StoreKey::decode(b"r123456789"),
        Err(KeyError::TrailingBytes { offset: 9 })
    );
    assert_eq!(
        StoreKey::decode(b"x"),
        Err(KeyError::UnknownPrefix { prefix: b'x' })
    );
}

#[test]
fn values_are_tagged_and_nothing_else_is_a_value() {
    for value in [None, Some(&b""[..]), Some(&b"\x00"[..])] {
        let tagged = encode_value(value);
        assert_eq!(decode_value(&tagged).unwrap().as_deref(), value);
    }
    assert_eq!(decode_value(b""), Err(KeyError::NoTag));
    assert_eq!(decode_value(b"\x02x"), Err(KeyError::UnknownTag { tag: 2 }));
    assert_eq!(
        decode_value(b"\x00x"),
        Err(KeyError::DeleteWithBytes { bytes: 1 })
    );
}

#[test]
fn the_layout_is_the_documented_one() {
    assert_eq!(
        data(b"", 1).encode(),
        b"d\x00\0\0\0\0\0\0\0\0\xf7\xff\xff\xff\xff\xff\xff\xff\xfe"
    );
    assert_eq!(
        data(b"airport/SFO", 258).encode(),
        b"d\x00airport/\xffSFO\0\0\0\0\0\xfa\xff\xff\xff\xff\xff\xff\xfe\xfd"
    );
    assert_eq!(region_row_key(RegionId(7)), b"r\0\0\0\0\0\0\0\x07");
    assert_eq!(meta_key(b"generation"), b"mgeneration");
}

#[test]
fn range_deletions_round_trip_and_their_junk_is_told_apart() {
    let key = StoreKey::RangeDeletion(DataKey {
        cf: ColumnFamily::WRITE,
        key: Key::from(b"airport/".as_slice()),
        sequence: Sequence::new(258),
    });
    let raw = key.encode();
    assert_eq!(StoreKey::decode(&raw), Ok(key));
    let all = range_deletions_range();
    assert!(all.start < raw && raw < all.end.unwrap());
    assert_eq!(
        DataKey::decode(&raw),
        Err(KeyError::UnknownPrefix {
            prefix: PREFIX_RANGE_DELETION
        })
    );
    let start = || Key::from(b"b".as_slice());
    for end in [None, Some(b"c".as_slice()), Some(b"b\0")] {
        let value = encode_range_end(end);
        let range = decode_range_end(start(), &value).unwrap();
        assert_eq!(range, KeyRange::new(start(), end).unwrap());
    }
    let long = [&[END_FINITE][..], &[b'z'; Region::KEY_BYTES_MAX + 1]].concat();
    let max = Region::KEY_BYTES_MAX;
    for (value, fault) in [
        (&b""[..], KeyError::NoTag),
        (b"\x07c", KeyError::UnknownTag { tag: 7 }),
        (b"\0c", KeyError::DeleteWithBytes { bytes: 1 }),
        (b"\x01b", KeyError::EmptyRange),
        (b"\x01a", KeyError::EmptyRange),
        (&long, KeyError::KeyTooLong { max }),
    ] {
        assert_eq!(decode_range_end(start(), value), Err(fault));
    }
}
