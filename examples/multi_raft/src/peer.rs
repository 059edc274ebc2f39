//! `PeerTask`: one peer's Raft node with what the host has to remember of it. A task is made for one
//! *incarnation* and dropped with it.
//!
//! Not here: what the messages, entries and requests do (`store`).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;
use raft::eraftpb::HardState;
use raft::{Config, RawNode, ReadOnlyOption, StateRole};
use torrens::snapshot::StagedSnapshot;
use torrens::{Engine, Incarnation, PeerId, RaftPosition, RegionEpoch, RegionId};

use crate::HostError;
use crate::raft_log::{LogChanges, RaftLogs};
use crate::storage::{LogState, PeerStorage, SnapshotState, conf_state};
use crate::wire::{Request, Response};

/// Ticks without a leader before an election.
pub const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;

/// Where an answer goes.
pub type Reply = Sender<Response>;

/// A proposal that waits for its entry to be applied.
pub struct Pending {
    pub index: u64,
    pub term: u64,
    pub reply: Reply,
}

/// Reads that wait for one proof of leadership.
pub struct ReadBatch {
    pub context: u64,
    /// When the proof was asked for: what it proves is true from then on.
    pub asked: Instant,
    /// The index to wait for, once the proof is there.
    pub index: Option<u64>,
    pub requests: Vec<(Request, Reply)>,
}

/// A transfer of leadership that waits for the other store's memory.
pub struct Transfer {
    pub to_peer: u64,
    pub deadline: Instant,
}

/// One peer.
pub struct PeerTask {
    pub region: RegionId,
    pub peer: PeerId,
    pub incarnation: Incarnation,
    pub node: RawNode<PeerStorage>,
    /// Which opening of the peer the node is: what an earlier one wanted is nobody's.
    pub opening: u64,
    pub state: Rc<RefCell<LogState>>,
    /// Its data is lost, or never came: takes a snapshot and nothing else.
    pub needs_snapshot: bool,
    /// The epoch that the last message for it named; a peer without a description knows no other.
    pub heard_epoch: RegionEpoch,
    pub pending: VecDeque<Pending>,
    pub reads: Vec<ReadBatch>,
    pub queued_reads: Vec<(Request, Reply)>,
    /// Until when no other peer can lead.
    pub lease_until: Option<Instant>,
    /// A split or merge was proposed at that index: no lease before it is applied.
    pub lease_suspended_until: u64,
    /// Snapshots that are staged for it, with the sources that they cover, by index and term.
    pub staged: BTreeMap<(u64, u64), (StagedSnapshot, Vec<RegionId>)>,
    pub transfer: Option<Transfer>,
    pub bytes: u64,
    pub role: StateRole,
    pub heard_leader: Instant,
    /// The last index that was handed to the engine.
    pub applied: u64,
    /// The last snapshot found the region in memory at an older version, and no split has come since.
    pub split_is_unseen: bool,
}

impl PeerTask {
    /// Opens a peer as the engine and the log left it.
    pub fn open(
        engine: &Engine,
        logs: &Arc<RaftLogs>,
        region: RegionId,
        heard_epoch: RegionEpoch,
        opening: u64,
    ) -> Result<PeerTask, HostError> {
        let start = engine.raft_start(region)?;
        let status = &start.status;
        let incarnation = status.incarnation;
        let mut changes = LogChanges::default();
        let mut hard = logs.hard_state(incarnation)?.unwrap_or_default();
        let described = status.region.as_deref();
        let mut base = logs.base(incarnation).unwrap_or_default();
        let mut last_index = logs
            .last_index(incarnation)
            .unwrap_or(base.index)
            .max(base.index);
        if logs.base(incarnation).is_none() {
            // A split made this peer; if a message had made it before, whoever it voted for keeps
            // that vote.
            if let Some(predecessor) = start.predecessor {
                let before = logs.hard_state(predecessor)?.unwrap_or_default();
                if before.term > hard.term {
                    hard = HardState {
                        term: before.term,
                        vote: before.vote,
                        ..hard
                    };
                }
            }
        }
        if last_index < start.data.index && !start.damaged {
            // A split made it, or a snapshot was applied and the log not yet reset: it begins there.
            base = start.data;
            changes.compact(incarnation, last_index + 1);
            last_index = base.index;
        }
        if described.is_some() {
            changes.base(incarnation, base)?;
        }
        if hard.term < base.term {
            hard = HardState {
                term: base.term,
                ..HardState::default()
            };
        }
        let meta_index = status.meta.map_or(0, |meta| meta.index);
        hard.commit = hard
            .commit
            .max(start.data.index)
            .max(meta_index)
            .max(base.index)
            .min(last_index);
        changes.hard_state(incarnation, &hard)?;
        changes.must_sync = true;
        logs.write(changes)?;
        let last_term = match last_index == base.index {
            true => base.term,
            false => logs
                .entry(incarnation, last_index)?
                .map_or(base.term, |entry| entry.term),
        };
        let mut needs_snapshot = start.needs_snapshot;
        if described.is_some() && !needs_snapshot {
            // A log that starts behind what the data needs cannot fill the gap: the region is damaged.
            let _ = engine.report_log_start(region, incarnation, base.index + 1)?;
            needs_snapshot = engine.raft_start(region)?.needs_snapshot;
        }
        let state = Rc::new(RefCell::new(LogState {
            hard_state: hard,
            conf_state: described.map(conf_state).unwrap_or_default(),
            base,
            last: RaftPosition {
                index: last_index,
                term: last_term,
            },
            snapshot: SnapshotState::None,
        }));
        let storage = PeerStorage {
            logs: Arc::clone(logs),
            incarnation,
            state: Rc::clone(&state),
        };
        // The log starts again from what the data has, never from a maximum.
        let applied = start.data.index.max(base.index).min(last_index);
        let config = Config {
            id: status.peer.0,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            max_committed_size_per_ready: 4 << 20,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, storage, &logger)?;
        Ok(PeerTask {
            region,
            peer: status.peer,
            incarnation,
            node,
            opening,
            state,
            needs_snapshot,
            heard_epoch,
            pending: VecDeque::new(),
            reads: Vec::new(),
            queued_reads: Vec::new(),
            lease_until: None,
            lease_suspended_until: 0,
            staged: BTreeMap::new(),
            transfer: None,
            bytes: 0,
            role: StateRole::Follower,
            heard_leader: Instant::now(),
            applied,
            split_is_unseen: false,
        })
    }

    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Whether it leads and has applied an entry of its own term: only then does it know everything
    /// that was ever committed.
    pub fn leads_for_sure(&self) -> bool {
        let raft = &self.node.raft;
        self.is_leader()
            && raft
                .raft_log
                .term(self.applied)
                .is_ok_and(|term| term == raft.term)
    }

    /// Whether nobody else can lead now.
    pub fn has_lease(&self, now: Instant) -> bool {
        self.leads_for_sure()
            && self.node.raft.lead_transferee.is_none()
            && self.lease_suspended_until <= self.applied
            && self.lease_until.is_some_and(|until| now < until)
    }

    /// From now on a lease proves nothing: keys may come to belong to somebody else.
    pub fn suspend_lease(&mut self, index: u64) {
        self.lease_until = None;
        self.lease_suspended_until = self.lease_suspended_until.max(index);
    }

    /// Answers everybody who waits: nothing more will come of it here.
    pub fn give_up(&mut self, reason: &str) {
        for pending in self.pending.drain(..) {
            let _ = pending.reply.send(Response::Unknown(reason.into()));
        }
        self.retry_reads(reason);
    }

    /// Lets whoever waits for a read ask again.
    pub fn retry_reads(&mut self, reason: &str) {
        let batches = self.reads.drain(..).flat_map(|batch| batch.requests);
        for (_, reply) in batches.chain(self.queued_reads.drain(..)) {
            let _ = reply.send(Response::Retry(reason.into()));
        }
    }
}
