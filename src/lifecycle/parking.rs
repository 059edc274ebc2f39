//! `ParkingLot`: where a host keeps first messages that the gate deferred.
//!
//! A new region elects its first leader while some stores have not split yet; a message that is lost
//! there costs a whole election. So a few wait, one for each peer, and the oldest goes when there is no
//! room. Memory only: after a restart the leader sends again.
//!
//! Not here: which message may wait (`gate`).

use std::collections::VecDeque;

use crate::{PeerId, RegionId};

/// Parked messages, at most [`ParkingLot::MESSAGES_MAX`], one for each peer.
#[derive(Clone, Debug)]
pub struct ParkingLot<M> {
    /// Oldest first.
    waiting: VecDeque<(RegionId, PeerId, M)>,
}

impl<M> Default for ParkingLot<M> {
    fn default() -> Self {
        let waiting = VecDeque::new();
        ParkingLot { waiting }
    }
}

impl<M> ParkingLot<M> {
    /// Most messages that wait.
    pub const MESSAGES_MAX: usize = 100;

    /// Parks a message. Answers the one that had to make room: the peer's earlier one, or the oldest
    /// of all.
    pub fn park(&mut self, region: RegionId, peer: PeerId, message: M) -> Option<M> {
        let earlier = self.take(region, peer);
        let oldest = match self.waiting.len() < Self::MESSAGES_MAX {
            true => None,
            false => self.waiting.pop_front().map(|(_, _, message)| message),
        };
        self.waiting.push_back((region, peer, message));
        earlier.or(oldest)
    }

    /// Takes the message that waits for a peer: it was created.
    pub fn take(&mut self, region: RegionId, peer: PeerId) -> Option<M> {
        let at = self
            .waiting
            .iter()
            .position(|(r, p, _)| (*r, *p) == (region, peer))?;
        self.waiting.remove(at).map(|(_, _, message)| message)
    }

    /// Takes every message of a region, oldest first: ask the gate again.
    pub fn take_all(&mut self, region: RegionId) -> Vec<(PeerId, M)> {
        let (taken, left) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(r, ..)| *r == region);
        self.waiting = left;
        taken
            .into_iter()
            .map(|(_, peer, message)| (peer, message))
            .collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_waits_for_each_peer_and_the_oldest_makes_room() {
        let mut lot = ParkingLot::default();
        assert_eq!(lot.park(RegionId(1), PeerId(1), "first"), None);
        assert_eq!(lot.park(RegionId(1), PeerId(1), "second"), Some("first"));
        assert_eq!(lot.len(), 1);
        for peer in 2..=100 {
            assert_eq!(lot.park(RegionId(1), PeerId(peer), "other"), None);
        }
        assert_eq!(lot.park(RegionId(2), PeerId(1), "new"), Some("second"));
        // A peer that has one waiting makes its own room.
        assert_eq!(lot.park(RegionId(2), PeerId(1), "newer"), Some("new"));
        assert_eq!(lot.len(), ParkingLot::<&str>::MESSAGES_MAX);
        assert_eq!(lot.take(RegionId(1), PeerId(1)), None);
        assert_eq!(lot.take(RegionId(2), PeerId(1)), Some("newer"));
        assert_eq!(lot.take_all(RegionId(1)).len(), 99);
        assert!(lot.is_empty());
    }
}
