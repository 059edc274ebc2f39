//! What merges, flashbacks and descriptions may never be.

use torrens::Region;
use torrens::lifecycle::{Event, Mode};

use super::{Breach, living, when};
use crate::model::picture::{Holds, Picture};

fn seats(region: &Region) -> Vec<(u64, bool)> {
    let seat = |peer: &torrens::Peer| (peer.store.0, peer.is_witness);
    let mut seats: Vec<_> = region.peers.iter().map(seat).collect();
    seats.sort_unstable();
    seats
}

pub(super) fn merges(before: &Picture, event: &Event, after: &Picture) -> Option<Breach> {
    for (region, old, new) in living(before, after) {
        let replaced = matches!(
            event,
            Event::BeginSnapshot { .. } | Event::InstallWitness { .. }
        );
        match (old.mode, new.mode) {
            (Mode::Merging(merge), Mode::Merging(now))
                if merge == now && old.description == new.description => {}
            (Mode::Merging(_), Mode::Merging(_)) => return Some(Breach::Merge),
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

pub(super) fn flashback(before: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
    let moved = living(before, after).any(|(_, old, new)| {
        let stays = old.mode == Mode::Flashback && new.mode == Mode::Flashback;
        stays && old.description != new.description
            || old.mode == Mode::Flashback && matches!(new.mode, Mode::Merging(_))
    });
    when(moved, Breach::Flashback)
}

pub(super) fn described(_: &Picture, _: &Event, after: &Picture) -> Option<Breach> {
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
