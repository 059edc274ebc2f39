//! The tool's reading commands, run as a person runs them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a helper cannot do fails the test that called it"
)]

#[path = "tool/browser.rs"]
mod browser;
#[path = "tool/browsing.rs"]
mod browsing;
#[path = "tool/bundle.rs"]
mod bundle;
#[path = "tool/catalogue.rs"]
mod catalogue;
#[path = "tool/checkpoints.rs"]
mod checkpoints;
#[path = "tool/crashes.rs"]
mod crashes;
#[path = "tool/damage.rs"]
mod damage;
#[path = "tool/decoder.rs"]
mod decoder;
#[path = "tool/exits.rs"]
mod exits;
#[path = "tool/findings.rs"]
mod findings;
#[path = "tool/fixture.rs"]
mod fixture;
#[path = "tool/forms.rs"]
mod forms;
#[path = "tool/live.rs"]
mod live;
#[path = "tool/market.rs"]
mod market;
#[path = "tool/mutations.rs"]
mod mutations;
#[path = "tool/observers.rs"]
mod observers;
#[path = "tool/operations.rs"]
mod operations;
#[path = "tool/pager.rs"]
mod pager;
#[path = "tool/prometheus.rs"]
mod prometheus;
#[path = "tool/questions.rs"]
mod questions;
#[path = "tool/rebuild.rs"]
mod rebuild;
#[path = "tool/repairs.rs"]
mod repairs;
#[path = "tool/report.rs"]
mod report;
#[path = "tool/salvage.rs"]
mod salvage;
#[path = "tool/schema.rs"]
mod schema;
#[path = "tool/security.rs"]
mod security;
#[path = "tool/serve.rs"]
mod serve;
#[path = "tool/several.rs"]
mod several;
#[path = "tool/small.rs"]
mod small;
#[path = "tool/sources.rs"]
mod sources;
#[path = "tool/verbs.rs"]
mod verbs;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use damage::{
    FIRST_GROUP, PAGE, add_impossible_record, closed, damaged_in_the_middle, end_of_journal,
    impossible, last_group_gone, newer, torn,
};
use fixture::{Store, answer, contents, run, torrens};
use serde_json::Value;
use torrens::lifecycle::{Cause, Event};
use torrens::{PeerId, RegionEpoch, RegionId, StoreId};

/// A message that the known history answers.
const GATE: [&str; 8] = [
    "--type",
    "append",
    "--region",
    "1",
    "--to-peer",
    "10",
    "--epoch",
    "1,2",
];

/// Every reading command, with arguments that it answers on the known history.
const LOOKS: [(&str, &[&str]); 16] = [
    ("info", &[]),
    ("dump", &[]),
    ("verify", &[]),
    ("state", &[]),
    ("observers", &[]),
    ("explain", &[]),
    ("stats", &[]),
    ("timeline", &[]),
    ("timeline", &["--format", "perfetto"]),
    ("lineage", &[]),
    ("lineage", &["--format", "svg"]),
    ("owner", &["--key", "a"]),
    ("why", &["--region", "1"]),
    ("gate", &GATE),
    ("tail", &["--count", "1"]),
    ("dump", &["--key", "a", "-o", "ndjson"]),
];

#[test]
fn verify_answers_each_kind_of_directory_with_its_own_exit_code() {
    let empty = tempfile::tempdir().unwrap();
    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("holiday.jpg"), b"beach").unwrap();
    let file = foreign.path().join("holiday.jpg");
    let missing = foreign.path().join("nothing");
    // What is in the place of a file and is none cannot be read.
    let refused = closed();
    let mark = refused.path().join("journal/journal.mark");
    fs::remove_file(&mark).unwrap();
    fs::create_dir(&mark).unwrap();
    // A link is not followed, so what it leads to is not there.
    let linked = closed();
    fs::rename(linked.segment(1), linked.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(linked.path().join("elsewhere"), linked.segment(1)).unwrap();

    for (code, name, store) in [
        (0, "clean", closed()),
        (3, "torn-tail", torn()),
        (4, "corrupt-acked-loss", last_group_gone()),
        (5, "corrupt-mid-log", damaged_in_the_middle()),
        (6, "impossible-sequence", impossible()),
        (7, "newer-format", newer()),
        (8, "unreadable", refused),
        (4, "corrupt-acked-loss", linked),
    ] {
        let answer = run(store.path(), "verify", &["-q"]);
        assert_eq!(answer.code, code, "{name}: {}{}", answer.out, answer.err);
        assert_eq!(answer.out.lines().count(), 1, "{}", answer.out);
        assert!(
            answer.out.contains(&format!("{name} (exit {code})")),
            "{}",
            answer.out
        );
        let json = run(store.path(), "verify", &["-o", "json"]);
        let json: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(json["verdict"]["name"], name);
        assert_eq!(json["verdict"]["exit"], code);
    }
    for (code, dir) in [
        ("missing", missing.as_path()),
        ("no-segment", &file),
        ("empty", empty.path()),
        ("not-a-store", foreign.path()),
    ] {
        for (verb, args) in LOOKS {
            let answer = run(dir, verb, args);
            assert_eq!(answer.code, 8, "{verb}: {}", answer.err);
            assert_eq!(answer.out, "", "{verb}");
            let begin = format!("torrens: error[{code}]: ");
            assert!(answer.err.starts_with(&begin), "{verb}: {}", answer.err);
            assert!(answer.err.contains("\nhint: "), "{verb}: {}", answer.err);
        }
    }
}

#[test]
fn no_command_changes_anything() {
    for store in [
        closed(),
        torn(),
        damaged_in_the_middle(),
        last_group_gone(),
        newer(),
    ] {
        let before = contents(store.path());
        for (verb, args) in LOOKS {
            run(store.path(), verb, args);
        }
        run(store.path(), "state", &["--at", "4"]);
        run(store.path(), "show", &["4"]);
        run(store.path(), "diff", &["1", "4"]);
        assert_eq!(contents(store.path()), before);
    }
}

#[test]
fn a_dump_of_a_torn_journal_is_whole_and_shows_the_tear_as_a_line() {
    let store = torn();
    let answer = run(store.path(), "dump", &["-o", "ndjson"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let lines: Vec<Value> = answer
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let lsns: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["lsn"].as_u64())
        .collect();
    assert_eq!(lsns, (1..=9).collect::<Vec<_>>());
    assert_eq!(lines[9]["gap"]["expected_lsn"], 10);
    assert!(
        lines
            .iter()
            .take(9)
            .all(|line| line["v"] == 1 && line["durable"] == true)
    );
}

#[test]
fn a_dump_goes_on_behind_damage_and_says_so() {
    let store = damaged_in_the_middle();
    let answer = run(store.path(), "dump", &["-o", "ndjson"]);
    assert_eq!(answer.code, 5);
    assert!(
        answer.err.starts_with("torrens: error[corrupt-mid-log]: "),
        "{}",
        answer.err
    );
    let lines: Vec<Value> = answer
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let gap = lines
        .iter()
        .position(|line| !line["gap"].is_null())
        .unwrap();
    assert!(lines[..gap].iter().all(|line| line["behind_gap"].is_null()));
    assert!(
        lines[gap + 1..]
            .iter()
            .all(|line| line["behind_gap"] == true)
    );
    assert_eq!(lines.last().unwrap()["lsn"], 9);
}

#[test]
fn filters_choose_records_by_position_region_and_kind() {
    let store = closed();
    let lsns = |args: &[&str]| -> Vec<u64> {
        let answer = run(store.path(), "dump", &[&["-o", "ndjson"], args].concat());
        assert_eq!(answer.code, 0, "{}", answer.err);
        let lines = answer
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["lsn"].as_u64().unwrap()).collect()
    };
    assert_eq!(lsns(&["--lsn", "3..5"]), [3, 4, 5]);
    assert_eq!(lsns(&["--lsn", "8.."]), [8, 9]);
    assert_eq!(lsns(&["--lsn", "..2"]), [1, 2]);
    assert_eq!(lsns(&["--lsn", "7"]), [7]);
    assert_eq!(lsns(&["--lsn", "100.."]), [] as [u64; 0]);
    // The split of region 1 is the first record that concerns its child.
    assert_eq!(lsns(&["--region", "102"]), [3, 4, 9]);
    assert_eq!(lsns(&["--region", "7,102"]), [3, 4, 8, 9]);
    assert_eq!(lsns(&["--kind", "cache.*"]), [5, 6, 7]);
    assert_eq!(lsns(&["--kind", "peer.*,region.split"]), [3, 8, 9]);
    assert_eq!(lsns(&["--last", "2"]), [8, 9]);
    assert_eq!(lsns(&["--limit", "2"]), [1, 2]);
    assert_eq!(lsns(&["--region", "1", "--last", "1"]), [7]);
    let torn = torn();
    let last = run(torn.path(), "dump", &["-o", "ndjson", "--last", "2"]);
    assert_eq!(
        last.out.lines().count(),
        3,
        "two records and the tear: {}",
        last.out
    );
    for wrong in [
        ["--lsn", "9..1"],
        ["--lsn", "x"],
        ["--region", "x1"],
        ["--kind", ""],
    ] {
        let answer = run(store.path(), "dump", &wrong);
        assert_eq!(answer.code, 2, "{wrong:?}: {}", answer.err);
    }
}

#[test]
fn state_at_a_position_is_what_it_was_then() {
    let store = closed();
    let regions = |at: &str| -> Vec<(u64, String)> {
        let answer = run(store.path(), "state", &["-o", "ndjson", "--at", at]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        let lines = answer
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter_map(|line| {
                let stage = line["stage"].as_str()?.to_owned();
                Some((line["region"].as_u64()?, stage))
            })
            .collect()
    };
    let named = |list: &[(u64, &str)]| -> Vec<(u64, String)> {
        list.iter()
            .map(|(id, stage)| (*id, (*stage).to_owned()))
            .collect()
    };
    assert_eq!(regions("0"), named(&[]));
    assert_eq!(regions("2"), named(&[(1, "normal")]));
    assert_eq!(regions("3"), named(&[(1, "normal"), (102, "normal")]));
    assert_eq!(
        regions("8"),
        named(&[(1, "normal"), (7, "uninitialized"), (102, "normal")])
    );
    assert_eq!(regions("9"), named(&[(1, "normal"), (7, "uninitialized")]));
    let beyond = run(store.path(), "state", &["--at", "10"]);
    assert_eq!(beyond.code, 2);
    assert!(
        beyond.err.starts_with("torrens: error[beyond-end]: "),
        "{}",
        beyond.err
    );
    // What comes behind a position does not matter for it.
    let damaged = damaged_in_the_middle();
    assert_eq!(run(damaged.path(), "state", &["--at", "3"]).code, 0);
    assert_eq!(run(damaged.path(), "state", &["--at", "8"]).code, 5);
    assert_eq!(run(damaged.path(), "state", &[]).code, 5);
}

#[test]
fn a_reader_that_goes_away_ends_a_dump_quietly() {
    let mut store = Store::new();
    store.history();
    for number in 0..3_000 {
        let region = RegionId(1_000 + number);
        let message_epoch = RegionEpoch {
            conf_ver: 3,
            version: 9,
        };
        let (peer, from_store) = (PeerId(5_000 + number), StoreId(5));
        let event = Event::CreateByMessage {
            region,
            peer,
            from_store,
            message_epoch,
        };
        store.append(event, Cause::Message { from_store });
    }
    store.journal.sync().unwrap();
    let store = store.close();
    for output in ["ndjson", "text", "table"] {
        let mut command = torrens(store.path(), "dump");
        command
            .args(["-o", output])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(!first.is_empty());
        let ended = answer(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{output}");
    }
    let whole = run(store.path(), "dump", &["-o", "ndjson"]);
    assert_eq!(whole.out.lines().count(), 3_009);
}

#[test]
fn a_full_device_is_reported() {
    let store = closed();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = torrens(store.path(), "dump").stdout(full).output().unwrap();
    let answer = answer(output);
    assert_eq!(answer.code, 8);
    assert!(
        answer.err.starts_with("torrens: error[output]: "),
        "{}",
        answer.err
    );
}

/// Seed for the damage below; every failure names the step.
const SEED: u64 = 0x7069_6e67;

#[test]
fn whatever_the_bytes_are_the_answer_is_a_verdict() {
    let store = closed();
    let sound = fs::read(store.segment(1)).unwrap();
    let used = end_of_journal(store.path()) + PAGE;
    let mut random = SEED;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for step in 0..120 {
        let mut bytes = sound.clone();
        match step % 4 {
            0 => bytes[(next() % used) as usize] ^= 1 << (next() % 8),
            1 => {
                let page = (next() % (used / PAGE) * PAGE) as usize;
                bytes[page..page + PAGE as usize].fill((next() & 255) as u8);
            }
            2 => bytes.truncate((next() % used) as usize),
            _ => {
                let (from, to) = (next() % (used / PAGE) * PAGE, next() % (used / PAGE) * PAGE);
                bytes.copy_within(from as usize..(from + PAGE) as usize, to as usize);
            }
        }
        fs::write(store.segment(1), &bytes).unwrap();
        let (verb, args) = LOOKS[(next() % LOOKS.len() as u64) as usize];
        let answer = run(store.path(), verb, args);
        let known = [0, 1, 2, 3, 4, 5, 6, 7, 8].contains(&answer.code);
        assert!(
            known,
            "seed {SEED:#x}, step {step}: {verb} ended with {}",
            answer.code
        );
    }
}

/// Compares with a file; `TORRENS_REWRITE=1` writes it instead.
fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/tool")
        .join(name);
    if std::env::var_os("TORRENS_REWRITE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert!(expected == found, "{name} differs; found:\n{found}");
}

#[test]
fn screens_look_as_agreed() {
    let store = Store::with_history();
    store.checkpoint();
    let store = store.close();
    let dir = store.path().display().to_string();
    for (name, verb, args) in [
        ("info.txt", "info", &[][..]),
        ("info.json", "info", &["-o", "json"]),
        ("dump-table.txt", "dump", &["-o", "table"]),
        ("dump.tsv", "dump", &["-o", "text"]),
        ("dump.ndjson", "dump", &["-o", "ndjson"]),
        ("verify.txt", "verify", &[]),
        ("verify.json", "verify", &["-o", "json"]),
        ("state-table.txt", "state", &["-o", "table"]),
        ("state.tsv", "state", &["-o", "text"]),
        ("state.ndjson", "state", &["-o", "ndjson"]),
    ] {
        let answer = run(store.path(), verb, args);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{name}");
        golden(name, &normal(&answer.out, &dir));
    }
    for (name, store) in [
        ("verify-torn.txt", torn()),
        ("verify-mid-log.txt", damaged_in_the_middle()),
        ("verify-acked-loss.txt", last_group_gone()),
        ("verify-impossible.txt", impossible()),
    ] {
        let answer = run(store.path(), "verify", &[]);
        golden(
            name,
            &normal(&answer.out, &store.path().display().to_string()),
        );
    }
}

#[test]
fn a_table_is_never_wider_than_the_terminal() {
    let store = closed();
    for width in [20, 47, 80, 300] {
        for verb in ["dump", "state"] {
            let mut command = torrens(store.path(), verb);
            command
                .args(["-o", "table"])
                .env("COLUMNS", width.to_string());
            let answer = answer(command.output().unwrap());
            let widest = answer.out.lines().map(|line| line.chars().count()).max();
            assert!(
                widest.unwrap() <= width,
                "{verb} at {width}:\n{}",
                answer.out
            );
            let cut = answer.out.contains('…') && answer.out.lines().any(|l| l.ends_with('…'));
            // Down to 47 columns the state leaves out columns instead of cutting one.
            let is_narrow = width < 47 || (verb == "dump" && width < 100);
            assert_eq!(cut, is_narrow, "{verb} at {width}:\n{}", answer.out);
        }
    }
}

/// Takes out what differs from run to run: the directory, ages and checksums.
fn normal(text: &str, dir: &str) -> String {
    let text = text.replace(dir, "DIR");
    let words = text
        .split_inclusive([' ', '\n', ',', ';', '"'])
        .map(|word| {
            let bare = word.trim_end_matches([' ', '\n', ',', ';', '"']);
            if bare.len() == 10 && bare.starts_with("0x") {
                word.replace(bare, "0x########")
            } else {
                word.to_owned()
            }
        });
    let text: String = words.collect();
    let lines = text.lines().map(|line| match line.split_once(" ago, ") {
        Some((before, after)) => {
            let before = before
                .rsplit_once(", ")
                .map_or(before, |(before, _)| before);
            format!("{before}, AGE ago, {after}")
        }
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
