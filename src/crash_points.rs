//! Named crash points: steps of the engine at which `torrens torture` kills the storage process.
//!
//! Operations on the disk have numbers and kinds (`journal::disk::op`); these are the moments between
//! them that mean something: a barrier is flushed and not journaled, a snapshot's range is cleared and not
//! filled. Each stands in the code behind `reach`, which does nothing unless the crate is built with the
//! feature `crash-points`; then whoever called `watch` is told of each. Not here: who dies where
//! (`torture::kills`).

use crate::lifecycle::Change;

macro_rules! points {
    ($($(#[doc = $help:literal])+ $variant:ident = $name:literal,)+) => {
        /// A step of the engine at which a process may be made to die.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CrashPoint {
            $($(#[doc = $help])+ $variant,)+
        }

        impl CrashPoint {
            /// Every point.
            pub const ALL: &'static [CrashPoint] = &[$(CrashPoint::$variant,)+];

            /// Its name: lower case, the part of the engine first.
            pub const fn name(self) -> &'static str {
                match self {
                    $(CrashPoint::$variant => $name,)+
                }
            }
        }
    };
}

points! {
    /// A split is decided and its parts have their sequences; nothing of it is durable.
    SplitDecided = "split.decided",
    /// A split's record is durable, and nobody has seen it.
    SplitDurable = "split.durable",
    /// A commit of a merge is decided; nothing of it is durable.
    MergeDecided = "merge.decided",
    /// A commit of a merge is durable, and nobody has seen it.
    MergeDurable = "merge.durable",
    /// A change of peers, single or joint, is durable, and nobody has seen it.
    PeersDurable = "peers.durable",
    /// A switch of witnesses is durable, and nobody has seen it.
    WitnessesDurable = "witnesses.durable",
    /// The begin or the end of a flashback is durable, and nobody has seen it.
    FlashbackDurable = "flashback.durable",
    /// A destroy is decided; nothing of it is durable.
    DestroyDecided = "destroy.decided",
    /// A destroy is durable: its keys are still there.
    DestroyDurable = "destroy.durable",
    /// The keys of a destroyed peer are gone from the data store, not yet durably.
    DeletionCleared = "deletion.cleared",
    /// They are gone durably, and the journal does not say so.
    DeletionDurable = "deletion.durable",
    /// A snapshot apply has begun durably; no key is touched.
    SnapshotBegun = "snapshot.begun",
    /// The old keys are removed, no row of the snapshot is written.
    SnapshotCleared = "snapshot.cleared",
    /// The rows are written, the region's own row is not.
    SnapshotFilled = "snapshot.filled",
    /// Rows and row are written and not durable.
    SnapshotIngested = "snapshot.ingested",
    /// They are durable; the apply has not ended.
    SnapshotDurable = "snapshot.durable",
    /// The apply has ended durably; its staged file is still there.
    SnapshotEnded = "snapshot.ended",
    /// A write's history is kept, its rows are not in the data store.
    WriteKept = "write.kept",
    /// A write's rows are in the data store, and nobody can see them.
    WriteStored = "write.stored",
    /// More sequence numbers are leased, and none of them is used.
    SequencesLeased = "sequences.leased",
    /// What a barrier covers is chosen; nothing is flushed.
    BarrierCaptured = "barrier.captured",
    /// The history is durable, the data is not.
    BarrierHistorySynced = "barrier.history-synced",
    /// The data is durable, and the journal does not know of the barrier.
    BarrierFlushed = "barrier.flushed",
    /// The barrier is journaled, and nobody relies on it.
    BarrierJournaled = "barrier.journaled",
    /// A checkpoint is written; the older ones and the journal below are still there.
    CheckpointWritten = "checkpoint.written",
    /// Older checkpoints are gone, the journal below is still there.
    CheckpointPruned = "checkpoint.pruned",
    /// A loss of changes is journaled and durable, and no byte of the history is gone.
    HistoryLossDurable = "history.loss-durable",
    /// The history lets go of what nobody needs; its files are still there.
    HistoryRevoked = "history.revoked",
    /// Its files are gone.
    HistoryTrimmed = "history.trimmed",
    /// Opening: the journal is recovered; the data store is not open.
    OpenRecovered = "open.recovered",
    /// Opening: the data store went back to the last barrier and is judged.
    OpenJudged = "open.judged",
    /// Opening: the effects of what a crash left open are done; their ends are not journaled.
    OpenCarriedOut = "open.carried-out",
    /// Opening: what a crash left open is ended.
    OpenResolved = "open.resolved",
    /// Closing: the journal says what it had to; the data store does not say that it is closed.
    CloseSynced = "close.synced",
    /// Closing: the data store says that it was closed in order; the journal does not.
    CloseDataClosed = "close.data-closed",
}

/// What is told of every point that is reached.
#[cfg(feature = "crash-points")]
type Watch = Box<dyn Fn(CrashPoint) + Send + Sync>;

#[cfg(feature = "crash-points")]
static WATCH: std::sync::OnceLock<Watch> = std::sync::OnceLock::new();

/// Tells `watch` of every point that this process reaches from now on. The first caller of a process wins.
#[cfg(feature = "crash-points")]
pub fn watch(watch: impl Fn(CrashPoint) + Send + Sync + 'static) {
    let _ = WATCH.set(Box::new(watch));
}

/// The process is at that point.
#[cfg(feature = "crash-points")]
pub(crate) fn reach(point: CrashPoint) {
    if let Some(watch) = WATCH.get() {
        watch(point);
    }
}

/// The process is at that point, which nobody is told: this is not a build with crash points.
#[cfg(not(feature = "crash-points"))]
pub(crate) const fn reach(_point: CrashPoint) {}

/// The record of that change is appended, and nothing of it is durable.
pub(crate) fn decided(change: &Change) {
    reach(match change {
        Change::RegionSplit { .. } => CrashPoint::SplitDecided,
        Change::RegionsMerged { .. } => CrashPoint::MergeDecided,
        Change::PeerDestroyed { .. } => CrashPoint::DestroyDecided,
        _ => return,
    });
}

/// The record of that change is durable, and nobody has seen it.
pub(crate) fn durable(change: &Change) {
    reach(match change {
        Change::RegionSplit { .. } => CrashPoint::SplitDurable,
        Change::RegionsMerged { .. } => CrashPoint::MergeDurable,
        Change::PeerDestroyed { .. } => CrashPoint::DestroyDurable,
        Change::WitnessesSwitched { .. } => CrashPoint::WitnessesDurable,
        Change::PeersChanged { .. } | Change::JointEntered { .. } | Change::JointLeft { .. } => {
            CrashPoint::PeersDurable
        }
        Change::FlashbackBegun { .. } | Change::FlashbackEnded { .. } => {
            CrashPoint::FlashbackDurable
        }
        _ => return,
    });
}
