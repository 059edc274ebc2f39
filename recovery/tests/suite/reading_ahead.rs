//! Other threads that read and verify change nothing of what is found; and behind an orderly close
//! the rest of the last segment needs no reading.

use std::io;

use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_journal::{Journal, JournalOptions};
use torrens_recovery::{RecoveryError, RecoveryOptions};

use crate::host::{
    Host, SEGMENT_BYTES, contents, copy, directories, first_life, options, recover_with, segment,
};
use crate::tally::Tally;

const SEED: u64 = 77;

fn with_threads(threads: usize) -> RecoveryOptions {
    RecoveryOptions::new(options()).with_threads(threads)
}

/// What a recovery says, without what differs between runs.
fn told(disk: &SimDisk, options: RecoveryOptions) -> (String, Option<Tally>) {
    match recover_with(disk, options) {
        Ok(recovered) => {
            let report = &recovered.report;
            let text = format!(
                "{:?} {:?} {} {:?} {:?}",
                report.verdict, report.witness, report.last_lsn, report.window, report.cut
            );
            (text, Some(recovered.machine))
        }
        Err(RecoveryError::Refused { report }) => {
            (format!("{:?} {:?}", report.verdict, report.witness), None)
        }
        Err(error) => (format!("{error:?}"), None),
    }
}

/// A store whose segments hold several groups each, at the end of a life that was not closed.
fn store() -> SimDisk {
    let disk = SimDisk::new(SEED);
    let mut host = Host::create(&disk).expect("nothing fails");
    first_life(&mut host).expect("nothing fails");
    for _ in 0..6 {
        host.put(2000).expect("nothing fails");
    }
    host.vanish();
    disk
}

#[test]
fn any_number_of_threads_finds_the_same_in_every_torn_or_damaged_journal() {
    let disk = store();
    let mut cases: Vec<(String, SimDisk)> = (0..24)
        .map(|seed| {
            let choice = CutChoice::Seeded(SEED + seed);
            (format!("{choice:?}"), disk.power_cut(choice))
        })
        .collect();
    for path in disk.files() {
        let bytes = disk.contents(&path).expect("listed").len() as u64;
        for at in (0..bytes).step_by(2048 + 512) {
            let damaged = copy(&disk);
            damaged.corrupt(&path, at + 40, &[0xa5; 9]).expect("listed");
            cases.push((format!("{} at {at:#x}", path.display()), damaged));
        }
    }
    let mut verdicts = std::collections::BTreeSet::new();
    for (name, case) in &cases {
        let alone = told(&copy(case), with_threads(0));
        for threads in 1..4 {
            let together = told(&copy(case), with_threads(threads));
            assert_eq!(together, alone, "{name}, {threads} threads");
        }
        verdicts.insert(alone.0.split(['(', ' ']).next().map(str::to_owned));
    }
    assert!(
        verdicts.len() >= 3,
        "several verdicts were met: {verdicts:?}"
    );
}

#[test]
fn a_refused_read_is_unreadable_whoever_reads() {
    let disk = store();
    let last = disk
        .files()
        .into_iter()
        .rfind(|path| path.extension().is_some_and(|e| e == "seg"));
    let last = last.expect("there are segments");
    for at in (0..SEGMENT_BYTES).step_by(4096) {
        for threads in [0, 2] {
            let refusing = copy(&disk);
            refusing.fail_reads(&last, at..at + 1, io::ErrorKind::PermissionDenied);
            let before = contents(&refusing);
            let error = recover_with(&refusing, with_threads(threads)).expect_err("refused");
            assert_eq!(error.exit_code(), 8, "at {at:#x} with {threads} threads");
            assert!(contents(&refusing) == before, "a refusal changed something");
        }
    }
}

#[test]
fn a_record_that_cannot_be_stops_every_thread() {
    // The machine breaks off in the middle; nobody must wait for a batch that nobody takes.
    let disk = store();
    for threads in 0..4 {
        let mut calls = 0;
        let options = with_threads(threads).with_progress(Box::new(move |_| {
            calls += 1;
            if calls > 3 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        }));
        let error = recover_with(&copy(&disk), options).expect_err("it was stopped");
        assert!(matches!(error, RecoveryError::Aborted), "{error:?}");
    }
}

const LARGE: u64 = 4 * 1024 * 1024;
/// What is read behind an orderly close.
const LOOK: u64 = 1024 * 1024;

/// A journal in one large segment, closed in order `closes` times.
fn closed(closes: u32) -> SimDisk {
    let disk = SimDisk::new(SEED);
    let large = JournalOptions::new().segment_bytes(LARGE);
    let mut host = Host::create_with(&disk, large).expect("nothing fails");
    host.put(100).expect("nothing fails");
    host.put(100).expect("nothing fails");
    host.journal.close().expect("it closes");
    drop(host);
    for _ in 1..closes {
        let recovered = recover_with(&disk, RecoveryOptions::new(large)).expect("it opens");
        recovered.journal.close().expect("it closes");
    }
    disk
}

fn bytes_read(disk: &SimDisk, options: RecoveryOptions) -> u64 {
    let recovered = recover_with(&copy(disk), options).expect("it opens");
    assert_eq!(recovered.report.verdict.name(), "clean");
    assert_eq!(recovered.machine.values.len(), 2);
    recovered.report.bytes_read
}

#[test]
fn behind_an_orderly_close_only_the_beginning_of_the_rest_is_read() {
    for closes in 1..7 {
        let disk = closed(closes);
        let read = bytes_read(&disk, with_threads(1));
        assert!(read < LOOK + 64 * 1024, "{closes} closes: {read} bytes");
        assert_eq!(bytes_read(&disk, with_threads(1).thorough()), LARGE);

        // What lies there is found where it is looked for, and by whoever reads it all.
        let near = copy(&disk);
        near.corrupt(&segment(1), LOOK, b"!").expect("listed");
        let found = recover_with(&near, with_threads(1)).expect("a torn tail opens");
        assert_eq!(found.report.verdict.name(), "torn-tail");
        let far = copy(&disk);
        far.corrupt(&segment(1), LARGE - 4096, b"!")
            .expect("listed");
        let found = recover_with(&copy(&far), with_threads(0)).expect("it opens");
        assert_eq!(found.report.verdict.name(), "clean");
        let found = recover_with(&far, with_threads(0).thorough()).expect("a torn tail opens");
        assert_eq!(found.report.verdict.name(), "torn-tail");
    }
}

#[test]
fn without_certainty_that_no_later_mark_was_lost_everything_is_read() {
    let marks = directories().journal.join("journal.mark");
    for closes in 1..7 {
        let disk = closed(closes);
        for page in 0..4 {
            let damaged = copy(&disk);
            damaged
                .corrupt(&marks, page * 4096 + 100, b"!")
                .expect("listed");
            assert_eq!(
                bytes_read(&damaged, with_threads(1)),
                LARGE,
                "{closes} closes, page {page}"
            );
        }
    }
    // Neither is it certain after a crash.
    let disk = closed(2);
    let large = JournalOptions::new().segment_bytes(LARGE);
    let recovered = recover_with(&disk, RecoveryOptions::new(large)).expect("it opens");
    std::mem::forget::<Journal>(recovered.journal);
    assert_eq!(bytes_read(&disk, with_threads(1)), LARGE);
}
