//! A crash at any operation, with any part of what was not synced, loses nothing acknowledged.
//!
//! Each case names the operation and the cut, so that a failure can be played again.

use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::testing::{SimDisk, SimFault};
use torrens_journal::{Journal, Lsn};

use crate::support::{KIND, STORE, clear_behind, dir, payload, small, walk};

const SEED: u64 = 0x7052_7365;

/// What a history got to hear before its process died.
#[derive(Debug, Default)]
struct Heard {
    appended: Vec<Vec<u8>>,
    acknowledged: Lsn,
    purged_below: Lsn,
}

/// Creates a journal and works on it until the disk dies: groups of several sizes, some of several
/// pages, rotations, marks, a purge, a close.
fn history(disk: &SimDisk, heard: &mut Heard) {
    let options = small().group_bytes_max(8192);
    let made = Journal::create(Arc::new(disk.clone()), &dir(), STORE, options);
    let Ok(journal) = made else { return };
    work(&journal, heard, 14);
}

fn work(journal: &Journal, heard: &mut Heard, steps: u64) {
    for step in 1..=steps {
        for size in [40, 3000 + step as usize * 100, 900] {
            let bytes = payload(heard.appended.len() as u64 + 1, size);
            // A record whose append failed was never given an LSN, but its group may have been.
            match journal.append(KIND, 3, &bytes) {
                Ok(lsn) => {
                    heard.appended.push(bytes);
                    assert_eq!(lsn, Lsn::new(heard.appended.len() as u64));
                }
                Err(_) => return,
            }
        }
        // The last third of the records of every other step stays open until the next.
        if step % 2 == 0 && step < steps {
            continue;
        }
        match journal.sync() {
            Ok(lsn) => heard.acknowledged = lsn,
            Err(_) => return,
        }
        if step % 3 == 0 && journal.write_mark().is_err() {
            return;
        }
        if step == 9 {
            heard.purged_below = Lsn::new(20);
            if journal.purge_below(heard.purged_below).is_err() {
                return;
            }
        }
    }
    let _ = journal.close();
}

/// What must hold of any device that a crash left.
fn check(image: &SimDisk, heard: &Heard, context: &str) {
    let found = walk(image);
    let context = format!("{context}, cut {:?}", image.cut_choice());
    let last = found.last_lsn();
    assert!(last >= heard.acknowledged, "{context}: {last} of {heard:?}");
    assert!(
        found.first_lsn <= heard.purged_below.max(Lsn::FIRST),
        "{context}: starts with {}",
        found.first_lsn
    );
    assert!(
        found.witnessed <= last,
        "{context}: {} witnessed, {last} found",
        found.witnessed
    );
    let skipped = found.first_lsn.get() as usize - 1;
    for (position, read) in found.payloads.iter().enumerate() {
        assert_eq!(
            Some(read),
            heard.appended.get(skipped + position),
            "{context}: record {}",
            skipped + position + 1
        );
    }
}

/// Runs `history` with a death at every operation, and `check` on what each leaves.
fn crash_everywhere(images: usize, mut after: impl FnMut(&SimDisk, &Heard, u64)) -> u64 {
    for at in 1.. {
        let mut midway_too = 0;
        for fault in [SimFault::Dies, SimFault::DiesMidway] {
            let disk = SimDisk::new(SEED);
            disk.fail_at(at, fault);
            let mut heard = Heard::default();
            history(&disk, &mut heard);
            if !disk.is_dead() {
                continue;
            }
            midway_too += 1;
            let context = format!("seed {SEED:#x}, {fault:?} at operation {at}");
            for image in disk.cut_images(images, SEED ^ at) {
                check(&image, &heard, &context);
            }
            check(&disk.process_kill(), &heard, &context);
            after(&disk, &heard, at);
        }
        if midway_too == 0 {
            return at - 1;
        }
    }
    unreachable!("a history ends")
}

#[test]
fn a_crash_at_every_operation_keeps_what_was_acknowledged() {
    let ops = crash_everywhere(12, |_, _, _| {});
    assert!(ops > 60, "{ops} operations");
}

#[test]
fn a_journal_goes_on_after_a_crash_at_every_operation_and_a_second_one() {
    crash_everywhere(1, |disk, heard, at| {
        for image in disk.cut_images(3, SEED ^ at.rotate_left(32)) {
            second_life(&image, heard, at);
        }
    });
}

/// Recovers, works on, crashes in the middle of it, and reads everything back.
fn second_life(image: &SimDisk, first: &Heard, at: u64) {
    let found = walk(image);
    let Some(tail) = found.tail else {
        // Creation did not get to a segment, so it can be done again.
        let mut heard = Heard::default();
        history(image, &mut heard);
        assert_eq!(heard.acknowledged.get(), heard.appended.len() as u64);
        return;
    };
    let mut heard = Heard {
        appended: first.appended[..tail.last_lsn.get() as usize].to_vec(),
        acknowledged: tail.last_lsn,
        purged_below: first.purged_below,
    };
    clear_behind(image, &tail);
    image.fail_at(image.ops() + 1 + at % 23, SimFault::Dies);
    let options = small().group_bytes_max(8192);
    let resumed = Journal::resume(Arc::new(image.clone()), &dir(), STORE, tail, options);
    if let Ok(journal) = resumed {
        work(&journal, &mut heard, 4);
    }
    for cut in image.cut_images(3, SEED ^ at) {
        check(&cut, &heard, &format!("second crash after operation {at}"));
    }
}

#[test]
fn segments_under_their_own_names_are_always_whole() {
    crash_everywhere(1, |disk, _, at| {
        for image in disk.cut_images(4, SEED ^ at) {
            for path in image.files() {
                let bytes = image.contents(&path).unwrap();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if name.ends_with(".seg") {
                    assert_eq!(bytes.len(), 32 * 1024, "operation {at}: {name}");
                    assert!(image.list(&dir()).is_ok());
                } else if name == "journal.mark" {
                    assert_eq!(bytes.len(), 4 * 4096, "operation {at}");
                }
            }
        }
    });
}
