//! Merge and flashback, with epochs as TiKV has them, and every way in which source and target can be
//! apart on one store.

use super::world::{World, at, epoch, range, region, split, word};
use crate::lifecycle::{
    AbortReason, CacheEntry, CacheState, Change, DamageReason, DeletionCause, Derive, DestroyCause,
    Effect, Event, EvictReason, Floor, FloorUpdate, Mode, Outcome, PeerStage, Refusal,
    TombstoneCause, WaitReason,
};
use crate::{PeerId, Region, RegionId};

/// Regions 1 `.. m` and 2 `m ..` at version 2, which a split made.
fn siblings() -> World {
    let mut world = World::bootstrapped("", "");
    world.accept(&split(1, epoch(1, 1), 6, "m", 2, Derive::Left));
    world
}

fn prepare(world: &World, source: u64, target: u64, index: u64) -> Event {
    Event::PrepareMerge {
        region: RegionId(source),
        incarnation: None,
        epoch: world.description(source).epoch,
        position: at(index),
        target: world.description(target),
        min_index: index - 1,
    }
}

fn commit(world: &World, target: u64, source: Region, index: u64, attempt: u64) -> Event {
    Event::CommitMerge {
        region: RegionId(target),
        incarnation: None,
        epoch: world.description(target).epoch,
        position: at(index),
        source,
        commit: attempt,
    }
}

fn rollback(world: &World, source: u64, index: u64, attempt: u64) -> Event {
    Event::RollbackMerge {
        region: RegionId(source),
        incarnation: None,
        epoch: world.description(source).epoch,
        position: at(index),
        commit: attempt,
    }
}

/// As the entry that prepares the merge leaves it.
fn prepared(world: &World, source: u64) -> Region {
    let mut source = world.description(source);
    source.epoch.version += 1;
    source.epoch.conf_ver += 1;
    source
}

#[test]
fn two_fresh_siblings_merge_to_the_epochs_that_tikv_has() {
    for (target, source, joined) in [(1, 2, ("", "")), (2, 1, ("", ""))] {
        let mut world = siblings();
        assert_eq!(world.description(source).epoch, epoch(1, 2));
        let target_incarnation = world.incarnation(target);
        world.accept(&prepare(&world, source, target, 7));
        assert_eq!(world.description(source).epoch, epoch(2, 3));
        let described = world.description(source);
        let event = commit(&world, target, described, 8, 7);
        world.accept(&event);
        // Version: the larger of both and one more; conf_ver stays the target's.
        assert_eq!(world.description(target).epoch, epoch(1, 4));
        assert_eq!(
            world.description(target).range,
            range(joined.0, joined.1),
            "joined from either side"
        );
        assert_eq!(world.incarnation(target), target_incarnation);
        let tombstone = world.register.tombstone(RegionId(source)).unwrap();
        assert_eq!(tombstone.epoch, epoch(2, 3));
        assert_eq!(tombstone.merge_target(), Some(RegionId(target)));
        assert_eq!(tombstone.cause.as_str(), "merged");
        assert_eq!(world.register.peer(RegionId(source)), None);
        // Not a key is cleared.
        assert_eq!(world.register.deletions().count(), 0);
        for key in [&b"a"[..], b"m", b"z"] {
            assert_eq!(world.register.owner_of(key), Some(RegionId(target)));
        }
        assert_eq!(world.ask(&event), Outcome::AlreadyApplied);
        // The source's history has the record too.
        let last = world.register.last_lsn();
        assert_eq!(world.register.last_record(RegionId(source)), Some(last));
    }
}

#[test]
fn a_merge_that_is_rolled_back_keeps_the_conf_ver_of_its_prepare() {
    let mut world = siblings();
    world.accept(&prepare(&world, 2, 1, 7));
    let Some(PeerStage::Normal(normal)) = world.register.peer(RegionId(2)).map(|p| &p.stage) else {
        panic!("a source keeps its data");
    };
    let Mode::Merging(source) = *normal.mode else {
        panic!("{:?}", normal.mode);
    };
    assert_eq!((source.commit, source.min_index), (7, 6));
    // Another attempt's rollback is ignored.
    let other = rollback(&world, 2, 8, 5);
    assert!(matches!(
        world.ask(&other),
        Outcome::Refused(Refusal::OtherMerge {
            given: 5,
            current: 7,
            ..
        })
    ));
    world.accept(&rollback(&world, 2, 8, 7));
    assert_eq!(world.description(2).epoch, epoch(2, 4));
    assert!(world.register.admit_write(RegionId(2), epoch(2, 4)).is_ok());
    // What the target still hears of it is a contradiction: the source went on.
    let mut source = world.description(2);
    source.epoch = epoch(2, 3);
    assert_eq!(
        word(&world.ask(&commit(&world, 1, source, 9, 7))),
        "merge-source-mismatch"
    );
}

#[test]
fn a_source_serves_nothing_and_takes_nothing_but_the_end_of_its_merge() {
    let mut world = siblings();
    world.accept(&prepare(&world, 2, 1, 7));
    let current = world.description(2).epoch;
    for admitted in [
        world.register.admit_read(RegionId(2), current),
        world.register.admit_write(RegionId(2), current),
    ] {
        assert_eq!(admitted.unwrap_err().code(), "region-merging");
    }
    let again = prepare(&world, 2, 1, 8);
    assert_eq!(word(&world.ask(&again)), "region-merging");
    let into = prepare(&world, 1, 2, 8);
    let mut wrong = commit(&world, 2, prepared(&world, 1), 9, 8);
    assert_eq!(word(&world.ask(&wrong)), "region-merging");
    // Its data is trusted and relied on all the same.
    world.accept(&Event::Barrier {
        number: 1,
        floors: vec![FloorUpdate {
            region: RegionId(2),
            incarnation: world.incarnation(2),
            index: 9,
        }],
    });
    assert_eq!(
        word(&world.ask(&Event::NewDataStore {
            generation: [1; 16]
        })),
        "data-store-in-use"
    );
    // The other may be prepared too: which log commits is Raft's affair.
    world.accept(&into);
    wrong = commit(&world, 1, world.description(2), 10, 7);
    assert_eq!(word(&world.ask(&wrong)), "region-merging");
}

#[test]
fn a_target_waits_for_a_source_that_is_behind() {
    let mut world = siblings();
    let source = prepared(&world, 2);
    let event = commit(&world, 1, source, 8, 7);
    let waits = WaitReason::SourceBehind {
        source_region: RegionId(2),
        needs: 7,
        has: 5,
    };
    assert_eq!(world.ask(&event), Outcome::Wait(waits));
    // An earlier attempt that was not rolled back here yet is behind, too.
    world.accept(&prepare(&world, 2, 1, 6));
    assert!(matches!(
        world.ask(&event),
        Outcome::Wait(WaitReason::SourceBehind { has: 6, .. })
    ));
    let mut world = siblings();
    world.accept(&prepare(&world, 2, 1, 7));
    world.accept(&event);
}

#[test]
fn a_target_waits_for_a_snapshot_of_its_source() {
    let mut world = siblings();
    let source = prepared(&world, 2);
    let event = commit(&world, 1, source, 8, 7);
    world.accept(&world.begin(region(2, "m", "", (1, 2)), 6));
    let waits = WaitReason::SourceApplying {
        source_region: RegionId(2),
    };
    assert_eq!(world.ask(&event), Outcome::Wait(waits));
}

/// A name, and what happens to a source.
type Way<'a> = (&'a str, &'a dyn Fn(&mut World));

#[test]
fn a_source_whose_data_is_not_here_damages_the_target_whose_index_does_not_move() {
    let gone = |world: &mut World| {
        world.accept(&Event::Destroy {
            region: RegionId(2),
            incarnation: None,
            peer: PeerId(21),
            cause: DestroyCause::Operator,
        });
    };
    let uninitialized = |world: &mut World| {
        gone(world);
        world.accept(&Event::CreateByMessage {
            region: RegionId(2),
            peer: PeerId(29),
            from_store: crate::StoreId(2),
            message_epoch: epoch(1, 2),
        });
    };
    let damaged = |world: &mut World| {
        world.accept(&Event::Damage {
            region: RegionId(2),
            incarnation: world.incarnation(2),
            reason: DamageReason::StoreReplaced,
        });
    };
    let ways: [Way<'_>; 3] = [
        ("gone", &gone),
        ("uninitialized", &uninitialized),
        ("damaged", &damaged),
    ];
    for (name, way) in ways {
        let mut world = siblings();
        let source = prepared(&world, 2);
        let before = world.description(1);
        let event = commit(&world, 1, source, 8, 7);
        way(&mut world);
        world.accept(&event);
        let Some(PeerStage::Damaged(target)) = world.register.peer(RegionId(1)).map(|p| &p.stage)
        else {
            panic!("{name}");
        };
        let lost = DamageReason::MergeSourceLost {
            source: RegionId(2),
        };
        assert_eq!(target.reason, lost, "{name}");
        assert_eq!(*target.region, before, "{name}");
        assert_eq!(target.meta_index, at(6), "{name}");
        assert_eq!(word(&world.ask(&event)), "region-damaged", "{name}");
    }
}

#[test]
fn a_snapshot_of_the_merged_region_ends_the_sources_that_it_covers_in_its_begin() {
    let mut world = siblings();
    world.accept(&prepare(&world, 2, 1, 7));
    // The target's log was cut; the leader sends the merged region instead, and it was split since.
    let event = world.begin(region(1, "", "t", (1, 5)), 20);
    let lsn = world.accept(&event);
    assert_eq!(world.last_change().kind_name(), "snapshot.begin-merged");
    let tombstone = world.register.tombstone(RegionId(2)).unwrap();
    let target = RegionId(1);
    assert_eq!(tombstone.cause, TombstoneCause::Merged { target });
    // What the snapshot does not cover of the source is cleared; the rest is the target's.
    let (id, pending) = world.register.deletions().next().unwrap();
    assert_eq!((id.lsn, &pending.range), (lsn, &range("t", "")));
    assert!(matches!(
        pending.cause,
        DeletionCause::Destroyed { region, .. } if region == RegionId(2)
    ));
    assert_eq!(world.register.owner_of(b"n"), Some(target));
    assert!(world.effects.iter().any(|effect| matches!(
        effect,
        Effect::ClearRange { deletion, .. } if *deletion == id
    )));
    world.end(1, 20);
}

#[test]
fn a_source_that_did_not_hear_of_the_merge_ends_only_on_the_callers_word() {
    let mut world = siblings();
    let Event::BeginSnapshot {
        region: id,
        incarnation,
        snapshot,
        ..
    } = world.begin(region(1, "", "", (1, 5)), 20)
    else {
        unreachable!()
    };
    let begin = |version, sources: &[u64]| Event::BeginSnapshot {
        region: id,
        incarnation,
        description: region(1, "", "", (1, version)),
        snapshot,
        sources: sources.iter().copied().map(RegionId).collect(),
    };
    assert_eq!(word(&world.ask(&begin(5, &[]))), "range-overlap");
    assert_eq!(word(&world.ask(&begin(5, &[7]))), "range-overlap");
    // Not newer than the source itself: no merge can have led there.
    assert_eq!(word(&world.ask(&begin(2, &[2]))), "range-overlap");
    world.accept(&begin(5, &[2]));
    assert_eq!(word(&world.ask(&begin(5, &[2]))), "already");
    // Given up, the target is damaged; the source does not come back.
    world.accept(&Event::AbortSnapshot {
        region: id,
        incarnation,
        reason: AbortReason::StagedFileLost,
    });
    assert_eq!(world.register.peer(RegionId(2)), None);
    assert_eq!(world.register.owner_of(b"z"), Some(id));
}

#[test]
fn a_damaged_source_still_ends_with_the_targets_snapshot() {
    let mut world = siblings();
    world.accept(&prepare(&world, 2, 1, 7));
    for id in [1, 2] {
        world.accept(&Event::Damage {
            region: RegionId(id),
            incarnation: world.incarnation(id),
            reason: DamageReason::StoreReplaced,
        });
    }
    world.accept(&world.begin(region(1, "", "", (1, 4)), 9));
    world.end(1, 9);
    assert_eq!(world.register.peer(RegionId(2)), None);
}

#[test]
fn floors_and_caches_of_both_go_where_the_data_goes() {
    let mut world = siblings();
    for id in [1, 2] {
        let (region, incarnation) = (RegionId(id), world.incarnation(id));
        let epoch = world.description(id).epoch;
        world.accept(&Event::LoadRequest {
            region,
            incarnation,
            epoch,
        });
        world.accept(&Event::LoadBegin {
            region,
            incarnation,
        });
        world.accept(&Event::LoadEnd {
            region,
            incarnation,
        });
    }
    let floor = |world: &World, id, index| FloorUpdate {
        region: RegionId(id),
        incarnation: world.incarnation(id),
        index,
    };
    world.accept(&Event::Barrier {
        number: 3,
        floors: vec![floor(&world, 1, 6)],
    });
    world.accept(&Event::Barrier {
        number: 4,
        floors: vec![floor(&world, 2, 7)],
    });
    world.accept(&prepare(&world, 2, 1, 7));
    // A source serves nothing, so its cache goes at once; the target's does not cover what it gets.
    let state = |world: &World, id| world.register.cache_state(RegionId(id));
    assert_eq!(state(&world, 2), CacheState::EvictPending);
    assert_eq!(state(&world, 1), CacheState::Active);
    let described = world.description(2);
    world.accept(&commit(&world, 1, described, 8, 7));
    let CacheEntry::EvictPending { reason, .. } = world.register.cache(RegionId(1)) else {
        panic!("{:?}", world.register.cache(RegionId(1)));
    };
    assert_eq!(reason, EvictReason::Merge);
    let normal = world
        .register
        .normal(RegionId(1), world.incarnation(1))
        .unwrap();
    // The source's data relies on barrier 4.
    let expected = Floor {
        index: 6,
        barrier: 4,
    };
    assert_eq!(normal.floor, expected);
}

#[test]
fn merges_that_make_no_sense_are_refused() {
    let mut world = siblings();
    let far = region(5, "x", "z", (1, 2));
    let mut elsewhere = world.description(1);
    elsewhere.peers.pop();
    let mut witness = world.description(1);
    witness.peers[1].is_witness = true;
    let mut joint = world.description(1);
    joint.peers[1].role = crate::PeerRole::DemotingVoter;
    let itself = world.description(2);
    let mut broken = world.description(1);
    broken.peers.clear();
    for (target, expected) in [
        (far, "merge-invalid"),
        (elsewhere, "merge-invalid"),
        (witness, "merge-invalid"),
        (joint, "merge-invalid"),
        (itself, "merge-invalid"),
        (broken, "description-invalid"),
    ] {
        let Event::PrepareMerge { .. } = prepare(&world, 2, 1, 7) else {
            unreachable!()
        };
        let event = Event::PrepareMerge {
            region: RegionId(2),
            incarnation: None,
            epoch: epoch(1, 2),
            position: at(7),
            target: target.clone(),
            min_index: 6,
        };
        assert_eq!(word(&world.ask(&event)), expected, "{target:?}");
    }
    for (min_index, expected) in [
        (0, "merge-invalid"),
        (8, "merge-invalid"),
        (7, "region.merge-prepare"),
    ] {
        let event = Event::PrepareMerge {
            region: RegionId(2),
            incarnation: None,
            epoch: epoch(1, 2),
            position: at(7),
            target: world.description(1),
            min_index,
        };
        assert_eq!(word(&world.ask(&event)), expected, "{min_index}");
    }
}

#[test]
fn flashback_lets_in_nobody_but_who_sets_the_region_back() {
    let mut world = World::bootstrapped("", "");
    let begin = |index| Event::BeginFlashback {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(index),
    };
    let end = |index| Event::EndFlashback {
        region: RegionId(1),
        incarnation: None,
        epoch: epoch(1, 1),
        position: at(index),
    };
    let register = &world.register;
    let setting_back = register.admit_flashback(RegionId(1), epoch(1, 1));
    assert_eq!(setting_back.unwrap_err().code(), "flashback-none");
    world.accept(&begin(6));
    // Neither epoch moves; a second begin only moves the index.
    assert_eq!(world.description(1).epoch, epoch(1, 1));
    world.accept(&begin(7));
    let register = &world.register;
    let code = |admitted: Result<_, Refusal>| admitted.map(drop).map_err(|refusal| refusal.code());
    let refused = Err("region-in-flashback");
    assert_eq!(code(register.admit_read(RegionId(1), epoch(1, 1))), refused);
    assert_eq!(
        code(register.admit_write(RegionId(1), epoch(1, 1))),
        refused
    );
    assert_eq!(
        code(register.admit_flashback(RegionId(1), epoch(1, 1))),
        Ok(())
    );
    let stale = code(register.admit_flashback(RegionId(1), epoch(1, 0)));
    assert_eq!(stale, Err("epoch-stale"));
    world.accept(&end(8));
    world.accept(&end(9));
    assert_eq!(world.ask(&end(9)), Outcome::AlreadyApplied);
    let Change::FlashbackEnded { position, .. } = world.last_change() else {
        panic!("{:?}", world.last_change());
    };
    assert_eq!(*position, at(9));
    assert!(world.register.admit_read(RegionId(1), epoch(1, 1)).is_ok());
}

/// Regions 1 `.. m` and 2 `m ..` whose peers here are witnesses.
fn witnesses() -> World {
    let mut world = World::new();
    for (id, start, end) in [(1, "", "m"), (2, "m", "")] {
        let incarnation = world.create(id);
        world.accept(&Event::InstallWitness {
            region: RegionId(id),
            incarnation,
            description: witness(id, start, end, 2),
            position: at(6),
            sources: Vec::new(),
        });
    }
    world
}

fn witness(id: u64, start: &str, end: &str, version: u64) -> Region {
    let mut description = region(id, start, end, (1, version));
    description.peers[0].is_witness = true;
    description
}

#[test]
fn witnesses_merge_without_data_and_wait_where_the_source_is_not_here() {
    let mut world = witnesses();
    world.accept(&prepare(&world, 2, 1, 7));
    let described = world.description(2);
    let event = commit(&world, 1, described, 8, 7);
    let mut without = world.clone();
    world.accept(&event);
    assert_eq!(world.description(1).range, range("", ""));
    let stage = world.register.peer(RegionId(1)).unwrap().stage.name();
    assert_eq!(stage, "witness");

    without.accept(&Event::Destroy {
        region: RegionId(2),
        incarnation: None,
        peer: PeerId(21),
        cause: DestroyCause::Operator,
    });
    let waits = WaitReason::SourceMissing {
        source_region: RegionId(2),
    };
    assert_eq!(without.ask(&event), Outcome::Wait(waits));
    // The description of the merged region is the way on, once the source's keys are free.
    let install = Event::InstallWitness {
        region: RegionId(1),
        incarnation: without.incarnation(1),
        description: witness(1, "", "", 4),
        position: at(8),
        sources: Vec::new(),
    };
    assert_eq!(word(&without.ask(&install)), "range-busy");
    without.finish_deletions();
    without.accept(&install);
    assert_eq!(without.ask(&event), Outcome::AlreadyApplied);
}

#[test]
fn a_witness_of_the_merged_region_ends_the_sources_that_it_covers() {
    let mut world = witnesses();
    world.accept(&prepare(&world, 2, 1, 7));
    world.accept(&Event::InstallWitness {
        region: RegionId(1),
        incarnation: world.incarnation(1),
        description: witness(1, "", "t", 5),
        position: at(20),
        sources: Vec::new(),
    });
    let Change::WitnessInstalled { sources, .. } = world.last_change() else {
        panic!("{:?}", world.last_change());
    };
    assert_eq!(sources.len(), 1);
    let tombstone = world.register.tombstone(RegionId(2)).unwrap();
    assert_eq!(tombstone.merge_target(), Some(RegionId(1)));
    let pending: Vec<_> = world.register.deletions().collect();
    assert_eq!(pending.len(), 1, "nothing was held inside");
    assert_eq!(pending[0].1.range, range("t", ""));
}
