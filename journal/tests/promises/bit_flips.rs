//! No damage of a small journal makes a reader panic, or give a record that nobody wrote.

use torrens_journal::testing::SimDisk;
use torrens_journal::{Found, SegmentId, SegmentReader, list, read_marks};

use crate::support::{KIND, create, dir, mark_path, payload, segment_path, small};

/// Two segments, the second half full.
fn written() -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(3);
    let journal = create(&disk, small());
    let mut payloads = Vec::new();
    for number in 1..=12 {
        let bytes = payload(number, 100 + (number as usize % 4) * 900);
        journal.append(KIND, 0, &bytes).unwrap();
        payloads.push(bytes);
        if number % 2 == 0 {
            journal.sync().unwrap();
        }
    }
    journal.close().unwrap();
    assert_eq!(list(&disk, &dir()).unwrap().segments.len(), 2);
    (disk, payloads)
}

/// Every record in any group that verifies anywhere, with its LSN.
fn readable(disk: &SimDisk) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    for entry in list(disk, &dir()).unwrap().segments {
        let mut reader = SegmentReader::open(disk, &dir(), entry.id, None).unwrap();
        let offsets: Vec<u64> = reader
            .tail_scan(0)
            .map(|group| group.unwrap().offset_bytes)
            .collect();
        for offset_bytes in offsets {
            if let Found::Group(group) = reader.group_at(offset_bytes, None).unwrap() {
                for record in group.records() {
                    let record = record.unwrap();
                    records.push((record.lsn.get(), record.payload.to_vec()));
                }
            }
        }
    }
    records
}

fn assert_only_written(disk: &SimDisk, payloads: &[Vec<u8>], context: &str) -> usize {
    let records = readable(disk);
    for (lsn, payload) in &records {
        assert_eq!(Some(payload), payloads.get(*lsn as usize - 1), "{context}");
    }
    read_marks(disk, &dir(), None).unwrap();
    records.len()
}

#[test]
fn no_bit_flip_yields_a_record_nobody_wrote() {
    let (disk, payloads) = written();
    assert_eq!(assert_only_written(&disk, &payloads, "undamaged"), 12);
    for path in [segment_path(1), segment_path(2), mark_path()] {
        let bytes = disk.contents(&path).unwrap();
        // A stride that is prime to 8 meets every bit position; the first bytes of each page, where
        // the headers are, are met more densely.
        let bits = (0..bytes.len() * 8).filter(|bit| {
            let in_page = bit / 8 % 4096;
            (in_page < 160 && bit % 13 == 0) || bit % 1009 == 0
        });
        for bit in bits {
            let flipped = bytes[bit / 8] ^ (1 << (bit % 8));
            disk.corrupt(&path, bit as u64 / 8, &[flipped]).unwrap();
            let context = format!("{} bit {bit}", path.display());
            let left = assert_only_written(&disk, &payloads, &context);
            // Only one structure is hit: at worst one group with two records.
            assert!(left >= 10, "{context}: {left} records left");
            disk.corrupt(&path, bit as u64 / 8, &[bytes[bit / 8]])
                .unwrap();
        }
    }
    assert_eq!(assert_only_written(&disk, &payloads, "healed"), 12);
}

#[test]
fn no_exchanged_sector_or_page_yields_a_record_nobody_wrote() {
    let (disk, payloads) = written();
    let first = disk.contents(&segment_path(1)).unwrap();
    let second = disk.contents(&segment_path(2)).unwrap();
    for unit in [512, 4096] {
        for from in (0..first.len()).step_by(unit) {
            for (source, name) in [(&first, "same"), (&second, "other")] {
                let to = (from * 7 + 3 * unit) % first.len();
                let moved = &source[from..from + unit];
                disk.corrupt(&segment_path(1), to as u64, moved).unwrap();
                let context = format!("{unit} bytes at {from} of the {name} segment to {to}");
                assert_only_written(&disk, &payloads, &context);
                disk.corrupt(&segment_path(1), to as u64, &first[to..to + unit])
                    .unwrap();
            }
        }
    }
    // Whole segments exchanged.
    disk.corrupt(&segment_path(1), 0, &second).unwrap();
    disk.corrupt(&segment_path(2), 0, &first).unwrap();
    assert_eq!(assert_only_written(&disk, &payloads, "exchanged"), 0);
    let reader = SegmentReader::open(&disk, &dir(), SegmentId::FIRST, None).unwrap();
    assert!(reader.header().is_err());
}
