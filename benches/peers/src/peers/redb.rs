//! redb, a copy-on-write B-tree without a log: one insert per transaction.

use std::path::Path;

use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Appender, Log, Mode, Payloads, Peer, Replayed, Setting, Tally};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("log");
const ROWS_PER_FILLING_TRANSACTION: usize = 10_000;

pub(crate) struct Redb;

impl Peer for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "default",
            column: "redb",
            modes: &[Mode::Durable, Mode::Buffered, Mode::Replay],
        }]
    }

    fn create(&self, dir: &Path, _setting: &str, _mode: Mode) -> Result<Box<dyn Log>> {
        let mut builder = Database::builder();
        builder.set_cache_size(1 << 30);
        Ok(Box::new(Open(builder.create(dir.join("redb"))?)))
    }

    fn replay(&self, dir: &Path, _setting: &str) -> Result<Replayed> {
        let database = Database::open(dir.join("redb"))?;
        let read = database.begin_read()?;
        let table = read.open_table(TABLE)?;
        let mut tally = Tally::default();
        for row in table.iter()? {
            tally.add(row?.1.value());
        }
        drop(table);
        Replayed::new(tally, (read, database))
    }
}

struct Open(Database);

impl Open {
    fn commit(&self, durability: Durability, key: &[u8], payload: &[u8]) -> Result<()> {
        let mut write = self.0.begin_write()?;
        write.set_durability(durability)?;
        write.open_table(TABLE)?.insert(key, payload)?;
        Ok(write.commit()?)
    }
}

impl Log for Open {
    fn appender(&self, thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Rows {
            open: self,
            thread: thread as u64,
            row: 0,
        }))
    }

    fn fill(&self, payloads: &mut Payloads) -> Result<()> {
        let mut row = 0;
        let mut more = true;
        while more {
            let write = self.0.begin_write()?;
            let mut table = write.open_table(TABLE)?;
            for _ in 0..ROWS_PER_FILLING_TRANSACTION {
                let Some(payload) = payloads.next() else {
                    more = false;
                    break;
                };
                row += 1;
                table.insert(super::key(0, row).as_slice(), payload)?;
            }
            drop(table);
            write.commit()?;
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Rows<'a> {
    open: &'a Open,
    thread: u64,
    row: u64,
}

impl Rows<'_> {
    fn key(&mut self) -> [u8; 16] {
        self.row += 1;
        super::key(self.thread, self.row)
    }
}

impl Appender for Rows<'_> {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        let key = self.key();
        self.open.commit(Durability::Immediate, &key, payload)
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let key = self.key();
        self.open.commit(Durability::None, &key, payload)
    }
}
