//! `Inspector`: a look at a store's directory that changes nothing.
//!
//! It takes no lock, maps nothing, creates nothing and writes nothing, so it may look at a directory
//! that another process has open. A writer moves on while it is looked at: what is on its way is
//! never called damage, and damage is believed only if it is still there at a second look.
//!
//! | room | what lives there |
//! |---|---|
//! | `watch` | progress, and stopping early |
//! | `fields`, `keys`, `clock` | values, keys and times as they are shown and typed |
//! | `describe` | a record in words and fields |
//! | `point` | places in the history, as a person names them |
//! | `select`, `filter` | which records are wanted |
//! | `stream` | the records and gaps that are wanted, in order; `follow`: and those that are yet to come |
//! | `fold` | the history with the register before and after each record: the reducer is recovery's |
//! | `timeline`, `lineage`, `owner`, `why`, `stats`, `diff`, `gate` | questions about the history, each a fold |
//! | `source` | journals that lie in no store's directory, or packed |
//! | `segments`, `files` | one line per segment; what lies beside the journal |
//! | `verify`, `explain` | everything checked at once; what stopped a recovery, with evidence and ways on |
//! | `catalogue` | what every stable code means |
//!
//! Not here: the judgement itself (`torrens-recovery`), how anything is shown (the tool).

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, RealDisk, RealDiskOptions, SyncChoice};
use torrens_recovery::{
    Directories, Evidence, InspectOptions, Inspection, Item, RecoveryError, RecoveryReport,
    StateMachine, WalkOptions, inspect_watched, walk_watched,
};

use crate::lifecycle::Register;
use crate::machine::RegisterMachine;

pub mod catalogue;
pub mod clock;
mod describe;
pub mod diff;
mod error;
pub mod explain;
mod fields;
mod files;
mod filter;
mod fold;
mod follow;
pub mod gate;
mod keys;
pub mod lineage;
pub mod owner;
mod point;
mod segments;
mod select;
#[cfg(feature = "packed")]
mod source;
pub mod stats;
mod stream;
pub mod timeline;
mod verify;
mod watch;
pub mod why;

pub use describe::{Description, describe, peer_text};
pub use error::InspectError;
pub use fields::{Field, FieldValue, field_at};
pub use files::{CheckpointFile, PartSize};
pub use filter::{Filter, FilterError};
pub use fold::{Folded, HistoryReader, Step};
pub use follow::{Follow, FollowItem};
pub use keys::{KeyForm, KeyMask, hex, key_text, parse_key, range_text};
pub use point::{Point, PointError};
pub use segments::SegmentSpan;
pub use select::{KindPattern, LsnRange, Selection};
pub use stream::Selected;
pub use verify::{CheckpointCheck, CheckpointOutcome, Verification};
pub use watch::Watch;

/// How often a directory that looks damaged is looked at again while a writer is at work.
const LOOKS: u32 = 4;
/// How long to wait before that.
const PAUSE: Duration = Duration::from_millis(50);

/// A read-only look at one store's directory.
#[derive(Clone, Debug)]
pub struct Inspector {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    directories: Directories,
    watch: Watch,
    /// Threads that verify beside the one that reads; none for what suits the machine.
    threads: Option<usize>,
    /// It is no whole journal: what was before its first record is not missed.
    is_part: bool,
}

/// Who has the directory open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// Whether a process holds the lock.
    pub is_open: bool,
    /// Its id, if it could be learnt.
    pub pid: Option<u32>,
}

/// A directory's state at one position, and what was found on the way there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Picture {
    /// Who had the directory open while it was looked at.
    pub writer: Writer,
    /// The register after the record at `position`.
    pub register: Register,
    /// The last record in that state.
    pub position: Lsn,
    /// What lies in the directory.
    pub evidence: Evidence,
    /// What it means.
    pub report: RecoveryReport,
}

impl Inspector {
    /// Looks whether `dir` can be a store, on the operating system's files.
    ///
    /// # Errors
    /// [`InspectError`] if nothing of a store is there, or if the operating system refused.
    pub fn open(dir: impl AsRef<Path>) -> Result<Inspector, InspectError> {
        let options = RealDiskOptions {
            sync: SyncChoice::Fdatasync,
            ..RealDiskOptions::default()
        };
        let path = dir.as_ref();
        let disk = RealDisk::with(options).map_err(io_error("look at", path))?;
        Inspector::on(Arc::new(disk), path)
    }

    /// [`Inspector::open`] on any disk.
    ///
    /// # Errors
    /// As [`Inspector::open`].
    pub fn on(disk: Arc<dyn Disk>, dir: impl AsRef<Path>) -> Result<Inspector, InspectError> {
        let path = dir.as_ref().to_owned();
        let entries = match disk.list(&path) {
            Ok(entries) => entries,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => InspectError::Missing { path },
                    io::ErrorKind::NotADirectory => InspectError::NotADirectory { path },
                    _ => io_error("list", &path)(error),
                });
            }
        };
        if entries.iter().all(|entry| entry.name != "journal") {
            let found = entries
                .into_iter()
                .map(|entry| entry.name)
                .filter(|name| name != "LOCK");
            return Err(match found.min() {
                Some(found) => InspectError::NotAStore { path, found },
                None => InspectError::Empty { path },
            });
        }
        let directories = Directories {
            journal: path.join("journal"),
            checkpoints: path.join("checkpoints"),
        };
        Ok(Inspector {
            disk,
            path,
            directories,
            watch: Watch::default(),
            threads: None,
            is_part: false,
        })
    }

    /// Tells `watch` how far each look is. It may stop a look, which then ends with
    /// [`InspectError::Stopped`].
    #[must_use]
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// Verifies with so many threads beside the one that reads; 0 for none at all.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether this is no store but some segments of one.
    pub fn is_part(&self) -> bool {
        self.is_part
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who has the directory open now.
    ///
    /// # Errors
    /// [`InspectError::Io`] if the lock file cannot be looked at.
    pub fn writer(&self) -> Result<Writer, InspectError> {
        let lock = self.path.join("LOCK");
        match self.disk.lock_holder(&lock) {
            Ok(pid) => Ok(Writer {
                is_open: pid.is_some(),
                pid,
            }),
            // Held by somebody who did not get as far as writing an id.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Writer {
                is_open: true,
                pid: None,
            }),
            Err(source) => Err(io_error("look at", &lock)(source)),
        }
    }

    /// The state at `at`, or at the end, with the verdict about the whole directory.
    ///
    /// On damage the state is that of the last record before it.
    ///
    /// # Errors
    /// [`InspectError::Purged`] if that state cannot be rebuilt any more; others as
    /// [`Inspector::open`].
    pub fn look(&self, at: Option<Lsn>) -> Result<Picture, InspectError> {
        let picture = self.look_as_far_as_known(at)?;
        match self.late_begin(&picture) {
            Some(first_lsn) => Err(InspectError::OnlyAPart {
                path: self.path.clone(),
                first_lsn,
            }),
            None => Ok(picture),
        }
    }

    /// [`Inspector::look`] also where no state is known: the register is empty then.
    fn look_as_far_as_known(&self, at: Option<Lsn>) -> Result<Picture, InspectError> {
        self.while_it_holds(|writer| self.look_once(RegisterMachine::default(), writer, at))
            .map(|(picture, machine)| Picture {
                register: machine.into_register(),
                ..picture
            })
    }

    /// The first record of a part of a journal that is not its beginning.
    fn late_begin(&self, picture: &Picture) -> Option<Lsn> {
        let first = picture.report.first_lsn.filter(|first| *first > Lsn::FIRST);
        let is_covered = picture.report.checkpoint.is_some();
        first.filter(|_| self.is_part && !is_covered)
    }

    /// What lies in the directory and what its bytes mean, without decoding a record: the register is
    /// empty, and a sequence that cannot be is not noticed.
    ///
    /// # Errors
    /// As [`Inspector::open`].
    pub fn survey(&self) -> Result<Picture, InspectError> {
        self.while_it_holds(|writer| self.look_once(NoState, writer, None))
            .map(|(picture, NoState)| picture)
    }

    fn look_once<M: StateMachine + Clone>(
        &self,
        machine: M,
        writer: Writer,
        at: Option<Lsn>,
    ) -> Result<(Picture, M), InspectError> {
        let mut options = InspectOptions::new(writer.is_open).of_part(self.is_part);
        options.threads = self.threads;
        if let Some(at) = at {
            options = options.until(at);
        }
        let mut progress = |done, total| self.watch.tell(done, total);
        let inspection = inspect_watched(
            &*self.disk,
            &self.directories,
            machine,
            options,
            &mut progress,
        );
        let Inspection {
            machine,
            position,
            evidence,
            report,
            ..
        } = inspection.map_err(|source| self.recovery_error(source))?;
        let picture = Picture {
            writer,
            register: Register::default(),
            position,
            evidence,
            report,
        };
        Ok((picture, machine))
    }

    /// Gives every record from `from` on to `visit`, in order, with the gaps between them.
    ///
    /// The records are given once. The report is that of the whole directory, also if `visit`
    /// breaks.
    ///
    /// # Errors
    /// As [`Inspector::open`]. Damage is a gap on the way and a verdict in the report.
    pub fn records(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<RecoveryReport, InspectError> {
        let mut writer = self.writer()?;
        for _ in 1..LOOKS {
            if !writer.is_open {
                break;
            }
            // A writer's traces are not shown as damage: only a look that holds visits.
            let options = WalkOptions::new(true).from(from).sound_only();
            let report = self.walk(options, visit)?;
            if report.verdict.can_open() {
                return Ok(report);
            }
            thread::sleep(PAUSE);
            writer = self.writer()?;
        }
        self.walk(WalkOptions::new(writer.is_open).from(from), visit)
    }

    /// Where the segments lie.
    pub(crate) fn journal_dir(&self) -> &Path {
        &self.directories.journal
    }

    /// The disk that the directory lies on.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Tells whoever watches how far a look is, and whether to go on.
    pub(crate) fn told(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.watch.tell(done, total)
    }

    /// One walk.
    fn walk(
        &self,
        options: WalkOptions,
        visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<RecoveryReport, InspectError> {
        let mut progress = |done, total| self.watch.tell(done, total);
        let options = options.with_threads(self.threads).of_part(self.is_part);
        walk_watched(
            &*self.disk,
            &self.directories,
            options,
            &mut progress,
            visit,
        )
        .map_err(|source| self.recovery_error(source))
    }

    /// Microseconds since the Unix epoch on the disk's clock, for ages.
    pub fn now_micros(&self) -> u64 {
        self.disk.wall_clock_micros()
    }

    /// Looks until the answer holds: nobody opened or closed the store meanwhile, and what looks
    /// damaged while a writer is at work still does after a pause.
    fn while_it_holds<M>(
        &self,
        look: impl Fn(Writer) -> Result<(Picture, M), InspectError>,
    ) -> Result<(Picture, M), InspectError> {
        let mut writer = self.writer()?;
        for _ in 1..LOOKS {
            let found = look(writer);
            let now = self.writer()?;
            let moved = now.is_open != writer.is_open || now.pid != writer.pid;
            let damaged = match &found {
                Ok((picture, _)) => !picture.report.verdict.can_open(),
                Err(InspectError::Stopped) => false,
                Err(_) => true,
            };
            if !(moved || damaged && now.is_open) {
                return found;
            }
            writer = now;
            thread::sleep(PAUSE);
        }
        look(writer)
    }

    fn recovery_error(&self, source: RecoveryError) -> InspectError {
        match source {
            RecoveryError::NotAJournal { .. } => InspectError::NoJournal {
                path: self.path.clone(),
            },
            RecoveryError::Purged { asked, oldest, .. } => InspectError::Purged { asked, oldest },
            RecoveryError::Aborted => InspectError::Stopped,
            source => InspectError::Recovery {
                path: self.path.clone(),
                source: Box::new(source),
            },
        }
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InspectError {
    let path = path.to_owned();
    move |source| InspectError::Io {
        doing,
        path,
        source,
    }
}

/// A machine without a state, for looks at the bytes alone.
#[derive(Clone)]
struct NoState;

impl StateMachine for NoState {
    type Record = ();
    type Item = ();
    type Error = std::convert::Infallible;

    fn decode(
        _: torrens_journal::RecordKind,
        _: &[u8],
    ) -> Result<Option<()>, std::convert::Infallible> {
        Ok(Some(()))
    }

    fn apply(&mut self, _: Lsn, (): &()) -> Result<(), std::convert::Infallible> {
        Ok(())
    }

    fn save(
        &self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), torrens_recovery::checkpoint::CheckpointError>,
    ) -> Result<(), torrens_recovery::checkpoint::CheckpointError> {
        Ok(())
    }

    fn decode_item(_: &[u8]) -> Result<(), std::convert::Infallible> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), std::convert::Infallible> {
        Ok(())
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        line.push_str(": ");
        line.push_str(&source.to_string());
        cause = source.source();
    }
    line
}
