//! Torrens: the journal on its own, and for replay the full safe opening through recovery.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use torrens_journal::disk::{Disk, DiskLock, RealDisk};
use torrens_journal::{
    Durability, Journal, JournalOptions, Lsn, NewRecord, RecordKind, StoreUuid, Ticket,
    WriterChoice,
};
use torrens_recovery::checkpoint::CheckpointError;
use torrens_recovery::{Directories, RecoveryOptions, StateMachine, recover};

use super::{Appender, Log, Mode, Peer, Replayed, Setting, Submitter, Tally};

const KIND: RecordKind = RecordKind::new(1);

pub(crate) struct Torrens;

impl Peer for Torrens {
    fn name(&self) -> &'static str {
        "torrens"
    }

    fn settings(&self) -> &'static [Setting] {
        // Both writers write the same bytes, and only durable appends show which is faster.
        const DURABLE: &[Mode] = &[Mode::Durable];
        &[
            Setting {
                name: "default",
                column: "torrens",
                modes: &[Mode::Durable, Mode::Ticket, Mode::Buffered, Mode::Replay],
            },
            Setting {
                name: "mapped",
                column: "torrens",
                modes: DURABLE,
            },
            Setting {
                name: "direct",
                column: "torrens",
                modes: DURABLE,
            },
        ]
    }

    fn create(&self, dir: &Path, setting: &str, _mode: Mode) -> Result<Box<dyn Log>> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let lock = disk.lock(&dir.join("LOCK"))?;
        let options = options(setting);
        let journal = Journal::create(disk, &dir.join("journal"), StoreUuid([7; 16]), options)?;
        Ok(Box::new(Open {
            journal,
            _lock: lock,
        }))
    }

    fn replay(&self, dir: &Path, setting: &str) -> Result<Replayed> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let lock = disk.lock(&dir.join("LOCK"))?;
        let directories = Directories {
            journal: dir.join("journal"),
            checkpoints: dir.join("checkpoints"),
        };
        let options = RecoveryOptions::new(options(setting));
        let recovered = recover(disk, &directories, Sum::default(), options)?;
        Replayed::new(recovered.machine.0, (recovered.journal, lock))
    }
}

fn options(setting: &str) -> JournalOptions {
    JournalOptions::new().writer(match setting {
        "mapped" => WriterChoice::Mapped,
        "direct" => WriterChoice::Direct,
        _ => WriterChoice::Auto,
    })
}

struct Open {
    journal: Journal,
    _lock: Box<dyn DiskLock>,
}

impl Log for Open {
    fn appender(&self, _thread: usize) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(&self.journal))
    }

    fn submitter(&self) -> Result<Box<dyn Submitter + '_>> {
        Ok(Box::new(Tickets {
            journal: &self.journal,
            open: VecDeque::new(),
        }))
    }

    fn about(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (
                "writer".to_owned(),
                self.journal.writer_path().kind.as_str().to_owned(),
            ),
            (
                "sync".to_owned(),
                self.journal.sync_path().method.as_str().to_owned(),
            ),
        ])
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.journal.close()?)
    }
}

impl Appender for &Journal {
    fn append_durable(&mut self, payload: &[u8]) -> Result<()> {
        self.commit(&[record(payload)], Durability::Durable)?;
        Ok(())
    }

    fn append(&mut self, payload: &[u8]) -> Result<()> {
        Journal::append(self, KIND, 0, payload)?;
        Ok(())
    }
}

fn record(payload: &[u8]) -> NewRecord<'_> {
    NewRecord {
        kind: KIND,
        tag: 0,
        payload,
    }
}

struct Tickets<'a> {
    journal: &'a Journal,
    /// In the order of submission, which is the order of durability.
    open: VecDeque<Ticket>,
}

impl Submitter for Tickets<'_> {
    fn submit(&mut self, payload: &[u8]) -> Result<()> {
        let ticket = self
            .journal
            .submit(&[record(payload)], Durability::Durable)?;
        self.open.push_back(ticket);
        Ok(())
    }

    fn complete_oldest(&mut self) -> Result<()> {
        let oldest = self.open.pop_front().context("nothing is in flight")?;
        oldest.wait()?;
        Ok(())
    }
}

/// The smallest state machine that still looks at every payload.
#[derive(Debug, Default)]
struct Sum(Tally);

impl StateMachine for Sum {
    type Record = u8;
    type Item = ();
    type Error = Infallible;

    fn decode(kind: RecordKind, payload: &[u8]) -> Result<Option<u8>, Infallible> {
        Ok((kind == KIND).then(|| payload.first().copied().unwrap_or_default()))
    }

    fn apply(&mut self, _lsn: Lsn, record: &u8) -> Result<(), Infallible> {
        self.0.add(&[*record]);
        Ok(())
    }

    fn save(
        &self,
        _sink: &mut dyn FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn decode_item(_item: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn load(&mut self, (): ()) -> Result<(), Infallible> {
        Ok(())
    }
}
