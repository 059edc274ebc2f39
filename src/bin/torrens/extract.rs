//! `torrens extract`: what can be read of a store, as ndjson or as a new store. The source is only read.
//!
//! * `copy`: the parts that are no journal. * `said`: what is said about it.
//!
//! Not here: which history is the longest (`torrens::rebuild::salvage`).

use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use serde::Serialize;
use torrens::inspector::{InspectError, Selected};
use torrens::rebuild::{self, RebuildError};
use torrens_journal::disk::{Disk, RealDisk};

use crate::exit::{Exit, Failure, chain};
use crate::fresh::{Fresh, refused};
use crate::progress::Shown;
use crate::record::{Said, gap_json};
use crate::render::printable;
use crate::select::Wanted;
use crate::sheet::JSON_VERSION;
use crate::view::{Output, Target, View};
use crate::{interrupt, look, parts};
use copy::Copying;
use said::{DataJson, Json, LEFT_MAX, LeftJson, object_of, say};

mod copy;
mod said;

pub(crate) use said::schema;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;
/// The parts of a store beside its journal and checkpoints.
const MORE_PARTS: [&str; 3] = ["data", "snapshots", "history"];

/// Salvage what can be read of a store, to ndjson or to a new store; nothing of the source changes.
#[derive(Debug, Parser)]
#[command(
    group = clap::ArgGroup::new("where_to").required(true).args(["output", "to"]),
    after_help = "With -o: every record that can be read, with its bytes, also behind damage; `torrens build` reads it. \
With --to: the longest history that a state can be rebuilt from, as a new store, and a list of what is not in it. \
Data, snapshots and histories of observed regions come along if no record was lost and nobody has the store open; \
without them the new store's regions are damaged until a snapshot comes. \
Exit codes: 0 everything is in it; 1 something could not be salvaged; 8 unreadable; 10 the target is there; \
11 there is nothing to salvage."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    wanted: Wanted,
    /// Write the records to this new file
    #[arg(short, long, value_name = "FILE", help_heading = "Where to")]
    output: Option<PathBuf>,
    /// Make this new store
    #[arg(
        long,
        value_name = "NEWDIR",
        conflicts_with = "Wanted",
        help_heading = "Where to"
    )]
    to: Option<PathBuf>,
    /// Leave data, snapshots and histories out of the new store
    #[arg(long, requires = "to", help_heading = "Where to")]
    no_data: bool,
    /// What is said about it, as one JSON object
    #[arg(long, help_heading = "Where to")]
    json: bool,
    #[command(flatten)]
    progress: Shown,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    let outcome = match (&args.output, &args.to) {
        (Some(file), _) => to_file(args, file),
        (None, Some(dir)) => to_store(args, dir),
        // The parser asks for one of them.
        (None, None) => return Exit::USAGE,
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

fn to_file(args: &Args, path: &Path) -> Result<Exit, Failure> {
    let dir = args.target.only()?;
    let view = View::plain(args.progress.when);
    let inspector = view.open_path(&dir)?;
    let mut style = view.style(&inspector);
    (style.output, style.raw) = (Output::Ndjson, true);
    let fresh = Fresh::at(path, Some(&dir))?;
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, fresh.file()?);
    let mut json = Json {
        v: JSON_VERSION,
        to: printable(&path.display().to_string()),
        whole: true,
        records: 0,
        first_lsn: None,
        last_lsn: None,
        start_lsn: None,
        checkpoints: None,
        data: Vec::new(),
        left: Vec::new(),
        left_total: 0,
    };
    let mut written = Ok(());
    if let Some(store) = inspector.survey().map_err(look::failure)?.report.store {
        written = line(&mut file, &parts::journal_line(store));
    }
    let selection = args.wanted.selection();
    let report = inspector.select(&selection, &mut |selected| {
        if written.is_err() || interrupt::asked() {
            return ControlFlow::Break(());
        }
        match selected {
            Selected::Record { item, description } => {
                let lsn = item.record.lsn.get();
                json.records += 1;
                json.first_lsn.get_or_insert(lsn);
                json.last_lsn = Some(lsn);
                let said = Said::of(description);
                written = line(&mut file, &said.json(&item, description, &style, false));
            }
            Selected::Gap(gap) => {
                written = line(&mut file, &gap_json(&gap));
                json.whole &= gap.kind != torrens_recovery::GapKind::Lost;
                json.left_total += 1;
                if json.left.len() < LEFT_MAX {
                    json.left.push(LeftJson {
                        what: gap.kind.as_str(),
                        first_lsn: Some(gap.position.expected.get()),
                        last_lsn: None,
                        text: format!("{}: {}", gap.position, gap.why),
                    });
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    // Whoever pressed Ctrl-C keeps what there is.
    let report = match report {
        Ok(report) => Some(report),
        Err(InspectError::Stopped) => None,
        Err(error) => return Err(look::failure(error)),
    };
    let synced = written
        .and_then(|()| file.flush())
        .and_then(|()| file.get_ref().sync_all());
    synced.map_err(|error| refused("write", path, &error))?;
    fresh.finish()?;
    let is_sound = |report| look::verdict_failure(&dir, report).is_none();
    json.whole &= report.as_ref().is_some_and(is_sound) && !interrupt::asked();
    let exit = say(args, &style, &json)?;
    Ok(match interrupt::asked() {
        true => Exit::INTERRUPTED,
        false => exit,
    })
}

/// One object on a line.
fn line(file: &mut impl Write, json: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, json)?;
    file.write_all(b"\n")
}

fn to_store(args: &Args, to: &Path) -> Result<Exit, Failure> {
    let dir = args.target.only()?;
    let view = View::plain(args.progress.when);
    let inspector = view.open_path(&dir)?;
    let style = view.style(&inspector);
    let is_open = inspector.writer().map_err(look::failure)?.is_open;
    let fresh = Fresh::at(to, Some(&dir))?;
    fresh.directory()?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let salvaged = rebuild::salvage(&inspector, &disk, fresh.aside()).map_err(failure)?;
    let is_open = is_open || inspector.writer().map_err(look::failure)?.is_open;
    let why = match () {
        () if args.no_data => Some("not asked for"),
        () if is_open => Some("a process has the store open"),
        () if !salvaged.is_whole() => Some("it may be newer than the history that was salvaged"),
        () => None,
    };
    let mut bytes = 0u64;
    for part in MORE_PARTS {
        let size = inspector.part_size(part).map_err(look::failure)?;
        bytes = bytes.saturating_add(size.bytes);
    }
    let mut copying = Copying::new(args.progress.when, bytes);
    let mut data = Vec::new();
    for part in MORE_PARTS {
        let from = dir.join(part);
        let is_there = fs::symlink_metadata(&from).is_ok_and(|found| found.is_dir());
        if is_there && why.is_none() {
            let target = fresh.aside().join(part);
            let copied = copying.folder(&from, &target);
            if !copied.map_err(|(path, error)| refused("copy", &path, &error))? {
                return Ok(Exit::INTERRUPTED);
            }
        }
        if is_there {
            data.push(DataJson {
                part,
                copied: why.is_none(),
                why,
            });
        }
    }
    fresh.finish()?;
    say(args, &style, &object_of(to, &salvaged, data))
}

fn failure(error: RebuildError) -> Failure {
    match error {
        RebuildError::Source(error) => look::failure(error),
        error => Failure {
            code: error.code(),
            message: printable(&chain(&error)),
            hint: match error {
                RebuildError::Nothing => {
                    Some("with -o every record that can be read is written".to_owned())
                }
                _ => None,
            },
            exit: match error {
                RebuildError::Stopped => Exit::INTERRUPTED,
                RebuildError::Nothing | RebuildError::Build(_) => Exit::INPUT,
                _ => Exit::UNREADABLE,
            },
        },
    }
}
