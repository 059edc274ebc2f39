//! A pager between the tool and a terminal, so that a long answer can be read from its begin.
//!
//! It starts with the first byte that is written, never if standard output is no terminal, and the tool ends when
//! it ends. What cannot be started is left out.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Where a pager is named for this tool alone; before `PAGER`.
const OWN_VARIABLE: &str = "TORRENS_PAGER";
/// The pager of who names none.
const DEFAULT: &str = "less";
/// Its options, unless `LESS` has others: leave if all of it fits on the screen, colours, and nothing is wiped away
/// at the end.
const LESS: &str = "FRX";

static IS_WANTED: AtomicBool = AtomicBool::new(false);
static IS_ON: AtomicBool = AtomicBool::new(false);
static RUNNING: Mutex<Option<Pager>> = Mutex::new(None);

struct Pager {
    child: Child,
    input: OwnedFd,
}

fn running() -> MutexGuard<'static, Option<Pager>> {
    RUNNING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// From now on output goes through a pager, if a person looks at it.
pub(crate) fn want() {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if io::stdout().is_terminal() && !is_dumb {
        IS_WANTED.store(true, Ordering::Relaxed);
    }
}

/// Whether there is one.
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// What is written to instead of standard output; none if there is no pager. Starts it.
pub(crate) fn input() -> Option<File> {
    let mut running = running();
    if running.is_none() && IS_WANTED.swap(false, Ordering::Relaxed) {
        *running = start();
        IS_ON.store(running.is_some(), Ordering::Relaxed);
    }
    let input = running.as_ref()?.input.as_fd().try_clone_to_owned();
    input.ok().map(File::from)
}

/// What is written to instead of standard error, which would be painted over.
pub(crate) fn errors() -> Option<File> {
    let input = running().as_ref()?.input.as_fd().try_clone_to_owned();
    input
        .ok()
        .filter(|_| io::stderr().is_terminal())
        .map(File::from)
}

fn start() -> Option<Pager> {
    let named = [OWN_VARIABLE, "PAGER"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let line = named.unwrap_or_else(|| DEFAULT.to_owned());
    // Nothing, and `cat`, mean that none is wanted.
    let mut words = line.split_whitespace();
    let program = words.next().filter(|program| *program != "cat")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    let mut child = command.spawn().ok()?;
    let input = OwnedFd::from(child.stdin.take()?);
    Some(Pager { child, input })
}

/// Waits until whoever reads has read enough.
pub(crate) fn end() {
    let Some(Pager { mut child, input }) = running().take() else {
        return;
    };
    drop(input);
    // How it ended says nothing of the answer.
    let _ = child.wait();
    IS_ON.store(false, Ordering::Relaxed);
}
