//! What a destroyed peer leaves behind for good: a fence for everything that comes late.
//!
//! Not here: the deletion of its keys (`deletion`).

use crate::{PeerId, RegionEpoch, RegionId};

/// Fences late messages, splits and snapshots for peers of one region that this store had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// Every peer of the region up to this id is gone from this store, for ever.
    pub highest_peer: PeerId,
    /// The latest epoch known when the last of them went.
    pub epoch: RegionEpoch,
    /// Why the last of them went.
    pub cause: TombstoneCause,
}

/// Why a peer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TombstoneCause {
    /// Its own region removed it, by a change of peers that it applied itself.
    PeersChanged,
    /// It was destroyed.
    Destroyed(DestroyCause),
    /// Its region was merged into another one, whose data lives on here.
    Merged {
        /// The other one.
        target: RegionId,
    },
}

/// Why a peer is to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestroyCause {
    /// Its region removed it, as a message says.
    Removed {
        /// The epoch in the message; must be newer than the peer's own.
        epoch: RegionEpoch,
    },
    /// A message for a newer replica of the region on this store arrived.
    LargerPeer {
        /// The newer replica.
        peer: PeerId,
    },
    /// The placement service or an operator wants it gone.
    Operator,
    /// Its region was merged into another one, as a message says, and this peer was left behind.
    Merged {
        /// The other one.
        target: RegionId,
    },
}

impl Tombstone {
    /// The region that the last peer's region was merged into, if it was.
    pub const fn merge_target(&self) -> Option<RegionId> {
        match self.cause {
            TombstoneCause::Merged { target }
            | TombstoneCause::Destroyed(DestroyCause::Merged { target }) => Some(target),
            TombstoneCause::PeersChanged
            | TombstoneCause::Destroyed(
                DestroyCause::Removed { .. }
                | DestroyCause::LargerPeer { .. }
                | DestroyCause::Operator,
            ) => None,
        }
    }
}

impl TombstoneCause {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            TombstoneCause::PeersChanged => "peers-changed",
            TombstoneCause::Destroyed(cause) => cause.as_str(),
            TombstoneCause::Merged { .. } => "merged",
        }
    }
}

impl DestroyCause {
    /// Stable lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            DestroyCause::Removed { .. } => "removed",
            DestroyCause::LargerPeer { .. } => "larger-peer",
            DestroyCause::Operator => "operator",
            DestroyCause::Merged { .. } => "merged",
        }
    }
}
