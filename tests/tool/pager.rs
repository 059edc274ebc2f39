//! A pager between the tool and a terminal; the terminal is a pseudo terminal.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::fixture::{Store, torrens};

/// Marks every line that goes through it.
const MARKS: &str = "sed s/^/paged:/";

/// Runs a command on a terminal: its exit code, and what the terminal shows.
fn on_terminal(command: &mut Command) -> (i32, String) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let terminal = File::from(terminal);
    let mut child = command
        .env("TERM", "xterm")
        .env("COLUMNS", "200")
        .stdin(Stdio::null())
        .stdout(terminal.try_clone().unwrap())
        .stderr(terminal)
        .spawn()
        .unwrap();
    // The command holds the terminal open too; without its own copy the end is seen.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut shown, mut part) = (Vec::new(), [0; 4096]);
    let mut controller = File::from(controller);
    // The end of a terminal is an error on Linux, and no bytes elsewhere.
    while let Ok(bytes) = controller.read(&mut part) {
        if bytes == 0 {
            break;
        }
        shown.extend_from_slice(&part[..bytes]);
    }
    let code = child.wait().unwrap().code().unwrap();
    (
        code,
        String::from_utf8(shown).unwrap().replace("\r\n", "\n"),
    )
}

fn state(dir: &Path) -> Command {
    let mut command = torrens(dir, "state");
    command
        .env_remove("PAGER")
        .env_remove("LESS")
        .env("TORRENS_PAGER", MARKS);
    command
}

#[test]
fn what_a_person_reads_goes_through_the_pager_and_the_exit_code_is_the_answer() {
    let store = Store::with_history().close();
    let (code, shown) = on_terminal(&mut state(store.path()));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("REGION"), "{shown}");
    assert!(shown.contains("state after LSN 9"), "{shown}");
    for line in shown.lines() {
        assert!(line.starts_with("paged:"), "{line:?} in {shown}");
    }
    // What is said on standard error would be painted over.
    let damaged = super::damage::damaged_in_the_middle();
    let (code, shown) = on_terminal(&mut state(damaged.path()));
    assert_eq!(code, 5, "{shown}");
    assert!(
        shown.contains("paged:torrens: error[corrupt-mid-log]"),
        "{shown}"
    );
}

#[test]
fn there_is_no_pager_where_none_is_wanted() {
    let store = Store::with_history().close();
    let plain = |command: &mut Command, why: &str| {
        let (code, shown) = on_terminal(command);
        assert_eq!(code, 0, "{why}: {shown}");
        assert!(shown.contains("state after LSN 9"), "{why}: {shown}");
        assert!(!shown.contains("paged:"), "{why}: {shown}");
    };
    plain(state(store.path()).arg("--no-pager"), "--no-pager");
    plain(state(store.path()).env("TORRENS_PAGER", ""), "an empty one");
    plain(state(store.path()).env("TORRENS_PAGER", "cat"), "cat");
    let missing = "/there/is/no/such/pager";
    plain(state(store.path()).env("TORRENS_PAGER", missing), missing);
    let own = state(store.path())
        .env("PAGER", MARKS)
        .env("TORRENS_PAGER", "cat")
        .output();
    let own = String::from_utf8(own.unwrap().stdout).unwrap();
    assert!(
        !own.contains("paged:"),
        "standard output is no terminal: {own}"
    );
    let mut command = state(store.path());
    command.env_remove("TORRENS_PAGER").env("PAGER", MARKS);
    let (_, shown) = on_terminal(&mut command);
    assert!(shown.contains("paged:"), "PAGER counts too: {shown}");
}
