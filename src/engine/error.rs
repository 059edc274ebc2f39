//! Why the engine did not open, or cannot do what was asked. Refusals are not in here: they are
//! answers about the request; an error says that the *store* could not carry it out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::{AppendError, CloseError, FollowError, Lsn, MarkError, PurgeError};
use torrens_recovery::RecoveryError;
use torrens_recovery::checkpoint::CheckpointError;

use crate::observe::{HistoryError, HistoryOpenError, HistorySettingError};
use crate::snapshot::{SnapshotError, SnapshotName};
use crate::store::{BatchError, FamiliesError, StoreError, StoreOpenError};
use crate::{Refusal, RegionId, Sequence, StoreId};

/// Why a directory did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nothing at that path, and the options forbid creating it.
    #[error("there is no store at {path}")]
    NotFound {
        /// The directory asked for.
        path: PathBuf,
    },
    /// The directory holds things that are not a store's.
    #[error("{path} is not a store: it holds {found:?}")]
    NotAStore {
        /// The directory asked for.
        path: PathBuf,
        /// The first name that does not belong.
        found: String,
    },
    /// Another process, or another engine in this process, has it open.
    #[error("{path} is open{}", .holder_pid.map(|pid| format!(" in process {pid}")).unwrap_or_default())]
    Busy {
        /// The directory asked for.
        path: PathBuf,
        /// The holder's process id, as far as it is known.
        holder_pid: Option<u32>,
    },
    /// An option is out of its range.
    #[error("option {option} is {given}, and must be {must}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What was given.
        given: String,
        /// What it may be.
        must: &'static str,
    },
    /// The directory belongs to another store id.
    #[error("{path} belongs to {found}, not to {expected}")]
    OtherStore {
        /// The directory asked for.
        path: PathBuf,
        /// The id that the options name.
        expected: StoreId,
        /// The id in the journal.
        found: StoreId,
    },
    /// The journal or a checkpoint did not let the state be recovered.
    #[error("recovery of {path} stopped")]
    Recovery {
        /// The directory asked for.
        path: PathBuf,
        /// Why, with the report.
        #[source]
        source: Box<RecoveryError>,
    },
    /// A new journal could not be made.
    #[error("cannot create a journal in {path}")]
    CreateJournal {
        /// The journal's folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: torrens_journal::OpenError,
    },
    /// The column families of the options do not have all those of the store.
    #[error("{path} cannot be opened with those column families")]
    Families {
        /// The directory asked for.
        path: PathBuf,
        /// Which one, and why.
        #[source]
        source: FamiliesError,
    },
    /// The data store is held by somebody else or cannot be reached at all.
    #[error("the data store of {path} cannot be opened")]
    Data {
        /// The directory asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreOpenError,
    },
    /// The history of observed regions can neither be used nor be called damaged.
    #[error("the history of {path} cannot be opened")]
    History {
        /// The directory asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: HistoryOpenError,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step of opening that is an ordinary operation of the engine failed.
    #[error("recovery could not be finished")]
    Finish(#[source] EngineError),
}

impl OpenError {
    /// Stable code for logs and tools.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::NotFound { .. } => "open-not-found",
            OpenError::NotAStore { .. } => "open-not-a-store",
            OpenError::Busy { .. } => "open-busy",
            OpenError::Option { .. } => "open-option",
            OpenError::OtherStore { .. } => "open-other-store",
            OpenError::Recovery { .. } => "open-recovery",
            OpenError::CreateJournal { .. } => "open-create-journal",
            OpenError::Families { .. } => "open-column-families",
            OpenError::Data { .. } => "open-data-store",
            OpenError::History { .. } => "open-history",
            OpenError::Io { .. } => "open-io",
            OpenError::Finish(source) => source.code(),
        }
    }
}

/// Why the engine could not carry out a request. Nothing that was acknowledged is lost by any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A sync failed earlier: the outcome of what was not acknowledged is unknown. Reopen and ask
    /// again.
    #[error(
        "the journal is poisoned since a failed sync; the outcome is unknown until the store is reopened"
    )]
    Poisoned,
    /// The record does not fit because the disk is full. Nothing changed; try again when there is
    /// space.
    #[error("the journal has no room for the record")]
    DiskFull(#[source] io::Error),
    /// The engine was opened for reading only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
    /// A transition that was submitted waited for a barrier, and could not be decided then. Its code is the
    /// cause's.
    #[error("the transition was not carried out")]
    NotCarriedOut(#[source] Arc<EngineError>),
    /// One transition's record is larger than a journal record may be.
    #[error("the record has {bytes} bytes, more than the {bytes_max} allowed")]
    RecordTooLarge {
        /// What it would take.
        bytes: u64,
        /// What is allowed.
        bytes_max: u64,
    },
    /// The data store failed; it takes no more writes until the store is reopened.
    #[error("the data store failed")]
    Data(#[source] StoreError),
    /// The data store failed earlier.
    #[error("the data store failed earlier ({first}); reopen the store")]
    DataFailed {
        /// The first failure.
        first: String,
    },
    /// A snapshot file could not be written, or is not what it claims to be.
    #[error("the snapshot cannot be used")]
    Snapshot(#[source] SnapshotError),
    /// The batch is not one that the store takes.
    #[error("the batch cannot be written")]
    Batch(#[source] BatchError),
    /// All 64-bit sequence numbers are used up.
    #[error("no sequence number is left")]
    SequencesExhausted,
    /// Old journal segments could not be removed; nothing is lost but space.
    #[error("the journal could not be purged")]
    Purge(#[source] PurgeError),
    /// The mark file could not be written; nothing is lost but evidence.
    #[error("the mark could not be written")]
    Mark(#[source] MarkError),
    /// The record is durable; the mark that would prove it is not.
    #[error("the record is durable, the mark that proves it could not be written")]
    NotWitnessed(#[source] Arc<MarkError>),
    /// A position was waited for that no record has yet.
    #[error("there is no record at LSN {lsn} yet, the last is {appended}")]
    NoSuchRecord {
        /// The position that was asked for.
        lsn: Lsn,
        /// The last record there is.
        appended: Lsn,
    },
    /// The journal is durable, but could not be marked as closed in order.
    #[error("the journal was not closed in order")]
    Close(#[source] CloseError),
    /// The staged file belongs to an apply that has begun and not ended.
    #[error("the snapshot {name} is being applied")]
    SnapshotInUse {
        /// The file.
        name: SnapshotName,
    },
    /// A checkpoint could not be written; the journal keeps what it would have replaced.
    #[error("the checkpoint could not be written")]
    Checkpoint(#[source] CheckpointError),
    /// The journal refused a record for a reason that is none of the above.
    #[error("the journal did not take the record")]
    Append(#[source] AppendError),
    /// A setting of the history is out of its range; nothing was changed.
    #[error("the history keeps its settings")]
    HistorySetting(#[source] HistorySettingError),
    /// The store's own journal cannot be followed.
    #[error("the journal cannot be followed")]
    Follow(#[source] Box<FollowError>),
    /// The transitions of the store's journal cannot be followed from there.
    #[error("the transitions cannot be followed")]
    Transitions(#[source] Box<super::TransitionsError>),
    /// The history of observed regions cannot be used.
    #[error("the history cannot be used")]
    History(#[source] HistoryError),
    /// There is no such peer on this store.
    #[error("{region} has no peer on this store")]
    NoPeer {
        /// The region asked for.
        region: RegionId,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// Whether the journal is as it was and may take the same record later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, EngineError::DiskFull(_) | EngineError::Append(_))
    }

    /// Stable code for logs and tools.
    pub fn code(&self) -> &'static str {
        match self {
            EngineError::Poisoned => "poisoned",
            EngineError::DiskFull(_) => "disk-full",
            EngineError::ReadOnly => "read-only",
            EngineError::Closed => "closed",
            EngineError::NotCarriedOut(source) => source.code(),
            EngineError::RecordTooLarge { .. } => "record-too-large",
            EngineError::Data(_) | EngineError::DataFailed { .. } => "data-store-failed",
            EngineError::Snapshot(_) => "snapshot-unusable",
            EngineError::SnapshotInUse { .. } => "snapshot-in-use",
            EngineError::Checkpoint(_) => "checkpoint-failed",
            EngineError::Batch(_) => "batch-invalid",
            EngineError::SequencesExhausted => "sequences-exhausted",
            EngineError::Purge(_) => "purge-failed",
            EngineError::Mark(_) => "mark-failed",
            EngineError::NotWitnessed(_) => "not-witnessed",
            EngineError::NoSuchRecord { .. } => "no-such-record",
            EngineError::Close(_) => "close-failed",
            EngineError::Append(_) => "append-failed",
            EngineError::HistorySetting(_) => "history-setting",
            EngineError::Follow(source) => source.code(),
            EngineError::Transitions(source) => source.code(),
            EngineError::History(source) => source.code(),
            EngineError::NoPeer { .. } => "no-peer",
            EngineError::Io { .. } => "io",
        }
    }
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The region may not be read here, or not with that epoch, or not at that key.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The view's data is being cleared by a snapshot or a destroy; take a new view.
    #[error("the view of {region} ended: its data is being replaced or removed")]
    ViewEnded {
        /// Whose view it was.
        region: RegionId,
    },
    /// Versions that a read at that sequence needs may be gone.
    #[error("sequence {sequence} of {region} can no longer be read, {oldest} can")]
    SequenceCollected {
        /// The region asked for.
        region: RegionId,
        /// The sequence asked for.
        sequence: Sequence,
        /// The oldest one that can be read.
        oldest: Sequence,
    },
    /// Nothing of the region is that new yet.
    #[error("sequence {sequence} of {region} is ahead of {newest}")]
    SequenceAhead {
        /// The region asked for.
        region: RegionId,
        /// The sequence asked for.
        sequence: Sequence,
        /// The newest one that can be read.
        newest: Sequence,
    },
    /// The store could not carry it out.
    #[error("the read failed")]
    Engine(#[source] EngineError),
}

impl ReadError {
    /// Stable code for logs and tools.
    pub fn code(&self) -> &'static str {
        match self {
            ReadError::Refused(refusal) => refusal.code(),
            ReadError::ViewEnded { .. } => "view-ended",
            ReadError::SequenceCollected { .. } => "sequence-collected",
            ReadError::SequenceAhead { .. } => "sequence-ahead",
            ReadError::Engine(source) => source.code(),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(source: StoreError) -> Self {
        EngineError::Data(source)
    }
}

impl From<SnapshotError> for EngineError {
    fn from(source: SnapshotError) -> Self {
        EngineError::Snapshot(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_store_names_its_holder() {
        let path = PathBuf::from("data");
        let known = OpenError::Busy {
            path: path.clone(),
            holder_pid: Some(7),
        };
        assert_eq!(known.to_string(), "data is open in process 7");
        assert_eq!(
            OpenError::Busy {
                path,
                holder_pid: None
            }
            .to_string(),
            "data is open"
        );
    }
}
