//! One log after another behind one small trait, Torrens among them.
//!
//! A peer says which settings it is measured in and what each is good for; the best setting of a
//! column counts. Whatever a peer needs to be at its best here stands in its file, and in
//! docs/PERFORMANCE.md for readers.

mod fjall;
mod okaywal;
mod raft_engine;
mod raw;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod torrens;
mod walrus;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::rng::Rng;

/// Bytes of every payload.
pub(crate) const PAYLOAD_BYTES: usize = 128;

/// What a log is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Append one record, durable on return.
    Durable,
    /// Submit records and learn later that they are durable.
    Ticket,
    /// Append records that nobody waits for.
    Buffered,
    /// Be filled, closed, opened and read.
    Replay,
}

/// One way in which a peer is measured.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Which figure of a row it competes for.
    pub(crate) column: &'static str,
    pub(crate) modes: &'static [Mode],
}

/// A kind of log.
pub(crate) trait Peer: Sync {
    fn name(&self) -> &'static str;
    fn settings(&self) -> &'static [Setting];
    /// A new log in an empty directory, ready for `mode`.
    fn create(&self, dir: &Path, setting: &str, mode: Mode) -> Result<Box<dyn Log>>;
    /// Opens a log that was filled and closed, and reads every record of it.
    fn replay(&self, dir: &Path, setting: &str) -> Result<Replayed>;
}

/// An open log.
pub(crate) trait Log: Sync {
    /// What one thread appends with; called on that thread.
    fn appender(&self, thread: usize) -> Result<Box<dyn Appender + '_>>;
    /// What one thread submits with.
    fn submitter(&self) -> Result<Box<dyn Submitter + '_>> {
        bail!("has no tickets")
    }
    /// Appends all payloads, one record each.
    fn fill(&self, payloads: &mut Payloads) -> Result<()> {
        let mut appender = self.appender(0)?;
        while let Some(payload) = payloads.next() {
            appender.append(payload)?;
        }
        Ok(())
    }
    /// What it chose for itself and the reader of a figure must know.
    fn about(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// Makes everything durable, if the log has a way to, and closes in order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Appends for one thread.
pub(crate) trait Appender {
    /// The record is durable on return.
    fn append_durable(&mut self, payload: &[u8]) -> Result<()>;
    /// Nothing is promised.
    fn append(&mut self, payload: &[u8]) -> Result<()>;
}

/// Submits for one thread.
pub(crate) trait Submitter {
    fn submit(&mut self, payload: &[u8]) -> Result<()>;
    /// Waits until the oldest record that was submitted and not completed is durable.
    fn complete_oldest(&mut self) -> Result<()>;
}

/// A log that was opened and read. What closing it takes is no part of that, so it is still open.
pub(crate) struct Replayed {
    pub(crate) tally: Tally,
    _open: Box<dyn Any>,
}

impl Replayed {
    fn new(tally: Tally, open: impl Any) -> Result<Self> {
        Ok(Replayed {
            tally,
            _open: Box::new(open),
        })
    }
}

/// What was read, to be compared with what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    /// Of the first bytes of the payloads.
    pub(crate) sum: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, payload: &[u8]) {
        self.records += 1;
        self.sum += payload.first().copied().map_or(0, u64::from);
    }
}

/// Payloads from a seed, one after the other.
#[derive(Debug)]
pub(crate) struct Payloads {
    rng: Rng,
    left: u64,
    payload: [u8; PAYLOAD_BYTES],
    given: Tally,
}

impl Payloads {
    pub(crate) fn new(seed: u64, records: u64) -> Self {
        Payloads {
            rng: Rng::new(seed),
            left: records,
            payload: [0; PAYLOAD_BYTES],
            given: Tally::default(),
        }
    }

    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        self.left = self.left.checked_sub(1)?;
        self.rng.fill(&mut self.payload);
        self.given.add(&self.payload);
        Some(&self.payload)
    }

    /// What a replay of all of them must find.
    pub(crate) fn expected(seed: u64, records: u64) -> Tally {
        let mut payloads = Payloads::new(seed, records);
        while payloads.next().is_some() {}
        payloads.given
    }
}

/// The key of a record in a peer that is a map: each thread's records in order, one after another.
fn key(thread: u64, row: u64) -> [u8; 16] {
    ((u128::from(thread) << 64) | u128::from(row)).to_be_bytes()
}

/// Every peer that was compiled in; Torrens first.
pub(crate) fn all() -> &'static [&'static dyn Peer] {
    &[
        &torrens::Torrens,
        &raft_engine::RaftEngine,
        &okaywal::OkayWal,
        &raw::Raw,
        &walrus::Walrus,
        &fjall::Fjall,
        &redb::Redb,
        &sled::Sled,
        #[cfg(feature = "rocksdb")]
        &rocksdb::RocksDb,
    ]
}

pub(crate) fn by_name(name: &str) -> Result<&'static dyn Peer> {
    let named = |peer: &&&dyn Peer| peer.name() == name;
    let peer = all().iter().find(named).copied();
    peer.with_context(|| format!("{name} is not among the peers"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn settings_are_told_apart() {
        for peer in all() {
            let names: BTreeSet<_> = peer.settings().iter().map(|s| s.name).collect();
            assert_eq!(names.len(), peer.settings().len(), "{}", peer.name());
        }
        assert!(by_name("raft_engine").is_ok());
        assert!(by_name("nobody").is_err());
    }

    /// Every peer that compiles gives back what it was given, in every setting that it is read in.
    #[test]
    fn what_is_filled_is_replayed() {
        // More than any buffer holds, and not a multiple of any batch.
        const RECORDS: u64 = 10_007;
        let place = crate::place::Place::new(None).unwrap();
        for peer in all().iter().filter(|peer| peer.name() != "walrus") {
            for setting in peer.settings() {
                if !setting.modes.contains(&Mode::Replay) {
                    continue;
                }
                let what = format!("{} ({})", peer.name(), setting.name);
                let dir = place.fresh().unwrap();
                let log = peer
                    .create(dir.path(), setting.name, Mode::Replay)
                    .expect(&what);
                log.fill(&mut Payloads::new(5, RECORDS)).expect(&what);
                log.close().expect(&what);
                let replayed = peer.replay(dir.path(), setting.name).expect(&what);
                assert_eq!(replayed.tally, Payloads::expected(5, RECORDS), "{what}");
            }
        }
    }
}
