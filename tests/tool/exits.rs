//! Exit codes: one meaning each, and a test each. The guide's table has exactly the codes that are tested here.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use torrens_journal::disk::{Disk, RealDisk};

use super::fixture::{Answer, answer, run};
use super::market::{Stores, root};
use super::{impossible, newer};

/// The codes of the guide, each with the name of its test below.
const CODES: [(i32, &str); 13] = [
    (0, "exit_0_is_done_or_clean"),
    (1, "exit_1_is_the_answer_no"),
    (2, "exit_2_is_a_request_that_makes_no_sense"),
    (3, "exit_3_is_a_torn_tail"),
    (4, "exit_4_is_a_lost_end"),
    (5, "exit_5_is_a_loss_with_records_behind_it"),
    (6, "exit_6_is_an_impossible_sequence"),
    (7, "exit_7_is_a_newer_format"),
    (8, "exit_8_is_what_cannot_be_read_or_written"),
    (9, "exit_9_is_a_store_that_is_open"),
    (10, "exit_10_is_a_state_that_does_not_fit"),
    (11, "exit_11_is_a_file_that_is_not_what_it_must_be"),
    (130, "exit_130_is_ctrl_c_behind_whole_lines"),
];

#[test]
fn every_exit_code_of_the_guide_has_its_test() {
    let guide = fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let code = |line: &str| line.strip_prefix("| ")?.split_once(" | ")?.0.parse().ok();
    let told: BTreeSet<i32> = guide.lines().filter_map(code).collect();
    assert_eq!(told, CODES.iter().map(|(code, _)| *code).collect());
    let here = fs::read_to_string(root().join("tests/tool/exits.rs")).unwrap();
    for (_, name) in CODES {
        assert!(here.contains(&format!("#[test]\nfn {name}()")), "{name}");
    }
}

/// Runs each line, and expects its code; on standard error the codes of answers say nothing, and those of failures
/// one error with a code of its own.
fn all_end_with(code: i32, says_errors: bool, lines: &[&str]) {
    let stores = Stores::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = stores.run(&words);
        ended(&answer, code, says_errors, line);
    }
}

fn ended(answer: &Answer, code: i32, says_errors: bool, line: &str) {
    assert_eq!(answer.code, code, "{line}: {}{}", answer.out, answer.err);
    assert_eq!(
        answer.err.is_empty(),
        !says_errors,
        "{line}: {}",
        answer.err
    );
    // The parser of arguments has a form of its own.
    let is_parser = code == 2 && answer.err.starts_with("error: ");
    if says_errors && !is_parser {
        assert!(
            answer.err.starts_with("torrens: error["),
            "{line}: {}",
            answer.err
        );
        assert_eq!(
            answer.err.matches("error[").count(),
            1,
            "{line}: {}",
            answer.err
        );
    }
}

#[test]
fn exit_0_is_done_or_clean() {
    all_end_with(
        0,
        false,
        &[
            "dump market",
            "dump market-crashed",
            "dump market --region 999",
            "diff market 8 8",
            "owner market --key apple",
            "why market --region 3",
            "gate market --type append --region r1 --to-peer p10 --epoch c1.v4",
            "explain torn-tail",
            "explain --codes",
            "explain market",
            "verify market",
            "tail market --until-kind cache.active --timeout 60",
        ],
    );
}

#[test]
fn exit_1_is_the_answer_no() {
    all_end_with(
        1,
        false,
        &[
            "dump market --region 999 --exit-code",
            "diff market 8 9",
            "owner market --key zebra",
            "why market --region 999",
            "gate market --type vote --region 3 --to-peer 30 --epoch 3,3",
            "tail market --timeout 0.1",
            "extract market-damaged --to salvaged",
        ],
    );
    all_end_with(1, true, &["repair plan market"]);
}

#[test]
fn exit_2_is_a_request_that_makes_no_sense() {
    all_end_with(
        2,
        true,
        &[
            "gate market --region 3",
            "gate market --msg {}",
            "gate market --msg nonsense",
            "state market --at 999",
            "state market --at boot:99",
            "state market --at nonsense",
            "show market 999",
            "dump market --where lsn==",
            "dump market --grep (",
            "dump market --no-such-option",
            "explain no-such-code",
            "report market -o market/report.html",
        ],
    );
}

#[test]
fn exit_3_is_a_torn_tail() {
    // An unfinished write is nothing to be told of on standard error.
    all_end_with(
        3,
        false,
        &[
            "verify market-crashed",
            "explain market-crashed",
            "dump market-crashed --strict",
        ],
    );
}

#[test]
fn exit_4_is_a_lost_end() {
    all_end_with(4, false, &["verify market-lost", "explain market-lost"]);
    all_end_with(4, true, &["dump market-lost", "state market-lost"]);
}

#[test]
fn exit_5_is_a_loss_with_records_behind_it() {
    all_end_with(
        5,
        false,
        &["verify market-damaged", "explain market-damaged"],
    );
    all_end_with(5, true, &["dump market-damaged", "state market-damaged"]);
}

#[test]
fn exit_6_is_an_impossible_sequence() {
    let store = impossible();
    for (verb, says_errors) in [("verify", false), ("explain", false), ("state", true)] {
        ended(&run(store.path(), verb, &[]), 6, says_errors, verb);
    }
}

#[test]
fn exit_7_is_a_newer_format() {
    let store = newer();
    for (verb, says_errors) in [("verify", false), ("explain", false), ("dump", true)] {
        ended(&run(store.path(), verb, &[]), 7, says_errors, verb);
    }
}

#[test]
fn exit_8_is_what_cannot_be_read_or_written() {
    all_end_with(
        8,
        true,
        &[
            "info empty",
            "verify photos",
            "explain no/such/place",
            "dump photos/holiday.jpg",
            "extract market -o no/such/place/file",
            "build no-such-file -o new",
        ],
    );
    let stores = Stores::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = stores.command(&["dump", "market"]);
    ended(
        &answer(command.stdout(full).output().unwrap()),
        8,
        true,
        "> /dev/full",
    );
}

#[test]
fn exit_9_is_a_store_that_is_open() {
    let stores = Stores::new();
    let held = |name: &str| {
        RealDisk::new()
            .lock(&stores.path(name).join("LOCK"))
            .unwrap()
    };
    let plan = stores.run(&["repair", "plan", "market-damaged", "--save", "plan"]);
    assert_eq!(plan.code, 0, "{}", plan.err);
    let _held = (held("market"), held("market-damaged"));
    for line in [
        "repair plan market-damaged",
        "repair apply market-damaged plan",
        "repair undo market-damaged 1",
        "repair purge market-damaged 1",
        "dump market --raw",
        "simulate market --at 29",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        ended(&stores.run(&words), 9, true, line);
    }
}

#[test]
fn exit_10_is_a_state_that_does_not_fit() {
    let stores = Stores::new();
    let plan = stores.run(&["repair", "plan", "market-damaged", "--save", "plan"]);
    assert_eq!(plan.code, 0, "{}", plan.err);
    for line in [
        // A plan for another store; a repair that is none; names that are taken.
        "repair apply market-lost plan",
        "repair undo market 1",
        "extract market --to empty",
        "extract market -o plan",
        "bundle market -o plan",
        "simulate market --at 29 --to empty",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        ended(&stores.run(&words), 10, true, line);
    }
}

#[test]
fn exit_11_is_a_file_that_is_not_what_it_must_be() {
    let stores = Stores::new();
    fs::write(stores.path("nonsense"), "nonsense").unwrap();
    for line in [
        "build nonsense -o new",
        "repair apply market-damaged nonsense",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        ended(&stores.run(&words), 11, true, line);
        assert!(!Path::new(&stores.path("new")).exists());
    }
}

#[test]
fn exit_130_is_ctrl_c_behind_whole_lines() {
    let stores = Stores::new();
    let mut child = stores
        .command(&["tail", "market", "-o", "text"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    // The last lines are out before it begins to wait.
    std::thread::sleep(Duration::from_millis(300));
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = answer(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (130, ""));
    assert_eq!(
        ended.out.lines().count(),
        11,
        "the header and ten records: {}",
        ended.out
    );
}
