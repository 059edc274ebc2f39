//! The storage process from inside: an engine, and a few workers that do what the pipe says.
//!
//! It is the least that a host could be. It keeps nothing, decides nothing, and ends when its
//! standard input does. Commands of different regions run at the same time. Not here: the engine's
//! side of each command (`serve`).

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use torrens::crash_points::CrashPoint;
use torrens::{Engine, StoreId};
use torrens_journal::disk::{RealDisk, RealDiskOptions, SyncChoice};

use super::data::DataSet;
use super::process::ABORT_AT;
use super::protocol::{Command, Do, Event, STORE, Said};
use super::settings::LifeSettings;

mod convert;
mod copy;
mod copy_file;
mod other;
mod serve;

use self::copy::Copy;
use self::other::Other;
use self::serve::Server;

/// Fewer than the parent's questions, so that a kill also finds some that nobody has looked at.
const WORKERS: usize = 4;

/// The storage process of `torrens torture`; not for people.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    dir: PathBuf,
    #[arg(long)]
    data: Option<PathBuf>,
    /// Open a second store there, through which some snapshots go.
    #[arg(long)]
    other: Option<PathBuf>,
    /// Draw the settings of this life from that number.
    #[arg(long)]
    settings: Option<u64>,
    /// Keep a consumer's copy of everything in that file.
    #[arg(long)]
    copy: Option<PathBuf>,
}

/// Runs the storage process.
pub(crate) fn run(args: ChildArgs) -> ExitCode {
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Goes to the parent's log file.
            let _ = writeln!(io::stderr(), "torture-child: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The way up: whole lines, one at a time.
#[derive(Clone, Debug, Default)]
struct Up {
    stdout: Arc<Mutex<()>>,
}

impl Up {
    fn tell(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let _one = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.flush()
    }
}

fn serve(args: &ChildArgs) -> Result<(), Box<dyn std::error::Error>> {
    let data = DataSet::load(args.data.as_deref())?;
    let up = Up::default();
    up.tell(&Event::Recovering)?;
    let settings = args.settings.map(LifeSettings::drawn);
    let settings = settings.unwrap_or_else(LifeSettings::fixed);
    let disk = disk(settings.sync)?;
    let options = Engine::options().store(StoreId(STORE)).disk(Arc::new(disk));
    let options = settings.apply(options);
    let engine = match options.open(&args.dir) {
        Ok((engine, _)) => engine,
        Err(error) => {
            let (code, text) = (error.code().to_owned(), serve::words(&error));
            up.tell(&Event::NotOpen(code, text))?;
            return Ok(());
        }
    };
    let copy = args.copy.as_deref();
    let sleeps = settings.consumer_sleeps;
    let copy = copy
        .map(|path| Copy::start(&engine, path, sleeps))
        .transpose();
    let copy = match copy {
        Ok(copy) => copy,
        Err(error) => {
            let code = "copy".to_owned();
            return Ok(up.tell(&Event::NotOpen(code, error.to_string()))?);
        }
    };
    let other = match args.other.as_deref().map(Other::open).transpose() {
        Ok(other) => other,
        Err(error) => {
            let code = "second-store".to_owned();
            return Ok(up.tell(&Event::NotOpen(code, error.to_string()))?);
        }
    };
    let server = Arc::new(Server::new(engine, data, copy, other));
    match server.opened() {
        Ok(opened) => up.tell(&Event::Open(Box::new(opened)))?,
        Err((code, text)) => return Ok(up.tell(&Event::NotOpen(code, text))?),
    }
    work(server, &up)?;
    Ok(())
}

fn work(server: Arc<Server>, up: &Up) -> Result<(), Box<dyn std::error::Error>> {
    let (sender, commands) = channel::<Command>();
    let commands = Arc::new(Mutex::new(commands));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (server, up, commands) = (Arc::clone(&server), up.clone(), Arc::clone(&commands));
        workers.push(std::thread::spawn(move || -> io::Result<()> {
            loop {
                let next = commands
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .recv();
                let Ok(Command { op, what }) = next else {
                    return Ok(());
                };
                let said = server.carry_out(&what);
                up.tell(&Event::Answer { op, said })?;
            }
        }));
    }
    let mut close = None;
    for line in io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line?)?;
        match command.what {
            Do::Close => {
                close = Some(command.op);
                break;
            }
            _ => sender.send(command)?,
        }
    }
    // No more commands: the workers end when they have done theirs.
    drop(sender);
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")??;
    }
    let server = Arc::into_inner(server).ok_or("a worker kept the engine")?;
    if let Some(op) = close {
        let said = server.close();
        up.tell(&Event::Answer {
            op,
            said: said.unwrap_or_else(|said| said),
        })?;
    }
    Ok(())
}

/// The real disk, with the abort that the environment asks for.
fn disk(sync: SyncChoice) -> Result<RealDisk, Box<dyn std::error::Error>> {
    let mut options = RealDiskOptions {
        sync,
        ..RealDiskOptions::default()
    };
    if let Ok(text) = std::env::var(ABORT_AT)
        && !die_at_point(&text)?
    {
        let (kind, abort_at) = match text.split_once(':') {
            Some((kind, number)) => (Some(kind.to_owned()), number.parse()?),
            None => (None, text.parse::<u64>()?),
        };
        let seen = AtomicU64::new(0);
        options.op_hook = Some(Arc::new(move |name, number| {
            let number = match &kind {
                Some(kind) if kind == name => seen.fetch_add(1, Ordering::Relaxed) + 1,
                Some(_) => return,
                None => number,
            };
            if number == abort_at {
                std::process::abort();
            }
        }));
    }
    Ok(RealDisk::with(options)?)
}

/// Has the process abort itself at a named point of the engine; whether that is what the text asks for.
fn die_at_point(text: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let Some((name, number)) = text
        .strip_prefix('@')
        .and_then(|point| point.split_once(':'))
    else {
        return Ok(false);
    };
    let abort_at: u64 = number.parse()?;
    let mut points = CrashPoint::ALL.iter();
    let point = points
        .find(|point| point.name() == name)
        .copied()
        .ok_or("no such point")?;
    watch_points(point, abort_at)?;
    Ok(true)
}

#[cfg(feature = "crash-points")]
fn watch_points(point: CrashPoint, abort_at: u64) -> Result<(), Box<dyn std::error::Error>> {
    let seen = AtomicU64::new(0);
    torrens::crash_points::watch(move |reached| {
        if reached == point && seen.fetch_add(1, Ordering::Relaxed) + 1 == abort_at {
            std::process::abort();
        }
    });
    Ok(())
}

#[cfg(not(feature = "crash-points"))]
fn watch_points(point: CrashPoint, _abort_at: u64) -> Result<(), Box<dyn std::error::Error>> {
    Err(format!("not built with crash points: {}", point.name()).into())
}

impl Server {
    fn close(self) -> Result<Said, Said> {
        let (engine, copy, other) = self.into_parts();
        engine.close().map_err(|error| serve::failed(&error))?;
        other
            .map_or(Ok(()), Other::close)
            .map_err(|text| Said::Failed("second-store".to_owned(), text))?;
        match copy.and_then(Copy::join) {
            Some(text) => Err(Said::Failed("copy".to_owned(), text)),
            None => Ok(Said::Done),
        }
    }
}
