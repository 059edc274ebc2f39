//! A purged segment's blocks serve the next one, and nothing of what was in them comes back.

use std::sync::Arc;

use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_journal::{Journal, Lsn, WriterChoice, list};

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
fn a_purged_file_of_another_size_is_not_used() {
    let disk = SimDisk::new(12);
    let journal = create(&disk, small());
    fill(&journal, 12);
    journal.close().unwrap();
    let journal = reopen(&disk, small().segment_bytes(64 * 1024));
    fill(&journal, 20);
    let purged = journal.purge_below(journal.synced()).unwrap();
    assert!(purged.segments.len() >= 2);
    fill(&journal, 60);
    for entry in list(&disk, &dir()).unwrap().segments.iter().skip(1) {
        assert_eq!(entry.bytes, 64 * 1024);
    }
    journal.close().unwrap();
    let found = walk(&disk);
    assert_eq!(found.last_lsn(), Lsn::new(92));
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
