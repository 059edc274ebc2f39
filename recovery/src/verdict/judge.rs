//! From evidence to verdict, as a pure function.
//!
//! A witness (see `facts`) answers whether a record was acknowledged: at the first place where the
//! history does not go on, with LSN X expected, `X <= W` means that an acknowledged record is gone,
//! and `X > W` means that nobody was told. Where the history breaks *before* its last segment, the
//! header of the following segment is the witness.
//!
//! [`judge`] first reduces the evidence to [`Summary`], seven small facts, and [`decide`] is the table
//! over these; a test writes the table down a second time and compares every combination.

use torrens_journal::{Lsn, Predecessor, SegmentId, planted};

use super::{Cause, CorruptKind, Corruption, TornTail, Verdict};
use crate::facts::{Evidence, MarkedPlace, Position, SegmentFacts, Stop, Witness, WitnessKind};

/// The first place where the history does not go on, before the end of the last segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) position: Position,
    pub(crate) cause: Cause,
    /// Index of the first segment that lies behind it.
    pub(crate) behind: usize,
}

/// Whether `next` goes on where `before` ended. `Err` says where and how it does not.
pub(crate) fn joins(before: &SegmentFacts, next: &SegmentFacts) -> Result<(), (Position, Cause)> {
    if before.id.next() != Some(next.id) {
        let first_missing = before.id.next().unwrap_or(next.id);
        return Err((before.position(), Cause::MissingSegment { first_missing }));
    }
    // A header that cannot be read is its own breach; it cannot speak about its predecessor.
    let Some(stated) = next.predecessor else {
        return Ok(());
    };
    let found = Predecessor {
        segment: before.id,
        last_lsn: before.last_lsn(),
        end_offset_bytes: before.end_offset_bytes,
        chain: before.chain,
    };
    if stated == found {
        return Ok(());
    }
    let cause = if found.end_offset_bytes < stated.end_offset_bytes {
        Cause::Group(before.stop.clone())
    } else {
        Cause::Stitch { stated, found }
    };
    Err((before.position(), cause))
}

/// What is wrong with one segment by itself, before its groups are looked at. `expected` is the LSN
/// that it should begin with, for the case that its header cannot say.
pub(crate) fn flaw(segment: &SegmentFacts, expected: Lsn) -> Option<(Position, Cause)> {
    if let Stop::Header(why) = &segment.stop {
        let position = Position {
            segment: segment.id,
            offset_bytes: 0,
            expected,
        };
        return Some((position, Cause::Header(why.clone())));
    }
    if segment.file_bytes < segment.stated_bytes {
        let cause = Cause::Short {
            file_bytes: segment.file_bytes,
            stated_bytes: segment.stated_bytes,
        };
        return Some((segment.position(), cause));
    }
    None
}

/// The facts that the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The operating system refused a read.
    pub(crate) refused: bool,
    /// Something is in a newer format.
    pub(crate) newer: bool,
    /// The history breaks before the end of its last segment.
    pub(crate) breached: bool,
    /// A witness covers the record expected at the end.
    pub(crate) witnessed: bool,
    /// Bytes other than zero lie behind the end.
    pub(crate) scraps: bool,
    /// Valid records lie behind the breach or the end.
    pub(crate) records_after: bool,
    /// A writer may be at work: bytes behind the end are in flight.
    pub(crate) live: bool,
}

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Clean,
    TornTail,
    AckedLoss,
    MidLog,
    NewerFormat,
    Unreadable,
}

/// The table.
pub(super) fn decide(summary: Summary) -> Finding {
    if summary.refused {
        return Finding::Unreadable;
    }
    if summary.newer {
        return Finding::NewerFormat;
    }
    let witnessed = summary.witnessed && !planted!("witnesses-not-heard");
    match (summary.breached || witnessed, summary.records_after) {
        (true, true) if planted!("damage-before-the-end-is-cut") => Finding::TornTail,
        (true, true) => Finding::MidLog,
        (true, false) => Finding::AckedLoss,
        (false, _) if summary.scraps && !summary.live => Finding::TornTail,
        (false, _) => Finding::Clean,
    }
}

/// Judges `evidence`. With `live`, a writer may be at work: bytes behind the last record that have
/// no witness are on their way and not torn.
pub fn judge(evidence: &Evidence, live: bool) -> Verdict {
    let breach = first_breach(evidence);
    let last = evidence.segments.last();
    let witness = evidence.witness();
    let end_witness = last.and_then(|last| end_witness(evidence, last, witness));
    let records_after = match &breach {
        Some(breach) => records_behind(evidence, breach.behind),
        None => last.map_or(0, |last| last.later.records),
    };
    let finding = decide(Summary {
        refused: evidence.read_failure.is_some(),
        newer: evidence.newer_format.is_some(),
        breached: breach.is_some(),
        witnessed: end_witness.is_some(),
        scraps: last.is_some_and(|last| last.scraps_end_bytes.is_some()),
        records_after: records_after > 0,
        live,
    });
    let kind = match finding {
        Finding::Unreadable => {
            return evidence
                .read_failure
                .clone()
                .map_or(Verdict::Clean, Verdict::Unreadable);
        }
        Finding::NewerFormat => {
            return evidence
                .newer_format
                .clone()
                .map_or(Verdict::Clean, Verdict::NewerFormat);
        }
        Finding::Clean => return Verdict::Clean,
        Finding::TornTail => {
            let Some(last) = last else {
                return Verdict::Clean;
            };
            return Verdict::TornTail(TornTail {
                position: last.position(),
                scraps_end_bytes: last.scraps_end_bytes.unwrap_or(last.end_offset_bytes),
                later_groups: last.later.groups,
                stop: last.stop.clone(),
            });
        }
        Finding::AckedLoss => CorruptKind::AckedLoss,
        Finding::MidLog => CorruptKind::MidLog,
    };
    let (position, cause, witness) = match (breach, last) {
        (Some(breach), _) => (breach.position, breach.cause, witness),
        (None, Some(last)) => (
            last.position(),
            Cause::Group(last.stop.clone()),
            end_witness,
        ),
        (None, None) => return Verdict::Clean,
    };
    Verdict::Corrupt(Corruption {
        kind,
        cause,
        position,
        witness,
        records_after,
    })
}

/// The proof that something durable stood at the end of the last segment, if there is one: by LSN,
/// or by a mark that names a place behind the end (a group without records is proved only so).
fn end_witness(
    evidence: &Evidence,
    last: &SegmentFacts,
    witness: Option<Witness>,
) -> Option<Witness> {
    if let Some(witness) = witness.filter(|witness| witness.lsn >= last.expected) {
        return Some(witness);
    }
    let mark = evidence
        .marks
        .iter()
        .filter(|mark| mark.segment == last.id && mark.place == MarkedPlace::Beyond)
        .max_by_key(|mark| mark.end_offset_bytes)?;
    Some(Witness {
        lsn: mark.durable,
        kind: WitnessKind::Mark,
        segment: Some(mark.segment),
        offset_bytes: Some(mark.end_offset_bytes),
    })
}

fn records_behind(evidence: &Evidence, behind: usize) -> u64 {
    let before = behind
        .checked_sub(1)
        .and_then(|index| evidence.segments.get(index));
    let same_segment = before.map_or(0, |segment| segment.later.records);
    let later_segments: u64 = evidence
        .segments
        .iter()
        .skip(behind)
        .map(|segment| segment.records.saturating_add(segment.later.records))
        .fold(0, u64::saturating_add);
    same_segment.saturating_add(later_segments)
}

/// The first place, in journal order, where the history does not go on before its last segment's end.
pub(crate) fn first_breach(evidence: &Evidence) -> Option<Breach> {
    let needed = evidence
        .checkpoint_lsn()
        .next()
        .unwrap_or(Lsn::new(u64::MAX));
    let Some(first) = evidence.segments.first() else {
        // A mark file is made after the first segment, so that alone it is a sign of loss too.
        let witness = evidence.witness();
        let any_sign = witness.is_some() || evidence.mark_file;
        let segment = witness
            .and_then(|witness| witness.segment)
            .unwrap_or(SegmentId::FIRST);
        return any_sign.then_some(Breach {
            position: Position {
                segment,
                offset_bytes: 0,
                expected: needed,
            },
            cause: Cause::MissingSegment {
                first_missing: segment,
            },
            behind: 0,
        });
    };
    let is_uncovered = |first_lsn: &Lsn| *first_lsn > needed && !evidence.is_part;
    if let Some(first_lsn) = first.first_lsn.filter(is_uncovered) {
        let position = Position {
            segment: first.id,
            offset_bytes: 0,
            expected: needed,
        };
        let checkpoint = evidence.checkpoint().map(|info| info.meta.lsn);
        let cause = Cause::Uncovered {
            first_lsn,
            checkpoint,
        };
        return Some(Breach {
            position,
            cause,
            behind: 0,
        });
    }
    let mut before: Option<&SegmentFacts> = None;
    for (index, segment) in evidence.segments.iter().enumerate() {
        if let Some(before) = before
            && let Err((position, cause)) = joins(before, segment)
        {
            return Some(Breach {
                position,
                cause,
                behind: index,
            });
        }
        let expected = match (before, first.first_lsn) {
            (Some(before), _) => before.expected,
            (None, Some(first_lsn)) if evidence.is_part => first_lsn,
            (None, _) => needed,
        };
        if let Some((position, cause)) = flaw(segment, expected) {
            return Some(Breach {
                position,
                cause,
                behind: index + 1,
            });
        }
        if let Some(mark) = evidence
            .marks
            .iter()
            .find(|mark| mark.segment == segment.id && mark.place == MarkedPlace::Differs)
        {
            let position = Position {
                segment: segment.id,
                offset_bytes: mark.end_offset_bytes,
                expected: mark.durable.next().unwrap_or(mark.durable),
            };
            let cause = Cause::MarkDisagrees {
                durable: mark.durable,
            };
            return Some(Breach {
                position,
                cause,
                behind: index + 1,
            });
        }
        before = Some(segment);
    }
    let last = before?;
    let lost = evidence.marks.iter().find(|mark| mark.segment > last.id)?;
    let first_missing = last.id.next().unwrap_or(lost.segment);
    Some(Breach {
        position: last.position(),
        cause: Cause::MissingSegment { first_missing },
        behind: evidence.segments.len(),
    })
}
