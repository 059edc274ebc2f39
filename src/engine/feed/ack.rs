//! Acknowledging: what the consumer has dealt with comes never again.
//!
//! Not here: how the register keeps it (`lifecycle::observer`).

use std::collections::HashMap;
use std::sync::Arc;

use torrens_journal::planted;

use super::Shared;
use crate::RegionId;
use crate::engine::core::Core;
use crate::engine::{Answer, EngineError};
use crate::lifecycle::{
    Acknowledged, AttachmentState, Cause, Event, ObserverEvent, ObserverRefusal, Observers,
    Refusal, Reset,
};
use crate::observe::{Generation, ObserverId};

/// Everything of a region up to an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ack {
    /// The region.
    pub region: RegionId,
    /// The generation under which it was delivered.
    pub generation: Generation,
    /// The index.
    pub index: u64,
}

/// What an acknowledgement came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckAnswer {
    /// It stands.
    Acknowledged,
    /// All of it was acknowledged before.
    Already,
    /// It names what was not delivered, or an attachment that is not current; nothing of it stands.
    Refused(ObserverRefusal),
}

/// Acknowledges for one subscription, from any thread. Cloning gives another.
#[derive(Clone, Debug)]
pub struct Acker {
    core: Arc<Core>,
    shared: Arc<Shared>,
}

impl Acker {
    pub(super) fn new(core: Arc<Core>, shared: Arc<Shared>) -> Self {
        Acker { core, shared }
    }

    /// Whose it is.
    pub fn observer(&self) -> ObserverId {
        self.shared.observer
    }

    /// Acknowledges in several regions at once: all or none.
    ///
    /// # Errors
    /// The engine takes nothing any more, or failed.
    ///
    /// # Durability
    /// With `durable`, nothing at or below comes again after any crash; without, it may.
    pub fn ack(&self, acks: &[Ack], durable: bool) -> Result<AckAnswer, EngineError> {
        self.core.ack(self.shared.observer, acks, durable)
    }
}

impl Core {
    pub(super) fn ack(
        &self,
        observer: ObserverId,
        acks: &[Ack],
        durable: bool,
    ) -> Result<AckAnswer, EngineError> {
        self.check_open()?;
        // A copy, so that no lock is held beside another one: whoever publishes waits for nobody here.
        let register = self.published().clone();
        let observers = register.observers();
        let shared = self.feeds.get(observer);
        let told: Vec<&Ack> = {
            let delivered = shared.as_ref().map(|shared| shared.delivered.lock());
            let known = Known {
                observers,
                delivered: delivered.as_deref(),
            };
            let beyond = |ack: &Ack| known.beyond_delivered(observer, ack);
            if let Some(refusal) = acks.iter().find_map(beyond) {
                return Ok(AckAnswer::Refused(refusal));
            }
            let told = acks.iter().filter(|ack| !known.is_untold(observer, ack));
            told.collect()
        };
        let position = |ack: &Ack| Acknowledged {
            region: ack.region,
            generation: ack.generation,
            index: ack.index,
        };
        // What ended and was acknowledged to its end a moment ago is there for everybody but decisions.
        let is_ended = |region: RegionId| {
            let is_there = |observers: &Observers| observers.attachment(observer, region).is_some();
            is_there(observers) && !self.with_decided(|decided| is_there(decided.observers()))
        };
        let open = told.into_iter().filter(|ack| !is_ended(ack.region));
        let positions = open.map(position).collect();
        let event = Event::Observer(ObserverEvent::Acknowledge {
            observer,
            positions,
        });
        let answer = self.commit(&event, Cause::Host)?;
        Ok(match answer {
            Answer::Accepted { lsn } => {
                if durable && !planted!("acknowledgement-not-waited-for") {
                    self.wait_durable(lsn)?;
                }
                AckAnswer::Acknowledged
            }
            Answer::AlreadyApplied | Answer::Wait(_) => {
                if durable {
                    self.sync()?;
                }
                AckAnswer::Already
            }
            Answer::Refused(Refusal::Observer(refusal)) => AckAnswer::Refused(refusal),
            Answer::Refused(other) => {
                unreachable!("an acknowledgement is refused for an observer's reasons: {other:?}")
            }
        })
    }
}

/// What was known when an acknowledgement came.
struct Known<'a> {
    observers: &'a Observers,
    delivered: Option<&'a HashMap<RegionId, (Generation, u64)>>,
}

impl Known<'_> {
    /// How far the region was handed to the consumer under that generation; none if it was not.
    fn handed(&self, ack: &Ack) -> Option<u64> {
        let handed = self.delivered?.get(&ack.region);
        let handed = handed.filter(|(generation, _)| *generation == ack.generation);
        handed.map(|(_, index)| *index)
    }

    /// What was not handed to the consumer cannot be acknowledged.
    fn beyond_delivered(&self, observer: ObserverId, ack: &Ack) -> Option<ObserverRefusal> {
        let (region, given) = (ack.region, ack.index);
        let attachment = self.observers.attachment(observer, region)?;
        // Stale generations, losses and unknown regions have their own refusals; they come first.
        let is_lost = matches!(attachment.state, AttachmentState::Invalidated(_));
        if is_lost || attachment.generation != ack.generation {
            return None;
        }
        let delivered = self.handed(ack).unwrap_or(0).max(attachment.acked);
        let is_beyond = given > delivered && !planted!("acknowledged-before-it-was-told");
        is_beyond.then_some(ObserverRefusal::BeyondDelivered {
            region,
            given,
            delivered,
        })
    }

    /// Where a reset is still to be told, the place behind which the consumer wants to begin is not one that
    /// it has reached.
    fn is_untold(&self, observer: ObserverId, ack: &Ack) -> bool {
        let attachment = self.observers.attachment(observer, ack.region);
        let has_reset =
            attachment.is_some_and(|one| one.reset != Reset::None && ack.index <= one.acked);
        has_reset && self.handed(ack).is_none()
    }
}
