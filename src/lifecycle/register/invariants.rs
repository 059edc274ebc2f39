//! What always holds of a register. Tests check it after every record; a tool may at any time.

use torrens_journal::Lsn;

use super::{Owner, Register, Slot};
use crate::lifecycle::{CacheEntry, DeletionId, ObserverViolation, PeerStage, PeerState};
use crate::{Incarnation, KeyRange, PeerId, RegionError, RegionId};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The ledger is not what peers and pending deletions own.
    #[error("the ledger does not say what peers and deletions own")]
    Ledger {
        /// The first range that differs.
        range: KeyRange,
    },
    /// Two owners share a key.
    #[error("the ranges of two owners overlap")]
    Overlap {
        /// A range.
        first: KeyRange,
        /// The next one, which starts before the first ends.
        second: KeyRange,
    },
    /// There are peers on a store that does not know its own id.
    #[error("the store has {region} and no id")]
    NoStore {
        /// The first region.
        region: RegionId,
    },
    /// A description breaks a rule.
    #[error("the description of {region} is not valid")]
    Description {
        /// Whose it is.
        region: RegionId,
        /// The rule.
        #[source]
        source: RegionError,
    },
    /// A peer's description is of another region, or does not list the peer on this store.
    #[error("the description of {region} does not list {peer} on this store")]
    NotListed {
        /// Whose it is.
        region: RegionId,
        /// The live peer.
        peer: PeerId,
    },
    /// A live peer is not above the tombstone.
    #[error("{peer} of {region} lives below the tombstone of {highest_peer}")]
    Fence {
        /// Which region.
        region: RegionId,
        /// The live peer.
        peer: PeerId,
        /// The tombstone's.
        highest_peer: PeerId,
    },
    /// A position in the journal that was not reached yet, or that cannot precede another.
    #[error("{region} names record {lsn} where it cannot")]
    Position {
        /// Which region.
        region: RegionId,
        /// The position.
        lsn: Lsn,
    },
    /// A cache that serves or fills belongs to a peer that does not serve.
    #[error("the cache of {region} is of {incarnation}, which does not serve")]
    Cache {
        /// Which region.
        region: RegionId,
        /// The cache's incarnation.
        incarnation: Incarnation,
    },
    /// A peer is a witness and its stage is not, or the other way round.
    #[error("the stage of {peer} of {region} does not fit its being a witness or not")]
    Witness {
        /// Which region.
        region: RegionId,
        /// The live peer.
        peer: PeerId,
    },
    /// A pending deletion clears keys of a peer that holds data.
    #[error("{deletion} clears keys that {region} holds")]
    ClearsHeld {
        /// Which region.
        region: RegionId,
        /// The deletion.
        deletion: DeletionId,
    },
    /// A floor names a barrier that never was.
    #[error("{region} relies on barrier {barrier}, the last is {last}")]
    Barrier {
        /// Which region.
        region: RegionId,
        /// Its floor's barrier.
        barrier: u64,
        /// The last one.
        last: u64,
    },
    /// Observers do not fit the regions.
    #[error("{0}")]
    Observer(ObserverViolation),
}

impl Register {
    /// Checks everything that always holds.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_ranges()?;
        self.check_observers().map_err(Violation::Observer)?;
        for (region, slot) in self.slots() {
            self.check_slot(region, slot)?;
        }
        for (region, reservation) in self.reservations.iter() {
            if self.incarnation(*region) != Some(reservation.incarnation) {
                return Err(Violation::Position {
                    region: *region,
                    lsn: reservation.reserved,
                });
            }
        }
        for (id, deletion) in self.deletions.iter() {
            if id.lsn > self.last_lsn {
                let region = deletion.cause.region();
                return Err(Violation::Position {
                    region,
                    lsn: id.lsn,
                });
            }
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), Violation> {
        let peers = self.slots.iter().filter_map(|(region, slot)| {
            let peer = slot.peer.as_ref()?;
            let owner = Owner::Peer {
                region: *region,
                incarnation: peer.incarnation,
            };
            Some((peer.stage.region()?.range.clone(), owner))
        });
        let owning = self.deletions.iter().filter(|(_, d)| d.cause.owns_range());
        let deletions = owning.map(|(id, d)| (d.range.clone(), Owner::Deletion(*id)));
        let reserved = self.reservations.values();
        let reserved = reserved.flat_map(|reservation| {
            let claims = reservation.claims().into_iter();
            claims.map(|claim| (claim.range, claim.owner))
        });
        let mut owned: Vec<(KeyRange, Owner)> = peers.chain(deletions).chain(reserved).collect();
        owned.sort_unstable_by(|(a, _), (b, _)| a.start().cmp(b.start()));
        for ((first, _), (second, _)) in owned.iter().zip(owned.iter().skip(1)) {
            if first.overlaps(second) {
                let (first, second) = (first.clone(), second.clone());
                return Err(Violation::Overlap { first, second });
            }
        }
        let mut claimed = self.owners();
        for expected in &owned {
            if claimed.next().as_ref() != Some(expected) {
                let range = expected.0.clone();
                return Err(Violation::Ledger { range });
            }
        }
        match claimed.next() {
            Some((range, _)) => Err(Violation::Ledger { range }),
            None => Ok(()),
        }
    }

    fn check_slot(&self, region: RegionId, slot: &Slot) -> Result<(), Violation> {
        if self.store.is_none() {
            return Err(Violation::NoStore { region });
        }
        let Slot {
            peer,
            tombstone,
            cache,
            last_record,
            last_transition,
        } = slot;
        for (earlier, later) in [
            (*last_transition, *last_record),
            (*last_record, self.last_lsn),
        ] {
            if earlier > later {
                return Err(Violation::Position {
                    region,
                    lsn: earlier,
                });
            }
        }
        if let (Some(peer), Some(tombstone)) = (peer, tombstone)
            && peer.peer <= tombstone.highest_peer
        {
            return Err(Violation::Fence {
                region,
                peer: peer.peer,
                highest_peer: tombstone.highest_peer,
            });
        }
        if let Some(peer) = peer {
            self.check_peer(region, peer, *last_transition)?;
        }
        match **cache {
            CacheEntry::LoadRequested { incarnation }
            | CacheEntry::LoadQueued { incarnation }
            | CacheEntry::Loading { incarnation }
            | CacheEntry::Active { incarnation, .. }
                if self.serving(region, incarnation).is_none() =>
            {
                Err(Violation::Cache {
                    region,
                    incarnation,
                })
            }
            CacheEntry::Absent
            | CacheEntry::LoadRequested { .. }
            | CacheEntry::LoadQueued { .. }
            | CacheEntry::Loading { .. }
            | CacheEntry::Active { .. }
            | CacheEntry::Cancelled { .. }
            | CacheEntry::EvictPending { .. }
            | CacheEntry::Evicting { .. } => Ok(()),
        }
    }

    fn check_peer(
        &self,
        region: RegionId,
        peer: &PeerState,
        last_transition: Lsn,
    ) -> Result<(), Violation> {
        let created = peer.incarnation.lsn();
        if created > last_transition || created == Lsn::ZERO {
            return Err(Violation::Position {
                region,
                lsn: created,
            });
        }
        if let Some(predecessor) = peer.predecessor.filter(|p| *p >= peer.incarnation) {
            let lsn = predecessor.lsn();
            return Err(Violation::Position { region, lsn });
        }
        let floor = match &peer.stage {
            PeerStage::Uninitialized | PeerStage::Waiting(_) => None,
            PeerStage::Normal(normal) | PeerStage::Witness(normal) => Some(normal.floor),
            PeerStage::Damaged(damaged) => Some(damaged.floor),
            PeerStage::Applying(applying) => {
                if applying.begun <= created || applying.begun > last_transition {
                    let lsn = applying.begun;
                    return Err(Violation::Position { region, lsn });
                }
                None
            }
        };
        if let Some(floor) = floor.filter(|floor| floor.barrier > self.barrier) {
            return Err(Violation::Barrier {
                region,
                barrier: floor.barrier,
                last: self.barrier,
            });
        }
        let Some(description) = peer.stage.region() else {
            return Ok(());
        };
        description
            .validate()
            .map_err(|source| Violation::Description { region, source })?;
        let listed = self.store.and_then(|store| description.peer_on(store));
        if description.id != region || listed.is_none_or(|listed| listed.id != peer.peer) {
            let peer = peer.peer;
            return Err(Violation::NotListed { region, peer });
        }
        let is_witness = listed.is_some_and(|listed| listed.is_witness);
        if is_witness != matches!(peer.stage, PeerStage::Witness(_)) {
            let peer = peer.peer;
            return Err(Violation::Witness { region, peer });
        }
        let holds_data = match peer.stage {
            PeerStage::Normal(_) | PeerStage::Applying(_) | PeerStage::Damaged(_) => true,
            PeerStage::Uninitialized | PeerStage::Witness(_) | PeerStage::Waiting(_) => false,
        };
        let clearing = self.deletion_in(&description.range);
        if let Some(deletion) = clearing.filter(|_| holds_data) {
            return Err(Violation::ClearsHeld { region, deletion });
        }
        Ok(())
    }
}
