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
use crate::observe::RetentionStage;

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
    /// Records from there on went with a checkpoint, since they were not read for too long: read the
    /// register, and go on behind it.
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
/// It keeps the journal's records from its place on from being purged, within
/// [`HistorySettings::transitions_bytes_max`](crate::observe::HistorySettings::transitions_bytes_max). One that
/// does not read on ends beyond that: at the next checkpoint its records go, and it answers
/// [`TransitionsError::Gone`]. No checkpoint waits for it. How near it is to that says
/// [`Engine::transition_followers`](crate::Engine::transition_followers).
#[derive(Debug)]
pub struct Transitions {
    follower: Follower,
    ready: std::collections::VecDeque<Transition>,
}

/// How pins of these followers are called.
const HOLDER: &str = "transitions";

/// How far a follower of transitions is, and what is kept for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionFollower {
    /// The oldest record that it needs.
    pub next: Lsn,
    /// Durable records that it has not read.
    pub records: u64,
    /// Bytes of the journal that are kept for it, in whole segments behind the one that is written to.
    pub bytes: u64,
    /// How long ago it read on.
    pub idle: Duration,
    /// How near it is to its end.
    pub stage: RetentionStage,
}

impl Core {
    pub(super) fn transition_followers(&self) -> Vec<TransitionFollower> {
        let max = self.history.settings().transitions_bytes_max;
        let synced = self.journal.synced();
        let pins = self.journal.pins().into_iter();
        let followers = pins.filter(|pin| pin.holder == HOLDER).map(|pin| {
            let bytes = self.journal.held_bytes(pin.lsn);
            TransitionFollower {
                next: pin.lsn,
                records: synced.next().map_or(0, |end| end.distance_from(pin.lsn)),
                bytes,
                idle: pin.idle,
                stage: RetentionStage::of(bytes, max),
            }
        });
        followers.collect()
    }

    /// Lets go what is kept for followers that do not read on, beyond the limit: what they need may be
    /// purged then, and they are told so. Nothing of a follower is journaled, it ends with its process.
    pub(in crate::engine) fn end_stalled_followers(&self) {
        let max = self.history.settings().transitions_bytes_max;
        for pin in self.journal.pins() {
            if pin.holder == HOLDER && self.journal.held_bytes(pin.lsn) > max {
                self.journal.revoke_pin(pin.id);
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use torrens_journal::testing::SimDisk;

    use super::*;
    use crate::engine::{Background, Engine};
    use crate::observe::HistorySettings;
    use crate::store::{MemoryFactory, MemoryStore};
    use crate::{DestroyCause, PeerId, RegionEpoch, RegionId, StoreId};

    const SEGMENT_BYTES: u64 = 64 * 1024;

    fn engine(transitions_bytes_max: u64) -> Engine {
        let history = HistorySettings {
            transitions_bytes_max,
            ..HistorySettings::default()
        };
        let options = Engine::options()
            .store(StoreId(4))
            .segment_bytes(SEGMENT_BYTES)
            .background(Background::Manual)
            .disk(Arc::new(SimDisk::new(7)))
            .data(Arc::new(MemoryFactory::new(MemoryStore::new())))
            .history(history);
        options.open("store").unwrap().0
    }

    /// Two durable transitions for each of so many peers.
    fn churn(engine: &Engine, from: u64, count: u64) {
        for id in from..from + count {
            let (region, peer) = (RegionId(id), PeerId(id));
            let epoch = RegionEpoch::BOOTSTRAP;
            let created = engine.create_peer(region, peer, StoreId(1), epoch).unwrap();
            assert!(created.holds());
            let cause = DestroyCause::Operator;
            let gone = engine.destroy(region, RegionEpoch::NONE, None, peer, cause);
            assert!(gone.unwrap().holds());
        }
    }

    /// Two checkpoints: what lies before the older one may go.
    fn checkpoints(engine: &Engine, peer: u64) {
        for peer in [peer, peer + 1] {
            churn(engine, peer, 1);
            engine.checkpoint().unwrap();
        }
    }

    fn read(feed: &mut Transitions) -> Result<Vec<u64>, TransitionsError> {
        let mut lsns = Vec::new();
        while let Some(next) = feed.next_transition(Some(Duration::ZERO))? {
            lsns.push(next.lsn.get());
        }
        Ok(lsns)
    }

    #[test]
    fn a_follower_that_stands_still_is_kept_up_to_the_limit_and_then_told_what_is_gone() {
        let engine = engine(4 * SEGMENT_BYTES);
        let mut stalled = engine.transitions(Lsn::FIRST).unwrap();
        let mut reading = engine.transitions(Lsn::FIRST).unwrap();
        let mut seen = read(&mut reading).unwrap();
        let stage = |engine: &Engine| {
            let followers = engine.transition_followers();
            followers.first().map(|one| (one.next, one.stage))
        };
        assert_eq!(stage(&engine), Some((Lsn::FIRST, RetentionStage::Ok)));
        // Three segments are within the limit, and no checkpoint takes them away.
        churn(&engine, 100, 18);
        checkpoints(&engine, 200);
        assert_eq!(stage(&engine), Some((Lsn::FIRST, RetentionStage::Extended)));
        seen.extend(read(&mut reading).unwrap());
        let mut early = engine.transitions(Lsn::FIRST).unwrap();
        assert_eq!(read(&mut early).unwrap(), seen);
        drop(early);

        churn(&engine, 300, 40);
        assert_eq!(
            stage(&engine),
            Some((Lsn::FIRST, RetentionStage::Invalidated))
        );
        seen.extend(read(&mut reading).unwrap());
        checkpoints(&engine, 400);
        let gone = read(&mut stalled).unwrap_err();
        assert_eq!(gone.code(), "transitions-gone");
        let TransitionsError::Gone { asked, oldest } = gone else {
            panic!("{gone:?}");
        };
        assert!(asked == Lsn::FIRST && oldest > asked, "{asked} {oldest}");
        // It goes on where it is told to, and says the same again until it does.
        assert!(matches!(
            read(&mut stalled),
            Err(TransitionsError::Gone { .. })
        ));
        let rest = read(&mut engine.transitions(oldest).unwrap()).unwrap();
        assert_eq!(rest.first(), Some(&oldest.get()));

        // Who reads on keeps all of it.
        seen.extend(read(&mut reading).unwrap());
        let all: Vec<u64> = (1..=engine.synced().get()).collect();
        assert_eq!(seen, all);
    }
}
