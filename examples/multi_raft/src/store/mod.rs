//! The store process: one thread runs the Raft nodes of all its peers and hands what they commit to the
//! engine. Everything else (connections, snapshot files, split keys) runs on threads that send it
//! [`Input`]s.
//!
//! Here: the loop and what it holds. In the files beside it, one each: messages and the gate, Ready,
//! entries, merges, snapshots, clients, orders, reports of leadership.

mod apply;
mod clients;
mod merges;
mod messages;
mod orders;
mod ready;
mod reports;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use raft::StateRole;
use torrens::lifecycle::{Mode, ParkingLot};
use torrens::snapshot::StagedSnapshot;
use torrens::{Engine, EvictReason, LeadershipRole, RegionEpoch, RegionId, StoreId};

use crate::HostError;
use crate::counters::Counters;
use crate::peer::{PeerTask, Reply};
use crate::raft_log::{LogChanges, RaftLogs};
use crate::transport::{Addresses, Transport};
use crate::wire::{Envelope, Faults, Order, RegionBeat, Request, StoreStatus, WireRegion};

/// Length of a tick. An election takes ten to twenty of them.
pub const TICK: Duration = Duration::from_millis(50);
/// How long a proof of leadership is good for: less than the shortest election.
const LEASE: Duration = Duration::from_millis(400);
/// A peer that has not heard of a leader for that long asks who the peers are.
const LEADERLESS: Duration = Duration::from_secs(4);
/// How many inputs are taken before what they caused is written.
const INPUTS_MAX: usize = 512;

/// Something that the loop has to look at.
pub enum Input {
    Message(Envelope),
    Snapshot(Envelope, StagedSnapshot),
    Client(Request, Reply),
    Order(Order),
    /// A snapshot that Raft asked for was written, or could not be.
    SnapshotTaken {
        region: RegionId,
        incarnation: torrens::Incarnation,
        taken: Option<snapshots::Written>,
    },
    /// A snapshot was staged by the other store, or got lost.
    SnapshotSent {
        region: RegionId,
        to_peer: u64,
        staged: bool,
    },
    /// The middle of a region, for an order to split it.
    SplitKey {
        region: RegionId,
        epoch: RegionEpoch,
        at: Vec<u8>,
        child: u64,
        peers: Vec<u64>,
    },
    Preloaded {
        to: Envelope,
    },
    Stop,
}

/// What other threads may see of the loop.
#[derive(Default)]
pub struct Shared {
    /// The store that leads each region, as far as this one knows.
    pub leaders: RwLock<BTreeMap<RegionId, u64>>,
    pub beats: Mutex<Vec<RegionBeat>>,
    pub counters: Counters,
    pub faults: Arc<Mutex<Faults>>,
    /// How many snapshots of a thousand are sent a second time, whatever the faults.
    pub snapshots_again: u32,
    pub addresses: Addresses,
}

/// How the loop and the other threads of the process speak to each other.
pub struct Threads {
    pub shared: Arc<Shared>,
    /// For threads that work for the loop.
    pub own: Sender<Input>,
    pub inputs: Receiver<Input>,
}

/// The store's loop.
pub struct Store {
    pub id: StoreId,
    pub engine: Engine,
    logs: Arc<RaftLogs>,
    /// Entries that a leader keeps for a replica that is behind.
    log_entries_max: u64,
    tasks: BTreeMap<RegionId, PeerTask>,
    parked: ParkingLot<Envelope>,
    /// The store that a peer last wrote from, for peers that no description here names.
    heard_from: BTreeMap<(RegionId, u64), u64>,
    transport: Transport,
    reports: Sender<reports::Report>,
    shared: Arc<Shared>,
    inputs: Receiver<Input>,
    /// For threads that work for the loop.
    own: Sender<Input>,
    dirty: BTreeSet<RegionId>,
    /// Messages for peers that may have a Ready under way: Raft takes nothing before that is done.
    deferred: Vec<Envelope>,
    next_opening: u64,
    started: Instant,
    next_context: u64,
    ticks: u64,
}

/// Where the parts of a store lie in its directory.
pub fn engine_dir(dir: &std::path::Path) -> PathBuf {
    dir.join("torrens")
}

/// Where the Raft logs lie.
pub fn log_dir(dir: &std::path::Path) -> PathBuf {
    dir.join("raft")
}

impl Store {
    /// Opens every peer and cleans what belongs to none.
    pub fn open(
        id: StoreId,
        engine: Engine,
        logs: RaftLogs,
        log_entries_max: u64,
        threads: Threads,
    ) -> Result<Store, HostError> {
        let Threads {
            shared,
            own,
            inputs,
        } = threads;
        let transport = Transport::new(
            id.0,
            Arc::clone(&shared.addresses),
            Arc::clone(&shared.faults),
            shared.snapshots_again,
        );
        let reports = reports::start(&engine, &shared);
        let mut store = Store {
            id,
            engine,
            logs: Arc::new(logs),
            log_entries_max,
            tasks: BTreeMap::new(),
            parked: ParkingLot::default(),
            heard_from: BTreeMap::new(),
            transport,
            reports,
            shared,
            inputs,
            own,
            dirty: BTreeSet::new(),
            deferred: Vec::new(),
            next_opening: 1,
            started: Instant::now(),
            next_context: 1,
            ticks: 0,
        };
        store.follow_engine()?;
        // What a destroy left, and the predecessors of peers whose votes were carried over.
        let live: Vec<_> = store.tasks.values().map(|task| task.incarnation).collect();
        let mut changes = LogChanges::durable();
        for orphan in store.logs.orphans(&live) {
            changes.clean(orphan);
        }
        store.logs.write(changes)?;
        // A snapshot that nobody is applying will be asked for again.
        for name in store.engine.snapshots()? {
            let _ = store.engine.remove_snapshot(name);
        }
        Ok(store)
    }

    /// Runs until told to stop, or until something fails that only a new start can mend.
    pub fn run(mut self) -> Result<(), HostError> {
        let mut next_tick = Instant::now() + TICK;
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            let first = match self.inputs.recv_timeout(wait) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let more: Vec<Input> = self.inputs.try_iter().take(INPUTS_MAX).collect();
            for input in first.into_iter().chain(more) {
                if let Input::Stop = input {
                    for task in self.tasks.values_mut() {
                        task.give_up("the store stops");
                    }
                    drop(self.tasks);
                    return Ok(self.engine.close()?);
                }
                self.take(input)?;
            }
            let now = Instant::now();
            if now >= next_tick {
                // One tick, however late: a process that was stopped must not elect at once.
                next_tick = now + TICK;
                self.tick(now)?;
            }
            self.start_reads(now);
            self.handle_ready()?;
        }
    }

    fn take(&mut self, input: Input) -> Result<(), HostError> {
        match input {
            Input::Message(envelope) => self.on_message(envelope),
            Input::Snapshot(envelope, staged) => self.on_snapshot(envelope, staged),
            Input::Client(request, reply) => {
                self.on_request(request, reply);
                Ok(())
            }
            Input::Order(order) => {
                self.on_order(order);
                Ok(())
            }
            Input::SnapshotTaken {
                region,
                incarnation,
                taken,
            } => {
                self.on_snapshot_taken(region, incarnation, taken);
                Ok(())
            }
            Input::SnapshotSent {
                region,
                to_peer,
                staged,
            } => {
                self.on_snapshot_sent(region, to_peer, staged);
                Ok(())
            }
            Input::SplitKey {
                region,
                epoch,
                at,
                child,
                peers,
            } => {
                self.propose_split(region, epoch, at, child, peers);
                Ok(())
            }
            Input::Preloaded { to } => {
                self.transport.send(to);
                Ok(())
            }
            Input::Stop => Ok(()),
        }
    }

    fn tick(&mut self, now: Instant) -> Result<(), HostError> {
        self.ticks += 1;
        let regions: Vec<RegionId> = self.tasks.keys().copied().collect();
        for region in &regions {
            self.tick_peer(*region, now);
        }
        self.check_merges();
        self.leave_joint();
        if self.ticks.is_multiple_of(20) {
            self.compact_logs()?;
            self.logs.purge()?;
        }
        if self.ticks.is_multiple_of(40) {
            self.hint_followers();
        }
        if self.ticks.is_multiple_of(4) {
            self.hint_learners();
            self.publish_beats();
        }
        Ok(())
    }

    fn tick_peer(&mut self, region: RegionId, now: Instant) {
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        // Whoever lost its data must not campaign, and asks the leader for a snapshot.
        match task.needs_snapshot {
            true => {
                let raft = &mut task.node.raft;
                if raft.state != StateRole::Follower {
                    raft.become_follower(raft.term, raft::INVALID_ID);
                }
                if raft.pending_request_snapshot == raft::INVALID_INDEX && raft.snap().is_none() {
                    raft.pending_request_snapshot = raft.raft_log.committed.max(1);
                }
            }
            false => {
                task.node.tick();
            }
        }
        if task.node.raft.leader_id != raft::INVALID_ID {
            task.heard_leader = now;
        }
        if let Some(transfer) = &task.transfer
            && now >= transfer.deadline
        {
            let to = transfer.to_peer;
            task.transfer = None;
            task.lease_until = None;
            task.node.transfer_leader(to);
        }
        self.dirty.insert(region);
        if now.duration_since(self.tasks[&region].heard_leader) > LEADERLESS {
            if let Some(task) = self.tasks.get_mut(&region) {
                task.heard_leader = now;
            }
            self.ask_whether_stale(region);
        }
    }

    /// Makes the tasks what the engine says: one for each peer, of the incarnation that lives.
    fn follow_engine(&mut self) -> Result<Vec<RegionId>, HostError> {
        let mut live = BTreeMap::new();
        for status in self.engine.regions() {
            live.insert(status.id, status.incarnation);
        }
        let gone: Vec<RegionId> = self
            .tasks
            .iter()
            .filter(|(region, task)| live.get(region) != Some(&task.incarnation))
            .map(|(region, _)| *region)
            .collect();
        let mut heard = BTreeMap::new();
        let mut forgotten = LogChanges::default();
        for region in gone {
            if let Some(mut task) = self.tasks.remove(&region) {
                task.give_up("the peer is gone");
                heard.insert(region, task.heard_epoch);
                forgotten.clean(task.incarnation);
            }
        }
        let mut made = Vec::new();
        for region in live.keys() {
            if !self.tasks.contains_key(region) {
                let heard = heard.get(region).copied().unwrap_or(RegionEpoch::NONE);
                let task = self.open_task(*region, heard)?;
                self.tasks.insert(*region, task);
                self.dirty.insert(*region);
                made.push(*region);
            }
        }
        // Only now: a successor has taken over what it needs of its predecessor's.
        self.logs.write(forgotten)?;
        Ok(made)
    }

    fn open_task(&mut self, region: RegionId, heard: RegionEpoch) -> Result<PeerTask, HostError> {
        self.next_opening += 1;
        PeerTask::open(&self.engine, &self.logs, region, heard, self.next_opening)
    }

    /// Opens a peer anew: what Raft holds in memory has become wrong.
    fn reopen(&mut self, region: RegionId) -> Result<(), HostError> {
        if let Some(mut task) = self.tasks.remove(&region) {
            task.give_up("the peer was opened again");
            let task = self.open_task(region, task.heard_epoch)?;
            self.tasks.insert(region, task);
            self.dirty.insert(region);
        }
        Ok(())
    }

    fn publish_beats(&mut self) {
        let mut beats = Vec::new();
        let mut leaders = BTreeMap::new();
        for (id, task) in &self.tasks {
            let Some(status) = self.engine.region(*id) else {
                continue;
            };
            let Some(region) = &status.region else {
                continue;
            };
            let leader = task.node.raft.leader_id;
            if let Some(peer) = region.peers.iter().find(|peer| peer.id.0 == leader) {
                leaders.insert(*id, peer.store.0);
            }
            if !task.leads_for_sure() {
                continue;
            }
            let last = task.node.raft.raft_log.last_index();
            let progress = task.node.raft.prs().iter();
            let caught_up = progress
                .filter(|(_, progress)| progress.matched + 64 > last && progress.recent_active)
                .map(|(id, _)| *id);
            beats.push(RegionBeat {
                region: WireRegion::from(region.as_ref()),
                leader: task.peer.0,
                bytes: task.bytes,
                caught_up: caught_up.collect(),
                is_merging: matches!(status.mode, Mode::Merging(_)),
            });
        }
        *self
            .shared
            .leaders
            .write()
            .expect("nothing panics while it holds the leaders") = leaders;
        *self
            .shared
            .beats
            .lock()
            .expect("nothing panics while it holds the beats") = beats;
    }

    /// Tells the engine of a change of a peer's role.
    fn report_role(&mut self, region: RegionId) {
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        let role = task.node.raft.state;
        if role == task.role {
            return;
        }
        task.role = role;
        if role != StateRole::Leader {
            task.lease_until = None;
            task.transfer = None;
            task.retry_reads("not the leader any more");
        }
        let role = match role {
            StateRole::Leader => LeadershipRole::Leader,
            StateRole::Candidate => LeadershipRole::Candidate,
            StateRole::PreCandidate => LeadershipRole::PreCandidate,
            StateRole::Follower => LeadershipRole::Follower,
        };
        let report = reports::Report {
            region,
            incarnation: task.incarnation,
            term: task.node.raft.term,
            role,
        };
        // The threads that take them live as long as this does.
        let _ = self.reports.send(report);
    }
}

/// What a store says of itself, from any thread.
pub fn status(id: StoreId, engine: &Engine, shared: &Shared) -> StoreStatus {
    let regions = engine.regions();
    let count = |stage: &str| {
        regions
            .iter()
            .filter(|status| status.stage == stage)
            .count() as u64
    };
    StoreStatus {
        store: id.0,
        regions: regions.len() as u64,
        leaders: shared
            .beats
            .lock()
            .expect("nothing panics while it holds the beats")
            .len() as u64,
        damaged: count("damaged"),
        uninitialized: count("uninitialized"),
        merging: regions
            .iter()
            .filter(|status| matches!(status.mode, Mode::Merging(_)))
            .count() as u64,
        counters: counted(engine, shared),
    }
}

/// What the host counted, and what the engine did.
fn counted(engine: &Engine, shared: &Shared) -> BTreeMap<String, u64> {
    let mut all = shared.counters.all();
    let counters = engine.counters();
    for (kind, count) in counters.records.into_iter().filter(|(_, count)| *count > 0) {
        all.insert(format!("record.{}", kind.name()), count);
    }
    for (code, count) in counters.refusals {
        all.insert(format!("engine-refused.{code}"), count);
    }
    for reason in EvictReason::ALL {
        let count = counters.cache.evictions(reason);
        if count > 0 {
            all.insert(format!("evicted.{}", reason.as_str()), count);
        }
    }
    for (name, count) in [
        ("leadership-reports-late", counters.observers.reports_late),
        ("audit-repairs", counters.observers.audit_repairs),
    ] {
        all.insert(format!("observing.{name}"), count);
    }
    all.insert(
        "engine.slow-transitions".to_owned(),
        counters.slow_transitions,
    );
    all
}
