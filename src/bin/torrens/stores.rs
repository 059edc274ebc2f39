//! Several stores in one call: one answer after the other ([`each`]), or one table of all of them ([`gather`]).
//!
//! A directory that cannot be looked at keeps the others from nothing. Not here: records of several stores in the
//! order of their times (`dump`).

use std::io::{self, Write};
use std::path::PathBuf;

use torrens::inspector::Inspector;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Out;
use crate::render::printable;
use crate::sheet::{Column, left};
use crate::view::{Output, Style, Targets, View};

/// One of the directories that a command looks at.
#[derive(Clone, Debug)]
pub(crate) struct One {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What the output calls it; none if it is the only one.
    pub(crate) name: Option<String>,
}

impl One {
    /// All that were named.
    fn all(targets: &Targets) -> Vec<One> {
        let named = targets.named();
        let is_several = named.len() > 1;
        let one = |(name, path)| One {
            path,
            name: is_several.then_some(name),
        };
        named.into_iter().map(one).collect()
    }

    /// What stands for it in JSON: its name, or its path.
    pub(crate) fn dir(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => self.path.display().to_string(),
        }
    }

    /// The name and the path, as they were given.
    pub(crate) fn title(&self) -> String {
        let path = self.path.display().to_string();
        match &self.name {
            Some(name) if *name != path => printable(&format!("{name}={path}")),
            _ => printable(&path),
        }
    }

    /// What stands before a line that says something of this store among others.
    pub(crate) fn prefix(&self) -> String {
        prefix(self.name.as_deref())
    }
}

/// What stands before a line that says something of one store among others.
pub(crate) fn prefix(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| printable(&format!("{name}: ")))
}

/// The columns, behind one for the store if there are several.
pub(crate) fn columns(is_several: bool, columns: &[Column]) -> Vec<Column> {
    let dir = is_several.then(|| left("DIR"));
    dir.into_iter().chain(columns.iter().copied()).collect()
}

/// The cells, behind the name of the store if there are several.
pub(crate) fn cells(name: Option<&str>, cells: Vec<String>) -> Vec<String> {
    name.map(str::to_owned).into_iter().chain(cells).collect()
}

/// What became of looking at one directory.
#[derive(Debug)]
pub(crate) struct Looked {
    /// Whether the answer could be written.
    pub(crate) written: io::Result<()>,
    /// What the answer is.
    pub(crate) exit: Exit,
    /// What else there is to say, on standard error.
    pub(crate) failure: Option<Failure>,
}

/// Asks one directory after the other, with an empty line between their screens; as JSON they are one array. The
/// answer of all of them is [`Exit::of_all`] theirs.
pub(crate) fn each(
    targets: &Targets,
    view: &View,
    mut look: impl FnMut(&One, &mut dyn Write) -> Result<Looked, Failure>,
) -> Result<Exit, Failure> {
    let stores = One::all(targets);
    let mut out = Out::lock();
    if let [only] = stores.as_slice() {
        let looked = look(only, &mut out)?;
        let exit = out.finish(looked.written, looked.exit);
        if let Some(failure) = looked.failure {
            failure.report();
        }
        return Ok(exit);
    }
    let between: &[u8] = match view.output {
        Some(Output::Json) => b",\n",
        Some(Output::Ndjson) => b"",
        _ => b"\n",
    };
    let is_array = view.output == Some(Output::Json);
    let mut exits = Vec::new();
    let mut has_written = false;
    let mut written = match is_array {
        true => out.write_all(b"[\n"),
        false => Ok(()),
    };
    for one in &stores {
        // Written as a whole or not at all, so that a failure leaves no half of an answer.
        let mut answer = Vec::new();
        let looked = look(one, &mut answer).unwrap_or_else(|failure| Looked {
            written: Ok(()),
            exit: failure.exit,
            failure: Some(failure),
        });
        exits.push(looked.exit);
        if is_array {
            answer.truncate(answer.trim_ascii_end().len());
        }
        written = written.and(looked.written).and_then(|()| {
            if answer.is_empty() {
                return Ok(());
            }
            // Answers of one line each are a list.
            let is_line = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count() == 1;
            let is_apart = is_array || !is_line(&answer);
            if std::mem::replace(&mut has_written, true) && is_apart {
                out.write_all(between)?;
            }
            out.write_all(&answer)?;
            out.flush()
        });
        if let Some(failure) = looked.failure {
            failure.report();
        }
        if written.is_err() || looked.exit == Exit::INTERRUPTED {
            break;
        }
    }
    if is_array {
        written = written.and_then(|()| out.write_all(b"\n]\n"));
    }
    Ok(out.finish(written, Exit::of_all(exits)))
}

/// What was seen in one directory.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    /// What the output calls the store; none if it is the only one.
    pub(crate) name: Option<String>,
    /// What was asked for.
    pub(crate) what: T,
}

impl<T> Seen<T> {
    /// The same, of what is kept elsewhere.
    pub(crate) fn borrowed(&self) -> Seen<&T> {
        Seen {
            name: self.name.clone(),
            what: &self.what,
        }
    }
}

/// What was seen in all directories, for one table.
pub(crate) struct Gathered<T> {
    pub(crate) seen: Vec<Seen<T>>,
    pub(crate) style: Style,
    exits: Vec<Exit>,
    failures: Vec<Failure>,
}

/// Looks at each directory: what was asked for, whether the answer is no, and what keeps it from being whole.
///
/// # Errors
/// If nothing could be looked at; what is said of the others is on standard error already.
pub(crate) fn gather<T>(
    targets: &Targets,
    view: &View,
    mut look: impl FnMut(&One, &Inspector) -> Result<(T, Exit, Option<Failure>), Failure>,
) -> Result<Gathered<T>, Failure> {
    let mut style = None;
    let (mut seen, mut exits, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for one in One::all(targets) {
        let looked = view.open_path(&one.path).and_then(|inspector| {
            style.get_or_insert_with(|| view.style(&inspector));
            look(&one, &inspector)
        });
        match looked {
            Ok((what, exit, failure)) => {
                exits.push(failure.as_ref().map_or(exit, |failure| failure.exit));
                failures.extend(failure);
                let name = one.name;
                seen.push(Seen { name, what });
            }
            Err(failure) => {
                exits.push(failure.exit);
                failures.push(failure);
            }
        }
        if interrupt::asked() {
            break;
        }
    }
    match style.filter(|_| !seen.is_empty()) {
        Some(style) => Ok(Gathered {
            seen,
            style,
            exits,
            failures,
        }),
        None => {
            let last = failures.pop();
            failures.iter().for_each(|failure| {
                failure.report();
            });
            let worst = Exit::of_all(exits);
            Err(Failure {
                exit: worst,
                ..last.unwrap_or_else(|| Exit::one_directory("nothing"))
            })
        }
    }
}

impl<T> Gathered<T> {
    /// Whether rows say of which store they are.
    pub(crate) fn is_several(&self) -> bool {
        self.seen.iter().any(|seen| seen.name.is_some())
    }

    /// Ends the command.
    pub(crate) fn finish(self, out: Out, written: io::Result<()>) -> Exit {
        let exit = out.finish(written, Exit::of_all(self.exits));
        for failure in self.failures {
            failure.report();
        }
        exit
    }
}
