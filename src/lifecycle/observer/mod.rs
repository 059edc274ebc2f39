//! Observers as the journal knows them: which there are, and how far each is in each region.
//!
//! ```text
//!              attach            caught-up
//!   Wanted ───────────► CatchingUp ───────► Live        Each attachment that is not wanted, draining or
//!     ▲ ▲                   │                │           invalidated carries the generation that it was
//!     │ └──────detach───────┴────────────────┘           minted with, and the term in which it was.
//!     │                     │ region ended here
//!     │ rebase              ▼ (destroy, merge, split away)
//!  Invalidated ◄───────  Draining ──acknowledged to its end──► gone
//! ```
//!
//! Every observer has an attachment to every region that has keys of its ranges and holds data here,
//! whether this store leads the region or not, so there is no region whose changes could pass unseen.
//! A transition of a region moves its attachments in the very record of the transition (`follow`).
//!
//! * `event`, `change`, `refusal`: the words. `step`: what an event does. `apply`: carrying it out.
//! * `follow`: what the transitions of a region do to its attachments. `invariants`: what always holds.
//!
//! Not here: what should be attached (`observe::reconcile`), the changes themselves and their delivery.

mod apply;
mod change;
mod event;
mod follow;
mod invariants;
mod names;
mod refusal;
mod restore;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens_journal::Lsn;

pub use self::change::{
    Acknowledged, Attached, CaughtUp, Detached, Ended, Invalidated, ObserverChange, Rebased,
    Started,
};
pub use self::event::{AttachRequest, Leads, ObserverEvent};
pub use self::invariants::ObserverViolation;
pub use self::refusal::ObserverRefusal;

pub(super) use self::apply::apply;
pub(super) use self::follow::{before, follow};
pub(crate) use self::step::is_news;
pub(super) use self::step::step;

use crate::persistent_map::PersistentMap;
use crate::{Generation, ObserverId, ObserverName, ObserverPolicy, ObserverRanges, RegionId};

/// Every observer of one store, and the highest ids that were ever given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observers {
    pub(super) last_id: u64,
    pub(super) last_generation: u64,
    by_id: Arc<BTreeMap<ObserverId, Observer>>,
}

/// One observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// What it is called.
    pub name: ObserverName,
    /// The keys that it asks for.
    pub ranges: ObserverRanges,
    /// How much is kept for it.
    pub policy: ObserverPolicy,
    /// Whether it is paused: history is kept for it, nothing is delivered.
    pub paused: bool,
    /// The record that added it.
    pub added: Lsn,
    pub(super) attachments: PersistentMap<RegionId, Attachment>,
}

/// How far an observer is in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Everything of the region at or below this index is acknowledged; what comes next is above it.
    pub acked: u64,
    /// The last generation that was minted for it; [`Generation::NONE`] before the first.
    pub generation: Generation,
    /// What the consumer has to be told before the next change, since it may lack something: until it
    /// acknowledged where it then is.
    pub reset: Reset,
    /// Where the region comes from: nothing of it is delivered before that.
    pub origin: Option<Box<Origin>>,
    /// What it is doing.
    pub state: AttachmentState,
}

/// What comes before a region's own changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The region that it was split from.
    pub region: RegionId,
    /// Index of the split in that region's log: everything up to it comes first.
    pub index: u64,
}

/// What an attachment is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentState {
    /// It is to be attached as soon as this store leads the region and the observer is not paused.
    Wanted {
        /// Why it is not attached.
        reason: WantReason,
    },
    /// It reads what is kept, from the acknowledged index on.
    CatchingUp {
        /// The term in which this store led the region when the generation was minted; 0 if it did not, and it is
        /// told for its parts only, up to where they were split off.
        term: u64,
    },
    /// It has reached what is applied now.
    Live {
        /// The term in which this store led the region when the generation was minted.
        term: u64,
    },
    /// The region ended here, or has no key of the observer any more: what is left is delivered up to
    /// the end, and the attachment goes when that is acknowledged.
    Draining(Box<Drain>),
    /// Changes were lost; nothing is delivered before the consumer chose where to go on.
    Invalidated(Box<Loss>),
}

/// What is left of an attachment whose region ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drain {
    /// Index of the last change; none while it is not known (a destroy does not say it).
    pub end: Option<u64>,
    /// The region that took this one in, and the index of the merge in its log: what it has above
    /// that comes after the end.
    pub into: Option<Origin>,
    /// Whether it is being delivered, in the attachment's generation.
    pub attached: bool,
}

/// What an observer lost in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    /// Why.
    pub reason: InvalidReason,
    /// First index whose changes may be lost.
    pub first_lost: u64,
    /// First index from which on changes are there again.
    pub first_available: u64,
}

/// Why an attachment is wanted and not attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WantReason {
    /// The observer was added, and has not been attached to the region yet.
    Added,
    /// The region began here.
    Created,
    /// The region was split from one that is observed.
    Split,
    /// A region that is observed was merged into this one.
    Merged,
    /// A snapshot replaced the region's data, at an index that was acknowledged already.
    Snapshot,
    /// This store stopped leading the region.
    NotLeader,
    /// This store leads it in a later term.
    NewTerm,
    /// The observer was paused.
    Paused,
    /// The process that had attached it is gone.
    Restarted,
    /// The region's data here cannot be trusted.
    Damaged,
    /// The request was about what is not there any more.
    Stale,
    /// Catching up failed, for a reason that may pass.
    Failed,
    /// The consumer chose where to go on.
    Rebased,
}

/// Why changes were lost to an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InvalidReason {
    /// A snapshot replaced the region's data beyond what was acknowledged.
    Snapshot,
    /// What is kept for it grew beyond its limit in bytes.
    Bytes,
    /// What is kept for it grew older than its limit.
    Age,
    /// What was kept is not there any more.
    HistoryLost,
    /// What was kept is damaged.
    HistoryDamaged,
    /// An operator ordered the region into being again, without data.
    Recovered,
}

/// What a consumer has to be told before the next change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reset {
    /// Nothing.
    #[default]
    None,
    /// That changes are missing, deletions among them.
    Marker,
    /// That, and then every row of the region as it is.
    Scan,
}

impl Observers {
    /// Most entries of one record: keeps it within what a journal takes.
    pub const PER_RECORD_MAX: usize = 65_536;
    /// Most regions that an observer starts in; keeps its record within what a journal takes.
    pub const STARTS_MAX: usize = 200_000;
    /// Most observers of a store.
    pub const COUNT_MAX: usize = 4096;

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Every observer, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ObserverId, &Observer)> {
        self.by_id.iter().map(|(id, observer)| (*id, observer))
    }

    /// One observer.
    pub fn get(&self, observer: ObserverId) -> Option<&Observer> {
        self.by_id.get(&observer)
    }

    /// The living observer of that name.
    pub fn named(&self, name: &str) -> Option<ObserverId> {
        let mut all = self.by_id.iter();
        all.find_map(|(id, observer)| (observer.name.as_str() == name).then_some(*id))
    }

    /// An observer's attachment to a region.
    pub fn attachment(&self, observer: ObserverId, region: RegionId) -> Option<&Attachment> {
        self.by_id.get(&observer)?.attachments.get(region)
    }

    /// The highest generation that was ever minted.
    pub fn last_generation(&self) -> Generation {
        Generation(self.last_generation)
    }

    /// The highest id that was ever given.
    pub fn last_id(&self) -> ObserverId {
        ObserverId(self.last_id)
    }

    pub(super) fn attachment_mut(
        &mut self,
        observer: ObserverId,
        region: RegionId,
    ) -> Option<&mut Attachment> {
        self.all_mut()
            .get_mut(&observer)?
            .attachments
            .get_mut(region)
    }

    /// All observers, to be changed: a copy of what earlier pictures share.
    fn all_mut(&mut self) -> &mut BTreeMap<ObserverId, Observer> {
        Arc::make_mut(&mut self.by_id)
    }
}

impl Observer {
    /// One whose attachments are not known yet.
    pub(crate) fn without_attachments(
        name: ObserverName,
        ranges: ObserverRanges,
        policy: ObserverPolicy,
        paused: bool,
        added: Lsn,
    ) -> Self {
        Observer {
            name,
            ranges,
            policy,
            paused,
            added,
            attachments: PersistentMap::default(),
        }
    }

    /// Its attachments, by region.
    pub fn attachments(&self) -> impl Iterator<Item = (RegionId, &Attachment)> {
        self.attachments
            .iter()
            .map(|(region, attachment)| (*region, attachment))
    }

    /// Its attachment to a region.
    pub fn attachment(&self, region: RegionId) -> Option<&Attachment> {
        self.attachments.get(region)
    }

    /// The region and the index that are delivered before anything of an attachment, if they are not
    /// acknowledged yet.
    pub fn comes_after(&self, attachment: &Attachment) -> Option<(RegionId, u64)> {
        let origin = attachment.origin.as_deref()?;
        let before = self.attachment(origin.region)?;
        (before.acked < origin.index).then_some((origin.region, origin.index))
    }

    /// How far a region has to be told because parts of it wait for that; none if none does.
    pub fn told_for_parts(&self, whole: RegionId) -> Option<u64> {
        let acked = self.attachment(whole)?.acked;
        let waits = |part: &Attachment| {
            let is_lost = matches!(part.state, AttachmentState::Invalidated(_));
            let origin = part.origin.as_deref();
            let origin = origin.filter(|origin| origin.region == whole && origin.index > acked);
            origin.filter(|_| !is_lost).map(|origin| origin.index)
        };
        self.attachments.values().filter_map(waits).max()
    }

    /// How many attachments it has.
    pub fn attachment_count(&self) -> usize {
        self.attachments.len()
    }

    /// The attachment to a region, which is made if there is none.
    fn attachment_or(
        &mut self,
        region: RegionId,
        new: impl FnOnce() -> Attachment,
    ) -> &mut Attachment {
        if self.attachments.get(region).is_none() {
            self.attachments.insert(region, new());
        }
        self.attachments
            .get_mut(region)
            .expect("the attachment is there, or was just put there")
    }

    /// Ends whatever is attached; every place stays.
    fn detach_all(&mut self, reason: WantReason) {
        let attached = self.attachments.iter().filter(|(_, one)| one.is_attached());
        let attached: Vec<RegionId> = attached.map(|(region, _)| *region).collect();
        for region in attached {
            if let Some(attachment) = self.attachments.get_mut(region) {
                attachment.detach(reason);
            }
        }
    }
}

impl Attachment {
    /// One that waits to be attached, behind `acked`.
    pub(super) fn wanted(acked: u64, reason: WantReason) -> Self {
        Attachment {
            acked,
            generation: Generation::NONE,
            reset: Reset::None,
            origin: None,
            state: AttachmentState::Wanted { reason },
        }
    }

    /// The first index that is still to be delivered.
    pub fn next_index(&self) -> u64 {
        self.acked.saturating_add(1)
    }

    /// The term that it is attached in; none if it is not, drains, or is told for its parts only.
    pub fn term(&self) -> Option<u64> {
        match self.state {
            AttachmentState::CatchingUp { term } | AttachmentState::Live { term } => {
                (term > 0).then_some(term)
            }
            AttachmentState::Wanted { .. }
            | AttachmentState::Draining(_)
            | AttachmentState::Invalidated(_) => None,
        }
    }

    /// Whether it is told without being led, for its parts only.
    pub const fn is_for_parts(&self) -> bool {
        matches!(self.state, AttachmentState::CatchingUp { term: 0 })
    }

    /// Whether its generation delivers.
    pub fn is_attached(&self) -> bool {
        match &self.state {
            AttachmentState::CatchingUp { .. } | AttachmentState::Live { .. } => true,
            AttachmentState::Draining(drain) => drain.attached,
            AttachmentState::Wanted { .. } | AttachmentState::Invalidated(_) => false,
        }
    }

    /// Whether the region goes on here: it does not drain.
    pub fn is_open(&self) -> bool {
        match self.state {
            AttachmentState::Wanted { .. }
            | AttachmentState::CatchingUp { .. }
            | AttachmentState::Live { .. }
            | AttachmentState::Invalidated(_) => true,
            AttachmentState::Draining(_) => false,
        }
    }

    /// Ends what is attached; its place stays.
    pub(super) fn detach(&mut self, reason: WantReason) {
        match &mut self.state {
            AttachmentState::CatchingUp { .. } | AttachmentState::Live { .. } => {
                self.state = AttachmentState::Wanted { reason };
            }
            AttachmentState::Draining(drain) => drain.attached = false,
            AttachmentState::Wanted { .. } | AttachmentState::Invalidated(_) => {}
        }
    }
}
