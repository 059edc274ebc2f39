//! The register outlives the data: whatever becomes of the data store, the engine opens, its metadata
//! is exact, and a region whose data cannot be trusted says so instead of serving less than it held.

use std::sync::Arc;

use torrens::store::{Lost, SledFactory};
use torrens::{Answer, Engine, ReadError, Refusal, RegionEpoch, RegionId, WriteAnswer};
use torrens_journal::testing::CutChoice;

use crate::support::*;

fn write(engine: &Engine, region: u64, epoch: RegionEpoch, index: u64, names: &[&str]) {
    let batch = puts(names, "value");
    written(engine.write(RegionId(region), epoch, at(index), &batch)).unwrap();
}

/// A world whose region 1 (to "m") and region 2 (from "m") hold flushed data, region 2 also unflushed.
fn furnished() -> (World, Seen) {
    let world = World::new(3);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, EPOCH, 6, &["a", "z"]);
    split_at_m(&engine).unwrap();
    let epoch = epoch(&engine, 1);
    write(&engine, 1, epoch, 8, &["b"]);
    write(&engine, 2, epoch, 6, &["y"]);
    engine.flush().unwrap();
    write(&engine, 2, epoch, 7, &["x"]);
    let seen = Seen::of(&engine);
    drop(engine);
    (world, seen)
}

fn expect_damaged(world: &World, seen: &Seen, regions: &[u64]) {
    let (engine, report) = world.open().unwrap();
    let damaged: Vec<u64> = report.damaged.iter().map(|(region, _)| region.0).collect();
    assert_eq!(damaged, regions, "{report}");
    let now = Seen::of(&engine);
    for (region, (peer, stage, description)) in &seen.peers {
        let (peer_now, stage_now, description_now) = &now.peers[region];
        assert_eq!(
            (peer_now, description_now),
            (peer, description),
            "metadata is exact"
        );
        let expected = if regions.contains(&region.0) {
            "damaged"
        } else {
            *stage
        };
        assert_eq!(*stage_now, expected, "{region}");
    }
    for region in regions {
        let refused = engine
            .view(RegionId(*region), epoch(&engine, *region))
            .unwrap_err();
        assert!(
            matches!(refused, ReadError::Refused(Refusal::RegionDamaged { .. })),
            "{refused}"
        );
        let refused = engine
            .write(
                RegionId(*region),
                epoch(&engine, *region),
                at(99),
                &puts(&[], ""),
            )
            .unwrap();
        assert!(matches!(
            refused,
            WriteAnswer::Refused(Refusal::RegionDamaged { .. })
        ));
    }
    // And it stays so: the next opening finds a good store, and damage that is journaled.
    engine.close().unwrap();
    let (engine, report) = world.open().unwrap();
    assert!(
        report.damaged.is_empty(),
        "nothing new is damaged: {report}"
    );
    assert_eq!(Seen::of(&engine), now);
}

#[test]
fn an_empty_data_store_damages_every_region_that_had_durable_data() {
    let (world, seen) = furnished();
    let world = world.power_cut(CutChoice::KeepAll, Lost::Everything);
    expect_damaged(&world, &seen, &[1, 2]);
}

#[test]
fn an_older_data_store_damages_the_regions_that_it_is_too_old_for() {
    let world = World::new(3);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, EPOCH, 6, &["a"]);
    engine.flush().unwrap();
    let old = world.data.durable_image();
    write(&engine, 1, EPOCH, 7, &["b"]);
    engine.flush().unwrap();
    let seen = Seen::of(&engine);
    drop(engine);
    let world = world.power_cut(CutChoice::KeepAll, Lost::Since(old));
    expect_damaged(&world, &seen, &[1]);
}

#[test]
fn data_that_no_barrier_covered_is_asked_for_again_and_is_no_damage() {
    let (world, seen) = furnished();
    let world = world.power_cut(CutChoice::LoseAll, Lost::Unflushed);
    let (engine, report) = world.open().unwrap();
    assert!(report.damaged.is_empty(), "{report}");
    assert_eq!(Seen::of(&engine), seen);
    let start = engine.raft_start(RegionId(2)).unwrap();
    assert_eq!(
        (start.data.index, start.truncate_floor),
        (6, 6),
        "index 7 comes again"
    );
    assert_eq!(engine.raft_start(RegionId(1)).unwrap().data.index, 8);
}

#[test]
fn a_region_that_never_had_durable_data_is_not_damaged_by_a_new_store() {
    let world = World::new(3);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, EPOCH, 6, &["a"]);
    drop(engine);
    let world = world.power_cut(CutChoice::KeepAll, Lost::Everything);
    let (engine, report) = world.open().unwrap();
    assert!(report.damaged.is_empty(), "{report}");
    assert_eq!(
        engine.raft_start(RegionId(1)).unwrap().data.index,
        5,
        "the log comes from its start"
    );
}

#[test]
fn a_log_that_starts_above_the_gap_damages_the_region() {
    let (world, _) = furnished();
    let (engine, _) = world.open().unwrap();
    let incarnation = incarnation(&engine, 2);
    let start = engine.raft_start(RegionId(2)).unwrap();
    let next = start.data.index + 1;
    let fits = engine
        .report_log_start(RegionId(2), incarnation, next)
        .unwrap();
    assert!(
        fits.lsn().is_none(),
        "a log that joins on changes nothing: {fits:?}"
    );
    let gap = engine
        .report_log_start(RegionId(2), incarnation, next + 1)
        .unwrap();
    assert!(gap.lsn().is_some(), "{gap:?}");
    assert_eq!(engine.region(RegionId(2)).unwrap().stage, "damaged");
    // A host that speaks of a peer that is gone is told so, wherever its log starts.
    destroy(&engine, 2, 20).unwrap();
    for first_index in [1, 99] {
        let late = engine
            .report_log_start(RegionId(2), incarnation, first_index)
            .unwrap();
        assert!(
            matches!(late, Answer::Refused(Refusal::IncarnationGone { .. })),
            "{late:?}"
        );
    }
}

#[test]
fn a_store_that_cannot_promise_what_it_flushed_damages_its_regions_after_the_end_of_the_machine() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("store");
    let open = || {
        let mut data = SledFactory::default();
        data.options.write_through = false;
        let options = Engine::options().store(STORE).data(Arc::new(data));
        options.open(&dir).unwrap()
    };
    let (engine, _) = open();
    bootstrap(&engine).unwrap();
    write(&engine, 1, EPOCH, 6, &["a"]);
    engine.flush().unwrap();
    drop(engine);
    // The process died, the machine lives.
    let (engine, report) = open();
    assert!(report.damaged.is_empty(), "{report}");
    drop(engine);
    let incumbent = dir.join("data/incumbent");
    std::fs::write(&incumbent, "another boot").unwrap();
    let (engine, report) = open();
    let lost = report.data_store_lost.clone().unwrap_or_default();
    assert!(lost.contains("in doubt"), "{report}");
    assert_eq!(report.damaged.len(), 1, "{report}");
    // Closed in order it is taken at its word.
    engine.close().unwrap();
    std::fs::write(&incumbent, "another boot").unwrap();
    let (_engine, report) = open();
    assert_eq!(report.data_store_lost, None, "{report}");
}
