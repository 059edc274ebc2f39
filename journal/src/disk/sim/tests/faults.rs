//! Planted faults, a dead process, a full disk, decay, and the log of operations.

use std::io::ErrorKind;

use super::*;

#[test]
fn a_failed_sync_that_lies_is_never_made_good_by_the_next() {
    let (disk, file) = with_durable("a", 2, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_at(disk.ops() + 1, SimFault::SyncLies);
    let number = disk.ops() + 1;
    assert_eq!(
        sim_error(file.sync_data()),
        SimError::Injected {
            number,
            name: op::SYNC
        }
    );
    assert_eq!(marks(&disk, "a"), [2, 1], "readers still see it");
    file.write_all_at(512, &[3; 512]).unwrap();
    file.sync_data().unwrap();
    let cut = disk.power_cut(CutChoice::KeepAll);
    assert_eq!(marks(&cut, "a"), [1, 3], "the device never got the first");
    file.drop_cache().unwrap();
    assert_eq!(marks(&disk, "a"), [1, 3], "a read from the device says so");
}

#[test]
fn rewriting_after_a_failed_sync_reaches_the_device() {
    let (disk, file) = with_durable("a", 1, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_at(disk.ops() + 1, SimFault::SyncLies);
    file.sync_data().unwrap_err();
    file.write_all_at(0, &[2; 512]).unwrap();
    assert_eq!(disk.unsynced_sectors(), 1, "the same bytes, and yet dirty");
    file.sync_data().unwrap();
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [2]);
}

#[test]
fn a_failed_operation_without_effect_can_be_repeated() {
    let (disk, file) = with_durable("a", 1, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_at(disk.ops() + 1, SimFault::Error(ErrorKind::ResourceBusy));
    assert_eq!(
        file.sync_data().unwrap_err().kind(),
        ErrorKind::ResourceBusy
    );
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [1]);
    file.sync_data().unwrap();
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [2]);

    disk.fail_at(disk.ops() + 1, SimFault::Error(ErrorKind::PermissionDenied));
    let refused = disk.rename(&path("a"), &path("b")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(disk.files(), [path("a")]);
}

#[test]
fn a_short_operation_does_half_and_fails() {
    let (disk, file) = with_durable("a", 4, 1);
    let short = || disk.fail_at(disk.ops() + 1, SimFault::ShortThenError);
    short();
    file.write_all_at(0, &[2; 2048]).unwrap_err();
    assert_eq!(marks(&disk, "a"), [2, 2, 1, 1]);
    file.write_all_at(0, &[3; 2048]).unwrap();
    short();
    file.sync_data().unwrap_err();
    assert_eq!(
        marks(&disk.power_cut(CutChoice::LoseAll), "a"),
        [3, 3, 1, 1]
    );
    file.sync_data().unwrap();
    assert_eq!(
        marks(&disk.power_cut(CutChoice::LoseAll), "a"),
        [3, 3, 3, 3]
    );
    create(&disk, "b", b"");
    create(&disk, "c", b"");
    short();
    disk.sync_dir(Path::new(DIR)).unwrap_err();
    assert_eq!(
        disk.power_cut(CutChoice::LoseAll).files(),
        [path("a"), path("b")]
    );
}

#[test]
fn a_dead_process_can_do_nothing_and_its_disk_lives_on() {
    let (disk, file) = with_durable("a", 8, 1);
    let map = file.map(4096).unwrap();
    let number = disk.ops() + 2;
    disk.fail_at(number, SimFault::Dies);
    map.store(0, &[2]).unwrap();
    assert_eq!(sim_error(map.store(1, &[2])), SimError::Dead { number });
    assert!(disk.is_dead());
    let dead: Vec<io::Result<()>> = vec![
        map.store(0, &[2]),
        file.len().map(drop),
        file.read_exact_at(0, &mut [0]),
        file.write_all_at(0, &[0]),
        file.write_zeros(0, 1),
        file.set_len(0),
        file.sync_data(),
        file.drop_cache(),
        file.map(1).map(drop),
        disk.create_dir_all(Path::new(DIR)),
        disk.list(Path::new(DIR)).map(drop),
        disk.open(&path("a"), OpenMode::Read).map(drop),
        disk.rename(&path("a"), &path("b")),
        disk.remove(&path("a")),
        disk.sync_dir(Path::new(DIR)),
        disk.lock_holder(&path("lock")).map(drop),
        disk.lock(&path("lock")).map(drop).map_err(io::Error::other),
        disk.step("elsewhere"),
    ];
    for (at, result) in dead.into_iter().enumerate() {
        assert!(result.is_err(), "call {at}");
    }
    assert_eq!(
        disk.ops(),
        number,
        "what a dead process calls does not count"
    );
    let after = disk.process_kill();
    assert!(!after.is_dead());
    let bytes = contents(&after, "a").unwrap();
    assert_eq!((bytes[0], bytes[1]), (2, 1));
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [1; 8]);
}

#[test]
fn a_death_midway_leaves_half_of_a_store() {
    let (disk, file) = with_durable("a", 8, 1);
    let map = file.map(4096).unwrap();
    disk.fail_at(disk.ops() + 1, SimFault::DiesMidway);
    map.store(0, &[2; 100]).unwrap_err();
    assert!(disk.is_dead());
    let bytes = contents(&disk.process_kill(), "a").unwrap();
    assert_eq!((&bytes[..50], &bytes[50..]), (&[2; 50][..], &[1; 4046][..]));
}

#[test]
fn a_full_disk_says_so_keeps_what_fits_and_takes_more_when_space_returns() {
    let (disk, file) = with_durable("a", 8, 1);
    // The last hundred bytes are no block.
    disk.set_capacity(16_484);
    assert_eq!(disk.used_bytes(), 4_096);
    let big = create(&disk, "big", b"");
    assert_eq!(
        big.write_zeros(0, 12_289).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!((big.len().unwrap(), disk.used_bytes()), (12_288, 16_384));
    assert_eq!(
        big.set_len(12_289).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(
        file.write_all_at(4_090, &[2; 10]).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(file.len().unwrap(), 4_096);
    let refused = disk.open(&path("more"), OpenMode::CreateNew).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.files(), [path("a"), path("big")]);
    // What has its place can be written over, and synced.
    file.write_all_at(0, &[3; 4_096]).unwrap();
    big.map(12_288).unwrap().store(0, &[3; 12_288]).unwrap();
    file.sync_data().unwrap();
    disk.set_capacity(1);
    file.write_all_at(0, &[3; 4_096]).unwrap();
    disk.set_capacity(16_384);
    // A rebooted disk is as small.
    let cut = disk.power_cut(CutChoice::KeepAll);
    assert!(cut.open(&path("more"), OpenMode::CreateNew).is_err());
    disk.remove(&path("big")).unwrap();
    assert_eq!(disk.used_bytes(), 4_096);
    create(&disk, "more", &[1; 12_288]);
    disk.set_capacity(None);
    create(&disk, "most", &[1; 100_000]);
}

#[test]
fn unreadable_bytes_fail_the_reads_that_touch_them() {
    let (disk, file) = with_durable("a", 4, 1);
    disk.fail_reads(&path("a"), 512..1024, ErrorKind::InvalidData);
    let mut buffer = [0; 512];
    file.read_exact_at(0, &mut buffer).unwrap();
    file.read_exact_at(1024, &mut buffer).unwrap();
    for offset in [1, 511, 512, 1023] {
        let error = file.read_exact_at(offset, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
    disk.clear_faults();
    file.read_exact_at(512, &mut buffer).unwrap();
}

#[test]
fn corruption_is_durable_and_touches_nothing_else() {
    let (disk, file) = with_durable("a", 4, 1);
    file.write_all_at(1024, &[2; 512]).unwrap();
    let ops = disk.ops();
    disk.corrupt(&path("a"), 3, &[9, 9]).unwrap();
    disk.corrupt(&path("a"), 2047, &[9, 9]).unwrap();
    assert_eq!((disk.ops(), disk.unsynced_sectors()), (ops, 1));
    let mut expected = vec![1; 2048];
    expected[3..5].fill(9);
    expected[2047] = 9;
    assert_eq!(
        contents(&disk.power_cut(CutChoice::LoseAll), "a").unwrap(),
        expected
    );
    expected[1024..1536].fill(2);
    assert_eq!(contents(&disk, "a").unwrap(), expected);
    let missing = disk.corrupt(&path("b"), 0, &[1]).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn operations_are_numbered_named_and_remembered() {
    let disk = new_disk();
    assert_eq!(disk.ops(), 2, "create_dir and sync_dir");
    let file = create(&disk, "a", b"xyz");
    file.write_zeros(512, 512).unwrap();
    file.set_len(4096).unwrap();
    file.sync_data().unwrap();
    disk.rename(&path("a"), &path("b")).unwrap();
    disk.step("elsewhere").unwrap();
    disk.fail_at(10, SimFault::Error(ErrorKind::Other));
    disk.remove(&path("b")).unwrap_err();
    disk.remove(&path("b")).unwrap();
    let log: Vec<String> = disk.op_log().iter().skip(2).map(SimOp::to_string).collect();
    assert_eq!(
        log,
        [
            "3 create /store/a",
            "4 write /store/a 0+3",
            "5 write_zeros /store/a 512+512",
            "6 set_len /store/a 0+4096",
            "7 sync /store/a",
            "8 rename /store/a",
            "9 elsewhere",
            "10 remove /store/b (Error(Other))",
            "11 remove /store/b",
        ]
    );
}

#[test]
fn wild_offsets_and_paths_are_errors() {
    let (disk, file) = with_durable("a", 1, 1);
    let wild = [
        file.write_all_at(1 << 50, b"x"),
        file.write_zeros(u64::MAX, 2),
        file.set_len(1 << 60),
    ];
    for result in wild {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
    let above = disk
        .open(Path::new("/store/../etc"), OpenMode::Read)
        .unwrap_err();
    assert_eq!(above.kind(), ErrorKind::InvalidInput);
    assert_eq!(marks(&disk, "a"), [1]);
}
