//! What SECURITY.md says of files and of errors: who can read what an engine creates, what a planted link
//! leads to, and that no error tells a key.
//!
//! Not here: bytes that come from outside (`src/snapshot/tests`, `recovery/tests`), the tool
//! (`tests/tool/security.rs`), how often the sources say `unsafe` (`house`).

use std::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use torrens::snapshot::SnapshotName;
use torrens::{
    Answer, Derive, Engine, KeyRange, NewRegion, Region, RegionEpoch, RegionId, Split, StoreId,
    Taken, WriteAnswer, WriteBatch,
};

use crate::support::*;

const ONE: RegionId = RegionId(1);

fn options() -> torrens::Options {
    Engine::options().store(STORE).segment_bytes(32 * 1024)
}

/// A store that has a file of every kind, and what it made of region 1's snapshot.
fn furnished(dir: &Path) -> SnapshotName {
    let (engine, _) = options().open(dir).unwrap();
    bootstrap(&engine).unwrap();
    written(engine.write(ONE, EPOCH, at(6), &puts(&["a", "z"], "old"))).unwrap();
    engine.checkpoint().unwrap();
    let Taken::Snapshot(staged) = engine.take_snapshot(ONE, EPOCH).unwrap() else {
        panic!("nothing stands in its way");
    };
    engine.close().unwrap();
    staged.name
}

/// What somebody else could look into: below `dir`, outside of folders that are closed to others.
fn open_to_others(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        match metadata.mode() & 0o077 {
            // What lies below can be reached by nobody else.
            0 => {}
            _ if metadata.is_dir() => {
                found.push(path.clone());
                open_to_others(&path, found);
            }
            _ => found.push(path),
        }
    }
}

#[test]
fn nobody_else_can_read_what_an_engine_creates() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("store");
    // Made by somebody before, for everybody to look into.
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    furnished(&dir);
    let parts: Vec<_> = fs::read_dir(&dir).unwrap().collect();
    assert!(parts.len() >= 5, "not every part is there: {parts:?}");
    let mut found = Vec::new();
    open_to_others(&dir, &mut found);
    assert_eq!(found, [] as [PathBuf; 0]);

    let (engine, _) = options().open(&dir).unwrap();
    let (backup, own) = (place.path().join("backup"), place.path().join("own"));
    engine.backup(&backup).unwrap();
    engine.close().unwrap();
    let restored = Engine::options().store(StoreId(99));
    restored.restore(&backup, &own).unwrap();
    for made in [backup, own] {
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
    }
}

/// Files of the store, without those of the data store.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with("data") {
            files(&path, found);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let sample = place.path().join("sample");
    furnished(&sample);
    let mut names = Vec::new();
    files(&sample, &mut names);
    names.sort();
    let is_segment = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "seg");
    let last_segment = names.iter().rfind(is_segment);
    let mut refused = 0;
    for (number, path) in names.iter().enumerate() {
        let name = path.strip_prefix(&sample).unwrap();
        let dir = place.path().join(format!("store-{number}"));
        copy(&sample, &dir);
        // The same bytes, elsewhere: nothing but the link can be what is refused.
        let (planted, victim) = (
            dir.join(name),
            place.path().join(format!("victim-{number}")),
        );
        fs::rename(&planted, &victim).unwrap();
        symlink(&victim, &planted).unwrap();
        let before = fs::read(&victim).unwrap();
        let opened = options().open(&dir);
        let told = match &opened {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.code().to_owned(),
        };
        refused += usize::from(opened.is_err());
        drop(opened);
        let shown = name.display();
        assert_eq!(fs::read(&victim).unwrap(), before, "{shown}: {told}");
        // What cannot be done without is refused; what a checkpoint covers, and a checkpoint or a snapshot that has a
        // substitute, is as good as not there.
        let is_needed = path.ends_with("LOCK") || Some(path) == last_segment;
        assert!(!is_needed || told != "opened", "{shown} was followed");
    }
    assert!(refused >= 2, "{names:?}");
}

#[test]
fn a_snapshot_is_never_received_through_a_link() {
    let place = tempfile::tempdir().unwrap();
    let (dir, victim) = (place.path().join("store"), place.path().join("victim"));
    let name = furnished(&dir);
    let staged = name.path_in(&dir.join("snapshots"));
    let bytes = fs::read(&staged).unwrap();
    fs::remove_file(&staged).unwrap();
    let (engine, _) = options().open(&dir).unwrap();
    let unfinished = PathBuf::from(format!("{}.new", staged.display()));
    for planted in [&staged, &unfinished] {
        // One that leads to a file, and one that would make one.
        for exists in [true, false] {
            if exists {
                fs::write(&victim, b"mine").unwrap();
            }
            symlink(&victim, planted).unwrap();
            let received = engine.receive_snapshot(name, bytes.as_slice());
            let is_kept = match exists {
                true => fs::read(&victim).unwrap() == b"mine",
                false => !victim.exists(),
            };
            assert!(is_kept, "{} was followed: {received:?}", planted.display());
            for path in [&victim, &staged, &unfinished] {
                let _ = fs::remove_file(path);
            }
        }
    }
    assert!(engine.receive_snapshot(name, bytes.as_slice()).is_ok());
    engine.close().unwrap();
}

/// An error with its causes, as a host would log it.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

fn refused(answer: Answer) -> String {
    match answer {
        Answer::Refused(refusal) => told(&refusal),
        other => panic!("it makes no sense: {other:?}"),
    }
}

#[test]
fn an_error_tells_no_key_and_no_value() {
    const SECRET: &str = "customer-gwendolen";
    let world = World::new(5);
    let (engine, _) = world.open().unwrap();
    bootstrap(&engine).unwrap();
    split_at_m(&engine).unwrap();
    let epoch = RegionEpoch {
        conf_ver: 1,
        version: 2,
    };
    let mut texts = Vec::new();
    // Region 2 begins at "m".
    let two = RegionId(2);
    let view = engine.view(two, epoch).unwrap();
    texts.push(told(&view.get(SECRET.as_bytes()).unwrap_err()));
    drop(view);
    let mut batch = WriteBatch::new();
    batch.put(key(SECRET), SECRET.as_bytes());
    texts.push(match engine.write(two, epoch, at(8), &batch) {
        Ok(WriteAnswer::Refused(refusal)) => told(&refusal),
        other => panic!("it lies outside: {other:?}"),
    });
    let split = Split {
        region: two,
        incarnation: None,
        epoch,
        position: at(8),
        boundaries: vec![key(SECRET)],
        children: vec![NewRegion {
            id: RegionId(3),
            peers: vec![peer(30, STORE.0)],
        }],
        derive: Derive::Left,
    };
    texts.push(refused(engine.split(split).unwrap()));
    let overlapping = Region {
        id: RegionId(9),
        range: KeyRange::new(SECRET.as_bytes(), None::<&[u8]>).unwrap(),
        epoch: EPOCH,
        peers: vec![peer(90, STORE.0)],
    };
    texts.push(refused(engine.bootstrap(overlapping).unwrap()));
    for text in texts {
        assert!(!text.contains("gwendolen"), "{text}");
        assert!(!text.is_empty());
    }
}
