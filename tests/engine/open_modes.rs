//! Opening what is there and what is not: on the real disk, with sled.

use std::fs;
use std::path::Path;

use torrens::{
    Engine, EngineError, KeyRange, OpenError, OpenMode, OpenReport, Peer, PeerId, PeerRole,
    RaftPosition, Region, RegionEpoch, RegionId, StoreId, WriteBatch,
};

fn open(dir: &Path, mode: OpenMode) -> Result<(Engine, OpenReport), OpenError> {
    Engine::options()
        .store(StoreId(4))
        .segment_bytes(64 * 1024)
        .mode(mode)
        .open(dir)
}

fn bootstrap(engine: &Engine) {
    let peer = Peer {
        id: PeerId(1),
        store: StoreId(4),
        role: PeerRole::Voter,
        is_witness: false,
    };
    let epoch = RegionEpoch::BOOTSTRAP;
    let region = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch,
        peers: vec![peer],
    };
    assert!(engine.bootstrap(region).unwrap().holds());
}

/// Every file below `dir` with its bytes.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn what_does_not_exist_is_created_only_if_that_is_allowed() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("a/store");
    for mode in [OpenMode::ExistingOnly, OpenMode::ReadOnly] {
        let refused = open(&dir, mode).unwrap_err();
        assert!(matches!(refused, OpenError::NotFound { .. }), "{refused}");
        assert!(!dir.exists(), "looking creates nothing");
    }
    let (engine, report) = open(&dir, OpenMode::CreateIfMissing).unwrap();
    assert!(report.created);
    bootstrap(&engine);
    engine.close().unwrap();
    let (_, report) = open(&dir, OpenMode::ExistingOnly).unwrap();
    assert!(!report.created);
    assert_eq!(report.recovery.verdict.exit_code(), 0);
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("letter.txt"), "dear reader").unwrap();
    let before = contents(place.path());
    let refused = open(place.path(), OpenMode::CreateIfMissing).unwrap_err();
    assert!(matches!(&refused, OpenError::NotAStore { found, .. } if found == "letter.txt"));
    assert_eq!(contents(place.path()), before);

    let file = place.path().join("letter.txt");
    let refused = open(&file, OpenMode::CreateIfMissing).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
}

#[test]
fn a_second_opening_is_busy_and_names_the_holder() {
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = open(place.path(), OpenMode::CreateIfMissing).unwrap();
    bootstrap(&engine);
    let clone = engine.clone();
    drop(engine);
    let refused = open(place.path(), OpenMode::CreateIfMissing).unwrap_err();
    let holder = match refused {
        OpenError::Busy { holder_pid, .. } => holder_pid,
        other => panic!("{other}"),
    };
    assert_eq!(holder, Some(std::process::id()));
    drop(clone);
    open(place.path(), OpenMode::CreateIfMissing).unwrap();
}

#[test]
fn another_stores_directory_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = open(place.path(), OpenMode::CreateIfMissing).unwrap();
    engine.close().unwrap();
    let refused = Engine::options()
        .store(StoreId(5))
        .open(place.path())
        .unwrap_err();
    assert!(matches!(
        refused,
        OpenError::OtherStore {
            expected: StoreId(5),
            found: StoreId(4),
            ..
        }
    ));
}

#[test]
fn reading_only_shows_the_register_and_changes_nothing_even_while_a_writer_is_open() {
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = open(place.path(), OpenMode::CreateIfMissing).unwrap();
    bootstrap(&engine);
    let (reader, _) = open(place.path(), OpenMode::ReadOnly).unwrap();
    assert_eq!(reader.regions(), engine.regions());
    drop(reader);
    engine.close().unwrap();

    let before = contents(place.path());
    let (reader, report) = open(place.path(), OpenMode::ReadOnly).unwrap();
    assert_eq!(report.data_store, "none");
    assert_eq!(reader.regions().len(), 1);
    let (id, epoch) = (RegionId(1), RegionEpoch::BOOTSTRAP);
    let at = RaftPosition { index: 6, term: 6 };
    assert!(matches!(
        reader.write(id, epoch, at, &WriteBatch::new()),
        Err(EngineError::ReadOnly)
    ));
    assert!(matches!(reader.evict(id), Err(EngineError::ReadOnly)));
    assert!(matches!(reader.flush(), Err(EngineError::ReadOnly)));
    reader.view(id, epoch).unwrap().get(b"a").unwrap_err();
    reader.close().unwrap();
    assert_eq!(contents(place.path()), before);
}

#[test]
fn recovery_tells_how_far_it_is_and_can_be_stopped() {
    use std::ops::ControlFlow;
    use std::sync::{Arc, Mutex};

    let place = tempfile::tempdir().unwrap();
    let (engine, _) = open(place.path(), OpenMode::CreateIfMissing).unwrap();
    bootstrap(&engine);
    engine.close().unwrap();
    let stopped = Engine::options()
        .store(StoreId(4))
        .on_recovery(|_| ControlFlow::Break(()))
        .open(place.path())
        .unwrap_err();
    assert!(matches!(stopped, OpenError::Recovery { .. }), "{stopped}");

    let stages = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&stages);
    let told = move |progress: torrens::Progress| {
        seen.lock().unwrap().push(progress.stage);
        ControlFlow::Continue(())
    };
    let (engine, _) = Engine::options()
        .store(StoreId(4))
        .on_recovery(told)
        .open(place.path())
        .unwrap();
    assert_eq!(engine.regions().len(), 1);
    let mut stages = stages.lock().unwrap().clone();
    stages.dedup();
    assert_eq!(stages.first(), Some(&torrens::Stage::Settling));
    assert_eq!(stages.last(), Some(&torrens::Stage::Repairing));
}

#[test]
fn options_out_of_range_are_named() {
    let place = tempfile::tempdir().unwrap();
    let refused = Engine::options()
        .segment_bytes(4097)
        .open(place.path())
        .unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Option {
                option: "segment_bytes",
                ..
            }
        ),
        "{refused}"
    );
    let refused = Engine::options()
        .store(StoreId(0))
        .open(place.path())
        .unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Option {
                option: "store",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn an_engine_may_be_shared_and_sent() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Engine>();
}
