//! The look that changes nothing: evidence, verdict, and the state as far as the records go.
//!
//! Not here: what follows from a verdict (`recover`), each record with the gaps between them (`walk`).

use std::ops::ControlFlow;
use std::time::Instant;

use torrens_journal::disk::Disk;
use torrens_journal::{Lsn, SegmentReader};

use crate::error::RecoveryError;
use crate::evidence::{Directories, Feed, Look, NoEvidence, collect};
use crate::facts::Evidence;
use crate::machine::StateMachine;
use crate::replay::{Applied, Replay, ReplayStop};
use crate::report::RecoveryReport;
use crate::verdict::judge;

/// How to inspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectOptions {
    /// A writer may be at work in the directory: bytes behind the last witnessed record are on their
    /// way and not torn.
    pub live: bool,
    /// Replay nothing behind this record.
    pub until: Option<Lsn>,
    /// As [`RecoveryOptions::threads`](crate::RecoveryOptions::threads); none beside a live writer.
    pub threads: Option<usize>,
    /// Only a part of a journal is there, without a checkpoint: that it begins later is no damage.
    pub is_part: bool,
}

impl InspectOptions {
    /// Inspection of a directory with (`live`) or without a writer.
    pub fn new(live: bool) -> Self {
        InspectOptions {
            live,
            until: None,
            threads: None,
            is_part: false,
        }
    }

    /// What is there is only a part of a journal: nothing has to cover what was before it.
    #[must_use]
    pub fn of_part(mut self, is_part: bool) -> Self {
        self.is_part = is_part;
        self
    }

    /// As [`RecoveryOptions::with_threads`](crate::RecoveryOptions::with_threads).
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Replays nothing behind `until`.
    #[must_use]
    pub fn until(mut self, until: Lsn) -> Self {
        self.until = Some(until);
        self
    }
}

/// What an inspection found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection<M> {
    /// The state after the last record that could be applied: all of them on a clean or torn
    /// journal, those before the damage otherwise, none behind [`InspectOptions::until`].
    pub machine: M,
    /// The last record in that state.
    pub position: Lsn,
    /// The evidence.
    pub evidence: Evidence,
    /// The verdict and the counts.
    pub report: RecoveryReport,
}

/// Looks at a directory, judges it and replays as far as the records go, without writing anything,
/// taking a lock or mapping a file.
///
/// # Errors
/// [`RecoveryError::NotAJournal`], or [`RecoveryError::Purged`] if the position asked for is older
/// than what the directory still holds. Damage of any sort is a verdict in the report.
pub fn inspect<M: StateMachine + Clone>(
    disk: &dyn Disk,
    directories: &Directories,
    machine: M,
    options: InspectOptions,
) -> Result<Inspection<M>, RecoveryError> {
    let mut unwatched = |_, _| ControlFlow::Continue(());
    inspect_watched(disk, directories, machine, options, &mut unwatched)
}

/// How often a live directory is looked at, while its writer takes away what a look is reading.
pub(crate) const LOOKS: u32 = 16;

/// Whether the writer purged all that a look was reading, or some of it and the look found damage, so that it may
/// be the purge that it saw.
fn has_moved_under<M>(
    look: &Look<'_>,
    found: &Result<(Evidence, RecoveryReport, Applied<M>), RecoveryError>,
) -> bool {
    match found {
        Ok((evidence, report, _)) => {
            evidence.outrun || report.verdict.is_corruption() && evidence.is_outdated(look)
        }
        // The checkpoint that it began with is gone.
        Err(error) => matches!(error, RecoveryError::Checkpoint(_)),
    }
}

/// [`inspect`], telling `progress` the bytes of segments read so far and in all, now and then.
///
/// # Errors
/// As [`inspect`], and [`RecoveryError::Aborted`] if `progress` breaks.
pub fn inspect_watched<M: StateMachine + Clone>(
    disk: &dyn Disk,
    directories: &Directories,
    machine: M,
    options: InspectOptions,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Inspection<M>, RecoveryError> {
    let started = Instant::now();
    let mut look = Look {
        disk,
        directories,
        live: options.live,
        until: options.until,
        threads: options.threads,
        trust_close: false,
        is_part: options.is_part,
        progress,
    };
    let mut looks = 1;
    let (evidence, mut report, applied) = loop {
        let found = examine(&mut look, machine.clone());
        if looks == LOOKS || !look.live || !has_moved_under(&look, &found) {
            break found?;
        }
        looks += 1;
    };
    if let (Some(asked), Some(oldest)) = (options.until, evidence.purged) {
        return Err(RecoveryError::Purged { asked, oldest });
    }
    report.duration = started.elapsed();
    Ok(Inspection {
        machine: applied.machine,
        position: applied.position,
        evidence,
        report,
    })
}

/// Looks, replays and judges.
pub(crate) fn examine<M: StateMachine>(
    look: &mut Look<'_>,
    machine: M,
) -> Result<(Evidence, RecoveryReport, Applied<M>), RecoveryError> {
    let sync_path = look.disk.sync_path();
    let until = look.until;
    let is_alone = look.live || look.threads == Some(0);
    let (evidence, mut applied) = std::thread::scope(|scope| {
        let mut replay = Replay::new(machine, until, (!is_alone).then_some(scope));
        let (evidence, _) = evidence_of(look, &mut replay)?;
        Ok::<_, RecoveryError>((evidence, replay.finish()))
    })?;
    if evidence.is_no_journal() {
        return Err(RecoveryError::NotAJournal {
            dir: look.directories.journal.clone(),
        });
    }
    let mut verdict = judge(&evidence, look.live);
    match applied.stop.take() {
        Some(ReplayStop::Checkpoint(error)) => return Err(RecoveryError::Checkpoint(error)),
        // Damage comes first: what the records say is only worth judging where they are whole.
        Some(ReplayStop::Verdict(found)) if verdict.can_open() => verdict = found,
        Some(ReplayStop::Verdict(_)) | None => {}
    }
    let mut report = RecoveryReport::of(&evidence, verdict, sync_path);
    report.records_replayed = applied.records;
    report.records_skipped = applied.skipped;
    Ok((evidence, report, applied))
}

pub(crate) fn evidence_of(
    look: &mut Look<'_>,
    feed: &mut dyn Feed,
) -> Result<(Evidence, Vec<SegmentReader>), RecoveryError> {
    collect(look, feed).map_err(|NoEvidence::Aborted| RecoveryError::Aborted)
}
