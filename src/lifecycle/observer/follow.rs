//! What the transitions of a region do to the attachments of its observers, in the very record of the
//! transition: whoever replays the record has both, so no crash can come between them.
//!
//! | transition | attachment of the region | others |
//! |---|---|---|
//! | bootstrap | new, from the region's beginning | |
//! | split at i | goes on; drains to i if no key of the observer is left in it | each part that was created here: new, from its beginning, behind the whole's i; what the whole lost, its parts lost |
//! | merge at i | goes on, or is new from i on | the source drains to its last index, before the target's i; what the source lost, the target lost; a scan of the source becomes one of the target |
//! | own removal at i, destroy, becoming a witness | drains; gone if a scan of it was not told to its end | |
//! | snapshot at i begun | wanted if everything to i is acknowledged, else invalidated | merged sources drain |
//! | damage | wanted | |
//! | any other change | as it is | |
//!
//! Not here: events of observers themselves (`step`, `apply`).

use std::sync::Arc;

use torrens_journal::planted;

use super::apply::{close_if_done, scan_too};
use super::{
    Attachment, AttachmentState, Drain, InvalidReason, Loss, Observer, Observers, Origin, Reset,
    WantReason,
};
use crate::lifecycle::{
    Change, ChildFate, INITIAL_INDEX, PeerStage, PeerState, Register, SplitChild,
};
use crate::{KeyRange, ObserverRanges, Region, RegionId};

/// What of the state before a change its attachments need afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::lifecycle) struct Before {
    /// Last index of the source of a merge.
    source_end: Option<u64>,
}

/// A peer's description, if it is one whose data is or was here and comes back by itself or by a
/// snapshot: the changes of such a region are observed.
pub(super) fn observable(peer: &PeerState) -> Option<&Arc<Region>> {
    match &peer.stage {
        PeerStage::Normal(normal) => Some(&normal.region),
        PeerStage::Applying(applying) => Some(&applying.region),
        PeerStage::Damaged(damaged) => Some(&damaged.region),
        PeerStage::Uninitialized | PeerStage::Witness(_) | PeerStage::Waiting(_) => None,
    }
}

/// The regions that hold keys of the ranges, and their data, here; by id.
pub(super) fn observed_regions(register: &Register, ranges: &ObserverRanges) -> Vec<RegionId> {
    let tenants = ranges.iter().flat_map(|range| register.tenants(range));
    let holds = |region: &RegionId| register.peer(*region).and_then(observable).is_some();
    let mut regions: Vec<RegionId> = tenants.map(|(region, _)| region).filter(holds).collect();
    regions.sort_unstable();
    regions.dedup();
    regions
}

impl Register {
    /// The regions that hold keys of the ranges, and their data, here; by id.
    pub(crate) fn observed_regions(&self, ranges: &ObserverRanges) -> Vec<RegionId> {
        observed_regions(self, ranges)
    }
}

fn range_of(register: &Register, region: RegionId) -> Option<KeyRange> {
    let description = register.peer(region).and_then(observable);
    description.map(|description| description.range.clone())
}

/// What has to be known before `change` is applied.
pub(in crate::lifecycle) fn before(register: &Register, change: &Change) -> Before {
    let mut before = Before::default();
    if let Change::RegionsMerged { source, .. } = change {
        let peer = register.peer(source.region);
        let merging = peer.and_then(|peer| peer.stage.merging());
        before.source_end = merging.map(|merging| merging.commit);
    }
    before
}

/// Moves the attachments of every observer after `change` was applied to the regions.
pub(in crate::lifecycle) fn follow(register: &mut Register, change: &Change, before: Before) {
    if register.observers.is_empty() {
        return;
    }
    // Taken out, so that regions can be looked at while attachments move.
    let mut observers = std::mem::take(&mut register.observers);
    follow_in(register, &mut observers, change, before);
    register.observers = observers;
}

fn follow_in(register: &Register, observers: &mut Observers, change: &Change, before: Before) {
    match change {
        Change::RegionBootstrapped { region, .. } | Change::BootstrapPrepared { region, .. } => {
            each(observers, |observer| create(observer, region));
        }
        Change::RegionRecovered { region } => {
            each(observers, |observer| recover(observer, region));
        }
        Change::RegionSplit {
            region,
            position,
            children,
            ..
        } => each(observers, |observer| {
            split(register, observer, *region, position.index, children);
        }),
        Change::RegionsMerged {
            region,
            position,
            source,
            ..
        } => {
            // Witnesses merge without data: what the source once held goes on nowhere.
            let whole = range_of(register, *region);
            each(observers, |observer| {
                let goes_on = whole
                    .as_ref()
                    .is_some_and(|range| observer.ranges.overlaps(range));
                let into = goes_on.then_some(Origin {
                    region: *region,
                    index: position.index,
                });
                merge(observer, source.region, before.source_end, into);
            });
        }
        Change::OwnPeerRemoved {
            region, position, ..
        } => each(observers, |observer| {
            leave(observer, *region, Some(position.index), None);
        }),
        Change::PeerDestroyed { region, .. } => {
            each(observers, |observer| leave(observer, *region, None, None));
        }
        // Nothing ever happened in it.
        Change::BootstrapAbandoned { region } => each(observers, |observer| {
            observer.attachments.remove(*region);
        }),
        Change::PeersChanged {
            region, position, ..
        }
        | Change::JointEntered {
            region, position, ..
        }
        | Change::JointLeft {
            region, position, ..
        }
        | Change::WitnessesSwitched {
            region, position, ..
        } => {
            if range_of(register, *region).is_none() {
                each(observers, |observer| {
                    leave(observer, *region, Some(position.index), None);
                });
            }
        }
        Change::WitnessInstalled {
            description,
            sources,
            ..
        } => each(observers, |observer| {
            leave(observer, description.id, None, None);
            for source in sources {
                leave(observer, source.region, None, None);
            }
        }),
        Change::SnapshotBegun {
            description,
            snapshot,
        } => each(observers, |observer| {
            replace(observer, description, snapshot.position.index);
        }),
        Change::SnapshotBegunOverSources {
            description,
            snapshot,
            sources,
        } => each(observers, |observer| {
            let index = snapshot.position.index;
            replace(observer, description, index);
            for source in sources {
                take_in(observer, source.region, description.id, index);
            }
        }),
        Change::SnapshotAborted { region, .. } => {
            if range_of(register, *region).is_none() {
                each(observers, |observer| leave(observer, *region, None, None));
            }
        }
        Change::PeerDamaged { region, .. } => each(observers, |observer| {
            if let Some(attachment) = observer.attachments.get_mut(*region) {
                attachment.detach(WantReason::Damaged);
            }
        }),
        Change::StoreIdentified { .. }
        | Change::DataStoreReplaced { .. }
        | Change::SequencesLeased { .. }
        | Change::BarrierReached { .. }
        | Change::BootstrapConfirmed { .. }
        | Change::VotersForced { .. }
        | Change::MergePrepared { .. }
        | Change::MergeRolledBack { .. }
        | Change::FlashbackBegun { .. }
        | Change::FlashbackEnded { .. }
        | Change::TombstonePlaced { .. }
        | Change::TombstoneCollected { .. }
        | Change::PeerCreated { .. }
        | Change::DeletionFinished { .. }
        | Change::SnapshotReserved { .. }
        | Change::SnapshotReleased { .. }
        | Change::SnapshotEnded { .. }
        | Change::CacheLoadRequested { .. }
        | Change::CacheLoadQueued { .. }
        | Change::CacheLoadUnqueued { .. }
        | Change::CacheLoading { .. }
        | Change::CacheActive { .. }
        | Change::CacheCancelled { .. }
        | Change::CacheEvictPending { .. }
        | Change::CacheEvicting { .. }
        | Change::CacheGone { .. }
        | Change::CacheLoadWaits { .. }
        | Change::CacheGoneLoadWaits { .. }
        | Change::Observer(_) => {}
    }
}

fn each(observers: &mut Observers, mut change: impl FnMut(&mut Observer)) {
    observers.all_mut().values_mut().for_each(&mut change);
}

/// A region begins here.
fn create(observer: &mut Observer, region: &Region) {
    if observer.ranges.overlaps(&region.range) {
        let created = Attachment::wanted(INITIAL_INDEX, WantReason::Created);
        observer.attachment_or(region.id, || created);
    }
}

/// A region begins here by order, without data. Indexes of its earlier life say nothing any more.
fn recover(observer: &mut Observer, region: &Region) {
    if !observer.ranges.overlaps(&region.range) {
        return;
    }
    let Some(attachment) = observer.attachments.get_mut(region.id) else {
        return create(observer, region);
    };
    let first_lost = attachment.next_index();
    lose(
        attachment,
        InvalidReason::Recovered,
        INITIAL_INDEX.max(first_lost),
    );
    lose_parts(observer, region.id, InvalidReason::Recovered);
}

/// Everything that is not acknowledged, up to `last_lost`, is lost.
fn lose(attachment: &mut Attachment, reason: InvalidReason, last_lost: u64) {
    let first_available = last_lost.saturating_add(1);
    match &mut attachment.state {
        // The first reason stands; more is lost now.
        AttachmentState::Invalidated(loss) => {
            loss.first_available = loss.first_available.max(first_available);
        }
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. }
        | AttachmentState::Draining(_) => {
            let first_lost = attachment.next_index();
            attachment.state = AttachmentState::Invalidated(Box::new(Loss {
                reason,
                first_lost,
                first_available: first_available.max(first_lost.saturating_add(1)),
            }));
        }
    }
}

/// A region lost what it had to tell. Parts that were split off above what is acknowledged of it were born
/// with rows that only that would have told, so they lose those, and so do parts of theirs. A part that was
/// merged into another region before it was told took them there, so that one loses them too.
pub(super) fn lose_parts(observer: &mut Observer, whole: RegionId, reason: InvalidReason) {
    let mut wholes = vec![whole];
    while let Some(whole) = wholes.pop() {
        for part in waiting_parts(observer, whole) {
            let into = observer.attachments.get(part).and_then(goes_on_in);
            let Some(attachment) = observer.attachments.get_mut(part) else {
                continue;
            };
            attachment.acked = attachment.acked.min(INITIAL_INDEX.saturating_sub(1));
            lose(attachment, reason, INITIAL_INDEX);
            wholes.push(part);
            wholes.extend(lose_into(observer, into, reason));
        }
    }
}

/// Where a region's untold changes are, if it was taken into another one and has not been told to its end.
pub(super) fn goes_on_in(attachment: &Attachment) -> Option<Origin> {
    match &attachment.state {
        AttachmentState::Draining(drain) => drain.into,
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. }
        | AttachmentState::Invalidated(_) => None,
    }
}

/// What was taken into a region is lost: that region loses it as well, and the one that took it in, and so on.
/// The regions that lost something by that.
pub(super) fn lose_into(
    observer: &mut Observer,
    into: Option<Origin>,
    reason: InvalidReason,
) -> Vec<RegionId> {
    let mut lost = Vec::new();
    let mut next = into;
    while let Some(into) = next.take() {
        let Some(target) = observer.attachments.get_mut(into.region) else {
            break;
        };
        // Who has everything from there on has it from elsewhere.
        if target.acked >= into.index || planted!("lost-with-what-took-it-in") {
            break;
        }
        next = goes_on_in(target);
        lose(target, reason, into.index.max(target.next_index()));
        lost.push(into.region);
    }
    lost
}

/// The parts that wait for something that is not acknowledged of `whole`, and have lost nothing themselves.
pub(super) fn waiting_parts(observer: &Observer, whole: RegionId) -> Vec<RegionId> {
    let Some(acked) = observer.attachments.get(whole).map(|whole| whole.acked) else {
        return Vec::new();
    };
    let waits = |attachment: &Attachment| {
        let origin = attachment.origin.as_deref();
        origin.is_some_and(|origin| origin.region == whole && origin.index > acked)
            && lost_because(attachment).is_none()
    };
    let waiting = observer
        .attachments()
        .filter(|(_, attachment)| waits(attachment));
    waiting.map(|(region, _)| region).collect()
}

fn lost_because(attachment: &Attachment) -> Option<InvalidReason> {
    match &attachment.state {
        AttachmentState::Invalidated(loss) => Some(loss.reason),
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. }
        | AttachmentState::Draining(_) => None,
    }
}

fn split(
    register: &Register,
    observer: &mut Observer,
    whole: RegionId,
    index: u64,
    children: &[SplitChild],
) {
    let Some(parent) = observer.attachments.get(whole) else {
        return;
    };
    let waits = parent.acked < index && !planted!("part-does-not-know-its-whole");
    let origin = waits.then(|| {
        let region = whole;
        Box::new(Origin { region, index })
    });
    let (lost, reset) = (lost_because(parent), parent.reset);
    for child in children {
        let range = match child.fate {
            ChildFate::Skipped { .. } => continue,
            ChildFate::Created | ChildFate::Adopted { .. } => range_of(register, child.id),
        };
        if !range.is_some_and(|range| observer.ranges.overlaps(&range)) {
            continue;
        }
        let new = || Attachment::wanted(INITIAL_INDEX, WantReason::Split);
        let attachment = observer.attachment_or(child.id, new);
        if let Some(reason) = lost {
            // What the part was born with is what is not known.
            attachment.acked = attachment.acked.min(INITIAL_INDEX.saturating_sub(1));
            lose(attachment, reason, INITIAL_INDEX);
        } else if lost_because(attachment).is_none() {
            // An earlier life of the part may have left something that was not acknowledged.
            let reason = WantReason::Split;
            attachment.acked = attachment.acked.max(INITIAL_INDEX);
            attachment.state = AttachmentState::Wanted { reason };
            attachment.origin = origin.clone();
            attachment.reset = attachment.reset.max(reset);
        }
    }
    let rest = range_of(register, whole);
    if !rest.is_some_and(|rest| observer.ranges.overlaps(&rest)) {
        match lost {
            // Its parts have lost it now.
            Some(_) => drop(observer.attachments.remove(whole)),
            None => leave(observer, whole, Some(index), None),
        }
    }
}

fn merge(observer: &mut Observer, source: RegionId, source_end: Option<u64>, into: Option<Origin>) {
    let Some(ending) = observer.attachments.get(source) else {
        return;
    };
    let Some(into) = into.filter(|_| !matches!(ending.state, AttachmentState::Draining(_))) else {
        return leave(observer, source, source_end, None);
    };
    let (lost, reset) = (lost_because(ending), ending.reset);
    let new = || Attachment::wanted(into.index, WantReason::Merged);
    let target = observer.attachment_or(into.region, new);
    if let Some(reason) = lost {
        lose(target, reason, into.index.max(target.next_index()));
        observer.attachments.remove(source);
        return;
    }
    if let AttachmentState::Draining(_) = target.state {
        // It had keys of the observer before, and has some again.
        let reason = WantReason::Merged;
        target.state = AttachmentState::Wanted { reason };
    }
    target.reset = target.reset.max(reset);
    if reset == Reset::Scan {
        // The rows of the source come with a scan of the target, which is of what the target is then: its parts
        // that wait for it need their own.
        for part in waiting_parts(observer, into.region) {
            scan_too(observer, part);
        }
        scan_too(observer, into.region);
    }
    leave(observer, source, source_end, Some(into));
}

/// The keys of a source came with a snapshot of the region that took it in.
fn take_in(observer: &mut Observer, source: RegionId, target: RegionId, index: u64) {
    let is_lost = observer
        .attachments
        .get(target)
        .and_then(lost_because)
        .is_some();
    if is_lost {
        observer.attachments.remove(source);
    } else {
        let region = target;
        leave(observer, source, None, Some(Origin { region, index }));
    }
}

/// The region's data is what a snapshot brings, which is at `index`.
fn replace(observer: &mut Observer, description: &Region, index: u64) {
    let region = description.id;
    if !observer.ranges.overlaps(&description.range) {
        return leave(observer, region, None, None);
    }
    // Of a region that was not here nothing is known.
    let new = || Attachment::wanted(0, WantReason::Snapshot);
    let attachment = observer.attachment_or(region, new);
    if attachment.acked < index && !planted!("snapshot-is-no-loss") {
        lose(attachment, InvalidReason::Snapshot, index);
        lose_parts(observer, region, InvalidReason::Snapshot);
    } else if lost_because(attachment).is_none() {
        let reason = WantReason::Snapshot;
        attachment.state = AttachmentState::Wanted { reason };
    }
}

/// The region ended here, or has no key of the observer any more. What is lost stays so until the
/// consumer was told.
fn leave(observer: &mut Observer, region: RegionId, end: Option<u64>, into: Option<Origin>) {
    let Some(attachment) = observer.attachments.get_mut(region) else {
        return;
    };
    match attachment.state {
        AttachmentState::Wanted { .. }
        | AttachmentState::CatchingUp { .. }
        | AttachmentState::Live { .. } => {
            // Rows that a scan has not told are told by nothing else, and what was acknowledged says nothing
            // of them: if the region comes back, nothing of it is known.
            if attachment.reset == Reset::Scan && !planted!("scan-forgotten-at-the-end") {
                return drop(observer.attachments.remove(region));
            }
            let attached = attachment.is_attached();
            attachment.reset = Reset::None;
            attachment.state = AttachmentState::Draining(Box::new(Drain {
                end,
                into,
                attached,
            }));
            close_if_done(observer, region);
        }
        AttachmentState::Draining(_) | AttachmentState::Invalidated(_) => {}
    }
}
