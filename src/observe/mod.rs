//! Observers: who is told of the changes of which regions, from where on, so that none is lost.
//!
//! ```text
//!  leadership reports ─┐                      ┌─► attach, detach … ──► journal ──► register
//!  region transitions ─┼─► dirty ─► reconcile ┤     (lifecycle::observer decides and folds)
//!  audit               ─┘   (what should be, against what is)
//! ```
//!
//! * `ids`: the words that the rest of the crate speaks: ids, generations, positions, starts, policies.
//!
//! What is journaled of an observer, and what each transition of a region does to it, is in
//! `lifecycle::observer`. Not here: the locks and the threads (`engine`).

mod ids;

pub use ids::{
    Generation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, Position, RangesError,
    StartFrom,
};
