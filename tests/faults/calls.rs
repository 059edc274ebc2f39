//! System calls that the kernel does not allow, or that fail: io_uring, fallocate, reads. The filter is a real one
//! (seccomp), as a container sets it.

use crate::child::{Child, contents, holds};

/// A policy forbids io_uring, or the kernel has none: everything works without it, also on what was written with it.
#[test]
fn without_io_uring_everything_works() {
    for error in ["EPERM", "ENOSYS"] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("store");
        let mut child = Child::start(&dir);
        child.must("open");
        child.must("create 50");
        child.must("close");
        drop(child);
        let mut child = Child::start(&dir);
        child.must(&format!("forbid io_uring_setup {error}"));
        assert_eq!(child.must("open"), 0, "{error}: it is not made again");
        child.must("create 150");
        child.must("write 200");
        let rows = child.must("flush");
        child.must("checkpoint");
        child.must("close");
        drop(child);
        holds(&dir, 200, rows);
    }
}

/// A file system without fallocate: segments are written with zeros, and never rest on it.
#[test]
fn without_fallocate_everything_works() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut child = Child::start(&dir);
    child.must("forbid fallocate EOPNOTSUPP");
    child.must("open");
    child.must("create 200");
    child.must("write 100");
    let rows = child.must("flush");
    child.must("close");
    drop(child);
    holds(&dir, 200, rows);
}

/// A device that cannot be read is not taken for damage: opening is refused, and not a byte is changed.
#[test]
fn reads_that_fail_are_an_answer_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut child = Child::start(&dir);
    child.must("open");
    child.must("create 150");
    child.must("write 50");
    let rows = child.must("flush");
    child.must("checkpoint");
    child.must("create 20");
    // Killed, not closed: recovery has something to do.
    drop(child);
    let before = contents(&dir);
    let mut child = Child::start(&dir);
    child.must("forbid pread64 EIO");
    let refused = child.ask("open").outcome;
    assert!(
        refused.starts_with("open-recovery")
            && refused.contains("unreadable")
            && refused.contains("os error 5"),
        "{refused}"
    );
    drop(child);
    let journal = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        let mut files = files.clone();
        files.retain(|name, _| name.starts_with("journal") || name.starts_with("checkpoints"));
        files
    };
    assert!(
        journal(&contents(&dir)) == journal(&before),
        "nothing was changed"
    );
    holds(&dir, 170, rows);
}

/// The same in the middle of work: what needs no reading goes on, and the rest is an answer.
#[test]
fn reads_that_begin_to_fail_in_the_middle_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut child = Child::start(&dir);
    child.must("open");
    child.must("create 100");
    child.must("write 50");
    let rows = child.must("flush");
    child.must("forbid pread64 EIO");
    let created = child.ask("create 100");
    assert!(
        created.is_ok() || created.outcome.contains("os error 5"),
        "{created:?}"
    );
    // Typed or done, and the process lives.
    for command in ["read 3", "write 5", "checkpoint"] {
        child.ask(command);
    }
    drop(child);
    holds(&dir, 100 + created.done, rows);
}
