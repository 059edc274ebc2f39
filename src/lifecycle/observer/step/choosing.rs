//! Where a consumer goes on: where it chose, or behind what other stores told it.
//!
//! Not here: carrying it out (`apply`).

use torrens_journal::planted;

use super::{Decided, at_most, in_order, known};
use crate::lifecycle::Register;
use crate::lifecycle::observer::follow::observable;
use crate::lifecycle::observer::{
    Attachment, AttachmentState, Observer, ObserverChange, ObserverRefusal, Rebased, Reset,
};
use crate::{ObserverId, RegionId};

pub(super) fn rebase(register: &Register, observer: ObserverId, starts: &[Rebased]) -> Decided {
    let known = known(&register.observers, observer)?;
    at_most(starts.len())?;
    let mut starts = in_order(starts, |start| start.region);
    for start in &mut starts {
        let region = start.region;
        if known.attachments.get(region).is_none() {
            return Err(ObserverRefusal::NotObserved { observer, region });
        }
        if is_here(register, known, region) {
            if start.acked.is_none() {
                return Err(ObserverRefusal::PositionMissing { region });
            }
        } else {
            // Nothing of it is left here that could be gone on with.
            start.acked = None;
            start.reset = Reset::None;
        }
    }
    Ok((!starts.is_empty()).then_some(ObserverChange::Rebased { observer, starts }))
}

/// Whether a position that was acknowledged elsewhere is news here.
pub(crate) fn is_news(attachment: &Attachment, index: u64) -> bool {
    match &attachment.state {
        // What is lost is made up for if nothing of it is left.
        AttachmentState::Invalidated(loss) => loss.first_available <= index.saturating_add(1),
        // What is left of a region that ended here is told, unless there is nothing left.
        AttachmentState::Draining(drain) => drain.end.is_some_and(|end| index >= end),
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. } => {
            index > attachment.acked || planted!("another-store-takes-back")
        }
    }
}

pub(super) fn take_over(
    register: &Register,
    observer: ObserverId,
    positions: &[(RegionId, u64)],
) -> Decided {
    let known = known(&register.observers, observer)?;
    at_most(positions.len())?;
    let news = in_order(positions, |(region, index)| (*region, *index));
    let news = in_order(&news, |(region, _)| *region).into_iter();
    let news = news.filter(|(region, index)| {
        let attachment = known.attachments.get(*region);
        attachment.is_some_and(|attachment| is_news(attachment, *index))
    });
    let starts: Vec<Rebased> = news
        .map(|(region, index)| Rebased {
            region,
            acked: is_here(register, known, region).then_some(index),
            reset: Reset::None,
        })
        .collect();
    Ok((!starts.is_empty()).then_some(ObserverChange::Rebased { observer, starts }))
}

/// Whether the region holds data here and keys of the observer.
pub(in crate::lifecycle::observer) fn is_here(
    register: &Register,
    observer: &Observer,
    region: RegionId,
) -> bool {
    let peer = register.peer(region);
    let description = peer.and_then(observable);
    description.is_some_and(|description| observer.ranges.overlaps(&description.range))
}
