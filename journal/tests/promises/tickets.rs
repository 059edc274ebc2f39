//! Durability without a waiting thread: tickets, callbacks, futures; and what handles keep alive.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use torrens_journal::disk::{Disk, LockError, RealDisk, RealDiskOptions};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{
    CommitError, Durability, Journal, JournalOptions, Lsn, MarkError, NewRecord, SyncError, Ticket,
};

use crate::support::{KIND, STORE, create, payload, small, walk};

fn submit(journal: &Journal, number: u64, durability: Durability) -> Ticket {
    let payload = &payload(number, 60);
    let (kind, tag) = (KIND, 0);
    journal
        .submit(&[NewRecord { kind, tag, payload }], durability)
        .unwrap()
}

type Told = Arc<Mutex<Vec<Result<Lsn, String>>>>;

/// A callback that writes down what it is told.
fn note(told: &Told) -> impl FnOnce(Result<Lsn, SyncError>) + Send + 'static {
    let told = Arc::clone(told);
    move |outcome| {
        told.lock().push(outcome.map_err(|error| error.to_string()));
    }
}

fn real(options: JournalOptions) -> (tempfile::TempDir, Journal) {
    let temporary = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let path = temporary.path().join("journal");
    let journal = Journal::create(disk, &path, STORE, options).unwrap();
    (temporary, journal)
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    // Long enough for any machine; a lost wake-up is what would reach it.
    for _ in 0..60_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("waited in vain until {what}");
}

#[test]
fn tickets_are_told_in_order_when_their_records_are_durable_and_not_before() {
    let disk = SimDisk::new(5);
    let journal = create(&disk, small());
    let told = Told::default();
    let tickets: Vec<_> = (1..=5)
        .map(|number| submit(&journal, number, Durability::Durable))
        .collect();
    assert!(tickets.iter().all(|ticket| ticket.outcome().is_none()));
    let mut tickets = tickets.into_iter();
    let kept = tickets.next().unwrap();
    // The order of asking is not the order of being told.
    for ticket in tickets.rev() {
        ticket.on_durable(note(&told));
    }
    assert!(told.lock().is_empty());
    journal.wait_durable(Lsn::new(3)).unwrap();
    let expected: Vec<_> = (2..=5).map(|lsn| Ok(Lsn::new(lsn))).collect();
    assert_eq!(*told.lock(), expected);
    assert!(matches!(kept.outcome(), Some(Ok(lsn)) if lsn == Lsn::FIRST));
    // What is durable already is told at once.
    kept.on_durable(note(&told));
    assert_eq!(told.lock().len(), 5);
    assert_eq!(walk(&disk.power_cut(CutChoice::LoseAll)).payloads.len(), 5);
    std::mem::forget(journal);
}

#[test]
fn a_witnessed_record_is_named_by_a_durable_mark() {
    let disk = SimDisk::new(6);
    let journal = create(&disk, small());
    let (kind, tag) = (KIND, 0);
    let record = [NewRecord {
        kind,
        tag,
        payload: b"a tombstone",
    }];
    journal.commit(&record, Durability::Durable).unwrap();
    let cut = walk(&disk.power_cut(CutChoice::LoseAll));
    assert_eq!((cut.last_lsn(), cut.witnessed), (Lsn::FIRST, Lsn::ZERO));
    assert_eq!(journal.witnessed(), Lsn::ZERO);
    journal.commit(&record, Durability::Witnessed).unwrap();
    let cut = walk(&disk.power_cut(CutChoice::LoseAll));
    assert_eq!((cut.last_lsn(), cut.witnessed), (Lsn::new(2), Lsn::new(2)));
    assert_eq!(journal.witnessed(), Lsn::new(2));
    let ops = disk.ops();
    journal.wait_witnessed(Lsn::new(2)).unwrap();
    assert_eq!(disk.ops(), ops, "nothing is marked twice");

    // A mark that fails leaves a durable record, and says so.
    let ticket = submit(&journal, 3, Durability::Witnessed);
    journal.sync().unwrap();
    assert!(ticket.outcome().is_none());
    disk.fail_at(disk.ops() + 1, SimFault::Error(io::ErrorKind::Other));
    let failed = ticket.wait().unwrap_err();
    assert!(matches!(&failed, SyncError::NotWitnessed(error)
        if matches!(**error, MarkError::Io { .. })));
    assert_eq!(ticket.wait().unwrap(), Lsn::new(3), "the next mark does it");
    let relaxed = journal.commit(&record, Durability::Relaxed).unwrap();
    assert!(relaxed > journal.synced());
}

#[test]
fn a_failed_sync_is_told_to_every_ticket_and_closing_tells_the_rest() {
    let disk = SimDisk::new(7);
    let journal = create(&disk, small());
    let told = Told::default();
    submit(&journal, 1, Durability::Durable).on_durable(note(&told));
    submit(&journal, 2, Durability::Witnessed).on_durable(note(&told));
    disk.fail_at(disk.ops() + 1, SimFault::Error(io::ErrorKind::Other));
    assert!(journal.sync().is_err());
    let heard = std::mem::take(&mut *told.lock());
    assert_eq!(heard.len(), 2);
    assert!(
        heard
            .iter()
            .all(|told| matches!(told, Err(text) if text.contains("poisoned")))
    );
    let refused = journal.commit(&[], Durability::Durable);
    assert!(matches!(refused, Ok(lsn) if lsn == Lsn::new(2)) || refused.is_err());
    let record = [NewRecord {
        kind: KIND,
        tag: 0,
        payload: b"",
    }];
    let refused = journal.commit(&record, Durability::Durable);
    assert!(
        matches!(refused, Err(CommitError::Append(_))),
        "{refused:?}"
    );

    let disk = SimDisk::new(8);
    let journal = create(&disk, small());
    for durability in [Durability::Durable, Durability::Witnessed] {
        submit(&journal, 1, durability).on_durable(note(&told));
    }
    journal.close().unwrap();
    assert_eq!(*told.lock(), [Ok(Lsn::FIRST), Ok(Lsn::new(2))]);
}

#[test]
fn a_disk_without_threads_syncs_only_for_those_who_wait() {
    let temporary = tempfile::tempdir().unwrap();
    let options = RealDiskOptions {
        without_threads: true,
        ..RealDiskOptions::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::with(options).unwrap());
    let path = temporary.path().join("journal");
    let options = small().idle(Duration::from_millis(1));
    let journal = Journal::create(disk, &path, STORE, options).unwrap();
    assert!(!journal.has_sync_thread());
    let told = Told::default();
    let ticket = submit(&journal, 1, Durability::Durable);
    ticket.on_durable(note(&told));
    let ticket = submit(&journal, 2, Durability::Durable);
    // Not a measurement: a thread that is there would need a small part of this.
    std::thread::sleep(Duration::from_millis(100));
    assert!(ticket.outcome().is_none() && told.lock().is_empty());
    assert_eq!(journal.synced(), Lsn::ZERO);
    ticket.wait().unwrap();
    assert_eq!(told.lock().len(), 1, "whoever syncs tells the others");
    assert!(real(small()).1.has_sync_thread());
}

#[test]
fn nobody_has_to_wait_for_a_ticket_to_be_told() {
    let (_temporary, journal) = real(small());
    let told = Told::default();
    for number in 1..=200 {
        let durability = match number % 10 {
            0 => Durability::Witnessed,
            _ => Durability::Durable,
        };
        submit(&journal, number, durability).on_durable(note(&told));
    }
    until("all are told", || told.lock().len() == 200);
    let mut lsns: Vec<_> = told
        .lock()
        .iter()
        .map(|told| told.clone().unwrap())
        .collect();
    lsns.sort();
    assert!(lsns.iter().copied().eq((1..=200).map(Lsn::new)));
    // Without anybody asking, in a quiet moment: the rest is synced, and a mark says so.
    let last = journal.append(KIND, 0, b"nobody waits for this").unwrap();
    until("the last record is synced", || journal.synced() == last);
    until("a mark says so", || journal.witnessed() == last);
    let ticket = submit(&journal, 201, Durability::Witnessed);
    let waited = ticket.wait_timeout(Duration::from_secs(60));
    assert!(matches!(waited, Some(Ok(lsn)) if lsn > last), "{waited:?}");
}

/// Counts wake-ups and unparks a thread.
struct Unpark {
    thread: std::thread::Thread,
    count: AtomicUsize,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let unpark = Arc::new(Unpark {
        thread: std::thread::current(),
        count: AtomicUsize::new(0),
    });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        while unpark.count.swap(0, Ordering::SeqCst) == 0 {
            std::thread::park_timeout(Duration::from_secs(60));
        }
    }
}

#[test]
fn a_ticket_can_be_awaited_and_polled_as_often_as_one_likes() {
    let (_temporary, journal) = real(small());
    for number in 1..=50 {
        let mut ticket = submit(&journal, number, Durability::Durable);
        let lsn = block_on(async {
            // A poll by somebody else first: the last waker counts.
            let mut other = Context::from_waker(Waker::noop());
            let _ = std::pin::Pin::new(&mut ticket).poll(&mut other);
            ticket.await
        });
        assert_eq!(lsn.unwrap(), Lsn::new(number));
    }
    let disk = SimDisk::new(9);
    let journal = create(&disk, small());
    let mut ticket = submit(&journal, 1, Durability::Durable);
    let unpark = Arc::new(Unpark {
        thread: std::thread::current(),
        count: AtomicUsize::new(0),
    });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(
            std::pin::Pin::new(&mut ticket)
                .poll(&mut context)
                .is_pending()
        );
    }
    journal.sync().unwrap();
    assert_eq!(unpark.count.load(Ordering::SeqCst), 1, "woken once");
    assert!(
        std::pin::Pin::new(&mut ticket)
            .poll(&mut context)
            .is_ready()
    );
}

#[test]
fn callbacks_may_submit_panic_and_drop_the_journal() {
    let (_temporary, journal) = real(small());
    let told = Told::default();
    let chain = {
        let (journal, told) = (journal.clone(), Arc::clone(&told));
        move |_| submit(&journal, 2, Durability::Durable).on_durable(note(&told))
    };
    submit(&journal, 1, Durability::Durable).on_durable(chain);
    until("the second is told", || told.lock().len() == 1);
    submit(&journal, 3, Durability::Durable).on_durable(|_| panic!("as the test asked"));
    submit(&journal, 4, Durability::Durable).on_durable(note(&told));
    until("the one behind is told", || told.lock().len() == 2);
    assert_eq!(journal.stats().callback_panics, 1);

    let done = Arc::new(AtomicBool::new(false));
    let ticket = submit(&journal, 5, Durability::Durable);
    let last = Mutex::new(Some(journal));
    let flag = Arc::clone(&done);
    let handle = last.lock().take();
    ticket.on_durable(move |_| {
        drop(handle);
        flag.store(true, Ordering::SeqCst);
    });
    until("the journal is dropped", || done.load(Ordering::SeqCst));
}

#[test]
fn the_directory_is_busy_while_a_handle_lives() {
    let temporary = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let lock = temporary.path().join("LOCK");
    let held = disk.lock(&lock).unwrap();
    let path = temporary.path().join("journal");
    let journal = Journal::create(Arc::clone(&disk), &path, STORE, small())
        .unwrap()
        .holding(held);
    let clone = journal.clone();
    let is_busy = || matches!(disk.lock(&lock), Err(LockError::Busy { .. }));
    assert!(is_busy());
    drop(journal);
    assert!(is_busy(), "a clone lives");
    clone.append(KIND, 0, b"still open").unwrap();
    clone.close().unwrap();
    assert!(is_busy(), "closed, and not gone");
    drop(clone);
    assert!(!is_busy());
}
