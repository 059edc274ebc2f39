//! `Base`: the packed versions of one column family of a region, as a sorted list of segments.
//!
//! A base never changes. A merge makes a new one that shares the segments that nothing was written
//! to; the parts of a split share the base of the whole.
//!
//! Not here: bytes (`segment`), what was written since (`run`).

use std::sync::Arc;

use super::head::{self, head};
use super::meter::{CacheMeter, Charge};
use super::segment::{PackedVersion, Segment, SegmentBuilder};
use crate::{KeyRange, Sequence};

/// Sorted segments whose keys do not overlap.
#[derive(Debug)]
pub(super) struct Base {
    segments: Box<[Arc<Segment>]>,
    /// Of each segment's first key.
    heads: Box<[u64]>,
    /// Bytes that all keys share.
    prefix: Box<[u8]>,
    /// Of the list; segments have their own.
    _charge: Charge,
}

/// A place between two keys of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: usize,
    pub(super) key: usize,
}

impl Base {
    /// Segments in key order.
    pub(super) fn new(segments: Vec<Arc<Segment>>, meter: &CacheMeter) -> Self {
        let segments = segments.into_boxed_slice();
        let first = segments.first().map_or(&[][..], |first| first.first_key());
        let last = segments.last().map_or(&[][..], |last| last.last_key());
        let prefix: Box<[u8]> = first.split_at(head::shared_bytes(first, last)).0.into();
        let heads: Box<[u64]> = segments
            .iter()
            .map(|segment| head(&prefix, segment.first_key()))
            .collect();
        let fixed = size_of::<Base>() + 2 * size_of::<usize>();
        let taken = fixed + size_of_val(&*segments) + size_of_val(&*heads) + prefix.len();
        Base {
            segments,
            heads,
            prefix,
            _charge: meter.charge(taken as u64),
        }
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// The newest version of `key` at or below `sequence`.
    #[inline]
    pub(super) fn get(&self, key: &[u8], sequence: Sequence) -> Option<PackedVersion<'_>> {
        let at = self.at_or_before(key)?;
        self.segments.get(at)?.get(key, sequence)
    }

    /// The last segment whose first key is at or below `key`.
    #[inline]
    fn at_or_before(&self, key: &[u8]) -> Option<usize> {
        let wanted = head(&self.prefix, key);
        let first_key_of = |at: usize| {
            self.segments
                .get(at)
                .map_or(&[][..], |segment| segment.first_key())
        };
        head::upper_bound(&self.heads, wanted, key, first_key_of).checked_sub(1)
    }

    /// The place before the first key that is not below `key`.
    pub(super) fn place(&self, key: &[u8]) -> Place {
        let Some(at) = self.at_or_before(key) else {
            return self.start();
        };
        let below = self
            .segments
            .get(at)
            .map_or(0, |segment| segment.lower_bound(key));
        Place {
            segment: at,
            key: below,
        }
    }

    /// The place before the first key.
    pub(super) fn start(&self) -> Place {
        Place { segment: 0, key: 0 }
    }

    /// The place behind the last key.
    pub(super) fn end(&self) -> Place {
        Place {
            segment: self.segments.len(),
            key: 0,
        }
    }

    /// The places before and behind the keys of a range.
    pub(super) fn bounds(&self, range: &KeyRange) -> (Place, Place) {
        let end = range.end().map_or(self.end(), |end| self.place(end));
        (self.place(range.start()), end)
    }

    /// The segments that hold keys of the range, and how many of each one's keys those are.
    pub(super) fn within(
        &self,
        range: &KeyRange,
    ) -> impl Iterator<Item = (&Arc<Segment>, usize)> + use<'_> {
        let (first, end) = self.bounds(range);
        let segments = self.segments.iter().enumerate();
        segments.filter_map(move |(at, segment)| {
            let from = if at == first.segment { first.key } else { 0 };
            let to = match at.cmp(&end.segment) {
                std::cmp::Ordering::Less => segment.keys(),
                std::cmp::Ordering::Equal => end.key,
                std::cmp::Ordering::Greater => 0,
            };
            let keys = to.checked_sub(from).filter(|_| at >= first.segment)?;
            (keys > 0).then_some((segment, keys))
        })
    }
}

/// Packs a base, key by key and segment by segment.
#[derive(Debug)]
pub(super) struct BaseBuilder {
    meter: CacheMeter,
    segments: Vec<Arc<Segment>>,
    open: SegmentBuilder,
}

impl BaseBuilder {
    /// For readers at or above `floor`.
    pub(super) fn new(floor: Sequence, meter: &CacheMeter) -> Self {
        BaseBuilder {
            meter: meter.clone(),
            segments: Vec::new(),
            open: SegmentBuilder::new(floor),
        }
    }

    /// Adds the next key with its versions, newest first.
    pub(super) fn push<'a>(
        &mut self,
        key: &[u8],
        versions: impl Iterator<Item = PackedVersion<'a>>,
    ) {
        if self.open.is_full() {
            self.segments.extend(self.open.finish(&self.meter));
        }
        self.open.push(key, versions);
    }

    /// Takes over the next segment as it is, unless that would leave a small one before it or
    /// something in it can go; says whether it did.
    pub(super) fn share(&mut self, segment: &Arc<Segment>) -> bool {
        let leaves_small = !self.open.is_empty() && self.open.is_small();
        if segment.is_collectable() || leaves_small {
            return false;
        }
        self.segments.extend(self.open.finish(&self.meter));
        self.segments.push(Arc::clone(segment));
        true
    }

    /// Adds every key of a segment that lies in `range`.
    pub(super) fn repack(&mut self, segment: &Segment, range: &KeyRange) {
        let from = segment.lower_bound(range.start());
        let to = range
            .end()
            .map_or(segment.keys(), |end| segment.lower_bound(end));
        for at in from..to {
            let (key, versions) = segment.all(at);
            self.push(key, versions);
        }
    }

    pub(super) fn finish(mut self) -> Base {
        self.segments.extend(self.open.finish(&self.meter));
        Base::new(self.segments, &self.meter)
    }
}
