//! What can be taken out of a store: all of it with its data, the longest history of a damaged one, and never over
//! something else.

use std::fs;
use std::path::Path;

use serde_json::Value;
use torrens::{
    Answer as EngineAnswer, Engine, KeyRange, Peer, PeerId, RaftPosition, Region, RegionEpoch,
    RegionId, StoreId, WriteAnswer, WriteBatch,
};

use super::fixture::{Store, contents};
use super::rebuild::{record_lines, text, tool};

/// A store of an engine with one row.
fn engine_store(dir: &Path) {
    let (engine, _) = Engine::options().store(StoreId(4)).open(dir).unwrap();
    let peer = Peer::voter(PeerId(1), StoreId(4));
    let region = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer],
    };
    let answer = engine.bootstrap(region).unwrap();
    assert!(matches!(answer, EngineAnswer::Accepted { .. }));
    let mut batch = WriteBatch::new();
    batch.put(b"JFK".as_slice(), b"New York".as_slice());
    let at = RaftPosition { index: 6, term: 6 };
    let written = engine.write(RegionId(1), RegionEpoch::BOOTSTRAP, at, &batch);
    assert!(matches!(written.unwrap(), WriteAnswer::Applied { .. }));
    engine.close().unwrap();
}

#[test]
fn a_whole_store_is_salvaged_with_its_data() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, to) = (scratch.path().join("store"), scratch.path().join("new"));
    engine_store(&store);
    let before = contents(&store);
    let made = tool(&["extract", text(&store), "--to", text(&to)]);
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{}", made.out);
    assert_eq!(contents(&store), before);
    assert!(made.out.contains("copied    data"), "{}", made.out);
    assert_eq!(tool(&["verify", text(&to)]).code, 0);
    let (engine, _) = Engine::options().store(StoreId(4)).open(&to).unwrap();
    let view = engine.view(RegionId(1), RegionEpoch::BOOTSTRAP).unwrap();
    assert_eq!(
        view.get(b"JFK").unwrap().as_deref(),
        Some(b"New York".as_slice())
    );
    drop(view);
    engine.close().unwrap();

    let bare = scratch.path().join("bare");
    let made = tool(&["extract", text(&store), "--to", text(&bare), "--no-data"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(!bare.join("data").exists());
    let (engine, _) = Engine::options().store(StoreId(4)).open(&bare).unwrap();
    assert!(engine.view(RegionId(1), RegionEpoch::BOOTSTRAP).is_err());
}

/// The LSNs of a new store's records.
pub(crate) fn lsns(dir: &Path) -> Vec<u64> {
    let dump = tool(&["dump", text(dir), "-o", "ndjson"]);
    assert_eq!(dump.code, 0, "{}", dump.err);
    let lines = dump.out.lines();
    lines
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["lsn"]
                .as_u64()
                .unwrap()
        })
        .collect()
}

#[test]
fn the_longest_history_of_a_damaged_store_is_salvaged_and_the_rest_is_listed() {
    let checkpointed = || {
        let mut store = Store::with_history();
        store.checkpoint();
        store.late_split();
        let store = store.close();
        // The fifth record, which the checkpoint covers.
        store.overwrite(8192 + 4 * 4096 + 80, b"\xff\xff\xff\xff");
        store
    };
    for (name, store, code, kept, left) in [
        (
            "mid-log",
            super::damaged_in_the_middle(),
            1,
            1..=4,
            "LSN 6 … 9 readable records",
        ),
        (
            "last group gone",
            super::last_group_gone(),
            1,
            1..=8,
            "LSN 9 records that are not readable",
        ),
        (
            "impossible",
            super::impossible(),
            1,
            1..=9,
            "impossible: LSN 10",
        ),
        ("torn", super::torn(), 0, 1..=9, "torn-tail"),
        (
            "covered",
            checkpointed(),
            1,
            6..=10,
            "LSN 1 … 4 readable records",
        ),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let to = scratch.path().join("new");
        let before = contents(store.path());
        let made = tool(&["extract", text(store.path()), "--to", text(&to)]);
        assert_eq!(
            (made.code, made.err.as_str()),
            (code, ""),
            "{name}: {}",
            made.out
        );
        assert_eq!(contents(store.path()), before, "{name}");
        assert!(made.out.contains(left), "{name}: {}", made.out);
        let verified = tool(&["verify", text(&to)]);
        assert_eq!(verified.code, 0, "{name}: {}", verified.out);
        assert_eq!(lsns(&to), kept.collect::<Vec<u64>>(), "{name}");
        let (engine, _) = Engine::options().store(StoreId(4)).open(&to).unwrap();
        drop(engine);
        assert_eq!(tool(&["verify", text(&to)]).code, 0, "{name}");

        let file = scratch.path().join("out.ndjson");
        let made = tool(&["extract", text(store.path()), "-o", text(&file)]);
        // A record that cannot follow can be read all the same.
        let readable = if name == "impossible" { 0 } else { code };
        assert_eq!(made.code, readable, "{name}: {}{}", made.out, made.err);
        let lines = fs::read_to_string(&file).unwrap();
        let readable = tool(&["dump", text(store.path()), "-o", "ndjson"]).out;
        let records = readable.lines().filter(|line| line.contains("\"lsn\":"));
        assert_eq!(record_lines(&lines).len(), records.count(), "{name}");
        assert!(lines.contains("\"gap\"") || name == "impossible", "{name}");
    }
}

#[test]
fn a_salvage_never_writes_over_something_or_into_the_store() {
    let store = super::closed();
    let before = contents(store.path());
    let scratch = tempfile::tempdir().unwrap();
    let taken = scratch.path().join("taken");
    fs::create_dir(&taken).unwrap();
    for option in ["-o", "--to"] {
        let refused = tool(&["extract", text(store.path()), option, text(&taken)]);
        assert_eq!(refused.code, 10, "{}", refused.err);
        let inside = store.path().join("journal").join("new");
        let refused = tool(&["extract", text(store.path()), option, text(&inside)]);
        assert_eq!(refused.code, 2, "{}", refused.err);
    }
    assert_eq!(contents(store.path()), before);
    assert_eq!(tool(&["extract", text(store.path())]).code, 2);
    assert_eq!(tool(&["extract", "no/such/place", "-o", "x"]).code, 8);
    // Nothing but a header that cannot be read.
    let nothing = super::closed();
    nothing.overwrite(0, &[9; 65536]);
    let to = scratch.path().join("new");
    let refused = tool(&["extract", text(nothing.path()), "--to", text(&to)]);
    assert_eq!(refused.code, 11, "{}{}", refused.out, refused.err);
    assert!(!to.exists() && !scratch.path().join("new.unfinished").exists());
}
