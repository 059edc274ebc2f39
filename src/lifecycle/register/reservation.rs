//! Keys that are kept free for a snapshot which a peer is about to get: from the look at its
//! description until it is begun, or Raft dropped it.
//!
//! A reservation owns the keys of the snapshot that nobody owns yet. Those that the peer has, or that
//! a source of a merge has, are theirs until the begin.

use std::sync::Arc;

use torrens_journal::Lsn;

use super::{Claim, Owner, Register};
use crate::lifecycle::RaftPosition;
use crate::{Incarnation, KeyRange, Region, RegionId};

/// A snapshot that is about to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The peer that gets it.
    pub incarnation: Incarnation,
    /// The description that it brings.
    pub description: Arc<Region>,
    /// The entry that it is at.
    pub position: RaftPosition,
    /// Regions that end with its begin, as the caller knows.
    pub sources: Vec<RegionId>,
    /// The keys that it owns meanwhile, in key order.
    pub parts: Vec<KeyRange>,
    /// The record that made it.
    pub reserved: Lsn,
}

impl Reservation {
    pub(in crate::lifecycle) fn claims(&self) -> Vec<Claim> {
        let owner = Owner::Reservation {
            region: self.description.id,
            incarnation: self.incarnation,
        };
        let claim = |range: &KeyRange| Claim {
            range: range.clone(),
            owner,
        };
        self.parts.iter().map(claim).collect()
    }
}

impl Register {
    /// The snapshot that a region's peer is about to get, if one was reserved.
    pub fn reservation(&self, region: RegionId) -> Option<&Reservation> {
        self.reservations.get(region)
    }

    /// Every reservation, by region id.
    pub fn reservations(&self) -> impl Iterator<Item = (RegionId, &Reservation)> {
        self.reservations
            .iter()
            .map(|(region, reservation)| (*region, reservation))
    }

    /// The keys of `range` that no peer has and that `own` has not reserved.
    pub(in crate::lifecycle) fn free_parts(&self, range: &KeyRange, own: Owner) -> Vec<KeyRange> {
        let mut parts = vec![range.clone()];
        let taken = self.ledger.overlapping(range);
        for claim in taken.filter(|claim| claim.owner != own) {
            let rest = parts.iter().flat_map(|part| part.difference(&claim.range));
            parts = rest.collect();
        }
        parts
    }

    /// The keys that were kept free are nobody's.
    pub(in crate::lifecycle) fn drop_reservation(&mut self, region: RegionId) {
        if let Some(reservation) = self.reservations.remove(region) {
            // What a reservation owns is its own: this cannot fail while the invariants hold.
            let _ = self.ledger.exchange(&reservation.claims(), &[]);
        }
    }
}
