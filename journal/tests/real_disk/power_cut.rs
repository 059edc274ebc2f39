//! A file system that is shut down without writing its journal: the nearest to a power cut that a
//! test can do to a real kernel. Everything after it fails; what is there after mounting again is what
//! the device had.

use torrens_journal::disk::{Disk, RealDisk};

use crate::child::{Child, disk, holds, ways};
use crate::place::{KINDS, LoopFs};
use crate::support::{STORE, walk_in};

#[test]
fn what_was_acknowledged_before_a_shutdown_is_there_after_it() {
    const TEST: &str = "what_was_acknowledged_before_a_shutdown";
    for kind in KINDS {
        for way in ways(TEST) {
            let Some(place) = LoopFs::new(TEST, kind) else {
                return;
            };
            let dir = place.journal();
            let mut child = Child::start(&dir, way);
            child.must("create 65536");
            // Several segments, and records that nobody waits for.
            child.must("append 40 3000");
            child.must("mark");
            child.must("push 3 3000");
            place.shut_down();
            let answer = child.ask("append 100 3000");
            assert!(answer.is_poisoned(), "{kind:?} {way:?}: {answer:?}");
            assert_eq!(answer.done, 0, "{kind:?} {way:?}");
            assert!(child.ask("append 1 3000").is_poisoned());
            assert_eq!(child.must("synced"), 40);
            drop(child);
            place.remount();
            holds(&dir, 40, 3000);
            let mut child = Child::start(&dir, way);
            let last = child.must("resume 65536");
            assert!((40..=44).contains(&last), "{kind:?} {way:?}: {last}");
            child.must("append 40 3000");
            child.must("close");
            drop(child);
            place.remount();
            holds(&dir, last + 40, 3000);
        }
    }
}

/// A name that a shutdown took away was not called durable. XFS answers the sync of a directory with
/// success if the shutdown came after the directory was opened for it.
#[test]
fn no_name_is_called_durable_that_a_shutdown_took() {
    const ROUNDS: u32 = 12;
    for kind in KINDS {
        for round in 0..ROUNDS {
            let Some(place) = LoopFs::new("no_name_is_called_durable", kind) else {
                return;
            };
            let disk = RealDisk::new();
            let dir = place.path();
            let named = |number: u32| dir.join(number.to_string());
            std::fs::write(named(0), "of some length").unwrap();
            disk.sync_dir(dir).unwrap();
            let acknowledged = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    place.shut_down();
                });
                (1..).find(|&number| {
                    let renamed = disk.rename(&named(number - 1), &named(number));
                    renamed.and_then(|()| disk.sync_dir(dir)).is_err()
                })
            });
            let acknowledged = acknowledged.unwrap() - 1;
            place.remount();
            let is_there = named(acknowledged).exists() || named(acknowledged + 1).exists();
            assert!(is_there, "{kind:?}, round {round}: {acknowledged} is gone");
        }
    }
}

/// Syncs in flight from many threads when it happens: each of them fails or its record is there.
#[test]
fn a_shutdown_under_many_threads_loses_nothing_that_one_of_them_was_told() {
    const TEST: &str = "a_shutdown_under_many_threads";
    for kind in KINDS {
        for way in ways(TEST) {
            let Some(place) = LoopFs::new(TEST, kind) else {
                return;
            };
            let dir = place.journal();
            let mut child = Child::start(&dir, way);
            child.must("create 65536");
            let third = dir.join("00000000000000000003.seg");
            let answer = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !third.exists() && place.path().exists() {
                        std::thread::yield_now();
                    }
                    place.shut_down();
                });
                // More records than fit the file system: only the shutdown ends it.
                child.ask("threads 8 1000000")
            });
            // The thread that was last may have been preparing a segment.
            let ended = answer.is_poisoned() || answer.outcome == "prepare";
            assert!(ended && answer.done > 0, "{kind:?} {way:?}: {answer:?}");
            let after = child.ask("append 1 3000");
            assert!(
                !after.is_ok() && after.done == 0,
                "{kind:?} {way:?}: {after:?}"
            );
            drop(child);
            place.remount();
            let found = walk_in(&disk(way.sync).unwrap(), &dir, STORE);
            let last = found.last_lsn().get();
            assert!(last >= answer.done, "{kind:?} {way:?}: {last}, {answer:?}");
            let mut child = Child::start(&dir, way);
            child.must("resume 65536");
            child.must("close");
        }
    }
}
