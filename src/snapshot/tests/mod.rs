//! Snapshot files as a whole: written, read, received, damaged, interrupted.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};

use super::*;
use crate::store::contract::Seeded;
use crate::{
    ColumnFamily, KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, Sequence,
    StoreId, WriteBatch,
};

mod hostile;

const DIR: &str = "/data/snapshots";

fn dir() -> &'static Path {
    Path::new(DIR)
}

/// A disk with an empty snapshot directory.
fn new_disk() -> SimDisk {
    let disk = SimDisk::new(0x5eed_0007);
    disk.create_dir_all(dir()).unwrap();
    for parent in ["/", "/data"] {
        disk.sync_dir(Path::new(parent)).unwrap();
    }
    disk
}

/// Puts a file there durably.
fn put(disk: &SimDisk, entry: &str, bytes: &[u8]) {
    let file = disk.open(&dir().join(entry), OpenMode::CreateNew).unwrap();
    file.write_all_at(0, bytes).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(dir()).unwrap();
}

/// Names of all files, also of a disk that is dead.
fn names(disk: &SimDisk) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    disk.files().iter().map(name).collect()
}

fn staged_bytes(disk: &SimDisk, name: SnapshotName) -> Vec<u8> {
    disk.contents(&name.path_in(dir())).unwrap()
}

fn meta() -> SnapshotMeta {
    let peer = |id, role| Peer {
        id: PeerId(id),
        store: StoreId(id),
        role,
        is_witness: false,
    };
    SnapshotMeta {
        region: Region {
            id: RegionId(7),
            range: KeyRange::new(*b"b", Some(*b"y")).unwrap(),
            epoch: RegionEpoch {
                conf_ver: 3,
                version: 222,
            },
            peers: vec![peer(12, PeerRole::Voter), peer(13, PeerRole::Learner)],
        },
        index: 41,
        term: 6,
        sequence: Sequence::new(1000),
    }
}

fn name() -> SnapshotName {
    meta().name(97)
}

type Row<'a> = (u8, &'a [u8], &'a [u8]);

fn stage(disk: &SimDisk, rows: &[Row<'_>]) -> Result<StagedSnapshot, SnapshotError> {
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), dir(), 97, &meta())?;
    for (cf, key, value) in rows {
        writer.push_cf(ColumnFamily::new(*cf), key, value)?;
    }
    writer.finish()
}

/// Column family, key, value.
type OwnedRow = (u8, Vec<u8>, Vec<u8>);

fn rows_of(disk: &SimDisk) -> Result<Vec<OwnedRow>, SnapshotError> {
    let reader = SnapshotReader::open(disk, dir(), name())?;
    let rows = reader.rows()?;
    rows.map(|row| row.map(|row| (row.cf.number(), row.key.to_vec(), row.value.to_vec())))
        .collect()
}

/// Three rows in two families.
const SMALL: [Row<'static>; 3] = [
    (0, b"b", b"first"),
    (0, b"xylophone", b""),
    (1, b"c", b"another family"),
];

fn small() -> Vec<u8> {
    let disk = new_disk();
    stage(&disk, &SMALL).unwrap();
    staged_bytes(&disk, name())
}

#[test]
fn what_is_staged_is_read_back_row_for_row() {
    let seed = 0x5eed_0005;
    let mut random = Seeded(seed);
    let mut rows = Vec::new();
    for n in 0..3000_u32 {
        let length = random.below(200) as usize;
        rows.push((0, format!("key{n:06}").into_bytes(), vec![n as u8; length]));
    }
    // Longer than a chunk, and the longest that there can be.
    rows.push((0, b"xx".to_vec(), vec![1; CHUNK_PAYLOAD_BYTES_MAX]));
    let longest_key = vec![b'x'; Region::KEY_BYTES_MAX];
    rows.push((1, longest_key, vec![2; WriteBatch::VALUE_BYTES_MAX]));
    rows.push((2, b"c".to_vec(), vec![]));
    let disk = new_disk();
    let borrowed: Vec<Row<'_>> = rows
        .iter()
        .map(|(cf, key, value)| (*cf, &**key, &**value))
        .collect();
    let staged = stage(&disk, &borrowed).unwrap();
    assert_eq!((staged.name, staged.rows), (name(), rows.len() as u64));
    assert_eq!(staged.bytes, staged_bytes(&disk, name()).len() as u64);
    let reader = SnapshotReader::open(&disk, dir(), name()).unwrap();
    assert_eq!((reader.meta(), reader.bytes()), (&meta(), staged.bytes));
    assert_eq!(reader.verify().unwrap(), staged);
    assert!(rows_of(&disk).unwrap() == rows, "seed {seed:#x}");
}

/// The file of `docs/FORMAT.md`'s worked example. Bytes that were once written must stay readable.
#[test]
fn a_version_1_file_reads_and_is_written_byte_for_byte() {
    let golden = include_str!("../../../tests/golden/snapshot-v1.hex");
    let golden: Vec<u8> = golden
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    assert_eq!(small(), golden);
    assert_eq!(check_bytes(&golden), Ok(meta()));
}

#[test]
fn a_snapshot_without_rows_is_a_good_one() {
    let disk = new_disk();
    let staged = stage(&disk, &[]).unwrap();
    assert_eq!(
        SnapshotReader::open(&disk, dir(), name())
            .unwrap()
            .verify()
            .unwrap(),
        staged
    );
    assert_eq!(rows_of(&disk).unwrap(), []);
}

#[test]
fn the_writer_takes_no_row_that_a_reader_would_refuse() {
    let disk = new_disk();
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), dir(), 97, &meta()).unwrap();
    writer.push(b"k", b"v").unwrap();
    let mut refuse = |cf: u8, key: &[u8], value: &[u8]| match writer.push_cf(
        ColumnFamily::new(cf),
        key,
        value,
    ) {
        Err(SnapshotError::Fault { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    for key in ["k", "j"] {
        assert_eq!(
            refuse(0, key.as_bytes(), b"v"),
            SnapshotFault::OutOfOrder { row: 1 }
        );
    }
    for key in ["y", "z"] {
        assert!(matches!(
            refuse(0, key.as_bytes(), b"v"),
            SnapshotFault::KeyOutside { row: 1, .. }
        ));
    }
    assert!(matches!(
        refuse(1, b"a", b"v"),
        SnapshotFault::KeyOutside { .. }
    ));
    let long_key = vec![b'x'; Region::KEY_BYTES_MAX + 1];
    assert!(matches!(
        refuse(0, &long_key, b"v"),
        SnapshotFault::TooLong { what: "a key", .. }
    ));
    let long_value = vec![0; WriteBatch::VALUE_BYTES_MAX + 1];
    assert!(matches!(
        refuse(0, b"l", &long_value),
        SnapshotFault::TooLong {
            what: "a value",
            ..
        }
    ));
    writer.push(b"l", b"v").unwrap();
    assert_eq!(
        writer.finish().unwrap().rows,
        2,
        "refused rows left nothing behind"
    );

    let no_peers = Region {
        peers: vec![],
        ..meta().region
    };
    let bad = SnapshotMeta {
        region: no_peers,
        ..meta()
    };
    match SnapshotWriter::create(Arc::new(disk), dir(), 98, &bad) {
        Err(SnapshotError::Fault {
            source: SnapshotFault::BadRegion(_),
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

/// What a power cut left: nothing but whole snapshots under final names. Returns whether it is there.
fn is_whole_or_absent(after: &SimDisk, whole: &[u8]) -> bool {
    let cut = after.cut_choice();
    let found = list(after, dir()).unwrap();
    for file in &found {
        match file {
            FoundFile::Complete { name: found, .. } => assert_eq!(*found, name(), "{cut:?}"),
            FoundFile::Unfinished { .. } => {}
            FoundFile::Foreign { entry } => panic!("{entry}, {cut:?}"),
        }
    }
    remove_unfinished(after, dir()).unwrap();
    match found.first() {
        Some(FoundFile::Complete { .. }) => {
            assert_eq!(staged_bytes(after, name()), whole, "{cut:?}");
            true
        }
        _ => {
            assert!(names(after).is_empty(), "{cut:?}");
            false
        }
    }
}

#[test]
fn a_file_under_its_final_name_is_whole_whenever_the_power_goes() {
    let whole = small();
    let first = new_disk().ops() + 1;
    let (mut absent, mut present) = (0, 0);
    for op in first.. {
        let disk = new_disk();
        disk.fail_at(op, SimFault::Dies);
        let staged = stage(&disk, &SMALL);
        for after in disk.cut_images(256, op) {
            match is_whole_or_absent(&after, &whole) {
                true => present += 1,
                false => {
                    absent += 1;
                    assert!(
                        staged.is_err(),
                        "acknowledged and gone: {:?}",
                        after.cut_choice()
                    );
                }
            }
        }
        if staged.is_ok() {
            assert_eq!(op, disk.ops() + 1, "every operation was tried");
            break;
        }
    }
    assert!(
        absent > 5 && present > 1,
        "{absent} without it, {present} with it"
    );
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_and_a_leftover_is_replaced() {
    let disk = new_disk();
    let writer = SnapshotWriter::create(Arc::new(disk.clone()), dir(), 97, &meta()).unwrap();
    assert_eq!(names(&disk), ["r7-41-6-97.snap.new"]);
    drop(writer);
    assert!(names(&disk).is_empty());

    put(&disk, "r7-41-6-97.snap.new", &[0xaa; 100_000]);
    stage(&disk, &SMALL).unwrap();
    assert_eq!(names(&disk), ["r7-41-6-97.snap"]);
    assert_eq!(staged_bytes(&disk, name()), small());
    match stage(&disk, &SMALL) {
        Err(SnapshotError::Exists { name: found }) => assert_eq!(found, name()),
        other => panic!("{other:?}"),
    }
    assert_eq!(staged_bytes(&disk, name()), small(), "and it is untouched");
}

#[test]
fn the_directory_is_listed_by_kind_and_swept_of_what_is_unfinished() {
    let disk = new_disk();
    assert_eq!(list(&disk, dir()).unwrap(), []);
    for entry in [
        "notes.txt",
        "r1-2-3-4.snap",
        "r1-2-3-5.snap.new",
        "r01-2-3-4.snap",
    ] {
        put(&disk, entry, &[0; 9]);
    }
    let name: SnapshotName = "r1-2-3-4.snap".parse().unwrap();
    disk.create_dir_all(&dir().join("r1-2-3-6.snap")).unwrap();
    disk.sync_dir(dir()).unwrap();
    let foreign = |entry: &str| FoundFile::Foreign {
        entry: entry.to_owned(),
    };
    let complete = FoundFile::Complete { name, bytes: 9 };
    let others = [
        foreign("notes.txt"),
        foreign("r01-2-3-4.snap"),
        foreign("r1-2-3-6.snap"),
    ];
    let unfinished = FoundFile::Unfinished {
        name: SnapshotName { id: 5, ..name },
        bytes: 9,
    };
    let expected = [&[complete.clone(), unfinished][..], &others].concat();
    assert_eq!(list(&disk, dir()).unwrap(), expected);
    assert_eq!(remove_unfinished(&disk, dir()).unwrap(), 1);
    assert_eq!(remove_unfinished(&disk, dir()).unwrap(), 0);
    assert_eq!(
        list(&disk, dir()).unwrap(),
        [&[complete][..], &others].concat()
    );
    assert!(remove(&disk, dir(), name).unwrap());
    assert!(!remove(&disk, dir(), name).unwrap());
    assert_eq!(
        list(&disk.power_cut(CutChoice::LoseAll), dir()).unwrap(),
        others,
        "durably"
    );
}

#[test]
fn a_received_snapshot_is_the_one_that_was_sent() {
    let (sender, receiver) = (new_disk(), new_disk());
    let staged = stage(&sender, &SMALL).unwrap();
    let stream = SnapshotReader::open(&sender, dir(), name())
        .unwrap()
        .bytes_stream();
    let here = SnapshotName { id: 5, ..name() };
    let disk: Arc<SimDisk> = Arc::new(receiver.clone());
    let (found, received) = receive(disk.clone(), dir(), here, stream, staged.bytes).unwrap();
    assert_eq!(
        (found, received),
        (
            meta(),
            StagedSnapshot {
                name: here,
                ..staged
            }
        )
    );
    let after = receiver.power_cut(CutChoice::LoseAll);
    assert_eq!(staged_bytes(&after, here), staged_bytes(&sender, name()));
    match receive(disk, dir(), here, &small()[..], 1 << 20) {
        Err(SnapshotError::Exists { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_receiver_whose_disk_fails_says_so_and_keeps_nothing() {
    for call in 1..=5 {
        let disk = new_disk();
        disk.fail_at(disk.ops() + call, SimFault::Dies);
        match receive(Arc::new(disk.clone()), dir(), name(), &small()[..], 1 << 20) {
            Err(SnapshotError::Io { .. }) => {}
            other => panic!("call {call}: {other:?}"),
        }
        assert!(names(&disk.power_cut(CutChoice::LoseAll)).is_empty());
    }
}

#[test]
fn a_stream_that_fails_is_not_taken_for_a_bad_snapshot() {
    struct Breaks<'a>(&'a [u8]);
    impl Read for Breaks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::ErrorKind::ConnectionReset.into()),
                read => Ok(read),
            }
        }
    }
    let bytes = small();
    for length in [0, 10, 100, bytes.len() - 1, bytes.len()] {
        let disk = new_disk();
        let source = Breaks(&bytes[..length]);
        match receive(Arc::new(disk.clone()), dir(), name(), source, 1 << 20) {
            Err(SnapshotError::Source { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::ConnectionReset);
            }
            other => panic!("{length}: {other:?}"),
        }
        assert!(names(&disk).is_empty());
    }
}
