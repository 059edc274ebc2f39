//! Runs the committed corpus through every target.

use std::fs;
use std::path::Path;

#[test]
fn every_committed_input_passes_its_target() {
    for (name, target) in torrens_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("every target has a corpus folder") {
            let path = entry.expect("a readable folder").path();
            let input = fs::read(&path).expect("a readable input");
            println!("{name}: {}", path.display());
            target(&input);
            inputs += 1;
        }
        assert!(inputs >= 3, "{name} has only {inputs} inputs");
    }
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
        let mut input = vec![(next() % 2) as u8];
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
