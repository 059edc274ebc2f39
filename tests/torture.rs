//! `torrens torture` as a person runs it: a real process, killed for real, on a real disk.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a helper cannot do fails the test that called it"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use torrens_journal::testing::skip;

fn torture(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
    command
        .arg("torture")
        .arg(dir)
        .args(arguments)
        .arg("--json");
    command
}

/// The one object on standard output, and the exit code.
fn told(output: &Output) -> (serde_json::Value, i32) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let object = serde_json::from_slice(&output.stdout);
    let object = object.unwrap_or_else(|error| panic!("{error}; standard error: {stderr}"));
    (
        object,
        output
            .status
            .code()
            .unwrap_or_else(|| panic!("no exit code; {stderr}")),
    )
}

fn number(object: &serde_json::Value, name: &str) -> u64 {
    object[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {object}"))
}

#[test]
fn nothing_is_lost_over_kills_and_a_second_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let short = ["--seconds", "60", "--kills", "6", "--seed", "7"];
    let (first, code) = told(&torture(&dir, &short).output().unwrap());
    assert_eq!(
        (number(&first, "lost"), number(&first, "wrong"), code),
        (0, 0, 0),
        "{first}"
    );
    assert!(number(&first, "kills") >= 6, "{first}");
    assert!(number(&first, "kills_in_recovery") >= 1, "{first}");
    assert!(
        number(&first, "transitions") > 0 && number(&first, "rows") > 0,
        "{first}"
    );

    let again = ["--seconds", "60", "--kills", "2", "--seed", "8"];
    let (second, code) = told(&torture(&dir, &again).output().unwrap());
    assert_eq!((number(&second, "lost"), code), (0, 0), "{second}");
    assert!(
        second["transitions_by_kind"].get("bootstrap").is_none(),
        "went on: {second}"
    );
    assert!(
        number(&second, "rows_verified") >= number(&first, "rows"),
        "{second}"
    );
}

#[test]
fn a_store_that_lost_its_data_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let short = ["--seconds", "60", "--kills", "5", "--seed", "3"];
    let (before, code) = told(&torture(&dir, &short).output().unwrap());
    assert_eq!(code, 0, "{before}");
    assert!(number(&before, "regions") > 0, "{before}");
    fs::remove_dir_all(dir.join("data")).unwrap();
    let output = torture(&dir, &short).output().unwrap();
    let (object, code) = told(&output);
    assert_eq!(code, 1, "{object}");
    assert!(number(&object, "lost") > 0, "{object}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    // Which regions there are by then is a matter of timing.
    assert!(
        stderr.lines().any(|line| line.starts_with("LOST r")),
        "{stderr}"
    );
    assert!(dir.join("journal").exists(), "the directory is kept");
}

#[test]
fn a_store_that_the_oracle_does_not_know_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (folder.path().join("mine"), folder.path().join("other"));
    for dir in [&mine, &other] {
        let short = ["--seconds", "60", "--kills", "1", "--seed", "5"];
        assert_eq!(told(&torture(dir, &short).output().unwrap()).1, 0);
    }
    fs::remove_dir_all(&mine).unwrap();
    fs::rename(&other, &mine).unwrap();
    let before = listing(&mine);
    let output = torture(&mine, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(" remembers "),
        "{output:?}"
    );
    assert_eq!(listing(&mine), before);
}

#[test]
fn a_directory_of_other_things_and_an_empty_data_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letter"), "dear").unwrap();
    assert_eq!(torture(&home, &[]).output().unwrap().status.code(), Some(2));
    assert_eq!(listing(&home), [("letter".to_owned(), 4)]);

    let empty = folder.path().join("empty.csv");
    fs::write(&empty, "id,name\n").unwrap();
    let demo = folder.path().join("demo");
    let output = torture(&demo, &["--data", empty.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!demo.exists());
}

#[test]
fn the_first_steps_of_every_step_survive_their_aborts() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let few = ["--every-step", "--kills", "12", "--seed", "1"];
    let (object, code) = told(&torture(&dir, &few).output().unwrap());
    assert_eq!(
        (number(&object, "lost"), number(&object, "wrong"), code),
        (0, 0, 0),
        "{object}"
    );
    assert!(number(&object, "kills_by_operation") >= 12, "{object}");
    assert!(!dir.exists(), "the directory itself is not touched");
}

#[test]
fn an_interrupt_ends_with_a_last_check_and_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let mut running = torture(&dir, &["--seconds", "120", "--seed", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let sent = Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status();
    if !sent.is_ok_and(|status| status.success()) {
        running.kill().unwrap();
        running.wait().unwrap();
        panic!("there is no `kill` here to interrupt with");
    }
    let (object, code) = told(&running.wait_with_output().unwrap());
    assert_eq!((number(&object, "lost"), code), (0, 0), "{object}");
    assert_eq!(object["interrupted"], true);
    assert!(number(&object, "rows_verified") > 0, "{object}");
}

/// With no time at all the store has not one region when the run ends, and nothing is left to be asked.
#[test]
fn a_run_that_ends_before_it_began_ends() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let output = torture(&dir, &["--seconds", "0", "--seed", "2"])
        .output()
        .unwrap();
    let (object, code) = told(&output);
    assert_eq!(
        (
            number(&object, "transitions"),
            number(&object, "wrong"),
            code
        ),
        (0, 0, 0),
        "{object}"
    );
}

/// Without the right to mount there is nothing to cut: the run says so, and so does this test.
#[test]
fn nothing_is_lost_when_the_power_goes_at_each_kill() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let cuts = [
        "--power-cut",
        "--seconds",
        "90",
        "--kills",
        "5",
        "--seed",
        "4",
    ];
    let output = torture(&dir, &cuts).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(2) {
        assert!(
            stderr.contains("--power-cut cannot be done here"),
            "{stderr}"
        );
        skip("nothing_is_lost_when_the_power_goes_at_each_kill", &stderr);
        return;
    }
    let (first, code) = told(&output);
    let found = (number(&first, "lost"), number(&first, "wrong"), code);
    assert_eq!(found, (0, 0, 0), "{first}");
    assert!(
        number(&first, "kills") >= 5 && number(&first, "rows") > 0,
        "{first}"
    );
    assert_eq!(listing(&dir), [], "it is not mounted any more");
    // And a second run mounts it again.
    let again = [
        "--power-cut",
        "--seconds",
        "60",
        "--kills",
        "1",
        "--seed",
        "5",
    ];
    let (second, code) = told(&torture(&dir, &again).output().unwrap());
    assert_eq!((number(&second, "lost"), code), (0, 0), "{second}");
    assert!(
        second["transitions_by_kind"].get("bootstrap").is_none(),
        "{second}"
    );
}

/// A screen without what differs from run to run: numbers, and which of several things there were.
fn shape(screen: &str) -> Vec<String> {
    let line = |line: &str| {
        let mut shape = String::new();
        let mut in_list = false;
        for letter in line.chars() {
            match letter {
                '(' => {
                    in_list = true;
                    shape.push_str("(list)");
                }
                ')' => in_list = false,
                _ if in_list => {}
                '0'..='9' if shape.ends_with('#') => {}
                '0'..='9' => shape.push('#'),
                letter => shape.push(letter),
            }
        }
        shape
            .replace("#.#ms", "#ms")
            .replace("#.#s", "#ms")
            .replace("#.#µs", "#ms")
    };
    screen.lines().map(line).collect()
}

#[test]
fn the_screen_of_the_readme_is_what_a_run_shows() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let shown = readme
        .split("```text\n")
        .find(|block| block.starts_with("torture "))
        .and_then(|block| block.split("```").next())
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_torrens"))
        .args(["torture", "demo", "--seconds", "60", "--kills", "3"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{found}");
    // A consumer that sleeps through a short run has nothing to compare.
    let copied = ", # verified in the copy of a consumer";
    let without = |screen: &str| -> Vec<String> {
        let lines = shape(screen).into_iter();
        lines.map(|line| line.replace(copied, "")).collect()
    };
    assert!(shape(shown).iter().any(|line| line.ends_with(copied)));
    assert_eq!(without(&found), without(shown), "{found}");
}

/// Every entry of a directory by name, with its size.
fn listing(dir: &Path) -> Vec<(String, u64)> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes = if entry.path().is_dir() {
                listing(&entry.path()).iter().map(|(_, bytes)| bytes).sum()
            } else {
                entry.metadata().unwrap().len()
            };
            (entry.file_name().into_string().unwrap(), bytes)
        })
        .collect();
    entries.sort();
    entries
}
