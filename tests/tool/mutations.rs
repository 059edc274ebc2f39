//! The tool itself on directories that were changed at random: it ends, without a panic and with an exit code that
//! has a meaning, it changes nothing, and never calls a journal clean of which a checked byte was changed.
//!
//! The library below it is fuzzed (`fuzz/`, target `tool`); this is what stands around it: forms, pages, exits.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::fixture::{contents, torrens};
use super::market::{committed, copy};

/// Directories that are looked at.
const ROUNDS: u64 = 24;
/// Exit codes that a look may end with.
const EXITS: [i32; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10];
const PAGE: usize = 4096;

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// Changes the directory; whether a byte of a group was changed, and no file is gone or shorter.
fn change(dir: &Path, random: &mut Random) -> bool {
    let name = ["1.seg", "2.seg", "3.seg", ".mark", "12.ckpt", "28.ckpt"][random.below(6)];
    let all = contents(dir);
    let found = all
        .iter()
        .find(|(path, bytes)| bytes.is_some() && path.to_string_lossy().ends_with(name));
    let (path, bytes) = found.unwrap();
    let mut bytes = bytes.clone().unwrap();
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => {
            fs::remove_file(path).unwrap();
            return false;
        }
        1 => bytes.truncate(at),
        2 => bytes[at / PAGE * PAGE..]
            .iter_mut()
            .take(PAGE)
            .for_each(|byte| *byte = 0),
        3 => {
            let noise: Vec<u8> = (0..64).map(|_| random.below(256) as u8).collect();
            let end = (at + 64).min(bytes.len());
            bytes[at..end].copy_from_slice(&noise[..end - at]);
        }
        _ => {
            // A bit of a group: the pages behind the two of the header, up to the end of what is used.
            let used = if name == "3.seg" {
                7 * PAGE
            } else {
                bytes.len()
            };
            let is_group = name.ends_with("seg");
            let at = if is_group {
                2 * PAGE + at % (used - 2 * PAGE)
            } else {
                at
            };
            bytes[at] ^= 1 << random.below(8);
            fs::write(path, bytes).unwrap();
            return is_group;
        }
    }
    fs::write(path, bytes).unwrap();
    false
}

#[test]
fn no_change_of_a_directory_makes_the_tool_panic_hang_or_call_damage_clean() {
    let seed = std::env::var("TORRENS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_126);
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut damaged = 0;
    for round in 0..ROUNDS {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("market");
        copy(&committed(), &dir);
        let is_checked = change(&dir, &mut random);
        let before = contents(&dir);
        for (verb, args) in [
            ("info", &["-o", "json"][..]),
            ("dump", &["-o", "ndjson"]),
            ("verify", &[]),
            ("state", &["-o", "text"]),
            ("explain", &[]),
            ("timeline", &["--format", "perfetto"]),
            ("lineage", &["--format", "svg"]),
            ("stats", &[]),
            ("observers", &[]),
            ("report", &["-o", "-"]),
        ] {
            let code = ended(
                torrens(&dir, verb).args(args),
                &format!("round {round}: {verb}"),
            );
            assert!(
                !(verb == "verify" && is_checked && code == 0),
                "round {round}: clean"
            );
        }
        let mut plan = torrens(Path::new("plan"), "repair");
        ended(plan.arg(&dir), &format!("round {round}: repair plan"));
        assert_eq!(contents(&dir), before, "round {round}");
        damaged += u32::from(is_checked);
    }
    assert!(
        damaged >= 3,
        "only {damaged} rounds changed a checked byte: take more"
    );
}

/// The exit code. What the tool prints is read by nobody here, so it goes where it cannot fill a pipe.
fn ended(command: &mut std::process::Command, what: &str) -> i32 {
    let place = tempfile::NamedTempFile::new().unwrap();
    let errors = place.reopen().unwrap();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let errors = fs::read_to_string(place.path()).unwrap();
    let code = status
        .code()
        .unwrap_or_else(|| panic!("{what} ended by {status}: {errors}"));
    assert!(
        EXITS.contains(&code) && !errors.contains("panicked"),
        "{what}: {code}: {errors}"
    );
    code
}
