//! The limit of a record: documented, exact, and refused with a clear error that changes nothing.

use std::sync::Arc;
use std::time::Duration;

use torrens_journal::disk::Disk;
use torrens_journal::testing::SimDisk;
use torrens_journal::{AppendError, Followed, JournalOptions, Lsn, LsnReader, NewRecord, format};

use crate::support::{KIND, STORE, create, dir, payload, reopen};

/// Pages of the smallest segment, of others, and of those around the largest group.
const SEGMENT_PAGES: [u64; 7] = [8, 9, 256, 1002, 1003, 1004, 2048];

/// The limit as docs/FORMAT.md states it.
fn documented_limit(segment_pages: u64) -> u64 {
    let pages = (segment_pages - 3).min(1000);
    let table = (64 + 4 * pages).next_multiple_of(8);
    4096 * pages - table - 24
}

#[test]
fn the_limit_is_the_documented_one_for_every_segment_size() {
    for pages in 8..=2000 {
        let options = JournalOptions::new().segment_bytes(pages * 4096);
        assert_eq!(options.payload_bytes_max(), documented_limit(pages));
    }
    let largest = JournalOptions::new().segment_bytes(4 << 30);
    assert_eq!(largest.payload_bytes_max(), format::PAYLOAD_BYTES_MAX);
    assert_eq!(format::PAYLOAD_BYTES_MAX, 4_091_912);
}

#[test]
fn a_record_of_the_limit_is_durable_and_found_and_one_byte_more_is_refused() {
    for pages in SEGMENT_PAGES {
        let options = JournalOptions::new().segment_bytes(pages * 4096);
        let disk = SimDisk::new(1);
        let journal = create(&disk, options);
        journal.append(KIND, 0, b"before").unwrap();
        let limit = usize::try_from(documented_limit(pages)).unwrap();
        let ops = disk.ops();
        for over in [1, 8, 4096] {
            let refused = journal.append(KIND, 0, &payload(1, limit + over));
            let error = refused.unwrap_err();
            let AppendError::TooLarge {
                record_bytes,
                max_bytes,
            } = error
            else {
                panic!("{pages} pages: {error:?}");
            };
            assert_eq!(max_bytes, options.record_bytes_max());
            assert_eq!(record_bytes, (24 + limit + over).next_multiple_of(8) as u64);
            let text = error.to_string();
            assert!(
                text.contains(&record_bytes.to_string()) && text.contains(&max_bytes.to_string()),
                "{text}"
            );
        }
        assert_eq!((disk.ops(), journal.appended()), (ops, Lsn::FIRST));

        let fits = payload(2, limit);
        let lsn = journal.append(KIND, 0, &fits).unwrap();
        assert_eq!(lsn, Lsn::new(2));
        journal.append(KIND, 0, b"after").unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.read(lsn).unwrap().payload, fits, "{pages} pages");
        let mut follower = journal.follow(lsn, "test").unwrap();
        match follower.next_batch(Some(Duration::ZERO)) {
            Ok(Followed::Batch(batch)) => {
                let found = batch.records().next().unwrap().unwrap();
                assert_eq!(found.payload, fits, "{pages} pages");
            }
            other => panic!("{pages} pages: {other:?}"),
        }
        drop(follower);
        journal.close().unwrap();
        drop(journal);
        // And after reopening, from outside.
        let journal = reopen(&disk, options);
        let handle: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut reader = LsnReader::open(handle, &dir(), Some(STORE), lsn).unwrap();
        let batch = reader.next_batch().unwrap().unwrap();
        let found = batch.records().next().unwrap().unwrap();
        assert_eq!(found.payload, fits, "{pages} pages");
        assert_eq!(journal.appended(), Lsn::new(3));
    }
}

#[test]
fn records_that_are_appended_together_share_the_limit() {
    let options = JournalOptions::new().segment_bytes(32 * 1024);
    let limit = usize::try_from(options.record_bytes_max()).unwrap();
    // Two records of whole eights, so that nothing is padded.
    let (first, rest) = (vec![1; 4096 - 24], limit - 4096 - 24);
    let both = |disk: &SimDisk, second: &[u8]| {
        let journal = create(disk, options);
        let record = |payload| NewRecord {
            kind: KIND,
            tag: 0,
            payload,
        };
        let outcome = journal.append_all(&[record(first.as_slice()), record(second)]);
        (outcome, journal)
    };
    let disk = SimDisk::new(1);
    let (fits, journal) = both(&disk, &vec![2; rest]);
    assert_eq!(fits.unwrap(), Lsn::new(2));
    journal.sync().unwrap();
    assert_eq!(journal.read(Lsn::new(2)).unwrap().payload, vec![2; rest]);
    let disk = SimDisk::new(1);
    let (refused, journal) = both(&disk, &vec![2; rest + 1]);
    assert!(
        matches!(refused, Err(AppendError::TooLarge { record_bytes, max_bytes })
            if record_bytes == max_bytes + 8),
        "{refused:?}"
    );
    assert_eq!(journal.appended(), Lsn::ZERO);
    // The refusal is no failure: smaller ones go on.
    journal.append(KIND, 0, &first).unwrap();
    journal.sync().unwrap();
}
