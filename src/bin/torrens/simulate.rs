//! `torrens simulate`: what a recovery would have made of the store if it had crashed at one place.
//!
//! Not here: the copy (`torrens::rebuild::crash`), the recovery (`torrens_recovery`).

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::RegisterMachine;
use torrens::inspector::diff::{Changed, difference};
use torrens::inspector::{Inspector, Picture, Point};
use torrens::rebuild::{self, Crash, CrashPoint, RebuildError};
use torrens_journal::JournalOptions;
use torrens_journal::disk::{Disk, RealDisk};
use torrens_recovery::{RecoveryOptions, Verdict, recover};

use crate::changes::{ChangedJson, changed_lines};
use crate::exit::{Exit, Failure, chain};
use crate::fresh::Fresh;
use crate::output::Out;
use crate::paint::Paint;
use crate::render::{count, grouped, printable, size};
use crate::repair::directories;
use crate::sheet::{JSON_VERSION, object};
use crate::stores::Seen;
use crate::verdict::{VerdictJson, sentence};
use crate::view::{Style, Target, View};
use crate::{look, state};

/// Differences that a person is shown; JSON has all.
const CHANGES_MAX: usize = 20;

/// Recover a copy as if the store had crashed at a record, and show what would be left.
#[derive(Debug, Parser)]
#[command(
    after_help = "The crash comes when the group of that record was written and synced; with --byte, when only so many \
bytes of that group had reached the disk. Segments, marks and checkpoints are wound back to then; of the data store \
nothing is copied, and what a crash leaves of data that no barrier covered is not known. \
Exit codes: that of the verdict, 0 or 3 for what a crash can leave; 2 no such point; 8 unreadable; 9 a process has \
the store open; 10 COPY is there."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The record: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    at: Point,
    /// Only the first N bytes of its group reached the disk
    #[arg(long, value_name = "N")]
    byte: Option<u64>,
    /// Keep the copy, as the crash left it and before the recovery
    #[arg(long, value_name = "COPY")]
    to: Option<PathBuf>,
    #[command(flatten)]
    view: View,
}

#[derive(JsonSchema, Serialize)]
struct Json<'a> {
    v: u32,
    at_lsn: u64,
    group: GroupJson,
    wound_back: WoundBackJson,
    verdict: VerdictJson,
    cut_bytes: u64,
    last_lsn: u64,
    regions: u64,
    open_operations: u64,
    data: DataJson,
    /// From the state after the recovery to the present one.
    changed: Vec<ChangedJson<'a>>,
}

#[derive(JsonSchema, Serialize)]
struct GroupJson {
    seg: u64,
    off: u64,
    bytes: u64,
    bytes_on_disk: u64,
    first_lsn: u64,
    last_lsn: u64,
    durable_lsn: u64,
}

#[derive(JsonSchema, Serialize)]
struct WoundBackJson {
    segments_left: u64,
    marks_kept: u64,
    marks_left: u64,
    checkpoints_kept: Vec<u64>,
    checkpoints_left: Vec<u64>,
}

#[derive(JsonSchema, Serialize)]
struct DataJson {
    simulated: bool,
    /// The last barrier that the journal knows of there; opening goes back to it.
    barrier: u64,
}

/// The schema of the object.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json<'_>>()
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    match simulate(args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

/// What came of it.
struct Outcome {
    crash: Crash,
    /// As it was judged before anything was repaired.
    before: Picture,
    /// As the recovery left it.
    after: Picture,
    cut_bytes: u64,
    changed: Vec<Changed>,
}

fn simulate(args: &Args) -> Result<Exit, Failure> {
    let dir = args.target.path();
    let inspector = args.view.open(&args.target)?;
    look::whole(&inspector)?;
    if inspector.writer().map_err(look::failure)?.is_open {
        return Err(Failure {
            code: "locked",
            message: format!(
                "{} is open, and would change while it is copied",
                printable(&dir.display().to_string())
            ),
            hint: Some("close the store first".to_owned()),
            exit: Exit::LOCKED,
        });
    }
    let lsn = inspector.resolve(args.at).map_err(look::failure)?;
    let point = CrashPoint {
        lsn,
        bytes: args.byte,
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let kept = match &args.to {
        Some(copy) => {
            let kept = Fresh::at(copy, Some(&dir))?;
            kept.directory()?;
            rebuild::crash(&inspector, &disk, kept.aside(), point).map_err(failure)?;
            Some(kept)
        }
        None => None,
    };
    // The recovery works on a copy of its own, which goes away.
    let name = format!("torrens-simulate-{:016x}", disk.random_u64());
    let scratch = Fresh::at(&std::env::temp_dir().join(name), Some(&dir))?;
    scratch.directory()?;
    let crash = rebuild::crash(&inspector, &disk, scratch.aside(), point).map_err(failure)?;
    let outcome = recovered(&inspector, &disk, scratch.aside(), crash)?;
    if let Some(kept) = kept {
        kept.finish()?;
    }
    let style = args.view.style(&inspector);
    let verdict = &outcome.before.report.verdict;
    let exit = Exit::of(verdict.exit_code());
    let mut out = Out::lock();
    let json = json(lsn.get(), &outcome, &style);
    let written = object(&mut out, &style, &json, |out| {
        screen(out, args, lsn.get(), &outcome, &style)
    });
    Ok(out.finish(written, exit))
}

/// Judges the copy, recovers it, and compares what is left with the present.
fn recovered(
    source: &Inspector,
    disk: &Arc<dyn Disk>,
    dir: &Path,
    crash: Crash,
) -> Result<Outcome, Failure> {
    let copy = Inspector::open(dir).map_err(look::failure)?;
    let before = copy.look(None).map_err(look::failure)?;
    let cut_bytes = match &before.report.verdict {
        Verdict::TornTail(torn) => torn.cut_bytes(),
        _ => 0,
    };
    if before.report.verdict.can_open() {
        let options = RecoveryOptions::new(JournalOptions::new());
        let machine = RegisterMachine::default();
        let recovered = recover(Arc::clone(disk), &directories(dir), machine, options);
        let recovered = recovered.map_err(|error| Failure {
            code: "recovery",
            message: printable(&chain(&error)),
            hint: None,
            exit: Exit::UNREADABLE,
        })?;
        // Whatever the journal wants to say at its end, nobody reads it any more.
        let _ = recovered.journal.close();
    }
    let after = copy.look(None).map_err(look::failure)?;
    let present = source.look(None).map_err(look::failure)?;
    let changed = difference(&after.register, &present.register);
    Ok(Outcome {
        crash,
        before,
        after,
        cut_bytes,
        changed,
    })
}

fn failure(error: RebuildError) -> Failure {
    match error {
        RebuildError::Source(error) => look::failure(error),
        error => Failure {
            code: error.code(),
            message: printable(&chain(&error)),
            hint: None,
            exit: match error {
                RebuildError::Stopped => Exit::INTERRUPTED,
                _ => Exit::UNREADABLE,
            },
        },
    }
}

fn json<'a>(at_lsn: u64, outcome: &Outcome, style: &'a Style) -> Json<'a> {
    let Outcome {
        crash,
        before,
        after,
        ..
    } = outcome;
    let verdict = &before.report.verdict;
    let lsns = |lsns: &[torrens_journal::Lsn]| lsns.iter().map(|lsn| lsn.get()).collect();
    Json {
        v: JSON_VERSION,
        at_lsn,
        group: GroupJson {
            seg: crash.segment.get(),
            off: crash.group_offset_bytes,
            bytes: crash.group_bytes,
            bytes_on_disk: crash.end_offset_bytes - crash.group_offset_bytes,
            first_lsn: crash.group.0.get(),
            last_lsn: crash.group.1.get(),
            durable_lsn: crash.durable_lsn.get(),
        },
        wound_back: WoundBackJson {
            segments_left: crash.segments_left,
            marks_kept: crash.marks_kept,
            marks_left: crash.marks_left,
            checkpoints_kept: lsns(&crash.checkpoints_kept),
            checkpoints_left: lsns(&crash.checkpoints_left),
        },
        verdict: VerdictJson::new(&before.report, verdict.name(), verdict.exit_code()),
        cut_bytes: outcome.cut_bytes,
        last_lsn: after.position.get(),
        regions: after.register.region_ids().count() as u64,
        open_operations: after.register.open_operations().len() as u64,
        data: DataJson {
            simulated: false,
            barrier: after.register.barrier(),
        },
        changed: outcome
            .changed
            .iter()
            .map(|one| ChangedJson::of(one, &style.keys))
            .collect(),
    }
}

fn screen(
    mut out: &mut dyn Write,
    args: &Args,
    at_lsn: u64,
    outcome: &Outcome,
    style: &Style,
) -> io::Result<()> {
    let Outcome {
        crash,
        before,
        after,
        changed,
        ..
    } = outcome;
    let head = |name: &str| Paint::Head.on(&format!("{name:<9}"), style.color);
    let on_disk = crash.end_offset_bytes - crash.group_offset_bytes;
    let group = crash.group_bytes;
    let (first, last) = (crash.group.0.get(), crash.group.1.get());
    let records = match first == last {
        true => format!("record {}", grouped(first)),
        false => format!("records {} … {}", grouped(first), grouped(last)),
    };
    let at_lsn = grouped(at_lsn);
    match args.byte {
        None => writeln!(
            out,
            "{} at LSN {at_lsn}: the group of {records} is on the disk and synced",
            head("crash")
        )?,
        Some(_) => writeln!(
            out,
            "{} at LSN {at_lsn}: {} of {} of the group of {records} are on the disk",
            head("crash"),
            grouped(on_disk),
            count(group, "byte")
        )?,
    }
    let (kept, left) = (&crash.checkpoints_kept, &crash.checkpoints_left);
    writeln!(
        out,
        "{} {}, {}, {} are of a later time; {} and {} are left",
        head("back"),
        count(crash.segments_left, "segment"),
        count(crash.marks_left, "mark"),
        count(left.len() as u64, "checkpoint"),
        count(crash.marks_kept, "mark"),
        count(kept.len() as u64, "checkpoint")
    )?;
    let verdict = &before.report.verdict;
    writeln!(
        out,
        "{} {}: {}",
        head("verdict"),
        verdict.name(),
        sentence(&before.report, false)
    )?;
    if outcome.cut_bytes > 0 {
        writeln!(
            out,
            "{} the recovery cut {}",
            head("cut"),
            size(outcome.cut_bytes)
        )?;
    }
    writeln!(
        out,
        "{} not simulated; opening goes back to barrier {}, the last one in the journal there",
        head("data"),
        after.register.barrier()
    )?;
    let open = after.register.open_operations().len() as u64;
    if open > 0 {
        let open = count(open, "operation");
        writeln!(out, "{} {open} that opening would end", head("open"))?;
    }
    writeln!(out)?;
    let after = Seen {
        name: None,
        what: after,
    };
    state::show(&mut out, &[], &[after], style)?;
    writeln!(out)?;
    match changed.len() {
        0 => writeln!(out, "nothing differs from the present")?,
        some => writeln!(
            out,
            "{} from there to the present:",
            count(some as u64, "difference")
        )?,
    }
    let shown = changed.get(..CHANGES_MAX).unwrap_or(changed);
    changed_lines(out, shown, style)?;
    match changed.len().saturating_sub(CHANGES_MAX) {
        0 => {}
        more => writeln!(out, "and {} more", grouped(more as u64))?,
    }
    match &args.to {
        Some(copy) => writeln!(
            out,
            "\nthe copy, as the crash left it: {}",
            printable(&copy.display().to_string())
        ),
        None => Ok(()),
    }
}
