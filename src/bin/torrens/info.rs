//! `torrens info`: a store on one screen.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Parser;
use torrens::inspector::clock::timestamp;
use torrens::inspector::{CheckpointFile, Inspector, KeyForm, PartSize, Picture, SegmentSpan};
use torrens::lifecycle::{CacheState, OpenOperation};
use torrens_recovery::Verdict;

use crate::exit::{Exit, Failure};
use crate::look::{self, opened_by};
use crate::paint::Paint;
use crate::render::{age, count, grouped, printable, size};
use crate::sheet::object;
use crate::stores::{self, Looked, One};
use crate::verdict::sentence;
use crate::view::{Style, Targets, View};

pub(crate) mod json;

/// Segments that are listed one by one; of more only the first and the last.
const SEGMENTS_LISTED: usize = 8;

/// Show a store on one screen: what it is, what it holds, and whether it is sound.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    #[command(flatten)]
    view: View,
}

/// Everything on the screen.
#[derive(Debug)]
struct Screen {
    /// The path, with the name that it was given.
    title: String,
    /// The name that it was given, or the path.
    name: String,
    dir: String,
    now_micros: u64,
    picture: Picture,
    format: (u16, u16),
    segments: Vec<SegmentSpan>,
    checkpoints: Vec<CheckpointFile>,
    stages: BTreeMap<&'static str, u64>,
    caches: BTreeMap<&'static str, u64>,
    tombstones: u64,
    deletions: u64,
    operations: Vec<String>,
    data_store: &'static str,
    data: PartSize,
    snapshots: PartSize,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match info(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn info(args: &Args) -> Result<Exit, Failure> {
    stores::each(&args.target, &args.view, |one, out| {
        info_one(args, one, out)
    })
}

fn info_one(args: &Args, one: &One, mut out: &mut dyn Write) -> Result<Looked, Failure> {
    let inspector = args.view.open_path(&one.path)?;
    let style = args.view.style(&inspector);
    let screen = gather(one, &inspector, &style).map_err(look::failure)?;
    let written = object(&mut out, &style, &json::of(&screen), |out| {
        text(out, &screen, &style)
    });
    // The screen shows damage as it shows everything else; that nothing could be read is a failure.
    let exit = match screen.picture.report.verdict {
        Verdict::NewerFormat(_) | Verdict::Unreadable(_) => {
            Exit::of(screen.picture.report.verdict.exit_code())
        }
        _ => Exit::OK,
    };
    Ok(Looked {
        written,
        exit,
        failure: None,
    })
}

fn gather(
    one: &One,
    inspector: &Inspector,
    style: &Style,
) -> Result<Screen, torrens::inspector::InspectError> {
    let picture = inspector.look(None)?;
    let register = &picture.register;
    let mut stages = BTreeMap::new();
    let mut caches = BTreeMap::new();
    for region in register.region_ids() {
        if let Some(peer) = register.peer(region) {
            *stages.entry(peer.stage.name()).or_insert(0) += 1;
        }
    }
    // A cache may outlive the peer that it belonged to.
    for (_, slot) in register.slots() {
        let cache = slot.cache.state();
        if cache != CacheState::Absent {
            *caches.entry(cache.as_str()).or_insert(0) += 1;
        }
    }
    Ok(Screen {
        title: one.title(),
        name: one.dir(),
        dir: one.path.display().to_string(),
        now_micros: inspector.now_micros(),
        format: inspector.format(&picture)?,
        segments: inspector.segments(&picture)?,
        checkpoints: inspector.checkpoints(&picture)?,
        stages,
        caches,
        tombstones: register.tombstones().count() as u64,
        deletions: register.deletions().count() as u64,
        operations: register
            .open_operations()
            .iter()
            .filter_map(|open| operation(open, &style.keys))
            .collect(),
        data_store: inspector.data_store()?,
        data: inspector.part_size("data")?,
        snapshots: inspector.part_size("snapshots")?,
        picture,
    })
}

/// An operation that the next opening has to end; a cache is only memory, and has its own line.
pub(crate) fn operation(operation: &OpenOperation, keys: &KeyForm) -> Option<String> {
    match operation {
        OpenOperation::SnapshotApply {
            region,
            incarnation,
            snapshot,
            begun,
        } => Some(format!(
            "snapshot {:x} into {region}{incarnation}, begun at LSN {begun}",
            snapshot.id
        )),
        OpenOperation::Deletion {
            deletion,
            range,
            cause,
        } => Some(format!(
            "clear {} of {} ({}), {deletion}",
            keys.range(range),
            cause.region(),
            cause.as_str()
        )),
        OpenOperation::Reservation {
            region,
            incarnation,
            reserved,
        } => Some(format!(
            "keys kept free for a snapshot of {region}{incarnation}, since LSN {reserved}"
        )),
        OpenOperation::Cache { .. } => None,
    }
}

fn text(out: &mut dyn Write, screen: &Screen, style: &Style) -> io::Result<()> {
    let (picture, report) = (&screen.picture, &screen.picture.report);
    let dir = printable(&screen.dir);
    let (major, minor) = screen.format;
    let store = picture
        .register
        .store()
        .map_or("store not named yet".to_owned(), |store| {
            format!("store {store}")
        });
    let boots = picture.evidence.boot_max();
    writeln!(
        out,
        "{}   format {major}.{minor}   {store}   boots {boots}   {}",
        screen.title,
        opened_by(picture)
    )?;
    if let Some(uuid) = report.store {
        writeln!(out, "uuid        {uuid}")?;
    }
    segments(out, screen)?;
    checkpoints(out, screen)?;
    writeln!(out, "regions     {}", tally(&screen.stages))?;
    writeln!(out, "cache       {}", tally(&screen.caches))?;
    let (tombstones, deletions) = (screen.tombstones, screen.deletions);
    writeln!(
        out,
        "gone        {}, {}",
        count(tombstones, "tombstone"),
        count(deletions, "pending deletion")
    )?;
    match screen.operations.as_slice() {
        [] => writeln!(out, "operations  none open")?,
        open => {
            writeln!(
                out,
                "operations  {} open; the next opening ends them",
                open.len()
            )?;
            for operation in open.iter().take(SEGMENTS_LISTED) {
                writeln!(out, "            {}", printable(operation))?;
            }
        }
    }
    let behind = match (report.window.records, report.decided) {
        (0, true) => "closed in order".to_owned(),
        (0, false) => "no record behind it".to_owned(),
        (records, _) => format!("{} behind it not witnessed yet", count(records, "record")),
    };
    match report.witness {
        Some(witness) => {
            let lsn = grouped(witness.lsn.get());
            writeln!(
                out,
                "durable     LSN {lsn}, says {}; {behind}",
                witness.kind
            )?;
        }
        None => writeln!(out, "durable     nothing is witnessed; {behind}")?,
    }
    let snapshots = match screen.snapshots.files {
        0 => String::new(),
        files => format!(
            "   {}, {}",
            count(files, "staged snapshot"),
            size(screen.snapshots.bytes)
        ),
    };
    writeln!(
        out,
        "data        {}, {} in {}{snapshots}",
        screen.data_store,
        size(screen.data.bytes),
        count(screen.data.files, "file"),
    )?;
    for note in &report.notes {
        writeln!(out, "note        {}", printable(note))?;
    }
    let verdict = &report.verdict;
    let sentence = sentence(report, picture.writer.is_open);
    writeln!(
        out,
        "verdict     {} (exit {}): {sentence}",
        Paint::of_exit(verdict.exit_code()).on(verdict.name(), style.color),
        verdict.exit_code()
    )?;
    let next = match verdict {
        Verdict::Clean | Verdict::TornTail(_) => {
            format!("torrens state {dir}   torrens dump {dir} --last 20")
        }
        _ => format!("torrens explain {dir}"),
    };
    writeln!(out, "next        {next}")
}

/// `3 normal · 1 applying`.
fn tally(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{} {name}", grouped(*count)))
        .collect();
    parts.join(" · ")
}

fn segments(out: &mut dyn Write, screen: &Screen) -> io::Result<()> {
    let spans = &screen.segments;
    let bytes = spans
        .iter()
        .map(|span| span.file_bytes)
        .fold(0, u64::saturating_add);
    let first = spans.iter().find_map(|span| span.first_lsn);
    let last = spans.iter().rev().find_map(|span| span.last_lsn);
    let lsns = match (first, last) {
        (Some(first), Some(last)) => {
            format!("LSN {} … {}", grouped(first.get()), grouped(last.get()))
        }
        _ => "no records".to_owned(),
    };
    let since = spans
        .iter()
        .find_map(|span| span.first_micros)
        .map(timestamp);
    let until = spans
        .iter()
        .rev()
        .find_map(|span| span.last_micros)
        .map(timestamp);
    let times = match (since, until) {
        (Some(since), Some(until)) => format!("   {since} … {until}"),
        _ => String::new(),
    };
    let number = count(spans.len() as u64, "segment");
    writeln!(
        out,
        "journal     {number}   {}   {lsns}{times}",
        size(bytes)
    )?;
    let skipped = spans.len().saturating_sub(SEGMENTS_LISTED);
    for (index, span) in spans.iter().enumerate() {
        if skipped > 0 && index == 1 {
            writeln!(out, "            … {} more", grouped(skipped as u64 + 6))?;
        }
        if skipped > 0 && index > 0 && index + 1 < spans.len() {
            continue;
        }
        let lsns = match (span.first_lsn, span.last_lsn) {
            (Some(first), Some(last)) => {
                format!("LSN {} … {}", grouped(first.get()), grouped(last.get()))
            }
            _ => "no records".to_owned(),
        };
        writeln!(
            out,
            "  {:04}      {} of {} used   {lsns}",
            span.id.get(),
            size(span.used_bytes),
            size(span.file_bytes)
        )?;
    }
    Ok(())
}

fn checkpoints(out: &mut dyn Write, screen: &Screen) -> io::Result<()> {
    let report = &screen.picture.report;
    let from = report.checkpoint.as_ref().map(|used| used.lsn);
    for file in &screen.checkpoints {
        let written = file
            .written_micros
            .map_or("age unknown".to_owned(), |then| {
                age(then, screen.now_micros)
            });
        let state = match &file.fault {
            None => "valid".to_owned(),
            Some(why) => format!("NOT VALID: {}", printable(why)),
        };
        let replay = match from == Some(file.lsn) {
            true => format!(
                "; a restart replays {} from here",
                count(report.records_replayed, "record")
            ),
            false => String::new(),
        };
        let (lsn, bytes) = (grouped(file.lsn.get()), size(file.bytes));
        writeln!(
            out,
            "checkpoint  LSN {lsn}, {written}, {bytes}, {state}{replay}"
        )?;
    }
    if screen.checkpoints.is_empty() {
        let replayed = count(report.records_replayed, "record");
        writeln!(out, "checkpoint  none; a restart replays {replayed}")?;
    }
    Ok(())
}
