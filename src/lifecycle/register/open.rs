//! What was begun and has not ended: what recovery has to look at.
//!
//! Not here: how each is brought to an end (`engine`).

use torrens_journal::Lsn;

use super::Register;
use crate::lifecycle::{CacheEntry, CacheState, DeletionCause, DeletionId, PeerStage, SnapshotRef};
use crate::{Incarnation, KeyRange, RegionId};

/// An operation that was begun and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenOperation {
    /// A snapshot apply: ingest again and end it, or abort it if the file is lost.
    SnapshotApply {
        /// Which region.
        region: RegionId,
        /// The peer that applies it.
        incarnation: Incarnation,
        /// The staged file.
        snapshot: SnapshotRef,
        /// The record that began it.
        begun: Lsn,
    },
    /// Keys that are kept free for a snapshot. After a restart Raft asks for it again: released.
    Reservation {
        /// Which region.
        region: RegionId,
        /// The peer that was about to get it.
        incarnation: Incarnation,
        /// The record that made it.
        reserved: Lsn,
    },
    /// A range to clear: clear it again and finish it.
    Deletion {
        /// Which.
        deletion: DeletionId,
        /// Its keys.
        range: KeyRange,
        /// Who left them.
        cause: DeletionCause,
    },
    /// A cache that is not absent. After a restart its memory is gone:
    /// [`Event::CacheLost`](crate::lifecycle::Event::CacheLost).
    Cache {
        /// Which region.
        region: RegionId,
        /// The peer that it was for.
        incarnation: Incarnation,
        /// Its state.
        state: CacheState,
    },
}

impl Register {
    /// Everything that was begun and has not ended: snapshot applies, reservations, deletions, caches.
    pub fn open_operations(&self) -> Vec<OpenOperation> {
        let applies = self.slots.iter().filter_map(|(region, slot)| {
            let peer = slot.peer.as_ref()?;
            match &peer.stage {
                PeerStage::Applying(applying) => Some(OpenOperation::SnapshotApply {
                    region: *region,
                    incarnation: peer.incarnation,
                    snapshot: applying.snapshot,
                    begun: applying.begun,
                }),
                PeerStage::Uninitialized
                | PeerStage::Normal(_)
                | PeerStage::Witness(_)
                | PeerStage::Waiting(_)
                | PeerStage::Damaged(_) => None,
            }
        });
        let deletions = self
            .deletions
            .iter()
            .map(|(id, deletion)| OpenOperation::Deletion {
                deletion: *id,
                range: deletion.range.clone(),
                cause: deletion.cause,
            });
        let reservations =
            self.reservations
                .iter()
                .map(|(region, reservation)| OpenOperation::Reservation {
                    region: *region,
                    incarnation: reservation.incarnation,
                    reserved: reservation.reserved,
                });
        let caches = self.slots.iter().filter_map(|(region, slot)| {
            let cache: CacheEntry = *slot.cache;
            Some(OpenOperation::Cache {
                region: *region,
                incarnation: cache.incarnation()?,
                state: cache.state(),
            })
        });
        applies
            .chain(reservations)
            .chain(deletions)
            .chain(caches)
            .collect()
    }
}
