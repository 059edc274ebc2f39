//! Every example runs to its end, and says what its page says that it says.

use std::process::Command;

/// Runs an example as a reader would, and gives what it printed.
fn run(example: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} failed:\n{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn quickstart_finds_both_regions_and_both_rows_again() {
    let printed = run("quickstart");
    for line in [
        "r1: JFK = New York",
        "r2: SFO = San Francisco",
        "r1: the host sends again from index 7",
    ] {
        assert!(printed.contains(line), "no {line:?} in:\n{printed}");
    }
}

#[test]
fn crash_and_reopen_splits_after_the_power_cut() {
    let printed = run("crash_and_reopen");
    for line in [
        "regions: 1",
        "the host sends again from index 7",
        "regions after the split came again: 2",
    ] {
        assert!(printed.contains(line), "no {line:?} in:\n{printed}");
    }
}

#[test]
fn observe_keeps_a_copy_through_splits_a_crash_and_a_restart() {
    let printed = run("observe");
    for line in [
        "split: 2 regions, 2 rows, the copy is the same; 5 entries told, 0 of them twice",
        "after the power cut: 3 regions, 3 rows, the copy is the same; 8 entries told, 0 of them twice",
        "opened again: 3 regions, 4 rows, the copy is the same; 9 entries told, 0 of them twice",
    ] {
        assert!(printed.contains(line), "no {line:?} in:\n{printed}");
    }
}
