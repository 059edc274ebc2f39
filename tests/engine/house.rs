//! House rules that a compiler does not check: which words may appear in which rooms.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `dir`.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder of the project") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for room in ["src", "journal/src", "recovery/src", "fuzz/src"] {
        sources(&root.join(room), &mut paths);
    }
    let named = |path: &PathBuf| {
        let name = path
            .strip_prefix(root)
            .expect("below the root")
            .display()
            .to_string();
        (name, fs::read_to_string(path).expect("UTF-8"))
    };
    paths.iter().map(named).collect()
}

/// Code lines of a file, without comments and without its own tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn each_foreign_crate_is_named_in_one_room() {
    let rooms = [
        ("sled::", "src/store/sled"),
        ("redb::", "src/store/redb"),
        ("bincode::", "src/codec"),
        ("memmap2::", "journal/src/disk/map.rs"),
        ("io_uring::", "journal/src/disk/uring.rs"),
    ];
    for (word, room) in rooms {
        let mut seen = false;
        for (name, text) in all_sources() {
            // `self::sled::` and `self::redb::` are our own modules of those names.
            let named = code(&text).any(|line| {
                let line = line.replace("self::sled::", "").replace("self::redb::", "");
                line.contains(word)
            });
            assert!(!named || name.starts_with(room), "{name} names {word}");
            seen |= named;
        }
        assert!(seen, "nobody names {word}: the rule above is out of date");
    }
}

#[test]
fn lifecycle_does_no_io_and_reads_no_clock() {
    let mut files = 0;
    for (name, text) in all_sources() {
        if !name.starts_with("src/lifecycle") || name.contains("test") {
            continue;
        }
        files += 1;
        for word in [
            "std::fs",
            "std::io",
            "std::time",
            "std::thread",
            "::disk",
            "Journal",
            "Mutex",
            "unwrap()",
        ] {
            assert!(
                !code(&text).any(|line| line.contains(word)),
                "{name} names {word}"
            );
        }
    }
    assert!(
        files > 5,
        "the lifecycle has moved: the rule above is out of date"
    );
}

#[test]
fn only_repair_shortens_a_file() {
    for (name, text) in all_sources() {
        let test = name.contains("test")
            || name.contains("/disk/")
            // Files of its own, beside the store.
            || name.starts_with("src/bin/torrens/torture/")
            // A file without a name, which holds what a packed one says.
            || name == "src/inspector/source/unpack.rs"
            || name.starts_with("recovery/src/repair/");
        assert!(
            test || !code(&text).any(|line| line.contains(".set_len(")),
            "{name} shortens a file"
        );
    }
}

/// Every Rust file of the project, with its name from the root on.
fn every_source() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the project") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root).expect("below the root");
        let text = fs::read_to_string(&path).expect("UTF-8");
        (name.display().to_string(), text)
    };
    paths.into_iter().map(named).collect()
}

/// How often code says `unsafe`, in front of a block, a function or an implementation.
fn unsafe_places(text: &str) -> usize {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.contains('"'));
    let words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| *word == "unsafe").count()
}

#[test]
fn the_list_of_unsafe_code_in_the_security_page_is_the_truth() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("SECURITY.md")).expect("UTF-8");
    let row = |line: &str| -> Option<(String, usize)> {
        let (name, rest) = line.strip_prefix("| `")?.split_once(".rs` | ")?;
        let (count, _) = rest.split_once(" | ")?;
        Some((format!("{name}.rs"), count.parse().ok()?))
    };
    let mut told: Vec<_> = page.lines().filter_map(row).collect();
    told.sort();
    let mut found: Vec<_> = every_source()
        .into_iter()
        .map(|(name, text)| (name, unsafe_places(&text)))
        .filter(|(_, places)| *places > 0)
        .collect();
    found.sort();
    assert_eq!(told, found);
    // What a library user runs: few, and all of them with what makes them sound.
    let rooms = ["src/", "journal/src/", "recovery/src/"];
    let shipped = found
        .iter()
        .filter(|(name, _)| rooms.iter().any(|room| name.starts_with(room)))
        // The tool is no part of the library.
        .filter(|(name, _)| !name.starts_with("src/bin/"));
    assert!(shipped.map(|(_, places)| places).sum::<usize>() <= 3);
    for (name, text) in every_source() {
        let safety = text.matches("// SAFETY:").count();
        let places = unsafe_places(&text);
        assert!(
            places == 0 || safety > 0,
            "{name} does not say why it is sound"
        );
    }
}

#[test]
fn no_text_of_an_error_quotes_a_key_or_a_value() {
    let mut texts = 0;
    for (name, text) in all_sources() {
        for said in text.split("#[error(").skip(1) {
            let said = said.split_once(")]").unwrap_or_default().0;
            texts += 1;
            for word in [
                "escape_ascii",
                "{key",
                "{raw_key",
                "{range}",
                "{start}",
                "{end}",
                "{boundary",
                "{value",
            ] {
                // The player tells the author of a scenario about the author's own words, and ends of
                // positions and of snapshots are numbers.
                let is_own = name.starts_with("src/play/") || name.starts_with("journal/");
                assert!(
                    is_own || !said.contains(word),
                    "{name} quotes {word}: {said}"
                );
            }
        }
    }
    assert!(texts > 100, "the rule above is out of date: {texts} texts");
}

#[test]
fn documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/FORMAT.md",
        "docs/RELIABILITY.md",
        "docs/PERFORMANCE.md",
        "docs/OPERATIONS.md",
    ];
    let mut named = 0;
    for document in documents {
        let text = fs::read_to_string(root.join(document)).expect("UTF-8");
        for word in text.split('`').skip(1).step_by(2) {
            let below = [
                "src/",
                "journal/",
                "recovery/",
                "tests/",
                "fuzz/",
                "docs/",
                "benches/",
            ];
            if !below.iter().any(|folder| word.starts_with(folder))
                || word.contains(['*', ' ', '<'])
            {
                continue;
            }
            named += 1;
            let path = root.join(word.trim_end_matches('/'));
            // A room may be named by its folder or by its file.
            let exists = path.exists() || path.with_extension("rs").exists();
            assert!(exists, "{document} names {word}, which is not there");
        }
    }
    assert!(
        named > 20,
        "the documents name {named} files: the rule above is out of date"
    );
}
