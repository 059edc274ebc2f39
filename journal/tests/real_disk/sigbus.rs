//! What kills a process that stores through a map is refused, or comes back as an error.

use torrens_journal::disk::{Disk, DiskRefusal, OpenMode, SyncChoice};

use crate::child::{Child, disk, holds, ways};
use crate::place::{KINDS, Kind, LoopFs, run};
use crate::support::{STORE, walk_in};

/// Blocks that are only promised (`fallocate`) are no place for stores: they cost a second flush and
/// can fail late.
#[test]
fn a_file_with_holes_or_unwritten_blocks_is_not_mapped() {
    const TEST: &str = "a_file_with_holes_or_unwritten_blocks";
    for kind in KINDS {
        let Some(place) = LoopFs::new(TEST, kind) else {
            return;
        };
        let disk = disk(ways(TEST)[0].sync).unwrap();
        let path = place.path().join("file");
        run("fallocate", &["-l", "1048576", path.to_str().unwrap()]).unwrap();
        let refusal = |bytes| {
            let file = disk.open(&path, OpenMode::Write).unwrap();
            let error = file.map(bytes).err()?;
            error.get_ref()?.downcast_ref::<DiskRefusal>().cloned()
        };
        let hole = |hole_offset_bytes| {
            Some(DiskRefusal::MapHole {
                map_bytes: 1 << 20,
                hole_offset_bytes,
            })
        };
        assert_eq!(refusal(1 << 20), hole(0), "{kind:?}");
        let file = disk.open(&path, OpenMode::Write).unwrap();
        file.write_zeros(0, 1 << 19).unwrap();
        file.sync_data().unwrap();
        assert_eq!(refusal(1 << 20), hole(1 << 19), "{kind:?}");
        assert_eq!(refusal(1 << 19), None, "{kind:?}");
        file.write_zeros(1 << 19, 1 << 19).unwrap();
        file.sync_data().unwrap();
        assert_eq!(refusal(1 << 20), None, "{kind:?}");
    }
}

/// A copy that shares its blocks (`cp --reflink`, as backups make them) takes the place away that a
/// segment had: the next store needs a new block.
#[test]
fn a_segment_that_was_copied_by_reflink_is_written_or_ends_with_an_error() {
    const TEST: &str = "a_segment_that_was_copied_by_reflink";
    for way in ways(TEST) {
        let Some(place) = LoopFs::new(TEST, Kind::Xfs) else {
            return;
        };
        let (dir, copy) = (place.journal(), place.path().join("copy"));
        let mut child = Child::start(&dir, way);
        child.must("create 1048576");
        child.must("append 10 3000");
        let (from, to) = (dir.to_str().unwrap(), copy.to_str().unwrap());
        run("cp", &["-r", "--reflink=always", from, to]).unwrap();
        if way.sync == SyncChoice::IoUring {
            // There is room for blocks of its own.
            child.must("append 20 3000");
            child.must("close");
            holds(&copy, 10, 3000);
            holds(&dir, 30, 3000);
            continue;
        }
        place.fill();
        // A few blocks are kept for such stores; then there are no more.
        let answer = child.ask("append 200 3000");
        println!("reflink on a full disk, {way:?}: {answer:?}");
        if way.writer.name == "mapped" {
            assert!(answer.is_poisoned(), "{way:?}: {answer:?}");
        }
        let synced = child.must("synced");
        assert_eq!(synced, 10 + answer.done);
        drop(child);
        // The next opening writes zeros where it will store, and so has blocks of its own.
        let mut child = Child::start(&dir, way);
        assert_eq!(child.ask("resume 1048576").outcome, "full", "{way:?}");
        place.unfill();
        assert!(child.must("resume 1048576") >= synced);
        place.fill();
        child.must("append 20 3000");
        child.must("close");
        place.unfill();
        holds(&copy, 10, 3000);
    }
}

/// Nobody may do this; it is an error all the same, as far as the kernel tells before the store.
#[test]
fn a_segment_that_somebody_cut_ends_the_journal_and_not_the_process() {
    for way in ways("a_segment_that_somebody_cut") {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("journal");
        let mut child = Child::start(&dir, way);
        child.must("create 262144");
        child.must("append 10 3000");
        let segment = dir.join("00000000000000000001.seg");
        let file = std::fs::File::options().write(true).open(segment).unwrap();
        file.set_len(8192 + 10 * 4096).unwrap();
        let answer = child.ask("append 10 3000");
        println!("a cut segment, {way:?}: {answer:?}");
        if way.writer.name == "mapped" {
            assert!(answer.is_poisoned(), "{answer:?}");
            assert_eq!(answer.done, 0);
        }
        let synced = child.must("synced");
        drop(child);
        let found = walk_in(&disk(way.sync).unwrap(), &dir, STORE);
        assert!(found.last_lsn().get() >= synced);
    }
}
