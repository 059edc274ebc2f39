//! The logs of all peers of a store, in raft-engine: entries, hard state, and where a log begins, each
//! under the *incarnation* of its peer. A peer that was destroyed and made again has another log.
//!
//! Not here: the view that Raft has of one of them (`storage`).

use std::path::Path;

use raft::eraftpb::{Entry, HardState};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};
use torrens::{Incarnation, RaftPosition};

const HARD_STATE: &[u8] = b"hard-state";
const BASE: &[u8] = b"base";

/// How raft-engine reads an index out of an entry.
#[derive(Clone)]
pub struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// Every log of a store.
pub struct RaftLogs {
    engine: Engine,
}

/// What is to be written in one go.
#[derive(Default)]
pub struct LogChanges {
    batch: LogBatch,
    /// Whether anything may be relied on only once it is durable.
    pub must_sync: bool,
}

/// The key of a log: the LSN of the record that made the peer.
fn group(incarnation: Incarnation) -> u64 {
    incarnation.lsn().get()
}

impl RaftLogs {
    pub fn open(dir: &Path) -> raft_engine::Result<RaftLogs> {
        let config = Config {
            dir: dir.to_string_lossy().into_owned(),
            target_file_size: ReadableSize::mb(16),
            purge_threshold: ReadableSize::mb(128),
            ..Config::default()
        };
        Ok(RaftLogs {
            engine: Engine::open(config)?,
        })
    }

    /// Writes the changes; durable on return if they must be.
    pub fn write(&self, mut changes: LogChanges) -> raft_engine::Result<()> {
        if !changes.batch.is_empty() {
            self.engine.write(&mut changes.batch, changes.must_sync)?;
        }
        Ok(())
    }

    pub fn hard_state(&self, of: Incarnation) -> raft_engine::Result<Option<HardState>> {
        self.engine.get_message(group(of), HARD_STATE)
    }

    /// The entry below the log's first.
    pub fn base(&self, of: Incarnation) -> Option<RaftPosition> {
        let bytes = self.engine.get(group(of), BASE)?;
        let (index, term) = crate::wire::decode(&bytes)?;
        Some(RaftPosition { index, term })
    }

    pub fn last_index(&self, of: Incarnation) -> Option<u64> {
        self.engine.last_index(group(of))
    }

    pub fn entry(&self, of: Incarnation, index: u64) -> raft_engine::Result<Option<Entry>> {
        self.engine.get_entry::<Entries>(group(of), index)
    }

    /// Entries `low .. high`, as many as fit into `bytes_max` and at least one.
    pub fn entries(
        &self,
        of: Incarnation,
        low: u64,
        high: u64,
        bytes_max: Option<usize>,
    ) -> raft_engine::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.engine
            .fetch_entries_to::<Entries>(group(of), low, high, bytes_max, &mut entries)?;
        Ok(entries)
    }

    /// Logs whose peer is not among the living ones.
    pub fn orphans(&self, live: &[Incarnation]) -> Vec<Incarnation> {
        let live: Vec<u64> = live.iter().map(|incarnation| group(*incarnation)).collect();
        let orphans = self
            .engine
            .raft_groups()
            .into_iter()
            .filter(|group| !live.contains(group));
        orphans
            .map(|lsn| Incarnation::new(torrens_lsn(lsn)))
            .collect()
    }

    /// Removes files that hold nothing that is still needed.
    pub fn purge(&self) -> raft_engine::Result<()> {
        self.engine.purge_expired_files().map(drop)
    }
}

fn torrens_lsn(lsn: u64) -> torrens::Lsn {
    torrens::Lsn::new(lsn)
}

impl LogChanges {
    /// Changes that must be durable when they are written.
    pub fn durable() -> LogChanges {
        LogChanges {
            must_sync: true,
            ..LogChanges::default()
        }
    }

    pub fn append(&mut self, of: Incarnation, entries: &[Entry]) -> raft_engine::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.must_sync = true;
        self.batch.add_entries::<Entries>(group(of), entries)
    }

    pub fn hard_state(&mut self, of: Incarnation, state: &HardState) -> raft_engine::Result<()> {
        self.batch
            .put_message(group(of), HARD_STATE.to_vec(), state)
    }

    pub fn base(&mut self, of: Incarnation, base: RaftPosition) -> raft_engine::Result<()> {
        let bytes = crate::wire::encode(&(base.index, base.term));
        self.batch.put(group(of), BASE.to_vec(), bytes)
    }

    /// Forgets everything of a log, hard state included.
    pub fn clean(&mut self, of: Incarnation) {
        self.batch.add_command(group(of), Command::Clean);
    }

    /// Forgets the entries below `index`.
    pub fn compact(&mut self, of: Incarnation, index: u64) {
        self.batch
            .add_command(group(of), Command::Compact { index });
    }
}
