//! Why an inspection or a recovery gave no answer, or refused to open.
//!
//! Damage is not an error of an inspection: it is a [`Verdict`](crate::Verdict) in its report. It is
//! one of a recovery, which then carries the whole report. Facts are here, advice is the tool's.

use std::io;
use std::path::PathBuf;

use torrens_journal::{Lsn, OpenError, ReadError};

use crate::checkpoint::CheckpointError;
use crate::repair::{RepairError, RepairState};
use crate::report::RecoveryReport;
use crate::verdict::Verdict;

/// Why [`inspect`](crate::inspect) or [`recover`](crate::recover) did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The directory is missing, or holds nothing that a journal ever acknowledged. A new journal may
    /// be created there.
    #[error("{} holds no journal", dir.display())]
    NotAJournal {
        /// The directory.
        dir: PathBuf,
    },
    /// The verdict does not allow opening. Nothing was changed.
    #[error("refused to open: {}", refusal(&report.verdict))]
    Refused {
        /// What was found, with the verdict and the exact position.
        report: Box<RecoveryReport>,
    },
    /// A repair was begun, or is being taken back, and has not ended. The directory is between two
    /// states; [`repair::resume`](crate::repair::resume) or [`repair::undo`](crate::repair::undo) end
    /// that.
    #[error("repair {id} is {}: resume it or undo it", state.as_str())]
    RepairUnfinished {
        /// Its number.
        id: u64,
        /// How far it is.
        state: RepairState,
    },
    /// What is kept of repairs could not be read or added to.
    #[error("cannot look after the repairs of this directory")]
    Repairs(#[source] RepairError),
    /// The state at the asked position cannot be rebuilt: older segments were purged.
    #[error("the state at LSN {asked} is gone; the oldest that can be rebuilt is at LSN {oldest}")]
    Purged {
        /// The position that was asked for.
        asked: Lsn,
        /// The oldest position that a valid checkpoint or the journal's start still gives.
        oldest: Lsn,
    },
    /// A checkpoint that verified a moment ago could not be loaded.
    #[error("cannot load the checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The repair of a torn tail failed. It can be repeated: nothing was exposed, and what was cut
    /// is kept aside before it is cut.
    #[error("cannot {operation} {}", path.display())]
    Repair {
        /// What was being done.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// A group that was accepted a moment ago could not be read again. Nothing was exposed.
    #[error("cannot read a group again to make it durable")]
    Reread(#[source] ReadError),
    /// A group that was accepted a moment ago reads differently now. Nothing was exposed.
    #[error("{} changed while it was being recovered, at offset {offset_bytes:#x}", path.display())]
    Changed {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset_bytes: u64,
    },
    /// The journal could not be opened for writing behind the last record.
    #[error("cannot open the journal for writing")]
    Resume(#[source] OpenError),
    /// The caller's progress function asked to stop, or the state is not one that it takes. Nothing was
    /// changed.
    #[error("recovery was stopped on request")]
    Aborted,
}

/// The verdict's name; with the operating system's answer, since no other part of the chain of causes has it.
fn refusal(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Unreadable(failure) => format!("{}: {failure}", verdict.name()),
        _ => verdict.name().to_owned(),
    }
}

impl RecoveryError {
    /// The exit code of the tool for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            RecoveryError::Refused { report } => report.verdict.exit_code(),
            RecoveryError::Repair { .. }
            | RecoveryError::Reread(_)
            | RecoveryError::Repairs(RepairError::Io { .. })
            | RecoveryError::Checkpoint(CheckpointError::Io { .. }) => 8,
            RecoveryError::NotAJournal { .. }
            | RecoveryError::Purged { .. }
            | RecoveryError::RepairUnfinished { .. }
            | RecoveryError::Repairs(_)
            | RecoveryError::Checkpoint(_)
            | RecoveryError::Changed { .. }
            | RecoveryError::Resume(_)
            | RecoveryError::Aborted => 1,
        }
    }

    /// Whether acknowledged records are unreadable or missing.
    pub fn is_corruption(&self) -> bool {
        self.report()
            .is_some_and(|report| report.verdict.is_corruption())
    }

    /// What was found, if the verdict is the reason.
    pub fn report(&self) -> Option<&RecoveryReport> {
        match self {
            RecoveryError::Refused { report } => Some(report),
            _ => None,
        }
    }
}
