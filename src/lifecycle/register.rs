//! `Register`: everything this store knows about its regions and peers, and the questions that may
//! be asked of it.
//!
//! Only [`apply`](super::apply) and the loading of a checkpoint change it. Cloning costs a few pointers,
//! whatever it holds: a clone shares everything with its original until one of them changes, and a
//! change copies the few nodes that lead to it.
//!
//! * `ledger`: who owns which keys.
//! * `admission`: may this request read or write this region at this epoch.
//! * `open`: what was begun and has not ended.
//! * `reservation`: keys that are kept free for snapshots.
//! * `restore`: to and from the items of a checkpoint.
//! * `invariants`: what always holds.
//!
//! Not here: any rule about what may follow what (`step`), bytes (`codec`).

mod admission;
mod invariants;
mod ledger;
mod open;
mod reservation;
mod restore;

use torrens_journal::Lsn;
use triomphe::Arc;

pub use self::admission::Admitted;
pub use self::invariants::Violation;
pub use self::ledger::{LedgerFault, Owner};
pub use self::open::OpenOperation;
pub use self::reservation::Reservation;
pub use self::restore::RestoreError;
pub(crate) use self::restore::{RegisterHead, RegisterItem};

pub(super) use self::ledger::{Claim, Ledger};
use super::{
    CacheEntry, CacheState, DeletionId, Mode, Normal, Observers, PeerStage, PeerState,
    PendingDeletion, Rare, Tombstone,
};
use crate::persistent_map::PersistentMap;
use crate::{Incarnation, KeyRange, RegionId, Sequence, StoreId};

/// All metadata of one store: the fold of its journal up to [`Register::last_lsn`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    pub(super) store: Option<StoreId>,
    pub(super) generation: Option<[u8; 16]>,
    pub(super) sequence_ceiling: Sequence,
    pub(super) barrier: u64,
    pub(super) last_lsn: Lsn,
    /// Shared by pictures; nobody holds one weakly, so they need no count of that.
    slots: PersistentMap<RegionId, Arc<Slot>>,
    pub(super) deletions: PersistentMap<DeletionId, PendingDeletion>,
    pub(super) reservations: PersistentMap<RegionId, Reservation>,
    /// Memory of caches on its way out, and the keys that it held.
    pub(super) retiring: PersistentMap<RegionId, KeyRange>,
    pub(super) observers: Observers,
    pub(super) ledger: Ledger,
}

/// What this store knows of one region id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The live peer, if there is one.
    pub peer: Option<PeerState>,
    /// The fence that earlier peers left, if there were any.
    pub tombstone: Option<Box<Tombstone>>,
    /// The region's cache; it may outlive the peer that it belonged to.
    pub cache: Rare<CacheEntry>,
    /// The region's last record, of whatever kind: the next one's back link.
    pub last_record: Lsn,
    /// The region's last record that was not about its cache.
    pub last_transition: Lsn,
}

impl Register {
    /// This node's id; none on a store that never learned it.
    pub fn store(&self) -> Option<StoreId> {
        self.store
    }

    /// The generation of the data store that the floors speak of; none before the first one.
    pub fn generation(&self) -> Option<[u8; 16]> {
        self.generation
    }

    /// Sequence numbers up to this one may have been used.
    pub fn sequence_ceiling(&self) -> Sequence {
        self.sequence_ceiling
    }

    /// Number of the last barrier; 0 before the first.
    pub fn barrier(&self) -> u64 {
        self.barrier
    }

    /// The last record that was applied; [`Lsn::ZERO`] on an empty register.
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    /// What is known of a region id; none if it was never here.
    pub fn slot(&self, region: RegionId) -> Option<&Slot> {
        self.slots.get(region).map(|slot| &**slot)
    }

    /// As [`Register::slot`], to be changed.
    pub(super) fn slot_mut(&mut self, region: RegionId) -> Option<&mut Slot> {
        self.slots.get_mut(region).map(Arc::make_mut)
    }

    /// As [`Register::slot_mut`], of a region that may be new here.
    pub(super) fn slot_or_new(&mut self, region: RegionId) -> &mut Slot {
        Arc::make_mut(self.slots.get_or_default(region))
    }

    /// Forgets all that is known of a region.
    pub(super) fn remove_slot(&mut self, region: RegionId) {
        self.slots.remove(region);
    }

    /// Everything that is known, by region id.
    pub fn slots(&self) -> impl Iterator<Item = (RegionId, &Slot)> {
        self.slots.iter().map(|(region, slot)| (*region, &**slot))
    }

    /// A region's live peer.
    pub fn peer(&self, region: RegionId) -> Option<&PeerState> {
        self.slot(region)?.peer.as_ref()
    }

    /// The incarnation of a region's live peer.
    pub fn incarnation(&self, region: RegionId) -> Option<Incarnation> {
        self.peer(region).map(|peer| peer.incarnation)
    }

    /// The region's peer, if it is that incarnation and holds data that can be trusted, whatever its
    /// region's mode.
    pub fn normal(&self, region: RegionId, incarnation: Incarnation) -> Option<&Normal> {
        let peer = self.peer(region)?;
        match &peer.stage {
            PeerStage::Normal(normal) if peer.incarnation == incarnation => Some(normal),
            PeerStage::Normal(_)
            | PeerStage::Witness(_)
            | PeerStage::Waiting(_)
            | PeerStage::Uninitialized
            | PeerStage::Applying(_)
            | PeerStage::Damaged(_) => None,
        }
    }

    /// The region's peer, if it is that incarnation, holds data and serves it.
    pub fn serving(&self, region: RegionId, incarnation: Incarnation) -> Option<&Normal> {
        self.normal(region, incarnation)
            .filter(|normal| *normal.mode == Mode::Serving)
    }

    /// Every peer that holds data that can be trusted, by region id.
    pub fn normal_peers(&self) -> impl Iterator<Item = (RegionId, Incarnation, &Normal)> {
        self.slots().filter_map(|(region, slot)| {
            let peer = slot.peer.as_ref()?;
            match &peer.stage {
                PeerStage::Normal(normal) => Some((region, peer.incarnation, normal)),
                PeerStage::Witness(_)
                | PeerStage::Waiting(_)
                | PeerStage::Uninitialized
                | PeerStage::Applying(_)
                | PeerStage::Damaged(_) => None,
            }
        })
    }

    /// The ids of all regions with a live peer.
    pub fn region_ids(&self) -> impl Iterator<Item = RegionId> {
        let live = |(region, slot): (RegionId, &Slot)| slot.peer.is_some().then_some(region);
        self.slots().filter_map(live)
    }

    /// A region's tombstone.
    pub fn tombstone(&self, region: RegionId) -> Option<Tombstone> {
        self.slot(region)?.tombstone.as_deref().copied()
    }

    /// Every tombstone, by region id.
    pub fn tombstones(&self) -> impl Iterator<Item = (RegionId, Tombstone)> {
        let of = |(region, slot): (RegionId, &Slot)| Some((region, *slot.tombstone.as_deref()?));
        self.slots().filter_map(of)
    }

    /// A region's cache.
    pub fn cache(&self, region: RegionId) -> CacheEntry {
        self.slot(region)
            .map_or(CacheEntry::Absent, |slot| *slot.cache)
    }

    /// The caches whose memory is on its way out, and the keys that it held when it stopped serving, by
    /// region id. A load of any of these keys waits for its end.
    pub fn retiring(&self) -> impl Iterator<Item = (RegionId, &KeyRange)> {
        self.retiring.iter().map(|(region, range)| (*region, range))
    }

    /// The state of a region's cache.
    pub fn cache_state(&self, region: RegionId) -> CacheState {
        self.cache(region).state()
    }

    /// The region's last record, of whatever kind.
    pub fn last_record(&self, region: RegionId) -> Option<Lsn> {
        self.slot(region).map(|slot| slot.last_record)
    }

    /// The region's last record that was not about its cache: what its data may assume must be
    /// durable up to here.
    pub fn last_transition(&self, region: RegionId) -> Option<Lsn> {
        self.slot(region).map(|slot| slot.last_transition)
    }

    /// A pending deletion.
    pub fn deletion(&self, deletion: DeletionId) -> Option<&PendingDeletion> {
        self.deletions.get(deletion)
    }

    /// The oldest pending deletion that clears a key of `range`, whoever owns the key.
    pub fn deletion_in(&self, range: &KeyRange) -> Option<DeletionId> {
        let mut pending = self.deletions.iter();
        pending.find_map(|(id, pending)| pending.range.overlaps(range).then_some(*id))
    }

    /// Every pending deletion, oldest first.
    pub fn deletions(&self) -> impl Iterator<Item = (DeletionId, &PendingDeletion)> {
        self.deletions.iter().map(|(id, deletion)| (*id, deletion))
    }

    /// Who observes what.
    pub fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Who owns `key`.
    pub fn owner_at(&self, key: &[u8]) -> Option<Owner> {
        self.ledger.owner_at(key)
    }

    /// The region whose live peer owns `key`.
    pub fn owner_of(&self, key: &[u8]) -> Option<RegionId> {
        match self.owner_at(key)? {
            Owner::Peer { region, .. } => Some(region),
            Owner::Deletion(_) | Owner::Reservation { .. } => None,
        }
    }

    /// The regions whose live peers own keys of `range`, in key order.
    pub fn tenants(&self, range: &KeyRange) -> Vec<(RegionId, Incarnation)> {
        let tenant = |claim: Claim| match claim.owner {
            Owner::Peer {
                region,
                incarnation,
            } => Some((region, incarnation)),
            Owner::Deletion(_) | Owner::Reservation { .. } => None,
        };
        self.ledger.overlapping(range).filter_map(tenant).collect()
    }

    /// Every owned range and its owner, in key order.
    pub fn owners(&self) -> impl Iterator<Item = (KeyRange, Owner)> {
        self.ledger.claims().map(|claim| (claim.range, claim.owner))
    }
}
