//! Fixtures: a store on a simulated disk, and a walker that reads everything back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use torrens_journal::disk::{Disk, OpenMode};
use torrens_journal::testing::SimDisk;
use torrens_journal::{
    Boot, Expectation, Found, Journal, JournalOptions, Lsn, RecordKind, SegmentReader, StoreUuid,
    Tail, WriterChoice, list, read_marks,
};

pub(crate) const STORE: StoreUuid = StoreUuid([0xa5; 16]);
pub(crate) const KIND: RecordKind = RecordKind::new(7);

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/db/journal")
}

/// The smallest segments: six pages of groups.
pub(crate) fn small() -> JournalOptions {
    JournalOptions::new().segment_bytes(32 * 1024)
}

/// A way of writing the journal; tests of crashes and failures run on each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    pub(crate) name: &'static str,
    options: fn(JournalOptions) -> JournalOptions,
}

impl Writer {
    /// [`small`] segments and groups of at most two pages, written in this way.
    pub(crate) fn small(&self) -> JournalOptions {
        (self.options)(small().group_bytes_max(8192))
    }
}

/// Every way of writing that there is.
pub(crate) fn writers() -> Vec<Writer> {
    vec![
        Writer {
            name: "mapped",
            options: |options| options.writer(WriterChoice::Mapped),
        },
        Writer {
            name: "direct",
            options: |options| options.writer(WriterChoice::Direct),
        },
    ]
}

pub(crate) fn create(disk: &SimDisk, options: JournalOptions) -> Journal {
    Journal::create(Arc::new(disk.clone()), &dir(), STORE, options).unwrap()
}

/// Everything that a plain walk finds.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Payloads in order; the first has LSN `first_lsn`.
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) first_lsn: Lsn,
    /// Highest LSN that any group, mark or header says was durable.
    pub(crate) witnessed: Lsn,
    /// Whether the newest mark says that the journal was closed in order.
    pub(crate) clean_close: bool,
    /// Where the journal can go on; `None` if there is no segment.
    pub(crate) tail: Option<Tail>,
    /// Groups read.
    pub(crate) groups: usize,
}

impl Walk {
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.tail.map_or(Lsn::ZERO, |tail| tail.last_lsn)
    }
}

/// Reads all groups that follow each other, and every witness there is.
pub(crate) fn walk(disk: &dyn Disk) -> Walk {
    walk_of(disk, STORE)
}

/// [`walk`] for a store of another name.
pub(crate) fn walk_of(disk: &dyn Disk, store: StoreUuid) -> Walk {
    walk_in(disk, &dir(), store)
}

/// [`walk`] in another directory.
pub(crate) fn walk_in(disk: &dyn Disk, dir: &Path, store: StoreUuid) -> Walk {
    let mut walk = Walk {
        payloads: Vec::new(),
        first_lsn: Lsn::FIRST,
        witnessed: Lsn::ZERO,
        clean_close: false,
        tail: None,
        groups: 0,
    };
    if disk.list(dir).is_err() {
        return walk;
    }
    let mut boot = Boot::default();
    let marks = read_marks(disk, dir, Some(store)).unwrap();
    for mark in &marks {
        walk.witnessed = walk.witnessed.max(mark.durable_lsn);
        walk.clean_close = mark.clean_close;
        boot = boot.max(mark.boot);
    }
    let mut stopped = false;
    for entry in list(disk, dir).unwrap().segments {
        let mut reader = SegmentReader::open(disk, dir, entry.id, Some(store)).unwrap();
        let header = *reader.header().unwrap();
        let mut tail = Tail {
            segment: header.segment,
            end_offset_bytes: 8192,
            last_lsn: Lsn::new(header.first_lsn.get() - 1),
            chain: header.first_chain(),
            group_number: 0,
            sealed: false,
            boot: header.boot,
        };
        match &walk.tail {
            None => walk.first_lsn = header.first_lsn,
            Some(before) if !stopped => {
                let stated = header.predecessor.unwrap();
                assert_eq!(
                    (
                        stated.segment,
                        stated.last_lsn,
                        stated.end_offset_bytes,
                        stated.chain
                    ),
                    (
                        before.segment,
                        before.last_lsn,
                        before.end_offset_bytes,
                        before.chain
                    ),
                );
                assert!(before.sealed, "{before:?}");
            }
            Some(_) => {}
        }
        if let Some(before) = header.predecessor {
            walk.witnessed = walk.witnessed.max(before.last_lsn);
        }
        let mut expected = Expectation::first_of(&header);
        let mut going = !stopped;
        while going {
            match reader
                .group_at(tail.end_offset_bytes, Some(&expected))
                .unwrap()
            {
                Found::Group(group) => {
                    assert!(!tail.sealed, "a group follows the seal");
                    for record in group.records() {
                        walk.payloads.push(record.unwrap().payload.to_vec());
                    }
                    expected = Expectation::after(&group.header);
                    tail.end_offset_bytes = group.end_offset_bytes();
                    tail.last_lsn = group.header.last_lsn();
                    tail.chain = group.header.crc;
                    tail.group_number = group.header.number;
                    tail.sealed = group.header.is_seal();
                    tail.boot = group.header.boot;
                    walk.groups += 1;
                }
                Found::Zero | Found::Invalid { .. } | Found::EndOfFile => going = false,
            }
        }
        for group in reader.tail_scan(0) {
            let header = group.unwrap().header;
            walk.witnessed = walk.witnessed.max(header.durable_lsn);
            boot = boot.max(header.boot);
        }
        boot = boot.max(tail.boot);
        if !stopped {
            stopped = !tail.sealed;
            walk.tail = Some(tail);
        }
    }
    if let Some(tail) = &mut walk.tail {
        tail.boot = boot;
    }
    walk
}

/// Clears everything behind the tail, as recovery does, and goes on there.
pub(crate) fn reopen(disk: &SimDisk, options: JournalOptions) -> Journal {
    let tail = walk(disk).tail.unwrap();
    clear_behind(disk, &tail);
    Journal::resume(Arc::new(disk.clone()), &dir(), STORE, tail, options).unwrap()
}

pub(crate) fn clear_behind(disk: &SimDisk, tail: &Tail) {
    clear_behind_in(disk, &dir(), tail).unwrap();
}

/// [`clear_behind`] in another directory.
pub(crate) fn clear_behind_in(disk: &dyn Disk, dir: &Path, tail: &Tail) -> std::io::Result<()> {
    let path = dir.join(tail.segment.file_name());
    let file = disk.open(&path, OpenMode::Write)?;
    let bytes = file.len()? - tail.end_offset_bytes;
    file.write_zeros(tail.end_offset_bytes, bytes)?;
    file.sync_data()
}

pub(crate) fn segment_path(number: u64) -> PathBuf {
    dir().join(format!("{number:020}.seg"))
}

pub(crate) fn mark_path() -> PathBuf {
    dir().join("journal.mark")
}

/// A payload that no other record of a test has.
pub(crate) fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; bytes.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

pub(crate) fn exists(disk: &SimDisk, path: &Path) -> bool {
    disk.contents(path).is_some()
}
