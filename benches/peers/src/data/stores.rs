//! One store after another behind one small trait, Torrens among them.
//!
//! All have room to keep every row in memory of their own. Writes are atomic by batch and durable when
//! each store's own schedule, or closing, makes them so: none waits for the disk here.

mod fjall;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod torrens;

use std::path::Path;

use anyhow::{Result, bail};

pub(super) use sled::{Way, open as open_sled};
pub(super) use torrens::{Half, Torrens};

/// 21 bytes: a table, and a row number that is spread over the whole table.
pub(super) type Key = [u8; 21];
pub(super) type Value = [u8; 100];

/// Memory for each store's own cache, where it has one.
const CACHE_BYTES: u64 = 1 << 30;

pub(super) fn key(row: u64) -> Key {
    let mut key = *b"table/17/....../00000";
    let spread = row.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    if let Some(to) = key.get_mut(SPREAD..SPREAD + spread.len()) {
        to.copy_from_slice(&spread);
    }
    key
}

/// Where the row number begins in a key.
const SPREAD: usize = 9;

/// The key, moved to the half of the table that begins with it.
pub(super) fn in_lower_half(mut key: Key) -> Key {
    if let Some(first) = key.get_mut(SPREAD) {
        *first &= 0x7f;
    }
    key
}

/// Which of so many equal parts of the table, in key order, the key is in.
pub(super) fn part_of(key: &Key, parts: usize) -> usize {
    key.get(SPREAD)
        .map_or(0, |first| usize::from(*first) * parts / 256)
}

/// A store that is open.
pub(super) trait Store: Sync {
    /// Writes over all rows of a batch.
    fn write(&self, batch: &[(Key, Value)]) -> Result<()>;
    /// Makes a region of each of so many parts, where there are regions.
    fn divide(&self, _parts: usize) -> Result<()> {
        Ok(())
    }
    /// As `write`, of rows that all lie in this part of a store that was divided.
    fn write_part(&self, _part: usize, batch: &[(Key, Value)]) -> Result<()> {
        self.write(batch)
    }
    /// Reads everything that was written before.
    fn reader(&self) -> Result<Box<dyn Reader + '_>>;
    /// Makes everything durable, and closes in order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// What one thread reads with.
pub(super) trait Reader {
    /// The rows of these keys, one get each.
    fn gets(&self, keys: &[Key]) -> Result<Tally>;
    /// At most so many rows from `from` on, in key order.
    fn scan(&self, from: &[u8], limit: usize) -> Result<Tally>;
}

/// What was read. Adding to it touches the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    sum: u64,
}

impl Tally {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        self.rows += 1;
        self.sum += u64::from(bytes.get(3).copied().unwrap_or_default());
    }
}

/// The store of a peer in a directory, new or filled, with one of the peer's settings.
pub(super) fn open(peer: &str, setting: &str, dir: &Path) -> Result<Box<dyn Store>> {
    Ok(match peer {
        "torrens" => Box::new(Torrens::open(dir)?),
        "sled" => Box::new(open_sled(dir, Way::of(setting))?),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Box::new(rocksdb::open(dir)?),
        "redb" => Box::new(redb::open(dir)?),
        "fjall" => Box::new(fjall::open(dir)?),
        other => bail!("{other} is not among the stores"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYONE: &[(&str, &str)] = &[
        ("torrens", "default"),
        ("sled", "default"),
        ("sled", "insert"),
        ("sled", "apply_batch"),
        ("redb", "default"),
        ("fjall", "default"),
        #[cfg(feature = "rocksdb")]
        ("rocksdb", "default"),
    ];

    #[test]
    fn every_key_is_in_one_of_so_many_parts() {
        for parts in [1, 2, 4] {
            let mut rows = vec![0; parts];
            for row in 0..1000 {
                rows[part_of(&key(row), parts)] += 1;
            }
            assert!(
                rows.iter().all(|rows| rows * parts > 900),
                "{rows:?} of {parts}"
            );
        }
        assert_eq!(part_of(&in_lower_half(key(7)), 2), 0);
    }

    #[test]
    fn a_divided_store_takes_the_rows_of_each_part() {
        const PARTS: usize = 4;
        let place = crate::place::Place::new(None).unwrap();
        for (peer, setting) in EVERYONE {
            let dir = place.fresh().unwrap();
            let store = open(peer, setting, dir.path()).expect(peer);
            store.divide(PARTS).expect(peer);
            for row in 0..100 {
                let key = key(row);
                let part = part_of(&key, PARTS);
                store.write_part(part, &[(key, [1; 100])]).expect(peer);
            }
            store.close().expect(peer);
        }
    }

    /// Every store gives back what it was given, also after it was closed and opened.
    #[test]
    fn what_is_written_is_read() {
        const ROWS: u64 = 3000;
        let place = crate::place::Place::new(None).unwrap();
        for (peer, setting) in EVERYONE {
            let dir = place.fresh().unwrap();
            let store = open(peer, setting, dir.path()).expect(peer);
            super::super::work::fill(&*store, ROWS, 1).expect(peer);
            let read = |store: &dyn Store| {
                let reader = store.reader().expect(peer);
                let keys: Vec<Key> = (0..ROWS).map(key).collect();
                let gets = reader.gets(&keys).expect(peer);
                assert_eq!(gets.rows, ROWS, "{peer}");
                let from = in_lower_half(key(7));
                assert_eq!(reader.scan(&from, 10).expect(peer).rows, 10, "{peer}");
                reader.scan(&[], usize::MAX).expect(peer)
            };
            let before = read(&*store);
            assert_eq!(before.rows, ROWS, "{peer}");
            store.write(&[(key(1), [9; 100])]).expect(peer);
            let after = read(&*store);
            assert_ne!(
                before, after,
                "{peer}: a reader sees what was written before it"
            );
            store.close().expect(peer);
            let store = open(peer, setting, dir.path()).expect(peer);
            assert_eq!(read(&*store), after, "{peer}");
        }
    }

    #[test]
    fn torrens_reads_the_same_from_memory_and_moves_it() {
        let place = crate::place::Place::new(None).unwrap();
        let dir = place.fresh().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let store = Torrens::open(&from).unwrap();
        super::super::work::fill(&store, 3000, 1).unwrap();
        let read = |store: &Torrens| store.reader().unwrap().scan(&[], usize::MAX).unwrap();
        let stored = read(&store);
        store.load().unwrap();
        assert_eq!(read(&store), stored);
        assert!(store.cached_bytes() > 3000 * 121);
        store.evict().unwrap();
        assert_eq!(store.cached_bytes(), 0);
        store.add_replica().unwrap();
        let other = Torrens::open_other(&to).unwrap();
        store.send_to(&other).unwrap();
        assert_eq!(read(&other), stored);
    }
}
