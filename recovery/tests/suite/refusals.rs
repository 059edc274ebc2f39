//! When recovery refuses to open: with a typed answer, and with nothing changed.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;

use torrens_journal::format;
use torrens_journal::testing::{SimDisk, SimFault};
use torrens_journal::{Journal, RecordKind};
use torrens_recovery::{RecoveryError, RecoveryOptions, Stage, Verdict, recover};

use crate::host::{
    Host, STORE, contents, copy, directories, first_life, look, options, segment, try_recover,
};
use crate::tally::{BEGIN, END, REMARK, Tally, UNKNOWN, VALUE};

fn refused(disk: &SimDisk) -> Box<torrens_recovery::RecoveryReport> {
    let before = contents(disk);
    match try_recover(disk) {
        Err(RecoveryError::Refused { report }) => {
            assert_eq!(contents(disk), before, "a refusal changes nothing");
            report
        }
        Err(error) => panic!("{error:?}"),
        Ok(recovered) => panic!("opened: {}", recovered.report),
    }
}

/// A journal with exactly these records, closed in order.
fn journal_of(records: &[(RecordKind, &[u8])]) -> SimDisk {
    let disk = SimDisk::new(5);
    let dir = directories().journal;
    let journal = Journal::create(Arc::new(disk.clone()), &dir, STORE, options()).expect("created");
    for (kind, payload) in records {
        journal.append(*kind, 0, payload).expect("appended");
        journal.sync().expect("synced");
    }
    journal.close().expect("closed");
    disk
}

#[test]
fn a_directory_that_is_missing_or_empty_or_holds_an_unfinished_journal_is_no_journal() {
    let disk = SimDisk::new(6);
    assert!(matches!(
        try_recover(&disk),
        Err(RecoveryError::NotAJournal { .. })
    ));
    for number in 1.. {
        let disk = SimDisk::new(6);
        disk.fail_at(number, SimFault::Dies);
        if Host::create(&disk).is_ok() {
            break;
        }
        let disk = disk.process_kill();
        match try_recover(&disk) {
            Err(RecoveryError::NotAJournal { .. }) => {
                Host::create(&disk)
                    .expect("a journal can be created there")
                    .vanish();
            }
            Ok(recovered) => assert_eq!(recovered.machine, Tally::default()),
            Err(error) => panic!("operation {number}: {error:?}"),
        }
    }
}

#[test]
fn a_refused_read_is_unreadable_wherever_it_is_and_never_an_end() {
    let disk = SimDisk::new(7);
    let mut host = Host::create(&disk).expect("nothing fails");
    first_life(&mut host).expect("nothing fails");
    let memory = host.vanish();
    let disk = copy(&disk);
    for path in disk.files() {
        let bytes = disk
            .contents(&path)
            .map_or(0, |contents| contents.len() as u64);
        for page in 0..bytes.div_ceil(4096) {
            let broken = copy(&disk);
            broken.fail_reads(&path, page * 4096..page * 4096 + 1, ErrorKind::Other);
            let before = contents(&broken);
            match try_recover(&broken) {
                Err(RecoveryError::Refused { report }) => {
                    assert_eq!(
                        report.verdict.exit_code(),
                        8,
                        "{} page {page}",
                        path.display()
                    );
                    assert_eq!(contents(&broken), before, "{} page {page}", path.display());
                    assert!(report.to_string().contains("injected failure"), "{report}");
                }
                Err(error) => panic!("{} page {page}: {error:?}", path.display()),
                // The older checkpoint is not read while the newest is valid, and what waits to be
                // used again is not read at all.
                Ok(recovered) => {
                    let is_unfinished = path.extension().is_some_and(|ending| ending == "new");
                    assert!(
                        is_unfinished || path.starts_with(directories().checkpoints),
                        "{}",
                        path.display()
                    );
                    assert_eq!(
                        recovered.machine.values,
                        memory.appended_prefix(&recovered.machine)
                    );
                }
            }
        }
    }
}

impl crate::host::Memory {
    fn appended_prefix(&self, machine: &Tally) -> Vec<Vec<u8>> {
        self.appended[..machine.values.len()].to_vec()
    }
}

#[test]
fn a_failed_sync_before_reading_is_unreadable() {
    let disk = journal_of(&[(VALUE, b"one")]);
    let disk = copy(&disk);
    disk.fail_at(1, SimFault::Error(ErrorKind::Other));
    assert_eq!(refused(&disk).verdict.exit_code(), 8);
    assert!(try_recover(&disk).is_ok(), "the next attempt looks again");
}

#[test]
fn an_impossible_sequence_stops_replay_at_its_record() {
    let disk = journal_of(&[
        (VALUE, b"one"),
        (BEGIN, &[7]),
        (END, &[7]),
        (END, &[7]),
        (VALUE, b"x"),
    ]);
    let report = refused(&disk);
    let Verdict::ImpossibleSequence(found) = &report.verdict else {
        panic!("{report}")
    };
    assert_eq!((found.lsn.get(), found.kind), (4, END));
    assert_eq!(found.reason, "operation 7 ends and never began");
    assert_eq!(
        (report.verdict.exit_code(), report.records_replayed),
        (6, 3)
    );
    assert_eq!(look(&disk).machine.position, 3);

    let undecodable = journal_of(&[(BEGIN, b"two bytes")]);
    assert_eq!(refused(&undecodable).verdict.exit_code(), 6);
}

#[test]
fn an_unknown_kind_is_skipped_if_it_says_so_and_a_newer_format_if_not() {
    let disk = journal_of(&[(VALUE, b"one"), (REMARK, b"?"), (VALUE, b"two")]);
    let recovered = try_recover(&disk).expect("a remark may be ignored");
    assert_eq!(
        (
            recovered.report.records_replayed,
            recovered.report.records_skipped
        ),
        (2, 1)
    );
    assert_eq!(recovered.report.last_lsn.get(), 3);

    let disk = journal_of(&[(VALUE, b"one"), (UNKNOWN, b"?"), (VALUE, b"two")]);
    let report = refused(&disk);
    assert_eq!(report.verdict.exit_code(), 7, "{report}");
}

#[test]
fn a_segment_in_a_newer_format_is_refused_as_such() {
    let disk = journal_of(&[(VALUE, b"one")]);
    let mut page = disk.contents(&segment(1)).expect("there")[..4096].to_vec();
    let at = format::header_at::MAJOR;
    page[at..at + 2].copy_from_slice(&9u16.to_le_bytes());
    let crc = crc32fast::hash(&page[format::header_at::CRC_FROM..]);
    let at = format::header_at::CRC;
    page[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    disk.corrupt(&segment(1), 0, &page).expect("there");
    disk.corrupt(&segment(1), 4096, &page).expect("there");
    let report = refused(&disk);
    assert_eq!(report.verdict.exit_code(), 7, "{report}");
}

#[test]
fn a_recovery_that_is_asked_to_stop_has_changed_nothing() {
    let disk = journal_of(&[(VALUE, b"one"), (VALUE, b"two")]);
    disk.corrupt(&segment(1), 8192 + 5 * 4096, b"scraps")
        .expect("there");
    let mut calls = 0;
    for stop_at in 1.. {
        let before = contents(&disk);
        let mut count = 0;
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let stages = Arc::clone(&seen);
        let progress = Box::new(move |progress: torrens_recovery::Progress| {
            count += 1;
            stages.lock().expect("not poisoned").push(progress.stage);
            if count == stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let options = RecoveryOptions::new(options()).with_progress(progress);
        match recover(
            Arc::new(disk.clone()),
            &directories(),
            Tally::default(),
            options,
        ) {
            Err(RecoveryError::Aborted) => assert_eq!(contents(&disk), before),
            Ok(_) => {
                let seen = seen.lock().expect("not poisoned");
                assert!(seen.contains(&Stage::Settling) && seen.contains(&Stage::Repairing));
                break;
            }
            Err(error) => panic!("{error:?}"),
        }
        calls += 1;
    }
    assert!(calls >= 3, "it was stopped at every stage: {calls}");
}

#[test]
fn a_full_disk_refuses_the_repair_and_lets_it_through_when_there_is_room() {
    let disk = journal_of(&[(VALUE, b"one")]);
    disk.corrupt(&segment(1), 8192 + 5 * 4096, b"scraps")
        .expect("there");
    disk.set_capacity(disk.used_bytes());
    let error = try_recover(&disk).expect_err("there is no room to keep the cut");
    assert!(matches!(error, RecoveryError::Repair { .. }), "{error:?}");
    assert_eq!(look(&disk).report.verdict.exit_code(), 3, "nothing was cut");
    disk.set_capacity(None);
    assert_eq!(
        try_recover(&disk)
            .expect("there is room")
            .machine
            .values
            .len(),
        1
    );
}
