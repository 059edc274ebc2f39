//! How the tool ends: one meaning per exit code, and one form for what went wrong.
//!
//! Everything that a person has to know about an error is in [`Failure`]: a stable code, a sentence,
//! and what to do next. Standard output carries data only; failures go to standard error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done; for a verdict: clean.
    pub(crate) const OK: Exit = Exit(0);
    /// The answer to the question is no: something differs, nothing matched, nobody gets the message.
    pub(crate) const NEGATIVE: Exit = Exit(1);
    /// Ctrl-C, after everything that was found was written.
    pub(crate) const INTERRUPTED: Exit = Exit(crate::interrupt::EXIT);
    /// The arguments make no sense; clap's own code.
    pub(crate) const USAGE: Exit = Exit(2);
    /// The operating system did not let us look, or there is nothing to look at.
    pub(crate) const UNREADABLE: Exit = Exit(8);
    /// Another process has the store open.
    pub(crate) const LOCKED: Exit = Exit(9);
    /// The directory is not in the state that the request needs; nothing was done.
    pub(crate) const STATE: Exit = Exit(10);
    /// A file that was handed in is not what it must be; nothing was done.
    pub(crate) const INPUT: Exit = Exit(11);

    /// Several directories were named where one is looked at.
    pub(crate) fn one_directory(what: &str) -> Failure {
        Failure {
            code: "one-directory",
            message: format!("{what} looks at one directory"),
            hint: Some("run it once for each of them".to_owned()),
            exit: Exit::USAGE,
        }
    }

    /// The answer of several stores together: the worst thing that was found; else yes if one of them says yes.
    pub(crate) fn of_all(exits: impl IntoIterator<Item = Exit>) -> Exit {
        let mut exits: Vec<Exit> = exits.into_iter().collect();
        exits.sort_unstable();
        match (exits.first(), exits.last()) {
            (_, Some(worst)) if *worst > Exit::NEGATIVE => *worst,
            (Some(best), _) => *best,
            (None, _) => Exit::OK,
        }
    }

    /// The exit code of a verdict, or of an error of the library.
    pub(crate) const fn of(code: u8) -> Self {
        Exit(code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.0)
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Stable lower-case word for scripts.
    pub(crate) code: &'static str,
    /// What failed, in a sentence without a full stop.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// How the process ends.
    pub(crate) exit: Exit,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torrens: error[{}]: {}", self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// Writes it to standard error and gives the exit code. A closed standard error is no reason to
    /// fail differently.
    pub(crate) fn report(&self) -> Exit {
        // Whoever pressed Ctrl-C knows it.
        if self.exit == Exit::INTERRUPTED {
            return self.exit;
        }
        let _ = match crate::pager::errors() {
            Some(mut pager) => writeln!(pager, "{self}"),
            None => writeln!(io::stderr().lock(), "{self}"),
        };
        self.exit
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        line.push_str(": ");
        line.push_str(&source.to_string());
        cause = source.source();
    }
    line
}
