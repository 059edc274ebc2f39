//! What the kernel does without being asked: write-back in the background, write-back that fails,
//! and who is told; pages and torn sectors in a cut.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;

fn open(disk: &SimDisk, name: &str) -> Arc<dyn DiskFile> {
    disk.open(&path(name), OpenMode::Write).unwrap()
}

fn lie_next(disk: &SimDisk) {
    disk.fail_at(disk.ops() + 1, SimFault::SyncLies);
}

fn lost(disk: &SimDisk, name: &str) -> Vec<u8> {
    marks(&disk.power_cut(CutChoice::LoseAll), name)
}

#[test]
fn a_failed_write_back_is_told_once_to_each_file_that_was_open() {
    let (disk, first) = with_durable("a", 2, 1);
    let second = open(&disk, "a");
    first.write_all_at(0, &[2; 512]).unwrap();
    lie_next(&disk);
    first.sync_data().unwrap_err();
    first.sync_data().unwrap();
    let late = open(&disk, "a");
    late.sync_data().unwrap();
    // The write was not even made through this one.
    let SimError::Injected { name, .. } = sim_error(second.sync_data()) else {
        panic!("another error");
    };
    assert_eq!(name, op::SYNC);
    second.sync_data().unwrap();
    assert_eq!(lost(&disk, "a"), [1, 1], "no sync made it good");
}

#[test]
fn a_failure_nobody_heard_of_is_told_to_whoever_opens_next() {
    let (disk, file) = with_durable("a", 2, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    drop(file);
    disk.fail_write_back(&path("a"), None, ErrorKind::StorageFull)
        .unwrap();
    let told = open(&disk, "a");
    let error = told.sync_data().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    let late = open(&disk, "a");
    late.sync_data().unwrap();
    told.sync_data().unwrap();
    // Another file never hears of it, and a missing one has none.
    create(&disk, "b", b"x").sync_data().unwrap();
    let missing = disk.fail_write_back(&path("c"), None, ErrorKind::Other);
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Two syncs that share one open file share its position: the second is told that all is well.
/// This is why syncs that overlap need an open file each.
#[test]
fn of_two_syncs_through_one_open_file_only_one_hears_of_the_failure() {
    let (disk, shared) = with_durable("a", 16, 1);
    let own = open(&disk, "a");
    shared.write_all_at(0, &[2; 512]).unwrap();
    shared.write_all_at(4096, &[2; 512]).unwrap();
    disk.fail_write_back(&path("a"), None, ErrorKind::Other)
        .unwrap();
    let answers = [(); 2].map(|()| shared.sync_data().is_ok());
    assert_eq!(answers, [false, true], "and yet both pages are lost");
    assert_eq!(lost(&disk, "a"), [1; 16]);
    own.sync_data().unwrap_err();
}

#[test]
fn the_kernel_keeps_what_it_failed_to_write_for_the_next_process_and_a_reboot_does_not() {
    let (disk, file) = with_durable("a", 1, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_write_back(&path("a"), None, ErrorKind::Other)
        .unwrap();
    let killed = disk.process_kill();
    assert_eq!(marks(&killed, "a"), [2], "a phantom");
    open(&killed, "a").sync_data().unwrap_err();
    let rebooted = disk.power_cut(CutChoice::KeepAll);
    assert_eq!(marks(&rebooted, "a"), [1]);
    open(&rebooted, "a").sync_data().unwrap();
}

#[test]
fn a_phantom_lives_as_long_as_it_is_mapped_or_memory_is_plenty() {
    let (disk, file) = with_durable("a", 8, 1);
    let map = file.map(4096).unwrap();
    map.store(0, &[2]).unwrap();
    disk.fail_write_back(&path("a"), None, ErrorKind::Other)
        .unwrap();
    file.drop_cache().unwrap();
    disk.evict_clean_pages();
    assert_eq!(marks(&disk, "a")[0], 2, "mapped pages stay");
    drop(map);
    assert_eq!(marks(&disk, "a")[0], 2);
    disk.evict_clean_pages();
    assert_eq!(marks(&disk, "a")[0], 1);
}

#[test]
fn a_failed_write_back_can_reach_the_device_in_part() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..64 {
        let (disk, file) = with_durable("a", 16, 1);
        let map = file.map(8192).unwrap();
        for sector in [0, 512, 4096] {
            map.store(sector, &[2; 512]).unwrap();
        }
        disk.fail_at(disk.ops() + 1, SimFault::SyncLosesSome(seed));
        file.sync_data().unwrap_err();
        assert_eq!(disk.unsynced_sectors(), 0, "all of it is clean");
        file.sync_data().unwrap();
        let marks = lost(&disk, "a");
        outcomes.insert([marks[0], marks[1], marks[8]]);
    }
    assert_eq!(outcomes.len(), 8, "every subset: {outcomes:?}");
}

#[test]
fn what_was_written_back_survives_and_what_was_written_since_may_not() {
    let (disk, file) = with_durable("a", 2, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    file.write_all_at(512, &[3; 512]).unwrap();
    disk.write_back(&CutChoice::Versions(vec![1]));
    assert_eq!(
        (lost(&disk, "a"), marks(&disk, "a")),
        (vec![2, 1], vec![2, 3])
    );
    assert_eq!((disk.unsynced_sectors(), disk.cuts()), (1, 2));
    file.write_all_at(0, &[4; 512]).unwrap();
    file.write_all_at(0, &[5; 512]).unwrap();
    disk.write_back(&CutChoice::Versions(vec![1]));
    assert_eq!(
        lost(&disk, "a"),
        [4, 1],
        "an older version, then written again"
    );
    file.sync_data().unwrap();
    assert_eq!(lost(&disk, "a"), [5, 3]);
}

#[test]
fn lengths_and_entries_are_written_back_too() {
    let disk = new_disk();
    let file = create(&disk, "a", &[1; 700]);
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.write_all_at(0, &[2; 1500]).unwrap();
    create(&disk, "b", b"");
    // Three sectors without the length: the one that the end cuts short waits for it, as the one
    // behind it does.
    disk.write_back(&CutChoice::Versions(vec![1, 1, 1, 0, 0]));
    let cut = contents(&disk.power_cut(CutChoice::LoseAll), "a").unwrap();
    assert_eq!((cut.len(), cut[511], cut[512]), (700, 2, 1));
    assert_eq!(disk.unsynced_sectors(), 2);
    disk.write_back(&CutChoice::KeepAll);
    assert_eq!((disk.unsynced(), disk.cuts()), (vec![], 1));
    let cut = disk.power_cut(CutChoice::LoseAll);
    assert_eq!(contents(&cut, "a"), contents(&disk, "a"));
    assert_eq!(cut.files(), [path("a"), path("b")]);
}

#[test]
fn pages_are_kept_or_lost_whole() {
    let (disk, file) = with_durable("a", 32, 0);
    file.write_all_at(0, &[1; 16_384]).unwrap();
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let marks = marks(&disk.power_cut(CutChoice::Pages(seed)), "a");
        let pages: Vec<u8> = marks.chunks(8).map(|page| page[0]).collect();
        for (page, first) in marks.chunks(8).zip(&pages) {
            assert!(
                page.iter().all(|mark| mark == first),
                "seed {seed}: {marks:?}"
            );
        }
        outcomes.insert(pages);
    }
    assert_eq!(outcomes.len(), 16, "every subset of four pages");
}

#[test]
fn too_many_sectors_but_not_too_many_pages_are_gone_through_page_by_page() {
    let (disk, file) = with_durable("a", 32, 0);
    file.write_all_at(0, &[1; 16_384]).unwrap();
    assert_eq!(disk.cuts(), 1 << 32);
    let images: Vec<Vec<u8>> = disk
        .cut_images(40, 1)
        .map(|image| marks(&image, "a"))
        .collect();
    let whole: BTreeSet<&Vec<u8>> = images
        .iter()
        .filter(|marks| {
            marks
                .chunks(8)
                .all(|page| page.iter().all(|mark| *mark == page[0]))
        })
        .collect();
    assert_eq!((images.len(), whole.len()), (40, 16));
    assert!(
        images.iter().collect::<BTreeSet<_>>().len() > 24,
        "and samples"
    );
}

#[test]
fn a_torn_sector_is_two_versions_with_a_seam_at_a_multiple_of_eight() {
    let (disk, file) = with_durable("a", 4, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    file.write_all_at(0, &[3; 512]).unwrap();
    file.write_all_at(512, &[2; 512]).unwrap();
    let mut torn = 0;
    for seed in 0..400 {
        let image = contents(&disk.power_cut(CutChoice::Torn(seed)), "a").unwrap();
        for (at, sector) in image.chunks(512).enumerate() {
            let newest = [3, 2, 1, 1][at];
            assert!(
                sector.iter().all(|byte| (1..=newest).contains(byte)),
                "seed {seed}"
            );
            let seams: Vec<usize> = (1..512)
                .filter(|at| sector[*at] != sector[at - 1])
                .collect();
            assert!(
                seams.len() <= 1 && seams.iter().all(|seam| seam % 8 == 0),
                "seed {seed}"
            );
            torn += seams.len();
        }
        assert_eq!(
            image,
            contents(&disk.power_cut(CutChoice::Torn(seed)), "a").unwrap()
        );
    }
    assert!(torn > 50, "{torn} torn sectors");
}

/// Random histories with write-back at any moment and syncs that lose some: whatever the device
/// holds was written at some time, what an honest sync covered is there, and something becomes
/// durable without a sync.
#[test]
fn background_write_back_invents_nothing_and_loses_nothing_synced() {
    let mut early = 0;
    for seed in 1..=60 {
        let (disk, file) = with_durable("a", 16, 0);
        disk.write_back_in_background(seed);
        let random = SimDisk::new(seed);
        let draw = |end: u64| random.random_u64() % end;
        let mut possible: Vec<Vec<u8>> = vec![vec![0]; 16];
        for step in 1..40_u8 {
            match draw(8) {
                0 => {
                    file.sync_data().unwrap();
                    for fills in &mut possible {
                        fills.drain(..fills.len() - 1);
                    }
                }
                1 => {
                    disk.fail_at(disk.ops() + 1, SimFault::SyncLosesSome(seed));
                    file.sync_data().unwrap_err();
                    // Nobody knows now; go on from what the device has.
                    file.drop_cache().unwrap();
                    for (fills, mark) in possible.iter_mut().zip(marks(&disk, "a")) {
                        assert!(fills.contains(&mark), "seed {seed}");
                        *fills = vec![mark];
                    }
                }
                _ => {
                    let first = draw(16);
                    let count = 1 + draw(16 - first);
                    let bytes = vec![step; usize::try_from(count * 512).unwrap()];
                    file.write_all_at(first * 512, &bytes).unwrap();
                    for at in first..first + count {
                        possible[at as usize].push(step);
                    }
                }
            }
        }
        early += lost(&disk, "a")
            .iter()
            .zip(&possible)
            .filter(|(mark, fills)| fills.first() != Some(mark))
            .count();
        for image in disk.cut_images(50, seed) {
            for (mark, fills) in marks(&image, "a").iter().zip(&possible) {
                assert!(
                    fills.contains(mark),
                    "seed {seed}, {:?}",
                    image.cut_choice()
                );
            }
        }
        assert_eq!(disk.process_kill().ops(), 0);
    }
    assert!(early > 100, "{early} sectors durable without a sync");
}
