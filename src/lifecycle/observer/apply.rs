//! Carrying out a recorded outcome of an observer event. Checked as a whole first: a record that cannot
//! have followed the state changes nothing.

use std::collections::BTreeSet;

use torrens_journal::{Lsn, planted};

use super::follow::{goes_on_in, lose_into, lose_parts, observed_regions, waiting_parts};
use super::step::{
    Serving, acknowledged, is_attached, is_catching_up, is_endless, is_here, is_new_loss,
    may_attach, restart,
};
use super::{
    Acknowledged, Attached, Attachment, AttachmentState, Detached, Ended, Invalidated, Observer,
    ObserverChange, Observers, Rebased, Reset, Started, WantReason,
};
use crate::lifecycle::{ApplyError, Register};
use crate::{Generation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId};

pub(in crate::lifecycle) fn apply(
    register: &mut Register,
    lsn: Lsn,
    change: &ObserverChange,
) -> Result<(), ApplyError> {
    let kind = change.change_kind().name();
    match change {
        ObserverChange::Added {
            observer,
            name,
            ranges,
            policy,
            starts,
        } => {
            check(may_add(register, *observer, name, ranges, starts), kind)?;
            add(register, lsn, *observer, name, (ranges, *policy), starts);
        }
        ObserverChange::Removed { observer } => {
            known(&mut register.observers, *observer, kind)?;
            register.observers.all_mut().remove(observer);
        }
        ObserverChange::Paused { observer } => {
            let known = known(&mut register.observers, *observer, kind)?;
            check(!known.paused, kind)?;
            known.paused = true;
            known.detach_all(WantReason::Paused);
        }
        ObserverChange::Resumed { observer } => {
            let known = known(&mut register.observers, *observer, kind)?;
            check(known.paused, kind)?;
            known.paused = false;
        }
        ObserverChange::PolicySet { observer, policy } => {
            known(&mut register.observers, *observer, kind)?.policy = *policy;
        }
        ObserverChange::Attached { first, attachments } => {
            attach(register, *first, attachments, kind)?;
        }
        ObserverChange::CaughtUp { attachments } => {
            let observers = &mut register.observers;
            let keys = attachments.iter().map(|one| (one.observer, one.region));
            check(is_ascending(keys), kind)?;
            let mut all = attachments.iter();
            check(all.all(|one| is_catching_up(observers, one)), kind)?;
            for one in attachments {
                update(observers, one.observer, one.region, |attachment| {
                    if let AttachmentState::CatchingUp { term } = attachment.state {
                        attachment.state = AttachmentState::Live { term };
                    }
                });
            }
        }
        ObserverChange::Detached { attachments } => {
            detach(&mut register.observers, attachments, kind)?;
        }
        ObserverChange::Acknowledged {
            observer,
            positions,
        } => acknowledge(&mut register.observers, *observer, positions, kind)?,
        ObserverChange::Invalidated { observer, losses } => {
            invalidate(&mut register.observers, *observer, losses, kind)?;
        }
        ObserverChange::Rebased { observer, starts } => rebase(register, *observer, starts, kind)?,
        ObserverChange::Ended { attachments } => {
            end(&mut register.observers, attachments, kind)?;
        }
        ObserverChange::Restarted => {
            check(restart(&register.observers).is_some(), kind)?;
            for observer in register.observers.all_mut().values_mut() {
                observer.detach_all(WantReason::Restarted);
            }
        }
    }
    Ok(())
}

/// An error of that kind of record unless it holds.
fn check(holds: bool, kind: &'static str) -> Result<(), ApplyError> {
    match holds {
        true => Ok(()),
        false => Err(ApplyError::Observer { kind }),
    }
}

fn known<'a>(
    observers: &'a mut Observers,
    observer: ObserverId,
    kind: &'static str,
) -> Result<&'a mut Observer, ApplyError> {
    let known = observers.all_mut().get_mut(&observer);
    known.ok_or(ApplyError::Observer { kind })
}

fn is_ascending<K: Ord>(keys: impl Iterator<Item = K>) -> bool {
    keys.is_sorted_by(|a, b| a < b)
}

fn update(
    observers: &mut Observers,
    observer: ObserverId,
    region: RegionId,
    change: impl FnOnce(&mut Attachment),
) {
    if let Some(attachment) = observers.attachment_mut(observer, region) {
        change(attachment);
    }
}

fn may_add(
    register: &Register,
    observer: ObserverId,
    name: &ObserverName,
    ranges: &ObserverRanges,
    starts: &[Started],
) -> bool {
    let observers = &register.observers;
    let is_next = observers.last_id.checked_add(1) == Some(observer.0);
    let is_free = observers.named(name.as_str()).is_none();
    let regions = starts.iter().map(|start| start.region);
    is_next && is_free && observed_regions(register, ranges).into_iter().eq(regions)
}

fn add(
    register: &mut Register,
    lsn: Lsn,
    observer: ObserverId,
    name: &ObserverName,
    (ranges, policy): (&ObserverRanges, ObserverPolicy),
    starts: &[Started],
) {
    let wanted = |start: &Started| {
        let attachment = Attachment::wanted(start.acked, WantReason::Added);
        (start.region, attachment)
    };
    let (name, ranges) = (name.clone(), ranges.clone());
    let mut added = Observer::without_attachments(name, ranges, policy, false, lsn);
    added.attachments.extend(starts.iter().map(wanted));
    register.observers.last_id = observer.0;
    register.observers.all_mut().insert(observer, added);
}

fn attach(
    register: &mut Register,
    first: Generation,
    attachments: &[Attached],
    kind: &'static str,
) -> Result<(), ApplyError> {
    let last = register.observers.last_generation;
    let count = u64::try_from(attachments.len()).unwrap_or(u64::MAX);
    check(last.checked_add(1) == Some(first.0), kind)?;
    check(count > 0 && last.checked_add(count).is_some(), kind)?;
    let keys = attachments.iter().map(|one| (one.observer, one.region));
    check(is_ascending(keys), kind)?;
    // Checked and carried out in one pass, on a picture that is dropped if anything does not fit.
    let mut next = register.observers.clone();
    let mut serving = Serving::of(register);
    let mut generations = (first.0..).map(Generation);
    for of_one in attachments.chunk_by(|one, next| one.observer == next.observer) {
        let observer = of_one.first().map_or(ObserverId(0), |one| one.observer);
        let known = known(&mut next, observer, kind)?;
        for (one, generation) in of_one.iter().zip(&mut generations) {
            let missing = || ApplyError::Observer { kind };
            let found = known.attachments.get(one.region).ok_or_else(missing)?;
            check(may_attach(&mut serving, known, found, one), kind)?;
            let found = known.attachments.get_mut(one.region);
            let attachment = found.ok_or_else(missing)?;
            let term = one.term;
            attachment.generation = generation;
            if let AttachmentState::Draining(drain) = &mut attachment.state {
                drain.attached = true;
            } else if one.live {
                attachment.state = AttachmentState::Live { term };
            } else {
                attachment.state = AttachmentState::CatchingUp { term };
            }
        }
    }
    next.last_generation = last.saturating_add(count);
    register.observers = next;
    Ok(())
}

fn detach(
    observers: &mut Observers,
    attachments: &[Detached],
    kind: &'static str,
) -> Result<(), ApplyError> {
    let keys = attachments.iter().map(|one| (one.observer, one.region));
    check(is_ascending(keys), kind)?;
    let mut all = attachments.iter();
    check(all.all(|one| is_attached(observers, one)), kind)?;
    for one in attachments {
        update(observers, one.observer, one.region, |attachment| {
            attachment.detach(one.reason);
        });
    }
    Ok(())
}

fn acknowledge(
    observers: &mut Observers,
    observer: ObserverId,
    positions: &[Acknowledged],
    kind: &'static str,
) -> Result<(), ApplyError> {
    let known = known(observers, observer, kind)?;
    check(is_ascending(positions.iter().map(|one| one.region)), kind)?;
    let is_news = |position: &Acknowledged| {
        let attachment = known.attachments.get(position.region);
        attachment
            .is_some_and(|attachment| matches!(acknowledged(attachment, position), Ok(Some(_))))
    };
    check(positions.iter().all(is_news), kind)?;
    for position in positions {
        let region = position.region;
        if let Some(attachment) = known.attachments.get_mut(region) {
            attachment.acked = position.index;
            attachment.reset = Reset::None;
            // Whoever has something of a region has what came before it.
            attachment.origin = None;
        }
        close_if_done(known, region);
    }
    Ok(())
}

/// What drained to its end and is acknowledged goes.
pub(super) fn close_if_done(observer: &mut Observer, region: RegionId) {
    let is_done =
        observer
            .attachments
            .get(region)
            .is_some_and(|attachment| match &attachment.state {
                AttachmentState::Draining(drain) => {
                    drain.end.is_some_and(|end| attachment.acked >= end)
                }
                AttachmentState::Wanted { .. }
                | AttachmentState::CatchingUp { .. }
                | AttachmentState::Live { .. }
                | AttachmentState::Invalidated(_) => false,
            });
    if is_done {
        observer.attachments.remove(region);
    }
}

fn invalidate(
    observers: &mut Observers,
    observer: ObserverId,
    losses: &[Invalidated],
    kind: &'static str,
) -> Result<(), ApplyError> {
    let known = known(observers, observer, kind)?;
    check(is_ascending(losses.iter().map(|lost| lost.region)), kind)?;
    let is_new = |lost: &Invalidated| {
        let attachment = known.attachments.get(lost.region);
        attachment.is_some_and(|attachment| is_new_loss(attachment, lost))
    };
    check(losses.iter().all(is_new), kind)?;
    let mut taken_in = Vec::new();
    for lost in losses {
        if let Some(attachment) = known.attachments.get_mut(lost.region) {
            taken_in.push((goes_on_in(attachment), lost.loss.reason));
            attachment.state = AttachmentState::Invalidated(Box::new(lost.loss));
        }
    }
    for lost in losses {
        lose_parts(known, lost.region, lost.loss.reason);
    }
    for (into, reason) in taken_in {
        for region in lose_into(known, into, reason) {
            lose_parts(known, region, reason);
        }
    }
    Ok(())
}

fn rebase(
    register: &mut Register,
    observer: ObserverId,
    starts: &[Rebased],
    kind: &'static str,
) -> Result<(), ApplyError> {
    let failed = ApplyError::Observer { kind };
    let found = register.observers.get(observer).ok_or(failed)?;
    check(is_ascending(starts.iter().map(|start| start.region)), kind)?;
    let fits = |start: &Rebased| {
        let is_attached = found.attachments.get(start.region).is_some();
        is_attached && is_here(register, found, start.region) == start.acked.is_some()
    };
    check(starts.iter().all(fits), kind)?;
    let known = known(&mut register.observers, observer, kind)?;
    for start in starts {
        if start.reset == Reset::Scan {
            // The scan is of what the region is now: parts that wait for it need their own.
            for part in waiting_parts(known, start.region) {
                scan_too(known, part);
            }
        }
        match (start.acked, known.attachments.get_mut(start.region)) {
            (Some(acked), Some(attachment)) => {
                attachment.acked = acked;
                if !planted!("rebased-without-a-reset") {
                    attachment.reset = start.reset;
                }
                // What the region was a part of may have its keys to tell yet, and that is older than the
                // rows of a scan; who has everything up to there has that, too.
                if start.reset == Reset::None {
                    attachment.origin = None;
                }
                let reason = WantReason::Rebased;
                attachment.state = AttachmentState::Wanted { reason };
            }
            (None, _) => drop(known.attachments.remove(start.region)),
            (Some(_), None) => {}
        }
    }
    Ok(())
}

/// A part that waits for a region that is to be scanned needs a scan of its own: what it was born with is not
/// told any more. So do parts of it that wait for it in turn, and the region that it was taken into since.
pub(super) fn scan_too(observer: &mut Observer, part: RegionId) {
    let mut next = vec![part];
    let mut seen = BTreeSet::new();
    while let Some(region) = next.pop() {
        if !seen.insert(region) {
            continue;
        }
        if !planted!("parts-of-parts-not-scanned") {
            next.extend(waiting_parts(observer, region));
        }
        let Some(attachment) = observer.attachments.get_mut(region) else {
            continue;
        };
        match &attachment.state {
            AttachmentState::Draining(drain) => {
                next.extend(drain.into.map(|into| into.region));
                observer.attachments.remove(region);
            }
            AttachmentState::Wanted { .. }
            | AttachmentState::CatchingUp { .. }
            | AttachmentState::Live { .. }
            | AttachmentState::Invalidated(_) => {
                attachment.reset = attachment.reset.max(Reset::Scan);
                // Under a new generation, which begins with it.
                if attachment.is_attached() {
                    let reason = WantReason::Rebased;
                    attachment.state = AttachmentState::Wanted { reason };
                }
            }
        }
    }
}

fn end(observers: &mut Observers, ended: &[Ended], kind: &'static str) -> Result<(), ApplyError> {
    let keys = ended.iter().map(|one| (one.observer, one.region));
    check(is_ascending(keys), kind)?;
    check(ended.iter().all(|one| is_endless(observers, one)), kind)?;
    for one in ended {
        let Some(observer) = observers.all_mut().get_mut(&one.observer) else {
            continue;
        };
        if let Some(attachment) = observer.attachments.get_mut(one.region)
            && let AttachmentState::Draining(drain) = &mut attachment.state
        {
            drain.end = Some(one.end);
        }
        close_if_done(observer, one.region);
    }
    Ok(())
}
