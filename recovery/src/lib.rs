//! Recovery of a torrens journal: evidence first, verdict second, action last, in three places.
//!
//! Generic over a [`StateMachine`]: this crate names no region and interprets no payload. Opening a
//! journal for writing goes through [`recover`]; looking at one, live or dead, through [`inspect`]
//! and [`walk`], which never write.
//!
//! | found at the first place where the history does not go on | verdict | exit code |
//! |---|---|---|
//! | the operating system refused a read, anywhere | unreadable | 8 |
//! | something in a newer format, anywhere | newer format | 7 |
//! | a missing, short or misfit segment, or an early end, before the last segment's end | corrupt | 5, or 4 if nothing valid comes after it |
//! | the end, and a witness says that the record expected there was durable | corrupt | 5 or 4 |
//! | the end, no such witness, and bytes other than zero behind it | torn tail | 3 |
//! | the end, no such witness, and zeros behind it | clean | 0 |
//! | a record that verifies and cannot follow the ones before it | impossible sequence | 6 |
//!
//! Only *clean* and *torn tail* open. Why the table may be believed is argued in docs/FORMAT.md.
//!
//! | room | what lives there |
//! |---|---|
//! | `machine` | [`StateMachine`] and its laws |
//! | `evidence`, [`facts`] | walks the directory, writes down what is there |
//! | `verdict` | [`Verdict`], a pure function of the evidence |
//! | [`repair`] | cuts a torn tail; plans, carries out and takes back repairs: the only code that zeroes, moves or rewrites journal bytes |
//! | `replay` | feeds a checkpoint and the records behind it to the machine |
//! | [`checkpoint`] | writes, reads, lists and prunes checkpoint files |
//! | `resolve` | ends operations that were begun and not ended |
//! | `recover` | the sequence; `walk`: every record with the gaps between them |
//! | `report`, `error` | [`RecoveryReport`], [`RecoveryError`] |
//!
//! The directory's lock is the caller's: hold it before [`recover`] and while the journal lives.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod checkpoint;
mod error;
mod evidence;
pub mod facts;
mod inspect;
mod machine;
mod recover;
pub mod repair;
mod replay;
mod report;
mod resolve;
mod verdict;
mod walk;

pub use error::RecoveryError;
pub use evidence::Directories;
pub use facts::Evidence;
pub use inspect::{InspectOptions, Inspection, inspect, inspect_watched};
pub use machine::StateMachine;
pub use recover::{Progress, ProgressFn, Recovered, RecoveryOptions, Stage, recover, recover_if};
pub use report::{CheckpointUsed, Cut, RecoveryReport, Resolved, Window};
pub use resolve::{Direction, Resolution, ResolutionRecord, ResolveError, resolve};
pub use verdict::{Cause, CorruptKind, Corruption, ImpossibleSequence, TornTail, Verdict, judge};
pub use walk::{Gap, GapKind, Item, RecordItem, WalkOptions, walk, walk_watched};
