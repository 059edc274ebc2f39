//! fjall, an LSM tree with a journal: an insert and a persist per record. It has no group commit.

use std::path::Path;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Appender, Log, Mode, Peer, Replayed, Setting, Tally};

pub(crate) struct Fjall;

impl Peer for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "default",
            column: "fjall",
            modes: &[Mode::Durable, Mode::Buffered, Mode::Replay],
        }]
    }

    fn create(&self, dir: &Path, _setting: &str, _mode: Mode) -> Result<Box<dyn Log>> {
        Ok(Box::new(Open::new(dir)?))
    }

    fn replay(&self, dir: &Path, _setting: &str) -> Result<Replayed> {
        let open = Open::new(dir)?;
        let mut tally = Tally::default();
        for row in open.keyspace.iter() {
            tally.add(&row.value()?);
        }
        Replayed::new(tally, (open.keyspace, open.database))
    }
}

struct Open {
    database: Database,
    keyspace: Keyspace,
}

impl Open {
    fn new(dir: &Path) -> Result<Open> {
        // Room enough that nothing is flushed to tables while a run is measured.
        let database = Database::builder(dir)
            .manual_journal_persist(true)
            .max_journaling_size(4 << 30)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(1 << 30);
        let keyspace = database.keyspace("log", options)?;
        Ok(Open { database, keyspace })
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

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

struct Rows<'a> {
    open: &'a Open,
    thread: u64,
    row: u64,
}

impl Appender for Rows<'_> {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        self.append(payload)?;
        Ok(self.open.database.persist(PersistMode::SyncData)?)
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.row += 1;
        Ok(self
            .open
            .keyspace
            .insert(super::key(self.thread, self.row), payload)?)
    }
}
