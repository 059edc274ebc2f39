//! What data and memory may never be: served without being there, begun twice, used twice.

use torrens::RegionId;
use torrens::lifecycle::{CacheState, Event, Mode};

use super::{Breach, living, when};
use crate::model::picture::{Holds, Picture, Seen};

pub(super) fn data(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
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

pub(super) fn begun(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
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

pub(super) fn caches(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
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
