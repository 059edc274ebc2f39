//! A full disk is an answer before anything is acknowledged; a failed sync ends the journal.

use std::io;
use std::sync::Arc;

use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{
    AppendError, CloseError, Journal, Lsn, MarkError, OpenError, PoisonedBy, PurgeError, SyncError,
    list,
};

use crate::support::{KIND, STORE, create, dir, payload, reopen, small, walk};

#[test]
fn a_full_disk_refuses_the_append_and_the_journal_goes_on_when_space_returns() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    disk.set_capacity(disk.used_bytes() + 20_000);
    let mut appended = 0;
    let refused = loop {
        match journal.append(KIND, 0, &payload(appended + 1, 3000)) {
            Ok(lsn) => {
                appended += 1;
                assert_eq!(lsn, Lsn::new(appended));
            }
            Err(error) => break error,
        }
    };
    match refused {
        AppendError::Full { needed_bytes, .. } => assert_eq!(needed_bytes, 32 * 1024),
        other => panic!("{other:?}"),
    }
    // What has an LSN has its place: it becomes durable on the full disk.
    assert_eq!(journal.sync().unwrap(), Lsn::new(appended));
    assert!(!journal.is_poisoned());
    assert!(
        list(&disk, &dir()).unwrap().unfinished.is_empty(),
        "a file that did not fit gives its space back"
    );
    // Still full, still alive.
    let again = journal.append(KIND, 0, &payload(appended + 1, 3000));
    assert!(matches!(again, Err(AppendError::Full { .. })), "{again:?}");

    disk.set_capacity(None);
    let lsn = journal
        .append(KIND, 0, &payload(appended + 1, 3000))
        .unwrap();
    assert_eq!(lsn, Lsn::new(appended + 1));
    journal.wait_durable(lsn).unwrap();
    let after = disk.power_cut(CutChoice::LoseAll);
    let expected: Vec<_> = (1..=appended + 1).map(|n| payload(n, 3000)).collect();
    assert_eq!(walk(&after).payloads, expected);
}

#[test]
fn a_disk_too_full_for_a_first_segment_refuses_to_create() {
    let disk = SimDisk::new(1);
    disk.set_capacity(20_000);
    let made = Journal::create(Arc::new(disk.clone()), &dir(), STORE, small());
    assert!(matches!(made, Err(OpenError::Full { .. })), "{made:?}");
    disk.set_capacity(None);
    create(&disk, small()).close().unwrap();
}

#[test]
fn a_next_segment_that_cannot_be_prepared_does_not_end_the_journal() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut faults = 0;
    for number in 1..=40 {
        // Each preparation fails a few times, at each of its operations in turn.
        if let Ok(lsn) = journal.append(KIND, 0, &payload(number - faults, 3000)) {
            journal.wait_durable(lsn).unwrap();
            if number % 5 == 4 {
                disk.fail_at(
                    disk.ops() + 1 + number % 4,
                    SimFault::Error(io::ErrorKind::Other),
                );
            }
        } else {
            faults += 1;
            assert!(!journal.is_poisoned());
        }
        disk.clear_faults();
    }
    journal.close().unwrap();
    assert_eq!(walk(&disk).last_lsn(), journal.appended());
}

/// A journal with LSN 1 durable and LSN 2 appended, whose next operation with `name` fails.
fn failing(name: &str, fault: SimFault) -> (SimDisk, Journal) {
    let options = small();
    let disk = SimDisk::new(1);
    let journal = create(&disk, options);
    journal.append(KIND, 0, &payload(1, 18_000)).unwrap();
    journal.sync().unwrap();
    // The second record goes to the next segment, so that its sync also writes the header, renames
    // and syncs the directory.
    journal.append(KIND, 0, &payload(2, 4000)).unwrap();
    // Find the operation by a dry run on a copy of the history.
    let twin_disk = SimDisk::new(1);
    let twin = create(&twin_disk, options);
    twin.append(KIND, 0, &payload(1, 18_000)).unwrap();
    twin.sync().unwrap();
    twin.append(KIND, 0, &payload(2, 4000)).unwrap();
    let before = twin_disk.ops();
    twin.sync().unwrap();
    let number = twin_disk
        .op_log()
        .iter()
        .find(|op| op.number > before && op.name == name)
        .unwrap()
        .number;
    disk.fail_at(number, fault);
    (disk, journal)
}

#[test]
fn any_failed_step_of_a_sync_poisons_the_journal_for_good() {
    for (name, by) in [
        ("store", PoisonedBy::Store),
        ("sync", PoisonedBy::Sync),
        ("write", PoisonedBy::WriteHeader),
        ("rename", PoisonedBy::Rename),
        ("sync_dir", PoisonedBy::SyncDir),
    ] {
        for fault in [
            SimFault::Error(io::ErrorKind::Other),
            SimFault::ShortThenError,
            SimFault::SyncLies,
        ] {
            let (disk, journal) = failing(name, fault);
            match journal.wait_durable(Lsn::new(2)) {
                Err(SyncError::Poisoned(poison)) => assert_eq!(poison.by, by, "{name} {fault:?}"),
                other => panic!("{name} {fault:?}: {other:?}"),
            }
            let ops = disk.ops();
            // What was durable before stays acknowledged; nothing else ever is.
            assert!(journal.is_poisoned());
            assert_eq!(journal.synced(), Lsn::FIRST);
            journal.wait_durable(Lsn::FIRST).unwrap();
            assert!(matches!(journal.sync(), Err(SyncError::Poisoned(_))));
            assert!(matches!(
                journal.append(KIND, 0, b"more"),
                Err(AppendError::Poisoned(_))
            ));
            assert!(matches!(
                journal.write_mark_synced(),
                Err(MarkError::Poisoned(_))
            ));
            assert!(matches!(
                journal.purge_below(Lsn::new(2)),
                Err(PurgeError::Poisoned(_))
            ));
            assert!(matches!(
                journal.close(),
                Err(CloseError::Sync(SyncError::Poisoned(_)))
            ));
            drop(journal);
            assert_eq!(disk.ops(), ops, "a poisoned journal touches nothing more");

            // Reopening is the way back, and LSN 1 is there whatever the device kept.
            for image in disk.cut_images(8, 5) {
                let found = walk(&image);
                assert!(found.last_lsn() >= Lsn::FIRST, "{name} {fault:?}");
                assert!(found.witnessed <= found.last_lsn());
                let journal = reopen(&image, small());
                journal.append(KIND, 0, b"more").unwrap();
                journal.close().unwrap();
            }
        }
    }
}

#[test]
fn waiting_for_an_lsn_that_nobody_has_is_refused() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    match journal.wait_durable(Lsn::new(1)) {
        Err(SyncError::NotAppended { lsn, appended }) => {
            assert_eq!((lsn, appended), (Lsn::new(1), Lsn::ZERO));
        }
        other => panic!("{other:?}"),
    }
}

/// Found by fuzzing: whoever closes again, to be sure, must not be told that all is durable when it is not.
#[test]
fn closing_again_after_a_close_that_failed_does_not_answer_that_all_is_durable() {
    let mut failed = 0;
    for at in 1.. {
        let disk = SimDisk::new(1);
        let journal = create(&disk, small());
        let lsn = journal.append(KIND, 0, &payload(1, 300)).unwrap();
        disk.fail_at(disk.ops() + at, SimFault::Error(io::ErrorKind::Other));
        let first = journal.close();
        let again = journal.close();
        assert_eq!(
            again.is_ok(),
            journal.synced() >= lsn,
            "{first:?}, then {again:?}"
        );
        match first {
            Ok(()) => break,
            Err(CloseError::Sync(_)) => {
                failed += 1;
                assert!(matches!(again, Err(CloseError::Sync(_))), "{again:?}");
            }
            Err(_) => {}
        }
    }
    assert!(failed > 0, "no close failed");
}
