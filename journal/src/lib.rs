//! Bytes that survive: a segmented, memory-mapped write-ahead journal with group commit.
//!
//! A caller appends opaque records; each gets the next [`Lsn`]. One sync makes every record
//! appended before it durable, whichever thread appended it. After a crash the readers of this
//! crate say what lies in the files, exactly and without judging it: whether an unreadable tail was
//! ever acknowledged is for the recovery crate to decide from the witnesses that are kept here (each
//! group carries the highest LSN that was durable when it was sealed, and so does the mark file).
//!
//! | room | what lives there |
//! |---|---|
//! | [`disk`] | everything that is asked of the operating system, as one narrow trait |
//! | [`mod@format`] | sizes and byte offsets, as in docs/FORMAT.md |
//! | [`header`], [`group`], [`record`], [`mark`] | pure encoders and decoders of each structure |
//! | [`read`] | listing a directory, reading a segment, reading on from an LSN; never writes |
//! | [`Follower`], [`Pin`] | following what becomes durable; keeping it from being purged |
//! | [`JournalBuilder`] | the bytes of a journal at rest, from its records |
//! | [`Journal`] | the writer: append, group commit, rotation, marks, purge |
//!
//! Not here: what a payload means, what damage means, the directory lock (take it with
//! [`disk::Disk::lock`] before you open a journal for writing).
#![warn(missing_docs)]

mod build;
mod bytes;
mod checksum;
pub mod disk;
mod error;
mod follow;
pub mod format;
pub mod group;
pub mod header;
mod ids;
mod lsn;
pub mod mark;
mod options;
mod pin;
#[doc(hidden)]
pub mod plant;
pub mod read;
pub mod record;
mod stats;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod writer;

pub use build::{BuildFault, BuiltGroup, GroupPlan, JournalBuilder};
pub use error::{
    AppendError, CloseError, CommitError, MarkError, OpenError, OptionsError, Poison, PoisonedBy,
    PurgeError, ReadError, SyncError,
};
pub use follow::{FollowError, Followed, Follower, OwnedRecord, StopHandle};
pub use group::{Expectation, Group, GroupContext, GroupFault, GroupFlags, GroupHeader};
pub use header::{HeaderFault, Predecessor, SegmentHeader};
pub use ids::{Boot, RecordKind, SegmentId, StoreUuid};
pub use lsn::Lsn;
pub use mark::{Mark, MarkFault, read_mark_pages, read_marks};
pub use options::{Durability, JournalOptions, WriterChoice, WriterKind, WriterPath};
pub use pin::{Pin, PinError, PinId, PinInfo, PinKind};
pub use read::{
    AheadBatch, AheadReader, Batch, BatchRecords, Found, Listing, LsnReader, PositionError,
    PositionFault, ScannedGroup, SegmentEntry, SegmentReader, TailScan, list,
};
pub use record::{NewRecord, RecordFault, RecordRef, Records};
pub use stats::JournalStats;
pub use writer::{Journal, Purged, SyncHooks, Tail, Ticket};

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
