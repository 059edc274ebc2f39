//! A storage process that does what it is told, and what its directory must hold afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{
    Engine, EngineError, KeyRange, Peer, PeerId, RaftPosition, Region, RegionEpoch, RegionId,
    StoreId, WriteAnswer, WriteBatch,
};

pub(crate) const STORE: StoreId = StoreId(4);
const DIR: &str = "TORRENS_FAULT_DIR";
/// No answer takes so long, however much else the machine does.
const PATIENCE: Duration = Duration::from_secs(120);
/// Marks the child's answers among what the test runner prints.
const ANSWER: &str = "answer> ";
/// The regions that `create` makes begin behind it.
const FIRST: u64 = 100;

/// The parent's end.
pub(crate) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
}

/// What the child answered: how much it got through, and `ok` or the code of what stopped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) done: u64,
    pub(crate) outcome: String,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == "ok"
    }
}

impl Child {
    /// Starts one for the store in `dir`.
    pub(crate) fn start(dir: &Path) -> Child {
        let program = std::env::current_exe().unwrap();
        let mut process = Command::new(program)
            .args([
                "--exact",
                "child_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        // Ends with the child's output, or when nobody listens any more.
        std::thread::spawn(move || {
            let mut said = said.lines().map_while(Result::ok);
            said.try_for_each(|line| sender.send(line))
        });
        Child { process, lines }
    }

    /// Has it do something, and waits for the answer; how it died, if it did.
    pub(crate) fn try_ask(&mut self, command: &str) -> Result<Answer, ExitStatus> {
        let input = self.process.stdin.as_mut().unwrap();
        // A child that is gone is told below.
        let _ = writeln!(input, "{command}");
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                // The runner may have begun the line.
                Ok(line) => {
                    if let Some((_, answer)) = line.split_once(ANSWER) {
                        let (done, outcome) = answer.split_once(' ').unwrap();
                        return Ok(Answer {
                            done: done.parse().unwrap(),
                            outcome: outcome.to_owned(),
                        });
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no answer to `{command}`"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(self.process.wait().unwrap())
    }

    /// As [`Child::try_ask`], for what no fault may kill it in.
    pub(crate) fn ask(&mut self, command: &str) -> Answer {
        self.try_ask(command).unwrap_or_else(|status| {
            panic!(
                "the child did not survive `{command}`: {status} (signal {:?})",
                status.signal()
            )
        })
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

/// Opens the directory here, without any fault: every region that was created is there, every row below the last
/// barrier too, and the store goes on.
pub(crate) fn holds(dir: &Path, created: u64, rows: u64) {
    opened_holds(options(), dir, created, rows);
}

/// As [`holds`], of a store that was opened without a data store of its own.
pub(crate) fn register_holds(dir: &Path, created: u64) {
    opened_holds(with_data(false), dir, created, 0);
}

fn opened_holds(options: torrens::Options, dir: &Path, created: u64, rows: u64) {
    let (engine, report) = options.open(dir).unwrap();
    assert!(report.recovery.verdict.can_open(), "{report}");
    for region in 0..created {
        let found = engine.region(RegionId(FIRST + region));
        assert!(found.is_some(), "region {region} of {created}: {report}");
    }
    if rows > 0 {
        let view = engine.view(RegionId(1), RegionEpoch::BOOTSTRAP).unwrap();
        for row in 0..rows {
            let found = view.get(&key(row)).unwrap();
            assert_eq!(found.as_deref(), Some(&*value(row)), "row {row} of {rows}");
        }
    }
    let made = create(&engine, RegionId(1_000_000));
    assert!(made.is_ok(), "it goes on: {made:?}");
    engine.close().unwrap();
}

/// Every file below the directory, with its bytes; not the lock, which names the process that had it.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_none_or(|name| name != "LOCK") {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn options() -> torrens::Options {
    Engine::options().store(STORE).segment_bytes(256 * 1024)
}

fn with_data(has_data: bool) -> torrens::Options {
    match has_data {
        true => options(),
        false => options().data(Arc::new(MemoryFactory::new(MemoryStore::new()))),
    }
}

fn key(row: u64) -> Vec<u8> {
    format!("row-{row:06}").into_bytes()
}

fn value(row: u64) -> Vec<u8> {
    format!("{row:0>200}").into_bytes()
}

fn create(engine: &Engine, region: RegionId) -> Result<(), EngineError> {
    let answer = engine.create_peer(region, PeerId(1), StoreId(5), RegionEpoch::BOOTSTRAP)?;
    assert!(answer.holds(), "{answer:?}");
    Ok(())
}

/// The child's end.
pub(crate) fn serve() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let mut engine = None;
    let (mut created, mut rows) = (0, 0);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let open = || engine.as_ref().expect("it was opened");
        let (done, outcome) = match words[0] {
            // With a word behind it, without a data store of its own.
            "open" => match with_data(words.get(1).is_none()).open(dir) {
                Ok((opened, report)) => {
                    created = (0..)
                        .take_while(|at| opened.region(RegionId(FIRST + at)).is_some())
                        .count() as u64;
                    let made = match opened.region(RegionId(1)) {
                        None => bootstrap(&opened),
                        Some(_) => Ok(()),
                    };
                    engine = Some(opened);
                    (u64::from(report.created), told(&made))
                }
                Err(error) => (0, format!("{} {}", error.code(), chain(&error))),
            },
            "create" => {
                let before = created;
                let made = (0..number(1)).try_for_each(|_| {
                    create(open(), RegionId(FIRST + created)).map(|()| created += 1)
                });
                (created - before, told(&made))
            }
            "write" => {
                let before = rows;
                let made = (0..number(1)).try_for_each(|_| write(open(), rows).map(|()| rows += 1));
                (rows - before, told(&made))
            }
            "read" => {
                let view = open().view(RegionId(1), RegionEpoch::BOOTSTRAP);
                let read = view.and_then(|view| Ok(view.get(&key(number(1)))?.is_some()));
                match read {
                    Ok(found) => (u64::from(found), "ok".to_owned()),
                    Err(error) => (0, error.code().to_owned()),
                }
            }
            "flush" => (rows, told(&open().flush())),
            "checkpoint" => (0, told(&open().checkpoint())),
            "close" => (0, told(&engine.take().expect("it was opened").close())),
            "forbid" => {
                forbid(words[1], words[2]);
                (0, "ok".to_owned())
            }
            "limit" => (limit(words[1], words[2]), "ok".to_owned()),
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

fn told<T>(result: &Result<T, EngineError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{} {}", error.code(), chain(error)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text.replace('\n', " ")
}

/// Makes region 1, the first of a store.
fn bootstrap(engine: &Engine) -> Result<(), EngineError> {
    let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
    let peers = vec![Peer::voter(PeerId(10), STORE)];
    let range = KeyRange::all();
    let answer = engine.bootstrap(Region {
        id,
        range,
        epoch,
        peers,
    })?;
    assert!(answer.holds(), "{answer:?}");
    Ok(())
}

/// Writes a row into region 1.
fn write(engine: &Engine, row: u64) -> Result<(), EngineError> {
    let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
    let mut batch = WriteBatch::new();
    batch.put(key(row), value(row));
    let position = RaftPosition {
        index: 6 + row,
        term: 6,
    };
    let answer = engine.write(id, epoch, position, &batch)?;
    assert!(matches!(answer, WriteAnswer::Applied { .. }), "{answer:?}");
    Ok(())
}

/// From now on the kernel answers a system call of this process with that error.
fn forbid(call: &str, error: &str) {
    let call = match call {
        "io_uring_setup" => libc::SYS_io_uring_setup,
        "fallocate" => libc::SYS_fallocate,
        "pread64" => libc::SYS_pread64,
        "fdatasync" => libc::SYS_fdatasync,
        other => panic!("no number of {other}"),
    };
    let error = match error {
        "EPERM" => libc::EPERM,
        "ENOSYS" => libc::ENOSYS,
        "EIO" => libc::EIO,
        "EOPNOTSUPP" => libc::EOPNOTSUPP,
        other => panic!("no number of {other}"),
    };
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(error as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter_all_threads(&program).unwrap();
}

/// Sets a limit of this process, `none` for no limit, `+N` for so much more than it has now; gives it.
fn limit(what: &str, how_much: &str) -> u64 {
    let (resource, with_more): (Resource, fn(u64) -> u64) = match what {
        "files" => (Resource::Nofile, files),
        "file-bytes" => (Resource::Fsize, |more| more),
        "memory" => (Resource::As, |more| memory() + more),
        other => panic!("no limit of {other}"),
    };
    let maximum = getrlimit(resource).maximum;
    let current = match (how_much, how_much.strip_prefix('+')) {
        ("none", _) => maximum,
        (_, Some(more)) => Some(with_more(more.parse().unwrap())),
        (exact, None) => exact.parse().ok(),
    };
    setrlimit(resource, Rlimit { current, maximum }).unwrap();
    current.unwrap_or(u64::MAX)
}

/// The limit under which so many more files can be opened. It bounds the numbers, not the count, and whoever started
/// the tests may have left numbers free in between.
fn files(more: u64) -> u64 {
    let listing = std::fs::read_dir("/proc/self/fd").unwrap();
    let open: std::collections::BTreeSet<u64> = listing
        .map(Result::unwrap)
        // The listing itself is open too, and is not any more when the limit counts.
        .filter(|file| !std::fs::read_link(file.path()).is_ok_and(|target| target.ends_with("fd")))
        .filter_map(|file| file.file_name().to_str()?.parse().ok())
        .collect();
    let mut free = (0..).filter(|number| !open.contains(number));
    free.nth(more as usize).unwrap()
}

/// The address space of this process, in bytes.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
