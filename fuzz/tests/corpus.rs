//! Runs the committed corpus through every target, and holds the corpus and what writes it together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use torrens_fuzz::{TARGETS, must_fail, seeds};

fn room(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every file below `folder`, by its path below it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below the folder");
            let bytes = fs::read(&path).expect("a readable input");
            found.insert(name.display().to_string(), bytes);
        }
    }
    found
}

#[test]
fn every_committed_input_passes_its_target() {
    for (name, target) in TARGETS {
        let made = files(&room("corpus").join(name));
        assert!(made.len() >= 3, "{name} has only {} inputs", made.len());
        let found = room("found").join(name);
        let found = if found.is_dir() {
            files(&found)
        } else {
            BTreeMap::new()
        };
        for (input, bytes) in made.iter().chain(&found) {
            println!("{name}: {input}");
            target(bytes);
        }
    }
}

#[test]
fn the_corpus_is_what_the_seeds_write() {
    let made = seeds::inputs().expect("a store on a simulated disk");
    let committed = files(&room("corpus"));
    let names = |inputs: &BTreeMap<String, Vec<u8>>| inputs.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&committed));
    for (name, bytes) in &made {
        assert!(
            Some(bytes) == committed.get(name),
            "{name} differs: `cargo run -p torrens-fuzz --example seeds` writes it"
        );
    }
}

/// libFuzzer ends at a line that it cannot read.
#[test]
fn the_dictionary_can_be_read() {
    let dictionary = seeds::dictionary();
    assert!(dictionary.lines().count() > 150, "{dictionary}");
    for line in dictionary.lines() {
        let word = line
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let mut letters = word.expect("in quotes").chars();
        assert!(
            !letters.as_str().is_empty(),
            "an empty word ends the fuzzer"
        );
        while let Some(letter) = letters.next() {
            assert!((' '..='~').contains(&letter) && letter != '"', "{line}");
            if letter == '\\' {
                let escaped = letters.next().expect("something is escaped");
                let is_hex = |letter: Option<char>| letter.is_some_and(|it| it.is_ascii_hexdigit());
                let is_sound = "\"\\".contains(escaped)
                    || (escaped == 'x' && is_hex(letters.next()) && is_hex(letters.next()));
                assert!(is_sound, "{line}");
            }
        }
    }
}

/// What takes too much memory, or has no end, only the fuzzer stops.
#[test]
fn the_target_that_must_fail_fails_in_each_way_that_ends() {
    for fault in ["p", "r"] {
        let input = room("corpus/must_fail").join(fault);
        let input = fs::read(input).expect("a seed of every fault");
        let failed = std::panic::catch_unwind(|| must_fail(&input));
        assert!(failed.is_err(), "{fault}");
    }
    must_fail(b"TG");
    must_fail(b"TGR");
}

/// What a fuzzer does for hours, for a second: changes of a directory that nobody thought of.
/// `TORRENS_SEED` and `TORRENS_ROUNDS` choose others, and more.
#[test]
fn random_changes_of_a_directory_pass_too() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("TORRENS_SEED").unwrap_or(20_261_126);
    println!("seed {seed}");
    let mut state = seed.max(1);
    let mut next = || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    };
    for round in 0..number("TORRENS_ROUNDS").unwrap_or(40) {
        let changes = 1 + next() % 3;
        let mut input = vec![(next() % 8) as u8];
        for _ in 0..changes {
            let change = torrens_fuzz::ToolChange {
                file: next() as u8,
                what: next() as u8,
                // Most of what matters lies in the first pages.
                at: (next() % if next() % 2 == 0 { 12_288 } else { 65_536 }) as u32,
                by: next() as u16,
            };
            input.extend(change.encode());
        }
        println!("round {round}: {input:?}");
        torrens_fuzz::tool(&input);
    }
}
