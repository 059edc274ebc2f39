//! A journal in a process of its own that does what it is told, line by line.
//!
//! The parent runs this test program again with the environment variables below. The child then reads
//! commands from its input and answers each with one line.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use torrens_journal::disk::{RealDisk, RealDiskOptions, SyncChoice};
use torrens_journal::testing::skip;
use torrens_journal::{AppendError, Journal, Lsn, OpenError, SyncError};

use crate::support::{KIND, STORE, Writer, clear_behind_in, payload, walk_in, writers};

const DIR: &str = "TORRENS_CHILD_DIR";
const WAY: &str = "TORRENS_CHILD_WAY";
/// Marks the child's answers among what the test runner prints.
const ANSWER: &str = "answer> ";

/// How the journal is written and synced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) writer: Writer,
    pub(crate) sync: SyncChoice,
}

/// Every way that works on this machine.
pub(crate) fn ways(test: &str) -> Vec<Way> {
    let mut syncs = vec![SyncChoice::Fdatasync];
    match disk(SyncChoice::IoUring) {
        Ok(_) => syncs.push(SyncChoice::IoUring),
        Err(why) => skip(test, why),
    }
    let ways = writers().into_iter();
    ways.flat_map(|writer| syncs.iter().map(move |sync| (writer, *sync)))
        .map(|(writer, sync)| Way { writer, sync })
        .collect()
}

pub(crate) fn disk(sync: SyncChoice) -> std::io::Result<RealDisk> {
    RealDisk::with(RealDiskOptions {
        sync,
        ..RealDiskOptions::default()
    })
}

/// The parent's end.
pub(crate) struct Child {
    process: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

/// What the child answered: how many records it got through, and the word for how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) done: u64,
    pub(crate) outcome: String,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == "ok"
    }

    /// Whether a failure ended the journal for good.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.outcome.starts_with("poisoned")
    }
}

impl Child {
    /// Starts one for the journal in `dir`.
    pub(crate) fn start(dir: &Path, way: Way) -> Child {
        let program = std::env::current_exe().unwrap();
        let mut process = Command::new(program)
            .args([
                "--exact",
                "child_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIR, dir)
            .env(WAY, format!("{} {:?}", way.writer.name, way.sync))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Child { process, answers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Has it do something, and waits for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> Answer {
        let input = self.process.stdin.as_mut().unwrap();
        // A child that is gone is reported below, with what killed it.
        let _ = writeln!(input, "{command}");
        let mut line = String::new();
        while self
            .answers
            .read_line(&mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            // The runner may have begun the line.
            if let Some((_, answer)) = line.trim_end().split_once(ANSWER) {
                let (done, outcome) = answer.split_once(' ').unwrap();
                return Answer {
                    done: done.parse().unwrap(),
                    outcome: outcome.to_owned(),
                };
            }
            line.clear();
        }
        let status = self.process.wait().unwrap();
        panic!("the child did not survive `{command}`: {status}");
    }

    /// As [`Child::ask`], for what must work.
    pub(crate) fn must(&mut self, command: &str) -> u64 {
        let answer = self.ask(command);
        assert!(answer.is_ok(), "{command}: {answer:?}");
        answer.done
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Checks that a journal on the real disk holds at least `acknowledged` records, each the one that
/// `payload` made for its LSN with so many bytes.
pub(crate) fn holds(dir: &Path, acknowledged: u64, bytes: usize) {
    let found = walk_in(&RealDisk::new(), dir, STORE);
    assert!(
        found.last_lsn().get() >= acknowledged,
        "{} of {acknowledged} in {}",
        found.last_lsn(),
        dir.display()
    );
    for (lsn, read) in (found.first_lsn.get()..).zip(&found.payloads) {
        assert_eq!(*read, payload(lsn, bytes), "record {lsn}");
    }
}

/// The child's end: serves until its input ends.
pub(crate) fn serve() {
    let (Some(dir), Ok(way)) = (std::env::var_os(DIR), std::env::var(WAY)) else {
        return;
    };
    let (writer, sync) = way.split_once(' ').unwrap();
    let writer = writers()
        .into_iter()
        .find(|found| found.name == writer)
        .unwrap();
    let sync = match sync {
        "IoUring" => SyncChoice::IoUring,
        _ => SyncChoice::Fdatasync,
    };
    let disk = Arc::new(disk(sync).unwrap());
    let dir = Path::new(&dir);
    let mut journal: Option<Journal> = None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let options = |bytes| writer.small().segment_bytes(bytes);
        let (done, outcome) = match words[0] {
            "create" => {
                let made = Journal::create(disk.clone(), dir, STORE, options(number(1)));
                let outcome = opened(&made);
                journal = made.ok();
                (0, outcome)
            }
            // Told by a plain walk where the journal ends, as recovery would.
            "resume" => {
                let tail = walk_in(&*disk, dir, STORE).tail.unwrap();
                match clear_behind_in(&*disk, dir, &tail) {
                    Ok(()) => {
                        let options = options(number(1));
                        let made = Journal::resume(disk.clone(), dir, STORE, tail, options);
                        let outcome = opened(&made);
                        journal = made.ok();
                        (tail.last_lsn.get(), outcome)
                    }
                    Err(error) if error.kind() == ErrorKind::StorageFull => (0, "full".to_owned()),
                    Err(error) => (0, format!("refused: {error}")),
                }
            }
            // So many records of so many bytes, each waited for.
            "append" => append(journal.as_ref().unwrap(), number(1), number(2), true),
            "push" => append(journal.as_ref().unwrap(), number(1), number(2), false),
            "sync" => match journal.as_ref().unwrap().sync() {
                Ok(lsn) => (lsn.get(), "ok".to_owned()),
                Err(error) => (0, sync_error(&error)),
            },
            // So many threads, with so many records each; the highest LSN that one was told of.
            "threads" => threads(journal.as_ref().unwrap(), number(1), number(2)),
            "synced" => (journal.as_ref().unwrap().synced().get(), "ok".to_owned()),
            "mark" => {
                let marked = journal.as_ref().unwrap().write_mark_synced();
                (
                    0,
                    marked.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
                )
            }
            "close" => {
                let closed = journal.as_ref().unwrap().close();
                (
                    0,
                    closed.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
                )
            }
            "limit" => {
                let current = words[1].parse::<u64>().ok();
                let limit = Rlimit {
                    current,
                    maximum: None,
                };
                setrlimit(Resource::Fsize, limit).unwrap();
                (0, "ok".to_owned())
            }
            other => panic!("{other}"),
        };
        answer(done, &outcome);
    }
    // The parent has seen enough; what dropping would do is not its business.
    std::process::exit(0);
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn answer(done: u64, outcome: &str) {
    println!("{ANSWER}{done} {outcome}");
}

fn opened(result: &Result<Journal, OpenError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(OpenError::Full { .. }) => "full".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}

fn append(journal: &Journal, records: u64, bytes: u64, wait: bool) -> (u64, String) {
    for done in 0..records {
        let next = journal.appended().get() + 1;
        match journal.append(KIND, 0, &payload(next, bytes as usize)) {
            Ok(lsn) if wait => {
                if let Err(error) = journal.wait_durable(lsn) {
                    return (done, sync_error(&error));
                }
            }
            Ok(_) => {}
            Err(error) => return (done, append_error(&error)),
        }
    }
    (records, "ok".to_owned())
}

fn threads(journal: &Journal, threads: u64, records: u64) -> (u64, String) {
    let acknowledged = parking_lot::Mutex::new(Lsn::ZERO);
    let outcome = parking_lot::Mutex::new("ok".to_owned());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (acknowledged, outcome) = (&acknowledged, &outcome);
            scope.spawn(move || {
                for record in 0..records {
                    let payload = payload(1_000_000 * (thread + 1) + record, 3000);
                    let appended = journal.append(KIND, 0, &payload);
                    match appended.map(|lsn| (lsn, journal.wait_durable(lsn))) {
                        Ok((lsn, Ok(()))) => {
                            let mut highest = acknowledged.lock();
                            *highest = lsn.max(*highest);
                        }
                        Ok((_, Err(error))) => return *outcome.lock() = sync_error(&error),
                        Err(error) => return *outcome.lock() = append_error(&error),
                    }
                }
            });
        }
    });
    (acknowledged.into_inner().get(), outcome.into_inner())
}

fn append_error(error: &AppendError) -> String {
    match error {
        AppendError::Full { .. } => "full".to_owned(),
        AppendError::Prepare { .. } => "prepare".to_owned(),
        AppendError::Poisoned(poison) => {
            format!("poisoned by {}: {}", poison.by.as_str(), poison.source)
        }
        other => other.to_string(),
    }
}

fn sync_error(error: &SyncError) -> String {
    match error {
        SyncError::Poisoned(poison) => {
            format!("poisoned by {}: {}", poison.by.as_str(), poison.source)
        }
        other => other.to_string(),
    }
}
