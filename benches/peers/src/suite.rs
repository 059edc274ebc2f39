//! What every suite does: say what runs where, and print what came out.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::args::Options;
use crate::compare;
use crate::journal;
use crate::judged;
use crate::machine;
use crate::peers::{self, Mode, Peer, Setting};
use crate::place::Place;
use crate::row::Row;
use crate::table::{self, Line};

/// Who runs beside Torrens if `--quick` is given and nobody is named.
const CLOSEST: &[&str] = &["raft_engine", "okaywal", "raw"];

/// Makes the place and says on stderr what is about to run.
pub(crate) fn begin(name: &str, options: &Options) -> Result<Place> {
    for wanted in &options.peers {
        if !known(wanted) {
            let known: Vec<&str> = peers::all().iter().map(|peer| peer.name()).collect();
            bail!("{wanted} is not among the peers: {}", known.join(", "));
        }
    }
    let place = Place::new(options.dir.as_deref())?;
    eprintln!("machine: {}", machine::describe(place.path()));
    eprintln!(
        "{name}: {} rounds, {:.2} s a run, seed {}",
        options.rounds(),
        options.measured().as_secs_f64(),
        options.seed
    );
    if cfg!(debug_assertions) {
        eprintln!("note: this is not a release build; the figures mean nothing");
    }
    Ok(place)
}

fn known(wanted: &str) -> bool {
    let names = |peer: &&dyn Peer| {
        peer.name() == wanted || peer.settings().iter().any(|s| s.column == wanted)
    };
    peers::all().iter().any(names)
}

/// The peers and settings that run for `mode`; Torrens is not among them.
pub(crate) fn field(
    options: &Options,
    mode: Mode,
) -> impl Iterator<Item = (&'static dyn Peer, &'static Setting)> {
    let wanted = move |peer: &str, column: &str| {
        if !options.peers.is_empty() {
            let named = |wanted: &String| wanted == peer || wanted == column;
            return options.peers.iter().any(named);
        }
        !options.quick || CLOSEST.contains(&peer)
    };
    peers::all()
        .iter()
        .filter(|peer| peer.name() != "torrens")
        .flat_map(|peer| peer.settings().iter().map(|setting| (*peer, setting)))
        .filter(move |(peer, setting)| {
            setting.modes.contains(&mode) && wanted(peer.name(), setting.column)
        })
}

/// Prints rows that an earlier run printed as JSON as a table.
pub(crate) fn reprint(files: &[PathBuf]) -> Result<()> {
    let mut rows = Vec::new();
    for file in files {
        let what = || format!("cannot read rows from {}", file.display());
        let text = fs::read_to_string(file).with_context(what)?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            rows.push(serde_json::from_str::<Row>(line).with_context(what)?);
        }
    }
    let (judged_rows, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| {
        ["engine.", "observe.", "scale."]
            .iter()
            .any(|suite| row.bench().starts_with(suite))
    });
    let (compared, of_journal): (Vec<Row>, Vec<Row>) =
        others.into_iter().partition(compare::is_comparison);
    let mut lines = journal::lines(&of_journal);
    lines.extend(compared.iter().map(compare::line));
    lines.extend(judged::lines(&judged_rows));
    print(&table::render(&lines))
}

/// Prints the rows as JSON, or as a table of `lines`.
pub(crate) fn finish(options: &Options, rows: &[Row], lines: &[Line]) -> Result<()> {
    if !options.json {
        return print(&table::render(lines));
    }
    let rows: Vec<String> = rows.iter().map(Row::to_string).collect();
    print(&rows.join("\n"))
}

fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
