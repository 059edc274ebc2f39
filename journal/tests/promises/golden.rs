//! The bytes of format 1.0, kept: the writer still makes them, the readers still understand them,
//! and docs/FORMAT.md shows them.
//!
//! `TORRENS_GOLDEN=write` rewrites the files; only a change of the format is a reason to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, DiskFile, DiskLock, Entry, LockError, OpenMode, SyncPath};
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Boot, Found, Journal, JournalOptions, Lsn, RecordKind, SegmentHeader, SegmentId, SegmentReader,
    StoreUuid, Tail, read_marks,
};

use crate::support::{dir, mark_path, segment_path};

pub(crate) const GOLDEN_STORE: StoreUuid = StoreUuid([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);
const SALT: u64 = 0x0123_4567_89ab_cdef;
const CLOCK_MICROS: u64 = 1_700_000_000_000_000;

/// A disk that draws the same salt and reads the same clock each time.
#[derive(Clone, Debug)]
pub(crate) struct FixedDisk(pub(crate) SimDisk);

impl Disk for FixedDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.0.lock(path)
    }
    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        self.0.lock_holder(path)
    }
    fn random_u64(&self) -> u64 {
        SALT
    }
    fn wall_clock_micros(&self) -> u64 {
        CLOCK_MICROS
    }
    fn sync_path(&self) -> SyncPath {
        self.0.sync_path()
    }
}

fn long_payload() -> Vec<u8> {
    (0..5000u32).map(|byte| (byte % 251) as u8).collect()
}

/// Two boots: a group of two records, one of two pages, the group that starts boot 2, one more.
fn write() -> SimDisk {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(FixedDisk(sim.clone()));
    let options = JournalOptions::new().segment_bytes(32 * 1024);
    let journal = Journal::create(Arc::clone(&disk), &dir(), GOLDEN_STORE, options).unwrap();
    journal
        .append(RecordKind::new(1), 0x0000_002a, b"Torrens")
        .unwrap();
    journal
        .append(RecordKind::new(2), 0xdead_beef, b"")
        .unwrap();
    journal.sync().unwrap();
    let lsn = journal
        .append(RecordKind::new(3), 7, &long_payload())
        .unwrap();
    journal.wait_durable(lsn).unwrap();
    journal.close().unwrap();
    let tail = crate::support::walk_of(&sim, GOLDEN_STORE).tail.unwrap();
    let journal = Journal::resume(disk, &dir(), GOLDEN_STORE, tail, options).unwrap();
    journal
        .append(RecordKind::new(0x8004), 0, b"ignorable")
        .unwrap();
    journal.close().unwrap();
    sim
}

pub(crate) fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(golden_path(name)).unwrap()
}

#[test]
fn the_writer_makes_the_golden_files_byte_for_byte() {
    let disk = write();
    for (name, path) in [("v1.seg", segment_path(1)), ("v1.mark", mark_path())] {
        let bytes = disk.contents(&path).unwrap();
        if std::env::var_os("TORRENS_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::write(golden_path(name), &bytes).unwrap();
        }
        let golden = golden(name);
        assert_eq!(bytes.len(), golden.len(), "{name}");
        let differs = bytes.iter().zip(&golden).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name} differs at this byte");
    }
}

/// The golden files on a fresh disk.
fn on_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(&dir()).unwrap();
    for (name, path) in [("v1.seg", segment_path(1)), ("v1.mark", mark_path())] {
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        file.write_all_at(0, &golden(name)).unwrap();
    }
    disk
}

#[test]
fn the_golden_segment_is_read_back_field_by_field() {
    let disk = on_disk();
    let mut reader =
        SegmentReader::open(&disk, &dir(), SegmentId::FIRST, Some(GOLDEN_STORE)).unwrap();
    let header = SegmentHeader {
        format_minor: 0,
        compat_flags: 0,
        store: GOLDEN_STORE,
        segment: SegmentId::FIRST,
        salt: SALT,
        first_lsn: Lsn::FIRST,
        file_bytes: 32 * 1024,
        boot: Boot::FIRST,
        predecessor: None,
        oldest_needed_lsn: Lsn::FIRST,
        wall_clock_micros: CLOCK_MICROS,
    };
    assert_eq!(reader.header_copies(), &[Ok(header), Ok(header)]);

    // Offset, padded, used, first LSN, count, durable, flags, boot, number.
    let expected = [
        (8192, 4096, 72 + 32 + 24, 1, 2, 0, 0, 1, 1),
        (12288, 8192, 72 + 5024, 3, 1, 2, 0, 1, 2),
        (20480, 4096, 72, 4, 0, 3, 2, 2, 3),
        (24576, 4096, 72 + 40, 4, 1, 3, 0, 2, 4),
    ];
    let mut chain = 0;
    let mut records = Vec::new();
    for (offset, padded, used, first, count, durable, flags, boot, number) in expected {
        let Found::Group(group) = reader.group_at(offset, None).unwrap() else {
            panic!("no group at {offset}");
        };
        let header = group.header;
        assert_eq!((header.padded_bytes, header.used_bytes), (padded, used));
        assert_eq!(
            (header.first_lsn.get(), header.record_count),
            (first, count)
        );
        assert_eq!(
            (header.durable_lsn.get(), header.flags.bits()),
            (durable, flags)
        );
        assert_eq!((header.boot.get(), header.number), (boot, number));
        assert_eq!(header.chain, chain);
        // Each group here was sealed when the one before was durable.
        assert_eq!(header.durable_chain, chain);
        chain = header.crc;
        for record in group.records() {
            let record = record.unwrap();
            records.push((
                record.lsn.get(),
                record.kind.get(),
                record.tag,
                record.payload.to_vec(),
            ));
        }
    }
    assert_eq!(
        records,
        [
            (1, 1, 0x2a, b"Torrens".to_vec()),
            (2, 2, 0xdead_beef, Vec::new()),
            (3, 3, 7, long_payload()),
            (4, 0x8004, 0, b"ignorable".to_vec()),
        ]
    );
    assert_eq!(reader.is_zero_from(28672).unwrap(), None);
}

#[test]
fn the_golden_marks_are_read_back_field_by_field() {
    let marks = read_marks(&on_disk(), &dir(), Some(GOLDEN_STORE)).unwrap();
    let said: Vec<_> = marks
        .iter()
        .map(|mark| {
            let at = (mark.durable_lsn.get(), mark.end_offset_bytes);
            (mark.number, at, mark.boot.get(), mark.clean_close)
        })
        .collect();
    assert_eq!(
        said,
        [
            (1, (3, 20480), 1, true),
            (2, (3, 24576), 2, false),
            (3, (4, 28672), 2, true),
        ]
    );
}

#[test]
fn a_journal_of_the_golden_format_goes_on() {
    let disk = on_disk();
    let walk = crate::support::walk_of(&disk, GOLDEN_STORE);
    let tail = walk.tail.unwrap();
    assert_eq!(
        tail,
        Tail {
            segment: SegmentId::FIRST,
            end_offset_bytes: 28672,
            last_lsn: Lsn::new(4),
            chain: tail.chain,
            group_number: 4,
            sealed: false,
            boot: Boot::new(2),
        }
    );
    let journal = Journal::resume(
        Arc::new(disk.clone()),
        &dir(),
        GOLDEN_STORE,
        tail,
        JournalOptions::new().segment_bytes(32 * 1024),
    )
    .unwrap();
    assert_eq!(
        journal.append(RecordKind::new(1), 0, b"more").unwrap(),
        Lsn::new(5)
    );
    journal.close().unwrap();
    assert_eq!(
        crate::support::walk_of(&disk, GOLDEN_STORE).last_lsn(),
        Lsn::new(5)
    );
}

/// Every line of the ```` ```hex NAME ```` blocks in docs/FORMAT.md against the golden file.
#[test]
fn the_format_document_shows_the_golden_bytes() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md");
    let text = std::fs::read_to_string(document).unwrap();
    let mut checked = 0;
    let mut bytes: Option<Vec<u8>> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("```hex ") {
            bytes = Some(golden(name));
        } else if line.starts_with("```") {
            bytes = None;
        } else if let Some(bytes) = &bytes {
            let mut words = line.split_whitespace();
            let offset = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
            for (position, word) in words.take_while(|word| word.len() == 2).enumerate() {
                let byte = u8::from_str_radix(word, 16).unwrap();
                assert_eq!(byte, bytes[offset + position], "{line}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 256, "{checked} bytes shown");
}
