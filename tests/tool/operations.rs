//! The operator's guide: every screen in docs/OPERATIONS.md is what the tool prints on the committed store,
//! or on a copy of it that was damaged here. `TORRENS_REWRITE=1` writes the screens into the guide.
//!
//! And what the guide says about exit codes, pipes, colours and keys.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use torrens::inspector::Inspector;
use torrens_journal::{Lsn, SegmentId};
use torrens_recovery::Item;

use super::fixture::{Answer, answer};

/// Columns of the screens in the guide.
const COLUMNS: &str = "100";

/// The stores of the guide, side by side in one folder.
struct Stores(TempDir);

impl Stores {
    fn new() -> Stores {
        let stores = Stores(tempfile::tempdir().unwrap());
        for name in ["market", "market-crashed", "market-damaged", "market-lost"] {
            copy(&committed(), &stores.path(name));
        }
        let (end, last_group) = stores.end("market");
        stores.write(
            "market-crashed",
            end.0,
            end.1,
            b"half of a group that was never finished",
        );
        stores.write("market-lost", last_group.0, last_group.1, &[0; 4096]);
        // One bit of the last split.
        let (segment, offset) = stores.find("market", "region.split");
        let byte = stores.read("market-damaged", segment, offset + 60);
        stores.write("market-damaged", segment, offset + 60, &[byte ^ 0x04]);
        fs::create_dir(stores.path("empty")).unwrap();
        fs::create_dir(stores.path("photos")).unwrap();
        fs::write(stores.path("photos").join("holiday.jpg"), b"beach").unwrap();
        stores
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where the journal ends, and where its last group begins.
    fn end(&self, name: &str) -> ((SegmentId, u64), (SegmentId, u64)) {
        let picture = Inspector::open(self.path(name))
            .unwrap()
            .look(None)
            .unwrap();
        let last = picture.evidence.segments.last().unwrap();
        let group = picture
            .evidence
            .last_groups
            .iter()
            .rfind(|group| group.records > 0)
            .unwrap();
        (
            (last.id, last.end_offset_bytes),
            (last.id, group.offset_bytes),
        )
    }

    /// The last record of a kind.
    fn find(&self, name: &str, kind: &str) -> (SegmentId, u64) {
        let mut found = None;
        Inspector::open(self.path(name))
            .unwrap()
            .records(Lsn::FIRST, &mut |item| {
                if let Item::Record(item) = item {
                    let record = &item.record;
                    let said =
                        torrens::inspector::describe(record.lsn, record.kind, record.payload);
                    if said.kind == kind {
                        found = Some((item.segment, record.offset_bytes));
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        found.unwrap()
    }

    fn segment(&self, name: &str, segment: SegmentId) -> PathBuf {
        self.path(name).join("journal").join(segment.file_name())
    }

    fn read(&self, name: &str, segment: SegmentId, offset: u64) -> u8 {
        fs::read(self.segment(name, segment)).unwrap()[offset as usize]
    }

    fn write(&self, name: &str, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.segment(name, segment));
        file.unwrap().write_all_at(bytes, offset).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("COLUMNS", COLUMNS)
            .env_remove("TORRENS_DIR")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        answer(self.command(args).output().unwrap())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn committed() -> PathBuf {
    root().join("tests/golden/stores/market")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}

/// Words of a command line; quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = None;
    for letter in line.chars() {
        match (quoted, letter) {
            (Some(quote), letter) if letter == quote => quoted = None,
            (None, '\'' | '"') => quoted = Some(letter),
            (None, ' ') => words.push(String::new()),
            (_, letter) => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// What the guide shows for a command: its output, its errors, its exit code.
fn screen(stores: &Stores, line: &str) -> String {
    let words = words(line);
    assert_eq!(words[0], "torrens", "{line}");
    let mut args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let has_form = args
        .iter()
        .any(|arg| ["-o", "--output", "--format", "-q"].contains(arg));
    // What makes something has no form; what it says is for a person.
    let makes = ["extract", "build", "bundle"].contains(&args[0]);
    if !has_form && !makes {
        args.extend(["-o", "table"]);
    }
    let answer = stores.run(&args);
    let mut shown = format!("$ {line}\n{}{}", answer.out, answer.err);
    if answer.code != 0 {
        shown.push_str(&format!("# exit {}\n", answer.code));
    }
    ageless(&shown)
}

/// Ages grow; in the guide everything was an hour ago.
fn ageless(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some(at) = line.find(" ago") {
            let before: Vec<&str> = line[..at].split(", ").collect();
            let kept = before[..before.len() - 1].join(", ");
            line = format!("{kept}, 1 h{}", &line[at..]);
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

#[test]
fn every_screen_of_the_guide_is_what_the_tool_prints() {
    let stores = Stores::new();
    let path = root().join("docs/OPERATIONS.md");
    let guide = fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let mut screens = 0;
    let mut different = Vec::new();
    let mut rest = guide.as_str();
    while let Some((before, after)) = rest.split_once("```console\n") {
        let (block, behind) = after.split_once("```").unwrap();
        // The row of a table is one line, however long.
        let prose = before.lines().filter(|line| !line.starts_with('|'));
        let widest = prose.map(|line| line.chars().count()).max();
        assert!(
            widest.unwrap_or(0) <= 120,
            "a line before this is too wide: {block}"
        );
        written.push_str(before);
        written.push_str("```console\n");
        // A block is one command with what it prints, or several.
        let commands: Vec<&str> = block
            .lines()
            .filter_map(|line| line.strip_prefix("$ "))
            .collect();
        let shown: String = commands.iter().map(|line| screen(&stores, line)).collect();
        screens += commands.len();
        if shown != block {
            different.push(format!(
                "--- the guide has\n{block}--- the tool prints\n{shown}"
            ));
        }
        written.push_str(&shown);
        written.push_str("```");
        rest = behind;
    }
    written.push_str(rest);
    assert!(
        screens > 15,
        "the guide has {screens} screens: this test is out of date"
    );
    if std::env::var_os("TORRENS_REWRITE").is_some() {
        fs::write(&path, written).unwrap();
        return;
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn the_committed_store_is_what_its_scenario_makes() {
    let text = fs::read_to_string(root().join("tests/golden/stores/market.scenario")).unwrap();
    let scenario = torrens::play::parse(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = torrens::play::PlayOptions {
        place: torrens::play::Place::Directory(dir.path().to_owned()),
        seed: 1,
        trace: false,
        trace_operations: false,
    };
    let played = torrens::play::play(&scenario, &options, &mut |_| {});
    assert!(
        played.differences.is_empty(),
        "{:?}",
        played.differences.first().map(|one| one.line)
    );
    let kinds = |dir: &Path| -> Vec<String> {
        let mut kinds = Vec::new();
        Inspector::open(dir)
            .unwrap()
            .records(Lsn::FIRST, &mut |item| {
                if let Item::Record(item) = item {
                    let record = &item.record;
                    let said =
                        torrens::inspector::describe(record.lsn, record.kind, record.payload);
                    // When there is a barrier is the engine's affair, and not part of the story.
                    if said.kind != "store.barrier" {
                        kinds.push(said.kind.to_string());
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        kinds
    };
    assert_eq!(kinds(&dir.path().join("s1")), kinds(&committed()));
}

/// The known answers of every form on the committed store.
#[test]
fn every_form_of_every_command_looks_as_agreed() {
    let stores = Stores::new();
    for (name, line) in [
        ("tail.txt", "torrens tail market --count 3 --last 3"),
        ("show.txt", "torrens show market 6"),
        ("show.json", "torrens show market 6 -o json"),
        ("dump.csv", "torrens dump market --kind region.* -o csv"),
        (
            "dump-fields.tsv",
            "torrens dump market -o text --fields lsn,kind,data.boundaries,cause.index --where 'region == 1'",
        ),
        ("dump-array.json", "torrens dump market --lsn 1..2 -o json"),
        ("dump-reverse.txt", "torrens dump market --reverse --last 4"),
        ("diff.ndjson", "torrens diff market 8 9 -o ndjson"),
        ("diff.txt", "torrens diff market ckpt:last last"),
        (
            "diff-stores.txt",
            "torrens diff market --with market-crashed",
        ),
        ("timeline.txt", "torrens timeline market"),
        ("timeline-lsn.txt", "torrens timeline market --by-lsn"),
        (
            "timeline.tsv",
            "torrens timeline market -o text --format list",
        ),
        (
            "timeline.ndjson",
            "torrens timeline market -o ndjson --region 3",
        ),
        (
            "timeline-perfetto.json",
            "torrens timeline market --format perfetto --region 3",
        ),
        ("lineage.txt", "torrens lineage market"),
        ("lineage.dot", "torrens lineage market --format dot"),
        ("lineage.mermaid", "torrens lineage market --format mermaid"),
        ("lineage.svg", "torrens lineage market --format svg"),
        ("lineage.json", "torrens lineage market --format json"),
        ("owner.ndjson", "torrens owner market --key zebra -o ndjson"),
        ("why.json", "torrens why market --region 3 -o json"),
        ("why-peer.txt", "torrens why market --peer 40"),
        ("why-key.txt", "torrens why market --key grape"),
        (
            "gate.json",
            "torrens gate market --type vote --region 3 --to-peer 31 --epoch 3,3 -o json",
        ),
        ("stats.ndjson", "torrens stats market -o ndjson --by family"),
        (
            "stats.csv",
            "torrens stats market -o csv --by region --fields name,records,first_lsn",
        ),
        (
            "explain-damaged.json",
            "torrens explain market-damaged -o json",
        ),
        ("explain-lost.txt", "torrens explain market-lost"),
        ("explain.csv", "torrens explain epoch-stale -o csv"),
        (
            "state-redacted.txt",
            "torrens state market --keys redact --redact-with pepper",
        ),
        ("state-hex.txt", "torrens state market --keys hex"),
        (
            "dump-color.txt",
            "torrens dump market-damaged --lsn 24.. --color always",
        ),
    ] {
        super::golden(&format!("market/{name}"), &screen(&stores, line));
    }
}

/// Every command that looks, in each of the five forms.
#[test]
fn every_command_has_a_known_answer_in_every_form() {
    let stores = Stores::new();
    for (name, line) in [
        ("info", "info market"),
        ("dump", "dump market-crashed --last 3"),
        ("tail", "tail market --count 2 --last 2"),
        ("show", "show market 10"),
        ("state", "state market --at 10"),
        ("observers", "observers market"),
        ("diff", "diff market 8 10"),
        ("timeline", "timeline market --region 4,5"),
        ("lineage", "lineage market --region 5"),
        ("owner", "owner market --key grape"),
        ("why", "why market --region 5"),
        (
            "gate",
            "gate market --type vote --region 3 --to-peer 30 --epoch 3,3",
        ),
        ("stats", "stats market --by cause"),
        ("verify", "verify market-crashed"),
        ("verify-damaged", "verify market-damaged"),
        ("explain", "explain market-damaged"),
        ("explain-code", "explain torn-tail"),
        ("repair-plan", "repair plan market-damaged"),
        ("repair-list", "repair list market"),
    ] {
        for form in ["table", "text", "ndjson", "json", "csv"] {
            let line = format!("torrens {line} -o {form}");
            super::golden(
                &format!("market/forms/{name}.{form}"),
                &screen(&stores, &line),
            );
        }
    }
}

/// What the page of a report draws, without what is of the moment.
#[test]
fn the_data_of_a_report_is_as_agreed() {
    let stores = Stores::new();
    for name in ["market", "market-crashed", "market-damaged", "market-lost"] {
        let page = stores.run(&["report", name, "-o", "-"]).out;
        let mut data = super::report::data(&page);
        data["made_micros"] = 0.into();
        for file in data["files"].as_array_mut().unwrap() {
            let what = file["what"].as_str().unwrap().to_owned();
            file["what"] = ageless(&what).trim_end().into();
        }
        let data = serde_json::to_string_pretty(&data).unwrap();
        super::golden(&format!("market/report/{name}.json"), &(data + "\n"));
    }
}

/// The trace event format, as far as the tool uses it: metadata, instants and complete events.
/// <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>
#[test]
fn a_trace_keeps_to_the_trace_event_format() {
    let stores = Stores::new();
    for store in ["market", "market-damaged"] {
        let trace = stores.run(&["timeline", store, "--format", "perfetto"]);
        let trace: Value = serde_json::from_str(&trace.out).unwrap();
        assert!(["ms", "ns"].contains(&trace["displayTimeUnit"].as_str().unwrap()));
        assert!(trace["otherData"].is_object());
        let events = trace["traceEvents"].as_array().unwrap();
        let mut named = std::collections::BTreeSet::new();
        for event in events.iter().filter(|event| event["ph"] == "M") {
            assert!(
                event["args"]["name"].is_string() && event["pid"].is_u64(),
                "{event}"
            );
            let of_thread = event["name"] == "thread_name";
            assert!(of_thread || event["name"] == "process_name", "{event}");
            assert_eq!(event["tid"].is_u64(), of_thread, "{event}");
            named.insert((event["pid"].as_u64(), event["tid"].as_u64()));
        }
        let mut kinds = std::collections::BTreeMap::new();
        for event in events {
            let kind = event["ph"].as_str().unwrap();
            *kinds.entry(kind.to_owned()).or_insert(0) += 1;
            assert!(event["name"].is_string(), "{event}");
            if kind == "M" {
                continue;
            }
            // Microseconds.
            assert!(
                event["ts"].as_u64().unwrap() > 1_700_000_000_000_000,
                "{event}"
            );
            let (pid, tid) = (event["pid"].as_u64(), event["tid"].as_u64());
            assert!(pid.is_some() && tid.is_some(), "{event}");
            match kind {
                "X" => assert!(event["dur"].is_u64(), "{event}"),
                "i" => assert!(
                    ["g", "p", "t"].contains(&event["s"].as_str().unwrap()),
                    "{event}"
                ),
                other => panic!("{other}: {event}"),
            }
            let is_of_store = event["pid"] == 0;
            assert!(
                is_of_store || named.contains(&(pid, tid)),
                "no name: {event}"
            );
        }
        assert!(
            ["M", "X", "i"].iter().all(|kind| kinds[*kind] > 3),
            "{kinds:?}"
        );
    }
}

#[test]
fn every_exit_code_has_one_meaning() {
    let stores = Stores::new();
    for (code, args) in [
        (0, &["dump", "market"][..]),
        (0, &["dump", "market-crashed"]),
        (3, &["dump", "market-crashed", "--strict"]),
        (5, &["dump", "market-damaged"]),
        (1, &["dump", "market", "--region", "999", "--exit-code"]),
        (0, &["dump", "market", "--region", "999"]),
        (0, &["diff", "market", "8", "8"]),
        (1, &["diff", "market", "8", "9"]),
        (0, &["owner", "market", "--key", "apple"]),
        (1, &["owner", "market", "--key", "zebra"]),
        (0, &["why", "market", "--region", "3"]),
        (1, &["why", "market", "--region", "999"]),
        (
            0,
            &[
                "gate",
                "market",
                "--type",
                "append",
                "--region",
                "r1",
                "--to-peer",
                "p10",
                "--epoch",
                "c1.v4",
            ],
        ),
        (
            1,
            &[
                "gate",
                "market",
                "--type",
                "vote",
                "--region",
                "3",
                "--to-peer",
                "30",
                "--epoch",
                "3,3",
            ],
        ),
        (2, &["gate", "market", "--region", "3"]),
        (2, &["gate", "market", "--msg", "{}"]),
        (2, &["gate", "market", "--msg", "nonsense"]),
        (2, &["state", "market", "--at", "999"]),
        (2, &["state", "market", "--at", "boot:99"]),
        (2, &["state", "market", "--at", "nonsense"]),
        (2, &["show", "market", "999"]),
        (2, &["dump", "market", "--where", "lsn =="]),
        (2, &["dump", "market", "--grep", "("]),
        (2, &["explain", "no-such-code"]),
        (0, &["explain", "torn-tail"]),
        (0, &["explain", "--codes"]),
        (0, &["explain", "market"]),
        (3, &["explain", "market-crashed"]),
        (4, &["explain", "market-lost"]),
        (5, &["explain", "market-damaged"]),
        (1, &["tail", "market", "--timeout", "0.1"]),
        (
            0,
            &[
                "tail",
                "market",
                "--until-kind",
                "cache.active",
                "--timeout",
                "60",
            ],
        ),
        (8, &["info", "empty"]),
        (8, &["explain", "photos"]),
        (8, &["explain", "no/such/place"]),
    ] {
        let answer = stores.run(args);
        assert_eq!(answer.code, code, "{args:?}: {}{}", answer.out, answer.err);
        let is_quiet = code <= 1
            || (code == 3 && args[0] == "dump")
            || args[0] == "explain" && code < 8 && code != 2;
        assert_eq!(answer.err.is_empty(), is_quiet, "{args:?}: {}", answer.err);
        if code == 2 && !answer.err.starts_with("error: ") {
            assert!(
                answer.err.starts_with("torrens: error["),
                "{args:?}: {}",
                answer.err
            );
        }
    }
}

#[test]
fn ctrl_c_ends_a_follower_with_what_it_has() {
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

#[test]
fn keys_that_are_redacted_are_nowhere_in_the_output() {
    let stores = Stores::new();
    // Every boundary and bound in the history.
    for args in [
        &["dump", "market", "-o", "ndjson"][..],
        &["dump", "market", "-o", "text"],
        &["state", "market", "-o", "json"],
        &["lineage", "market", "--format", "svg"],
        &["lineage", "market", "--format", "dot"],
        &["timeline", "market", "--format", "perfetto"],
        &["diff", "market", "1", "last"],
        &["why", "market", "--region", "1"],
        &["show", "market", "6", "-o", "json"],
        &["info", "market"],
    ] {
        let plain = stores.run(args);
        let hidden = stores.run(&[args, &["--keys", "redact", "--redact-with", "pepper"]].concat());
        let again = stores.run(&[args, &["--keys", "redact", "--redact-with", "pepper"]].concat());
        assert_eq!(hidden.out, again.out, "{args:?}");
        for key in ["\"m\"", "\"f\"", "\\\"m\\\"", "&quot;m&quot;"] {
            assert!(
                !hidden.out.contains(key),
                "{args:?} shows {key}:\n{}",
                hidden.out
            );
        }
        let has_keys = ["\"m\"", "\\\"m\\\"", "&quot;m&quot;"]
            .iter()
            .any(|key| plain.out.contains(key));
        assert!(
            has_keys || args[0] == "info",
            "{args:?} has no keys to hide"
        );
    }
    let random = ["dump", "market", "--keys", "redact", "-o", "ndjson"];
    assert_ne!(stores.run(&random).out, stores.run(&random).out);
}

#[test]
fn colours_obey_the_terminal_the_environment_and_the_option() {
    let stores = Stores::new();
    let colored = |args: &[&str], name: Option<(&str, &str)>| {
        let mut command = stores.command(args);
        if let Some((name, value)) = name {
            command.env(name, value);
        }
        answer(command.output().unwrap()).out.contains('\x1b')
    };
    assert!(!colored(&["verify", "market"], None), "a pipe");
    assert!(colored(
        &["verify", "market"],
        Some(("CLICOLOR_FORCE", "1"))
    ));
    assert!(!colored(
        &["verify", "market"],
        Some(("CLICOLOR_FORCE", "0"))
    ));
    assert!(colored(
        &["verify", "market", "--color", "always"],
        Some(("NO_COLOR", "1"))
    ));
    assert!(!colored(
        &["verify", "market", "--color", "never"],
        Some(("CLICOLOR_FORCE", "1"))
    ));
    let mut both = stores.command(&["verify", "market"]);
    both.env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1");
    assert!(
        !answer(both.output().unwrap()).out.contains('\x1b'),
        "NO_COLOR goes first"
    );
}

#[test]
fn forms_for_programs_are_whole() {
    let stores = Stores::new();
    for args in [
        &["dump", "market", "-o", "json"][..],
        &["state", "market", "-o", "json"],
        &["info", "market", "-o", "json"],
        &["stats", "market", "-o", "json"],
        &["timeline", "market", "-o", "json"],
        &["timeline", "market", "--format", "perfetto"],
        &["lineage", "market", "-o", "json"],
        &["owner", "market", "--key", "m", "-o", "json"],
        &["why", "market", "--key", "m", "-o", "json"],
        &["explain", "--codes", "-o", "json"],
        &["dump", "market", "--region", "999", "-o", "json"],
    ] {
        let answer = stores.run(args);
        let json: Result<Value, _> = serde_json::from_str(&answer.out);
        assert!(json.is_ok(), "{args:?}: {json:?}\n{}", answer.out);
    }
    // Perfetto forbids overlapping spans on one thread.
    let trace = stores.run(&["timeline", "market", "--format", "perfetto"]);
    let trace: Value = serde_json::from_str(&trace.out).unwrap();
    let mut spans: Vec<(u64, u64, u64, u64)> = trace["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["ph"] == "X")
        .map(|event| {
            let number = |name: &str| event[name].as_u64().unwrap();
            (number("pid"), number("tid"), number("ts"), number("dur"))
        })
        .collect();
    spans.sort_unstable();
    assert!(spans.len() > 8);
    for pair in spans.windows(2) {
        let (first, next) = (pair[0], pair[1]);
        let same = (first.0, first.1) == (next.0, next.1);
        assert!(
            !same || first.2 + first.3 <= next.2,
            "{first:?} overlaps {next:?}"
        );
    }
    let picture = stores.run(&["lineage", "market", "--format", "svg"]).out;
    assert_eq!(
        picture.matches("<text").count(),
        picture.matches("</text>").count()
    );
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
}
