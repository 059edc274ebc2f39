//! The readers say exactly what lies in the files, and never judge it or change it.

use std::io;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Expectation, Found, GroupFault, HeaderFault, Lsn, ReadError, SegmentId, SegmentReader,
    StoreUuid, list, read_marks,
};

use crate::support::{KIND, STORE, create, dir, mark_path, payload, segment_path, small};

/// One segment with groups at 8192, 12288 (two pages) and 20480.
fn three_groups() -> SimDisk {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    for (number, bytes) in [(1, 10), (2, 5000), (3, 10)] {
        journal.append(KIND, 0, &payload(number, bytes)).unwrap();
        journal.sync().unwrap();
    }
    // As a killed process leaves it: no closing mark, nothing mapped.
    let killed = disk.process_kill();
    drop(journal);
    killed
}

fn reader(disk: &SimDisk) -> SegmentReader {
    SegmentReader::open(disk, &dir(), SegmentId::FIRST, Some(STORE)).unwrap()
}

#[test]
fn listing_tells_segments_marks_unfinished_and_unknown_names_apart() {
    let disk = three_groups();
    let named = |name: &str| {
        disk.open(&dir().join(name), OpenMode::CreateNew).unwrap();
    };
    for name in [
        "00000000000000000002.seg.new",
        "journal.mark.new",
        "notes.new",
        "1.seg",
    ] {
        named(name);
    }
    disk.create_dir_all(&dir().join("00000000000000000009.seg"))
        .unwrap();
    let listing = list(&disk, &dir()).unwrap();
    assert_eq!(listing.segments.len(), 1);
    assert_eq!(listing.segments[0].bytes, 32 * 1024);
    assert_eq!(listing.mark_bytes, Some(16 * 1024));
    assert_eq!(
        listing.unfinished,
        ["00000000000000000002.seg.new", "journal.mark.new"]
    );
    assert_eq!(
        listing.unknown,
        ["00000000000000000009.seg", "1.seg", "notes.new"]
    );
    let missing = list(&disk, &dir().join("none"));
    assert!(
        matches!(missing, Err(ReadError::List { .. })),
        "{missing:?}"
    );
}

#[test]
fn each_kind_of_place_is_told_apart() {
    let disk = three_groups();
    let mut reader = reader(&disk);
    assert_eq!(reader.header().unwrap().store, STORE);
    let found = |reader: &mut SegmentReader, at| match reader.group_at(at, None).unwrap() {
        Found::Group(group) => format!("{} records from {}", group.records().count(), {
            group.header.first_lsn
        }),
        Found::Zero => "zero".to_owned(),
        Found::EndOfFile => "end".to_owned(),
        Found::Invalid {
            at_offset_bytes,
            why,
        } => {
            assert_eq!(at_offset_bytes, at);
            match why {
                GroupFault::Magic { .. } => "not a group".to_owned(),
                other => other.to_string(),
            }
        }
    };
    assert_eq!(found(&mut reader, 8192), "1 records from 1");
    assert_eq!(found(&mut reader, 12288), "1 records from 2");
    // The second page of a group.
    assert_eq!(found(&mut reader, 16384), "not a group");
    assert_eq!(found(&mut reader, 20480), "1 records from 3");
    assert_eq!(found(&mut reader, 24576), "zero");
    assert_eq!(found(&mut reader, 32 * 1024), "end");
    assert_eq!(found(&mut reader, u64::MAX), "end");
    assert_eq!(
        found(&mut reader, 4096),
        "no group can start at offset 4096"
    );
    assert_eq!(reader.is_zero_from(24576).unwrap(), None);
    assert_eq!(reader.is_zero_from(20480).unwrap(), Some(20480));
}

#[test]
fn a_good_group_that_is_not_the_expected_one_is_invalid() {
    let disk = three_groups();
    let mut reader = reader(&disk);
    let expected = Expectation::first_of(reader.header().unwrap());
    let found = reader.group_at(20480, Some(&expected)).unwrap();
    assert!(
        matches!(
            found,
            Found::Invalid {
                why: GroupFault::UnexpectedLsn { .. },
                ..
            }
        ),
        "{found:?}"
    );
}

#[test]
fn groups_behind_a_bad_one_are_found_by_the_tail_scan() {
    let disk = three_groups();
    disk.corrupt(&segment_path(1), 16384 + 100, &[0xff])
        .unwrap();
    let mut reader = reader(&disk);
    let found = reader.group_at(12288, None).unwrap();
    assert!(
        matches!(
            found,
            Found::Invalid {
                why: GroupFault::PageChecksum { page: 1, .. },
                ..
            }
        ),
        "{found:?}"
    );
    let groups: Vec<_> = reader.tail_scan(12288).map(Result::unwrap).collect();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].offset_bytes, 20480);
    assert_eq!(groups[0].header.durable_lsn, Lsn::new(2));
    assert_eq!(reader.tail_scan(0).count(), 2);
    assert_eq!(reader.tail_scan(u64::MAX).count(), 0);
}

#[test]
fn one_good_header_copy_is_enough_and_the_bad_one_is_reported() {
    for bad in [0usize, 1] {
        let disk = three_groups();
        disk.corrupt(&segment_path(1), 4096 * bad as u64 + 50, &[0xff])
            .unwrap();
        let mut reader = reader(&disk);
        assert!(matches!(
            reader.header_copies()[bad],
            Err(HeaderFault::Checksum { .. })
        ));
        assert_eq!(reader.header().unwrap().segment, SegmentId::FIRST);
        let found = reader.group_at(8192, None).unwrap();
        assert!(matches!(found, Found::Group(_)), "{found:?}");
    }
    let disk = three_groups();
    disk.corrupt(&segment_path(1), 50, &[0xff]).unwrap();
    disk.corrupt(&segment_path(1), 4096, &[0; 4096]).unwrap();
    let mut reader = reader(&disk);
    assert!(matches!(reader.header(), Err(HeaderFault::Checksum { .. })));
    assert!(matches!(
        reader.group_at(8192, None).unwrap(),
        Found::Invalid {
            why: GroupFault::NoSegmentHeader,
            ..
        }
    ));
    assert_eq!(reader.tail_scan(0).count(), 0);
}

#[test]
fn a_foreign_store_and_an_exchanged_file_are_faults() {
    let disk = three_groups();
    let other = StoreUuid([1; 16]);
    let reader = SegmentReader::open(&disk, &dir(), SegmentId::FIRST, Some(other)).unwrap();
    assert!(matches!(
        reader.header(),
        Err(HeaderFault::ForeignStore { .. })
    ));
    disk.rename(&segment_path(1), &segment_path(2)).unwrap();
    let reader = SegmentReader::open(&disk, &dir(), SegmentId::new(2), Some(STORE)).unwrap();
    assert!(matches!(
        reader.header(),
        Err(HeaderFault::ForeignSegment { .. })
    ));
    assert!(read_marks(&disk, &dir(), Some(other)).unwrap().is_empty());
}

#[test]
fn a_truncated_segment_ends_where_the_file_ends() {
    for (bytes, groups) in [
        (0, 0),
        (4096, 0),
        (8192, 0),
        (12288, 1),
        (16384, 1),
        (20481, 2),
    ] {
        let disk = three_groups();
        let file = disk.open(&segment_path(1), OpenMode::Write).unwrap();
        file.set_len(bytes).unwrap();
        let mut reader = reader(&disk);
        assert_eq!(reader.file_bytes(), bytes);
        if bytes < 4096 {
            assert_eq!(
                reader.header(),
                Err(&HeaderFault::Short { found_bytes: bytes })
            );
        }
        assert_eq!(reader.tail_scan(0).count(), groups, "{bytes} bytes");
        if bytes == 16384 {
            assert!(matches!(
                reader.group_at(12288, None).unwrap(),
                Found::Invalid {
                    why: GroupFault::Short {
                        found_bytes: 4096,
                        needed_bytes: 8192
                    },
                    ..
                }
            ));
        }
    }
}

#[test]
fn a_refused_read_is_an_error_and_never_a_finding() {
    let disk = three_groups();
    disk.fail_reads(&segment_path(1), 20480..20481, io::ErrorKind::Other);
    let mut reader = reader(&disk);
    // What is only read ahead does not hide what can be read.
    assert!(matches!(reader.group_at(8192, None), Ok(Found::Group(_))));
    assert!(matches!(reader.group_at(12288, None), Ok(Found::Group(_))));
    for result in [
        reader.group_at(20480, None).map(|_| ()),
        reader.is_zero_from(20480).map(|_| ()),
        reader.tail_scan(20480).last().unwrap().map(|_| ()),
    ] {
        match result {
            Err(ReadError::Read { offset_bytes, .. }) => assert_eq!(offset_bytes, 20480),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        reader.tail_scan(0).filter(|found| found.is_err()).count(),
        1
    );
    disk.fail_reads(&mark_path(), 0..1, io::ErrorKind::Other);
    let marks = read_marks(&disk, &dir(), None);
    assert!(matches!(marks, Err(ReadError::Read { .. })), "{marks:?}");
}

#[test]
fn a_reader_of_a_live_segment_sees_groups_that_came_later() {
    let disk = SimDisk::new(1);
    let journal = create(&disk, small());
    let mut reader = reader(&disk);
    assert!(matches!(reader.group_at(8192, None), Ok(Found::Zero)));
    journal.append(KIND, 0, b"one").unwrap();
    journal.sync().unwrap();
    assert!(matches!(reader.group_at(8192, None), Ok(Found::Group(_))));
    assert!(matches!(reader.group_at(12288, None), Ok(Found::Zero)));
    journal.append(KIND, 0, b"two").unwrap();
    journal.sync().unwrap();
    assert!(matches!(reader.group_at(12288, None), Ok(Found::Group(_))));
}

#[test]
fn reading_changes_nothing() {
    let disk = three_groups();
    let ops = disk.ops();
    let mut reader = reader(&disk);
    let _ = reader.group_at(8192, None).unwrap();
    let _ = reader.tail_scan(0).count();
    read_marks(&disk, &dir(), None).unwrap();
    list(&disk, &dir()).unwrap();
    assert_eq!(disk.ops(), ops);
}
