//! Acknowledging: what the consumer has dealt with comes never again.
//!
//! Not here: how the register keeps it (`lifecycle::observer`).

use std::sync::Arc;

use super::Shared;
use crate::RegionId;
use crate::engine::core::Core;
use crate::engine::{Answer, EngineError};
use crate::lifecycle::{
    Acknowledged, Cause, Event, ObserverEvent, ObserverRefusal, Refusal, Register,
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
        if let Some(refusal) = self.beyond_delivered(observer, acks) {
            return Ok(AckAnswer::Refused(refusal));
        }
        let position = |ack: &Ack| Acknowledged {
            region: ack.region,
            generation: ack.generation,
            index: ack.index,
        };
        // What ended and was acknowledged to its end a moment ago is there for everybody but decisions.
        let is_ended = |region: RegionId| {
            let is_there = |register: &Register| {
                let found = register.observers().attachment(observer, region);
                found.is_some()
            };
            is_there(&self.published()) && !self.with_decided(is_there)
        };
        let open = acks.iter().filter(|ack| !is_ended(ack.region));
        let positions = open.map(position).collect();
        let event = Event::Observer(ObserverEvent::Acknowledge {
            observer,
            positions,
        });
        let answer = self.commit(&event, Cause::Host)?;
        Ok(match answer {
            Answer::Accepted { lsn } => {
                if durable {
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

    /// What was not handed to the consumer under that generation cannot be acknowledged.
    fn beyond_delivered(&self, observer: ObserverId, acks: &[Ack]) -> Option<ObserverRefusal> {
        let shared = self.feeds.get(observer);
        let known = shared.as_ref().map(|shared| shared.delivered.lock());
        let published = self.published();
        acks.iter().find_map(|ack| {
            let (region, given) = (ack.region, ack.index);
            let attachment = published.observers().attachment(observer, region)?;
            // Stale generations, losses and unknown regions have their own refusals; they come first.
            if attachment.generation != ack.generation {
                return None;
            }
            let handed = known.as_ref().and_then(|known| known.get(&region));
            let handed = handed.filter(|(generation, _)| *generation == ack.generation);
            let delivered = handed.map_or(0, |(_, index)| *index).max(attachment.acked);
            (given > delivered).then_some(ObserverRefusal::BeyondDelivered {
                region,
                given,
                delivered,
            })
        })
    }
}
