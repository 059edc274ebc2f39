//! The storage process as the parent sees it: started, spoken to, listened to, killed.
//!
//! Its events come through a channel, so that waiting for one can end at the moment of a kill. Its
//! standard error goes to a file beside the store.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command as Spawn, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::error::TortureError;
use super::protocol::{Command, Do, Event};

/// Tells the child to abort at its Nth operation that changes the disk, or its Nth of one kind.
pub(super) const ABORT_AT: &str = "TORRENS_TORTURE_ABORT_AT";

/// How the storage process is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) dir: PathBuf,
    pub(super) data: Option<PathBuf>,
    pub(super) child_log: PathBuf,
    /// Where a consumer keeps its copy; none for no consumer.
    pub(super) copy: Option<PathBuf>,
    /// Where a second store is; none for none.
    pub(super) other: Option<PathBuf>,
    /// Abort at that operation on the disk: its number, or a kind and a number.
    pub(super) abort_at: Option<String>,
    /// What the settings of this life are drawn from; none for the fixed ones.
    pub(super) settings: Option<u64>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    Event(Event),
    /// Nothing until the deadline.
    Silence,
    /// The process is gone; it says nothing more.
    Ended,
    /// Something that is no event; never from a process that works.
    Noise(TortureError),
}

/// A running storage process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: Option<BufWriter<ChildStdin>>,
    events: Receiver<Result<Event, TortureError>>,
}

impl Process {
    /// What its threads do at this moment, as Linux says it: how many are in which state and wait in which place
    /// of the kernel, and the processor time that it took in all. Tells one that hangs from one that only gets no
    /// processor. Empty where that is not said.
    pub(super) fn threads(&self) -> String {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let (mut found, mut ticks) = (BTreeMap::<String, u32>::new(), 0_u64);
        for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
            let stat = read(task.path().join("stat"));
            // The name before may contain anything but ends with the last parenthesis.
            let fields: Vec<&str> = stat
                .rsplit_once(')')
                .map(|(_, rest)| rest.split_whitespace().collect())
                .unwrap_or_default();
            let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
            ticks += number(11).unwrap_or(0) + number(12).unwrap_or(0);
            let name = read(task.path().join("comm"));
            let place = read(task.path().join("wchan"));
            let state = fields.first().copied().unwrap_or("?");
            let told = format!("{} {state} {place}", name.trim());
            *found.entry(told).or_default() += 1;
        }
        let told: Vec<String> = found
            .into_iter()
            .map(|(told, count)| format!("{count} x {told}"))
            .collect();
        match told.is_empty() {
            true => String::new(),
            false => format!("; {ticks} ticks; threads: {}", told.join(", ")),
        }
    }

    pub(super) fn start(launch: &Launch) -> Result<Process, TortureError> {
        let program = std::env::current_exe().map_err(TortureError::io("find", "this program"))?;
        let failed = || TortureError::io("start", program.clone());
        let log = open_log(&launch.child_log)?;
        let mut spawn = Spawn::new(&program);
        spawn.arg("torture-child").arg(&launch.dir);
        if let Some(data) = &launch.data {
            spawn.arg("--data").arg(data);
        }
        if let Some(copy) = &launch.copy {
            spawn.arg("--copy").arg(copy);
        }
        if let Some(other) = &launch.other {
            spawn.arg("--other").arg(other);
        }
        if let Some(seed) = launch.settings {
            spawn.arg("--settings").arg(seed.to_string());
        }
        spawn.env_remove(ABORT_AT);
        if let Some(op) = &launch.abort_at {
            spawn.env(ABORT_AT, op);
        }
        // Its own group: an interrupt at the terminal is the parent's to handle.
        spawn.process_group(0);
        spawn
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = spawn.spawn().map_err(failed())?;
        let (sender, events) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    // A kill may cut the last line short; the end of the process says the rest.
                    let Ok(line) = line else { break };
                    let event = serde_json::from_str(&line)
                        .map_err(|source| TortureError::Protocol { line, source });
                    if sender.send(event).is_err() {
                        break;
                    }
                }
            });
        }
        let stdin = child.stdin.take().map(BufWriter::new);
        Ok(Process {
            child,
            stdin,
            events,
        })
    }

    /// Sends a command. A process that is gone takes nothing, which [`Process::hear`] will tell.
    pub(super) fn send(&mut self, op: u64, what: &Do) {
        let Some(stdin) = &mut self.stdin else { return };
        let command = Command {
            op,
            what: what.clone(),
        };
        let sent = serde_json::to_writer(&mut *stdin, &command)
            .map_err(std::io::Error::from)
            .and_then(|()| stdin.write_all(b"\n"))
            .and_then(|()| stdin.flush());
        if sent.is_err() {
            self.stdin = None;
        }
    }

    /// Waits for the next event, at most until `deadline`.
    pub(super) fn hear(&mut self, deadline: Instant) -> Heard {
        let wait = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(wait) {
            Ok(Ok(event)) => Heard::Event(event),
            // A line that a kill cut short is not complete JSON, and nothing follows it.
            Ok(Err(error)) => match self.events.recv_timeout(Duration::from_millis(500)) {
                Err(RecvTimeoutError::Disconnected) => Heard::Ended,
                _ => Heard::Noise(error),
            },
            Err(RecvTimeoutError::Timeout) => Heard::Silence,
            Err(RecvTimeoutError::Disconnected) => Heard::Ended,
        }
    }

    /// Kills it with SIGKILL, as hard as a process can die, and waits until it is gone.
    pub(super) fn kill(&mut self) -> Result<ExitStatus, TortureError> {
        self.child
            .kill()
            .map_err(TortureError::io("kill", "the storage process"))?;
        self.wait()
    }

    /// Waits for its end. Its input is closed first: it ends by itself then.
    pub(super) fn wait(&mut self) -> Result<ExitStatus, TortureError> {
        self.stdin = None;
        self.child
            .wait()
            .map_err(TortureError::io("wait for", "the storage process"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to add if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process ended, in words.
pub(super) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

fn open_log(path: &PathBuf) -> Result<File, TortureError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(TortureError::io("open", path))
}
