//! A writer and two readers that follow it: one inside the process, which sleeps until something is
//! durable, and one from outside, which sees the directory only.
//!
//! `cargo run -p torrens-journal --example tail`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{
    Followed, Follower, Journal, JournalOptions, Lsn, LsnReader, PositionError, RecordKind,
    StoreUuid,
};

const LINE: RecordKind = RecordKind::new(1);
const STORE: StoreUuid = StoreUuid([7; 16]);
/// Records that the writer appends.
const LINES: u64 = 1000;

type Failure = Box<dyn Error + Send + Sync>;

/// Appends, and purges what is older than the last hundred records, as after a checkpoint. The purge
/// never overtakes the follower: its place is pinned.
fn write(journal: &Journal) -> Result<(), Failure> {
    for number in 1..=LINES {
        let lsn = journal.append(LINE, 0, format!("line {number}").as_bytes())?;
        journal.wait_durable(lsn)?;
        if number % 100 == 0 {
            journal.purge_below(Lsn::new(number.saturating_sub(99)))?;
        }
    }
    journal.close()?;
    Ok(())
}

/// Every durable record, once and in order, until the journal is closed.
fn follow(mut follower: Follower) -> Result<u64, Failure> {
    let mut heard = 0;
    loop {
        // No timeout: it sleeps until a sync has returned. A `StopHandle` could end it.
        match follower.next_batch(None)? {
            Followed::Batch(batch) => {
                for record in batch.records() {
                    let record = record?;
                    heard += 1;
                    assert_eq!(record.payload, format!("line {}", record.lsn).as_bytes());
                }
            }
            Followed::Closed => return Ok(heard),
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
}

/// What another process would see: it polls, and loses its place if it is too slow.
fn watch(disk: Arc<dyn Disk>, dir: &Path) -> Result<Lsn, Failure> {
    let open = || LsnReader::open_oldest(Arc::clone(&disk), dir, Some(STORE));
    // Only what some later write says was durable; the rest might be gone after a power cut.
    let mut reader = open()?.witnessed_only(true);
    while reader.next_lsn() <= Lsn::new(LINES) {
        match reader.next_batch_within(Duration::from_secs(10)) {
            Ok(Some(batch)) => assert!(batch.is_witnessed()),
            Ok(None) => return Err("the writer is silent".into()),
            // Nothing is pinned for a reader outside. It learns what is left, and goes on there.
            Err(PositionError::Gone { .. }) => reader = open()?.witnessed_only(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(reader.witnessed())
}

/// Runs all three in `root`; how many records the follower heard of, and the last LSN that the reader
/// outside knows to be durable.
///
/// # Errors
/// Whatever one of them met.
pub(crate) fn run(root: &Path) -> Result<(u64, Lsn), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let dir = root.join("journal");
    let lock = disk.lock(&root.join("LOCK"))?;
    // Small segments, so that the example crosses many.
    let options = JournalOptions::new().segment_bytes(256 * 1024);
    let journal = Journal::create(Arc::clone(&disk), &dir, STORE, options)?.holding(lock);
    let follower = journal.follow(Lsn::FIRST, "example")?;
    thread::scope(|scope| {
        let follower = scope.spawn(|| follow(follower));
        let watcher = scope.spawn(|| watch(Arc::clone(&disk), &dir));
        write(&journal)?;
        let heard = follower.join().map_err(|_| "the follower panicked")??;
        let seen = watcher.join().map_err(|_| "the watcher panicked")??;
        Ok((heard, seen))
    })
}

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Failure> {
    let fresh = tempfile::tempdir()?;
    let (heard, seen) = run(fresh.path())?;
    println!("the follower heard of {heard} records; outside, LSN {seen} is known to be durable");
    Ok(())
}
