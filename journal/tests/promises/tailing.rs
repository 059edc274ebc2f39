//! Readers from outside that stay: across rotation, purge, files that are used again, reopening and
//! crashes of the writer, and what they say of what is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use torrens_journal::disk::{Disk, OpenMode, RealDisk};
use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_journal::{Journal, Lsn, LsnReader, PositionError, PositionFault, StoreUuid};

use crate::support::{
    KIND, STORE, clear_behind, create, dir, payload, reopen, segment_path, small, walk,
};

fn open(disk: &SimDisk, from: u64) -> LsnReader {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    LsnReader::open(disk, &dir(), Some(STORE), Lsn::new(from)).unwrap()
}

/// First LSN of the next batch and whether it is witnessed; `None` at the end.
fn next(reader: &mut LsnReader) -> Option<(u64, bool)> {
    let batch = reader.next_batch().unwrap()?;
    Some((batch.first_lsn().get(), batch.is_witnessed()))
}

fn append(journal: &Journal, number: u64) {
    journal.append(KIND, 0, &payload(number, 2000)).unwrap();
    journal.sync().unwrap();
}

#[test]
fn a_reader_follows_across_segments_and_boots() {
    let disk = SimDisk::new(1);
    let mut journal = create(&disk, small());
    let mut reader = open(&disk, 1);
    let mut number = 0;
    for boot in 0..8 {
        for _ in 0..boot {
            number += 1;
            append(&journal, number);
            assert_eq!(next(&mut reader).unwrap().0, number);
            assert_eq!(next(&mut reader), None);
        }
        journal.close().unwrap();
        assert_eq!(next(&mut reader), None);
        drop(journal);
        journal = reopen(&disk, small());
    }
    assert_eq!(number, 28);
    assert!(journal.stats().segments > 4);
}

#[test]
fn a_reader_goes_on_where_a_killed_writer_is_recovered() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    append(&journal, 1);
    append(&journal, 2);
    // The process dies; a torn group lies behind what is good.
    let disk = disk.process_kill();
    drop(journal);
    let file = disk.open(&segment_path(1), OpenMode::Write).unwrap();
    file.write_all_at(8192 + 2 * 4096, b"TGRP torn").unwrap();
    let mut reader = open(&disk, 1);
    assert_eq!(next(&mut reader).unwrap().0, 1);
    assert_eq!(next(&mut reader).unwrap().0, 2);
    assert_eq!(next(&mut reader), None);
    clear_behind(&disk, &walk(&disk).tail.unwrap());
    assert_eq!(next(&mut reader), None);
    let journal = reopen(&disk, small());
    assert_eq!(next(&mut reader), None);
    append(&journal, 3);
    assert_eq!(next(&mut reader).unwrap().0, 3);
}

#[test]
fn what_is_only_there_is_told_from_what_is_witnessed() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut reader = open(&disk, 1);
    let mut careful = open(&disk, 1).witnessed_only(true);
    append(&journal, 1);
    // Durable, and nothing says so yet.
    assert_eq!(next(&mut reader), Some((1, false)));
    assert_eq!(next(&mut careful), None);
    append(&journal, 2);
    // The second group says that the first was durable.
    assert_eq!(next(&mut careful), Some((1, true)));
    assert_eq!(next(&mut careful), None);
    assert_eq!(next(&mut reader), Some((2, false)));
    assert_eq!(reader.witnessed(), Lsn::FIRST);
    // So does a mark, of the second.
    journal.write_mark().unwrap();
    assert_eq!(next(&mut careful), Some((2, true)));
    assert_eq!(careful.witnessed(), Lsn::new(2));
    assert_eq!(next(&mut reader), None);
    assert_eq!(reader.witnessed(), Lsn::new(2));
    // A reader that comes later looks behind each group at once.
    let mut late = open(&disk, 1);
    assert_eq!(next(&mut late), Some((1, true)));
    assert_eq!(next(&mut late), Some((2, true)));
    // And so does a new segment.
    for number in 3..=6 {
        append(&journal, number);
    }
    for number in 3..=5 {
        assert_eq!(next(&mut late), Some((number, true)));
    }
    assert_eq!(next(&mut late), Some((6, false)));
    // What is stored and not synced is there too.
    for number in 7..=200 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
    }
    let (_, witnessed) = next(&mut late).unwrap();
    assert!(!witnessed);
    assert_eq!(next(&mut careful), Some((3, true)));
    let mut last = 3;
    while let Some((first, witnessed)) = next(&mut careful) {
        assert!(witnessed);
        last = first;
    }
    // The first of the groups behind record 6 says that 6 was durable; none says more.
    assert_eq!(last, 6);
}

/// Whatever a power cut leaves of what was in flight: a careful reader has never delivered a record
/// that the cut took, and goes on with what recovery left.
#[test]
fn a_careful_reader_is_never_ahead_of_a_power_cut() {
    for seed in 1..=20u64 {
        let disk = SimDisk::new(seed);
        let journal = create(&disk, small());
        let mut careful = open(&disk, 1).witnessed_only(true);
        let mut last = 0;
        for number in 1..=60 {
            journal.append(KIND, 0, &payload(number, 1500)).unwrap();
            if (number * seed) % 5 == 0 {
                journal.sync().unwrap();
            }
            if (number * seed) % 13 == 0 {
                journal.write_mark().unwrap();
            }
            while let Some(batch) = careful.next_batch().unwrap() {
                last = batch.last_lsn().get();
            }
            let after = disk.power_cut(CutChoice::LoseAll);
            let left = walk(&after).last_lsn().get();
            assert!(last <= left, "seed {seed}: delivered {last}, left {left}");
        }
        assert!(last > 0, "seed {seed}");
    }
}

#[test]
fn a_purged_position_is_gone_and_says_what_is_left() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=23 {
        append(&journal, number);
    }
    let mut reader = open(&disk, 1);
    assert_eq!(next(&mut reader).unwrap().0, 1);
    journal.purge_below(Lsn::new(18)).unwrap();
    let gone = loop {
        match reader.next_batch() {
            // The rest of the file that it has open.
            Ok(Some(batch)) => assert!(batch.last_lsn() <= Lsn::new(5)),
            Ok(None) => panic!("an end, with records behind it"),
            Err(error) => break error,
        }
    };
    match gone {
        PositionError::Gone { asked, oldest } => {
            assert_eq!((asked, oldest), (Lsn::new(6), Lsn::new(16)));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        reader.next_batch(),
        Err(PositionError::Gone { .. })
    ));
}

/// What becomes of a purged segment's file: zeros, then a later segment of the same store.
fn recycle(disk: &SimDisk, number: u64, stage: usize) {
    let path = segment_path(number);
    let unfinished = dir().join("00000000000000000099.seg.new");
    let _ = disk.remove(&unfinished);
    disk.rename(&path, &unfinished).unwrap();
    let file = disk.open(&unfinished, OpenMode::Write).unwrap();
    if stage >= 1 {
        file.write_all_at(0, &vec![0; 32 * 1024]).unwrap();
    }
    if stage >= 2 {
        let bytes = disk.contents(&segment_path(number + 1)).unwrap();
        file.write_all_at(0, &bytes).unwrap();
    }
}

#[test]
fn a_file_that_is_used_again_under_a_reader_is_never_an_end_and_never_misread() {
    for stage in 0..=2 {
        for read_before in [0, 1, 5] {
            let disk = SimDisk::new(1);
            let journal = create(&disk, small());
            for number in 1..=5 {
                append(&journal, number);
            }
            // Opened when the segment was the last one: nothing behind it was read ahead.
            let mut reader = open(&disk, 1);
            for number in 1..=read_before {
                assert_eq!(next(&mut reader).unwrap().0, number);
            }
            for number in 6..=13 {
                append(&journal, number);
            }
            recycle(&disk, 1, stage);
            let mut last = read_before;
            let gone = loop {
                match reader.next_batch() {
                    Ok(Some(batch)) => {
                        let found = batch.records().next().unwrap().unwrap();
                        assert_eq!(found.payload, payload(last + 1, 2000));
                        last += 1;
                    }
                    Ok(None) => panic!("stage {stage}: an end, with records behind it"),
                    Err(error) => break Some(error),
                }
                if last == 13 {
                    break None;
                }
            };
            match gone {
                Some(PositionError::Gone { oldest, .. }) => {
                    assert_eq!(oldest, Lsn::new(6), "stage {stage}");
                    assert!(last < 5, "stage {stage}: it had everything that was purged");
                }
                // It needed nothing more of that file, or had read the rest ahead.
                None => assert_eq!(last, 13, "stage {stage}"),
                Some(other) => panic!("stage {stage}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_directory_that_was_replaced_is_noticed() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    append(&journal, 1);
    let mut reader = open(&disk, 1);
    assert_eq!(next(&mut reader).unwrap().0, 1);
    drop(journal);
    for path in disk.files() {
        disk.remove(&path).unwrap();
    }
    let other = create(&disk, small());
    append(&other, 1);
    match reader.next_batch() {
        Err(PositionError::Damaged { why, .. }) => assert_eq!(why, PositionFault::Replaced),
        other => panic!("{other:?}"),
    }
    let handle: Arc<dyn Disk> = Arc::new(disk.clone());
    let foreign = LsnReader::open(handle, &dir(), Some(StoreUuid([1; 16])), Lsn::FIRST);
    assert_eq!(foreign.unwrap_err().code(), "damaged");
}

/// A writer at full speed with small segments that purges all the time, and readers from outside,
/// who lose their place again and again: whatever they are given is right and in order.
#[test]
fn readers_outside_are_never_misled_by_a_writer_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let writing: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let journal = Journal::create(writing, &path, STORE, small()).unwrap();
    const TOTAL: u64 = 3000;
    let done = AtomicBool::new(false);
    let text = |lsn: u64| payload(lsn, (lsn * 31 % 2500) as usize);
    thread::scope(|scope| {
        for careful in [false, true] {
            let (done, path) = (&done, &path);
            scope.spawn(move || {
                let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
                let reopen = || {
                    LsnReader::open_oldest(Arc::clone(&disk), path, Some(STORE))
                        .unwrap()
                        .witnessed_only(careful)
                };
                let mut reader = reopen();
                let (mut last, mut seen, mut lost) = (0, 0, 0);
                loop {
                    let was_done = done.load(Ordering::SeqCst);
                    match reader.next_batch_within(Duration::from_millis(5)) {
                        Ok(Some(batch)) => {
                            for record in batch.records() {
                                let record = record.unwrap();
                                assert!(last == 0 || record.lsn.get() == last + 1);
                                last = record.lsn.get();
                                assert_eq!(record.payload, text(last));
                                seen += 1;
                            }
                        }
                        Ok(None) if was_done => break,
                        Ok(None) => {}
                        Err(PositionError::Gone { asked, oldest }) => {
                            assert!(asked < oldest);
                            reader = reopen();
                            (last, lost) = (0, lost + 1);
                        }
                        Err(other) => panic!("after LSN {last}: {other:?}"),
                    }
                }
                assert_eq!(last, TOTAL, "seen {seen}, lost the place {lost} times");
            });
        }
        for number in 1..=TOTAL {
            journal.append(KIND, 0, &text(number)).unwrap();
            if number % 3 == 0 {
                journal.sync().unwrap();
            }
            if number % 50 == 0 {
                journal.purge_below(Lsn::new(number - 20)).unwrap();
            }
        }
        journal.close().unwrap();
        done.store(true, Ordering::SeqCst);
    });
}
