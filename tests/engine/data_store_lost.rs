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

/// Its rows were the whole's, and durable before the split.
#[test]
fn a_part_that_wrote_nothing_itself_is_damaged_when_the_data_is_gone() {
    let world = World::new(3);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    write(&engine, 1, EPOCH, 6, &["a", "z"]);
    split_at_m(&engine).unwrap();
    let seen = Seen::of(&engine);
    drop(engine);
    let world = world.power_cut(CutChoice::KeepAll, Lost::Everything);
    expect_damaged(&world, &seen, &[1, 2]);
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

#[test]
fn a_data_store_put_there_by_mistake_is_kept_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| place.path().join(name));
    let open = |dir: &std::path::Path, set_aside_max| {
        let options = Engine::options().store(STORE).set_aside_max(set_aside_max);
        options.open(dir).unwrap()
    };
    for (dir, rows) in [(&ours, ["a", "b"]), (&theirs, ["c", "d"])] {
        let (engine, _) = open(dir, 2);
        bootstrap(&engine).unwrap();
        write(&engine, 1, EPOCH, 6, &rows);
        engine.close().unwrap();
    }
    let spare = place.path().join("spare");
    std::fs::rename(ours.join("data"), &spare).unwrap();
    std::fs::rename(theirs.join("data"), ours.join("data")).unwrap();
    let (engine, report) = open(&ours, 2);
    let lost = report.data_store_lost.clone().unwrap_or_default();
    assert!(
        lost.contains("not the data store that the journal knows"),
        "{report}"
    );
    assert_eq!(report.damaged.len(), 1, "{report}");
    let [kept] = report.set_aside.as_slice() else {
        panic!("{report}");
    };
    drop(engine);

    // Put back where it belongs nothing of it is missing.
    std::fs::rename(kept, theirs.join("data")).unwrap();
    let (engine, report) = open(&theirs, 2);
    assert!(
        report.damaged.is_empty() && report.data_store_lost.is_none(),
        "{report}"
    );
    let view = engine.view(RegionId(1), EPOCH).unwrap();
    assert_eq!(
        view.get(b"c").unwrap().as_deref(),
        Some(b"value".as_slice())
    );
    drop(view);
    engine.close().unwrap();

    // One that was lost and comes back late is kept as well; how many are kept is bounded.
    let late = theirs.join("data");
    for (set_aside_max, from) in [(2, &spare), (1, &late), (0, &late)] {
        std::fs::remove_dir_all(ours.join("data")).unwrap();
        copy(from, &ours.join("data"));
        let (engine, report) = open(&ours, set_aside_max);
        assert!(report.data_store_lost.is_some(), "{report}");
        assert_eq!(report.set_aside.len(), set_aside_max.min(1), "{report}");
        let names = std::fs::read_dir(&ours).unwrap();
        let kept = names.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("data.unusable-")
        });
        assert_eq!(kept.count(), set_aside_max.min(1));
        drop(engine);
    }
}

/// After a repair that cut records away the data store is of a later moment than the journal.
#[test]
fn data_that_rests_on_records_that_are_lost_is_not_served() {
    for later_barriers in [0, 1, 2, 3] {
        let world = World::new(3);
        let (engine, _) = world.open().unwrap();
        bootstrap(&engine).unwrap();
        write(&engine, 1, EPOCH, 6, &["a", "z"]);
        engine.flush().unwrap();
        let mut early = world.kill(Lost::Unflushed);
        split_at_m(&engine).unwrap();
        let now = epoch(&engine, 1);
        for n in 0..later_barriers {
            write(&engine, 2, now, 6 + n, &["y"]);
            engine.flush().unwrap();
        }
        write(&engine, 1, now, 8, &["b"]);
        write(&engine, 2, now, 6 + later_barriers, &["x"]);
        engine.close().unwrap();
        early.data = world.kill(Lost::Unflushed).data;

        let (engine, report) = early.open().unwrap();
        let region = engine.region(RegionId(1)).unwrap();
        match region.stage {
            // The store remembers the barrier that the journal ends with, and is there again.
            "normal" => {
                assert_eq!(
                    engine.raft_start(RegionId(1)).unwrap().data.index,
                    6,
                    "{report}"
                );
                let view = engine.view(RegionId(1), EPOCH).unwrap();
                let keys: Vec<_> = view.scan(..).map(|row| row.unwrap().0.to_vec()).collect();
                assert_eq!(keys, [b"a".to_vec(), b"z".to_vec()], "{report}");
            }
            stage => {
                assert_eq!((stage, later_barriers > 0), ("damaged", true), "{report}");
                let lost = report.data_store_lost.clone().unwrap_or_default();
                assert!(lost.contains("which lost records"), "{report}");
            }
        }
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
