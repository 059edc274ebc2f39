//! Every combination of what evidence can say about a history of two segments, against a table that
//! was written by hand from the prose: each row names what must hold, the first that does decides.

use super::*;
use crate::checkpoint::{CheckpointFault, CheckpointInfo, Meta};
use crate::facts::{CheckpointFacts, CheckpointState, Stop};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// The journal begins at LSN 1.
    FromOne,
    /// It begins later, and a checkpoint covers what is before.
    Covered,
    /// It begins later, and nothing does.
    Uncovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    Joins,
    Missing,
    EarlyEnd,
    OtherChain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastFile {
    Good,
    NoHeader,
    Short,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    None,
    /// Groups behind the end that know nothing of the record expected there.
    Unknowing,
    /// Groups behind the end that call it durable.
    Witness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    Agrees,
    /// It names a place behind the end, with the last record.
    Beyond,
    /// It calls the record that is expected at the end durable.
    Witness,
    Differs,
    /// It names a segment behind the last.
    NextSegment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoint {
    None,
    Below,
    /// It holds the record that is expected at the end.
    Witness,
    /// The same, and its blocks are damaged.
    DamagedWitness,
}

#[derive(Clone, Copy, Debug)]
struct Facts {
    base: Base,
    join: Join,
    file: LastFile,
    scraps: bool,
    later: Later,
    mark: Mark,
    checkpoint: Checkpoint,
    live: bool,
    refused: bool,
    newer: bool,
}

/// LSN 1 to 4 (or 21 to 24) in segment 1, the next four in segment 2.
fn evidence(facts: &Facts) -> Evidence {
    let first = if facts.base == Base::FromOne { 1 } else { 21 };
    let (mut before, mut last) = (segment(1, first, 4), segment(2, first + 4, 4));
    let end = first + 8;
    match facts.join {
        Join::Joins => {}
        Join::Missing => last = segment(3, first + 4, 4),
        Join::EarlyEnd => {
            before.end_offset_bytes -= 4096;
            before.expected = Lsn::new(first + 3);
            before.stop = Stop::Invalid("checksum".to_owned());
        }
        Join::OtherChain => before.chain += 1,
    }
    match facts.file {
        LastFile::Good => {}
        LastFile::NoHeader => {
            last = SegmentFacts {
                stop: Stop::Header("checksum".to_owned()),
                predecessor: None,
                first_lsn: None,
                stated_bytes: 0,
                end_offset_bytes: 0,
                expected: Lsn::ZERO,
                durable: None,
                groups: 0,
                records: 0,
                ..last
            };
        }
        LastFile::Short => last.file_bytes -= 1,
    }
    if facts.scraps {
        last.scraps_end_bytes = Some(40960);
    }
    last.later = match facts.later {
        Later::None => LaterGroups::default(),
        Later::Unknowing => LaterGroups {
            groups: 1,
            records: 2,
            durable: Some((Lsn::new(end - 1), 32768)),
            ..LaterGroups::default()
        },
        Later::Witness => LaterGroups {
            groups: 1,
            records: 2,
            durable: Some((Lsn::new(end), 32768)),
            ..LaterGroups::default()
        },
    };
    let id = last.id.get();
    let marks = match facts.mark {
        Mark::None => vec![],
        Mark::Agrees => vec![mark(end - 1, id, 24576, MarkedPlace::Agrees)],
        Mark::Beyond => vec![mark(end - 1, id, 28672, MarkedPlace::Beyond)],
        Mark::Witness => vec![mark(end, id, 28672, MarkedPlace::Beyond)],
        Mark::Differs => vec![mark(end - 2, id, 20480, MarkedPlace::Differs)],
        Mark::NextSegment => vec![mark(end - 1, id + 1, 8192, MarkedPlace::Missing)],
    };
    let mut checkpoints = Vec::new();
    let meta = |lsn| {
        Meta::new(
            torrens_journal::StoreUuid([1; 16]),
            Lsn::new(lsn),
            Boot::new(1),
        )
    };
    let valid = |lsn| CheckpointFacts {
        lsn: Lsn::new(lsn),
        path: "c".into(),
        state: CheckpointState::Valid(CheckpointInfo {
            meta: meta(lsn),
            path: "c".into(),
            bytes: 0,
            items: 0,
            blocks: 0,
        }),
    };
    match facts.checkpoint {
        Checkpoint::None => {}
        Checkpoint::Below => checkpoints.push(valid(first + 1)),
        Checkpoint::Witness => checkpoints.push(valid(end)),
        Checkpoint::DamagedWitness => checkpoints.push(CheckpointFacts {
            state: CheckpointState::Invalid(CheckpointFault::Magic { found: 0 }, Some(meta(end))),
            ..valid(end)
        }),
    }
    if facts.base == Base::Covered {
        checkpoints.push(valid(first - 1));
    }
    let newest = checkpoints
        .iter()
        .position(|file| file.state.info().is_some());
    let refusal = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    Evidence {
        segments: vec![before, last],
        mark_file: !marks.is_empty(),
        marks,
        newest_valid: newest,
        start: newest,
        checkpoints,
        read_failure: facts
            .refused
            .then(|| crate::evidence::failure("read".to_owned(), refusal)),
        newer_format: facts.newer.then(|| NewerFormat {
            place: "segment".to_owned(),
            what: "9.0".to_owned(),
        }),
        ..Evidence::default()
    }
}

/// The second table. Exit codes: 0 clean, 3 torn tail, 4 loss at the end, 5 damage in the middle.
fn expected(facts: &Facts) -> u8 {
    let checkpoint_reaches = match facts.checkpoint {
        Checkpoint::Below | Checkpoint::Witness => true,
        Checkpoint::None | Checkpoint::DamagedWitness => facts.base == Base::Covered,
    };
    let last_has_records = facts.file != LastFile::NoHeader;
    let scrap_records = facts.later != Later::None;
    let witnessed = facts.later == Later::Witness
        || matches!(facts.mark, Mark::Beyond | Mark::Witness)
        || matches!(
            facts.checkpoint,
            Checkpoint::Witness | Checkpoint::DamagedWitness
        );
    let by_rest = |rest| if rest { 5 } else { 4 };
    if facts.refused {
        return 8;
    }
    if facts.newer {
        return 7;
    }
    // In the journal's order: what is before it, segment 1 to 2, segment 2 itself, what comes behind.
    if facts.base != Base::FromOne && !checkpoint_reaches {
        return 5;
    }
    let header_can_speak = facts.file != LastFile::NoHeader;
    if facts.join == Join::Missing || (facts.join != Join::Joins && header_can_speak) {
        return by_rest(last_has_records || scrap_records);
    }
    if facts.file != LastFile::Good || facts.mark == Mark::Differs {
        return by_rest(scrap_records);
    }
    if facts.mark == Mark::NextSegment {
        return by_rest(scrap_records);
    }
    if witnessed {
        return by_rest(scrap_records);
    }
    if facts.scraps && !facts.live { 3 } else { 0 }
}

#[test]
fn every_combination_of_evidence_has_the_verdict_of_the_second_table() {
    let flags = [false, true];
    let mut met = std::collections::BTreeMap::new();
    let mut combinations = 0u32;
    for base in [Base::FromOne, Base::Covered, Base::Uncovered] {
        for join in [Join::Joins, Join::Missing, Join::EarlyEnd, Join::OtherChain] {
            for file in [LastFile::Good, LastFile::NoHeader, LastFile::Short] {
                for later in [Later::None, Later::Unknowing, Later::Witness] {
                    for mark in [
                        Mark::None,
                        Mark::Agrees,
                        Mark::Beyond,
                        Mark::Witness,
                        Mark::Differs,
                        Mark::NextSegment,
                    ] {
                        for checkpoint in [
                            Checkpoint::None,
                            Checkpoint::Below,
                            Checkpoint::Witness,
                            Checkpoint::DamagedWitness,
                        ] {
                            for bits in 0..16u8 {
                                let flag = |at: u8| flags[usize::from(bits >> at & 1)];
                                let facts = Facts {
                                    base,
                                    join,
                                    file,
                                    scraps: flag(0),
                                    later,
                                    mark,
                                    checkpoint,
                                    live: flag(1),
                                    refused: flag(2),
                                    newer: flag(3),
                                };
                                let verdict = judge(&evidence(&facts), facts.live);
                                assert_eq!(
                                    verdict.exit_code(),
                                    expected(&facts),
                                    "{facts:?}: {verdict:?}"
                                );
                                *met.entry(verdict.name()).or_insert(0u32) += 1;
                                combinations += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(combinations, 3 * 4 * 3 * 3 * 6 * 4 * 16);
    for name in [
        "clean",
        "torn-tail",
        "corrupt-acked-loss",
        "corrupt-mid-log",
        "newer-format",
        "unreadable",
    ] {
        assert!(met.contains_key(name), "{name} was never met: {met:?}");
    }
}
