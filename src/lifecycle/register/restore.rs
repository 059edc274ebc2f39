//! The register as the items of a checkpoint, and back.
//!
//! The ledger is not saved: it follows from the peers and the pending deletions, and rebuilding it
//! is the check that they do not overlap.

use std::sync::Arc;

use torrens_journal::Lsn;

use super::{Claim, LedgerFault, Owner, Register, Reservation, Slot};
use crate::lifecycle::{Attachment, DeletionId, Observer, PendingDeletion};
use crate::{KeyRange, ObserverId, RegionId, Sequence, StoreId};

/// What concerns the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegisterHead {
    pub(crate) store: Option<StoreId>,
    pub(crate) generation: Option<[u8; 16]>,
    pub(crate) sequence_ceiling: Sequence,
    pub(crate) barrier: u64,
    pub(crate) last_lsn: Lsn,
}

/// One piece of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegisterItem {
    /// First, and once.
    Head(RegisterHead),
    Slot(RegionId, triomphe::Arc<Slot>),
    Deletion(DeletionId, PendingDeletion),
    Reservation(RegionId, Reservation),
    Retiring(RegionId, KeyRange),
    /// The highest ids of observers; only on a store that ever had one.
    Observers {
        last_id: u64,
        last_generation: u64,
    },
    /// One observer, without attachments.
    Observer(ObserverId, Observer),
    /// Some of the attachments of the observer before.
    Attachments(Vec<(RegionId, Attachment)>),
}

/// Why an item does not fit to those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The item that concerns the whole store comes again, or after others.
    #[error("the head item does not come first and once")]
    HeadOrder,
    /// Items of one kind do not come in ascending order of id.
    #[error("an item comes out of order")]
    Order,
    /// Two items own a key.
    #[error("an item owns keys of another one")]
    Ledger(#[source] LedgerFault),
}

impl Register {
    /// The pieces, in the order in which [`Register::restore`] takes them.
    pub(crate) fn items(&self) -> impl Iterator<Item = RegisterItem> {
        let head = RegisterHead {
            store: self.store,
            generation: self.generation,
            sequence_ceiling: self.sequence_ceiling,
            barrier: self.barrier,
            last_lsn: self.last_lsn,
        };
        let slots = self.slots.iter();
        let deletions = self.deletions.iter();
        let reservations = self.reservations.iter();
        let reservations = reservations
            .map(|(region, reserved)| RegisterItem::Reservation(*region, reserved.clone()));
        std::iter::once(RegisterItem::Head(head))
            .chain(slots.map(|(region, slot)| {
                let slot = triomphe::Arc::clone(slot);
                RegisterItem::Slot(*region, slot)
            }))
            .chain(deletions.map(|(id, deletion)| RegisterItem::Deletion(*id, deletion.clone())))
            .chain(reservations)
            .chain(
                self.retiring
                    .iter()
                    .map(|(region, range)| RegisterItem::Retiring(*region, range.clone())),
            )
            .chain(self.observers.items())
    }

    /// Takes back one piece.
    ///
    /// # Errors
    /// [`RestoreError`]; the register is as before.
    pub(crate) fn restore(&mut self, item: RegisterItem) -> Result<(), RestoreError> {
        match item {
            RegisterItem::Head(head) => self.restore_head(head),
            RegisterItem::Slot(region, mut slot) => {
                let last = self.slots.last_key_value();
                if last.is_some_and(|(last, _)| *last >= region) || !self.deletions.is_empty() {
                    return Err(RestoreError::Order);
                }
                let own = triomphe::Arc::get_mut(&mut slot);
                if let Some(peer) = own.and_then(|slot| slot.peer.as_mut())
                    && let Some(described) = peer.stage.region_mut().and_then(Arc::get_mut)
                {
                    self.ledger.share_bounds(&mut described.range);
                }
                let claim = slot.peer.as_ref().and_then(|peer| {
                    Some(Claim {
                        range: peer.stage.region()?.range.clone(),
                        owner: Owner::Peer {
                            region,
                            incarnation: peer.incarnation,
                        },
                    })
                });
                self.ledger
                    .exchange(&[], claim.as_slice())
                    .map_err(RestoreError::Ledger)?;
                self.slots.insert(region, slot);
                Ok(())
            }
            RegisterItem::Deletion(id, deletion) => {
                let last = self.deletions.last_key_value();
                if last.is_some_and(|(last, _)| *last >= id) || !self.reservations.is_empty() {
                    return Err(RestoreError::Order);
                }
                let claim = deletion.cause.owns_range().then(|| Claim {
                    range: deletion.range.clone(),
                    owner: Owner::Deletion(id),
                });
                self.ledger
                    .exchange(&[], claim.as_slice())
                    .map_err(RestoreError::Ledger)?;
                self.deletions.insert(id, deletion);
                Ok(())
            }
            RegisterItem::Reservation(region, reservation) => {
                let last = self.reservations.last_key_value();
                let live = self.incarnation(region);
                if last.is_some_and(|(last, _)| *last >= region)
                    || !self.retiring.is_empty()
                    || live != Some(reservation.incarnation)
                {
                    return Err(RestoreError::Order);
                }
                self.ledger
                    .exchange(&[], &reservation.claims())
                    .map_err(RestoreError::Ledger)?;
                if !self.observers.is_untouched() {
                    return Err(RestoreError::Order);
                }
                self.reservations.insert(region, reservation);
                Ok(())
            }
            RegisterItem::Retiring(region, range) => {
                let last = self.retiring.last_key_value();
                if last.is_some_and(|(last, _)| *last >= region)
                    || !self.cache_state(region).is_leaving()
                    || !self.observers.is_untouched()
                {
                    return Err(RestoreError::Order);
                }
                self.retiring.insert(region, range);
                Ok(())
            }
            RegisterItem::Observers { .. }
            | RegisterItem::Observer(..)
            | RegisterItem::Attachments(_) => self.observers.restore(item),
        }
    }

    fn restore_head(&mut self, head: RegisterHead) -> Result<(), RestoreError> {
        if *self != Register::default() {
            return Err(RestoreError::HeadOrder);
        }
        self.store = head.store;
        self.generation = head.generation;
        self.sequence_ceiling = head.sequence_ceiling;
        self.barrier = head.barrier;
        self.last_lsn = head.last_lsn;
        Ok(())
    }
}
