//! What every [`Disk`] promises, run on the real one (each way of syncing) and on the simulated one.
//!
//! Not here: what only one of them has (links and permissions; power cuts and faults).

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::real::{RealDisk, RealDiskOptions, SyncChoice};
use super::sim::SimDisk;
use super::{
    Disk, DiskFile, DiskRefusal, Entry, EntryKind, LockError, OpenMode, Pages, SyncMethod,
};

/// A disk and a directory on it that exists and is empty.
struct Place {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn real(sync: SyncChoice) -> Option<Place> {
        let disk = match RealDisk::with(RealDiskOptions {
            sync,
            ..RealDiskOptions::default()
        }) {
            Ok(disk) => Arc::new(disk),
            Err(error) => {
                crate::testing::skip("the disk contract with io_uring", error);
                return None;
            }
        };
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_path_buf();
        Some(Place {
            disk,
            dir,
            _temporary: Some(temporary),
        })
    }

    fn simulated() -> Option<Place> {
        let disk = SimDisk::new(1);
        let dir = PathBuf::from("/store");
        disk.create_dir_all(&dir).unwrap();
        Some(Place {
            disk: Arc::new(disk),
            dir,
            _temporary: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn create(&self, name: &str, contents: &[u8]) -> Arc<dyn DiskFile> {
        let file = self
            .disk
            .open(&self.path(name), OpenMode::CreateNew)
            .unwrap();
        file.write_all_at(0, contents).unwrap();
        file
    }

    fn read(&self, name: &str) -> Vec<u8> {
        read_all(&*self.disk.open(&self.path(name), OpenMode::Read).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .disk
            .list(&self.dir)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        names.sort();
        names
    }
}

fn read_all(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The reason inside an error, if a disk of ours refused.
fn refusal<T>(result: std::io::Result<T>) -> Option<DiskRefusal> {
    let error = result.err()?;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.get_ref()?.downcast_ref::<DiskRefusal>().cloned()
}

macro_rules! contract {
    ($($(#[$doc:meta])* fn $name:ident($place:ident: &Place) $body:block)*) => {
        mod promises {
            use super::*;
            $($(#[$doc])* pub(super) fn $name($place: &Place) $body)*
        }
        mod io_uring {
            use super::*;
            $(#[test] fn $name() { Place::real(SyncChoice::IoUring).iter().for_each(promises::$name); })*
        }
        mod fdatasync {
            use super::*;
            $(#[test] fn $name() { Place::real(SyncChoice::Fdatasync).iter().for_each(promises::$name); })*
        }
        mod simulated {
            use super::*;
            $(#[test] fn $name() { Place::simulated().iter().for_each(promises::$name); })*
        }
    };
}

contract! {
    fn what_is_written_is_read_and_listed(place: &Place) {
        let file = place.create("a", b"hello");
        file.write_all_at(7, b"x").unwrap();
        file.sync_data().unwrap();
        place.disk.sync_dir(&place.dir).unwrap();
        assert_eq!(place.read("a"), b"hello\0\0x");
        let mut middle = [0; 3];
        file.read_exact_at(1, &mut middle).unwrap();
        assert_eq!(&middle, b"ell");
        assert!(!file.is_empty().unwrap());
        assert_eq!(
            place.disk.list(&place.dir).unwrap(),
            [Entry { name: "a".to_owned(), kind: EntryKind::File, bytes: 8 }]
        );
    }

    fn pages_written_durably_are_read_through_any_open_file(place: &Place) {
        place.create("a", &vec![1; 5 * 4096]).sync_data().unwrap();
        let direct = place.disk.open(&place.path("a"), OpenMode::Direct).unwrap();
        let mut some = [Pages::default(), Pages::default()];
        for (number, pages) in some.iter_mut().enumerate() {
            pages.resize(number + 1);
            pages.as_mut_slice().fill(7 + u8::try_from(number).unwrap());
        }
        let buffers = some.each_ref().map(|pages| IoSlice::new(pages.as_slice()));
        direct.write_durable_at(4096, &buffers).unwrap();
        direct.write_zeros(4 * 4096, 4096).unwrap();
        direct.sync_data().unwrap();
        let mut expected = vec![1; 4096];
        for (byte, pages) in [(7, 1), (8, 2), (0, 1)] {
            expected.extend(std::iter::repeat_n(byte, pages * 4096));
        }
        assert_eq!(place.read("a"), expected);
        let mut back = Pages::default();
        back.resize(5);
        direct.read_exact_at(0, back.as_mut_slice()).unwrap();
        assert_eq!(back.as_slice(), expected);
        // Zeros in several large pieces, and a last one that is smaller.
        let length = 3 * 1024 * 1024 + 8 * 4096;
        let large = place.create("c", &vec![5; length + 2 * 4096]);
        let around = place.disk.open(&place.path("c"), OpenMode::Direct).unwrap();
        around.write_zeros(4096, length as u64).unwrap();
        around.sync_data().unwrap();
        let bytes = read_all(&*large);
        let (first, rest) = bytes.split_at(4096);
        let (zeros, last) = rest.split_at(length);
        assert!(first.iter().chain(last).all(|byte| *byte == 5));
        assert!(zeros.iter().all(|byte| *byte == 0));
        assert_eq!(last.len(), 4096);
        // More buffers than one call takes.
        let many = vec![IoSlice::new(some[0].as_slice()); 1030];
        place.create("b", b"").write_zeros(0, 1030 * 4096).unwrap();
        let direct = place.disk.open(&place.path("b"), OpenMode::Direct).unwrap();
        direct.write_durable_at(0, &many).unwrap();
        assert!(place.read("b").iter().all(|byte| *byte == 7));
        direct.write_durable_at(0, &[]).unwrap();
    }

    fn a_new_file_is_never_an_old_one(place: &Place) {
        place.create("a", b"old");
        let again = place.disk.open(&place.path("a"), OpenMode::CreateNew);
        assert_eq!(kind(again), Some(ErrorKind::AlreadyExists));
        assert_eq!(place.read("a"), b"old");
    }

    fn what_is_missing_is_not_found(place: &Place) {
        let (missing, inside) = (place.path("a"), place.path("no/a"));
        for mode in [OpenMode::Read, OpenMode::Write] {
            assert_eq!(kind(place.disk.open(&missing, mode)), Some(ErrorKind::NotFound));
        }
        assert_eq!(kind(place.disk.open(&inside, OpenMode::CreateNew)), Some(ErrorKind::NotFound));
        assert_eq!(kind(place.disk.remove(&missing)), Some(ErrorKind::NotFound));
        assert_eq!(kind(place.disk.rename(&missing, &place.path("b"))), Some(ErrorKind::NotFound));
        assert_eq!(kind(place.disk.list(&missing)), Some(ErrorKind::NotFound));
        assert_eq!(kind(place.disk.sync_dir(&missing)), Some(ErrorKind::NotFound));
        assert!(place.names().is_empty());
    }

    fn a_file_is_no_directory_and_a_directory_no_file(place: &Place) {
        place.create("a", b"");
        place.disk.create_dir_all(&place.path("d")).unwrap();
        for mode in [OpenMode::Read, OpenMode::Write] {
            let opened = place.disk.open(&place.path("d"), mode);
            assert_eq!(refusal(opened), Some(DiskRefusal::NotRegular { path: place.path("d") }));
        }
        assert_eq!(kind(place.disk.list(&place.path("a"))), Some(ErrorKind::NotADirectory));
        assert!(place.disk.remove(&place.path("d")).is_err());
        assert!(place.disk.rename(&place.path("a"), &place.path("d")).is_err());
        assert!(place.disk.create_dir_all(&place.path("a")).is_err());
        assert!(place.disk.create_dir_all(&place.path("a/b")).is_err());
        assert_eq!(place.names(), ["a", "d"]);
    }

    fn directories_are_made_with_their_parents_and_stay(place: &Place) {
        let deep = place.path("x/y/z");
        place.disk.create_dir_all(&deep).unwrap();
        place.disk.open(&deep.join("f"), OpenMode::CreateNew).unwrap();
        place.disk.create_dir_all(&deep).unwrap();
        let kinds: Vec<EntryKind> =
            place.disk.list(&place.path("x/y")).unwrap().iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [EntryKind::Directory]);
        assert_eq!(place.disk.list(&deep).unwrap().len(), 1);
    }

    fn a_read_over_the_end_is_an_unexpected_eof(place: &Place) {
        let file = place.create("a", &[1; 10]);
        let mut buffer = [0; 4];
        assert_eq!(kind(file.read_exact_at(7, &mut buffer)), Some(ErrorKind::UnexpectedEof));
        assert_eq!(kind(file.read_exact_at(1 << 40, &mut buffer)), Some(ErrorKind::UnexpectedEof));
        file.read_exact_at(6, &mut buffer).unwrap();
        assert_eq!(buffer, [1; 4]);
        file.read_exact_at(10, &mut []).unwrap();
    }

    fn zeros_go_where_they_are_asked_for(place: &Place) {
        let file = place.create("a", &[1; 10_000]);
        file.write_zeros(5, 9_000).unwrap();
        file.write_zeros(9_999, 5_000).unwrap();
        let bytes = read_all(&*file);
        assert_eq!(bytes.len(), 14_999);
        for (at, byte) in bytes.iter().enumerate() {
            let expected = u8::from(at < 5 || (9_005..9_999).contains(&at));
            assert_eq!(*byte, expected, "byte {at}");
        }
        file.write_zeros(0, 0).unwrap();
    }

    fn a_length_that_grows_adds_zeros_and_one_that_shrinks_cuts(place: &Place) {
        let file = place.create("a", &[1; 6_000]);
        file.set_len(100).unwrap();
        assert_eq!(read_all(&*file), [1; 100]);
        file.set_len(9_000).unwrap();
        let bytes = read_all(&*file);
        assert_eq!((bytes.len(), bytes.iter().filter(|byte| **byte == 1).count()), (9_000, 100));
    }

    fn a_store_through_the_map_is_read_through_the_file(place: &Place) {
        let file = place.create("a", b"");
        file.write_zeros(0, 8_192).unwrap();
        file.sync_data().unwrap();
        file.drop_cache().unwrap();
        let map = file.map(8_192).unwrap();
        assert_eq!((map.len(), map.is_empty()), (8_192, false));
        map.store(4_000, &[7; 200]).unwrap();
        map.store(8_191, &[8]).unwrap();
        file.sync_data().unwrap();
        let bytes = place.read("a");
        assert!(bytes[4_000..4_200].iter().all(|byte| *byte == 7));
        assert_eq!((bytes[3_999], bytes[4_200], bytes[8_191]), (0, 0, 8));
        assert_eq!(bytes.len(), 8_192);
    }

    fn a_store_outside_the_map_stores_nothing(place: &Place) {
        let file = place.create("a", b"");
        file.write_zeros(0, 8_192).unwrap();
        let map = file.map(4_096).unwrap();
        for offset in [4_095, 4_096, u64::MAX] {
            let outside = DiskRefusal::StoreOutside { offset_bytes: offset, bytes: 2, map_bytes: 4_096 };
            assert_eq!(refusal(map.store(offset, &[9; 2])), Some(outside));
        }
        assert!(read_all(&*file).iter().all(|byte| *byte == 0));
    }

    fn what_a_store_could_be_killed_for_is_not_mapped(place: &Place) {
        let file = place.create("a", b"");
        assert_eq!(refusal(file.map(0)), Some(DiskRefusal::MapLength { map_bytes: 0 }));
        file.set_len(1 << 20).unwrap();
        let bytes = 1 << 20;
        let hole = |hole_offset_bytes| DiskRefusal::MapHole { map_bytes: bytes, hole_offset_bytes };
        assert_eq!(refusal(file.map(bytes)), Some(hole(0)));
        // A hole of one page between allocated ones.
        file.write_zeros(0, 65_536).unwrap();
        file.write_zeros(69_632, bytes - 69_632).unwrap();
        file.sync_data().unwrap();
        assert_eq!(refusal(file.map(bytes)), Some(hole(65_536)));
        file.write_zeros(65_536, 4_096).unwrap();
        assert_eq!(file.map(bytes).unwrap().len(), bytes);
        let past = DiskRefusal::MapPastEnd { map_bytes: bytes + 1, file_bytes: bytes };
        assert_eq!(refusal(file.map(bytes + 1)), Some(past));
    }

    fn a_mapped_file_does_not_shrink(place: &Place) {
        let file = place.create("a", b"");
        file.write_zeros(0, 8_192).unwrap();
        let maps = [file.map(4_096).unwrap(), file.map(8_192).unwrap()];
        for map in maps {
            let refused = DiskRefusal::ShrinkMapped { file_bytes: 8_192, wanted_bytes: 8_000 };
            assert_eq!(refusal(file.set_len(8_000)), Some(refused));
            file.set_len(8_192).unwrap();
            drop(map);
        }
        file.set_len(8_000).unwrap();
        assert_eq!(file.len().unwrap(), 8_000);
    }

    fn a_map_outlives_its_file_handle(place: &Place) {
        let file = place.create("a", b"");
        file.write_zeros(0, 4_096).unwrap();
        let map = file.map(4_096).unwrap();
        drop(file);
        map.store(0, b"late").unwrap();
        assert_eq!(&place.read("a")[..4], b"late");
    }

    fn a_rename_replaces_and_old_handles_keep_what_they_opened(place: &Place) {
        let (old, new) = (place.create("a", b"old"), place.create("a.new", b"newer"));
        place.disk.rename(&place.path("a.new"), &place.path("a")).unwrap();
        assert_eq!(place.names(), ["a"]);
        assert_eq!(place.read("a"), b"newer");
        assert_eq!(read_all(&*old), b"old");
        assert_eq!(read_all(&*new), b"newer");
        place.disk.rename(&place.path("a"), &place.path("a")).unwrap();
        assert_eq!(place.read("a"), b"newer");
    }

    fn a_rename_reaches_other_directories(place: &Place) {
        place.create("a", b"moved");
        place.disk.create_dir_all(&place.path("aside")).unwrap();
        place.disk.rename(&place.path("a"), &place.path("aside/b")).unwrap();
        assert_eq!(place.names(), ["aside"]);
        assert_eq!(place.read("aside/b"), b"moved");
    }

    fn a_removed_file_is_read_until_its_handle_goes(place: &Place) {
        let file = place.create("a", b"kept");
        place.disk.remove(&place.path("a")).unwrap();
        place.disk.sync_dir(&place.dir).unwrap();
        assert!(place.names().is_empty());
        assert_eq!(read_all(&*file), b"kept");
        file.write_all_at(0, b"K").unwrap();
        file.sync_data().unwrap();
        place.create("a", b"other");
        assert_eq!(read_all(&*file), b"Kept");
    }

    /// Each has an error state of its own, which a sync in flight needs; the bytes are the same.
    fn a_file_can_be_open_many_times(place: &Place) {
        let first = place.create("a", b"");
        first.write_zeros(0, 8_192).unwrap();
        first.sync_data().unwrap();
        let more: Vec<Arc<dyn DiskFile>> = (0..4)
            .map(|_| place.disk.open(&place.path("a"), OpenMode::Write).unwrap())
            .collect();
        let map = first.map(8_192).unwrap();
        for (at, file) in (0_u8..).zip(&more) {
            file.write_all_at(u64::from(at), &[at + 1]).unwrap();
            map.store(4_096 + u64::from(at), &[at + 1]).unwrap();
        }
        std::thread::scope(|scope| {
            for file in &more {
                scope.spawn(|| file.sync_data().unwrap());
            }
        });
        drop(more);
        first.sync_data().unwrap();
        let bytes = place.read("a");
        assert_eq!((&bytes[..5], &bytes[4_096..4_101]), (&[1, 2, 3, 4, 0][..], &[1, 2, 3, 4, 0][..]));
        // A map of one keeps the file from being cut through another.
        let other = place.disk.open(&place.path("a"), OpenMode::Write).unwrap();
        assert_eq!(other.len().unwrap(), 8_192);
    }

    fn a_reading_handle_cannot_write(place: &Place) {
        place.create("a", &[1; 4_096]);
        let file = place.disk.open(&place.path("a"), OpenMode::Read).unwrap();
        assert!(file.write_all_at(0, b"x").is_err());
        assert!(file.write_zeros(0, 1).is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.map(4_096).is_err());
        assert_eq!(place.read("a"), [1; 4_096]);
        file.drop_cache().unwrap();
    }

    fn a_lock_has_one_holder(place: &Place) {
        let path = place.path("lock");
        assert_eq!(place.disk.lock_holder(&path).unwrap(), None);
        assert!(place.names().is_empty(), "asking creates no file");
        let held = place.disk.lock(&path).unwrap();
        let holder = place.disk.lock_holder(&path).unwrap();
        assert!(holder.is_some());
        match place.disk.lock(&path) {
            Err(LockError::Busy { holder_pid }) => assert_eq!(holder_pid, holder),
            other => panic!("not busy: {other:?}"),
        }
        drop(held);
        assert_eq!(place.disk.lock_holder(&path).unwrap(), None);
        assert_eq!(place.names(), ["lock"], "releasing removes no file");
        let again = place.disk.lock(&path).unwrap();
        let line = String::from_utf8(place.read("lock")).unwrap();
        assert_eq!(line.strip_suffix('\n').and_then(|pid| pid.parse().ok()), holder);
        let other = place.disk.lock(&place.path("other")).unwrap();
        drop((again, other));
    }

    fn a_lock_elsewhere_is_an_error_and_not_busy(place: &Place) {
        match place.disk.lock(&place.path("no/lock")) {
            Err(LockError::Io(error)) => assert_eq!(error.kind(), ErrorKind::NotFound),
            other => panic!("not an error: {other:?}"),
        }
        assert_eq!(place.disk.lock_holder(&place.path("no/lock")).unwrap(), None);
    }

    fn random_bits_differ_and_the_clock_is_of_this_century(place: &Place) {
        let drawn: std::collections::BTreeSet<u64> =
            (0..100).map(|_| place.disk.random_u64()).collect();
        assert_eq!(drawn.len(), 100);
        let micros = place.disk.wall_clock_micros();
        assert!((1_600_000_000_000_000..10_000_000_000_000_000).contains(&micros), "{micros}");
    }

    fn many_threads_sync_at_once(place: &Place) {
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d", "e", "f"] {
                scope.spawn(move || {
                    let file = place.create(name, &[1; 100]);
                    for round in 0..5 {
                        file.write_all_at(round, &[2]).unwrap();
                        file.sync_data().unwrap();
                    }
                });
            }
        });
        assert_eq!(place.names().len(), 6);
    }
}

#[test]
fn each_disk_says_how_it_syncs() {
    let path = |place: Option<Place>| place.map(|place| place.disk.sync_path().method);
    assert_eq!(path(Place::simulated()), Some(SyncMethod::Simulated));
    if cfg!(target_os = "linux") {
        assert_eq!(
            path(Place::real(SyncChoice::Fdatasync)),
            Some(SyncMethod::Fdatasync)
        );
        if let Some(method) = path(Place::real(SyncChoice::IoUring)) {
            assert_eq!(method, SyncMethod::IoUring);
            let auto = Place::real(SyncChoice::Auto).map(|place| place.disk.sync_path());
            let auto = auto.expect("it needs nothing");
            assert_eq!(auto.method, SyncMethod::Fdatasync);
            assert!(auto.zeros_by_io_uring, "{auto:?}");
            assert_eq!(auto.fallback_reason, None);
        }
    }
}

/// One step of a random history, the same on every disk: what it answered, in comparable form.
fn step(
    place: &Place,
    open: &mut BTreeMap<usize, Arc<dyn DiskFile>>,
    draw: &mut impl FnMut(usize) -> usize,
) -> String {
    let names = ["a", "b", "d/a", "d/b"];
    let path = |at: usize| place.path(names[at]);
    let (slot, offset, bytes) = (draw(3), draw(20_000), draw(9_000));
    let fill = u8::try_from(draw(250)).unwrap() + 1;
    let shown = |result: std::io::Result<String>| match result {
        Ok(text) => text,
        Err(error) => format!("{:?}", error.kind()),
    };
    let (offset, length) = (offset as u64, bytes as u64);
    match draw(12) {
        0 => {
            let mode = [OpenMode::Read, OpenMode::Write, OpenMode::CreateNew][draw(3)];
            let result = place.disk.open(&path(draw(4)), mode);
            // Which error a handle for reading gives to a writer differs; it is not kept.
            shown(result.map(|file| {
                if mode != OpenMode::Read {
                    open.insert(slot, file);
                }
                "opened".to_owned()
            }))
        }
        1 => shown(
            place
                .disk
                .rename(&path(draw(4)), &path(draw(4)))
                .map(|()| "renamed".to_owned()),
        ),
        2 => shown(
            place
                .disk
                .remove(&path(draw(4)))
                .map(|()| "removed".to_owned()),
        ),
        3 => {
            open.remove(&slot);
            "closed".to_owned()
        }
        4 => shown(
            place
                .disk
                .sync_dir(&place.path("d"))
                .map(|()| "synced".to_owned()),
        ),
        what => {
            let Some(file) = open.get(&slot) else {
                return "no file".to_owned();
            };
            shown(match what {
                5 | 6 => file
                    .write_all_at(offset, &vec![fill; bytes])
                    .map(|()| "written".to_owned()),
                7 => file
                    .write_zeros(offset, length)
                    .map(|()| "zeroed".to_owned()),
                8 => file.set_len(offset).map(|()| "cut".to_owned()),
                9 => file.sync_data().map(|()| "synced".to_owned()),
                10 => file
                    .map(length)
                    .and_then(|map| map.store(offset, &[fill; 40]).map(|()| "stored".to_owned())),
                _ => {
                    let mut buffer = vec![0; bytes];
                    file.read_exact_at(offset, &mut buffer)
                        .map(|()| format!("{buffer:?}"))
                }
            })
        }
    }
}

/// Every file's name and contents.
fn tree(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for dir in ["", "d"] {
        for entry in place.disk.list(&place.path(dir)).unwrap() {
            if entry.kind == EntryKind::File {
                let name = Path::new(dir)
                    .join(&entry.name)
                    .to_str()
                    .unwrap()
                    .to_owned();
                let contents = place.read(&name);
                assert_eq!(contents.len() as u64, entry.bytes);
                files.insert(name, contents);
            }
        }
    }
    files
}

#[test]
fn real_and_simulated_agree_on_any_history() {
    for seed in 1..=40 {
        let places = [
            Place::real(SyncChoice::Fdatasync).unwrap(),
            Place::simulated().unwrap(),
        ];
        let histories = places.each_ref().map(|place| {
            place.disk.create_dir_all(&place.path("d")).unwrap();
            let random = SimDisk::new(seed);
            let mut draw = |end: usize| usize::try_from(random.random_u64() % end as u64).unwrap();
            let mut open = BTreeMap::new();
            (0..120)
                .map(|_| step(place, &mut open, &mut draw))
                .collect::<Vec<_>>()
        });
        let [real, simulated] = &histories;
        for (at, (real, simulated)) in real.iter().zip(simulated).enumerate() {
            assert_eq!(real, simulated, "seed {seed}, step {at}");
        }
        let [real, simulated] = places.each_ref().map(tree);
        assert_eq!(real, simulated, "seed {seed}");
    }
}
