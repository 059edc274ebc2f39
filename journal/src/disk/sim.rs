//! `SimDisk`: a disk in memory that can lose power, fail and run full, the same way for each seed.
//!
//! It keeps what processes read beside what the device holds. Whatever is not synced (512-byte
//! sectors, file lengths, directory entries) may be kept or lost by a power cut, piece by piece:
//!
//! ```text
//! sim/image.rs    bytes shared between images        sim/inode.rs   a file, live and durable
//! sim/names.rs    directories, live and durable      sim/cut.rs     which pieces a power cut keeps
//! sim/images.rs   every device that a cut can leave
//! sim/fault.rs    planted faults, the log            sim/handle.rs  open files, maps, locks
//! sim/state.rs    all of it together                 sim/write_back.rs  who hears of a failed one
//! ```
//!
//! Simplified: a sector is written whole or not at all, unless [`CutChoice::Torn`] is asked for;
//! creating a lock file is durable at once (its contents mean nothing after a crash); there are no
//! links and no permissions. A file's entry is
//! durable only after [`Disk::sync_dir`], as the trait says, though most file systems promise more.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::refuse::DiskRefusal;
use super::{
    Disk, DiskFile, DiskLock, Entry, EntryKind, LockError, OpenMode, SyncMethod, SyncPath, op,
};

mod cut;
mod fault;
mod handle;
mod image;
mod images;
mod inode;
mod names;
mod random;
mod state;
#[cfg(test)]
mod tests;
mod write_back;

pub use cut::{CutChoice, Unsynced};
pub use fault::{SimError, SimFault, SimOp, SimWatch};

use fault::{Control, whole_or_nothing};
use handle::{SimFile, SimLock};
use inode::Source;
use names::{Names, Target};
use random::Random;
use state::{Gate, PlannedFailure, State};

/// No simulated file is longer: a write at a wild offset is an error and not an allocation.
const FILE_BYTES_MAX: u64 = 1 << 32;
/// The clock of a new disk: 2023-11-14 22:13:20 UTC, so that times look like times.
const CLOCK_START_MICROS: u64 = 1_700_000_000_000_000;
/// What the clock advances each time it is read.
const CLOCK_STEP_MICROS: u64 = 1_000;
/// The id that the first process on a disk has; each reboot or kill counts it up.
const FIRST_PID: u32 = 1_000;

/// A simulated disk. Cloning gives another hand on the same disk; [`SimDisk::power_cut`] and
/// [`SimDisk::process_kill`] give a new one and leave this one as it is.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
    with_threads: bool,
}

impl SimDisk {
    /// An empty disk with an empty root directory. The seed feeds [`Disk::random_u64`].
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::from_state(State {
            names: Names::new(),
            inodes: BTreeMap::new(),
            next_ino: 1,
            locks: BTreeMap::new(),
            capacity_bytes: None,
            control: Control::default(),
            random: Random::new(seed),
            clock_micros: CLOCK_START_MICROS,
            pid: FIRST_PID,
            cut: None,
            background: None,
            gate: Gate::default(),
            planned_failures: BTreeMap::new(),
        })
    }

    fn from_state(state: State) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(state)),
            released: Arc::default(),
            with_threads: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The same disk, on which journals have threads of their own: for what only they do. The order of
    /// operations is theirs then.
    #[must_use]
    pub fn with_threads(&self) -> SimDisk {
        SimDisk {
            with_threads: true,
            ..self.clone()
        }
    }

    /// The device after the power went now: a new disk on which everything is durable, with no
    /// locks, no faults and no operations counted. Works on a dead disk too.
    pub fn power_cut(&self, choice: CutChoice) -> SimDisk {
        SimDisk::from_state(cut::power_cut(&self.state(), &choice))
    }

    /// The disk after every process on it was killed: files as they were read, everything unsynced
    /// as unsynced as before, no locks, no faults, no operations counted. Works on a dead disk too.
    pub fn process_kill(&self) -> SimDisk {
        let state = self.state();
        let mut after = state.rebooted(state.names.clone(), None);
        let reachable = state.names.reachable();
        let kept = state
            .inodes
            .iter()
            .filter(|(ino, _)| reachable.contains(ino));
        after.inodes = kept
            .map(|(ino, inode)| (*ino, inode.without_handles()))
            .collect();
        SimDisk::from_state(after)
    }

    /// Holds the next [`op::SYNC`] or [`op::WRITE_DURABLE`] (by `name`) in front of the device, before
    /// it is counted, until [`SimDisk::release`]; what comes after it overtakes it. The bytes of a
    /// held durable write are on their way: a power cut chooses among them. Call it twice to hold two.
    /// Dropping what it gives releases too, so that a test that fails does not wait for ever.
    #[must_use = "dropping it releases what is held"]
    pub fn hold_next(&self, name: &'static str) -> SimHold {
        self.state().gate.next.push(name);
        SimHold { disk: self.clone() }
    }

    /// How many operations are held.
    pub fn held(&self) -> usize {
        self.state().gate.held
    }

    /// Lets go what is held, and holds nothing more.
    pub fn release(&self) {
        let mut state = self.state();
        state.gate.next.clear();
        state.gate.releases += 1;
        self.released.notify_all();
    }

    /// Waits while the operation is held.
    fn pass(&self, state: &mut MutexGuard<'_, State>) {
        let round = state.gate.releases;
        state.gate.held += 1;
        while state.gate.releases == round {
            self.released.wait(state);
        }
        state.gate.held -= 1;
    }

    /// What a power cut now can leave: every possible device if there are at most `max`
    /// ([`SimDisk::cuts`]). Otherwise every device that differs in whole pages, if half of `max` is
    /// enough for those, and samples by `seed`; without the pages the first two samples are
    /// [`CutChoice::LoseAll`] and [`CutChoice::KeepAll`]. [`SimDisk::cut_choice`] of each names it.
    ///
    /// The disk is looked at once, now; what happens to it later changes nothing.
    pub fn cut_images(&self, max: usize, seed: u64) -> impl Iterator<Item = SimDisk> + use<> {
        images::CutImages::new(self.state().clone(), max, seed)
    }

    /// How many ways there are to pick a version of each unsynced piece; `u64::MAX` if more. Some
    /// picks can be impossible (a rename without the creation before it).
    pub fn cuts(&self) -> u64 {
        cut::count(&self.state())
    }

    /// Lets the kernel write back some of what is not synced: durable is then what a power cut with
    /// this choice would keep, and the process goes on. No operation.
    pub fn write_back(&self, choice: &CutChoice) {
        cut::write_back(&mut self.state(), choice);
    }

    /// From now on, lets the kernel write pages, lengths and entries back at random moments, by the
    /// seed; `None` ends it. A rebooted disk has it no more.
    pub fn write_back_in_background(&self, seed: impl Into<Option<u64>>) {
        self.state().background = seed.into().map(Random::new);
    }

    /// Lets the kernel write back a file that nobody asked it to sync, and fail: none of the
    /// unsynced sectors reaches the device, or some by the seed; readers still see them, nobody will
    /// write them again, and every file that is open on it is told at its next sync. No operation.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn fail_write_back(
        &self,
        path: &Path,
        some_reaches: Option<u64>,
        kind: io::ErrorKind,
    ) -> io::Result<()> {
        self.state().fail_write_back(&PlannedFailure {
            path: path.to_path_buf(),
            some_reaches,
            kind,
        })
    }

    /// As [`SimDisk::fail_write_back`], right before an operation, counted from 1. If the file is not
    /// there at that moment, nothing happens.
    pub fn fail_write_back_at(
        &self,
        op_number: u64,
        path: &Path,
        some_reaches: Option<u64>,
        kind: io::ErrorKind,
    ) {
        let failure = PlannedFailure {
            path: path.to_path_buf(),
            some_reaches,
            kind,
        };
        self.state().planned_failures.insert(op_number, failure);
    }

    /// Lets the kernel run short of memory: clean pages of files that nobody maps are read from the
    /// device again. Seen only where a write-back failed. No operation.
    pub fn evict_clean_pages(&self) {
        let mut state = self.state();
        state
            .inodes
            .values_mut()
            .for_each(|inode| inode.drop_cache());
    }

    /// The choice that made this disk, if a power cut did.
    pub fn cut_choice(&self) -> Option<CutChoice> {
        self.state().cut.clone()
    }

    /// The pieces among which a power cut now would choose, in the order of the picks.
    pub fn unsynced(&self) -> Vec<Unsynced> {
        cut::describe(&self.state())
    }

    /// How many sectors are not durable as they are read.
    pub fn unsynced_sectors(&self) -> usize {
        cut::sectors(&self.state())
    }

    /// Plants a fault at an operation, counted from 1 on this disk; a later fault for the same
    /// number replaces an earlier one.
    pub fn fail_at(&self, op_number: u64, fault: SimFault) {
        self.state().control.plan(op_number, fault);
    }

    /// Lets `watch` decide about each operation from now on, until [`SimDisk::clear_faults`]: for
    /// faults at an operation that is known by its name and file and not by its number.
    pub fn watch(&self, watch: SimWatch) {
        self.state().control.watch(watch);
    }

    /// Makes every read fail that touches these bytes of the file, until [`SimDisk::clear_faults`].
    /// The path is the one under which the reader opened it.
    pub fn fail_reads(&self, path: &Path, range_bytes: Range<u64>, kind: io::ErrorKind) {
        self.state()
            .control
            .plan_unreadable(path.to_path_buf(), range_bytes, kind);
    }

    /// Removes all planted faults. A dead process stays dead.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.control.clear();
        state.planned_failures.clear();
    }

    /// How many operations that change something were begun.
    pub fn ops(&self) -> u64 {
        self.state().control.ops()
    }

    /// The last few thousand operations, oldest first.
    pub fn op_log(&self) -> Vec<SimOp> {
        self.state().control.log().cloned().collect()
    }

    /// Whether a planted fault has killed the process.
    pub fn is_dead(&self) -> bool {
        self.state().control.is_dead()
    }

    /// Counts something that the process does elsewhere (a call of another store) as an operation of
    /// this disk, so that one numbering covers both: it is logged, and fails if a fault is planted
    /// there or the process is dead.
    ///
    /// # Errors
    /// The injected failure.
    pub fn step(&self, name: &'static str) -> io::Result<()> {
        whole_or_nothing(self.state().begin(name, Path::new(""), 0, 0)?)
    }

    /// Limits the space for files; `None` takes the limit away. A file takes its length rounded up to 4096
    /// bytes until its name is removed.
    pub fn set_capacity(&self, capacity_bytes: impl Into<Option<u64>>) {
        self.state().capacity_bytes = capacity_bytes.into();
    }

    /// Time passes: the clock goes on by so much, beside what it advances at each reading.
    pub fn advance_clock(&self, passed: Duration) {
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let mut state = self.state();
        state.clock_micros = state.clock_micros.saturating_add(micros);
    }

    /// Somebody sets the clock back by so much.
    pub fn set_clock_back(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let mut state = self.state();
        state.clock_micros = state.clock_micros.saturating_sub(micros);
    }

    /// The space that files take.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Every file, sorted by path.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.state().names.files().map(|(path, _)| path).collect();
        files.sort();
        files
    }

    /// A file's contents as a process would read them; works on a dead disk and past read faults.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let inode = state.inodes.get(&state.file_at(path).ok()?)?;
        let mut bytes = vec![0; usize::try_from(inode.live().len()).ok()?];
        inode.live().read(0, &mut bytes);
        Some(bytes)
    }

    /// Overwrites bytes on the device and in the cache as decay of the medium would: durable, no
    /// operation, never longer than the file. Where a sector is also unsynced, its newest version
    /// is what decays.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn corrupt(&self, path: &Path, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let ino = state.file_at(path)?;
        let inode = state.inodes.get_mut(&ino).ok_or(io::ErrorKind::NotFound)?;
        inode.corrupt(offset_bytes, bytes);
        Ok(())
    }
}

/// Operations are held back while this lives, see [`SimDisk::hold_next`].
#[derive(Debug)]
pub struct SimHold {
    disk: SimDisk,
}

impl Drop for SimHold {
    fn drop(&mut self) {
        self.disk.release();
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.control.alive()?;
        state.create_dir_all(&names::normal(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        state.control.alive()?;
        let entries = state.names.list(dir)?.map(|(name, target)| {
            let (kind, bytes) = match target {
                Target::Directory => (EntryKind::Directory, 0),
                Target::File(ino) => {
                    let inode = state.inodes.get(&ino);
                    (EntryKind::File, inode.map_or(0, |inode| inode.live().len()))
                }
            };
            Entry {
                name: name.to_owned(),
                kind,
                bytes,
            }
        });
        Ok(entries.collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.control.alive()?;
        let ino = if mode == OpenMode::CreateNew {
            whole_or_nothing(state.begin(op::CREATE, path, 0, 0)?)?;
            let location = state.names.locate(path)?;
            if state.names.get(&location).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if state.is_full() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let ino = state.new_file();
            state.names.set(&location, Target::File(ino));
            ino
        } else {
            match state.file_at(path) {
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                    return Err(DiskRefusal::NotRegular {
                        path: path.to_path_buf(),
                    }
                    .into());
                }
                other => other?,
            }
        };
        let file = SimFile::new(self, &mut state, ino, path.to_path_buf(), mode);
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        whole_or_nothing(state.begin(op::RENAME, from, 0, 0)?)?;
        let (source, target) = (state.names.locate(from)?, state.names.locate(to)?);
        let ino = state.file_at(from)?;
        let replaced = match state.names.get(&target) {
            Some(Target::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Target::File(replaced)) if replaced == ino => return Ok(()),
            Some(Target::File(replaced)) => Some(replaced),
            None => None,
        };
        state.names.rename(&source, &target, ino);
        if let Some(replaced) = replaced {
            state.collect(replaced);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        whole_or_nothing(state.begin(op::REMOVE, path, 0, 0)?)?;
        let location = state.names.locate(path)?;
        let ino = state.file_at(path)?;
        state.names.remove(&location);
        state.collect(ino);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.sync_dir(&names::normal(dir)?)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut state = self.state();
        let course = state.begin(op::LOCK, path, 0, 0).map_err(LockError::Io)?;
        whole_or_nothing(course).map_err(LockError::Io)?;
        let location = state.names.locate(path).map_err(LockError::Io)?;
        let ino = match state.names.get(&location) {
            Some(Target::File(ino)) => ino,
            Some(Target::Directory) => {
                let path = path.to_path_buf();
                return Err(LockError::Io(DiskRefusal::NotRegular { path }.into()));
            }
            None => {
                let ino = state.new_file();
                state.names.set_durable(&location, Target::File(ino));
                ino
            }
        };
        if let Some(holder_pid) = state.locks.get(&ino).copied() {
            return Err(LockError::Busy {
                holder_pid: Some(holder_pid),
            });
        }
        let pid = state.pid;
        state.locks.insert(ino, pid);
        if let Some(inode) = state.inodes.get_mut(&ino) {
            let line = format!("{pid}\n");
            inode.set_len(0);
            inode.write(0, Source::Bytes(line.as_bytes()));
            inode.sync();
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            ino,
        }))
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<u32>> {
        let state = self.state();
        state.control.alive()?;
        match state.file_at(path) {
            Ok(ino) => Ok(state.locks.get(&ino).copied()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn random_u64(&self) -> u64 {
        self.state().random.next()
    }

    fn wall_clock_micros(&self) -> u64 {
        let mut state = self.state();
        state.clock_micros = state.clock_micros.saturating_add(CLOCK_STEP_MICROS);
        state.clock_micros
    }

    fn sync_path(&self) -> SyncPath {
        SyncPath {
            method: SyncMethod::Simulated,
            zeros_by_io_uring: false,
            fallback_reason: None,
        }
    }

    fn allows_threads(&self) -> bool {
        self.with_threads
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk")
            .field("ops", &state.control.ops())
            .field("dead", &state.control.is_dead())
            .field("unsynced_sectors", &cut::sectors(&state))
            .field("cut", &state.cut)
            .finish_non_exhaustive()
    }
}
