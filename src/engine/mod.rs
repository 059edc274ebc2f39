//! The engine: what a storage process embeds.
//!
//! ```text
//!  call ──► latch ──► barrier? ──► decide ──► append ──► sync ──► publish ──► effects
//!           latch     barrier      core       journal    journal  core        background, snapshots
//! ```
//!
//! `core` holds the path itself; `transitions`, `write`, `read`, `snapshots`, `caches` and
//! `maintenance` are what runs along it; `open` builds it from a directory. Not here: which
//! transitions are legal (`lifecycle`), how bytes survive (`torrens-journal`), what a journal's end
//! means (`torrens-recovery`).

use std::io::Read;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use torrens_journal::{JournalStats, Lsn};

use crate::crash_points::{CrashPoint, reach};
use crate::lifecycle::{
    Cause, DestroyCause, EvictReason, PeerChange, Register, Split, Tombstone, WitnessSwitch,
};
use crate::snapshot::{SnapshotName, SnapshotReader, StagedSnapshot};
use crate::store::{ColumnFamilies, WriteBatch};
use crate::{Incarnation, PeerId, RaftPosition, Region, RegionEpoch, RegionId, Sequence, StoreId};

mod answer;
mod append;
mod background;
mod backup;
mod backup_manifest;
mod barrier;
mod caches;
mod collect;
mod core;
mod counting;
mod decide;
mod durable;
mod effects;
mod error;
#[cfg(feature = "metrics")]
mod export;
mod feed;
mod fence;
mod gate;
mod history;
mod latch;
mod layout;
mod log;
mod maintenance;
mod merges;
mod observers;
mod open;
mod options;
mod orders;
mod publication;
mod read;
mod report;
mod row;
mod rows;
mod set_aside;
mod snapshots;
mod status;
mod submit;
mod timing;
mod transitions;
mod trust;
mod unfinished;
mod write;

pub use answer::{Answer, WriteAnswer};
pub use background::Background;
pub use backup::{BackupError, BackupReport};
pub use backup_manifest::ManifestFault;
pub use caches::{
    CacheCheck, CacheOutcome, CacheReport, CacheTicket, CachedRegion, CheckOutcome, EvictingRegion,
    LeadershipAnswer, Preload, PreloadOutcome, PreloadRefusal, PreloadTicket,
};
pub use collect::CollectionStats;
pub use counting::EngineCounters;
pub use effects::{SnapshotProgress, SnapshotStep};
pub use error::{EngineError, OpenError, ReadError};
pub use feed::{
    Ack, AckAnswer, Acker, ObserveError, ObserveOptions, ObserverLag, ObserverProgress, PinReason,
    ProgressPin, RegionLag, RetentionReport, Subscription, Transition, TransitionFollower,
    Transitions, TransitionsError,
};
pub use observers::{
    AddedObserver, AttachFailure, ObservedRegion, ObserverReason, ObserverRegions, ObserverStatus,
    Rebase, TakeOverAnswer, TakenOver,
};
pub use options::{OpenMode, Options};
pub use read::{RegionView, Rows};
pub use report::OpenReport;
pub use row::{PinnedSlice, Row};
pub use snapshots::{Digested, RegionDigest, Taken};
pub use status::{RaftStart, RegionStatus};
pub use submit::{Submission, TransitionTicket};
pub use timing::{SlowTransition, TransitionSteps};

use self::core::Core;
pub(crate) use self::decide::region_tag;

/// An open store. Cloning is cheap and gives another handle of the same engine.
///
/// The store stays open, and its directory locked, until the last handle, view and background job
/// is gone. [`Engine::close`] ends it in order: it waits for the background work, makes everything
/// durable and writes a clean mark. Dropping the last handle without it stops the background work
/// and syncs what was appended, ignoring errors: nothing acknowledged is lost either way.
///
/// # Transitions
///
/// A call that gives an [`Answer`] decides one transition, appends its record, and answers when the
/// record is durable; where a call's documentation says *appended only*, it does not wait for that.
/// What may not happen is an answer too, and so is what happened before. An error says that the
/// *store* could not carry it out:
///
/// * [`EngineError::Poisoned`]: a sync failed, so the outcome is unknown until the store is opened
///   again;
/// * [`EngineError::DiskFull`], [`EngineError::RecordTooLarge`], [`EngineError::Append`]: nothing was
///   decided and nothing changed;
/// * [`EngineError::ReadOnly`], [`EngineError::Closed`]: this handle takes nothing;
/// * [`EngineError::Data`], [`EngineError::DataFailed`], of those that need data durable first: the
///   data store failed, and takes nothing more until the store is opened again.
///
/// # Units and ranges
///
/// Indexes and terms are Raft's own, from 1; a new region begins at index 5 and term 5. Sizes are in
/// bytes, and times are [`Duration`](std::time::Duration)s or, where a name says so, microseconds.
#[derive(Clone, Debug)]
pub struct Engine {
    core: Arc<Core>,
    handle: Arc<Handle>,
}

/// What the last handle ends.
#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
    report: OpenReport,
    schedule: background::Schedule,
    /// Empty if the background work is stepped by hand.
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Handle {
    fn stop(&self) {
        self.core.queue.stop();
        self.core.parking.stop();
        self.core.caches.close();
        for worker in std::mem::take(&mut *self.workers.lock()) {
            // A panic of a worker has been printed; there is nothing to add to it here.
            let _ = worker.join();
        }
    }
}

impl Engine {
    /// Every knob for opening, with its default.
    pub fn options() -> Options {
        Options::default()
    }

    /// What opening found and did.
    pub fn report(&self) -> &OpenReport {
        &self.handle.report
    }

    /// Creates the first region of a cluster on this store, at index 5 and term 5.
    ///
    /// # Durability
    /// As every transition here: when it answers, the record is durable.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn bootstrap(&self, region: Region) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::Bootstrap { region })
    }

    /// Creates a peer because a message for it arrived: it has no range and no data yet.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn create_peer(
        &self,
        region: RegionId,
        peer: PeerId,
        from_store: StoreId,
        epoch: RegionEpoch,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::CreatePeer {
            region,
            peer,
            from_store,
            epoch,
        })
    }

    /// Splits a region into itself and new ones, in one record.
    ///
    /// Data of the region that is not durable yet is made so first (a barrier that other regions
    /// share and do not wait for).
    ///
    /// # Durability
    /// Durable when it answers. Data up to the split is durable before its record is.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions), or of a barrier ([`Engine::flush`]).
    pub fn split(&self, split: Split) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::Split(split))
    }

    /// Adds, removes, promotes or demotes one peer. Removing this store's own peer begins its
    /// destroy in the same record.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn change_peers(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        change: PeerChange,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::ChangePeers {
            region,
            epoch,
            position,
            change,
        })
    }

    /// Enters joint consensus: two or more changes of peers at once. Removing this store's own
    /// learner begins its destroy in the same record.
    ///
    /// When joint consensus is left, and whether the leader may demote itself, is the host's affair.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn enter_joint(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        changes: Vec<PeerChange>,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::EnterJoint {
            region,
            epoch,
            position,
            changes,
        })
    }

    /// Leaves joint consensus: incoming voters become voters, demoting ones learners.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn leave_joint(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::LeaveJoint {
            region,
            epoch,
            position,
        })
    }

    /// Makes peers witnesses, or lets them hold data again.
    ///
    /// What this store's own peer holds when it becomes one is cleared in the background. One that
    /// holds data again serves nothing until a snapshot at or above `position` was applied.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn switch_witness(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        switches: Vec<WitnessSwitch>,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::SwitchWitness {
            region,
            epoch,
            position,
            switches,
        })
    }

    /// Gives a witness its description: what a snapshot is to a peer that holds data. There is no
    /// file, and nothing to end.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn install_witness(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        description: Region,
        position: RaftPosition,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::InstallWitness {
            region,
            incarnation,
            description,
            position,
        })
    }

    /// Removes a peer from this store, leaving a tombstone. `epoch` is the region's as the caller
    /// knows it ([`RegionEpoch::NONE`] for a peer that has no description yet).
    ///
    /// Answers when the begin is durable: from then on the peer is gone for every caller. Its keys
    /// are cleared in the background and stay fenced until that is durable too.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn destroy(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        incarnation: Option<Incarnation>,
        peer: PeerId,
        cause: DestroyCause,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::Destroy {
            region,
            epoch,
            incarnation,
            peer,
            cause,
        })
    }

    /// Writes a snapshot file of the region as it is now, and syncs it.
    /// A refusal is in [`Taken`]. Reads all rows of the region; writes go on meanwhile.
    ///
    /// # Durability
    /// The file is synced when it answers, and stays until [`Engine::remove_snapshot`].
    ///
    /// # Errors
    /// [`EngineError::Snapshot`] if the file could not be written, which is removed then; [`EngineError::Data`] if
    /// the rows could not be read.
    pub fn take_snapshot(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<Taken, EngineError> {
        self.core.take_snapshot(region, epoch)
    }

    /// Hashes the region's rows as they are now: index, term, epoch, configuration and hash are of one
    /// applied index, so replicas at the same index can be compared.
    ///
    /// # Errors
    /// The data store could not be read.
    pub fn digest(&self, region: RegionId, epoch: RegionEpoch) -> Result<Digested, EngineError> {
        self.core.digest(region, epoch)
    }

    /// Writes a backup of the store as it is at one moment into `target`, which is missing or empty,
    /// while reads, writes and transitions go on; snapshot applies and the clearing of destroyed
    /// ranges wait for its end. [`Options::restore`] makes a store of it.
    ///
    /// # Errors
    /// [`BackupError`]; what was written is no backup then, and may be removed.
    ///
    /// # Durability
    /// On `Ok` the backup is complete and synced.
    pub fn backup(&self, target: impl AsRef<std::path::Path>) -> Result<BackupReport, BackupError> {
        self.core.backup(target.as_ref())
    }

    /// Copies a snapshot from outside into the store's own folder, verifies all of it and syncs it.
    /// One of that name that is staged already is verified and kept, and `from` is not read.
    ///
    /// # Errors
    /// [`EngineError::Snapshot`] if it is not exactly what it claims to be; nothing stays behind.
    pub fn receive_snapshot(
        &self,
        name: SnapshotName,
        from: impl Read,
    ) -> Result<StagedSnapshot, EngineError> {
        self.core.receive_snapshot(name, from)
    }

    /// Opens a staged snapshot, to send its bytes to another store.
    ///
    /// # Errors
    /// [`EngineError::Snapshot`] if there is none of that name, or it is not what its name claims.
    pub fn open_snapshot(&self, name: SnapshotName) -> Result<SnapshotReader, EngineError> {
        self.core.open_snapshot(name)
    }

    /// Removes a staged snapshot that is not needed any more; says whether there was one.
    ///
    /// # Errors
    /// [`EngineError::SnapshotInUse`] if an apply of it has begun and not ended.
    pub fn remove_snapshot(&self, name: SnapshotName) -> Result<bool, EngineError> {
        self.core.remove_unused_snapshot(name)
    }

    /// Replaces a peer's region and data by a staged snapshot: begin, clear, ingest, flush, end.
    ///
    /// # Durability
    /// `Accepted` means that *end* is durable, and the data with it. After a crash in between, the
    /// next opening rolls forward; after an error in between, so does the next call with the same
    /// file.
    ///
    /// # Errors
    /// [`EngineError::Snapshot`] if the staged file cannot be read or is not what it was; [`EngineError::Data`] and
    /// [`EngineError::DataFailed`]; else as of every [transition](Engine#transitions).
    pub fn apply_snapshot(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        staged: &StagedSnapshot,
    ) -> Result<Answer, EngineError> {
        self.core
            .apply_snapshot(region, incarnation, staged, &[], &mut |_| {})
    }

    /// As [`Engine::apply_snapshot`], of a region that took in others whose peers here are behind and
    /// do not know of it. Those among `sources` end with the begin of the snapshot, in its record; a
    /// source that prepared the merge itself need not be named.
    ///
    /// # Durability
    /// As [`Engine::apply_snapshot`].
    ///
    /// # Errors
    /// As [`Engine::apply_snapshot`].
    pub fn apply_snapshot_over(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        staged: &StagedSnapshot,
        sources: &[RegionId],
    ) -> Result<Answer, EngineError> {
        self.core
            .apply_snapshot(region, incarnation, staged, sources, &mut |_| {})
    }

    /// As [`apply_snapshot`](Self::apply_snapshot), telling `progress` how far it is, a few times a
    /// megabyte. It is called under the region's latch: it must be quick and ask nothing of the engine.
    ///
    /// # Durability
    /// As [`Engine::apply_snapshot`].
    ///
    /// # Errors
    /// As [`Engine::apply_snapshot`].
    pub fn apply_snapshot_with(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        staged: &StagedSnapshot,
        mut progress: impl FnMut(SnapshotProgress),
    ) -> Result<Answer, EngineError> {
        self.core
            .apply_snapshot(region, incarnation, staged, &[], &mut progress)
    }

    /// Asks for the region to be held in memory. It is filled in the background; if an eviction is
    /// under way, the load is queued behind it.
    ///
    /// # Durability
    /// Cache records are only appended: losing one loses no data.
    ///
    /// # Errors
    /// [`EngineError::NoPeer`] if the region has no peer here; else as of every [transition](Engine#transitions).
    pub fn load(&self, region: RegionId, epoch: RegionEpoch) -> Result<Answer, EngineError> {
        let (answer, _) = self.core.load_for(region, epoch, Cause::Host)?;
        Ok(answer)
    }

    /// Stops serving the region from memory, at once; the memory is freed when nothing pins it.
    ///
    /// # Durability
    /// The record is only appended: memory serves nothing more, whatever becomes of it.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn evict(&self, region: RegionId) -> Result<Answer, EngineError> {
        self.core
            .evict_for(region, EvictReason::Requested, Cause::Host)
    }

    /// Applies the data of one Raft entry: the batch and the region's applied index, atomically.
    ///
    /// # Durability
    /// See [`WriteAnswer`].
    ///
    /// # Errors
    /// [`EngineError::Batch`] for a batch that no store could take; [`EngineError::Data`],
    /// [`EngineError::DataFailed`] and [`EngineError::SequencesExhausted`]; [`EngineError::Poisoned`],
    /// [`EngineError::ReadOnly`] or [`EngineError::Closed`]. Nothing of the batch is visible then.
    pub fn write(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        batch: &WriteBatch,
    ) -> Result<WriteAnswer, EngineError> {
        self.core
            .write(region, epoch, position, batch, Register::admit_write)
    }

    /// As [`Engine::write`], by whoever sets the region back: only while it is in flashback.
    ///
    /// # Durability
    /// As [`Engine::write`].
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub fn write_in_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        batch: &WriteBatch,
    ) -> Result<WriteAnswer, EngineError> {
        self.core
            .write(region, epoch, position, batch, Register::admit_flashback)
    }

    /// As [`Engine::view`], by whoever sets the region back: only while it is in flashback.
    ///
    /// # Errors
    /// As [`Engine::view`]; [`ReadError::Refused`] also while the region is not in flashback.
    pub fn view_in_flashback(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
    ) -> Result<RegionView, ReadError> {
        self.core
            .view_at(region, epoch, None, Register::admit_flashback)
    }

    /// Pins the region's data as it is now.
    /// Writes go on, and are not seen. What the view may still read is kept until it is dropped.
    ///
    /// # Errors
    /// [`ReadError::Refused`] if the region is not served here, or not at that epoch, with what is;
    /// [`ReadError::Engine`] if the store cannot be read.
    pub fn view(&self, region: RegionId, epoch: RegionEpoch) -> Result<RegionView, ReadError> {
        self.core.view_at(region, epoch, None, Register::admit_read)
    }

    /// Pins the region's data as it was at `sequence`, which an earlier view or write named.
    ///
    /// # Errors
    /// [`ReadError::SequenceCollected`] if versions that it needs may be gone (see
    /// [`set_safe_point`](Self::set_safe_point)), [`ReadError::SequenceAhead`] if there is nothing
    /// that new yet; else as [`view`](Self::view).
    pub fn view_at(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        sequence: Sequence,
    ) -> Result<RegionView, ReadError> {
        self.core
            .view_at(region, epoch, Some(sequence), Register::admit_read)
    }

    /// Keeps every version that a read at or above `sequence` needs, beside those that open views
    /// need. With `None`, the default, only the newest and the pinned ones are kept. Lowering it
    /// does not bring back what is gone. Not journaled: set it again after opening.
    pub fn set_safe_point(&self, sequence: Option<Sequence>) {
        self.core.set_safe_point(sequence);
    }

    /// What became of old versions, and what keeps them.
    pub fn collection_stats(&self) -> CollectionStats {
        self.core.collection_stats()
    }

    /// Walks through the whole store now and removes the versions that nobody can read any more;
    /// answers how many. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// The data store failed, or takes nothing any more.
    pub fn collect_versions(&self) -> Result<u64, EngineError> {
        self.core.collect_all()
    }

    /// The store's column families.
    pub fn column_families(&self) -> &ColumnFamilies {
        &self.core.families
    }

    /// What this store knows of a region's peer, if it has one.
    pub fn region(&self, region: RegionId) -> Option<RegionStatus> {
        status::of(&self.core.visible(), region)
    }

    /// Every region with a peer on this store, by id.
    pub fn regions(&self) -> Vec<RegionStatus> {
        status::all(&self.core.visible())
    }

    /// The region that holds `key` on this store.
    pub fn region_for(&self, key: &[u8]) -> Option<RegionStatus> {
        let visible = self.core.visible();
        status::of(&visible, visible.owner_of(key)?)
    }

    /// The id of the region that holds `key` on this store: [`Engine::region_for`] for whoever routes
    /// many keys. Takes no lock and waits for nobody.
    pub fn route(&self, key: &[u8]) -> Option<RegionId> {
        self.core.visible().owner_of(key)
    }

    /// The tombstones of this store, by region id.
    pub fn tombstones(&self) -> Vec<(RegionId, Tombstone)> {
        self.core.visible().tombstones().collect()
    }

    /// Everything that is durable, as it is at this moment: for tools, audits and tests. It shares its
    /// memory with what the engine has, as far as that does not change meanwhile.
    pub fn register(&self) -> Register {
        Register::clone(&self.core.visible())
    }

    /// A copy of everything that is decided and appended, durable or not: what the next decision
    /// builds on. Nothing in it may be relied on before it is in [`Engine::register`] too.
    pub fn appended_register(&self) -> Register {
        self.core.with_decided(Register::clone)
    }

    /// What a host needs to start a region's Raft node after opening.
    ///
    /// # Errors
    /// [`EngineError::NoPeer`] if the region has no peer here.
    pub fn raft_start(&self, region: RegionId) -> Result<RaftStart, EngineError> {
        self.core.raft_start(region)
    }

    /// Highest index up to which the host may compact a region's log now: every entry up to it is
    /// durable in the data store. It grows with barriers.
    ///
    /// # Errors
    /// [`EngineError::NoPeer`] if the region has no peer here.
    pub fn truncate_floor(&self, region: RegionId) -> Result<u64, EngineError> {
        Ok(self.core.raft_start(region)?.truncate_floor)
    }

    /// The snapshot files that are staged: taken and not removed, received and not applied. A crash
    /// leaves them; the host removes what it does not want any more.
    ///
    /// # Errors
    /// [`EngineError::Snapshot`] if the folder cannot be read.
    pub fn snapshots(&self) -> Result<Vec<SnapshotName>, EngineError> {
        self.core.staged_snapshots()
    }

    /// Tells the engine where the host's log of a region starts. A log that starts above
    /// `data_index + 1` cannot fill the gap: the region becomes damaged.
    /// `first_index` is the index of the first entry that the log has.
    ///
    /// # Durability
    /// Durable when it answers. Nothing is recorded while there is no gap.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn report_log_start(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        first_index: u64,
    ) -> Result<Answer, EngineError> {
        self.core.wait_for(Submission::ReportLogStart {
            region,
            incarnation,
            first_index,
        })
    }

    /// Runs a barrier: everything written so far is durable when it answers. Answers its number.
    ///
    /// # Errors
    /// [`EngineError::Data`] or [`EngineError::DataFailed`]: the data store takes nothing more until the store is
    /// opened again; [`EngineError::Poisoned`], [`EngineError::ReadOnly`] or [`EngineError::Closed`].
    pub fn flush(&self) -> Result<u64, EngineError> {
        self.core.barrier()
    }

    /// Writes a checkpoint of the durable state and lets the journal go that it replaces.
    /// Answers the position that it is of. Transitions go on meanwhile; its time and bytes grow with all regions.
    ///
    /// # Durability
    /// It is durable when this answers, and so is everything that it stands for.
    ///
    /// # Errors
    /// [`EngineError::Checkpoint`] if it could not be written: the journal keeps what it would have replaced;
    /// [`EngineError::Purge`] if it is there and old segments could not be removed; [`EngineError::Poisoned`],
    /// [`EngineError::ReadOnly`] or [`EngineError::Closed`].
    pub fn checkpoint(&self) -> Result<Lsn, EngineError> {
        self.core.checkpoint()
    }

    /// Position of the last durable record.
    pub fn synced(&self) -> Lsn {
        self.core.journal.synced()
    }

    /// Waits until a durable mark says that the record at `lsn` is durable. From then on its loss, by
    /// whatever damage, is seen as a loss at the next opening and never taken for the usual trace of
    /// a crash. For transitions whose silent loss would be worst (a destroy, a merge, a change of
    /// epoch): give it the LSN that [`Answer::Accepted`] carries. Costs one more small write.
    ///
    /// # Errors
    /// [`EngineError::NotWitnessed`] if the record is durable and the mark could not be written;
    /// [`EngineError::NoSuchRecord`] for a position that no record has yet.
    pub fn witness(&self, lsn: Lsn) -> Result<(), EngineError> {
        self.core.journal.wait_witnessed(lsn)
    }

    /// The journal's counters.
    pub fn journal_stats(&self) -> JournalStats {
        self.core.journal.stats()
    }

    /// Everything that the engine counts. Always on; costs a few locks and reads no region.
    pub fn counters(&self) -> EngineCounters {
        self.core.counters()
    }

    /// The last 64 transitions that took at least [`Options::slow_transition_threshold`], the oldest first,
    /// each with the time of every step. With the feature `tracing` each is an event as well.
    pub fn slow_transitions(&self) -> Vec<SlowTransition> {
        self.core.slow_log.recent()
    }

    /// Changes [`Options::slow_transition_threshold`].
    pub fn set_slow_transition_threshold(&self, threshold: std::time::Duration) {
        self.core.slow_log.set_threshold(threshold);
    }

    /// Gives every counter and gauge of [`crate::metrics::ENGINE`] to the recorder of the crate `metrics`
    /// that is installed. Call it right before your numbers are fetched. Looks at each region once: a
    /// million take some ten milliseconds, and nobody waits for it.
    ///
    /// How long things take is given at once and needs no call; for that the recorder has to be installed
    /// before the store is opened.
    #[cfg(feature = "metrics")]
    pub fn export_metrics(&self) {
        self.core.export_metrics();
    }

    /// Bytes of memory that the caches hold.
    pub fn cache_bytes(&self) -> u64 {
        self.core.caches.bytes()
    }

    /// Does now what the background work would do by the clock: a barrier if data is dirty, a sync
    /// if records are, a checkpoint if one is due. For [`Background::Manual`].
    ///
    /// # Errors
    /// The first thing that failed; the rest was done all the same, and is tried again at the next tick.
    pub fn tick(&self) -> Result<(), EngineError> {
        self.core.tick(&self.handle.schedule)
    }

    /// Runs one piece of background work and answers its name; `None` if there is none.
    /// For [`Background::Manual`].
    ///
    /// # Errors
    /// What the piece of work failed with; it is found again at the next tick or opening.
    pub fn step_background(&self) -> Result<Option<&'static str>, EngineError> {
        self.core.step_background()
    }

    /// The name of the piece of work that [`step_background`](Self::step_background) would run.
    #[cfg(feature = "play")]
    pub(crate) fn next_background(&self) -> Option<&'static str> {
        self.core.queue.next_name()
    }

    /// Waits until no background job waits or runs, and makes what was appended durable. With
    /// [`Background::Manual`] it runs the jobs itself.
    ///
    /// # Errors
    /// The first failure of a job since the last call. A job that a full disk stopped is tried again
    /// at the next tick.
    pub fn wait_idle(&self) -> Result<(), EngineError> {
        match self.handle.workers.lock().is_empty() {
            false => self.core.queue.wait_idle()?,
            true => while self.core.step_background()?.is_some() {},
        }
        match self.core.journal.check_writable() {
            Ok(()) => self.core.sync().map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Ends the engine in order: background work done, data durable, journal marked clean. Every
    /// other handle takes nothing any more and answers [`EngineError::Closed`]; views and what
    /// is published can still be read.
    ///
    /// # Errors
    /// The first thing that failed; the engine is closed all the same.
    pub fn close(self) -> Result<(), EngineError> {
        self.core.parking.wait_empty();
        // A job that could not be done is found again at the next opening.
        let _ = self.wait_idle();
        let flushed = match self.core.journal.check_writable() {
            Ok(()) => self.core.barrier().map(drop),
            Err(_) => Ok(()),
        };
        self.handle.stop();
        reach(CrashPoint::CloseSynced);
        let marked = match (&flushed, self.core.journal.check_writable()) {
            (Ok(()), Ok(())) => self.core.close_data(),
            // A store that failed is looked at in full when it is opened again.
            _ => Ok(()),
        };
        reach(CrashPoint::CloseDataClosed);
        let closed = self.core.close();
        let outcome = flushed.and(marked).and(closed);
        crate::trace::closed(self.handle.report.store, outcome.is_ok());
        outcome
    }
}
