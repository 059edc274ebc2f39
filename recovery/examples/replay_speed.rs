//! How fast a journal opens: one million records of 128 bytes by default, closed in order.
//!
//! `cargo run --release -p torrens-recovery --example replay_speed -- [DIR] [RECORDS] [ROUNDS]`
//!
//! Times whole calls of `recover`: settling, reading, verifying, replaying, resuming. *Cold* rounds
//! begin with the cached pages of every file dropped (as far as the host's own cache lies below that
//! it is the host that is measured), *warm* rounds with the pages of the round before.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use torrens_journal::disk::{Disk, OpenMode, RealDisk};
use torrens_journal::{Journal, JournalOptions, Lsn, RecordKind, StoreUuid};
use torrens_recovery::checkpoint::CheckpointError;
use torrens_recovery::{Directories, RecoveryOptions, Stage, StateMachine, recover};

const STORE: StoreUuid = StoreUuid(*b"replay benchmark");
const KIND: RecordKind = RecordKind::new(1);
const PAYLOAD_BYTES: usize = 128;

/// Looks at every payload and keeps a count.
#[derive(Debug, Default)]
struct Count {
    records: u64,
    sum: u64,
}

impl StateMachine for Count {
    type Record = u64;
    type Item = ();
    type Error = std::convert::Infallible;

    fn decode(_: RecordKind, payload: &[u8]) -> Result<Option<u64>, Self::Error> {
        let first = payload
            .first_chunk()
            .map_or(0, |eight| u64::from_le_bytes(*eight));
        Ok(Some(first))
    }

    fn apply(&mut self, _: Lsn, record: &u64) -> Result<(), Self::Error> {
        self.records += 1;
        self.sum = self.sum.wrapping_add(*record);
        Ok(())
    }

    fn save(
        &self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn decode_item(_: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn fill(disk: &Arc<dyn Disk>, at: &Directories, records: u64) -> Result<(), Box<dyn Error>> {
    let journal = Journal::create(Arc::clone(disk), &at.journal, STORE, JournalOptions::new())?;
    let mut payload = [b'.'; PAYLOAD_BYTES];
    for number in 0..records {
        payload[..8].copy_from_slice(&number.to_le_bytes());
        journal.append(KIND, 0, &payload)?;
    }
    journal.sync()?;
    journal.close()?;
    Ok(())
}

fn drop_caches(disk: &dyn Disk, dir: &Path) -> Result<(), Box<dyn Error>> {
    for entry in disk.list(dir)? {
        if entry.bytes > 0 {
            let file = disk.open(&dir.join(&entry.name), OpenMode::Write)?;
            file.sync_data()?;
            file.drop_cache()?;
        }
    }
    Ok(())
}

/// How long the stages of one opening took.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    settle: Duration,
    replay: Duration,
    resume: Duration,
}

impl Times {
    fn total(&self) -> Duration {
        self.settle + self.replay + self.resume
    }
}

fn open_once(
    disk: &Arc<dyn Disk>,
    at: &Directories,
    records: u64,
) -> Result<Times, Box<dyn Error>> {
    let started = Instant::now();
    let (send, stages) = std::sync::mpsc::channel();
    let options = RecoveryOptions::new(JournalOptions::new()).with_progress(Box::new(move |now| {
        // Nobody listens only if the measurement is over.
        let _ = send.send((now.stage, started.elapsed()));
        ControlFlow::Continue(())
    }));
    let recovered = recover(Arc::clone(disk), at, Count::default(), options)?;
    let total = started.elapsed();
    let mut times = Times::default();
    let mut repairing = Duration::ZERO;
    for (stage, at) in stages.try_iter() {
        match stage {
            Stage::Replaying if times.settle.is_zero() => times.settle = at,
            Stage::Repairing => repairing = at,
            _ => {}
        }
    }
    times.replay = repairing - times.settle;
    times.resume = total - repairing;
    let expected = records.wrapping_mul(records.saturating_sub(1)) / 2;
    if (recovered.machine.records, recovered.machine.sum) != (records, expected) {
        return Err(format!("replayed {:?}", recovered.machine).into());
    }
    recovered.journal.close()?;
    Ok(times)
}

#[expect(clippy::print_stdout, reason = "a measurement is for people to read")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let given = arguments.next().map(PathBuf::from);
    let records: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(7), |text| text.parse())?;
    let temporary = tempfile::tempdir()?;
    let root = given.unwrap_or_else(|| temporary.path().to_owned());
    let at = Directories {
        journal: root.join("journal"),
        checkpoints: root.join("checkpoints"),
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    fill(&disk, &at, records)?;
    for (name, cold) in [("cold", true), ("warm", false)] {
        let mut times = Vec::new();
        for _ in 0..rounds.max(1) {
            if cold {
                drop_caches(&*disk, &at.journal)?;
            }
            times.push(open_once(&disk, &at, records)?);
        }
        times.sort_by_key(Times::total);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{name}  median {:6.1} ms (settle {:.1}, replay {:.1}, resume {:.1}), best {:6.1} ms, {:5.1} M records/s",
            ms(median.total()),
            ms(median.settle),
            ms(median.replay),
            ms(median.resume),
            times.first().map_or(0.0, |best| ms(best.total())),
            records as f64 / median.total().as_secs_f64() / 1e6,
        );
    }
    Ok(())
}
