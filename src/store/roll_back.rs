//! Going back to a barrier: after an unclean end nothing that was written behind it is trusted.
//!
//! What a power cut leaves of the batches since the last barrier need not be a prefix of them: a
//! region's row may be there and rows of earlier batches may not. So all of it goes, whatever is left:
//! every version and every range deletion above the sequence number that the barrier covered, and each
//! region's row back to where the barrier had it. The host sends its log again from there.
//!
//! That is sound because nothing at or below the barrier is changed in place, and nothing of it is
//! removed behind the barrier that a read at the barrier would see: versions are collected only where a
//! newer one that is covered replaces them, and ranges are cleared only where no region serves.
//!
//! It may stop anywhere and be done again; it needs no flush of its own, since as long as none comes
//! the barrier to go back to stays the same.
//!
//! Not here: which barrier the journal knows, and what is reported (`engine`).

use std::collections::HashMap;
use std::ops::ControlFlow;

use torrens_journal::planted;

use super::keys::{region_row_key, version_sequence};
use super::{
    Covered, DataStore, Direction, Floored, RawRange, RegionRow, StoreBatch, StoreError,
    floored_rows, read_covered, region_rows,
};
use crate::{RegionId, Sequence};

/// Most changes in one batch.
const BATCH_CHANGES_MAX: usize = 1024;

/// What going back came to.
#[derive(Clone, Debug, Default)]
pub struct RolledBack {
    /// Versions and range deletions that were removed.
    pub versions: u64,
    /// Regions whose row went back, with the index that it had and the one that it has; none if the
    /// row went.
    pub regions: Vec<(RegionId, u64, Option<u64>)>,
}

/// Takes the store back to the newest barrier at or below `barrier` that it remembers, and on the way
/// reads every row once. `None` trusts nothing: everything but the store's own rows goes.
///
/// # Errors
/// The store did not answer, or cannot be read; some of the work may be done.
///
/// # Durability
/// None until the next flush, and none is needed.
pub fn roll_back(store: &dyn DataStore, barrier: Option<u64>) -> Result<RolledBack, StoreError> {
    let mut done = RolledBack::default();
    let (covered, floored) = match barrier {
        Some(barrier) => (read_covered(store, barrier)?, floors(store, barrier)?),
        None => (Covered::default(), HashMap::new()),
    };
    done.versions = remove_above(store, covered.sequence)?;
    let mut batch = StoreBatch::new();
    for found in region_rows(store) {
        // One that is not readable counts as missing.
        let (region, Ok(row)) = found? else { continue };
        let floor = floored
            .get(&region)
            .filter(|floor| floor.incarnation == row.incarnation);
        match floor {
            // One that is below lost something: whoever judges the data sees it.
            Some(floor) if floor.data_index >= row.data_index => continue,
            Some(floor) => batch.put_region_row(
                region,
                &RegionRow {
                    data_index: floor.data_index,
                    data_term: floor.data_term,
                    ..row
                },
            ),
            None => batch.delete(region_row_key(region)),
        }
        let index = floor.map(|floor| floor.data_index);
        done.regions.push((region, row.data_index, index));
    }
    forget_above(store, covered, &floored, &mut batch)?;
    if !batch.is_empty() {
        store.apply(&batch)?;
    }
    Ok(done)
}

/// Whether a store holds anything of a region: a version, a range deletion, a region's row.
///
/// # Errors
/// The store did not answer, or cannot be read.
pub fn holds_data(store: &dyn DataStore) -> Result<bool, StoreError> {
    for item in store.scan(&RawRange::all(), Direction::Forward) {
        let (raw_key, _) = item?;
        if version_sequence(&raw_key).is_some() {
            return Ok(true);
        }
    }
    region_rows(store)
        .next()
        .transpose()
        .map(|row| row.is_some())
}

/// Each region's entry in the newest barrier at or below `barrier`.
fn floors(store: &dyn DataStore, barrier: u64) -> Result<HashMap<RegionId, Floored>, StoreError> {
    let mut floors = HashMap::new();
    for found in floored_rows(store, barrier) {
        // One that is not readable counts as missing: it damages one region, not all.
        if let (region, Ok(Some(floor))) = found? {
            floors.insert(region, floor);
        }
    }
    Ok(floors)
}

/// Forgets what the store remembers of a barrier that never came about: the next one has its number, and
/// may cover other regions.
fn forget_above(
    store: &dyn DataStore,
    covered: Covered,
    floored: &HashMap<RegionId, Floored>,
    batch: &mut StoreBatch,
) -> Result<(), StoreError> {
    if planted!("barrier-that-never-was-remembered") {
        return Ok(());
    }
    if read_covered(store, u64::MAX)? != covered {
        batch.put_covered(Covered::default(), covered);
    }
    for found in floored_rows(store, u64::MAX) {
        let (region, newest) = found?;
        match floored.get(&region) {
            Some(floor) if newest.as_ref().ok() == Some(&Some(*floor)) => {}
            Some(floor) => batch.put_floored(region, None, floor),
            None => batch.delete_floored(region),
        }
    }
    Ok(())
}

/// Removes every version and range deletion above a sequence number; answers how many.
fn remove_above(store: &dyn DataStore, sequence: Sequence) -> Result<u64, StoreError> {
    let mut removed: u64 = 0;
    let mut left = RawRange::all();
    loop {
        let mut batch = StoreBatch::new();
        let mut reached = None;
        store.walk(&left, &mut |raw_key, _| {
            if version_sequence(raw_key).is_none_or(|at| at <= sequence) {
                return ControlFlow::Continue(());
            }
            batch.delete(raw_key.to_vec());
            if batch.len() < BATCH_CHANGES_MAX {
                return ControlFlow::Continue(());
            }
            reached = Some(raw_key.to_vec());
            ControlFlow::Break(())
        })?;
        removed = removed.saturating_add(batch.len() as u64);
        if !batch.is_empty() {
            store.apply_each(&batch)?;
        }
        match reached {
            Some(mut after) => {
                after.push(0);
                left.start = after;
            }
            None => return Ok(removed),
        }
    }
}

#[cfg(test)]
mod tests;
