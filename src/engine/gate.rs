//! The gate of messages, and the keys that are kept free for a snapshot on its way to Raft.

use super::submit::Submission;
use super::{Answer, Engine, EngineError};
use crate::lifecycle::{Cause, CreatePermit, Event, GateAnswer, MessageHeader};
use crate::{Incarnation, RaftPosition, Region, RegionId};

impl Engine {
    /// What becomes of a message, before anything else looks at it. Takes no latch, waits for nothing
    /// and journals nothing: the answer is about the durable state, and whatever it permits or orders is
    /// decided again when it is carried out.
    pub fn gate(&self, header: &MessageHeader) -> GateAnswer {
        self.core.visible().gate(header)
    }

    /// Creates the peer that the gate permitted.
    ///
    /// # Durability
    /// Durable when it answers.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn create_permitted(&self, permit: CreatePermit) -> Result<Answer, EngineError> {
        let CreatePermit {
            region,
            peer,
            from_store,
            epoch,
        } = permit;
        self.core.wait_for(Submission::CreatePeer {
            region,
            peer,
            from_store,
            epoch,
        })
    }

    /// Keeps the keys of a snapshot free for it, before it is given to Raft: what the apply needs is
    /// looked at now. Accepted means that the later begin fails only if the peer's creation is gone, or
    /// the host applied entries meanwhile that gave keys of the range to a new region. `sources` are
    /// regions that the caller knows to have been merged into this one.
    ///
    /// A refusal leaves no record, as no refusal does: nothing changed, so there is nothing to replay, and a
    /// host that is sent the same snapshot again and again would fill the journal with it.
    ///
    /// # Durability
    /// Appended only: after a restart Raft asks for the snapshot again, and the keys are released.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn reserve_snapshot(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        description: Region,
        position: RaftPosition,
        sources: &[RegionId],
    ) -> Result<Answer, EngineError> {
        let _latch = self.core.latches.hold(region);
        let event = Event::ReserveSnapshot {
            region,
            incarnation,
            description,
            position,
            sources: sources.to_vec(),
        };
        self.core.commit(&event, Cause::Host)
    }

    /// Raft did not take the reserved snapshot: its keys are nobody's again.
    ///
    /// # Durability
    /// Appended only: after a restart no keys are kept free anyhow.
    ///
    /// # Errors
    /// [`EngineError`], as of every [transition](Engine#transitions).
    pub fn release_snapshot(
        &self,
        region: RegionId,
        incarnation: Incarnation,
    ) -> Result<Answer, EngineError> {
        let _latch = self.core.latches.hold(region);
        let event = Event::ReleaseSnapshot {
            region,
            incarnation,
        };
        self.core.commit(&event, Cause::Host)
    }
}
