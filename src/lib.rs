#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

/// The code of docs/EMBEDDING.md compiles, and what it shows is so.
#[cfg(doctest)]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct Embedding;

pub mod cache;
pub mod codec;
#[doc(hidden)]
pub mod crash_points;
pub mod engine;
mod epoch;
mod ids;
pub mod inspector;
mod key_range;
pub mod lifecycle;
mod machine;
pub mod metrics;
pub mod observe;
mod persistent_map;
#[cfg(feature = "play")]
pub mod play;
pub mod rebuild;
mod region;
mod sequence;
pub mod snapshot;
pub mod store;
mod sync;
pub mod trace;

pub use cache::{CacheCounters, CacheDecision, CacheSettingError, CacheSettings, Label, LabelId};
pub use engine::{
    AddedObserver, Answer, AttachFailure, Background, BackupError, BackupReport, CacheCheck,
    CacheOutcome, CacheReport, CacheTicket, CachedRegion, CheckOutcome, Engine, EngineError,
    EvictingRegion, LeadershipAnswer, ObservedRegion, ObserverReason, ObserverRegions,
    ObserverStatus, OpenError, OpenMode, OpenReport, Options, PinnedSlice, Preload, PreloadOutcome,
    PreloadRefusal, PreloadTicket, RaftStart, ReadError, Rebase, RegionDigest, RegionStatus,
    RegionView, Row, Rows, Submission, TakeOverAnswer, Taken, TakenOver, TransitionTicket,
    WriteAnswer,
};
pub use epoch::RegionEpoch;
pub use ids::{Incarnation, PeerId, RegionId, StoreId};
pub use key_range::{Key, KeyRange};
pub use lifecycle::{
    CacheState, Derive, DestroyCause, EvictReason, LoadReason, NewRegion, PeerChange, RaftPosition,
    Refusal, Split, Tombstone, WaitReason, WitnessSwitch,
};
pub use machine::{MachineError, RegisterMachine};
pub use observe::{
    AuditReport, Generation, Leadership, LeadershipRole, LeadershipSource, ObserverCounters,
    ObserverId, ObserverName, ObserverPolicy, ObserverRanges, Position, RangesError, StartFrom,
};
pub use region::{Peer, PeerRole, Region, RegionError};
pub use torrens_journal::Lsn;
pub use torrens_recovery::{Progress, RecoveryReport, Stage, Verdict};

pub use sequence::{LeaseNeeded, Sequence, SequenceGuard, Sequencer};
pub use store::{
    BatchError, ColumnFamilies, ColumnFamily, FamiliesError, RangeDelete, Value, WriteBatch,
    WriteOp,
};
