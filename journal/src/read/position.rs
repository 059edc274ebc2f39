//! `PositionError`: the typed answers to "read from this LSN".

use std::path::PathBuf;

use crate::error::ReadError;
use crate::group::GroupFault;
use crate::header::HeaderFault;
use crate::ids::SegmentId;
use crate::lsn::Lsn;
use crate::pin::PinError;
use crate::record::RecordFault;

/// Why the records from a position on cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// They were purged. Reading can go on at `oldest`, with records missing in between.
    #[error("LSN {asked} was purged, the oldest record is {oldest}")]
    Gone {
        /// The position asked for, or that a reader had reached.
        asked: Lsn,
        /// The oldest record that is left.
        oldest: Lsn,
    },
    /// There are none yet, nor is the position the next one to come.
    #[error("LSN {asked} is not there yet, the last record is {end}")]
    NotYet {
        /// The position asked for.
        asked: Lsn,
        /// The last record that is there; [`Lsn::ZERO`] in a journal without records.
        end: Lsn,
    },
    /// They were durable once and are not readable. `torrens-recovery` says what is left of them.
    #[error("LSN {expected} is damaged: segment {segment}, offset {offset_bytes:#x}: {why}")]
    Damaged {
        /// The record that should begin there.
        expected: Lsn,
        /// The segment.
        segment: SegmentId,
        /// Byte offset in its file.
        offset_bytes: u64,
        /// What is there instead.
        why: PositionFault,
    },
    /// They lie in a segment that a later version wrote.
    #[error("segment {segment} cannot be read")]
    NewerFormat {
        /// The segment.
        segment: SegmentId,
        /// The version that it names.
        #[source]
        fault: HeaderFault,
    },
    /// The directory holds no segment.
    #[error("no journal in {}", .dir.display())]
    NoJournal {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system did not let us look.
    #[error("cannot read the journal")]
    Read(#[from] ReadError),
}

impl PositionError {
    /// Stable lower-case name.
    pub const fn code(&self) -> &'static str {
        match self {
            PositionError::Gone { .. } => "gone",
            PositionError::NotYet { .. } => "not-yet",
            PositionError::Damaged { .. } => "damaged",
            PositionError::NewerFormat { .. } => "newer-format",
            PositionError::NoJournal { .. } => "no-journal",
            PositionError::Read(_) => "unreadable",
        }
    }

    /// From the answer to a pin that a reader asked for.
    pub(crate) fn from_pin(error: PinError, asked: Lsn) -> Self {
        match error {
            PinError::Gone { asked, oldest } => PositionError::Gone { asked, oldest },
            // A pin that was just asked for cannot have been revoked.
            PinError::Revoked { .. } => PositionError::Gone {
                asked,
                oldest: asked,
            },
        }
    }
}

/// What is wrong at a position whose record was durable once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionFault {
    /// The page is all zero.
    #[error("the page is all zero")]
    Zero,
    /// The file ends there.
    #[error("the file ends there")]
    EndOfFile,
    /// The bytes are not the group that must follow.
    #[error("{0}")]
    Group(GroupFault),
    /// The group verifies, the record in it does not.
    #[error("{0}")]
    Record(RecordFault),
    /// The segment's header is not usable.
    #[error("{0}")]
    Header(HeaderFault),
    /// The segment is missing, though later ones are there.
    #[error("the segment is missing")]
    Missing,
    /// The segment does not go on where the one before it ended.
    #[error("the segment does not continue the one before it")]
    DoesNotJoin,
    /// Another file has taken the place of the one that was being read.
    #[error("another file has taken the segment's place")]
    Replaced,
}
