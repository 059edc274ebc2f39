//! Every record of a directory in order, with the gaps between them: what dump, tail and a state at
//! an earlier LSN are made of.
//!
//! First the evidence is collected, so that each record can be given with the answer to "is it known
//! to be durable?"; then the records are visited. Records behind a gap are visited too, marked as
//! such: they verify by themselves, and nothing is lost to the reader's eye. Never writes.

use std::ops::ControlFlow;
use std::time::Instant;

use torrens_journal::disk::Disk;
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::{Boot, Found, Group, Lsn, ReadError, RecordRef, SegmentId, SegmentReader};

use crate::error::RecoveryError;
use crate::evidence::{Directories, Look, NoFeed, refused_segment};
use crate::facts::{Evidence, Position, SegmentFacts};
use crate::recover::evidence_of;
use crate::report::RecoveryReport;
use crate::verdict::{Verdict, first_breach, flaw, joins, judge};

/// How to walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkOptions {
    /// A writer may be at work in the directory.
    pub live: bool,
    /// Visit no record before this one.
    pub from: Lsn,
}

impl WalkOptions {
    /// A walk over a directory with (`live`) or without a writer, from the first record.
    pub fn new(live: bool) -> Self {
        WalkOptions {
            live,
            from: Lsn::ZERO,
        }
    }

    /// Visits no record before `from`.
    #[must_use]
    pub fn from(mut self, from: Lsn) -> Self {
        self.from = from;
        self
    }
}

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
    /// Whether a witness says that it was durable. A record without one is part of the history all
    /// the same, unless it lies behind a gap.
    pub durable: bool,
    /// Whether it lies behind a gap: it verifies by itself and is not part of the history.
    pub behind_gap: bool,
}

/// A place where the history does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The place.
    pub position: Position,
    /// What is there.
    pub why: String,
}

/// Walks over every record. `visit` may break; the report is that of the whole directory either way.
///
/// # Errors
/// [`RecoveryError::NotAJournal`]. Damage is a gap on the way and a verdict in the report.
pub fn walk(
    disk: &dyn Disk,
    directories: &Directories,
    options: WalkOptions,
    visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> Result<RecoveryReport, RecoveryError> {
    let started = Instant::now();
    let mut look = Look {
        disk,
        directories,
        live: options.live,
        until: None,
        threads: None,
        trust_close: false,
        progress: &mut |_, _| ControlFlow::Continue(()),
    };
    let (mut evidence, readers) = evidence_of(&mut look, &mut NoFeed)?;
    if evidence.is_no_journal() {
        return Err(RecoveryError::NotAJournal {
            dir: directories.journal.clone(),
        });
    }
    let mut verdict = judge(&evidence, options.live);
    if evidence.read_failure.is_none() {
        let mut visitor = Visitor {
            durable: evidence.witness().map_or(Lsn::ZERO, |witness| witness.lsn),
            from: options.from,
            behind_gap: false,
            visit,
        };
        if let Err(error) = visitor.segments(&evidence, &verdict, readers) {
            evidence.read_failure = Some(refused_segment(error));
            verdict = judge(&evidence, options.live);
        }
    }
    let mut report = RecoveryReport::of(&evidence, verdict, disk.sync_path());
    report.duration = started.elapsed();
    Ok(report)
}

struct Visitor<'v> {
    durable: Lsn,
    from: Lsn,
    behind_gap: bool,
    visit: &'v mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
}

impl Visitor<'_> {
    fn segments(
        &mut self,
        evidence: &Evidence,
        verdict: &Verdict,
        readers: Vec<SegmentReader>,
    ) -> Result<(), ReadError> {
        if let Some(first) = evidence.segments.first()
            && let Some((position, why)) = uncovered(evidence, first)
            && self.gap(position, why).is_break()
        {
            return Ok(());
        }
        let nexts = evidence.segments.iter().skip(1).map(Some).chain([None]);
        let mut expected = evidence.checkpoint_lsn().next().unwrap_or(Lsn::ZERO);
        for ((facts, next), mut reader) in evidence.segments.iter().zip(nexts).zip(readers) {
            // Nothing in this segment is wanted if the next one starts at or below `from`.
            let unwanted = next
                .and_then(|next| next.first_lsn)
                .is_some_and(|first_lsn| first_lsn <= self.from && facts.first_lsn.is_some());
            if !unwanted && self.accepted(facts, &mut reader)?.is_break() {
                return Ok(());
            }
            if let Some((position, why)) = broken_behind(facts, next, expected, verdict)
                && self.gap(position, why).is_break()
            {
                return Ok(());
            }
            if verdict.is_corruption()
                && facts.later.groups > 0
                && self.behind(facts, &mut reader)?.is_break()
            {
                return Ok(());
            }
            if facts.first_lsn.is_some() {
                expected = facts.expected;
            }
        }
        Ok(())
    }

    fn gap(&mut self, position: Position, why: String) -> ControlFlow<()> {
        self.behind_gap = true;
        (self.visit)(Item::Gap(Gap { position, why }))
    }

    /// The groups that the evidence accepted.
    fn accepted(
        &mut self,
        facts: &SegmentFacts,
        reader: &mut SegmentReader,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < facts.end_offset_bytes {
            let Found::Group(group) = reader.group_at(offset, None)? else {
                let expected = Lsn::ZERO;
                let position = Position {
                    segment: facts.id,
                    offset_bytes: offset,
                    expected,
                };
                return Ok(self.gap(position, "it changed while it was read".to_owned()));
            };
            offset = group.end_offset_bytes();
            if self.group(facts, &group).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What verifies by itself behind them, in a corrupt journal.
    fn behind(
        &mut self,
        facts: &SegmentFacts,
        reader: &mut SegmentReader,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut offsets = Vec::new();
        for group in reader.tail_scan(facts.end_offset_bytes) {
            offsets.push(group?.offset_bytes);
        }
        for offset in offsets {
            if let Found::Group(group) = reader.group_at(offset, None)?
                && self.group(facts, &group).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn group(&mut self, facts: &SegmentFacts, group: &Group<'_>) -> ControlFlow<()> {
        for record in group.records().map_while(Result::ok) {
            if record.lsn < self.from {
                continue;
            }
            let item = RecordItem {
                record,
                segment: facts.id,
                boot: group.header.boot,
                durable: record.lsn <= self.durable,
                behind_gap: self.behind_gap,
            };
            (self.visit)(Item::Record(item))?;
        }
        ControlFlow::Continue(())
    }
}

/// The gap before the first segment, if the journal begins where nothing covers what was before.
fn uncovered(evidence: &Evidence, first: &SegmentFacts) -> Option<(Position, String)> {
    let breach = first_breach(evidence)?;
    let at_start = breach.position.segment == first.id && breach.position.offset_bytes == 0;
    (at_start && breach.behind == 0).then(|| (breach.position, breach.cause.to_string()))
}

/// The gap behind a segment's accepted groups, if the history does not go on there.
fn broken_behind(
    facts: &SegmentFacts,
    next: Option<&SegmentFacts>,
    expected: Lsn,
    verdict: &Verdict,
) -> Option<(Position, String)> {
    let broken = flaw(facts, expected).or_else(|| joins(facts, next?).err());
    if let Some((position, cause)) = broken {
        return Some((position, cause.to_string()));
    }
    if next.is_some() {
        return None;
    }
    match verdict {
        Verdict::TornTail(torn) => Some((torn.position, torn.stop.to_string())),
        Verdict::Corrupt(corruption) if corruption.position == facts.position() => {
            Some((corruption.position, corruption.cause.to_string()))
        }
        _ => None,
    }
}
