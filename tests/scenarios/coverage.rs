//! Nothing of the engine is out of a scenario's reach: every public call has a command, every reason is
//! answered in some scenario, and the documentation knows all of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use torrens::play::{COMMANDS, POINTS};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The stable codes that a source file gives out: `=> "code"`.
fn codes(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let after = text.split("=> \"").skip(1);
    let code = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
    let is_code = |code: &String| {
        !code.is_empty()
            && code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    after.map(code).filter(is_code).collect()
}

/// Everything that any scenario file says.
fn answers() -> String {
    let mut paths = Vec::new();
    super::files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"),
        &mut paths,
    );
    let text = paths
        .iter()
        .map(|path| fs::read_to_string(path).expect("UTF-8"));
    text.collect()
}

#[test]
fn every_reason_is_answered_in_a_scenario() {
    let answers = answers();
    let mut missed = Vec::new();
    for path in ["src/lifecycle/refusal.rs", "src/lifecycle/outcome.rs"] {
        let found = codes(path);
        assert!(
            !found.is_empty(),
            "{path} has no codes: this test is out of date"
        );
        missed.extend(found.into_iter().filter(|code| {
            let given = ["refused", "wait"].map(|how| format!("{how} {code}: "));
            !given.iter().any(|answer| answers.contains(answer))
        }));
    }
    assert!(missed.is_empty(), "in no scenario: {missed:?}");
}

#[test]
fn the_documentation_knows_every_command_reason_and_point() {
    let text = read("docs/SCENARIOS.md");
    let mut missed = BTreeSet::new();
    for command in COMMANDS.iter().copied().flatten() {
        if !text.contains(&format!("\n### `{}", command.name)) {
            missed.insert(command.name.to_owned());
        }
    }
    let points = POINTS.iter().map(|point| point.name.to_owned());
    let sources = [
        "src/lifecycle/refusal.rs",
        "src/lifecycle/outcome.rs",
        "src/engine/error.rs",
    ];
    let all = sources.iter().flat_map(|path| codes(path)).chain(points);
    missed.extend(all.filter(|word| !text.contains(&format!("`{word}`"))));
    assert!(
        missed.is_empty(),
        "docs/SCENARIOS.md does not know {missed:?}"
    );
}

/// Calls that a scenario has no use for: what is not about a store's state or its answers.
const NOT_FOR_SCENARIOS: &[&str] = &[
    "options",
    "report",
    "regions",
    "region",
    "journal_stats",
    "collection_stats",
    "column_families",
    "wait_idle",
    "apply_snapshot",
    // Copies, checks and choices of a host that leave the store's answers as they are; `apply_snapshot`
    // with a watcher is `apply_snapshot_over`.
    "apply_snapshot_with",
    "backup",
    "digest",
    "witness",
    "read_journal",
    "follow",
    "subscribe",
];

#[test]
fn every_public_call_has_a_command() {
    let commands: String =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/play/commands"))
            .expect("the commands' room")
            .map(|entry| fs::read_to_string(entry.expect("readable").path()).expect("UTF-8"))
            .collect();
    let machine = read("src/play/machine.rs");
    let mut missed = Vec::new();
    for path in [
        "src/engine/mod.rs",
        "src/engine/merges.rs",
        "src/engine/orders.rs",
        "src/engine/gate.rs",
    ] {
        let text = read(path);
        let block = text.split("impl Engine {").nth(1).unwrap_or_default();
        let block = block.split("\n}\n").next().unwrap_or_default();
        for call in block.split("\n    pub fn ").skip(1) {
            let name = call.split(['(', '<']).next().unwrap_or_default();
            let called = format!(".{name}(");
            let is_used = commands.contains(&called) || machine.contains(&called);
            if !is_used && !NOT_FOR_SCENARIOS.contains(&name) {
                missed.push(name.to_owned());
            }
        }
    }
    assert!(missed.is_empty(), "no command calls {missed:?}");
}
