//! `History`: the second journal of a store, which keeps what was written to regions that somebody
//! observes, the index over it, and its newest records in memory.
//!
//! It is appended to before the data store's batch and synced first in each barrier, so a floor vouches
//! for the history as well. No failure of it stops a writer: a record that it could not take leaves a
//! gap that the next record shows (its `previous` does not fit), and whoever would have read across the
//! gap is told.
//!
//! Not here: opening it (`open`), reading it (`read`), whose changes are wanted (`wanted`), which
//! records may go (`retention`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use torrens_journal::disk::Disk;
use torrens_journal::{Journal, JournalOptions, Lsn, RecordKind, StoreUuid};
use torrens_recovery::{Directories, checkpoint};

use super::bell::Bell;
use super::index::{Index, Span, Start};
use super::machine::HistoryMachine;
use super::record::{EntryHead, EntryPart, HistoryRecord, Lineage};
use super::settings::HistorySettings;
use super::tail::{Tail, TailRecord};
use super::wanted::Wanted;
use crate::codec;
use crate::store::WriteBatch;
use crate::{KeyRange, RegionId};

/// Why the history cannot be used. Writers go on without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Nothing was ever kept.
    #[error("there is no history")]
    Absent,
    /// It failed, and is looked at again when the store is opened.
    #[error("the history failed: {first}")]
    Failed {
        /// The first failure.
        first: String,
    },
    /// Records from there on are not kept any more.
    #[error("record {asked} of the history is gone, {oldest} is the oldest")]
    Gone {
        /// The record asked for.
        asked: Lsn,
        /// The oldest that is left.
        oldest: Lsn,
    },
    /// A record that was durable cannot be read.
    #[error("the history is damaged at record {at}: {detail}")]
    Damaged {
        /// The record.
        at: Lsn,
        /// What is wrong.
        detail: String,
    },
}

impl HistoryError {
    /// Stable code for logs and tools.
    pub const fn code(&self) -> &'static str {
        match self {
            HistoryError::Absent => "history-absent",
            HistoryError::Failed { .. } => "history-failed",
            HistoryError::Gone { .. } => "history-record-gone",
            HistoryError::Damaged { .. } => "history-damaged",
        }
    }
}

/// Counters and sizes of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryStats {
    /// Whether there is one: something is, or was, observed.
    pub is_open: bool,
    /// Records that could not be kept since the store was opened; each left a gap.
    pub missed: u64,
    /// The oldest record that is kept.
    pub oldest: Lsn,
    /// The newest.
    pub appended: Lsn,
    /// The newest durable one.
    pub synced: Lsn,
    /// Bytes of all records, since the history began.
    pub bytes: u64,
    /// Bytes of the records that are kept.
    pub kept_bytes: u64,
    /// Bytes that the files take.
    pub file_bytes: u64,
    /// Regions that the index knows.
    pub regions: usize,
    /// Marks that the index keeps.
    pub marks: usize,
}

/// Where the history lies.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The folder of both.
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) store: StoreUuid,
    pub(crate) options: JournalOptions,
}

impl Place {
    pub(super) fn directories(&self) -> Directories {
        Directories {
            journal: self.dir.join("journal"),
            checkpoints: self.dir.join("checkpoints"),
        }
    }

    fn parent(&self) -> &Path {
        self.dir.parent().unwrap_or(Path::new(""))
    }
}

/// What the mutex protects: records get their places in the journal, in the index and in the tail in
/// one order.
#[derive(Debug)]
pub(super) struct State {
    pub(super) journal: Option<Journal>,
    pub(super) failed: Option<String>,
    pub(super) index: Index,
    pub(super) tail: Tail,
    /// A checkpoint was written when so many segments had been begun.
    checkpointed_at: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    /// None in a store that is open for reading only.
    place: Option<Place>,
    state: Mutex<State>,
    wanted: ArcSwap<Wanted>,
    settings: Mutex<HistorySettings>,
    missed: AtomicU64,
    /// Rung when there may be more to read.
    pub(crate) bell: Bell,
    /// Held while a checkpoint is written and segments are removed.
    trimming: Mutex<()>,
}

/// Largest payload that a part of an entry aims at.
const PART_BYTES: u64 = 256 * 1024;
/// Room for the head of a part.
const HEAD_BYTES: u64 = 128;
/// Generations of checkpoints.
const GENERATIONS: usize = 2;

impl History {
    /// None, for a store that is open for reading only.
    pub(crate) fn none(settings: HistorySettings) -> Self {
        History::of(None, None, Index::default(), settings)
    }

    /// A history that may be, or become, one.
    pub(super) fn of(
        place: Option<Place>,
        journal: Option<Journal>,
        index: Index,
        settings: HistorySettings,
    ) -> Self {
        History {
            place,
            state: Mutex::new(State {
                journal,
                failed: None,
                index,
                tail: Tail::new(settings.tail_bytes),
                checkpointed_at: 0,
            }),
            wanted: ArcSwap::from_pointee(Wanted::default()),
            settings: Mutex::new(settings),
            missed: AtomicU64::new(0),
            bell: Bell::default(),
            trimming: Mutex::new(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Keeps the changes of these ranges from now on, beside those of the settings. Makes the journal if
    /// there is none and it is needed.
    ///
    /// # Errors
    /// The journal could not be made.
    pub(crate) fn want(
        &self,
        observed: impl IntoIterator<Item = KeyRange>,
    ) -> Result<(), HistoryError> {
        let kept = self.settings.lock().ranges.clone();
        let wanted = Wanted::of(observed.into_iter().chain(kept));
        let made = match wanted.is_empty() {
            true => Ok(()),
            false => self.ensure(),
        };
        self.wanted.store(Arc::new(wanted));
        made
    }

    /// Makes the journal if there is none.
    ///
    /// # Errors
    /// The operating system's answer.
    pub(crate) fn ensure(&self) -> Result<(), HistoryError> {
        let mut state = self.state.lock();
        if state.journal.is_some() {
            return Ok(());
        }
        if let Some(first) = &state.failed {
            let first = first.clone();
            return Err(HistoryError::Failed { first });
        }
        let place = self.place.as_ref().ok_or(HistoryError::Absent)?;
        match create(place) {
            Ok(journal) => state.journal = Some(journal),
            Err(first) => return Err(HistoryError::Failed { first }),
        }
        Ok(())
    }

    /// Whether there is a journal: something is, or was, observed.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().journal.is_some()
    }

    /// Whether changes in `range` are kept.
    pub(crate) fn wants(&self, range: &KeyRange) -> bool {
        self.wanted.load().touches(range)
    }

    /// The settings.
    pub(crate) fn settings(&self) -> HistorySettings {
        self.settings.lock().clone()
    }

    /// Other settings from now on; ranges come to bear at the next [`want`](Self::want).
    pub(crate) fn set_settings(&self, settings: HistorySettings) {
        self.state.lock().tail.resize(settings.tail_bytes);
        *self.settings.lock() = settings;
    }

    /// Keeps the changes of one entry. Call it under the region's latch, before the data store takes
    /// the batch, with nothing left in between that may refuse it.
    ///
    /// # Durability
    /// None before the next [`sync`](Self::sync).
    pub(crate) fn append_entry(&self, head: &EntryHead, batch: &WriteBatch) {
        let mut changes = Vec::with_capacity(HEAD_BYTES as usize + batch.bytes() + 8 * batch.len());
        codec::put_head(&mut changes, head, EntryPart::WHOLE);
        let head_bytes = changes.len();
        codec::put_batch(&mut changes, batch);
        let mut state = self.state.lock();
        // The host sends again what is here: it came before a crash that took the data.
        let (region, incarnation) = (head.region, head.incarnation);
        if state.index.has(region, incarnation, head.position.index) {
            return;
        }
        let Some(journal) = &state.journal else {
            return;
        };
        let part_max = journal.options().payload_bytes_max().min(PART_BYTES);
        let kind = codec::KIND_CHANGES;
        let kept = if changes.len() as u64 <= part_max {
            let record = |part| HistoryRecord::Changes { head: *head, part };
            state.append(kind, changes, &record(EntryPart::WHOLE))
        } else {
            let room = usize::try_from(part_max - HEAD_BYTES).unwrap_or(usize::MAX);
            let whole = changes.get(head_bytes..).unwrap_or_default();
            let pieces = whole.chunks(room);
            let last = pieces.len().saturating_sub(1);
            pieces.enumerate().try_for_each(|(at, piece)| {
                let part = EntryPart {
                    number: u32::try_from(at).unwrap_or(u32::MAX),
                    is_last: at == last,
                };
                let mut payload = Vec::with_capacity(HEAD_BYTES as usize + piece.len());
                codec::put_head(&mut payload, head, part);
                payload.extend_from_slice(piece);
                state.append(kind, payload, &HistoryRecord::Changes { head: *head, part })
            })
        };
        drop(state);
        self.note(kept);
    }

    /// Keeps a lineage event. Call it in the order of the store's journal, before anybody can write on
    /// top of the transition.
    ///
    /// # Durability
    /// As [`append_entry`](Self::append_entry).
    pub(crate) fn append_lineage(&self, lineage: Lineage) {
        let payload = codec::encode_lineage(&lineage);
        let record = HistoryRecord::Lineage(lineage);
        let mut state = self.state.lock();
        if state.journal.is_none() {
            return;
        }
        let kept = state.append(codec::KIND_LINEAGE, payload, &record);
        drop(state);
        self.note(kept);
    }

    /// What could not be kept shows as a gap; here it is only counted.
    fn note(&self, kept: Result<(), ()>) {
        if kept.is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        self.bell.ring_early();
    }

    /// The last record of the store's journal whose lineage is here.
    pub(crate) fn meta_lsn(&self) -> Lsn {
        self.state.lock().index.meta_lsn()
    }

    /// The newest span of a region, without its marks.
    pub(crate) fn newest(&self, region: RegionId) -> Option<Span> {
        let state = self.state.lock();
        let span = state.index.newest(region)?;
        Some(Span {
            marks: Vec::new(),
            ..*span
        })
    }

    /// Where to begin to read everything of a region behind `after`.
    pub(crate) fn start(&self, region: RegionId, after: u64) -> Start {
        self.start_now(region, after).0
    }

    /// As [`start`](Self::start), with the place of the next record to come, at the same moment.
    pub(crate) fn start_now(&self, region: RegionId, after: u64) -> (Start, Lsn) {
        let state = self.state.lock();
        let last = state.index.last_lsn();
        (
            state.index.start(region, after),
            last.next().unwrap_or(last),
        )
    }

    /// Everything that was appended is durable when it answers. After a failure nothing more is kept,
    /// and readers are told; nobody else is.
    pub(crate) fn sync(&self) {
        let Some(journal) = self.journal() else {
            return;
        };
        if journal.synced() < journal.appended()
            && let Err(error) = journal.sync()
        {
            let mut state = self.state.lock();
            state.failed.get_or_insert_with(|| error.to_string());
        }
        self.bell.ring();
    }

    /// The journal, if there is one and it has not failed.
    pub(super) fn journal(&self) -> Option<Journal> {
        let state = self.state.lock();
        match state.failed {
            Some(_) => None,
            None => state.journal.clone(),
        }
    }

    /// Whether enough was written since the last checkpoint for another one.
    pub(crate) fn is_trim_due(&self) -> bool {
        let state = self.state.lock();
        let rotations = |journal: &Journal| journal.stats().rotations;
        let now = state.journal.as_ref().map_or(0, rotations);
        now > state.checkpointed_at
    }

    /// Writes the index down, then removes the oldest segments whose records are all below `below`.
    ///
    /// # Errors
    /// What the operating system refused; nothing that is needed is lost.
    pub(crate) fn trim(&self, below: Lsn) -> Result<(), HistoryError> {
        let (Some(journal), Some(place)) = (self.journal(), &self.place) else {
            return Ok(());
        };
        let _one_at_a_time = self.trimming.lock();
        let failed = |first: String| HistoryError::Failed { first };
        let (mut index, rotations) = {
            let state = self.state.lock();
            (state.index.clone(), journal.stats().rotations)
        };
        let last = index.last_lsn();
        if last == Lsn::ZERO {
            return Ok(());
        }
        journal
            .wait_durable(last)
            .map_err(|error| failed(error.to_string()))?;
        // What nobody needs is not written down: after a restart it would be joined to what comes, and the end
        // of what is gone lies between two marks.
        index.forget_below(below);
        let (store, folder) = (journal.store(), place.directories().checkpoints);
        let meta = checkpoint::Meta::new(store, last, journal.boot());
        let machine = HistoryMachine::new(index);
        let text = |error: checkpoint::CheckpointError| failed(error.to_string());
        checkpoint::write(&*place.disk, &folder, &meta, &machine).map_err(text)?;
        let pruned =
            checkpoint::prune(&*place.disk, &folder, Some(store), GENERATIONS).map_err(text)?;
        journal
            .purge_below(below.min(pruned.purge_below))
            .map_err(|error| failed(error.to_string()))?;
        let mut state = self.state.lock();
        state.index.forget_below(journal.oldest());
        state.checkpointed_at = rotations;
        Ok(())
    }

    /// Takes the pins of readers below a record away, so that they do not keep it.
    pub(crate) fn revoke_below(&self, lsn: Lsn) {
        let Some(journal) = self.journal() else {
            return;
        };
        for pin in journal.pins().iter().filter(|pin| pin.lsn < lsn) {
            journal.revoke_pin(pin.id);
        }
    }

    /// Looks at the index and at how much was written when.
    pub(crate) fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.state.lock().index)
    }

    /// Counters and sizes.
    pub(crate) fn stats(&self) -> HistoryStats {
        let state = self.state.lock();
        let missed = self.missed.load(Ordering::Relaxed);
        let Some(journal) = &state.journal else {
            return HistoryStats {
                missed,
                ..HistoryStats::default()
            };
        };
        let (oldest, sizes) = (journal.oldest(), state.index.sizes());
        HistoryStats {
            is_open: true,
            missed,
            oldest,
            appended: journal.appended(),
            synced: journal.synced(),
            bytes: sizes.bytes(),
            kept_bytes: sizes.bytes_from(oldest),
            file_bytes: journal.stats().segments * journal.options().get_segment_bytes(),
            regions: state.index.regions(),
            marks: state.index.marks(),
        }
    }

    /// Marks the journal as ended in order.
    pub(crate) fn close(&self) {
        if let Some(journal) = self.journal() {
            // A history that was not closed in order is only looked at more closely next time.
            let _ = journal.close();
        }
        self.bell.close();
    }
}

impl State {
    /// Gives a record its place everywhere.
    pub(super) fn append(
        &mut self,
        kind: u16,
        payload: Vec<u8>,
        record: &HistoryRecord,
    ) -> Result<(), ()> {
        let Some(journal) = self.journal.as_ref().filter(|_| self.failed.is_none()) else {
            return Err(());
        };
        let tag = region_tag(record.region());
        match journal.append(RecordKind::new(kind), tag, &payload) {
            Ok(lsn) => {
                self.index.note(lsn, payload.len(), record);
                let payload = Arc::new(payload);
                self.tail.push(TailRecord { lsn, kind, payload });
                Ok(())
            }
            Err(error) => {
                if journal.is_poisoned() {
                    self.failed.get_or_insert_with(|| error.to_string());
                }
                Err(())
            }
        }
    }
}

/// As in the store's own journal.
fn region_tag(region: RegionId) -> u32 {
    crate::engine::region_tag(region)
}

/// Makes the journal of a history.
fn create(place: &Place) -> Result<Journal, String> {
    let directories = place.directories();
    let made = |error: std::io::Error| error.to_string();
    let disk = &*place.disk;
    for dir in [&place.dir, &directories.journal, &directories.checkpoints] {
        disk.create_dir_all(dir).map_err(made)?;
    }
    disk.sync_dir(&place.dir).map_err(made)?;
    disk.sync_dir(place.parent()).map_err(made)?;
    Journal::create(
        Arc::clone(&place.disk),
        &directories.journal,
        place.store,
        place.options,
    )
    .map_err(|error| error.to_string())
}

impl crate::observe::HistoryFacts for History {
    fn oldest(&self, region: RegionId) -> Option<u64> {
        Some(self.newest(region)?.base.saturating_add(1))
    }

    fn newest(&self, region: RegionId) -> Option<u64> {
        Some(self.newest(region)?.end_index)
    }
}
