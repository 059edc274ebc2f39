//! Why a text is not a scenario: what is wrong, and exactly where.

/// A scenario file that cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {fault}")]
pub struct ParseError {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: ParseFault,
}

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFault {
    /// The text is longer than [`Scenario::BYTES_MAX`](super::Scenario::BYTES_MAX).
    #[error(
        "the file has {bytes} bytes, more than the {} allowed",
        super::Scenario::BYTES_MAX
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Bytes that are no UTF-8.
    #[error("the file is not UTF-8 text from here on")]
    NotText,
    /// A quotation mark without its partner.
    #[error("a quoted text does not end on its line")]
    OpenQuote,
    /// A backslash before something that it does not escape.
    #[error("an escape is one of \\\\ \\\" \\n \\t \\xHH")]
    BadEscape,
    /// Not the name of a command.
    #[error("there is no command {name:?}")]
    UnknownCommand {
        /// What stands there.
        name: String,
    },
    /// An argument that the command does not take.
    #[error("{command} takes no {name:?}")]
    UnknownArgument {
        /// The command.
        command: &'static str,
        /// What stands there.
        name: String,
    },
    /// An argument that may be given once only.
    #[error("{command} takes {name} only once")]
    ArgumentTwice {
        /// The command.
        command: &'static str,
        /// The argument.
        name: &'static str,
    },
    /// An argument that must be given and is not.
    #[error("{command} needs {name}")]
    ArgumentMissing {
        /// The command.
        command: &'static str,
        /// The argument.
        name: &'static str,
    },
    /// An argument whose text is not of its kind.
    #[error("{name} of {command} must be {must}, not {given:?}")]
    BadValue {
        /// The command.
        command: &'static str,
        /// The argument.
        name: &'static str,
        /// What it may be.
        must: String,
        /// What stands there.
        given: String,
    },
    /// A command without the line `----` behind it.
    #[error("a command is followed by a line ---- and its answer")]
    NoAnswer,
    /// A line `----` without a command before it.
    #[error("---- without a command before it")]
    NoCommand,
}
