//! Stores with the known history, one for each verdict.

use std::fs;
use std::path::Path;

use torrens::RegionId;
use torrens::lifecycle::{Cause, Change, DeletionId, Record, RecordHeader};
use torrens_journal::Lsn;

use super::fixture::{Closed, Store};

/// Where the first group of a segment begins; each record of the history takes one page.
pub(crate) const FIRST_GROUP: u64 = 8192;
pub(crate) const PAGE: u64 = 4096;

pub(crate) fn closed() -> Closed {
    Store::with_history().close()
}

/// Where the page behind the last group of segment 1 begins.
pub(crate) fn end_of_journal(dir: &Path) -> u64 {
    let picture = torrens::inspector::Inspector::open(dir)
        .unwrap()
        .look(None)
        .unwrap();
    picture.evidence.segments.last().unwrap().end_offset_bytes
}

pub(crate) fn torn() -> Closed {
    let store = closed();
    store.overwrite(end_of_journal(store.path()), b"half a group");
    store
}

pub(crate) fn damaged_in_the_middle() -> Closed {
    let store = closed();
    store.overwrite(FIRST_GROUP + 4 * PAGE + 80, b"\xff\xff\xff\xff");
    store
}

pub(crate) fn last_group_gone() -> Closed {
    let store = closed();
    let end = end_of_journal(store.path());
    store.overwrite(end - PAGE, &[0; PAGE as usize]);
    store
}

pub(crate) fn newer() -> Closed {
    let store = closed();
    let mut page = fs::read(store.segment(1)).unwrap();
    page.truncate(PAGE as usize);
    page[12] += 1;
    let crc = crc32fast::hash(&page[12..]);
    page[8..12].copy_from_slice(&crc.to_le_bytes());
    store.overwrite(0, &page);
    store.overwrite(PAGE, &page);
    store
}

pub(crate) fn impossible() -> Closed {
    let mut store = Store::with_history();
    add_impossible_record(&mut store);
    store.close()
}

pub(crate) fn add_impossible_record(store: &mut Store) {
    let header = RecordHeader {
        wall_clock_micros: 0,
        boot: 1,
        cause: Cause::Host,
        region: Some(RegionId(777)),
        incarnation: None,
        previous: None,
    };
    let deletion = DeletionId {
        lsn: Lsn::new(3),
        ordinal: 9,
    };
    let change = Change::DeletionFinished {
        region: RegionId(777),
        deletion,
    };
    store.append_unchecked(&Record { header, change });
}
