//! What is told of one region: large entries in parts, entries of which nothing is wanted, and what lies
//! between files and memory, each once and in order.

use torrens::store::Lost;
use torrens::{ObserverPolicy, StartFrom, WriteBatch};
use torrens_journal::testing::CutChoice;

use super::*;

#[test]
fn an_entry_larger_than_a_record_is_told_in_parts_and_acknowledged_as_a_whole() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    let mut subscription = subscribe(&engine, observer);
    let mut batch = WriteBatch::new();
    for number in 0..40 {
        batch.put(key(&format!("k{number:06}")), vec![number; 9_000]);
    }
    written(engine.write(RegionId(1), support::EPOCH, at(6), &batch)).unwrap();
    engine.flush().unwrap();
    let (mut changes, mut parts, mut subs) = (0, 0, Vec::new());
    while let Some(item) = subscription.try_next().unwrap() {
        let FeedItem::Entry(entry) = item else {
            continue;
        };
        parts += 1;
        changes += entry.changes.len();
        subs.extend(entry.changes.iter().map(|change| change.sub));
        let answer = ack(&engine, observer, 1, 6);
        let is_taken = matches!(answer, AckAnswer::Acknowledged);
        assert_eq!(is_taken, entry.is_last, "part {parts}: {answer:?}");
    }
    assert!(parts > 1, "{parts} parts");
    assert_eq!(changes, 40);
    assert!(subs.iter().copied().eq(0..40), "{subs:?}");
}

/// An end of what is told must not be taken from what is not wanted (tikv#13281).
#[test]
fn entries_of_which_nothing_is_wanted_do_not_end_the_reading() {
    let world = World::new(1);
    let (engine, _) = world.open().unwrap();
    support::bootstrap(&engine).unwrap();
    lead(&engine, 1);
    let name = ObserverName::new("few").unwrap();
    let wanted = KeyRange::new(b"x".as_slice(), None::<&[u8]>).unwrap();
    let added = engine.add_observer(
        name,
        vec![wanted],
        StartFrom::Now,
        ObserverPolicy::default(),
    );
    let AddedObserver::Added { observer, .. } = added.unwrap() else {
        panic!("refused");
    };
    engine.wait_idle().unwrap();
    for index in 6..1_506 {
        put(&engine, 1, index, 1);
    }
    for index in 1_506..1_516_u64 {
        let mut batch = WriteBatch::new();
        batch.put(key("x"), index.to_be_bytes());
        written(engine.write(RegionId(1), support::EPOCH, at(index), &batch)).unwrap();
    }
    engine.flush().unwrap();
    let mut subscription = subscribe(&engine, observer);
    assert!(told(&mut subscription).into_iter().eq(1_506..1_516));
    assert_eq!(ack(&engine, observer, 1, 1_515), AckAnswer::Acknowledged);
}

/// A consumer that keeps up reads memory, one that does not reads files, and goes over from one to the other
/// and back: nothing is left out and nothing comes twice.
#[test]
fn whoever_falls_behind_reads_files_and_comes_back_to_memory_without_a_gap() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    let mut settings = engine.history_settings();
    settings.tail_bytes = 64 * 1024;
    engine.set_history_settings(settings).unwrap();
    let mut subscription = subscribe(&engine, observer);
    let (mut index, mut next) = (6, 6);
    for round in 0..12_u64 {
        // Sometimes less than what memory holds, sometimes many times as much.
        for _ in 0..1 + 40 * (round % 3) {
            put(&engine, 1, index, 3_000);
            index += 1;
        }
        if round % 2 == 0 {
            engine.flush().unwrap();
        } else {
            engine.wait_idle().unwrap();
        }
        if round % 4 == 3 {
            // Only a part of it.
            for _ in 0..25 {
                if let Some(FeedItem::Entry(entry)) = subscription.try_next().unwrap() {
                    assert_eq!(entry.position.index, next);
                    next += 1;
                }
            }
            continue;
        }
        for told in told(&mut subscription) {
            assert_eq!(told, next, "round {round}");
            next += 1;
        }
    }
    engine.flush().unwrap();
    assert!(told(&mut subscription).into_iter().eq(next..index));
}

#[test]
fn what_was_acknowledged_never_comes_again_and_all_else_does() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    let mut subscription = subscribe(&engine, observer);
    for index in 6..=30 {
        put(&engine, 1, index, 100);
    }
    engine.flush().unwrap();
    assert!(told(&mut subscription).into_iter().eq(6..=30));
    assert_eq!(ack(&engine, observer, 1, 17), AckAnswer::Acknowledged);
    drop((engine, subscription));
    let back = world.power_cut(CutChoice::LoseAll, Lost::AllButBatches(usize::MAX));
    let (engine, _) = back.open().unwrap();
    lead(&engine, 1);
    let mut subscription = subscribe(&engine, observer);
    assert!(told(&mut subscription).into_iter().eq(18..=30));
}
