//! Syncs that overlap on a device that fails: who is told, on a real kernel.

use std::sync::Barrier;

use torrens_journal::disk::{Disk, DiskFile, OpenMode, SyncChoice};
use torrens_journal::testing::skip;

use crate::child::{Child, disk, ways};
use crate::place::{Kind, LoopFs, run};
use crate::support::{STORE, walk_in};

const PAGE: u64 = 4096;

/// How each machine can sync.
fn syncs(test: &str) -> Vec<SyncChoice> {
    let mut syncs: Vec<SyncChoice> = ways(test).into_iter().map(|way| way.sync).collect();
    syncs.dedup();
    syncs
}

/// The kernel's rule that the journal builds on, and that the simulated disk has too.
#[test]
fn a_failed_write_back_is_told_once_to_each_open_file() {
    const TEST: &str = "a_failed_write_back_is_told_once_to_each_open_file";
    for sync in syncs(TEST) {
        let Some((memory, place)) = LoopFs::on_thin_device(TEST, Kind::Ext4Plain) else {
            return;
        };
        let disk = disk(sync).unwrap();
        let path = place.path().join("file");
        let shared = disk.open(&path, OpenMode::CreateNew).unwrap();
        shared.set_len(64 * PAGE).unwrap();
        shared.sync_data().unwrap();
        let own = disk.open(&path, OpenMode::Write).unwrap();
        memory.fill();
        // Two writers with a page each, through one open file.
        shared.write_all_at(8 * PAGE, &[1; 4096]).unwrap();
        shared.write_all_at(40 * PAGE, &[2; 4096]).unwrap();
        let first = shared.sync_data();
        let second = shared.sync_data();
        assert!(first.is_err(), "{sync:?}: the device took it");
        assert!(
            second.is_ok(),
            "{sync:?}: the second writer is told that all is well: {second:?}"
        );
        assert!(
            own.sync_data().is_err(),
            "{sync:?}: one of its own hears of it"
        );
        assert!(own.sync_data().is_ok());
        let late = disk.open(&path, OpenMode::Write).unwrap();
        assert!(late.sync_data().is_ok(), "{sync:?}: somebody was told");
        // Nothing reached the device, whatever the cache says.
        let mut page = [9; 4096];
        own.read_exact_at(8 * PAGE, &mut page).unwrap();
        assert_eq!(page, [1; 4096], "a phantom");
        own.drop_cache().unwrap();
        own.read_exact_at(8 * PAGE, &mut page).unwrap();
        assert_ne!(page, [1; 4096]);
    }
}

/// Two syncs that really are in flight together, many times: with an open file each, both hear of it.
#[test]
fn syncs_in_flight_together_each_hear_of_a_failure_through_their_own_open_file() {
    const TEST: &str = "syncs_in_flight_together";
    const ROUNDS: usize = 50;
    for sync in syncs(TEST) {
        let Some((memory, place)) = LoopFs::on_thin_device(TEST, Kind::Ext4Plain) else {
            return;
        };
        let disk = disk(sync).unwrap();
        let path = place.path().join("file");
        let shared = disk.open(&path, OpenMode::CreateNew).unwrap();
        shared.set_len(64 * PAGE).unwrap();
        shared.sync_data().unwrap();
        memory.fill();
        let both = |files: [&dyn DiskFile; 2]| {
            for (number, file) in files.iter().enumerate() {
                let offset = (8 + 40 * number as u64) * PAGE;
                file.write_all_at(offset, &[1; 4096]).unwrap();
            }
            let start = Barrier::new(2);
            std::thread::scope(|scope| {
                files
                    .map(|file| {
                        let start = &start;
                        scope.spawn(move || {
                            start.wait();
                            file.sync_data().is_err()
                        })
                    })
                    .map(|thread| thread.join().unwrap())
            })
        };
        let mut swallowed = 0;
        for round in 0..ROUNDS {
            let own = [(); 2].map(|()| disk.open(&path, OpenMode::Write).unwrap());
            let told = both([&*own[0], &*own[1]]);
            assert_eq!(told, [true, true], "{sync:?}, round {round}");
            let told = both([&*shared, &*shared]);
            assert!(told.contains(&true), "{sync:?}, round {round}");
            swallowed += usize::from(told.contains(&false));
        }
        println!("{sync:?}: one of two was told nothing in {swallowed} of {ROUNDS} rounds");
    }
}

/// The device loses the blocks that a segment had; whoever waits on them is told, and nothing that
/// was acknowledged lies there.
#[test]
fn many_threads_on_a_device_that_fails_get_no_acknowledgement_for_what_it_lost() {
    const TEST: &str = "many_threads_on_a_device_that_fails";
    for way in ways(TEST) {
        let Some((memory, place)) = LoopFs::on_thin_device(TEST, Kind::Ext4Plain) else {
            return;
        };
        let dir = place.journal();
        let mut child = Child::start(&dir, way);
        child.must("create 1048576");
        child.must("append 10 3000");
        // Two header pages and ten groups stay. Exactly: of a write that begins in blocks which are
        // there and goes on in others, the loop device says that it succeeded.
        if let Err(why) = punch(&place, &dir.join("00000000000000000001.seg"), 12) {
            return skip(TEST, why);
        }
        memory.fill();
        let answer = child.ask("threads 8 200");
        assert!(answer.is_poisoned(), "{way:?}: {answer:?}");
        assert_eq!(answer.done, 0, "{way:?}");
        let synced = child.must("synced");
        assert_eq!(synced, 10, "{way:?}");
        for command in ["append 1 3000", "sync"] {
            assert!(child.ask(command).is_poisoned(), "{way:?}");
        }
        drop(child);
        place.remount();
        let found = walk_in(&disk(way.sync).unwrap(), &dir, STORE);
        let last = found.last_lsn().get();
        assert!(last >= synced, "{way:?}: {last} of {synced}");
        println!("{way:?}: {answer:?}, {synced} durable, {last} found");
    }
}

/// Takes a file's blocks from its page `first` on out of the device.
fn punch(place: &LoopFs, file: &std::path::Path, first: u64) -> Result<(), String> {
    let image = std::fs::File::options()
        .write(true)
        .open(place.image())
        .unwrap();
    let map = run("filefrag", &["-v", "-b4096", file.to_str().unwrap()])?;
    let mut punched = 0;
    for line in map.lines() {
        // `   0:        0..     255:      34816..     35071:    256:  ...`
        let numbers: Vec<u64> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        let [_, from, to, physical, _, _, ..] = numbers[..] else {
            continue;
        };
        if !line.contains("..") {
            continue;
        }
        let skipped = first.saturating_sub(from);
        if from + skipped > to {
            continue;
        }
        let mode = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        let (start, bytes) = (
            (physical + skipped) * PAGE,
            (to + 1 - from - skipped) * PAGE,
        );
        rustix::fs::fallocate(&image, mode, start, bytes).map_err(|error| error.to_string())?;
        punched += bytes;
    }
    if punched == 0 {
        return Err(format!("no blocks found in {map}"));
    }
    Ok(())
}
