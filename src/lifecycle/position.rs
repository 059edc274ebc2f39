//! `RaftPosition`: where in a region's Raft log something stands.
//!
//! Not here: positions in the journal (`Lsn`).

use std::fmt;

/// Index and term of one entry of a region's Raft log.
///
/// Ordered by index; two entries of one log with the same index have the same term once committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RaftPosition {
    /// The entry's index; the first own entry of a new region has [`INITIAL_INDEX`] + 1.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
}

/// Index at which the log of a bootstrapped or split-created region starts, as in TiKV: a peer
/// without data is always behind it, and needs a snapshot.
pub const INITIAL_INDEX: u64 = 5;
/// Term at which the log of such a region starts.
pub const INITIAL_TERM: u64 = 5;
/// Both.
pub const INITIAL_POSITION: RaftPosition = RaftPosition {
    index: INITIAL_INDEX,
    term: INITIAL_TERM,
};

impl fmt::Display for RaftPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}.t{}", self.index, self.term)
    }
}
