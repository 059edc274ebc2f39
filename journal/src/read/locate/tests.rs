//! How many reads a search needs, and what it believes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, OpenMode};
use crate::group::{GroupContext, mend};
use crate::ids::{RecordKind, StoreUuid};
use crate::options::JournalOptions;
use crate::read::{Met, READS};
use crate::record::NewRecord;
use crate::writer::Journal;

const STORE: StoreUuid = StoreUuid([3; 16]);
const KIND: RecordKind = RecordKind::new(1);

fn dir() -> PathBuf {
    PathBuf::from("/db/journal")
}

fn journal(disk: &SimDisk, segment_bytes: u64) -> Journal {
    let options = JournalOptions::new().segment_bytes(segment_bytes);
    Journal::create(Arc::new(disk.clone()), &dir(), STORE, options).unwrap()
}

fn source(disk: &SimDisk) -> Source {
    Source {
        disk: Arc::new(disk.clone()),
        dir: dir(),
        store: Some(STORE),
    }
}

/// What lies at `lsn`, and how many reads it took to find it.
fn find(disk: &SimDisk, lsn: Lsn) -> (Result<Located, PositionError>, u64) {
    let before = READS.with(std::cell::Cell::get);
    let located = locate(&source(disk), lsn, Lsn::ZERO);
    (located, READS.with(std::cell::Cell::get) - before)
}

/// The place that a search ends at must be the group of `lsn`, whole.
fn check(disk: &SimDisk, lsn: Lsn) -> u64 {
    let (located, reads) = find(disk, lsn);
    let mut located = located.unwrap();
    let witnessed = located.witnessed;
    let Met::Group(header) = located.cursor.look(witnessed).unwrap() else {
        panic!("no group at LSN {lsn}");
    };
    assert!(
        header.first_lsn <= lsn && lsn <= header.last_lsn(),
        "LSN {lsn}: {header:?}"
    );
    reads
}

#[test]
fn a_record_in_the_middle_of_a_large_segment_is_found_with_few_reads() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk, 16 * 1024 * 1024);
    // 4000 groups of one page: a scan would read 64 windows, a search of pages alone 4000.
    for _ in 0..4000 {
        journal.append(KIND, 0, &[7; 3000]).unwrap();
        journal.sync().unwrap();
    }
    let most = (1..=4000)
        .step_by(37)
        .map(|lsn| check(&disk, Lsn::new(lsn)))
        .max();
    // Two bisections of twelve steps, the two copies of a header, and a step or two.
    assert!(most.unwrap() <= 30, "{most:?} reads");
}

#[test]
fn a_segment_is_found_with_few_headers_read() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk, 32 * 1024);
    for _ in 0..1000 {
        journal.append(KIND, 0, &[7; 3000]).unwrap();
        journal.sync().unwrap();
    }
    let segments = journal.stats().segments;
    assert!(segments >= 200);
    let most = (1..=1000)
        .step_by(13)
        .map(|lsn| check(&disk, Lsn::new(lsn)))
        .max();
    // Eight headers of two copies, and a few pages.
    assert!(most.unwrap() <= 40, "{most:?} reads");
}

/// Groups that are larger than a probe looks, full of zeros, among small ones.
#[test]
fn groups_larger_than_a_probe_do_not_mislead_the_search() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk, 48 * 1024 * 1024);
    let zeros = vec![0; 3_000_000];
    for number in 0..300u64 {
        let payload: &[u8] = if number % 23 == 5 { &zeros } else { &[9; 100] };
        journal.append(KIND, 0, payload).unwrap();
        journal.sync().unwrap();
    }
    assert_eq!(journal.stats().segments, 1);
    let reads: Vec<u64> = (1..=300).map(|lsn| check(&disk, Lsn::new(lsn))).collect();
    // 48 MiB are 192 windows.
    let mean = reads.iter().sum::<u64>() / reads.len() as u64;
    assert!(mean < 96, "{mean} reads in the mean: {reads:?}");
    let (beyond, _) = find(&disk, Lsn::new(302));
    match beyond {
        Err(PositionError::NotYet { end, .. }) => assert_eq!(end, Lsn::new(300)),
        other => panic!("{other:?}"),
    }
}

/// Behind the place where a crash tore the journal lies a group that verifies. It says itself that
/// nothing before it was known to be durable, so it is no part of the history.
#[test]
fn a_group_behind_a_gap_is_not_believed() {
    let disk = SimDisk::new(1);
    let journal = journal(&disk, 64 * 1024);
    let batch = |number: u8| {
        let payload = vec![number; 3000];
        let record = NewRecord {
            kind: KIND,
            tag: 0,
            payload: &payload,
        };
        journal.append_all(&[record]).unwrap()
    };
    batch(1);
    journal.sync().unwrap();
    // Stored by the size of the open group, without a sync: a group of 64 pages and more does not fit.
    for number in 2..=6 {
        batch(number);
    }
    journal.sync().unwrap();
    batch(7);
    journal.sync().unwrap();
    let image = disk.process_kill();
    // The group of 2..=6 says durable 1, the one of 7 says durable 6: lower that to 1 and tear the
    // first, as if both had been in flight when the power went.
    let path = dir().join(SegmentId::FIRST.file_name());
    let mut reader = source(&image).open(SegmentId::FIRST).unwrap().unwrap();
    let header = *reader.header().unwrap();
    let spots: Vec<_> = reader.tail_scan(0).map(Result::unwrap).collect();
    assert_eq!(spots.len(), 3);
    let file = image.open(&path, OpenMode::Write).unwrap();
    let mut group = vec![0; spots[2].header.padded_bytes as usize];
    file.read_exact_at(spots[2].offset_bytes, &mut group)
        .unwrap();
    group[40..48].copy_from_slice(&1u64.to_le_bytes());
    mend(
        &mut group,
        spots[2].offset_bytes,
        &GroupContext::new(&header),
    );
    file.write_all_at(spots[2].offset_bytes, &group).unwrap();
    file.write_all_at(spots[1].offset_bytes, &[0; 4096])
        .unwrap();
    check(&image, Lsn::FIRST);
    for lsn in [3, 7, 8] {
        match find(&image, Lsn::new(lsn)).0 {
            Err(PositionError::NotYet { end, .. }) => assert_eq!(end, Lsn::FIRST, "LSN {lsn}"),
            other => panic!("LSN {lsn}: {other:?}"),
        }
    }
    // With the witness left as it was, the same tear is damage.
    let image = disk.process_kill();
    let file = image.open(Path::new(&path), OpenMode::Write).unwrap();
    file.write_all_at(spots[1].offset_bytes, &[0; 4096])
        .unwrap();
    for lsn in [2, 3] {
        match find(&image, Lsn::new(lsn)).0.and_then(|mut found| {
            let witnessed = found.witnessed;
            found.cursor.look(witnessed).map(|_| ())
        }) {
            Err(PositionError::Damaged { expected, .. }) => assert_eq!(expected, Lsn::new(2)),
            other => panic!("LSN {lsn}: {other:?}"),
        }
    }
}
