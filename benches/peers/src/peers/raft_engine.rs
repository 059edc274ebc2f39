//! raft-engine, TiKV's log of Raft entries: one region per thread, one entry per write.

use std::path::Path;

use anyhow::Result;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use raft_proto::eraftpb::Entry;

use super::{Appender, Log, Mode, Payloads, Peer, Replayed, Setting, Tally};

/// Entries of one write in the setting `batched`, and of one read in all.
const BATCH: u64 = 1000;

pub(crate) struct RaftEngine;

impl Peer for RaftEngine {
    fn name(&self) -> &'static str {
        "raft_engine"
    }

    fn settings(&self) -> &'static [Setting] {
        const WRITES: &[Mode] = &[Mode::Durable, Mode::Buffered];
        &[
            Setting {
                name: "recycle",
                column: "raft_engine",
                modes: &[Mode::Durable, Mode::Buffered, Mode::Replay],
            },
            Setting {
                name: "no_recycle",
                column: "raft_engine",
                modes: &[Mode::Durable, Mode::Buffered, Mode::Replay],
            },
            Setting {
                name: "prefill",
                column: "raft_engine",
                modes: WRITES,
            },
            // Not the same work as one record at a time, hence a column of its own.
            Setting {
                name: "batched",
                column: "raft_engine_batched",
                modes: &[Mode::Replay],
            },
        ]
    }

    fn create(&self, dir: &Path, setting: &str, _mode: Mode) -> Result<Box<dyn Log>> {
        let entries_per_write = if setting == "batched" { BATCH } else { 1 };
        Ok(Box::new(Open {
            engine: Engine::open(config(dir, setting))?,
            entries_per_write,
        }))
    }

    fn replay(&self, dir: &Path, setting: &str) -> Result<Replayed> {
        let engine = Engine::open(config(dir, setting))?;
        let mut tally = Tally::default();
        let mut entries = Vec::new();
        for region in engine.raft_groups() {
            let (Some(first), Some(last)) = (engine.first_index(region), engine.last_index(region))
            else {
                continue;
            };
            for begin in (first..=last).step_by(BATCH as usize) {
                let end = (begin + BATCH).min(last + 1);
                entries.clear();
                engine.fetch_entries_to::<Ext>(region, begin, end, None, &mut entries)?;
                for entry in &entries {
                    tally.add(entry.get_data());
                }
            }
        }
        Replayed::new(tally, engine)
    }
}

fn config(dir: &Path, setting: &str) -> Config {
    let mut config = Config {
        dir: dir.display().to_string(),
        recovery_threads: 2,
        // Payloads are random; compressing them would only cost.
        batch_compression_threshold: ReadableSize::kb(0),
        target_file_size: ReadableSize::mb(64),
        ..Config::default()
    };
    match setting {
        "no_recycle" => config.enable_log_recycle = false,
        "prefill" => {
            config.enable_log_recycle = true;
            config.prefill_for_recycle = true;
            // As many files are prepared at opening as this holds: more than a run can use.
            config.purge_threshold = ReadableSize::mb(512);
            config.prefill_limit = Some(ReadableSize::mb(512));
        }
        _ => {}
    }
    config
}

#[derive(Clone)]
struct Ext;

impl MessageExt for Ext {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

struct Open {
    engine: Engine,
    entries_per_write: u64,
}

impl Log for Open {
    fn appender(&self, thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Region {
            engine: &self.engine,
            region: thread as u64 + 1,
            index: 0,
            batch: LogBatch::default(),
        }))
    }

    fn fill(&self, payloads: &mut Payloads) -> Result<()> {
        let mut region = Region {
            engine: &self.engine,
            region: 1,
            index: 0,
            batch: LogBatch::default(),
        };
        while let Some(payload) = payloads.next() {
            region.add(payload)?;
            if region.index.is_multiple_of(self.entries_per_write) {
                region.write(false)?;
            }
        }
        region.write(false)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.sync()?)
    }
}

struct Region<'a> {
    engine: &'a Engine,
    region: u64,
    index: u64,
    batch: LogBatch,
}

impl Region<'_> {
    fn add(&mut self, payload: &[u8]) -> Result<()> {
        self.index += 1;
        let mut entry = Entry::default();
        entry.set_index(self.index);
        entry.set_data(payload.to_vec().into());
        Ok(self.batch.add_entries::<Ext>(self.region, &[entry])?)
    }

    fn write(&mut self, sync: bool) -> Result<()> {
        self.engine.write(&mut self.batch, sync)?;
        Ok(())
    }
}

impl Appender for Region<'_> {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        self.add(payload)?;
        self.write(true)
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.add(payload)?;
        self.write(false)
    }
}
