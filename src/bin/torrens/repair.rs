//! `torrens repair`: plan, apply, undo, list, purge. A person reads the plan before anything changes.
//!
//! Not here: what a repair does and how it survives a crash (`torrens_recovery::repair`).

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand};
use torrens::inspector::Inspector;
use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, DiskLock, LockError, RealDisk};
use torrens_recovery::Directories;
use torrens_recovery::repair::{self as library, Choice, RepairError, RepairPlan, RepairState};

use crate::exit::{Exit, Failure, chain};
use crate::output::Out;
use crate::render::printable;
use crate::view::View;
use crate::{fresh, look};

pub(crate) mod show;

/// A longer file is no plan; it is not read.
const PLAN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Plan a repair, read it, apply it, take it back.
#[derive(Debug, Parser)]
#[command(
    after_help = "Nothing changes without a plan file, and a plan fits one directory in one state. Exit codes: \
0 done; 1 no repair is needed, or that way does not help; 8 unreadable; 9 a process has the store open; \
10 the directory is not in the state that this needs; 11 the plan file is none."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what would be done and what would be lost; changes nothing
    Plan(PlanArgs),
    /// Carry out a plan, or go on with one that was interrupted
    Apply(ApplyArgs),
    /// Take a repair back: every byte is again what it was
    Undo(OneArgs),
    /// The repairs that something is kept of
    List(ListArgs),
    /// Remove what is kept of a repair; it can no longer be undone
    Purge(OneArgs),
}

/// Plan to cut the history behind a record: `repair plan --way cut-before`. Changes nothing.
#[derive(Debug, Parser)]
#[command(
    after_help = "The plan is carried out by `torrens repair apply DIR PLAN`. Exit codes: as `torrens repair`."
)]
pub(crate) struct TruncateArgs {
    /// The store's directory
    dir: PathBuf,
    /// The last record that stays; records that were written together stay or go together
    #[arg(long, value_name = "LSN")]
    after: u64,
    /// Write the plan to this new file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    view: View,
}

/// Runs `truncate`.
pub(crate) fn truncate(args: TruncateArgs) -> Exit {
    let plan_args = PlanArgs {
        dir: args.dir,
        way: Some(Choice::CutBefore(Lsn::new(args.after.saturating_add(1)))),
        save: args.save,
        view: args.view,
    };
    plan(&plan_args).unwrap_or_else(|failure| failure.report())
}

#[derive(Debug, Parser)]
struct PlanArgs {
    /// The store's directory
    dir: PathBuf,
    /// The way [default: the one that loses least]
    #[arg(long, value_name = "WAY", value_parser = way)]
    way: Option<Choice>,
    /// Write the plan to this new file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    view: View,
}

#[derive(Debug, Parser)]
struct ApplyArgs {
    /// The store's directory
    dir: PathBuf,
    /// The plan, as `torrens repair plan --save` wrote it
    plan: PathBuf,
    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Parser)]
struct OneArgs {
    /// The store's directory
    dir: PathBuf,
    /// The repair's number, as `torrens repair list` shows it
    id: u64,
    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Parser)]
struct ListArgs {
    /// The store's directory
    dir: PathBuf,
    #[command(flatten)]
    view: View,
}

fn way(text: &str) -> Result<Choice, String> {
    if let Some(lsn) = text.strip_prefix("cut-before:") {
        let lsn = lsn.parse().map_err(|_| format!("{lsn:?} is no LSN"))?;
        return Ok(Choice::CutBefore(Lsn::new(lsn)));
    }
    let ways = [
        Choice::DropDamagedHistory,
        Choice::RebuildMark,
        Choice::OlderCheckpoint,
        Choice::CutAtDamage,
        Choice::StartEmpty,
    ];
    let found = ways.into_iter().find(|way| way.as_str() == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = ways.iter().map(|way| way.as_str()).collect();
        format!(
            "there is no way {text:?}; expected {} or cut-before:LSN",
            names.join(", ")
        )
    })
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let outcome = match args.action {
        Action::Plan(args) => plan(&args),
        Action::Apply(args) => apply(&args),
        Action::Undo(args) => undo(&args),
        Action::List(args) => list(&args),
        Action::Purge(args) => purge(&args),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

/// A store that this process alone works on.
pub(crate) struct Locked {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directories: Directories,
    _lock: Box<dyn DiskLock>,
}

/// The two directories of a store.
pub(crate) fn directories(dir: &Path) -> Directories {
    Directories {
        journal: dir.join("journal"),
        checkpoints: dir.join("checkpoints"),
    }
}

impl Locked {
    /// Takes the exclusive lock of a directory that holds a store.
    pub(crate) fn open(dir: &Path) -> Result<Locked, Failure> {
        Inspector::open(dir).map_err(look::failure)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let lock = disk.lock(&dir.join("LOCK")).map_err(|error| match error {
            LockError::Busy { .. } => Failure {
                code: "locked",
                message: format!("{} is {error}", shown(dir)),
                hint: Some("close the store first; the reading commands work beside it".to_owned()),
                exit: Exit::LOCKED,
            },
            error => Failure {
                code: "lock",
                message: format!("cannot lock {}: {}", shown(dir), chain(&error)),
                hint: None,
                exit: Exit::UNREADABLE,
            },
        })?;
        Ok(Locked {
            disk,
            directories: directories(dir),
            _lock: lock,
        })
    }
}

/// A path as it is shown.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// What a person is told of an error of a repair.
fn failure(dir: &Path, error: RepairError) -> Failure {
    let dir = shown(dir);
    let (exit, hint) = match &error {
        RepairError::NotRepairable { .. } => (
            Exit::NEGATIVE,
            Some(format!("torrens verify {dir} says what opening will do")),
        ),
        RepairError::NoWay { .. } => (
            Exit::NEGATIVE,
            Some(format!("torrens explain {dir} lists the ways that help")),
        ),
        RepairError::Changed { .. } | RepairError::NotThePlan { .. } => (
            Exit::STATE,
            Some(format!(
                "nothing was done; plan again: torrens repair plan {dir}"
            )),
        ),
        RepairError::ChangedSince { .. } => (
            Exit::STATE,
            Some("the store was used since; what was set aside is still in repair/".to_owned()),
        ),
        RepairError::Unfinished { id } => (
            Exit::STATE,
            Some(format!(
                "go on: torrens repair apply {dir} {dir}/journal/repair/{id:06}.plan; or back: torrens \
                 repair undo {dir} {id}"
            )),
        ),
        RepairError::WrongState { .. } => (Exit::STATE, Some(format!("torrens repair list {dir}"))),
        RepairError::BadFile { .. } => (Exit::INPUT, None),
        _ => (Exit::UNREADABLE, None),
    };
    Failure {
        code: error.code(),
        message: printable(&chain(&error)),
        hint,
        exit,
    }
}

fn plan(args: &PlanArgs) -> Result<Exit, Failure> {
    let dir = &args.dir;
    let inspector = args.view.open_store(dir)?;
    let style = args.view.style(&inspector);
    let writer = inspector.writer().map_err(look::failure)?;
    if writer.is_open {
        // A plan of files that are being written would fit no directory a moment later.
        return Err(Failure {
            code: "locked",
            message: format!("{} is open by a process", shown(dir)),
            hint: Some("close the store first".to_owned()),
            exit: Exit::LOCKED,
        });
    }
    let plan = library::plan(&RealDisk::new(), &directories(dir), args.way)
        .map_err(|error| failure(dir, error))?;
    if let Some(path) = &args.save {
        save(path, &plan)?;
    }
    let mut out = Out::lock();
    let written = show::plan(&mut out, &style, dir, &plan, args.save.as_deref());
    Ok(out.finish(written, Exit::OK))
}

/// Writes a file that was not there, durable when this returns.
fn save(path: &Path, plan: &RepairPlan) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut file = fresh::create_file(path)?;
        file.write_all(plan.to_text().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| Failure {
        code: "output",
        message: format!("cannot write {}: {error}", shown(path)),
        hint: Some("give the name of a file that is not there yet".to_owned()),
        exit: Exit::UNREADABLE,
    })
}

/// Reads a file that somebody handed in: an ordinary one, of at most `bytes_max`.
pub(crate) fn read_input(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let unreadable = |error: io::Error| Failure {
        code: "input",
        message: format!("cannot read {}: {error}", shown(path)),
        hint: None,
        exit: Exit::UNREADABLE,
    };
    // A pipe without a writer would be waited for; an ordinary file does not care.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(not_a(path, "it is no ordinary file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(not_a(path, "it is longer than any"));
    }
    String::from_utf8(bytes).map_err(|_| not_a(path, "it is not UTF-8"))
}

fn not_a(path: &Path, why: &str) -> Failure {
    Failure {
        code: "bad-input",
        message: format!("{} cannot be used: {why}", shown(path)),
        hint: None,
        exit: Exit::INPUT,
    }
}

fn apply(args: &ApplyArgs) -> Result<Exit, Failure> {
    let dir = &args.dir;
    let text = read_input(&args.plan, PLAN_BYTES_MAX)?;
    let plan = RepairPlan::from_text(&text).map_err(|fault| Failure {
        hint: Some("torrens repair plan DIR --save FILE writes one".to_owned()),
        ..not_a(&args.plan, &fault.to_string())
    })?;
    let store = Locked::open(dir)?;
    let (disk, directories) = (&*store.disk, &store.directories);
    let mut out = Out::lock();
    if args.dry_run {
        let resumed =
            library::check(disk, directories, &plan).map_err(|error| failure(dir, error))?;
        let written = show::dry_run(&mut out, &plan, resumed);
        return Ok(out.finish(written, Exit::OK));
    }
    let id = library::apply(disk, directories, &plan).map_err(|error| failure(dir, error))?;
    let written = show::applied(&mut out, dir, id, &plan).and_then(|()| verdict(&mut out, dir));
    Ok(out.finish(written, Exit::OK))
}

/// What the directory is now.
fn verdict(out: &mut Out, dir: &Path) -> io::Result<()> {
    let looked = Inspector::open(dir).and_then(|inspector| inspector.look(None));
    match looked {
        Ok(picture) => writeln!(out, "verdict   {}", picture.report.verdict.name()),
        Err(error) => writeln!(out, "verdict   none: {}", printable(&chain(&error))),
    }
}

fn state_of(store: &Locked, dir: &Path, id: u64) -> Result<RepairState, Failure> {
    let known =
        library::list(&*store.disk, &store.directories).map_err(|error| failure(dir, error))?;
    let found = known.iter().find(|info| info.id == id);
    found.map(|info| info.state).ok_or_else(|| {
        let state = "unknown";
        failure(dir, RepairError::WrongState { id, state })
    })
}

fn undo(args: &OneArgs) -> Result<Exit, Failure> {
    let dir = &args.dir;
    let store = Locked::open(dir)?;
    let mut out = Out::lock();
    let (disk, directories) = (&*store.disk, &store.directories);
    if args.dry_run {
        library::check_undo(disk, directories, args.id).map_err(|error| failure(dir, error))?;
        let written = writeln!(out, "repair {} can be undone; nothing was done", args.id);
        return Ok(out.finish(written, Exit::OK));
    }
    library::undo(disk, directories, args.id).map_err(|error| failure(dir, error))?;
    let written = writeln!(out, "undid repair {}: every byte is as it was", args.id)
        .and_then(|()| verdict(&mut out, dir));
    Ok(out.finish(written, Exit::OK))
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let inspector = args.view.open_store(&args.dir)?;
    let style = args.view.style(&inspector);
    let known = library::list(&RealDisk::new(), &directories(&args.dir))
        .map_err(|error| failure(&args.dir, error))?;
    let mut out = Out::lock();
    let written = show::list(&mut out, &style, &known);
    Ok(out.finish(written, Exit::OK))
}

fn purge(args: &OneArgs) -> Result<Exit, Failure> {
    let dir = &args.dir;
    let store = Locked::open(dir)?;
    let state = state_of(&store, dir, args.id)?;
    if state.is_unfinished() {
        let (id, state) = (args.id, state.as_str());
        return Err(failure(dir, RepairError::WrongState { id, state }));
    }
    let mut out = Out::lock();
    if args.dry_run {
        let written = writeln!(out, "repair {} can be purged; nothing was done", args.id);
        return Ok(out.finish(written, Exit::OK));
    }
    library::purge(&*store.disk, &store.directories, args.id)
        .map_err(|error| failure(dir, error))?;
    let written = writeln!(
        out,
        "purged repair {}: what it set aside is gone, and it cannot be undone",
        args.id
    );
    Ok(out.finish(written, Exit::OK))
}
