//! Several stores in one call: merged by time, side by side, one after the other. And a place that two stores
//! have in common.

use std::path::Path;

use serde_json::Value;

use super::fixture::{Answer, Closed, Store, answer, run, torrens};

/// Runs a command on two stores that have names.
fn both(verb: &str, stores: [&Closed; 2], args: &[&str]) -> Answer {
    let named = |name: &str, store: &Closed| format!("{name}={}", store.path().display());
    let mut command = torrens(Path::new(&named("s4", stores[0])), verb);
    command.arg(named("s5", stores[1])).args(args);
    answer(command.output().unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_dump_of_two_stores_is_merged_by_time() {
    let mut longer = Store::with_history();
    longer.late_split();
    let stores = [Store::with_history().close(), longer.close()];
    let answer = both("dump", [&stores[0], &stores[1]], &["-o", "ndjson"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let lines = lines(&answer.out);
    assert_eq!(lines.len(), 19);
    let places: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["ts"].as_str().unwrap(), line["dir"].as_str().unwrap()))
        .collect();
    let mut sorted = places.clone();
    sorted.sort();
    assert_eq!(
        places, sorted,
        "by time, and of one time by the order of the arguments"
    );
    // Each store's own records are whole.
    for (name, store) in ["s4", "s5"].into_iter().zip(&stores) {
        let mut own = lines.clone();
        own.retain(|line| line["dir"] == name);
        for line in &mut own {
            line.as_object_mut().unwrap().remove("dir");
        }
        let alone = run(store.path(), "dump", &["-o", "ndjson"]);
        assert_eq!(own, self::lines(&alone.out), "{name}");
    }
    let answer = both("dump", [&stores[0], &stores[1]], &["--last", "3"]);
    let rows: Vec<&str> = answer.out.lines().collect();
    assert!(rows[0].starts_with("DIR\tLSN\t"), "{}", rows[0]);
    let firsts: Vec<&str> = rows[1..]
        .iter()
        .map(|row| row.split('\t').next().unwrap())
        .collect();
    assert_eq!(firsts, ["s4", "s5", "s5"]);
    let answer = both(
        "dump",
        [&stores[0], &stores[1]],
        &["--limit", "1", "-o", "ndjson"],
    );
    assert_eq!(self::lines(&answer.out).len(), 1);
}

#[test]
fn damage_of_one_store_is_a_line_with_its_name_and_the_exit_code() {
    let stores = [
        super::damage::closed(),
        super::damage::damaged_in_the_middle(),
    ];
    let answer = both("dump", [&stores[0], &stores[1]], &["-o", "ndjson"]);
    assert_eq!(answer.code, 5, "{}", answer.err);
    let gaps: Vec<Value> = lines(&answer.out)
        .into_iter()
        .filter(|line| line.get("gap").is_some())
        .collect();
    assert!(!gaps.is_empty(), "{}", answer.out);
    assert!(gaps.iter().all(|gap| gap["dir"] == "s5"), "{gaps:?}");
    let answer = both("verify", [&stores[0], &stores[1]], &["-q"]);
    assert_eq!(answer.code, 5, "the worst of them: {}", answer.out);
    let verdicts: Vec<&str> = answer.out.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(verdicts.len(), 2, "{}", answer.out);
    assert!(verdicts[0].contains("clean (exit 0)"), "{}", verdicts[0]);
    let answer = both("info", [&stores[0], &stores[1]], &["-o", "ndjson"]);
    assert_eq!(
        (answer.code, lines(&answer.out).len()),
        (0, 2),
        "{}",
        answer.err
    );
    // One that is not there does not hide the other.
    let mut command = torrens(stores[0].path(), "verify");
    command.args(["/there/is/nothing", "-q"]);
    let answer = super::fixture::answer(command.output().unwrap());
    assert_eq!(answer.code, 8);
    assert!(answer.out.contains("clean (exit 0)"), "{}", answer.out);
}

#[test]
fn a_timeline_of_two_stores_puts_the_peers_of_a_region_side_by_side() {
    let mut longer = Store::with_history();
    longer.late_split();
    let stores = [Store::with_history().close(), longer.close()];
    let both = |args: &[&str]| both("timeline", [&stores[0], &stores[1]], args);
    let answer = both(&["-o", "table"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    super::golden("timeline-stores.txt", &answer.out);
    let rows = lines(&both(&["-o", "ndjson"]).out);
    assert!(rows.iter().any(|row| row["dir"] == "s4"));
    assert!(
        rows.iter()
            .any(|row| row["dir"] == "s5" && row["region"] == 103)
    );
    let trace: Value = serde_json::from_str(&both(&["--format", "perfetto"]).out).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let names: Vec<&str> = events
        .iter()
        .filter(|event| event["name"] == "process_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"s4 r1") && names.contains(&"s5 r1"),
        "{names:?}"
    );
    let answer = both(&["--format", "html"]);
    assert_eq!(answer.code, 2);
    assert!(
        answer.err.contains("error[one-directory]"),
        "{}",
        answer.err
    );
}

#[test]
fn what_takes_one_directory_says_so() {
    let stores = [super::damage::closed(), super::damage::closed()];
    let answer = both("dump", [&stores[0], &stores[1]], &["--raw"]);
    assert_eq!(answer.code, 2);
    assert!(
        answer.err.contains("error[one-directory]"),
        "{}",
        answer.err
    );
}

#[test]
fn an_entry_of_the_raft_log_is_a_place_that_two_stores_have_in_common() {
    let mut longer = Store::with_history();
    longer.late_split();
    let longer = longer.close();
    // Record 10 came of entry 6/9 of region 1; 6/6 of two regions led to records.
    let at = |point: &str| run(longer.path(), "state", &["--at", point]);
    assert_eq!(at("raft:6/9").out, at("10").out);
    assert_eq!(at("raft:r102/6/6").out, at("4").out);
    assert_eq!(at("raft:1/6/6").out, at("3").out);
    let answer = at("raft:6/6");
    assert_eq!(answer.code, 2);
    assert!(
        answer
            .err
            .contains("several regions have such an entry (r1, r102)"),
        "{}",
        answer.err
    );
    let answer = at("raft:9/9");
    assert_eq!(answer.code, 2);
    assert!(
        answer.err.contains("error[no-such-point]"),
        "{}",
        answer.err
    );
    let shorter = Store::with_history().close();
    let with = shorter.path().to_str().unwrap();
    let same = run(
        longer.path(),
        "diff",
        &["--with", with, "--at", "raft:r102/6/6"],
    );
    assert_eq!(same.code, 0, "{}{}", same.out, same.err);
}
