//! What the simulated disk does beside the common contract: here contents after power cuts and kills.

use std::collections::BTreeSet;

use super::super::OpenMode;
use super::*;

mod durable;
mod entries;
mod faults;
mod write_back;

const DIR: &str = "/store";

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new(7);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn create(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(&path(name), OpenMode::CreateNew).unwrap();
    file.write_all_at(0, bytes).unwrap();
    file
}

/// A disk with one durable file of `sectors` sectors, all of them `fill`.
fn with_durable(name: &str, sectors: usize, fill: u8) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = new_disk();
    let file = create(&disk, name, &vec![fill; sectors * 512]);
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(disk.unsynced(), []);
    (disk, file)
}

fn contents(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.contents(&path(name))
}

/// The first byte of each sector.
fn marks(disk: &SimDisk, name: &str) -> Vec<u8> {
    contents(disk, name)
        .unwrap()
        .chunks(512)
        .map(|sector| sector[0])
        .collect()
}

fn read(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn sim_error<T: fmt::Debug>(result: io::Result<T>) -> SimError {
    let error = result.unwrap_err();
    error
        .get_ref()
        .unwrap()
        .downcast_ref::<SimError>()
        .unwrap()
        .clone()
}

#[test]
fn a_cut_loses_or_keeps_what_is_unsynced_and_never_what_is_synced() {
    let (disk, file) = with_durable("a", 2, 1);
    file.write_all_at(512, &[2; 512]).unwrap();
    file.write_all_at(1024, &[3; 512]).unwrap();
    assert_eq!(marks(&disk, "a"), [1, 2, 3]);
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [1, 1]);
    assert_eq!(marks(&disk.power_cut(CutChoice::KeepAll), "a"), [1, 2, 3]);
    file.sync_data().unwrap();
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a"), [1, 2, 3]);
}

#[test]
fn the_images_of_a_cut_are_each_combination_of_versions_once() {
    let (disk, file) = with_durable("a", 8, 0);
    let map = file.map(4096).unwrap();
    map.store(0, &[1; 512]).unwrap();
    map.store(0, &[2; 512]).unwrap();
    map.store(512, &[3; 512]).unwrap();
    assert_eq!(disk.unsynced_sectors(), 2);
    let images: Vec<SimDisk> = disk.cut_images(6, 0).collect();
    let found: BTreeSet<Vec<u8>> = images.iter().map(|image| marks(image, "a")).collect();
    let expected: BTreeSet<Vec<u8>> = [0, 1, 2]
        .into_iter()
        .flat_map(|first| [0, 3].map(|second| vec![first, second, 0, 0, 0, 0, 0, 0]))
        .collect();
    assert_eq!((images.len(), found), (6, expected));
    // Each says how it came about, and coming about that way again gives the same.
    for image in &images {
        let again = disk.power_cut(image.cut_choice().unwrap());
        assert_eq!(marks(&again, "a"), marks(image, "a"));
    }
}

#[test]
fn too_many_images_are_sampled_beginning_with_the_two_extremes() {
    let (disk, file) = with_durable("a", 64, 0);
    file.write_all_at(0, &[1; 64 * 512]).unwrap();
    let samples = |seed| -> Vec<Vec<u8>> {
        disk.cut_images(200, seed)
            .map(|image| marks(&image, "a"))
            .collect()
    };
    let first = samples(1);
    assert_eq!(first.len(), 200);
    assert_eq!((&first[0], &first[1]), (&vec![0; 64], &vec![1; 64]));
    assert_eq!(first, samples(1), "same seed, same samples");
    assert_ne!(first, samples(2));
    let distinct: BTreeSet<&Vec<u8>> = first.iter().collect();
    assert!(distinct.len() > 120, "{} distinct", distinct.len());
    // Nearly everything kept, nearly everything lost, and mixtures: all of them turn up.
    let kept: Vec<usize> = first
        .iter()
        .map(|marks| marks.iter().filter(|mark| **mark == 1).count())
        .collect();
    for range in [1..4, 24..40, 61..64] {
        assert!(
            kept.iter().any(|count| range.contains(count)),
            "{range:?} in {kept:?}"
        );
    }
}

#[test]
fn an_image_does_not_change_with_the_disk_it_was_cut_from() {
    let (disk, file) = with_durable("a", 1, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    let mut images = disk.cut_images(10, 0);
    let kill = disk.process_kill();
    file.write_all_at(0, &[3; 512]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(marks(&images.next().unwrap(), "a"), [1]);
    assert_eq!(marks(&images.next().unwrap(), "a"), [2]);
    assert!(images.next().is_none());
    assert_eq!(marks(&kill, "a"), [2]);
}

#[test]
fn a_subset_names_the_pieces_in_the_order_of_the_list() {
    let (disk, file) = with_durable("a", 2, 0);
    file.write_all_at(0, &[1; 1536]).unwrap();
    disk.rename(&path("a"), &path("b")).unwrap();
    let sector = |offset_bytes| Unsynced::Sector {
        path: path("b"),
        offset_bytes,
        versions: 1,
    };
    assert_eq!(
        disk.unsynced(),
        [
            sector(0),
            sector(512),
            sector(1024),
            Unsynced::Length {
                path: path("b"),
                lengths_bytes: vec![1536]
            },
            Unsynced::Entry {
                change: "rename /store/a to /store/b".to_owned()
            },
        ]
    );
    let cut = disk.power_cut(CutChoice::Subset(vec![false, true, true, false, true]));
    assert_eq!(
        marks(&cut, "b"),
        [0, 1],
        "the third sector lies behind the durable length"
    );
    let cut = disk.power_cut(CutChoice::Versions(vec![1, 0, 0, 9]));
    assert_eq!(
        marks(&cut, "a"),
        [1, 0, 0],
        "a length without its sector reads as zeros"
    );
}

#[test]
fn an_unsynced_shorter_length_may_come_back_long() {
    let (disk, file) = with_durable("a", 3, 1);
    file.set_len(512).unwrap();
    let outcomes: BTreeSet<Vec<u8>> = disk
        .cut_images(100, 0)
        .map(|image| marks(&image, "a"))
        .collect();
    assert!(
        outcomes.contains(&vec![1]) && outcomes.contains(&vec![1, 1, 1]),
        "{outcomes:?}"
    );
    assert!(outcomes.iter().all(|marks| marks[0] == 1));
    file.sync_data().unwrap();
    let cut = disk.power_cut(CutChoice::LoseAll);
    assert_eq!(contents(&cut, "a").unwrap(), [1; 512]);
    // What was cut off does not come back with a new length.
    let file = cut.open(&path("a"), OpenMode::Write).unwrap();
    file.set_len(1024).unwrap();
    for image in cut.cut_images(100, 0) {
        assert!(
            contents(&image, "a").unwrap()[512..]
                .iter()
                .all(|byte| *byte == 0)
        );
    }
}

#[test]
fn what_a_length_cut_off_stays_off_in_every_later_image() {
    let (disk, file) = with_durable("a", 2, 1);
    file.write_all_at(512, &[2; 512]).unwrap();
    file.set_len(512).unwrap();
    file.set_len(1024).unwrap();
    assert_eq!(marks(&disk, "a"), [1, 0]);
    assert_eq!(marks(&disk.power_cut(CutChoice::KeepAll), "a"), [1, 0]);
    // Zeros over it make it a place for stores again.
    file.write_zeros(0, 4096).unwrap();
    file.map(4096).unwrap().store(512, &[3]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(marks(&disk.power_cut(CutChoice::LoseAll), "a")[..2], [0, 3]);
}

#[test]
fn a_sector_is_cut_at_a_length_inside_it() {
    let disk = new_disk();
    let file = create(&disk, "a", &[1; 100]);
    disk.sync_dir(Path::new(DIR)).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(100, &[2; 100]).unwrap();
    // The sector but not the length, and then the file grows.
    let cut = disk.power_cut(CutChoice::Versions(vec![1, 0]));
    let file = cut.open(&path("a"), OpenMode::Write).unwrap();
    file.set_len(200).unwrap();
    let bytes = read(&*file);
    assert_eq!(
        (&bytes[..100], &bytes[100..]),
        (&[1; 100][..], &[0; 100][..])
    );
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_nothing_more_durable() {
    let (disk, file) = with_durable("a", 1, 1);
    let held = disk.lock(&path("lock")).unwrap();
    file.write_all_at(0, &[2; 512]).unwrap();
    let after = disk.process_kill();
    assert_eq!(marks(&after, "a"), [2]);
    assert_eq!(marks(&after.power_cut(CutChoice::LoseAll), "a"), [1]);
    assert_eq!(after.lock_holder(&path("lock")).unwrap(), None);
    let next = after.lock(&path("lock")).unwrap();
    assert_ne!(
        after.lock_holder(&path("lock")).unwrap(),
        disk.lock_holder(&path("lock")).unwrap(),
        "another process has it"
    );
    drop((held, next));
    // A sync by the next process makes durable what the killed one wrote.
    after
        .open(&path("a"), OpenMode::Write)
        .unwrap()
        .sync_data()
        .unwrap();
    assert_eq!(marks(&after.power_cut(CutChoice::LoseAll), "a"), [2]);
}

#[test]
fn the_same_seed_draws_the_same_bits_and_a_reboot_draws_on() {
    let draw = |disk: &SimDisk| [disk.random_u64(), disk.random_u64()];
    let disk = SimDisk::new(3);
    let first = draw(&disk);
    assert_eq!(first, draw(&SimDisk::new(3)));
    assert_ne!(first, draw(&SimDisk::new(4)));
    let rebooted = disk.power_cut(CutChoice::KeepAll);
    let second = draw(&rebooted);
    assert_ne!(first, second);
    assert_eq!(second, draw(&disk.process_kill()));
    assert_eq!(
        second,
        draw(&disk),
        "what the old disk would have drawn next"
    );
    let before = disk.wall_clock_micros();
    assert!(disk.power_cut(CutChoice::LoseAll).wall_clock_micros() > before);
}

/// Every image that a cut can leave of a random history lies between two plain models: what was
/// durable for certain, and everything ever written to a sector.
#[test]
fn no_cut_invents_bytes_or_loses_synced_ones() {
    for seed in 1..=30 {
        let (disk, file) = with_durable("a", 16, 0);
        let random = SimDisk::new(seed);
        let draw = |end: u64| random.random_u64() % end;
        // Per sector: the fills that may be found, the durable one first.
        let mut possible: Vec<Vec<u8>> = vec![vec![0]; 16];
        for step in 1..40_u8 {
            if draw(8) == 0 {
                file.sync_data().unwrap();
                for fills in &mut possible {
                    fills.drain(..fills.len() - 1);
                }
                continue;
            }
            let first = draw(16);
            let count = 1 + draw(16 - first);
            let bytes = vec![step; usize::try_from(count * 512).unwrap()];
            file.write_all_at(first * 512, &bytes).unwrap();
            for fills in possible
                .iter_mut()
                .skip(first as usize)
                .take(count as usize)
            {
                fills.push(step);
            }
        }
        let mut seen: Vec<BTreeSet<u8>> = vec![BTreeSet::new(); 16];
        for image in disk.cut_images(100, seed) {
            let bytes = contents(&image, "a").unwrap();
            for (at, sector) in bytes.chunks(512).enumerate() {
                assert!(
                    sector.iter().all(|byte| *byte == sector[0]),
                    "seed {seed}: torn sector"
                );
                assert!(
                    possible[at].contains(&sector[0]),
                    "seed {seed}, sector {at}"
                );
                seen[at].insert(sector[0]);
            }
        }
        let durable: Vec<u8> = possible.iter().map(|fills| fills[0]).collect();
        let newest: Vec<u8> = possible
            .iter()
            .map(|fills| fills[fills.len() - 1])
            .collect();
        assert_eq!(
            marks(&disk.power_cut(CutChoice::LoseAll), "a"),
            durable,
            "seed {seed}"
        );
        assert_eq!(
            marks(&disk.power_cut(CutChoice::KeepAll), "a"),
            newest,
            "seed {seed}"
        );
        assert_eq!(marks(&disk, "a"), newest, "seed {seed}");
        for (fills, seen) in possible.iter().zip(&seen) {
            assert!(
                seen.len() >= fills.len().min(2),
                "seed {seed}: {fills:?}, {seen:?}"
            );
        }
    }
}
