//! The judgement: what the evidence means. Types here; the pure function and its table in `judge`.
//!
//! No I/O, no clock. The question is never "does the file end in garbage?" but "was the record that
//! should stand here ever acknowledged?".

use std::fmt;

use torrens_journal::{Lsn, Predecessor, RecordKind, SegmentId};

use crate::facts::{NewerFormat, Position, ReadFailure, Stop, Witness};

mod judge;
#[cfg(test)]
mod tests;

pub use judge::judge;
pub(crate) use judge::{first_breach, flaw, joins};

/// What a journal directory's evidence means.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Every record up to the end is there.
    Clean,
    /// Unfinished bytes after the last record; nothing that was witnessed as acknowledged is lost.
    TornTail(TornTail),
    /// A record that was acknowledged is unreadable or missing. Nothing is cut.
    Corrupt(Corruption),
    /// Every byte verifies, and a record cannot follow the ones before it, or cannot be decoded.
    ImpossibleSequence(ImpossibleSequence),
    /// Something that a newer version wrote.
    NewerFormat(NewerFormat),
    /// The operating system refused a read; nothing is known, and it is never taken for an end.
    Unreadable(ReadFailure),
}

impl Verdict {
    /// The exit code of the tool for this verdict.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Verdict::Clean => 0,
            Verdict::TornTail(_) => 3,
            Verdict::Corrupt(corruption) => match corruption.kind {
                CorruptKind::AckedLoss => 4,
                CorruptKind::MidLog => 5,
            },
            Verdict::ImpossibleSequence(_) => 6,
            Verdict::NewerFormat(_) => 7,
            Verdict::Unreadable(_) => 8,
        }
    }

    /// Stable name for reports and machine-readable output.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::TornTail(_) => "torn-tail",
            Verdict::Corrupt(corruption) => match corruption.kind {
                CorruptKind::AckedLoss => "corrupt-acked-loss",
                CorruptKind::MidLog => "corrupt-mid-log",
            },
            Verdict::ImpossibleSequence(_) => "impossible-sequence",
            Verdict::NewerFormat(_) => "newer-format",
            Verdict::Unreadable(_) => "unreadable",
        }
    }

    /// Whether opening may go on: a clean end or a torn tail.
    pub const fn can_open(&self) -> bool {
        matches!(self, Verdict::Clean | Verdict::TornTail(_))
    }

    /// Whether acknowledged records are unreadable or missing.
    pub const fn is_corruption(&self) -> bool {
        matches!(self, Verdict::Corrupt(_))
    }
}

/// A tail that recovery cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where it is cut.
    pub position: Position,
    /// Where the last page with a byte other than zero ends.
    pub scraps_end_bytes: u64,
    /// Groups in the tail that verify by themselves: their pages landed, those before did not.
    pub later_groups: u64,
    /// Why the group at the cut is not one.
    pub stop: Stop,
}

impl TornTail {
    /// Bytes from the cut to the last one that is not zero, in whole pages.
    pub fn cut_bytes(&self) -> u64 {
        self.scraps_end_bytes
            .saturating_sub(self.position.offset_bytes)
    }
}

/// Whether valid records follow the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CorruptKind {
    /// Nothing valid comes after it.
    AckedLoss,
    /// Valid records come after it.
    MidLog,
}

/// What the loss looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The group that should be there is not; why the walk stopped.
    Group(Stop),
    /// The segment's header is not usable; the reader's reason.
    Header(String),
    /// The file is shorter than its header states.
    Short {
        /// Length of the file.
        file_bytes: u64,
        /// Length that its header states.
        stated_bytes: u64,
    },
    /// A segment is not there.
    MissingSegment {
        /// The first that is missing.
        first_missing: SegmentId,
    },
    /// The segment before ended differently from what this segment's header states.
    Stitch {
        /// What the header states.
        stated: Predecessor,
        /// What was found there.
        found: Predecessor,
    },
    /// The journal begins after LSN 1 and no valid checkpoint covers what is before it.
    Uncovered {
        /// The first record in the journal.
        first_lsn: Lsn,
        /// The newest valid checkpoint, if any.
        checkpoint: Option<Lsn>,
    },
    /// The journal does not have what a valid mark says was durable at a place.
    MarkDisagrees {
        /// The mark's durable LSN.
        durable: Lsn,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Group(stop) => write!(f, "no valid group there: {stop}"),
            Cause::Header(why) => write!(f, "the segment's header is not usable: {why}"),
            Cause::Short {
                file_bytes,
                stated_bytes,
            } => {
                write!(f, "the file has {file_bytes} of its {stated_bytes} bytes")
            }
            Cause::MissingSegment { first_missing } => {
                write!(f, "segment {first_missing} is missing")
            }
            Cause::Stitch { stated, found } => write!(
                f,
                "the header says that the segment before ended with LSN {} at offset {:#x}, chain \
                 {:#010x}; it ends with LSN {} at {:#x}, chain {:#010x}",
                stated.last_lsn,
                stated.end_offset_bytes,
                stated.chain,
                found.last_lsn,
                found.end_offset_bytes,
                found.chain
            ),
            Cause::Uncovered {
                first_lsn,
                checkpoint: None,
            } => {
                write!(
                    f,
                    "the journal begins at LSN {first_lsn} and there is no valid checkpoint"
                )
            }
            Cause::Uncovered {
                first_lsn,
                checkpoint: Some(checkpoint),
            } => write!(
                f,
                "the journal begins at LSN {first_lsn} and the newest valid checkpoint ends at LSN \
                 {checkpoint}"
            ),
            Cause::MarkDisagrees { durable } => write!(
                f,
                "a mark says that LSN {durable} was durable there, and other bytes are there now"
            ),
        }
    }
}

/// An acknowledged record that is unreadable or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Whether valid records follow.
    pub kind: CorruptKind,
    /// What it looks like.
    pub cause: Cause,
    /// The first place where the history does not go on.
    pub position: Position,
    /// The best proof that something was durable there.
    pub witness: Option<Witness>,
    /// Valid records behind that place.
    pub records_after: u64,
}

/// A record that verifies and cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpossibleSequence {
    /// The record.
    pub lsn: Lsn,
    /// Its kind; 0 if it is an item of a checkpoint.
    pub kind: RecordKind,
    /// The segment that holds it; 0 if it is an item of a checkpoint.
    pub segment: SegmentId,
    /// Where the record begins in the segment.
    pub offset_bytes: u64,
    /// The state machine's reason.
    pub reason: String,
}
