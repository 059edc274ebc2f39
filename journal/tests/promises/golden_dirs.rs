//! Whole directories of format 1.0 and of versions still to come, kept byte for byte: what this
//! version writes, and what it must make of what it did not write.
//!
//! Each directory in tests/golden/ is made by its function here and compared with what is kept;
//! `TORRENS_GOLDEN=write` rewrites them. A directory of a released version is never rewritten: a new
//! format gets new ones beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::{SimDisk, mend};
use torrens_journal::{
    GroupContext, HeaderFault, Journal, JournalOptions, Lsn, LsnReader, OpenError, PositionError,
    RecordKind, SegmentHeader, SegmentId, SegmentReader, Tail, read_marks,
};

use crate::golden::{FixedDisk, GOLDEN_STORE, golden_path};
use crate::support::{clear_behind, dir, mark_path, payload, segment_path, small, walk_of};

const KIND: RecordKind = RecordKind::new(7);
/// A kind that no version knows, which a reader may pass over.
const UNKNOWN_IGNORABLE: RecordKind = RecordKind::new(0xfffe);
/// Byte offsets in a header page, as docs/FORMAT.md has them.
const MAJOR: usize = 12;
const MINOR: usize = 14;
const COMPAT: usize = 16;
const INCOMPAT: usize = 20;
/// In the part of the page that version 1.0 leaves zero.
const LATER_FIELD: usize = 1000;

type Files = BTreeMap<String, Vec<u8>>;

/// Eight records of 1500 bytes in two segments and two boots, closed in order; the last record is of
/// a kind that a reader may pass over.
fn clean() -> SimDisk {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(FixedDisk(sim.clone()));
    let journal = Journal::create(Arc::clone(&disk), &dir(), GOLDEN_STORE, small()).unwrap();
    for number in 1..=4 {
        journal.append(KIND, 0, &payload(number, 1500)).unwrap();
        journal.sync().unwrap();
    }
    journal.close().unwrap();
    drop(journal);
    let tail = walk_of(&sim, GOLDEN_STORE).tail.unwrap();
    let journal = Journal::resume(disk, &dir(), GOLDEN_STORE, tail, small()).unwrap();
    for number in 5..=8 {
        let kind = if number == 8 { UNKNOWN_IGNORABLE } else { KIND };
        journal.append(kind, 0, &payload(number, 1500)).unwrap();
        journal.sync().unwrap();
    }
    journal.close().unwrap();
    sim
}

/// [`clean`] with half of a ninth record's group behind the end, as a crash leaves it.
fn torn() -> SimDisk {
    let disk = clean();
    let tail = walk_of(&disk, GOLDEN_STORE).tail.unwrap();
    let bytes = disk.contents(&segment_path(1)).unwrap();
    let file = disk
        .open(&segment_path(tail.segment.get()), OpenMode::Write)
        .unwrap();
    // A group of another place: its magic is right and its checksum is not.
    file.write_all_at(tail.end_offset_bytes, &bytes[8192..8192 + 2048])
        .unwrap();
    disk
}

/// Changes both copies of a segment's header and puts their checksums right.
fn with_header(disk: SimDisk, number: u64, change: impl Fn(&mut [u8])) -> SimDisk {
    let file = disk.open(&segment_path(number), OpenMode::Write).unwrap();
    let mut page = vec![0; 4096];
    file.read_exact_at(0, &mut page).unwrap();
    change(&mut page);
    let crc = crc32fast::hash(&page[12..]);
    page[8..12].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(0, &page).unwrap();
    file.write_all_at(4096, &page).unwrap();
    disk
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A later minor version: other numbers, and a field where 1.0 has zeros.
fn future_minor() -> SimDisk {
    let mut disk = clean();
    for number in [1, 2] {
        disk = with_header(disk, number, |page| {
            put(page, MINOR, &9u16.to_le_bytes());
            put(page, LATER_FIELD, b"a field of version 1.9");
        });
    }
    disk
}

fn future_major() -> SimDisk {
    with_header(clean(), 2, |page| {
        put(page, MAJOR, &2u16.to_le_bytes());
        put(page, MINOR, &3u16.to_le_bytes());
    })
}

fn compat_flag() -> SimDisk {
    with_header(clean(), 1, |page| {
        put(page, COMPAT, &0x8000_0001u32.to_le_bytes());
    })
}

fn incompat_flag() -> SimDisk {
    with_header(clean(), 1, |page| {
        put(page, INCOMPAT, &0x0000_0002u32.to_le_bytes());
    })
}

/// Flags of groups that 1.0 does not know, and marks of later versions.
fn later_flags_and_marks() -> SimDisk {
    let disk = clean();
    let mut reader =
        SegmentReader::open(&disk, &dir(), SegmentId::new(2), Some(GOLDEN_STORE)).unwrap();
    let context = GroupContext::new(reader.header().unwrap());
    let last = reader.tail_scan(0).last().unwrap().unwrap();
    let file = disk.open(&segment_path(2), OpenMode::Write).unwrap();
    let mut group = vec![0; last.header.padded_bytes as usize];
    file.read_exact_at(last.offset_bytes, &mut group).unwrap();
    put(&mut group, 52, &0x4000u16.to_le_bytes());
    mend(&mut group, last.offset_bytes, &context);
    file.write_all_at(last.offset_bytes, &group).unwrap();

    let file = disk.open(&mark_path(), OpenMode::Write).unwrap();
    for (number, major, minor) in [(2u64, 1u16, 7u16), (3, 2, 0)] {
        let mut page = vec![0; 4096];
        let offset = number % 4 * 4096;
        file.read_exact_at(offset, &mut page).unwrap();
        put(&mut page, MAJOR, &major.to_le_bytes());
        put(&mut page, MINOR, &minor.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&(number % 4).to_le_bytes());
        hasher.update(&page[12..]);
        put(&mut page, 8, &hasher.finalize().to_le_bytes());
        file.write_all_at(offset, &page).unwrap();
    }
    disk
}

/// A directory's name and who makes it.
type Maker = (&'static str, fn() -> SimDisk);

const MAKERS: [Maker; 7] = [
    ("v1.0-clean", clean),
    ("v1.0-torn", torn),
    ("v1.9-future-minor", future_minor),
    ("v2.3-future-major", future_major),
    ("v1.0-unknown-compat-flag", compat_flag),
    ("v1.0-unknown-incompat-flag", incompat_flag),
    ("v1.0-later-flags-and-marks", later_flags_and_marks),
];

/// The journal's files; what a writer left unfinished is not one.
fn files(disk: &SimDisk) -> Files {
    let in_journal = disk.files().into_iter().filter(|path| {
        path.starts_with(dir()) && path.extension().is_some_and(|extension| extension != "new")
    });
    in_journal
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, disk.contents(&path).unwrap())
        })
        .collect()
}

fn kept(name: &str) -> Files {
    let folder: PathBuf = golden_path(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            (file, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The kept directory on a fresh disk.
fn on_disk(name: &str) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(&dir()).unwrap();
    for (file, bytes) in kept(name) {
        let file = disk.open(&dir().join(file), OpenMode::CreateNew).unwrap();
        file.write_all_at(0, &bytes).unwrap();
    }
    disk
}

#[test]
fn the_golden_directories_are_made_byte_for_byte() {
    for (name, make) in MAKERS {
        let made = files(&make());
        if std::env::var_os("TORRENS_GOLDEN").is_some_and(|value| value == "write") {
            fs::create_dir_all(golden_path(name)).unwrap();
            for (file, bytes) in &made {
                fs::write(golden_path(name).join(file), bytes).unwrap();
            }
        }
        let kept = kept(name);
        assert_eq!(
            made.keys().collect::<Vec<_>>(),
            kept.keys().collect::<Vec<_>>(),
            "{name}"
        );
        for (file, bytes) in &made {
            let differs = bytes.iter().zip(&kept[file]).position(|(a, b)| a != b);
            assert_eq!(differs, None, "{name}/{file} differs at this byte");
            assert_eq!(bytes.len(), kept[file].len(), "{name}/{file}");
        }
    }
}

/// Records from `from` on, as a reader from outside gets them.
fn read_all(disk: &SimDisk, from: u64) -> Result<Vec<(u64, RecordKind, Vec<u8>)>, PositionError> {
    let handle: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut reader = LsnReader::open(handle, &dir(), Some(GOLDEN_STORE), Lsn::new(from))?;
    let mut found = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        for record in batch.records() {
            let record = record.unwrap();
            found.push((record.lsn.get(), record.kind, record.payload.to_vec()));
        }
    }
    Ok(found)
}

/// Reads everything in `name`, and goes on writing in it.
fn accept(name: &str) {
    let disk = on_disk(name);
    let found = read_all(&disk, 1).unwrap();
    assert_eq!(found.len(), 8, "{name}");
    for (lsn, kind, bytes) in &found {
        assert_eq!(*bytes, payload(*lsn, 1500), "{name}");
        // The journal hands out what it does not know; passing over it is for who knows the kinds.
        assert_eq!(kind.is_ignorable(), *lsn == 8, "{name}");
    }
    assert_eq!(read_all(&disk, 6).unwrap(), found[5..], "{name}");
    let tail = walk_of(&disk, GOLDEN_STORE).tail.unwrap();
    assert_eq!(tail.last_lsn, Lsn::new(8), "{name}");
    // As recovery does before a torn segment goes on.
    clear_behind(&disk, &tail);
    let handle: Arc<dyn Disk> = Arc::new(disk.clone());
    let journal = Journal::resume(handle, &dir(), GOLDEN_STORE, tail, small()).unwrap();
    assert_eq!(journal.append(KIND, 0, b"more").unwrap(), Lsn::new(9));
    journal.close().unwrap();
    assert_eq!(read_all(&disk, 9).unwrap().len(), 1, "{name}");
}

#[test]
fn directories_of_this_version_and_later_minor_ones_are_read_and_go_on() {
    for name in [
        "v1.0-clean",
        "v1.0-torn",
        "v1.9-future-minor",
        "v1.0-unknown-compat-flag",
        "v1.0-later-flags-and-marks",
    ] {
        accept(name);
    }
}

#[test]
fn what_a_reader_need_not_know_is_kept_for_who_does() {
    let header = |name: &str, number| -> SegmentHeader {
        let id = SegmentId::new(number);
        let reader = SegmentReader::open(&on_disk(name), &dir(), id, Some(GOLDEN_STORE)).unwrap();
        *reader.header().unwrap()
    };
    assert_eq!(header("v1.9-future-minor", 2).format_minor, 9);
    assert_eq!(
        header("v1.0-unknown-compat-flag", 1).compat_flags,
        0x8000_0001
    );
    assert_eq!(header("v1.0-clean", 1).compat_flags, 0);
    // Marks of a later minor version count, those of a later major one do not.
    let numbers = |name: &str| -> Vec<u64> {
        let marks = read_marks(&on_disk(name), &dir(), Some(GOLDEN_STORE)).unwrap();
        marks.iter().map(|mark| mark.number).collect()
    };
    assert_eq!(numbers("v1.0-clean"), [1, 2, 3]);
    assert_eq!(numbers("v1.0-later-flags-and-marks"), [1, 2]);
}

#[test]
fn a_torn_directory_ends_at_its_last_whole_group_and_is_not_damaged() {
    let disk = on_disk("v1.0-torn");
    let handle: Arc<dyn Disk> = Arc::new(disk.clone());
    let reader = LsnReader::open(handle, &dir(), Some(GOLDEN_STORE), Lsn::new(9)).unwrap();
    assert_eq!(reader.next_lsn(), Lsn::new(9));
    let tail = walk_of(&disk, GOLDEN_STORE).tail.unwrap();
    let handle: Arc<dyn Disk> = Arc::new(disk);
    let refused = Journal::resume(handle, &dir(), GOLDEN_STORE, tail, JournalOptions::new());
    assert!(
        matches!(refused, Err(OpenError::TailNotZero { .. })),
        "{refused:?}"
    );
}

#[test]
fn newer_formats_are_refused_as_such_and_change_nothing() {
    // Name, the segment of the newer format, and what it says of itself.
    for (name, newer, version) in [
        ("v2.3-future-major", 2, (2, 3, 0)),
        ("v1.0-unknown-incompat-flag", 1, (1, 0, 2)),
    ] {
        let disk = on_disk(name);
        let id = SegmentId::new(newer);
        let reader = SegmentReader::open(&disk, &dir(), id, Some(GOLDEN_STORE)).unwrap();
        match reader.header() {
            Err(HeaderFault::NewerFormat {
                major,
                minor,
                incompat_flags,
            }) => assert_eq!((*major, *minor, *incompat_flags), version, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        let refused = read_all(&disk, 1).unwrap_err();
        assert_eq!(refused.code(), "newer-format", "{name}");
        match refused {
            PositionError::NewerFormat { segment, .. } => assert_eq!(segment, id, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        // Where the other segment ends, so that only the header is in the way.
        let tail = Tail {
            segment: SegmentId::new(2),
            ..walk_of(&on_disk("v1.0-clean"), GOLDEN_STORE).tail.unwrap()
        };
        let handle: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = Journal::resume(handle, &dir(), GOLDEN_STORE, tail, small());
        assert!(
            matches!(opened, Err(OpenError::Header { segment, .. }) if segment == id),
            "{name}: {opened:?}"
        );
        assert_eq!(files(&disk), kept(name), "{name}: refusing it changed it");
    }
}
