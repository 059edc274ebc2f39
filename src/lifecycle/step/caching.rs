//! Events of a region's cache. Each of the eight states has an answer to each event; none panics,
//! and no request is lost: a load that comes while an eviction is under way waits behind it, and behind
//! those of other regions whose memory still holds some of its keys.

use torrens_journal::planted;

use super::gate;
use crate::lifecycle::outcome::Planned;
use crate::lifecycle::{
    CacheEntry, Change, DropReason, Effect, Event, EvictReason, Outcome, QueuedLoad,
    QueuedLoadFate, Refusal, Register,
};
use crate::{Incarnation, RegionEpoch, RegionId};

fn wrong_state(register: &Register, region: RegionId) -> Refusal {
    let state = register.cache_state(region);
    Refusal::CacheState { region, state }
}

fn start(region: RegionId, incarnation: Incarnation) -> Planned {
    Planned::Known(Effect::StartLoad {
        region,
        incarnation,
    })
}

fn free(region: RegionId) -> Planned {
    Planned::Known(Effect::FreeCache { region })
}

/// A serving peer of that incarnation, at that version.
pub(super) fn request(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
    epoch: RegionEpoch,
) -> Result<Outcome, Refusal> {
    let peer = gate::live(register, region, Some(incarnation))?;
    let normal = gate::serving(region, peer)?;
    gate::version(register, &normal.region, epoch)?;
    let version = normal.region.epoch.version;
    let wanted = QueuedLoad {
        incarnation,
        version,
    };
    match register.cache(region) {
        CacheEntry::Absent if waits_for(register, region, None) => {
            Ok(Outcome::accept(Change::CacheLoadWaits { region }))
        }
        CacheEntry::Absent => Ok(Outcome::accept_with(
            Change::CacheLoadRequested { region },
            vec![start(region, incarnation)],
        )),
        CacheEntry::LoadRequested { .. }
        | CacheEntry::LoadQueued { .. }
        | CacheEntry::Loading { .. }
        | CacheEntry::Active { .. } => Ok(Outcome::AlreadyApplied),
        CacheEntry::Cancelled { queued, .. }
        | CacheEntry::EvictPending { queued, .. }
        | CacheEntry::Evicting { queued, .. } => Ok(
            if queued == Some(wanted) || planted!("load-over-an-eviction-forgotten") {
                Outcome::AlreadyApplied
            } else {
                Outcome::accept(Change::CacheLoadQueued { region, version })
            },
        ),
    }
}

pub(super) fn begin(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
) -> Result<Outcome, Refusal> {
    gate::live(register, region, Some(incarnation))?;
    match register.cache(region) {
        CacheEntry::LoadQueued { .. } if waits_for(register, region, None) => {
            Err(wrong_state(register, region))
        }
        CacheEntry::LoadRequested { .. } | CacheEntry::LoadQueued { .. } => {
            Ok(Outcome::accept(Change::CacheLoading { region }))
        }
        CacheEntry::Loading { .. } | CacheEntry::Active { .. } => Ok(Outcome::AlreadyApplied),
        CacheEntry::Absent => Err(wrong_state(register, region)),
        CacheEntry::Cancelled { reason, .. }
        | CacheEntry::EvictPending { reason, .. }
        | CacheEntry::Evicting { reason, .. } => Err(Refusal::LoadCancelled { region, reason }),
    }
}

pub(super) fn end(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
) -> Result<Outcome, Refusal> {
    gate::live(register, region, Some(incarnation))?;
    match register.cache(region) {
        CacheEntry::Loading { .. } => Ok(Outcome::accept(Change::CacheActive { region })),
        CacheEntry::Active { .. } => Ok(Outcome::AlreadyApplied),
        CacheEntry::Absent | CacheEntry::LoadRequested { .. } | CacheEntry::LoadQueued { .. } => {
            Err(wrong_state(register, region))
        }
        CacheEntry::Cancelled { reason, .. }
        | CacheEntry::EvictPending { reason, .. }
        | CacheEntry::Evicting { reason, .. } => Err(Refusal::LoadCancelled { region, reason }),
    }
}

pub(super) fn cancel(
    register: &Register,
    region: RegionId,
    incarnation: Incarnation,
    reason: EvictReason,
) -> Result<Outcome, Refusal> {
    gate::live(register, region, Some(incarnation))?;
    match register.cache(region) {
        CacheEntry::LoadRequested { .. } | CacheEntry::LoadQueued { .. } => {
            Ok(gone(region, reason))
        }
        CacheEntry::Loading { .. } => Ok(Outcome::accept_with(
            Change::CacheCancelled { region, reason },
            vec![free(region)],
        )),
        CacheEntry::Active { .. } => Err(wrong_state(register, region)),
        CacheEntry::Absent
        | CacheEntry::Cancelled { .. }
        | CacheEntry::EvictPending { .. }
        | CacheEntry::Evicting { .. } => Ok(Outcome::AlreadyApplied),
    }
}

/// The last request wins: an eviction also takes back a load that waits behind an earlier one.
pub(super) fn evict(
    register: &Register,
    region: RegionId,
    reason: EvictReason,
) -> Result<Outcome, Refusal> {
    match register.cache(region) {
        CacheEntry::Absent => Ok(Outcome::AlreadyApplied),
        CacheEntry::LoadRequested { .. } | CacheEntry::LoadQueued { .. } => {
            Ok(gone(region, reason))
        }
        CacheEntry::Loading { .. } => Ok(Outcome::accept_with(
            Change::CacheCancelled { region, reason },
            vec![free(region)],
        )),
        CacheEntry::Active { .. } => Ok(Outcome::accept_with(
            Change::CacheEvictPending { region, reason },
            vec![free(region)],
        )),
        CacheEntry::Cancelled { queued, .. }
        | CacheEntry::EvictPending { queued, .. }
        | CacheEntry::Evicting { queued, .. } => Ok(match queued {
            None => Outcome::AlreadyApplied,
            Some(_) => Outcome::accept(Change::CacheLoadUnqueued { region, reason }),
        }),
    }
}

pub(super) fn evict_begin(register: &Register, region: RegionId) -> Result<Outcome, Refusal> {
    match register.cache(region) {
        CacheEntry::Cancelled { .. } | CacheEntry::EvictPending { .. } => {
            Ok(Outcome::accept(Change::CacheEvicting { region }))
        }
        CacheEntry::Absent | CacheEntry::Evicting { .. } => Ok(Outcome::AlreadyApplied),
        CacheEntry::LoadRequested { .. }
        | CacheEntry::LoadQueued { .. }
        | CacheEntry::Loading { .. }
        | CacheEntry::Active { .. } => Err(wrong_state(register, region)),
    }
}

pub(super) fn evict_end(register: &Register, region: RegionId) -> Result<Outcome, Refusal> {
    match register.cache(region) {
        CacheEntry::Evicting { reason, queued, .. } => {
            Ok(gone_with(register, region, reason, queued))
        }
        CacheEntry::Absent => Ok(Outcome::AlreadyApplied),
        CacheEntry::LoadRequested { .. }
        | CacheEntry::LoadQueued { .. }
        | CacheEntry::Loading { .. }
        | CacheEntry::Active { .. }
        | CacheEntry::Cancelled { .. }
        | CacheEntry::EvictPending { .. } => Err(wrong_state(register, region)),
    }
}

/// A restart completes every eviction at once. A load that was only asked for stands, and so does one
/// that waits: what it waits for ends with the restart too.
pub(super) fn lost(register: &Register, region: RegionId) -> Result<Outcome, Refusal> {
    match register.cache(region) {
        CacheEntry::Absent | CacheEntry::LoadRequested { .. } | CacheEntry::LoadQueued { .. } => {
            Ok(Outcome::AlreadyApplied)
        }
        CacheEntry::Loading { .. } | CacheEntry::Active { .. } => {
            Ok(gone(region, EvictReason::Restart))
        }
        CacheEntry::Cancelled { queued, .. }
        | CacheEntry::EvictPending { queued, .. }
        | CacheEntry::Evicting { queued, .. } => {
            Ok(gone_with(register, region, EvictReason::Restart, queued))
        }
    }
}

fn gone(region: RegionId, reason: EvictReason) -> Outcome {
    Outcome::accept(Change::CacheGone {
        region,
        reason,
        queued: QueuedLoadFate::None,
    })
}

fn gone_with(
    register: &Register,
    region: RegionId,
    reason: EvictReason,
    queued: Option<QueuedLoad>,
) -> Outcome {
    let mut effects = released(register, region);
    let queued = match queued.map(|load| (load, fate(register, region, load))) {
        None => QueuedLoadFate::None,
        Some((_, None)) if waits_for(register, region, None) => {
            let change = Change::CacheGoneLoadWaits { region, reason };
            return Outcome::accept_with(change, effects);
        }
        Some((load, None)) => {
            effects.push(start(region, load.incarnation));
            QueuedLoadFate::Starts
        }
        Some((_, Some(reason))) => QueuedLoadFate::Dropped(reason),
    };
    let change = Change::CacheGone {
        region,
        reason,
        queued,
    };
    Outcome::accept_with(change, effects)
}

/// Whether memory of other regions than `region` (and `ended`) that holds some of its keys is on its way
/// out.
pub(in crate::lifecycle) fn waits_for(
    register: &Register,
    region: RegionId,
    ended: Option<RegionId>,
) -> bool {
    let described = register.peer(region).and_then(|peer| peer.stage.region());
    described.is_some_and(|described| {
        let mut others = register
            .retiring()
            .filter(|(other, _)| *other != region && Some(*other) != ended);
        others.any(|(_, range)| range.overlaps(&described.range))
    })
}

/// The loads of other regions that wait for the end of this eviction, and for nothing else.
fn released(register: &Register, ended: RegionId) -> Vec<Planned> {
    let Some((_, range)) = register.retiring().find(|(region, _)| *region == ended) else {
        return Vec::new();
    };
    let waiting = register
        .tenants(range)
        .into_iter()
        .filter(|(region, incarnation)| {
            let incarnation = *incarnation;
            register.cache(*region) == CacheEntry::LoadQueued { incarnation }
                && !waits_for(register, *region, Some(ended))
        });
    waiting
        .map(|(region, incarnation)| start(region, incarnation))
        .collect()
}

/// What has to be recorded before a split that is accepted: a load of the whole that has not begun is
/// dropped, and says so.
pub(super) fn dropped_by_split(register: &Register, region: RegionId) -> Option<Event> {
    match register.cache(region) {
        CacheEntry::LoadRequested { incarnation } | CacheEntry::LoadQueued { incarnation } => {
            Some(Event::LoadCancel {
                region,
                incarnation,
                reason: EvictReason::SplitBeforeLoad,
            })
        }
        CacheEntry::Absent
        | CacheEntry::Loading { .. }
        | CacheEntry::Active { .. }
        | CacheEntry::Cancelled { .. }
        | CacheEntry::EvictPending { .. }
        | CacheEntry::Evicting { .. } => None,
    }
}

/// Why a queued load makes no sense any more; none if it still does.
fn fate(register: &Register, region: RegionId, load: QueuedLoad) -> Option<DropReason> {
    if register.incarnation(region) != Some(load.incarnation) {
        return Some(DropReason::IncarnationGone);
    }
    match register.serving(region, load.incarnation) {
        None => Some(DropReason::NotServing),
        Some(normal) if normal.region.epoch.version != load.version => {
            Some(DropReason::RangeChanged)
        }
        Some(_) => None,
    }
}
