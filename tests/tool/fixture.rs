//! A store's directory with a known history, made without an engine: journal, records, checkpoints.
//!
//! The clock and the ids are fixed, so that what the tool prints can be compared with files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use torrens::codec;
use torrens::lifecycle::{
    Cause, Derive, DestroyCause, Event, NewRegion, Outcome, PeerChange, RaftPosition, Record,
    Register, Split, Stamp, apply, step,
};
use torrens::{
    Incarnation, Key, KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, StoreId,
};
use torrens_journal::disk::{Disk, RealDisk};
use torrens_journal::{Journal, JournalOptions, Lsn, RecordKind, StoreUuid};
use torrens_recovery::checkpoint::{self, Meta};

/// 2026-03-14T09:21:07.114Z.
const CLOCK_MICROS: u64 = 1_773_480_067_114_000;
const UUID: StoreUuid = StoreUuid(*b"torrens tool fix");

pub(crate) fn voter(peer: u64, store: u64) -> Peer {
    Peer {
        id: PeerId(peer),
        store: StoreId(store),
        role: PeerRole::Voter,
        is_witness: false,
    }
}

/// A store under construction. The journal is not closed in order unless [`Store::close`] is called.
pub(crate) struct Store {
    pub(crate) dir: TempDir,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) journal: Journal,
    pub(crate) register: Register,
    records: u64,
}

impl Store {
    pub(crate) fn new() -> Store {
        Store::with_segments_of(1 << 20)
    }

    pub(crate) fn with_segments_of(segment_bytes: u64) -> Store {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let journal_dir = dir.path().join("journal");
        for part in ["journal", "checkpoints", "snapshots"] {
            disk.create_dir_all(&dir.path().join(part)).unwrap();
        }
        // So quiet that the directory stays as it is between two looks.
        let options = JournalOptions::new()
            .segment_bytes(segment_bytes)
            .idle(Duration::from_secs(60));
        let journal = Journal::create(Arc::clone(&disk), &journal_dir, UUID, options).unwrap();
        Store {
            dir,
            disk,
            journal,
            register: Register::default(),
            records: 0,
        }
    }

    /// Opens a closed store again, as the next boot.
    pub(crate) fn reopen(closed: Closed) -> Store {
        let Closed { dir } = closed;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let directories = torrens_recovery::Directories {
            journal: dir.path().join("journal"),
            checkpoints: dir.path().join("checkpoints"),
        };
        let options = JournalOptions::new()
            .segment_bytes(1 << 20)
            .idle(Duration::from_secs(60));
        let machine = torrens::RegisterMachine::default();
        let options = torrens_recovery::RecoveryOptions::new(options);
        let recovered =
            torrens_recovery::recover(Arc::clone(&disk), &directories, machine, options).unwrap();
        Store {
            dir,
            disk,
            records: recovered.report.last_lsn.get(),
            journal: recovered.journal,
            register: recovered.machine.into_register(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Journals `event`, which must be legal, and waits until it is durable.
    pub(crate) fn commit(&mut self, event: Event, cause: Cause) -> Lsn {
        let lsn = self.append(event, cause);
        self.journal.wait_durable(lsn).unwrap();
        lsn
    }

    /// Journals `event`, which must be legal.
    pub(crate) fn append(&mut self, event: Event, cause: Cause) -> Lsn {
        let accepted = match step(&self.register, &event) {
            Outcome::Accepted(accepted) => accepted,
            other => panic!("{event:?} is not legal here: {other:?}"),
        };
        let stamp = Stamp {
            wall_clock_micros: CLOCK_MICROS + self.records * 1_000,
            boot: self.journal.boot().get(),
            cause,
        };
        let record = Record::new(&self.register, accepted.change, stamp);
        let lsn = self.append_unchecked(&record);
        apply(&mut self.register, lsn, &record).unwrap();
        lsn
    }

    /// Journals a record whatever the state.
    pub(crate) fn append_unchecked(&mut self, record: &Record) -> Lsn {
        self.records += 1;
        let (kind, payload) = codec::encode(record);
        self.journal
            .append(RecordKind::new(kind), 0, &payload)
            .unwrap()
    }

    /// Writes a checkpoint of the register as it is.
    pub(crate) fn checkpoint(&self) {
        self.checkpoint_of(&self.register);
    }

    /// Writes `register` as a checkpoint at the last record.
    pub(crate) fn checkpoint_of(&self, register: &Register) {
        let lsn = self.journal.sync().unwrap();
        let mut meta = Meta::new(UUID, lsn, self.journal.boot());
        meta.wall_clock_micros = CLOCK_MICROS;
        let machine = torrens::RegisterMachine::new(register.clone());
        checkpoint::write(
            &*self.disk,
            &self.path().join("checkpoints"),
            &meta,
            &machine,
        )
        .unwrap();
    }

    /// Keeps two checkpoints, and only the segments that they need.
    pub(crate) fn purge(&self) {
        let checkpoints = self.path().join("checkpoints");
        let pruned = checkpoint::prune(&*self.disk, &checkpoints, Some(UUID), 2).unwrap();
        self.journal.purge_below(pruned.purge_below).unwrap();
    }

    /// Closes the journal in order.
    pub(crate) fn close(self) -> Closed {
        self.journal.close().unwrap();
        self.stop()
    }

    /// Lets go of the journal as a crash would: without a mark.
    pub(crate) fn stop(self) -> Closed {
        let Store { dir, journal, .. } = self;
        // Its drop would close it in order.
        std::mem::forget(journal);
        Closed { dir }
    }

    /// The history that most tests look at: 9 records, each in a group of its own.
    pub(crate) fn with_history() -> Store {
        let mut store = Store::new();
        store.history();
        store
    }

    pub(crate) fn history(&mut self) {
        let (r1, r102) = (RegionId(1), RegionId(102));
        self.commit(Event::Identify { store: StoreId(4) }, Cause::Host);
        let region = Region {
            id: r1,
            range: KeyRange::all(),
            epoch: RegionEpoch::BOOTSTRAP,
            peers: vec![voter(10, 4), voter(11, 5), voter(12, 6)],
        };
        self.commit(
            Event::Bootstrap {
                store: StoreId(4),
                region,
            },
            Cause::Operator,
        );
        self.commit(
            Event::Split(Split {
                region: r1,
                incarnation: None,
                epoch: RegionEpoch {
                    conf_ver: 1,
                    version: 1,
                },
                position: RaftPosition { index: 6, term: 6 },
                boundaries: vec![Key::from(b"m".as_slice())],
                children: vec![NewRegion {
                    id: r102,
                    peers: vec![voter(211, 4), voter(212, 5), voter(213, 6)],
                }],
                derive: Derive::Left,
            }),
            Cause::Raft { term: 6, index: 6 },
        );
        self.commit(
            Event::ChangePeers {
                region: r102,
                incarnation: None,
                epoch: RegionEpoch {
                    conf_ver: 1,
                    version: 2,
                },
                position: RaftPosition { index: 6, term: 6 },
                change: PeerChange::Remove { peer: PeerId(213) },
            },
            Cause::Raft { term: 6, index: 6 },
        );
        let incarnation = self.incarnation(1);
        self.commit(
            Event::LoadRequest {
                region: r1,
                incarnation,
                epoch: RegionEpoch {
                    conf_ver: 1,
                    version: 2,
                },
            },
            Cause::Host,
        );
        self.commit(
            Event::LoadBegin {
                region: r1,
                incarnation,
            },
            Cause::Host,
        );
        self.commit(
            Event::LoadEnd {
                region: r1,
                incarnation,
            },
            Cause::Host,
        );
        self.commit(
            Event::CreateByMessage {
                region: RegionId(7),
                peer: PeerId(70),
                from_store: StoreId(5),
                message_epoch: RegionEpoch {
                    conf_ver: 3,
                    version: 9,
                },
            },
            Cause::Message {
                from_store: StoreId(5),
            },
        );
        self.commit(
            Event::Destroy {
                region: r102,
                incarnation: None,
                peer: PeerId(211),
                cause: DestroyCause::Operator,
            },
            Cause::Operator,
        );
    }

    /// The keys of [`Store::secret_history`].
    pub(crate) const SECRET_KEYS: [&'static str; 3] = [
        "customer-gwendolen",
        "customer-mordecai",
        "customer-zebulon",
    ];

    /// The secret keys as they may be spelled in a text in small letters.
    pub(crate) fn secret_spellings() -> Vec<String> {
        let hex = |key: &str| torrens::inspector::hex(key.as_bytes());
        let keys = Self::SECRET_KEYS.iter();
        keys.flat_map(|key| [(*key).to_owned(), hex(key)]).collect()
    }

    /// A region that is split at keys that nobody else may see.
    pub(crate) fn secret_history(&mut self) {
        self.commit(Event::Identify { store: StoreId(4) }, Cause::Host);
        let region = Region {
            id: RegionId(1),
            range: KeyRange::all(),
            epoch: RegionEpoch::BOOTSTRAP,
            peers: vec![voter(10, 4)],
        };
        let store = StoreId(4);
        self.commit(Event::Bootstrap { store, region }, Cause::Operator);
        for (id, key) in (2..).zip(Self::SECRET_KEYS.iter().rev()) {
            self.commit(
                Event::Split(Split {
                    region: RegionId(1),
                    incarnation: None,
                    epoch: RegionEpoch {
                        conf_ver: 1,
                        // Each split is of the next version.
                        version: id - 1,
                    },
                    position: RaftPosition {
                        index: 6 + id,
                        term: 6,
                    },
                    boundaries: vec![Key::from(key.as_bytes())],
                    children: vec![NewRegion {
                        id: RegionId(id),
                        peers: vec![voter(10 * id, 4)],
                    }],
                    derive: Derive::Left,
                }),
                Cause::Raft {
                    term: 6,
                    index: 6 + id,
                },
            );
        }
        self.checkpoint();
    }

    /// A peer that a message makes.
    pub(crate) fn message_peer(&mut self, region: u64) {
        let from_store = StoreId(5);
        let event = Event::CreateByMessage {
            region: RegionId(region),
            peer: PeerId(region * 10),
            from_store,
            message_epoch: RegionEpoch {
                conf_ver: 3,
                version: 9,
            },
        };
        self.commit(event, Cause::Message { from_store });
    }

    /// One more record behind [`Store::history`].
    pub(crate) fn late_split(&mut self) {
        self.commit(
            Event::Split(Split {
                region: RegionId(1),
                incarnation: None,
                epoch: RegionEpoch {
                    conf_ver: 1,
                    version: 2,
                },
                position: RaftPosition { index: 9, term: 6 },
                boundaries: vec![Key::from(b"f".as_slice())],
                children: vec![NewRegion {
                    id: RegionId(103),
                    peers: vec![voter(311, 4), voter(312, 5), voter(313, 6)],
                }],
                derive: Derive::Left,
            }),
            Cause::Raft { term: 6, index: 9 },
        );
    }

    pub(crate) fn epoch(&self, region: RegionId) -> RegionEpoch {
        self.register.peer(region).unwrap().stage.epoch()
    }

    pub(crate) fn incarnation(&self, region: u64) -> Incarnation {
        self.register.incarnation(RegionId(region)).unwrap()
    }
}

/// A store that nobody has open.
pub(crate) struct Closed {
    pub(crate) dir: TempDir,
}

impl Closed {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Segment `number`'s file.
    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.path()
            .join("journal")
            .join(format!("{number:020}.seg"))
    }

    /// Overwrites bytes of segment 1.
    pub(crate) fn overwrite(&self, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.segment(1))
            .unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }
}

/// The tool, ready to run.
pub(crate) fn torrens(dir: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torrens"));
    command
        .arg(verb)
        .arg(dir)
        .env("COLUMNS", "160")
        .env_remove("TORRENS_DIR");
    command.stdin(Stdio::null());
    command
}

/// What the tool answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the tool; a panic or a signal is never an answer.
pub(crate) fn run(dir: &Path, verb: &str, args: &[&str]) -> Answer {
    answer(torrens(dir, verb).args(args).output().unwrap())
}

pub(crate) fn answer(output: Output) -> Answer {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!err.contains("panicked"), "{err}");
    let code = output
        .status
        .code()
        .unwrap_or_else(|| panic!("ended by {}: {err}", output.status));
    assert_ne!(code, 101, "{err}");
    Answer {
        code,
        out: String::from_utf8(output.stdout).unwrap(),
        err,
    }
}

/// Every file below `dir` with its contents, and every directory.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.push((entry.path(), None));
                waiting.push(entry.path());
            } else {
                found.push((entry.path(), Some(fs::read(entry.path()).unwrap())));
            }
        }
    }
    found.sort();
    found
}
