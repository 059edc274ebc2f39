//! What is pinned stays: purging keeps every record that somebody said they need, and says who.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use torrens_journal::testing::{SimDisk, SimFault};
use torrens_journal::{Journal, Lsn, PinError, PinKind, PurgeError, SegmentId};

use crate::support::{KIND, create, payload, small, walk};

/// `records` of 2000 bytes, each synced: five to a segment, so segments start at 1, 6, 11, ...
fn filled(disk: &SimDisk, records: u64) -> Journal {
    let journal = create(disk, small());
    for number in 1..=records {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    journal
}

#[test]
fn a_purge_stops_at_the_oldest_pin_and_says_whose_it_is() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 40);
    let backup = journal.pin(Lsn::new(17), "backup").unwrap();
    let cdc = journal.pin(Lsn::new(30), "cdc").unwrap();
    let purged = journal.purge_below(Lsn::new(36)).unwrap();
    assert_eq!(purged.segments.len(), 3);
    assert_eq!(purged.first_lsn, Lsn::new(16));
    let held_by = purged.held_by.unwrap();
    assert_eq!(
        (
            held_by.holder.as_str(),
            held_by.lsn,
            held_by.kind,
            held_by.id
        ),
        ("backup", Lsn::new(17), PinKind::Pin, backup.id())
    );
    assert_eq!(journal.oldest(), Lsn::new(16));
    assert_eq!(walk(&disk).first_lsn, Lsn::new(16));

    // The pin moves on inside its segment: nothing more can go.
    backup.advance(Lsn::new(20)).unwrap();
    let purged = journal.purge_below(Lsn::new(36)).unwrap();
    assert_eq!(purged.segments.len(), 0);
    assert_eq!(purged.held_by.unwrap().lsn, Lsn::new(20));

    // It ends: now the other one holds.
    drop(backup);
    let purged = journal.purge_below(Lsn::new(36)).unwrap();
    assert_eq!(purged.segments, [SegmentId::new(4), SegmentId::new(5)]);
    assert_eq!(purged.held_by.unwrap().holder, "cdc");

    assert!(journal.revoke_pin(cdc.id()));
    let purged = journal.purge_below(Lsn::new(36)).unwrap();
    assert_eq!((purged.segments.len(), purged.held_by), (2, None));
    assert!(matches!(
        cdc.advance(Lsn::new(40)),
        Err(PinError::Revoked { .. })
    ));
}

#[test]
fn a_pin_that_keeps_nothing_which_would_go_is_not_blamed() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 12);
    let _pin = journal.pin(Lsn::new(8), "reader").unwrap();
    // Records 6 and 7 are not needed, but their segment is: the caller needs record 9 of it.
    let purged = journal.purge_below(Lsn::new(9)).unwrap();
    assert_eq!((purged.segments.len(), purged.held_by), (1, None));
}

#[test]
fn what_was_purged_cannot_be_pinned_and_what_is_to_come_can() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 12);
    journal.purge_below(Lsn::new(12)).unwrap();
    assert_eq!(journal.oldest(), Lsn::new(11));
    let gone = journal.pin(Lsn::new(10), "late").unwrap_err();
    assert_eq!(
        gone,
        PinError::Gone {
            asked: Lsn::new(10),
            oldest: Lsn::new(11)
        }
    );
    assert_eq!(gone.code(), "gone");
    let pin = journal.pin(Lsn::new(13), "early").unwrap();
    assert_eq!(journal.pins().len(), 1);
    assert_eq!(pin.lsn(), Some(Lsn::new(13)));
    drop(journal);
    // Its journal is gone; the pin does no harm.
    pin.advance(Lsn::new(14)).unwrap();
}

#[test]
fn what_a_failed_purge_left_can_be_pinned() {
    let disk = SimDisk::new(1);
    let journal = filled(&disk, 22);
    // Remove, sync of the directory, remove: the second segment's removal fails, and whether it
    // happened is not known.
    disk.fail_at(disk.ops() + 3, SimFault::Error(std::io::ErrorKind::Other));
    let failed = journal.purge_below(Lsn::new(22));
    assert!(matches!(failed, Err(PurgeError::Io { .. })), "{failed:?}");
    assert_eq!(journal.oldest(), Lsn::new(11));
    let pin = journal.pin(Lsn::new(11), "reader").unwrap();
    let purged = journal.purge_below(Lsn::new(22)).unwrap();
    assert_eq!(purged.segments, [SegmentId::new(2)]);
    assert_eq!(purged.first_lsn, Lsn::new(11));
    drop(pin);
}

#[test]
fn whoever_got_a_pin_finds_its_record_however_purges_race() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=600 {
                journal.append(KIND, 0, &payload(number, 2000)).unwrap();
                journal.sync().unwrap();
                if number % 5 == 0 {
                    journal.purge_below(Lsn::new(number)).unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut pinned = 0;
        while !done.load(Ordering::SeqCst) {
            let Ok(pin) = journal.pin(journal.oldest(), "racer") else {
                continue;
            };
            let lsn = pin.lsn().unwrap();
            assert!(journal.oldest() <= lsn, "the pinned record was purged");
            thread::yield_now();
            assert!(journal.oldest() <= lsn, "the pinned record was purged");
            pinned += 1;
        }
        assert!(pinned > 0);
    });
    journal.purge_below(Lsn::new(600)).unwrap();
    assert!(journal.oldest() > Lsn::new(590));
}
