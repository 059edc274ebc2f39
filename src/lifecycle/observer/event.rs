//! What may happen to observers: the questions that `step` answers.

use super::{Acknowledged, CaughtUp, Detached, Ended, Invalidated, Rebased, Started};
use crate::{Incarnation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId};

/// Something that happened to observers, or that somebody wants to happen to them.
///
/// Those about many attachments are never refused as a whole for one that is out of date: what does not
/// fit what is there is left out, for that request is discarded and the wish is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObserverEvent {
    /// A consumer wants to be told of changes.
    Add {
        /// What it is called.
        name: ObserverName,
        /// The keys.
        ranges: ObserverRanges,
        /// How much is kept for it.
        policy: ObserverPolicy,
        /// Where it starts in each region with keys of the ranges that holds data here, by region.
        starts: Vec<Started>,
    },
    /// Nobody wants to be told any more.
    Remove {
        /// Who.
        observer: ObserverId,
    },
    /// Nothing is to be delivered for now.
    Pause {
        /// To whom.
        observer: ObserverId,
    },
    /// Delivery is to go on.
    Resume {
        /// To whom.
        observer: ObserverId,
    },
    /// Limits change.
    SetPolicy {
        /// Whose.
        observer: ObserverId,
        /// The new ones.
        policy: ObserverPolicy,
    },
    /// What is wanted is to be attached.
    Attach {
        /// What.
        attachments: Vec<AttachRequest>,
    },
    /// Attachments reached what is applied.
    CatchUp {
        /// Which.
        attachments: Vec<CaughtUp>,
    },
    /// Attachments are to end; the regions stay wanted.
    Detach {
        /// Which, and why.
        attachments: Vec<Detached>,
    },
    /// A consumer has everything up to these positions. Refused as a whole.
    Acknowledge {
        /// Whose.
        observer: ObserverId,
        /// How far, in each region.
        positions: Vec<Acknowledged>,
    },
    /// Changes are lost, or are about to be.
    Invalidate {
        /// To whom.
        observer: ObserverId,
        /// In which regions, and what.
        losses: Vec<Invalidated>,
    },
    /// A consumer chose where to go on. Refused as a whole.
    Rebase {
        /// Whose.
        observer: ObserverId,
        /// Where, in each region.
        starts: Vec<Rebased>,
    },
    /// A consumer was told elsewhere of everything up to these positions. What is not news is left out.
    TakeOver {
        /// Whose.
        observer: ObserverId,
        /// How far, in each region.
        positions: Vec<(RegionId, u64)>,
    },
    /// The ends of draining attachments are known.
    End {
        /// Which, and where.
        attachments: Vec<Ended>,
    },
    /// The process that had attached what is attached is gone.
    Restart,
}

/// One attachment to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttachRequest {
    /// Whose.
    pub observer: ObserverId,
    /// To which region.
    pub region: RegionId,
    /// The leadership that it rests on; none for what is left of a region that ended here.
    pub leads: Option<Leads>,
}

/// That this store leads a region, as a request knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leads {
    /// The peer that leads.
    pub incarnation: Incarnation,
    /// The term in which it does.
    pub term: u64,
    /// Version of the region's epoch.
    pub version: u64,
    /// The last index that is applied.
    pub applied: u64,
}
