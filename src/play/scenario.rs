//! `Scenario`: a file as a list of comments and steps, and back to text with other answers.
//!
//! ```text
//! # A comment, for people.
//! split r1 at=8 boundary=m child=r2:p20@s1
//! ----
//! accepted
//! ```
//!
//! A step is one command line, a line `----`, and the answer up to the next empty line or the end of
//! the file. Not here: what commands exist (`spec`), playing (`player`).

use super::args::Args;
use super::spec::{self, CommandSpec};
use super::{ParseError, ParseFault, words};

const SEPARATOR: &str = "----";

/// A file that can be played.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything in it, in order.
    pub items: Vec<Item>,
}

/// One part of a file.
#[derive(Clone, Debug)]
pub enum Item {
    /// A comment or an empty line, as it stands there.
    Comment(String),
    /// A command and its answer.
    Step(Step),
}

/// A command and the answer that is expected.
#[derive(Clone, Debug)]
pub struct Step {
    /// Line of the command, from 1.
    pub line: usize,
    /// The command as it stands there.
    pub text: String,
    /// What answers: no line ends with a line break.
    pub expected: Vec<String>,
    pub(super) command: &'static CommandSpec,
    pub(super) args: Args,
}

impl Step {
    /// The command's name.
    pub fn command(&self) -> &'static str {
        self.command.name
    }
}

impl Scenario {
    /// Longest file, in bytes.
    pub const BYTES_MAX: usize = 1024 * 1024;

    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.items.iter().filter_map(|item| match item {
            Item::Comment(_) => None,
            Item::Step(step) => Some(step),
        })
    }

    /// The file with these answers, one for each step; a step beyond them keeps its own.
    pub fn rewritten(&self, answers: &[Vec<String>]) -> String {
        let mut answers = answers.iter();
        let mut text = String::new();
        for item in &self.items {
            match item {
                Item::Comment(comment) => {
                    text.push_str(comment);
                    text.push('\n');
                }
                Item::Step(step) => {
                    let answer = answers.next().unwrap_or(&step.expected);
                    let lines = [step.text.as_str(), SEPARATOR].into_iter();
                    for line in lines.chain(answer.iter().map(String::as_str)) {
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
        }
        text
    }
}

/// Reads a scenario of bytes from anywhere: a file, a fuzzer.
///
/// # Errors
/// As [`parse`]; bytes that are no UTF-8 are a fault where they stand. Nothing panics, whatever the bytes.
pub fn parse_bytes(bytes: &[u8]) -> Result<Scenario, ParseError> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return parse(text),
        Err(error) => error,
    };
    let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let is_break = |byte: &u8| *byte == b'\n';
    let line_start = valid.iter().rposition(is_break).map_or(0, |at| at + 1);
    Err(ParseError {
        line: 1 + valid.iter().filter(|byte| is_break(byte)).count(),
        column: 1 + valid.len() - line_start,
        fault: ParseFault::NotText,
    })
}

/// Reads a scenario.
///
/// # Errors
/// The first thing that is wrong, with its line and column. Nothing panics, whatever the text.
pub fn parse(text: &str) -> Result<Scenario, ParseError> {
    if text.len() > Scenario::BYTES_MAX {
        let fault = ParseFault::TooLong { bytes: text.len() };
        return Err(ParseError {
            line: 1,
            column: 1,
            fault,
        });
    }
    let mut items = Vec::new();
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((text, line)) = lines.next() {
        let at = |(column, fault)| ParseError {
            line,
            column,
            fault,
        };
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            items.push(Item::Comment(text.to_owned()));
            continue;
        }
        if trimmed == SEPARATOR {
            return Err(at((1, ParseFault::NoCommand)));
        }
        let (command, args) = spec::read(&words::words(text).map_err(at)?).map_err(at)?;
        let separator = lines.next_if(|(next, _)| next.trim() == SEPARATOR);
        if separator.is_none() {
            return Err(at((text.len() + 1, ParseFault::NoAnswer)));
        }
        let mut expected = Vec::new();
        while let Some((answer, _)) = lines.next_if(|(next, _)| !next.trim().is_empty()) {
            expected.push(answer.trim_end().to_owned());
        }
        items.push(Item::Step(Step {
            line,
            text: text.to_owned(),
            expected,
            command,
            args,
        }));
    }
    Ok(Scenario { items })
}
