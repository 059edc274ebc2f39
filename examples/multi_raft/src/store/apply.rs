//! Committed entries: what each is to the engine, and what its answer means to whoever proposed it.
//!
//! Not here: merges (`merges`).

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};
use torrens::lifecycle::Refusal;
use torrens::{
    Answer, Derive, Incarnation, NewRegion, Peer, PeerId, RaftPosition, RegionEpoch, RegionId,
    Split, WriteAnswer, WriteBatch,
};

use super::Store;
use crate::HostError;
use crate::command::{Command, Op, PeersCommand, PeersContext};
use crate::storage::conf_state;
use crate::wire::{self, Response};

/// What an entry came to.
pub(super) enum Applied {
    /// Done; the answer for whoever proposed it.
    Done(Response),
    /// It changed who exists: look at the engine.
    Changed(Response),
    /// It changed the region's peers.
    Peers,
    /// Refused for a reason that every store has.
    Refused,
    /// The peer's data is lost: nothing more is applied before a snapshot.
    Damaged,
}

impl Store {
    /// Applies one committed entry of a peer that runs.
    pub(super) fn apply_committed(
        &mut self,
        region: RegionId,
        incarnation: Incarnation,
        entry: Entry,
    ) -> Result<(), HostError> {
        let Some(task) = self.tasks.get(&region) else {
            return Ok(());
        };
        if task.needs_snapshot {
            return Ok(());
        }
        let was_leader = task.is_leader();
        let applied = self.apply_entry(region, &entry)?;
        let position = RaftPosition {
            index: entry.index,
            term: entry.term,
        };
        let response = match applied {
            Applied::Done(response) => response,
            Applied::Changed(response) => {
                let made = self.follow_engine()?;
                for child in made {
                    // Everybody's logs begin alike, so the parent's leader can lead at once.
                    if was_leader && let Some(task) = self.tasks.get_mut(&child) {
                        let _ = task.node.campaign();
                    }
                    self.unpark(child);
                }
                self.unpark(region);
                response
            }
            Applied::Peers => {
                self.follow_engine()?;
                self.take_over_peers(region, incarnation, &entry)?;
                Response::Done
            }
            Applied::Refused => Response::Retry("the region changed".into()),
            Applied::Damaged => {
                self.shared.counters.add("host", "damaged");
                if let Some(task) = self.tasks.get_mut(&region) {
                    task.needs_snapshot = true;
                    task.give_up("the region's data is lost here");
                }
                return Ok(());
            }
        };
        self.advance_data(region, position)?;
        let Some(task) = self.tasks.get_mut(&region) else {
            return Ok(());
        };
        if task.incarnation != incarnation {
            return Ok(());
        }
        task.applied = entry.index;
        while let Some(pending) = task.pending.front() {
            if pending.index > entry.index {
                break;
            }
            let Some(pending) = task.pending.pop_front() else {
                break;
            };
            let answer = match (pending.index == entry.index, pending.term == entry.term) {
                (true, true) => response.clone(),
                // Another leader's entry took its place: it will never be applied.
                (true, false) => Response::Retry("another leader took over".into()),
                (false, _) => Response::Unknown("passed by a snapshot".into()),
            };
            let _ = pending.reply.send(answer);
        }
        Ok(())
    }

    /// Hands one committed entry to the engine.
    pub(super) fn apply_entry(
        &mut self,
        region: RegionId,
        entry: &Entry,
    ) -> Result<Applied, HostError> {
        let position = RaftPosition {
            index: entry.index,
            term: entry.term,
        };
        if entry.get_entry_type() != EntryType::EntryNormal {
            return self.apply_peers(region, position, entry);
        }
        if entry.data.is_empty() {
            return Ok(Applied::Done(Response::Done));
        }
        let Some(command) = wire::decode::<Command>(&entry.data) else {
            return Err(HostError::Entry {
                region,
                index: entry.index,
            });
        };
        match command {
            Command::Write { epoch, ops } => self.apply_write(region, epoch.into(), position, ops),
            Command::Split {
                epoch,
                at,
                child,
                peers,
            } => self.apply_split(region, epoch.into(), position, at, child, peers),
            Command::PrepareMerge {
                epoch,
                target,
                min_index,
            } => self.apply_prepare_merge(region, epoch.into(), position, target, min_index),
            Command::CommitMerge {
                epoch,
                source,
                commit,
                entries,
            } => self.apply_commit_merge(region, epoch.into(), position, source, commit, entries),
            Command::RollbackMerge { epoch, commit } => {
                let answer = self
                    .engine
                    .rollback_merge(region, epoch.into(), position, commit)?;
                Ok(self.applied("rollback-merge", &answer))
            }
        }
    }

    fn apply_write(
        &mut self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        ops: Vec<Op>,
    ) -> Result<Applied, HostError> {
        let mut batch = WriteBatch::new();
        let mut response = Response::Done;
        let mut bytes = 0;
        for op in &ops {
            match op {
                Op::Put { key, value } => {
                    bytes += key.len() + value.len();
                    batch.put(key.as_slice(), value.as_slice());
                }
                Op::Delete { key } => {
                    bytes += key.len();
                    let existed = self
                        .engine
                        .view(region, epoch)
                        .ok()
                        .is_some_and(|view| view.get(key).is_ok_and(|value| value.is_some()));
                    response = Response::Deleted(existed);
                    batch.delete(key.as_slice());
                }
            }
        }
        let answer = self.engine.write(region, epoch, position, &batch)?;
        match answer {
            WriteAnswer::Applied { .. } => {
                if let Some(task) = self.tasks.get_mut(&region) {
                    task.bytes += bytes as u64;
                }
                Ok(Applied::Done(response))
            }
            WriteAnswer::AlreadyApplied { .. } => Ok(Applied::Done(response)),
            WriteAnswer::Refused(refusal) => Ok(self.refused("write", &refusal)),
        }
    }

    fn apply_split(
        &mut self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        at: Vec<u8>,
        child: u64,
        peer_ids: Vec<u64>,
    ) -> Result<Applied, HostError> {
        let described = self.engine.region(region).and_then(|status| status.region);
        let before = self.engine.region(RegionId(child));
        let was_made = before.is_some_and(|status| status.region.is_none());
        let mut peers: Vec<Peer> = described.map_or(Vec::new(), |region| region.peers.clone());
        for (peer, id) in peers.iter_mut().zip(&peer_ids) {
            peer.id = PeerId(*id);
        }
        let answer = self.engine.split(Split {
            region,
            incarnation: None,
            epoch,
            position,
            boundaries: vec![at.as_slice().into()],
            children: vec![NewRegion {
                id: RegionId(child),
                peers,
            }],
            // The child is the right part.
            derive: Derive::Left,
        })?;
        if answer.holds()
            && let Some(task) = self.tasks.get_mut(&region)
        {
            task.bytes /= 2;
            if was_made {
                let name = "split-met-a-peer-that-a-message-had-made";
                self.shared.counters.add("case", name);
            }
            if std::mem::take(&mut task.split_is_unseen) {
                self.shared
                    .counters
                    .add("case", "split-behind-a-snapshot-over-a-cache");
            }
        }
        Ok(self.applied("split", &answer))
    }

    fn apply_peers(
        &mut self,
        region: RegionId,
        position: RaftPosition,
        entry: &Entry,
    ) -> Result<Applied, HostError> {
        let change = ConfChangeV2::parse_from_bytes(&entry.data).ok();
        let context = change.and_then(|change| wire::decode::<PeersContext>(&change.context));
        let Some(PeersContext { epoch, change }) = context else {
            return Err(HostError::Entry {
                region,
                index: entry.index,
            });
        };
        let epoch = epoch.into();
        let changes = change.changes();
        let answer = match (&change, changes.as_slice()) {
            (PeersCommand::Leave, _) => self.engine.leave_joint(region, epoch, position)?,
            (_, [one]) => self.engine.change_peers(region, epoch, position, *one)?,
            _ => self.engine.enter_joint(region, epoch, position, changes)?,
        };
        let name = match change {
            PeersCommand::AddLearner { .. } => "add-learner",
            PeersCommand::Promote { .. } => "promote",
            PeersCommand::Remove { .. } => "remove-peer",
            PeersCommand::Swap { .. } => "enter-joint",
            PeersCommand::Leave => "leave-joint",
        };
        let applied = self.applied(name, &answer);
        Ok(match (&answer, applied) {
            (Answer::Accepted { .. }, _) => Applied::Peers,
            // Raft started with the description that has it already.
            (Answer::AlreadyApplied, _) => Applied::Done(Response::Done),
            (_, applied) => applied,
        })
    }

    /// Raft takes over what the engine accepted.
    fn take_over_peers(
        &mut self,
        region: RegionId,
        incarnation: Incarnation,
        entry: &Entry,
    ) -> Result<(), HostError> {
        let described = self.engine.region(region).and_then(|status| status.region);
        let (Some(task), Some(described)) = (self.tasks.get_mut(&region), described) else {
            return Ok(());
        };
        if task.incarnation != incarnation {
            return Ok(());
        }
        let change = ConfChangeV2::parse_from_bytes(&entry.data).map_err(HostError::Protobuf)?;
        let _ = task.node.apply_conf_change(&change)?;
        task.state.borrow_mut().conf_state = conf_state(&described);
        Ok(())
    }

    /// Counts a transition's answer and says what it means.
    pub(super) fn applied(&mut self, what: &str, answer: &Answer) -> Applied {
        self.count_answer(what, answer);
        match answer {
            Answer::Accepted { .. } | Answer::AlreadyApplied => Applied::Changed(Response::Done),
            Answer::Refused(refusal) => match refusal {
                Refusal::RegionDamaged { .. } => Applied::Damaged,
                _ => Applied::Refused,
            },
            Answer::Wait(_) => Applied::Damaged,
        }
    }

    fn refused(&mut self, what: &str, refusal: &Refusal) -> Applied {
        let name = format!("{what}: {}", refusal.code());
        self.shared.counters.add("refused", &name);
        match refusal {
            Refusal::RegionDamaged { .. } => Applied::Damaged,
            _ => Applied::Refused,
        }
    }

    pub(super) fn count_answer(&self, what: &str, answer: &Answer) {
        let outcome = match answer {
            Answer::Accepted { .. } => "accepted",
            Answer::AlreadyApplied => "already-applied",
            Answer::Wait(_) => "wait",
            Answer::Refused(refusal) => {
                let name = format!("{what}: {}", refusal.code());
                self.shared.counters.add("refused", &name);
                return;
            }
        };
        self.shared.counters.add(what, outcome);
    }

    /// Lets the data's index follow an entry that wrote nothing, so that the log can be let go.
    fn advance_data(&mut self, region: RegionId, position: RaftPosition) -> Result<(), HostError> {
        let described = self.engine.region(region).and_then(|status| status.region);
        let Some(described) = described else {
            return Ok(());
        };
        // Refused while the region merges: then the entry is handed over again after a restart, and
        // answered as applied.
        let _ = self
            .engine
            .write(region, described.epoch, position, &WriteBatch::new())?;
        Ok(())
    }
}
