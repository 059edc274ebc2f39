//! Reading by LSN: every record is found from its position alone, and what is not there has a typed
//! answer. From a bare directory and through the journal.

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Boot, Journal, JournalOptions, Lsn, LsnReader, OwnedRecord, PositionError, PositionFault,
    RecordKind, SegmentId, StoreUuid,
};

use crate::support::{KIND, STORE, create, dir, mark_path, payload, reopen, segment_path, small};

/// Bytes of the payload of record `number`: from none to more than two pages.
fn bytes_of(number: u64) -> usize {
    (number.wrapping_mul(2_654_435_761) % 9000) as usize
}

/// `records` in groups of one to four, in several segments.
fn filled(disk: &SimDisk, records: u64) -> Journal {
    let options = JournalOptions::new().segment_bytes(96 * 1024);
    let journal = create(disk, options);
    for number in 1..=records {
        let payload = payload(number, bytes_of(number));
        journal.append(KIND, number as u32, &payload).unwrap();
        if number % 3 == 0 || number % 7 == 0 {
            journal.sync().unwrap();
        }
    }
    journal.sync().unwrap();
    journal
}

fn open(disk: &SimDisk, from: u64) -> Result<LsnReader, PositionError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    LsnReader::open(disk, &dir(), Some(STORE), Lsn::new(from))
}

/// The record at `lsn`, read from the directory alone.
fn record(disk: &SimDisk, lsn: u64) -> Result<OwnedRecord, PositionError> {
    let mut reader = open(disk, lsn)?;
    let batch = reader.next_batch()?.expect("the record is there");
    assert_eq!(batch.first_lsn(), Lsn::new(lsn));
    assert_eq!(batch.records().next(), batch.record(Lsn::new(lsn)));
    assert_eq!(batch.record(Lsn::new(lsn - 1)), None);
    Ok(batch.records().next().unwrap().unwrap().into())
}

fn expected(number: u64) -> OwnedRecord {
    OwnedRecord {
        lsn: Lsn::new(number),
        kind: KIND,
        tag: number as u32,
        payload: payload(number, bytes_of(number)),
    }
}

/// Which answer, and the LSN that it names.
fn answer<T>(result: Result<T, PositionError>) -> (&'static str, u64) {
    match result {
        Ok(_) => ("there", 0),
        Err(error) => {
            let named = match &error {
                PositionError::Gone { oldest, .. } => oldest.get(),
                PositionError::NotYet { end, .. } => end.get(),
                PositionError::Damaged { expected, .. } => expected.get(),
                _ => 0,
            };
            (error.code(), named)
        }
    }
}

#[test]
fn every_record_is_found_from_its_position_alone() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 200);
    assert!(journal.stats().segments > 8);
    for number in 1..=200 {
        assert_eq!(record(&disk, number).unwrap(), expected(number));
        assert_eq!(journal.read(Lsn::new(number)).unwrap(), expected(number));
    }
    // From any position on, all the rest follows.
    for from in [1, 2, 50, 121, 199, 200, 201] {
        let mut reader = open(&disk, from).unwrap();
        let mut next = from;
        while let Some(batch) = reader.next_batch().unwrap() {
            for found in batch.records() {
                assert_eq!(OwnedRecord::from(found.unwrap()), expected(next));
                next += 1;
            }
        }
        assert_eq!((next, reader.next_lsn()), (201, Lsn::new(201)));
    }
}

#[test]
fn what_was_purged_and_what_is_to_come_have_typed_answers() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 100);
    for lsn in [0, 1] {
        assert_eq!(answer(open(&disk, lsn)), ("there", 0));
    }
    assert_eq!(answer(journal.read(Lsn::ZERO)), ("gone", 1));
    assert_eq!(answer(open(&disk, 101)), ("there", 0));
    assert_eq!(answer(journal.read(Lsn::new(101))), ("not-yet", 100));
    assert_eq!(answer(open(&disk, 102)), ("not-yet", 100));
    assert_eq!(answer(open(&disk, u64::MAX)), ("not-yet", 100));
    let oldest = journal.purge_below(Lsn::new(60)).unwrap().first_lsn.get();
    assert!((2..=60).contains(&oldest));
    for lsn in [1, oldest - 1] {
        assert_eq!(answer(open(&disk, lsn)), ("gone", oldest));
        assert_eq!(answer(journal.read(Lsn::new(lsn))), ("gone", oldest));
    }
    for lsn in oldest..=100 {
        assert_eq!(record(&disk, lsn).unwrap(), expected(lsn));
    }
    let handle: Arc<dyn Disk> = Arc::new(disk.clone());
    let reader = LsnReader::open_oldest(handle, &dir(), Some(STORE)).unwrap();
    assert_eq!(reader.next_lsn(), Lsn::new(oldest));
}

#[test]
fn an_empty_journal_has_an_end_and_no_directory_has_none() {
    let disk = SimDisk::new(1);
    assert_eq!(answer(open(&disk, 1)).0, "unreadable");
    disk.create_dir_all(&dir()).unwrap();
    assert_eq!(answer(open(&disk, 1)), ("no-journal", 0));
    let journal = create(&disk, small());
    let mut reader = open(&disk, 1).unwrap();
    assert!(reader.next_batch().unwrap().is_none());
    assert_eq!(answer(open(&disk, 2)), ("not-yet", 0));
    journal.append(KIND, 0, b"first").unwrap();
    // Neither stored nor durable.
    assert!(reader.next_batch().unwrap().is_none());
    assert_eq!(answer(journal.read(Lsn::FIRST)), ("not-yet", 0));
    journal.sync().unwrap();
    assert_eq!(reader.next_batch().unwrap().unwrap().last_lsn(), Lsn::FIRST);
}

#[test]
fn a_sealed_last_segment_ends_at_the_next_record() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=5 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    journal.close().unwrap();
    // Reopening fills the last page: a group that starts the boot and seals.
    let journal = reopen(&disk, small());
    assert_eq!(journal.boot(), Boot::new(2));
    let mut reader = open(&disk, 6).unwrap();
    assert!(reader.next_batch().unwrap().is_none());
    assert_eq!(answer(open(&disk, 7)), ("not-yet", 5));
    journal.append(KIND, 0, b"sixth").unwrap();
    journal.sync().unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    assert_eq!(
        (batch.first_lsn(), batch.boot()),
        (Lsn::new(6), Boot::new(2))
    );
    assert_eq!(batch.segment(), SegmentId::new(2));
}

/// Offsets and first LSNs of the groups of segment `number` that hold records.
fn groups(disk: &SimDisk, number: u64) -> Vec<(u64, u64, u64)> {
    let id = SegmentId::new(number);
    let mut reader = torrens_journal::SegmentReader::open(disk, &dir(), id, Some(STORE)).unwrap();
    reader
        .tail_scan(0)
        .map(Result::unwrap)
        .filter(|group| group.header.record_count > 0)
        .map(|group| {
            let header = group.header;
            (
                group.offset_bytes,
                header.first_lsn.get(),
                header.last_lsn().get(),
            )
        })
        .collect()
}

/// Damage to one group: reading it is refused, and every other record is still read by its LSN.
#[test]
fn damage_is_reported_where_it_is_and_hides_nothing_else() {
    let whole = SimDisk::new(1);
    let journal = filled(&whole, 120);
    let segments = journal.stats().segments;
    let whole = whole.process_kill();
    drop(journal);
    for segment in [1, 2, segments] {
        let groups = groups(&whole, segment);
        // Not the very last one: nobody witnessed it.
        let (offset, first, last) = groups[groups.len() / 2];
        for (bytes, is_zero) in [(vec![0xff; 16], false), (vec![0; 4096], true)] {
            let disk = whole.process_kill();
            if is_zero {
                let file = disk.open(&segment_path(segment), OpenMode::Write).unwrap();
                file.write_all_at(offset, &bytes).unwrap();
            } else {
                disk.corrupt(&segment_path(segment), offset + 16, &bytes)
                    .unwrap();
            }
            for lsn in 1..=120 {
                let found = open(&disk, lsn).and_then(|mut reader| {
                    let batch = reader.next_batch()?;
                    Ok(batch.map(|batch| batch.first_lsn()))
                });
                if (first..=last).contains(&lsn) {
                    assert_eq!(answer(found), ("damaged", first), "LSN {lsn}");
                } else {
                    assert_eq!(found.unwrap(), Some(Lsn::new(lsn)));
                }
            }
            // Who comes from before stops there, every time.
            let mut reader = open(&disk, 1).unwrap();
            while reader.next_lsn() < Lsn::new(first) {
                reader.next_batch().unwrap().unwrap();
            }
            for _ in 0..2 {
                let stopped = reader.next_batch();
                match stopped {
                    Err(PositionError::Damaged {
                        segment: in_segment,
                        offset_bytes,
                        why,
                        ..
                    }) => {
                        assert_eq!((in_segment.get(), offset_bytes), (segment, offset));
                        assert_eq!(matches!(why, PositionFault::Zero), is_zero, "{why}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn what_only_a_mark_knows_of_is_damage_and_not_an_end() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=3 {
        journal.append(KIND, 0, &payload(number, 100)).unwrap();
        journal.sync().unwrap();
    }
    journal.write_mark_synced().unwrap();
    let disk = disk.process_kill();
    drop(journal);
    let (offset, ..) = groups(&disk, 1)[2];
    let file = disk.open(&segment_path(1), OpenMode::Write).unwrap();
    file.write_all_at(offset, &[0; 4096]).unwrap();
    let read_all = |disk: &SimDisk| {
        let mut reader = open(disk, 1)?;
        while reader.next_batch()?.is_some() {}
        Ok(reader.next_lsn())
    };
    assert_eq!(answer(read_all(&disk)), ("damaged", 3));
    // Without the mark nobody can know.
    disk.remove(&mark_path()).unwrap();
    assert_eq!(read_all(&disk).unwrap(), Lsn::new(3));
}

type Damage<'d> = &'d dyn Fn(&SimDisk);

#[test]
fn a_segment_that_is_missing_or_unusable_is_named_and_the_others_are_read() {
    let whole = SimDisk::new(1);
    let journal = filled(&whole, 120);
    let whole = whole.process_kill();
    drop(journal);
    let (_, first, _) = groups(&whole, 3)[0];
    let (_, behind, _) = groups(&whole, 4)[0];
    let damages: [(Damage<'_>, &str); 4] = [
        (&|disk| disk.remove(&segment_path(3)).unwrap(), "missing"),
        (
            &|disk| {
                for copy in [0, 4096] {
                    disk.corrupt(&segment_path(3), copy + 200, &[1]).unwrap();
                }
            },
            "checksum",
        ),
        (
            &|disk| {
                let file = disk.open(&segment_path(3), OpenMode::Write).unwrap();
                file.write_all_at(0, &[0; 8192]).unwrap();
            },
            "zero",
        ),
        (
            &|disk| {
                // Another store's segment of that number.
                let other = SimDisk::new(2);
                let options = JournalOptions::new().segment_bytes(96 * 1024);
                let store = StoreUuid([9; 16]);
                let journal =
                    Journal::create(Arc::new(other.clone()), &dir(), store, options).unwrap();
                for number in 1..=120 {
                    journal
                        .append(KIND, 0, &payload(number, bytes_of(number)))
                        .unwrap();
                }
                journal.sync().unwrap();
                let bytes = other.contents(&segment_path(3)).unwrap();
                let file = disk.open(&segment_path(3), OpenMode::Write).unwrap();
                file.write_all_at(0, &bytes).unwrap();
            },
            "store",
        ),
    ];
    for (damage, word) in damages {
        let disk = whole.process_kill();
        damage(&disk);
        for lsn in 1..=120 {
            let found = open(&disk, lsn).and_then(|mut reader| {
                let batch = reader.next_batch()?;
                Ok(batch.map(|batch| batch.first_lsn()))
            });
            if (first..behind).contains(&lsn) {
                let error = found.unwrap_err();
                assert_eq!(error.code(), "damaged", "{word}, LSN {lsn}: {error}");
                assert!(error.to_string().contains(word), "{error}");
            } else {
                assert_eq!(found.unwrap(), Some(Lsn::new(lsn)), "{word}");
            }
        }
    }
}

#[test]
fn a_segment_of_another_history_is_noticed_where_it_is_entered_or_left() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 120);
    let disk = disk.process_kill();
    drop(journal);
    let other = SimDisk::new(3);
    let journal = filled(&other, 120);
    let bytes = other.contents(&segment_path(3)).unwrap();
    drop(journal);
    let file = disk.open(&segment_path(3), OpenMode::Write).unwrap();
    file.write_all_at(0, &bytes).unwrap();
    for (from, segment) in [(1, 3), (groups(&disk, 3)[1].1, 4)] {
        let mut reader = open(&disk, from).unwrap();
        let stopped = loop {
            match reader.next_batch() {
                Ok(found) => assert!(found.is_some(), "an end, with records behind it"),
                Err(error) => break error,
            }
        };
        match stopped {
            PositionError::Damaged {
                segment: at, why, ..
            } => {
                assert_eq!((at.get(), why), (segment, PositionFault::DoesNotJoin));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_refused_read_is_an_error_and_never_an_end() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 60);
    let mut reader = open(&disk, 1).unwrap();
    reader.next_batch().unwrap().unwrap();
    for number in 1..=journal.stats().segments {
        disk.fail_reads(
            &segment_path(number),
            0..96 * 1024,
            std::io::ErrorKind::Other,
        );
    }
    let mut outcome = Ok(true);
    while matches!(outcome, Ok(true)) {
        outcome = reader.next_batch().map(|batch| batch.is_some());
    }
    assert_eq!(answer(outcome), ("unreadable", 0));
    assert_eq!(answer(open(&disk, 30)), ("unreadable", 0));
    assert_eq!(answer(journal.read(Lsn::new(30))), ("unreadable", 0));
    // Where it stood, it goes on when reads work again.
    disk.clear_faults();
    while reader.next_batch().unwrap().is_some() {}
    assert_eq!(reader.next_lsn(), Lsn::new(61));
}

#[test]
fn records_of_an_ignorable_kind_are_records_like_others() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let kind = RecordKind::new(RecordKind::IGNORABLE | 4);
    journal.append(kind, 9, b"aside").unwrap();
    journal.sync().unwrap();
    let found = journal.read(Lsn::FIRST).unwrap();
    assert!(found.kind.is_ignorable());
    assert_eq!(
        (found.tag, found.payload.as_slice()),
        (9, b"aside".as_slice())
    );
}

#[test]
fn reading_by_position_changes_nothing() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 60);
    let ops = disk.ops();
    for lsn in 1..=61 {
        let _ = open(&disk, lsn).unwrap().next_batch().unwrap();
        let _ = journal.read(Lsn::new(lsn));
    }
    assert_eq!(disk.ops(), ops);
    assert!(
        disk.files()
            .iter()
            .all(|path| path.starts_with(Path::new("/db")))
    );
}
