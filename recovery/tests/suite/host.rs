//! A storage process in small: opens, appends, rotates, checkpoints, purges, closes, and knows what
//! it was told is durable. Any step may fail when its simulated disk does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use torrens_journal::testing::SimDisk;
use torrens_journal::{Boot, Journal, JournalOptions, Lsn, StoreUuid};
use torrens_recovery::checkpoint::{self, Meta};
use torrens_recovery::{
    Directories, InspectOptions, Inspection, Recovered, RecoveryError, RecoveryOptions,
    StateMachine, inspect, recover,
};

use crate::tally::{Record, Tally, VALUE};

pub(crate) const STORE: StoreUuid = StoreUuid(*b"a store of tests");
/// Eight pages: two of header, one in reserve.
pub(crate) const SEGMENT_BYTES: u64 = 32 * 1024;

pub(crate) fn directories() -> Directories {
    Directories {
        journal: PathBuf::from("/db/journal"),
        checkpoints: PathBuf::from("/db/ckpt"),
    }
}

pub(crate) fn options() -> JournalOptions {
    JournalOptions::new().segment_bytes(SEGMENT_BYTES)
}

pub(crate) fn segment(id: u64) -> PathBuf {
    directories().journal.join(format!("{id:020}.seg"))
}

pub(crate) fn try_recover(disk: &SimDisk) -> Result<Recovered<Tally>, RecoveryError> {
    // Every second time with other threads that read and verify, as a large journal has them.
    let threads = (disk.ops() % 2) as usize;
    recover_with(disk, RecoveryOptions::new(options()).with_threads(threads))
}

pub(crate) fn recover_with(
    disk: &SimDisk,
    options: RecoveryOptions,
) -> Result<Recovered<Tally>, RecoveryError> {
    recover(
        Arc::new(disk.clone()),
        &directories(),
        Tally::default(),
        options,
    )
}

pub(crate) fn look(disk: &SimDisk) -> Inspection<Tally> {
    inspect(
        disk,
        &directories(),
        Tally::default(),
        InspectOptions::new(false),
    )
    .expect("there is a journal")
}

/// Every file with its contents.
pub(crate) fn contents(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files()
        .into_iter()
        .map(|path| (path.clone(), disk.contents(&path).expect("it was listed")))
        .collect()
}

/// A copy of the disk as processes see it, everything durable.
pub(crate) fn copy(disk: &SimDisk) -> SimDisk {
    disk.power_cut(torrens_journal::testing::CutChoice::KeepAll)
}

pub(crate) struct Host {
    pub(crate) disk: SimDisk,
    pub(crate) journal: Journal,
    pub(crate) machine: Tally,
    /// The highest LSN that was acknowledged.
    pub(crate) acked: u64,
    /// Every value that was appended, by position, acknowledged or not.
    pub(crate) appended: Vec<Vec<u8>>,
}

/// What the outside remembers of a host that died.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) acked: u64,
    pub(crate) appended: Vec<Vec<u8>>,
}

pub(crate) type Step = Result<(), Box<dyn std::error::Error>>;

impl Host {
    pub(crate) fn create(disk: &SimDisk) -> Result<Host, Box<dyn std::error::Error>> {
        Host::create_with(disk, options())
    }

    /// A new store of another name.
    #[allow(dead_code, reason = "for the corruption matrix")]
    pub(crate) fn create_as(disk: &SimDisk, store: StoreUuid) -> Host {
        Host::create_named(disk, store, options()).expect("nothing fails")
    }

    pub(crate) fn create_with(
        disk: &SimDisk,
        options: JournalOptions,
    ) -> Result<Host, Box<dyn std::error::Error>> {
        Host::create_named(disk, STORE, options)
    }

    fn create_named(
        disk: &SimDisk,
        store: StoreUuid,
        options: JournalOptions,
    ) -> Result<Host, Box<dyn std::error::Error>> {
        let dir = directories().journal;
        let journal = Journal::create(Arc::new(disk.clone()), &dir, store, options)?;
        let disk = disk.clone();
        Ok(Host {
            disk,
            journal,
            machine: Tally::default(),
            acked: 0,
            appended: Vec::new(),
        })
    }

    pub(crate) fn open(disk: &SimDisk) -> Result<Host, RecoveryError> {
        let Recovered {
            machine, journal, ..
        } = try_recover(disk)?;
        let acked = machine.position;
        let appended = machine.values.clone();
        Ok(Host {
            disk: disk.clone(),
            journal,
            machine,
            acked,
            appended,
        })
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            acked: self.acked,
            appended: self.appended.clone(),
        }
    }

    /// Appends a value of `bytes` bytes that names its boot and place.
    pub(crate) fn append(&mut self, bytes: usize) -> Step {
        let boot = self.journal.boot().get();
        let mut value = format!("boot {boot} value {} ", self.appended.len() + 1).into_bytes();
        value.resize(bytes.max(value.len()), b'.');
        // Remembered first: an append that fails midway may have stored it.
        self.appended.push(value.clone());
        let lsn = self.journal.append(VALUE, 0, &value)?;
        assert_eq!(
            lsn.get(),
            self.appended.len() as u64,
            "only values are appended here"
        );
        self.machine
            .apply(lsn, &Record::Value(value))
            .expect("values always follow");
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Step {
        self.acked = self.journal.sync()?.get();
        Ok(())
    }

    pub(crate) fn put(&mut self, bytes: usize) -> Step {
        self.append(bytes)?;
        self.sync()
    }

    /// A checkpoint of everything appended, then what it allows to remove.
    pub(crate) fn checkpoint(&mut self, keep: usize) -> Step {
        self.sync()?;
        let boot = Boot::new(self.journal.boot().get());
        let meta = Meta::new(STORE, Lsn::new(self.machine.position), boot);
        let dir = directories().checkpoints;
        checkpoint::write(&self.disk, &dir, &meta, &self.machine)?;
        let pruned = checkpoint::prune(&self.disk, &dir, Some(STORE), keep)?;
        self.journal.purge_below(pruned.purge_below)?;
        Ok(())
    }

    /// Leaves without closing, as a killed process does.
    pub(crate) fn vanish(self) -> Memory {
        let memory = self.memory();
        std::mem::forget(self.journal);
        memory
    }
}

/// A host's first life: rotation, checkpoints, purge, marks, records with and without a wait.
pub(crate) fn first_life(host: &mut Host) -> Step {
    for _ in 0..3 {
        host.put(100)?;
    }
    for _ in 0..4 {
        host.append(300)?;
    }
    host.sync()?;
    host.checkpoint(2)?;
    for _ in 0..6 {
        host.put(3000)?;
    }
    host.journal.write_mark()?;
    host.checkpoint(2)?;
    for _ in 0..5 {
        host.append(5000)?;
    }
    host.put(10)?;
    host.checkpoint(2)?;
    host.append(2000)?;
    host.put(2000)?;
    host.append(50)?;
    Ok(())
}

/// A later life of the same store.
pub(crate) fn later_life(host: &mut Host) -> Step {
    host.put(20)?;
    for _ in 0..3 {
        host.append(6000)?;
    }
    host.sync()?;
    host.checkpoint(2)?;
    host.append(700)?;
    host.put(700)?;
    host.journal.write_mark_synced()?;
    host.append(10)?;
    Ok(())
}

/// Checks that `recovered` is a prefix of what was appended and holds all that was acknowledged.
pub(crate) fn check(recovered: &Tally, memory: &Memory, context: &str) {
    let Memory { acked, appended } = memory;
    assert!(
        recovered.values.len() as u64 >= *acked,
        "{context}: {} values are there, {acked} were acknowledged",
        recovered.values.len()
    );
    assert!(
        appended.starts_with(&recovered.values),
        "{context}: a value is there that was not appended at its place"
    );
}
