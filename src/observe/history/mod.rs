//! The history: what was written to observed regions, in the order in which it was written, kept until
//! everybody who needs it has acknowledged it.
//!
//! ```text
//!  write ──► append_entry ─┐                    ┌─► tail (memory) ─┐
//!  publish ► append_lineage┴─► journal ─► index ┴─► files ─────────┴─► read ─► feed
//! ```
//!
//! * `record`: what it is made of. * `index`, `sizes`: where what lies, how much and how old it is.
//! * `log`: `History` itself. * `tail`, `read`, `bell`: reading it, and waiting for more.
//! * `open`, `machine`: after a restart. * `wanted`, `settings`: what is kept, and how much.
//!
//! Invariants
//! * Per region, the records of a span follow each other without a gap, and a gap is never bridged.
//! * A record is appended before the data store takes what it says, and is durable before the floor that
//!   covers it.
//! * Lineage events lie between the changes at their exact place.
//! * No failure here stops a writer.
//!
//! Not here: who observes (`registry`), what consumers get (`feed`), the bytes (`codec`).

mod bell;
mod index;
mod log;
mod machine;
mod open;
mod read;
mod record;
mod settings;
mod sizes;
mod tail;
mod wanted;

#[cfg(test)]
mod tests;

pub use index::{Index, IndexPiece, Mark, Span, Start};
pub(crate) use log::{History, Place};
pub use log::{HistoryError, HistoryStats};
pub use machine::HistoryMachine;
pub use open::HistoryOpenError;
pub(crate) use open::{OpenedHistory, open};
pub(crate) use read::{HistoryReader, Read};
pub use record::{
    Change, ChangeOp, EntryHead, EntryPart, HistoryRecord, Lineage, LineageChild, LineageEvent,
};
pub use settings::{HistorySettingError, HistorySettings, RetentionStage};
pub use sizes::{Sample, Sizes};
