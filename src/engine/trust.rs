//! What of the data store can be trusted at opening.
//!
//! The journal knows, for each region, a *floor*: an index that a barrier made durable, and which
//! barrier. The store knows its generation and the last barrier that it took part in, and each
//! region's row. A region is damaged if its floor's barrier is one that this store never saw (the
//! store came back empty, older, or is another one), or if its row is missing or below the floor.
//! A region whose floor no barrier ever raised has lost nothing: its host sends everything again.

use torrens_journal::disk::Disk;
use torrens_recovery::Recovered;

use super::{EngineError, OpenError, append};
use crate::lifecycle::{Cause, DamageReason, Event, INITIAL_INDEX, Normal};
use crate::machine::RegisterMachine;
use crate::store::{
    DataStore, RegionRow, StoreBatch, StoreError, read_barrier, read_generation, read_region_row,
};
use crate::{Incarnation, RegionId};

/// What the store says of itself, held against what the register expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoreState {
    /// The generation that the register knows; `false` if it has none or another.
    is_ours: bool,
    /// The last barrier that the store took part in; 0 for a store that is not ours.
    barrier: u64,
}

/// Journals the regions whose data cannot be trusted as damaged, and adopts a new store.
pub(super) fn judge_data(
    recovered: &mut Recovered<RegisterMachine>,
    data: &dyn DataStore,
    disk: &dyn Disk,
) -> Result<Vec<(RegionId, String)>, OpenError> {
    let failed = |source: StoreError| OpenError::Finish(EngineError::Data(source));
    let register = recovered.machine.register();
    let generation = read_generation(data).map_err(failed)?;
    let is_ours = generation.is_some() && generation == register.generation();
    let barrier = if is_ours { read_barrier(data).map_err(failed)?.unwrap_or(0) } else { 0 };
    let store = StoreState { is_ours, barrier };

    let mut damaged = Vec::new();
    for (region, incarnation, normal) in register.normal_peers() {
        let row = read_region_row(data, region).map_err(failed)?;
        if let Some(reason) = distrust(store, incarnation, normal, row) {
            damaged.push((region, incarnation, reason));
        }
    }
    let mut report = Vec::new();
    for (region, incarnation, reason) in damaged {
        report.push((region, reason.to_string()));
        let event = Event::Damage { region, incarnation, reason };
        append::append(recovered, disk, &event)?;
    }
    if !is_ours {
        // Durable as damaged before the new store can look like the old one.
        append::sync(recovered)?;
        let mut generation = [0; 16];
        for part in generation.chunks_exact_mut(8) {
            part.copy_from_slice(&disk.random_u64().to_le_bytes());
        }
        let mut batch = StoreBatch::new();
        batch.put_generation(&generation);
        data.apply(&batch).and_then(|()| data.flush()).map_err(failed)?;
        append::append(recovered, disk, &Event::NewDataStore { generation })?;
        append::sync(recovered)?;
    }
    Ok(report)
}

/// Why a region's data cannot be trusted, if it cannot.
fn distrust(
    store: StoreState,
    incarnation: Incarnation,
    normal: &Normal,
    row: Option<RegionRow>,
) -> Option<DamageReason> {
    let floor = normal.floor;
    if floor.barrier > store.barrier {
        return Some(match store.is_ours {
            true => DamageReason::StoreOlder { barrier: store.barrier, floor: floor.barrier },
            false => DamageReason::StoreReplaced,
        });
    }
    // A row of an earlier incarnation is not this one's. A peer that was never written since it was
    // created needs none.
    let row = row.filter(|row| row.incarnation == incarnation);
    let have = row.map_or(INITIAL_INDEX, |row| row.data_index);
    match (have < floor.index, row) {
        (false, _) => None,
        (true, None) => Some(DamageReason::RowMissing { floor: floor.index }),
        (true, Some(_)) => Some(DamageReason::BelowFloor { have, floor: floor.index }),
    }
}
