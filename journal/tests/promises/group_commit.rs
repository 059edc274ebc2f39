//! Many threads, few syncs: every acknowledged record is durable, in one dense order.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use torrens_journal::disk::{
    Disk, DiskFile, DiskLock, DiskMap, Entry, LockError, OpenMode, RealDisk, SyncPath,
};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{Journal, JournalOptions, Lsn, PoisonedBy, SyncError};

use crate::support::{KIND, STORE, create, dir, payload, small, walk};

/// Holds syncs back until a test lets them through, one by one.
#[derive(Debug, Default)]
struct Gate {
    inner: Mutex<GateInner>,
    changed: Condvar,
    /// The next sync that comes through panics.
    panics: AtomicBool,
}

#[derive(Debug, Default)]
struct GateInner {
    closed: bool,
    standing: u64,
    let_through: u64,
}

impl Gate {
    fn close(&self) {
        self.inner.lock().closed = true;
    }

    fn pass(&self) {
        let mut inner = self.inner.lock();
        inner.standing += 1;
        self.changed.notify_all();
        while inner.closed && inner.let_through == 0 {
            self.changed.wait(&mut inner);
        }
        inner.let_through = inner.let_through.saturating_sub(1);
        inner.standing -= 1;
        drop(inner);
        assert!(!self.panics.load(Ordering::Relaxed), "as the test asked");
    }

    /// Waits until a sync stands at the gate.
    fn wait_for_one(&self) {
        self.wait_for(1);
    }

    /// Waits until `count` syncs stand at the gate.
    fn wait_for(&self, count: u64) {
        let mut inner = self.inner.lock();
        while inner.standing < count {
            self.changed.wait(&mut inner);
        }
    }

    fn let_one_through(&self) {
        self.inner.lock().let_through += 1;
        self.changed.notify_all();
    }
}

/// A simulated disk whose file syncs pass a gate.
#[derive(Clone, Debug)]
struct GatedDisk {
    disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl Disk for GatedDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile {
            file: self.disk.open(path, mode)?,
            gate: Arc::clone(&self.gate),
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path)
    }
    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        self.disk.lock_holder(path)
    }
    fn random_u64(&self) -> u64 {
        self.disk.random_u64()
    }
    fn wall_clock_micros(&self) -> u64 {
        self.disk.wall_clock_micros()
    }
    fn sync_path(&self) -> SyncPath {
        self.disk.sync_path()
    }
}

impl DiskFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, buffer)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(offset, bytes)
    }
    fn write_zeros(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.file.write_zeros(offset, bytes)
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }
    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
    fn map(&self, bytes: u64) -> io::Result<Box<dyn DiskMap>> {
        self.file.map(bytes)
    }
}

/// As long as may be: longer than any test takes.
const QUIET: Duration = Duration::from_secs(60);

fn gated() -> (GatedDisk, Arc<Journal>) {
    gated_with(JournalOptions::new())
}

fn gated_with(options: JournalOptions) -> (GatedDisk, Arc<Journal>) {
    let disk = GatedDisk {
        disk: SimDisk::new(1),
        gate: Arc::default(),
    };
    // Nothing but what a test asks for goes through the gate, however slow the machine is.
    let options = options.segment_bytes(256 * 1024).idle(QUIET);
    let journal = Journal::create(Arc::new(disk.clone()), &dir(), STORE, options).unwrap();
    disk.gate.close();
    (disk, Arc::new(journal))
}

type Waiter = std::thread::JoinHandle<Result<Lsn, SyncError>>;

/// Appends and waits on `threads` threads, each with one record.
fn waiters(journal: &Arc<Journal>, threads: u64) -> Vec<Waiter> {
    let appended = journal.appended().get();
    let handles = (0..threads)
        .map(|number| {
            let journal = Arc::clone(journal);
            std::thread::spawn(move || {
                let lsn = journal.append(KIND, 0, &payload(number, 50)).unwrap();
                journal.wait_durable(lsn).map(|()| lsn)
            })
        })
        .collect();
    while journal.appended().get() < appended + threads {
        std::thread::yield_now();
    }
    // All have appended; most are asleep soon. Nothing depends on all of them being so.
    std::thread::sleep(Duration::from_millis(20));
    handles
}

#[test]
fn records_that_come_during_a_sync_share_the_next_one() {
    let (disk, journal) = gated();
    let first = waiters(&journal, 1);
    disk.gate.wait_for_one();
    let second = waiters(&journal, 12);
    assert_eq!(journal.synced(), Lsn::ZERO);
    disk.gate.let_one_through();
    for handle in first {
        assert_eq!(handle.join().unwrap().unwrap(), Lsn::FIRST);
    }
    assert_eq!(journal.synced(), Lsn::FIRST);
    // One of the twelve leads now; its sync stands at the gate.
    disk.gate.wait_for_one();
    disk.gate.let_one_through();
    let mut lsns: Vec<u64> = second
        .into_iter()
        .map(|handle| handle.join().unwrap().unwrap().get())
        .collect();
    lsns.sort_unstable();
    assert_eq!(lsns, (2..=13).collect::<Vec<_>>());
    assert_eq!(journal.stats().syncs, 2);
    assert_eq!(
        walk(&disk.disk.power_cut(CutChoice::LoseAll))
            .payloads
            .len(),
        13
    );
    std::mem::forget(journal);
}

#[test]
fn a_failed_sync_fails_those_it_was_for_and_those_behind_it() {
    let (disk, journal) = gated();
    let first = waiters(&journal, 1);
    disk.gate.wait_for_one();
    let second = waiters(&journal, 5);
    let next = disk.disk.ops() + 1;
    disk.disk.fail_at(next, SimFault::SyncLies);
    disk.gate.let_one_through();
    for handle in first.into_iter().chain(second) {
        let outcome = handle.join().unwrap();
        assert!(
            matches!(outcome, Err(SyncError::Poisoned(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(journal.synced(), Lsn::ZERO);
    assert_eq!(disk.disk.ops(), next, "nothing is tried again");
}

/// Two syncs stand at the gate, the first with one record and the second with three.
fn two_in_flight(options: JournalOptions) -> (GatedDisk, Arc<Journal>, [Vec<Waiter>; 2]) {
    let (disk, journal) = gated_with(options.syncs_in_flight(2));
    let first = waiters(&journal, 1);
    disk.gate.wait_for_one();
    let second = waiters(&journal, 3);
    disk.gate.wait_for(2);
    (disk, journal, [first, second])
}

#[test]
fn a_sync_that_returns_before_an_older_one_acknowledges_nothing_until_that_returns_too() {
    let (disk, journal, [first, second]) = two_in_flight(JournalOptions::new());
    // Whichever comes through first: nothing at all, or a prefix.
    disk.gate.let_one_through();
    std::thread::sleep(Duration::from_millis(20));
    let synced = journal.synced();
    let prefixes = [Lsn::ZERO, Lsn::FIRST, Lsn::new(2), Lsn::new(3)];
    assert!(prefixes.contains(&synced), "{synced}");
    let durable = walk(&disk.disk.power_cut(CutChoice::LoseAll)).last_lsn();
    assert!(durable >= synced, "{durable} of {synced}");
    for _ in 0..3 {
        disk.gate.let_one_through();
    }
    for waiter in first.into_iter().chain(second) {
        waiter.join().unwrap().unwrap();
    }
    assert_eq!(journal.synced(), Lsn::new(4));
    assert_eq!(
        walk(&disk.disk.power_cut(CutChoice::LoseAll))
            .payloads
            .len(),
        4
    );
}

#[test]
fn a_failed_sync_takes_the_one_that_overlaps_it_along() {
    for which in 0..2 {
        let (disk, journal, [first, second]) = two_in_flight(JournalOptions::new());
        disk.disk.fail_at(
            disk.disk.ops() + 1 + which,
            SimFault::Error(io::ErrorKind::Other),
        );
        disk.gate.let_one_through();
        disk.gate.let_one_through();
        let outcomes: Vec<_> = first
            .into_iter()
            .chain(second)
            .map(|waiter| waiter.join().unwrap())
            .collect();
        assert!(journal.is_poisoned());
        let synced = journal.synced();
        for outcome in outcomes {
            match outcome {
                Ok(lsn) => assert!(lsn <= synced, "{lsn} of {synced}"),
                Err(error) => assert!(matches!(error, SyncError::Poisoned(_)), "{error:?}"),
            }
        }
        let durable = walk(&disk.disk.power_cut(CutChoice::LoseAll)).last_lsn();
        assert!(durable >= synced, "{durable} of {synced}");
        if which == 0 {
            assert_eq!(
                synced,
                Lsn::ZERO,
                "the other one returned and was not believed"
            );
        }
    }
}

#[test]
fn a_panic_of_the_syncing_thread_leaves_nobody_waiting() {
    let (disk, journal) = gated();
    let mut threads = waiters(&journal, 1);
    disk.gate.wait_for_one();
    threads.extend(waiters(&journal, 3));
    disk.gate.panics.store(true, Ordering::Relaxed);
    disk.gate.let_one_through();
    let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
    assert!(outcomes[0].is_err(), "the thread that synced panicked");
    for outcome in &outcomes[1..] {
        match outcome {
            Ok(Err(SyncError::Poisoned(poison))) => assert_eq!(poison.by, PoisonedBy::Panic),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_append_never_waits_for_a_sync() {
    let (disk, journal) = gated();
    let first = waiters(&journal, 1);
    disk.gate.wait_for_one();
    for number in 2..=1000 {
        assert_eq!(journal.append(KIND, 0, b"more").unwrap(), Lsn::new(number));
    }
    assert_eq!(journal.synced(), Lsn::ZERO);
    disk.gate.let_one_through();
    for handle in first {
        handle.join().unwrap().unwrap();
    }
    assert_eq!(
        journal.synced(),
        Lsn::FIRST,
        "only what was appended before"
    );
    std::mem::forget(journal);
}

#[test]
fn threads_append_wait_rotate_and_purge_together_and_every_lsn_is_read_back() {
    const THREADS: u64 = 8;
    const EACH: u64 = 60;
    let disk = SimDisk::new(1);
    let journal = Arc::new(create(&disk, small()));
    let stop = AtomicBool::new(false);
    let mut by_lsn: Vec<(Lsn, Vec<u8>)> = std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                journal.write_mark().unwrap();
                journal.purge_below(Lsn::FIRST).unwrap();
                std::thread::yield_now();
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let journal = &journal;
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for number in 0..EACH {
                        let bytes = payload(thread * EACH + number, 30 + number as usize * 20);
                        let lsn = journal.append(KIND, 0, &bytes).unwrap();
                        journal.wait_durable(lsn).unwrap();
                        assert!(journal.synced() >= lsn);
                        mine.push((lsn, bytes));
                    }
                    mine
                })
            })
            .collect();
        let all = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect();
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        all
    });
    by_lsn.sort();
    let lsns: Vec<u64> = by_lsn.iter().map(|(lsn, _)| lsn.get()).collect();
    assert_eq!(lsns, (1..=THREADS * EACH).collect::<Vec<_>>(), "dense");
    let stats = journal.stats();
    assert!(stats.rotations > 2, "{stats:?}");
    // No close: what is acknowledged is on the device already.
    let found = walk(&disk.power_cut(CutChoice::LoseAll));
    let expected: Vec<_> = by_lsn.into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(found.payloads, expected);
}

#[test]
fn a_journal_on_a_real_disk_survives_reopening() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("journal");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let journal = Journal::create(Arc::clone(&disk), &path, STORE, small()).unwrap();
    let journal = Arc::new(journal);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..25 {
                    let bytes = payload(thread * 25 + number, 700);
                    let lsn = journal.append(KIND, 0, &bytes).unwrap();
                    journal.wait_durable(lsn).unwrap();
                }
            });
        }
    });
    journal.close().unwrap();
    let listing = torrens_journal::list(&*disk, &path).unwrap();
    let mut records = 0;
    for entry in &listing.segments {
        let mut reader =
            torrens_journal::SegmentReader::open(&*disk, &path, entry.id, Some(STORE)).unwrap();
        assert_eq!(reader.file_bytes(), 32 * 1024);
        for group in reader.tail_scan(0) {
            records += group.unwrap().header.record_count;
        }
    }
    assert_eq!(records, 100);
    assert!(listing.unfinished.is_empty());
}
