//! Cache records: one state of a region's cache follows another.

use super::{ApplyError, slot};
use crate::RegionId;
use crate::lifecycle::step::waits_for;
use crate::lifecycle::{CacheEntry, Change, QueuedLoad, QueuedLoadFate, Register};

pub(super) fn apply(register: &mut Register, change: &Change) -> Result<(), ApplyError> {
    let Some(region) = change.region() else {
        return Ok(());
    };
    let entry = register.cache(region);
    let Some(next) = next(register, region, entry, change) else {
        return Err(ApplyError::Cache {
            region,
            kind: change.kind_name(),
            state: entry.state(),
        });
    };
    if let Some(slot) = slot(register, region) {
        slot.cache = next.into();
    }
    Ok(())
}

/// The entry after the change; none if the change cannot follow.
fn next(
    register: &Register,
    region: RegionId,
    entry: CacheEntry,
    change: &Change,
) -> Option<CacheEntry> {
    use CacheEntry as C;
    match *change {
        Change::CacheLoadRequested { .. } => match entry {
            C::Absent => requested(register, region),
            C::LoadRequested { .. }
            | C::LoadQueued { .. }
            | C::Loading { .. }
            | C::Active { .. }
            | C::Cancelled { .. }
            | C::EvictPending { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheLoadQueued { version, .. } => {
            let incarnation = register.incarnation(region)?;
            let load = QueuedLoad {
                incarnation,
                version,
            };
            with_queued(entry, Some(load))
        }
        Change::CacheLoadUnqueued { .. } => {
            entry.queued()?;
            with_queued(entry, None)
        }
        Change::CacheLoadWaits { .. } => match entry {
            C::Absent => queued(register, region),
            C::LoadRequested { .. }
            | C::LoadQueued { .. }
            | C::Loading { .. }
            | C::Active { .. }
            | C::Cancelled { .. }
            | C::EvictPending { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheGoneLoadWaits { .. } => {
            let load = entry.queued()?;
            let next = queued(register, region)?;
            (next.incarnation() == Some(load.incarnation)).then_some(next)
        }
        Change::CacheLoading { .. } => match entry {
            C::LoadRequested { incarnation } => Some(C::Loading { incarnation }),
            C::LoadQueued { incarnation } => {
                (!waits_for(register, region, None)).then_some(C::Loading { incarnation })
            }
            C::Absent
            | C::Loading { .. }
            | C::Active { .. }
            | C::Cancelled { .. }
            | C::EvictPending { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheActive { .. } => match entry {
            C::Loading { incarnation } => Some(C::Active {
                incarnation,
                shared_from: None,
            }),
            C::Absent
            | C::LoadRequested { .. }
            | C::LoadQueued { .. }
            | C::Active { .. }
            | C::Cancelled { .. }
            | C::EvictPending { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheCancelled { reason, .. } => match entry {
            C::Loading { .. } => Some(entry.withdrawn(reason)),
            C::Absent
            | C::LoadRequested { .. }
            | C::LoadQueued { .. }
            | C::Active { .. }
            | C::Cancelled { .. }
            | C::EvictPending { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheEvictPending { reason, .. } => match entry {
            C::Active { .. } => Some(entry.withdrawn(reason)),
            C::Absent
            | C::LoadRequested { .. }
            | C::LoadQueued { .. }
            | C::Loading { .. }
            | C::Cancelled { .. }
            | C::EvictPending { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheEvicting { .. } => match entry {
            C::Cancelled {
                incarnation,
                reason,
                queued,
            }
            | C::EvictPending {
                incarnation,
                reason,
                queued,
            } => Some(C::Evicting {
                incarnation,
                reason,
                queued,
            }),
            C::Absent
            | C::LoadRequested { .. }
            | C::LoadQueued { .. }
            | C::Loading { .. }
            | C::Active { .. }
            | C::Evicting { .. } => None,
        },
        Change::CacheGone { queued, .. } => match (entry.state(), queued, entry.queued()) {
            (super::CacheState::Absent, _, _) => None,
            (_, QueuedLoadFate::None, None) | (_, QueuedLoadFate::Dropped(_), Some(_)) => {
                Some(C::Absent)
            }
            (_, QueuedLoadFate::Starts, Some(load)) => {
                let next = requested(register, region)?;
                (next.incarnation() == Some(load.incarnation)).then_some(next)
            }
            (_, QueuedLoadFate::None, Some(_))
            | (_, QueuedLoadFate::Starts | QueuedLoadFate::Dropped(_), None) => None,
        },
        Change::StoreIdentified { .. }
        | Change::DataStoreReplaced { .. }
        | Change::SequencesLeased { .. }
        | Change::BarrierReached { .. }
        | Change::RegionBootstrapped { .. }
        | Change::RegionSplit { .. }
        | Change::PeersChanged { .. }
        | Change::JointEntered { .. }
        | Change::JointLeft { .. }
        | Change::WitnessesSwitched { .. }
        | Change::WitnessInstalled { .. }
        | Change::MergePrepared { .. }
        | Change::RegionsMerged { .. }
        | Change::MergeRolledBack { .. }
        | Change::FlashbackBegun { .. }
        | Change::FlashbackEnded { .. }
        | Change::BootstrapPrepared { .. }
        | Change::BootstrapConfirmed { .. }
        | Change::BootstrapAbandoned { .. }
        | Change::RegionRecovered { .. }
        | Change::VotersForced { .. }
        | Change::TombstonePlaced { .. }
        | Change::TombstoneCollected { .. }
        | Change::SnapshotBegunOverSources { .. }
        | Change::SnapshotReserved { .. }
        | Change::SnapshotReleased { .. }
        | Change::OwnPeerRemoved { .. }
        | Change::PeerCreated { .. }
        | Change::PeerDestroyed { .. }
        | Change::DeletionFinished { .. }
        | Change::PeerDamaged { .. }
        | Change::SnapshotBegun { .. }
        | Change::SnapshotEnded { .. }
        | Change::SnapshotAborted { .. }
        | Change::Observer(_) => None,
    }
}

/// A load for the live peer; none if it does not serve.
fn requested(register: &Register, region: RegionId) -> Option<CacheEntry> {
    let incarnation = register.incarnation(region)?;
    register.serving(region, incarnation)?;
    Some(CacheEntry::LoadRequested { incarnation })
}

/// A load for the live peer that waits for other regions' evictions; none if it does not serve.
fn queued(register: &Register, region: RegionId) -> Option<CacheEntry> {
    let incarnation = register.incarnation(region)?;
    register.serving(region, incarnation)?;
    Some(CacheEntry::LoadQueued { incarnation })
}

/// The entry with another load behind it; none if nothing can wait there.
fn with_queued(entry: CacheEntry, queued: Option<QueuedLoad>) -> Option<CacheEntry> {
    match entry {
        CacheEntry::Cancelled {
            incarnation,
            reason,
            ..
        } => Some(CacheEntry::Cancelled {
            incarnation,
            reason,
            queued,
        }),
        CacheEntry::EvictPending {
            incarnation,
            reason,
            ..
        } => Some(CacheEntry::EvictPending {
            incarnation,
            reason,
            queued,
        }),
        CacheEntry::Evicting {
            incarnation,
            reason,
            ..
        } => Some(CacheEntry::Evicting {
            incarnation,
            reason,
            queued,
        }),
        CacheEntry::Absent
        | CacheEntry::LoadRequested { .. }
        | CacheEntry::LoadQueued { .. }
        | CacheEntry::Loading { .. }
        | CacheEntry::Active { .. } => None,
    }
}
