//! Views: consistent while writes go on, ended by whatever takes their data away, never silently
//! wrong.

use torrens::{Answer, DestroyCause, Engine, PeerId, ReadError, Refusal, RegionEpoch, RegionId};

use crate::support::*;

fn furnished() -> (World, Engine) {
    let world = World::new(2);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    written(engine.write(
        RegionId(1),
        EPOCH,
        at(6),
        &puts(&["a", "k", "m", "z"], "old"),
    ))
    .unwrap();
    (world, engine)
}

#[test]
fn a_view_shows_the_moment_when_it_was_taken() {
    let (_world, engine) = furnished();
    let view = engine.view(RegionId(1), EPOCH).unwrap();
    let mut batch = puts(&["a", "b"], "new");
    batch.delete(key("k"));
    written(engine.write(RegionId(1), EPOCH, at(7), &batch)).unwrap();

    assert_eq!(view.get(b"a").unwrap().as_deref(), Some(b"old".as_slice()));
    assert_eq!(view.get(b"b").unwrap(), None);
    assert_eq!(view.get(b"k").unwrap().as_deref(), Some(b"old".as_slice()));
    let now = engine.view(RegionId(1), EPOCH).unwrap();
    assert_eq!(now.get(b"a").unwrap().as_deref(), Some(b"new".as_slice()));
    assert_eq!(now.get(b"k").unwrap(), None);

    let names = |view: &torrens::RegionView, reverse: bool| -> Vec<String> {
        let rows: Vec<_> = match reverse {
            false => view.scan(b"a".as_slice()..b"z".as_slice()).collect(),
            true => view
                .scan_reverse(b"a".as_slice()..b"z".as_slice())
                .collect(),
        };
        rows.into_iter()
            .map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap())
            .collect()
    };
    assert_eq!(names(&view, false), ["a", "k", "m"]);
    assert_eq!(names(&now, false), ["a", "b", "m"]);
    assert_eq!(names(&now, true), ["m", "b", "a"]);
}

#[test]
fn a_key_outside_and_a_stale_epoch_are_refused_with_what_is_current() {
    let (_world, engine) = furnished();
    split_at_m(&engine).unwrap();
    let refused = engine.view(RegionId(1), EPOCH).unwrap_err();
    let ReadError::Refused(Refusal::EpochStale { current, .. }) = refused else {
        panic!("{refused}")
    };
    let ids: Vec<_> = current.iter().map(|region| region.id).collect();
    assert_eq!(
        ids,
        [RegionId(1), RegionId(2)],
        "the caller can route again at once"
    );
    let view = engine.view(RegionId(1), epoch(&engine, 1)).unwrap();
    let refused = view.get(b"z").unwrap_err();
    assert_eq!(refused.code(), "key-out-of-range");
}

#[test]
fn a_destroy_by_somebody_who_is_behind_is_refused_with_what_is_current() {
    let (_world, engine) = furnished();
    split_at_m(&engine).unwrap();
    let by = |epoch| {
        let (id, own, cause) = (RegionId(1), PeerId(10), DestroyCause::Operator);
        engine.destroy(id, epoch, None, own, cause).unwrap()
    };
    let behind = by(EPOCH);
    assert!(
        matches!(behind, Answer::Refused(Refusal::EpochStale { .. })),
        "{behind:?}"
    );
    let current = epoch(&engine, 1);
    let ahead = by(RegionEpoch {
        conf_ver: 9,
        ..current
    });
    assert!(
        matches!(ahead, Answer::Refused(Refusal::EpochAhead { .. })),
        "{ahead:?}"
    );
    assert!(engine.region(RegionId(1)).is_some());
    assert!(by(current).lsn().is_some());
}

#[test]
fn clearing_a_part_ends_the_views_of_the_whole_and_of_that_part_only() {
    let (_world, engine) = furnished();
    let of_whole = engine.view(RegionId(1), EPOCH).unwrap();
    split_at_m(&engine).unwrap();
    let of_rest = engine.view(RegionId(1), epoch(&engine, 1)).unwrap();
    let of_part = engine.view(RegionId(2), epoch(&engine, 2)).unwrap();
    assert_eq!(
        of_whole.get(b"z").unwrap().as_deref(),
        Some(b"old".as_slice())
    );

    destroy(&engine, 2, 20).unwrap();
    for view in [&of_whole, &of_part] {
        assert!(matches!(view.get(b"z"), Err(ReadError::ViewEnded { .. })));
        assert!(matches!(
            view.scan(..).next(),
            Some(Err(ReadError::ViewEnded { .. }))
        ));
    }
    engine.wait_idle().unwrap();
    assert_eq!(
        of_rest.get(b"a").unwrap().as_deref(),
        Some(b"old".as_slice())
    );
    assert!(
        engine.region_for(b"z").is_none(),
        "nobody owns the keys any more"
    );
}
