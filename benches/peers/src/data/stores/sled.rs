//! sled 0.34, by itself: the store that Torrens keeps its data in.

use std::path::Path;

use anyhow::{Context, Result};

use super::{CACHE_BYTES, Key, Reader, Store, Tally, Value};

pub(in super::super) struct Sled {
    db: sled::Db,
    way: Way,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Way {
    /// One by one; a crash may leave some of them.
    Insert,
    /// Together, as a batch of sled's.
    ApplyBatch,
    /// The cheaper of what is atomic: a row alone is inserted.
    Default,
}

impl Way {
    pub(in super::super) fn of(setting: &str) -> Way {
        match setting {
            "insert" => Way::Insert,
            "apply_batch" => Way::ApplyBatch,
            _ => Way::Default,
        }
    }
}

pub(in super::super) fn open(dir: &Path, way: Way) -> Result<Sled> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let db = config.open()?;
    Ok(Sled { db, way })
}

impl Sled {
    pub(in super::super) fn database(&self) -> &sled::Db {
        &self.db
    }
}

impl Store for Sled {
    fn write(&self, batch: &[(Key, Value)]) -> Result<()> {
        if self.way == Way::Insert || (self.way == Way::Default && batch.len() == 1) {
            for (key, value) in batch {
                self.db.insert(key, value.as_slice())?;
            }
            return Ok(());
        }
        let mut rows = sled::Batch::default();
        for (key, value) in batch {
            rows.insert(key.as_slice(), value.as_slice());
        }
        Ok(self.db.apply_batch(rows)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Rows(&self.db)))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.flush()?;
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
