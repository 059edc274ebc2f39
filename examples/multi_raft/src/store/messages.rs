//! Messages: the gate first, then Raft.

use std::time::Instant;

use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use torrens::lifecycle::{DeferUntil, GateAnswer, GateReply, MessageHeader, MessageKind};
use torrens::snapshot::StagedSnapshot;
use torrens::{PeerId, RaftPosition, RegionEpoch, RegionId, StoreId};

use super::{Store, TICK};
use crate::HostError;
use crate::peer::{ELECTION_TICKS, PeerTask};
use crate::storage::SnapshotState;
use crate::wire::{self, Body, Envelope, WireEpoch, WireRange, WireRegion};

use super::snapshots::SnapshotData;

/// Term and index of a new region's first election and entry: its log begins at index 5, term 5.
const FIRST: u64 = 6;

fn kind_of(message: &Message) -> MessageKind {
    match message.get_msg_type() {
        MessageType::MsgAppend => MessageKind::Append {
            is_first: message.index + 1 == FIRST && message.entries.len() == 1,
        },
        MessageType::MsgRequestVote => MessageKind::Vote {
            is_first: message.term == FIRST,
        },
        MessageType::MsgRequestPreVote => MessageKind::PreVote {
            is_first: message.term == FIRST,
        },
        MessageType::MsgHeartbeat => MessageKind::Heartbeat {
            commit: message.commit,
        },
        MessageType::MsgSnapshot => MessageKind::Snapshot,
        MessageType::MsgTimeoutNow => MessageKind::TransferLeader,
        _ => MessageKind::Response,
    }
}

impl Store {
    /// A message that may be for anybody.
    pub(super) fn on_message(&mut self, envelope: Envelope) -> Result<(), HostError> {
        let (raft, kind) = match &envelope.body {
            Body::Raft(bytes) => {
                let Ok(message) = Message::parse_from_bytes(bytes) else {
                    self.shared.counters.add("gate", "unreadable");
                    return Ok(());
                };
                let kind = kind_of(&message);
                (Some(message), kind)
            }
            Body::Gone => (None, MessageKind::Tombstone),
            Body::Merged {
                target,
                target_version,
            } => {
                let (target, target_version) = (RegionId(*target), *target_version);
                (
                    None,
                    MessageKind::Merged {
                        target,
                        target_version,
                    },
                )
            }
            Body::CheckStale => (None, MessageKind::CheckStale),
            Body::Preload | Body::Preloaded | Body::Peers(_) => (None, MessageKind::WakeUp),
        };
        if kind == MessageKind::Snapshot {
            // Comes with its file, or not at all.
            return Ok(());
        }
        if !self.passes(&envelope, kind)? {
            return Ok(());
        }
        self.heard_from.insert(
            (RegionId(envelope.region), envelope.from_peer),
            envelope.from_store,
        );
        match (envelope.body.clone(), raft) {
            (Body::Raft(_), Some(message)) => self.step(&envelope, message),
            (Body::Preload, _) => self.on_preload(&envelope),
            (Body::Preloaded, _) => self.on_preloaded(RegionId(envelope.region)),
            (Body::Peers(region), _) => self.on_peers(region)?,
            _ => {}
        }
        Ok(())
    }

    /// Asks the gate, and does what it orders. Whether the message is for a peer that lives here.
    pub(super) fn passes(
        &mut self,
        envelope: &Envelope,
        kind: MessageKind,
    ) -> Result<bool, HostError> {
        let header = MessageHeader {
            region: RegionId(envelope.region),
            to_store: StoreId(envelope.to_store),
            to_peer: PeerId(envelope.to_peer),
            from_store: StoreId(envelope.from_store),
            from_peer: PeerId(envelope.from_peer),
            epoch: envelope.epoch.into(),
            range: envelope.range.clone().and_then(WireRange::into_range),
            kind,
        };
        // An order is carried out and the gate asked again; it never orders the same twice.
        for _ in 0..3 {
            let answer = self.engine.gate(&header);
            self.shared.counters.add("gate", answer.code());
            match answer {
                GateAnswer::Deliver { incarnation } => {
                    let task = self.tasks.get_mut(&header.region);
                    let task = task.filter(|task| task.incarnation == incarnation);
                    return Ok(task.map(|task| task.heard_epoch = header.epoch).is_some());
                }
                GateAnswer::Create(permit) => {
                    let answer = self.engine.create_permitted(permit)?;
                    self.count_answer("create", &answer);
                    self.follow_engine()?;
                    if !answer.holds() {
                        return Ok(false);
                    }
                }
                GateAnswer::Destroy {
                    incarnation,
                    peer,
                    cause,
                } => {
                    let epoch = self
                        .tasks
                        .get(&header.region)
                        .map(|task| self.epoch_of(task));
                    let epoch = epoch.unwrap_or(RegionEpoch::NONE);
                    let answer = self.engine.destroy(
                        header.region,
                        epoch,
                        Some(incarnation),
                        peer,
                        cause,
                    )?;
                    self.count_answer("destroy", &answer);
                    self.follow_engine()?;
                    if !answer.holds() {
                        return Ok(false);
                    }
                }
                GateAnswer::Defer(until) => {
                    let is_worth_it =
                        kind.is_first() || matches!(until, DeferUntil::TargetMerged { .. });
                    if is_worth_it && kind != MessageKind::Snapshot {
                        self.parked
                            .park(header.region, header.to_peer, envelope.clone());
                    }
                    return Ok(false);
                }
                GateAnswer::Reply(reply) => {
                    self.reply(&header, reply);
                    return Ok(false);
                }
                GateAnswer::Drop(_) | GateAnswer::Stale(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Lets the messages that were parked for a region ask the gate again, soon.
    pub(super) fn unpark(&mut self, region: RegionId) {
        let parked = self.parked.take_all(region).into_iter();
        self.deferred.extend(parked.map(|(_, envelope)| envelope));
    }

    fn reply(&mut self, header: &MessageHeader, reply: GateReply) {
        let own = self.engine.region(header.region);
        let (epoch, body) = match reply {
            GateReply::Gone { epoch } => (epoch, Body::Gone),
            GateReply::Peers(region) => {
                (region.epoch, Body::Peers(WireRegion::from(region.as_ref())))
            }
            GateReply::MergeTarget { target } => {
                let live = self.engine.region(target).and_then(|status| status.region);
                let mut tombstones = self.engine.tombstones().into_iter();
                let epoch = live.map(|region| region.epoch).or_else(|| {
                    tombstones
                        .find(|(id, _)| *id == target)
                        .map(|(_, tombstone)| tombstone.epoch)
                });
                let Some(epoch) = epoch else { return };
                // The target's version when it took the region in is not known any more; it is above
                // the one at which the merge was prepared, and that is all that the receiver compares.
                let target_version = epoch.version.saturating_sub(1);
                let target = target.0;
                (
                    header.epoch,
                    Body::Merged {
                        target,
                        target_version,
                    },
                )
            }
        };
        self.transport.send(Envelope {
            region: header.region.0,
            from_store: self.id.0,
            to_store: header.from_store.0,
            from_peer: own.map_or(header.to_peer.0, |status| status.peer.0),
            to_peer: header.from_peer.0,
            epoch: epoch.into(),
            range: None,
            body,
        });
    }

    /// Gives a message to Raft.
    pub(super) fn step(&mut self, envelope: &Envelope, message: Message) {
        let region = RegionId(envelope.region);
        let is_vote = matches!(
            message.get_msg_type(),
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
        );
        // A process that just started does not know what it promised a leader a moment ago: a leader
        // that holds a lease counts on it for one election.
        let election = TICK * u32::try_from(ELECTION_TICKS).unwrap_or(u32::MAX);
        if is_vote && Instant::now().duration_since(self.started) < election {
            return;
        }
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        if message.from != 0 && task.node.raft.leader_id == message.from {
            task.heard_leader = Instant::now();
        }
        if let Err(error) = task.node.step(message) {
            self.shared
                .counters
                .add("raft-step", &error.to_string().replace(' ', "-"));
        }
        self.dirty.insert(region);
    }

    /// A snapshot with its file: the gate, the reservation of its keys, and only then Raft.
    pub(super) fn on_snapshot(
        &mut self,
        envelope: Envelope,
        staged: StagedSnapshot,
    ) -> Result<(), HostError> {
        let Body::Raft(bytes) = &envelope.body else {
            return Ok(());
        };
        let Ok(message) = Message::parse_from_bytes(bytes) else {
            return Ok(());
        };
        let data: Option<SnapshotData> = wire::decode(&message.get_snapshot().data);
        let Some((data, description)) =
            data.and_then(|data| Some((data.clone(), data.region.into_region()?)))
        else {
            self.shared.counters.add("snapshot", "unreadable");
            return Ok(());
        };
        let region = RegionId(envelope.region);
        if !self.passes(&envelope, MessageKind::Snapshot)? {
            self.shared.counters.add("snapshot", "not-for-this-peer");
            self.forget_staged(&staged);
            return Ok(());
        }
        let Some(task) = self.tasks.get(&region) else {
            return Ok(());
        };
        let incarnation = task.incarnation;
        let metadata = message.get_snapshot().get_metadata();
        let position = RaftPosition {
            index: metadata.index,
            term: metadata.term,
        };
        let sources: Vec<RegionId> = data.sources.iter().copied().map(RegionId).collect();
        let answer =
            self.engine
                .reserve_snapshot(region, incarnation, description, position, &sources)?;
        self.count_answer("reserve-snapshot", &answer);
        if !answer.holds() {
            self.forget_staged(&staged);
            return Ok(());
        }
        self.step(&envelope, message);
        let taken = self.tasks.get_mut(&region).is_some_and(|task| {
            let pending = task.node.raft.raft_log.unstable_snapshot().as_ref();
            let is_taken = pending.is_some_and(|snapshot| {
                let metadata = snapshot.get_metadata();
                (metadata.index, metadata.term) == (position.index, position.term)
            });
            if is_taken {
                task.staged
                    .insert((position.index, position.term), (staged, sources));
            }
            is_taken
        });
        if !taken {
            let answer = self.engine.release_snapshot(region, incarnation)?;
            self.count_answer("release-snapshot", &answer);
            self.forget_staged(&staged);
        }
        Ok(())
    }

    fn forget_staged(&self, staged: &StagedSnapshot) {
        // In use means that an apply has begun: it removes the file itself.
        let _ = self.engine.remove_snapshot(staged.name);
    }

    /// The peers of a region, told to one that had not heard of a leader.
    fn on_peers(&mut self, region: WireRegion) -> Result<(), HostError> {
        let id = RegionId(region.id);
        let Some(task) = self.tasks.get(&id) else {
            return Ok(());
        };
        let is_member = region.peers.iter().any(|peer| peer.id == task.peer.0);
        let epoch: RegionEpoch = region.epoch.into();
        let own = self.epoch_of(task);
        if is_member || !own.is_stale_against(epoch) {
            return Ok(());
        }
        let (incarnation, peer) = (task.incarnation, task.peer);
        let cause = torrens::DestroyCause::Removed { epoch };
        let answer = self
            .engine
            .destroy(id, own, Some(incarnation), peer, cause)?;
        self.count_answer("destroy", &answer);
        self.follow_engine().map(drop)
    }

    /// Asks every other store that may know who the peers are.
    pub(super) fn ask_whether_stale(&mut self, region: RegionId) {
        let Some(task) = self.tasks.get(&region) else {
            return;
        };
        let Some(status) = self.engine.region(region) else {
            return;
        };
        let Some(description) = &status.region else {
            return;
        };
        let peers: Vec<_> = description
            .peers
            .iter()
            .filter(|peer| peer.store != self.id)
            .collect();
        let envelopes: Vec<Envelope> = peers
            .into_iter()
            .map(|peer| Envelope {
                region: region.0,
                from_store: self.id.0,
                to_store: peer.store.0,
                from_peer: task.peer.0,
                to_peer: peer.id.0,
                epoch: description.epoch.into(),
                range: None,
                body: Body::CheckStale,
            })
            .collect();
        for envelope in envelopes {
            self.transport.send(envelope);
        }
    }

    /// The epoch that a peer speaks with: its region's, or the one that it was spoken to with.
    pub(super) fn epoch_of(&self, task: &PeerTask) -> RegionEpoch {
        let status = self.engine.region(task.region);
        let described = status.and_then(|status| status.region);
        described.map_or(task.heard_epoch, |region| region.epoch)
    }

    /// Sends Raft's messages of one peer.
    pub(super) fn send_messages(&mut self, region: RegionId, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let Some(task) = self.tasks.get(&region) else {
            return;
        };
        let epoch: WireEpoch = self.epoch_of(task).into();
        let from_peer = task.peer.0;
        let description = self.engine.region(region).and_then(|status| status.region);
        for message in messages {
            let to_peer = message.to;
            let known = description.as_ref().and_then(|region| {
                region
                    .peers
                    .iter()
                    .find(|peer| peer.id.0 == to_peer)
                    .map(|peer| peer.store.0)
            });
            let Some(to_store) = known.or_else(|| self.store_of(region, to_peer)) else {
                continue;
            };
            let kind = message.get_msg_type();
            let asks = matches!(
                kind,
                MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
            ) || kind == MessageType::MsgHeartbeat;
            let range = description
                .as_ref()
                .filter(|_| asks)
                .map(|region| WireRange::from(&region.range));
            let Ok(bytes) = message.write_to_bytes() else {
                continue;
            };
            let envelope = Envelope {
                region: region.0,
                from_store: self.id.0,
                to_store,
                from_peer,
                to_peer,
                epoch,
                range,
                body: Body::Raft(bytes),
            };
            match kind {
                MessageType::MsgSnapshot => self.send_snapshot(envelope, &message),
                _ => self.transport.send(envelope),
            }
        }
    }

    /// The store of a peer that no description names: whoever wrote last from there.
    fn store_of(&self, region: RegionId, peer: u64) -> Option<u64> {
        self.heard_from.get(&(region, peer)).copied()
    }

    /// Starts writing the snapshots that Raft asked for.
    pub(super) fn start_snapshots(&mut self, region: RegionId) {
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        let mut state = task.state.borrow_mut();
        if let SnapshotState::Wanted { at_least } = state.snapshot {
            let meta = self.engine.region(region).and_then(|status| status.meta);
            let meta_index = meta.map_or(0, |meta| meta.index);
            // After a restart the description may be ahead of the data until the log was handed over
            // again: a picture of both would be of no index at all.
            if task.applied >= at_least && task.applied >= meta_index {
                state.snapshot = SnapshotState::Taking;
                let incarnation = task.incarnation;
                drop(state);
                self.take_snapshot(region, incarnation);
            }
        }
    }
}
