//! `torrens verify`: is everything that can be checked as it must be? The exit code is the answer.

use std::io::{self, Write};

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::{CheckpointOutcome, Verification};
use torrens_recovery::Verdict;

use crate::exit::{Exit, Failure};
use crate::look;
use crate::paint::Paint;
use crate::render::{count, grouped, printable, size};
use crate::sheet::object;
use crate::stores::{self, Looked, One};
use crate::verdict::{VerdictJson, sentence, stop};
use crate::view::{Style, Targets, View};

/// Check checksums, structure, sequence and checkpoints; the exit code is the verdict.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 clean, 3 torn tail, 4 loss at or below the durable mark with \
nothing valid after it, 5 the same with valid records after it, 6 impossible sequence, 7 newer \
format, 8 unreadable."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// Only the line with the verdict
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match verify(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn verify(args: &Args) -> Result<Exit, Failure> {
    stores::each(&args.target, &args.view, |one, out| {
        verify_one(args, one, out)
    })
}

fn verify_one(args: &Args, one: &One, mut out: &mut dyn Write) -> Result<Looked, Failure> {
    let inspector = args.view.open_path(&one.path)?;
    let style = args.view.style(&inspector);
    let found = inspector.verify().map_err(look::failure)?;
    let screen = |out: &mut dyn Write| {
        match (&one.name, args.quiet) {
            (None, _) => {}
            (Some(_), true) => write!(out, "{}", one.prefix())?,
            (Some(_), false) => writeln!(out, "{}", Paint::Head.on(&one.title(), style.color))?,
        }
        text(out, args, one.name.as_deref(), &found, &style)
    };
    let json = json(one, &found);
    let written = match args.quiet {
        true => {
            let quiet = QuietJson {
                verdict: &json.verdict,
                dir: one.name.as_deref(),
            };
            object(&mut out, &style, &quiet, screen)
        }
        false => object(&mut out, &style, &json, screen),
    };
    Ok(Looked {
        written,
        exit: Exit::of(found.exit_code()),
        failure: None,
    })
}

fn text(
    out: &mut dyn Write,
    args: &Args,
    name: Option<&str>,
    found: &Verification,
    style: &Style,
) -> io::Result<()> {
    if !args.quiet {
        lines(out, found)?;
    }
    let report = &found.picture.report;
    let sentence = match report.verdict.can_open() && found.findings_total > 0 {
        true => "every byte verifies, and what the records say cannot be".to_owned(),
        false => sentence(report, found.picture.writer.is_open),
    };
    // Of several stores the name stands before it.
    let verdict = match (args.quiet, name) {
        (true, Some(_)) => "",
        _ => "verdict     ",
    };
    writeln!(
        out,
        "{verdict}{} (exit {}): {sentence}",
        Paint::of_exit(found.exit_code()).on(found.name(), style.color),
        found.exit_code()
    )
}

fn lines(out: &mut dyn Write, found: &Verification) -> io::Result<()> {
    let (picture, report) = (&found.picture, &found.picture.report);
    let segments = &picture.evidence.segments;
    let sum = |part: fn(&torrens_recovery::facts::SegmentFacts) -> u64| -> u64 {
        segments.iter().map(part).fold(0, u64::saturating_add)
    };
    let records = sum(|segment| segment.records);
    write!(
        out,
        "segments    {}, {}",
        count(segments.len() as u64, "segment"),
        size(sum(|s| s.file_bytes))
    )?;
    writeln!(
        out,
        ", {} in {}",
        count(records, "record"),
        count(sum(|segment| segment.groups), "group")
    )?;
    match (stop(&report.verdict), &report.verdict) {
        (Some((Some(position), why)), Verdict::TornTail(_) | Verdict::Corrupt(_)) => {
            writeln!(
                out,
                "checksums   whole up to {}",
                printable(&position.to_string())
            )?;
            writeln!(out, "found       {}", printable(&why))?;
        }
        (Some((None, why)), _) => writeln!(out, "found       {}", printable(&why))?,
        (stop, _) => {
            let first = report.first_lsn.map_or(0, |lsn| lsn.get());
            let last = grouped(report.last_lsn.get());
            writeln!(
                out,
                "checksums   whole, LSNs dense from {} to {last}",
                grouped(first)
            )?;
            if let Some((_, why)) = stop.filter(|_| found.findings.is_empty()) {
                writeln!(out, "found       {}", printable(&why))?;
            }
        }
    }
    writeln!(
        out,
        "sequence    {} folded, {} of {} back links right, register checked {}",
        count(found.records_folded, "record"),
        grouped(found.links_right),
        grouped(found.links),
        count(found.invariant_checks, "time"),
    )?;
    if found.checkpoints.is_empty() {
        writeln!(out, "checkpoints none")?;
    }
    for check in &found.checkpoints {
        let outcome = match &check.outcome {
            CheckpointOutcome::Equal => "equals the fold of the records up to it".to_owned(),
            CheckpointOutcome::Alone => {
                "verifies; the records up to it are not there to compare with".to_owned()
            }
            CheckpointOutcome::Differs => {
                "DIFFERS from the fold of the records up to it".to_owned()
            }
            CheckpointOutcome::Invalid(why) => format!("is not valid: {}", printable(why)),
            _ => String::new(),
        };
        let (lsn, bytes) = (grouped(check.lsn.get()), size(check.bytes));
        writeln!(out, "checkpoint  LSN {lsn}, {bytes}: {outcome}")?;
    }
    match &report.witness {
        Some(witness) => writeln!(out, "witness     {witness}")?,
        None => writeln!(out, "witness     none")?,
    }
    if report.window.records > 0 {
        let (records, bytes) = (
            count(report.window.records, "record"),
            size(report.window.bytes),
        );
        writeln!(
            out,
            "window      {records} ({bytes}) that no witness covers yet"
        )?;
    }
    for finding in &found.findings {
        writeln!(out, "finding     {}", printable(finding))?;
    }
    if found.findings_total > found.findings.len() as u64 {
        let more = found.findings_total - found.findings.len() as u64;
        writeln!(out, "finding     and {} more", grouped(more))?;
    }
    for note in &report.notes {
        writeln!(out, "note        {}", printable(note))?;
    }
    Ok(())
}

#[derive(JsonSchema, Serialize)]
struct Json {
    v: u32,
    dir: String,
    open: bool,
    pid: Option<u32>,
    verdict: VerdictJson,
    segments: usize,
    records: u64,
    first_lsn: Option<u64>,
    last_lsn: u64,
    witness_lsn: Option<u64>,
    window_records: u64,
    records_folded: u64,
    links: u64,
    links_right: u64,
    checkpoints: Vec<CheckpointJson>,
    findings_total: u64,
    findings: Vec<String>,
    notes: Vec<String>,
}

/// What `--quiet` writes.
#[derive(JsonSchema, Serialize)]
struct QuietJson<'a> {
    #[serde(flatten)]
    verdict: &'a VerdictJson,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct CheckpointJson {
    lsn: u64,
    bytes: u64,
    outcome: &'static str,
    why: Option<String>,
}

fn json(one: &One, found: &Verification) -> Json {
    let (picture, report) = (&found.picture, &found.picture.report);
    let checkpoints = found.checkpoints.iter().map(|check| {
        let (outcome, why) = match &check.outcome {
            CheckpointOutcome::Equal => ("equal", None),
            CheckpointOutcome::Alone => ("alone", None),
            CheckpointOutcome::Differs => ("differs", None),
            CheckpointOutcome::Invalid(why) => ("invalid", Some(why.clone())),
            _ => ("unknown", None),
        };
        CheckpointJson {
            lsn: check.lsn.get(),
            bytes: check.bytes,
            outcome,
            why,
        }
    });
    Json {
        v: 1,
        dir: one.dir(),
        open: picture.writer.is_open,
        pid: picture.writer.pid,
        verdict: VerdictJson::new(report, found.name(), found.exit_code()),
        segments: picture.evidence.segments.len(),
        records: picture
            .evidence
            .segments
            .iter()
            .map(|segment| segment.records)
            .sum(),
        first_lsn: report.first_lsn.map(|lsn| lsn.get()),
        last_lsn: report.last_lsn.get(),
        witness_lsn: report.witness.map(|witness| witness.lsn.get()),
        window_records: report.window.records,
        records_folded: found.records_folded,
        links: found.links,
        links_right: found.links_right,
        checkpoints: checkpoints.collect(),
        findings_total: found.findings_total,
        findings: found.findings.clone(),
        notes: report.notes.clone(),
    }
}

/// The schema of everything that was checked.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json>()
}

/// The schema of `--quiet`.
pub(crate) fn verdict_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<QuietJson<'_>>()
}
