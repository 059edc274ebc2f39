//! `Scan`: the rows of a range at one sequence, out of a base and the runs over it.
//!
//! Rows are slices of the memory itself. Between two keys that were written since the base was
//! packed, a row costs one comparison more than the base alone.

use std::cmp::Ordering;

use super::base::{Base, Place};
use super::run::RunEntry;
use super::segment::Segment;
use crate::store::Direction;
use crate::{KeyRange, Sequence};

/// A row: key and value.
type Row<'a> = (&'a [u8], &'a [u8]);
/// A key, and its value unless it was deleted.
type Seen<'a> = (&'a [u8], Option<&'a [u8]>);

/// An iterator over rows, in key order or its reverse.
#[derive(Debug)]
pub struct Scan<'a> {
    packed: Packed<'a>,
    written: Written<'a>,
    /// The next of `written`.
    pending: Option<Seen<'a>>,
    sequence: Sequence,
    direction: Direction,
}

impl<'a> Scan<'a> {
    /// Over a base, if there is one, and the entries of runs, the newest run first.
    pub(super) fn new(
        base: Option<&'a Base>,
        range: &KeyRange,
        runs: impl Iterator<Item = &'a [RunEntry]>,
        sequence: Sequence,
        direction: Direction,
    ) -> Self {
        let runs = runs.filter(|entries| !entries.is_empty()).collect();
        let mut written = Written { runs };
        let pending = written.next(sequence, direction);
        Scan {
            packed: Packed::new(base, range, direction),
            written,
            pending,
            sequence,
            direction,
        }
    }

    /// The next key that was written since, with the packed one of the same key passed over.
    fn next_pending(&mut self, pending: Seen<'a>, same: bool) -> Option<Row<'a>> {
        if same {
            self.packed.step(self.direction);
        }
        self.pending = self.written.next(self.sequence, self.direction);
        let (key, value) = pending;
        value.map(|value| (key, value))
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Row<'a>;

    #[inline]
    fn next(&mut self) -> Option<Row<'a>> {
        loop {
            let Some((segment, at)) = self.packed.peek() else {
                let pending = self.pending?;
                match self.next_pending(pending, false) {
                    Some(row) => return Some(row),
                    None => continue,
                }
            };
            let (key, found) = segment.row(at, self.sequence);
            if let Some(pending) = self.pending {
                let order = match self.direction {
                    Direction::Forward => pending.0.cmp(key),
                    Direction::Reverse => key.cmp(pending.0),
                };
                if order != Ordering::Greater {
                    match self.next_pending(pending, order == Ordering::Equal) {
                        Some(row) => return Some(row),
                        None => continue,
                    }
                }
            }
            self.packed.step(self.direction);
            if let Some((_, Some(value))) = found {
                return Some((key, value));
            }
        }
    }
}

/// Where a scan is in the base: in a segment of which `left` keys are still to come, the next of
/// them the `next`th.
#[derive(Debug)]
struct Packed<'a> {
    base: Option<&'a Base>,
    segment: Option<&'a Segment>,
    next: usize,
    left: usize,
    /// The segment's number, and the places before and behind the keys of the scan.
    at: usize,
    first: Place,
    end: Place,
}

impl<'a> Packed<'a> {
    fn new(base: Option<&'a Base>, range: &KeyRange, direction: Direction) -> Self {
        let none = Place { segment: 0, key: 0 };
        let (first, end) = base.map_or((none, none), |base| base.bounds(range));
        let mut packed = Packed {
            base,
            segment: None,
            next: 0,
            left: 0,
            at: match direction {
                Direction::Forward => first.segment,
                Direction::Reverse => end.segment,
            },
            first,
            end,
        };
        packed.enter(direction);
        packed
    }

    /// Looks up the segment that it is in, or the next one that has keys of the scan.
    fn enter(&mut self, direction: Direction) {
        loop {
            let segments = self.base.map_or(&[][..], Base::segments);
            let segment = segments.get(self.at).map(|segment| &**segment);
            let from = match self.at == self.first.segment {
                true => self.first.key,
                false => 0,
            };
            let to = match self.at == self.end.segment {
                true => self.end.key,
                false => segment.map_or(0, Segment::keys),
            };
            self.segment = segment;
            self.left = to.saturating_sub(from);
            self.next = match direction {
                Direction::Forward => from,
                Direction::Reverse => to.saturating_sub(1),
            };
            match direction {
                _ if self.left > 0 => return,
                Direction::Forward if self.at < self.end.segment => self.at += 1,
                Direction::Reverse if self.at > self.first.segment => self.at -= 1,
                Direction::Forward | Direction::Reverse => return,
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<(&'a Segment, usize)> {
        match self.left {
            0 => None,
            _ => Some((self.segment?, self.next)),
        }
    }

    #[inline]
    fn step(&mut self, direction: Direction) {
        self.left -= 1;
        if self.left > 0 {
            match direction {
                Direction::Forward => self.next += 1,
                Direction::Reverse => self.next -= 1,
            }
            return;
        }
        match direction {
            Direction::Forward if self.at < self.end.segment => self.at += 1,
            Direction::Reverse if self.at > self.first.segment => self.at -= 1,
            Direction::Forward | Direction::Reverse => return,
        }
        self.enter(direction);
    }
}

/// The entries of runs that are left of a scan, the newest run first.
#[derive(Debug)]
struct Written<'a> {
    runs: Vec<&'a [RunEntry]>,
}

impl<'a> Written<'a> {
    /// The next key that has a version at or below `sequence`, with the newest such version.
    fn next(&mut self, sequence: Sequence, direction: Direction) -> Option<Seen<'a>> {
        loop {
            let ends = self.runs.iter().filter_map(|entries| match direction {
                Direction::Forward => entries.first(),
                Direction::Reverse => entries.last(),
            });
            let keys = ends.map(|entry| &*entry.key);
            let key: &'a [u8] = match direction {
                Direction::Forward => keys.min()?,
                Direction::Reverse => keys.max()?,
            };
            let mut found = None;
            for entries in &mut self.runs {
                let of_key = take_key(entries, key, direction);
                let newest = of_key.iter().find(|entry| entry.sequence <= sequence);
                found = found.or(newest);
            }
            if let Some(entry) = found {
                return Some((key, entry.value()));
            }
        }
    }
}

/// Cuts the entries of `key` off the end that comes next.
fn take_key<'a>(entries: &mut &'a [RunEntry], key: &[u8], direction: Direction) -> &'a [RunEntry] {
    let is_key = |entry: &&RunEntry| *entry.key == *key;
    let (of_key, rest) = match direction {
        Direction::Forward => entries.split_at(entries.iter().take_while(is_key).count()),
        Direction::Reverse => {
            let count = entries.iter().rev().take_while(is_key).count();
            let (rest, of_key) = entries.split_at(entries.len() - count);
            (of_key, rest)
        }
    };
    *entries = rest;
    of_key
}
