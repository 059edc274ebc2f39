//! Writes of region data: one Raft entry, one atomic batch with the region's applied index.

use super::core::Core;
use super::{EngineError, WriteAnswer};
use crate::lifecycle::Refusal;
use crate::store::{RegionRow, WriteBatch};
use crate::{RaftPosition, RegionEpoch, RegionId};

impl Core {
    pub(super) fn write(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        batch: &WriteBatch,
    ) -> Result<WriteAnswer, EngineError> {
        self.barriers.check()?;
        // Held to the end: no transition of this region comes between the check and the batch.
        let _latch = self.latches.hold(region);
        let checked = self.with_decided(|register| {
            let admitted = register.admit_write(region, epoch)?;
            match batch.keys().find(|key| !admitted.region.range.contains(key)) {
                Some(key) => Err(Refusal::KeyOutOfRange { region, key: key.into() }),
                None => Ok((admitted, register.last_record(region))),
            }
        });
        let (admitted, meta_lsn) = match checked {
            Ok(checked) => checked,
            Err(refusal) => {
                // The refusal may rest on a record that is not durable yet.
                self.sync_decided()?;
                return Ok(WriteAnswer::Refused(refusal));
            }
        };
        let data_index = self.data_position(region, &admitted).index;
        if position.index <= data_index {
            return Ok(WriteAnswer::AlreadyApplied { data_index });
        }
        // Not before the region's last record is durable: data never assumes metadata that a crash
        // could take away.
        self.wait_durable(meta_lsn)?;
        let guard = self.begin_sequence()?;
        let sequence = guard.sequence();
        let row = RegionRow { incarnation: admitted.incarnation, data: position, meta_lsn };
        self.data
            .apply(&batch.to_store_batch(region, &row, sequence))
            .map_err(|error| self.barriers.fail(error))?;
        if let Some(cache) = self.caches.attached(region, admitted.incarnation) {
            cache.insert(batch, sequence);
        }
        guard.finish();
        self.rows.note_written(region, admitted.incarnation, position, sequence);
        Ok(WriteAnswer::Applied { sequence })
    }
}
