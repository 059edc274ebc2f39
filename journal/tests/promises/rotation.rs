//! Records survive in order across groups and segments, and a place is reserved before an LSN.

use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_journal::{AppendError, JournalOptions, Lsn, NewRecord, SegmentId, list};

use crate::support::{KIND, create, dir, payload, small, walk};

#[test]
fn records_of_many_segments_come_back_in_order() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut appended = Vec::new();
    for number in 1..=200u64 {
        let bytes = payload(number, (number as usize * 37) % 3000);
        assert_eq!(journal.append(KIND, 0, &bytes).unwrap(), Lsn::new(number));
        appended.push(bytes);
        if number % 3 == 0 {
            assert_eq!(journal.sync().unwrap(), Lsn::new(number));
        }
    }
    journal.close().unwrap();
    assert!(journal.stats().rotations > 5, "{:?}", journal.stats());
    let found = walk(&disk);
    assert_eq!(found.payloads, appended);
    assert!(found.clean_close);
    assert_eq!(found.witnessed, Lsn::new(200));
}

#[test]
fn many_appends_without_a_sync_cross_segments_and_one_sync_covers_them() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small().group_bytes_max(8192));
    for number in 1..=100 {
        journal.append(KIND, 0, &payload(number, 1000)).unwrap();
    }
    assert_eq!(journal.synced(), Lsn::ZERO);
    journal.wait_durable(Lsn::new(100)).unwrap();
    let stats = journal.stats();
    assert_eq!(stats.syncs, 1);
    assert!(stats.rotations >= 4, "{stats:?}");
    // Nothing unsynced is left: a power cut takes nothing away.
    let after = disk.power_cut(CutChoice::LoseAll);
    assert_eq!(walk(&after).payloads.len(), 100);
}

#[test]
fn a_segment_is_full_to_the_page_before_the_next_one_starts() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    // Five groups of one page each, and the reserved page: an empty group seals the segment.
    for number in 1..=5 {
        journal.append(KIND, 0, &payload(number, 10)).unwrap();
        journal.sync().unwrap();
    }
    assert_eq!(journal.stats().rotations, 0);
    journal.append(KIND, 0, &payload(6, 10)).unwrap();
    assert_eq!(journal.stats().rotations, 1);
    journal.sync().unwrap();
    let found = walk(&disk);
    assert_eq!(found.payloads.len(), 6);
    assert_eq!(found.groups, 7);
    assert_eq!(found.tail.unwrap().segment, SegmentId::new(2));
}

#[test]
fn records_of_one_append_share_a_group_or_are_refused_together() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    journal.append(KIND, 0, &payload(1, 9000)).unwrap();
    let (one, two) = (payload(2, 4000), payload(3, 5000));
    let records = [&one, &two].map(|payload| NewRecord {
        kind: KIND,
        tag: 9,
        payload,
    });
    assert_eq!(journal.append_all(&records).unwrap(), Lsn::new(3));
    assert_eq!(journal.append_all(&[]).unwrap(), Lsn::new(3));
    journal.close().unwrap();
    assert_eq!(
        walk(&disk).payloads,
        [payload(1, 9000), one.clone(), two.clone()]
    );

    let journal = crate::support::reopen(&disk, small());
    let large = payload(4, 16_000);
    let refused = journal.append_all(&[
        NewRecord {
            kind: KIND,
            tag: 0,
            payload: &one,
        },
        NewRecord {
            kind: KIND,
            tag: 0,
            payload: &large,
        },
        NewRecord {
            kind: KIND,
            tag: 0,
            payload: &two,
        },
    ]);
    assert!(
        matches!(refused, Err(AppendError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(journal.appended(), Lsn::new(3));
}

#[test]
fn the_largest_payload_fits_and_one_byte_more_is_refused() {
    let large = JournalOptions::new().segment_bytes(8 * 1024 * 1024);
    for options in [small(), large] {
        let disk = SimDisk::new(1);
        let journal = create(&disk, options);
        let max_bytes = options.payload_bytes_max() as usize;
        journal.append(KIND, 0, b"before").unwrap();
        let refused = journal.append(KIND, 0, &payload(1, max_bytes + 1));
        match refused {
            Err(AppendError::TooLarge {
                record_bytes,
                max_bytes,
            }) => {
                assert!(record_bytes > max_bytes);
            }
            other => panic!("{other:?}"),
        }
        let fits = payload(2, max_bytes);
        assert_eq!(journal.append(KIND, 0, &fits).unwrap(), Lsn::new(2));
        journal.append(KIND, 0, b"after").unwrap();
        journal.close().unwrap();
        let found = walk(&disk);
        assert_eq!(found.payloads.len(), 3);
        assert_eq!(found.payloads[1], fits);
    }
}

#[test]
fn purging_removes_whole_old_segments_and_never_the_active_one() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=40 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
        journal.sync().unwrap();
    }
    let ids = || -> Vec<u64> {
        let listing = list(&disk, &dir()).unwrap();
        listing
            .segments
            .iter()
            .map(|entry| entry.id.get())
            .collect()
    };
    // Five one-page groups a segment: segments start at 1, 6, 11, ...
    assert_eq!(ids(), (1..=8).collect::<Vec<_>>());
    assert!(
        journal
            .purge_below(Lsn::new(5))
            .unwrap()
            .segments
            .is_empty()
    );
    let purged = journal.purge_below(Lsn::new(6)).unwrap();
    assert_eq!(purged.segments, [SegmentId::new(1)]);
    assert_eq!(purged.first_lsn, Lsn::new(6));
    let purged = journal.purge_below(Lsn::new(1000)).unwrap();
    assert_eq!(purged.segments.len(), 6);
    assert_eq!(ids(), [8]);
    assert_eq!(journal.stats().segments, 1);
    // A power cut brings nothing back, and the rest is read as before.
    let after = disk.power_cut(CutChoice::LoseAll);
    let found = walk(&after);
    assert_eq!(found.first_lsn, Lsn::new(36));
    assert_eq!(found.last_lsn(), Lsn::new(40));
}

#[test]
fn purging_spares_segments_that_are_not_durable() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=40 {
        journal.append(KIND, 0, &payload(number, 2000)).unwrap();
    }
    assert!(journal.stats().rotations > 2);
    let purged = journal.purge_below(Lsn::new(40)).unwrap();
    assert!(purged.segments.is_empty(), "{purged:?}");
    journal.sync().unwrap();
    assert_eq!(walk(&disk).payloads.len(), 40);
}
