//! Faults of a real file system: a full one and one that was remounted read-only. They need a small
//! tmpfs of their own, and so the right to mount; without it they say so and pass.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use torrens::store::{MemoryFactory, MemoryStore};
use torrens::{Engine, EngineError, OpenError, OpenMode, PeerId, RegionId, StoreId};
use torrens_journal::testing::skip;

use crate::support::*;

/// A tmpfs of its own, unmounted when dropped.
struct Tmpfs {
    folder: tempfile::TempDir,
}

impl Tmpfs {
    fn mount(test: &str, size: &str) -> Option<Tmpfs> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        match run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs"],
            folder.path(),
        ) {
            Ok(()) => Some(Tmpfs { folder }),
            Err(why) => {
                skip(test, why);
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = run("umount", &["-l"], self.folder.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn options() -> torrens::Options {
    // The data store is not what is asked here, and would take the space first.
    Engine::options()
        .store(STORE)
        .segment_bytes(256 * 1024)
        .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
}

fn create(engine: &Engine, region: u64) -> Result<(), EngineError> {
    holds(engine.create_peer(RegionId(region), PeerId(1), StoreId(5), EPOCH))
}

#[test]
fn a_disk_too_small_for_the_first_segment_is_an_answer_and_leaves_nothing_behind() {
    let Some(place) = Tmpfs::mount("a_disk_too_small_for_the_first_segment", "2m") else {
        return;
    };
    let dir = place.path().join("store");
    let refused = options().segment_bytes(64 << 20).open(&dir).unwrap_err();
    assert!(
        matches!(refused, OpenError::CreateJournal { .. }),
        "{refused}"
    );
    assert_eq!(refused.code(), "open-create-journal");
    let (engine, report) = options().open(&dir).unwrap();
    assert!(
        report.created,
        "a smaller segment fits, and nothing is in its way"
    );
    create(&engine, 2).unwrap();
}

#[test]
fn a_disk_that_fills_up_is_an_answer_and_the_engine_goes_on_when_there_is_space() {
    let Some(place) = Tmpfs::mount("a_disk_that_fills_up", "2m") else {
        return;
    };
    let dir = place.path().join("store");
    let (engine, _) = options().open(&dir).unwrap();
    // Somebody else takes what is left, as far as it goes.
    let ballast = place.path().join("ballast");
    let mut taken = 2 << 20;
    while std::fs::write(&ballast, vec![7; taken]).is_err() {
        taken -= 4096;
    }
    let mut created = 2;
    let refused = loop {
        match create(&engine, created) {
            Ok(()) => created += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, EngineError::DiskFull(_)), "{refused}");
    assert!(engine.region(RegionId(created)).is_none());
    std::fs::remove_file(&ballast).unwrap();
    create(&engine, created).unwrap();
    let seen = Seen::of(&engine);
    engine.close().unwrap();
    let (engine, report) = options().open(&dir).unwrap();
    assert_eq!(Seen::of(&engine), seen);
    assert!(report.recovery.verdict.can_open());
}

#[test]
fn a_file_system_that_is_read_only_can_be_looked_at_and_not_opened() {
    let Some(place) = Tmpfs::mount("a_file_system_that_is_read_only", "8m") else {
        return;
    };
    let dir = place.path().join("store");
    let (engine, _) = options().open(&dir).unwrap();
    bootstrap(&engine).unwrap();
    engine.close().unwrap();
    run("mount", &["-o", "remount,ro"], place.path()).unwrap();
    let refused = options().open(&dir).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
    let (engine, _) = options().mode(OpenMode::ReadOnly).open(&dir).unwrap();
    assert_eq!(engine.regions().len(), 1);
}
