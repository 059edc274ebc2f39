//! The parts of a directory as plain values, in the order in which a directory is put together: segments with
//! their groups and records, then marks and checkpoints.

use torrens_journal::{
    Boot, GroupPlan, Lsn, Mark, Predecessor, RecordKind, SegmentHeader, SegmentId,
};

/// One part of a store's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part<'a> {
    /// A segment file begins.
    Segment(SegmentPart),
    /// A group begins in the segment; the records that follow are its records.
    Group(GroupPlan),
    /// A record.
    Record(RecordPart<'a>),
    /// A page that is other than what follows from the parts before it: damage, a torn tail, a newer version.
    Page(PagePart<'a>),
    /// A mark.
    Mark(MarkPart),
    /// Bytes of a checkpoint, or of a mark file that holds other things than marks.
    File(FilePart<'a>),
}

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPart {
    /// The number in its name.
    pub id: SegmentId,
    /// Length of the file.
    pub file_bytes: u64,
    /// Its header; `None` if none can be read. Its predecessor is `None` if it is what was built before.
    pub header: Option<SegmentHeader>,
    /// Whether it does not follow the segment before, as where one is missing.
    pub is_detached: bool,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPart<'a> {
    /// Its position, if it is known; it must be the next one.
    pub lsn: Option<Lsn>,
    /// Its kind.
    pub kind: RecordKind,
    /// Its tag.
    pub tag: u32,
    /// Its payload.
    pub payload: &'a [u8],
    /// The boot that wrote it. Where no [`Part::Group`] says it.
    pub boot: Boot,
    /// The group that it was in: records in a row with the same one share a group. Where no
    /// [`Part::Group`] says it.
    pub group: Option<(SegmentId, u32)>,
}

/// A page of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePart<'a> {
    /// The segment, the last one that began.
    pub segment: SegmentId,
    /// A multiple of 4096.
    pub offset_bytes: u64,
    /// At most 4096 bytes; fewer only at the end of a file.
    pub bytes: &'a [u8],
}

/// A mark. What it says of the last durable group follows from the group that ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkPart {
    /// The mark; segment, end and chain count only if `is_exact`.
    pub mark: Mark,
    /// Whether the mark says where the group ends, since no group that was built ends so.
    pub is_exact: bool,
}

impl MarkPart {
    /// The mark as it is written when the group with its last record ends at `end`.
    pub(super) fn resolve(&self, end: Option<Predecessor>) -> Mark {
        match end {
            Some(end) if !self.is_exact => Mark {
                segment: end.segment,
                end_offset_bytes: end.end_offset_bytes,
                chain: end.chain,
                ..self.mark
            },
            _ => self.mark,
        }
    }
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePart<'a> {
    /// `journal/journal.mark` or `checkpoints/NAME`.
    pub name: &'a str,
    /// Length of the whole file.
    pub file_bytes: u64,
    /// Where the bytes belong; everything that no part names is zero.
    pub offset_bytes: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}
