//! Creating, closing and going on.

use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Boot, Found, Journal, JournalOptions, Lsn, MarkError, OpenError, OptionsError, PurgeError,
    SegmentId, SegmentReader, StoreUuid, Tail, list, read_marks,
};

use crate::support::{
    KIND, STORE, create, dir, exists, mark_path, payload, reopen, segment_path, small, walk,
};

fn resume(disk: &SimDisk, tail: Tail) -> Result<Journal, OpenError> {
    Journal::resume(Arc::new(disk.clone()), &dir(), STORE, tail, small())
}

#[test]
fn a_new_journal_is_empty_and_durable_at_once() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    assert_eq!(
        (journal.appended(), journal.synced()),
        (Lsn::ZERO, Lsn::ZERO)
    );
    assert_eq!(journal.boot(), Boot::FIRST);
    assert_eq!(journal.sync().unwrap(), Lsn::ZERO);
    let after = disk.power_cut(torrens_journal::testing::CutChoice::LoseAll);
    let found = walk(&after);
    assert_eq!(found.tail.unwrap().last_lsn, Lsn::ZERO);
    assert!(!found.clean_close);
    assert!(exists(&after, &mark_path()));
}

#[test]
fn creating_over_a_journal_or_over_its_remains_is_refused() {
    let disk = SimDisk::new(1);
    create(&disk, small()).close().unwrap();
    let again = || {
        let made = Journal::create(Arc::new(disk.clone()), &dir(), STORE, small());
        match made {
            Err(OpenError::NotEmpty { found, .. }) => found,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(again(), "00000000000000000001.seg");
    // Without its segments a mark is a sign of loss.
    disk.remove(&segment_path(1)).unwrap();
    assert_eq!(again(), "journal.mark");
}

#[test]
fn leftovers_of_an_unfinished_file_are_replaced() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(&dir()).unwrap();
    for name in ["00000000000000000001.seg.new", "journal.mark.new"] {
        let file = disk.open(&dir().join(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(0, b"half").unwrap();
    }
    let journal = create(&disk, small());
    journal.append(KIND, 0, b"one").unwrap();
    journal.close().unwrap();
    assert_eq!(walk(&disk).payloads, [b"one"]);
    assert!(list(&disk, &dir()).unwrap().unfinished.is_empty());
}

#[test]
fn resuming_removes_what_a_killed_writer_did_not_finish() {
    let disk = SimDisk::new(1);
    create(&disk, small()).close().unwrap();
    for name in [
        "00000000000000000002.seg.new",
        "journal.mark.new",
        "mine.new",
    ] {
        disk.open(&dir().join(name), OpenMode::CreateNew).unwrap();
    }
    reopen(&disk, small()).close().unwrap();
    let listing = list(&disk, &dir()).unwrap();
    assert!(listing.unfinished.is_empty());
    assert_eq!(listing.unknown, ["mine.new"], "not the journal's");
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_touched() {
    let disk = SimDisk::new(1);
    let bad = JournalOptions::new().segment_bytes(1);
    let made = Journal::create(Arc::new(disk.clone()), &dir(), STORE, bad);
    assert!(
        matches!(
            made,
            Err(OpenError::Options(OptionsError::SegmentBytes { .. }))
        ),
        "{made:?}"
    );
    assert_eq!(disk.ops(), 0);
}

#[test]
fn a_journal_goes_on_where_it_ended_under_a_new_boot() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    journal.append(KIND, 0, b"one").unwrap();
    journal.close().unwrap();
    for (boot, payload) in [(2, b"two"), (3, b"thr")] {
        let journal = reopen(&disk, small());
        assert_eq!(journal.boot(), Boot::new(boot));
        assert_eq!(journal.synced(), Lsn::new(u64::from(boot) - 1));
        assert!(!walk(&disk).clean_close, "an open journal is not closed");
        assert_eq!(
            journal.append(KIND, 0, payload).unwrap(),
            Lsn::new(boot.into())
        );
        journal.close().unwrap();
    }
    let found = walk(&disk);
    assert_eq!(found.payloads, [b"one", b"two", b"thr"]);
    assert!(found.clean_close);
    // Two boots, each with its group of no records.
    assert_eq!(found.groups, 5);
    let mut reader = SegmentReader::open(&disk, &dir(), SegmentId::FIRST, None).unwrap();
    match reader.group_at(12288, None).unwrap() {
        Found::Group(group) => {
            assert!(group.header.is_recovered());
            assert_eq!(group.header.boot, Boot::new(2));
            assert_eq!(group.header.durable_lsn, Lsn::new(1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn resuming_is_durable_before_it_returns() {
    let disk = SimDisk::new(1);
    create(&disk, small()).close().unwrap();
    let journal = reopen(&disk, small());
    let after = disk.power_cut(torrens_journal::testing::CutChoice::LoseAll);
    let found = walk(&after);
    assert_eq!(found.groups, 1);
    assert_eq!(found.tail.unwrap().boot, Boot::new(2));
    let marks = read_marks(&after, &dir(), Some(STORE)).unwrap();
    assert_eq!(marks.last().unwrap().boot, Boot::new(2));
    drop(journal);
}

#[test]
fn a_sealed_or_full_tail_goes_on_in_the_next_segment_even_on_a_full_disk() {
    // With `groups` one-page groups, the reserved page or one more is what is left.
    for groups in [4, 5] {
        let disk = SimDisk::new(1);
        let journal = create(&disk, small());
        for number in 1..=groups {
            journal.append(KIND, 0, &payload(number, 10)).unwrap();
            journal.sync().unwrap();
        }
        journal.close().unwrap();
        for boot in 2..=3 {
            disk.set_capacity(disk.used_bytes());
            let journal = reopen(&disk, small());
            assert_eq!(journal.boot(), Boot::new(boot), "{groups} groups");
            journal.close().unwrap();
        }
        assert!(walk(&disk).tail.unwrap().sealed, "{groups} groups");
        disk.set_capacity(None);
        let journal = reopen(&disk, small());
        let lsn = journal.append(KIND, 0, b"next").unwrap();
        assert_eq!(lsn, Lsn::new(groups + 1));
        journal.close().unwrap();
        let found = walk(&disk);
        assert_eq!(found.payloads.len() as u64, groups + 1);
        let tail = found.tail.unwrap();
        assert_eq!((tail.segment, tail.boot), (SegmentId::new(2), Boot::new(4)));
    }
}

#[test]
fn a_lost_mark_file_is_made_again() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    journal.append(KIND, 0, b"one").unwrap();
    journal.close().unwrap();
    disk.remove(&mark_path()).unwrap();
    reopen(&disk, small()).close().unwrap();
    let found = walk(&disk);
    assert_eq!(found.payloads, [b"one"]);
    assert!(found.clean_close);
}

#[test]
fn a_tail_that_does_not_fit_the_files_is_refused() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for number in 1..=7 {
        journal.append(KIND, 0, &payload(number, 10)).unwrap();
        journal.sync().unwrap();
    }
    journal.close().unwrap();
    let tail = walk(&disk).tail.unwrap();
    assert_eq!(tail.segment, SegmentId::new(2));
    let before = disk.ops();

    let earlier = Tail {
        segment: SegmentId::FIRST,
        ..tail
    };
    let refused = resume(&disk, earlier);
    assert!(
        matches!(refused, Err(OpenError::BehindTail { .. })),
        "{refused:?}"
    );
    for end_offset_bytes in [0, 8193, 32 * 1024, u64::MAX] {
        let elsewhere = Tail {
            end_offset_bytes,
            ..tail
        };
        let refused = resume(&disk, elsewhere);
        assert!(
            matches!(refused, Err(OpenError::TailOutOfPlace { .. })),
            "{refused:?}"
        );
    }
    let uncleared = Tail {
        end_offset_bytes: tail.end_offset_bytes - 4096,
        ..tail
    };
    let refused = resume(&disk, uncleared);
    assert!(
        matches!(refused, Err(OpenError::TailNotZero { .. })),
        "{refused:?}"
    );
    let missing = Tail {
        segment: SegmentId::new(3),
        ..tail
    };
    let refused = resume(&disk, missing);
    assert!(matches!(refused, Err(OpenError::Read(_))), "{refused:?}");
    let late = Tail {
        boot: Boot::new(u32::MAX),
        ..tail
    };
    let refused = resume(&disk, late);
    assert!(
        matches!(refused, Err(OpenError::Exhausted { what: "boot" })),
        "{refused:?}"
    );
    let foreign = Journal::resume(
        Arc::new(disk.clone()),
        &dir(),
        StoreUuid([1; 16]),
        tail,
        small(),
    );
    assert!(
        matches!(foreign, Err(OpenError::Header { .. })),
        "{foreign:?}"
    );
    assert_eq!(disk.ops(), before, "a refusal touches nothing");
}

#[test]
fn a_closed_journal_takes_nothing_more_and_closing_again_is_fine() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    journal.append(KIND, 0, b"one").unwrap();
    journal.close().unwrap();
    let ops = disk.ops();
    journal.close().unwrap();
    assert!(journal.append(KIND, 0, b"two").is_err());
    assert!(matches!(journal.write_mark(), Err(MarkError::Closed)));
    assert!(matches!(
        journal.purge_below(Lsn::new(9)),
        Err(PurgeError::Closed)
    ));
    assert_eq!(journal.sync().unwrap(), Lsn::FIRST);
    drop(journal);
    assert_eq!(disk.ops(), ops);
}

#[test]
fn dropping_makes_everything_durable_and_marks_a_clean_close() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    journal.append(KIND, 0, b"one").unwrap();
    drop(journal);
    let after = disk.power_cut(torrens_journal::testing::CutChoice::LoseAll);
    let found = walk(&after);
    assert_eq!(found.payloads, [b"one"]);
    assert!(found.clean_close);
}

#[test]
fn a_mark_never_claims_what_is_only_stored() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small().group_bytes_max(4096));
    journal.append(KIND, 0, b"durable").unwrap();
    journal.sync().unwrap();
    for number in 2..=4 {
        journal.append(KIND, 0, &payload(number, 3000)).unwrap();
    }
    assert!(journal.stats().groups >= 3, "stored without a sync");
    journal.write_mark_synced().unwrap();
    let mark = read_marks(&disk, &dir(), Some(STORE))
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(mark.durable_lsn, Lsn::FIRST);
    assert_eq!(mark.end_offset_bytes, 12288);
}

#[test]
fn marks_say_what_is_durable_once_and_take_turns() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    journal.append(KIND, 0, b"one").unwrap();
    // Nothing durable but the empty journal: that is what the mark says.
    journal.write_mark().unwrap();
    let newest = || {
        read_marks(&disk, &dir(), Some(STORE))
            .unwrap()
            .pop()
            .unwrap()
    };
    assert_eq!(newest().durable_lsn, Lsn::ZERO);
    for number in 2..=7 {
        journal.append(KIND, 0, b"more").unwrap();
        journal.sync().unwrap();
        journal.write_mark_synced().unwrap();
        let ops = disk.ops();
        journal.write_mark().unwrap();
        journal.write_mark_synced().unwrap();
        assert_eq!(disk.ops(), ops, "said already");
        let mark = newest();
        assert_eq!((mark.number, mark.durable_lsn), (number, Lsn::new(number)));
    }
    assert_eq!(read_marks(&disk, &dir(), Some(STORE)).unwrap().len(), 4);
    // A failed mark is the caller's to know and leaves the journal as it was.
    journal.append(KIND, 0, b"more").unwrap();
    journal.sync().unwrap();
    disk.fail_at(
        disk.ops() + 1,
        torrens_journal::testing::SimFault::Error(std::io::ErrorKind::Other),
    );
    assert!(matches!(journal.write_mark(), Err(MarkError::Io { .. })));
    assert!(!journal.is_poisoned());
    journal.close().unwrap();
    assert!(walk(&disk).clean_close);
}
