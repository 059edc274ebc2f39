//! Finding the group that holds an LSN, without reading what lies before it.
//!
//! Two bisections: over the segments by the first LSN that their headers state, then over the pages of
//! one segment. A probe looks from the middle page on for a group header that verifies. A header of
//! a group is sealed with the segment's salt and its place, so no payload can pass for one.
//!
//! Bisection believes a group because it verifies, not because it follows what is before it; behind
//! the place where a crash tore the journal lie groups that verify and do not belong to it. So only a
//! group up to which everything is *witnessed* as durable is taken from a bisection (each header found
//! on the way is a witness too). What lies behind that, at most what was in flight, is walked group by
//! group.

use super::cursor::{RETRIES, Source, before, unusable};
use super::{Cursor, PositionError, SegmentReader, WINDOW_BYTES};
use crate::error::ReadError;
use crate::format::{PAGE_BYTES, SEGMENT_HEADER_BYTES};
use crate::group::{Expectation, GroupHeader};
use crate::header::{HeaderFault, SegmentHeader};
use crate::ids::SegmentId;
use crate::lsn::Lsn;

/// How far a probe looks for a header. Only a group that is larger hides the next one from it.
const PROBE_BYTES: u64 = WINDOW_BYTES;
/// Groups that are walked before the rest is bisected again: a bisection that large groups misled
/// ends before its target.
const WALK_GROUPS: u32 = 16;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Located {
    /// At the group that holds the target; at the end if the target is the next record to come, or
    /// lies behind that.
    pub(crate) cursor: Cursor,
    /// Everything up to here is known to have been durable.
    pub(crate) witnessed: Lsn,
    holds_target: bool,
}

/// Like [`locate_or_end`], for whoever has no use for the end.
///
/// # Errors
/// [`PositionError`].
pub(crate) fn locate(
    source: &Source,
    target: Lsn,
    witnessed: Lsn,
) -> Result<Located, PositionError> {
    let located = locate_or_end(source, target, witnessed)?;
    let next = located.cursor.next_lsn();
    if target > next && !located.holds_target {
        return Err(PositionError::NotYet {
            asked: target,
            end: before(next),
        });
    }
    Ok(located)
}

/// Finds the group that holds `target`. `witnessed` is what is known already.
///
/// # Errors
/// [`PositionError`], but for `NotYet`.
pub(crate) fn locate_or_end(
    source: &Source,
    target: Lsn,
    witnessed: Lsn,
) -> Result<Located, PositionError> {
    let target = target.max(Lsn::FIRST);
    for _ in 0..RETRIES {
        let segments = source.segments()?;
        let Some(chosen) = choose(source, &segments, target)? else {
            continue;
        };
        let (reader, witnessed) = match chosen {
            Chosen::In(reader, next_first) => {
                (reader, witnessed.max(next_first.map_or(Lsn::ZERO, before)))
            }
            Chosen::Before(oldest) => {
                return Err(PositionError::Gone {
                    asked: target,
                    oldest,
                });
            }
        };
        let id = reader.id();
        match Search::new(*reader, witnessed) {
            Ok(search) => match search.run(source, target)? {
                Some(located) => return Ok(located),
                // The segment was purged while it was searched.
                None => continue,
            },
            Err(fault) => return Err(unusable(id, target, fault)),
        }
    }
    Err(source.restless())
}

/// The segment that an LSN falls into.
enum Chosen {
    /// This one; the first LSN of the next one if there is one.
    In(Box<SegmentReader>, Option<Lsn>),
    /// None: this is the oldest LSN.
    Before(Lsn),
}

/// The last segment whose first LSN is at most `target`; `None` if segments went away meanwhile.
fn choose(
    source: &Source,
    segments: &[SegmentId],
    target: Lsn,
) -> Result<Option<Chosen>, PositionError> {
    let mut best: Option<SegmentReader> = None;
    let mut next_first = None;
    let mut damaged = None;
    let (mut from, mut to) = (0, segments.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let mut usable = None;
        // A header that is not usable is passed over; the ones behind it say as much.
        for index in middle..to {
            let Some(id) = segments.get(index).copied() else {
                break;
            };
            let Some(reader) = source.open(id)? else {
                return Ok(None);
            };
            let header = reader.header().copied().map_err(Clone::clone);
            match header {
                Ok(header) => {
                    usable = Some((index, reader, header.first_lsn));
                    break;
                }
                Err(_) if source.open(id)?.is_none() => return Ok(None),
                Err(fault) => damaged = Some((id, fault)),
            }
        }
        match usable {
            Some((index, reader, first_lsn)) if first_lsn <= target => {
                from = index + 1;
                best = Some(reader);
            }
            Some((_, _, first_lsn)) => {
                next_first = Some(first_lsn);
                to = middle;
            }
            None => to = middle,
        }
    }
    match (best, next_first, damaged) {
        (Some(reader), next_first, _) => Ok(Some(Chosen::In(Box::new(reader), next_first))),
        (None, _, Some((id, fault))) => Err(unusable(id, target, fault)),
        (None, Some(oldest), None) => Ok(Some(Chosen::Before(oldest))),
        (None, None, None) => Ok(None),
    }
}

/// A group found by its header.
#[derive(Clone, Copy, Debug)]
struct Spot {
    offset_bytes: u64,
    header: GroupHeader,
}

impl Spot {
    fn end_offset_bytes(&self) -> u64 {
        self.offset_bytes
            .saturating_add(u64::from(self.header.padded_bytes))
    }

    fn holds(&self, lsn: Lsn) -> bool {
        self.header.record_count > 0
            && (self.header.first_lsn..=self.header.last_lsn()).contains(&lsn)
    }

    /// What this group is expected to be, from nobody but itself.
    fn expectation(&self) -> Expectation {
        Expectation {
            lsn: self.header.first_lsn,
            chain: self.header.chain,
            group_number: self.header.number,
            boot: self.header.boot,
        }
    }
}

/// The search in one segment.
struct Search {
    reader: SegmentReader,
    header: SegmentHeader,
    witnessed: Lsn,
}

impl Search {
    fn new(reader: SegmentReader, witnessed: Lsn) -> Result<Self, HeaderFault> {
        let header = *reader.header().map_err(Clone::clone)?;
        // The segment was given its name when everything before it was durable.
        let witnessed = witnessed.max(before(header.first_lsn));
        Ok(Search {
            reader,
            header,
            witnessed,
        })
    }

    /// `None` if the segment was purged meanwhile.
    fn run(mut self, source: &Source, target: Lsn) -> Result<Option<Located>, PositionError> {
        let end_bytes = self.reader.file_bytes().min(self.header.file_bytes);
        let best = self.bisect(SEGMENT_HEADER_BYTES, end_bytes, target)?;
        let start = match best {
            Some(best) if self.trusts(&best) => Some(best),
            _ => self
                .bisect(SEGMENT_HEADER_BYTES, end_bytes, target.min(self.witnessed))?
                .filter(|found| self.trusts(found)),
        };
        let (offset_bytes, expected) = match start {
            Some(start) => (start.offset_bytes, start.expectation()),
            None => (SEGMENT_HEADER_BYTES, Expectation::first_of(&self.header)),
        };
        self.walk(source, offset_bytes, expected, target)
    }

    /// Whether everything up to the group is known to have been durable.
    fn trusts(&self, spot: &Spot) -> bool {
        spot.header.record_count > 0 && spot.header.last_lsn() <= self.witnessed
    }

    /// The last group found in `from..to` that starts at or before `target`. Learns from the
    /// headers on the way what is witnessed.
    fn bisect(&mut self, from: u64, to: u64, target: Lsn) -> Result<Option<Spot>, ReadError> {
        let mut best = None;
        let (mut from, mut to) = (from / PAGE_BYTES, to / PAGE_BYTES);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.probe(middle * PAGE_BYTES, to * PAGE_BYTES)? {
                Some(spot) if spot.header.first_lsn <= target => {
                    best = Some(spot);
                    if spot.holds(target) {
                        break;
                    }
                    from = spot.end_offset_bytes() / PAGE_BYTES;
                }
                Some(_) | None => to = middle,
            }
        }
        Ok(best)
    }

    /// The first group header that verifies at a page of `from..to`, near `from`.
    fn probe(&mut self, from: u64, to: u64) -> Result<Option<Spot>, ReadError> {
        let to = to.min(from.saturating_add(PROBE_BYTES));
        let mut offset_bytes = from;
        while offset_bytes < to {
            if let Some(header) = self.reader.group_header_at(offset_bytes)? {
                self.witnessed = self.witnessed.max(header.durable_lsn);
                return Ok(Some(Spot {
                    offset_bytes,
                    header,
                }));
            }
            offset_bytes = offset_bytes.saturating_add(PAGE_BYTES);
        }
        Ok(None)
    }

    /// Goes from group to group to `target`. What lies at the start is trusted.
    fn walk(
        mut self,
        source: &Source,
        mut offset_bytes: u64,
        mut expected: Expectation,
        target: Lsn,
    ) -> Result<Option<Located>, PositionError> {
        let end_bytes = self.reader.file_bytes().min(self.header.file_bytes);
        let mut sealed = false;
        let mut walked = 0;
        while !sealed {
            let header = self.reader.group_header_at(offset_bytes)?;
            let Some(header) = header.filter(|header| expected.check(header).is_ok()) else {
                break;
            };
            let spot = Spot {
                offset_bytes,
                header,
            };
            self.witnessed = self.witnessed.max(header.durable_lsn);
            if spot.holds(target) {
                let cursor = Cursor::new(source.clone(), self.reader, offset_bytes, expected);
                return Ok(Some(Located {
                    cursor,
                    witnessed: self.witnessed,
                    holds_target: true,
                }));
            }
            offset_bytes = spot.end_offset_bytes();
            expected = Expectation::after(&header);
            sealed = header.is_seal();
            walked += 1;
            if walked % WALK_GROUPS == 0
                && target <= self.witnessed
                && let Some(better) = self.bisect(offset_bytes, end_bytes, target)?
                && self.trusts(&better)
            {
                offset_bytes = better.offset_bytes;
                expected = better.expectation();
                sealed = false;
            }
        }
        let mut cursor = Cursor::new(source.clone(), self.reader, offset_bytes, expected);
        if sealed {
            cursor.set_sealed();
        }
        if target > expected.lsn {
            if target <= self.witnessed {
                // It was durable, so the look says why it is not here; or a writer has stored it
                // since the walk came by.
                cursor.look(self.witnessed)?;
                return Ok(None);
            }
            if source.open(cursor.segment())?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Located {
            cursor,
            witnessed: self.witnessed,
            holds_target: false,
        }))
    }
}

#[cfg(test)]
mod tests;
