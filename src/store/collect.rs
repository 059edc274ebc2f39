//! Collecting the versions that nobody can read any more, in bounded steps.
//!
//! Readers of a key are at some *points*: sequences at which somebody reads now, and the highest of
//! them, the safe point, above which everything stays. A version at or below the safe point stays if
//! it is the newest one of some point, and not hidden from it by a range deletion. The others go. A
//! deletion that is all that the lowest point sees goes when a walk finds nothing behind it any more;
//! by then what it hid must be gone for good, so between two walks there has to be a flush. So a
//! step may stop anywhere, a crash may lose any of the changes since the last flush, and no read at a
//! point or above the safe point can tell.
//!
//! Not here: what the safe point is, and when to take a step (`engine`).

use super::keys::{data_range, decode_value, families_from, range_deletion_key};
use super::range_deletions::{RangeDeletion, RangeDeletions};
use super::{ColumnFamily, DataKey, DataStore, Direction, RawRange, StoreBatch, StoreError};
use crate::{Key, Sequence};

/// Most versions that one step looks at.
const STEP_VERSIONS: usize = 4096;
/// Most versions that one step removes; bounds its batch.
const STEP_DELETIONS: usize = 1024;

/// A walk over raw keys that removes what is garbage; it stops and goes on where it stopped.
#[derive(Debug)]
pub struct Collector {
    left: RawRange,
    current: Option<Current>,
}

/// The key that the walk is inside of.
#[derive(Debug)]
struct Current {
    cf: ColumnFamily,
    key: Key,
    /// The points whose newest version was not met yet, the highest last; and below what a range
    /// deletion hides versions from each.
    points: Vec<(Sequence, Sequence)>,
    safe_point: Sequence,
    /// A deletion that is all that the lowest point sees, as long as nothing was found behind it.
    deletion: Option<Vec<u8>>,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Versions that were looked at.
    pub seen: u64,
    /// Versions that were removed.
    pub removed: u64,
    /// Deletions that hid nothing but what this walk removed: the next one removes them.
    pub postponed: u64,
    /// Whether the walk is at its end.
    pub finished: bool,
}

impl Collector {
    /// A walk over every version of every family.
    pub fn all() -> Collector {
        Collector {
            left: families_from(ColumnFamily::DEFAULT),
            current: None,
        }
    }

    /// A walk over what a range deletion may hide.
    pub fn of(deletion: &RangeDeletion) -> Collector {
        Collector {
            left: data_range(deletion.cf, &deletion.range),
            current: None,
        }
    }

    /// Goes on for a bounded number of versions. `points` adds the points of a key, in any order;
    /// the highest is its safe point, and without any nothing of it goes. Points that are new in a
    /// later call must not be below the safe point of an earlier one.
    ///
    /// # Errors
    /// The store did not answer. An entry that is not readable is passed over.
    ///
    /// # Durability
    /// None until the next flush. Before another walk over the same keys begins, what this one removed
    /// must have been flushed.
    pub fn step(
        &mut self,
        store: &dyn DataStore,
        points: impl Fn(&[u8], &mut Vec<Sequence>),
    ) -> Result<Collected, StoreError> {
        let looked_up;
        let deletions = match store.range_deletions() {
            Some(deletions) => deletions,
            None => {
                looked_up = RangeDeletions::read(store)?;
                &looked_up
            }
        };
        let mut batch = StoreBatch::new();
        let mut done = Collected::default();
        let mut rows = store.scan(&self.left, Direction::Forward);
        let mut reached = None;
        loop {
            if done.seen >= STEP_VERSIONS as u64 || batch.len() >= STEP_DELETIONS {
                break;
            }
            let Some(row) = rows.next() else {
                self.finish_key(&mut batch);
                done.finished = true;
                break;
            };
            let (raw_key, tagged) = row?;
            done.seen += 1;
            match self.look_at(&raw_key, &tagged, deletions, &points, &mut batch) {
                Ok(is_last) => done.postponed += u64::from(is_last),
                // Whoever reads it is told; it is in nobody's way here.
                Err(StoreError::BadEntry { .. }) => {}
                Err(error) => return Err(error),
            }
            reached = Some(raw_key);
        }
        drop(rows);
        done.removed = batch.len() as u64;
        if !batch.is_empty() {
            store.apply(&batch)?;
        }
        if let Some(mut reached) = reached {
            reached.push(0);
            self.left.start = reached;
        }
        Ok(done)
    }

    /// Decides about one version; whether it was found behind a deletion that stays for its sake.
    fn look_at(
        &mut self,
        raw_key: &[u8],
        tagged: &[u8],
        deletions: &RangeDeletions,
        points: impl Fn(&[u8], &mut Vec<Sequence>),
        batch: &mut StoreBatch,
    ) -> Result<bool, StoreError> {
        let bad = |source| StoreError::BadEntry {
            raw_key: raw_key.to_vec(),
            source,
        };
        let DataKey { cf, key, sequence } = DataKey::decode(raw_key).map_err(bad)?;
        let is_same = |current: &Current| current.cf == cf && current.key == key;
        if !self.current.as_ref().is_some_and(is_same) {
            self.finish_key(batch);
            let mut of_key = Vec::new();
            points(&key, &mut of_key);
            of_key.sort_unstable();
            let hidden_below = |point| {
                let newest = deletions.newest_over(cf, &key, point);
                (point, newest.unwrap_or(Sequence::ZERO))
            };
            let points: Vec<_> = of_key.into_iter().map(hidden_below).collect();
            self.current = Some(Current {
                cf,
                key,
                safe_point: points.last().map_or(Sequence::ZERO, |(point, _)| *point),
                points,
                deletion: None,
            });
        }
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        if sequence > current.safe_point {
            return Ok(false);
        }
        let stays = current.deletion.take().is_some();
        let mut is_seen = false;
        while let Some((_, hidden_below)) = current.points.pop_if(|(at, _)| *at >= sequence) {
            is_seen |= sequence >= hidden_below;
        }
        if !is_seen {
            batch.delete(raw_key.to_vec());
        } else if current.points.is_empty() && decode_value(tagged).map_err(bad)?.is_none() {
            current.deletion = Some(raw_key.to_vec());
        }
        Ok(stays)
    }

    fn finish_key(&mut self, batch: &mut StoreBatch) {
        if let Some(deletion) = self.current.take().and_then(|current| current.deletion) {
            batch.delete(deletion);
        }
    }
}

/// Removes the row of a range deletion that has nothing left to hide: a walk [`Collector::of`] it
/// with safe points at or above it has finished, and what it removed was flushed.
///
/// # Errors
/// The store did not take it.
pub fn remove_range_deletion(
    store: &dyn DataStore,
    deletion: &RangeDeletion,
) -> Result<(), StoreError> {
    let mut batch = StoreBatch::new();
    let start = deletion.range.start();
    batch.delete(range_deletion_key(deletion.cf, start, deletion.sequence));
    store.apply(&batch)
}

#[cfg(test)]
mod tests;
