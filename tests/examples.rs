//! Every example runs to its end, and says what its page says that it says.

use std::process::Command;

/// Runs an example as a reader would, and gives what it printed.
fn run(example: &str) -> String {
    run_with(example, &[])
}

fn run_with(example: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", example, "--"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} failed:\n{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The pieces of code on a page that say which file they are from, with the file.
fn quoted(page: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let file = line
            .strip_prefix("From `")
            .and_then(|rest| rest.strip_suffix("`:"));
        let Some(file) = file else {
            continue;
        };
        let code = lines
            .by_ref()
            .skip_while(|line| !line.starts_with("```"))
            .skip(1)
            .take_while(|line| !line.starts_with("```"));
        found.push((file.to_owned(), code.map(str::to_owned).collect()));
    }
    found
}

#[test]
fn what_the_guide_quotes_of_the_storage_process_stands_there_line_by_line_in_that_order() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/EMBEDDING.md")).expect("the guide is there");
    let quotes = quoted(&page);
    assert!(quotes.len() >= 3, "{}", quotes.len());
    for (file, code) in quotes {
        let path = root.join("examples/multi_raft/src").join(&file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut from = 0;
        // Between two places that are left out, line follows line.
        for piece in code.split(|line| line == "…") {
            let piece: Vec<&str> = piece.iter().map(|line| line.trim()).collect();
            let rest = lines.get(from..).unwrap_or_default();
            let at = rest.windows(piece.len()).position(|lines| lines == piece);
            let at = at.unwrap_or_else(|| panic!("{file} has no such lines: {piece:#?}"));
            from += at + piece.len();
        }
    }
}

#[test]
fn a_large_cluster_is_simulated_and_says_what_each_event_costs() {
    let small = ["--stores", "2", "--events", "4000", "--largest", "10000"];
    let printed = run_with("cluster_at_scale", &small);
    assert!(printed.contains("regions,event_us"), "{printed}");
    assert!(
        printed.contains("# cluster: 2 stores of 10000 regions"),
        "{printed}"
    );
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
