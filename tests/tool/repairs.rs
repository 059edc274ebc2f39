//! `torrens repair`, `completions` and `man`, run as a person runs them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use torrens_journal::disk::{Disk, RealDisk};

use crate::fixture::{Answer, Closed, answer, contents};
use crate::{closed, damaged_in_the_middle, golden, normal};

/// Runs `torrens repair` and whatever follows.
fn repair(words: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
    command
        .arg("repair")
        .args(words)
        .env("COLUMNS", "160")
        .env_remove("TORRENS_DIR");
    answer(command.output().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A damaged store, and a plan for it.
fn planned() -> (Closed, tempfile::TempDir, PathBuf) {
    let store = damaged_in_the_middle();
    // Locking makes this file; it is none of what a repair changes.
    fs::write(store.path().join("LOCK"), "").unwrap();
    let aside = tempfile::tempdir().unwrap();
    let plan = aside.path().join("plan");
    let made = repair(&["plan", text(store.path()), "--save", text(&plan)]);
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{}", made.out);
    (store, aside, plan)
}

/// Everything but the lock file, which holds the id of who locked last.
fn files(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = contents(dir);
    found.retain(|(path, _)| !path.ends_with("LOCK"));
    found
}

/// The outcome of a refusal: exit code and stable word.
fn refused(answer: &Answer) -> (i32, &str) {
    let word = answer.err.split(['[', ']']).nth(1).unwrap_or("");
    (answer.code, word)
}

/// What differs from run to run: checksums of files with times in them, the random salt's traces.
fn screen(answer: &Answer, store: &Closed, plan: &Path) -> String {
    let shown = answer.out.replace(text(plan), "PLAN");
    let shown = normal(&shown, text(store.path()));
    let lines = shown
        .lines()
        .map(|line| match line.split_once("rests on  ") {
            Some((_, rest)) => {
                let (_, rest) = rest.split_once('-').unwrap_or_default();
                format!("rests on  ########-{rest}\n")
            }
            None => format!("{line}\n"),
        });
    lines.collect()
}

#[test]
fn a_repair_is_planned_applied_listed_undone_and_purged() {
    let (store, _aside, plan) = planned();
    let dir = text(store.path());
    let before = files(store.path());
    let made = repair(&["plan", dir]);
    assert_eq!(files(store.path()), before, "planning changed something");
    golden("repair-plan.txt", &screen(&made, &store, &plan));
    let json = repair(&["plan", dir, "-o", "json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["way"], "cut-at-damage");
    assert_eq!(json["verdict"], "corrupt-mid-log");

    let dry = repair(&["apply", dir, text(&plan), "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert_eq!(files(store.path()), before, "a dry run changed something");
    golden("repair-dry-run.txt", &screen(&dry, &store, &plan));

    let done = repair(&["apply", dir, text(&plan)]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    golden("repair-apply.txt", &screen(&done, &store, &plan));
    let list = repair(&["list", dir, "-o", "table"]);
    golden("repair-list.txt", &screen(&list, &store, &plan));
    let list = repair(&["list", dir, "-o", "ndjson"]);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["state"], "done");

    let after = files(store.path());
    for verb in ["undo", "purge"] {
        let dry = repair(&[verb, dir, "1", "--dry-run"]);
        assert_eq!(dry.code, 0, "{}", dry.err);
        assert_eq!(files(store.path()), after, "{verb} --dry-run");
    }
    let undone = repair(&["undo", dir, "1"]);
    assert_eq!((undone.code, undone.err.as_str()), (0, ""));
    golden("repair-undo.txt", &screen(&undone, &store, &plan));
    let kept = |(path, _): &(PathBuf, _)| !path.starts_with(store.path().join("journal/repair"));
    let mut now = files(store.path());
    now.retain(kept);
    assert_eq!(now, before, "undoing left a difference");

    let purged = repair(&["purge", dir, "1"]);
    assert_eq!(purged.code, 0, "{}", purged.err);
    golden("repair-purge.txt", &screen(&purged, &store, &plan));
    assert_eq!(repair(&["list", dir, "-o", "ndjson"]).out, "");
    let again = repair(&["apply", dir, text(&plan)]);
    assert!(again.out.contains("repair 2:"), "{}", again.out);
}

#[test]
fn each_refusal_of_a_repair_has_its_exit_code_and_changes_nothing() {
    let (store, aside, plan) = planned();
    let dir = text(store.path());
    let before = files(store.path());
    let sound = closed();

    let answer = repair(&["plan", text(sound.path())]);
    assert_eq!(refused(&answer), (1, "not-repairable"));
    let answer = repair(&["plan", dir, "--way", "rebuild-mark"]);
    assert_eq!(refused(&answer), (1, "no-way"));
    assert_eq!(repair(&["plan", dir, "--way", "magic"]).code, 2);
    let answer = repair(&["plan", text(aside.path())]);
    assert_eq!(refused(&answer), (8, "not-a-store"));
    let answer = repair(&["apply", text(sound.path()), text(&plan)]);
    assert_eq!(refused(&answer), (10, "changed"));
    for verb in ["undo", "purge"] {
        assert_eq!(refused(&repair(&[verb, dir, "7"])), (10, "wrong-state"));
    }
    // An existing file is never overwritten, nor is a link followed.
    let target = aside.path().join("target");
    let link = aside.path().join("link");
    symlink(&target, &link).unwrap();
    for file in [&plan, &link] {
        let answer = repair(&["plan", dir, "--save", text(file)]);
        assert_eq!(refused(&answer), (8, "output"));
    }
    assert!(!target.exists());

    let lock = RealDisk::new().lock(&store.path().join("LOCK")).unwrap();
    let locked = [
        repair(&["plan", dir]),
        repair(&["apply", dir, text(&plan)]),
        repair(&["undo", dir, "1"]),
        repair(&["purge", dir, "1"]),
    ];
    drop(lock);
    for answer in &locked {
        assert_eq!(refused(answer), (9, "locked"));
    }
    assert_eq!(files(store.path()), before, "a refusal changed something");
}

/// A plan text with the right checksum, whatever it says.
fn sealed(body: &str) -> String {
    format!("{body}end {:08x}\n", crc32fast::hash(body.as_bytes()))
}

#[test]
fn hostile_plans_are_refused_and_change_nothing() {
    let (store, aside, plan) = planned();
    let dir = text(store.path());
    let before = files(store.path());
    let good = fs::read_to_string(&plan).unwrap();
    let body = good.rsplit_once("end ").unwrap().0;
    let with = |step: &str| sealed(&format!("{body}{step}\n"));
    let hostile = aside.path().join("hostile");
    let big = u64::MAX;
    for (exit, code, text_of) in [
        (11, "bad-input", String::new()),
        (11, "bad-input", "no plan".to_owned()),
        (11, "bad-input", good.replace("cut-at", "cut-xx")),
        (11, "bad-input", "torrens repair 1\n".repeat(1 << 21)),
        (11, "bad-input", with("step set-aside journal ../../escape")),
        (11, "bad-input", with("step set-aside journal /etc/passwd")),
        (11, "bad-input", with("step set-aside journal repair")),
        (11, "bad-input", with(&format!("step zero 1 0 {big} {big}"))),
        (11, "bad-input", with(&format!("step zero {big}0 0 1 1"))),
        (
            11,
            "bad-input",
            with(&format!("step new-segment 2 1 {big} {} 1", "0".repeat(32))),
        ),
        (
            10,
            "not-the-plan",
            with("step set-aside journal journal.mark"),
        ),
        (10, "not-the-plan", with("lost-segment 9")),
    ] {
        fs::write(&hostile, &text_of).unwrap();
        let answer = repair(&["apply", dir, text(&hostile)]);
        let start: String = text_of.chars().rev().take(80).collect();
        assert_eq!(refused(&answer), (exit, code), "{start}");
    }
    fs::write(&hostile, [0xff, 0xfe]).unwrap();
    for file in [&hostile, Path::new("/dev/zero"), aside.path()] {
        let answer = repair(&["apply", dir, text(file)]);
        assert_eq!(refused(&answer), (11, "bad-input"));
    }
    let answer = repair(&["apply", dir, text(&aside.path().join("none"))]);
    assert_eq!(refused(&answer), (8, "input"));
    assert_eq!(files(store.path()), before, "a refusal changed something");
}

#[test]
fn an_interrupted_repair_goes_on_with_the_plan_that_lies_in_the_directory() {
    let (store, _aside, plan) = planned();
    let dir = text(store.path());
    let folder = store.path().join("journal/repair");
    fs::create_dir(&folder).unwrap();
    // The plan is durable, and no step was taken: as if the process had died there.
    let begun = folder.join("000001.plan");
    fs::copy(&plan, &begun).unwrap();
    let answer = repair(&["apply", text(closed().path()), text(&plan)]);
    assert_eq!(refused(&answer), (10, "changed"));
    let dry = repair(&["apply", dir, text(&begun), "--dry-run"]);
    assert!(dry.out.contains("go on with repair 1"), "{}", dry.out);
    assert_eq!(refused(&repair(&["purge", dir, "1"])), (10, "wrong-state"));
    let done = repair(&["apply", dir, text(&begun)]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert!(done.out.contains("verdict   clean"), "{}", done.out);
}

#[test]
fn completions_and_manual_pages_are_made_for_every_command() {
    let tool = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
        answer(command.args(words).output().unwrap())
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = tool(&["completions", shell]);
        assert_eq!(script.code, 0);
        for verb in ["repair", "extract", "build", "simulate", "bundle", "schema"] {
            assert!(script.out.contains(verb), "{shell}: {verb}");
        }
    }
    for words in [
        &["man"][..],
        &["man", "dump"],
        &["man", "repair", "plan"],
        &["man", "extract"],
        &["man", "build"],
        &["man", "simulate"],
        &["man", "bundle"],
        &["man", "schema"],
    ] {
        let page = tool(words);
        assert_eq!(page.code, 0);
        assert!(page.out.contains(".TH torrens"), "{words:?}: {}", page.out);
    }
    assert_eq!(refused(&tool(&["man", "nothing"])), (2, "no-such-command"));
}
