//! `Outcome`: what [`step`](super::step) says about an event, and what has to follow.
//!
//! Not here: who carries effects out (`engine`).

use torrens_journal::Lsn;

use super::{Change, DeletionId, Refusal, SnapshotRef};
use crate::{Incarnation, KeyRange, RegionId};

/// What the machine says about one event. Nothing has happened yet when you hold this.
#[must_use = "an accepted outcome that is not journaled is a lost transition"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Legal: once the record is durable, the change holds and its effects follow.
    Accepted(Accepted),
    /// The event's result is already part of the state.
    AlreadyApplied,
    /// Legal, and something on this store has to happen first; nothing changes. Ask again then: a
    /// committed entry is never refused because this store is behind.
    Wait(WaitReason),
    /// Not legal here; nothing changes. A fact about the request, not a failure of the store.
    Refused(Refusal),
}

/// What has to happen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WaitReason {
    /// The source of a merge has not applied the entry that prepared it. The host gives its log the
    /// entries that the target's entry carries, and applies them.
    #[error("{source_region} has applied index {has}, and the merge needs {needs}")]
    SourceBehind {
        /// The source.
        source_region: RegionId,
        /// The index that it has to reach.
        needs: u64,
        /// The last index that changed its metadata.
        has: u64,
    },
    /// A snapshot is being applied to the source of a merge.
    #[error("a snapshot is being applied to {source_region}")]
    SourceApplying {
        /// The source.
        source_region: RegionId,
    },
    /// The source of a merge of witnesses is not here: the target needs its description anew.
    #[error("{source_region} is not here, and the witness of its target needs a new description")]
    SourceMissing {
        /// The source.
        source_region: RegionId,
    },
}

impl WaitReason {
    /// Stable code for logs, tools and hosts.
    pub const fn code(&self) -> &'static str {
        match self {
            WaitReason::SourceBehind { .. } => "merge-source-behind",
            WaitReason::SourceApplying { .. } => "merge-source-applying",
            WaitReason::SourceMissing { .. } => "merge-source-missing",
        }
    }
}

/// A legal event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to journal, and then to [`apply`](super::apply).
    pub change: Change,
    /// What to do once it is durable, in order.
    pub effects: PlannedEffects,
}

/// Effects of a change whose position in the journal is not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedEffects(pub(super) Vec<Planned>);

/// One planned effect; deletions are named by their place among those of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    Clear { ordinal: u32, range: KeyRange },
    Known(Effect),
}

/// Something idempotent that follows from a durable change. Whatever a crash takes away is found
/// again in [`Register::open_operations`](super::Register::open_operations).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Delete every version of every key in the range, make that durable, then
    /// [`Event::FinishDeletion`](super::Event::FinishDeletion).
    ClearRange {
        /// The pending deletion.
        deletion: DeletionId,
        /// Its keys.
        range: KeyRange,
    },
    /// Clear the range, ingest the staged file, make that durable, then
    /// [`Event::EndSnapshot`](super::Event::EndSnapshot).
    IngestSnapshot {
        /// Which region.
        region: RegionId,
        /// The peer that applies it.
        incarnation: Incarnation,
        /// The staged file.
        snapshot: SnapshotRef,
    },
    /// Stop mirroring into the region's memory, and free it when nothing pins it:
    /// [`Event::EvictBegin`](super::Event::EvictBegin), then
    /// [`Event::EvictEnd`](super::Event::EvictEnd).
    FreeCache {
        /// Which region.
        region: RegionId,
    },
    /// Fill the region's memory: [`Event::LoadBegin`](super::Event::LoadBegin), copy,
    /// [`Event::LoadEnd`](super::Event::LoadEnd).
    StartLoad {
        /// Which region.
        region: RegionId,
        /// The peer that it is for.
        incarnation: Incarnation,
    },
}

impl PlannedEffects {
    /// The effects, now that the record has its position.
    pub fn at(self, lsn: Lsn) -> Vec<Effect> {
        let resolve = |planned| match planned {
            Planned::Clear { ordinal, range } => Effect::ClearRange {
                deletion: DeletionId { lsn, ordinal },
                range,
            },
            Planned::Known(effect) => effect,
        };
        self.0.into_iter().map(resolve).collect()
    }
}

impl Outcome {
    /// An accepted change that nothing has to follow.
    pub(super) fn accept(change: Change) -> Self {
        Outcome::accept_with(change, Vec::new())
    }

    /// An accepted change and what has to follow it.
    pub(super) fn accept_with(change: Change, effects: Vec<Planned>) -> Self {
        let effects = PlannedEffects(effects);
        Outcome::Accepted(Accepted { change, effects })
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Outcome::Refused(refusal)
    }
}
