//! `Region`: what a region is (identity, range, epoch, peers), and the one check that every
//! description from outside must pass before anything else looks at it.
//!
//! Not here: what state a region's peer on this store is in (`lifecycle`).

use crate::{KeyRange, PeerId, RegionEpoch, RegionId, StoreId};

/// How a peer takes part in its region.
///
/// While a region is in *joint consensus* it has two configurations, the outgoing and the incoming
/// one, and every decision needs both. The two roles in between say where a peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// Votes.
    Voter,
    /// Receives the log and does not vote.
    Learner,
    /// In joint consensus: votes in the incoming configuration only; leaving makes it a voter.
    IncomingVoter,
    /// In joint consensus: votes in the outgoing configuration only; leaving makes it a learner.
    DemotingVoter,
}

impl PeerRole {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            PeerRole::Voter => "voter",
            PeerRole::Learner => "learner",
            PeerRole::IncomingVoter => "incoming-voter",
            PeerRole::DemotingVoter => "demoting-voter",
        }
    }

    /// Whether it exists in joint consensus only.
    pub const fn is_joint(self) -> bool {
        match self {
            PeerRole::IncomingVoter | PeerRole::DemotingVoter => true,
            PeerRole::Voter | PeerRole::Learner => false,
        }
    }

    /// Whether it votes in the configuration that stands when joint consensus is over.
    pub const fn votes_incoming(self) -> bool {
        match self {
            PeerRole::Voter | PeerRole::IncomingVoter => true,
            PeerRole::Learner | PeerRole::DemotingVoter => false,
        }
    }

    /// Whether it votes in the configuration that stood before joint consensus.
    pub const fn votes_outgoing(self) -> bool {
        match self {
            PeerRole::Voter | PeerRole::DemotingVoter => true,
            PeerRole::Learner | PeerRole::IncomingVoter => false,
        }
    }
}

/// One replica of a region, on whichever store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Which replica.
    pub id: PeerId,
    /// Where it lives.
    pub store: StoreId,
    /// How it takes part.
    pub role: PeerRole,
    /// Whether it takes part in votes and in the log but holds no data of the region.
    pub is_witness: bool,
}

impl Peer {
    /// A voter that holds data.
    pub const fn voter(id: PeerId, store: StoreId) -> Self {
        Peer {
            id,
            store,
            role: PeerRole::Voter,
            is_witness: false,
        }
    }

    /// A learner that holds data.
    pub const fn learner(id: PeerId, store: StoreId) -> Self {
        Peer {
            role: PeerRole::Learner,
            ..Peer::voter(id, store)
        }
    }

    /// The same peer without data.
    pub const fn as_witness(self) -> Self {
        Peer {
            is_witness: true,
            ..self
        }
    }
}

/// A region's description.
///
/// Peers are in the order in which they were added; at least one, at most [`Region::PEERS_MAX`],
/// one per store, no id twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Identity; never 0.
    pub id: RegionId,
    /// The keys that belong to it.
    pub range: KeyRange,
    /// How new this description is; both parts at least 1.
    pub epoch: RegionEpoch,
    /// Its replicas.
    pub peers: Vec<Peer>,
}

/// Why a region's description was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// Region id 0 does not exist.
    #[error("region id is 0")]
    IdZero,
    /// Epoch parts start at 1.
    #[error("epoch {epoch} of {region} has a part that is 0")]
    EpochZero {
        /// Whose description it is.
        region: RegionId,
        /// The epoch given.
        epoch: RegionEpoch,
    },
    /// A region without peers is a peer's placeholder, not a description.
    #[error("{region} has no peers")]
    NoPeers {
        /// Whose description it is.
        region: RegionId,
    },
    /// More peers than [`Region::PEERS_MAX`].
    #[error("{region} has {peers} peers, more than {} allowed", Region::PEERS_MAX)]
    TooManyPeers {
        /// Whose description it is.
        region: RegionId,
        /// How many were given.
        peers: usize,
    },
    /// Peer and store ids start at 1.
    #[error("{region} has a peer or store with id 0")]
    PeerZero {
        /// Whose description it is.
        region: RegionId,
    },
    /// Two peers with one id, or on one store.
    #[error("{region} lists {peer} on {store} beside another peer with that id or store")]
    PeerTwice {
        /// Whose description it is.
        region: RegionId,
        /// The second of the two.
        peer: PeerId,
        /// Its store.
        store: StoreId,
    },
    /// A bound of the range is longer than [`Region::KEY_BYTES_MAX`].
    #[error(
        "a bound of {region} has {bytes} bytes, more than {} allowed",
        Region::KEY_BYTES_MAX
    )]
    KeyTooLong {
        /// Whose description it is.
        region: RegionId,
        /// Length of the bound.
        bytes: usize,
    },
    /// No voter (in joint consensus: none in one of the two configurations): nobody could ever lead.
    #[error("{region} has no voter")]
    NoVoter {
        /// Whose description it is.
        region: RegionId,
    },
}

impl Region {
    /// Most peers of one region.
    pub const PEERS_MAX: usize = 64;
    /// Longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 8 * 1024;

    /// Checks the description as a whole.
    ///
    /// # Errors
    /// The first rule that it breaks, in the order of [`RegionError`]'s variants.
    pub fn validate(&self) -> Result<(), RegionError> {
        let region = self.id;
        if region.0 == 0 {
            return Err(RegionError::IdZero);
        }
        if self.epoch.conf_ver == 0 || self.epoch.version == 0 {
            return Err(RegionError::EpochZero {
                region,
                epoch: self.epoch,
            });
        }
        if self.peers.is_empty() {
            return Err(RegionError::NoPeers { region });
        }
        if self.peers.len() > Self::PEERS_MAX {
            return Err(RegionError::TooManyPeers {
                region,
                peers: self.peers.len(),
            });
        }
        for (position, peer) in self.peers.iter().enumerate() {
            if peer.id.0 == 0 || peer.store.0 == 0 {
                return Err(RegionError::PeerZero { region });
            }
            let earlier = self.peers.iter().take(position);
            if earlier
                .into_iter()
                .any(|p| p.id == peer.id || p.store == peer.store)
            {
                return Err(RegionError::PeerTwice {
                    region,
                    peer: peer.id,
                    store: peer.store,
                });
            }
        }
        let bounds = [Some(self.range.start()), self.range.end()];
        if let Some(bytes) = bounds
            .into_iter()
            .flatten()
            .map(|b| b.len())
            .find(|n| *n > Self::KEY_BYTES_MAX)
        {
            return Err(RegionError::KeyTooLong { region, bytes });
        }
        let incoming = self.peers.iter().any(|p| p.role.votes_incoming());
        let outgoing = self.peers.iter().any(|p| p.role.votes_outgoing());
        if !(incoming && outgoing) {
            return Err(RegionError::NoVoter { region });
        }
        Ok(())
    }

    /// Whether it is between two configurations of peers.
    pub fn is_joint(&self) -> bool {
        self.peers.iter().any(|peer| peer.role.is_joint())
    }

    /// The peer on `store`, if there is one.
    pub fn peer_on(&self, store: StoreId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.store == store)
    }

    /// The peer with this id, if there is one.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(peers: Vec<Peer>) -> Region {
        Region {
            id: RegionId(1),
            range: KeyRange::all(),
            epoch: RegionEpoch::BOOTSTRAP,
            peers,
        }
    }

    fn voter(id: u64, store: u64) -> Peer {
        Peer {
            id: PeerId(id),
            store: StoreId(store),
            role: PeerRole::Voter,
            is_witness: false,
        }
    }

    #[test]
    fn every_broken_rule_has_its_own_answer() {
        assert_eq!(region(vec![voter(1, 1), voter(2, 2)]).validate(), Ok(()));
        assert_eq!(
            region(vec![]).validate(),
            Err(RegionError::NoPeers {
                region: RegionId(1)
            })
        );
        let zero = Region {
            id: RegionId(0),
            ..region(vec![voter(1, 1)])
        };
        assert_eq!(zero.validate(), Err(RegionError::IdZero));
        let none = Region {
            epoch: RegionEpoch::NONE,
            ..region(vec![voter(1, 1)])
        };
        assert!(matches!(
            none.validate(),
            Err(RegionError::EpochZero { .. })
        ));
        let many = region((1..=65).map(|n| voter(n, n)).collect());
        assert!(matches!(
            many.validate(),
            Err(RegionError::TooManyPeers { peers: 65, .. })
        ));
        assert!(matches!(
            region(vec![voter(0, 1)]).validate(),
            Err(RegionError::PeerZero { .. })
        ));
        for twice in [voter(1, 2), voter(2, 1)] {
            assert!(matches!(
                region(vec![voter(1, 1), twice]).validate(),
                Err(RegionError::PeerTwice { .. })
            ));
        }
        let long = KeyRange::new(vec![1u8; Region::KEY_BYTES_MAX + 1], None::<Vec<u8>>).unwrap();
        let long = Region {
            range: long,
            ..region(vec![voter(1, 1)])
        };
        assert!(matches!(
            long.validate(),
            Err(RegionError::KeyTooLong { bytes: 8193, .. })
        ));
        let learner = Peer {
            role: PeerRole::Learner,
            ..voter(1, 1)
        };
        assert!(matches!(
            region(vec![learner]).validate(),
            Err(RegionError::NoVoter { .. })
        ));
        // In joint consensus both configurations need one.
        let with = |id, role| Peer {
            role,
            ..voter(id, id)
        };
        let incoming = with(1, PeerRole::IncomingVoter);
        let demoting = with(2, PeerRole::DemotingVoter);
        for half in [incoming, demoting] {
            assert!(matches!(
                region(vec![half]).validate(),
                Err(RegionError::NoVoter { .. })
            ));
        }
        let both = region(vec![incoming, demoting]);
        assert_eq!(both.validate(), Ok(()));
        assert!(both.is_joint() && !region(vec![voter(1, 1)]).is_joint());
    }
}
