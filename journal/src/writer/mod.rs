//! `Journal`: the writer. One active segment, one open group, syncs that many threads share.
//!
//! ```text
//!  append ──► open group (memory) ──seal──► put (map or memory) ──sync──► durable ──► acknowledged
//!             appended()                                                  synced()
//! ```
//!
//! Invariants
//! * W1  An appended record has its place: the segment it goes to is allocated and zeroed before
//!   the record gets an LSN, so that a full disk is an answer to `append` and never to a sync.
//! * W2  A page is stored to once. Groups start at pages and never share one.
//! * W3  `synced` is a contiguous prefix, and nothing is acknowledged in a segment before the whole
//!   segment before it is durable, and its own header and name are.
//! * W4  After one failed store, sync or rename nothing is acknowledged, stored or marked any more.
//!
//! | room | what lives there |
//! |---|---|
//! | `open` | create and resume |
//! | `append` | places and groups; `state`: what the mutex protects |
//! | `commit` | who syncs, who waits; `batch`, `cohort`, `park`: how they wait; `hooks`: what the owner does then |
//! | `medium` | the two writers; `segment`: one file of theirs, from zeros to its name |
//! | `ticket`, `completion` | waiting without a thread |
//! | `worker` | the two threads of a journal |
//! | `marks`, `purge`, `watch` | witnesses, retention, the position that followers sleep on |

mod append;
mod batch;
mod cohort;
mod commit;
mod completion;
mod hooks;
mod marks;
mod medium;
mod open;
mod park;
mod purge;
mod segment;
mod state;
mod ticket;
pub(crate) mod watch;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::disk::{DiskLock, SyncPath};
use crate::error::{AppendError, CloseError, CommitError, MarkError, PurgeError, SyncError};
use crate::ids::{Boot, RecordKind, StoreUuid};
use crate::lsn::Lsn;
use crate::options::{Durability, JournalOptions, WriterPath};
use crate::pin::{Pin, PinError, PinId, PinInfo, PinKind, Pins};
use crate::read::Source;
use crate::record::NewRecord;
use crate::stats::JournalStats;

pub use hooks::SyncHooks;
pub use open::Tail;
pub use purge::Purged;
pub use ticket::Ticket;

use completion::Completions;
use hooks::Hooks;
use marks::MarkFile;
use segment::Workshop;
use state::State;
use watch::SyncedWatch;
use worker::{Bell, Workers};

/// A journal that is open for writing.
///
/// `Send + Sync`. A clone is another handle of the same journal, which stays open until the last one
/// is gone or [`Journal::close`] was called on any. At most one journal may be open for a directory
/// at a time, in all processes: take the directory's lock first and leave it to
/// [`Journal::holding`].
#[derive(Clone)]
pub struct Journal {
    owner: Arc<Owner>,
}

/// What the last handle ends.
struct Owner {
    inner: Arc<Inner>,
    workers: Workers,
    /// Given up last.
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

/// The journal itself, shared by its handles, tickets and threads.
struct Inner {
    workshop: Workshop,
    options: JournalOptions,
    writer_path: WriterPath,
    boot: Boot,
    state: Mutex<State>,
    /// Held while the next segment is prepared or old ones are removed; taken before `state`.
    housekeeping: Mutex<()>,
    /// Held while the journal is closed: one at a time.
    closing: Mutex<()>,
    /// Taken before `state`.
    marks: Mutex<MarkFile>,
    /// Copies of the positions in `state` that can be read without waiting for an append; the
    /// durable one with those who follow it.
    appended: AtomicU64,
    watch: Arc<SyncedWatch>,
    /// The last LSN that a synced mark names.
    witnessed: AtomicU64,
    /// Closed to the end: no position moves any more.
    is_shut: AtomicBool,
    pins: Arc<Pins>,
    completions: Completions,
    hooks: Hooks,
    is_ahead: AtomicBool,
    flusher: Bell,
    preparer: Bell,
}

impl Inner {
    fn appended(&self) -> Lsn {
        Lsn::new(self.appended.load(Ordering::Acquire))
    }

    fn synced(&self) -> Lsn {
        self.watch.synced()
    }

    fn witnessed(&self) -> Lsn {
        Lsn::new(self.witnessed.load(Ordering::SeqCst))
    }

    /// Waits until `lsn` has reached the position that is asked for.
    fn reach(&self, lsn: Lsn, durability: Durability) -> Result<(), SyncError> {
        self.commit(lsn)?;
        if durability == Durability::Witnessed && lsn > self.witnessed() {
            let marked = self.put_mark(marks::Effort::Synced);
            marked.map_err(|error| SyncError::NotWitnessed(Arc::new(error)))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir())
            .field("store", &self.store())
            .field("boot", &self.boot())
            .field("appended", &self.appended())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

impl Journal {
    fn inner(&self) -> &Arc<Inner> {
        &self.owner.inner
    }

    /// Appends one record and gives its LSN. The order of LSNs is the order of calls.
    ///
    /// # Durability
    /// None yet: the record is durable when [`Journal::wait_durable`] of its LSN returned `Ok`.
    ///
    /// # Errors
    /// [`AppendError`]; no LSN was used. After [`AppendError::Full`] and [`AppendError::Prepare`]
    /// the journal is as it was and a later call may succeed.
    pub fn append(&self, kind: RecordKind, tag: u32, payload: &[u8]) -> Result<Lsn, AppendError> {
        self.append_all(&[NewRecord { kind, tag, payload }])
    }

    /// Appends records with adjacent LSNs into one group, so that after a crash all of them are
    /// there or none. Gives the last LSN; for no records, the last one appended so far.
    ///
    /// # Durability
    /// As for [`Journal::append`].
    ///
    /// # Errors
    /// As for [`Journal::append`]; none of the records was appended.
    pub fn append_all(&self, records: &[NewRecord<'_>]) -> Result<Lsn, AppendError> {
        let (lsn, ahead) = self.inner().append_group(records)?;
        if let Some(ahead) = ahead {
            self.inner().push_back(ahead);
        }
        Ok(lsn)
    }

    /// As [`Journal::append`], without ever waiting for a sync, however far records are ahead of the
    /// device: for an owner that appends under a lock which its [`SyncHooks`] take. It calls
    /// [`Journal::relieve`] afterwards, without the lock.
    ///
    /// # Durability
    /// As for [`Journal::append`].
    ///
    /// # Errors
    /// As for [`Journal::append`].
    pub fn append_ahead(
        &self,
        kind: RecordKind,
        tag: u32,
        payload: &[u8],
    ) -> Result<Lsn, AppendError> {
        let record = NewRecord { kind, tag, payload };
        self.inner().append_ahead(&record)
    }

    /// Has records written that are far ahead of the device, and waits for it if they are very far ahead
    /// or nobody else does it. Cheap where they are not.
    pub fn relieve(&self) {
        self.inner().relieve();
    }

    /// Has this done around each sync. `false` if something is already; that stays. Hooks that hold a
    /// handle of this journal keep it open.
    pub fn set_hooks(&self, hooks: Arc<dyn SyncHooks>) -> bool {
        self.inner().hooks.set(hooks)
    }

    /// Asks for the record at `lsn` to become durable soon, without waiting and without being told. A
    /// position that was not appended yet is reached when it was.
    pub fn request_durable(&self, lsn: Lsn) {
        let inner = self.inner();
        inner.completions.want(lsn, Durability::Durable);
        inner.nudge_flusher();
    }

    /// Whether a thread of the journal's own syncs for those who do not wait. Without one (a disk that allows
    /// no threads, a system that had none left) syncs happen when somebody waits, and who left a callback
    /// is told then.
    pub fn has_sync_thread(&self) -> bool {
        self.inner().has_flusher()
    }

    /// Waits until the record at `lsn` and all before it are durable. Threads that wait together
    /// share one sync.
    ///
    /// # Durability
    /// `Ok` is the acknowledgement: whatever crash follows, the record is read back.
    ///
    /// # Errors
    /// [`SyncError::NotAppended`] for an LSN that nobody got yet. [`SyncError::Poisoned`]: the
    /// outcome is unknown, reopen and look.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), SyncError> {
        self.inner().commit(lsn)
    }

    /// Waits until the record at `lsn` and all before it are durable, and a durable mark says so. From
    /// then on its loss is seen as a loss, whatever else is lost with it; for [`Journal::wait_durable`]
    /// that is so when the next sync or mark is durable.
    ///
    /// # Errors
    /// As for [`Journal::wait_durable`]. [`SyncError::NotWitnessed`]: the record is durable, the mark
    /// could not be written.
    pub fn wait_witnessed(&self, lsn: Lsn) -> Result<(), SyncError> {
        self.inner().reach(lsn, Durability::Witnessed)
    }

    /// Appends records as [`Journal::append_all`] does and waits for what `durability` says. Gives
    /// the last LSN.
    ///
    /// # Errors
    /// [`CommitError::Append`]: nothing was appended. [`CommitError::Sync`]: the records were
    /// appended, and are not known to be as durable as asked for.
    pub fn commit(
        &self,
        records: &[NewRecord<'_>],
        durability: Durability,
    ) -> Result<Lsn, CommitError> {
        let lsn = self.append_all(records)?;
        if durability != Durability::Relaxed {
            self.inner().reach(lsn, durability)?;
        }
        Ok(lsn)
    }

    /// Appends records as [`Journal::append_all`] does and gives a ticket for their durability, so
    /// that one thread can have many under way. Unless `durability` is relaxed, the journal syncs at
    /// once, without being waited for.
    ///
    /// # Errors
    /// As for [`Journal::append`]; none of the records was appended.
    pub fn submit(
        &self,
        records: &[NewRecord<'_>],
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let lsn = self.append_all(records)?;
        let inner = self.inner();
        if durability != Durability::Relaxed {
            inner.completions.want(lsn, durability);
            inner.nudge_flusher();
        }
        Ok(Ticket::new(lsn, durability, Arc::clone(inner)))
    }

    /// A ticket for the durability of a record that was appended before. The journal syncs for it once
    /// somebody wants to be told.
    ///
    /// # Errors
    /// [`SyncError::NotAppended`].
    pub fn ticket(&self, lsn: Lsn, durability: Durability) -> Result<Ticket, SyncError> {
        let appended = self.appended();
        if lsn > appended {
            return Err(SyncError::NotAppended { lsn, appended });
        }
        Ok(Ticket::new(lsn, durability, Arc::clone(self.inner())))
    }

    /// Makes everything that was appended before the call durable, and gives the last LSN of it.
    ///
    /// # Durability
    /// As for [`Journal::wait_durable`].
    ///
    /// # Errors
    /// [`SyncError::Poisoned`].
    pub fn sync(&self) -> Result<Lsn, SyncError> {
        let lsn = self.appended();
        self.inner().commit(lsn)?;
        Ok(lsn)
    }

    /// The last LSN that was given out; [`Lsn::ZERO`] in a new journal.
    pub fn appended(&self) -> Lsn {
        self.inner().appended()
    }

    /// The last durable LSN; every record up to it is durable.
    pub fn synced(&self) -> Lsn {
        self.inner().synced()
    }

    /// The last LSN that a durable mark names: its loss would be seen as a loss.
    pub fn witnessed(&self) -> Lsn {
        self.inner().witnessed()
    }

    /// Whether an earlier failure ended this journal.
    pub fn is_poisoned(&self) -> bool {
        self.inner().state.lock().poison.is_some()
    }

    /// Writes how far the journal is durable into the mark file, unless a mark says so already.
    /// Meant for idle moments.
    ///
    /// # Durability
    /// The mark itself is not synced; use [`Journal::write_mark_synced`] for that.
    ///
    /// # Errors
    /// [`MarkError`]; the journal goes on all the same.
    pub fn write_mark(&self) -> Result<(), MarkError> {
        self.inner().put_mark(marks::Effort::Written)
    }

    /// Like [`Journal::write_mark`], and makes the mark durable: from then on, the loss of a record
    /// up to [`Journal::synced`] is seen as a loss, whatever else is lost with it.
    ///
    /// # Errors
    /// As for [`Journal::write_mark`].
    pub fn write_mark_synced(&self) -> Result<(), MarkError> {
        self.inner().put_mark(marks::Effort::Synced)
    }

    /// Removes the oldest segments as long as all records in them are below `lsn`, durable, and
    /// needed by no [`Pin`] and no follower; never the active one. What a pin held back is purged by
    /// a later call; [`Purged::held_by`] says whose it was.
    ///
    /// # Durability
    /// The caller has made a durable copy of what those records did. The removal itself may be
    /// undone by a power cut for the last segment removed, never with a gap behind it.
    ///
    /// # Errors
    /// [`PurgeError`]; the segments that are left are the newest ones.
    pub fn purge_below(&self, lsn: Lsn) -> Result<Purged, PurgeError> {
        self.inner().purge(lsn)
    }

    /// The oldest record that is left; in a journal without records, the first to come.
    pub fn oldest(&self) -> Lsn {
        self.inner().pins.lock().oldest()
    }

    /// Keeps the records from `lsn` on from being purged until the pin is dropped. `holder` tells
    /// an operator whose it is. A position that is still to come can be pinned too.
    ///
    /// # Durability
    /// A pin ends with the process. After reopening, take it anew before the first purge.
    ///
    /// # Errors
    /// [`PinError::Gone`] if the record was purged.
    pub fn pin(&self, lsn: Lsn, holder: &str) -> Result<Pin, PinError> {
        self.take_pin(lsn, PinKind::Pin, holder)
    }

    /// Bytes of the segments from the one that holds `lsn` to the one that is written to, which does not
    /// count: what whoever needs `lsn` keeps on the disk, in whole segments.
    pub fn held_bytes(&self, lsn: Lsn) -> u64 {
        let state = self.inner().state.lock();
        let behind = state.spans.partition_point(|span| span.first_lsn <= lsn);
        let segments = state.spans.len().saturating_sub(behind.max(1));
        let segment_bytes = self.inner().options.get_segment_bytes();
        segment_bytes.saturating_mul(u64::try_from(segments).unwrap_or(u64::MAX))
    }

    /// Every pin, followers' included, that of the oldest record first.
    pub fn pins(&self) -> Vec<PinInfo> {
        self.inner().pins.list()
    }

    /// Takes a pin away from its holder, for example when it holds back more than there is room
    /// for; whether there was one. The holder learns of it when it moves the pin or reads on.
    pub fn revoke_pin(&self, id: PinId) -> bool {
        self.inner().pins.revoke(id)
    }

    /// What followers and readers inside the process are made of.
    pub(crate) fn source(&self) -> Source {
        Source {
            disk: Arc::clone(&self.inner().workshop.disk),
            dir: self.dir().to_owned(),
            store: Some(self.store()),
        }
    }

    pub(crate) fn watch(&self) -> Arc<SyncedWatch> {
        Arc::clone(&self.inner().watch)
    }

    pub(crate) fn take_pin(&self, lsn: Lsn, kind: PinKind, holder: &str) -> Result<Pin, PinError> {
        self.inner().pins.pin(lsn, kind, holder)
    }

    /// Makes everything durable, writes a synced mark that says so, and ends the journal. Closing
    /// twice is fine: the second answer says again whether every record is durable. Dropping the last
    /// handle does the same and ignores errors.
    ///
    /// Tickets are told before it returns, unless it is called in a callback of one.
    ///
    /// # Errors
    /// [`CloseError`]; the journal is closed all the same.
    pub fn close(&self) -> Result<(), CloseError> {
        self.owner.end()
    }

    /// Counters since the journal was opened.
    pub fn stats(&self) -> JournalStats {
        let state = self.inner().state.lock();
        let mut stats = state.stats;
        stats.segments = state.spans.len() as u64;
        stats.segments_ahead = state.spares.len() as u64;
        stats
    }

    /// Keeps `lock` until the last handle of this journal is gone, so that opening the directory again
    /// is refused for as long.
    #[must_use]
    pub fn holding(self, lock: Box<dyn DiskLock>) -> Journal {
        *self.owner.lock.lock() = Some(lock);
        self
    }

    /// Which of the two writers is in use, and why not the other.
    pub fn writer_path(&self) -> &WriterPath {
        &self.inner().writer_path
    }

    /// How syncs reach the device.
    pub fn sync_path(&self) -> SyncPath {
        self.inner().workshop.disk.sync_path()
    }

    /// The directory that holds the journal.
    pub fn dir(&self) -> &Path {
        &self.inner().workshop.dir
    }

    /// The store that the journal belongs to.
    pub fn store(&self) -> StoreUuid {
        self.inner().workshop.store
    }

    /// How often the journal was opened for writing, this time included.
    pub fn boot(&self) -> Boot {
        self.inner().boot
    }

    /// The options that it was opened with.
    pub fn options(&self) -> JournalOptions {
        self.inner().options
    }
}

impl Owner {
    fn end(&self) -> Result<(), CloseError> {
        let shut = self.inner.shut();
        self.workers.stop(&self.inner);
        self.inner.run_completions();
        shut
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Nobody is left who could be told; a caller who wants to know calls `close`.
        let _ = self.end();
        drop(self.lock.get_mut().take());
    }
}
