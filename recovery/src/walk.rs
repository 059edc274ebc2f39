//! Every record of a directory in order, with the gaps between them: what dump, tail and a state at
//! an earlier LSN are made of.
//!
//! First the evidence is collected, so that each record can be given with the answer to "is it known
//! to be durable?"; then the records are visited. Records behind a gap are visited too, marked as
//! such: they verify by themselves, and nothing is lost to the reader's eye. Never writes.

use std::ops::ControlFlow;
use std::time::Instant;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::{Found, Group, Lsn, ReadError, SegmentReader};

use crate::error::RecoveryError;
use crate::evidence::{Directories, Look, NoFeed, refused_segment};
use crate::facts::{Evidence, Position, SegmentFacts};
use crate::inspect::{LOOKS, evidence_of};
use crate::report::RecoveryReport;
use crate::verdict::{Verdict, first_breach, flaw, joins, judge};

mod item;

pub use item::{Gap, GapKind, Item, RecordItem};

/// How to walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkOptions {
    /// A writer may be at work in the directory.
    pub live: bool,
    /// Visit no record before this one.
    pub from: Lsn,
    /// Visit nothing at all unless the verdict is clean or torn tail: for a second look at a directory
    /// in which a writer is at work.
    pub sound_only: bool,
    /// As [`InspectOptions::threads`](crate::InspectOptions::threads).
    pub threads: Option<usize>,
    /// As [`InspectOptions::is_part`](crate::InspectOptions::is_part).
    pub is_part: bool,
}

impl WalkOptions {
    /// A walk over a directory with (`live`) or without a writer, from the first record.
    pub fn new(live: bool) -> Self {
        WalkOptions {
            live,
            from: Lsn::ZERO,
            sound_only: false,
            threads: None,
            is_part: false,
        }
    }

    /// Verifies with so many threads; `None` for what suits the machine and the journal.
    #[must_use]
    pub fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// What is there is only a part of a journal: nothing has to cover what was before it.
    #[must_use]
    pub fn of_part(mut self, is_part: bool) -> Self {
        self.is_part = is_part;
        self
    }

    /// Visits nothing unless the verdict is clean or torn tail.
    #[must_use]
    pub fn sound_only(mut self) -> Self {
        self.sound_only = true;
        self
    }

    /// Visits no record before `from`.
    #[must_use]
    pub fn from(mut self, from: Lsn) -> Self {
        self.from = from;
        self
    }
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
    let mut unwatched = |_, _| ControlFlow::Continue(());
    walk_watched(disk, directories, options, &mut unwatched, visit)
}

/// [`walk`], telling `progress` the bytes read so far and in all, now and then. Every segment is read
/// twice: once to judge the directory, once to visit its records.
///
/// # Errors
/// As [`walk`], and [`RecoveryError::Aborted`] if `progress` breaks.
pub fn walk_watched(
    disk: &dyn Disk,
    directories: &Directories,
    options: WalkOptions,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> Result<RecoveryReport, RecoveryError> {
    let started = Instant::now();
    let mut look = Look {
        disk,
        directories,
        live: options.live,
        until: None,
        threads: options.threads,
        trust_close: false,
        is_part: options.is_part,
        progress: &mut |done, total| progress(done, total.saturating_mul(2)),
    };
    let mut looks = 1;
    let (mut evidence, readers) = loop {
        let found = evidence_of(&mut look, &mut NoFeed)?;
        if looks == LOOKS || !found.0.outrun {
            break found;
        }
        looks += 1;
    };
    if evidence.is_no_journal() {
        return Err(RecoveryError::NotAJournal {
            dir: directories.journal.clone(),
        });
    }
    let mut verdict = judge(&evidence, options.live);
    let wanted = verdict.can_open() || !options.sound_only;
    if wanted && evidence.read_failure.is_none() {
        let mut visitor = Visitor {
            durable: evidence.witness().map_or(Lsn::ZERO, |witness| witness.lsn),
            from: options.from,
            behind_gap: false,
            kind: match verdict {
                Verdict::TornTail(_) => GapKind::Torn,
                _ => GapKind::Lost,
            },
            reclaims: options.live.then_some(disk),
            progress,
            visit,
        };
        match visitor.segments(&evidence, &verdict, readers) {
            Ok(Walked::ToTheEnd) => {}
            Ok(Walked::Aborted) => return Err(RecoveryError::Aborted),
            Err(error) => {
                evidence.read_failure = Some(refused_segment(error));
                verdict = judge(&evidence, options.live);
            }
        }
    }
    let mut report = RecoveryReport::of(&evidence, verdict, disk.sync_path());
    report.duration = started.elapsed();
    Ok(report)
}

/// How a walk ended.
enum Walked {
    /// Everything was visited, or the visitor had enough.
    ToTheEnd,
    /// The progress function asked to stop.
    Aborted,
}

struct Visitor<'v> {
    durable: Lsn,
    from: Lsn,
    behind_gap: bool,
    kind: GapKind,
    /// Where a segment's name is looked for if it may have been purged meanwhile.
    reclaims: Option<&'v dyn Disk>,
    progress: &'v mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    visit: &'v mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
}

impl Visitor<'_> {
    fn segments(
        &mut self,
        evidence: &Evidence,
        verdict: &Verdict,
        readers: Vec<SegmentReader>,
    ) -> Result<Walked, ReadError> {
        if let Some(first) = evidence.segments.first()
            && let Some((position, why)) = uncovered(evidence, first)
            && self.gap(position, why).is_break()
        {
            return Ok(Walked::ToTheEnd);
        }
        let nexts = evidence.segments.iter().skip(1).map(Some).chain([None]);
        let mut expected = evidence.checkpoint_lsn().next().unwrap_or(Lsn::ZERO);
        let bytes = |segments: &[SegmentFacts]| -> u64 {
            let each = segments.iter().map(|segment| segment.file_bytes);
            each.fold(0, u64::saturating_add)
        };
        let (judged, mut visited) = (bytes(&evidence.segments), 0u64);
        for ((facts, next), mut reader) in evidence.segments.iter().zip(nexts).zip(readers) {
            let (done, total) = (judged.saturating_add(visited), judged.saturating_mul(2));
            if (self.progress)(done, total).is_break() {
                return Ok(Walked::Aborted);
            }
            visited = visited.saturating_add(facts.file_bytes);
            // Nothing in this segment is wanted if the next one starts at or below `from`.
            let unwanted = next
                .and_then(|next| next.first_lsn)
                .is_some_and(|first_lsn| first_lsn <= self.from && facts.first_lsn.is_some());
            if !unwanted && self.accepted(facts, &mut reader)?.is_break() {
                return Ok(Walked::ToTheEnd);
            }
            if let Some((position, why)) = broken_behind(facts, next, expected, verdict)
                && self.gap(position, why).is_break()
            {
                return Ok(Walked::ToTheEnd);
            }
            if verdict.is_corruption()
                && facts.later.groups > 0
                && self.behind(facts, &mut reader)?.is_break()
            {
                return Ok(Walked::ToTheEnd);
            }
            if facts.first_lsn.is_some() {
                expected = facts.expected;
            }
        }
        Ok(Walked::ToTheEnd)
    }

    fn gap(&mut self, position: Position, why: String) -> ControlFlow<()> {
        self.behind_gap = true;
        let kind = self.kind;
        (self.visit)(Item::Gap(Gap {
            position,
            why,
            kind,
        }))
    }

    /// The groups that the evidence accepted.
    fn accepted(
        &mut self,
        facts: &SegmentFacts,
        reader: &mut SegmentReader,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut offset = SEGMENT_HEADER_BYTES;
        let mut expected = facts.first_lsn.unwrap_or(Lsn::ZERO);
        while offset < facts.end_offset_bytes {
            let found = match reader.group_at(offset, None)? {
                Found::Group(group) => {
                    // Blocks that a live writer uses again can hold a whole group, of other records.
                    let is_next = group.header.first_lsn == expected;
                    is_next
                        .then_some(group)
                        .filter(|group| self.reclaims.is_none() || group.verify_records().is_ok())
                }
                _ => None,
            };
            let Some(group) = found else {
                let position = Position {
                    segment: facts.id,
                    offset_bytes: offset,
                    expected,
                };
                if self.is_reclaimed(reader) {
                    let why = "a writer purged the segment while it was read".to_owned();
                    let kind = GapKind::Reclaimed;
                    return Ok((self.visit)(Item::Gap(Gap {
                        position,
                        why,
                        kind,
                    })));
                }
                self.kind = GapKind::Lost;
                return Ok(self.gap(position, "it changed while it was read".to_owned()));
            };
            offset = group.end_offset_bytes();
            expected = group.header.last_lsn().next().unwrap_or(expected);
            if self.group(facts, &group).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether a live writer took the segment's name away. Names are never used again.
    fn is_reclaimed(&self, reader: &SegmentReader) -> bool {
        self.reclaims.is_some_and(|disk| {
            disk.open(reader.path(), OpenMode::Read)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        })
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
                group_number: group.header.number,
                group_offset_bytes: group.offset_bytes,
                group_records: group.header.record_count,
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
