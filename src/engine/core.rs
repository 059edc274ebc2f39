//! The engine's inside: decide → append → sync → publish.
//!
//! Two pictures of the register exist. `decided` holds everything that was appended; decisions build
//! on it. `published` holds what is durable; readers see only that. Each record leaves the picture
//! after it behind, which shares all but a few nodes with the one before; publishing puts the picture of
//! the last durable record in the place of the one that is seen, and applies nothing twice.
//!
//! Lock order: region latch → `decided` → `unpublished` → `published`. None of them is held during
//! a sync except the latch. The small locks of rows, fences and caches come last and hold nothing.
//! `visible` is the published picture once more, for those who look at one moment and take no lock.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, DiskLock};
use torrens_recovery::Directories;

use super::background::Queue;
use super::barrier::Barriers;
use super::caches::Caches;
use super::collect::{Collection, ReadPins};
use super::feed::{Feeds, Retention};
use super::fence::Fences;
use super::latch::Latches;
use super::log::Log;
use super::observers::{Observing, moves_captures};
use super::publication::Publication;
use super::rows::Rows;
use super::{Answer, EngineError};
use crate::codec;
use crate::lifecycle::{
    Accepted, Cause, Change, ChildFate, Durability, Effect, Event, Outcome, Record, Register,
    SplitChild, Stamp, apply, preceding, step,
};
use crate::observe::history::History;
use crate::sequence::Sequencer;
use crate::store::{ColumnFamilies, VersionedStore};
use crate::sync::{Guard, RwLockReadGuard};
use crate::{Incarnation, RegionId, Sequence};

/// Where everything of one store lies.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) checkpoints: PathBuf,
    pub(super) snapshots: PathBuf,
    pub(super) data: PathBuf,
    pub(super) history: PathBuf,
}

impl Layout {
    /// The names of DESIGN: one folder per kind of file.
    pub(super) fn of(root: PathBuf) -> Self {
        Layout {
            lock: root.join("LOCK"),
            journal: root.join("journal"),
            checkpoints: root.join("checkpoints"),
            snapshots: root.join("snapshots"),
            data: root.join("data"),
            history: root.join("history"),
            root,
        }
    }

    /// Whether a name in the root may be a store's.
    pub(super) fn is_ours(name: &str) -> bool {
        let names = [
            "LOCK",
            "journal",
            "checkpoints",
            "snapshots",
            "data",
            "history",
        ];
        names.contains(&name) || name.starts_with(SET_ASIDE) || name.starts_with(HISTORY_SET_ASIDE)
    }

    /// The part that recovery looks at.
    pub(super) fn directories(&self) -> Directories {
        let (journal, checkpoints) = (self.journal.clone(), self.checkpoints.clone());
        Directories {
            journal,
            checkpoints,
        }
    }

    /// Whether the data store has ever been made.
    pub(super) fn has_data(&self, disk: &dyn Disk) -> bool {
        disk.list(&self.data)
            .is_ok_and(|entries| !entries.is_empty())
    }

    /// Where a data store that cannot be used is kept.
    pub(super) fn set_aside(&self, unique: u64) -> PathBuf {
        self.root.join(format!("{SET_ASIDE}{unique:016x}"))
    }

    /// Where a history that cannot be used is kept.
    pub(super) fn set_history_aside(&self, unique: u64) -> PathBuf {
        self.root.join(format!("{HISTORY_SET_ASIDE}{unique:016x}"))
    }
}

const SET_ASIDE: &str = "data.unusable-";
const HISTORY_SET_ASIDE: &str = "history.unusable-";

/// Everything that is shared by the handles, the background worker and the views of one engine.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) layout: Layout,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: Log,
    /// Everything at or below was complete when the store was opened.
    pub(super) opened_at: Sequence,
    pub(super) data: Arc<VersionedStore>,
    pub(super) history: Arc<History>,
    pub(super) feeds: Feeds,
    pub(super) retention: Retention,
    pub(super) families: ColumnFamilies,
    pub(super) pins: Arc<ReadPins>,
    pub(super) collection: Collection,
    pub(super) latches: Latches,
    pub(super) rows: Rows,
    pub(super) fences: Fences,
    pub(super) caches: Caches,
    pub(super) observing: Observing,
    pub(super) barriers: Barriers,
    pub(super) sequencer: Sequencer,
    pub(super) queue: Queue,
    /// Held while keys of a range are cleared or ingested: one such effect at a time.
    pub(super) effects: Mutex<()>,
    pub(super) closed: AtomicBool,
    /// A sync of the journal failed.
    poisoned: AtomicBool,
    /// A peer went since the staged snapshots were looked through.
    pub(super) snapshots_to_sweep: AtomicBool,
    /// Held while a checkpoint is written: one at a time.
    pub(super) checkpointing: Mutex<()>,
    /// Position of the newest checkpoint.
    pub(super) checkpointed: AtomicU64,
    /// Nobody else opens the directory while this lives.
    _lock: Option<Box<dyn DiskLock>>,
    decided: Mutex<Register>,
    /// What is published, and what will be; a record is what fences, lineage and feeds follow.
    publication: Publication<Register, Record>,
}

/// What a decision said, and how far the journal must be durable before anyone may hear of it.
pub(super) struct Decision {
    pub(super) answer: Answer,
    pub(super) effects: Vec<Effect>,
    /// The incarnation that an accepted event was decided on, if its region had one.
    pub(super) subject: Option<Incarnation>,
    /// Every record that the answer rests on is at or below this.
    basis: Lsn,
    durability: Durability,
}

impl Decision {
    /// Every record that the answer rests on is at or below this.
    pub(super) fn basis(&self) -> Lsn {
        self.basis
    }
}

/// The parts that opening brings together.
pub(super) struct Parts {
    pub(super) layout: Layout,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: Log,
    pub(super) lock: Option<Box<dyn DiskLock>>,
    pub(super) checkpoint: Option<Lsn>,
    pub(super) data: Arc<VersionedStore>,
    pub(super) history: Arc<History>,
    pub(super) families: ColumnFamilies,
    pub(super) register: Register,
    /// Regions that were cached when the process before ended.
    pub(super) warm: Vec<(RegionId, Incarnation)>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            layout,
            disk,
            journal,
            lock,
            checkpoint,
            data,
            history,
            families,
            register,
            warm,
        } = parts;
        let caches = Caches::default();
        caches.remember_warm(warm);
        let ceiling = register.sequence_ceiling();
        Core {
            rows: Rows::new(register.barrier().saturating_add(1)),
            barriers: Barriers::new(register.barrier()),
            sequencer: Sequencer::new(ceiling),
            pins: ReadPins::new(ceiling),
            collection: Collection::default(),
            latches: Latches::default(),
            fences: Fences::default(),
            caches,
            observing: Observing::new(&register, Arc::clone(&history) as _),
            queue: Queue::default(),
            effects: Mutex::new(()),
            closed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            snapshots_to_sweep: AtomicBool::new(true),
            checkpointing: Mutex::new(()),
            checkpointed: AtomicU64::new(checkpoint.map_or(0, Lsn::get)),
            opened_at: ceiling,
            _lock: lock,
            publication: Publication::new(register.clone(), register.last_lsn()),
            decided: Mutex::new(register),
            layout,
            disk,
            journal,
            data,
            history,
            feeds: Feeds::default(),
            retention: Retention::default(),
            families,
        }
    }

    /// The durable state: all that readers, observers and callers may see. Nothing is published while
    /// this is held.
    pub(super) fn published(&self) -> RwLockReadGuard<'_, Register> {
        self.publication.read()
    }

    /// The durable state as it is at this moment. Waits for nobody and holds nobody up.
    pub(super) fn visible(&self) -> Guard<Arc<Register>> {
        self.publication.visible()
    }

    /// Looks at the state that decisions build on. Nothing seen here may be shown to anyone before
    /// [`Core::settle`]; keep it short, every decision waits for it.
    pub(super) fn with_decided<T>(&self, look: impl FnOnce(&Register) -> T) -> T {
        look(&self.decided.lock())
    }

    /// An error if the engine takes nothing any more: closed, for reading only, or poisoned.
    pub(super) fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(EngineError::Closed);
        }
        self.journal.check_writable()?;
        if self.poisoned.load(Ordering::Acquire) {
            return Err(EngineError::Poisoned);
        }
        Ok(())
    }

    /// Remembers that the journal is poisoned, for those who do not write to it themselves.
    fn note_poison<T>(&self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        if let Err(EngineError::Poisoned) = outcome {
            self.poisoned.store(true, Ordering::Release);
        }
        outcome
    }

    /// Decides an event and appends its record; nothing is visible or durable yet.
    pub(super) fn decide(&self, event: &Event, cause: Cause) -> Result<Decision, EngineError> {
        self.decide_with(event, cause, |_, _| {})
    }

    /// As [`Core::decide`]; `prepare` sees the state after an accepted event before anybody can
    /// build on it and before anybody can make it durable and publish it. It must be short and take
    /// no lock of the order above.
    pub(super) fn decide_with(
        &self,
        event: &Event,
        cause: Cause,
        prepare: impl FnOnce(&Register, Lsn),
    ) -> Result<Decision, EngineError> {
        self.check_open()?;
        let mut decided = self.decided.lock();
        let mut accepted = match step(&decided, event) {
            Outcome::Accepted(accepted) => accepted,
            Outcome::Wait(reason) => return Ok(self.no_change(&decided, Answer::Wait(reason))),
            Outcome::AlreadyApplied => return Ok(self.no_change(&decided, Answer::AlreadyApplied)),
            Outcome::Refused(refusal) => {
                return Ok(self.no_change(&decided, Answer::Refused(refusal)));
            }
        };
        if let Some(first) = preceding(&decided, event)
            && let Outcome::Accepted(before) = step(&decided, &first)
        {
            self.append(&mut decided, before.change, cause, |_, _| {})?;
            // Building on the new record, with the same answer.
            if let Outcome::Accepted(after) = step(&decided, event) {
                accepted = after;
            }
        }
        let Accepted { change, effects } = accepted;
        let durability = change.durability();
        let (lsn, subject) = self.append(&mut decided, change, cause, prepare)?;
        drop(decided);
        let (answer, effects) = (Answer::Accepted { lsn }, effects.at(lsn));
        Ok(Decision {
            answer,
            effects,
            subject,
            basis: lsn,
            durability,
        })
    }

    /// Appends the record of a change that was decided on `decided`, and moves that.
    fn append(
        &self,
        decided: &mut Register,
        change: Change,
        cause: Cause,
        prepare: impl FnOnce(&Register, Lsn),
    ) -> Result<(Lsn, Option<Incarnation>), EngineError> {
        let (_, boot) = self.journal.store_and_boot()?;
        let (wall_clock_micros, boot) = (self.disk.wall_clock_micros(), boot.get());
        let stamp = Stamp {
            wall_clock_micros,
            boot,
            cause,
        };
        let record = Record::new(decided, change, stamp);
        let (kind, payload) = codec::encode(&record);
        let tag = record.header.region.map_or(0, region_tag);
        let lsn = self.note_poison(self.journal.append(kind, tag, &payload))?;
        apply(decided, lsn, &record)
            .expect("an accepted outcome applies to the state that it was decided on");
        prepare(decided, lsn);
        let subject = record.header.incarnation;
        self.mark_observed(decided, &record.change);
        self.publication.push(lsn, decided.clone(), Some(record));
        Ok((lsn, subject))
    }

    fn no_change(&self, decided: &Register, answer: Answer) -> Decision {
        let basis = decided.last_lsn();
        Decision {
            answer,
            effects: Vec::new(),
            subject: None,
            basis,
            durability: Durability::Wait,
        }
    }

    /// Waits until everything that the decision rests on is durable, and publishes it.
    ///
    /// A decision whose record is only appended returns at once.
    pub(super) fn settle(&self, decision: Decision) -> Result<(Answer, Vec<Effect>), EngineError> {
        if decision.durability == Durability::Wait {
            self.wait_durable(decision.basis)?;
        }
        Ok((decision.answer, decision.effects))
    }

    /// Waits until the record at `lsn` is durable, and publishes up to it.
    pub(super) fn wait_durable(&self, lsn: Lsn) -> Result<(), EngineError> {
        // Those who wait together wake up together, and one of them publishes for all.
        self.note_durable(self.journal.wait_durable(lsn), lsn)
    }

    /// As [`Core::wait_durable`], for whoever was told how the wait for `lsn` ended.
    pub(super) fn note_durable(
        &self,
        outcome: Result<(), EngineError>,
        lsn: Lsn,
    ) -> Result<(), EngineError> {
        self.note_poison(outcome)?;
        if !self.publication.has_reached(lsn) {
            self.publish();
        }
        Ok(())
    }

    /// Makes everything appended durable and publishes it.
    pub(super) fn sync(&self) -> Result<Lsn, EngineError> {
        let synced = self.note_poison(self.journal.sync())?;
        self.publish();
        Ok(synced)
    }

    /// Lets everybody see the picture of the last durable record.
    pub(super) fn publish(&self) {
        let synced = || self.journal.synced();
        let follows = Cell::new(false);
        let mut concerns_feeds = false;
        let moved = self.publication.publish(synced, |lsn, after, record| {
            self.hand_fences_on(&record.change);
            follows.set(follows.get() || moves_captures(&record.change));
            // Before anybody can write on top of it: events lie at their exact place.
            self.keep_lineage(after, lsn, record);
            concerns_feeds |= self.feeds.note(&record.change);
            if Core::wants_differently(&record.change) {
                // The journal is there already: whoever adds an observer makes it first. Without, every
                // attachment finds that nothing is kept, and says so.
                let _ = self.want_history_of(after);
            }
        });
        if concerns_feeds {
            self.history.bell.ring();
        }
        if follows.get() {
            let published = || self.published().clone();
            self.observing.registry.captures.follow(published);
        }
        if moved {
            self.tell_watches();
        }
    }

    /// In one step with the publication of a split: a view gets its fence while it looks at the
    /// published picture, so it is of the whole and inherited, or of a part and that part's.
    fn hand_fences_on(&self, change: &Change) {
        if let Change::RegionsMerged { source, .. } = change {
            // Nobody could tell its views any more that their data goes.
            self.fences.trip(source.region);
        }
        let Change::RegionSplit {
            region, children, ..
        } = change
        else {
            return;
        };
        let is_born = |child: &&SplitChild| !matches!(child.fate, ChildFate::Skipped { .. });
        if children.iter().all(|child| is_born(&child)) {
            self.fences
                .split(*region, children.iter().map(|child| child.id));
        } else {
            // The part of a skipped child is cleared, and nobody owns it who could be told.
            self.fences.trip(*region);
        }
    }

    /// Decides, settles, and queues what follows from it.
    pub(super) fn commit(&self, event: &Event, cause: Cause) -> Result<Answer, EngineError> {
        let decision = self.decide(event, cause)?;
        let (answer, effects) = self.settle(decision)?;
        self.queue.push_effects(effects);
        Ok(answer)
    }
}

/// The journal's record tag: enough to skip other regions' records without decoding them.
pub(crate) fn region_tag(region: RegionId) -> u32 {
    let [a, b, c, d, e, f, g, h] = region.0.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}
