//! Merge, witnesses, flashback and a bootstrap that loses, as a host sees them.

use torrens::lifecycle::{DamageReason, Mode};
use torrens::{
    Answer, CacheState, DestroyCause, Engine, Peer, PeerId, ReadError, Refusal, Region,
    RegionEpoch, RegionId, Tombstone, WaitReason, WitnessSwitch, WriteAnswer,
};

use crate::support::*;

const TARGET: RegionId = RegionId(1);
const SOURCE: RegionId = RegionId(2);

/// Regions 1 `.. m` and 2 `m ..`, both written to.
fn siblings(engine: &Engine) {
    bootstrap(engine).unwrap();
    written(engine.write(TARGET, EPOCH, at(6), &puts(&["apple", "melon"], "whole"))).unwrap();
    split_at_m(engine).unwrap();
    let batch = puts(&["nut"], "part");
    written(engine.write(SOURCE, epoch(engine, 2), at(6), &batch)).unwrap();
    engine.wait_idle().unwrap();
}

fn described(engine: &Engine, region: u64) -> Region {
    let status = engine.region(RegionId(region)).unwrap();
    (*status.region.unwrap()).clone()
}

fn prepare(engine: &Engine, index: u64, min_index: u64) {
    let (target, known) = (described(engine, 1), epoch(engine, 2));
    holds(engine.prepare_merge(SOURCE, known, at(index), target, min_index)).unwrap();
}

fn commit(engine: &Engine, source: Region, index: u64, attempt: u64) -> Answer {
    let known = epoch(engine, 1);
    let answer = engine.commit_merge(TARGET, known, at(index), source, attempt);
    answer.unwrap()
}

#[test]
fn a_merged_region_serves_the_data_of_both_at_once_and_after_a_restart() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    let old_view = engine.view(SOURCE, epoch(&engine, 2)).unwrap();
    prepare(&engine, 7, 7);
    let source = described(&engine, 2);
    let write = engine.write(SOURCE, source.epoch, at(8), &puts(&["nut"], "late"));
    let Ok(WriteAnswer::Refused(Refusal::RegionMerging { target, .. })) = write else {
        panic!("{write:?}");
    };
    assert_eq!(target, TARGET);
    // The last write of either may be the newer one: the merged region reads all of both.
    holds(Ok(commit(&engine, source, 8, 7))).unwrap();
    let view = engine.view(TARGET, epoch(&engine, 1)).unwrap();
    for (key, value) in [("apple", "whole"), ("melon", "whole"), ("nut", "part")] {
        let found = view.get(key.as_bytes()).unwrap().unwrap();
        assert_eq!(&*found, value.as_bytes(), "{key}");
    }
    // A view of what is no region any more ends; nobody could stop it later.
    assert!(matches!(
        old_view.get(b"nut"),
        Err(ReadError::ViewEnded { .. })
    ));
    assert_eq!(engine.region(SOURCE), None);
    let [(buried, tombstone)] = engine.tombstones()[..] else {
        panic!("{:?}", engine.tombstones());
    };
    assert_eq!((buried, tombstone.merge_target()), (SOURCE, Some(TARGET)));
    drop((view, old_view));
    let expected = rows(&engine);
    written(engine.write(TARGET, epoch(&engine, 1), at(9), &puts(&["zebra"], "new"))).unwrap();
    engine.close().unwrap();
    let (engine, report) = world.open().unwrap();
    assert_eq!(report.damaged, []);
    let mut reopened = rows(&engine);
    assert_eq!(
        reopened.remove(&(TARGET, b"zebra".to_vec())).unwrap(),
        b"new"
    );
    assert_eq!(reopened, expected);
    let collected = engine.collect_tombstones(&[(SOURCE, tombstone.highest_peer)]);
    assert!(collected.unwrap().iter().all(Answer::holds));
    assert_eq!(engine.tombstones(), Vec::<(RegionId, Tombstone)>::new());
    engine.close().unwrap();
}

#[test]
fn a_commit_waits_for_the_source_and_the_sources_log_is_kept_until_then() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    let mut source = described(&engine, 2);
    source.epoch.version += 1;
    source.epoch.conf_ver += 1;
    let waits = commit(&engine, source.clone(), 8, 9);
    assert!(matches!(
        waits,
        Answer::Wait(WaitReason::SourceBehind { needs: 9, .. })
    ));
    assert!(!waits.holds());
    written(engine.write(SOURCE, epoch(&engine, 2), at(8), &puts(&["nut"], "more"))).unwrap();
    engine.flush().unwrap();
    assert_eq!(engine.truncate_floor(SOURCE).unwrap(), 8);
    prepare(&engine, 9, 4);
    assert_eq!(engine.truncate_floor(SOURCE).unwrap(), 3);
    holds(Ok(commit(&engine, source, 8, 9))).unwrap();
    engine.close().unwrap();
}

#[test]
fn a_rolled_back_merge_serves_again_with_what_it_had() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    let before = rows(&engine);
    holds(engine.load(SOURCE, epoch(&engine, 2))).unwrap();
    engine.wait_idle().unwrap();
    prepare(&engine, 7, 7);
    engine.wait_idle().unwrap();
    let status = engine.region(SOURCE).unwrap();
    assert_eq!(status.cache, CacheState::Absent);
    assert!(matches!(status.mode, Mode::Merging(_)));
    let other = engine.rollback_merge(SOURCE, epoch(&engine, 2), at(8), 6);
    assert!(matches!(
        other,
        Ok(Answer::Refused(Refusal::OtherMerge { .. }))
    ));
    holds(engine.rollback_merge(SOURCE, epoch(&engine, 2), at(8), 7)).unwrap();
    assert_eq!(rows(&engine), before);
    engine.close().unwrap();
}

#[test]
fn a_target_whose_source_is_lost_is_damaged_and_says_so() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    let mut source = described(&engine, 2);
    source.epoch.version += 1;
    source.epoch.conf_ver += 1;
    destroy(&engine, 2, 20).unwrap();
    let lost = DamageReason::MergeSourceLost { source: SOURCE };
    for _ in 0..2 {
        let answer = commit(&engine, source.clone(), 8, 7);
        let Answer::Refused(Refusal::RegionDamaged { reason, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(reason, lost);
    }
    let start = engine.raft_start(TARGET).unwrap();
    assert!(start.damaged && start.needs_snapshot);
    assert_eq!(start.status.meta, Some(at(7)), "the index did not move");
    engine.close().unwrap();
    let (engine, _) = world.open().unwrap();
    assert_eq!(engine.region(TARGET).unwrap().stage, "damaged");
    engine.close().unwrap();
}

#[test]
fn a_witness_holds_no_data_and_waits_for_it_when_it_is_none_any_more() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    let switch = |witness| {
        let peer = PeerId(20);
        vec![WitnessSwitch { peer, witness }]
    };
    holds(engine.switch_witness(SOURCE, epoch(&engine, 2), at(7), switch(true))).unwrap();
    engine.wait_idle().unwrap();
    let keys: Vec<_> = rows(&engine).into_keys().map(|(_, key)| key).collect();
    assert_eq!(keys, [b"apple"]);
    let view = engine.view(SOURCE, epoch(&engine, 2));
    let Err(ReadError::Refused(refusal)) = view else {
        panic!("{view:?}");
    };
    assert_eq!(refusal.code(), "peer-is-witness");
    engine.close().unwrap();
    // Nothing is missing of a peer that holds nothing.
    let (engine, report) = world.open().unwrap();
    assert_eq!(report.damaged, []);
    holds(engine.switch_witness(SOURCE, epoch(&engine, 2), at(8), switch(false))).unwrap();
    let start = engine.raft_start(SOURCE).unwrap();
    assert!(start.needs_snapshot && !start.damaged);
    assert_eq!(start.status.stage, "waiting-for-data");
    engine.close().unwrap();
}

#[test]
fn a_witness_is_installed_without_a_file() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    destroy(&engine, 2, 20).unwrap();
    engine.wait_idle().unwrap();
    let from = torrens::StoreId(5);
    holds(engine.create_peer(SOURCE, PeerId(29), from, RegionEpoch::NONE)).unwrap();
    let description = Region {
        id: SOURCE,
        range: torrens::KeyRange::new(key("m"), None::<torrens::Key>).unwrap(),
        epoch: RegionEpoch {
            conf_ver: 4,
            version: 2,
        },
        peers: vec![Peer::voter(PeerId(29), STORE).as_witness(), peer(28, 5)],
    };
    let created = incarnation(&engine, 2);
    for _ in 0..2 {
        let installed = engine.install_witness(SOURCE, created, description.clone(), at(9));
        holds(installed).unwrap();
    }
    assert_eq!(engine.region(SOURCE).unwrap().stage, "witness");
    engine.close().unwrap();
}

#[test]
fn only_whoever_sets_a_region_back_reads_and_writes_it_meanwhile() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    siblings(&engine);
    let known = epoch(&engine, 1);
    let early = engine.write_in_flashback(TARGET, known, at(8), &puts(&["apple"], "x"));
    assert!(matches!(
        early,
        Ok(WriteAnswer::Refused(Refusal::NotInFlashback { .. }))
    ));
    holds(engine.begin_flashback(TARGET, known, at(8))).unwrap();
    let write = engine.write(TARGET, known, at(9), &puts(&["apple"], "x"));
    assert!(matches!(
        write,
        Ok(WriteAnswer::Refused(Refusal::RegionInFlashback { .. }))
    ));
    assert!(engine.view(TARGET, known).is_err());
    written(engine.write_in_flashback(TARGET, known, at(9), &puts(&["apple"], "back"))).unwrap();
    let view = engine.view_in_flashback(TARGET, known).unwrap();
    assert_eq!(&*view.get(b"apple").unwrap().unwrap(), b"back");
    drop(view);
    holds(engine.end_flashback(TARGET, known, at(10))).unwrap();
    let view = engine.view(TARGET, known).unwrap();
    assert_eq!(&*view.get(b"apple").unwrap().unwrap(), b"back");
    drop(view);
    engine.close().unwrap();
}

#[test]
fn a_prepared_bootstrap_is_found_after_a_crash_and_leaves_nothing_when_it_lost() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    let region = Region {
        id: TARGET,
        range: torrens::KeyRange::all(),
        epoch: EPOCH,
        peers: vec![peer(10, STORE.0)],
    };
    holds(engine.prepare_bootstrap(region.clone())).unwrap();
    drop(engine);
    let (engine, _) = world.open().unwrap();
    assert_eq!(engine.prepared_bootstrap(), Some(TARGET));
    holds(engine.abandon_bootstrap(TARGET)).unwrap();
    engine.wait_idle().unwrap();
    assert_eq!(engine.prepared_bootstrap(), None);
    assert_eq!(engine.regions(), []);
    assert_eq!(engine.tombstones(), []);
    // It joins the cluster like any other store.
    let from = torrens::StoreId(5);
    holds(engine.create_peer(TARGET, PeerId(12), from, EPOCH)).unwrap();
    let region_id = TARGET;
    let gone = engine.destroy(
        region_id,
        RegionEpoch::NONE,
        None,
        PeerId(12),
        DestroyCause::Merged { target: SOURCE },
    );
    holds(gone).unwrap();
    assert_eq!(engine.tombstones()[0].1.merge_target(), Some(SOURCE));
    engine.close().unwrap();
}
