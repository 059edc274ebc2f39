//! Every crash point of short histories, and every device that each can leave.
//!
//! A history is played once for each of its operations on the disk, which is then the last one (not
//! begun, or half done). What a power cut can leave is gone through completely where the unsynced
//! sectors, lengths and entries allow at most [`images_max`] devices, and sampled by seed where they
//! allow more. The same histories are played with a failure at each operation in place of a death,
//! with pages written back in the background, and with torn sectors.
//!
//! Oracle: every acknowledged record is there; every record that is found is the one that was appended
//! under its LSN; nothing that was needed is gone. So no record of an earlier use of a segment can
//! come back either. `TORRENS_CRASH_IMAGES` raises the number of devices a crash point may have.

use std::io::ErrorKind;
use std::sync::Arc;

use torrens_journal::disk::op;
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{Journal, Lsn};

use crate::support::{KIND, STORE, Writer, dir, payload, walk, writers};

mod history;

use history::{HISTORIES, Heard, History, Step, check, go_on, play};

const SEED: u64 = 0x746f_7272;

/// How many devices of one crash point are looked at.
fn images_max() -> usize {
    let asked = std::env::var("TORRENS_CRASH_IMAGES").ok();
    asked.and_then(|number| number.parse().ok()).unwrap_or(100)
}

/// What was gone through, for the report.
#[derive(Debug, Default)]
struct Tally {
    points: u64,
    exhausted: u64,
    images: u64,
}

impl Tally {
    /// Checks every device that a cut of `disk` can leave, or samples.
    fn cut_everywhere(&mut self, disk: &SimDisk, heard: &Heard, context: &str, max: usize) {
        self.points += 1;
        self.exhausted += u64::from(disk.cuts() <= max as u64);
        for image in disk.cut_images(max, SEED ^ self.points) {
            self.images += 1;
            check(&image, heard, context);
        }
        check(&disk.process_kill(), heard, context);
    }

    fn print(&self, what: &str) {
        report(&format!(
            "{what}: {} crash points, {} of them exhausted, {} devices",
            self.points, self.exhausted, self.images
        ));
    }
}

#[expect(
    clippy::print_stdout,
    reason = "figures of a run, seen with --nocapture"
)]
fn report(line: &str) {
    println!("{line}");
}

/// Plays a history with a fault at operation `at`.
fn played(writer: &Writer, history: &History, at: u64, fault: SimFault) -> (SimDisk, Heard) {
    let disk = SimDisk::new(SEED);
    disk.fail_at(at, fault);
    let mut heard = Heard::nothing();
    std::mem::forget(play(&disk, writer.small(), history.steps, &mut heard));
    (disk, heard)
}

/// How many operations a history has when nothing goes wrong.
fn ops(writer: &Writer, history: &History) -> u64 {
    let (disk, heard) = played(writer, history, 0, SimFault::Dies);
    assert!(heard.acknowledged > Lsn::ZERO, "{}", history.name);
    check(&disk, &heard, history.name);
    disk.ops()
}

fn everywhere(mut each: impl FnMut(&Writer, &History, u64, &mut Tally)) {
    for writer in writers() {
        let mut all = Tally::default();
        for history in HISTORIES {
            let mut tally = Tally::default();
            for at in 1..=ops(&writer, history) {
                each(&writer, history, at, &mut tally);
            }
            tally.print(&format!("{}, {}", writer.name, history.name));
            all.points += tally.points;
            all.exhausted += tally.exhausted;
            all.images += tally.images;
        }
        all.print(&format!("{}, all histories", writer.name));
    }
}

#[test]
fn a_death_at_every_operation_leaves_what_was_acknowledged_and_nothing_else() {
    everywhere(|writer, history, at, tally| {
        for fault in [SimFault::Dies, SimFault::DiesMidway] {
            let (disk, heard) = played(writer, history, at, fault);
            assert!(disk.is_dead());
            let context = format!("{}, {}, {fault:?} at {at}", writer.name, history.name);
            tally.cut_everywhere(&disk, &heard, &context, images_max());
        }
    });
}

#[test]
fn torn_sectors_and_background_write_back_change_nothing_of_it() {
    everywhere(|writer, history, at, tally| {
        let (disk, heard) = played(writer, history, at, SimFault::Dies);
        let context = format!("{}, {}, torn at {at}", writer.name, history.name);
        for seed in 0..16 {
            tally.images += 1;
            check(
                &disk.power_cut(CutChoice::Torn(SEED ^ seed)),
                &heard,
                &context,
            );
        }
        for seed in 0..2 {
            let disk = SimDisk::new(SEED);
            disk.write_back_in_background(SEED ^ seed);
            disk.fail_at(at, SimFault::Dies);
            let mut heard = Heard::nothing();
            std::mem::forget(play(&disk, writer.small(), history.steps, &mut heard));
            let context = format!(
                "{}, {}, death at {at}, write-back {seed}",
                writer.name, history.name
            );
            tally.cut_everywhere(&disk, &heard, &context, 16);
        }
    });
}

#[test]
fn a_failure_at_every_operation_acknowledges_nothing_that_a_crash_can_lose() {
    everywhere(|writer, history, at, tally| {
        for fault in [
            SimFault::Error(ErrorKind::Other),
            SimFault::Error(ErrorKind::StorageFull),
            SimFault::ShortThenError,
            SimFault::SyncLies,
            SimFault::SyncLosesSome(SEED ^ at),
            SimFault::SyncLosesSome(!SEED ^ at),
        ] {
            let (disk, heard) = played(writer, history, at, fault);
            assert!(!disk.is_dead());
            let context = format!("{}, {}, {fault:?} at {at}", writer.name, history.name);
            tally.cut_everywhere(&disk, &heard, &context, 24);
        }
    });
}

/// The kernel fails to write back at some moment between two operations; whoever syncs next must
/// hear of it, or what it acknowledges is lost.
#[test]
fn a_failed_write_back_between_operations_is_never_acknowledged_over() {
    everywhere(|writer, history, at, tally| {
        let (dead, _) = played(writer, history, at, SimFault::Dies);
        for (number, path) in dead.files().into_iter().enumerate() {
            for some_reaches in [None, Some(SEED ^ at)] {
                let disk = SimDisk::new(SEED);
                let mut heard = Heard::nothing();
                disk.fail_write_back_at(at, &path, some_reaches, ErrorKind::Other);
                std::mem::forget(play(&disk, writer.small(), history.steps, &mut heard));
                let context = format!(
                    "{}, {}, write-back of file {number} fails before {at}",
                    writer.name, history.name
                );
                tally.cut_everywhere(&disk, &heard, &context, 12);
            }
        }
    });
}

/// A crash, a plain recovery, a second history, and a crash in it.
#[test]
fn a_second_life_keeps_what_both_lives_acknowledged() {
    const SECOND: &[Step] = &[
        Step::Append(0, 60),
        Step::Wait(0),
        Step::Append(1, 9_000),
        Step::MarkSynced,
        Step::Append(2, 9_000),
        Step::Wait(2),
        Step::Close,
    ];
    everywhere(|writer, history, at, tally| {
        let (first, heard) = played(writer, history, at, SimFault::DiesMidway);
        for image in first.cut_images(3, SEED ^ at) {
            let found = walk(&image);
            let Some(tail) = found.tail else { continue };
            let cut = image.cut_choice();
            // Two moments of the second life, others for each crash of the first.
            for again in 0..2 {
                let disk = image.process_kill();
                let mut heard = heard.recovered(tail.last_lsn);
                crate::support::clear_behind(&disk, &tail);
                disk.fail_at(
                    disk.ops() + 1 + (again * 14 + at) % 28,
                    SimFault::DiesMidway,
                );
                let options = writer.small();
                let opened = Journal::resume(Arc::new(disk.clone()), &dir(), STORE, tail, options);
                if let Ok(journal) = opened {
                    std::mem::forget(go_on(&disk, journal, options, SECOND, &mut heard));
                }
                let context = format!(
                    "{}, {}, death at {at}, cut {cut:?}, second death {again}",
                    writer.name, history.name
                );
                tally.cut_everywhere(&disk, &heard, &context, 6);
            }
        }
    });
}

/// Two syncs in flight, and the second is done first: nobody is told of its record before the first
/// is durable too, and not at all if that one fails.
#[test]
fn a_sync_that_overtakes_another_acknowledges_nothing_before_it() {
    let mut tally = Tally::default();
    let mut overtaken = 0;
    for writer in writers() {
        for fault in [
            None,
            Some(SimFault::SyncLies),
            Some(SimFault::SyncLosesSome(SEED)),
            Some(SimFault::Error(ErrorKind::Other)),
            Some(SimFault::Dies),
            Some(SimFault::DiesMidway),
        ] {
            let context = format!("{}, {fault:?}", writer.name);
            let disk = SimDisk::new(SEED);
            let journal = Arc::new(crate::support::create(
                &disk,
                writer.small().syncs_in_flight(4),
            ));
            let mut heard = Heard::nothing();
            heard.appended = vec![payload(1, 700), payload(2, 700)];
            let held = if writer.name == "mapped" {
                op::SYNC
            } else {
                op::WRITE_DURABLE
            };
            let hold = disk.hold_next(held);
            let start = |number: u64| {
                let (journal, payload) = (Arc::clone(&journal), payload(number, 700));
                std::thread::spawn(move || {
                    let lsn = journal.append(KIND, 0, &payload).unwrap();
                    journal.wait_durable(lsn).is_ok()
                })
            };
            let first = start(1);
            while disk.held() == 0 {
                std::thread::yield_now();
            }
            let before = disk.ops();
            let second = start(2);
            // A writer that has one sync in flight never starts the second; it is given some time.
            for _ in 0..100 {
                let latest = disk.op_log().last().cloned();
                if latest.is_some_and(|op| op.number > before && op.name == held) {
                    overtaken += 1;
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            assert_eq!(journal.synced(), Lsn::ZERO, "{context}");
            tally.cut_everywhere(&disk, &heard, &context, 2000);
            if let Some(fault) = fault {
                disk.fail_at(disk.ops() + 1, fault);
            }
            drop(hold);
            let told = [first, second].map(|thread| thread.join().unwrap());
            assert_eq!(told, [fault.is_none(); 2], "{context}");
            heard.acknowledged = journal.synced();
            let expected = if fault.is_none() { 2 } else { 0 };
            assert_eq!(journal.synced(), Lsn::new(expected), "{context}");
            tally.cut_everywhere(&disk, &heard, &context, 2000);
            std::mem::forget(journal);
        }
    }
    tally.print(&format!("overtaking, which happened {overtaken} times"));
}

/// A payload and the LSN that it got.
type Appended = (Lsn, Vec<u8>);

/// Real threads, each waiting for its own records: whatever the order, what any of them was told is
/// durable is there. The order of operations differs from run to run; the operation of the death
/// and the cuts do not.
#[test]
fn threads_that_wait_side_by_side_keep_what_each_was_told() {
    for writer in writers() {
        let mut tally = Tally::default();
        for at in (5..120).step_by(3) {
            let disk = SimDisk::new(SEED);
            let made =
                Journal::create(Arc::new(disk.clone()), &dir(), STORE, writer.small()).unwrap();
            let fault = [SimFault::Dies, SimFault::DiesMidway, SimFault::SyncLies][at as usize % 3];
            disk.fail_at(disk.ops() + at, fault);
            let lives: Vec<(Vec<Appended>, Lsn)> = std::thread::scope(|scope| {
                let journal = &made;
                let threads: Vec<_> = (0..4_u64)
                    .map(|thread| scope.spawn(move || client(journal, thread, at)))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            std::mem::forget(made);
            let mut records: Vec<Appended> = Vec::new();
            let mut heard = Heard::nothing();
            for (appended, acknowledged) in lives {
                records.extend(appended);
                heard.acknowledged = heard.acknowledged.max(acknowledged);
            }
            records.sort();
            for (lsn, (appended, _)) in (1..).zip(&records) {
                assert_eq!(*appended, Lsn::new(lsn), "an LSN is given out once");
            }
            heard.appended = records.into_iter().map(|(_, payload)| payload).collect();
            let context = format!("{}, four threads, {fault:?} at {at}", writer.name);
            tally.cut_everywhere(&disk, &heard, &context, 60);
        }
        tally.print(&format!("{}, four threads", writer.name));
    }
}

/// Appends and waits until something fails.
fn client(journal: &Journal, thread: u64, seed: u64) -> (Vec<Appended>, Lsn) {
    let (mut appended, mut acknowledged) = (Vec::new(), Lsn::ZERO);
    for round in 0..12 {
        let size = 20 + (thread * 3_000 + round * seed * 131) % 5_000;
        let bytes = payload(thread * 1_000 + round, size as usize);
        let Ok(lsn) = journal.append(KIND, 3, &bytes) else {
            break;
        };
        appended.push((lsn, bytes));
        if !(round + thread).is_multiple_of(3) {
            match journal.wait_durable(lsn) {
                Ok(()) => acknowledged = lsn,
                Err(_) => break,
            }
        }
    }
    (appended, acknowledged)
}
