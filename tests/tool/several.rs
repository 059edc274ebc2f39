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
    each_says_it_alone("dump", &lines, [&stores[0], &stores[1]]);
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
    let clean = "s4: clean (exit 0)";
    assert!(verdicts[0].starts_with(clean), "{}", verdicts[0]);
    let answer = both("verify", [&stores[0], &stores[1]], &["-o", "json"]);
    let array: Value = serde_json::from_str(&answer.out).unwrap();
    let names: Vec<&Value> = array
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["dir"])
        .collect();
    assert_eq!(names, ["s4", "s5"]);
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
    for (verb, args) in [
        ("dump", &["--raw"][..]),
        ("lineage", &["--format", "dot"]),
        ("lineage", &["--format", "mermaid"]),
        ("lineage", &["--format", "svg"]),
        ("observers", &[]),
        ("gate", &super::GATE),
        ("report", &["-o", "/there/is/nothing/report.html"]),
        ("serve", &["--listen", "127.0.0.1:0"]),
        ("bundle", &["-o", "/there/is/nothing/bundle.tar.gz"]),
    ] {
        let answer = both(verb, [&stores[0], &stores[1]], args);
        assert_eq!(answer.code, 2, "{verb} {args:?}: {}", answer.err);
        let says = "error[one-directory]";
        assert!(answer.err.contains(says), "{verb} {args:?}: {}", answer.err);
        assert_eq!(answer.out, "", "{verb} {args:?}");
    }
}

/// Two stores with the same first nine records; the second has one more.
fn shorter_and_longer() -> [Closed; 2] {
    let mut longer = Store::with_history();
    longer.late_split();
    [Store::with_history().close(), longer.close()]
}

/// The rows of each store are those that it has alone, and its name.
fn each_says_it_alone(verb: &str, rows: &[Value], stores: [&Closed; 2]) {
    for (name, store) in ["s4", "s5"].into_iter().zip(stores) {
        let mut own = rows.to_vec();
        own.retain(|row| row["dir"] == name);
        for row in &mut own {
            row.as_object_mut().unwrap().remove("dir");
        }
        let alone = run(store.path(), verb, &["-o", "ndjson"]);
        assert_eq!(own, lines(&alone.out), "{name}");
    }
}

#[test]
fn a_state_of_two_stores_has_the_peers_of_a_region_side_by_side() {
    let [shorter, longer] = shorter_and_longer();
    let both = |args: &[&str]| both("state", [&shorter, &longer], args);
    let answer = both(&["-o", "table"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    super::golden("state-stores.txt", &answer.out);
    let rows = lines(&both(&["-o", "ndjson"]).out);
    each_says_it_alone("state", &rows, [&shorter, &longer]);
    let regions: Vec<u64> = rows
        .iter()
        .filter_map(|row| row["region"].as_u64())
        .collect();
    assert!(regions.is_sorted(), "{regions:?}");
    // A place that both have in common, and one that only one of them has.
    let answer = both(&["--at", "raft:r102/6/6", "-o", "ndjson"]);
    let at: Vec<Value> = lines(&answer.out)
        .into_iter()
        .filter(|row| row.get("state").is_some())
        .map(|row| row["state"]["lsn"].clone())
        .collect();
    assert_eq!(at, [4, 4]);
    let answer = both(&["--at", "10"]);
    assert_eq!(answer.code, 2, "{}", answer.out);
    assert!(
        answer.out.contains("s5: state after LSN 10"),
        "{}",
        answer.out
    );
    assert!(answer.err.contains("error[beyond-end]"), "{}", answer.err);
}

#[test]
fn statistics_of_two_stores_are_those_of_each() {
    let [shorter, longer] = shorter_and_longer();
    let both = |args: &[&str]| both("stats", [&shorter, &longer], args);
    let rows = lines(&both(&["-o", "ndjson"]).out);
    each_says_it_alone("stats", &rows, [&shorter, &longer]);
    let answer = both(&["-o", "text"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert!(answer.out.starts_with("DIR\tNAME\t"), "{}", answer.out);
    assert!(answer.out.contains("\ns5: 10 groups: "), "{}", answer.out);
}

#[test]
fn questions_are_answered_by_each_store_and_no_only_if_all_say_no() {
    let [shorter, longer] = shorter_and_longer();
    let both = |verb: &str, args: &[&str]| both(verb, [&shorter, &longer], args);
    let answer = both("owner", &["--key", "g", "-o", "ndjson"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let last = |name: &str| {
        let mut rows = lines(&answer.out);
        rows.retain(|row| row["dir"] == name);
        rows.pop().unwrap()["owner"]["region"].clone()
    };
    assert_eq!((last("s4"), last("s5")), (1.into(), 103.into()));
    let nobody = both("owner", &["--key", "g", "--at", "1"]);
    assert_eq!(nobody.code, 1, "{}", nobody.out);

    let answer = both("why", &["--region", "103"]);
    assert_eq!(answer.code, 0, "one has it: {}", answer.err);
    let titles: Vec<&str> = answer
        .out
        .lines()
        .filter(|line| line.starts_with('s'))
        .collect();
    assert!(
        titles[0].starts_with("s4=") && titles[1].starts_with("s5="),
        "{titles:?}"
    );
    assert!(answer.out.contains("r103 was never here"), "{}", answer.out);
    assert!(answer.out.contains("r103 is here"), "{}", answer.out);
    assert_eq!(both("why", &["--region", "999"]).code, 1);
    let array: Value =
        serde_json::from_str(&both("why", &["--region", "103", "-o", "json"]).out).unwrap();
    let regions: Vec<&Value> = array
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["region"])
        .collect();
    assert_eq!(regions, [&Value::Null, &103.into()]);
    assert_eq!(array[1]["dir"], "s5");

    let answer = both("lineage", &["--region", "103", "-o", "ndjson"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let regions: Vec<usize> = lines(&answer.out)
        .iter()
        .map(|one| one["regions"].as_array().unwrap().len())
        .collect();
    assert_eq!(regions, [0, 2], "it and what it was split off");
    assert_eq!(both("lineage", &["--region", "999"]).code, 1);
}

#[test]
fn a_tail_of_two_stores_shows_what_comes_in_each() {
    let [first, second] = [Store::with_history(), Store::with_history()];
    let named = |name: &str, store: &Store| format!("{name}={}", store.path().display());
    let mut command = torrens(Path::new(&named("s4", &first)), "tail");
    command
        .arg(named("s5", &second))
        .args([
            "--last",
            "3",
            "--count",
            "5",
            "--unsynced",
            "--timeout",
            "60",
            "-o",
            "ndjson",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut rows = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut next = || -> (String, u64) {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut rows, &mut line).unwrap();
        let row: Value = serde_json::from_str(&line).unwrap();
        (
            row["dir"].as_str().unwrap().to_owned(),
            row["lsn"].as_u64().unwrap(),
        )
    };
    let of = |dir: &str, lsn| (dir.to_owned(), lsn);
    let there = [next(), next(), next()];
    assert_eq!(
        there,
        [of("s5", 8), of("s4", 9), of("s5", 9)],
        "the last ones by time"
    );
    let (mut first, mut second) = (first, second);
    second.late_split();
    assert_eq!(next(), of("s5", 10));
    first.late_split();
    assert_eq!(next(), of("s4", 10));
    let ended = answer(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    // Nothing comes any more: the time is over.
    let stores = [first.close(), second.close()];
    let answer = both("tail", [&stores[0], &stores[1]], &["--timeout", "0.3"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert_eq!(answer.out.lines().count(), 11, "{}", answer.out);
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
