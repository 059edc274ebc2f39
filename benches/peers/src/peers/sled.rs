//! sled 0.34: an insert and a flush per record.
//!
//! Its flush hands the data to the kernel and never flushes the device's cache, so what it calls
//! flushed does not survive a power cut. In the durable benchmark its column says so.

use std::path::Path;

use anyhow::Result;

use super::{Appender, Log, Mode, Peer, Replayed, Setting, Tally};

pub(crate) struct Sled;

impl Peer for Sled {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn settings(&self) -> &'static [Setting] {
        &[
            Setting {
                name: "flush",
                column: "sled_no_device_flush",
                modes: &[Mode::Durable],
            },
            Setting {
                name: "default",
                column: "sled",
                modes: &[Mode::Buffered, Mode::Replay],
            },
        ]
    }

    fn create(&self, dir: &Path, _setting: &str, _mode: Mode) -> Result<Box<dyn Log>> {
        Ok(Box::new(Open(open(dir)?)))
    }

    fn replay(&self, dir: &Path, _setting: &str) -> Result<Replayed> {
        let db = open(dir)?;
        let mut tally = Tally::default();
        for row in db.iter() {
            tally.add(&row?.1);
        }
        Replayed::new(tally, db)
    }
}

fn open(dir: &Path) -> Result<sled::Db> {
    let config = sled::Config::new()
        .path(dir)
        .mode(sled::Mode::HighThroughput)
        .flush_every_ms(None);
    Ok(config.open()?)
}

struct Open(sled::Db);

impl Log for Open {
    fn appender(&self, thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Rows {
            db: &self.0,
            thread: thread as u64,
            row: 0,
        }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.flush()?;
        Ok(())
    }
}

struct Rows<'a> {
    db: &'a sled::Db,
    thread: u64,
    row: u64,
}

impl Appender for Rows<'_> {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        self.append(payload)?;
        self.db.flush()?;
        Ok(())
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.row += 1;
        self.db.insert(super::key(self.thread, self.row), payload)?;
        Ok(())
    }
}
