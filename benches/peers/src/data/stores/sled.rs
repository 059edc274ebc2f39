//! sled 0.34, by itself: the store that Torrens keeps its data in.

use std::path::Path;

use anyhow::{Context, Result};

use super::{CACHE_BYTES, Key, Reader, Store, Tally, Value};

pub(in super::super) struct Sled(sled::Db);

pub(in super::super) fn open(dir: &Path) -> Result<Sled> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    Ok(Sled(config.open()?))
}

impl Sled {
    pub(in super::super) fn database(&self) -> &sled::Db {
        &self.0
    }
}

impl Store for Sled {
    fn write(&self, batch: &[(Key, Value)]) -> Result<()> {
        if let [(key, value)] = batch {
            self.0.insert(key, value.as_slice())?;
            return Ok(());
        }
        let mut rows = sled::Batch::default();
        for (key, value) in batch {
            rows.insert(key.as_slice(), value.as_slice());
        }
        Ok(self.0.apply_batch(rows)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Rows(&self.0)))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.flush()?;
        Ok(())
    }
}

struct Rows<'a>(&'a sled::Db);

impl Reader for Rows<'_> {
    fn gets(&self, keys: &[Key]) -> Result<Tally> {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(&self.0.get(key)?.context("no row")?);
        }
        Ok(tally)
    }

    fn scan(&self, from: &[u8], limit: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        for row in self.0.range(from..).take(limit) {
            tally.add(&row?.1);
        }
        Ok(tally)
    }
}
