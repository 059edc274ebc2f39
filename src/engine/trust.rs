//! What of the data store can be trusted at opening.
//!
//! The journal knows, for each region, a *floor*: an index that a barrier made durable, and which
//! barrier. The store knows its generation and the last barrier that it took part in, and each
//! region's row. A region is damaged if its floor's barrier is one that this store never saw (the
//! store came back empty, older, or is another one), or if its row is missing, unreadable or below
//! the floor. A region whose floor no barrier ever raised has lost nothing: its host sends everything
//! again.

use std::collections::HashMap;

use torrens_journal::disk::Disk;
use torrens_journal::{Lsn, planted};
use torrens_recovery::Recovered;

use super::{EngineError, OpenError, append};
use crate::lifecycle::{DamageReason, Event, Floor, INITIAL_INDEX, Register};
use crate::machine::RegisterMachine;
use crate::store::{
    ColumnFamilies, Covered, DataStore, Floored, RegionRow, StoreBatch, StoreError,
    StoreGeneration, floored_rows, range_deletions, read_barrier, read_closed, read_covered,
    read_families, read_generation, region_rows,
};
use crate::{Incarnation, RegionId};

/// What the store says of itself.
#[derive(Debug, Default)]
pub(super) struct StoreFacts {
    generation: Option<StoreGeneration>,
    barrier: u64,
    closed: Option<u64>,
    families: Option<ColumnFamilies>,
    rows: HashMap<RegionId, RegionRow>,
    covered: Covered,
    floors: HashMap<RegionId, Floored>,
}

impl StoreFacts {
    /// Reads them; `known` is the last barrier that the journal knows. A row that is not readable
    /// counts as missing: it damages one region, not all.
    ///
    /// # Errors
    /// The store cannot be used at all.
    pub(super) fn read(data: &dyn DataStore, known: u64) -> Result<StoreFacts, StoreError> {
        let mut floors = HashMap::new();
        for found in floored_rows(data, known) {
            if let (region, Ok(Some(floor))) = found? {
                floors.insert(region, floor);
            }
        }
        let mut rows = HashMap::new();
        for found in region_rows(data) {
            if let (region, Ok(row)) = found? {
                rows.insert(region, row);
            }
        }
        // They hide data: a store in which they cannot be read would show what was deleted.
        range_deletions(data).try_for_each(|found| found.map(drop))?;
        let barrier = read_barrier(data)?.unwrap_or(0);
        Ok(StoreFacts {
            generation: read_generation(data)?,
            barrier,
            closed: read_closed(data)?,
            families: read_families(data)?,
            rows,
            covered: read_covered(data, known)?,
            floors,
        })
    }

    /// The identity of the store, if it has one.
    pub(super) fn generation(&self) -> Option<StoreGeneration> {
        self.generation
    }

    /// What the last barrier covers that both the store and the journal know.
    pub(super) fn covered(&self) -> Covered {
        self.covered
    }

    /// How far each region's data was then.
    pub(super) fn floors(&self) -> &HashMap<RegionId, Floored> {
        &self.floors
    }

    /// The boot in which the store was last closed in order.
    pub(super) fn closed_in(&self) -> Option<u64> {
        self.closed
    }

    /// The newest record of the journal that any region's data rests on.
    pub(super) fn newest_record(&self) -> Lsn {
        let records = self.rows.values();
        let records = records.map(|row| row.meta_lsn.max(row.incarnation.lsn()));
        records.max().unwrap_or_default()
    }

    /// The column families that the store was opened with so far, if any.
    pub(super) fn families(&self) -> Option<&ColumnFamilies> {
        self.families.as_ref()
    }

    /// The row of that incarnation.
    pub(super) fn row(&self, region: RegionId, incarnation: Incarnation) -> Option<&RegionRow> {
        self.rows
            .get(&region)
            .filter(|row| row.incarnation == incarnation)
    }

    /// Why a serving region's data cannot be trusted, if it cannot. `expected` is the generation
    /// that the register knows.
    fn distrust(
        &self,
        expected: Option<StoreGeneration>,
        (region, incarnation, floor): (RegionId, Incarnation, Floor),
    ) -> Option<DamageReason> {
        let is_ours = self.generation.is_some() && self.generation == expected;
        if !is_ours && floor.barrier > 0 && !planted!("replaced-store-trusted") {
            return Some(DamageReason::StoreReplaced);
        }
        if floor.barrier > self.barrier && !planted!("older-store-trusted") {
            let (barrier, floor) = (self.barrier, floor.barrier);
            return Some(DamageReason::StoreOlder { barrier, floor });
        }
        // A peer that was never written to since it was created needs no row.
        let row = self.row(region, incarnation);
        let have = row.map_or(INITIAL_INDEX, |row| row.data_index);
        match (have < floor.index && !planted!("floor-not-compared"), row) {
            (false, _) => None,
            (true, None) => Some(DamageReason::RowMissing { floor: floor.index }),
            (true, Some(_)) => Some(DamageReason::BelowFloor {
                have,
                floor: floor.index,
            }),
        }
    }
}

/// Serving regions whose data cannot be trusted, with the reason.
fn distrusted<'a>(
    register: &'a Register,
    facts: &'a StoreFacts,
) -> impl Iterator<Item = (RegionId, Incarnation, DamageReason)> + 'a {
    let expected = register.generation();
    register
        .normal_peers()
        .filter_map(move |(region, incarnation, normal)| {
            let reason = facts.distrust(expected, (region, incarnation, normal.floor))?;
            Some((region, incarnation, reason))
        })
}

/// Whether everything that the register serves can be served from that store. For reading only,
/// when nothing can be journaled as damaged.
pub(super) fn is_whole(register: &Register, data: &dyn DataStore) -> bool {
    let Ok(facts) = StoreFacts::read(data, register.barrier()) else {
        return false;
    };
    // What was written behind the barrier cannot be taken back without writing.
    let is_covered = |(region, incarnation, _): (RegionId, Incarnation, &_)| {
        let row = facts.row(region, incarnation);
        let floor = facts.floors.get(&region);
        row.is_none_or(|row| floor.is_some_and(|floor| floor.data_index == row.data_index))
    };
    distrusted(register, &facts).next().is_none() && register.normal_peers().all(is_covered)
}

/// Journals the regions whose data cannot be trusted as damaged, and adopts a new store.
pub(super) fn judge_data(
    recovered: &mut Recovered<RegisterMachine>,
    data: &dyn DataStore,
    facts: &StoreFacts,
    disk: &dyn Disk,
) -> Result<Vec<(RegionId, String)>, OpenError> {
    let register = recovered.machine.register();
    let expected = register.generation();
    let damaged: Vec<_> = distrusted(register, facts).collect();
    let mut report = Vec::new();
    for (region, incarnation, reason) in damaged {
        report.push((region, reason.to_string()));
        append::append(
            recovered,
            disk,
            &Event::Damage {
                region,
                incarnation,
                reason,
            },
        )?;
    }
    if expected.is_none() || facts.generation != expected {
        // Durable as damaged before the new store can look like the old one.
        append::sync(recovered)?;
        let mut generation = [0; 16];
        for part in generation.chunks_exact_mut(8) {
            part.copy_from_slice(&disk.random_u64().to_le_bytes());
        }
        let mut batch = StoreBatch::new();
        batch.put_generation(&generation);
        let adopted = data.apply(&batch).and_then(|()| data.flush());
        adopted.map_err(|source| OpenError::Finish(EngineError::Data(source)))?;
        append::append(recovered, disk, &Event::NewDataStore { generation })?;
    }
    append::sync(recovered)?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: RegionId = RegionId(7);
    const OURS: Option<StoreGeneration> = Some([1; 16]);

    fn incarnation(lsn: u64) -> Incarnation {
        Incarnation::new(Lsn::new(lsn))
    }

    fn facts(generation: u8, barrier: u64, row: Option<(u64, u64)>) -> StoreFacts {
        let row = row.map(|(lsn, data_index)| {
            let (incarnation, meta_lsn) = (incarnation(lsn), Lsn::new(lsn));
            (
                REGION,
                RegionRow {
                    incarnation,
                    data_index,
                    data_term: 6,
                    meta_lsn,
                },
            )
        });
        let generation = (generation > 0).then_some([generation; 16]);
        StoreFacts {
            generation,
            barrier,
            closed: None,
            families: None,
            rows: row.into_iter().collect(),
            covered: Covered::default(),
            floors: HashMap::new(),
        }
    }

    #[test]
    fn every_way_to_lose_data_is_seen_and_nothing_else_is() {
        use DamageReason::*;
        let floor = |index, barrier| Floor { index, barrier };
        let cases = [
            (facts(1, 3, Some((4, 9))), floor(9, 3), None),
            (facts(1, 5, Some((4, 12))), floor(9, 3), None),
            (
                facts(1, 3, Some((4, 8))),
                floor(9, 3),
                Some(BelowFloor { have: 8, floor: 9 }),
            ),
            (
                facts(1, 3, None),
                floor(9, 3),
                Some(RowMissing { floor: 9 }),
            ),
            // Another incarnation's row is no row.
            (
                facts(1, 3, Some((2, 99))),
                floor(9, 3),
                Some(RowMissing { floor: 9 }),
            ),
            (
                facts(1, 2, Some((4, 9))),
                floor(9, 3),
                Some(StoreOlder {
                    barrier: 2,
                    floor: 3,
                }),
            ),
            (facts(2, 9, Some((4, 9))), floor(9, 3), Some(StoreReplaced)),
            (facts(0, 0, None), floor(9, 3), Some(StoreReplaced)),
            // A child of a split that was never written to: its data was durable with its parent's.
            (facts(1, 3, None), floor(5, 3), None),
            (
                facts(1, 2, None),
                floor(5, 3),
                Some(StoreOlder {
                    barrier: 2,
                    floor: 3,
                }),
            ),
            (facts(2, 9, None), floor(5, 3), Some(StoreReplaced)),
            // A region that no barrier ever covered.
            (facts(0, 0, None), floor(5, 0), None),
        ];
        for (facts, floor, expected) in cases {
            let reason = facts.distrust(OURS, (REGION, incarnation(4), floor));
            assert_eq!(reason, expected, "{facts:?} {floor:?}");
        }
    }
}
