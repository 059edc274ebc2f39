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
//!
//! What is journaled of an observer, and what each transition of a region does to it, is in
//! `lifecycle::observer`. Not here: the locks and the threads (`engine`).

mod audit;
mod facts;
mod ids;
mod leadership;
#[cfg(test)]
mod model;
pub(crate) mod reconcile;
pub(crate) mod registry;

pub use audit::{AuditReport, Part, partition};
pub use facts::{HistoryFacts, KeptWhole};
pub use ids::{
    Generation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, Position, RangesError,
    StartFrom,
};
pub use leadership::{Leadership, LeadershipRole, LeadershipSource};
pub(crate) use leadership::{LeadershipTable, Noted};
pub use registry::ObserverCounters;
