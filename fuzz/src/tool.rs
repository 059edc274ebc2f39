//! Everything that the tool reads with, on a store's directory that was changed as the input says: files cut,
//! removed, written over, exchanged, with and without checksums put right.
//!
//! The directory is the committed sample store. Whatever becomes of it, each reader gives an answer and comes to
//! an end, nothing is written, and a change to a byte that a checksum covers is never called clean. The first byte
//! of the input says whether the segments are read as a stream instead, plain or packed by zstd, and whether the
//! changes hit what was packed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use torrens::inspector::stats::GroupBy;
use torrens::inspector::timeline::TimelineOptions;
use torrens::inspector::why::Question;
use torrens::inspector::{CheckpointOutcome, Inspector, KeyForm, Point, Selection, describe};
use torrens::{Key, PeerId, RegionId};
use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::format::SEGMENT_HEADER_BYTES;
use torrens_journal::testing::{SimDisk, mend};
use torrens_journal::{GroupContext, Lsn, SegmentId, SegmentReader};
use torrens_recovery::repair::{self, Choice};
use torrens_recovery::{Directories, Item};

macro_rules! store_file {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../tests/golden/stores/market/", $name)),
        )
    };
}

/// A file of the sample store: its name below the directory, and its bytes.
type StoreFile = (&'static str, &'static [u8]);

/// The files of the sample store. An input names them by their place in this list.
const STORE: [StoreFile; 6] = [
    store_file!("journal/00000000000000000001.seg"),
    store_file!("journal/00000000000000000002.seg"),
    store_file!("journal/00000000000000000003.seg"),
    store_file!("journal/journal.mark"),
    store_file!("checkpoints/00000000000000000012.ckpt"),
    store_file!("checkpoints/00000000000000000028.ckpt"),
];
/// How many of them are segments.
const SEGMENTS: usize = 3;
const MARK: usize = 3;
const PAGE_BYTES: usize = 4096;
/// Bytes of one change in the input.
const CHANGE_BYTES: usize = 8;
/// Changes that are made of one input.
const CHANGES_MAX: usize = 64;
/// Records and gaps that a directory of this size can hold at most.
const ITEMS_MAX: usize = 100_000;

/// One change of a file, as eight bytes of the input say: which file, what, two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file, by its place among those of the sample store; taken modulo its length.
    pub file: u8,
    /// Which of the seven changes; taken modulo seven. See `Change::make`.
    pub what: u8,
    /// A place in the file, in bytes; taken modulo its length.
    pub at: u32,
    /// A second number.
    pub by: u16,
}

impl Change {
    /// The bytes of the input.
    pub fn encode(self) -> [u8; CHANGE_BYTES] {
        let ([a, b, c, d], [e, f]) = (self.at.to_le_bytes(), self.by.to_le_bytes());
        [self.file, self.what, a, b, c, d, e, f]
    }

    fn decode(bytes: &[u8]) -> Option<Change> {
        let [file, what, a, b, c, d, e, f] = *bytes.first_chunk::<CHANGE_BYTES>()?;
        Some(Change {
            file,
            what,
            at: u32::from_le_bytes([a, b, c, d]),
            by: u16::from_le_bytes([e, f]),
        })
    }

    /// Makes the change; none if it does not fit.
    fn make(self, files: &mut [Option<Vec<u8>>]) -> Option<()> {
        let count = files.len();
        let (file, other) = (usize::from(self.file) % count, usize::from(self.by) % count);
        let bytes = files.get(file)?.clone()?;
        let at = self.at as usize % bytes.len().max(1);
        let mut changed = bytes;
        match self.what % 7 {
            // Some bits of a byte.
            0 => *changed.get_mut(at)? ^= (self.by as u8).max(1),
            // A page of zeros.
            1 => {
                let page = at / PAGE_BYTES * PAGE_BYTES;
                changed
                    .iter_mut()
                    .skip(page)
                    .take(PAGE_BYTES)
                    .for_each(|byte| *byte = 0);
            }
            // The file ends here.
            2 => changed.truncate(at),
            // The file is gone.
            3 => {
                *files.get_mut(file)? = None;
                return Some(());
            }
            // One page over another.
            4 => {
                let from = usize::from(self.by) * PAGE_BYTES % changed.len().max(1);
                let page = changed.get(from..from + PAGE_BYTES)?.to_vec();
                let to = at / PAGE_BYTES * PAGE_BYTES;
                changed.get_mut(to..to + PAGE_BYTES)?.copy_from_slice(&page);
            }
            // One file's bytes under another's name.
            5 => changed = files.get(other)?.clone()?,
            // Two bytes.
            _ => changed
                .get_mut(at..at + 2)?
                .copy_from_slice(&self.by.to_le_bytes()),
        }
        *files.get_mut(file)? = Some(changed);
        Some(())
    }
}

/// The files after the changes of `data`: all but its first byte, eight for each change.
pub(crate) fn changed(data: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut files: Vec<Option<Vec<u8>>> = STORE
        .iter()
        .map(|(_, bytes)| Some(bytes.to_vec()))
        .collect();
    let changes = data.get(1..).unwrap_or_default().chunks(CHANGE_BYTES);
    for change in changes.filter_map(Change::decode).take(CHANGES_MAX) {
        // A change that does not fit changes nothing.
        let _ = change.make(&mut files);
    }
    files
}

/// Reads the directory in every way, as it is after the changes. The first byte of `data` says how: if it is odd,
/// with the checksums of all groups put right, so that what they protect is read too; its next two bits, whether
/// the segments come as a stream (1), as a packed one (2), or as a packed one to which the changes happened (3).
pub fn tool(data: &[u8]) {
    let how = data.first().copied().unwrap_or_default();
    match how / 2 % 4 {
        0 => directory(data, how % 2 == 1),
        1 => stream(&segments(&changed(data))),
        2 => stream(&packed(&segments(&changed(data)))),
        _ => stream(&damaged(packed(&segments(&changed(&[]))), data)),
    }
}

/// The segments that are there, one behind the other.
fn segments(files: &[Option<Vec<u8>>]) -> Vec<u8> {
    let there = files.iter().take(SEGMENTS).flatten();
    there.flatten().copied().collect()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// A stream of packed bytes with the changes that the input says.
fn damaged(packed: Vec<u8>, data: &[u8]) -> Vec<u8> {
    let mut files = vec![Some(packed)];
    let changes = data.get(1..).unwrap_or_default().chunks(CHANGE_BYTES);
    for change in changes.filter_map(Change::decode).take(CHANGES_MAX) {
        let _ = change.make(&mut files);
    }
    files.pop().flatten().unwrap_or_default()
}

/// Reads what comes through a pipe. What is called clean has no record that nobody wrote.
fn stream(bytes: &[u8]) {
    static WRITTEN: OnceLock<BTreeMap<Lsn, Vec<u8>>> = OnceLock::new();
    let Ok(inspector) = Inspector::read(&mut &*bytes) else {
        return;
    };
    read_all(&inspector);
    let is_clean = inspector.verify().is_ok_and(|found| found.exit_code() == 0);
    if !is_clean {
        return;
    }
    let written = WRITTEN.get_or_init(|| {
        let whole = Inspector::read(&mut &*segments(&changed(&[])));
        payloads(&whole.expect("the sample store's segments are a stream"))
    });
    for (lsn, payload) in payloads(&inspector) {
        assert_eq!(written.get(&lsn), Some(&payload), "record {lsn}");
    }
}

fn payloads(inspector: &Inspector) -> BTreeMap<Lsn, Vec<u8>> {
    let mut payloads = BTreeMap::new();
    let _ = inspector.records(Lsn::FIRST, &mut |item| {
        if let Item::Record(item) = item {
            payloads.insert(item.record.lsn, item.record.payload.to_vec());
        }
        ControlFlow::Continue(())
    });
    payloads
}

/// Reads the directory in every way.
fn directory(data: &[u8], is_mended: bool) {
    let files = changed(data);
    let disk = SimDisk::new(1);
    let dir = Path::new("store");
    for part in ["journal", "checkpoints"] {
        disk.create_dir_all(&dir.join(part))
            .expect("an empty simulated disk takes a directory");
    }
    let directories = Directories {
        journal: dir.join("journal"),
        checkpoints: dir.join("checkpoints"),
    };
    for ((name, _), bytes) in STORE.iter().zip(&files) {
        if let Some(bytes) = bytes {
            write(&disk, &dir.join(name), bytes);
        }
    }
    if is_mended {
        for number in 1..=SEGMENTS as u64 {
            put_right(&disk, &directories.journal, SegmentId::new(number));
        }
    }
    let before = snapshot(&disk);
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    if let Ok(inspector) = Inspector::on(on, dir) {
        read_all(&inspector);
        if !is_mended {
            never_clean_by_mistake(&inspector, &files);
        }
    }
    let _ = repair::choices(&disk, &directories);
    for choice in [
        None,
        Some(Choice::CutAtDamage),
        Some(Choice::StartEmpty),
        Some(Choice::RebuildMark),
        Some(Choice::OlderCheckpoint),
        Some(Choice::DropDamagedHistory),
        Some(Choice::CutBefore(Lsn::new(20))),
    ] {
        if let Ok(plan) = repair::plan(&disk, &directories, choice) {
            let text = plan.to_text();
            let again = repair::RepairPlan::from_text(&text);
            assert_eq!(again.ok().as_ref(), Some(&plan), "{text}");
        }
    }
    assert_eq!(snapshot(&disk), before, "reading changes nothing");
}

fn write(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk
        .open(path, OpenMode::CreateNew)
        .expect("a simulated disk takes a file");
    file.write_all_at(0, bytes).expect("and its bytes");
}

/// Puts the checksums of a segment's groups right, if its header says what they are made with.
fn put_right(disk: &SimDisk, journal: &Path, segment: SegmentId) {
    let path = journal.join(segment.file_name());
    let (Some(mut bytes), Ok(reader)) = (
        disk.contents(&path),
        SegmentReader::open(disk, journal, segment, None),
    ) else {
        return;
    };
    let (Ok(header), Ok(from)) = (reader.header(), usize::try_from(SEGMENT_HEADER_BYTES)) else {
        return;
    };
    let context = GroupContext::new(header);
    let mut offset = from;
    while let Some(groups) = bytes.get_mut(offset..) {
        mend(groups, offset as u64, &context);
        offset += PAGE_BYTES;
    }
    let _ = disk.corrupt(&path, 0, &bytes);
}

fn snapshot(disk: &SimDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let files = disk.files();
    files
        .into_iter()
        .map(|path| (path.clone(), disk.contents(&path)))
        .collect()
}

/// Asks everything that the tool asks; every answer will do.
fn read_all(inspector: &Inspector) {
    let keys = KeyForm::Auto;
    if let Ok(picture) = inspector.look(None) {
        let _ = picture.register.check_invariants();
        let _ = inspector.format(&picture);
        let _ = inspector.segments(&picture);
        let _ = inspector.checkpoints(&picture);
        let _ = picture.report.to_string();
    }
    for point in [
        "first",
        "last",
        "durable",
        "~3",
        "boot:-1",
        "ckpt:last",
        "@09:21:07",
        "20",
    ] {
        let point: Point = point.parse().expect("these are points");
        if let Ok(at) = inspector.resolve(point) {
            let _ = inspector.look(Some(at));
        }
    }
    let mut items = 0;
    let _ = inspector.records(Lsn::FIRST, &mut |item| {
        items += 1;
        if let Item::Record(item) = item {
            let record = &item.record;
            let said = describe(record.lsn, record.kind, record.payload);
            let _ = (
                said.detail(&keys),
                said.fields(),
                said.regions(),
                said.cause_text(),
            );
        }
        ControlFlow::Continue(())
    });
    assert!(items < ITEMS_MAX, "the walk comes to an end");
    let _ = inspector.explain(&keys);
    let options = TimelineOptions {
        occurrences: true,
        ..TimelineOptions::default()
    };
    let _ = inspector.timeline(&options);
    let _ = inspector.lineage(None);
    let _ = inspector.owners(b"grape", None);
    for question in [
        Question::Region(RegionId(3)),
        Question::Peer(PeerId(40)),
        Question::Key(Key::from(b"m".as_slice())),
    ] {
        let _ = inspector.why(&question, None, true);
    }
    for by in [GroupBy::Kind, GroupBy::Region, GroupBy::Segment] {
        let _ = inspector.stats(&Selection::default(), by);
    }
}

/// What `verify` calls clean is the history of the sample store, or, if no witness is left that could know better,
/// its begin; and no byte of it was changed.
fn never_clean_by_mistake(inspector: &Inspector, files: &[Option<Vec<u8>>]) {
    let Ok(found) = inspector.verify() else {
        return;
    };
    for check in &found.checkpoints {
        let name = format!("checkpoints/{:020}.ckpt", check.lsn.get());
        let original = STORE
            .iter()
            .zip(files)
            .find(|((known, _), _)| *known == name);
        if let Some(((_, original), Some(bytes))) = original
            && bytes != original
        {
            let is_refused = matches!(
                check.outcome,
                CheckpointOutcome::Invalid(_) | CheckpointOutcome::Differs
            );
            assert!(is_refused, "{name} was changed and {:?}", check.outcome);
        }
    }
    if found.exit_code() != 0 {
        return;
    }
    let segments = &found.picture.evidence.segments;
    for facts in segments {
        let number = usize::try_from(facts.id.get()).unwrap_or(0);
        let at = number.wrapping_sub(1);
        let (Some((name, original)), Some(Some(bytes))) = (STORE.get(at), files.get(at)) else {
            panic!("segment {number} is clean, and never was there");
        };
        let (from, to) = (
            SEGMENT_HEADER_BYTES as usize,
            facts.end_offset_bytes as usize,
        );
        assert!(
            bytes.get(from..to) == original.get(from..to),
            "{name} was changed below {to} and is called clean"
        );
    }
    let is_whole = found.picture.report.last_lsn == Lsn::new(LAST_LSN);
    let has_mark =
        files.get(MARK).map(Option::as_deref) == STORE.get(MARK).map(|(_, mark)| Some(*mark));
    assert!(
        is_whole || !has_mark,
        "the mark says that LSN {LAST_LSN} was durable, and the end at {} is called clean",
        found.picture.report.last_lsn
    );
}

/// The last record of the sample store.
const LAST_LSN: u64 = 35;
