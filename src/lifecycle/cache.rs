//! The state of a region's cache: what the memory of this process holds of it, and why.
//!
//! ```text
//!            request              begin           end
//!  Absent ───────────► LoadRequested ──► Loading ──► Active
//!    ▲  ▲                 │                 │ cancel,    │ evict
//!    │  └─────evict───────┘                 ▼ evict      ▼
//!    │                                  Cancelled   EvictPending
//!    │               end                    └──begin─┬───┘
//!    └──────────────────────────────── Evicting ◄────┘
//!           (or to LoadRequested, if a load was queued meanwhile and still makes sense)
//! ```
//!
//! Memory on its way out keeps the keys that it held until it is gone, whatever becomes of its region. A
//! load of another region that has some of these keys waits for that too: Absent goes to LoadQueued, and
//! from there straight to Loading when the last such eviction has ended.
//!
//! Not here: the memory (`crate::cache`), when a load or an eviction runs (`engine`).

use super::Usual;
use crate::{Incarnation, RegionId};

/// A region's cache, with what its state needs to remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheEntry {
    /// No memory is held, none is wanted.
    #[default]
    Absent,
    /// A load was asked for and has not begun; no memory is held.
    LoadRequested {
        /// The peer it is for.
        incarnation: Incarnation,
    },
    /// A load was asked for, and memory of other regions that holds some of its keys is still on its way
    /// out; no memory is held.
    LoadQueued {
        /// The peer it is for.
        incarnation: Incarnation,
    },
    /// The memory is being filled, and writes are mirrored into it.
    Loading {
        /// The peer it is for.
        incarnation: Incarnation,
    },
    /// The memory is complete and serves reads.
    Active {
        /// The peer it is for.
        incarnation: Incarnation,
        /// The region whose load filled it, if a split handed it over.
        shared_from: Option<RegionId>,
    },
    /// A load was cancelled; its memory is not yet let go.
    Cancelled {
        /// The peer it was for.
        incarnation: Incarnation,
        /// Why.
        reason: EvictReason,
        /// A load that was asked for meanwhile.
        queued: Option<QueuedLoad>,
    },
    /// Serves no new reads; readers that hold it may still pin it.
    EvictPending {
        /// The peer it was for.
        incarnation: Incarnation,
        /// Why.
        reason: EvictReason,
        /// A load that was asked for meanwhile.
        queued: Option<QueuedLoad>,
    },
    /// Nothing pins it; the memory is being freed.
    Evicting {
        /// The peer it was for.
        incarnation: Incarnation,
        /// Why.
        reason: EvictReason,
        /// A load that was asked for meanwhile.
        queued: Option<QueuedLoad>,
    },
}

impl Usual for CacheEntry {
    const USUAL: &'static CacheEntry = &CacheEntry::Absent;
}

/// A [`CacheEntry`] without its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheState {
    /// See [`CacheEntry::Absent`].
    Absent,
    /// See [`CacheEntry::LoadRequested`].
    LoadRequested,
    /// See [`CacheEntry::LoadQueued`].
    LoadQueued,
    /// See [`CacheEntry::Loading`].
    Loading,
    /// See [`CacheEntry::Active`].
    Active,
    /// See [`CacheEntry::Cancelled`].
    Cancelled,
    /// See [`CacheEntry::EvictPending`].
    EvictPending,
    /// See [`CacheEntry::Evicting`].
    Evicting,
}

/// A load that waits for an eviction to end. The peer and the range it was asked for are named by
/// incarnation and version: both must still hold when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueuedLoad {
    /// The peer it is for.
    pub incarnation: Incarnation,
    /// The region's version when it was asked for.
    pub version: u64,
}

/// What became of a queued load when the eviction before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueuedLoadFate {
    /// None was queued.
    None,
    /// It starts now.
    Starts,
    /// It makes no sense any more.
    Dropped(DropReason),
}

/// Why a queued load was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The peer it was for is gone.
    IncarnationGone,
    /// The peer does not serve its region: a snapshot is applied, or it is damaged.
    NotServing,
    /// The region's range changed.
    RangeChanged,
}

/// Why a cache is let go, or a load cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvictReason {
    /// Somebody asked for it.
    Requested,
    /// Memory is needed for others.
    MemoryLimit,
    /// The load could not be finished.
    LoadFailed,
    /// The region was split while its load was under way.
    Split,
    /// A snapshot replaces the data.
    Snapshot,
    /// The peer is gone.
    Destroyed,
    /// The data cannot be trusted.
    Damaged,
    /// The process that held the memory is gone.
    Restart,
    /// Read too little to be worth its memory.
    Cold,
    /// This peer itself stepped down from leader to follower.
    LeadershipLost,
    /// A merge joins it with another region.
    Merge,
    /// A range of its keys is deleted beside the versions.
    DeleteRange,
    /// Rows are brought into the data store beside the write path.
    Ingest,
    /// The region goes back in time.
    Flashback,
    /// The last label that held it in memory was removed.
    LabelRemoved,
    /// Caching was switched off.
    Disabled,
    /// A check found it to differ from the data store.
    Mismatch,
    /// The peer became a witness.
    Witness,
    /// The region was split before its load had begun: what was asked for is no more.
    SplitBeforeLoad,
}

/// Why the store itself asks for a load that nobody else asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadReason {
    /// Read often enough, by its statistics.
    Hot,
    /// A label covers it.
    Label,
    /// Another store announced that this one takes over its leadership.
    Preload,
    /// It was in memory before the process started again.
    WarmRestart,
    /// Its memory was found to differ from the data store, and let go.
    Repair,
}

impl CacheEntry {
    /// The state without its facts.
    pub const fn state(&self) -> CacheState {
        match self {
            CacheEntry::Absent => CacheState::Absent,
            CacheEntry::LoadRequested { .. } => CacheState::LoadRequested,
            CacheEntry::LoadQueued { .. } => CacheState::LoadQueued,
            CacheEntry::Loading { .. } => CacheState::Loading,
            CacheEntry::Active { .. } => CacheState::Active,
            CacheEntry::Cancelled { .. } => CacheState::Cancelled,
            CacheEntry::EvictPending { .. } => CacheState::EvictPending,
            CacheEntry::Evicting { .. } => CacheState::Evicting,
        }
    }

    /// The peer whose data it holds, held or will hold.
    pub const fn incarnation(&self) -> Option<Incarnation> {
        match self {
            CacheEntry::Absent => None,
            CacheEntry::LoadRequested { incarnation }
            | CacheEntry::LoadQueued { incarnation }
            | CacheEntry::Loading { incarnation }
            | CacheEntry::Active { incarnation, .. }
            | CacheEntry::Cancelled { incarnation, .. }
            | CacheEntry::EvictPending { incarnation, .. }
            | CacheEntry::Evicting { incarnation, .. } => Some(*incarnation),
        }
    }

    /// The load that waits behind it.
    pub const fn queued(&self) -> Option<QueuedLoad> {
        match self {
            CacheEntry::Absent
            | CacheEntry::LoadRequested { .. }
            | CacheEntry::LoadQueued { .. }
            | CacheEntry::Loading { .. }
            | CacheEntry::Active { .. } => None,
            CacheEntry::Cancelled { queued, .. }
            | CacheEntry::EvictPending { queued, .. }
            | CacheEntry::Evicting { queued, .. } => *queued,
        }
    }

    /// What is left of it when its peer stops serving (or, with [`EvictReason::Split`], when a load
    /// under way can no longer be right): serving less needs nobody's consent.
    pub(super) const fn withdrawn(self, reason: EvictReason) -> CacheEntry {
        match self {
            CacheEntry::Absent
            | CacheEntry::LoadRequested { .. }
            | CacheEntry::LoadQueued { .. } => CacheEntry::Absent,
            CacheEntry::Loading { incarnation } => CacheEntry::Cancelled {
                incarnation,
                reason,
                queued: None,
            },
            CacheEntry::Active { incarnation, .. } => CacheEntry::EvictPending {
                incarnation,
                reason,
                queued: None,
            },
            CacheEntry::Cancelled { .. }
            | CacheEntry::EvictPending { .. }
            | CacheEntry::Evicting { .. } => self,
        }
    }
}

impl CacheState {
    /// Whether memory is on its way out: it serves nobody any more and is not gone yet.
    pub const fn is_leaving(self) -> bool {
        match self {
            CacheState::Cancelled | CacheState::EvictPending | CacheState::Evicting => true,
            CacheState::Absent
            | CacheState::LoadRequested
            | CacheState::LoadQueued
            | CacheState::Loading
            | CacheState::Active => false,
        }
    }

    /// Every state, in the order of a cache's life.
    pub const ALL: [CacheState; 8] = [
        CacheState::Absent,
        CacheState::LoadRequested,
        CacheState::LoadQueued,
        CacheState::Loading,
        CacheState::Active,
        CacheState::Cancelled,
        CacheState::EvictPending,
        CacheState::Evicting,
    ];

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            CacheState::Absent => "absent",
            CacheState::LoadRequested => "load-requested",
            CacheState::LoadQueued => "load-queued",
            CacheState::Loading => "loading",
            CacheState::Active => "active",
            CacheState::Cancelled => "cancelled",
            CacheState::EvictPending => "evict-pending",
            CacheState::Evicting => "evicting",
        }
    }
}

impl EvictReason {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            EvictReason::Requested => "requested",
            EvictReason::MemoryLimit => "memory-limit",
            EvictReason::LoadFailed => "load-failed",
            EvictReason::Split => "split",
            EvictReason::Snapshot => "snapshot",
            EvictReason::Destroyed => "destroyed",
            EvictReason::Damaged => "damaged",
            EvictReason::Restart => "restart",
            EvictReason::Cold => "cold",
            EvictReason::LeadershipLost => "leadership-lost",
            EvictReason::Merge => "merge",
            EvictReason::DeleteRange => "delete-range",
            EvictReason::Ingest => "ingest",
            EvictReason::Flashback => "flashback",
            EvictReason::LabelRemoved => "label-removed",
            EvictReason::Disabled => "disabled",
            EvictReason::Mismatch => "mismatch",
            EvictReason::Witness => "witness",
            EvictReason::SplitBeforeLoad => "split-before-load",
        }
    }

    /// Every reason, in the order of their numbers in the journal.
    pub const ALL: [EvictReason; 19] = [
        EvictReason::Requested,
        EvictReason::MemoryLimit,
        EvictReason::LoadFailed,
        EvictReason::Split,
        EvictReason::Snapshot,
        EvictReason::Destroyed,
        EvictReason::Damaged,
        EvictReason::Restart,
        EvictReason::Cold,
        EvictReason::LeadershipLost,
        EvictReason::Merge,
        EvictReason::DeleteRange,
        EvictReason::Ingest,
        EvictReason::Flashback,
        EvictReason::LabelRemoved,
        EvictReason::Disabled,
        EvictReason::Mismatch,
        EvictReason::Witness,
        EvictReason::SplitBeforeLoad,
    ];
}

impl LoadReason {
    /// Every reason, in the order of their numbers in the journal.
    pub const ALL: [LoadReason; 5] = [
        LoadReason::Hot,
        LoadReason::Label,
        LoadReason::Preload,
        LoadReason::WarmRestart,
        LoadReason::Repair,
    ];

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            LoadReason::Hot => "hot",
            LoadReason::Label => "label",
            LoadReason::Preload => "preload",
            LoadReason::WarmRestart => "warm-restart",
            LoadReason::Repair => "repair",
        }
    }
}

impl DropReason {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::IncarnationGone => "incarnation-gone",
            DropReason::NotServing => "not-serving",
            DropReason::RangeChanged => "range-changed",
        }
    }
}
