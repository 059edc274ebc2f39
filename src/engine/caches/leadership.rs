//! Leadership, as the host reports it: memory follows the leader.
//!
//! Only this peer's own step down from leader evicts: a follower that hears of another leader keeps
//! what it has, since it may be the next. Reports carry the incarnation and the term that they are
//! about, so one that comes late changes nothing.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::engine::EngineError;
use crate::engine::core::Core;
use crate::lifecycle::{Cause, EvictReason, LoadReason};
use crate::{Incarnation, RegionId};

/// What a peer is in its Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeadershipRole {
    /// It leads.
    Leader,
    /// It asks whether it would be elected.
    PreCandidate,
    /// It asks to be elected.
    Candidate,
    /// It follows, whomever.
    Follower,
}

/// What a report of leadership came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeadershipAnswer {
    /// Noted; the cache of the region stays as it is.
    Noted,
    /// It became leader, and a label asks for the region: it is being loaded.
    Loading,
    /// It stepped down, and is evicted if it was cached.
    SteppedDown,
    /// A later term was reported before; nothing was noted.
    Stale {
        /// That term.
        known: u64,
    },
    /// The peer that it is about is not there; nothing was noted.
    PeerGone,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    incarnation: Incarnation,
    term: u64,
    role: LeadershipRole,
}

/// What was last reported of each region.
#[derive(Debug, Default)]
pub(super) struct Leadership {
    known: Mutex<HashMap<RegionId, Known>>,
}

impl Leadership {
    /// Whether a load without anybody asking makes sense: it leads, or nobody said that it does not.
    pub(super) fn may_load(&self, region: RegionId, incarnation: Incarnation) -> bool {
        let known = self.known.lock();
        known.get(&region).is_none_or(|known| {
            known.incarnation != incarnation || known.role == LeadershipRole::Leader
        })
    }

    /// Notes a report; answers the role before it.
    fn note(
        &self,
        region: RegionId,
        reported: Known,
    ) -> Result<Option<LeadershipRole>, LeadershipAnswer> {
        let mut by_region = self.known.lock();
        let before = by_region
            .get(&region)
            .filter(|known| known.incarnation == reported.incarnation)
            .copied();
        if let Some(known) = before.filter(|known| known.term > reported.term) {
            return Err(LeadershipAnswer::Stale { known: known.term });
        }
        by_region.insert(region, reported);
        Ok(before.map(|known| known.role))
    }

    /// Forgets peers that are gone.
    pub(super) fn retain(&self, is_live: impl Fn(RegionId, Incarnation) -> bool) {
        let mut known = self.known.lock();
        known.retain(|region, known| is_live(*region, known.incarnation));
    }
}

impl Core {
    pub(super) fn report_leadership(
        &self,
        region: RegionId,
        incarnation: Incarnation,
        term: u64,
        role: LeadershipRole,
    ) -> Result<LeadershipAnswer, EngineError> {
        self.check_open()?;
        let range = {
            let published = self.published();
            if published.incarnation(region) != Some(incarnation) {
                return Ok(LeadershipAnswer::PeerGone);
            }
            let peer = published.peer(region);
            peer.and_then(|peer| Some(peer.stage.region()?.range.clone()))
        };
        let reported = Known {
            incarnation,
            term,
            role,
        };
        let before = match self.caches.leadership.note(region, reported) {
            Ok(before) => before,
            Err(stale) => {
                self.caches.counting.leadership_reports_stale.add(1);
                return Ok(stale);
            }
        };
        let labelled =
            range.is_some_and(|range| self.caches.labels.lock().priority(&range).is_some());
        let (led, leads) = (
            before == Some(LeadershipRole::Leader),
            role == LeadershipRole::Leader,
        );
        if led && !leads && !labelled {
            let _ = self.evict_for(region, EvictReason::LeadershipLost, Cause::Host)?;
            return Ok(LeadershipAnswer::SteppedDown);
        }
        if !led && leads && labelled {
            self.load_by_keeper(region, LoadReason::Label);
            return Ok(LeadershipAnswer::Loading);
        }
        Ok(LeadershipAnswer::Noted)
    }
}
