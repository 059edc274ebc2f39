//! Standard output: which form, and one locked, buffered writer that a closed pipe ends quietly.
//!
//! Not here: how a value looks (`render`).

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::exit::{Exit, Failure};
use crate::pager;
use crate::render::{cut, printable};
use crate::view::{Output, Style};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 64 * 1024;
/// Columns of a terminal that does not say how wide it is.
const WIDTH_DEFAULT: usize = 100;
/// Columns by which what goes on is further to the right.
const INDENT: usize = 4;
/// Fewest columns that a table is cut to.
const WIDTH_MIN: usize = 20;

/// The writer of every command.
#[derive(Debug)]
pub(crate) struct Out {
    writer: BufWriter<Sink>,
}

/// Standard output, or a pager in front of it.
#[derive(Debug)]
struct Sink {
    stdout: StdoutLock<'static>,
    pager: Option<File>,
    was_asked: bool,
}

impl Sink {
    /// The pager starts with the first bytes; a bar that is shown until then has room.
    fn writer(&mut self) -> &mut dyn Write {
        if !std::mem::replace(&mut self.was_asked, true) {
            self.pager = pager::input();
        }
        match &mut self.pager {
            Some(pager) => pager,
            None => &mut self.stdout,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

impl Out {
    /// Locks standard output.
    pub(crate) fn lock() -> Self {
        Out {
            writer: BufWriter::with_capacity(
                BUFFER_BYTES,
                Sink {
                    stdout: io::stdout().lock(),
                    pager: None,
                    was_asked: false,
                },
            ),
        }
    }

    /// Ends the command: what is buffered is written, and `exit` is the answer unless the output
    /// itself failed. A reader that went away has had enough, which is no failure.
    pub(crate) fn finish(mut self, written: io::Result<()>, exit: Exit) -> Exit {
        let outcome = written.and_then(|()| self.writer.flush());
        // What could not be written would be tried again when the buffer is dropped.
        let (_stdout, _unwritten) = self.writer.into_parts();
        match outcome {
            Ok(()) => exit,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
            Err(error) => Failure {
                code: "output",
                message: format!("cannot write the output: {error}"),
                hint: None,
                exit: Exit::UNREADABLE,
            }
            .report(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Whether a person looks at standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns that a line may take: those of the terminal, or what `COLUMNS` says.
pub(crate) fn width() -> usize {
    let stated = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let asked = || rustix::termios::tcgetwinsize(io::stdout()).ok();
    let of_terminal = || {
        asked()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0)
    };
    stated
        .or_else(of_terminal)
        .unwrap_or(WIDTH_DEFAULT)
        .max(WIDTH_MIN)
}

/// A line below a table, broken between words on a terminal and never wider than it.
pub(crate) fn note(out: &mut impl Write, text: &str, style: &Style) -> io::Result<()> {
    let width = match style.output {
        Output::Table => width(),
        _ => usize::MAX,
    };
    // A range stays in one piece.
    let text = text.replace(" … ", "\u{a0}…\u{a0}");
    let mut line = String::new();
    for word in text.split(' ') {
        let word = word.replace('\u{a0}', " ");
        let longer = line
            .chars()
            .count()
            .saturating_add(1 + word.chars().count());
        if longer > width && !line.trim_start().is_empty() {
            writeln!(out, "{}", cut(&line, width))?;
            line = " ".repeat(INDENT);
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    writeln!(out, "{}", cut(&line, width))
}

/// Text broken between words, on a terminal; `first` stands before the first line, as much room before the
/// others.
pub(crate) fn wrapped(
    out: &mut dyn Write,
    first: &str,
    text: &str,
    style: &Style,
) -> io::Result<()> {
    let width = match style.output {
        Output::Table => width().max(40),
        _ => usize::MAX,
    };
    // Where little room would be left, the other lines begin further to the left.
    let room = match first.chars().count() {
        room if room > width / 2 => INDENT,
        room => room,
    };
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in printable(text).split(' ') {
        let longer = line.chars().count() + usize::from(!is_empty) + word.chars().count();
        if longer > width && !is_empty {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(room);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{}", line.trim_end())
}
