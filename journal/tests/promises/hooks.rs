//! What the owner of a journal does around a sync: the seal covers exactly what was appended before it, the
//! owner hears of it before those who wait, and its own failures take nobody with them who did nothing wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use torrens_journal::disk::RealDisk;
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Durability, Journal, Lsn, NewRecord, PoisonedBy, SyncError, SyncHooks, WriterChoice,
};

use crate::support::{KIND, STORE, create, small};

/// An owner that appends under a lock and counts what it appended there.
#[derive(Default)]
struct Owner {
    appended: Mutex<u64>,
    /// What was appended when each sync was sealed.
    sealed: Mutex<Vec<u64>>,
    /// The last position that it was told.
    told: AtomicU64,
    panics_at_seal: AtomicBool,
    panics_when_told: AtomicBool,
    is_idle: AtomicBool,
}

impl SyncHooks for Owner {
    fn seal(&self, seal: &mut dyn FnMut()) {
        if self.is_idle.load(Ordering::SeqCst) {
            return;
        }
        let appended = self.appended.lock();
        assert!(
            !self.panics_at_seal.load(Ordering::SeqCst),
            "as the test asked"
        );
        self.sealed.lock().push(*appended);
        seal();
    }

    fn durable(&self, lsn: Lsn) {
        assert!(
            !self.panics_when_told.load(Ordering::SeqCst),
            "as the test asked"
        );
        let sealed = self.sealed.lock();
        assert!(
            sealed.contains(&lsn.get()),
            "a sync ended at {lsn}, sealed were {sealed:?}"
        );
        self.told.fetch_max(lsn.get(), Ordering::SeqCst);
    }
}

impl Owner {
    fn append(&self, journal: &Journal) -> Lsn {
        let mut appended = self.appended.lock();
        let lsn = journal.append_ahead(KIND, 0, b"record").unwrap();
        *appended += 1;
        assert_eq!(*appended, lsn.get());
        drop(appended);
        journal.relieve();
        lsn
    }
}

fn owned(journal: &Journal) -> Arc<Owner> {
    let owner = Arc::new(Owner::default());
    assert!(journal.set_hooks(Arc::clone(&owner) as _));
    let second = Arc::new(Owner::default());
    assert!(!journal.set_hooks(second), "hooks are set once");
    owner
}

#[test]
fn a_sync_covers_what_was_sealed_and_the_owner_hears_before_those_who_wait() {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new());
    let path = place.path().join("journal");
    let journal = Journal::create(disk, &path, STORE, small()).unwrap();
    let owner = owned(&journal);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (owner, journal) = (&owner, &journal);
            scope.spawn(move || {
                for n in 0..200 {
                    let lsn = owner.append(journal);
                    if (thread + n) % 3 == 0 {
                        journal.request_durable(lsn);
                        continue;
                    }
                    journal.wait_durable(lsn).unwrap();
                }
            });
        }
    });
    let last = journal.sync().unwrap();
    assert_eq!(last.get(), 1600);
    journal.close().unwrap();
    assert_eq!(
        owner.told.load(Ordering::SeqCst),
        1600,
        "everything was told"
    );
    let sealed = owner.sealed.lock();
    assert!(sealed.is_sorted(), "{sealed:?}");
}

#[test]
fn whoever_waits_on_a_disk_without_threads_finds_the_owner_told() {
    let journal = create(&SimDisk::new(3), small());
    let owner = owned(&journal);
    for _ in 0..5 {
        owner.append(&journal);
        let lsn = owner.append(&journal);
        journal.wait_durable(lsn).unwrap();
        assert_eq!(owner.told.load(Ordering::SeqCst), lsn.get());
    }
    assert_eq!(*owner.sealed.lock(), [2, 4, 6, 8, 10]);
    // What is asked for without waiting comes with the next sync.
    let lsn = owner.append(&journal);
    journal.request_durable(lsn);
    assert!(journal.synced() < lsn);
    journal.sync().unwrap();
    assert_eq!(owner.told.load(Ordering::SeqCst), lsn.get());
}

#[test]
fn records_far_ahead_of_the_device_are_relieved_without_the_owners_lock() {
    // Without threads every relief is a sync on this thread: under the lock it would wait for itself.
    let journal = create(&SimDisk::new(4), small().writer(WriterChoice::Direct));
    let owner = owned(&journal);
    let large = vec![7; 2048];
    for _ in 0..1000 {
        let mut appended = owner.appended.lock();
        journal.append_ahead(KIND, 0, &large).unwrap();
        *appended += 1;
        drop(appended);
        journal.relieve();
    }
    assert!(journal.synced() > Lsn::ZERO, "some were written");
    assert!(!owner.sealed.lock().is_empty());
}

#[test]
fn an_owner_that_does_not_seal_is_passed_over() {
    let journal = create(&SimDisk::new(5), small());
    let owner = owned(&journal);
    owner.is_idle.store(true, Ordering::SeqCst);
    let lsn = journal.append(KIND, 0, b"record").unwrap();
    owner.sealed.lock().push(lsn.get());
    journal.wait_durable(lsn).unwrap();
    assert_eq!(owner.told.load(Ordering::SeqCst), lsn.get());
}

#[test]
fn a_panic_of_the_owner_when_it_is_told_keeps_nobody_waiting() {
    let journal = create(&SimDisk::new(6), small());
    let owner = owned(&journal);
    owner.panics_when_told.store(true, Ordering::SeqCst);
    let lsn = owner.append(&journal);
    journal.wait_durable(lsn).unwrap();
    assert_eq!(journal.stats().callback_panics, 1);
    owner.panics_when_told.store(false, Ordering::SeqCst);
    let lsn = owner.append(&journal);
    journal.wait_durable(lsn).unwrap();
    assert_eq!(owner.told.load(Ordering::SeqCst), lsn.get());
}

#[test]
fn a_panic_of_the_owner_at_the_seal_ends_the_journal_and_is_told_to_all() {
    let journal = create(&SimDisk::new(7), small());
    let owner = owned(&journal);
    let durable = owner.append(&journal);
    journal.wait_durable(durable).unwrap();
    owner.panics_at_seal.store(true, Ordering::SeqCst);
    let record = NewRecord {
        kind: KIND,
        tag: 0,
        payload: b"record",
    };
    let lsn = journal.append(KIND, 0, b"record").unwrap();
    let led = catch_unwind(AssertUnwindSafe(|| journal.wait_durable(lsn)));
    assert!(led.is_err(), "{led:?}");
    assert!(journal.is_poisoned());
    let late = journal.wait_durable(lsn);
    match late {
        Err(SyncError::Poisoned(poison)) => assert_eq!(poison.by, PoisonedBy::Panic),
        other => panic!("{other:?}"),
    }
    assert!(journal.submit(&[record], Durability::Durable).is_err());
    journal.wait_durable(durable).unwrap();
}
