//! What the registry has to know of the history that is kept. Not here: keeping it.

use std::fmt;

use crate::RegionId;

/// What is kept of each region's changes.
pub trait HistoryFacts: Send + Sync + fmt::Debug {
    /// The lowest index from which on everything up to now is kept; none if nothing is, so that only
    /// what comes next can be delivered.
    fn oldest(&self, region: RegionId) -> Option<u64>;

    /// The highest index that is kept; none if nothing is.
    fn newest(&self, region: RegionId) -> Option<u64>;
}
