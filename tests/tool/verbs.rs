//! What every command has in common: its exit codes, a closed pipe, Ctrl-C, nothing on the wrong stream.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{Journal, JournalOptions, NewRecord, RecordKind, StoreUuid};

use super::fixture::{Answer, Store, answer};

/// A command line: `DIR` is a store, `NEW` a name that nothing has, `OLD` a directory, `RAW` a raw dump.
struct Line {
    words: &'static str,
    /// How it ends on the known history.
    code: i32,
}

/// Every command, as it is used. Torture and play torment stores of their own, and end as their tests say.
const LINES: [Line; 35] = [
    line("info DIR", 0),
    line("dump DIR", 0),
    line("dump DIR -o ndjson", 0),
    line("dump DIR -o csv", 0),
    line("dump DIR --raw", 0),
    line("tail DIR --count 1", 0),
    line("verify DIR", 0),
    line("show DIR 3", 0),
    line("show DIR 3 -o json", 0),
    line("state DIR", 0),
    line("observers DIR", 0),
    line("diff DIR 3 last", 1),
    line("timeline DIR", 0),
    line("lineage DIR", 0),
    line("owner DIR --key a", 0),
    line("why DIR --region 1", 0),
    line(
        "gate DIR --type append --region 1 --to-peer 10 --epoch 1,2",
        0,
    ),
    line("stats DIR", 0),
    line("explain DIR", 0),
    line("explain epoch-stale", 0),
    line("report DIR -o -", 0),
    line("repair plan DIR", 1),
    line("repair list DIR", 0),
    line("extract DIR -o NEW", 0),
    line("extract DIR --to NEW", 0),
    line("build RAW -o NEW", 0),
    line("simulate DIR --at 3", 0),
    line("simulate DIR --at 3 --byte 90", 3),
    line("bundle DIR -o NEW", 0),
    line("schema", 0),
    line("completions bash", 0),
    line("man", 0),
    line("man dump", 0),
    line("lnav-format", 0),
    line("truncate DIR --after 6", 0),
];

const fn line(words: &'static str, code: i32) -> Line {
    Line { words, code }
}

/// A store, and what the lines name.
struct Stage {
    store: super::fixture::Closed,
    scratch: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let stage = Stage {
            store: super::closed(),
            scratch: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(stage.scratch.path().join("old")).unwrap();
        let raw = answer(stage.command("dump DIR --raw", "").output().unwrap());
        fs::write(stage.scratch.path().join("raw"), raw.out).unwrap();
        stage
    }

    fn command(&self, words: &str, new: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
        for word in words.split(' ') {
            match word {
                "DIR" => command.arg(self.store.path()),
                "NEW" => command.arg(self.scratch.path().join(new)),
                "OLD" => command.arg(self.scratch.path().join("old")),
                "RAW" => command.arg(self.scratch.path().join("raw")),
                word => command.arg(word),
            };
        }
        command.stdin(Stdio::null()).env_remove("TORRENS_DIR");
        command
    }

    fn run(&self, words: &str, new: &str) -> Answer {
        answer(self.command(words, new).output().unwrap())
    }
}

/// Commands that are not in [`LINES`], and why.
const ELSEWHERE: [&str; 5] = ["play", "torture", "serve", "tui", "help"];

#[test]
fn every_command_is_looked_at_here() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
    let help = answer(command.arg("--help").output().unwrap()).out;
    let commands = help.split_once("Commands:").unwrap().1;
    let commands: BTreeSet<&str> = commands
        .lines()
        .take_while(|line| !line.starts_with("Options"))
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    let seen: BTreeSet<&str> = LINES
        .iter()
        .filter_map(|line| line.words.split(' ').next())
        .chain(ELSEWHERE)
        .collect();
    let missing: Vec<_> = commands.difference(&seen).collect();
    assert!(missing.is_empty(), "nobody looks at {missing:?}");
}

#[test]
fn every_command_answers_on_standard_output_with_its_exit_code() {
    let stage = Stage::new();
    for (number, line) in LINES.iter().enumerate() {
        let answer = stage.run(line.words, &format!("new-{number}"));
        assert_eq!(answer.code, line.code, "{}: {}", line.words, answer.err);
        // Repair says in an error that there is nothing to repair.
        let is_quiet = answer.err.is_empty() || line.words.starts_with("repair plan");
        assert!(is_quiet, "{}: {}", line.words, answer.err);
        let is_said = !answer.out.is_empty() || line.words.starts_with("repair");
        assert!(is_said, "{} says nothing", line.words);
    }
}

#[test]
fn a_reader_that_goes_away_ends_every_command_quietly() {
    let stage = Stage::new();
    for (number, line) in LINES.iter().enumerate() {
        let mut command = stage.command(line.words, &format!("new-{number}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let answer = answer(child.wait_with_output().unwrap());
        assert_eq!(answer.code, line.code, "{}: {}", line.words, answer.err);
        let is_quiet = answer.err.is_empty() || line.words.starts_with("repair plan");
        assert!(is_quiet, "{}: {}", line.words, answer.err);
    }
}

#[test]
fn a_full_device_is_told_by_every_command() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let stage = Stage::new();
    for (number, line) in LINES.iter().enumerate() {
        if line.words.starts_with("repair") {
            continue;
        }
        let mut command = stage.command(line.words, &format!("new-{number}"));
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let answer = answer(command.stdout(full).output().unwrap());
        assert_eq!(answer.code, 8, "{}: {}", line.words, answer.err);
        assert!(
            answer.err.contains("error[output]"),
            "{}: {}",
            line.words,
            answer.err
        );
    }
}

/// Exit codes 2, 8, 10 and 11 of the commands that make something, and of those that look.
#[test]
fn what_cannot_be_has_one_exit_code_each() {
    let stage = Stage::new();
    for line in &LINES {
        let wrong = stage.run(&format!("{} --no-such-option", line.words), "new");
        assert_eq!(wrong.code, 2, "{}: {}", line.words, wrong.err);
        if line.words.contains(" DIR") {
            let words = line.words.replace(" DIR", " no/such/place");
            let missing = stage.run(&words, "new");
            assert_eq!(missing.code, 8, "{words}: {}", missing.err);
            assert!(
                missing.err.starts_with("torrens: error[missing]"),
                "{}",
                missing.err
            );
        }
        if line.words.contains(" NEW") {
            let words = line.words.replace(" NEW", " OLD");
            let taken = stage.run(&words, "");
            assert_eq!(taken.code, 10, "{words}: {}", taken.err);
            assert!(
                taken.err.starts_with("torrens: error[exists]"),
                "{}",
                taken.err
            );
        }
        assert!(!stage.scratch.path().join("new").exists(), "{}", line.words);
    }
    fs::write(stage.scratch.path().join("raw"), "nonsense").unwrap();
    assert_eq!(stage.run("build RAW -o NEW", "new").code, 11);
}

/// A journal of many records that no reader knows and every reader may pass over.
fn many_records(dir: &Path) {
    let path = dir.join("journal");
    fs::create_dir(&path).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let options = JournalOptions::new()
        .segment_bytes(1 << 24)
        .idle(Duration::from_secs(60));
    let journal = Journal::create(disk, &path, StoreUuid(*b"many records ..."), options).unwrap();
    let record = NewRecord {
        kind: RecordKind::new(RecordKind::IGNORABLE | 1),
        tag: 0,
        payload: &[7; 100],
    };
    for _ in 0..200 {
        journal.append_all(&[record; 500]).unwrap();
    }
    journal.close().unwrap();
}

fn interrupt(child: &Child) {
    let id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
}

#[test]
fn ctrl_c_ends_a_dump_with_whole_lines() {
    let store = tempfile::tempdir().unwrap();
    many_records(store.path());
    for words in [&["-o", "ndjson"][..], &["--raw"]] {
        let mut command = super::fixture::torrens(store.path(), "dump");
        command
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        // The pipe is full by now, or will be: it cannot end before somebody reads.
        interrupt(&child);
        std::thread::sleep(Duration::from_millis(200));
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        let answer = answer(child.wait_with_output().unwrap());
        assert_eq!((answer.code, answer.err.as_str()), (130, ""), "{words:?}");
        assert!(
            rest.ends_with('\n') && rest.lines().count() < 99_000,
            "{words:?}"
        );
        for line in rest.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}

#[test]
fn ctrl_c_ends_a_build_and_leaves_nothing() {
    let stage = Stage::new();
    let new = stage.scratch.path().join("new");
    let raw = fs::read_to_string(stage.scratch.path().join("raw")).unwrap();
    let mut command = stage.command("build - -o NEW", "new");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(raw.as_bytes()).unwrap();
    let aside = stage.scratch.path().join("new.unfinished");
    while !aside.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(200));
    // It looks at the next line at the latest. It may have ended before.
    let _ = input.write_all(b"\n\n");
    drop(input);
    let answer = answer(child.wait_with_output().unwrap());
    assert_eq!((answer.code, answer.err.as_str()), (130, ""));
    assert!(!new.exists() && !aside.exists());
}

/// Waits until a command catches Ctrl-C, or is gone: before that the system ends it, as it ends any program.
fn until_it_listens(child: &Child) {
    let catches = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_none_or(|mask| mask & 2 != 0)
    };
    let status = format!("/proc/{}/status", child.id());
    while fs::read_to_string(&status).is_ok_and(|status| !catches(&status)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whenever Ctrl-C comes, a command that looks at much ends as interrupted, or it was done before.
#[test]
fn ctrl_c_ends_every_long_look() {
    let store = tempfile::tempdir().unwrap();
    many_records(store.path());
    let scratch = tempfile::tempdir().unwrap();
    let mut interrupted = 0;
    for (number, words) in [
        "info DIR",
        "verify DIR",
        "stats DIR",
        "explain DIR",
        "state DIR",
        "timeline DIR",
        "lineage DIR",
        "show DIR 90000",
        "why DIR --region 1",
        "owner DIR --key a",
        "observers DIR",
        "report DIR -o NEW",
        "extract DIR -o NEW",
        "extract DIR --to NEW",
        "simulate DIR --at 90000",
        "bundle DIR -o NEW",
    ]
    .iter()
    .enumerate()
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
        for word in words.split(' ') {
            match word {
                "DIR" => command.arg(store.path()),
                "NEW" => command.arg(scratch.path().join(number.to_string())),
                word => command.arg(word),
            };
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        until_it_listens(&child);
        std::thread::sleep(Duration::from_millis(30));
        // It may be gone.
        let id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let answer = answer(child.wait_with_output().unwrap());
        assert!(
            [0, 1, 130].contains(&answer.code),
            "{words}: {} {}",
            answer.code,
            answer.err
        );
        if answer.code == 130 {
            assert_eq!(answer.err, "", "{words}");
            interrupted += 1;
        }
    }
    println!("{interrupted} were interrupted");
    let left: Vec<_> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("unfinished"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A command that somebody stopped listening to while it followed.
#[test]
fn a_follower_ends_when_its_reader_goes() {
    let store = Store::with_history();
    let mut command = super::fixture::torrens(store.path(), "tail");
    command
        // Nothing says yet that the last record is durable.
        .args(["-o", "ndjson", "--unsynced"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    drop(out);
    let mut store = store;
    store.late_split();
    let answer = answer(child.wait_with_output().unwrap());
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
}
