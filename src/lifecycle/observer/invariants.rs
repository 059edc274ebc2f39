//! What always holds of the observers of a register.

use super::follow::{observable, observed_regions};
use super::{Attachment, AttachmentState, Observer};
use crate::lifecycle::{PeerStage, Register};
use crate::{Generation, ObserverId, RegionId};

/// An invariant of observers that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserverViolation {
    /// An id that was never given, or that is 0.
    #[error("{observer} has an id above the last one given")]
    Id {
        /// Which.
        observer: ObserverId,
    },
    /// Two observers have one name.
    #[error("{observer} has the name of another")]
    Name {
        /// The later one.
        observer: ObserverId,
    },
    /// A region holds keys that are observed, and nothing is known of how far.
    #[error("{observer} has no open attachment to {region}")]
    Hole {
        /// Whose.
        observer: ObserverId,
        /// Which region.
        region: RegionId,
    },
    /// An attachment of a region that is not here, or has no key of the observer, does not end.
    #[error("{observer} is {state} at {region}, which has nothing for it")]
    Leftover {
        /// Whose.
        observer: ObserverId,
        /// Which region.
        region: RegionId,
        /// What the attachment does.
        state: &'static str,
    },
    /// A generation that was never minted, or that is missing.
    #[error("{observer} has {generation} at {region}, which was not minted")]
    Generation {
        /// Whose.
        observer: ObserverId,
        /// Which region.
        region: RegionId,
        /// The generation.
        generation: Generation,
    },
    /// An attachment delivers what cannot be delivered: the observer is paused, the region's data
    /// cannot be read, or all of it is acknowledged and it should be gone.
    #[error("{observer} is {state} at {region}, where it cannot")]
    State {
        /// Whose.
        observer: ObserverId,
        /// Which region.
        region: RegionId,
        /// What the attachment does.
        state: &'static str,
    },
}

impl Register {
    /// Checks what always holds of observers: ids and generations were given, and each observer's keys,
    /// as far as this store holds them, are partitioned by attachments that have not ended.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check_observers(&self) -> Result<(), ObserverViolation> {
        let mut names = std::collections::BTreeSet::new();
        for (observer, known) in self.observers.iter() {
            if observer.0 == 0 || observer.0 > self.observers.last_id || known.added > self.last_lsn
            {
                return Err(ObserverViolation::Id { observer });
            }
            if !names.insert(known.name.clone()) {
                return Err(ObserverViolation::Name { observer });
            }
            self.check_observer(observer, known)?;
        }
        Ok(())
    }

    fn check_observer(&self, id: ObserverId, known: &Observer) -> Result<(), ObserverViolation> {
        let observed = observed_regions(self, &known.ranges);
        for region in &observed {
            let attachment = known.attachments.get(*region);
            let is_open = attachment.is_some_and(|attachment| match attachment.state {
                AttachmentState::Wanted { .. }
                | AttachmentState::CatchingUp { .. }
                | AttachmentState::Live { .. }
                | AttachmentState::Invalidated(_) => true,
                AttachmentState::Draining(_) => false,
            });
            if !is_open {
                let (observer, region) = (id, *region);
                return Err(ObserverViolation::Hole { observer, region });
            }
        }
        for (region, attachment) in known.attachments.iter() {
            let is_observed = observed.binary_search(region).is_ok();
            self.check_attachment(id, known, (*region, attachment), is_observed)?;
        }
        Ok(())
    }

    fn check_attachment(
        &self,
        observer: ObserverId,
        known: &Observer,
        (region, attachment): (RegionId, &Attachment),
        is_observed: bool,
    ) -> Result<(), ObserverViolation> {
        let state = attachment.state.as_str();
        let generation = attachment.generation;
        let is_minted = generation.0 <= self.observers.last_generation;
        if !is_minted || (attachment.is_attached() && generation == Generation::NONE) {
            return Err(ObserverViolation::Generation {
                observer,
                region,
                generation,
            });
        }
        let holds_data = self.peer(region).is_some_and(|peer| {
            matches!(peer.stage, PeerStage::Normal(_)) && observable(peer).is_some()
        });
        let (may_be_elsewhere, is_possible) = match &attachment.state {
            AttachmentState::Wanted { .. } => (false, true),
            AttachmentState::CatchingUp { .. } | AttachmentState::Live { .. } => {
                (false, holds_data && !known.paused)
            }
            AttachmentState::Draining(drain) => {
                let is_done = drain.end.is_some_and(|end| attachment.acked >= end);
                (true, !(is_done || drain.attached && known.paused))
            }
            AttachmentState::Invalidated(loss) => {
                let is_loss = loss.first_lost < loss.first_available;
                (true, is_loss && loss.first_lost > attachment.acked)
            }
        };
        if !is_observed && !may_be_elsewhere {
            return Err(ObserverViolation::Leftover {
                observer,
                region,
                state,
            });
        }
        match is_possible {
            true => Ok(()),
            false => Err(ObserverViolation::State {
                observer,
                region,
                state,
            }),
        }
    }
}
