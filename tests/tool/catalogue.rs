//! Every stable code that the sources give out has an entry in the catalogue, and no entry is of a code
//! that is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use torrens::inspector::catalogue::{Topic, entries, explain_code};
use torrens::lifecycle::{CacheState, ChangeKind};

/// Where codes and stable names are given out as `=> "code"`, and what they are there.
const SOURCES: [(&str, &[Topic]); 44] = [
    ("src/lifecycle/refusal.rs", &[Topic::Refusal]),
    ("src/lifecycle/outcome.rs", &[Topic::Wait]),
    ("src/lifecycle/gate.rs", &[Topic::Gate]),
    ("src/lifecycle/kind.rs", &[Topic::Record]),
    ("src/lifecycle/record.rs", &[Topic::Cause]),
    ("src/lifecycle/peer.rs", &[Topic::Stage, Topic::Damage]),
    (
        "src/lifecycle/cache.rs",
        &[Topic::Cache, Topic::CacheReason],
    ),
    ("src/lifecycle/deletion.rs", &[Topic::Gone]),
    ("src/lifecycle/tombstone.rs", &[Topic::Gone]),
    ("src/lifecycle/change.rs", &[Topic::Gone]),
    (
        "src/engine/error.rs",
        &[Topic::Open, Topic::Engine, Topic::Read],
    ),
    ("src/engine/backup.rs", &[Topic::Backup]),
    ("src/engine/caches/preload.rs", &[Topic::Preload]),
    ("journal/src/read/position.rs", &[Topic::Position]),
    ("journal/src/follow.rs", &[Topic::Position]),
    ("journal/src/pin.rs", &[Topic::Position]),
    ("recovery/src/repair/mod.rs", &[Topic::Repair]),
    ("recovery/src/verdict.rs", &[Topic::Verdict]),
    ("recovery/src/walk/item.rs", &[Topic::Gap, Topic::Verdict]),
    ("src/observe/history/log.rs", &[Topic::Engine]),
    ("src/engine/feed/transitions.rs", &[Topic::Engine]),
    ("src/engine/feed/subscription.rs", &[Topic::Engine]),
    ("src/lifecycle/observer/refusal.rs", &[Topic::Refusal]),
    ("src/lifecycle/observer/names.rs", &[Topic::Observer]),
    ("src/engine/observers/status.rs", &[Topic::Observer]),
    ("src/engine/observers/taking_over.rs", &[Topic::Observer]),
    ("src/inspector/error.rs", &[Topic::Tool]),
    ("src/bin/torrens/decoder.rs", &[Topic::Tool]),
    ("src/bin/torrens/exit.rs", &[Topic::Tool]),
    ("src/bin/torrens/look.rs", &[Topic::Tool, Topic::Verdict]),
    ("src/bin/torrens/output.rs", &[Topic::Tool]),
    ("src/bin/torrens/play.rs", &[Topic::Tool]),
    ("src/bin/torrens/repair.rs", &[Topic::Tool]),
    ("src/bin/torrens/meta.rs", &[Topic::Tool]),
    ("src/rebuild/error.rs", &[Topic::Tool]),
    ("src/bin/torrens/build.rs", &[Topic::Tool]),
    ("src/bin/torrens/dump/raw.rs", &[Topic::Tool]),
    ("src/bin/torrens/fresh.rs", &[Topic::Tool]),
    ("src/bin/torrens/schema.rs", &[Topic::Tool]),
    ("src/bin/torrens/simulate.rs", &[Topic::Tool]),
    ("src/bin/torrens/report/mod.rs", &[Topic::Tool]),
    ("src/bin/torrens/serve/mod.rs", &[Topic::Tool]),
    ("src/bin/torrens/serve/looks.rs", &[Topic::Tool]),
    ("src/bin/torrens/tui/mod.rs", &[Topic::Tool]),
];

/// Names that are given out in the same form and are no codes.
const NO_CODES: [&str; 4] = ["pin", "follower", "left", "right"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands behind `=> "` or `code: "` in a source, outside its tests.
fn codes(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let after = text
        .split("=> \"")
        .skip(1)
        .chain(text.split("code: \"").skip(1));
    let code = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
    let is_code = |code: &String| {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte == b'-' || byte == b'.';
        !code.is_empty() && code.bytes().all(letters) && !NO_CODES.contains(&code.as_str())
    };
    after.map(code).filter(is_code).collect()
}

#[test]
fn every_code_of_the_sources_is_explained() {
    let mut missing = Vec::new();
    for (path, topics) in SOURCES {
        let found = codes(path);
        assert!(
            !found.is_empty(),
            "{path} gives out no codes: this test is out of date"
        );
        for code in found {
            let explained = explain_code(&code);
            if !explained.iter().any(|entry| topics.contains(&entry.topic)) {
                missing.push(format!("{path}: {code}"));
            }
        }
    }
    for kind in ChangeKind::ALL {
        assert!(!explain_code(kind.name()).is_empty(), "{}", kind.name());
    }
    for state in CacheState::ALL {
        assert!(
            !explain_code(state.as_str()).is_empty(),
            "{}",
            state.as_str()
        );
    }
    assert!(missing.is_empty(), "without an entry: {missing:#?}");
}

#[test]
fn every_function_that_gives_out_codes_is_looked_at() {
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    let mut unseen = Vec::new();
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir()
                && !["target", ".git", "tests", "benches", "fuzz", "play"].contains(&name.as_str())
            {
                waiting.push(path);
            } else if name.ends_with(".rs") {
                let shown = path
                    .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                    .unwrap()
                    .display()
                    .to_string();
                let text = fs::read_to_string(&path).unwrap();
                let gives = text.contains("fn code(&self) -> &'static str")
                    || text.contains("fn code(self) -> &'static str");
                if gives && !SOURCES.iter().any(|(known, _)| *known == shown) {
                    unseen.push(shown);
                }
            }
        }
    }
    assert!(
        unseen.is_empty(),
        "these give out codes and are in no list: {unseen:?}"
    );
}

#[test]
fn no_entry_is_of_a_code_that_is_gone() {
    let given: BTreeSet<String> = SOURCES.iter().flat_map(|(path, _)| codes(path)).collect();
    // Codes that are made elsewhere than in a table.
    let elsewhere = ["store.repair", "unknown-code", "message"];
    for entry in entries() {
        let is_given = given.contains(entry.code) || elsewhere.contains(&entry.code);
        assert!(
            is_given,
            "{} is explained, and nobody gives it out",
            entry.code
        );
    }
}
