//! The verdict over every combination of facts, and over hand-made evidence for every cause.

use torrens_journal::Boot;

mod combinations;

use super::judge::{Finding, Summary, decide};
use super::*;
use crate::facts::{Evidence, LaterGroups, MarkFacts, MarkedPlace, SegmentFacts};

/// `?` matches both values. Columns: refused, newer, breached, witnessed, scraps, records after, live.
/// Written by hand from the prose in lib.rs, not from `decide`. The first matching row counts.
const TABLE: &[(&str, Finding)] = &[
    ("1??????", Finding::Unreadable),
    ("01?????", Finding::NewerFormat),
    ("001??1?", Finding::MidLog),
    ("001??0?", Finding::AckedLoss),
    ("0001?1?", Finding::MidLog),
    ("0001?0?", Finding::AckedLoss),
    ("00001?0", Finding::TornTail),
    ("00001?1", Finding::Clean),
    ("00000??", Finding::Clean),
];

#[test]
fn every_combination_of_facts_has_the_finding_that_the_table_lists() {
    for bits in 0u32..1 << 7 {
        let fact = |index: u32| bits & (1 << (6 - index)) != 0;
        let summary = Summary {
            refused: fact(0),
            newer: fact(1),
            breached: fact(2),
            witnessed: fact(3),
            scraps: fact(4),
            records_after: fact(5),
            live: fact(6),
        };
        let key = format!("{bits:07b}");
        let expected = TABLE
            .iter()
            .find(|(row, _)| {
                row.chars()
                    .zip(key.chars())
                    .all(|(r, k)| r == '?' || r == k)
            })
            .map(|(_, finding)| *finding)
            .unwrap_or_else(|| panic!("the table has no row for {key}"));
        assert_eq!(decide(summary), expected, "facts {key}");
    }
}

#[test]
fn every_row_of_the_table_is_the_first_match_of_some_combination() {
    let mut used = vec![false; TABLE.len()];
    for bits in 0u32..1 << 7 {
        let key = format!("{bits:07b}");
        let row = TABLE.iter().position(|(row, _)| {
            row.chars()
                .zip(key.chars())
                .all(|(r, k)| r == '?' || r == k)
        });
        used[row.expect("every combination has a row")] = true;
    }
    assert!(used.iter().all(|used| *used), "dead rows: {used:?}");
}

/// A whole segment with `records` records from `first`, one group each of one page.
fn segment(id: u64, first: u64, records: u64) -> SegmentFacts {
    let end_offset_bytes = 8192 + 4096 * records;
    SegmentFacts {
        id: SegmentId::new(id),
        file_bytes: 65536,
        stated_bytes: 65536,
        first_lsn: Some(Lsn::new(first)),
        predecessor: (id > 1).then(|| Predecessor {
            segment: SegmentId::new(id - 1),
            last_lsn: Lsn::new(first - 1),
            end_offset_bytes,
            chain: (id as u32 - 1) * 7,
        }),
        groups: records,
        records,
        end_offset_bytes,
        expected: Lsn::new(first + records),
        chain: id as u32 * 7,
        group_number: records as u32,
        sealed: false,
        boot: Boot::new(1),
        durable: records
            .checked_sub(1)
            .map(|before| (Lsn::new(first + before - 1), 8192)),
        stop: Stop::Zero,
        header_copy_bad: None,
        scraps_end_bytes: None,
        unread_from_bytes: None,
        later: LaterGroups::default(),
    }
}

/// Three segments of four records each: LSN 1 to 12, the witness is 11.
fn whole() -> Evidence {
    Evidence {
        segments: vec![segment(1, 1, 4), segment(2, 5, 4), segment(3, 9, 4)],
        ..Evidence::default()
    }
}

fn mark(durable: u64, segment: u64, end_offset_bytes: u64, place: MarkedPlace) -> MarkFacts {
    MarkFacts {
        number: 1,
        durable: Lsn::new(durable),
        segment: SegmentId::new(segment),
        end_offset_bytes,
        chain: 0,
        boot: Boot::new(1),
        clean_close: false,
        place,
    }
}

fn corruption(evidence: &Evidence) -> Corruption {
    match judge(evidence, false) {
        Verdict::Corrupt(corruption) => corruption,
        other => panic!("{other:?} is not corruption"),
    }
}

#[test]
fn a_whole_history_with_zeros_behind_it_is_clean() {
    let verdict = judge(&whole(), false);
    assert_eq!((verdict.name(), verdict.exit_code()), ("clean", 0));
}

#[test]
fn scraps_above_the_witness_are_a_torn_tail_and_in_flight_on_a_live_directory() {
    let mut evidence = whole();
    evidence.segments[2].stop = Stop::Invalid("checksum".to_owned());
    evidence.segments[2].scraps_end_bytes = Some(32768);
    evidence.segments[2].later = LaterGroups {
        groups: 1,
        records: 3,
        ..LaterGroups::default()
    };
    let Verdict::TornTail(torn) = judge(&evidence, false) else {
        panic!("not torn")
    };
    assert_eq!(torn.position, evidence.segments[2].position());
    assert_eq!(torn.position.expected, Lsn::new(13));
    assert_eq!((torn.cut_bytes(), torn.later_groups), (32768 - 24576, 1));
    assert_eq!(judge(&evidence, true).name(), "clean");
}

#[test]
fn a_later_group_that_carries_the_missing_record_as_durable_makes_it_corrupt_mid_log() {
    let mut evidence = whole();
    evidence.segments[2].scraps_end_bytes = Some(32768);
    let durable = Some((Lsn::new(13), 28672));
    evidence.segments[2].later = LaterGroups {
        groups: 1,
        records: 3,
        durable,
        ..LaterGroups::default()
    };
    let corruption = corruption(&evidence);
    assert_eq!(
        (corruption.kind, corruption.records_after),
        (CorruptKind::MidLog, 3)
    );
    assert_eq!(
        corruption.witness.map(|witness| witness.lsn),
        Some(Lsn::new(13))
    );
}

#[test]
fn a_zero_end_below_a_mark_or_a_checkpoint_is_an_acknowledged_loss() {
    let mut evidence = whole();
    evidence.marks = vec![mark(13, 3, 28672, MarkedPlace::Beyond)];
    let found = corruption(&evidence);
    assert_eq!(found.kind, CorruptKind::AckedLoss);
    assert_eq!(found.cause, Cause::Group(Stop::Zero));
    assert_eq!(
        judge(&evidence, true).exit_code(),
        4,
        "a witness counts on a live directory too"
    );
}

#[test]
fn a_mark_behind_the_end_proves_a_lost_group_that_held_no_record() {
    let mut evidence = whole();
    evidence.marks = vec![mark(12, 3, 28672, MarkedPlace::Beyond)];
    let found = corruption(&evidence);
    assert_eq!(found.position, evidence.segments[2].position());
    assert_eq!(
        found.witness.and_then(|witness| witness.offset_bytes),
        Some(28672)
    );
}

#[test]
fn a_sealed_segment_that_ends_before_its_successor_says_is_corrupt() {
    let mut evidence = whole();
    evidence.segments[1].end_offset_bytes -= 4096;
    evidence.segments[1].expected = Lsn::new(8);
    evidence.segments[1].stop = Stop::Invalid("checksum".to_owned());
    let found = corruption(&evidence);
    assert_eq!(found.position, evidence.segments[1].position());
    assert_eq!(
        found.cause,
        Cause::Group(Stop::Invalid("checksum".to_owned()))
    );
    assert_eq!((found.kind, found.records_after), (CorruptKind::MidLog, 4));
}

#[test]
fn a_missing_segment_is_corrupt_wherever_it_was() {
    for (missing, expected, kind) in [
        (0, 1, CorruptKind::MidLog),
        (1, 5, CorruptKind::MidLog),
        (2, 9, CorruptKind::AckedLoss),
    ] {
        let mut evidence = whole();
        // The mark in the last segment is what notices that the last segment is gone.
        evidence.marks = vec![mark(8, 3, 8192, MarkedPlace::Missing)];
        evidence.segments.remove(missing);
        let found = corruption(&evidence);
        assert_eq!(
            (found.position.expected, found.kind),
            (Lsn::new(expected), kind)
        );
    }
    let nothing = Evidence {
        marks: vec![mark(3, 1, 12288, MarkedPlace::Missing)],
        ..Evidence::default()
    };
    assert_eq!(corruption(&nothing).kind, CorruptKind::AckedLoss);
    let only_a_mark_file = Evidence {
        mark_file: true,
        ..Evidence::default()
    };
    assert_eq!(corruption(&only_a_mark_file).position.expected, Lsn::FIRST);
    assert!(Evidence::default().is_no_journal() && !only_a_mark_file.is_no_journal());
}

#[test]
fn a_chain_that_does_not_join_is_corrupt() {
    let mut evidence = whole();
    evidence.segments[0].chain += 1;
    assert!(matches!(corruption(&evidence).cause, Cause::Stitch { .. }));
    let mut evidence = whole();
    evidence.segments[1].end_offset_bytes += 4096;
    assert!(matches!(corruption(&evidence).cause, Cause::Stitch { .. }));
}

#[test]
fn a_header_a_length_and_a_mark_that_are_wrong_are_corrupt() {
    let mut evidence = whole();
    let header = segment(3, 9, 0);
    evidence.segments[2] = SegmentFacts {
        stop: Stop::Header("checksum".to_owned()),
        predecessor: None,
        first_lsn: None,
        end_offset_bytes: 0,
        ..header
    };
    let found = corruption(&evidence);
    assert_eq!(found.cause, Cause::Header("checksum".to_owned()));
    assert_eq!(found.kind, CorruptKind::AckedLoss);
    assert_eq!(
        (found.position.offset_bytes, found.position.expected),
        (0, Lsn::new(9))
    );

    let mut evidence = whole();
    evidence.segments[2].file_bytes -= 1;
    assert!(matches!(
        corruption(&evidence).cause,
        Cause::Short {
            file_bytes: 65535,
            ..
        }
    ));

    let mut evidence = whole();
    evidence.marks = vec![mark(9, 3, 12288, MarkedPlace::Differs)];
    assert_eq!(
        corruption(&evidence).cause,
        Cause::MarkDisagrees {
            durable: Lsn::new(9)
        }
    );
}

#[test]
fn the_first_breach_in_journal_order_is_the_one_reported() {
    let mut evidence = whole();
    evidence.segments[0].end_offset_bytes -= 4096;
    evidence.segments[0].expected = Lsn::new(4);
    evidence.segments[2].file_bytes -= 1;
    assert_eq!(corruption(&evidence).position.segment, SegmentId::new(1));
}

#[test]
fn what_could_not_be_read_is_never_judged() {
    let mut evidence = whole();
    evidence.segments[0].chain += 1;
    evidence.newer_format = Some(NewerFormat {
        place: "segment 4".to_owned(),
        what: "format 9.0".to_owned(),
    });
    assert_eq!(judge(&evidence, false).exit_code(), 7);
    let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    evidence.read_failure = Some(crate::evidence::failure("read".to_owned(), error));
    assert_eq!(judge(&evidence, false).exit_code(), 8);
}
