//! `ObserverRefusal`: why an observer event may not happen. Codes are stable.

use crate::{Generation, ObserverId, ObserverName, RangesError, RegionId};

/// Why an observer event may not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserverRefusal {
    /// There is no such observer, or none any more.
    #[error("there is no observer {observer}")]
    Unknown {
        /// The id given.
        observer: ObserverId,
    },
    /// A living observer has the name.
    #[error("the name {name} is that of {observer}")]
    NameTaken {
        /// The name given.
        name: ObserverName,
        /// Who has it.
        observer: ObserverId,
    },
    /// The ranges are not an observer's.
    #[error("{fault}")]
    Ranges {
        /// What is wrong with them.
        fault: RangesError,
    },
    /// The store has as many observers as it may have.
    #[error("there are {count} observers, as many as may be")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// The observer would start in more regions than one record takes; use several, for parts of the
    /// range.
    #[error("{count} regions at once, more than {max} allowed")]
    TooManyRegions {
        /// How many it would be.
        count: usize,
        /// Allowed.
        max: usize,
    },
    /// A region that holds keys of the ranges is not among the positions that were given.
    #[error("no position is given for {region}")]
    PositionMissing {
        /// The first such region.
        region: RegionId,
    },
    /// A position is of a region that has no key of the observer, or is not here.
    #[error("{region} is not observed here by {observer}")]
    NotObserved {
        /// Whose.
        observer: ObserverId,
        /// The region given.
        region: RegionId,
    },
    /// What comes after the position is not kept any more.
    #[error("the history of {region} starts at {oldest}, and {wanted} is wanted")]
    HistoryGone {
        /// Which region.
        region: RegionId,
        /// First index that was asked for.
        wanted: u64,
        /// First index from which on there is everything.
        oldest: u64,
    },
    /// The generation is not the one that delivers now.
    #[error("{given} of {region} is stale: {current} is current")]
    StaleGeneration {
        /// Which region.
        region: RegionId,
        /// The generation given.
        given: Generation,
        /// The last one that was minted.
        current: Generation,
    },
    /// More is acknowledged than was delivered.
    #[error("{region} is delivered up to {delivered}, and {given} is acknowledged")]
    BeyondDelivered {
        /// Which region.
        region: RegionId,
        /// The index given.
        given: u64,
        /// The highest that was delivered.
        delivered: u64,
    },
    /// Changes of the region are lost: the consumer has to choose where to go on.
    #[error(
        "{region} lost changes from {first_lost} on ({reason}); it goes on from {first_available}"
    )]
    Invalidated {
        /// Which region.
        region: RegionId,
        /// Stable name of the reason.
        reason: &'static str,
        /// First index whose changes may be lost.
        first_lost: u64,
        /// First index from which on changes are there again.
        first_available: u64,
    },
}

impl ObserverRefusal {
    /// Stable code for logs, tools and hosts.
    pub const fn code(&self) -> &'static str {
        match self {
            ObserverRefusal::Unknown { .. } => "observer-unknown",
            ObserverRefusal::NameTaken { .. } => "observer-name-taken",
            ObserverRefusal::Ranges { .. } => "observer-ranges-invalid",
            ObserverRefusal::TooMany { .. } => "observer-too-many",
            ObserverRefusal::TooManyRegions { .. } => "observer-too-many-regions",
            ObserverRefusal::PositionMissing { .. } => "observer-position-missing",
            ObserverRefusal::NotObserved { .. } => "observer-region-unknown",
            ObserverRefusal::HistoryGone { .. } => "observer-history-gone",
            ObserverRefusal::StaleGeneration { .. } => "observer-generation-stale",
            ObserverRefusal::BeyondDelivered { .. } => "observer-beyond-delivered",
            ObserverRefusal::Invalidated { .. } => "observer-invalidated",
        }
    }
}
