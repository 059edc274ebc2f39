//! The sequence: settle, look, judge, then refuse or repair, and open behind the last record.
//!
//! Not here: the steps themselves. Nothing is written before the verdict and the whole replay allow
//! it, and nothing is exposed before everything that replay accepted is durable.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use torrens_journal::disk::{Disk, Entry, EntryKind, OpenMode};
use torrens_journal::{Journal, JournalOptions, SegmentId, Tail};

use crate::error::RecoveryError;
use crate::evidence::{Directories, Look, failure};
use crate::facts::{Evidence, ReadFailure};
use crate::inspect::examine;
use crate::machine::StateMachine;
use crate::repair::{self, RepairInfo, cut_tail};
use crate::report::RecoveryReport;
use crate::verdict::{Verdict, judge};

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes of segments read and replayed so far.
    pub bytes_done: u64,
    /// Bytes of segments in all.
    pub bytes_total: u64,
}

/// What a recovery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Syncing what the last process may have left unsynced.
    Settling,
    /// Reading, verifying and replaying.
    Replaying,
    /// Cutting a torn tail and making accepted records durable. Cannot be stopped any more.
    Repairing,
}

/// Called with the progress; breaking stops the recovery with [`RecoveryError::Aborted`] as long as
/// nothing was changed.
pub type ProgressFn = Box<dyn FnMut(Progress) -> ControlFlow<()> + Send>;

/// How to recover.
#[derive(Default)]
#[non_exhaustive]
pub struct RecoveryOptions {
    /// How the journal is written from then on.
    pub journal: JournalOptions,
    /// Told how far it is.
    pub progress: Option<ProgressFn>,
    /// Threads that compute checksums beside the one that reads and the caller's; `None` for what
    /// suits the machine and the journal, `Some(0)` for the caller's thread alone.
    pub threads: Option<usize>,
    /// Whether the rest of the last segment is read to its end also behind an orderly close, which
    /// says that nothing was ever stored there.
    pub thorough: bool,
}

impl RecoveryOptions {
    /// Recovery for a journal that goes on with `journal`.
    pub fn new(journal: JournalOptions) -> Self {
        RecoveryOptions {
            journal,
            progress: None,
            threads: None,
            thorough: false,
        }
    }

    /// Computes checksums on `threads` threads beside the one that reads and the caller's; at 0 the
    /// caller's thread does everything.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Reads every byte of the journal, also those behind an orderly close.
    #[must_use]
    pub fn thorough(mut self) -> Self {
        self.thorough = true;
        self
    }

    /// Calls `progress` now and then.
    #[must_use]
    pub fn with_progress(mut self, progress: ProgressFn) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl fmt::Debug for RecoveryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryOptions")
            .field("journal", &self.journal)
            .field("progress", &self.progress.is_some())
            .field("threads", &self.threads)
            .field("thorough", &self.thorough)
            .finish()
    }
}

/// A recovered state and the journal to go on with.
#[derive(Debug)]
pub struct Recovered<M> {
    /// The state: the fold of every record in the journal.
    pub machine: M,
    /// The journal, open for appending behind the last record.
    pub journal: Journal,
    /// What was found and done.
    pub report: RecoveryReport,
}

/// Recovers the journal in `directories` into `machine`, which must be empty.
///
/// The caller holds the exclusive lock of the store. In order: every file is synced and its cached
/// pages are dropped; the evidence is collected and replayed; unless the verdict is clean or torn
/// tail the call ends with nothing changed; a torn tail is cut, the cut bytes are kept aside in the
/// journal's `cut/`, and accepted records that nothing proves durable are written again; the journal
/// is opened as the next boot.
///
/// # Durability
/// Every record in the returned state is durable, and a witness of that is.
///
/// # Errors
/// [`RecoveryError`]. All of them leave a directory that can be recovered again, with the same
/// records.
pub fn recover<M: StateMachine>(
    disk: Arc<dyn Disk>,
    directories: &Directories,
    machine: M,
    options: RecoveryOptions,
) -> Result<Recovered<M>, RecoveryError> {
    recover_if(disk, directories, machine, options, |_| true)
}

/// As [`recover`], if the caller takes the state that the records say: one that belongs to somebody else
/// must not be touched.
///
/// # Errors
/// As [`recover`], and [`RecoveryError::Aborted`] if `accepts` says no; nothing was changed then.
pub fn recover_if<M: StateMachine>(
    disk: Arc<dyn Disk>,
    directories: &Directories,
    machine: M,
    options: RecoveryOptions,
    accepts: impl FnOnce(&M) -> bool,
) -> Result<Recovered<M>, RecoveryError> {
    let started = Instant::now();
    let RecoveryOptions {
        journal: journal_options,
        progress,
        threads,
        thorough,
    } = options;
    let mut progress = progress.unwrap_or_else(|| Box::new(|_| ControlFlow::Continue(())));
    let mut tell = |stage, bytes_done, bytes_total| {
        progress(Progress {
            stage,
            bytes_done,
            bytes_total,
        })
    };

    let unfinished = repair::unfinished(&*disk, directories).map_err(RecoveryError::Repairs)?;
    if let Some(RepairInfo { id, state, .. }) = unfinished {
        return Err(RecoveryError::RepairUnfinished { id, state });
    }
    if tell(Stage::Settling, 0, 0).is_break() {
        return Err(RecoveryError::Aborted);
    }
    if let Err(failure) = settle(&*disk, directories) {
        let evidence = Evidence {
            read_failure: Some(failure),
            ..Evidence::default()
        };
        let verdict = judge(&evidence, false);
        let report = RecoveryReport::of(&evidence, verdict, disk.sync_path());
        return Err(RecoveryError::Refused {
            report: Box::new(report),
        });
    }

    let mut look = Look {
        disk: &*disk,
        directories,
        live: false,
        until: None,
        threads,
        trust_close: !thorough,
        is_part: false,
        progress: &mut |done, total| tell(Stage::Replaying, done, total),
    };
    let (evidence, mut report, applied) = examine(&mut look, machine)?;
    report.duration = started.elapsed();
    let torn = match &report.verdict {
        Verdict::Clean => None,
        Verdict::TornTail(torn) => Some(torn),
        _ => {
            return Err(RecoveryError::Refused {
                report: Box::new(report),
            });
        }
    };
    let (Some(store), Some(last)) = (evidence.store, evidence.segments.last()) else {
        return Err(RecoveryError::NotAJournal {
            dir: directories.journal.clone(),
        });
    };

    if !accepts(&applied.machine)
        || tell(Stage::Repairing, evidence.bytes_read, evidence.bytes_read).is_break()
    {
        return Err(RecoveryError::Aborted);
    }
    // The journal goes on as the boot after the highest that was seen anywhere.
    let boot_max = evidence.boot_max();
    let repaired = cut_tail(&*disk, directories, &evidence, torn, boot_max)?;
    let tail = Tail {
        segment: last.id,
        end_offset_bytes: last.end_offset_bytes,
        last_lsn: last.last_lsn(),
        chain: last.chain,
        group_number: last.group_number,
        sealed: last.sealed,
        boot: boot_max,
    };
    // The rest was read as zeros, or zeroed by the repair, or an orderly close says so.
    let journal = Journal::resume_before_zeros(
        Arc::clone(&disk),
        &directories.journal,
        store,
        tail,
        journal_options,
    )
    .map_err(RecoveryError::Resume)?;
    report.repairs = repair::record::tell(&*disk, directories, &journal)?;
    report.cut = repaired.cut;
    report.groups_rewritten = repaired.groups_rewritten;
    report.boot = Some(journal.boot());
    report.writer_path = Some(journal.writer_path().clone());
    report.duration = started.elapsed();
    Ok(Recovered {
        machine: applied.machine,
        journal,
        report,
    })
}

/// Syncs every file of the journal and the checkpoints and both directories: what a process left
/// unsynced becomes durable or is an error now. Drops the cached pages of all but the sealed segments,
/// so that what is read next is what the device has, as far as the platform allows. A segment that has
/// a named successor was synced with success before the successor got its name and was never stored to
/// again: its cached pages are the device's.
fn settle(disk: &dyn Disk, directories: &Directories) -> Result<(), ReadFailure> {
    for dir in [&directories.journal, &directories.checkpoints] {
        let entries = match disk.list(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(refused("list", dir, error)),
        };
        let segment_of = |entry: &Entry| SegmentId::from_file_name(&entry.name);
        let last = entries.iter().filter_map(segment_of).max();
        for entry in entries.iter().filter(|entry| is_ours(entry)) {
            let path = dir.join(&entry.name);
            let file = disk
                .open(&path, OpenMode::Write)
                .map_err(|error| refused("open", &path, error))?;
            file.sync_data()
                .map_err(|error| refused("sync", &path, error))?;
            let segment = segment_of(entry);
            if segment.is_none() || segment == last {
                file.drop_cache()
                    .map_err(|error| refused("drop the cache of", &path, error))?;
            }
        }
        disk.sync_dir(dir)
            .map_err(|error| refused("sync directory", dir, error))?;
    }
    Ok(())
}

fn is_ours(entry: &Entry) -> bool {
    let endings = [".seg", ".mark", ".ckpt"];
    entry.kind == EntryKind::File && endings.iter().any(|ending| entry.name.ends_with(ending))
}

fn refused(operation: &str, path: &Path, error: std::io::Error) -> ReadFailure {
    failure(format!("cannot {operation} {}", path.display()), error)
}
