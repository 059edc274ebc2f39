//! A sync that fails ends the journal, and opening it again gives what was acknowledged.
//!
//! `strace` lets the system calls fail: from a moment on, every one that makes something durable.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use torrens_journal::testing::skip;

use crate::child::{Child, holds, ways};

/// Fails calls of a running process until it is dropped.
struct Failing {
    strace: std::process::Child,
}

impl Failing {
    /// The calls named fail with EIO from now on.
    fn calls(pid: u32, calls: &str) -> Result<Failing, String> {
        let mut strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error=EIO")])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let mut said = String::new();
        BufReader::new(strace.stderr.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let failing = Failing { strace };
        if said.contains("attached") {
            Ok(failing)
        } else {
            Err(said)
        }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Asked to end, it lets go of the process; killed, it might leave it stopped.
        let pid = rustix::process::Pid::from_child(&self.strace);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.strace.wait();
    }
}

#[test]
fn a_failed_sync_poisons_the_journal_and_opening_again_is_the_way_back() {
    const TEST: &str = "a_failed_sync_poisons_the_journal";
    for way in ways(TEST) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("journal");
        let mut child = Child::start(&dir, way);
        child.must("create 262144");
        child.must("append 20 3000");
        let calls = "fsync,fdatasync,io_uring_enter,pwritev2";
        let failing = match Failing::calls(child.pid(), calls) {
            Ok(failing) => failing,
            Err(why) => return skip(TEST, why),
        };
        let answer = child.ask("append 5 3000");
        assert!(answer.is_poisoned(), "{way:?}: {answer:?}");
        assert!(answer.outcome.contains("Input/output error"), "{answer:?}");
        assert_eq!(answer.done, 0);
        drop(failing);
        // The device would work again. What is lost is not known, so nothing goes on.
        for command in ["append 1 3000", "sync"] {
            let answer = child.ask(command);
            assert!(answer.is_poisoned() && answer.done == 0, "{answer:?}");
        }
        assert!(!child.ask("mark").is_ok());
        assert!(!child.ask("close").is_ok());
        assert_eq!(child.must("synced"), 20);
        drop(child);
        let mut child = Child::start(&dir, way);
        let last = child.must("resume 262144");
        assert!((20..=21).contains(&last), "{way:?}: {last}");
        child.must("append 30 3000");
        child.must("close");
        holds(&dir, last + 30, 3000);
    }
}
