//! What an observer event does, decided and not yet done. Pure and total, as all of `lifecycle::step`.

use std::collections::HashMap;

use torrens_journal::planted;

use super::follow::observed_regions;
use super::{
    Acknowledged, AttachRequest, Attached, Attachment, AttachmentState, CaughtUp, Detached, Ended,
    Invalidated, Observer, ObserverChange, ObserverEvent, ObserverRefusal, Observers, Reset,
    Started, WantReason,
};
use crate::lifecycle::{Change, Mode, Outcome, PeerStage, Refusal, Register};
use crate::{
    Generation, Incarnation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId,
};

mod choosing;

pub(super) use self::choosing::is_here;
pub(crate) use self::choosing::is_news;
use self::choosing::{rebase, take_over};

type Decided = Result<Option<ObserverChange>, ObserverRefusal>;

/// What `event` does to the observers of `register`.
pub(in crate::lifecycle) fn step(register: &Register, event: &ObserverEvent) -> Outcome {
    let observers = &register.observers;
    let decided = match event {
        ObserverEvent::Add {
            name,
            ranges,
            policy,
            starts,
        } => add(register, name, ranges, *policy, starts),
        ObserverEvent::Remove { observer } => remove(observers, *observer),
        ObserverEvent::Pause { observer } => known(observers, *observer).map(|known| {
            let observer = *observer;
            (!known.paused).then_some(ObserverChange::Paused { observer })
        }),
        ObserverEvent::Resume { observer } => known(observers, *observer).map(|known| {
            let observer = *observer;
            known.paused.then_some(ObserverChange::Resumed { observer })
        }),
        ObserverEvent::SetPolicy { observer, policy } => known(observers, *observer).map(|known| {
            let (observer, policy) = (*observer, *policy);
            (known.policy != policy).then_some(ObserverChange::PolicySet { observer, policy })
        }),
        ObserverEvent::Attach { attachments } => Ok(attach(register, attachments)),
        ObserverEvent::CatchUp { attachments } => Ok(catch_up(observers, attachments)),
        ObserverEvent::Detach { attachments } => Ok(detach(observers, attachments)),
        ObserverEvent::Acknowledge {
            observer,
            positions,
        } => acknowledge(observers, *observer, positions),
        ObserverEvent::Invalidate { observer, losses } => {
            known(observers, *observer).map(|known| invalidate(*observer, known, losses))
        }
        ObserverEvent::Rebase { observer, starts } => rebase(register, *observer, starts),
        ObserverEvent::TakeOver {
            observer,
            positions,
        } => take_over(register, *observer, positions),
        ObserverEvent::End { attachments } => Ok(end(observers, attachments)),
        ObserverEvent::Restart => Ok(restart(observers)),
    };
    match decided {
        Ok(Some(change)) => Outcome::accept(Change::Observer(change)),
        Ok(None) => Outcome::AlreadyApplied,
        Err(refusal) => Outcome::Refused(Refusal::Observer(refusal)),
    }
}

fn known(observers: &Observers, observer: ObserverId) -> Result<&Observer, ObserverRefusal> {
    let unknown = ObserverRefusal::Unknown { observer };
    observers.get(observer).ok_or(unknown)
}

/// Entries of one record: ascending, each key once, the last word on each key kept.
fn in_order<T: Copy, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> Vec<T> {
    let mut items: Vec<T> = items.to_vec();
    items.sort_by_key(&key);
    items.dedup_by(|later, earlier| {
        let is_same = key(later) == key(earlier);
        if is_same {
            *earlier = *later;
        }
        is_same
    });
    items
}

/// The first entries that fit into one record.
fn fitting<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.take(Observers::PER_RECORD_MAX).collect()
}

fn add(
    register: &Register,
    name: &ObserverName,
    ranges: &ObserverRanges,
    policy: ObserverPolicy,
    starts: &[Started],
) -> Decided {
    let observers = &register.observers;
    if let Some(observer) = observers.named(name.as_str()) {
        let name = name.clone();
        return Err(ObserverRefusal::NameTaken { name, observer });
    }
    let count = observers.by_id.len();
    if count >= Observers::COUNT_MAX {
        return Err(ObserverRefusal::TooMany { count });
    }
    let max = Observers::STARTS_MAX;
    if starts.len() > max {
        let count = starts.len();
        return Err(ObserverRefusal::TooManyRegions { count, max });
    }
    let observer = ObserverId(observers.last_id.saturating_add(1));
    let starts = in_order(starts, |start| start.region);
    let mut given = starts.iter().map(|start| start.region).peekable();
    for region in observed_regions(register, ranges) {
        // What is given and not observed stands before the next that is.
        match given.next() {
            Some(at) if at == region => {}
            Some(at) if at < region => {
                return Err(ObserverRefusal::NotObserved {
                    observer,
                    region: at,
                });
            }
            Some(_) | None => return Err(ObserverRefusal::PositionMissing { region }),
        }
    }
    if let Some(region) = given.next() {
        return Err(ObserverRefusal::NotObserved { observer, region });
    }
    Ok(Some(ObserverChange::Added {
        observer,
        name: name.clone(),
        ranges: ranges.clone(),
        policy,
        starts,
    }))
}

fn remove(observers: &Observers, observer: ObserverId) -> Decided {
    match observers.get(observer) {
        Some(_) => Ok(Some(ObserverChange::Removed { observer })),
        None if (1..=observers.last_id).contains(&observer.0) => Ok(None),
        None => Err(ObserverRefusal::Unknown { observer }),
    }
}

/// The peers of regions as they serve, each looked up once for one record: it may attach a hundred
/// observers to the same regions.
pub(super) struct Serving<'a> {
    register: &'a Register,
    seen: HashMap<RegionId, Serves>,
}

#[derive(Clone, Copy)]
struct Serves {
    incarnation: Option<Incarnation>,
    /// Version of the region's epoch; none if nothing of it may be delivered.
    version: Option<u64>,
}

impl<'a> Serving<'a> {
    pub(super) fn of(register: &'a Register) -> Self {
        let seen = HashMap::new();
        Serving { register, seen }
    }

    fn seen(&mut self, region: RegionId) -> Serves {
        let register = self.register;
        let look = || Serves {
            incarnation: register.incarnation(region),
            version: version(register, region),
        };
        *self.seen.entry(region).or_insert_with(look)
    }

    fn serves(&mut self, request: &Attached) -> bool {
        self.seen(request.region).version == Some(request.version)
    }
}

/// Whether a request still fits what is there: if not, it is discarded, and whoever made it looks again.
pub(super) fn may_attach(
    serving: &mut Serving<'_>,
    observer: &Observer,
    attachment: &Attachment,
    request: &Attached,
) -> bool {
    if observer.paused || request.from != attachment.next_index() {
        return false;
    }
    match &attachment.state {
        // What its parts were born with is delivered whoever leads it.
        AttachmentState::Wanted { .. } if (request.version, request.term) == (0, 0) => {
            let is_here = serving.seen(request.region).version.is_some();
            is_here && observer.told_for_parts(request.region).is_some()
        }
        AttachmentState::Wanted { .. } => serving.serves(request),
        AttachmentState::CatchingUp { term } | AttachmentState::Live { term } => {
            *term < request.term && serving.serves(request)
        }
        // What is left of a region is delivered whoever leads it, if anyone does.
        AttachmentState::Draining(drain) => {
            !drain.attached && (request.version, request.term) == (0, 0)
        }
        AttachmentState::Invalidated(_) => false,
    }
}

/// Version of a region whose changes may be delivered.
fn version(register: &Register, region: RegionId) -> Option<u64> {
    match &register.peer(region)?.stage {
        PeerStage::Normal(normal) if *normal.mode != Mode::Unconfirmed => {
            Some(normal.region.epoch.version)
        }
        PeerStage::Normal(_)
        | PeerStage::Uninitialized
        | PeerStage::Witness(_)
        | PeerStage::Waiting(_)
        | PeerStage::Applying(_)
        | PeerStage::Damaged(_) => None,
    }
}

fn attach(register: &Register, requests: &[AttachRequest]) -> Option<ObserverChange> {
    let requests = in_order(requests, |request| (request.observer, request.region));
    let mut serving = Serving::of(register);
    let mut wanted = Vec::with_capacity(requests.len());
    for of_one in requests.chunk_by(|one, next| one.observer == next.observer) {
        let observer = of_one.first().map(|request| request.observer);
        let Some(known) = observer.and_then(|observer| register.observers.get(observer)) else {
            continue;
        };
        wanted.extend(of_one.iter().filter_map(|request| {
            let attachment = known.attachments.get(request.region)?;
            let attached = attached(&mut serving, attachment, request)?;
            may_attach(&mut serving, known, attachment, &attached).then_some(attached)
        }));
    }
    let attachments = fitting(wanted.into_iter());
    let first = Generation(register.observers.last_generation.saturating_add(1));
    (!attachments.is_empty()).then_some(ObserverChange::Attached { first, attachments })
}

/// What the request comes to, as far as it depends on the attachment.
fn attached(
    serving: &mut Serving<'_>,
    attachment: &Attachment,
    request: &AttachRequest,
) -> Option<Attached> {
    let (version, term, live) = match (&attachment.state, request.leads) {
        (AttachmentState::Draining(_), _) | (AttachmentState::Wanted { .. }, None) => (0, 0, false),
        (_, Some(leads)) => {
            if serving.seen(request.region).incarnation != Some(leads.incarnation) {
                return None;
            }
            let has_all = leads.applied <= attachment.acked;
            let live = has_all && attachment.reset == Reset::None && attachment.origin.is_none();
            (leads.version, leads.term, live)
        }
        (_, None) => return None,
    };
    Some(Attached {
        observer: request.observer,
        region: request.region,
        version,
        term,
        from: attachment.next_index(),
        live,
    })
}

/// Whether the attachment catches up in that generation.
pub(super) fn is_catching_up(observers: &Observers, done: &CaughtUp) -> bool {
    let attachment = observers.attachment(done.observer, done.region);
    attachment.is_some_and(|attachment| {
        let catches_up = matches!(attachment.state, AttachmentState::CatchingUp { .. });
        catches_up && attachment.generation == done.generation
    })
}

fn catch_up(observers: &Observers, done: &[CaughtUp]) -> Option<ObserverChange> {
    let done = in_order(done, |done| (done.observer, done.region));
    let current = done
        .into_iter()
        .filter(|done| is_catching_up(observers, done));
    let attachments = fitting(current);
    (!attachments.is_empty()).then_some(ObserverChange::CaughtUp { attachments })
}

/// Whether that generation is attached.
pub(super) fn is_attached(observers: &Observers, detached: &Detached) -> bool {
    let attachment = observers.attachment(detached.observer, detached.region);
    attachment.is_some_and(|attachment| {
        let is_meant = attachment.generation == detached.generation;
        attachment.is_attached() && (is_meant || planted!("stop-ends-a-newer-observation"))
    })
}

fn detach(observers: &Observers, detached: &[Detached]) -> Option<ObserverChange> {
    let detached = in_order(detached, |one| (one.observer, one.region));
    let current = detached
        .into_iter()
        .filter(|one| is_attached(observers, one));
    let attachments = fitting(current);
    (!attachments.is_empty()).then_some(ObserverChange::Detached { attachments })
}

/// What an acknowledgement would do to an attachment: none if nothing.
pub(super) fn acknowledged(
    attachment: &Attachment,
    position: &Acknowledged,
) -> Result<Option<u64>, ObserverRefusal> {
    let Acknowledged {
        region,
        generation,
        index,
    } = *position;
    match &attachment.state {
        AttachmentState::Invalidated(loss) => {
            return Err(ObserverRefusal::Invalidated {
                region,
                reason: loss.reason.as_str(),
                first_lost: loss.first_lost,
                first_available: loss.first_available,
            });
        }
        AttachmentState::Draining(drain) => {
            if let Some(end) = drain.end.filter(|end| index > *end) {
                let (given, delivered) = (index, end);
                return Err(ObserverRefusal::BeyondDelivered {
                    region,
                    given,
                    delivered,
                });
            }
        }
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. } => {}
    }
    // What was delivered in the last generation was durable, also when that has ended since; but a
    // consumer that chose another place to go on from is not pushed away from it.
    let chose = AttachmentState::Wanted {
        reason: WantReason::Rebased,
    };
    let is_current = attachment.generation == generation && attachment.state != chose;
    let is_stale = !is_current && !planted!("old-generation-acknowledges");
    if is_stale || generation == Generation::NONE {
        return Err(ObserverRefusal::StaleGeneration {
            region,
            given: generation,
            current: attachment.generation,
        });
    }
    // Who acknowledges where it was to begin has dealt with what it had to be told there.
    let has_reset = attachment.reset != Reset::None && index == attachment.acked;
    Ok((index > attachment.acked || has_reset).then_some(index))
}

/// Whether what the consumer chose is still to be told to it, although a transition gave the region another reason to
/// wait since: what was delivered before it chose ends no reset.
fn owes_a_reset(attachment: &Attachment) -> bool {
    let waits = match &attachment.state {
        AttachmentState::Wanted { reason } => matches!(
            reason,
            WantReason::Snapshot | WantReason::Split | WantReason::Merged
        ),
        AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. }
        | AttachmentState::Draining(_)
        | AttachmentState::Invalidated(_) => false,
    };
    waits && attachment.reset != Reset::None && !planted!("reset-ended-by-what-was-before")
}

impl Observers {
    /// What an acknowledgement that came with a write comes to, under the generation that is current: none
    /// if it says nothing new, or nothing that may be acknowledged now.
    pub(crate) fn carried(
        &self,
        observer: ObserverId,
        region: RegionId,
        index: u64,
    ) -> Option<Acknowledged> {
        let attachment = self.attachment(observer, region)?;
        let position = Acknowledged {
            region,
            generation: attachment.generation,
            index,
        };
        let comes_to = acknowledged(attachment, &position);
        let stands = matches!(comes_to, Ok(Some(_))) && !owes_a_reset(attachment);
        stands.then_some(position)
    }
}

fn acknowledge(observers: &Observers, observer: ObserverId, positions: &[Acknowledged]) -> Decided {
    let known = known(observers, observer)?;
    at_most(positions.len())?;
    let mut news = Vec::new();
    for position in in_order(positions, |position| (position.region, position.index)) {
        let region = position.region;
        let missing = ObserverRefusal::NotObserved { observer, region };
        let attachment = known.attachments.get(region).ok_or(missing)?;
        let is_news = acknowledged(attachment, &position)?.is_some();
        if is_news && owes_a_reset(attachment) {
            return Err(ObserverRefusal::StaleGeneration {
                region,
                given: position.generation,
                current: attachment.generation,
            });
        }
        if is_news {
            news.push(position);
        }
    }
    let positions = in_order(&news, |position| position.region);
    Ok(
        (!positions.is_empty()).then_some(ObserverChange::Acknowledged {
            observer,
            positions,
        }),
    )
}

fn at_most(count: usize) -> Result<(), ObserverRefusal> {
    let max = Observers::PER_RECORD_MAX;
    match count > max {
        true => Err(ObserverRefusal::TooManyRegions { count, max }),
        false => Ok(()),
    }
}

/// Whether a loss is one that the attachment does not know: some of it is not acknowledged.
pub(super) fn is_new_loss(attachment: &Attachment, lost: &Invalidated) -> bool {
    let is_open = !matches!(attachment.state, AttachmentState::Invalidated(_));
    let loss = lost.loss;
    let is_beyond = loss.first_lost > attachment.acked && loss.first_available > loss.first_lost;
    is_open && is_beyond
}

fn invalidate(
    observer: ObserverId,
    known: &Observer,
    losses: &[Invalidated],
) -> Option<ObserverChange> {
    let losses = in_order(losses, |lost| lost.region);
    let new = losses.into_iter().filter_map(|mut lost| {
        let attachment = known.attachments.get(lost.region)?;
        lost.loss.first_lost = lost.loss.first_lost.max(attachment.next_index());
        is_new_loss(attachment, &lost).then_some(lost)
    });
    let losses = fitting(new);
    (!losses.is_empty()).then_some(ObserverChange::Invalidated { observer, losses })
}

/// Whether the attachment drains to an end that is not known.
pub(super) fn is_endless(observers: &Observers, ended: &Ended) -> bool {
    let attachment = observers.attachment(ended.observer, ended.region);
    attachment.is_some_and(|attachment| match &attachment.state {
        AttachmentState::Draining(drain) => drain.end.is_none(),
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. }
        | AttachmentState::Invalidated(_) => false,
    })
}

fn end(observers: &Observers, ended: &[Ended]) -> Option<ObserverChange> {
    let ended = in_order(ended, |ended| (ended.observer, ended.region));
    let attachments = fitting(ended.into_iter().filter(|one| is_endless(observers, one)));
    (!attachments.is_empty()).then_some(ObserverChange::Ended { attachments })
}

pub(super) fn restart(observers: &Observers) -> Option<ObserverChange> {
    let mut all = observers.by_id.values();
    let is_attached = all.any(|observer| {
        let mut attachments = observer.attachments.values();
        attachments.any(Attachment::is_attached)
    });
    is_attached.then_some(ObserverChange::Restarted)
}
