//! `torrens observers`, over a store in which each state of an attachment has its place.

use torrens::engine::Background;
use torrens::{
    AddedObserver, Derive, DestroyCause, Engine, KeyRange, LeadershipRole, NewRegion, ObserverId,
    ObserverName, ObserverPolicy, Peer, PeerId, RaftPosition, Rebase, Region, RegionEpoch,
    RegionId, Split, StartFrom, StoreId,
};

use super::fixture::run;
use super::{golden, normal};

fn range(start: &str, end: &str) -> KeyRange {
    let end = (!end.is_empty()).then_some(end.as_bytes());
    KeyRange::new(start.as_bytes(), end).unwrap()
}

/// Regions 1 to 4 over all keys; 3 is gone, 4 is led by somebody else.
fn store(dir: &std::path::Path) {
    let (engine, _) = Engine::options()
        .store(StoreId(1))
        .segment_bytes(64 * 1024)
        .background(Background::Manual)
        .open(dir)
        .unwrap();
    let peer = |id| Peer::voter(PeerId(id), StoreId(1));
    let whole = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer(10)],
    };
    assert!(engine.bootstrap(whole).unwrap().holds());
    let child = |id| NewRegion {
        id: RegionId(id),
        peers: vec![peer(10 * id)],
    };
    let add = |name: &str, ranges, policy| {
        let name = ObserverName::new(name).unwrap();
        let added = engine
            .add_observer(name, ranges, StartFrom::Now, policy)
            .unwrap();
        assert!(matches!(added, AddedObserver::Added { .. }), "{added:?}");
    };
    let lead = |region, term| {
        let incarnation = engine.region(RegionId(region)).unwrap().incarnation;
        let role = LeadershipRole::Leader;
        engine
            .report_leadership(RegionId(region), incarnation, term, role)
            .unwrap();
        engine.wait_idle().unwrap();
    };
    let limits = ObserverPolicy {
        retain_bytes_max: Some(1 << 30),
        retain_age_millis_max: Some(3_600_000),
        early: true,
    };
    add("backup", vec![KeyRange::all()], ObserverPolicy::default());
    add("cdc", vec![range("a", "c"), range("x", "z")], limits);
    lead(1, 6);
    let split = Split {
        region: RegionId(1),
        incarnation: None,
        epoch: RegionEpoch::BOOTSTRAP,
        position: RaftPosition { index: 9, term: 6 },
        boundaries: ["g", "n", "t"].map(|key| key.as_bytes().into()).to_vec(),
        children: vec![child(2), child(3), child(4)],
        derive: Derive::Left,
    };
    assert!(engine.split(split).unwrap().holds());
    lead(2, 6);
    let rebase = Rebase::Scan;
    let answer = engine
        .rebase_observer(ObserverId(1), &[RegionId(2)], rebase)
        .unwrap();
    assert!(answer.holds());
    engine.wait_idle().unwrap();
    let epoch = engine.region(RegionId(3)).unwrap().region.unwrap().epoch;
    let cause = DestroyCause::Operator;
    assert!(
        engine
            .destroy(RegionId(3), epoch, None, PeerId(30), cause)
            .unwrap()
            .holds()
    );
    add("paused", vec![range("a", "b")], ObserverPolicy::default());
    assert!(engine.pause_observer(ObserverId(3)).unwrap().holds());
    // A crash would leave it like this; an orderly end would see to the region that went.
    drop(engine);
}

/// Such a store, for as long as `look` looks at it.
pub(crate) fn store_for(look: impl FnOnce(&std::path::Path)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    store(&path);
    look(&path);
}

#[test]
fn observers_are_shown_with_every_region_and_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    store(&path);
    let shown = path.display().to_string();
    for (name, args) in [
        ("observers-table.txt", &["-o", "table"][..]),
        ("observers.ndjson", &["-o", "ndjson"]),
        (
            "observers-one.txt",
            &["-o", "table", "--observer", "cdc,o3"],
        ),
        ("observers-first.txt", &["-o", "table", "--at", "first"]),
    ] {
        let answer = run(&path, "observers", args);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{name}");
        golden(name, &normal(&answer.out, &shown));
    }
}
