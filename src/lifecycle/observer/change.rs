//! `ObserverChange`: the outcome of an accepted observer event, as a record keeps it for ever.
//!
//! Not here: the bytes (`codec`), carrying it out (`apply`).

use super::{Loss, Reset, WantReason};
use crate::lifecycle::ChangeKind;
use crate::{Generation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId};

/// What happened to observers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObserverChange {
    /// There is a new observer.
    Added {
        /// Its id: one above the highest that was ever given.
        observer: ObserverId,
        /// What it is called.
        name: ObserverName,
        /// The keys that it asks for.
        ranges: ObserverRanges,
        /// How much is kept for it.
        policy: ObserverPolicy,
        /// Where it starts in each region that has keys of its ranges and holds data here, by region.
        starts: Vec<Started>,
    },
    /// The observer is gone, with all that was kept for it.
    Removed {
        /// Which.
        observer: ObserverId,
    },
    /// Nothing is delivered to the observer any more; its place is kept.
    Paused {
        /// Which.
        observer: ObserverId,
    },
    /// The observer goes on where it was.
    Resumed {
        /// Which.
        observer: ObserverId,
    },
    /// The observer's limits are these.
    PolicySet {
        /// Which.
        observer: ObserverId,
        /// Its new policy.
        policy: ObserverPolicy,
    },
    /// Observers are attached to regions, each under a new generation.
    Attached {
        /// The generation of the first; each next one has the next.
        first: Generation,
        /// Who is attached to what.
        attachments: Vec<Attached>,
    },
    /// Attachments have reached what is applied now.
    CaughtUp {
        /// Which, and where.
        attachments: Vec<CaughtUp>,
    },
    /// Attachments ended; the regions are still wanted.
    Detached {
        /// Which, and why.
        attachments: Vec<Detached>,
    },
    /// The consumer has everything up to these positions.
    Acknowledged {
        /// Whose consumer.
        observer: ObserverId,
        /// How far in each region.
        positions: Vec<Acknowledged>,
    },
    /// Changes are lost to the observer.
    Invalidated {
        /// To whom.
        observer: ObserverId,
        /// In which regions, and what.
        losses: Vec<Invalidated>,
    },
    /// The consumer chose where it goes on.
    Rebased {
        /// Whose consumer.
        observer: ObserverId,
        /// Where, in each region.
        starts: Vec<Rebased>,
    },
    /// Where draining attachments end is known.
    Ended {
        /// Which, and where.
        attachments: Vec<Ended>,
    },
    /// The process that had attached them is gone: every attachment is wanted again.
    Restarted,
}

/// Where a new observer starts in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Started {
    /// Which region.
    pub region: RegionId,
    /// What comes next is above this index.
    pub acked: u64,
}

/// One new attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attached {
    /// Whose.
    pub observer: ObserverId,
    /// To which region.
    pub region: RegionId,
    /// Version of the region's epoch.
    pub version: u64,
    /// The term in which this store leads the region.
    pub term: u64,
    /// First index that is to be delivered.
    pub from: u64,
    /// Whether nothing is to be caught up.
    pub live: bool,
}

/// An attachment that reached what is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaughtUp {
    /// Whose.
    pub observer: ObserverId,
    /// In which region.
    pub region: RegionId,
    /// Its generation.
    pub generation: Generation,
    /// The last index of the past.
    pub index: u64,
}

/// An attachment that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Detached {
    /// Whose.
    pub observer: ObserverId,
    /// From which region.
    pub region: RegionId,
    /// Its generation.
    pub generation: Generation,
    /// Why.
    pub reason: WantReason,
}

/// How far a consumer is in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acknowledged {
    /// Which region.
    pub region: RegionId,
    /// The generation in which it was delivered.
    pub generation: Generation,
    /// Everything up to this index is acknowledged.
    pub index: u64,
}

/// What an observer lost in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Invalidated {
    /// Which region.
    pub region: RegionId,
    /// What was lost, and why.
    pub loss: Loss,
}

/// Where a consumer goes on in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rebased {
    /// Which region.
    pub region: RegionId,
    /// What comes next is above this index; none if it gives the region up, which is not here any more.
    pub acked: Option<u64>,
    /// What it has to be told first.
    pub reset: Reset,
}

/// Where a draining attachment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ended {
    /// Whose.
    pub observer: ObserverId,
    /// In which region.
    pub region: RegionId,
    /// Index of the last change that there is.
    pub end: u64,
}

impl ObserverChange {
    /// Its kind.
    pub const fn change_kind(&self) -> ChangeKind {
        match self {
            ObserverChange::Added { .. } => ChangeKind::ObserverAdded,
            ObserverChange::Removed { .. } => ChangeKind::ObserverRemoved,
            ObserverChange::Paused { .. } => ChangeKind::ObserverPaused,
            ObserverChange::Resumed { .. } => ChangeKind::ObserverResumed,
            ObserverChange::PolicySet { .. } => ChangeKind::ObserverPolicySet,
            ObserverChange::Attached { .. } => ChangeKind::ObserverAttached,
            ObserverChange::CaughtUp { .. } => ChangeKind::ObserverCaughtUp,
            ObserverChange::Detached { .. } => ChangeKind::ObserverDetached,
            ObserverChange::Acknowledged { .. } => ChangeKind::ObserverAcknowledged,
            ObserverChange::Invalidated { .. } => ChangeKind::ObserverInvalidated,
            ObserverChange::Rebased { .. } => ChangeKind::ObserverRebased,
            ObserverChange::Ended { .. } => ChangeKind::ObserverEnded,
            ObserverChange::Restarted => ChangeKind::ObserverRestarted,
        }
    }

    /// The one observer that it is about; none if it is about many, or about all.
    pub const fn observer(&self) -> Option<ObserverId> {
        match self {
            ObserverChange::Added { observer, .. }
            | ObserverChange::Removed { observer }
            | ObserverChange::Paused { observer }
            | ObserverChange::Resumed { observer }
            | ObserverChange::PolicySet { observer, .. }
            | ObserverChange::Acknowledged { observer, .. }
            | ObserverChange::Invalidated { observer, .. }
            | ObserverChange::Rebased { observer, .. } => Some(*observer),
            ObserverChange::Attached { .. }
            | ObserverChange::CaughtUp { .. }
            | ObserverChange::Detached { .. }
            | ObserverChange::Ended { .. }
            | ObserverChange::Restarted => None,
        }
    }

    /// The regions that it says something of.
    pub fn regions(&self) -> Vec<RegionId> {
        match self {
            ObserverChange::Added { starts, .. } => starts.iter().map(|one| one.region).collect(),
            ObserverChange::Attached { attachments, .. } => {
                attachments.iter().map(|one| one.region).collect()
            }
            ObserverChange::CaughtUp { attachments } => {
                attachments.iter().map(|one| one.region).collect()
            }
            ObserverChange::Detached { attachments } => {
                attachments.iter().map(|one| one.region).collect()
            }
            ObserverChange::Acknowledged { positions, .. } => {
                positions.iter().map(|one| one.region).collect()
            }
            ObserverChange::Invalidated { losses, .. } => {
                losses.iter().map(|one| one.region).collect()
            }
            ObserverChange::Rebased { starts, .. } => starts.iter().map(|one| one.region).collect(),
            ObserverChange::Ended { attachments } => {
                attachments.iter().map(|one| one.region).collect()
            }
            ObserverChange::Removed { .. }
            | ObserverChange::Paused { .. }
            | ObserverChange::Resumed { .. }
            | ObserverChange::PolicySet { .. }
            | ObserverChange::Restarted => Vec::new(),
        }
    }
}
