//! What goes wrong on a simulated disk, and when: numbered operations and the faults planted at them.
//!
//! Every operation that changes something passes [`Control::begin`], which counts it, notes it and
//! says how it goes. Not here: what an operation does.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::op;

/// How many operations the log remembers.
const LOG_OPS_MAX: usize = 4096;

/// What happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimFault {
    /// It fails without any effect; the next one works.
    Error(io::ErrorKind),
    /// It does half of its work and fails: half of the bytes are written or stored, half of the
    /// unsynced sectors or of a directory's changes are durable. What cannot be halved fails
    /// without effect.
    ShortThenError,
    /// A sync fails as Linux file systems do: the unsynced sectors are lost to the device, readers
    /// still see them, and the next sync through the same open file succeeds without writing them.
    /// Another file that is open on the same contents has the failure still to come. A durable write
    /// fails with nothing on the device and nothing to be read. Any other operation fails without
    /// effect.
    SyncLies,
    /// As [`SimFault::SyncLies`], but each page or sector reaches the device or not, by the seed; of a
    /// durable write, what reached it is also what is read.
    SyncLosesSome(u64),
    /// The process dies before it: this and every later call fails, reads too.
    Dies,
    /// The process dies in the middle of it: half as in [`SimFault::ShortThenError`], then as in
    /// [`SimFault::Dies`]. A durable write is on its way with all of its bytes: a power cut chooses
    /// among them.
    DiesMidway,
}

/// One operation that changed something, or was to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOp {
    /// Its number on this disk, from 1.
    pub number: u64,
    /// Its name, see [`op`].
    pub name: &'static str,
    /// What it was done to.
    pub path: PathBuf,
    /// Where in the file it began; 0 where that means nothing.
    pub offset_bytes: u64,
    /// How many bytes it concerned; for `set_len` the length.
    pub bytes: u64,
    /// What went wrong with it.
    pub fault: Option<SimFault>,
}

impl fmt::Display for SimOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.name)?;
        if !self.path.as_os_str().is_empty() {
            write!(f, " {}", self.path.display())?;
        }
        if self.bytes > 0 || self.offset_bytes > 0 {
            write!(f, " {}+{}", self.offset_bytes, self.bytes)?;
        }
        match self.fault {
            Some(fault) => write!(f, " ({fault:?})"),
            None => Ok(()),
        }
    }
}

/// The payload of every injected error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A planted fault.
    #[error("injected failure of operation {number}, {name}")]
    Injected {
        /// The operation's number.
        number: u64,
        /// Its name.
        name: &'static str,
    },
    /// A planted read fault.
    #[error("injected failure to read {} bytes at offset {offset_bytes} of {}", .bytes, .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where the read began.
        offset_bytes: u64,
        /// Its length.
        bytes: u64,
    },
    /// A planted failure of a write-back that no sync asked for.
    #[error("injected failure of a write-back of {}", .path.display())]
    WriteBack {
        /// The file.
        path: PathBuf,
    },
    /// The process has died.
    #[error("the simulated process is dead since operation {number}")]
    Dead {
        /// The operation at which it died.
        number: u64,
    },
}

/// Asked about each operation before it happens; what it answers is the fault of that operation,
/// unless one was planted by number. It must not call the disk.
pub type SimWatch = Arc<dyn Fn(&SimOp) -> Option<SimFault> + Send + Sync>;

/// How an operation goes.
#[derive(Debug)]
pub(super) enum Course {
    /// All of it.
    Whole,
    /// Half of it, then this error.
    Half(io::Error),
    /// A sync: everything held for clean, of which only some, by the seed if there is one, reaches
    /// the device; then this error.
    Lies {
        error: SimError,
        some_reaches: Option<u64>,
    },
}

/// A watch that prints.
#[derive(Clone)]
struct Watch(SimWatch);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Counter, plan and log of one disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    ops: u64,
    plan: BTreeMap<u64, SimFault>,
    watch: Option<Watch>,
    died_at: Option<u64>,
    log: VecDeque<SimOp>,
    unreadable: Vec<(PathBuf, Range<u64>, io::ErrorKind)>,
}

impl Control {
    pub(super) fn ops(&self) -> u64 {
        self.ops
    }

    pub(super) fn log(&self) -> impl Iterator<Item = &SimOp> {
        self.log.iter()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.died_at.is_some()
    }

    pub(super) fn plan(&mut self, number: u64, fault: SimFault) {
        self.plan.insert(number, fault);
    }

    pub(super) fn plan_unreadable(
        &mut self,
        path: PathBuf,
        range: Range<u64>,
        kind: io::ErrorKind,
    ) {
        self.unreadable.push((path, range, kind));
    }

    pub(super) fn watch(&mut self, watch: SimWatch) {
        self.watch = Some(Watch(watch));
    }

    pub(super) fn clear(&mut self) {
        self.plan.clear();
        self.watch = None;
        self.unreadable.clear();
    }

    /// Fails if the process is dead.
    pub(super) fn alive(&self) -> io::Result<()> {
        self.died_at.map_or(Ok(()), |number| {
            Err(io::Error::other(SimError::Dead { number }))
        })
    }

    /// Fails if the process is dead or a byte of the range cannot be read.
    pub(super) fn readable(&self, path: &Path, offset_bytes: u64, bytes: u64) -> io::Result<()> {
        self.alive()?;
        let end = offset_bytes.saturating_add(bytes);
        let hit = self
            .unreadable
            .iter()
            .find(|(bad, range, _)| bad == path && range.start < end && offset_bytes < range.end);
        hit.map_or(Ok(()), |(_, _, kind)| {
            let path = path.to_path_buf();
            Err(io::Error::new(
                *kind,
                SimError::Unreadable {
                    path,
                    offset_bytes,
                    bytes,
                },
            ))
        })
    }

    /// Counts an operation and says how it goes.
    pub(super) fn begin(
        &mut self,
        name: &'static str,
        path: &Path,
        offset_bytes: u64,
        bytes: u64,
    ) -> io::Result<Course> {
        self.alive()?;
        self.ops += 1;
        let number = self.ops;
        let mut op = SimOp {
            number,
            name,
            path: path.to_path_buf(),
            offset_bytes,
            bytes,
            fault: self.plan.remove(&number),
        };
        // Asked also when a fault is planted by number: a watch counts what it sees.
        let watched = self.watch.as_ref().and_then(|watch| (watch.0)(&op));
        op.fault = op.fault.or(watched);
        let fault = op.fault;
        if self.log.len() == LOG_OPS_MAX {
            self.log.pop_front();
        }
        self.log.push_back(op);
        let injected = |kind| io::Error::new(kind, SimError::Injected { number, name });
        match fault {
            None => Ok(Course::Whole),
            Some(SimFault::Error(kind)) => Err(injected(kind)),
            Some(SimFault::ShortThenError) => Ok(Course::Half(injected(io::ErrorKind::Other))),
            Some(SimFault::SyncLies | SimFault::SyncLosesSome(_))
                if name != op::SYNC && name != op::WRITE_DURABLE =>
            {
                Err(injected(io::ErrorKind::Other))
            }
            Some(SimFault::SyncLies) => Ok(Course::Lies {
                error: SimError::Injected { number, name },
                some_reaches: None,
            }),
            Some(SimFault::SyncLosesSome(seed)) => Ok(Course::Lies {
                error: SimError::Injected { number, name },
                some_reaches: Some(seed),
            }),
            Some(SimFault::Dies) => {
                self.died_at = Some(number);
                Err(io::Error::other(SimError::Dead { number }))
            }
            Some(SimFault::DiesMidway) => {
                self.died_at = Some(number);
                Ok(Course::Half(io::Error::other(SimError::Dead { number })))
            }
        }
    }
}

/// For what cannot be half done: `Half` and `Lies` are failures without effect.
pub(super) fn whole_or_nothing(course: Course) -> io::Result<()> {
    match course {
        Course::Whole => Ok(()),
        Course::Half(error) => Err(error),
        Course::Lies { error, .. } => Err(io::Error::other(error)),
    }
}
