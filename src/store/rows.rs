//! Rows that the store keeps about itself: one per region, and its own generation and barrier.
//!
//! Every value has a fixed layout: version byte, little-endian fields, CRC-32 over all that. A row
//! is read whole or not at all.
//!
//! Not here: what the numbers mean for a region's health (floors are judged by `engine`).

use torrens_journal::Lsn;

use super::keys::{meta_key, region_row_key, region_rows_range};
use super::{ColumnFamilies, DataStore, Direction, StoreBatch, StoreError, StoreKey};
use crate::{Incarnation, RegionId};

const VERSION: u8 = 1;
const REGION_ROW_BYTES: usize = 1 + 8 * 4 + 4;
const GENERATION_ROW_BYTES: usize = 1 + 16 + 4;
const BARRIER_ROW_BYTES: usize = 1 + 8 + 4;
const CLOSED_ROW_BYTES: usize = 1 + 8 + 4;
const GENERATION: &str = "generation";
const BARRIER: &str = "barrier";
const CLOSED: &str = "closed";
const FAMILIES: &str = "families";

/// Identity of one creation of a data store; a store that was replaced or came back empty has
/// another one, or none.
pub type StoreGeneration = [u8; 16];

/// How far a region's data in this store is; written in the same batch as the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionRow {
    /// The creation of the peer that the data belongs to.
    pub incarnation: Incarnation,
    /// Raft index of the last entry whose data is in the store.
    pub data_index: u64,
    /// Raft term of that entry.
    pub data_term: u64,
    /// The last metadata record that the data assumes; must not be above what the journal holds.
    pub meta_lsn: Lsn,
}

/// What is wrong with a row's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Not the length of its kind.
    #[error("{found} bytes where {expected} were expected")]
    Length {
        /// Length of the kind.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// Written by another version.
    #[error("unknown row version {version}")]
    Version {
        /// Version found.
        version: u8,
    },
    /// The bytes are not those that were written.
    #[error("checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// Checksum in the row.
        stored: u32,
        /// Checksum of the row's bytes.
        computed: u32,
    },
    /// Column families that no writer names so.
    #[error("malformed column families")]
    Families,
    /// An incarnation of 0: no record has that position.
    #[error("an incarnation of 0")]
    NoIncarnation,
}

impl RegionRow {
    /// The row's value.
    pub fn encode(&self) -> Vec<u8> {
        let fields = [
            self.incarnation.lsn().get(),
            self.data_index,
            self.data_term,
            self.meta_lsn.get(),
        ];
        let bytes: Vec<u8> = fields
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect();
        seal(&bytes)
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(row: &[u8]) -> Result<RegionRow, RowError> {
        let mut fields = unseal(row, REGION_ROW_BYTES)?;
        let mut next = || match fields.split_first_chunk::<8>() {
            Some((field, rest)) => {
                fields = rest;
                u64::from_le_bytes(*field)
            }
            None => 0,
        };
        let (incarnation, data_index, data_term, meta_lsn) = (next(), next(), next(), next());
        if incarnation == 0 {
            return Err(RowError::NoIncarnation);
        }
        Ok(RegionRow {
            incarnation: Incarnation::new(Lsn::new(incarnation)),
            data_index,
            data_term,
            meta_lsn: Lsn::new(meta_lsn),
        })
    }
}

impl StoreBatch {
    /// Sets a region's row.
    pub fn put_region_row(&mut self, region: RegionId, row: &RegionRow) {
        self.put(region_row_key(region), row.encode());
    }

    /// Removes a region's row.
    pub fn delete_region_row(&mut self, region: RegionId) {
        self.delete(region_row_key(region));
    }

    /// Sets the store's generation.
    pub fn put_generation(&mut self, generation: &StoreGeneration) {
        self.put(meta_key(GENERATION.as_bytes()), seal(generation));
    }

    /// Says that the store was closed in order in that boot: everything in it is durable.
    pub fn put_closed(&mut self, boot: u64) {
        self.put(meta_key(CLOSED.as_bytes()), seal(&boot.to_le_bytes()));
    }

    /// Sets the names of the store's column families.
    pub fn put_families(&mut self, families: &ColumnFamilies) {
        self.put(meta_key(FAMILIES.as_bytes()), seal(&families.encode()));
    }

    /// Sets the number of the last barrier that the store has seen.
    pub fn put_barrier(&mut self, barrier: u64) {
        self.put(meta_key(BARRIER.as_bytes()), seal(&barrier.to_le_bytes()));
    }
}

/// A region's row, if it has one.
///
/// # Errors
/// [`StoreError::BadRegionRow`] if it is not readable, or whatever kept the store from answering.
pub fn read_region_row(
    store: &dyn DataStore,
    region: RegionId,
) -> Result<Option<RegionRow>, StoreError> {
    match store.get(&region_row_key(region))? {
        None => Ok(None),
        Some(row) => RegionRow::decode(&row)
            .map(Some)
            .map_err(|source| StoreError::BadRegionRow { region, source }),
    }
}

/// A region and its row, or what is wrong with that row.
pub type RegionRowFound = (RegionId, Result<RegionRow, RowError>);

/// All region rows in order of region id. A row that is not readable is an item of its own, so
/// that it damages one region and not all.
pub fn region_rows(
    store: &dyn DataStore,
) -> impl Iterator<Item = Result<RegionRowFound, StoreError>> + Send + '_ {
    store
        .scan(&region_rows_range(), Direction::Forward)
        .map(|item| {
            let (raw_key, row) = item?;
            match StoreKey::decode(&raw_key) {
                Ok(StoreKey::RegionRow(region)) => Ok((region, RegionRow::decode(&row))),
                Ok(
                    StoreKey::Data(_)
                    | StoreKey::RangeDeletion(_)
                    | StoreKey::FloorRow(_)
                    | StoreKey::Ack { .. }
                    | StoreKey::Meta(_),
                ) => unreachable_in_rows(raw_key),
                Err(source) => Err(StoreError::BadEntry { raw_key, source }),
            }
        })
}

fn unreachable_in_rows<T>(raw_key: Vec<u8>) -> Result<T, StoreError> {
    let prefix = raw_key.first().copied().unwrap_or(0);
    Err(StoreError::BadEntry {
        raw_key,
        source: super::KeyError::UnknownPrefix { prefix },
    })
}

/// The store's generation, if it has one.
///
/// # Errors
/// [`StoreError::BadStoreRow`] if it is not readable, or whatever kept the store from answering.
pub fn read_generation(store: &dyn DataStore) -> Result<Option<StoreGeneration>, StoreError> {
    let Some(row) = store.get(&meta_key(GENERATION.as_bytes()))? else {
        return Ok(None);
    };
    let fields = unseal(&row, GENERATION_ROW_BYTES).map_err(|source| StoreError::BadStoreRow {
        name: GENERATION,
        source,
    })?;
    Ok(fields.first_chunk::<16>().copied())
}

/// The number of the last barrier that the store has seen, if any.
///
/// # Errors
/// [`StoreError::BadStoreRow`] if it is not readable, or whatever kept the store from answering.
pub fn read_barrier(store: &dyn DataStore) -> Result<Option<u64>, StoreError> {
    let Some(row) = store.get(&meta_key(BARRIER.as_bytes()))? else {
        return Ok(None);
    };
    let fields = unseal(&row, BARRIER_ROW_BYTES).map_err(|source| StoreError::BadStoreRow {
        name: BARRIER,
        source,
    })?;
    Ok(fields
        .first_chunk::<8>()
        .map(|bytes| u64::from_le_bytes(*bytes)))
}

/// The boot in which the store was last closed in order, if it ever was.
///
/// # Errors
/// [`StoreError::BadStoreRow`] if it is not readable, or whatever kept the store from answering.
pub fn read_closed(store: &dyn DataStore) -> Result<Option<u64>, StoreError> {
    let Some(row) = store.get(&meta_key(CLOSED.as_bytes()))? else {
        return Ok(None);
    };
    let fields = unseal(&row, CLOSED_ROW_BYTES).map_err(|source| StoreError::BadStoreRow {
        name: CLOSED,
        source,
    })?;
    let boot = fields.first_chunk::<8>();
    Ok(boot.map(|bytes| u64::from_le_bytes(*bytes)))
}

/// The column families that the store was made with, if it says so.
///
/// # Errors
/// [`StoreError::BadStoreRow`] if it is not readable, or whatever kept the store from answering.
pub fn read_families(store: &dyn DataStore) -> Result<Option<ColumnFamilies>, StoreError> {
    let Some(row) = store.get(&meta_key(FAMILIES.as_bytes()))? else {
        return Ok(None);
    };
    unseal(&row, row.len())
        .and_then(|fields| ColumnFamilies::decode(fields).ok_or(RowError::Families))
        .map(Some)
        .map_err(|source| StoreError::BadStoreRow {
            name: FAMILIES,
            source,
        })
}

pub(super) fn seal(fields: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + fields.len() + 4);
    row.push(VERSION);
    row.extend_from_slice(fields);
    let checksum = crc32fast::hash(&row);
    row.extend_from_slice(&checksum.to_le_bytes());
    row
}

/// The fields of a row of exactly `expected` bytes.
pub(super) fn unseal(row: &[u8], expected: usize) -> Result<&[u8], RowError> {
    let wrong_length = RowError::Length {
        expected,
        found: row.len(),
    };
    if row.len() != expected {
        return Err(wrong_length);
    }
    let Some((sealed, stored)) = row.split_last_chunk::<4>() else {
        return Err(wrong_length);
    };
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32fast::hash(sealed));
    if stored != computed {
        return Err(RowError::Checksum { stored, computed });
    }
    match sealed.split_first() {
        Some((&VERSION, fields)) => Ok(fields),
        Some((&version, _)) => Err(RowError::Version { version }),
        None => Err(wrong_length),
    }
}

#[cfg(test)]
mod tests;
