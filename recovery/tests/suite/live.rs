//! Looking at a directory while a writer works in it, on the real disk: never damage, never less
//! than what was durable before the look began.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::testing::SimDisk;
use torrens_journal::{Journal, Lsn};
use torrens_recovery::checkpoint::{self, Meta};
use torrens_recovery::{
    Directories, InspectOptions, Item, RecoveryError, RecoveryOptions, StateMachine, WalkOptions,
    inspect, recover, walk,
};

use crate::host::{self, Host, STORE, options};
use crate::odd::{Happening, OddDisk, Oddity};
use crate::tally::{Record, Tally, VALUE};

/// Appends, waits now and then, rotates, checkpoints and purges until told to stop.
fn write_on(
    disk: &dyn Disk,
    at: &Directories,
    journal: &Journal,
    durable: &AtomicU64,
    stop: &AtomicBool,
) {
    let mut machine = Tally::default();
    for number in 1u64.. {
        let value = vec![number as u8; 1 + (number as usize * 977) % 3000];
        let lsn = journal.append(VALUE, 0, &value).expect("there is room");
        machine
            .apply(lsn, &Record::Value(value))
            .expect("values follow");
        if number % 3 == 0 {
            durable.store(journal.sync().expect("it syncs").get(), Ordering::SeqCst);
        }
        if number % 40 == 0 {
            journal.sync().expect("it syncs");
            // A short memory, so that checkpoints stay small; the count is what is compared.
            let meta = Meta::new(STORE, lsn, journal.boot());
            let short = Tally {
                values: Vec::new(),
                ..machine.clone()
            };
            checkpoint::write(disk, &at.checkpoints, &meta, &short).expect("it is written");
            let pruned = checkpoint::prune(disk, &at.checkpoints, Some(STORE), 2);
            journal
                .purge_below(pruned.expect("it is pruned").purge_below)
                .expect("it purges");
        }
        if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Stops the writer also when the looking test fails, which would wait for it for ever otherwise.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn directories(root: &Path) -> Directories {
    Directories {
        journal: root.join("journal"),
        checkpoints: root.join("checkpoints"),
    }
}

#[test]
fn a_look_beside_a_writer_never_sees_damage_nor_less_than_was_durable() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let at = directories(root.path());
    let shared: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let disk = &*shared;
    let options = options().group_bytes_max(4096);
    let journal = Journal::create(Arc::clone(&shared), &at.journal, STORE, options);
    let journal = journal.expect("it is created");
    let (durable, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut looks = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| write_on(disk, &at, &journal, &durable, &stop));
        let stopping = StopOnDrop(&stop);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(1500) {
            let before = durable.load(Ordering::SeqCst);
            let found = inspect(disk, &at, Tally::default(), InspectOptions::new(true));
            match found {
                Ok(found) => {
                    let report = &found.report;
                    assert_eq!(report.verdict.name(), "clean", "look {looks}: {report}");
                    assert!(found.position >= Lsn::new(before), "look {looks}: {report}");
                    looks += 1;
                }
                // Two checkpoints went by while one was being loaded.
                Err(RecoveryError::Checkpoint(_)) => {}
                Err(error) => panic!("look {looks}: {error:?}"),
            }
        }
        drop(stopping);
    });
    assert!(looks >= 10, "{looks} looks");
    let synced = journal.sync().expect("it syncs");
    journal.close().expect("it closes");
    drop(journal);
    let recovered = recover(
        Arc::clone(&shared),
        &at,
        Tally::default(),
        RecoveryOptions::new(options),
    );
    let recovered = recovered.expect("it was closed in order");
    assert_eq!(recovered.report.last_lsn, synced);
    assert!(recovered.report.decided, "{}", recovered.report);
}

#[test]
fn a_page_that_was_stored_a_moment_later_is_looked_at_again_beside_a_writer() {
    let disk = SimDisk::new(61);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..4 {
        host.put(100).expect("nothing fails");
    }
    host.vanish();
    let verdict = |live, hidden| {
        let page = Oddity::LatePage(8192 + 4096, Arc::new(AtomicU64::new(hidden)));
        let late = OddDisk(disk.clone(), page);
        let found = inspect(
            &late,
            &host::directories(),
            Tally::default(),
            InspectOptions::new(live),
        );
        let found = found.expect("there is a journal");
        (found.report.verdict.name(), found.position.get())
    };
    // Hidden for as long as the walk up to the hole and the look behind it take.
    assert_eq!(verdict(false, 3), ("corrupt-mid-log", 1));
    for hidden in 0..=3 {
        assert_eq!(verdict(true, hidden), ("clean", 4), "hidden {hidden} times");
    }
    assert_eq!(
        verdict(true, 1000),
        ("corrupt-mid-log", 1),
        "what stays missing is missing"
    );
}

/// A disk on which a look that has listed the segments is held up until the writer has gone on, checkpointed, and
/// purged every one of them, the last one too.
fn outrun(seed: u64) -> OddDisk {
    let disk = SimDisk::new(seed);
    let mut host = Host::create(&disk).expect("nothing fails");
    for _ in 0..4 {
        host.put(100).expect("nothing fails");
    }
    let happening = Happening::new(move || {
        for _ in 0..3 {
            for _ in 0..12 {
                host.put(3000).expect("nothing fails");
            }
            host.checkpoint(1).expect("nothing fails");
        }
        assert!(
            host.disk.contents(&host::segment(1)).is_none(),
            "segment 1 is still there"
        );
        host.vanish();
    });
    OddDisk(disk, Oddity::Meanwhile(happening))
}

#[test]
fn a_look_that_was_outrun_by_a_purge_is_taken_again() {
    let found = inspect(
        &outrun(62),
        &host::directories(),
        Tally::default(),
        InspectOptions::new(true),
    );
    let found = found.expect("there is a journal");
    assert_eq!(found.report.verdict.name(), "clean", "{}", found.report);
    assert_eq!(found.position, Lsn::new(40), "{}", found.report);

    let mut last = Lsn::ZERO;
    let report = walk(
        &outrun(63),
        &host::directories(),
        WalkOptions::new(true),
        &mut |item| {
            if let Item::Record(item) = item {
                last = item.record.lsn;
            }
            std::ops::ControlFlow::Continue(())
        },
    );
    let report = report.expect("there is a journal");
    assert_eq!((report.verdict.name(), last), ("clean", Lsn::new(40)));
}
