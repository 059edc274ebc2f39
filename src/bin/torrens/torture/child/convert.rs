//! The protocol's plain types as the engine's, and back.

use torrens::{
    Derive, Incarnation, Key as KeyBytes, NewRegion, Peer, PeerChange, PeerId, PeerRole,
    RaftPosition, Region, RegionEpoch, RegionId, Split, StoreId,
};
use torrens_journal::Lsn;

use crate::torture::protocol::{
    Description, Epoch, Key, NewChild, PeerChangeLine, PeerLine, Position, STORE, SplitLine,
};

pub(super) fn incarnation_of(lsn: u64) -> Incarnation {
    Incarnation::new(Lsn::new(lsn))
}

pub(super) fn epoch_of(epoch: Epoch) -> RegionEpoch {
    RegionEpoch {
        conf_ver: epoch.conf_ver,
        version: epoch.version,
    }
}

pub(super) fn raft_position_of(at: Position) -> RaftPosition {
    RaftPosition {
        index: at.index,
        term: at.term,
    }
}

pub(super) fn position_of(at: RaftPosition) -> Position {
    Position {
        index: at.index,
        term: at.term,
    }
}

pub(super) fn peer_of(peer: &PeerLine) -> Peer {
    let role = match (peer.learner, peer.joint) {
        (false, false) => PeerRole::Voter,
        (true, false) => PeerRole::Learner,
        (false, true) => PeerRole::IncomingVoter,
        (true, true) => PeerRole::DemotingVoter,
    };
    Peer {
        id: PeerId(peer.id),
        store: StoreId(peer.store),
        role,
        is_witness: peer.witness,
    }
}

pub(super) fn change_of(change: PeerChangeLine) -> PeerChange {
    match change {
        PeerChangeLine::Add(peer) => PeerChange::Add {
            peer: peer_of(&peer),
        },
        PeerChangeLine::Remove(peer) => PeerChange::Remove { peer: PeerId(peer) },
        PeerChangeLine::Promote(peer) => PeerChange::Promote { peer: PeerId(peer) },
        PeerChangeLine::Demote(peer) => PeerChange::Demote { peer: PeerId(peer) },
    }
}

pub(super) fn split_of(split: &SplitLine) -> Split {
    let child = |child: &NewChild| NewRegion {
        id: RegionId(child.id),
        peers: child.peers.iter().map(peer_of).collect(),
    };
    Split {
        region: RegionId(split.region),
        incarnation: None,
        epoch: epoch_of(split.epoch),
        position: raft_position_of(split.at),
        boundaries: split
            .keys
            .iter()
            .map(|key| KeyBytes::from(key.0.as_slice()))
            .collect(),
        children: split.children.iter().map(child).collect(),
        derive: if split.derive_right {
            Derive::Right
        } else {
            Derive::Left
        },
    }
}

pub(super) fn description_of(region: &Region) -> Description {
    let peer = |peer: &Peer| PeerLine {
        id: peer.id.0,
        store: peer.store.0,
        learner: matches!(peer.role, PeerRole::Learner | PeerRole::DemotingVoter),
        joint: peer.role.is_joint(),
        witness: peer.is_witness,
    };
    debug_assert!(region.peer_on(StoreId(STORE)).is_some());
    Description {
        id: region.id.0,
        start: Key(region.range.start().to_vec()),
        end: region.range.end().map(|end| Key(end.to_vec())),
        epoch: Epoch {
            conf_ver: region.epoch.conf_ver,
            version: region.epoch.version,
        },
        peers: region.peers.iter().map(peer).collect(),
    }
}
