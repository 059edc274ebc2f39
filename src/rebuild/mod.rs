//! Making a store's directory from what is known of one: a fixture from a dump, a store from what could be
//! salvaged, a directory as a crash would have left it.
//!
//! | room | what lives there |
//! |---|---|
//! | `part` | the parts of a directory as plain values |
//! | `parts` | a directory taken apart, so that building gives the same bytes |
//! | `builder` | a new directory put together from parts |
//! | `salvage` | what can be read of a damaged store, as a new one that opens |
//! | `crash` | a copy as a crash at one place would have left it |
//!
//! Everything goes into a directory that is new and that nobody else writes to. The source is only read.
//! Not here: repairing a directory in place (`torrens_recovery::repair`), ndjson (the tool).

mod builder;
mod crash;
mod error;
mod part;
mod parts;
mod salvage;

pub use builder::Builder;
pub use crash::{Crash, CrashPoint, crash};
pub use error::RebuildError;
pub use part::{FilePart, MarkPart, PagePart, Part, RecordPart, SegmentPart};
pub use salvage::{Left, Salvaged, salvage};
