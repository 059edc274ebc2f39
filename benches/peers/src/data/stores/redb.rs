//! redb: a transaction for each batch, one for all reads of a reader.

use std::path::Path;

use anyhow::{Context, Result};
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::{CACHE_BYTES, Key, Reader, Store, Tally, Value};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");

pub(super) struct Redb(Database);

pub(super) fn open(dir: &Path) -> Result<Redb> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES as usize);
    let database = builder.create(dir.join("redb"))?;
    let write = database.begin_write()?;
    write.open_table(TABLE)?;
    write.commit()?;
    Ok(Redb(database))
}

impl Store for Redb {
    fn write(&self, batch: &[(Key, Value)]) -> Result<()> {
        let mut write = self.0.begin_write()?;
        write.set_durability(Durability::None)?;
        let mut table = write.open_table(TABLE)?;
        for (key, value) in batch {
            table.insert(key.as_slice(), value.as_slice())?;
        }
        drop(table);
        Ok(write.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Rows(self.0.begin_read()?.open_table(TABLE)?)))
    }

    fn close(self: Box<Self>) -> Result<()> {
        // An empty transaction that is durable makes all before it so.
        Ok(self.0.begin_write()?.commit()?)
    }
}

struct Rows(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Reader for Rows {
    fn gets(&self, keys: &[Key]) -> Result<Tally> {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(self.0.get(key.as_slice())?.context("no row")?.value());
        }
        Ok(tally)
    }

    fn scan(&self, from: &[u8], limit: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        for row in self.0.range(from..)?.take(limit) {
            tally.add(row?.1.value());
        }
        Ok(tally)
    }
}
