//! Small verbs and options: `truncate`, `lnav-format`, forms of times, the version of the JSON; and progress.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use torrens::inspector::{Inspector, Watch};
use torrens::rebuild::{CrashPoint, crash};
use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, RealDisk};

use super::fixture::{Store, answer, contents, run, torrens};

#[test]
fn truncate_plans_a_cut_behind_a_record_and_changes_nothing() {
    let store = super::damage::closed();
    let before = contents(store.path());
    let cut = run(store.path(), "truncate", &["--after", "6"]);
    assert_eq!(contents(store.path()), before);
    let mut command = torrens(std::path::Path::new("plan"), "repair");
    command.arg(store.path()).args(["--way", "cut-before:7"]);
    let plan = answer(command.output().unwrap());
    assert_eq!(
        (cut.code, &cut.out, &cut.err),
        (plan.code, &plan.out, &plan.err)
    );
    assert!(cut.out.contains('7'), "{}", cut.out);
}

#[test]
fn lnav_is_told_of_keys_that_a_dump_has() {
    let store = Store::with_history().close();
    let answer = answer(
        std::process::Command::new(env!("CARGO_BIN_EXE_torrens"))
            .arg("lnav-format")
            .output()
            .unwrap(),
    );
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let format: Value = serde_json::from_str(&answer.out).unwrap();
    let format = &format["torrens_log"];
    let dump = run(store.path(), "dump", &["-o", "ndjson"]).out;
    let line: Value = serde_json::from_str(dump.lines().next().unwrap()).unwrap();
    let named = format["line-format"].as_array().unwrap().iter();
    let named = named
        .filter_map(|part| part["field"].as_str())
        .filter(|name| !name.starts_with("__"));
    let others = ["timestamp-field", "body-field"].map(|name| format[name].as_str().unwrap());
    for name in named.chain(others) {
        assert!(line.get(name).is_some(), "{name} is in no record");
    }
    for name in line
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "ts")
    {
        assert!(
            format["value"].get(name).is_some(),
            "{name} is not in the format"
        );
    }
}

#[test]
fn times_are_shown_in_the_zone_that_was_asked_for() {
    let store = Store::with_history().close();
    let shown = |form: &str, zone: &str| {
        let mut command = torrens(store.path(), "dump");
        command
            .args(["--times", form, "--limit", "1", "-o", "table"])
            .env("TZ", zone);
        answer(command.output().unwrap()).out
    };
    let local = shown("local", "UTC-2");
    assert!(local.contains("2026-03-14T11:21:07.114+02:00"), "{local}");
    let iso = shown("iso", "UTC-2");
    assert!(iso.contains("2026-03-14T09:21:07.114Z"), "{iso}");
}

#[test]
fn only_the_version_of_the_json_that_there_is_can_be_asked_for() {
    let store = Store::with_history().close();
    let plain = run(store.path(), "dump", &["-o", "ndjson"]);
    let asked = run(
        store.path(),
        "dump",
        &["-o", "ndjson", "--schema-version", "1"],
    );
    assert_eq!((asked.code, asked.out), (0, plain.out));
    let later = run(store.path(), "dump", &["--schema-version", "2"]);
    assert_eq!(later.code, 2, "{}", later.err);
}

/// What a bar is drawn from: bytes that only grow, of one total.
#[test]
fn a_copy_for_a_simulation_tells_how_far_it_is() {
    let mut store = Store::with_segments_of(64 * 1024);
    store.history();
    for region in 0..60 {
        store.message_peer(1_000 + region);
    }
    store.checkpoint();
    let store = store.close();
    let told = Arc::new(Mutex::new(Vec::new()));
    let copying = Arc::clone(&told);
    let inspector = Inspector::open(store.path()).unwrap();
    let last = inspector.survey().unwrap().report.last_lsn;
    let to = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let inspector = inspector.watched(Watch::new(move |done, total| {
        copying.lock().unwrap().push((done, total));
        std::ops::ControlFlow::Continue(())
    }));
    // The looks before the copy are told of too, as looks.
    crash(
        &inspector,
        &disk,
        to.path(),
        CrashPoint {
            lsn: last,
            bytes: None,
        },
    )
    .unwrap();
    let told = told.lock().unwrap();
    let (_, total) = *told.last().unwrap();
    let copy: Vec<u64> = told
        .iter()
        .rev()
        .take_while(|(_, of)| *of == total)
        .map(|(done, _)| *done)
        .collect();
    assert_eq!(copy.first(), Some(&total), "{told:?}");
    assert!(
        copy.is_sorted_by(|later, earlier| later > earlier),
        "{copy:?}"
    );
    assert!(copy.len() > 3, "one for each file at least: {copy:?}");
    assert!(last > Lsn::new(60));
}

#[test]
fn whole_numbers_are_text_for_readers_that_would_round_them() {
    fn numbers(value: &Value) -> usize {
        match value {
            Value::Number(_) => 1,
            Value::Array(values) => values.iter().map(numbers).sum(),
            Value::Object(map) => map.values().map(numbers).sum(),
            _ => 0,
        }
    }
    fn as_text(value: &mut Value) {
        match value {
            Value::Number(number) => *value = number.to_string().into(),
            Value::Array(values) => values.iter_mut().for_each(as_text),
            Value::Object(map) => map.values_mut().for_each(as_text),
            _ => {}
        }
    }
    let store = Store::with_history().close();
    for (verb, args) in [
        ("dump", &["-o", "ndjson"][..]),
        ("dump", &["-o", "ndjson", "--fields", "lsn,epoch"]),
        ("show", &["4", "-o", "json"]),
        ("verify", &["-o", "json"]),
        ("why", &["--region", "1", "-o", "json", "--fields", "links"]),
    ] {
        let plain = run(store.path(), verb, args).out;
        let text = run(store.path(), verb, &[args, &["--u64", "string"]].concat()).out;
        for (plain, text) in plain.lines().zip(text.lines()) {
            let [mut plain, text] =
                [plain, text].map(|line| serde_json::from_str::<Value>(line).unwrap());
            assert!(numbers(&plain) > 0, "{verb}: {plain}");
            as_text(&mut plain);
            assert_eq!(text, plain, "{verb}");
        }
        assert_eq!(plain.lines().count(), text.lines().count(), "{verb}");
    }
}

#[test]
fn a_span_of_time_is_what_its_ends_are() {
    let store = Store::with_history().close();
    let lsns = |args: &[&str]| {
        let answer = run(store.path(), "dump", &[args, &["--fields", "lsn"]].concat());
        assert_eq!(answer.code, 0, "{args:?}: {}", answer.err);
        let lines = answer.out.lines().skip(1);
        lines
            .map(|line| line.parse().unwrap())
            .collect::<Vec<u64>>()
    };
    let (from, to) = ("2026-03-14T09:21:07.116", "2026-03-14T09:21:07.118");
    assert_eq!(lsns(&["--time", &format!("{from}..{to}")]), [3, 4, 5]);
    assert_eq!(
        lsns(&["--time", &format!("{from}..")]),
        [3, 4, 5, 6, 7, 8, 9]
    );
    assert_eq!(lsns(&["--time", &format!("..{from}")]), [1, 2, 3]);
    assert_eq!(lsns(&["--since", from, "--until", to]), [3, 4, 5]);
    for wrong in ["..", "", "09:21", "x..09:21", "09:21..y"] {
        let answer = run(store.path(), "dump", &["--time", wrong]);
        assert_eq!(answer.code, 2, "{wrong:?}: {}", answer.err);
    }
    let two = ["--time", "09:21..", "--since", "09:21"];
    assert_eq!(run(store.path(), "dump", &two).code, 2);
}
