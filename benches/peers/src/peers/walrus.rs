//! walrus-rust: one topic per thread, with both of its ways to reach the disk.
//!
//! Its data directory is the variable `WALRUS_DATA_DIR`, which the process is started with. The
//! schedule of syncs is a setting of the whole process.

use std::path::Path;

use anyhow::Result;
use walrus_rust::{FsyncSchedule, ReadConsistency, disable_fd_backend, enable_fd_backend};

use super::{Appender, Log, Mode, Peer, Replayed, Setting, Tally};

const ALL: &[Mode] = &[Mode::Durable, Mode::Buffered, Mode::Replay];

pub(crate) struct Walrus;

impl Peer for Walrus {
    fn name(&self) -> &'static str {
        "walrus"
    }

    fn settings(&self) -> &'static [Setting] {
        &[
            Setting {
                name: "fd",
                column: "walrus_fd",
                modes: ALL,
            },
            Setting {
                name: "mmap",
                column: "walrus_mmap",
                modes: ALL,
            },
        ]
    }

    fn create(&self, _dir: &Path, setting: &str, mode: Mode) -> Result<Box<dyn Log>> {
        Ok(Box::new(Open(open(setting, mode)?)))
    }

    fn replay(&self, _dir: &Path, setting: &str) -> Result<Replayed> {
        let walrus = open(setting, Mode::Replay)?;
        let topic = topic(0);
        let mut tally = Tally::default();
        loop {
            let entries = walrus.batch_read_for_topic(&topic, 1 << 20, true)?;
            if entries.is_empty() {
                return Replayed::new(tally, walrus);
            }
            for entry in &entries {
                tally.add(&entry.data);
            }
        }
    }
}

fn open(setting: &str, mode: Mode) -> Result<walrus_rust::Walrus> {
    if setting == "mmap" {
        disable_fd_backend();
    } else {
        enable_fd_backend();
    }
    let schedule = match mode {
        Mode::Durable | Mode::Ticket => FsyncSchedule::SyncEach,
        Mode::Buffered | Mode::Replay => FsyncSchedule::NoFsync,
    };
    // How far a reader got is not what is measured: it is never written down.
    let consistency = ReadConsistency::AtLeastOnce {
        persist_every: u32::MAX,
    };
    let walrus = walrus_rust::Walrus::with_consistency_and_schedule(consistency, schedule)?;
    Ok(walrus)
}

fn topic(thread: usize) -> String {
    format!("topic-{thread}")
}

struct Open(walrus_rust::Walrus);

impl Log for Open {
    fn appender(&self, thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Topic {
            walrus: &self.0,
            name: topic(thread),
        }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Topic<'a> {
    walrus: &'a walrus_rust::Walrus,
    name: String,
}

impl Appender for Topic<'_> {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.walrus.append_for_topic(&self.name, payload)?)
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        // The schedule makes the difference.
        self.append_durable(payload)
    }
}
