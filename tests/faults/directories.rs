//! Directories that two want, or that were copied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use torrens::{Engine, OpenError, StoreId};

use crate::child::{Child, STORE, contents, holds};

#[test]
fn a_second_process_is_told_who_has_the_directory_and_gets_it_when_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let mut first = Child::start(&dir);
    first.must("open");
    first.must("create 30");
    let mut second = Child::start(&dir);
    let refused = second.ask("open").outcome;
    assert!(
        refused.starts_with("open-busy") && refused.contains("in process"),
        "{refused}"
    );
    // The first noticed nothing.
    first.must("create 30");
    // Killed: nobody gives the lock back but the kernel.
    drop(first);
    second.must("open");
    second.must("create 30");
    second.must("close");
    holds(&dir, 90, 0);
}

/// The names of files that differ.
fn changed(now: &BTreeMap<String, Vec<u8>>, before: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let differs = |name: &&String| now.get(*name) != before.get(*name);
    names.into_iter().filter(differs).cloned().collect()
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in contents(from) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_copied_directory_under_another_store_id_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, other) = (folder.path().join("store"), folder.path().join("copy"));
    let mut child = Child::start(&dir);
    child.must("open");
    child.must("create 100");
    child.must("close");
    drop(child);
    copy(&dir, &other);
    let before = contents(&other);
    let open = |id: u64| Engine::options().store(StoreId(id)).open(&other);
    let refused = open(9).unwrap_err();
    assert!(
        matches!(refused, OpenError::OtherStore { found, expected, .. } if found == STORE && expected == StoreId(9)),
        "{refused}"
    );
    assert_eq!(refused.code(), "open-other-store");
    assert_eq!(
        changed(&contents(&other), &before),
        [""; 0],
        "nothing was changed"
    );
    // Under its own id a copy is the store; that two of them must not be used is for their host to see.
    holds(&other, 100, 0);
    // Files of another store beside one's own are told apart by the name that each file carries.
    let mut stranger = Child::start(&folder.path().join("stranger"));
    stranger.must("open");
    stranger.must("create 100");
    stranger.must("close");
    drop(stranger);
    let name = "journal/00000000000000000002.seg";
    let foreign = std::fs::read(folder.path().join("stranger").join(name)).unwrap();
    std::fs::write(dir.join(name), foreign).unwrap();
    let before = contents(&dir);
    let refused = Engine::options().store(STORE).open(&dir).unwrap_err();
    assert_eq!(refused.code(), "open-recovery", "{refused}");
    assert_eq!(
        changed(&contents(&dir), &before),
        [""; 0],
        "nothing was changed"
    );
}
