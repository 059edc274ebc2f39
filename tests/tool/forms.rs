//! How every command looks in every form, against golden files; and that forms for programs keep to their formats.

use serde_json::Value;

use super::fixture::answer;
use super::market::{Stores, ageless, screen};

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

/// The page as a browser gets it, whole: markup, style, script and data.
#[test]
fn the_page_of_a_report_and_of_a_timeline_are_as_agreed() {
    let stores = Stores::new();
    for (name, args) in [
        ("report.html", &["report", "market", "-o", "-"][..]),
        ("timeline.html", &["timeline", "market", "--format", "html"]),
    ] {
        let page = stores.run(args).out;
        let data = super::report::data(&page);
        let made = format!("\"made_micros\":{}", data["made_micros"]);
        let nonce = page.split("script-src 'nonce-").nth(1).unwrap();
        let nonce = nonce.split('\'').next().unwrap();
        // A digest of the data, which has the moment in it.
        let page = page
            .replace(nonce, "NONCE")
            .replace(&made, "\"made_micros\":0");
        let pieces = page.split("valid, ").enumerate().map(|(number, piece)| {
            let behind_age = piece.find(" ago").filter(|_| number > 0);
            behind_age.map_or(piece.to_owned(), |at| format!("1 h{}", &piece[at..]))
        });
        let page = pieces.collect::<Vec<_>>().join("valid, ");
        super::golden(&format!("market/{name}"), &page);
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
