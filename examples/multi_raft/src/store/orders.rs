//! Orders of the placement driver, as far as this store leads the region.

use std::time::{Duration, Instant};

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use torrens::lifecycle::Mode;
use torrens::{CacheState, Peer, PeerRole, Preload, RegionEpoch, RegionId, RegionStatus};

use super::{Input, Store};
use crate::command::{Command, PeersCommand, PeersContext};
use crate::peer::Transfer;
use crate::wire::{self, Body, Envelope, Order};

/// How long a transfer of leadership waits for the other store's memory.
const PRELOAD_WAIT: Duration = Duration::from_millis(300);

impl Store {
    pub(super) fn on_order(&mut self, order: Order) {
        match order {
            Order::Split {
                region,
                child,
                peers,
            } => self.find_split_key(RegionId(region), child, peers),
            Order::AddLearner {
                region,
                peer,
                store,
            } => {
                self.propose_peers(RegionId(region), PeersCommand::AddLearner { peer, store });
            }
            Order::Promote { region, peer } => {
                self.propose_peers(RegionId(region), PeersCommand::Promote { peer });
            }
            Order::Swap {
                region,
                promote,
                demote,
            } => {
                self.propose_peers(RegionId(region), PeersCommand::Swap { promote, demote });
            }
            Order::Remove { region, peer } => {
                self.propose_peers(RegionId(region), PeersCommand::Remove { peer });
            }
            Order::Transfer { region, to_peer } => self.begin_transfer(RegionId(region), to_peer),
            Order::Merge { source, target } => self.order_merge(RegionId(source), RegionId(target)),
            Order::Load { region } => self.load(RegionId(region)),
            Order::Reload { region } => {
                if let Ok(answer) = self.engine.evict(RegionId(region)) {
                    self.count_answer("evict", &answer);
                }
                self.load(RegionId(region));
            }
        }
    }

    /// Asks for a region to be held in memory. It is a wish: what refuses it is counted.
    fn load(&mut self, region: RegionId) {
        let Some(described) = self.engine.region(region).and_then(|status| status.region) else {
            return;
        };
        if let Ok(answer) = self.engine.load(region, described.epoch) {
            self.count_answer("load", &answer);
        }
    }

    /// Hints to the stores of learners that they will be needed: one that has no data yet says so.
    pub(super) fn hint_learners(&mut self) {
        self.hint(|_, peer| peer.role == PeerRole::Learner);
    }

    /// Whoever may lead next keeps in memory what the leader does, so that a failure finds it warm.
    pub(super) fn hint_followers(&mut self) {
        self.hint(|status, peer| {
            status.cache == CacheState::Active && peer.role == PeerRole::Voter
        });
    }

    /// Tells the stores of such peers of regions that this store leads to have them in memory.
    fn hint(&mut self, is_for: impl Fn(&RegionStatus, &Peer) -> bool) {
        let mut hints = Vec::new();
        for (region, task) in &self.tasks {
            let status = self.engine.region(*region);
            let Some(status) = status.filter(|_| task.leads_for_sure()) else {
                continue;
            };
            let Some(described) = &status.region else {
                continue;
            };
            let peers = described.peers.iter();
            let peers = peers.filter(|peer| peer.id != task.peer && is_for(&status, peer));
            hints.extend(peers.map(|peer| Envelope {
                region: region.0,
                from_store: self.id.0,
                to_store: peer.store.0,
                from_peer: task.peer.0,
                to_peer: peer.id.0,
                epoch: described.epoch.into(),
                range: None,
                body: Body::Preload,
            }));
        }
        for hint in hints {
            self.transport.send(hint);
        }
    }

    /// Leaves joint consensus wherever this store leads a region that is in it.
    pub(super) fn leave_joint(&mut self) {
        let joint: Vec<RegionId> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                task.leads_for_sure() && task.node.raft.raft_log.last_index() == task.applied
            })
            .map(|(region, _)| *region)
            .collect();
        for region in joint {
            let described = self.engine.region(region).and_then(|status| status.region);
            if described.is_some_and(|region| region.peers.iter().any(|peer| peer.role.is_joint()))
            {
                self.propose_peers(region, PeersCommand::Leave);
            }
        }
    }

    /// Looks for the middle of a region on another thread: it reads all of it.
    fn find_split_key(&mut self, region: RegionId, child: u64, peers: Vec<u64>) {
        if !self
            .tasks
            .get(&region)
            .is_some_and(|task| task.leads_for_sure())
        {
            return;
        }
        let Some(described) = self.engine.region(region).and_then(|status| status.region) else {
            return;
        };
        let (engine, own) = (self.engine.clone(), self.own.clone());
        std::thread::spawn(move || {
            let Ok(view) = engine.view(region, described.epoch) else {
                return;
            };
            let keys: Vec<Vec<u8>> = view
                .scan(..)
                .map_while(Result::ok)
                .map(|(key, _)| key.to_vec())
                .collect();
            let Some(at) = keys.get(keys.len() / 2) else {
                return;
            };
            if at.as_slice() > described.range.start().as_ref() {
                let (at, epoch) = (at.clone(), described.epoch);
                let _ = own.send(Input::SplitKey {
                    region,
                    epoch,
                    at,
                    child,
                    peers,
                });
            }
        });
    }

    pub(super) fn propose_split(
        &mut self,
        region: RegionId,
        epoch: RegionEpoch,
        at: Vec<u8>,
        child: u64,
        peers: Vec<u64>,
    ) {
        let Some(status) = self.engine.region(region) else {
            return;
        };
        let Some(described) = status.region else {
            return;
        };
        if described.epoch != epoch
            || status.mode != Mode::Serving
            || described.peers.len() != peers.len()
        {
            return;
        }
        let command = Command::Split {
            epoch: epoch.into(),
            at,
            child,
            peers,
        };
        if let Some(index) = self.propose(region, &command, None) {
            // From now until the split is published, the right half may get a leader elsewhere.
            if let Some(task) = self.tasks.get_mut(&region) {
                task.suspend_lease(index);
            }
        }
    }

    fn propose_peers(&mut self, region: RegionId, command: PeersCommand) {
        let Some(status) = self.engine.region(region) else {
            return;
        };
        let Some(described) = status.region else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        if !task.leads_for_sure()
            || task.node.raft.has_pending_conf()
            || status.mode != Mode::Serving
        {
            return;
        }
        let single = |kind, peer| {
            let mut one = ConfChangeSingle::default();
            one.set_change_type(kind);
            one.node_id = peer;
            one
        };
        let mut change = ConfChangeV2::default();
        match command {
            PeersCommand::AddLearner { peer, .. } => {
                change
                    .mut_changes()
                    .push(single(ConfChangeType::AddLearnerNode, peer));
            }
            PeersCommand::Promote { peer } => {
                change
                    .mut_changes()
                    .push(single(ConfChangeType::AddNode, peer));
            }
            PeersCommand::Remove { peer } => {
                change
                    .mut_changes()
                    .push(single(ConfChangeType::RemoveNode, peer));
            }
            PeersCommand::Swap { promote, demote } => {
                change.set_transition(ConfChangeTransition::Explicit);
                change
                    .mut_changes()
                    .push(single(ConfChangeType::AddNode, promote));
                change
                    .mut_changes()
                    .push(single(ConfChangeType::AddLearnerNode, demote));
            }
            PeersCommand::Leave => {}
        }
        let context = PeersContext {
            epoch: described.epoch.into(),
            change: command,
        };
        change.set_context(wire::encode(&context).into());
        if task.node.propose_conf_change(Vec::new(), change).is_ok() {
            self.dirty.insert(region);
        }
    }

    /// Asks the store that is to lead to have the region in memory, and transfers when it has, or when
    /// it has had time enough.
    fn begin_transfer(&mut self, region: RegionId, to_peer: u64) {
        let Some(described) = self.engine.region(region).and_then(|status| status.region) else {
            return;
        };
        let Some(peer) = described.peers.iter().find(|peer| peer.id.0 == to_peer) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        if !task.leads_for_sure() || peer.id == task.peer || task.transfer.is_some() {
            return;
        }
        task.transfer = Some(Transfer {
            to_peer,
            deadline: Instant::now() + PRELOAD_WAIT,
        });
        let envelope = Envelope {
            region: region.0,
            from_store: self.id.0,
            to_store: peer.store.0,
            from_peer: task.peer.0,
            to_peer,
            epoch: described.epoch.into(),
            range: None,
            body: Body::Preload,
        };
        self.transport.send(envelope);
    }

    /// Another store is about to hand over a region.
    pub(super) fn on_preload(&mut self, envelope: &Envelope) {
        let answer = Envelope {
            from_store: envelope.to_store,
            to_store: envelope.from_store,
            from_peer: envelope.to_peer,
            to_peer: envelope.from_peer,
            body: Body::Preloaded,
            ..envelope.clone()
        };
        let preload = self.engine.preload(
            RegionId(envelope.region),
            envelope.epoch.into(),
            PRELOAD_WAIT,
        );
        match preload {
            Ok(Preload::Loading(ticket)) => {
                self.shared.counters.add("preload", "loading");
                let own = self.own.clone();
                std::thread::spawn(move || {
                    let _ = ticket.wait();
                    let _ = own.send(Input::Preloaded { to: answer });
                });
            }
            Ok(Preload::Refused(refusal)) => {
                self.shared.counters.add("preload", refusal.code());
                self.transport.send(answer);
            }
            _ => {
                self.shared.counters.add("preload", "ready");
                self.transport.send(answer);
            }
        }
    }

    pub(super) fn on_preloaded(&mut self, region: RegionId) {
        if let Some(task) = self.tasks.get_mut(&region)
            && let Some(transfer) = task.transfer.take()
        {
            task.lease_until = None;
            task.node.transfer_leader(transfer.to_peer);
            self.shared.counters.add("transfer", "begun");
            self.dirty.insert(region);
        }
    }
}

/// Checks that what is proposed can be read again; a guard for tests.
#[cfg(test)]
mod tests {
    use protobuf::Message as _;

    use super::*;

    #[test]
    fn the_context_of_a_change_of_peers_survives_protobuf() {
        let context = PeersContext {
            epoch: wire::WireEpoch {
                conf_ver: 3,
                version: 4,
            },
            change: PeersCommand::Swap {
                promote: 8,
                demote: 9,
            },
        };
        let mut change = ConfChangeV2::default();
        change.set_context(wire::encode(&context).into());
        let bytes = change.write_to_bytes().expect("encodes");
        let back = ConfChangeV2::parse_from_bytes(&bytes).expect("decodes");
        assert_eq!(wire::decode::<PeersContext>(&back.context), Some(context));
    }
}
