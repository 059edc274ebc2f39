//! Snapshots: written on a thread of their own, streamed beside the messages, applied by the loop.

use std::time::Duration;

use raft::eraftpb::{Message, Snapshot};
use raft::{Ready, SnapshotStatus};
use serde::{Deserialize, Serialize};
use torrens::{CacheState, Incarnation, RaftPosition, RegionId, Taken};

use super::{Input, Store};
use crate::HostError;
use crate::raft_log::LogChanges;
use crate::storage::{SnapshotState, conf_state};
use crate::wire::{self, Envelope, SnapshotHead, WireRegion};

/// How long a snapshot file is kept for further peers.
const KEPT: Duration = Duration::from_secs(10);

/// What a snapshot message carries beside Raft's own metadata; the rows come as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotData {
    pub region: WireRegion,
    pub head: SnapshotHead,
    /// Regions that this one took in.
    pub sources: Vec<u64>,
}

/// A snapshot file that was written.
pub struct Written {
    data: SnapshotData,
    position: RaftPosition,
}

impl Store {
    /// Writes a snapshot on another thread.
    pub(super) fn take_snapshot(&mut self, region: RegionId, incarnation: Incarnation) {
        let described = self.engine.region(region).and_then(|status| status.region);
        let (engine, own) = (self.engine.clone(), self.own.clone());
        let sources = self.sources_of(region);
        std::thread::spawn(move || {
            let written = described.and_then(|described| {
                let Ok(Taken::Snapshot(staged)) = engine.take_snapshot(region, described.epoch)
                else {
                    return None;
                };
                let reader = engine.open_snapshot(staged.name).ok()?;
                let name = staged.name;
                let head = SnapshotHead {
                    region: region.0,
                    index: name.index,
                    term: name.term,
                    id: name.id,
                    bytes: staged.bytes,
                };
                let data = SnapshotData {
                    region: WireRegion::from(&reader.meta().region),
                    head,
                    sources,
                };
                Some(Written {
                    data,
                    position: RaftPosition {
                        index: name.index,
                        term: name.term,
                    },
                })
            });
            let _ = own.send(Input::SnapshotTaken {
                region,
                incarnation,
                taken: written,
            });
        });
    }

    pub(super) fn on_snapshot_taken(
        &mut self,
        region: RegionId,
        incarnation: Incarnation,
        taken: Option<Written>,
    ) {
        self.shared.counters.add(
            "snapshot",
            if taken.is_some() {
                "taken"
            } else {
                "not-taken"
            },
        );
        let task = self
            .tasks
            .get_mut(&region)
            .filter(|task| task.incarnation == incarnation);
        let (Some(task), Some(written)) = (task, taken) else {
            if let Some(task) = self.tasks.get_mut(&region) {
                task.state.borrow_mut().snapshot = SnapshotState::None;
            }
            return;
        };
        let mut snapshot = Snapshot::default();
        let described = written.data.region.clone().into_region();
        let metadata = snapshot.mut_metadata();
        metadata.index = written.position.index;
        metadata.term = written.position.term;
        if let Some(described) = &described {
            metadata.set_conf_state(conf_state(described));
        }
        snapshot.data = wire::encode(&written.data).into();
        task.state.borrow_mut().snapshot = SnapshotState::Taken(Box::new(snapshot));
        let (engine, name) = (self.engine.clone(), written.data.head.name());
        std::thread::spawn(move || {
            std::thread::sleep(KEPT);
            let _ = engine.remove_snapshot(name);
        });
        self.dirty.insert(region);
    }

    /// Sends a snapshot message with its file.
    pub(super) fn send_snapshot(&mut self, envelope: Envelope, message: &Message) {
        let region = RegionId(envelope.region);
        let to_peer = envelope.to_peer;
        let data: Option<SnapshotData> = wire::decode(&message.get_snapshot().data);
        let reader = data
            .as_ref()
            .and_then(|data| self.engine.open_snapshot(data.head.name()).ok());
        let (Some(data), Some(reader)) = (data, reader) else {
            // The file is gone: another one has to be taken.
            if let Some(task) = self.tasks.get_mut(&region) {
                task.state.borrow_mut().snapshot = SnapshotState::None;
                task.node.report_snapshot(to_peer, SnapshotStatus::Failure);
            }
            return;
        };
        let own = self.own.clone();
        self.transport.send_snapshot(
            envelope,
            data.head,
            move || reader.bytes_stream(),
            move |staged| {
                let _ = own.send(Input::SnapshotSent {
                    region,
                    to_peer,
                    staged,
                });
            },
        );
    }

    pub(super) fn on_snapshot_sent(&mut self, region: RegionId, to_peer: u64, staged: bool) {
        self.shared
            .counters
            .add("snapshot", if staged { "sent" } else { "send-failed" });
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        let status = match staged {
            true => SnapshotStatus::Finish,
            false => SnapshotStatus::Failure,
        };
        task.node.report_snapshot(to_peer, status);
        self.dirty.insert(region);
    }

    /// Replaces a peer by the snapshot that Raft accepted. Whether that came about.
    pub(super) fn apply_snapshot(
        &mut self,
        region: RegionId,
        position: RaftPosition,
        ready: &Ready,
    ) -> Result<bool, HostError> {
        let Some(task) = self.tasks.get_mut(&region) else {
            return Ok(false);
        };
        let incarnation = task.incarnation;
        let Some((staged, sources)) = task.staged.remove(&(position.index, position.term)) else {
            return Ok(false);
        };
        task.staged.clear();
        let status = self.engine.region(region);
        let version = |status: &torrens::RegionStatus| {
            let described = status.region.as_ref();
            described.map(|region| region.epoch.version)
        };
        let was_cached_at = status
            .filter(|status| status.cache == CacheState::Active)
            .and_then(|status| version(&status));
        let answer = self
            .engine
            .apply_snapshot_over(region, incarnation, &staged, &sources)?;
        self.count_answer("apply-snapshot", &answer);
        if !answer.holds() {
            return Ok(false);
        }
        // The begin is durable, so the old log is nobody's: it begins at the snapshot.
        let status = self.engine.region(region);
        let is_newer = was_cached_at.is_some() && status.as_ref().and_then(version) > was_cached_at;
        for (happened, name) in [
            (was_cached_at.is_some(), "snapshot-over-a-cache"),
            (is_newer, "snapshot-over-a-cache-of-an-older-version"),
        ] {
            if happened {
                self.shared.counters.add("case", name);
            }
        }
        let described = status.and_then(|status| status.region);
        let Some(task) = self.tasks.get_mut(&region) else {
            return Ok(false);
        };
        let mut changes = LogChanges::durable();
        let mut state = task.state.borrow_mut();
        changes.compact(incarnation, state.last.index.max(position.index) + 1);
        changes.base(incarnation, position)?;
        if let Some(hard) = ready.hs() {
            state.hard_state = hard.clone();
        }
        state.hard_state.commit = state.hard_state.commit.max(position.index);
        changes.hard_state(incarnation, &state.hard_state)?;
        state.base = position;
        state.last = position;
        state.snapshot = SnapshotState::None;
        if let Some(described) = described {
            state.conf_state = conf_state(&described);
        }
        drop(state);
        task.applied = position.index;
        task.split_is_unseen = is_newer;
        task.needs_snapshot = false;
        task.node.raft.pending_request_snapshot = raft::INVALID_INDEX;
        self.logs.write(changes)?;
        self.follow_engine()?;
        self.unpark(region);
        Ok(self.tasks.contains_key(&region))
    }
}
