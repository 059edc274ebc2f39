//! `Inspector`: a look at a store's directory that changes nothing.
//!
//! It takes no lock, maps nothing, creates nothing and writes nothing, so it may look at a directory
//! that another process has open. A writer moves on while it is looked at: what is on its way is
//! never called damage, and damage is believed only if it is still there at a second look.
//!
//! * `error`: why there is no answer. * `describe`: a record in words and fields. * `fields`: what
//!   these are made of. * `segments`: one line per segment. * `files`: what lies beside the journal. * `verify`: everything checked at once.
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
    WalkOptions, inspect, walk,
};

use crate::lifecycle::Register;
use crate::machine::RegisterMachine;

mod describe;
mod error;
mod fields;
mod files;
mod segments;
mod verify;

pub use describe::{Description, describe, peer_text, range_text};
pub use error::InspectError;
pub use fields::{Field, FieldValue, key_text};
pub use files::{CheckpointFile, PartSize};
pub use segments::SegmentSpan;
pub use verify::{CheckpointCheck, CheckpointOutcome, Verification};

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
        })
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
        self.while_it_holds(|writer| {
            let mut options = InspectOptions::new(writer.is_open);
            if let Some(at) = at {
                options = options.until(at);
            }
            let machine = RegisterMachine::default();
            let inspection = inspect(&*self.disk, &self.directories, machine, options)
                .map_err(|source| self.recovery_error(source))?;
            let Inspection {
                machine,
                position,
                evidence,
                report,
                ..
            } = inspection;
            Ok(Picture {
                writer,
                register: machine.into_register(),
                position,
                evidence,
                report,
            })
        })
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
        // A picture that holds comes first, so that a writer's traces are not shown as damage.
        let live = self.look(None)?.writer.is_open;
        self.walk(live, from, visit)
    }

    /// [`Inspector::records`], after a picture that holds.
    fn walk(
        &self,
        live: bool,
        from: Lsn,
        visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<RecoveryReport, InspectError> {
        let options = WalkOptions::new(live).from(from);
        walk(&*self.disk, &self.directories, options, visit)
            .map_err(|source| self.recovery_error(source))
    }

    /// Microseconds since the Unix epoch on the disk's clock, for ages.
    pub fn now_micros(&self) -> u64 {
        self.disk.wall_clock_micros()
    }

    /// Looks until the answer holds: nobody opened or closed the store meanwhile, and what looks
    /// damaged while a writer is at work still does after a pause.
    fn while_it_holds(
        &self,
        look: impl Fn(Writer) -> Result<Picture, InspectError>,
    ) -> Result<Picture, InspectError> {
        let mut writer = self.writer()?;
        for _ in 1..LOOKS {
            let picture = look(writer);
            let now = self.writer()?;
            let moved = now.is_open != writer.is_open || now.pid != writer.pid;
            let damaged = match &picture {
                Ok(picture) => !picture.report.verdict.can_open(),
                Err(_) => true,
            };
            if !(moved || damaged && now.is_open) {
                return picture;
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
