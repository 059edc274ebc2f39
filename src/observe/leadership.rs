//! Who leads, as the host tells it: in any order, twice, late, or not at all.
//!
//! Within a term a peer is a candidate, then leads, then leads no more; Raft never lets it lead a term
//! that it led no more or that another leads. So reports have an order of their own, and of those that
//! came the latest one counts, whichever came last.
//!
//! Not here: what follows from it (`reconcile`, and the engine for caches).

use std::collections::HashMap;

use parking_lot::Mutex;
use torrens_journal::planted;

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

impl LeadershipRole {
    /// Place within a term: what comes later stands.
    const fn rank(self) -> u8 {
        match self {
            LeadershipRole::Candidate => 0,
            LeadershipRole::Leader => 1,
            // The term of a pre-candidate is still the one before its election.
            LeadershipRole::PreCandidate | LeadershipRole::Follower => 2,
        }
    }

    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            LeadershipRole::Leader => "leader",
            LeadershipRole::PreCandidate => "pre-candidate",
            LeadershipRole::Candidate => "candidate",
            LeadershipRole::Follower => "follower",
        }
    }
}

/// What is known of a region's leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// The peer that it is about.
    pub incarnation: Incarnation,
    /// The term.
    pub term: u64,
    /// What the peer is in that term.
    pub role: LeadershipRole,
}

impl Leadership {
    /// The term in which that peer leads; none if it does not.
    pub fn leads(&self, incarnation: Incarnation) -> Option<u64> {
        let leads = self.role == LeadershipRole::Leader && self.incarnation == incarnation;
        leads.then_some(self.term)
    }

    const fn order(&self) -> (u64, u8) {
        (self.term, self.role.rank())
    }
}

/// Where the audit learns what is true now, in case a report was lost.
///
/// Called without any lock of the engine; it may ask Raft, and must not ask the engine for a transition.
pub trait LeadershipSource: Send + Sync {
    /// What a region's peer is now; none if the host has no such peer.
    fn leadership(&self, region: RegionId) -> Option<Leadership>;
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is what is known now; before it, that was.
    News(Option<Leadership>),
    /// It says what is known.
    Known,
    /// Something later was reported before.
    Late(Leadership),
}

/// The last that was reported of each region.
#[derive(Debug, Default)]
pub(crate) struct LeadershipTable {
    known: Mutex<HashMap<RegionId, Leadership>>,
}

impl LeadershipTable {
    /// Notes a report.
    pub(crate) fn note(&self, region: RegionId, reported: Leadership) -> Noted {
        let mut known = self.known.lock();
        let noted = judge(known.get(&region).copied(), reported);
        if let Noted::News(_) = noted {
            known.insert(region, reported);
        }
        noted
    }

    /// What is known of a region.
    pub(crate) fn get(&self, region: RegionId) -> Option<Leadership> {
        self.known.lock().get(&region).copied()
    }

    /// Forgets peers that are gone.
    pub(crate) fn retain(&self, is_live: impl Fn(RegionId, Incarnation) -> bool) {
        let mut known = self.known.lock();
        known.retain(|region, known| is_live(*region, known.incarnation));
    }
}

/// What a report is, beside what is known.
pub(super) fn judge(known: Option<Leadership>, reported: Leadership) -> Noted {
    let Some(before) = known else {
        return Noted::News(None);
    };
    if before == reported {
        return Noted::Known;
    }
    if before.incarnation != reported.incarnation {
        return match before.incarnation > reported.incarnation {
            true => Noted::Late(before),
            false => Noted::News(Some(before)),
        };
    }
    if before.order() <= reported.order() || planted!("older-term-heard") {
        return Noted::News(Some(before));
    }
    // Roles that do not lead follow each other in a term as they like.
    let is_idle = before.term == reported.term
        && before.role != LeadershipRole::Leader
        && reported.role == LeadershipRole::Candidate;
    match is_idle {
        true => Noted::Known,
        false => Noted::Late(before),
    }
}

#[cfg(test)]
mod tests {
    use torrens_journal::Lsn;

    use super::*;

    #[test]
    fn whatever_order_reports_come_in_the_same_is_known_in_the_end() {
        use LeadershipRole::{Candidate, Follower, Leader, PreCandidate};
        let incarnation = Incarnation::new(Lsn::new(9));
        // One election and the step down after it, as Raft has them.
        let told = [
            (5, Leader),
            (5, PreCandidate),
            (6, Candidate),
            (6, Leader),
            (6, Follower),
        ];
        let mut orders = vec![Vec::new()];
        for at in 0..told.len() {
            let longer = orders.into_iter().flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |place| {
                    let mut order = order.clone();
                    order.insert(place, at);
                    order
                })
            });
            orders = longer.collect();
        }
        for until in [4, 5] {
            let expected = told[until - 1];
            for order in &orders {
                let table = LeadershipTable::default();
                let order = order.iter().filter(|at| **at < until);
                // Each twice: a repeated report changes nothing.
                for at in order.clone().chain(order) {
                    let (term, role) = told[*at];
                    let reported = Leadership {
                        incarnation,
                        term,
                        role,
                    };
                    table.note(RegionId(7), reported);
                }
                let known = table.get(RegionId(7)).unwrap();
                assert_eq!((known.term, known.role), expected);
            }
        }
    }

    #[test]
    fn a_report_of_an_earlier_peer_is_late_whatever_its_term() {
        let report = |incarnation, term| Leadership {
            incarnation: Incarnation::new(Lsn::new(incarnation)),
            term,
            role: LeadershipRole::Leader,
        };
        let table = LeadershipTable::default();
        assert_eq!(table.note(RegionId(7), report(20, 6)), Noted::News(None));
        let late = Noted::Late(report(20, 6));
        assert_eq!(table.note(RegionId(7), report(9, 8)), late);
        assert_eq!(table.note(RegionId(7), report(20, 6)), Noted::Known);
        let news = Noted::News(Some(report(20, 6)));
        assert_eq!(table.note(RegionId(7), report(31, 5)), news);
        assert_eq!(report(31, 5).leads(Incarnation::new(Lsn::new(31))), Some(5));
        assert_eq!(report(31, 5).leads(Incarnation::new(Lsn::new(20))), None);
    }
}
