//! What may never be: of one state, and of two states with an event between them.
//!
//! No law asks what a guard would say; each looks at what came of an event. An accepted event must break
//! none, and each guard that is taken out must let some event break one. Not here: durability and
//! recovery, which are about what is seen and not about what is decided (`store`).

use torrens::lifecycle::{CacheState, Event, Mode};
use torrens::{DestroyCause, Incarnation, KeyRange, Region, RegionEpoch, RegionId};

use super::picture::{Holds, Picture, Seen};

/// A law that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// `apply` refused what was decided.
    Apply,
    /// The published state went back.
    Durability,
    /// Two own one key, or what one holds is cleared for another.
    Overlap,
    /// An epoch went back while its incarnation lived, or grew though nothing changed.
    Epoch,
    /// The index of the metadata went back while its incarnation lived.
    Index,
    /// A creation appeared that was not new, or out of nothing.
    Resurrected,
    /// A peer lives at or below what is buried, or a tombstone sank.
    Tombstone,
    /// A peer went, and nobody who may had asked for it.
    Unasked,
    /// Late work of a creation that is gone changed something.
    Late,
    /// An entry had its effect at another epoch than it was proposed at: replicas differ.
    Diverged,
    /// A merge joins what does not meet, or ends otherwise than its entries say.
    Merge,
    /// A region in flashback changed.
    Flashback,
    /// A description is not valid, or not of this peer.
    Description,
    /// Data is served, or relied on, that is not there.
    Data,
    /// Something ended that was not begun, or was begun again before it ended.
    Unbegun,
    /// A store is another, or has peers and no id.
    Identity,
    /// An operation did not end with recovery.
    Unfinished,
    /// The cache is not of the region that is seen, or its memory is used twice.
    Cache,
}

impl Breach {
    /// The law, as a property that always holds.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Breach::Apply => "what was decided applies",
            Breach::Durability => "nothing is visible before it is durable",
            Breach::Overlap => "ranges are disjoint",
            Breach::Epoch => "epochs never go back, nor grow for nothing",
            Breach::Index => "indexes never go back",
            Breach::Resurrected => "no incarnation is resurrected",
            Breach::Tombstone => "tombstones fence",
            Breach::Unasked => "a peer goes on newer word only",
            Breach::Late => "late work of a gone creation changes nothing",
            Breach::Diverged => "an entry has its effect at its own epoch only",
            Breach::Merge => "a merge joins neighbours and ends by its own entries",
            Breach::Flashback => "a region in flashback stands still",
            Breach::Description => "descriptions are valid and the peer's",
            Breach::Data => "what is served is there",
            Breach::Unbegun => "what ends was begun, once",
            Breach::Identity => "a store stays itself",
            Breach::Unfinished => "what was begun ends with recovery",
            Breach::Cache => "the cache is of the region that is seen",
        }
    }
}

/// The first law that the event broke.
pub(crate) fn broken(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    let laws = [
        identity, late, fenced, asked, appeared, disjoint, epochs, indexes, agreed, merges,
        flashback, described, data, begun, caches,
    ];
    laws.into_iter().find_map(|law| law(before, event, after))
}

fn when(is_broken: bool, breach: Breach) -> Option<Breach> {
    is_broken.then_some(breach)
}

/// Peers that lived before and after.
fn living<'a>(
    before: &'a Picture,
    after: &'a Picture,
) -> impl Iterator<Item = (RegionId, &'a Seen, &'a Seen)> {
    let both = before.regions.iter();
    both.filter_map(|(id, old)| {
        let new = after.regions.get(id)?;
        (new.incarnation == old.incarnation).then_some((*id, old, new))
    })
}

fn identity(before: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
    let is_other = before.store.is_some() && before.store != after.store;
    let is_nobody = after.store.is_none_or(|store| store.0 == 0);
    when(
        is_other || (is_nobody && !(after.regions.is_empty() && after.buried.is_empty())),
        Breach::Identity,
    )
}

/// The creation that the event names.
fn named(event: &Event) -> Option<(RegionId, Incarnation)> {
    let region = event.region()?;
    let incarnation = match event {
        Event::ReserveSnapshot { incarnation, .. }
        | Event::ReleaseSnapshot { incarnation, .. }
        | Event::InstallWitness { incarnation, .. }
        | Event::BeginSnapshot { incarnation, .. }
        | Event::EndSnapshot { incarnation, .. }
        | Event::AbortSnapshot { incarnation, .. }
        | Event::Damage { incarnation, .. }
        | Event::LoadRequest { incarnation, .. }
        | Event::LoadBegin { incarnation, .. }
        | Event::LoadEnd { incarnation, .. }
        | Event::LoadCancel { incarnation, .. } => *incarnation,
        Event::Destroy { incarnation, .. } => (*incarnation)?,
        _ => return None,
    };
    Some((region, incarnation))
}

fn late(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    let (region, given) = named(event)?;
    let live = before.regions.get(&region).map(|seen| seen.incarnation);
    let changed = before.regions.get(&region) != after.regions.get(&region)
        || before.caches.get(&region) != after.caches.get(&region);
    when(live != Some(given) && changed, Breach::Late)
}

fn fenced(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    for (region, seen) in &after.regions {
        let fence = before.buried.get(region).max(after.buried.get(region));
        if fence.is_some_and(|fence| *fence >= seen.peer) {
            return Some(Breach::Tombstone);
        }
    }
    for (region, fence) in &before.buried {
        let now = after.buried.get(region);
        let on_word = matches!(event, Event::CollectTombstone { region: of, highest_peer }
            if of == region && highest_peer >= fence);
        if now.is_none_or(|now| now < fence) && !on_word {
            return Some(Breach::Tombstone);
        }
    }
    None
}

/// Whether the event may end the peer of a region.
fn may_end(event: &Event, region: RegionId, seen: &Seen) -> bool {
    match event {
        Event::Destroy {
            region: of,
            peer,
            cause,
            ..
        } => {
            let word = match cause {
                DestroyCause::Removed { epoch } => seen.epoch().is_stale_against(*epoch),
                DestroyCause::LargerPeer { peer } => *peer > seen.peer,
                DestroyCause::Operator | DestroyCause::Merged { .. } => true,
            };
            *of == region && *peer == seen.peer && word
        }
        Event::ChangePeers { region: of, .. } | Event::EnterJoint { region: of, .. } => {
            *of == region
        }
        Event::CommitMerge { source, .. } => source.id == region,
        Event::BeginSnapshot { region: into, .. } | Event::InstallWitness { region: into, .. } => {
            *into != region
        }
        // Adopted: the same replica, which had no description.
        Event::Split(split) => split.children.iter().any(|child| {
            let same = child.peers.iter().any(|peer| peer.id == seen.peer);
            child.id == region && same && seen.holds == Holds::Nothing
        }),
        Event::AbandonBootstrap { region: of } => *of == region && seen.mode == Mode::Unconfirmed,
        _ => false,
    }
}

fn asked(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    let mut gone = before.regions.iter().filter(|(region, seen)| {
        let now = after.regions.get(region).map(|now| now.incarnation);
        now != Some(seen.incarnation)
    });
    let unasked = gone.any(|(region, seen)| !may_end(event, *region, seen));
    when(unasked, Breach::Unasked)
}

/// Something that is new is made by what makes regions.
fn appeared(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    let makes = |region: &RegionId| match event {
        Event::Bootstrap { region: made, .. }
        | Event::PrepareBootstrap { region: made, .. }
        | Event::RecoverRegion { region: made } => made.id == *region,
        Event::CreateByMessage { region: made, .. } => made == region,
        Event::Split(split) => split.children.iter().any(|child| child.id == *region),
        _ => false,
    };
    let is_first = matches!(
        event,
        Event::Bootstrap { .. } | Event::PrepareBootstrap { .. }
    );
    let has_history = !(before.regions.is_empty() && before.buried.is_empty());
    let mut new = after
        .regions
        .keys()
        .filter(|id| !before.regions.contains_key(id));
    when(
        new.any(|id| !makes(id) || id.0 == 0 || (is_first && has_history)),
        Breach::Resurrected,
    )
}

fn disjoint(_: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
    let peers = after.regions.values().filter_map(Seen::range);
    let reserved = after.reserved.values().flatten();
    let all: Vec<&KeyRange> = peers.chain(&after.clearing).chain(reserved).collect();
    for (at, one) in all.iter().enumerate() {
        if all.iter().skip(at + 1).any(|other| one.overlaps(other)) {
            return Some(Breach::Overlap);
        }
    }
    let holders = after
        .regions
        .values()
        .filter(|seen| matches!(seen.holds, Holds::Incoming(_) | Holds::Data | Holds::Lost));
    let cleared = holders.filter_map(Seen::range).any(|range| {
        let mut cleared = after.cleared_below.iter();
        cleared.any(|clears| clears.overlaps(range))
    });
    when(cleared, Breach::Overlap)
}

/// A first snapshot that is given up takes its description with it.
fn is_given_up(old: &Seen, new: &Seen) -> bool {
    matches!((old.holds, new.holds), (Holds::Incoming(_), Holds::Nothing))
}

fn epochs(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    let is_snapshot = matches!(
        event,
        Event::BeginSnapshot { .. } | Event::InstallWitness { .. }
    );
    for (_, old, new) in living(before, after) {
        let (was, is) = (old.epoch(), new.epoch());
        if is.is_stale_against(was) && !is_given_up(old, new) {
            return Some(Breach::Epoch);
        }
        let (Some(a), Some(b)) = (&old.description, &new.description) else {
            continue;
        };
        let moved = a.range != b.range || old.mode != new.mode;
        let idle = (is.version > was.version && !moved)
            || (is.conf_ver > was.conf_ver && a.peers == b.peers && old.mode == new.mode);
        if idle && !is_snapshot {
            return Some(Breach::Epoch);
        }
    }
    None
}

fn indexes(before: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
    let back = living(before, after).any(|(_, old, new)| {
        let covered = old.index.max(old.floor.index);
        let replaced = matches!(new.holds, Holds::Incoming(_)) && old.holds != new.holds;
        let needed = if replaced { covered } else { old.index };
        new.index < needed && !is_given_up(old, new)
    });
    when(back, Breach::Index)
}

/// Every replica applies an entry to the same region, or refuses it: the epoch that it was proposed at is
/// what they share.
fn agreed(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    event.position()?;
    let region = event.region()?;
    let old = before.regions.get(&region)?;
    if after.regions.get(&region) == Some(old) || old.description.is_none() {
        return None;
    }
    // What damages its target instead of moving it is not applied.
    let moved = after
        .regions
        .get(&region)
        .is_none_or(|new| new.index != old.index);
    let was = old.epoch();
    let proposed = match event {
        Event::Split(split) => split.epoch,
        Event::PrepareMerge { epoch, .. }
        | Event::CommitMerge { epoch, .. }
        | Event::RollbackMerge { epoch, .. }
        | Event::BeginFlashback { epoch, .. }
        | Event::EndFlashback { epoch, .. } => *epoch,
        Event::ChangePeers { epoch, .. }
        | Event::EnterJoint { epoch, .. }
        | Event::LeaveJoint { epoch, .. }
        | Event::SwitchWitness { epoch, .. } => RegionEpoch {
            conf_ver: epoch.conf_ver,
            ..was
        },
        _ => return None,
    };
    when(moved && proposed != was, Breach::Diverged)
}

fn seats(region: &Region) -> Vec<(u64, bool)> {
    let seat = |peer: &torrens::Peer| (peer.store.0, peer.is_witness);
    let mut seats: Vec<_> = region.peers.iter().map(seat).collect();
    seats.sort_unstable();
    seats
}

fn merges(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    for (region, old, new) in living(before, after) {
        let replaced = matches!(
            event,
            Event::BeginSnapshot { .. } | Event::InstallWitness { .. }
        );
        match (old.mode, new.mode) {
            (Mode::Merging(merge), Mode::Merging(now)) => {
                if merge != now || old.description != new.description {
                    return Some(Breach::Merge);
                }
            }
            (Mode::Merging(merge), _) => {
                let by_entry = matches!(event, Event::RollbackMerge { region: of, commit, .. }
                    if *of == region && *commit == merge.commit);
                // A damaged source keeps its merge elsewhere.
                if !(by_entry || replaced || new.holds == Holds::Lost) {
                    return Some(Breach::Merge);
                }
            }
            (_, Mode::Merging(merge)) => {
                let Event::PrepareMerge { target, .. } = event else {
                    return Some(Breach::Merge);
                };
                let ours = new.description.as_ref()?;
                let fits = ours.range.join(&target.range).is_some()
                    && ours.id != target.id
                    && seats(ours) == seats(target)
                    && !ours.is_joint()
                    && !target.is_joint()
                    && (1..=merge.commit).contains(&merge.min_index);
                if !fits {
                    return Some(Breach::Merge);
                }
            }
            _ => {}
        }
    }
    let Event::CommitMerge {
        region,
        source,
        commit,
        ..
    } = event
    else {
        return None;
    };
    let (old, new) = (before.regions.get(region)?, after.regions.get(region)?);
    if old.range() == new.range() {
        return None;
    }
    let Some(taken) = before.regions.get(&source.id) else {
        return Some(Breach::Data);
    };
    let prepared =
        matches!(taken.mode, Mode::Merging(m) if m.target == *region && m.commit == *commit);
    when(
        !prepared || taken.description.as_ref() != Some(source),
        Breach::Merge,
    )
}

fn flashback(before: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
    let moved = living(before, after).any(|(_, old, new)| {
        let stays = old.mode == Mode::Flashback && new.mode == Mode::Flashback;
        stays && old.description != new.description
            || old.mode == Mode::Flashback && matches!(new.mode, Mode::Merging(_))
    });
    when(moved, Breach::Flashback)
}

fn described(_: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
    let store = after.store?;
    let wrong = after.regions.iter().any(|(id, seen)| {
        if seen.peer.0 == 0 {
            return true;
        }
        let Some(description) = &seen.description else {
            return false;
        };
        let own = description.peer_on(store);
        let is_witness = seen.holds == Holds::Witness;
        description.id != *id
            || description.validate().is_err()
            || own.is_none_or(|own| own.id != seen.peer || own.is_witness != is_witness)
    });
    when(wrong, Breach::Description)
}

fn data(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    let relies = |seen: &Seen| seen.holds == Holds::Data && seen.floor.barrier > 0;
    let is_new = before.generation.is_some() && before.generation != after.generation;
    if is_new && before.regions.values().any(relies) {
        return Some(Breach::Data);
    }
    for (_, old, new) in living(before, after) {
        if new.holds == Holds::Data && old.holds != Holds::Data {
            let Event::EndSnapshot { floor, .. } = event else {
                return Some(Breach::Data);
            };
            let Holds::Incoming(index) = old.holds else {
                return Some(Breach::Unbegun);
            };
            if floor.index != index || floor.barrier > before.barrier {
                return Some(Breach::Data);
            }
        }
        // Whoever has no data goes on by a snapshot only.
        let is_without = matches!(old.holds, Holds::Lost | Holds::Waiting | Holds::Nothing);
        let by_snapshot = matches!(
            event,
            Event::BeginSnapshot { .. } | Event::InstallWitness { .. }
        );
        let moved = old.description != new.description || old.mode != new.mode;
        if is_without && moved && !by_snapshot {
            return Some(Breach::Data);
        }
    }
    // A part has what the whole had.
    if let Event::Split(split) = event {
        let whole = before.regions.get(&split.region);
        let has = whole.is_some_and(|seen| matches!(seen.holds, Holds::Data | Holds::Witness));
        let born = |id: &RegionId| {
            let was = before.regions.get(id).map(|seen| seen.incarnation);
            let is = after.regions.get(id).map(|seen| seen.incarnation);
            is.is_some() && was != is
        };
        if !has && split.children.iter().any(|child| born(&child.id)) {
            return Some(Breach::Data);
        }
    }
    // Nothing moves while the bootstrap is not confirmed.
    let unsure = living(before, after).any(|(_, old, new)| {
        old.mode == Mode::Unconfirmed
            && new.mode == Mode::Unconfirmed
            && old.description != new.description
            || old.mode == Mode::Unconfirmed
                && !matches!(event, Event::ConfirmBootstrap { .. })
                && (new.mode, &new.description) != (old.mode, &old.description)
    });
    when(unsure, Breach::Unbegun)
}

fn begun(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    if let Event::FinishDeletion { deletion } = event {
        return when(!before.deletions.contains(deletion), Breach::Unbegun);
    }
    for (_, old, new) in living(before, after) {
        let Holds::Incoming(_) = old.holds else {
            let ends = matches!(
                event,
                Event::AbortSnapshot { .. } | Event::EndSnapshot { .. }
            );
            if ends && old != new {
                return Some(Breach::Unbegun);
            }
            continue;
        };
        let ends = matches!(
            event,
            Event::AbortSnapshot { .. } | Event::EndSnapshot { .. }
        );
        if old != new && !ends {
            return Some(Breach::Unbegun);
        }
    }
    None
}

fn caches(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    for (region, (state, whose)) in &after.caches {
        let was = before.caches.get(region);
        let (was, _) = was.copied().unwrap_or((CacheState::Absent, None));
        let seen = after.regions.get(region);
        let held = match state {
            CacheState::Absent => continue,
            CacheState::Cancelled | CacheState::EvictPending | CacheState::Evicting => {
                // An eviction has memory to let go; readers let go of it first.
                let from = matches!(was, CacheState::Loading | CacheState::Active);
                let skips = *state == CacheState::Evicting && from;
                let cancels = *state == CacheState::Cancelled && was == CacheState::Active;
                if skips || cancels || !(from || was.is_leaving()) {
                    return Some(Breach::Cache);
                }
                continue;
            }
            CacheState::LoadRequested | CacheState::LoadQueued => false,
            CacheState::Loading | CacheState::Active => true,
        };
        let serves = seen.is_some_and(|seen| {
            seen.holds == Holds::Data
                && seen.mode == Mode::Serving
                && Some(seen.incarnation) == *whose
        });
        // Memory that is on its way out does not come back, and only what was filled serves.
        let back = held && was.is_leaving();
        let is_shared = matches!(event, Event::Split(_));
        let unfilled = *state == CacheState::Active
            && !(is_shared || matches!(was, CacheState::Loading | CacheState::Active));
        let unasked = *state == CacheState::Loading && was == CacheState::Absent;
        let mut leaving = after.retiring.iter();
        let twice = held
            && leaving.any(|(other, range)| {
                let own = seen.and_then(Seen::range);
                other != region && own.is_some_and(|own| own.overlaps(range))
            });
        if !serves || back || unfilled || unasked || twice {
            return Some(Breach::Cache);
        }
    }
    // Memory goes by an eviction that has come to its end, or with the process.
    for (region, (was, _)) in &before.caches {
        let is = after
            .caches
            .get(region)
            .map_or(CacheState::Absent, |(is, _)| *is);
        let ends = matches!(event, Event::EvictEnd { region: of } if of == region);
        if ends
            && is == CacheState::Absent
            && !matches!(was, CacheState::Evicting | CacheState::Absent)
        {
            return Some(Breach::Cache);
        }
    }
    None
}
