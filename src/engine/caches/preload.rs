//! Preloading: another store announces that this one takes over a region's leadership, and would
//! like its memory to be ready.
//!
//! Ready memory may delay a transfer of leadership, and never prevents it: whoever waits has an
//! absolute deadline, and every refusal says at once that there is nothing to wait for.

use std::time::{Duration, Instant};

use torrens_journal::planted;

use super::{CacheOutcome, CacheTicket};
use crate::engine::core::Core;
use crate::engine::{Answer, EngineError};
use crate::lifecycle::{CacheState, Cause, EvictReason, LoadReason, PeerStage, Refusal};
use crate::{RegionEpoch, RegionId};

/// What a preload came to.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "whoever transfers leadership wants to know"]
pub enum Preload {
    /// The region is in memory already.
    Ready,
    /// It is being loaded; the ticket says when it is ready, and until when to wait.
    Loading(PreloadTicket),
    /// It is not loaded: go on without.
    Refused(PreloadRefusal),
}

/// Why a region is not preloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreloadRefusal {
    /// This store has no peer of the region.
    #[error("this store has no peer of {region}")]
    NoPeer {
        /// The region.
        region: RegionId,
    },
    /// The peer has no description yet: no peers, no range.
    #[error("the peer of {region} is not initialised yet")]
    PeerUninitialized {
        /// The region.
        region: RegionId,
    },
    /// The data of the peer is being replaced, or lost.
    #[error("the peer of {region} does not serve its region: it is {stage}")]
    NotServing {
        /// The region.
        region: RegionId,
        /// The peer's stage.
        stage: &'static str,
    },
    /// Caching is switched off.
    #[error("caching is switched off")]
    Disabled,
    /// There is no memory for more regions.
    #[error("cached regions take {used} bytes; from {stop} on none is loaded")]
    MemoryShort {
        /// Bytes that are taken.
        used: u64,
        /// The threshold.
        stop: u64,
    },
    /// The load was refused as any other would be.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl PreloadRefusal {
    /// Stable lower-case name.
    pub fn code(&self) -> &'static str {
        match self {
            PreloadRefusal::NoPeer { .. } => "no-peer",
            PreloadRefusal::PeerUninitialized { .. } => "peer-uninitialized",
            PreloadRefusal::NotServing { .. } => "not-serving",
            PreloadRefusal::Disabled => "cache-disabled",
            PreloadRefusal::MemoryShort { .. } => "cache-memory-short",
            PreloadRefusal::Refused(refusal) => refusal.code(),
        }
    }
}

/// How waiting for a preload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreloadOutcome {
    /// The region is in memory.
    Ready,
    /// It is not, and it is time to go on without.
    DeadlinePassed,
    /// It will not be.
    Cancelled(Option<EvictReason>),
}

/// A preload that is under way.
#[derive(Clone, Debug)]
pub struct PreloadTicket {
    load: CacheTicket,
    deadline: Instant,
}

impl PreloadTicket {
    /// Until when to wait, whatever happens.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How it stands, without waiting; none before the deadline if it is still loading.
    pub fn poll(&self) -> Option<PreloadOutcome> {
        match self.load.outcome() {
            Some(outcome) => Some(ended(outcome)),
            None if Instant::now() >= self.deadline => Some(PreloadOutcome::DeadlinePassed),
            None => None,
        }
    }

    /// Waits until the region is ready, or will not be, or the deadline has passed.
    pub fn wait(&self) -> PreloadOutcome {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let outcome = self.load.wait(left);
        outcome.map_or(PreloadOutcome::DeadlinePassed, ended)
    }

    /// The load itself, which goes on behind the deadline.
    pub fn load(&self) -> &CacheTicket {
        &self.load
    }
}

fn ended(outcome: CacheOutcome) -> PreloadOutcome {
    match outcome {
        CacheOutcome::Done => PreloadOutcome::Ready,
        CacheOutcome::Cancelled(reason) => PreloadOutcome::Cancelled(reason),
        CacheOutcome::PeerGone | CacheOutcome::Closed => PreloadOutcome::Cancelled(None),
    }
}

impl Core {
    pub(super) fn preload(
        &self,
        region: RegionId,
        epoch: RegionEpoch,
        patience: Duration,
    ) -> Result<Preload, EngineError> {
        self.check_open()?;
        let (settings, now) = (self.caches.settings(), Instant::now());
        self.caches.counting.preloads.add(1);
        if let Some(answer) = self.preload_at_once(region) {
            if let Preload::Refused(_) = answer {
                self.caches.counting.preloads_refused.add(1);
            }
            return Ok(answer);
        }
        let cause = Cause::Keeper {
            why: LoadReason::Preload,
        };
        let asked = match self.load_for(region, epoch, cause) {
            // It went away since the look.
            Err(EngineError::NoPeer { region }) => Err(PreloadRefusal::NoPeer { region }),
            Err(error) => return Err(error),
            Ok((Answer::Refused(refusal), _)) => Err(PreloadRefusal::Refused(refusal)),
            Ok((
                Answer::Accepted { .. } | Answer::AlreadyApplied | Answer::Wait(_),
                incarnation,
            )) => Ok(incarnation),
        };
        Ok(match asked {
            Err(refusal) => {
                self.caches.counting.preloads_refused.add(1);
                Preload::Refused(refusal)
            }
            Ok(incarnation) => Preload::Loading(PreloadTicket {
                load: self.watch_load(region, incarnation),
                deadline: now + patience.min(settings.preload_wait_max),
            }),
        })
    }

    /// What needs no load, or makes one pointless.
    fn preload_at_once(&self, region: RegionId) -> Option<Preload> {
        let published = self.published();
        let refused = |refusal| Some(Preload::Refused(refusal));
        let Some(peer) = published.peer(region) else {
            return refused(PreloadRefusal::NoPeer { region });
        };
        let stage = peer.stage.name();
        match &peer.stage {
            PeerStage::Uninitialized if planted!("preload-of-a-peer-without-description") => {}
            PeerStage::Uninitialized => {
                return refused(PreloadRefusal::PeerUninitialized { region });
            }
            PeerStage::Normal(_) => {}
            _ => return refused(PreloadRefusal::NotServing { region, stage }),
        }
        if published.cache_state(region) == CacheState::Active {
            return Some(Preload::Ready);
        }
        let settings = self.caches.settings.load();
        let (used, stop) = (self.caches.bytes(), settings.stop_load_bytes_effective());
        match settings.enabled {
            false => refused(PreloadRefusal::Disabled),
            true if used >= stop => refused(PreloadRefusal::MemoryShort { used, stop }),
            true => None,
        }
    }
}
