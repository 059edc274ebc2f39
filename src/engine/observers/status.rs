//! What is known of observers, as plain values.

use std::fmt;

use torrens_journal::Lsn;

use crate::engine::core::Core;
use crate::lifecycle::{
    Attachment, AttachmentState, Drain, InvalidReason, Loss, Mode, Observer, PeerStage, Register,
    Reset,
};
use crate::{Generation, KeyRange, ObserverId, ObserverName, ObserverPolicy, RegionId};

/// The durable state of one observer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserverStatus {
    /// Its id.
    pub id: ObserverId,
    /// What it is called.
    pub name: ObserverName,
    /// The keys that it asks for, ascending and apart.
    pub ranges: Vec<KeyRange>,
    /// Its limits.
    pub policy: ObserverPolicy,
    /// Whether it is paused.
    pub paused: bool,
    /// The record that added it.
    pub added: Lsn,
    /// Regions by what their attachment does.
    pub regions: ObserverRegions,
}

/// How many regions of an observer are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserverRegions {
    /// To be attached.
    pub wanted: usize,
    /// Reading what is kept.
    pub catching_up: usize,
    /// At what is applied.
    pub live: usize,
    /// Ended here, and not acknowledged to the end.
    pub draining: usize,
    /// Waiting for the consumer to choose where to go on.
    pub invalidated: usize,
}

/// How far an observer is in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedRegion {
    /// Which region.
    pub region: RegionId,
    /// Its keys, if it is here.
    pub range: Option<KeyRange>,
    /// Stable lower-case name of what the attachment does: `wanted`, `catching-up`, `live`, `draining`
    /// or `invalidated`.
    pub state: &'static str,
    /// Why it is not live; none if it is.
    pub reason: Option<ObserverReason>,
    /// The last generation that was minted for it.
    pub generation: Generation,
    /// The term in which it was attached; none if it is not.
    pub term: Option<u64>,
    /// Everything up to this index is acknowledged.
    pub acked: u64,
    /// The last index that is applied here; 0 of a region that is not here.
    pub applied: u64,
    /// What the consumer has to be told before the next change.
    pub reset: Reset,
    /// The region and the index that come before it, while they matter.
    pub after: Option<(RegionId, u64)>,
    /// The region that took this one in, and the index of the merge: what that has above comes after what is left
    /// of this one.
    pub before: Option<(RegionId, u64)>,
    /// When the next attempt is due, in microseconds of the wall clock, if one failed.
    pub next_attempt_micros: Option<u64>,
}

/// Why a region is not live for an observer, at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserverReason {
    /// The observer is paused.
    Paused,
    /// The region's data here cannot be trusted.
    RegionDamaged,
    /// A snapshot is being applied to the region.
    SnapshotApplying,
    /// Whether the cluster begins with the region is not known yet.
    Unconfirmed,
    /// Nobody said that this store leads the region.
    LeadershipUnknown,
    /// This store does not lead the region.
    NotLeader,
    /// The last attempt failed; the next is due at a time.
    BackingOff,
    /// It is about to be attached.
    Attaching,
    /// It reads what is kept.
    CatchingUp,
    /// The region ended here; what is left is delivered up to this index, if that is known.
    Ended {
        /// Index of the last change.
        end: Option<u64>,
    },
    /// Changes were lost; the consumer has to choose where to go on.
    Lost {
        /// Why.
        reason: InvalidReason,
        /// First index whose changes may be lost.
        first_lost: u64,
        /// First index from which on changes are there again.
        first_available: u64,
    },
}

impl ObserverReason {
    /// Stable code for logs, tools and hosts.
    pub const fn code(&self) -> &'static str {
        match self {
            ObserverReason::Paused => "paused",
            ObserverReason::RegionDamaged => "region-damaged",
            ObserverReason::SnapshotApplying => "snapshot-applying",
            ObserverReason::Unconfirmed => "bootstrap-unconfirmed",
            ObserverReason::LeadershipUnknown => "leadership-unknown",
            ObserverReason::NotLeader => "not-leader",
            ObserverReason::BackingOff => "backing-off",
            ObserverReason::Attaching => "attaching",
            ObserverReason::CatchingUp => "catching-up",
            ObserverReason::Ended { .. } => "ended",
            ObserverReason::Lost { reason, .. } => reason.as_str(),
        }
    }
}

impl fmt::Display for ObserverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObserverReason::Lost {
                reason,
                first_lost,
                first_available,
            } => {
                let why = reason.as_str();
                write!(
                    f,
                    "{why}: lost from i{first_lost}, goes on at i{first_available}"
                )
            }
            ObserverReason::Ended { end: Some(end) } => write!(f, "ended at i{end}"),
            ObserverReason::Ended { end: None }
            | ObserverReason::Paused
            | ObserverReason::RegionDamaged
            | ObserverReason::SnapshotApplying
            | ObserverReason::Unconfirmed
            | ObserverReason::LeadershipUnknown
            | ObserverReason::NotLeader
            | ObserverReason::BackingOff
            | ObserverReason::Attaching
            | ObserverReason::CatchingUp => f.write_str(self.code()),
        }
    }
}

pub(super) fn all(core: &Core) -> Vec<ObserverStatus> {
    let register = core.published();
    let all = register.observers().iter();
    all.map(|(id, observer)| status(id, observer)).collect()
}

pub(super) fn one(core: &Core, observer: ObserverId) -> Option<ObserverStatus> {
    let register = core.published();
    let found = register.observers().get(observer)?;
    Some(status(observer, found))
}

fn status(id: ObserverId, observer: &Observer) -> ObserverStatus {
    let mut regions = ObserverRegions::default();
    for (_, attachment) in observer.attachments() {
        let count = match attachment.state {
            AttachmentState::Wanted { .. } => &mut regions.wanted,
            AttachmentState::CatchingUp { .. } => &mut regions.catching_up,
            AttachmentState::Live { .. } => &mut regions.live,
            AttachmentState::Draining(_) => &mut regions.draining,
            AttachmentState::Invalidated(_) => &mut regions.invalidated,
        };
        *count = count.saturating_add(1);
    }
    ObserverStatus {
        id,
        name: observer.name.clone(),
        ranges: observer.ranges.iter().cloned().collect(),
        policy: observer.policy,
        paused: observer.paused,
        added: observer.added,
        regions,
    }
}

pub(super) fn regions(core: &Core, observer: ObserverId) -> Vec<ObservedRegion> {
    // A copy, so that nobody who publishes waits while rows are looked up.
    let register = core.published().clone();
    let Some(known) = register.observers().get(observer) else {
        return Vec::new();
    };
    let of = |(region, attachment): (RegionId, &Attachment)| {
        let description = register.peer(region).and_then(|peer| peer.stage.region());
        let retries = &core.observing.registry.retries;
        ObservedRegion {
            region,
            range: description.map(|description| description.range.clone()),
            state: attachment.state.as_str(),
            reason: reason(core, &register, known, (observer, region), attachment),
            generation: attachment.generation,
            term: attachment.term(),
            acked: attachment.acked,
            applied: core.applied(region),
            reset: attachment.reset,
            after: known.comes_after(attachment),
            before: match &attachment.state {
                AttachmentState::Draining(drain) => {
                    drain.into.map(|into| (into.region, into.index))
                }
                _ => None,
            },
            next_attempt_micros: retries.next_micros((observer, region)),
        }
    };
    known.attachments().map(of).collect()
}

fn reason(
    core: &Core,
    register: &Register,
    known: &Observer,
    at: (ObserverId, RegionId),
    attachment: &Attachment,
) -> Option<ObserverReason> {
    match &attachment.state {
        AttachmentState::Live { .. } => None,
        AttachmentState::CatchingUp { .. } => Some(ObserverReason::CatchingUp),
        AttachmentState::Draining(drain) => {
            let Drain { end, .. } = **drain;
            Some(match known.paused {
                true => ObserverReason::Paused,
                false => ObserverReason::Ended { end },
            })
        }
        AttachmentState::Invalidated(loss) => {
            let Loss {
                reason,
                first_lost,
                first_available,
            } = **loss;
            Some(ObserverReason::Lost {
                reason,
                first_lost,
                first_available,
            })
        }
        AttachmentState::Wanted { .. } if known.paused => Some(ObserverReason::Paused),
        AttachmentState::Wanted { .. } => Some(why_wanted(core, register, at)),
    }
}

fn why_wanted(core: &Core, register: &Register, at: (ObserverId, RegionId)) -> ObserverReason {
    let (_, region) = at;
    let Some(peer) = register.peer(region) else {
        return ObserverReason::NotLeader;
    };
    match &peer.stage {
        PeerStage::Normal(normal) if *normal.mode == Mode::Unconfirmed => {
            return ObserverReason::Unconfirmed;
        }
        PeerStage::Normal(_) => {}
        PeerStage::Damaged(_) => return ObserverReason::RegionDamaged,
        PeerStage::Applying(_) => return ObserverReason::SnapshotApplying,
        PeerStage::Uninitialized | PeerStage::Witness(_) | PeerStage::Waiting(_) => {
            return ObserverReason::NotLeader;
        }
    }
    let known = core.observing.leadership.get(region);
    let Some(known) = known.filter(|known| known.incarnation == peer.incarnation) else {
        return ObserverReason::LeadershipUnknown;
    };
    if known.leads(peer.incarnation).is_none() {
        return ObserverReason::NotLeader;
    }
    match core.observing.registry.retries.next_micros(at) {
        Some(_) => ObserverReason::BackingOff,
        None => ObserverReason::Attaching,
    }
}
