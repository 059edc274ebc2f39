//! What a region's log replicates: the data of its entries, and the context of its changes of peers.
//!
//! Not here: what applying one does (`apply`).

use serde::{Deserialize, Serialize};
use torrens::{Peer, PeerChange, PeerId, PeerRole, StoreId};

use crate::wire::{WireEpoch, WireRegion};

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
}

/// The data of an entry. Each names the epoch that its proposer knew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    Write {
        epoch: WireEpoch,
        ops: Vec<Op>,
    },
    Split {
        epoch: WireEpoch,
        at: Vec<u8>,
        child: u64,
        peers: Vec<u64>,
    },
    PrepareMerge {
        epoch: WireEpoch,
        target: WireRegion,
        min_index: u64,
    },
    /// `entries` are the source's from its `min_index` to `commit`, for stores where it is behind.
    CommitMerge {
        epoch: WireEpoch,
        source: WireRegion,
        commit: u64,
        entries: Vec<Vec<u8>>,
    },
    RollbackMerge {
        epoch: WireEpoch,
        commit: u64,
    },
}

/// The context of a change of peers: what it is for the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersContext {
    pub epoch: WireEpoch,
    pub change: PeersCommand,
}

/// A change of peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeersCommand {
    AddLearner { peer: u64, store: u64 },
    Promote { peer: u64 },
    Remove { peer: u64 },
    Swap { promote: u64, demote: u64 },
    Leave,
}

impl PeersCommand {
    /// The engine's words for it; none for the end of joint consensus.
    pub fn changes(&self) -> Vec<PeerChange> {
        match *self {
            PeersCommand::AddLearner { peer, store } => vec![PeerChange::Add {
                peer: Peer {
                    id: PeerId(peer),
                    store: StoreId(store),
                    role: PeerRole::Learner,
                    is_witness: false,
                },
            }],
            PeersCommand::Promote { peer } => vec![PeerChange::Promote { peer: PeerId(peer) }],
            PeersCommand::Remove { peer } => vec![PeerChange::Remove { peer: PeerId(peer) }],
            PeersCommand::Swap { promote, demote } => vec![
                PeerChange::Promote {
                    peer: PeerId(promote),
                },
                PeerChange::Demote {
                    peer: PeerId(demote),
                },
            ],
            PeersCommand::Leave => Vec::new(),
        }
    }
}
