//! What a barrier covered, as the store itself remembers it: the highest sequence number, and how far
//! each region's data was.
//!
//! Both are written in the barrier's own batch, before its flush. A barrier counts only once the
//! journal says so, which is after the flush; so the rows keep two entries: the last barrier that the
//! journal knew when they were written, and the one that wrote them. Whoever opens the store takes the
//! newest entry that the journal vouches for.
//!
//! Not here: going back to such a barrier (`roll_back`), when there is one (`engine`).

use super::keys::{floor_row_key, floor_rows_range, meta_key};
use super::rows::{seal, unseal};
use super::{DataStore, Direction, RowError, StoreBatch, StoreError, StoreKey};
use crate::{Incarnation, RegionId, Sequence};
use torrens_journal::Lsn;

const COVERED: &str = "covered";
const COVERED_ROW_BYTES: usize = 1 + 2 * 16 + 4;
const FLOOR_ROW_BYTES: usize = 1 + 2 * 32 + 4;

/// A barrier, and the highest sequence number of a version that it made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Number of the barrier; 0 before the first.
    pub barrier: u64,
    /// Every version at or below it was in the store, and none above it counts.
    pub sequence: Sequence,
}

/// How far a region's data was when a barrier made it durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floored {
    /// Number of the barrier.
    pub barrier: u64,
    /// Whose data it is.
    pub incarnation: Incarnation,
    /// Raft index of the last entry whose data was in the store.
    pub data_index: u64,
    /// Raft term of that entry.
    pub data_term: u64,
}

impl Floored {
    fn fields(entry: Option<&Floored>) -> [u64; 4] {
        entry.map_or([0; 4], |entry| {
            [
                entry.barrier,
                entry.incarnation.lsn().get(),
                entry.data_index,
                entry.data_term,
            ]
        })
    }

    fn of([barrier, incarnation, data_index, data_term]: [u64; 4]) -> Option<Floored> {
        // No record has that position, so no region was made by it: an entry that is not used.
        (incarnation > 0).then(|| Floored {
            barrier,
            incarnation: Incarnation::new(Lsn::new(incarnation)),
            data_index,
            data_term,
        })
    }
}

impl StoreBatch {
    /// Says that the barrier `now` covers everything up to its sequence; `last` is the newest one that
    /// the journal knows.
    pub fn put_covered(&mut self, last: Covered, now: Covered) {
        self.put_barrier(now.barrier);
        let fields = [last, now].map(|one| [one.barrier, one.sequence.get()]);
        self.put(
            meta_key(COVERED.as_bytes()),
            seal(&bytes_of(&fields.concat())),
        );
    }

    /// Says how far a region's data is in the barrier of this batch; `last` is its entry of the newest
    /// barrier that the journal knows.
    pub fn put_floored(&mut self, region: RegionId, last: Option<&Floored>, now: &Floored) {
        let fields = [Floored::fields(last), Floored::fields(Some(now))].concat();
        self.put(floor_row_key(region), seal(&bytes_of(&fields)));
    }

    /// Forgets how far a region's data was: its peer is gone.
    pub fn delete_floored(&mut self, region: RegionId) {
        self.delete(floor_row_key(region));
    }
}

/// What the newest barrier at or below `barrier` that the store remembers covers; nothing at all if it
/// remembers none of them.
///
/// # Errors
/// [`StoreError::BadStoreRow`] if the row is not readable, or whatever kept the store from answering.
pub fn read_covered(store: &dyn DataStore, barrier: u64) -> Result<Covered, StoreError> {
    let Some(row) = store.get(&meta_key(COVERED.as_bytes()))? else {
        return Ok(Covered::default());
    };
    let fields = unseal(&row, COVERED_ROW_BYTES).map_err(|source| StoreError::BadStoreRow {
        name: COVERED,
        source,
    })?;
    let entries = numbers::<2>(fields).map(|[barrier, sequence]| Covered {
        barrier,
        sequence: Sequence::new(sequence),
    });
    let known = entries.filter(|entry| entry.barrier <= barrier);
    Ok(known.max_by_key(|entry| entry.barrier).unwrap_or_default())
}

/// A region and its newest entry at or below a barrier, if it has one, or what is wrong with its row.
pub type FlooredFound = (RegionId, Result<Option<Floored>, RowError>);

/// How far each region's data was in the newest barrier at or below `barrier`, in order of region id.
pub fn floored_rows(
    store: &dyn DataStore,
    barrier: u64,
) -> impl Iterator<Item = Result<FlooredFound, StoreError>> + Send + '_ {
    let rows = store.scan(&floor_rows_range(), Direction::Forward);
    rows.map(move |item| {
        let (raw_key, row) = item?;
        let region = match StoreKey::decode(&raw_key) {
            Ok(StoreKey::FloorRow(region)) => region,
            Ok(_) => {
                let prefix = raw_key.first().copied().unwrap_or(0);
                let source = super::KeyError::UnknownPrefix { prefix };
                return Err(StoreError::BadEntry { raw_key, source });
            }
            Err(source) => return Err(StoreError::BadEntry { raw_key, source }),
        };
        let newest = unseal(&row, FLOOR_ROW_BYTES).map(|fields| {
            let entries = numbers::<4>(fields).filter_map(Floored::of);
            let known = entries.filter(|entry| entry.barrier <= barrier);
            known.max_by_key(|entry| entry.barrier)
        });
        Ok((region, newest))
    })
}

fn bytes_of(fields: &[u64]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect()
}

/// The fields of each entry.
fn numbers<const N: usize>(fields: &[u8]) -> impl Iterator<Item = [u64; N]> + '_ {
    fields.chunks_exact(8 * N).map(|entry| {
        let mut numbers = [0; N];
        for (number, bytes) in numbers.iter_mut().zip(entry.chunks_exact(8)) {
            *number = bytes
                .first_chunk::<8>()
                .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        }
        numbers
    })
}

#[cfg(test)]
mod tests;
