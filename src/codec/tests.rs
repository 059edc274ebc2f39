//! Bytes that are not what encoding writes are errors, never a panic or a large allocation. What the
//! bytes of each kind are is held by the golden files (`tests/record_golden.rs`).

use std::collections::BTreeMap;

use super::*;
use crate::lifecycle::tests::world::World;
use crate::lifecycle::{ChangeKind, Event, FloorUpdate, Record, Register};
use crate::{Incarnation, RegionId};

/// A record of each kind, of histories that are made by events.
fn samples() -> Vec<Record> {
    let mut by_kind = BTreeMap::new();
    for seed in 0..150 {
        for (_, record) in crate::lifecycle::tests::history(seed, 200).records {
            let shape = (record.change.kind(), encode(&record).1.len());
            by_kind.entry(shape).or_insert(record);
        }
        let kinds = by_kind.keys().map(|(kind, _)| *kind);
        if kinds.collect::<std::collections::BTreeSet<_>>().len() == ChangeKind::ALL.len() {
            break;
        }
    }
    by_kind.into_values().collect()
}

fn sample() -> Record {
    let mut world = World::bootstrapped("b", "y");
    world.records.pop().unwrap().1
}

#[test]
fn whatever_decodes_encodes_to_the_very_same_bytes() {
    let samples = samples();
    assert!(samples.len() > 40);
    let mut decoded = 0;
    for record in samples {
        let (kind, payload) = encode(&record);
        assert_eq!(decode(kind, &payload).unwrap().unwrap(), record);
        // Every byte changed in a few ways: an error, or another record with just these bytes.
        for at in 0..payload.len() {
            for flip in [0x01, 0x04, 0x80, 0xff] {
                let mut bytes = payload.clone();
                bytes[at] ^= flip;
                if let Ok(Some(other)) = decode(kind, &bytes) {
                    decoded += 1;
                    assert_ne!(other, record);
                    assert_eq!(encode(&other), (kind, bytes));
                }
            }
        }
        for length in 0..payload.len() {
            assert!(
                decode(kind, &payload[..length]).is_err(),
                "{record:?} cut at {length}"
            );
        }
        let longer = [&payload[..], &[0]].concat();
        assert!(decode(kind, &longer).is_err());
        // The bytes of one kind under the name of another.
        for other in ChangeKind::ALL {
            if let Ok(Some(record)) = decode(other.number(), &payload) {
                assert_eq!(encode(&record), (other.number(), payload.clone()));
            }
        }
    }
    assert!(decoded > 100, "{decoded}");
}

#[test]
fn a_kind_or_version_that_is_not_known_is_none_and_version_0_is_an_error() {
    let (kind, mut payload) = encode(&sample());
    for unknown in [0, 1, 0x7fff, 0x8201, 0xffff] {
        assert!(decode(unknown, &payload).unwrap().is_none());
    }
    payload[0] = PAYLOAD_VERSION + 1;
    assert!(decode(kind, &payload).unwrap().is_none());
    payload[0] = 0;
    assert!(matches!(
        decode(kind, &payload),
        Err(CodecError::VersionZero)
    ));
    assert!(matches!(decode(kind, &[]), Err(CodecError::Empty)));
}

#[test]
fn a_number_spelled_longer_than_needed_is_refused() {
    let record = sample();
    let (kind, payload) = encode(&record);
    let boot = u8::try_from(record.header.boot).unwrap();
    // Version, marker and eight bytes of the clock, then the boot in one byte.
    assert_eq!(payload[10], boot);
    let mut longer = payload[..10].to_vec();
    longer.extend([251, boot, 0]);
    longer.extend(&payload[11..]);
    assert!(matches!(
        decode(kind, &longer),
        Err(CodecError::NotCanonical { .. })
    ));
}

#[test]
fn a_length_beyond_the_input_allocates_nothing() {
    let number = ChangeKind::BarrierReached.number();
    let header = [PAYLOAD_VERSION, 0, 1, 5, 0, 0, 0];
    for count in [1, 500_000, u64::from(u32::MAX), u64::MAX] {
        let mut payload = header.to_vec();
        payload.push(9);
        payload.push(253);
        payload.extend(count.to_le_bytes());
        assert!(decode(number, &payload).is_err(), "{count} floors");
    }
}

#[test]
fn lists_and_keys_are_bounded() {
    let floor = |n| FloorUpdate {
        region: RegionId(n),
        incarnation: Incarnation::new(torrens_journal::Lsn::new(1)),
        index: 6,
    };
    let mut record = World::new().records.pop().unwrap().1;
    for (count, is_fine) in [
        (FloorUpdate::PER_BARRIER_MAX, true),
        (FloorUpdate::PER_BARRIER_MAX + 1, false),
    ] {
        let floors = (0..u64::try_from(count).unwrap()).map(floor).collect();
        record.change = crate::lifecycle::Change::BarrierReached { number: 1, floors };
        let (kind, payload) = encode(&record);
        assert_eq!(decode(kind, &payload).is_ok(), is_fine, "{count}");
    }
    let bytes = crate::Region::KEY_BYTES_MAX;
    for (bytes, is_fine) in [(bytes, true), (bytes + 1, false)] {
        let mut record = sample();
        let crate::lifecycle::Change::RegionBootstrapped { region, .. } = &mut record.change else {
            panic!("{record:?}");
        };
        region.range = crate::KeyRange::new(vec![b'k'; bytes], None::<Vec<u8>>).unwrap();
        let (kind, payload) = encode(&record);
        assert_eq!(decode(kind, &payload).is_ok(), is_fine, "{bytes}");
    }
}

#[test]
fn a_header_names_a_region_if_and_only_if_the_kind_has_one() {
    let (bootstrap, payload) = encode(&sample());
    let (identify, other) = encode(&World::new().records[0].1);
    // Version, clock, boot, cause; then whether there is a region.
    let at = 12;
    assert_eq!((payload[at], other[at]), (1, 0));
    let mut without = payload[..at].to_vec();
    without.push(0);
    without.extend(&payload[at + 2..]);
    assert!(matches!(
        decode(bootstrap, &without),
        Err(CodecError::Region { present: false, .. })
    ));
    let mut with = other[..at].to_vec();
    with.extend([1, 7]);
    with.extend(&other[at + 1..]);
    assert!(matches!(
        decode(identify, &with),
        Err(CodecError::Region { present: true, .. })
    ));
}

fn items(register: &Register) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    let Ok(()) = save_register::<std::convert::Infallible>(register, &mut |item| {
        items.push(item.to_vec());
        Ok(())
    });
    items
}

#[test]
fn checkpoint_items_out_of_order_twice_or_overlapping_are_refused_and_change_nothing() {
    let mut world = World::bootstrapped("b", "m");
    world.create(2);
    world.accept(&world.begin(
        crate::lifecycle::tests::world::region(2, "m", "t", (1, 2)),
        9,
    ));
    world.accept(&Event::Destroy {
        region: RegionId(1),
        incarnation: None,
        peer: crate::PeerId(11),
        cause: crate::lifecycle::DestroyCause::Operator,
    });
    let items = items(&world.register);
    assert_eq!(items.len(), 4, "a head, two regions, a deletion");
    for first in 0..items.len() {
        for second in 0..items.len() {
            let mut register = Register::default();
            load_item(&mut register, &items[first]).unwrap();
            let before = register.clone();
            let outcome = load_item(&mut register, &items[second]);
            assert_eq!(outcome.is_ok(), first < second, "{first} {second}");
            if outcome.is_err() {
                assert_eq!(register, before);
            }
        }
    }
    // The same keys under another region's name.
    let mut twin = items[2].clone();
    assert_eq!(twin[2], 2, "region 2");
    twin[2] = 3;
    let mut register = Register::default();
    for item in &items[..3] {
        load_item(&mut register, item).unwrap();
    }
    let before = register.clone();
    assert!(matches!(
        load_item(&mut register, &twin),
        Err(CodecError::Restore(_))
    ));
    assert_eq!(register, before);
}

#[test]
fn no_change_to_a_checkpoint_item_panics_or_decodes_to_other_bytes() {
    for seed in [3, 5, 6] {
        let world = crate::lifecycle::tests::history(seed, 200);
        let items = items(&world.register);
        let mut register = Register::default();
        for item in &items {
            for at in 0..item.len() {
                for flip in [0x01, 0x10, 0x80, 0xff] {
                    let mut bytes = item.clone();
                    bytes[at] ^= flip;
                    let mut changed = register.clone();
                    if load_item(&mut changed, &bytes).is_ok() {
                        let saved = self::items(&changed);
                        assert!(saved.contains(&bytes));
                    } else {
                        assert_eq!(changed, register);
                    }
                }
                assert!(load_item(&mut register.clone(), &item[..at]).is_err());
            }
            load_item(&mut register, item).unwrap();
        }
        assert_eq!(register, world.register);
    }
}

#[test]
fn items_of_a_newer_version_say_so() {
    let mut register = Register::default();
    for (item, is_newer) in [
        (&[1, 2][..], true),
        (&[9, 1], true),
        (&[1, 0], false),
        (&[1], false),
        (&[], false),
    ] {
        let error = load_item(&mut register, item).unwrap_err();
        assert_eq!(error.is_newer_format(), is_newer, "{item:?}: {error}");
    }
}

#[test]
fn a_position_of_0_is_refused() {
    let mut world = World::bootstrapped("b", "y");
    world.create(2);
    let (_, mut record) = world.records.pop().unwrap();
    let zero = torrens_journal::Lsn::ZERO;
    let good = record.header;
    for (incarnation, previous) in [(Some(Incarnation::new(zero)), None), (None, Some(zero))] {
        record.header.incarnation = incarnation;
        record.header.previous = previous;
        let (kind, payload) = encode(&record);
        assert!(matches!(decode(kind, &payload), Err(CodecError::LsnZero)));
    }
    record.header = good;
    let (kind, payload) = encode(&record);
    assert_eq!(decode(kind, &payload).unwrap(), Some(record));
}
