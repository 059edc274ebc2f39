//! What a walk meets: records, each with where it lies and what is known of it, and gaps.

use torrens_journal::{Batch, Boot, GroupHeader, RecordRef, SegmentId};

use crate::facts::Position;

/// One thing met on the way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A record.
    Record(RecordItem<'a>),
    /// A place where the history does not go on.
    Gap(Gap),
}

/// A record, where it lies and what is known of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RecordItem<'a> {
    /// The record; its offset is the one in the segment file.
    pub record: RecordRef<'a>,
    /// The segment that holds it.
    pub segment: SegmentId,
    /// The boot that wrote it.
    pub boot: Boot,
    /// Number of its group in the segment, from 1.
    pub group_number: u32,
    /// Where its group starts in the segment file.
    pub group_offset_bytes: u64,
    /// Records in its group, which were written and made durable together.
    pub group_records: u32,
    /// Whether a witness says that it was durable. A record without one is part of the history all
    /// the same, unless it lies behind a gap.
    pub durable: bool,
    /// Whether it lies behind a gap: it verifies by itself and is not part of the history.
    pub behind_gap: bool,
}

impl<'a> RecordItem<'a> {
    /// A record that was read beside a live writer.
    pub fn in_batch(batch: &Batch<'a>, record: RecordRef<'a>) -> Self {
        RecordItem {
            record,
            segment: batch.segment(),
            boot: batch.boot(),
            group_number: batch.group_number(),
            group_offset_bytes: batch.offset_bytes(),
            group_records: batch.group_records(),
            durable: batch.is_witnessed(),
            behind_gap: false,
        }
    }

    /// A record of a group that was read by itself.
    pub fn in_group(
        record: RecordRef<'a>,
        segment: SegmentId,
        header: &GroupHeader,
        group_offset_bytes: u64,
        durable: bool,
    ) -> Self {
        RecordItem {
            record,
            segment,
            boot: header.boot,
            group_number: header.number,
            group_offset_bytes,
            group_records: header.record_count,
            durable,
            behind_gap: false,
        }
    }

    /// The same record with its payload elsewhere, for somebody who keeps it beyond the visit.
    pub fn with_payload<'b>(&self, payload: &'b [u8]) -> RecordItem<'b> {
        let RecordRef {
            lsn,
            kind,
            tag,
            offset_bytes,
            ..
        } = self.record;
        RecordItem {
            record: RecordRef {
                lsn,
                kind,
                tag,
                payload,
                offset_bytes,
            },
            ..*self
        }
    }
}

/// A place where the history does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The place.
    pub position: Position,
    /// What is there.
    pub why: String,
    /// What it means for the records.
    pub kind: GapKind,
}

/// What a gap means for the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapKind {
    /// The unfinished end of the journal, which opening cuts. No acknowledged record is lost.
    Torn,
    /// Acknowledged records are unreadable or missing there.
    Lost,
    /// A writer purged the segment while it was read. What was in it is in a checkpoint, and the records
    /// behind the gap are part of the history.
    Reclaimed,
}

impl GapKind {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            GapKind::Torn => "torn-tail",
            GapKind::Lost => "lost",
            GapKind::Reclaimed => "reclaimed",
        }
    }
}
