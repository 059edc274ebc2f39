//! Durable writes, and operations that overtake each other.

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};

use super::super::super::Pages;
use super::*;

fn pages(count: usize, fill: u8) -> Pages {
    let mut pages = Pages::default();
    pages.resize(count);
    pages.as_mut_slice().fill(fill);
    pages
}

fn direct(disk: &SimDisk, name: &str) -> Arc<dyn DiskFile> {
    disk.open(&path(name), OpenMode::Direct).unwrap()
}

fn lost(disk: &SimDisk) -> Vec<u8> {
    marks(&disk.power_cut(CutChoice::LoseAll), "a")
}

fn write(file: &dyn DiskFile, offset: u64, pages: &Pages) -> io::Result<()> {
    file.write_durable_at(offset, &[IoSlice::new(pages.as_slice())])
}

#[test]
fn a_durable_write_makes_its_own_bytes_durable_and_no_others() {
    let (disk, file) = with_durable("a", 24, 1);
    let direct = direct(&disk, "a");
    file.write_all_at(0, &[2; 512]).unwrap();
    let ops = disk.ops();
    write(&*direct, 4096, &pages(1, 3)).unwrap();
    assert_eq!(disk.ops(), ops + 1, "one operation");
    let mut expected = vec![1; 24];
    expected[8..16].fill(3);
    assert_eq!(lost(&disk), expected);
    assert_eq!(disk.unsynced_sectors(), 1);
}

#[test]
fn around_the_page_cache_everything_is_aligned_and_in_its_place() {
    let (disk, _file) = with_durable("a", 16, 1);
    let direct = direct(&disk, "a");
    let two = pages(2, 2);
    let odd = two.as_slice();
    let refused = [
        direct.write_durable_at(512, &[IoSlice::new(&odd[..4096])]),
        direct.write_durable_at(0, &[IoSlice::new(&odd[..512])]),
        direct.write_durable_at(0, &[IoSlice::new(&odd[8..4104])]),
        direct.write_all_at(0, &odd[..100]),
        write(&*direct, 4096, &two),
        direct.write_durable_at(u64::MAX - 4095, &[IoSlice::new(odd)]),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(marks(&disk, "a"), [1; 16]);
    let reading = disk.open(&path("a"), OpenMode::Read).unwrap();
    let denied = write(&*reading, 0, &two).unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn a_failed_durable_write_leaves_any_part_and_no_phantom() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..60 {
        let (disk, file) = with_durable("a", 8, 1);
        let direct = direct(&disk, "a");
        disk.fail_at(disk.ops() + 1, SimFault::SyncLosesSome(seed));
        write(&*direct, 0, &pages(1, 2)).unwrap_err();
        let kept = lost(&disk);
        assert_eq!(marks(&disk, "a"), kept, "what is read is what is there");
        assert_eq!((disk.cuts(), file.sync_data().is_ok()), (1, true));
        outcomes.insert(kept);
    }
    assert!(outcomes.len() > 40, "{} outcomes", outcomes.len());
    let (disk, _file) = with_durable("a", 8, 1);
    let direct = direct(&disk, "a");
    for (fault, left) in [
        (SimFault::SyncLies, [1, 1]),
        (SimFault::Error(ErrorKind::Other), [1, 1]),
        (SimFault::ShortThenError, [2, 1]),
    ] {
        disk.fail_at(disk.ops() + 1, fault);
        write(&*direct, 0, &pages(1, 2)).unwrap_err();
        let marks = lost(&disk);
        assert_eq!([marks[3], marks[4]], left, "{fault:?}");
    }
}

#[test]
fn a_durable_write_hears_of_an_earlier_failure() {
    let (disk, file) = with_durable("a", 16, 1);
    let direct = direct(&disk, "a");
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_write_back(&path("a"), None, ErrorKind::Other)
        .unwrap();
    write(&*direct, 4096, &pages(1, 2)).unwrap_err();
    assert_eq!(lost(&disk)[8], 2, "its own bytes are there");
    write(&*direct, 4096, &pages(1, 2)).unwrap();
}

#[test]
fn a_death_in_a_durable_write_leaves_any_subset_of_its_sectors() {
    let (disk, _file) = with_durable("a", 8, 1);
    let direct = direct(&disk, "a");
    disk.fail_at(disk.ops() + 1, SimFault::DiesMidway);
    write(&*direct, 0, &pages(1, 2)).unwrap_err();
    let images: BTreeSet<Vec<u8>> = disk
        .cut_images(1000, 0)
        .map(|image| marks(&image, "a"))
        .collect();
    assert_eq!(images.len(), 256);
    assert_eq!(
        marks(&disk.process_kill(), "a"),
        [2; 8],
        "what was sent arrives"
    );
}

#[test]
fn a_held_operation_is_overtaken() {
    for name in [op::SYNC, op::WRITE_DURABLE] {
        let (disk, file) = with_durable("a", 16, 1);
        let (first, second) = (direct(&disk, "a"), direct(&disk, "a"));
        if name == op::SYNC {
            file.write_all_at(0, &[2; 512]).unwrap();
        }
        let hold = disk.hold_next(name);
        let waiting = std::thread::spawn(move || match name {
            op::SYNC => first.sync_data(),
            _ => write(&*first, 0, &pages(1, 2)),
        });
        while disk.held() == 0 {
            std::thread::yield_now();
        }
        write(&*second, 4096, &pages(1, 3)).unwrap();
        let marks = lost(&disk);
        assert_eq!((marks[0], marks[8]), (1, 3), "{name}");
        assert!(disk.cuts() > 1, "{name}: the held one is on its way");
        drop(hold);
        waiting.join().unwrap().unwrap();
        let after = (lost(&disk)[0], disk.held(), disk.cuts());
        assert_eq!(after, (2, 0, 1), "{name}");
    }
}
