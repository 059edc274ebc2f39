//! `torrens play`: plays scenario files and says where they answer something else.
//!
//! Not here: the language and the playing (`torrens::play`).

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use torrens::play::{
    COMMANDS, Kind, Need, POINTS, Place, PlayOptions, Played, Scenario, difference, parse_bytes,
    play,
};

use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::render::printable;

/// What `--disk` calls the simulated disk.
const SIMULATED: &str = "sim";
/// A file of this suffix in a directory is a scenario.
const SUFFIX: &str = "scenario";

/// Play scenario files: commands with expected answers, on a simulated machine that can crash.
///
/// Exits 0 if every answer is the expected one, 1 if one is not, 2 if a file is no scenario, 8 if one
/// cannot be read.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Scenario files, or directories that are searched for *.scenario
    #[arg(required_unless_present = "help_commands")]
    paths: Vec<PathBuf>,
    /// Write what was answered into the files instead of comparing
    #[arg(long)]
    rewrite: bool,
    /// `sim`, or a directory of the real file system that must be new or empty
    #[arg(long, value_name = "sim|DIR", default_value = "sim")]
    disk: PathBuf,
    /// Print each command and every record that it journals
    #[arg(long)]
    trace: bool,
    /// Print each command and every operation that it does on the simulated disk and the data store
    #[arg(long)]
    trace_operations: bool,
    /// Feeds everything that looks random on the simulated disk
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line for each file, also if it answers as expected
    #[arg(short, long)]
    verbose: bool,
    /// List the language's commands and crash points, and do nothing else
    #[arg(long)]
    help_commands: bool,
}

/// What came of all files together.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    steps: usize,
    different: usize,
    rewritten: usize,
    skipped: usize,
    unreadable: usize,
    broken: usize,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let mut out = Out::lock();
    if args.help_commands {
        let written = commands(&mut out);
        return out.finish(written, Exit::OK);
    }
    let files = match find(&args.paths) {
        Ok(files) => files,
        Err(failure) => return failure.report(),
    };
    if let Err(failure) = check_disk(&args.disk) {
        return failure.report();
    }
    let mut tally = Tally::default();
    let played = files
        .iter()
        .try_for_each(|file| one(&mut out, &args, file, &mut tally));
    let written = played.and_then(|()| summary(&mut out, &tally));
    let exit = match tally {
        Tally {
            unreadable: 1.., ..
        } => Exit::UNREADABLE,
        Tally { broken: 1.., .. } => Exit::USAGE,
        Tally { different: 1.., .. } => Exit::of(1),
        _ => Exit::OK,
    };
    out.finish(written, exit)
}

/// What a scenario finds on a real disk must not be another one's.
fn check_disk(disk: &Path) -> Result<(), Failure> {
    if disk == Path::new(SIMULATED) {
        return Ok(());
    }
    let failure = |message: String, exit| Failure {
        code: "disk",
        message: printable(&message),
        hint: Some("give a directory that is new or empty".to_owned()),
        exit,
    };
    let shown = disk.display();
    match fs::read_dir(disk) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(failure(format!("{shown} is not empty"), Exit::USAGE)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let text = format!("cannot use {shown}: {error}");
            Err(failure(text, Exit::UNREADABLE))
        }
    }
}

/// Every scenario file below the paths, in a stable order.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |path: &Path, error: io::Error| Failure {
        code: "unreadable",
        message: printable(&format!("cannot read {}: {error}", path.display())),
        hint: None,
        exit: Exit::UNREADABLE,
    };
    let mut files = Vec::new();
    let mut waiting: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    while let Some(path) = waiting.pop() {
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        if !metadata.is_dir() {
            files.push(path);
            continue;
        }
        let entries = fs::read_dir(&path).map_err(|error| unreadable(&path, error))?;
        let mut inside = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&path, error))?;
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&path, error))?;
            let entry = entry.path();
            // Links are not followed, so a circle of them does not matter.
            if kind.is_dir() || entry.extension() == Some(OsStr::new(SUFFIX)) {
                inside.push(entry);
            }
        }
        inside.sort();
        waiting.extend(inside.into_iter().rev());
    }
    if files.is_empty() {
        return Err(Failure {
            code: "no-scenario",
            message: "there is no scenario file".to_owned(),
            hint: Some(format!("a directory is searched for *.{SUFFIX}")),
            exit: Exit::UNREADABLE,
        });
    }
    Ok(files)
}

fn one(out: &mut Out, args: &Args, file: &Path, tally: &mut Tally) -> io::Result<()> {
    let shown = printable(&file.display().to_string());
    tally.files += 1;
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            tally.unreadable += 1;
            return writeln!(out, "{shown}: cannot be read: {error}");
        }
    };
    let scenario = match parse_bytes(&bytes) {
        Ok(scenario) => scenario,
        Err(error) => {
            tally.broken += 1;
            return writeln!(out, "{shown}:{error}");
        }
    };
    let options = PlayOptions {
        place: place(&args.disk, tally.files),
        seed: args.seed,
        trace: args.trace,
        trace_operations: args.trace_operations,
    };
    if args.trace || args.trace_operations {
        writeln!(out, "{shown}")?;
    }
    let mut traced = Ok(());
    let played = play(&scenario, &options, &mut |line| {
        if traced.is_ok() {
            traced = writeln!(out, "{}", printable(line));
        }
    });
    traced?;
    tally.steps += played.answers.len();
    if let Some(line) = played.needs_sim {
        tally.skipped += 1;
        let step = scenario.steps().find(|step| step.line == line);
        let command = printable(step.map_or("this", |step| step.text.as_str()));
        writeln!(
            out,
            "{shown}:{line}: skipped from here on, only --disk sim can do: {command}"
        )?;
        if args.rewrite {
            return Ok(());
        }
    }
    if args.rewrite {
        return rewrite(out, file, &shown, &bytes, &scenario, &played, tally);
    }
    if !played.differences.is_empty() {
        tally.different += 1;
    } else if args.verbose && played.needs_sim.is_none() {
        writeln!(out, "{shown}: {} steps", played.answers.len())?;
    }
    for different in &played.differences {
        let command = printable(&different.command);
        writeln!(out, "{shown}:{}: {command}", different.line)?;
        for line in difference(&different.expected, &different.found) {
            writeln!(out, "    {}", printable(&line))?;
        }
    }
    Ok(())
}

/// Where the machines of one file keep their disks: each file has a folder of its own.
fn place(disk: &Path, number: usize) -> Place {
    if disk == Path::new(SIMULATED) {
        Place::Simulated
    } else {
        Place::Directory(disk.join(format!("{number:04}")))
    }
}

/// Writes the file with the new answers aside and renames it, so that it is whole at every moment.
fn rewrite(
    out: &mut Out,
    file: &Path,
    shown: &str,
    text: &[u8],
    scenario: &Scenario,
    played: &Played,
    tally: &mut Tally,
) -> io::Result<()> {
    let new = scenario.rewritten(&played.answers);
    if new.as_bytes() == text {
        return Ok(());
    }
    let aside = file.with_extension("scenario.new");
    if let Err(error) = fs::write(&aside, new).and_then(|()| fs::rename(&aside, file)) {
        tally.unreadable += 1;
        return writeln!(out, "{shown}: cannot be written: {error}");
    }
    tally.rewritten += 1;
    writeln!(out, "{shown}: rewritten")
}

fn summary(out: &mut Out, tally: &Tally) -> io::Result<()> {
    let Tally {
        files,
        steps,
        different,
        rewritten,
        skipped,
        unreadable,
        broken,
    } = tally;
    let plural = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    let (files, steps) = (plural(*files, "scenario"), plural(*steps, "step"));
    write!(out, "{files}, {steps}")?;
    let parts = [
        (different, "with differences"),
        (rewritten, "rewritten"),
        (skipped, "skipped"),
        (broken, "that cannot be parsed"),
        (unreadable, "not read or written"),
    ];
    for (count, what) in parts {
        if *count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    match different + broken + unreadable + rewritten {
        0 => writeln!(out, ": as expected"),
        _ => writeln!(out),
    }
}

fn commands(out: &mut Out) -> io::Result<()> {
    for command in COMMANDS.iter().copied().flatten() {
        write!(out, "{}", command.name)?;
        for arg in command.args {
            let name = arg.name;
            match arg.need {
                Need::Place => write!(out, " {}", name.to_uppercase())?,
                Need::PlaceOptional => write!(out, " [{}]", name.to_uppercase())?,
                Need::Required => write!(out, " {name}=")?,
                Need::Optional => write!(out, " [{name}=]")?,
                Need::Many => write!(out, " [{name}=]…")?,
            }
        }
        writeln!(out, "\n    {}", command.help)?;
        for arg in command.args {
            if let Kind::Word(_) = arg.kind {
                writeln!(out, "    {}: {}", arg.name, arg.kind.form())?;
            }
        }
    }
    writeln!(out, "\nCrash points, for arm and fail:")?;
    for point in POINTS {
        writeln!(out, "{:<20} {}", point.name, point.help)?;
    }
    Ok(())
}
