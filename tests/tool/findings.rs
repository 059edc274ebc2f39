//! What the inspector counts, what it says of damage, and that a follower misses nothing.

use std::ops::ControlFlow;
use std::time::Duration;

use torrens::inspector::stats::GroupBy;
use torrens::inspector::{FollowItem, InspectError, Inspector, KeyForm, Selection};
use torrens::lifecycle::{Cause, DestroyCause, Event};
use torrens::{PeerId, RegionId};
use torrens_journal::Lsn;
use torrens_recovery::repair::Choice;

use super::fixture::Store;
use super::questions::{inspector, two_boots};
use super::{FIRST_GROUP, PAGE, closed, damaged_in_the_middle, impossible, last_group_gone, torn};
#[test]
fn statistics_count_every_record_once() {
    let store = two_boots();
    for by in [
        GroupBy::Kind,
        GroupBy::Family,
        GroupBy::Region,
        GroupBy::Cause,
        GroupBy::Boot,
        GroupBy::Segment,
    ] {
        let stats = inspector(&store).stats(&Selection::default(), by).unwrap();
        assert_eq!(stats.total.records, 11, "{by:?}");
        assert_eq!(
            stats.rows.iter().map(|row| row.records).sum::<u64>(),
            11,
            "{by:?}"
        );
        assert_eq!(stats.groups, 11);
        assert_eq!(stats.total.rate.slots().iter().sum::<u64>(), 11);
    }
    let stats = inspector(&torn())
        .stats(&Selection::default(), GroupBy::Family)
        .unwrap();
    assert_eq!((stats.gaps, stats.rows[0].name.as_str()), (1, "cache"));
}

#[test]
fn damage_is_explained_by_the_bit_that_flipped() {
    let store = closed();
    // Record 5 is in group 5; one bit of its payload.
    let offset = FIRST_GROUP + 4 * PAGE + 100;
    let byte = std::fs::read(store.segment(1)).unwrap()[offset as usize];
    store.overwrite(offset, &[byte ^ 0x10]);
    let explanation = inspector(&store).explain(&KeyForm::Auto).unwrap();
    let flipped = explanation.flipped.unwrap();
    assert_eq!(
        (flipped.offset_bytes, flipped.bit, flipped.found),
        (offset, 4, byte ^ 0x10)
    );
    assert_eq!(flipped.candidates.len(), 1);
    assert_eq!(
        (flipped.candidates[0].lsn, &*flipped.candidates[0].kind),
        (Lsn::new(5), "cache.request")
    );
    assert_eq!(explanation.far_side, Some(Lsn::new(6)));
    // Record 6 of region 1 links to 5, which is gone; record 9 of region 102 links to 4, which is there.
    let hit: Vec<(u64, bool)> = explanation
        .impact
        .iter()
        .map(|one| (one.region.0, one.is_hit()))
        .collect();
    assert_eq!(hit, [(1, true), (7, false), (102, false)]);
    assert_eq!(
        (
            explanation.regions_hit,
            explanation.regions_whole,
            explanation.regions_silent
        ),
        (1, 2, 0)
    );
    let ways: Vec<Choice> = explanation.ways.iter().map(|way| way.choice).collect();
    assert_eq!(ways, [Choice::CutAtDamage, Choice::StartEmpty]);
    assert_eq!(explanation.ways[0].loss.first, Some(Lsn::new(5)));
}

#[test]
fn every_verdict_has_an_explanation() {
    let many = inspector(&damaged_in_the_middle())
        .explain(&KeyForm::Auto)
        .unwrap();
    assert!(
        many.flipped.is_none()
            && many
                .evidence
                .iter()
                .any(|one| one.contains("no single flipped bit"))
    );
    let gone = inspector(&last_group_gone())
        .explain(&KeyForm::Auto)
        .unwrap();
    assert!(
        gone.evidence.iter().any(|one| one.contains("all zero")),
        "{:?}",
        gone.evidence
    );
    assert_eq!((gone.far_side, gone.regions_silent), (None, 3));
    let torn = inspector(&torn()).explain(&KeyForm::Auto).unwrap();
    assert!(torn.ways.is_empty() && torn.stop.is_some());
    let cannot = inspector(&impossible()).explain(&KeyForm::Auto).unwrap();
    assert_eq!(
        cannot.ways.first().map(|way| way.choice),
        Some(Choice::CutBefore(Lsn::new(10)))
    );
    assert!(
        cannot
            .evidence
            .iter()
            .any(|one| one.contains("nothing is known of r777")),
        "{:?}",
        cannot.evidence
    );
    let whole = inspector(&closed()).explain(&KeyForm::Auto).unwrap();
    assert!(whole.ways.is_empty() && whole.stop.is_none() && !whole.open_operations.is_empty());
}

#[test]
fn a_follower_sees_what_comes_and_nothing_twice() {
    let mut store = Store::with_history();
    let inspector = Inspector::open(store.path()).unwrap();
    let mut follow = inspector
        .follow(Lsn::new(8), true, &Selection::default())
        .unwrap();
    let mut seen = Vec::new();
    let mut poll = |seen: &mut Vec<u64>| {
        follow
            .poll(Duration::from_millis(200), &mut |item| {
                if let FollowItem::Record { item, .. } = item {
                    seen.push(item.record.lsn.get());
                }
                ControlFlow::Continue(())
            })
            .unwrap()
    };
    while poll(&mut seen) {}
    assert_eq!(seen, [8, 9]);
    store.commit(
        Event::Destroy {
            region: RegionId(7),
            incarnation: None,
            peer: PeerId(70),
            cause: DestroyCause::Operator,
        },
        Cause::Operator,
    );
    assert!(poll(&mut seen));
    assert_eq!(seen, [8, 9, 10]);
    assert!(matches!(
        inspector.follow(Lsn::new(99), true, &Selection::default()),
        Err(InspectError::BeyondEnd { .. })
    ));
    std::mem::forget(store.journal);
}
