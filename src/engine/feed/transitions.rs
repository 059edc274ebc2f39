//! The records of the store's own journal as a feed: every transition of regions, peers, caches and
//! observers, by LSN, each when it is durable.
//!
//! Not here: what a record means (`lifecycle`).

use std::time::Duration;

use torrens_journal::{FollowError, Followed, Follower, Lsn, PositionError, StopHandle};

use crate::codec::{self, CodecError};
use crate::engine::EngineError;
use crate::engine::core::Core;
use crate::lifecycle::Record;

/// One durable transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Its position; the next one has a higher one.
    pub lsn: Lsn,
    /// What happened, when and why. None for a kind that only a newer version knows and that may be
    /// passed over.
    pub record: Option<Record>,
}

/// Why transitions are not followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionsError {
    /// Records from there on went with a checkpoint: read the register, and go on behind it.
    #[error("record {asked} is gone, {oldest} is the oldest")]
    Gone {
        /// The position asked for.
        asked: Lsn,
        /// The oldest that is left.
        oldest: Lsn,
    },
    /// Nothing more comes: the engine was closed.
    #[error("the engine is closed")]
    Closed,
    /// The journal cannot be read.
    #[error("the journal cannot be followed")]
    Follow(#[source] Box<FollowError>),
    /// A record that was durable is not one.
    #[error("the record at {lsn} cannot be decoded")]
    Decode {
        /// Its position.
        lsn: Lsn,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// The engine takes nothing any more.
    #[error("the engine failed")]
    Engine(#[source] EngineError),
}

impl TransitionsError {
    /// Stable code for logs and tools.
    pub fn code(&self) -> &'static str {
        match self {
            TransitionsError::Gone { .. } => "transitions-gone",
            TransitionsError::Closed => "transitions-closed",
            TransitionsError::Follow(source) => source.code(),
            TransitionsError::Decode { .. } => "transitions-undecodable",
            TransitionsError::Engine(source) => source.code(),
        }
    }
}

/// Follows the transitions of a store.
///
/// It keeps the journal's records from its place on from being purged, without a limit: drop one that is not
/// read any more. The pin is called `transitions` among the journal's pins.
#[derive(Debug)]
pub struct Transitions {
    follower: Follower,
    ready: std::collections::VecDeque<Transition>,
}

/// How pins of these followers are called.
pub(in crate::engine) const HOLDER: &str = "transitions";

impl Transitions {
    pub(super) fn open(core: &Core, from: Lsn) -> Result<Self, TransitionsError> {
        let follower = core
            .journal
            .follow(from, HOLDER)
            .map_err(|error| match error {
                EngineError::Follow(error) => follow_error(*error),
                error => TransitionsError::Engine(error),
            })?;
        let ready = Default::default();
        Ok(Transitions { follower, ready })
    }

    /// The next transition; sleeps until there is one, or for `timeout`, or as long as it takes. `None`
    /// when the time is over.
    ///
    /// # Errors
    /// [`TransitionsError`].
    pub fn next_transition(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<Option<Transition>, TransitionsError> {
        if let Some(next) = self.ready.pop_front() {
            return Ok(Some(next));
        }
        let batch = match self.follower.next_batch(timeout).map_err(follow_error)? {
            Followed::Batch(batch) => batch,
            Followed::Closed => return Err(TransitionsError::Closed),
            _ => return Ok(None),
        };
        for found in batch.records().flatten() {
            let lsn = found.lsn;
            let decoded = codec::decode(found.kind.get(), found.payload);
            let record = decoded.map_err(|source| TransitionsError::Decode { lsn, source })?;
            self.ready.push_back(Transition { lsn, record });
        }
        Ok(self.ready.pop_front())
    }

    /// The position of the next transition.
    pub fn next_lsn(&self) -> Lsn {
        let ready = self.ready.front().map(|next| next.lsn);
        ready.unwrap_or(self.follower.next_lsn())
    }

    /// Makes a call that sleeps return, from any thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.follower.stop_handle()
    }
}

fn follow_error(error: FollowError) -> TransitionsError {
    match error {
        FollowError::Position(PositionError::Gone { asked, oldest }) => {
            TransitionsError::Gone { asked, oldest }
        }
        error => TransitionsError::Follow(Box::new(error)),
    }
}
