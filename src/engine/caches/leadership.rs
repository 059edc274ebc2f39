//! Leadership, as the host reports it: memory follows the leader.
//!
//! Only this peer's own step down from leader evicts: a follower that hears of another leader keeps
//! what it has, since it may be the next. Reports carry the incarnation and the term that they are
//! about, so one that comes late changes nothing.

use crate::engine::EngineError;
use crate::engine::core::Core;
use crate::lifecycle::{Cause, EvictReason, LoadReason};
use crate::observe::{Leadership, LeadershipRole, Noted};
use crate::{Incarnation, RegionId};

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
    /// A later term, or what comes later in this one, was reported before; nothing was noted.
    Stale {
        /// That term.
        known: u64,
    },
    /// The peer that it is about is not there; nothing was noted.
    PeerGone,
}

impl Core {
    /// Whether a load without anybody asking makes sense: it leads, or nobody said that it does not.
    pub(super) fn may_load(&self, region: RegionId, incarnation: Incarnation) -> bool {
        self.observing.leadership.get(region).is_none_or(|known| {
            known.incarnation != incarnation || known.role == LeadershipRole::Leader
        })
    }

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
        let reported = Leadership {
            incarnation,
            term,
            role,
        };
        let before = match self.note_leadership(region, reported) {
            Noted::News(before) => before.filter(|known| known.incarnation == incarnation),
            Noted::Known => return Ok(LeadershipAnswer::Noted),
            Noted::Late(known) if known.incarnation != incarnation => {
                return Ok(LeadershipAnswer::PeerGone);
            }
            Noted::Late(known) => {
                self.caches.counting.leadership_reports_stale.add(1);
                return Ok(LeadershipAnswer::Stale { known: known.term });
            }
        };
        let labelled =
            range.is_some_and(|range| self.caches.labels.lock().priority(&range).is_some());
        let (led, leads) = (
            before.is_some_and(|known| known.role == LeadershipRole::Leader),
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
