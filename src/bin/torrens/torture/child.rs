//! The storage process from inside: an engine, and a few workers that do what the pipe says.
//!
//! It is the least that a host could be. It keeps nothing, decides nothing, and ends when its
//! standard input does. Commands of different regions run at the same time. Not here: the engine's
//! side of each command (`serve`).

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use torrens::{Engine, StoreId};
use torrens_journal::disk::{RealDisk, RealDiskOptions};

use super::data::DataSet;
use super::process::ABORT_AT;
use super::protocol::{Command, Do, Event, STORE, Said};

mod convert;
mod copy;
mod copy_file;
mod serve;

use self::copy::Copy;
use self::serve::Server;

/// Fewer than the parent's questions, so that a kill also finds some that nobody has looked at.
const WORKERS: usize = 4;
/// With `--small`: the smallest segments, so that short histories rotate.
const SMALL_SEGMENT_BYTES: u64 = 32 * 1024;
/// Without: still small enough for a short run to rotate.
const SEGMENT_BYTES: u64 = 1024 * 1024;
/// A checkpoint every so many records.
const CHECKPOINT_RECORDS: u64 = 2_000;
/// How soon a region that came is found to be led here.
const AUDIT_INTERVAL: Duration = Duration::from_millis(50);

/// The storage process of `torrens torture`; not for people.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    dir: PathBuf,
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(long)]
    small: bool,
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
    let disk = disk()?;
    let options = Engine::options()
        .store(StoreId(STORE))
        .disk(Arc::new(disk))
        .segment_bytes(if args.small {
            SMALL_SEGMENT_BYTES
        } else {
            SEGMENT_BYTES
        })
        .checkpoint_records(CHECKPOINT_RECORDS)
        .barrier_interval(Duration::from_millis(50))
        .observer_audit_interval(AUDIT_INTERVAL);
    let engine = match options.open(&args.dir) {
        Ok((engine, _)) => engine,
        Err(error) => {
            let (code, text) = (error.code().to_owned(), serve::words(&error));
            up.tell(&Event::NotOpen(code, text))?;
            return Ok(());
        }
    };
    let copy = args.copy.as_deref();
    let copy = copy.map(|path| Copy::start(&engine, path)).transpose();
    let copy = match copy {
        Ok(copy) => copy,
        Err(error) => {
            let code = "copy".to_owned();
            return Ok(up.tell(&Event::NotOpen(code, error.to_string()))?);
        }
    };
    let server = Arc::new(Server::new(engine, data, copy));
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
fn disk() -> Result<RealDisk, Box<dyn std::error::Error>> {
    let mut options = RealDiskOptions::default();
    if let Ok(text) = std::env::var(ABORT_AT) {
        let abort_at: u64 = text.parse()?;
        options.op_hook = Some(Arc::new(move |_, number| {
            if number == abort_at {
                std::process::abort();
            }
        }));
    }
    Ok(RealDisk::with(options)?)
}

impl Server {
    fn close(self) -> Result<Said, Said> {
        let (engine, copy) = self.into_parts();
        engine.close().map_err(|error| serve::failed(&error))?;
        match copy.and_then(Copy::join) {
            Some(text) => Err(Said::Failed("copy".to_owned(), text)),
            None => Ok(Said::Done),
        }
    }
}
