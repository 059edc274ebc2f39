//! RocksDB, behind the feature `rocksdb`: a batch for each write, a snapshot for all reads of a reader.

use std::path::Path;

use anyhow::{Context, Result};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions,
    SnapshotWithThreadMode, WriteBatch,
};

use super::{CACHE_BYTES, Key, Reader, Store, Tally, Value};

pub(super) struct RocksDb(DB);

pub(super) fn open(dir: &Path) -> Result<RocksDb> {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES as usize));
    tables.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&tables);
    Ok(RocksDb(DB::open(&options, dir)?))
}

impl Store for RocksDb {
    fn write(&self, batch: &[(Key, Value)]) -> Result<()> {
        if let [(key, value)] = batch {
            return Ok(self.0.put(key, value)?);
        }
        let mut rows = WriteBatch::default();
        for (key, value) in batch {
            rows.put(key, value);
        }
        Ok(self.0.write(&rows)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Rows(self.0.snapshot())))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.flush_wal(true)?;
        // Into tables, as it would be after a while.
        Ok(self.0.flush()?)
    }
}

struct Rows<'a>(SnapshotWithThreadMode<'a, DB>);

impl Reader for Rows<'_> {
    fn gets(&self, keys: &[Key]) -> Result<Tally> {
        let mut tally = Tally::default();
        for key in keys {
            let value = self.0.get_pinned(key)?;
            tally.add(&value.context("no row")?);
        }
        Ok(tally)
    }

    fn scan(&self, from: &[u8], limit: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        let rows = self.0.iterator_opt(
            IteratorMode::From(from, Direction::Forward),
            ReadOptions::default(),
        );
        for row in rows.take(limit) {
            tally.add(&row?.1);
        }
        Ok(tally)
    }
}
