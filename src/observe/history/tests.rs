//! The history by itself, on a simulated disk: what is kept is what is read, gaps show, large entries
//! come in parts, crashes leave a prefix, and damage is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};
use torrens_journal::{JournalOptions, Lsn, StoreUuid};

use super::*;
use crate::lifecycle::INITIAL_INDEX;
use crate::store::WriteBatch;
use crate::{Incarnation, KeyRange, RaftPosition, RegionId};

const SEGMENT_BYTES: u64 = 64 * 1024;

fn incarnation(lsn: u64) -> Incarnation {
    Incarnation::new(Lsn::new(lsn))
}

fn place(disk: &SimDisk) -> Place {
    Place {
        dir: PathBuf::from("store/history"),
        disk: Arc::new(disk.clone()),
        store: StoreUuid([7; 16]),
        options: JournalOptions::new().segment_bytes(SEGMENT_BYTES),
    }
}

/// The history, if the process lives long enough to make it.
fn try_history(disk: &SimDisk) -> Option<History> {
    disk.create_dir_all(Path::new("store")).ok()?;
    let aside = Path::new("store/history.unusable-1");
    let opened = open(place(disk), HistorySettings::default(), aside).ok()?;
    opened.history.want([KeyRange::all()]).ok()?;
    Some(opened.history)
}

fn opened(disk: &SimDisk) -> OpenedHistory {
    disk.create_dir_all(Path::new("store")).unwrap();
    let aside = Path::new("store/history.unusable-1");
    let opened = open(place(disk), HistorySettings::default(), aside).unwrap();
    opened.history.want([KeyRange::all()]).unwrap();
    opened
}

fn history(disk: &SimDisk) -> History {
    let OpenedHistory { history, lost } = opened(disk);
    assert_eq!(lost, None);
    history
}

fn head(region: u64, index: u64, previous: u64) -> EntryHead {
    EntryHead {
        region: RegionId(region),
        incarnation: incarnation(3),
        version: 1,
        position: RaftPosition { index, term: 6 },
        previous,
        wall_clock_micros: index,
    }
}

fn batch(text: &str, bytes: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(text.as_bytes(), vec![b'v'; bytes]);
    batch
}

/// Every complete entry from the beginning: region, index and bytes of the changes.
fn all(history: &History, early: bool) -> Vec<(u64, u64, usize)> {
    let oldest = history.stats().oldest;
    let mut reader = HistoryReader::at(oldest, "test".to_owned());
    let mut parts: BTreeMap<RegionId, Vec<u8>> = BTreeMap::new();
    let mut entries = Vec::new();
    let mut take = |read: Read<'_>| {
        let decoded = crate::codec::decode_history(read.kind, read.payload);
        let (record, changes) = decoded.unwrap().unwrap();
        let HistoryRecord::Changes { head, part } = record else {
            return;
        };
        let bytes = parts.entry(head.region).or_default();
        if part.number == 0 {
            bytes.clear();
        }
        bytes.extend_from_slice(changes);
        if part.is_last {
            let mut rest = bytes.as_slice();
            let change = crate::codec::take_change(&mut rest).unwrap();
            assert!(rest.is_empty());
            let ChangeOp::Put { value, .. } = change.op else {
                panic!("{change:?}");
            };
            entries.push((head.region.0, head.position.index, value.len()));
        }
    };
    let until = history.readable(early);
    while history.read(&mut reader, until, &mut take).unwrap() > 0 {}
    entries
}

#[test]
fn what_is_durable_is_read_in_order_and_what_is_not_only_by_who_asks_for_it() {
    let disk = SimDisk::new(1);
    let history = history(&disk);
    history.append_entry(&head(1, 6, 5), &batch("a", 3));
    history.append_entry(&head(2, 6, 5), &batch("b", 4));
    assert_eq!(all(&history, false), vec![]);
    assert_eq!(all(&history, true), vec![(1, 6, 3), (2, 6, 4)]);
    history.sync();
    history.append_entry(&head(1, 7, 6), &batch("a", 5));
    assert_eq!(all(&history, false), vec![(1, 6, 3), (2, 6, 4)]);
    assert_eq!(all(&history, true).len(), 3);
}

#[test]
fn an_entry_that_is_larger_than_a_record_is_read_whole_or_not_at_all() {
    let disk = SimDisk::new(2);
    let before = history(&disk);
    before.append_entry(&head(1, 6, 5), &batch("a", 3));
    before.append_entry(&head(1, 7, 6), &batch("b", 300_000));
    before.append_entry(&head(1, 8, 7), &batch("c", 1));
    before.sync();
    assert!(before.stats().appended > Lsn::new(5));
    let whole = vec![(1, 6, 3), (1, 7, 300_000), (1, 8, 1)];
    assert_eq!(all(&before, false), whole);
    // Out of the files, too.
    let disk = disk.power_cut(CutChoice::LoseAll);
    let after = history(&disk);
    assert_eq!(all(&after, false), whole);
    assert_eq!(after.newest(RegionId(1)).unwrap().last.index, 8);
    // Where a crash left some parts, the entry is not there, and is kept anew when it comes again.
    let (head, part) = (
        head(1, 9, 8),
        EntryPart {
            number: 0,
            is_last: false,
        },
    );
    let mut payload = Vec::new();
    crate::codec::put_head(&mut payload, &head, part);
    payload.extend_from_slice(&[0; 900]);
    let record = HistoryRecord::Changes { head, part };
    let kind = crate::codec::KIND_CHANGES;
    after.lock().append(kind, payload, &record).unwrap();
    after.sync();
    let cut = history(&disk.power_cut(CutChoice::LoseAll));
    assert_eq!(cut.stats().appended, after.stats().appended);
    assert_eq!(cut.newest(RegionId(1)).unwrap().last.index, 8);
    assert_eq!(all(&cut, true), whole);
    cut.append_entry(&head, &batch("d", 70_000));
    assert_eq!(all(&cut, true).last(), Some(&(1, 9, 70_000)));
}

#[test]
fn what_comes_again_is_recognised_and_a_gap_begins_anew() {
    let disk = SimDisk::new(3);
    let history = history(&disk);
    history.append_entry(&head(1, 6, 5), &batch("a", 1));
    history.append_entry(&head(1, 8, 6), &batch("a", 2));
    assert_eq!(history.start(RegionId(1), 6), Start::At(Lsn::new(1)));
    history.append_entry(&head(1, 8, 6), &batch("a", 9));
    history.append_entry(&head(1, 6, 5), &batch("a", 9));
    assert_eq!(all(&history, true), vec![(1, 6, 1), (1, 8, 2)]);
    assert_eq!(history.start(RegionId(1), 5), Start::At(Lsn::new(1)));
    assert_eq!(history.start(RegionId(1), 8), Start::End);
    assert_eq!(history.start(RegionId(2), 5), Start::Unknown);
    // Index 9 was never kept.
    history.append_entry(&head(1, 10, 9), &batch("a", 3));
    assert_eq!(history.start(RegionId(1), 8), Start::Gone { base: 9 });
    assert_eq!(history.start(RegionId(1), 9), Start::At(Lsn::new(3)));
    // Another creation of the peer is another history, whatever its numbers are.
    let other = EntryHead {
        incarnation: incarnation(40),
        ..head(1, 11, 10)
    };
    history.append_entry(&other, &batch("a", 4));
    assert_eq!(history.start(RegionId(1), 9), Start::Gone { base: 10 });
}

/// After a crash the data may be behind the history, and the host sends what the data lacks. What nobody needed of
/// that is gone by then (torture, seed 207: a region that came back by an older snapshot).
#[test]
fn what_was_let_go_is_kept_when_it_comes_again() {
    let disk = SimDisk::new(8);
    let before = history(&disk);
    for index in 6..=9 {
        before.append_entry(&head(1, index, index - 1), &batch("a", index as usize));
    }
    before.sync();
    before.trim(Lsn::new(5)).unwrap();
    let disk = disk.power_cut(CutChoice::LoseAll);
    let after = history(&disk);
    assert_eq!(after.start(RegionId(1), 9), Start::End);
    assert_eq!(after.start(RegionId(1), 5), Start::Gone { base: 9 });
    after.append_entry(&head(1, 6, 5), &batch("a", 16));
    after.append_entry(&head(1, 7, 6), &batch("a", 17));
    // What comes again while it is there is not kept twice.
    after.append_entry(&head(1, 6, 5), &batch("a", 99));
    for index in 8..=10 {
        after.append_entry(&head(1, index, index - 1), &batch("a", 10 + index as usize));
    }
    assert_eq!(after.start(RegionId(1), 5), Start::At(Lsn::new(5)));
    assert_eq!(after.newest(RegionId(1)).unwrap().base, 5);
    let again: Vec<_> = (6..=10)
        .map(|index| (1, index, 10 + index as usize))
        .collect();
    let entries = all(&after, true);
    assert_eq!(entries.get(entries.len() - 5..), Some(again.as_slice()));
    // So it is after a restart, out of the records alone, whatever is left of those that were let go.
    after.sync();
    let last = history(&disk.power_cut(CutChoice::LoseAll));
    assert_eq!(last.start(RegionId(1), 5), Start::At(Lsn::new(5)));
    let mut index = last.with_index(Clone::clone);
    index.forget_below(Lsn::new(5));
    assert_eq!(index.start(RegionId(1), 5), Start::At(Lsn::new(5)));
}

#[test]
fn changes_go_on_behind_an_event_and_across_a_snapshot_only_with_one() {
    let disk = SimDisk::new(4);
    let history = history(&disk);
    let lineage = |lsn: u64, region: u64, index: u64, event| Lineage {
        lsn: Lsn::new(lsn),
        region: RegionId(region),
        incarnation: incarnation(3),
        position: RaftPosition { index, term: 6 },
        data_index: index - 1,
        event,
        wall_clock_micros: 0,
    };
    history.append_entry(&head(1, 6, 5), &batch("a", 1));
    let split = LineageEvent::Split {
        version: 2,
        derive: crate::Derive::Left,
        boundaries: vec![(*b"m").as_slice().into()],
        children: vec![LineageChild {
            region: RegionId(2),
            is_here: true,
        }],
    };
    history.append_lineage(lineage(9, 1, 7, split));
    assert_eq!(history.meta_lsn(), Lsn::new(9));
    // The child begins at the event, with everything that it will ever have.
    assert_eq!(
        history.start(RegionId(2), INITIAL_INDEX),
        Start::End,
        "nothing was written to it yet"
    );
    let child = EntryHead {
        incarnation: incarnation(9),
        ..head(2, 6, 5)
    };
    history.append_entry(&child, &batch("x", 1));
    assert_eq!(history.start(RegionId(2), 5), Start::At(Lsn::new(3)));
    // The parent has not been read to its event by who is at 6.
    assert_eq!(history.start(RegionId(1), 6), Start::At(Lsn::new(1)));
    assert_eq!(history.start(RegionId(1), 7), Start::End);
    history.append_entry(&head(1, 8, 6), &batch("a", 2));
    assert_eq!(history.newest(RegionId(1)).unwrap().base, 5);
    // A snapshot jumps ahead; who reads on meets it.
    let applied = LineageEvent::SnapshotApplied {
        range: KeyRange::all(),
        version: 2,
    };
    let mut snapshot = lineage(12, 1, 60, applied);
    snapshot.data_index = 60;
    history.append_lineage(snapshot);
    history.append_entry(&head(1, 61, 60), &batch("a", 3));
    assert!(matches!(history.start(RegionId(1), 7), Start::At(lsn) if lsn <= Lsn::new(4)));
    assert_eq!(history.start(RegionId(1), 60), Start::At(Lsn::new(6)));
    history.append_lineage(lineage(13, 1, 61, LineageEvent::Destroyed));
    assert!(history.newest(RegionId(1)).unwrap().is_closed);
    assert!(matches!(history.start(RegionId(1), 61), Start::At(_)));
}

#[test]
fn trimming_keeps_what_is_needed_and_says_what_is_gone() {
    let disk = SimDisk::new(5);
    let before = history(&disk);
    for index in 6..600 {
        before.append_entry(&head(1, index, index - 1), &batch("a", 1000));
        before.append_entry(&head(2, index, index - 1), &batch("b", 1));
        if index % 100 == 0 {
            before.sync();
            assert!(before.is_trim_due());
            before.trim(Lsn::ZERO).unwrap();
            assert!(!before.is_trim_due());
        }
    }
    before.sync();
    let Start::At(needed) = before.start(RegionId(1), 300) else {
        panic!("300 is there");
    };
    let files = before.stats().file_bytes;
    before.trim(needed).unwrap();
    assert!(before.stats().file_bytes < files * 2 / 3, "segments went");
    assert!(before.stats().oldest <= needed);
    let check = |history: &History| {
        assert!(matches!(history.start(RegionId(1), 300), Start::At(_)));
        assert!(matches!(history.start(RegionId(1), 10), Start::Gone { base } if base <= 300));
        let entries = all(history, false);
        assert!(entries.contains(&(1, 301, 1000)));
        assert_eq!(entries.last(), Some(&(2, 599, 1)));
    };
    check(&before);
    // Exactly so after a restart: the index was written down, and the rest is read.
    let mut index = before.with_index(Clone::clone);
    index.forget_below(needed);
    let after = history(&disk.power_cut(CutChoice::LoseAll));
    check(&after);
    assert_eq!(after.with_index(Clone::clone), index);
}

#[test]
fn how_far_a_region_had_come_is_known_when_all_of_it_was_trimmed() {
    let disk = SimDisk::new(6);
    let history = history(&disk);
    history.append_entry(&head(1, 6, 5), &batch("a", 1));
    history.append_entry(&head(1, 7, 6), &batch("a", 1));
    let mut index = history.with_index(Clone::clone);
    index.forget_below(Lsn::new(9));
    assert_eq!(index.start(RegionId(1), 7), Start::End);
    assert_eq!(index.start(RegionId(1), 6), Start::Gone { base: 7 });
    // Merged into another one at an entry that changed nothing: there is nothing left to be told, and no gap.
    let merged = |lsn, event| {
        HistoryRecord::Lineage(Lineage {
            lsn: Lsn::new(lsn),
            region: RegionId(2),
            incarnation: incarnation(3),
            position: RaftPosition { index: 20, term: 6 },
            data_index: 19,
            event,
            wall_clock_micros: 0,
        })
    };
    let event = LineageEvent::Merged {
        version: 3,
        source: RegionId(1),
        source_incarnation: incarnation(3),
    };
    index.note(Lsn::new(9), 10, &merged(12, event));
    assert!(matches!(index.start(RegionId(1), 7), Start::At(_)));
    // What has ended goes, as soon as nobody needs it.
    index.forget_below(Lsn::new(10));
    assert_eq!(index.start(RegionId(1), 7), Start::Unknown);
}

#[test]
fn a_crash_at_any_operation_leaves_a_prefix_that_covers_every_sync() {
    let run = |disk: &SimDisk| {
        // A process that dies while it opens has promised nothing.
        let Some(history) = try_history(disk) else {
            return 0;
        };
        let mut durable = 0;
        for index in 6..60 {
            history.append_entry(&head(1, index, index - 1), &batch("a", 3000));
            if index % 7 == 0 {
                history.sync();
                let stats = history.stats();
                if stats.synced == stats.appended && stats.missed == 0 {
                    durable = index;
                }
            }
            if index % 20 == 0 {
                let _ = history.trim(Lsn::ZERO);
            }
        }
        durable
    };
    let whole = SimDisk::new(6);
    run(&whole);
    let operations = whole.ops();
    let mut cuts = 0;
    for operation in (1..operations).step_by(3) {
        let disk = SimDisk::new(6);
        disk.fail_at(operation, SimFault::Dies);
        let durable = run(&disk);
        let cut = disk.power_cut(CutChoice::Seeded(operation));
        let after = history(&cut);
        let entries = all(&after, true);
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.1).collect();
        let expected: Vec<u64> = (6..6 + indexes.len() as u64).collect();
        assert_eq!(indexes, expected, "operation {operation}");
        assert!(
            indexes.last().copied().unwrap_or(5) >= durable.max(5),
            "operation {operation}: {durable} was durable"
        );
        let known = after.newest(RegionId(1)).map_or(5, |span| span.last.index);
        assert_eq!(known, indexes.last().copied().unwrap_or(5));
        cuts += 1;
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_damaged_or_foreign_history_is_set_aside_and_said_to_be() {
    let disk = SimDisk::new(7);
    let before = history(&disk);
    for index in 6..40 {
        before.append_entry(&head(1, index, index - 1), &batch("a", 1000));
        before.sync();
    }
    before.close();
    drop(before);
    let dir = Path::new("store/history/journal");
    let segment = disk
        .list(dir)
        .unwrap()
        .into_iter()
        .find(|entry| entry.name.ends_with(".seg"))
        .unwrap();
    let path = dir.join(&segment.name);
    disk.corrupt(&path, 3 * 4096, &[0xee; 4096]).unwrap();
    let OpenedHistory { history, lost } = opened(&disk);
    assert!(lost.unwrap().contains("corrupt"));
    assert_eq!(history.start(RegionId(1), 39), Start::Unknown);
    history.append_entry(&head(1, 41, 40), &batch("a", 1));
    history.close();
    drop(history);
    let mut foreign = place(&disk);
    foreign.store = StoreUuid([8; 16]);
    let aside = Path::new("store/history.unusable-2");
    let opened = open(foreign, HistorySettings::default(), aside).unwrap();
    assert!(opened.lost.unwrap().contains("another store"));
    assert!(!opened.history.stats().is_open);
}
