//! Limits of a process: open files, sizes of files, memory.

use std::os::unix::process::ExitStatusExt;

use crate::child::{Child, holds, register_holds};

#[test]
fn too_many_open_files_is_an_answer_and_work_goes_on_when_there_are_fewer() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut refusals = 0;
    // However many files are left for the opening, it opens or it says why not.
    for spare in 0..24 {
        let mut child = Child::start(&dir);
        child.must(&format!("limit files +{spare}"));
        let opened = child.ask("open");
        if !opened.is_ok() {
            refusals += 1;
            assert!(
                opened.outcome.starts_with("open-") && opened.outcome.contains("os error 24"),
                "{spare} to spare: {opened:?}"
            );
            // The same process, with files again.
            child.must("limit files none");
            child.must("open");
        }
        child.must("limit files none");
        child.must("close");
    }
    assert!(refusals >= 3, "{refusals} openings were refused");

    let mut child = Child::start(&dir);
    child.must("open");
    let first = child.must("create 50");
    child.must("limit files +0");
    // A segment of 256 KiB is full after some sixty; the next needs a file.
    let stopped = child.ask("create 400");
    assert!(
        stopped.is_ok() || stopped.outcome.contains("os error 24"),
        "{stopped:?}"
    );
    let checkpoint = child.ask("checkpoint");
    assert!(
        checkpoint.is_ok() || checkpoint.outcome.contains("os error 24"),
        "{checkpoint:?}"
    );
    child.must("limit files none");
    let again = child.ask("create 100");
    // A journal that could not make its next segment goes on; one whose sync failed must be opened again.
    assert!(
        again.is_ok() || again.outcome.starts_with("poisoned"),
        "{again:?}"
    );
    drop(child);
    holds(&dir, first + stopped.done + again.done, 0);
}

#[test]
fn a_limit_on_file_sizes_is_an_answer_and_work_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut child = Child::start(&dir);
    child.must("limit file-bytes 100000");
    let refused = child.ask("open").outcome;
    assert!(refused.starts_with("open-"), "{refused}");
    child.must("limit file-bytes none");
    child.must("open");
    let first = child.must("create 40");
    child.must("limit file-bytes 100000");
    let stopped = child.ask("create 400");
    assert!(
        ["disk-full", "poisoned", "append-failed"]
            .iter()
            .any(|code| stopped.outcome.starts_with(code)),
        "{stopped:?}"
    );
    drop(child);
    holds(&dir, first + stopped.done, 0);
}

/// Memory that is short ends what asks for it, typed where the language allows it; a process that has not one byte
/// left is ended by its allocator, which is a crash like any other. Without sled: it waits for ever for a thread that the
/// kernel does not give it (docs/RELIABILITY.md).
#[test]
fn short_memory_is_an_answer_or_a_crash_and_loses_nothing() {
    let (mut answers, mut crashes, mut worked) = (0, 0, 0);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut created = 0;
    for spare in [
        0_u64,
        64 << 10,
        256 << 10,
        1 << 20,
        4 << 20,
        16 << 20,
        64 << 20,
        256 << 20,
    ] {
        let mut child = Child::start(&dir);
        child.must(&format!("limit memory +{spare}"));
        let mut commands = ["open register", "create 100", "checkpoint", "close"].iter();
        loop {
            let Some(command) = commands.next() else {
                worked += 1;
                break;
            };
            match child.try_ask(command) {
                Ok(answer) => {
                    created += if *command == "create 100" {
                        answer.done
                    } else {
                        0
                    };
                    if !answer.is_ok() {
                        answers += 1;
                        assert!(
                            answer.outcome.contains("os error 12")
                                || answer.outcome.contains("os error 11"),
                            "{spare} {command}: {answer:?}"
                        );
                        break;
                    }
                }
                Err(status) => {
                    // Aborted by the allocator; a signal of another kind is a fault of ours.
                    assert_eq!(status.signal(), Some(6), "{spare} {command}: {status}");
                    crashes += 1;
                    // What it had acknowledged of this command nobody was told.
                    break;
                }
            }
        }
        drop(child);
        if worked > 0 || created > 0 {
            register_holds(&dir, created);
        }
    }
    assert!(
        worked > 0,
        "{answers} answers, {crashes} crashes, nothing worked"
    );
    assert!(answers + crashes > 0, "memory was never short");
}
