//! Scans: every row of a region at one applied index, in pieces, for a consumer that chose to begin anew.
//!
//! The rows are of one moment and durable before the first is told; what is written meanwhile comes
//! afterwards, out of the history. If the data goes while it is read, the scan begins again, with another
//! reset. What regions left that are not here any more is told before: their keys may be the same, and their
//! changes are older. Not here: when a scan is wanted (`attach`).

use super::subscription::{ObserveError, Subscription};
use crate::engine::snapshots::Moment;
use crate::lifecycle::{Attachment, AttachmentState, InvalidReason, Observer};
use crate::observe::Generation;
use crate::observe::feed::{FeedItem, FeedRow};
use crate::store::{ColumnFamily, Direction, scan_at};
use crate::{Key, KeyRange, RegionId};

/// Rows that are told at once.
const ROWS: usize = 256;
/// Bytes after which no further row is added.
const BYTES: usize = 256 * 1024;

/// A scan under way.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) region: RegionId,
    generation: Generation,
    at: Option<Place>,
}

#[derive(Debug)]
struct Place {
    moment: Moment,
    /// The families that are left, the current one first.
    families: Vec<ColumnFamily>,
    /// The last key of the current family that was told.
    last: Option<Key>,
}

impl Scan {
    pub(super) fn new(region: RegionId, generation: Generation) -> Self {
        let at = None;
        Scan {
            region,
            generation,
            at,
        }
    }
}

impl Subscription {
    /// Tells the next rows of the first scan; false if there is none that can go on now.
    pub(super) fn scan_some(&mut self) -> Result<bool, ObserveError> {
        let Some(mut scan) = self.scans.pop_front() else {
            return Ok(false);
        };
        let done = match &mut scan.at {
            None if self.is_behind_others(scan.region) => {
                self.scans.push_back(scan);
                return Ok(false);
            }
            None => match self.begin_scan(&scan)? {
                Some(place) => {
                    scan.at = Some(place);
                    false
                }
                None => {
                    // The region serves no reads now; it is tried again.
                    self.scans.push_back(scan);
                    return Ok(false);
                }
            },
            Some(place) => match self.scan_rows(scan.region, scan.generation, place)? {
                Some(is_done) => is_done,
                None => {
                    scan.at = None;
                    false
                }
            },
        };
        match done {
            false => self.scans.push_front(scan),
            true => self.end_scan(&scan)?,
        }
        Ok(true)
    }

    /// Whether something else comes before the rows: what the region was a part of, or what had its keys.
    fn is_behind_others(&self, region: RegionId) -> bool {
        let cursor = self.cursors.get(&region);
        cursor.is_some_and(|cursor| !cursor.holds.is_empty())
            || !self.left_before(region).is_empty()
    }

    /// The regions that went and have something to tell yet, with the end of each if it is known. Not those
    /// that wait for this region themselves.
    pub(super) fn left_before(&self, region: RegionId) -> Vec<(RegionId, Option<u64>)> {
        let published = self.core.published();
        let Some(known) = published.observers().get(self.shared.observer) else {
            return Vec::new();
        };
        let left = known.attachments().filter_map(|(other, attachment)| {
            let AttachmentState::Draining(drain) = &attachment.state else {
                return None;
            };
            let told = self.cursors.get(&other).map(|cursor| cursor.delivered);
            let told = told.or(self.told.get(&other).copied()).unwrap_or(0);
            let is_told = drain
                .end
                .is_some_and(|end| told.max(attachment.acked) >= end);
            let is_before = other != region && !comes_after(known, attachment, region);
            (is_before && !is_told).then_some((other, drain.end))
        });
        left.collect()
    }

    fn begin_scan(&mut self, scan: &Scan) -> Result<Option<Place>, ObserveError> {
        let Some(epoch) = ({
            let published = self.core.published();
            let peer = published.peer(scan.region);
            peer.map(|peer| peer.stage.epoch())
        }) else {
            return Ok(None);
        };
        let Ok(moment) = self.core.moment(scan.region, epoch)? else {
            return Ok(None);
        };
        // Only what is durable is told.
        self.core.barrier()?;
        let (index, range) = (moment.position().index, moment.region().range.clone());
        self.queue.push_back(FeedItem::Reset {
            region: scan.region,
            generation: scan.generation,
            range,
            index,
            is_scanned: true,
        });
        let mut families: Vec<ColumnFamily> = self.core.families.iter().collect();
        families.reverse();
        Ok(Some(Place {
            moment,
            families,
            last: None,
        }))
    }

    /// Some rows; whether they were the last, or `None` if the data went.
    fn scan_rows(
        &mut self,
        region: RegionId,
        generation: Generation,
        place: &mut Place,
    ) -> Result<Option<bool>, ObserveError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let whole = place.moment.region().range.clone();
        while let Some(cf) = place.families.last().copied() {
            let mut is_full = false;
            if let Some(rest) = behind(&whole, place.last.as_ref()) {
                let sequence = place.moment.sequence();
                for item in scan_at(&*self.core.data, cf, &rest, sequence, Direction::Forward) {
                    let (key, value) = item.map_err(crate::EngineError::from)?;
                    place.last = Some(key.clone());
                    if self.ranges.contains(&key) {
                        bytes += key.len() + value.len();
                        rows.push(FeedRow { cf, key, value });
                    }
                    is_full = rows.len() >= ROWS || bytes >= BYTES;
                    if is_full {
                        break;
                    }
                }
            }
            if is_full {
                break;
            }
            place.families.pop();
            place.last = None;
        }
        if place.moment.is_gone() {
            return Ok(None);
        }
        let is_last = place.families.is_empty();
        self.queue.push_back(FeedItem::Rows {
            region,
            generation,
            index: place.moment.position().index,
            rows,
            is_last,
        });
        Ok(Some(is_last))
    }

    /// From now on what is behind the rows is told.
    fn end_scan(&mut self, scan: &Scan) -> Result<(), ObserveError> {
        let Some(place) = &scan.at else {
            return Ok(());
        };
        let index = place.moment.position().index;
        let Some(cursor) = self.cursors.get_mut(&scan.region) else {
            return Ok(());
        };
        (cursor.is_scanning, cursor.held_at) = (false, None);
        (cursor.delivered, cursor.progress) = (index, index);
        let from = self.locate(scan.region, index, InvalidReason::HistoryLost)?;
        if let Some(from) = from.filter(|from| *from < self.reader.next()) {
            self.reader.seek(from);
        }
        Ok(())
    }
}

/// Whether the attachment waits for the region, or for one that does.
fn comes_after(known: &Observer, attachment: &Attachment, region: RegionId) -> bool {
    let mut origin = attachment.origin.as_deref();
    for _ in 0..known.attachment_count() {
        let Some(before) = origin else {
            return false;
        };
        if before.region == region {
            return true;
        }
        let next = known.attachment(before.region);
        origin = next.and_then(|next| next.origin.as_deref());
    }
    // A circle cannot be; whoever is in one is not waited for.
    true
}

/// The keys of `range` behind `last`.
fn behind(range: &KeyRange, last: Option<&Key>) -> Option<KeyRange> {
    let Some(last) = last else {
        return Some(range.clone());
    };
    // The first key that sorts behind another is that one with a zero.
    let mut start = last.to_vec();
    start.push(0);
    KeyRange::new(start, range.end().cloned())
}
