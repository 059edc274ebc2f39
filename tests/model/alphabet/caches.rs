//! Loads and evictions: beside a split and snapshots, and beside a merge.

use torrens::lifecycle::{Event, EvictReason};
use torrens::{RegionEpoch, RegionId};

use super::{CHILD, PARENT, creations, epoch, merges, peers, split};
use crate::model::store::Store;

pub(super) fn events(store: &Store, events: &mut Vec<Event>) {
    events.push(split(PARENT, epoch(1, 1), 8, "m", CHILD, 20));
    peers::arriving(store, true, events);
    for region in [PARENT, CHILD] {
        cache(store, region, events);
    }
}

/// Both regions are cached, and one is merged into the other, or not.
pub(super) fn merged(store: &Store, events: &mut Vec<Event>) {
    events.extend(merges::attempt());
    for region in [PARENT, CHILD] {
        cache(store, region, events);
    }
}

/// Everything that may be asked of a cache. A load names the version that the caller sees.
fn cache(store: &Store, region: RegionId, events: &mut Vec<Event>) {
    let seen = store.published.peer(region).map(|peer| peer.stage.epoch());
    for incarnation in creations(store, region) {
        events.push(Event::LoadRequest {
            region,
            incarnation,
            epoch: seen.unwrap_or(RegionEpoch::BOOTSTRAP),
        });
        events.push(Event::LoadBegin {
            region,
            incarnation,
        });
        events.push(Event::LoadEnd {
            region,
            incarnation,
        });
        events.push(Event::LoadCancel {
            region,
            incarnation,
            reason: EvictReason::LoadFailed,
        });
    }
    events.push(Event::Evict {
        region,
        reason: EvictReason::Requested,
    });
    events.push(Event::EvictBegin { region });
    events.push(Event::EvictEnd { region });
}
