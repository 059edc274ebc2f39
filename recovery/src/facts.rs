//! What was found in a journal directory, as plain data: no judgement and no I/O.
//!
//! `evidence` fills these in, `verdict` judges them, `repair` and the report read them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::{Boot, Lsn, Predecessor, SegmentId, StoreUuid};

use crate::checkpoint::{CheckpointFault, CheckpointInfo, Meta};

mod derived;

/// A place in the journal, and the record that should begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The segment.
    pub segment: SegmentId,
    /// Byte offset in its file.
    pub offset_bytes: u64,
    /// The LSN that was expected next.
    pub expected: Lsn,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position {
            segment,
            offset_bytes,
            expected,
        } = self;
        write!(
            f,
            "segment {segment}, offset {offset_bytes:#x}; LSN {expected} was expected here"
        )
    }
}

/// Who says that everything up to an LSN was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WitnessKind {
    /// A group of records that was sealed later.
    Group,
    /// The mark file.
    Mark,
    /// The header of the following segment, which states where its predecessor ended.
    NextHeader,
    /// A checkpoint.
    Checkpoint,
}

impl fmt::Display for WitnessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WitnessKind::Group => "a later group",
            WitnessKind::Mark => "the mark file",
            WitnessKind::NextHeader => "the header of the next segment",
            WitnessKind::Checkpoint => "a checkpoint",
        })
    }
}

/// A proof that every record up to `lsn` was durable once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The last record that it covers.
    pub lsn: Lsn,
    /// Who says so.
    pub kind: WitnessKind,
    /// The segment in which the witness lies, or that a mark names.
    pub segment: Option<SegmentId>,
    /// The witness's byte offset in that segment; for a mark, where the durable bytes ended.
    pub offset_bytes: Option<u64>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LSN {} was durable, says {}", self.lsn, self.kind)?;
        match (self.segment, self.offset_bytes) {
            (Some(segment), Some(offset)) => write!(f, " (segment {segment}, offset {offset:#x})"),
            (Some(segment), None) => write!(f, " (segment {segment})"),
            _ => Ok(()),
        }
    }
}

/// Why the walk through a segment ended where it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The page there is all zero.
    Zero,
    /// The segment has no room for another group.
    Full,
    /// The file ends there, before the length that its header states.
    EndOfFile,
    /// The bytes there are not the next group; the reader's reason.
    Invalid(String),
    /// The header is not usable, so nothing was read; the reader's reason.
    Header(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Zero => f.write_str("the page there is all zero"),
            Stop::Full => f.write_str("the segment ends there"),
            Stop::EndOfFile => f.write_str("the file ends there, shorter than its header states"),
            Stop::Invalid(why) => f.write_str(why),
            Stop::Header(why) => write!(f, "the segment's header is not usable: {why}"),
        }
    }
}

/// Groups that verify by themselves behind the place where a segment's walk stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaterGroups {
    /// How many.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Offset of the first.
    pub first_offset_bytes: Option<u64>,
    /// The highest durable LSN that any of them carries, and where.
    pub durable: Option<(Lsn, u64)>,
    /// The highest boot number in them.
    pub boot_max: u32,
}

/// One segment as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// From the file name.
    pub id: SegmentId,
    /// Length of the file.
    pub file_bytes: u64,
    /// Length that the header states; 0 without a header.
    pub stated_bytes: u64,
    /// The first LSN that the header states; `None` without a usable header.
    pub first_lsn: Option<Lsn>,
    /// What the header says of the segment before; `None` in the first one and without a usable
    /// header.
    pub predecessor: Option<Predecessor>,
    /// Accepted groups, in order from the first.
    pub groups: u64,
    /// Records in the accepted groups.
    pub records: u64,
    /// Where the accepted groups end.
    pub end_offset_bytes: u64,
    /// The LSN expected there.
    pub expected: Lsn,
    /// Chain value there.
    pub chain: u32,
    /// Number of the last accepted group in this segment; 0 if there is none.
    pub group_number: u32,
    /// Whether the last accepted group is the segment's last by its own account.
    pub sealed: bool,
    /// Boot number of the last accepted group, or of the header.
    pub boot: Boot,
    /// The highest durable LSN in an accepted group, and where.
    pub durable: Option<(Lsn, u64)>,
    /// Why the walk ended.
    pub stop: Stop,
    /// Whether one of the two header copies is damaged.
    pub header_copy_bad: Option<String>,
    /// Where the last page with a byte other than zero ends, if any lies behind the accepted groups.
    /// Looked for in the last segment only, and not while a writer may be at work.
    pub scraps_end_bytes: Option<u64>,
    /// From where on the last segment was not read, because the journal was closed in order at the
    /// end of its accepted groups and so nothing was ever stored there; `None` if all was read.
    pub unread_from_bytes: Option<u64>,
    /// What verifies behind the accepted groups.
    pub later: LaterGroups,
}

impl SegmentFacts {
    /// The place where the walk ended.
    pub fn position(&self) -> Position {
        Position {
            segment: self.id,
            offset_bytes: self.end_offset_bytes,
            expected: self.expected,
        }
    }

    /// The last LSN that was accepted in it, or the one before its first.
    pub fn last_lsn(&self) -> Lsn {
        Lsn::new(self.expected.get().saturating_sub(1))
    }
}

/// How the place that a mark names looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkedPlace {
    /// A group ends there with the chain value of the mark.
    Agrees,
    /// The accepted groups reach past it and none ends there with that chain value.
    Differs,
    /// The accepted groups of its segment end before it.
    Beyond,
    /// Its segment is older than every segment that is there.
    Purged,
    /// Its segment is newer than every segment that is there, or is missing between them.
    Missing,
}

/// One valid mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkFacts {
    /// Its number; the highest is the newest.
    pub number: u64,
    /// Everything up to here was durable when it was written.
    pub durable: Lsn,
    /// The segment that was active.
    pub segment: SegmentId,
    /// Where the durable bytes in it ended.
    pub end_offset_bytes: u64,
    /// The chain value there.
    pub chain: u32,
    /// The boot that wrote it.
    pub boot: Boot,
    /// Whether it was written by an orderly close.
    pub clean_close: bool,
    /// What is at that place.
    pub place: MarkedPlace,
}

/// One file with a checkpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFacts {
    /// The LSN in its name.
    pub lsn: Lsn,
    /// Where it lies.
    pub path: PathBuf,
    /// What is known about its bytes.
    pub state: CheckpointState,
}

/// What is known about a checkpoint file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointState {
    /// Every checksum holds.
    Valid(CheckpointInfo),
    /// It is not valid; its header, if that could be trusted.
    Invalid(CheckpointFault, Option<Meta>),
    /// A newer one is valid, so nobody looked.
    NotRead,
}

/// One accepted group of the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// Where it begins.
    pub offset_bytes: u64,
    /// Where the next one begins.
    pub end_offset_bytes: u64,
    /// Its first LSN (the next one, if it holds no records).
    pub first_lsn: Lsn,
    /// Records in it.
    pub records: u64,
    /// Checksum of its header, which covers the checksums of its pages.
    pub crc: u32,
}

impl GroupPlace {
    /// The last LSN in it, or the one before it, if it holds no records.
    pub fn last_lsn(&self) -> Lsn {
        Lsn::new(
            self.first_lsn
                .get()
                .saturating_add(self.records)
                .saturating_sub(1),
        )
    }
}

/// The operating system refused to let us look.
#[derive(Clone, Debug)]
pub struct ReadFailure {
    /// What was being done, with the path.
    pub what: String,
    /// Its answer.
    pub source: Arc<dyn std::error::Error + Send + Sync>,
}

/// What was being done, and the answer with its causes, on one line.
impl fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)?;
        let mut cause = self.source.source();
        while let Some(source) = cause {
            write!(f, ": {source}")?;
            cause = source.source();
        }
        Ok(())
    }
}

/// Something that a newer version wrote and this one must not guess at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewerFormat {
    /// Where it is.
    pub place: String,
    /// What it says of itself.
    pub what: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The store, from the newest usable segment header.
    pub store: Option<StoreUuid>,
    /// The segments, by id.
    pub segments: Vec<SegmentFacts>,
    /// The accepted groups of the last segment, in order.
    pub last_groups: Vec<GroupPlace>,
    /// The valid marks, oldest first.
    pub marks: Vec<MarkFacts>,
    /// Whether there is a mark file.
    pub mark_file: bool,
    /// Whether the mark file shows its newest mark and the three before it, so that no later one can
    /// have been there and be lost.
    pub marks_whole: bool,
    /// The checkpoint files, newest first.
    pub checkpoints: Vec<CheckpointFacts>,
    /// The newest valid one: what the journal must go on from.
    pub newest_valid: Option<usize>,
    /// The one that replay starts from: the newest valid one, or an older one if a state before it
    /// was asked for.
    pub start: Option<usize>,
    /// Set if the state that was asked for is older than every start: the oldest that there is.
    pub purged: Option<Lsn>,
    /// The first read that failed.
    pub read_failure: Option<ReadFailure>,
    /// The first thing in a newer format.
    pub newer_format: Option<NewerFormat>,
    /// Bytes of segments that were read and judged.
    pub bytes_read: u64,
    /// Remarks that change no verdict.
    pub notes: Vec<String>,
    /// Whether a live writer purged the last segment that was listed before it was walked to its end: there
    /// are later ones, and the blocks that were read may have been theirs.
    pub(crate) outrun: bool,
    /// Only a part of a journal was looked at: that nothing covers what was before it is no damage.
    pub(crate) is_part: bool,
}

impl CheckpointState {
    /// What a valid one says.
    pub fn info(&self) -> Option<&CheckpointInfo> {
        match self {
            CheckpointState::Valid(info) => Some(info),
            CheckpointState::Invalid(..) | CheckpointState::NotRead => None,
        }
    }

    /// The header, if it can be trusted.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            CheckpointState::Valid(info) => Some(&info.meta),
            CheckpointState::Invalid(_, meta) => meta.as_ref(),
            CheckpointState::NotRead => None,
        }
    }
}
