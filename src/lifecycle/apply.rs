//! Carrying out a recorded outcome: the only way in which a register changes.
//!
//! The live path and replay both come here. Nothing is decided: a record that cannot have followed
//! the state is an error, and the state is then exactly as before. Applying a record at or below the
//! register's position changes nothing.
//!
//! Not here: which outcome an event has (`step`).

mod caching;
mod conf_change;
mod merging;
mod peers;
mod regions;
mod snapshots;

use torrens_journal::Lsn;

use super::register::LedgerFault;
use super::step::{changed, changed_jointly, joint_left, switched};
use super::{CacheState, Change, DeletionId, MergeSource, Mode, Record, Register, Slot, observer};
use crate::{Incarnation, KeyRange, PeerId, RegionError, RegionId, Sequence, StoreId};

/// Why a record cannot have followed the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// LSNs start at 1.
    #[error("there is no record at LSN 0")]
    LsnZero,
    /// The header names another region than the change.
    #[error("the header names {header:?}, the change {change:?}")]
    Region {
        /// In the header.
        header: Option<RegionId>,
        /// In the change.
        change: Option<RegionId>,
    },
    /// The record was made for another incarnation than the one that lives.
    #[error("the record is about incarnation {record:?} of {region}, and {live:?} lives")]
    Incarnation {
        /// Which region.
        region: RegionId,
        /// In the record.
        record: Option<Incarnation>,
        /// In the state.
        live: Option<Incarnation>,
    },
    /// The back link does not point to the region's last record.
    #[error("the record follows {record:?} of {region}, and the last one is {last:?}")]
    BackLink {
        /// Which region.
        region: RegionId,
        /// In the record.
        record: Option<Lsn>,
        /// In the state.
        last: Option<Lsn>,
    },
    /// The store has another id, or has one already, or none yet.
    #[error("the store is {store:?}")]
    Store {
        /// Its id.
        store: Option<StoreId>,
    },
    /// A region's peer is in a stage in which that cannot happen.
    #[error("{kind} cannot follow: the peer of {region} is {stage}")]
    Stage {
        /// Which region.
        region: RegionId,
        /// The record's kind.
        kind: &'static str,
        /// The stage, or `absent`.
        stage: &'static str,
    },
    /// A region's cache is in a state in which that cannot happen.
    #[error("{kind} cannot follow: the cache of {region} is {}", .state.as_str())]
    Cache {
        /// Which region.
        region: RegionId,
        /// The record's kind.
        kind: &'static str,
        /// The state.
        state: CacheState,
    },
    /// A peer would live below the tombstone, or is not the one that the record is about.
    #[error("the record is about {peer} of {region}, which cannot be there")]
    Peer {
        /// Which region.
        region: RegionId,
        /// The peer in the record.
        peer: PeerId,
    },
    /// A description breaks a rule.
    #[error("the record leaves {region} with a description that is not valid")]
    Description {
        /// Whose description it is.
        region: RegionId,
        /// The rule.
        #[source]
        source: RegionError,
    },
    /// The parts of a split do not fit the region.
    #[error("the parts of {region} do not fit it")]
    Parts {
        /// The region that was split.
        region: RegionId,
    },
    /// A change of peers does not fit the region.
    #[error("the change of peers does not fit {region}")]
    PeerChange {
        /// Which region.
        region: RegionId,
    },
    /// Something that only grows would not.
    #[error("{what} would go back")]
    Backwards {
        /// What.
        what: &'static str,
    },
    /// There is no such pending deletion.
    #[error("there is no deletion {deletion}")]
    Deletion {
        /// Which.
        deletion: DeletionId,
    },
    /// Observers are not as the record assumes.
    #[error("{kind} cannot follow: observers are not as it assumes")]
    Observer {
        /// The record's kind.
        kind: &'static str,
    },
    /// Keys would belong to two owners, or to none that gave them up.
    #[error("the record takes keys that it cannot")]
    Ledger(#[source] LedgerFault),
}

/// Applies the record at `lsn`.
///
/// # Errors
/// [`ApplyError`] if it cannot have followed the state; the register is as before.
pub fn apply(register: &mut Register, lsn: Lsn, record: &Record) -> Result<(), ApplyError> {
    if lsn == Lsn::ZERO {
        return Err(ApplyError::LsnZero);
    }
    if lsn <= register.last_lsn {
        return Ok(());
    }
    check_header(register, record)?;
    let change = &record.change;
    let held = held_in_memory(register, change);
    let before = observer::before(register, change);
    match change {
        Change::StoreIdentified { store } => regions::identify(register, *store),
        Change::DataStoreReplaced { generation } => {
            register.generation = Some(*generation);
            Ok(())
        }
        Change::SequencesLeased { up_to } => lease(register, *up_to),
        Change::BarrierReached { number, floors } => peers::barrier(register, *number, floors),
        Change::RegionBootstrapped { store, region } => {
            regions::bootstrap(register, lsn, *store, region, Mode::Serving)
        }
        Change::BootstrapPrepared { store, region } => {
            regions::bootstrap(register, lsn, *store, region, Mode::Unconfirmed)
        }
        Change::BootstrapConfirmed { region } => regions::confirm_bootstrap(register, *region),
        Change::BootstrapAbandoned { region } => regions::abandon_bootstrap(register, lsn, *region),
        Change::RegionRecovered { region } => regions::recover(register, lsn, region),
        Change::VotersForced {
            region,
            conf_ver,
            failed,
        } => conf_change::force(register, *region, *conf_ver, failed),
        Change::MergePrepared {
            region,
            position,
            epoch,
            target,
            target_epoch,
            min_index,
        } => {
            let source = MergeSource {
                target: *target,
                target_epoch: *target_epoch,
                min_index: *min_index,
                commit: position.index,
            };
            merging::prepare(register, *region, *position, *epoch, source)
        }
        Change::RegionsMerged {
            region,
            position,
            version,
            source,
        } => merging::commit(register, *region, *position, *version, *source),
        Change::MergeRolledBack {
            region,
            position,
            version,
        } => merging::rollback(register, *region, *position, *version),
        Change::FlashbackBegun { region, position } => {
            merging::flashback(register, *region, *position, true)
        }
        Change::FlashbackEnded { region, position } => {
            merging::flashback(register, *region, *position, false)
        }
        Change::TombstonePlaced {
            region,
            peer,
            epoch,
        } => peers::place_tombstone(register, *region, *peer, *epoch),
        Change::TombstoneCollected {
            region,
            highest_peer,
        } => peers::collect_tombstone(register, *region, *highest_peer),
        Change::SnapshotReserved {
            description,
            position,
            sources,
        } => snapshots::reserve(register, lsn, description, *position, sources),
        Change::SnapshotReleased { region } => snapshots::release(register, *region),
        Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        } => snapshots::begin(register, lsn, description, *snapshot, sources),
        Change::RegionSplit {
            region,
            position,
            version,
            derive,
            boundaries,
            children,
        } => regions::split(
            register,
            lsn,
            *region,
            *position,
            (*version, *derive, boundaries),
            children,
        ),
        Change::PeersChanged {
            region,
            position,
            conf_ver,
            change,
        } => conf_change::apply(register, lsn, *region, *position, *conf_ver, |region| {
            changed(region, *conf_ver, *change)
        }),
        Change::JointEntered {
            region,
            position,
            conf_ver,
            changes,
        } => conf_change::apply(register, lsn, *region, *position, *conf_ver, |region| {
            changed_jointly(region, *conf_ver, changes)
        }),
        Change::JointLeft {
            region,
            position,
            conf_ver,
        } => conf_change::apply(register, lsn, *region, *position, *conf_ver, |region| {
            joint_left(region, *conf_ver)
        }),
        Change::WitnessesSwitched {
            region,
            position,
            conf_ver,
            switches,
        } => conf_change::apply(register, lsn, *region, *position, *conf_ver, |region| {
            switched(region, *conf_ver, switches)
        }),
        Change::WitnessInstalled {
            description,
            position,
            sources,
        } => snapshots::install_witness(register, lsn, description, *position, sources),
        Change::OwnPeerRemoved {
            region,
            position,
            conf_ver,
            peer,
        } => peers::remove_own(register, lsn, *region, *position, *conf_ver, *peer),
        Change::PeerCreated { region, peer, .. } => peers::create(register, lsn, *region, *peer),
        Change::PeerDestroyed {
            region,
            peer,
            epoch,
            cause,
        } => peers::destroy(register, lsn, *region, *peer, *epoch, *cause),
        Change::DeletionFinished { region, deletion } => {
            peers::finish_deletion(register, *region, *deletion)
        }
        Change::PeerDamaged { region, reason } => peers::damage(register, *region, *reason),
        Change::SnapshotBegun {
            description,
            snapshot,
        } => snapshots::begin(register, lsn, description, *snapshot, &[]),
        Change::SnapshotEnded { region, floor } => snapshots::end(register, *region, *floor),
        Change::SnapshotAborted { region, reason } => {
            snapshots::abort(register, lsn, *region, *reason)
        }
        Change::CacheLoadRequested { .. }
        | Change::CacheLoadQueued { .. }
        | Change::CacheLoadUnqueued { .. }
        | Change::CacheLoadWaits { .. }
        | Change::CacheGoneLoadWaits { .. }
        | Change::CacheLoading { .. }
        | Change::CacheActive { .. }
        | Change::CacheCancelled { .. }
        | Change::CacheEvictPending { .. }
        | Change::CacheEvicting { .. }
        | Change::CacheGone { .. } => caching::apply(register, change),
        Change::Observer(change) => observer::apply(register, lsn, change),
    }?;
    observer::follow(register, change, before);
    note_record(register, lsn, change);
    note_retiring(register, change, held);
    Ok(())
}

/// The regions that the change concerns whose memory holds data, and the keys that it holds.
fn held_in_memory(register: &Register, change: &Change) -> Vec<(RegionId, KeyRange)> {
    let also = match change.change_kind().is_cache() {
        true => Vec::new(),
        false => change.also(),
    };
    let held = |region: RegionId| {
        let slot = register.slot(region)?;
        let is_held = match slot.cache.state() {
            CacheState::Loading | CacheState::Active => true,
            CacheState::Absent
            | CacheState::LoadRequested
            | CacheState::LoadQueued
            | CacheState::Cancelled
            | CacheState::EvictPending
            | CacheState::Evicting => false,
        };
        let region_held = slot.peer.as_ref().filter(|_| is_held)?.stage.region()?;
        Some((region, region_held.range.clone()))
    };
    change
        .region()
        .into_iter()
        .chain(also)
        .filter_map(held)
        .collect()
}

/// Memory on its way out keeps the keys that it held, until it is gone.
fn note_retiring(register: &mut Register, change: &Change, held: Vec<(RegionId, KeyRange)>) {
    if held.is_empty() && register.retiring.is_empty() {
        return;
    }
    for (region, range) in held {
        if register.cache_state(region).is_leaving() {
            register.retiring.insert(region, range);
        }
    }
    if let Some(region) = change.region()
        && !register.cache_state(region).is_leaving()
    {
        register.retiring.remove(region);
    }
}

/// A record says what it was decided on; that must be what is there.
fn check_header(register: &Register, record: &Record) -> Result<(), ApplyError> {
    let header = record.header.region;
    let change = record.change.region();
    if header != change {
        return Err(ApplyError::Region { header, change });
    }
    let Some(region) = header else {
        return Ok(());
    };
    let slot = register.slot(region);
    let peer = slot.and_then(|slot| slot.peer.as_ref());
    let live = peer.map(|peer| peer.incarnation);
    if record.header.incarnation != live {
        return Err(ApplyError::Incarnation {
            region,
            record: record.header.incarnation,
            live,
        });
    }
    let last = slot.map(|slot| slot.last_record);
    if record.header.previous != last {
        return Err(ApplyError::BackLink {
            region,
            record: record.header.previous,
            last,
        });
    }
    Ok(())
}

/// Moves the position, and the back links of the region and of the others that it concerns.
fn note_record(register: &mut Register, lsn: Lsn, change: &Change) {
    let moves_data = !change.change_kind().is_cache();
    let mut note = |region: &RegionId| {
        if let Some(slot) = register.slot_mut(*region) {
            slot.last_record = lsn;
            if moves_data {
                slot.last_transition = lsn;
            }
        }
    };
    if let Some(region) = change.region() {
        note(&region);
    }
    change.also().iter().for_each(note);
    register.last_lsn = lsn;
}

fn lease(register: &mut Register, up_to: Sequence) -> Result<(), ApplyError> {
    if up_to <= register.sequence_ceiling {
        return Err(ApplyError::Backwards {
            what: "the sequence ceiling",
        });
    }
    register.sequence_ceiling = up_to;
    Ok(())
}

/// The slot of a region that has one.
fn slot(register: &mut Register, region: RegionId) -> Option<&mut Slot> {
    register.slot_mut(region)
}

/// The error of a record that finds the peer in the wrong stage.
fn wrong_stage(register: &Register, region: RegionId, kind: &'static str) -> ApplyError {
    let peer = register.peer(region);
    let stage = peer.map_or("absent", |peer| peer.stage.name());
    ApplyError::Stage {
        region,
        kind,
        stage,
    }
}
