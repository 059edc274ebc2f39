//! Everything that a simulated disk is: names, files, locks, space, and the steps that touch several
//! of them. The caller holds the disk's mutex.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::super::op;
use super::cut::{self, CutChoice};
use super::fault::{Control, Course, SimError, whole_or_nothing};
use super::inode::Inode;
use super::names::{Ino, Names, Target};
use super::random::Random;

/// Files take space in these units.
const BLOCK_BYTES: u64 = 4096;

/// Everything of a disk.
#[derive(Clone)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) inodes: BTreeMap<Ino, Inode>,
    pub(super) next_ino: Ino,
    /// Held locks and the id of the process that has each.
    pub(super) locks: BTreeMap<Ino, u32>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) control: Control,
    pub(super) random: Random,
    pub(super) clock_micros: u64,
    pub(super) pid: u32,
    pub(super) cut: Option<CutChoice>,
    /// Decides what the kernel writes back before it is asked to, if it does.
    pub(super) background: Option<Random>,
    pub(super) gate: Gate,
    /// Write-backs that fail right before an operation of this number.
    pub(super) planned_failures: BTreeMap<u64, PlannedFailure>,
}

/// A write-back that nobody asks for and that fails.
#[derive(Clone, Debug)]
pub(super) struct PlannedFailure {
    pub(super) path: PathBuf,
    pub(super) some_reaches: Option<u64>,
    pub(super) kind: io::ErrorKind,
}

/// Operations that are held back, so that others overtake them.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    /// The next operations of these names are held.
    pub(super) next: Vec<&'static str>,
    /// How many are held now.
    pub(super) held: usize,
    /// How often all of them were let go.
    pub(super) releases: u64,
}

impl Gate {
    /// Whether this operation is to be held.
    pub(super) fn takes(&mut self, name: &'static str) -> bool {
        let found = self.next.iter().position(|next| *next == name);
        found.map(|at| self.next.remove(at)).is_some()
    }
}

/// In one of so many operations, something is written back in the background.
const BACKGROUND_EVERY_OPS: usize = 3;

impl State {
    /// A disk for the next process: the given names, no files yet, nothing planted.
    pub(super) fn rebooted(&self, names: Names, cut: Option<CutChoice>) -> State {
        State {
            names,
            inodes: BTreeMap::new(),
            next_ino: self.next_ino,
            locks: BTreeMap::new(),
            capacity_bytes: self.capacity_bytes,
            control: Control::default(),
            random: self.random.clone(),
            clock_micros: self.clock_micros,
            pid: self.pid.saturating_add(1),
            cut,
            background: None,
            gate: Gate::default(),
            planned_failures: BTreeMap::new(),
        }
    }

    pub(super) fn fail_write_back(&mut self, failure: &PlannedFailure) -> io::Result<()> {
        let ino = self.file_at(&failure.path)?;
        let inode = self.inodes.get_mut(&ino).ok_or(io::ErrorKind::NotFound)?;
        cut::fail_write_back(inode, failure.some_reaches);
        let path = failure.path.clone();
        inode
            .failures
            .add(failure.kind, SimError::WriteBack { path });
        Ok(())
    }

    /// Counts an operation and says how it goes; what the kernel writes back by itself, it writes
    /// back before.
    pub(super) fn begin(
        &mut self,
        name: &'static str,
        path: &Path,
        offset_bytes: u64,
        bytes: u64,
    ) -> io::Result<Course> {
        if !self.control.is_dead()
            && let Some(random) = &mut self.background
            && random.below(BACKGROUND_EVERY_OPS) == 0
        {
            let choice = CutChoice::Pages(random.next());
            cut::write_back(self, &choice);
        }
        if let Some(failure) = self.planned_failures.remove(&(self.control.ops() + 1)) {
            // A file that is not there has nothing to be written.
            let _ = self.fail_write_back(&failure);
        }
        self.control.begin(name, path, offset_bytes, bytes)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let live = self
            .names
            .files()
            .filter_map(|(_, ino)| self.inodes.get(&ino));
        live.map(|inode| inode.live().len().next_multiple_of(BLOCK_BYTES))
            .sum()
    }

    /// Whether no block is left.
    pub(super) fn is_full(&self) -> bool {
        let free = self
            .capacity_bytes
            .map(|capacity| capacity.saturating_sub(self.used_bytes()));
        free.is_some_and(|free_bytes| free_bytes < BLOCK_BYTES)
    }

    /// The length to which the file can grow.
    pub(super) fn room_for(&self, ino: Ino) -> u64 {
        let Some(capacity_bytes) = self.capacity_bytes else {
            return u64::MAX;
        };
        let own = self.inodes.get(&ino).map_or(0, |inode| inode.live().len());
        let others = self
            .used_bytes()
            .saturating_sub(own.next_multiple_of(BLOCK_BYTES));
        let free = capacity_bytes.saturating_sub(others);
        free - free % BLOCK_BYTES
    }

    pub(super) fn file_at(&self, path: &Path) -> io::Result<Ino> {
        match self.names.get(&self.names.locate(path)?) {
            Some(Target::File(ino)) => Ok(ino),
            Some(Target::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn new_file(&mut self) -> Ino {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.inodes.insert(ino, Inode::default());
        ino
    }

    /// Forgets a file that nothing leads to any more.
    pub(super) fn collect(&mut self, ino: Ino) {
        let in_use = self.inodes.get(&ino).is_none_or(|inode| inode.handles > 0);
        if !in_use && !self.locks.contains_key(&ino) && !self.names.reachable().contains(&ino) {
            self.inodes.remove(&ino);
        }
    }

    /// As [`State::collect`], for all files.
    pub(super) fn collect_all(&mut self) {
        let reachable = self.names.reachable();
        let locks = &self.locks;
        self.inodes.retain(|ino, inode| {
            inode.handles > 0 || locks.contains_key(ino) || reachable.contains(ino)
        });
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let course = self.begin(op::SYNC_DIR, &Path::new("/").join(dir), 0, 0)?;
        if !self.names.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        match course {
            Course::Whole => {
                self.names.sync(dir);
                self.collect_all();
                Ok(())
            }
            Course::Half(error) => {
                self.names.sync_half(dir);
                Err(error)
            }
            Course::Lies { error, .. } => Err(io::Error::other(error)),
        }
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        // The root has no parent and is always there.
        let Some(parent) = dir.parent() else {
            return Ok(());
        };
        if !self.names.is_dir(dir) {
            self.create_dir_all(parent)?;
            let location = self.names.locate(dir)?;
            if self.names.get(&location).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let shown = Path::new("/").join(dir);
            whole_or_nothing(self.begin(op::CREATE_DIR, &shown, 0, 0)?)?;
            self.names.make_dir(&location);
        }
        self.sync_dir(parent)
    }
}
