//! What should be attached, against what is: a pure function from the state to what has to be journaled.
//!
//! It looks at levels and never at edges. A notification that was lost, came twice, late or out of order
//! can only make it run later or once more; what it says does not depend on it. So the wish to observe a
//! region cannot get lost: it is not kept anywhere, it follows from the register and from who leads.
//!
//! Not here: when it runs and for which regions (`registry`), whether what it says is still so when it is
//! decided (`lifecycle::observer::step` leaves out what is not).

use std::collections::{BTreeSet, HashMap};

use torrens_journal::planted;

use super::{HistoryFacts, ObserverId};
use crate::lifecycle::{
    AttachRequest, Attachment, AttachmentState, Detached, Ended, InvalidReason, Invalidated, Leads,
    Loss, Mode, Observer, ObserverEvent, Observers, PeerStage, PeerState, Register, Reset,
    WantReason,
};
use crate::{Incarnation, RegionId};

/// What is true beside the register.
pub(crate) trait Truth {
    /// The term in which this store leads the region with that peer; none if it does not, as far as it
    /// was told.
    fn leads(&self, region: RegionId, incarnation: Incarnation) -> Option<u64>;

    /// The last entry of the region that is applied.
    fn applied(&self, region: RegionId, incarnation: Incarnation) -> u64;

    /// What is kept of the past.
    fn history(&self) -> &dyn HistoryFacts;

    /// Whether an attempt may be made now: it did not fail a moment ago.
    fn may_try(&self, observer: ObserverId, region: RegionId) -> bool;
}

/// Which attachments are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// All of them.
    All,
    /// Those of these regions.
    Regions(&'a [RegionId]),
}

/// What has to be journaled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) attach: Vec<AttachRequest>,
    pub(crate) detach: Vec<Detached>,
    pub(crate) end: Vec<Ended>,
    pub(crate) invalidate: Vec<(ObserverId, Vec<Invalidated>)>,
}

/// What the state asks for; nothing if it is as it should be.
pub(crate) fn reconcile(register: &Register, scope: Scope<'_>, truth: &dyn Truth) -> Plan {
    let mut plan = Plan::default();
    let mut regions = Regions {
        register,
        truth,
        seen: HashMap::new(),
    };
    for (observer, known) in register.observers().iter() {
        let mut losses = Vec::new();
        let wholes = match needs_wholes(scope, known, &mut regions) {
            true => wholes(known, &mut regions),
            false => BTreeSet::new(),
        };
        let mut look = |region: RegionId, attachment: &Attachment| {
            let (at, is_waited_for) = ((observer, region), wholes.contains(&region));
            let wants = wanted(&mut regions, known, at, attachment, is_waited_for);
            plan.take(at, attachment, wants, &mut losses);
        };
        match scope {
            Scope::All => known
                .attachments()
                .for_each(|(region, one)| look(region, one)),
            Scope::Regions(marked) => {
                let also = wholes.iter().filter(|region| !marked.contains(region));
                for region in marked.iter().chain(also) {
                    if let Some(attachment) = known.attachment(*region) {
                        look(*region, attachment);
                    }
                }
            }
        }
        if !losses.is_empty() {
            plan.invalidate.push((observer, losses));
        }
    }
    plan
}

/// What an attachment should become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// It is as it should be.
    Nothing,
    /// To be attached.
    Attach(Option<Leads>),
    /// To be detached.
    Detach(WantReason),
    /// To be detached, and told for its parts only from then on.
    ForParts(WantReason),
    /// To know its end.
    End(u64),
    /// To be told that what it needs is gone.
    Loss(Loss),
}

/// The regions as they are, each looked at once for all of its observers: a hundred observers of ten
/// thousand regions ask for the same ten thousand answers.
struct Regions<'a> {
    register: &'a Register,
    truth: &'a dyn Truth,
    seen: HashMap<RegionId, Seen>,
}

/// What one region is.
#[derive(Clone, Copy)]
struct Seen {
    served: Result<Leads, WantReason>,
    /// The last entry whose data is here; entries that change no data leave nothing in the history.
    data: u64,
    /// The first index that is kept, once somebody asked.
    oldest: Option<Option<u64>>,
}

impl Regions<'_> {
    fn seen(&mut self, region: RegionId) -> &mut Seen {
        let (register, truth) = (self.register, self.truth);
        self.seen.entry(region).or_insert_with(|| Seen {
            served: served(register, region, truth),
            data: register
                .incarnation(region)
                .map_or(0, |incarnation| truth.applied(region, incarnation)),
            oldest: None,
        })
    }

    fn served(&mut self, region: RegionId) -> Result<Leads, WantReason> {
        self.seen(region).served
    }

    fn oldest_kept(&mut self, region: RegionId) -> Option<u64> {
        let truth = self.truth;
        let seen = self.seen(region);
        *seen
            .oldest
            .get_or_insert_with(|| truth.history().oldest(region))
    }
}

/// The peer of a region whose changes can be delivered here, if it is led here.
fn served(register: &Register, region: RegionId, truth: &dyn Truth) -> Result<Leads, WantReason> {
    let Some(peer) = register.peer(region) else {
        return Err(WantReason::NotLeader);
    };
    let PeerState {
        incarnation, stage, ..
    } = peer;
    let normal = match stage {
        PeerStage::Normal(normal) => normal,
        PeerStage::Damaged(_) => return Err(WantReason::Damaged),
        PeerStage::Applying(_) => return Err(WantReason::Snapshot),
        PeerStage::Uninitialized | PeerStage::Witness(_) | PeerStage::Waiting(_) => {
            return Err(WantReason::NotLeader);
        }
    };
    if *normal.mode == Mode::Unconfirmed {
        return Err(WantReason::NotLeader);
    }
    let term = truth
        .leads(region, *incarnation)
        .ok_or(WantReason::NotLeader)?;
    Ok(Leads {
        incarnation: *incarnation,
        term,
        version: normal.region.epoch.version,
        applied: truth
            .applied(region, *incarnation)
            .max(normal.meta_index.index),
    })
}

/// Whether something that is looked at may wait for another region, or be waited for. What waits marks itself
/// whenever it may go on, so a region that was not led all along is not asked who waits for it.
fn needs_wholes(scope: Scope<'_>, known: &Observer, regions: &mut Regions<'_>) -> bool {
    let Scope::Regions(marked) = scope else {
        return true;
    };
    marked.iter().any(|region| {
        let attachment = known.attachment(*region);
        attachment.is_some_and(|attachment| {
            let may_be_waited_for = match &attachment.state {
                AttachmentState::CatchingUp { .. } | AttachmentState::Live { .. } => true,
                AttachmentState::Wanted { reason } => match reason {
                    WantReason::Added
                    | WantReason::Created
                    | WantReason::Split
                    | WantReason::Merged
                    | WantReason::NotLeader
                    | WantReason::NewTerm => false,
                    WantReason::Snapshot
                    | WantReason::Paused
                    | WantReason::Restarted
                    | WantReason::Damaged
                    | WantReason::Stale
                    | WantReason::Failed
                    | WantReason::Rebased => true,
                },
                AttachmentState::Draining(_) | AttachmentState::Invalidated(_) => false,
            };
            let waits = known.comes_after(attachment).is_some();
            waits || (may_be_waited_for && regions.served(*region).is_err())
        })
    })
}

/// The regions that come before a part that is told of here, or that ended here, and before what comes before
/// them. This store has all that such a part was born with, whoever leads its whole: nothing of it can change
/// any more, so nobody has to lead it for it to be told.
fn wholes(known: &Observer, regions: &mut Regions<'_>) -> BTreeSet<RegionId> {
    let mut wholes = BTreeSet::new();
    let told = known.attachments().filter(|(region, part)| {
        let comes_after = known.comes_after(part).is_some();
        comes_after
            && match &part.state {
                AttachmentState::CatchingUp { .. }
                | AttachmentState::Live { .. }
                | AttachmentState::Draining(_) => true,
                AttachmentState::Wanted { .. } => regions.served(*region).is_ok(),
                AttachmentState::Invalidated(_) => false,
            }
    });
    let mut next: Vec<RegionId> = told.map(|(region, _)| region).collect();
    while let Some(part) = next.pop() {
        let part = known.attachment(part);
        let before = part.and_then(|part| known.comes_after(part));
        if let Some((whole, _)) = before
            && wholes.insert(whole)
        {
            next.push(whole);
        }
    }
    wholes
}

fn wanted(
    regions: &mut Regions<'_>,
    known: &Observer,
    (observer, region): (ObserverId, RegionId),
    attachment: &Attachment,
    is_waited_for: bool,
) -> Wants {
    let truth = regions.truth;
    match &attachment.state {
        AttachmentState::Draining(drain) => {
            if drain.end.is_none() {
                // What is not kept cannot be delivered any more; what is acknowledged is the end then.
                let newest = truth.history().newest(region);
                return Wants::End(newest.unwrap_or(attachment.acked).max(attachment.acked));
            }
            if drain.attached || known.paused || !truth.may_try(observer, region) {
                return Wants::Nothing;
            }
            let end = drain.end.unwrap_or(attachment.acked);
            match gap(attachment, region, end, regions) {
                Some(loss) => Wants::Loss(loss),
                None => Wants::Attach(None),
            }
        }
        AttachmentState::Wanted { .. } => {
            if known.paused || !truth.may_try(observer, region) {
                return Wants::Nothing;
            }
            let leads = match regions.served(region) {
                Ok(leads) => Some(leads),
                Err(WantReason::NotLeader) if is_waited_for && !planted!("part-waits-for-ever") => {
                    None
                }
                Err(_) => return Wants::Nothing,
            };
            match gap(attachment, region, regions.seen(region).data, regions) {
                Some(loss) => Wants::Loss(loss),
                None => Wants::Attach(leads),
            }
        }
        AttachmentState::CatchingUp { term } | AttachmentState::Live { term } => {
            match regions.served(region) {
                // It is told for its parts.
                Err(WantReason::NotLeader)
                    if *term == 0 && known.told_for_parts(region).is_some() =>
                {
                    Wants::Nothing
                }
                // In one plan: nothing marks the region again once it is detached.
                Err(WantReason::NotLeader) if *term > 0 && is_waited_for => {
                    Wants::ForParts(WantReason::NotLeader)
                }
                Err(reason) => Wants::Detach(reason),
                Ok(leads) if leads.term > *term => Wants::Attach(Some(leads)),
                // Told of an earlier term than the one it was attached in: late, and passes.
                Ok(_) => Wants::Nothing,
            }
        }
        AttachmentState::Invalidated(_) => Wants::Nothing,
    }
}

/// What lies between what is acknowledged and what is kept, if anything does.
fn gap(
    attachment: &Attachment,
    region: RegionId,
    applied: u64,
    regions: &mut Regions<'_>,
) -> Option<Loss> {
    // A scan tells every row, of whichever index it will be.
    if attachment.reset == Reset::Scan {
        return None;
    }
    // After a crash the history may be ahead of the data, and may have let go what comes again: it is kept then.
    if applied <= attachment.acked {
        return None;
    }
    let first_lost = attachment.next_index();
    let first_available = match regions.oldest_kept(region) {
        Some(oldest) => oldest,
        None => applied.saturating_add(1),
    };
    (first_available > first_lost).then_some(Loss {
        reason: InvalidReason::HistoryLost,
        first_lost,
        first_available,
    })
}

impl Plan {
    fn take(
        &mut self,
        (observer, region): (ObserverId, RegionId),
        attachment: &Attachment,
        wants: Wants,
        losses: &mut Vec<Invalidated>,
    ) {
        let generation = attachment.generation;
        match wants {
            Wants::Nothing => {}
            Wants::Attach(leads) => self.attach.push(AttachRequest {
                observer,
                region,
                leads,
            }),
            Wants::Detach(reason) => self.detach.push(Detached {
                observer,
                region,
                generation,
                reason,
            }),
            Wants::ForParts(reason) => {
                self.detach.push(Detached {
                    observer,
                    region,
                    generation,
                    reason,
                });
                self.attach.push(AttachRequest {
                    observer,
                    region,
                    leads: None,
                });
            }
            Wants::End(end) => self.end.push(Ended {
                observer,
                region,
                end,
            }),
            Wants::Loss(loss) => losses.push(Invalidated { region, loss }),
        }
    }

    /// How many attachments have to change.
    pub(crate) fn count(&self) -> usize {
        let lost = self.invalidate.iter().map(|(_, losses)| losses.len());
        let lost = lost.fold(0_usize, usize::saturating_add);
        let rest = [self.attach.len(), self.detach.len(), self.end.len()];
        rest.iter()
            .fold(lost, |sum, count| sum.saturating_add(*count))
    }

    /// The same as events, each small enough for one record, and made when it is asked for: a storm's plan is
    /// not in memory twice. What ends comes first.
    pub(crate) fn into_events(self) -> impl Iterator<Item = ObserverEvent> {
        let detach = pieces(self.detach).map(|attachments| ObserverEvent::Detach { attachments });
        let end = pieces(self.end).map(|attachments| ObserverEvent::End { attachments });
        let invalidate = self.invalidate.into_iter().flat_map(|(observer, losses)| {
            pieces(losses).map(move |losses| ObserverEvent::Invalidate { observer, losses })
        });
        let attach = pieces(self.attach).map(|attachments| ObserverEvent::Attach { attachments });
        detach.chain(end).chain(invalidate).chain(attach)
    }
}

/// As many at once as one record holds.
fn pieces<T>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let piece: Vec<T> = items.by_ref().take(Observers::PER_RECORD_MAX).collect();
        (!piece.is_empty()).then_some(piece)
    })
}
