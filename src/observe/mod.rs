//! Observers: who is told of the changes of which regions, from where on, so that none is lost.
//!
//! ```text
//!  leadership reports ─┐                      ┌─► attach, detach … ──► journal ──► register
//!  region transitions ─┼─► dirty ─► reconcile ┤     (lifecycle::observer decides and folds)
//!  audit               ─┘   (what should be, against what is)
//! ```
//!
//! * `ids`: the words that the rest of the crate speaks: ids, generations, positions, starts, policies.
//! * `leadership`: who leads, as the host reports it. `facts`: what is asked of the history.
//! * `reconcile`: what should be attached against what is, as a pure function.
//! * `registry`: what of that is memory only. `audit`: what covers an observer's keys.
//! * [`history`]: the changes themselves, kept in a journal of their own.
//! * [`feed`]: what a consumer gets of them.
//!
//! What is journaled of an observer, and what each transition of a region does to it, is in
//! `lifecycle::observer`. Not here: the locks and the threads (`engine`).

mod audit;
mod facts;
pub mod feed;
pub mod history;
mod ids;
mod leadership;
#[cfg(test)]
mod model;
pub(crate) mod reconcile;
pub(crate) mod registry;

pub use audit::{AuditReport, Part, partition};
pub use facts::HistoryFacts;
pub use feed::{FeedChange, FeedEntry, FeedEvent, FeedItem, FeedRow};
pub use history::{
    Change, ChangeOp, EntryHead, EntryPart, HistoryError, HistoryMachine, HistoryOpenError,
    HistoryRecord, HistorySettingError, HistorySettings, HistoryStats, Index, IndexPiece, Lineage,
    LineageChild, LineageEvent, Mark, RetentionStage, Sample, Sizes, Span, Start,
};
pub use ids::{
    Generation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, Position, RangesError,
    StartFrom,
};
pub use leadership::{Leadership, LeadershipRole, LeadershipSource};
pub(crate) use leadership::{LeadershipTable, Noted};
pub use registry::ObserverCounters;
