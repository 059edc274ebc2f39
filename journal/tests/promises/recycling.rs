//! A purged segment's blocks serve the next one, and nothing of what was in them comes back.

use std::io;
use std::sync::Arc;

use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{Journal, Lsn, PurgeError, SegmentReader, WriterChoice, list};

use crate::support::{KIND, STORE, create, dir, payload, reopen, small, walk};

/// Appends `count` records of a third of a page each, numbered after those that are there, and
/// syncs each.
fn fill(journal: &Journal, count: u64) {
    for _ in 0..count {
        let number = journal.appended().get() + 1;
        journal.append(KIND, 0, &payload(number, 1300)).unwrap();
        journal.sync().unwrap();
    }
}

#[test]
fn purged_blocks_are_used_again_and_crashes_bring_nothing_back() {
    for writer in [WriterChoice::Mapped, WriterChoice::Direct] {
        let disk = SimDisk::new(11);
        let journal = create(&disk, small().writer(writer));
        fill(&journal, 20);
        let purged = journal.purge_below(journal.synced()).unwrap();
        assert!(purged.segments.len() >= 3, "{purged:?}");
        // As many as are wanted wait aside, under names that are not the journal's.
        assert_eq!(list(&disk, &dir()).unwrap().unfinished.len(), 2);
        for round in 0..20 {
            fill(&journal, 3);
            for cut in [
                CutChoice::LoseAll,
                CutChoice::KeepAll,
                CutChoice::Seeded(round),
            ] {
                let after = disk.power_cut(cut.clone());
                let found = walk(&after);
                assert_eq!(found.first_lsn, purged.first_lsn, "{cut:?}");
                assert_eq!(found.last_lsn(), journal.synced(), "{cut:?}");
                for (number, bytes) in (found.first_lsn.get()..).zip(&found.payloads) {
                    assert!(*bytes == payload(number, 1300), "{cut:?}, record {number}");
                }
                // Everything is synced: behind the end there are real zeros, whatever was there.
                let tail = found.tail.unwrap();
                let reader = SegmentReader::open(&after, &dir(), tail.segment, Some(STORE));
                let behind = reader.unwrap().is_zero_from(tail.end_offset_bytes).unwrap();
                assert_eq!(behind, None, "{cut:?}");
                // The next writer clears up.
                let next = reopen(&after, small().writer(writer));
                fill(&next, 8);
                next.close().unwrap();
                assert!(list(&after, &dir()).unwrap().unfinished.is_empty());
            }
        }
        assert_eq!(journal.stats().recycled_segments, 2);
        fill(&journal, 10);
        journal.purge_below(journal.synced()).unwrap();
        journal.close().unwrap();
        assert!(list(&disk, &dir()).unwrap().unfinished.is_empty());
    }
}

#[test]
fn a_file_whose_old_name_may_come_back_keeps_its_contents() {
    for dies_after in 1.. {
        let disk = SimDisk::new(13);
        let journal = create(&disk, small());
        fill(&journal, 20);
        // The first segment gets its new name, and the directory is not synced.
        disk.fail_at(disk.ops() + 2, SimFault::Error(io::ErrorKind::Other));
        let failed = journal.purge_below(journal.synced()).unwrap_err();
        assert!(matches!(failed, PurgeError::Io { .. }), "{failed:?}");
        disk.fail_at(disk.ops() + dies_after, SimFault::Dies);
        // Enough for a segment in the blocks of the first, if they were used.
        for number in 21..=32 {
            let appended = journal.append(KIND, 0, &payload(number, 1300));
            if appended.is_err() || journal.sync().is_err() {
                break;
            }
        }
        let synced = journal.synced();
        let is_done = synced == Lsn::new(32);
        std::mem::forget(journal);
        let found = walk(&disk.power_cut(CutChoice::LoseAll));
        assert_eq!(found.last_lsn(), synced, "died after {dies_after}");
        for (number, bytes) in (found.first_lsn.get()..).zip(&found.payloads) {
            assert!(*bytes == payload(number, 1300), "record {number}");
        }
        if is_done {
            assert!(dies_after > 20, "{dies_after}");
            return;
        }
    }
}

#[test]
fn a_purged_file_of_another_size_is_not_used() {
    for [before, now] in [[32, 64], [64, 32]] {
        let disk = SimDisk::new(12);
        let journal = create(&disk, small().segment_bytes(before * 1024));
        fill(&journal, 40);
        journal.close().unwrap();
        let journal = reopen(&disk, small().segment_bytes(now * 1024));
        fill(&journal, 20);
        let purged = journal.purge_below(journal.synced()).unwrap();
        assert!(purged.segments.len() >= 2);
        let last_old = journal.stats().segments;
        fill(&journal, 60);
        let listing = list(&disk, &dir()).unwrap();
        assert!(listing.segments.len() as u64 > last_old + 2);
        for entry in listing.segments.iter().skip(1) {
            assert_eq!(entry.bytes, now * 1024);
        }
        journal.close().unwrap();
        assert_eq!(walk(&disk).last_lsn(), Lsn::new(120));
    }
}

#[test]
fn a_purged_file_with_a_second_name_keeps_its_contents() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("journal");
    for writer in [WriterChoice::Mapped, WriterChoice::Direct] {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let _ = std::fs::remove_dir_all(&path);
        let options = small().writer(writer).segments_ahead(0);
        let journal = Journal::create(disk, &path, STORE, options).unwrap();
        fill(&journal, 20);
        let backup = temporary.path().join(format!("backup-{writer:?}"));
        let segment = path.join(format!("{:020}.seg", 2));
        std::fs::hard_link(&segment, &backup).unwrap();
        let before = std::fs::read(&backup).unwrap();
        journal.purge_below(journal.synced()).unwrap();
        fill(&journal, 40);
        assert!(std::fs::read(&backup).unwrap() == before);
        assert!(journal.stats().recycled_segments >= 1);
        journal.close().unwrap();
    }
}
