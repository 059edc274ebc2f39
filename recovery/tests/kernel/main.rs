//! The simulated disk, checked against real kernels.
//!
//! A file in user space (FUSE) lies under a loop device with a real ext4 or XFS on it, and logs every write and every
//! flush that the kernel sends to the device (`device`). A journal works on that file system and, operation by
//! operation, on the simulated disk (`both`). Then the power is cut at moments of the log: what was flushed is there,
//! and of what came after it any subset of the sectors. Each such device is mounted, and
//!
//! * recovery opens it with every record that had been acknowledged by that moment, each as it was appended;
//! * every file on it, by its name, its length and each sector, is one that the simulated disk can make of a power cut
//!   in that operation (`possible`).
//!
//! So what the crash tests explore is no less than what kernels do. Needs root, loop devices and FUSE; without them the
//! test says so and passes (with `TORRENS_NO_SKIP` it fails). `TORRENS_KERNEL_IMAGES` makes more devices per run,
//! `TORRENS_SEED` others.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on says where"
)]

mod both;
mod device;
mod place;
mod possible;
mod script;

use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::RealDisk;
use torrens_journal::testing::skip;
use torrens_journal::{JournalOptions, WriterChoice};
use torrens_recovery::{Directories, RecoveryOptions, recover};

use both::Both;
use device::{Device, Random};
use place::{Kind, Live, Replayed};
use possible::Trace;
use script::{Payloads, Played, play};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |wish| wish.parse().expect("a number"))
}

/// What a run looked at.
#[derive(Debug, Default)]
struct Tally {
    /// Device writes and flushes that the kernel sent.
    writes: usize,
    flushes: usize,
    operations: usize,
    images: usize,
    /// Files on the images, and sectors of them, that were compared with the simulated disk.
    files: usize,
    sectors: usize,
    records: u64,
}

fn run(test: &str, kind: Kind, writer: WriterChoice) {
    let seed = number("TORRENS_SEED", 20_261_127);
    let options = JournalOptions::new().segment_bytes(32 * 1024);
    let options = options.group_bytes_max(8192).writer(writer);
    let device = match Device::of(kind) {
        Ok(device) => device,
        Err(why) => return skip(test, why),
    };
    let live = match Live::mount(&device, kind) {
        Ok(live) => live,
        Err(why) => return skip(test, why),
    };
    let begin = device.log().len();
    let trace = Arc::new(Trace::new(device.clone()));
    let disk = Arc::new(Both::new(Arc::clone(&trace), live.path()));
    let played = play(disk, live.path(), options, &device);
    let at = live.path().to_path_buf();
    // What the kernel writes from here on is a part of nothing.
    let log = device.log();
    live.unmount();

    let mut tally = Tally {
        writes: log.writes(begin),
        flushes: log.flushes(begin),
        operations: trace.operations(),
        ..Tally::default()
    };
    let mut random = Random(seed);
    for image in 0..number("TORRENS_KERNEL_IMAGES", 12) {
        let moment = begin + 1 + random.below((log.len() - begin) as u64) as usize;
        let sectors = log.cut(moment, &mut random);
        let context = format!("{kind:?} {writer:?} seed {seed} image {image} moment {moment}");
        let replayed =
            Replayed::mount(&sectors, kind, &at).unwrap_or_else(|why| panic!("{context}: {why}"));
        check(
            &replayed, &trace, moment, &played, &options, &context, &mut tally,
        );
    }
    println!("{kind:?}, {writer:?}, seed {seed}: {tally:?}");
    assert!(
        tally.writes > 50 && tally.flushes > 20 && tally.operations > 100,
        "{tally:?}"
    );
    assert!(tally.sectors > 0 && tally.records > 0, "{tally:?}");
}

/// What must hold of a device that was cut at that moment of the log.
fn check(
    replayed: &Replayed,
    trace: &Trace,
    moment: usize,
    played: &Played,
    options: &JournalOptions,
    context: &str,
    tally: &mut Tally,
) {
    tally.images += 1;
    let possible = trace.at(moment);
    let found = replayed.files();
    for name in possible.always() {
        assert!(
            found.contains_key(name),
            "{context}: {} is gone",
            name.display()
        );
    }
    for (name, bytes) in &found {
        tally.files += 1;
        tally.sectors += possible
            .holds(name, bytes)
            .unwrap_or_else(|why| panic!("{context}: {}: {why}", name.display()));
    }
    let acknowledged = played.acknowledged_at(moment);
    let recovered = recover(
        Arc::new(RealDisk::new()),
        &directories(&replayed.path()),
        Payloads::default(),
        RecoveryOptions::new(*options),
    );
    let recovered = match recovered {
        Ok(recovered) => recovered,
        Err(error) => {
            assert_eq!(acknowledged, 0, "{context}: {error}");
            return;
        }
    };
    let last = recovered.report.last_lsn.get();
    assert!(
        last >= acknowledged && last <= played.appended.len() as u64,
        "{context}: {last} recovered, {acknowledged} acknowledged, {} appended",
        played.appended.len()
    );
    for (lsn, payload) in &recovered.machine.0 {
        let at = usize::try_from(lsn.get() - 1).unwrap();
        assert_eq!(payload, &played.appended[at], "{context}: record {lsn}");
    }
    tally.records += last;
}

fn directories(mount: &Path) -> Directories {
    Directories {
        journal: mount.join("journal"),
        checkpoints: mount.join("checkpoints"),
    }
}

#[test]
fn every_device_that_ext4_leaves_is_one_that_the_simulated_disk_can_make() {
    const TEST: &str = "every_device_that_ext4_leaves";
    run(TEST, Kind::Ext4, WriterChoice::Direct);
    run(TEST, Kind::Ext4, WriterChoice::Mapped);
}

#[test]
fn every_device_that_xfs_leaves_is_one_that_the_simulated_disk_can_make() {
    const TEST: &str = "every_device_that_xfs_leaves";
    run(TEST, Kind::Xfs, WriterChoice::Direct);
    run(TEST, Kind::Xfs, WriterChoice::Mapped);
}
