//! Holds the table of planted bugs and the code together. What the bugs are for: docs/RELIABILITY.md;
//! what runs them: `tests/planted/run`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The names in the code, each once.
fn planted() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "journal/src", "recovery/src"] {
        sources(&root.join(dir), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for after in text.split("planted!(\"").skip(1) {
            let name = after.split('"').next().unwrap_or_default();
            names.insert(name.to_owned());
        }
    }
    names
}

/// The rows of the table: name, shape, tests.
fn table() -> Vec<[String; 3]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted/plants.tsv");
    let text = fs::read_to_string(path).expect("the table");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<_> = row.split('\t').map(str::to_owned).collect();
        columns
            .try_into()
            .unwrap_or_else(|_| panic!("three columns: {row}"))
    })
    .collect()
}

#[test]
fn every_planted_bug_is_in_the_table_and_the_other_way_round() {
    let listed: Vec<_> = table().into_iter().map(|[name, ..]| name).collect();
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a name stands twice");
    assert_eq!(once, planted());
    assert!(once.len() >= 18, "{} bugs", once.len());
}

#[test]
fn most_bugs_are_claimed_by_two_tests() {
    let rows = table();
    let twice = rows.iter().filter(|[.., tests]| tests.contains("; "));
    let (twice, all) = (twice.count(), rows.len());
    assert!(twice * 5 >= all * 4, "{twice} of {all}");
}
