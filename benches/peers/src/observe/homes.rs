//! Two homes of the history, measured on the same store without the engine around it: a journal of its own,
//! as built, and rows in the store itself.
//!
//! The rows of the second home have keys of region, index and sub-index, as a consumer names a change, and go
//! into the very batch of the write, so they need no order between two syncs. The store is sled as the
//! engine opens it. Not here: the history as the engine keeps it, which is `observe.feed`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use torrens::store::{
    DataStore, RawRange, RegionRow, SledFactory, StoreBatch, StoreFactory, StoreOpenMode,
};
use torrens::{Incarnation, RegionId, Sequence, WriteBatch};
use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{Followed, Journal, JournalOptions, Lsn, RecordKind, StoreUuid};

use super::store::VALUE_BYTES;
use super::{Home, named};
use crate::engine::store as stores;
use crate::gauge::cpu::cpu_seconds;
use crate::gauge::device::Device;
use crate::job::{Sample, figure};

/// First byte of the keys of kept changes; no row of the engine has it.
const CHANGES: u8 = b'c';
/// The engine's barriers come that often.
const BARRIER: Duration = Duration::from_millis(50);
/// Removals in one batch, as the engine's.
const REMOVED_AT_ONCE: usize = 1024;
/// Bytes of a head: region, incarnation, version, index, term, previous index and time.
const HEAD_BYTES: usize = 7 * 8;
const REGION: u64 = 1;

pub(super) fn carry(dir: &Path, home: Home, changes: u64) -> Result<Sample> {
    let disk = Arc::new(RealDisk::new());
    let lock = Disk::lock(&*disk, &dir.join("LOCK"))?;
    let mut options = JournalOptions::new();
    options = options.segment_bytes(4 << 20);
    let journal = Journal::create(disk, &dir.join("journal"), StoreUuid([7; 16]), options)?;
    let journal = journal.holding(lock);
    let store = SledFactory::default();
    let store = store.open(&dir.join("data"), StoreOpenMode::CreateOrOpen)?;
    let device = Device::below(dir);
    let counts = || device.as_ref().and_then(Device::read);

    let (device_before, cpu) = (counts(), cpu_seconds());
    let begun = Instant::now();
    let mut flushed = Instant::now();
    for index in 1..=changes {
        let (batch, record) = entry(index);
        let mut raw = batch.to_store_batch(RegionId(REGION), &row(index), Sequence::new(index));
        match home {
            Home::Nowhere => {}
            Home::Journal => {
                journal.append(RecordKind::new(1), 0, &record)?;
            }
            Home::Batch => raw.put(key(index, 0), record),
        }
        // As the engine writes: what a crash leaves of it goes anyway.
        store.apply_each(&raw)?;
        if flushed.elapsed() >= BARRIER {
            barrier(&journal, &*store)?;
            flushed = Instant::now();
        }
    }
    barrier(&journal, &*store)?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_us = (cpu_seconds() - cpu) * 1e6 / changes as f64;
    let mut figures = BTreeMap::from([(figure::CPU_US.to_owned(), cpu_us)]);
    if let Some((before, after)) = device_before.zip(counts()) {
        let sectors = after.sectors_written.wrapping_sub(before.sectors_written) as f64;
        figures.insert(
            figure::DEVICE_KIB.to_owned(),
            sectors / 2.0 / changes as f64,
        );
    }
    if home != Home::Nowhere {
        let begun = Instant::now();
        let found = read(home, &journal, &*store)?;
        ensure!(found == changes, "{found} changes instead of {changes}");
        let rate = changes as f64 / begun.elapsed().as_secs_f64();
        figures.insert(named::READ.to_owned(), rate);
        let begun = Instant::now();
        remove(home, &journal, &*store, changes)?;
        let rate = changes as f64 / begun.elapsed().as_secs_f64();
        figures.insert(named::REMOVED.to_owned(), rate);
    }
    Ok(Sample {
        rate: changes as f64 / seconds,
        figures,
        ..Sample::default()
    })
}

/// An entry of one row, and what is kept of it: a head and the change.
fn entry(index: u64) -> (WriteBatch, Vec<u8>) {
    let key = stores::row_key(REGION, index * 7_919 % 100_000);
    let mut value = [0x5a_u8; VALUE_BYTES];
    for (into, byte) in value.iter_mut().zip(index.to_le_bytes()) {
        *into = byte;
    }
    let mut record = Vec::with_capacity(HEAD_BYTES + key.len() + value.len());
    for field in [REGION, 9, 1, index, 6, index - 1, 1_795_000_000_000_000] {
        record.extend_from_slice(&field.to_le_bytes());
    }
    record.extend_from_slice(&key);
    record.extend_from_slice(&value);
    let mut batch = WriteBatch::new();
    batch.put(key.as_slice(), value.as_slice());
    (batch, record)
}

fn row(index: u64) -> RegionRow {
    RegionRow {
        incarnation: Incarnation::new(Lsn::new(9)),
        data_index: index,
        data_term: 6,
        meta_lsn: Lsn::new(9),
    }
}

fn key(index: u64, sub: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.push(CHANGES);
    key.extend_from_slice(&REGION.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key.extend_from_slice(&sub.to_be_bytes());
    key
}

fn all() -> RawRange {
    RawRange {
        start: vec![CHANGES],
        end: Some(vec![CHANGES + 1]),
    }
}

/// The history first, as the engine's barriers do.
fn barrier(journal: &Journal, store: &dyn DataStore) -> Result<()> {
    journal.sync()?;
    Ok(store.flush()?)
}

/// Reads everything that was kept, in order; answers how many changes.
fn read(home: Home, journal: &Journal, store: &dyn DataStore) -> Result<u64> {
    let (mut found, mut last) = (0, 0);
    let mut take = |record: &[u8]| {
        let index = record
            .get(24..32)
            .and_then(|bytes| bytes.first_chunk::<8>());
        let index = index.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        found += u64::from(index == last + 1);
        last = index;
    };
    if home == Home::Batch {
        store.walk(&all(), &mut |_, value| {
            take(value);
            std::ops::ControlFlow::Continue(())
        })?;
        return Ok(found);
    }
    let mut follower = journal.follow(Lsn::FIRST, "reading")?;
    while let Followed::Batch(batch) = follower.next_batch(Some(Duration::ZERO))? {
        for record in batch.records() {
            take(record.ok().context("it was written")?.payload);
        }
    }
    Ok(found)
}

/// Removes everything that was kept, durably, as when it is acknowledged.
fn remove(home: Home, journal: &Journal, store: &dyn DataStore, changes: u64) -> Result<()> {
    if home == Home::Journal {
        journal.purge_below(journal.appended().next().context("there is a next")?)?;
        return Ok(());
    }
    let indexes: Vec<u64> = (1..=changes).collect();
    for some in indexes.chunks(REMOVED_AT_ONCE) {
        let mut batch = StoreBatch::new();
        some.iter().for_each(|index| batch.delete(key(*index, 0)));
        store.apply(&batch)?;
    }
    Ok(store.flush()?)
}
