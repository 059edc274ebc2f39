//! Crash points: the places in a store's work that have a name, so that a scenario can say "and here
//! the power went".
//!
//! A point is an operation on a kind of file: `journal.synced` is the moment after a segment was
//! synced. The one watch on all simulated disks of a world counts operations, waits for the armed
//! point and lets the process die there. Not here: what a crash leaves (`machine`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use torrens_journal::disk::op;
use torrens_journal::testing::{SimFault, SimOp, SimWatch};

use super::machine::Crash;

/// A named moment of a store's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    /// `journal.synced`.
    pub name: &'static str,
    /// What has just been done there.
    pub help: &'static str,
    area: Area,
    ops: &'static [&'static str],
}

/// Which kind of file an operation was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Journal,
    Mark,
    Checkpoint,
    Snapshot,
    Data,
    /// Any operation of any of them.
    Any,
}

/// When, relative to the operation of a point, the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    Midway,
    After,
}

const fn point(
    name: &'static str,
    area: Area,
    ops: &'static [&'static str],
    help: &'static str,
) -> CrashPoint {
    CrashPoint {
        name,
        help,
        area,
        ops,
    }
}

/// The point that every operation is at.
const ANY: &str = "operation";

/// Every named point.
pub const POINTS: &[CrashPoint] = &[
    point(
        "journal.created",
        Area::Journal,
        &[op::CREATE],
        "a new segment has a name, not yet durable",
    ),
    point(
        "journal.zeroed",
        Area::Journal,
        &[op::WRITE_ZEROS],
        "a new segment has its blocks",
    ),
    point(
        "journal.written",
        Area::Journal,
        &[op::WRITE],
        "a segment's header is written",
    ),
    point(
        "journal.appended",
        Area::Journal,
        &[op::STORE],
        "a group of records is stored, not yet synced",
    ),
    point(
        "journal.synced",
        Area::Journal,
        &[op::SYNC],
        "a segment is synced: what it holds is durable",
    ),
    point(
        "journal.renamed",
        Area::Journal,
        &[op::RENAME],
        "a segment has another name",
    ),
    point(
        "journal.removed",
        Area::Journal,
        &[op::REMOVE],
        "a segment that a checkpoint replaced is removed",
    ),
    point(
        "journal.listed",
        Area::Journal,
        &[op::SYNC_DIR],
        "the names of the segments are durable",
    ),
    point(
        "mark.written",
        Area::Mark,
        &[op::WRITE],
        "the mark is written, not yet synced",
    ),
    point(
        "mark.synced",
        Area::Mark,
        &[op::SYNC],
        "the mark is durable",
    ),
    point(
        "checkpoint.created",
        Area::Checkpoint,
        &[op::CREATE],
        "a checkpoint's file has a name",
    ),
    point(
        "checkpoint.written",
        Area::Checkpoint,
        &[op::WRITE],
        "a part of a checkpoint is written",
    ),
    point(
        "checkpoint.synced",
        Area::Checkpoint,
        &[op::SYNC],
        "a checkpoint's contents are durable",
    ),
    point(
        "checkpoint.renamed",
        Area::Checkpoint,
        &[op::RENAME],
        "a checkpoint has its final name",
    ),
    point(
        "checkpoint.listed",
        Area::Checkpoint,
        &[op::SYNC_DIR],
        "that name is durable",
    ),
    point(
        "checkpoint.removed",
        Area::Checkpoint,
        &[op::REMOVE],
        "an older checkpoint is removed",
    ),
    point(
        "snapshot.created",
        Area::Snapshot,
        &[op::CREATE],
        "a snapshot's file has a name",
    ),
    point(
        "snapshot.written",
        Area::Snapshot,
        &[op::WRITE],
        "a part of a snapshot is written",
    ),
    point(
        "snapshot.synced",
        Area::Snapshot,
        &[op::SYNC],
        "a snapshot's contents are durable",
    ),
    point(
        "snapshot.renamed",
        Area::Snapshot,
        &[op::RENAME],
        "a snapshot has its final name",
    ),
    point(
        "snapshot.listed",
        Area::Snapshot,
        &[op::SYNC_DIR],
        "that name is durable",
    ),
    point(
        "snapshot.removed",
        Area::Snapshot,
        &[op::REMOVE],
        "a snapshot's file is removed",
    ),
    point(
        "snapshot.cleared",
        Area::Data,
        &["store.clear"],
        "the keys of a range are removed: before a snapshot's rows come, or because nobody owns them",
    ),
    point(
        "data.applied",
        Area::Data,
        &["store.apply", "store.clear"],
        "the data store took a batch (of a write, of a clear, of an ingest)",
    ),
    point(
        "data.flushed",
        Area::Data,
        &["store.flush"],
        "the data store's batches are durable",
    ),
    point(
        ANY,
        Area::Any,
        &[],
        "any operation of the disk or the data store: `nth` counts them all",
    ),
];

impl CrashPoint {
    /// The point with this name.
    pub(super) fn named(name: &str) -> Option<&'static CrashPoint> {
        POINTS.iter().find(|point| point.name == name)
    }

    /// The point, but for the one that is everywhere, that an operation is at.
    fn of(op: &SimOp) -> Option<&'static CrashPoint> {
        POINTS
            .iter()
            .find(|point| point.area != Area::Any && point.is_at(op))
    }

    fn is_at(&self, op: &SimOp) -> bool {
        self.area == Area::Any || (self.ops.contains(&op.name) && area_of(op) == Some(self.area))
    }
}

/// By the folder, or for what the data store does by the operation's name.
fn area_of(op: &SimOp) -> Option<Area> {
    if op.name.starts_with("store.") {
        return Some(Area::Data);
    }
    let path: &Path = &op.path;
    let is_mark = path.extension().is_some_and(|suffix| suffix == "mark");
    let in_folder = |name: &str| path.components().any(|part| part.as_os_str() == name);
    if is_mark {
        Some(Area::Mark)
    } else if in_folder("journal") {
        Some(Area::Journal)
    } else if in_folder("checkpoints") {
        Some(Area::Checkpoint)
    } else if in_folder("snapshots") {
        Some(Area::Snapshot)
    } else {
        None
    }
}

/// What is to happen at an armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The process dies there, and the machine with it as this says.
    Crash {
        crash: Crash,
        when: When,
        /// Unflushed batches of the data store that survive; by default those that the crash spares.
        batches: Option<u64>,
    },
    /// The operation fails, once, and the process lives.
    Fail(SimFault),
}

/// A point that waits to be reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) point: &'static CrashPoint,
    /// Which time it is reached, from 1.
    pub(super) nth: u64,
    pub(super) plan: Plan,
    seen: u64,
    pub(super) hit: bool,
}

impl Armed {
    pub(super) fn new(point: &'static CrashPoint, nth: u64, plan: Plan) -> Armed {
        Armed {
            point,
            nth,
            plan,
            seen: 0,
            hit: false,
        }
    }

    /// What happens at this operation because of it.
    fn at(&mut self, op: &SimOp) -> Option<SimFault> {
        if self.hit {
            // Died after the operation before: this one does not happen.
            let after = matches!(
                self.plan,
                Plan::Crash {
                    when: When::After,
                    ..
                }
            );
            return after.then_some(SimFault::Dies);
        }
        if !self.point.is_at(op) {
            return None;
        }
        self.seen += 1;
        if self.seen != self.nth {
            return None;
        }
        self.hit = true;
        match self.plan {
            Plan::Crash { when, .. } => match when {
                When::Before => Some(SimFault::Dies),
                When::Midway => Some(SimFault::DiesMidway),
                When::After => None,
            },
            Plan::Fail(fault) => Some(fault),
        }
    }
}

/// The one count of operations of a world, and what waits in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ops: u64,
    /// The process dies before this operation.
    dies_at: Option<u64>,
    died: bool,
    armed: Option<Armed>,
    /// Operations at a named point, since somebody asked.
    reached: Vec<(u64, &'static str)>,
}

/// Most operations at named points that are remembered for whoever asks.
const REACHED_MAX: usize = 100_000;

impl Counter {
    /// What a simulated disk asks about each of its operations.
    pub(super) fn watch(&self) -> SimWatch {
        let state = Arc::clone(&self.state);
        Arc::new(move |op| {
            let mut state = state.lock();
            state.ops += 1;
            if state.reached.len() < REACHED_MAX
                && let Some(point) = CrashPoint::of(op)
            {
                let number = state.ops;
                state.reached.push((number, point.name));
            }
            if state.dies_at == Some(state.ops) {
                state.died = true;
                return Some(SimFault::Dies);
            }
            state.armed.as_mut().and_then(|armed| armed.at(op))
        })
    }

    pub(super) fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    pub(super) fn points_reached(&self) -> Vec<(u64, &'static str)> {
        std::mem::take(&mut self.state.lock().reached)
    }

    pub(super) fn die_at(&self, op: Option<u64>) {
        let mut state = self.state.lock();
        (state.dies_at, state.died) = (op, false);
    }

    pub(super) fn died(&self) -> bool {
        self.state.lock().died
    }

    pub(super) fn arm(&self, armed: Option<Armed>) {
        self.state.lock().armed = armed;
    }

    pub(super) fn armed(&self) -> Option<Armed> {
        self.state.lock().armed
    }
}

/// The fault that an operating system's error is.
pub(super) fn failure(name: &str) -> Option<SimFault> {
    match name {
        "error" => Some(SimFault::Error(io::ErrorKind::Other)),
        "full" => Some(SimFault::Error(io::ErrorKind::StorageFull)),
        "short" => Some(SimFault::ShortThenError),
        "lies" => Some(SimFault::SyncLies),
        _ => None,
    }
}
