//! Observers as bytes: the bodies of their records, and their items in a checkpoint.
//!
//! The order of fields and of variants is the format. Lists of regions of one observer ascend, and a
//! region's id is written as its distance from the one before, from 0.

use bincode::{BorrowDecode, Decode, Encode};

use super::bytes::List;
use super::wire::{self, WireInvalid, WireRange, WireReset, WireWant, bounded};
use super::{CodecError, bytes};
use crate::lifecycle::{
    Acknowledged, Attached, Attachment, AttachmentState, CaughtUp, ChangeKind, Detached, Drain,
    Ended, Invalidated, Loss, Observer, ObserverChange, Observers, Origin, Rebased, RegisterItem,
    Started,
};
use crate::{
    Generation, KeyRange, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId,
};

#[derive(Encode, BorrowDecode)]
struct WireAdded<'a> {
    observer: u64,
    name: &'a str,
    ranges: List<WireRange<'a>>,
    policy: WirePolicy,
    starts: List<WireStart>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WirePolicy {
    retain_bytes_max: Option<u64>,
    retain_age_millis_max: Option<u64>,
    early: bool,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireStart {
    region_step: u64,
    acked: u64,
}

#[derive(Encode, Decode)]
struct WirePolicySet {
    observer: u64,
    policy: WirePolicy,
}

#[derive(Encode, BorrowDecode)]
struct WireAttached {
    first: u64,
    attachments: List<WireAttachedOne>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireAttachedOne {
    observer: u64,
    region: u64,
    version: u64,
    term: u64,
    from: u64,
    live: bool,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireCaughtUp {
    observer: u64,
    region: u64,
    generation: u64,
    index: u64,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireDetached {
    observer: u64,
    region: u64,
    generation: u64,
    reason: WireWant,
}

#[derive(Encode, BorrowDecode)]
struct WireAcknowledged {
    observer: u64,
    positions: List<WirePositionOf>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WirePositionOf {
    region_step: u64,
    generation: u64,
    index: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireInvalidated {
    observer: u64,
    losses: List<WireLossOf>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireLossOf {
    region_step: u64,
    loss: WireLoss,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireLoss {
    reason: WireInvalid,
    first_lost: u64,
    first_available: u64,
}

#[derive(Encode, BorrowDecode)]
struct WireRebased {
    observer: u64,
    starts: List<WireRebase>,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireRebase {
    region_step: u64,
    acked: Option<u64>,
    reset: WireReset,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireEnded {
    observer: u64,
    region: u64,
    end: u64,
}

#[derive(Encode, Decode)]
pub(super) struct WireObservers {
    last_id: u64,
    last_generation: u64,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireObserver<'a> {
    observer: u64,
    name: &'a str,
    ranges: List<WireRange<'a>>,
    policy: WirePolicy,
    paused: bool,
    added: u64,
}

#[derive(Clone, Copy, Encode, Decode)]
pub(super) struct WireAttachment {
    region_step: u64,
    acked: u64,
    generation: u64,
    reset: WireReset,
    origin: Option<WireOrigin>,
    state: WireState,
}

#[derive(Clone, Copy, Encode, Decode)]
struct WireOrigin {
    region: u64,
    index: u64,
}

#[derive(Clone, Copy, Encode, Decode)]
enum WireState {
    Wanted(WireWant),
    CatchingUp {
        term: u64,
    },
    Live {
        term: u64,
    },
    Draining {
        end: Option<u64>,
        into: Option<WireOrigin>,
        attached: bool,
    },
    Invalidated(WireLoss),
}

/// Ascending regions as the steps between them.
#[derive(Default)]
struct Steps(u64);

impl Steps {
    /// The step to `region`, which is not below the one before.
    fn to(&mut self, region: RegionId) -> u64 {
        let step = region.0.wrapping_sub(self.0);
        self.0 = region.0;
        step
    }

    /// The region a step further.
    fn from(&mut self, step: u64, what: &'static str) -> Result<RegionId, CodecError> {
        let next = self.0.checked_add(step).filter(|_| step > 0);
        self.0 = next.ok_or(CodecError::NotCanonical { what })?;
        Ok(RegionId(self.0))
    }
}

/// Appends the body of `change`.
pub(super) fn put_body(payload: &mut Vec<u8>, change: &ObserverChange) {
    let mut steps = Steps::default();
    match change {
        ObserverChange::Added {
            observer,
            name,
            ranges,
            policy,
            starts,
        } => {
            let starts = starts.iter().map(|start| WireStart {
                region_step: steps.to(start.region),
                acked: start.acked,
            });
            let added = WireAdded {
                observer: observer.0,
                name: name.as_str(),
                ranges: List(ranges.iter().map(WireRange::from).collect()),
                policy: (*policy).into(),
                starts: List(starts.collect()),
            };
            bytes::put(payload, &added);
        }
        ObserverChange::Removed { observer }
        | ObserverChange::Paused { observer }
        | ObserverChange::Resumed { observer } => bytes::put(payload, &observer.0),
        ObserverChange::PolicySet { observer, policy } => {
            let (observer, policy) = (observer.0, (*policy).into());
            bytes::put(payload, &WirePolicySet { observer, policy });
        }
        ObserverChange::Attached { first, attachments } => {
            let attachments = attachments.iter().map(|one| WireAttachedOne {
                observer: one.observer.0,
                region: one.region.0,
                version: one.version,
                term: one.term,
                from: one.from,
                live: one.live,
            });
            let (first, attachments) = (first.0, List(attachments.collect()));
            bytes::put(payload, &WireAttached { first, attachments });
        }
        ObserverChange::CaughtUp { attachments } => {
            let attachments = attachments.iter().map(|one| WireCaughtUp {
                observer: one.observer.0,
                region: one.region.0,
                generation: one.generation.0,
                index: one.index,
            });
            bytes::put(payload, &List(attachments.collect::<Vec<_>>()));
        }
        ObserverChange::Detached { attachments } => {
            let attachments = attachments.iter().map(|one| WireDetached {
                observer: one.observer.0,
                region: one.region.0,
                generation: one.generation.0,
                reason: one.reason.into(),
            });
            bytes::put(payload, &List(attachments.collect::<Vec<_>>()));
        }
        ObserverChange::Acknowledged {
            observer,
            positions,
        } => {
            let positions = positions.iter().map(|one| WirePositionOf {
                region_step: steps.to(one.region),
                generation: one.generation.0,
                index: one.index,
            });
            let (observer, positions) = (observer.0, List(positions.collect()));
            bytes::put(
                payload,
                &WireAcknowledged {
                    observer,
                    positions,
                },
            );
        }
        ObserverChange::Invalidated { observer, losses } => {
            let losses = losses.iter().map(|one| WireLossOf {
                region_step: steps.to(one.region),
                loss: one.loss.into(),
            });
            let (observer, losses) = (observer.0, List(losses.collect()));
            bytes::put(payload, &WireInvalidated { observer, losses });
        }
        ObserverChange::Rebased { observer, starts } => {
            let starts = starts.iter().map(|one| WireRebase {
                region_step: steps.to(one.region),
                acked: one.acked,
                reset: one.reset.into(),
            });
            let (observer, starts) = (observer.0, List(starts.collect()));
            bytes::put(payload, &WireRebased { observer, starts });
        }
        ObserverChange::Ended { attachments } => {
            let attachments = attachments.iter().map(|one| WireEnded {
                observer: one.observer.0,
                region: one.region.0,
                end: one.end,
            });
            bytes::put(payload, &List(attachments.collect::<Vec<_>>()));
        }
        ObserverChange::Restarted => {}
    }
}

/// Takes the body of an observers' record; none if the kind is of another family.
pub(super) fn take_body(
    rest: &mut &[u8],
    kind: ChangeKind,
) -> Result<Option<ObserverChange>, CodecError> {
    let what = kind.name();
    let observer = |rest: &mut &[u8]| bytes::take::<u64>(rest, what).map(ObserverId);
    Ok(Some(match kind {
        ChangeKind::ObserverAdded => added_from_wire(bytes::take(rest, what)?, what)?,
        ChangeKind::ObserverRemoved => ObserverChange::Removed {
            observer: observer(rest)?,
        },
        ChangeKind::ObserverPaused => ObserverChange::Paused {
            observer: observer(rest)?,
        },
        ChangeKind::ObserverResumed => ObserverChange::Resumed {
            observer: observer(rest)?,
        },
        ChangeKind::ObserverPolicySet => {
            let WirePolicySet { observer, policy } = bytes::take(rest, what)?;
            let (observer, policy) = (ObserverId(observer), policy.into());
            ObserverChange::PolicySet { observer, policy }
        }
        ChangeKind::ObserverAttached => {
            let wire: WireAttached = bytes::take(rest, what)?;
            let attachments = many(wire.attachments, |one| {
                Ok(Attached {
                    observer: ObserverId(one.observer),
                    region: RegionId(one.region),
                    version: one.version,
                    term: one.term,
                    from: one.from,
                    live: one.live,
                })
            })?;
            let first = Generation(wire.first);
            ObserverChange::Attached { first, attachments }
        }
        ChangeKind::ObserverCaughtUp => {
            let attachments = many(bytes::take(rest, what)?, |one: WireCaughtUp| {
                Ok(CaughtUp {
                    observer: ObserverId(one.observer),
                    region: RegionId(one.region),
                    generation: Generation(one.generation),
                    index: one.index,
                })
            })?;
            ObserverChange::CaughtUp { attachments }
        }
        ChangeKind::ObserverDetached => {
            let attachments = many(bytes::take(rest, what)?, |one: WireDetached| {
                Ok(Detached {
                    observer: ObserverId(one.observer),
                    region: RegionId(one.region),
                    generation: Generation(one.generation),
                    reason: one.reason.into(),
                })
            })?;
            ObserverChange::Detached { attachments }
        }
        ChangeKind::ObserverAcknowledged => {
            let wire: WireAcknowledged = bytes::take(rest, what)?;
            let mut steps = Steps::default();
            let positions = many(wire.positions, |one| {
                Ok(Acknowledged {
                    region: steps.from(one.region_step, what)?,
                    generation: Generation(one.generation),
                    index: one.index,
                })
            })?;
            let observer = ObserverId(wire.observer);
            ObserverChange::Acknowledged {
                observer,
                positions,
            }
        }
        ChangeKind::ObserverInvalidated => {
            let wire: WireInvalidated = bytes::take(rest, what)?;
            let mut steps = Steps::default();
            let losses = many(wire.losses, |one| {
                let region = steps.from(one.region_step, what)?;
                let loss = one.loss.into();
                Ok(Invalidated { region, loss })
            })?;
            let observer = ObserverId(wire.observer);
            ObserverChange::Invalidated { observer, losses }
        }
        ChangeKind::ObserverRebased => {
            let wire: WireRebased = bytes::take(rest, what)?;
            let mut steps = Steps::default();
            let starts = many(wire.starts, |one| {
                Ok(Rebased {
                    region: steps.from(one.region_step, what)?,
                    acked: one.acked,
                    reset: one.reset.into(),
                })
            })?;
            let observer = ObserverId(wire.observer);
            ObserverChange::Rebased { observer, starts }
        }
        ChangeKind::ObserverEnded => {
            let attachments = many(bytes::take(rest, what)?, |one: WireEnded| {
                Ok(Ended {
                    observer: ObserverId(one.observer),
                    region: RegionId(one.region),
                    end: one.end,
                })
            })?;
            ObserverChange::Ended { attachments }
        }
        ChangeKind::ObserverRestarted => ObserverChange::Restarted,
        _ => return Ok(None),
    }))
}

/// Entries about attachments.
fn many<W, T>(
    List(wire): List<W>,
    from: impl FnMut(W) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    bounded("attachments", wire.len(), Observers::PER_RECORD_MAX)?;
    wire.into_iter().map(from).collect()
}

fn added_from_wire(wire: WireAdded<'_>, what: &'static str) -> Result<ObserverChange, CodecError> {
    let List(starts) = wire.starts;
    bounded("starts", starts.len(), Observers::STARTS_MAX)?;
    let mut steps = Steps::default();
    let starts = starts.into_iter().map(|start| {
        Ok(Started {
            region: steps.from(start.region_step, what)?,
            acked: start.acked,
        })
    });
    Ok(ObserverChange::Added {
        observer: ObserverId(wire.observer),
        name: name(wire.name, what)?,
        ranges: ranges(wire.ranges, what)?,
        policy: wire.policy.into(),
        starts: starts.collect::<Result<_, CodecError>>()?,
    })
}

fn name(name: &str, what: &'static str) -> Result<ObserverName, CodecError> {
    ObserverName::new(name).ok_or(CodecError::NotCanonical { what })
}

fn ranges(
    List(wire): List<WireRange<'_>>,
    what: &'static str,
) -> Result<ObserverRanges, CodecError> {
    bounded("observed ranges", wire.len(), ObserverRanges::COUNT_MAX)?;
    let ranges = wire.into_iter().map(KeyRange::try_from);
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    ObserverRanges::ascending(ranges).map_err(|_| CodecError::NotCanonical { what })
}

pub(super) fn head_to_wire(last_id: u64, last_generation: u64) -> WireObservers {
    WireObservers {
        last_id,
        last_generation,
    }
}

pub(super) fn head_from_wire(wire: WireObservers) -> RegisterItem {
    RegisterItem::Observers {
        last_id: wire.last_id,
        last_generation: wire.last_generation,
    }
}

pub(super) fn observer_to_wire(id: ObserverId, observer: &Observer) -> WireObserver<'_> {
    WireObserver {
        observer: id.0,
        name: observer.name.as_str(),
        ranges: List(observer.ranges.iter().map(WireRange::from).collect()),
        policy: observer.policy.into(),
        paused: observer.paused,
        added: observer.added.get(),
    }
}

pub(super) fn observer_from_wire(wire: WireObserver<'_>) -> Result<RegisterItem, CodecError> {
    let what = "an observer item";
    let policy = wire.policy.into();
    let observer = Observer::without_attachments(
        name(wire.name, what)?,
        ranges(wire.ranges, what)?,
        policy,
        wire.paused,
        wire::lsn(wire.added)?,
    );
    Ok(RegisterItem::Observer(ObserverId(wire.observer), observer))
}

pub(super) fn attachments_to_wire(some: &[(RegionId, Attachment)]) -> List<WireAttachment> {
    let mut steps = Steps::default();
    let wire = some.iter().map(|(region, attachment)| WireAttachment {
        region_step: steps.to(*region),
        acked: attachment.acked,
        generation: attachment.generation.0,
        reset: attachment.reset.into(),
        origin: attachment.origin.as_deref().copied().map(WireOrigin::from),
        state: (&attachment.state).into(),
    });
    List(wire.collect())
}

pub(super) fn attachments_from_wire(
    List(wire): List<WireAttachment>,
) -> Result<RegisterItem, CodecError> {
    let what = "an attachments item";
    bounded("attachments", wire.len(), Observers::PER_ITEM_MAX)?;
    let mut steps = Steps::default();
    let some = wire.into_iter().map(|one| {
        let attachment = Attachment {
            acked: one.acked,
            generation: Generation(one.generation),
            reset: one.reset.into(),
            origin: one.origin.map(|origin| Box::new(origin.into())),
            state: one.state.into(),
        };
        Ok((steps.from(one.region_step, what)?, attachment))
    });
    let some = some.collect::<Result<Vec<_>, CodecError>>()?;
    Ok(RegisterItem::Attachments(some))
}

impl From<ObserverPolicy> for WirePolicy {
    fn from(policy: ObserverPolicy) -> Self {
        let ObserverPolicy {
            retain_bytes_max,
            retain_age_millis_max,
            early,
        } = policy;
        WirePolicy {
            retain_bytes_max,
            retain_age_millis_max,
            early,
        }
    }
}

impl From<WirePolicy> for ObserverPolicy {
    fn from(wire: WirePolicy) -> Self {
        let WirePolicy {
            retain_bytes_max,
            retain_age_millis_max,
            early,
        } = wire;
        ObserverPolicy {
            retain_bytes_max,
            retain_age_millis_max,
            early,
        }
    }
}

impl From<Loss> for WireLoss {
    fn from(loss: Loss) -> Self {
        WireLoss {
            reason: loss.reason.into(),
            first_lost: loss.first_lost,
            first_available: loss.first_available,
        }
    }
}

impl From<WireLoss> for Loss {
    fn from(wire: WireLoss) -> Self {
        Loss {
            reason: wire.reason.into(),
            first_lost: wire.first_lost,
            first_available: wire.first_available,
        }
    }
}

impl From<Origin> for WireOrigin {
    fn from(origin: Origin) -> Self {
        let (region, index) = (origin.region.0, origin.index);
        WireOrigin { region, index }
    }
}

impl From<WireOrigin> for Origin {
    fn from(wire: WireOrigin) -> Self {
        let (region, index) = (RegionId(wire.region), wire.index);
        Origin { region, index }
    }
}

impl From<&AttachmentState> for WireState {
    fn from(state: &AttachmentState) -> Self {
        match state {
            AttachmentState::Wanted { reason } => WireState::Wanted((*reason).into()),
            AttachmentState::CatchingUp { term } => WireState::CatchingUp { term: *term },
            AttachmentState::Live { term } => WireState::Live { term: *term },
            AttachmentState::Draining(drain) => WireState::Draining {
                end: drain.end,
                into: drain.into.map(WireOrigin::from),
                attached: drain.attached,
            },
            AttachmentState::Invalidated(loss) => WireState::Invalidated((**loss).into()),
        }
    }
}

impl From<WireState> for AttachmentState {
    fn from(wire: WireState) -> Self {
        match wire {
            WireState::Wanted(reason) => AttachmentState::Wanted {
                reason: reason.into(),
            },
            WireState::CatchingUp { term } => AttachmentState::CatchingUp { term },
            WireState::Live { term } => AttachmentState::Live { term },
            WireState::Draining {
                end,
                into,
                attached,
            } => AttachmentState::Draining(Box::new(Drain {
                end,
                into: into.map(Origin::from),
                attached,
            })),
            WireState::Invalidated(loss) => AttachmentState::Invalidated(Box::new(loss.into())),
        }
    }
}
