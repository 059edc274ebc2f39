//! RocksDB, behind the feature `rocksdb`: a put per record, synced or not.

use std::path::Path;

use anyhow::Result;
use rocksdb::{DB, DBCompressionType, IteratorMode, Options, WriteOptions};

use super::{Appender, Log, Mode, Peer, Replayed, Setting, Tally};

pub(crate) struct RocksDb;

impl Peer for RocksDb {
    fn name(&self) -> &'static str {
        "rocksdb"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "default",
            column: "rocksdb",
            modes: &[Mode::Durable, Mode::Buffered, Mode::Replay],
        }]
    }

    fn create(&self, dir: &Path, _setting: &str, _mode: Mode) -> Result<Box<dyn Log>> {
        Ok(Box::new(Open(open(dir)?)))
    }

    fn replay(&self, dir: &Path, _setting: &str) -> Result<Replayed> {
        let db = open(dir)?;
        let mut tally = Tally::default();
        for row in db.iterator(IteratorMode::Start) {
            tally.add(&row?.1);
        }
        Replayed::new(tally, db)
    }
}

fn open(dir: &Path) -> Result<DB> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_enable_pipelined_write(true);
    options.set_recycle_log_file_num(4);
    options.set_compression_type(DBCompressionType::None);
    // Room enough that nothing is flushed to tables while a run is measured.
    options.set_write_buffer_size(1 << 30);
    Ok(DB::open(&options, dir)?)
}

struct Open(DB);

impl Log for Open {
    fn appender(&self, thread: usize) -> Result<Box<dyn Appender + '_>> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Box::new(Rows {
            db: &self.0,
            synced,
            plain: WriteOptions::default(),
            thread: thread as u64,
            row: 0,
        }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.flush_wal(true)?)
    }
}

struct Rows<'a> {
    db: &'a DB,
    synced: WriteOptions,
    plain: WriteOptions,
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
        Ok(self.db.put_opt(key, payload, &self.synced)?)
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let key = self.key();
        Ok(self.db.put_opt(key, payload, &self.plain)?)
    }
}
