//! Which region has which changes in the history, and where: the fold of its records.
//!
//! A region's *span* is a stretch of entries without a gap: everything behind `base` up to `last` is
//! there. A record that does not follow the one before it (its `previous` is another index) begins a new
//! span, and what lies between is known to be missing. So does an entry that comes again when it had been
//! let go: after a crash the data may be behind the history, and the host sends what the data lacks.
//! Marks say at which record an index lies; the older ones are thinned as a span grows, so that what a
//! consumer has not read is known to within an eighth of its size and age, however old the rest is.
//!
//! Not here: reading the records (`read`), which of them are still needed (`retention`).

use std::collections::HashMap;

use torrens_journal::{Lsn, planted};

use super::record::{EntryHead, HistoryRecord, Lineage, LineageEvent};
use super::sizes::{Sample, Sizes};
use crate::lifecycle::{INITIAL_INDEX, INITIAL_POSITION};
use crate::{Incarnation, RaftPosition, RegionId};

/// Where an index lies: everything from `index` on begins in the record at `lsn`, which may be of an entry
/// behind it if what lies between changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The index.
    pub index: u64,
    /// The first record in the history.
    pub lsn: Lsn,
}

/// A stretch of one region's entries without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The region.
    pub region: RegionId,
    /// The creation of its peer whose entries these are.
    pub incarnation: Incarnation,
    /// Everything behind this index, up to `last`, is there.
    pub base: u64,
    /// The last entry with data.
    pub last: RaftPosition,
    /// The highest index of any record, events included.
    pub end_index: u64,
    /// Its first record.
    pub first_lsn: Lsn,
    /// Its last record.
    pub last_lsn: Lsn,
    /// Most entries between two new marks.
    pub stride: u32,
    /// Entries since the last mark.
    pub since_mark: u32,
    /// Nothing is added to it any more.
    pub is_closed: bool,
    /// The span before it ends where this one begins, by an event that the history holds: whoever reads
    /// on from there meets the event, and misses nothing unsaid.
    pub is_joined: bool,
    /// Where some of its entries lie, in order.
    pub marks: Vec<Mark>,
}

impl Span {
    /// Most marks of one span; then every second of the older half goes.
    pub const MARKS_MAX: usize = 64;
    /// Entries between two new marks.
    const STRIDE: u32 = 16;
    /// Bytes of the history, of whatever region, after which an entry is marked.
    const STRIDE_BYTES: u64 = 64 * 1024;
    /// Microseconds after which an entry is marked.
    const STRIDE_MICROS: u64 = 1_000_000;

    fn new(region: RegionId, incarnation: Incarnation, at: RaftPosition, lsn: Lsn) -> Self {
        Span {
            region,
            incarnation,
            base: at.index,
            last: at,
            end_index: at.index,
            first_lsn: lsn,
            last_lsn: lsn,
            stride: Span::STRIDE,
            since_mark: 0,
            is_closed: false,
            is_joined: false,
            marks: Vec::new(),
        }
    }

    /// Marks an entry if the last mark is far enough before it.
    fn mark(&mut self, index: u64, lsn: Lsn, wall_clock_micros: u64, sizes: &Sizes) {
        let is_due = self.since_mark >= self.stride
            || self.marks.last().is_none_or(|last| {
                let written = sizes.written_at(last.lsn).unwrap_or(wall_clock_micros);
                sizes.bytes_from(last.lsn) >= Span::STRIDE_BYTES
                    || wall_clock_micros.saturating_sub(written) >= Span::STRIDE_MICROS
            });
        if !is_due {
            self.since_mark += 1;
            return;
        }
        self.since_mark = 1;
        self.marks.push(Mark { index, lsn });
        if self.marks.len() >= Span::MARKS_MAX {
            thin(&mut self.marks);
        }
    }

    /// The record from which on everything behind `index` is read.
    fn lsn_behind(&self, index: u64) -> Lsn {
        let next = index.saturating_add(1);
        let behind = self.marks.partition_point(|mark| mark.index <= next);
        let mark = behind.checked_sub(1).and_then(|at| self.marks.get(at));
        mark.map_or(self.first_lsn, |mark| mark.lsn)
    }
}

/// Takes away every second of the older half: what is new stays exact.
pub(super) fn thin<T>(samples: &mut Vec<T>) {
    let (half, mut place) = (samples.len() / 2, 0_usize);
    samples.retain(|_| {
        place += 1;
        place > half || place % 2 == 1
    });
}

/// One piece of an index, for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPiece {
    /// How far the index goes.
    Head {
        /// The last record of the history that is in it.
        last_lsn: Lsn,
        /// The last record of the store's journal that a lineage record is of.
        meta_lsn: Lsn,
        /// Bytes of all records up to there, since the history began.
        bytes: u64,
        /// Bytes between two samples.
        sample_stride: u64,
    },
    /// How much had been written at one record.
    Sample(Sample),
    /// One span.
    Span(Span),
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this record of the history.
    At(Lsn),
    /// There is nothing to read yet: it comes behind what is there.
    End,
    /// What was asked for is not there any more, or never was.
    Gone {
        /// The lowest index after which everything is there.
        base: u64,
    },
    /// The history knows nothing of the region.
    Unknown,
}

/// What the history holds, by region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The spans of each region, oldest first.
    spans: HashMap<RegionId, Vec<Span>>,
    /// The first record of the entry whose last part has not come yet, by region.
    unfinished: HashMap<RegionId, Lsn>,
    last_lsn: Lsn,
    meta_lsn: Lsn,
    sizes: Sizes,
}

impl Index {
    /// How much was written when.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The last record that is in it.
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    /// The last record of the store's journal that a lineage record is of.
    pub fn meta_lsn(&self) -> Lsn {
        self.meta_lsn
    }

    /// The newest span of a region.
    pub fn newest(&self, region: RegionId) -> Option<&Span> {
        self.spans.get(&region)?.last()
    }

    /// How many regions it knows.
    pub fn regions(&self) -> usize {
        self.spans.len()
    }

    /// How many marks it keeps.
    pub fn marks(&self) -> usize {
        let spans = self.spans.values().flatten();
        spans.map(|span| span.marks.len()).sum()
    }

    /// Whether the entry is there already: the host sends it again. What was let go is not.
    pub fn has(&self, region: RegionId, incarnation: Incarnation, index: u64) -> bool {
        self.newest(region).is_some_and(|span| {
            let is_kept = index > span.base || planted!("let-go-taken-for-kept");
            span.incarnation == incarnation
                && !span.is_closed
                && index <= span.last.index
                && is_kept
        })
    }

    /// Where to begin to read everything of a region behind `after`.
    pub fn start(&self, region: RegionId, after: u64) -> Start {
        let Some(spans) = self.spans.get(&region) else {
            return Start::Unknown;
        };
        let mut base = None;
        for (age, span) in spans.iter().rev().enumerate() {
            if after >= span.base {
                let is_read = age == 0 && after >= span.end_index && !span.is_closed;
                return match is_read {
                    true => Start::End,
                    false => Start::At(span.lsn_behind(after)),
                };
            }
            base = Some(span.base);
            if !span.is_joined {
                break;
            }
        }
        base.map_or(Start::Unknown, |base| Start::Gone { base })
    }

    /// The first entry of a region that is known to lie at or behind a record, or the next one to come.
    pub fn first_behind(&self, region: RegionId, lsn: Lsn) -> Option<u64> {
        let span = self.newest(region)?;
        let at = span.marks.partition_point(|mark| mark.lsn < lsn);
        let mark = span.marks.get(at);
        Some(mark.map_or(span.last.index.saturating_add(1), |mark| mark.index))
    }

    /// Takes a record in.
    pub fn note(&mut self, lsn: Lsn, payload_bytes: usize, record: &HistoryRecord) {
        self.last_lsn = self.last_lsn.max(lsn);
        self.sizes
            .note(lsn, payload_bytes, record.wall_clock_micros());
        match record {
            HistoryRecord::Changes { head, part } => {
                let first = match part.number {
                    0 => lsn,
                    _ => self.unfinished.remove(&head.region).unwrap_or(lsn),
                };
                match part.is_last {
                    true => self.note_entry(first, lsn, head),
                    false => drop(self.unfinished.insert(head.region, first)),
                }
            }
            HistoryRecord::Lineage(lineage) => self.note_lineage(lsn, lineage),
        }
    }

    fn note_entry(&mut self, first: Lsn, lsn: Lsn, head: &EntryHead) {
        self.unfinished.remove(&head.region);
        let spans = self.spans.entry(head.region).or_default();
        let open = spans
            .last_mut()
            .filter(|span| !span.is_closed && span.incarnation == head.incarnation);
        let span = match open {
            Some(span) if head.previous == span.last.index => span,
            open => {
                // It came again because it had been let go; whoever reads the span before reads on into this one.
                let is_again =
                    open.is_some_and(|span| (span.base..span.last.index).contains(&head.previous));
                if let Some(before) = spans.last_mut() {
                    before.is_closed = true;
                }
                let base = RaftPosition {
                    index: head.previous,
                    term: 0,
                };
                let mut span = Span::new(head.region, head.incarnation, base, first);
                span.is_joined = is_again;
                spans.push(span);
                let Some(span) = spans.last_mut() else {
                    return;
                };
                span
            }
        };
        // What lies between the record before and this one changed nothing.
        let index = span.end_index.saturating_add(1);
        span.last = head.position;
        span.end_index = span.end_index.max(head.position.index);
        span.last_lsn = lsn;
        let written = head.wall_clock_micros;
        span.mark(index, first, written, &self.sizes);
    }

    fn note_lineage(&mut self, lsn: Lsn, lineage: &Lineage) {
        self.meta_lsn = self.meta_lsn.max(lineage.lsn);
        let data = RaftPosition {
            index: lineage.data_index,
            term: lineage.position.term,
        };
        let (region, incarnation) = (lineage.region, lineage.incarnation);
        if matches!(lineage.event, LineageEvent::SnapshotApplied { .. }) {
            self.begin(region, incarnation, data, lsn);
            return;
        }
        let spans = self.spans.entry(region).or_default();
        let is_open = spans
            .last()
            .is_some_and(|span| !span.is_closed && span.incarnation == incarnation);
        if !is_open {
            if let Some(before) = spans.last_mut() {
                before.is_closed = true;
            }
            spans.push(Span::new(region, incarnation, data, lsn));
        }
        if let Some(span) = spans.last_mut() {
            span.last_lsn = lsn;
            span.end_index = span.end_index.max(lineage.position.index);
            span.is_closed = lineage.event.ends();
        }
        match &lineage.event {
            LineageEvent::Split { children, .. } => {
                let born = Incarnation::new(lineage.lsn);
                for child in children.iter().filter(|child| child.is_here) {
                    self.begin(child.region, born, INITIAL_POSITION, lsn);
                }
            }
            LineageEvent::Merged { source, .. } => {
                let spans = self.spans.get_mut(source);
                if let Some(span) = spans.and_then(|spans| spans.last_mut()) {
                    span.is_closed = true;
                    span.last_lsn = lsn;
                }
            }
            LineageEvent::SnapshotApplied { .. }
            | LineageEvent::Destroyed
            | LineageEvent::Absorbed { .. }
            | LineageEvent::DataGone => {}
        }
    }

    /// Begins a span at an event that whoever reads the span before it meets.
    fn begin(&mut self, region: RegionId, incarnation: Incarnation, at: RaftPosition, lsn: Lsn) {
        let spans = self.spans.entry(region).or_default();
        if let Some(before) = spans.last_mut() {
            before.is_closed = true;
        }
        let mut span = Span::new(region, incarnation, at, lsn);
        span.is_joined = !spans.is_empty() && at.index > INITIAL_INDEX;
        spans.push(span);
    }

    /// Forgets what lies before `oldest`, the first record that is left.
    pub fn forget_below(&mut self, oldest: Lsn) {
        self.spans.retain(|_, spans| {
            let mut behind = spans.len();
            spans.retain_mut(|span| {
                behind -= 1;
                if span.last_lsn < oldest {
                    // How far a region had come is known as long as it goes on: what ends it without a change
                    // of its own, a merge into another one, must not pass for a gap.
                    span.base = span.last.index;
                    span.first_lsn = oldest;
                    span.is_joined = false;
                    span.marks.clear();
                    return behind == 0
                        && !span.is_closed
                        && !planted!("how-far-it-came-forgotten");
                }
                if span.first_lsn >= oldest {
                    return true;
                }
                let gone = span.marks.partition_point(|mark| mark.lsn < oldest);
                // Up to the first entry that is known to be left nothing is promised.
                let left = span.marks.get(gone);
                span.base = left.map_or(span.last.index, |mark| mark.index.saturating_sub(1));
                span.first_lsn = left.map_or(oldest, |mark| mark.lsn);
                span.marks.drain(..gone);
                span.is_joined = false;
                true
            });
            !spans.is_empty()
        });
        self.unfinished.retain(|_, first| *first >= oldest);
        self.sizes.forget_below(oldest);
    }

    /// Every piece, for a checkpoint.
    pub fn pieces(&self) -> impl Iterator<Item = IndexPiece> + '_ {
        let head = IndexPiece::Head {
            last_lsn: self.last_lsn,
            meta_lsn: self.meta_lsn,
            bytes: self.sizes.bytes(),
            sample_stride: self.sizes.stride(),
        };
        let samples = self.sizes.samples().map(IndexPiece::Sample);
        // In one order, so that the same index is always the same bytes.
        let mut regions: Vec<_> = self.spans.keys().copied().collect();
        regions.sort_unstable();
        let spans = regions
            .into_iter()
            .filter_map(|region| self.spans.get(&region))
            .flatten()
            .cloned();
        let spans = spans.map(IndexPiece::Span);
        std::iter::once(head).chain(samples).chain(spans)
    }

    /// Takes a piece back, in the order of [`Index::pieces`].
    pub fn restore(&mut self, piece: IndexPiece) {
        match piece {
            IndexPiece::Head {
                last_lsn,
                meta_lsn,
                bytes,
                sample_stride,
            } => {
                (self.last_lsn, self.meta_lsn) = (last_lsn, meta_lsn);
                self.sizes.restore_head(bytes, sample_stride);
            }
            IndexPiece::Sample(sample) => self.sizes.restore(sample),
            IndexPiece::Span(span) => self.spans.entry(span.region).or_default().push(span),
        }
    }
}
