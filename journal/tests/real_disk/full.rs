//! A full disk is an answer, whichever part of the system notices it, and no signal.

use crate::child::{Child, holds, ways};
use crate::place::{KINDS, Kind, LoopFs};

const SEGMENT: u64 = 256 * 1024;

#[test]
fn a_full_disk_refuses_the_append_and_takes_more_when_space_returns() {
    const TEST: &str = "a_full_disk_refuses_the_append";
    for kind in KINDS {
        let Some(place) = LoopFs::new(TEST, kind) else {
            return;
        };
        for (number, way) in ways(TEST).into_iter().enumerate() {
            let dir = place.path().join(format!("journal-{number}"));
            let mut child = Child::start(&dir, way);
            child.must(&format!("create {SEGMENT}"));
            child.must("append 20 3000");
            place.fill();
            // What has its place is stored and synced on the full disk, up to the segment's end.
            let answer = child.ask("append 1000 3000");
            assert_eq!(answer.outcome, "full", "{kind:?} {way:?}");
            assert!(answer.done >= 40, "{kind:?} {way:?}: {answer:?}");
            let again = child.ask("append 1 3000");
            assert_eq!((again.done, again.outcome.as_str()), (0, "full"));
            let durable = child.must("sync");
            assert_eq!(durable, 20 + answer.done);
            holds(&dir, durable, 3000);
            place.unfill();
            child.must("append 100 3000");
            drop(child);
            holds(&dir, durable + 100, 3000);
        }
    }
}

#[test]
fn a_disk_without_room_for_a_first_segment_refuses_to_create() {
    const TEST: &str = "a_disk_without_room_for_a_first_segment";
    for kind in KINDS {
        let Some(place) = LoopFs::new(TEST, kind) else {
            return;
        };
        for (number, way) in ways(TEST).into_iter().enumerate() {
            let dir = place.path().join(format!("journal-{number}"));
            std::fs::create_dir(&dir).unwrap();
            place.fill();
            let mut child = Child::start(&dir, way);
            let create = format!("create {SEGMENT}");
            assert_eq!(child.ask(&create).outcome, "full", "{kind:?} {way:?}");
            place.unfill();
            child.must(&create);
            child.must("append 5 3000");
            child.must("close");
            holds(&dir, 5, 3000);
        }
    }
}

/// The file system has blocks to give, and the device cannot take them: the zeros of a new segment
/// are where that must come out, before any record has its place there.
#[test]
fn a_device_that_runs_full_is_noticed_before_a_record_has_its_place_on_it() {
    const TEST: &str = "a_device_that_runs_full";
    for way in ways(TEST) {
        let Some((memory, place)) = LoopFs::on_thin_device(TEST, Kind::Ext4Plain) else {
            return;
        };
        let mut child = Child::start(&place.journal(), way);
        child.must(&format!("create {SEGMENT}"));
        child.must("append 20 3000");
        memory.fill();
        let answer = child.ask("append 1000 3000");
        assert!(
            ["full", "prepare"].contains(&answer.outcome.as_str()),
            "{way:?}: {answer:?}"
        );
        assert!(answer.done >= 40, "{way:?}: {answer:?}");
        assert_eq!(child.must("synced"), 20 + answer.done);
        drop(child);
        holds(&place.journal(), 20 + answer.done, 3000);
    }
}
