//! The stores that are damaged, and what is asked of each damaged one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_recovery::{InspectOptions, RecoveryError, inspect, repair};

use crate::flat::{Changes, Files, FlatDisk};
use crate::host::{Host, contents, copy, directories, try_recover};
use crate::tally::Tally;

const SEED: u64 = 20_261_126;

/// What a damage comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Opens, with every record.
    Exact,
    /// Opens clean, without records that no undamaged witness vouches for.
    Shorter,
    /// Opens after cutting a tail, with every record or without such ones.
    TornTail,
    /// Corrupt: acknowledged records are missing at the end.
    AckedLoss,
    /// Corrupt, with valid records behind the damage.
    MidLog,
    /// Another verdict: an impossible sequence, a newer format, unreadable.
    Other,
    /// Nothing says any more that there ever was a journal.
    NoJournal,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 7] = [
        Outcome::Exact,
        Outcome::Shorter,
        Outcome::TornTail,
        Outcome::AckedLoss,
        Outcome::MidLog,
        Outcome::Other,
        Outcome::NoJournal,
    ];
}

/// A directory, what it holds, and what it was before.
pub(crate) struct Store {
    pub(crate) name: &'static str,
    pub(crate) files: Arc<Files>,
    /// The files after each step of its life.
    pub(crate) earlier: Vec<Files>,
    pub(crate) whole: Tally,
    /// What damage to one place leaves at least, and to two.
    pub(crate) floors: [u64; 2],
}

fn files_of(disk: &SimDisk) -> Files {
    let files = contents(disk).into_iter();
    files
        .filter(|(path, _)| !path.starts_with(directories().journal.join("cut")))
        .map(|(path, bytes)| (path, Arc::new(bytes)))
        .collect()
}

fn live(disk: &SimDisk) -> (Host, Vec<Files>) {
    let mut earlier = Vec::new();
    let mut host = Host::create(disk).expect("nothing fails");
    for number in 0..10 {
        host.put(if number % 3 == 0 { 5000 } else { 3000 })
            .expect("nothing fails");
        earlier.push(files_of(disk));
        if [2, 5].contains(&number) {
            host.checkpoint(9).expect("nothing fails");
        }
        if number == 6 {
            host.journal.write_mark_synced().expect("nothing fails");
        }
    }
    (host, earlier)
}

impl Store {
    /// Left by a killed process: only the record behind the last sync's own has no witness.
    pub(crate) fn crashed() -> Store {
        let disk = SimDisk::new(SEED);
        let (host, earlier) = live(&disk);
        let whole = host.machine.clone();
        host.vanish();
        let disk = copy(&disk);
        Store {
            name: "crashed",
            files: Arc::new(files_of(&disk)),
            earlier,
            floors: [whole.position - 1, whole.position - 2],
            whole,
        }
    }

    /// Closed in order, opened and closed twice more: every mark vouches for everything.
    pub(crate) fn closed() -> Store {
        let disk = SimDisk::new(SEED + 1);
        let (host, mut earlier) = live(&disk);
        let whole = host.machine.clone();
        host.journal.close().expect("it closes");
        drop(host);
        for _ in 0..2 {
            earlier.push(files_of(&disk));
            let recovered = try_recover(&disk).expect("it opens");
            recovered.journal.close().expect("it closes");
        }
        let disk = copy(&disk);
        Store {
            name: "closed",
            files: Arc::new(files_of(&disk)),
            earlier,
            floors: [whole.position, whole.position],
            whole,
        }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, path: &PathBuf) -> &[u8] {
        &self.files[path]
    }
}

/// Damages of one kind.
pub(crate) struct Kind<'s> {
    pub(crate) name: &'static str,
    pub(crate) cases: usize,
    /// So many that a debug build takes a part.
    pub(crate) large: bool,
    /// How many places one of them damages (1 or 2), or the floor itself.
    pub(crate) floor: Floor,
    pub(crate) case: Box<dyn Fn(usize) -> (String, Changes) + Sync + 's>,
}

/// What must be left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floor {
    /// By the number of damaged places.
    Places(usize),
    /// At least so much, or nothing if there is no journal any more.
    Lsn(u64),
}

/// Tries every case (or a part) on several threads.
pub(crate) fn run(store: &Store, kind: &Kind<'_>, part: usize) -> BTreeMap<Outcome, u64> {
    let step = if kind.large { part } else { 1 };
    let next = AtomicUsize::new(0);
    let floor = match kind.floor {
        Floor::Places(places) => store.floors[places - 1],
        Floor::Lsn(lsn) => lsn,
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let work = || {
        let mut met = BTreeMap::new();
        loop {
            // Neighbouring cases are alike, so that a part takes one of each neighbourhood.
            let block = next.fetch_add(64, Ordering::Relaxed);
            if block * step >= kind.cases {
                return met;
            }
            for number in block..block + 64 {
                let index = number * step + (number * 7) % step;
                if index >= kind.cases {
                    continue;
                }
                let (what, changes) = (kind.case)(index);
                let context = format!("{} store, {}, case {index}: {what}", store.name, kind.name);
                let thorough = !kind.large || number % 64 == 0;
                let outcome = judge(store, changes, floor, thorough, &context);
                *met.entry(outcome).or_insert(0) += 1;
            }
        }
    };
    let mut all = BTreeMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            for (outcome, cases) in worker.join().expect("the context is in the panic above") {
                *all.entry(outcome).or_insert(0) += cases;
            }
        }
    });
    all
}

fn judge(store: &Store, changes: Changes, floor: u64, thorough: bool, context: &str) -> Outcome {
    let disk = FlatDisk::new(&store.files, changes);
    let at = directories();
    let looked = inspect(&disk, &at, Tally::default(), InspectOptions::new(false));
    let outcome = match looked {
        Ok(found) if found.report.verdict.can_open() => {
            check(store, &found.machine, floor, context);
            match found.report.verdict.exit_code() {
                3 => Outcome::TornTail,
                _ if found.machine.position < store.whole.position => Outcome::Shorter,
                _ => Outcome::Exact,
            }
        }
        Ok(found) => match found.report.verdict.exit_code() {
            4 => Outcome::AckedLoss,
            5 => Outcome::MidLog,
            _ => Outcome::Other,
        },
        Err(RecoveryError::NotAJournal { .. }) => Outcome::NoJournal,
        Err(error) => panic!("{context}: {error:?}"),
    };
    if thorough {
        // Opening says the same; and a repair is planned or refused.
        let real = writable(&disk);
        match try_recover(&real) {
            Ok(recovered) => {
                let opens = [Outcome::Exact, Outcome::Shorter, Outcome::TornTail];
                assert!(
                    opens.contains(&outcome),
                    "{context}: opens, and {outcome:?}"
                );
                check(store, &recovered.machine, floor, context);
            }
            Err(RecoveryError::Refused { report }) => {
                let refusals = [Outcome::AckedLoss, Outcome::MidLog, Outcome::Other];
                assert!(
                    refusals.contains(&outcome),
                    "{context}: {report}, and {outcome:?}"
                );
            }
            Err(RecoveryError::NotAJournal { .. }) => {
                assert_eq!(outcome, Outcome::NoJournal, "{context}");
            }
            Err(error) => panic!("{context}: {error:?}"),
        }
        let corrupt = [Outcome::AckedLoss, Outcome::MidLog].contains(&outcome);
        match repair::plan(&disk, &at, None) {
            Ok(plan) => {
                assert!(corrupt, "{context}: {plan}");
                let real = writable(&disk);
                repair::apply(&real, &at, &plan)
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                let recovered = try_recover(&real)
                    .unwrap_or_else(|error| panic!("{context}: {error:?}\n{plan}"));
                // Whatever was lost was stated.
                let stated = plan.loss.first.map_or(floor, |first| first.get() - 1);
                check(store, &recovered.machine, stated.min(floor), context);
            }
            Err(error) => assert!(!corrupt, "{context}: {error}"),
        }
    }
    outcome
}

fn check(store: &Store, found: &Tally, floor: u64, context: &str) {
    assert!(
        store.whole.values.starts_with(&found.values),
        "{context}: other values"
    );
    assert!(
        found.values.len() as u64 >= floor,
        "{context}: {} of {floor} are left",
        found.values.len()
    );
}

/// The damaged files on a disk that can be written.
fn writable(disk: &FlatDisk) -> SimDisk {
    let real = SimDisk::new(SEED);
    for dir in [directories().journal, directories().checkpoints] {
        real.create_dir_all(&dir).expect("nothing fails");
    }
    for (path, bytes) in disk.contents() {
        let file = real
            .open(&path, OpenMode::CreateNew)
            .expect("nothing fails");
        file.write_all_at(0, &bytes).expect("nothing fails");
        file.sync_data().expect("nothing fails");
    }
    for dir in [directories().journal, directories().checkpoints] {
        real.sync_dir(&dir).expect("nothing fails");
    }
    real
}
