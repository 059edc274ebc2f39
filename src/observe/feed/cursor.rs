//! How far a subscription is in one region, and what becomes of the region's next record.
//!
//! Not here: which regions there are, and when a hold ends (`engine::feed`).

use torrens_journal::{Lsn, planted};

use super::assembly::Assembly;
use super::item::{FeedChange, FeedEntry, FeedEvent, FeedItem};
use crate::RegionId;
use crate::observe::{Change, ChangeOp, EntryHead, EntryPart, Generation, Lineage, ObserverRanges};

/// Another region whose changes come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// That region.
    pub(crate) region: RegionId,
    /// Up to this index of it; to its end if none.
    pub(crate) until: Option<u64>,
    /// Only what is behind this index of the region that waits is held.
    pub(crate) above: u64,
}

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It was delivered before, or is not for this observer.
    Passed,
    /// It is told.
    Told(FeedItem),
    /// Something else comes first; the record has to be read again.
    Held,
    /// Changes before it are missing from the history.
    Gap {
        /// The first index that is not missing.
        first_available: u64,
    },
    /// It cannot be understood.
    Malformed(String),
}

/// One region of a subscription.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) region: RegionId,
    pub(crate) generation: Generation,
    /// Everything up to this index was told.
    pub(crate) delivered: u64,
    /// Nothing behind this index is told: the region ended here.
    pub(crate) end: Option<u64>,
    /// What comes first.
    pub(crate) holds: Vec<Hold>,
    /// The first record that had to be passed over for a hold.
    pub(crate) held_at: Option<Lsn>,
    /// The first record that may be for it. What lies before may be of an earlier peer of the region, and
    /// is read for the sake of another region.
    pub(crate) begins_at: Lsn,
    /// Nothing is told before a scan has ended.
    pub(crate) is_scanning: bool,
    /// The last index whose progress was told.
    pub(crate) progress: u64,
    /// Whether the register still has to hear that it caught up.
    pub(crate) is_catching_up: bool,
    /// Whether the event that ends the region's peer was told.
    has_ended: bool,
    assembly: Assembly,
}

impl Cursor {
    /// A cursor that begins behind `after`.
    pub(crate) fn new(region: RegionId, generation: Generation, after: u64) -> Self {
        Cursor {
            region,
            generation,
            delivered: after,
            end: None,
            holds: Vec::new(),
            held_at: None,
            begins_at: Lsn::ZERO,
            is_scanning: false,
            progress: after,
            is_catching_up: false,
            has_ended: false,
            assembly: Assembly::default(),
        }
    }

    /// Whether the record lies before those that are for it.
    fn is_before(&self, lsn: Lsn) -> bool {
        lsn < self.begins_at && !planted!("what-an-earlier-peer-left-is-told")
    }

    /// Whether something with this index has to wait.
    fn is_held(&self, index: u64) -> bool {
        let is_behind = self.holds.iter().any(|hold| index > hold.above);
        self.is_scanning || (is_behind && !planted!("part-before-its-whole"))
    }

    fn hold(&mut self, lsn: Lsn) -> Fate {
        self.held_at.get_or_insert(lsn);
        Fate::Held
    }

    /// Whether the region has nothing more to tell.
    pub(crate) fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.delivered >= end)
    }

    /// Everything that the region has was read: its last entry may have been one without changes. False if
    /// its end is not known, or something of it waits.
    pub(crate) fn drain(&mut self) -> bool {
        let Some(end) = self.end else {
            return false;
        };
        if self.held_at.is_some() || self.is_scanning || !self.holds.is_empty() {
            return false;
        }
        self.delivered = self.delivered.max(end);
        true
    }

    /// What becomes of a record of changes.
    pub(crate) fn changes(
        &mut self,
        (lsn, is_early): (Lsn, bool),
        head: &EntryHead,
        part: EntryPart,
        bytes: &[u8],
        ranges: &ObserverRanges,
    ) -> Fate {
        let index = head.position.index;
        let is_behind = index <= self.delivered || self.end.is_some_and(|end| index > end);
        if is_behind || self.is_before(lsn) {
            return Fate::Passed;
        }
        if self.held_at.is_some() || self.is_held(index) {
            return self.hold(lsn);
        }
        if head.previous > self.delivered {
            let first_available = head.previous.saturating_add(1);
            return Fate::Gap { first_available };
        }
        let (first, changes) = match self.assembly.take(head, part, bytes) {
            Ok(Some(taken)) => taken,
            Ok(None) => return Fate::Passed,
            Err(error) => return Fate::Malformed(error.to_string()),
        };
        let changes = (first..)
            .zip(changes)
            .filter(|(_, change)| is_wanted(change, ranges))
            .map(|(sub, change)| FeedChange { sub, change })
            .collect();
        if part.is_last {
            self.delivered = index;
        }
        Fate::Told(FeedItem::Entry(FeedEntry {
            region: self.region,
            generation: self.generation,
            version: head.version,
            position: head.position,
            changes,
            is_last: part.is_last,
            is_early,
            wall_clock_micros: head.wall_clock_micros,
        }))
    }

    /// What becomes of a lineage record.
    pub(crate) fn lineage(&mut self, lsn: Lsn, lineage: &Lineage) -> Fate {
        let index = lineage.position.index;
        let ends = lineage.event.ends() && !self.has_ended && index == self.delivered;
        let is_new = (index > self.delivered || ends) && !self.is_before(lsn);
        if !is_new || self.end.is_some_and(|end| index > end) {
            return Fate::Passed;
        }
        if self.held_at.is_some() || self.is_held(index) {
            return self.hold(lsn);
        }
        if lineage.data_index > self.delivered {
            let first_available = lineage.data_index.saturating_add(1);
            return Fate::Gap { first_available };
        }
        self.delivered = index;
        self.has_ended |= lineage.event.ends();
        Fate::Told(FeedItem::Event(FeedEvent {
            region: self.region,
            generation: self.generation,
            position: lineage.position,
            event: lineage.event.clone(),
        }))
    }
}

/// Whether the observer asked for a key of the change.
fn is_wanted(change: &Change, ranges: &ObserverRanges) -> bool {
    match &change.op {
        ChangeOp::Put { key, .. } | ChangeOp::Delete { key } => ranges.contains(key),
        ChangeOp::DeleteRange { range } => ranges.overlaps(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::LineageEvent;
    use crate::{Incarnation, KeyRange, RaftPosition};

    const REGION: RegionId = RegionId(4);

    fn position(index: u64) -> RaftPosition {
        RaftPosition { index, term: 11 }
    }

    /// A peer that was at index 18 went, and a snapshot at index 16 made another one.
    #[test]
    fn what_an_earlier_peer_of_the_region_left_is_not_taken_for_what_follows_a_snapshot() {
        let mut cursor = Cursor::new(REGION, Generation(23), 16);
        cursor.begins_at = Lsn::new(203);
        let gone = Lineage {
            lsn: Lsn::new(171),
            region: REGION,
            incarnation: Incarnation::new(Lsn::new(54)),
            position: position(18),
            data_index: 18,
            event: LineageEvent::Destroyed,
            wall_clock_micros: 0,
        };
        // Read once more for the sake of another region.
        let fate = cursor.lineage(Lsn::new(189), &gone);
        assert!(matches!(fate, Fate::Passed), "{fate:?}");
        let entry = |incarnation, index| EntryHead {
            region: REGION,
            incarnation: Incarnation::new(Lsn::new(incarnation)),
            version: 3,
            position: position(index),
            previous: index - 1,
            wall_clock_micros: 0,
        };
        let ranges = ObserverRanges::new(vec![KeyRange::all()]).unwrap();
        let mut take = |lsn, head| {
            let lsn = Lsn::new(lsn);
            cursor.changes((lsn, false), &head, EntryPart::WHOLE, &[], &ranges)
        };
        let fate = take(185, entry(54, 18));
        assert!(matches!(fate, Fate::Passed), "{fate:?}");
        let fate = take(208, entry(182, 17));
        assert!(matches!(fate, Fate::Told(_)), "{fate:?}");
    }
}
