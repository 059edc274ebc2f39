//! The sequences of events that broke other systems.

use super::cache_table;
use super::world::{STORE, World, at, epoch, key, range, region, snapshot, split, word};
use crate::lifecycle::{
    AbortReason, CacheState, Change, ChildFate, DamageReason, DeletionCause, Derive, DestroyCause,
    Effect, Event, EvictReason, Floor, FloorUpdate, NewRegion, OpenOperation, Outcome, PeerStage,
    Refusal, SkipReason, Split, SplitChild,
};
use crate::{Incarnation, PeerId, RegionId, StoreId};

fn fate(world: &World, child: u64) -> ChildFate {
    let Change::RegionSplit { children, .. } = world.last_change() else {
        panic!("the last record is no split");
    };
    let fate = |found: &SplitChild| (found.id == RegionId(child)).then_some(found.fate);
    children.iter().find_map(fate).unwrap()
}

fn destroy(id: u64) -> Event {
    Event::Destroy {
        region: RegionId(id),
        incarnation: None,
        peer: PeerId(10 * id + 1),
        cause: DestroyCause::Operator,
    }
}

#[test]
fn a_load_behind_an_eviction_is_neither_lost_nor_a_panic() {
    let mut world = cache_table::world("evicting");
    let incarnation = world.incarnation(1);
    let request = Event::LoadRequest {
        region: RegionId(1),
        incarnation,
        epoch: epoch(1, 1),
    };
    world.accept(&request);
    assert_eq!(world.ask(&request), Outcome::AlreadyApplied);
    world.effects.clear();
    world.accept(&Event::EvictEnd {
        region: RegionId(1),
    });
    assert!(matches!(world.effects[..], [Effect::StartLoad { .. }]));
}

#[test]
fn a_snapshot_evicts_the_cache_so_a_later_split_meets_no_stale_one() {
    let mut world = cache_table::world("active");
    world.accept(&world.begin(region(1, "", "", (1, 222)), 30));
    assert_eq!(
        world.register.cache_state(RegionId(1)),
        CacheState::EvictPending
    );
    world.end(1, 30);
    // The split of the version before is refused with the region as it is.
    let stale = split(1, epoch(1, 221), 31, "m", 2, Derive::Left);
    let Outcome::Refused(Refusal::EpochStale { current, .. }) = world.ask(&stale) else {
        panic!("the epoch is stale");
    };
    assert_eq!(current[0].epoch, epoch(1, 222));
    world.accept(&split(1, epoch(1, 222), 31, "m", 2, Derive::Left));
    assert_eq!(world.description(2).epoch, epoch(1, 223));
    assert_eq!(world.register.cache_state(RegionId(2)), CacheState::Absent);
}

#[test]
fn a_split_adopts_the_peer_that_a_message_made_and_late_work_for_it_is_refused() {
    let mut world = World::bootstrapped("", "");
    let first = world.create(2);
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    assert_eq!(fate(&world, 2), ChildFate::Adopted { predecessor: first });
    let second = world.incarnation(2);
    assert!(second > first);
    let peer = world.register.peer(RegionId(2)).unwrap();
    assert_eq!(*peer.predecessor, Some(first));
    // Destroyed at once; the snapshot that was queued for the first one is handled last.
    world.accept(&destroy(2));
    world.finish_deletions();
    for incarnation in [first, second] {
        let late = Event::BeginSnapshot {
            region: RegionId(2),
            incarnation,
            description: region(2, "m", "", (1, 2)),
            snapshot: snapshot(9),
            sources: Vec::new(),
        };
        assert_eq!(word(&world.ask(&late)), "incarnation-gone");
    }
    assert_eq!(world.register.owner_of(b"z"), None);
    assert_eq!(world.register.owner_of(b"a"), Some(RegionId(1)));
}

/// Every order of: a message makes the child's peer, its snapshot begins, its snapshot ends, the
/// parent's split, the parent shrinks by a snapshot, the child is destroyed, a deletion finishes.
#[test]
fn every_order_of_creation_split_snapshot_and_destroy_keeps_every_invariant() {
    const STEPS: usize = 7;
    let mut orders = 0;
    let mut order = Vec::new();
    fn walk(world: &World, order: &mut Vec<usize>, orders: &mut u64) {
        if order.len() == STEPS {
            *orders += 1;
            return;
        }
        for next in 0..STEPS {
            if order.contains(&next) {
                continue;
            }
            let mut world = world.clone();
            let child = world.register.incarnation(RegionId(2));
            let any = Incarnation::new(torrens_journal::Lsn::new(1));
            let own = world.incarnation(1);
            let barrier = world.register.barrier();
            let event = match next {
                0 => Event::CreateByMessage {
                    region: RegionId(2),
                    peer: PeerId(21),
                    from_store: StoreId(2),
                    message_epoch: epoch(1, 2),
                },
                1 => Event::BeginSnapshot {
                    region: RegionId(2),
                    incarnation: child.unwrap_or(any),
                    description: region(2, "m", "", (1, 2)),
                    snapshot: snapshot(9),
                    sources: Vec::new(),
                },
                2 => Event::EndSnapshot {
                    region: RegionId(2),
                    incarnation: child.unwrap_or(any),
                    floor: Floor { index: 9, barrier },
                },
                3 => split(1, epoch(1, 1), 6, "m", 2, Derive::Left),
                4 => Event::BeginSnapshot {
                    region: RegionId(1),
                    incarnation: own,
                    description: region(1, "", "m", (1, 2)),
                    snapshot: snapshot(8),
                    sources: Vec::new(),
                },
                5 => destroy(2),
                _ => {
                    let pending = world.register.deletions().next().map(|(id, _)| id);
                    match pending {
                        Some(deletion) => Event::FinishDeletion { deletion },
                        None => Event::Identify { store: STORE },
                    }
                }
            };
            // `ask` checks every invariant.
            let before = world.register.clone();
            let outcome = world.ask(&event);
            if !matches!(outcome, Outcome::Accepted(_)) {
                assert_eq!(world.register, before);
            }
            // Region 1 keeps the keys below `m` whatever happens to the others.
            assert_eq!(world.register.owner_of(b"a"), Some(RegionId(1)));
            order.push(next);
            walk(&world, order, orders);
            order.pop();
        }
    }
    let mut world = World::bootstrapped("", "");
    world.barrier();
    walk(&world, &mut order, &mut orders);
    assert_eq!(orders, 5040);
}

#[test]
fn a_split_skips_a_child_that_came_or_went_first_and_clears_its_part() {
    // Tombstoned.
    let mut world = World::bootstrapped("", "");
    world.create(2);
    world.accept(&destroy(2));
    world.effects.clear();
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    let reason = SkipReason::Tombstoned {
        highest_peer: PeerId(21),
    };
    assert_eq!(fate(&world, 2), ChildFate::Skipped { reason });
    assert_eq!(world.register.peer(RegionId(2)), None);
    let (deletion, pending) = world.register.deletions().next().unwrap();
    assert_eq!(pending.range, range("m", ""));
    let cause = DeletionCause::SplitSkipped {
        region: RegionId(2),
    };
    assert_eq!(pending.cause, cause);
    let clear = Effect::ClearRange {
        deletion,
        range: range("m", ""),
    };
    assert_eq!(world.effects, [clear]);

    // Another replica, younger or older, lives here without a description.
    for live in [20, 25] {
        let mut world = World::bootstrapped("", "");
        world.accept(&Event::CreateByMessage {
            region: RegionId(2),
            peer: PeerId(live),
            from_store: StoreId(2),
            message_epoch: epoch(2, 2),
        });
        world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
        let peer = PeerId(live);
        let reason = SkipReason::OtherPeer { peer };
        assert_eq!(fate(&world, 2), ChildFate::Skipped { reason });
        // Its snapshot waits until the part is cleared.
        let mut description = region(2, "m", "", (2, 2));
        description.peers[0].id = peer;
        let begin = world.begin(description, 9);
        assert_eq!(word(&world.ask(&begin)), "range-busy");
        world.finish_deletions();
        world.accept(&begin);
    }

    // The very peer lives here with keys elsewhere: a newer snapshot moved it.
    let mut world = World::bootstrapped("", "t");
    world.create(2);
    world.accept(&world.begin(region(2, "t", "", (3, 5)), 40));
    let incarnation = world.incarnation(2);
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    let reason = SkipReason::Initialized { incarnation };
    assert_eq!(fate(&world, 2), ChildFate::Skipped { reason });
    assert_eq!(world.description(2), region(2, "t", "", (3, 5)));
}

#[test]
fn deletions_of_one_record_are_numbered_in_key_order() {
    let mut world = World::bootstrapped("", "");
    for id in [2, 4] {
        world.create(id);
        world.accept(&destroy(id));
    }
    world.effects.clear();
    let child = |id| NewRegion {
        id: RegionId(id),
        peers: region(id, "", "", (1, 1)).peers,
    };
    let lsn = world.accept(&Event::Split(Split {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(6),
        boundaries: vec![key("d"), key("m"), key("t")],
        children: vec![child(2), child(3), child(4)],
        derive: Derive::Right,
    }));
    let found: Vec<_> = world
        .register
        .deletions()
        .map(|(id, pending)| (id.lsn, id.ordinal, pending.range.clone()))
        .collect();
    assert_eq!(found, [(lsn, 0, range("", "d")), (lsn, 1, range("m", "t"))]);
    let cleared: Vec<_> = world
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::ClearRange { deletion, range } => {
                (deletion.lsn, deletion.ordinal, range.clone())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(cleared, found);
}

#[test]
fn a_peer_without_description_is_refused_for_all_that_needs_one() {
    let mut world = World::bootstrapped("", "m");
    let incarnation = world.create(2);
    let before = world.register.clone();
    let load = Event::LoadRequest {
        region: RegionId(2),
        incarnation,
        epoch: epoch(1, 1),
    };
    assert_eq!(word(&world.ask(&load)), "peer-uninitialized");
    let read = world.register.admit_read(RegionId(2), epoch(1, 1));
    assert_eq!(read.unwrap_err().code(), "peer-uninitialized");
    assert_eq!(world.register, before);
}

#[test]
fn a_smaller_snapshot_leaves_what_it_does_not_cover_to_a_deletion() {
    let mut world = World::bootstrapped("b", "y");
    let incarnation = world.incarnation(1);
    world.accept(&world.begin(region(1, "f", "p", (1, 3)), 20));
    let left: Vec<_> = world.register.deletions().map(|(_, d)| d.clone()).collect();
    let cause = DeletionCause::SnapshotShrank {
        region: RegionId(1),
        incarnation,
    };
    assert_eq!(left.len(), 2);
    for (pending, expected) in left.iter().zip([range("b", "f"), range("p", "y")]) {
        assert_eq!((&pending.range, pending.cause), (&expected, cause));
    }
    // The keys that it left are not free before they are cleared, not even for the region itself.
    world.end(1, 20);
    let grow = world.begin(region(1, "b", "p", (1, 4)), 30);
    assert_eq!(word(&world.ask(&grow)), "range-busy");
    world.finish_deletions();
    world.accept(&grow);
}

#[test]
fn an_aborted_snapshot_leaves_a_peer_without_data_empty_and_any_other_damaged() {
    let abort = |world: &World, id| Event::AbortSnapshot {
        region: RegionId(id),
        incarnation: world.incarnation(id),
        reason: AbortReason::StagedFileLost,
    };
    let mut world = World::bootstrapped("", "m");
    let incarnation = world.create(2);
    world.accept(&world.begin(region(2, "m", "", (1, 2)), 9));
    world.accept(&abort(&world, 2));
    let peer = world.register.peer(RegionId(2)).unwrap();
    assert_eq!(peer.stage, PeerStage::Uninitialized);
    assert_eq!(peer.incarnation, incarnation);
    // What may be half in is cleared before anyone moves in.
    let (_, pending) = world.register.deletions().next().unwrap();
    assert_eq!(pending.range, range("m", ""));
    let again = world.begin(region(2, "m", "", (1, 2)), 9);
    assert_eq!(word(&world.ask(&again)), "range-busy");

    world.accept(&world.begin(region(1, "", "k", (1, 2)), 9));
    world.accept(&abort(&world, 1));
    let PeerStage::Damaged(damaged) = &world.register.peer(RegionId(1)).unwrap().stage else {
        panic!("region 1 had data");
    };
    let reason = AbortReason::StagedFileLost;
    assert_eq!(damaged.reason, DamageReason::SnapshotLost { reason });
    assert_eq!(*damaged.region, region(1, "", "k", (1, 2)));
    // Healed by the same snapshot sent again, not by an older one.
    let older = world.begin(region(1, "", "k", (1, 2)), 8);
    assert_eq!(word(&world.ask(&older)), "snapshot-stale");
    let same = world.begin(region(1, "", "k", (1, 2)), 9);
    world.accept(&same);
    world.end(1, 9);
}

#[test]
fn a_destroy_while_a_snapshot_is_applied_leaves_all_of_its_keys_to_deletions() {
    let mut world = World::bootstrapped("b", "y");
    world.accept(&world.begin(region(1, "", "p", (1, 3)), 20));
    world.accept(&destroy(1));
    let owned: Vec<_> = world.register.owners().map(|(range, _)| range).collect();
    assert_eq!(owned, [range("", "p"), range("p", "y")]);
    let end = Event::EndSnapshot {
        region: RegionId(1),
        incarnation: Incarnation::new(torrens_journal::Lsn::new(2)),
        floor: Floor {
            index: 20,
            barrier: 0,
        },
    };
    assert_eq!(word(&world.ask(&end)), "incarnation-gone");
    world.finish_deletions();
    assert_eq!(world.register.owners().count(), 0);
}

#[test]
fn floors_are_raised_by_barriers_inherited_by_children_and_never_lowered() {
    let mut world = World::bootstrapped("", "");
    let incarnation = world.incarnation(1);
    let floor = |index| FloorUpdate {
        region: RegionId(1),
        incarnation,
        index,
    };
    let other = FloorUpdate {
        incarnation: Incarnation::new(torrens_journal::Lsn::new(1)),
        ..floor(90)
    };
    let floors = vec![floor(8), floor(20), floor(9), other];
    world.accept(&Event::Barrier { number: 4, floors });
    let held = |world: &World, id| {
        let admitted = world
            .register
            .admit_read(RegionId(id), world.description(id).epoch);
        admitted.unwrap().floor
    };
    let raised = Floor {
        index: 20,
        barrier: 4,
    };
    assert_eq!(held(&world, 1), raised);
    let floors = vec![floor(19)];
    world.accept(&Event::Barrier { number: 5, floors });
    assert_eq!(held(&world, 1), raised);
    world.accept(&split(1, epoch(1, 1), 21, "m", 2, Derive::Left));
    let inherited = Floor {
        index: 5,
        barrier: 4,
    };
    assert_eq!((held(&world, 1), held(&world, 2)), (raised, inherited));
}

#[test]
fn what_a_crash_leaves_open_is_listed_until_it_ended() {
    let mut world = cache_table::world("active");
    let incarnation = world.incarnation(1);
    assert!(matches!(
        world.register.open_operations()[..],
        [OpenOperation::Cache {
            state: CacheState::Active,
            ..
        }]
    ));
    let begun = world.accept(&world.begin(region(1, "", "m", (1, 2)), 20));
    let open = world.register.open_operations();
    let [apply, deletion, cache] = &open[..] else {
        panic!("{open:?}");
    };
    assert_eq!(
        *apply,
        OpenOperation::SnapshotApply {
            region: RegionId(1),
            incarnation,
            snapshot: snapshot(20),
            begun,
        }
    );
    assert!(matches!(deletion, OpenOperation::Deletion { .. }));
    assert_eq!(
        *cache,
        OpenOperation::Cache {
            region: RegionId(1),
            incarnation,
            state: CacheState::EvictPending,
        }
    );
    world.end(1, 20);
    world.finish_deletions();
    world.accept(&Event::CacheLost {
        region: RegionId(1),
    });
    assert_eq!(world.register.open_operations(), []);
}

#[test]
fn the_cache_of_a_gone_peer_goes_on_leaving_and_the_next_peer_waits_behind_it() {
    let mut world = cache_table::world("active");
    world.accept(&destroy(1));
    world.finish_deletions();
    world.accept(&Event::CreateByMessage {
        region: RegionId(1),
        peer: PeerId(31),
        from_store: StoreId(2),
        message_epoch: epoch(3, 1),
    });
    let mut description = region(1, "", "", (3, 1));
    description.peers[0].id = PeerId(31);
    world.accept(&world.begin(description, 20));
    world.end(1, 20);
    let incarnation = world.incarnation(1);
    world.accept(&Event::LoadRequest {
        region: RegionId(1),
        incarnation,
        epoch: epoch(3, 1),
    });
    assert_eq!(
        word(&world.ask(&Event::Evict {
            region: RegionId(1),
            reason: EvictReason::MemoryLimit
        })),
        "cache.unqueue"
    );
    world.accept(&Event::LoadRequest {
        region: RegionId(1),
        incarnation,
        epoch: epoch(3, 1),
    });
    world.accept(&Event::EvictBegin {
        region: RegionId(1),
    });
    world.effects.clear();
    world.accept(&Event::EvictEnd {
        region: RegionId(1),
    });
    let start = Effect::StartLoad {
        region: RegionId(1),
        incarnation,
    };
    assert_eq!(world.effects, [start]);
}
