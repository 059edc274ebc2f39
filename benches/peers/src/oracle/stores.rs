//! The stores that are attacked: each appends numbered records, durable by its own word, and reads them back.
//!
//! Settings are the defaults, but for files that are small enough for several of them to be there.

use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use raft_proto::eraftpb::Entry;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use torrens_journal::disk::{Disk, DiskLock, RealDisk};
use torrens_journal::{Durability, Journal, JournalOptions, Lsn, NewRecord, RecordKind};
use torrens_recovery::checkpoint::CheckpointError;
use torrens_recovery::{Directories, RecoveryOptions, StateMachine, recover};

use crate::rng::Rng;

/// Torrens first.
pub(super) const NAMES: [&str; 6] = ["torrens", "raft_engine", "okaywal", "fjall", "redb", "sled"];

/// Numbers and payloads as they were read.
type Records = Vec<(u64, Vec<u8>)>;

const FILE_BYTES: u64 = 128 << 10;
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// The payload of a record: 200 to 700 bytes that no other record has.
pub(super) fn payload(number: u64) -> Vec<u8> {
    let mut rng = Rng::new(number);
    let mut payload = vec![0; 200 + rng.below(500)];
    rng.fill(&mut payload);
    payload
}

/// An open store.
pub(super) trait Store {
    /// The record is durable on return.
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<()>;
    /// Closes in order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Opens a new store in an empty directory.
pub(super) fn open(peer: &str, dir: &Path) -> Result<Box<dyn Store>> {
    Ok(match peer {
        "torrens" => {
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
            let lock = disk.lock(&dir.join("LOCK"))?;
            let store = torrens_journal::StoreUuid([7; 16]);
            let journal = Journal::create(disk, &dir.join("journal"), store, options())?;
            Box::new(Torrens(journal, lock))
        }
        "raft_engine" => Box::new(RaftEngine(Engine::open(config(dir))?)),
        "okaywal" => Box::new(OkayWal(okaywal(dir, Reader::default())?)),
        "fjall" => Box::new(fjall_in(dir)?),
        "redb" => Box::new(Redb(redb::Database::create(dir.join("redb"))?)),
        "sled" => Box::new(Sled(sled_in(dir)?)),
        other => bail!("{other} is not among the stores"),
    })
}

/// Opens the store again and reads every record.
pub(super) fn read(peer: &str, dir: &Path) -> Result<Records> {
    match peer {
        "torrens" => {
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
            let _lock = disk.lock(&dir.join("LOCK"))?;
            let directories = Directories {
                journal: dir.join("journal"),
                checkpoints: dir.join("checkpoints"),
            };
            let recovered = recover(
                disk,
                &directories,
                All::default(),
                RecoveryOptions::new(options()),
            )?;
            Ok(recovered.machine.0)
        }
        "raft_engine" => {
            let engine = Engine::open(config(dir))?;
            let mut entries = Vec::new();
            if let (Some(first), Some(last)) = (engine.first_index(1), engine.last_index(1)) {
                engine.fetch_entries_to::<Ext>(1, first, last + 1, None, &mut entries)?;
            }
            let records = entries
                .iter()
                .map(|entry| (entry.index, entry.get_data().to_vec()));
            Ok(records.collect())
        }
        "okaywal" => {
            let reader = Reader::default();
            let records = Arc::clone(&reader.0);
            let _log = okaywal(dir, reader)?;
            let records = records.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(records.clone())
        }
        "fjall" => {
            let open = fjall_in(dir)?;
            let mut records = Records::new();
            for row in open.1.iter() {
                let (key, value) = row.into_inner()?;
                records.push((number(&key)?, value.to_vec()));
            }
            Ok(records)
        }
        "redb" => {
            let database = redb::Database::open(dir.join("redb"))?;
            let read = database.begin_read()?;
            let table = read.open_table(TABLE)?;
            let mut records = Records::new();
            for row in table.iter()? {
                let (key, value) = row?;
                records.push((key.value(), value.value().to_vec()));
            }
            Ok(records)
        }
        "sled" => {
            let mut records = Records::new();
            for row in sled_in(dir)?.iter() {
                let (key, value) = row?;
                records.push((number(&key)?, value.to_vec()));
            }
            Ok(records)
        }
        other => bail!("{other} is not among the stores"),
    }
}

/// A key that is not one is a record that nobody wrote; it has a number that nobody has.
fn number(key: &[u8]) -> Result<u64> {
    Ok(key
        .first_chunk::<8>()
        .map_or(u64::MAX, |key| u64::from_be_bytes(*key)))
}

struct Torrens(
    Journal,
    #[expect(dead_code, reason = "held while it is open")] Box<dyn DiskLock>,
);

const KIND: RecordKind = RecordKind::new(1);

fn options() -> JournalOptions {
    JournalOptions::new().segment_bytes(FILE_BYTES)
}

impl Store for Torrens {
    fn append(&mut self, _: u64, payload: &[u8]) -> Result<()> {
        let record = NewRecord {
            kind: KIND,
            tag: 0,
            payload,
        };
        self.0.commit(&[record], Durability::Durable)?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}

/// Keeps every record.
#[derive(Debug, Default)]
struct All(Records);

impl StateMachine for All {
    type Record = Vec<u8>;
    type Item = ();
    type Error = Infallible;

    fn decode(_: RecordKind, payload: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(Some(payload.to_vec()))
    }

    fn apply(&mut self, lsn: Lsn, record: &Vec<u8>) -> Result<(), Infallible> {
        self.0.push((lsn.get(), record.clone()));
        Ok(())
    }

    fn save(
        &self,
        _: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn decode_item(_: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), Infallible> {
        Ok(())
    }
}

struct RaftEngine(Engine);

fn config(dir: &Path) -> Config {
    Config {
        dir: dir.display().to_string(),
        target_file_size: ReadableSize(FILE_BYTES),
        ..Config::default()
    }
}

#[derive(Clone)]
struct Ext;

impl MessageExt for Ext {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

impl Store for RaftEngine {
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        let mut entry = Entry::default();
        entry.set_index(number);
        entry.set_data(payload.to_vec().into());
        let mut batch = LogBatch::default();
        batch.add_entries::<Ext>(1, &[entry])?;
        self.0.write(&mut batch, true)?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.sync()?)
    }
}

struct OkayWal(okaywal::WriteAheadLog);

fn okaywal(dir: &Path, reader: Reader) -> Result<okaywal::WriteAheadLog> {
    // A checkpoint throws entries away, so there is none.
    let log = okaywal::Configuration::default_for(dir)
        .preallocate_bytes(u32::try_from(FILE_BYTES)?)
        .checkpoint_after_bytes(u64::MAX)
        .open(reader)?;
    Ok(log)
}

#[derive(Debug, Default)]
struct Reader(Arc<Mutex<Records>>);

impl okaywal::LogManager for Reader {
    fn recover(&mut self, entry: &mut okaywal::Entry<'_>) -> std::io::Result<()> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match entry.read_chunk()? {
                okaywal::ReadChunkResult::Chunk(mut chunk) => {
                    let mut bytes = Vec::new();
                    chunk.read_to_end(&mut bytes)?;
                    if !chunk.check_crc()? {
                        return Err(std::io::Error::other("a chunk does not verify"));
                    }
                    let (number, payload) = bytes.split_at(8.min(bytes.len()));
                    let number = number
                        .first_chunk()
                        .map_or(u64::MAX, |number| u64::from_be_bytes(*number));
                    records.push((number, payload.to_vec()));
                }
                okaywal::ReadChunkResult::EndOfEntry | okaywal::ReadChunkResult::AbortedEntry => {
                    return Ok(());
                }
            }
        }
    }

    fn checkpoint_to(
        &mut self,
        _: okaywal::EntryId,
        _: &mut okaywal::SegmentReader,
        _: &okaywal::WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

impl Store for OkayWal {
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        entry.write_chunk(&[&number.to_be_bytes(), payload].concat())?;
        entry.commit()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.shutdown()?)
    }
}

struct Fjall(fjall::Database, fjall::Keyspace);

fn fjall_in(dir: &Path) -> Result<Fjall> {
    let database = fjall::Database::builder(dir)
        .manual_journal_persist(true)
        .open()?;
    let keyspace = database.keyspace("log", fjall::KeyspaceCreateOptions::default)?;
    Ok(Fjall(database, keyspace))
}

impl Store for Fjall {
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        self.1.insert(number.to_be_bytes(), payload)?;
        Ok(self.0.persist(fjall::PersistMode::SyncData)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.persist(fjall::PersistMode::SyncAll)?)
    }
}

struct Redb(redb::Database);

impl Store for Redb {
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        let write = self.0.begin_write()?;
        write.open_table(TABLE)?.insert(number, payload)?;
        Ok(write.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Sled(sled::Db);

fn sled_in(dir: &Path) -> Result<sled::Db> {
    let config = sled::Config::new().path(dir).flush_every_ms(None);
    config.open().context("sled")
}

impl Store for Sled {
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        self.0.insert(number.to_be_bytes(), payload)?;
        self.0.flush()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.flush()?;
        Ok(())
    }
}
