//! `PeerStorage`: one peer's log and state as Raft wants to see them.
//!
//! The configuration is not stored here a second time: it is the peers' roles in the region's
//! description, which the engine keeps. Not here: writing (`raft_log`), what a peer does (`peer`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use torrens::{Incarnation, PeerRole, RaftPosition, Region};

use crate::raft_log::RaftLogs;

/// A snapshot that Raft asked for.
#[derive(Debug, Default)]
pub enum SnapshotState {
    #[default]
    None,
    /// Raft wants one at this index or above.
    Wanted { at_least: u64 },
    /// It is being written.
    Taking,
    /// The message's form of it; the file is named in its data.
    Taken(Box<Snapshot>),
}

/// What the peer's task and Raft's view of it share. Everything runs on one thread.
#[derive(Debug)]
pub struct LogState {
    pub hard_state: HardState,
    pub conf_state: ConfState,
    /// The entry below the first one.
    pub base: RaftPosition,
    /// The last one.
    pub last: RaftPosition,
    pub snapshot: SnapshotState,
}

/// A peer's log, for Raft.
pub struct PeerStorage {
    pub logs: Arc<RaftLogs>,
    pub incarnation: Incarnation,
    pub state: Rc<RefCell<LogState>>,
}

/// Raft's configuration of a region.
pub fn conf_state(region: &Region) -> ConfState {
    let mut state = ConfState::default();
    for peer in &region.peers {
        match peer.role {
            PeerRole::Voter => {
                state.voters.push(peer.id.0);
                state.voters_outgoing.push(peer.id.0);
            }
            PeerRole::IncomingVoter => state.voters.push(peer.id.0),
            PeerRole::DemotingVoter => {
                state.voters_outgoing.push(peer.id.0);
                state.learners_next.push(peer.id.0);
            }
            PeerRole::Learner => state.learners.push(peer.id.0),
        }
    }
    if !region.peers.iter().any(|peer| peer.role.is_joint()) {
        state.voters_outgoing.clear();
    }
    state
}

/// Whether a snapshot's configuration has that peer.
fn lists(snapshot: &Snapshot, peer: u64) -> bool {
    let state = snapshot.get_metadata().get_conf_state();
    let lists = [
        &state.voters,
        &state.learners,
        &state.voters_outgoing,
        &state.learners_next,
    ];
    lists.into_iter().any(|peers| peers.contains(&peer))
}

fn other(error: raft_engine::Error) -> raft::Error {
    raft::Error::Store(StorageError::Other(Box::new(error)))
}

impl Storage for PeerStorage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let state = self.state.borrow();
        Ok(RaftState::new(
            state.hard_state.clone(),
            state.conf_state.clone(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let state = self.state.borrow();
        if low <= state.base.index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if high > state.last.index + 1 {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        if low >= high {
            return Ok(Vec::new());
        }
        let bytes_max = max_size
            .into()
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.logs
            .entries(self.incarnation, low, high, bytes_max)
            .map_err(other)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let state = self.state.borrow();
        if index == state.base.index {
            return Ok(state.base.term);
        }
        if index == state.last.index {
            return Ok(state.last.term);
        }
        if index < state.base.index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        match self.logs.entry(self.incarnation, index).map_err(other)? {
            Some(entry) if index < state.last.index => Ok(entry.term),
            _ => Err(raft::Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.state.borrow().base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.state.borrow().last.index)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let mut state = self.state.borrow_mut();
        let at_least = request_index.max(state.base.index);
        match &state.snapshot {
            // One from before the peer was added does not list it, and would be refused there.
            SnapshotState::Taken(snapshot)
                if snapshot.get_metadata().index >= at_least && lists(snapshot, to) =>
            {
                return Ok(snapshot.as_ref().clone());
            }
            SnapshotState::Taking => {}
            SnapshotState::None | SnapshotState::Wanted { .. } | SnapshotState::Taken(_) => {
                state.snapshot = SnapshotState::Wanted { at_least };
            }
        }
        Err(raft::Error::Store(
            StorageError::SnapshotTemporarilyUnavailable,
        ))
    }
}
