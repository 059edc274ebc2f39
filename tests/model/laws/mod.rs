//! What may never be: of one state, and of two states with an event between them.
//!
//! No law asks what a guard would say; each looks at what came of an event. An accepted event must break
//! none, and each guard that is taken out must let some event break one. Not here: durability and
//! recovery, which are about what is seen and not about what is decided (`store`). `entries`: merges, modes,
//! descriptions. `content`: data and memory.

mod content;
mod entries;

use torrens::lifecycle::{Event, Mode};
use torrens::{DestroyCause, Incarnation, KeyRange, RegionEpoch, RegionId};

use self::content::{begun, caches, data};
use self::entries::{described, flashback, merges};
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
