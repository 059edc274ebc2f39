//! The operator's guide: every screen in docs/OPERATIONS.md is what the tool prints on the committed store,
//! or on a copy of it that was damaged here. `TORRENS_REWRITE=1` writes the screens into the guide.
//!
//! Not here: the view on the whole terminal (`src/bin/torrens/tui/tests.rs`), the server's line (`serve`).

use std::fs;
use std::path::Path;

use torrens::inspector::Inspector;
use torrens_journal::Lsn;
use torrens_recovery::Item;

use super::market::{Stores, committed, root, screen};

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
