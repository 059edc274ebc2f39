//! okaywal: every entry is durable when it is committed; there is no other mode.
//!
//! For a replay it is filled with entries of 1,000 records each, since a million syncs would take
//! minutes. That flatters it: what an entry costs is shared by a thousand records.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};

use super::{Appender, Log, Mode, PAYLOAD_BYTES, Payloads, Peer, Replayed, Setting, Tally};

const RECORDS_PER_ENTRY: u64 = 1000;

pub(crate) struct OkayWal;

impl Peer for OkayWal {
    fn name(&self) -> &'static str {
        "okaywal"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "default",
            column: "okaywal",
            modes: &[Mode::Durable, Mode::Replay],
        }]
    }

    fn create(&self, dir: &Path, _setting: &str, mode: Mode) -> Result<Box<dyn Log>> {
        Ok(Box::new(Open(open(dir, mode, Reader::default())?)))
    }

    fn replay(&self, dir: &Path, _setting: &str) -> Result<Replayed> {
        let reader = Reader::default();
        let tally = Arc::clone(&reader.0);
        let log = open(dir, Mode::Replay, reader)?;
        let tally = *tally.lock().unwrap_or_else(PoisonError::into_inner);
        Replayed::new(tally, log)
    }
}

fn open(dir: &Path, mode: Mode, reader: Reader) -> Result<WriteAheadLog> {
    // A checkpoint throws the entries away, so a log that is to be read again makes none.
    let (preallocate_bytes, checkpoint_after_bytes) = match mode {
        Mode::Replay => (1 << 20, u64::MAX),
        _ => (64 << 20, 60 << 20),
    };
    let log = Configuration::default_for(dir)
        .preallocate_bytes(preallocate_bytes)
        .checkpoint_after_bytes(checkpoint_after_bytes)
        .buffer_bytes(64 << 10)
        .open(reader)?;
    Ok(log)
}

/// Counts what is recovered, and lets checkpoints pass at no cost.
#[derive(Debug, Default)]
struct Reader(Arc<Mutex<Tally>>);

impl LogManager for Reader {
    fn recover(&mut self, entry: &mut Entry<'_>) -> std::io::Result<()> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut payload = [0; PAYLOAD_BYTES];
        loop {
            match entry.read_chunk()? {
                ReadChunkResult::Chunk(mut chunk) => {
                    chunk.read_exact(&mut payload)?;
                    if !chunk.check_crc()? {
                        return Err(std::io::Error::other("a chunk does not verify"));
                    }
                    tally.add(&payload);
                }
                ReadChunkResult::EndOfEntry | ReadChunkResult::AbortedEntry => return Ok(()),
            }
        }
    }

    fn checkpoint_to(
        &mut self,
        _last_checkpointed_id: EntryId,
        _checkpointed_entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

struct Open(WriteAheadLog);

impl Log for Open {
    fn appender(&self, _thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(&self.0))
    }

    fn fill(&self, payloads: &mut Payloads) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        let mut records = 0;
        while let Some(payload) = payloads.next() {
            entry.write_chunk(payload)?;
            records += 1;
            if records % RECORDS_PER_ENTRY == 0 {
                entry.commit()?;
                entry = self.0.begin_entry()?;
            }
        }
        entry.commit()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.shutdown()?)
    }
}

impl Appender for &WriteAheadLog {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        let mut entry = self.begin_entry()?;
        entry.write_chunk(payload)?;
        entry.commit()?;
        Ok(())
    }

    fn append(&mut self, _payload: &[u8]) -> Result<()> {
        bail!("okaywal has no append that does not wait")
    }
}
