//! Loads that wait for the evictions of other regions, whose memory still holds some of their keys.

use super::world::{World, at, epoch, region, split};
use crate::lifecycle::{
    CacheState, Change, Derive, Effect, Event, EvictReason, Outcome, Refusal, preceding,
};
use crate::{Incarnation, RegionId};

fn load(world: &World, id: u64) -> Event {
    let description = world.description(id);
    Event::LoadRequest {
        region: RegionId(id),
        incarnation: world.incarnation(id),
        epoch: description.epoch,
    }
}

fn begin(world: &World, id: u64) -> Event {
    Event::LoadBegin {
        region: RegionId(id),
        incarnation: world.incarnation(id),
    }
}

fn end(world: &World, id: u64) -> Event {
    Event::LoadEnd {
        region: RegionId(id),
        incarnation: world.incarnation(id),
    }
}

fn activate(world: &mut World, id: u64) {
    for event in [load(world, id), begin(world, id), end(world, id)] {
        world.accept(&event);
    }
}

fn free(world: &mut World, id: u64) {
    let region = RegionId(id);
    world.accept(&Event::EvictBegin { region });
    world.accept(&Event::EvictEnd { region });
}

fn state(world: &World, id: u64) -> CacheState {
    world.register.cache_state(RegionId(id))
}

fn start(id: u64, incarnation: Incarnation) -> Effect {
    let region = RegionId(id);
    Effect::StartLoad {
        region,
        incarnation,
    }
}

/// Region 1 was split into itself, 2 and 3 while its load was under way.
fn split_while_loading() -> World {
    let mut world = World::bootstrapped("", "");
    for event in [load(&world, 1), begin(&world, 1)] {
        world.accept(&event);
    }
    world.accept(&split(1, epoch(1, 1), 6, "g", 2, Derive::Left));
    world.accept(&split(2, epoch(1, 2), 6, "t", 3, Derive::Left));
    assert_eq!(state(&world, 1), CacheState::Cancelled);
    world
}

#[test]
fn several_loads_wait_for_the_one_eviction_that_holds_their_keys() {
    let mut world = split_while_loading();
    for id in [2, 3] {
        world.accept(&load(&world, id));
        assert_eq!(state(&world, id), CacheState::LoadQueued);
        let refused = world.ask(&begin(&world, id));
        assert!(matches!(
            refused,
            Outcome::Refused(Refusal::CacheState { .. })
        ));
    }
    world.accept(&load(&world, 1));
    world.effects.clear();
    free(&mut world, 1);
    let expected = [2, 3, 1].map(|id| start(id, world.incarnation(id)));
    assert_eq!(world.effects, expected);
    for id in [1, 2, 3] {
        world.accept(&begin(&world, id));
        assert_eq!(state(&world, id), CacheState::Loading);
    }
    assert_eq!(world.register.retiring().count(), 0);
}

/// Region 2 was merged into region 1, both were active.
fn merged_while_active() -> World {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    activate(&mut world, 1);
    activate(&mut world, 2);
    world.accept(&Event::PrepareMerge {
        region: RegionId(2),
        incarnation: None,
        epoch: epoch(1, 2),
        position: at(7),
        target: world.description(1),
        min_index: 6,
    });
    world.accept(&Event::CommitMerge {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 2),
        position: at(8),
        source: region(2, "m", "", (2, 3)),
        commit: 7,
    });
    world
}

#[test]
fn one_load_waits_for_every_eviction_that_holds_its_keys() {
    for own_first in [true, false] {
        let mut world = merged_while_active();
        world.accept(&load(&world, 1));
        world.effects.clear();
        if own_first {
            free(&mut world, 1);
            let reason = EvictReason::Merge;
            let region = RegionId(1);
            let expected = Change::CacheGoneLoadWaits { region, reason };
            assert_eq!(*world.last_change(), expected);
            assert_eq!(state(&world, 1), CacheState::LoadQueued);
            assert_eq!(world.effects, []);
            free(&mut world, 2);
            assert_eq!(state(&world, 1), CacheState::LoadQueued);
        } else {
            free(&mut world, 2);
            assert_eq!(world.effects, []);
            free(&mut world, 1);
        }
        assert_eq!(world.effects, [start(1, world.incarnation(1))]);
        world.accept(&begin(&world, 1));
        assert_eq!(state(&world, 1), CacheState::Loading);
    }
}

#[test]
fn memory_on_its_way_out_keeps_its_keys_through_later_splits() {
    let mut world = World::bootstrapped("", "");
    activate(&mut world, 1);
    let (region, reason) = (RegionId(1), EvictReason::Requested);
    world.accept(&Event::Evict { region, reason });
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    world.accept(&load(&world, 2));
    assert_eq!(state(&world, 2), CacheState::LoadQueued);
    // What lies beside it waits for nothing.
    let range = world.register.retiring().map(|(_, range)| range.clone());
    assert_eq!(range.collect::<Vec<_>>(), [crate::KeyRange::all()]);
}

#[test]
fn a_restart_ends_what_a_load_waits_for_and_not_the_load() {
    let mut world = split_while_loading();
    world.accept(&load(&world, 3));
    for id in [3, 1] {
        let _answer = world.ask(&Event::CacheLost {
            region: RegionId(id),
        });
    }
    assert_eq!(state(&world, 3), CacheState::LoadQueued);
    assert_eq!(state(&world, 1), CacheState::Absent);
    world.accept(&begin(&world, 3));
}

#[test]
fn a_split_drops_a_load_that_has_not_begun_with_a_record_of_its_own() {
    let mut requested = World::bootstrapped("", "");
    requested.accept(&load(&requested, 1));
    let mut queued = split_while_loading();
    queued.accept(&load(&queued, 3));
    for (mut world, id, event) in [
        (requested, 1, split(1, epoch(1, 1), 6, "m", 9, Derive::Left)),
        (queued, 3, split(3, epoch(1, 3), 6, "w", 9, Derive::Left)),
    ] {
        let first = preceding(&world.register, &event).unwrap();
        world.accept(&first);
        let Change::CacheGone { region, reason, .. } = world.last_change() else {
            panic!("{:?}", world.last_change());
        };
        assert_eq!(
            (*region, *reason),
            (RegionId(id), EvictReason::SplitBeforeLoad)
        );
        assert_eq!(preceding(&world.register, &event), None);
        world.accept(&event);
        assert_eq!(state(&world, id), CacheState::Absent);
    }
}
