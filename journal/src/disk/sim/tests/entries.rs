//! Directory entries after a power cut.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;

#[test]
fn a_file_whose_entry_was_not_synced_is_gone() {
    let disk = new_disk();
    let file = create(&disk, "a", b"synced contents");
    file.sync_data().unwrap();
    assert_eq!(contents(&disk.power_cut(CutChoice::LoseAll), "a"), None);
    disk.sync_dir(Path::new(DIR)).unwrap();
    let cut = disk.power_cut(CutChoice::LoseAll);
    assert_eq!(contents(&cut, "a").unwrap(), b"synced contents");
}

#[test]
fn an_entry_without_synced_contents_is_an_empty_file() {
    let disk = new_disk();
    create(&disk, "a", b"never synced");
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(
        contents(&disk.power_cut(CutChoice::LoseAll), "a").unwrap(),
        b""
    );
}

#[test]
fn an_unsynced_rename_leaves_the_old_name_or_the_new_one() {
    let (disk, old) = with_durable("a", 1, 1);
    let new = create(&disk, "a.new", &[2; 512]);
    new.sync_data().unwrap();
    disk.rename(&path("a.new"), &path("a")).unwrap();
    drop((old, new));
    assert_eq!(disk.cut_images(100, 0).count(), 3, "each once");
    let outcomes: BTreeSet<(Option<u8>, Option<u8>)> = disk
        .cut_images(100, 0)
        .map(|image| {
            let first = |name| contents(&image, name).map(|bytes| bytes[0]);
            (first("a"), first("a.new"))
        })
        .collect();
    // Neither change; the creation only; both. Never the rename without the creation.
    assert_eq!(
        outcomes,
        BTreeSet::from([(Some(1), None), (Some(1), Some(2)), (Some(2), None)])
    );
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(disk.cut_images(100, 0).count(), 1);
}

#[test]
fn changes_of_different_names_are_kept_or_lost_by_themselves() {
    let disk = new_disk();
    disk.create_dir_all(&path("d")).unwrap();
    for name in ["a", "b", "d/a"] {
        disk.open(&path(name), OpenMode::CreateNew).unwrap();
    }
    let outcomes: BTreeSet<Vec<PathBuf>> =
        disk.cut_images(100, 0).map(|image| image.files()).collect();
    assert_eq!(outcomes.len(), 8, "every subset of three files");
    disk.sync_dir(&path("d")).unwrap();
    assert_eq!(disk.power_cut(CutChoice::LoseAll).files(), [path("d/a")]);
}

#[test]
fn renames_in_a_row_leave_one_name() {
    let (disk, _file) = with_durable("a", 1, 1);
    disk.rename(&path("a"), &path("b")).unwrap();
    disk.rename(&path("b"), &path("c")).unwrap();
    let outcomes: Vec<Vec<PathBuf>> = disk.cut_images(100, 0).map(|image| image.files()).collect();
    assert_eq!(
        outcomes,
        [vec![path("a")], vec![path("b")], vec![path("c")]]
    );
    // A choice that asks for the second without the first gets neither.
    let impossible = disk.power_cut(CutChoice::Subset(vec![false, true]));
    assert_eq!(impossible.files(), [path("a")]);
}

#[test]
fn a_rename_between_directories_never_loses_the_file() {
    let (disk, _file) = with_durable("a", 1, 1);
    disk.create_dir_all(&path("aside")).unwrap();
    disk.rename(&path("a"), &path("aside/a")).unwrap();
    let outcomes = |disk: &SimDisk| -> BTreeSet<Vec<PathBuf>> {
        disk.cut_images(100, 0).map(|image| image.files()).collect()
    };
    let (old, new) = (path("a"), path("aside/a"));
    let both = vec![old.clone(), new.clone()];
    assert_eq!(
        outcomes(&disk),
        BTreeSet::from([vec![old], both.clone(), vec![new.clone()]])
    );
    let target_synced = disk.process_kill();
    target_synced.sync_dir(&path("aside")).unwrap();
    assert_eq!(
        outcomes(&target_synced),
        BTreeSet::from([both, vec![new.clone()]])
    );
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([vec![new]]));
}

#[test]
fn a_removed_file_comes_back_until_the_removal_is_synced() {
    let (disk, file) = with_durable("a", 1, 1);
    drop(file);
    disk.remove(&path("a")).unwrap();
    assert_eq!(contents(&disk, "a"), None);
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [1]);
    assert_eq!(contents(&disk.power_cut(CutChoice::KeepAll), "a"), None);
    // Created again under the same name: the old one, none, or the new one.
    create(&disk, "a", &[2; 512]).sync_data().unwrap();
    let outcomes: BTreeSet<Option<Vec<u8>>> = disk
        .cut_images(100, 0)
        .map(|image| contents(&image, "a"))
        .collect();
    let expected = [Some(vec![1; 512]), None, Some(vec![2; 512])];
    assert_eq!(outcomes, BTreeSet::from(expected));
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(
        disk.state().inodes.len(),
        1,
        "the old contents are forgotten"
    );
}

#[test]
fn created_directories_are_durable_and_one_that_was_not_becomes_so() {
    let disk = SimDisk::new(1);
    // create_dir /a, sync_dir /, create_dir /a/b, sync_dir /a: the last one does not happen.
    disk.fail_at(4, SimFault::Dies);
    disk.create_dir_all(Path::new("/a/b")).unwrap_err();
    let killed = disk.process_kill();
    let lost = killed.power_cut(CutChoice::LoseAll);
    assert!(lost.list(Path::new("/a")).unwrap().is_empty());
    killed.create_dir_all(Path::new("/a/b")).unwrap();
    let kept = killed.power_cut(CutChoice::LoseAll);
    assert!(kept.list(Path::new("/a/b")).unwrap().is_empty());
}

#[test]
fn a_directory_takes_what_is_in_it_along() {
    let disk = new_disk();
    // A directory whose entry was not synced, with a synced file in it.
    let location = disk.state().names.locate(&path("d")).unwrap();
    disk.state().names.make_dir(&location);
    create(&disk, "d/f", b"x").sync_data().unwrap();
    disk.sync_dir(&path("d")).unwrap();
    assert_eq!(disk.power_cut(CutChoice::KeepAll).files(), [path("d/f")]);
    let lost = disk.power_cut(CutChoice::LoseAll);
    assert!(lost.files().is_empty());
    assert_eq!(
        lost.open(&path("d/f"), OpenMode::Read).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_file_nobody_can_reach_has_no_part_in_a_cut() {
    let disk = new_disk();
    let file = create(&disk, "a", b"x");
    disk.remove(&path("a")).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_all_at(0, &[1; 4096]).unwrap();
    assert_eq!(disk.unsynced(), []);
    assert!(disk.process_kill().state().inodes.is_empty());
    drop(file);
    assert!(disk.state().inodes.is_empty());
}
