//! fjall: a batch for each write, a snapshot for all reads of a reader.

use std::path::Path;

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::{CACHE_BYTES, Key, Reader, Store, Tally, Value};

pub(super) struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

pub(super) fn open(dir: &Path) -> Result<Fjall> {
    let database = Database::builder(dir)
        .cache_size(CACHE_BYTES)
        .manual_journal_persist(true)
        .open()?;
    let keyspace = database.keyspace("data", KeyspaceCreateOptions::default)?;
    Ok(Fjall { database, keyspace })
}

impl Store for Fjall {
    fn write(&self, batch: &[(Key, Value)]) -> Result<()> {
        if let [(key, value)] = batch {
            return Ok(self.keyspace.insert(key.as_slice(), value.as_slice())?);
        }
        let mut rows = self.database.batch();
        for (key, value) in batch {
            rows.insert(&self.keyspace, key.as_slice(), value.as_slice());
        }
        Ok(rows.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Rows {
            keyspace: &self.keyspace,
            snapshot: self.database.snapshot(),
        }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Into tables, as it would be after a while.
        self.keyspace.rotate_memtable_and_wait()?;
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

struct Rows<'a> {
    keyspace: &'a Keyspace,
    snapshot: Snapshot,
}

impl Reader for Rows<'_> {
    fn gets(&self, keys: &[Key]) -> Result<Tally> {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(&self.snapshot.get(self.keyspace, key)?.context("no row")?);
        }
        Ok(tally)
    }

    fn scan(&self, from: &[u8], limit: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        for row in self.snapshot.range(self.keyspace, from..).take(limit) {
            tally.add(&row.value()?);
        }
        Ok(tally)
    }
}
