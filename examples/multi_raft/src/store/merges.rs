//! Merges: the source prepares in its own log, the target commits in its, and whoever leads either does
//! the next step.

use protobuf::Message as _;
use raft::eraftpb::Entry;
use torrens::lifecycle::{Mode, WaitReason};
use torrens::{Answer, RaftPosition, RegionEpoch, RegionId};

use super::Store;
use super::apply::Applied;
use crate::HostError;
use crate::command::Command;
use crate::raft_log::LogChanges;
use crate::wire::{self, WireRegion};

impl Store {
    /// The driver's order to merge a region into a neighbour.
    pub(super) fn order_merge(&mut self, source: RegionId, target: RegionId) {
        let described = |id| self.engine.region(id).and_then(|status| status.region);
        let (Some(own), Some(into)) = (described(source), described(target)) else {
            return;
        };
        let stores = |region: &torrens::Region| {
            let mut stores: Vec<_> = region
                .peers
                .iter()
                .map(|peer| (peer.store, peer.role))
                .collect();
            stores.sort_by_key(|(store, _)| *store);
            stores
        };
        if own.range.join(&into.range).is_none() || stores(&own) != stores(&into) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&source) else {
            return;
        };
        if !task.leads_for_sure() || task.node.raft.has_pending_conf() {
            return;
        }
        let raft = &task.node.raft;
        let slowest = raft
            .prs()
            .iter()
            .map(|(_, progress)| progress.matched)
            .min()
            .unwrap_or(0);
        // Replicas that need a snapshot first would not learn of the merge from the log.
        if slowest < raft.raft_log.first_index() {
            return;
        }
        let command = Command::PrepareMerge {
            epoch: own.epoch.into(),
            target: WireRegion::from(into.as_ref()),
            min_index: slowest + 1,
        };
        if let Some(index) = self.propose(source, &command, None)
            && let Some(task) = self.tasks.get_mut(&source)
        {
            task.suspend_lease(index);
        }
    }

    pub(super) fn apply_prepare_merge(
        &mut self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        target: WireRegion,
        min_index: u64,
    ) -> Result<Applied, HostError> {
        let Some(target) = target.into_region() else {
            return Err(HostError::Entry {
                region,
                index: position.index,
            });
        };
        let answer = self
            .engine
            .prepare_merge(region, epoch, position, target, min_index)?;
        Ok(self.applied("prepare-merge", &answer))
    }

    /// Takes the next step of every merge whose source is prepared here.
    pub(super) fn check_merges(&mut self) {
        for status in self.engine.regions() {
            let Mode::Merging(merge) = status.mode else {
                continue;
            };
            let Some(source) = &status.region else {
                continue;
            };
            let target = self
                .engine
                .region(merge.target)
                .and_then(|status| status.region);
            let Some(target) = target else { continue };
            if target.epoch == merge.target_epoch {
                self.propose_commit(source, merge.target, merge.min_index, merge.commit);
            } else if merge.target_epoch.is_stale_against(target.epoch) {
                // The target changed and did not take the source in, here and so everywhere: an entry
                // that would do so is refused for its epoch.
                let command = Command::RollbackMerge {
                    epoch: source.epoch.into(),
                    commit: merge.commit,
                };
                self.propose_once(source.id, &command);
            }
        }
    }

    fn propose_commit(
        &mut self,
        source: &torrens::Region,
        target: RegionId,
        min_index: u64,
        commit: u64,
    ) {
        if !self
            .tasks
            .get(&target)
            .is_some_and(|task| task.leads_for_sure())
        {
            return;
        }
        let Some(own) = self.tasks.get(&source.id) else {
            return;
        };
        if own.applied < commit {
            return;
        }
        let low = min_index.max(own.state.borrow().base.index + 1);
        let entries = match low <= commit {
            true => self.logs.entries(own.incarnation, low, commit + 1, None),
            false => Ok(Vec::new()),
        };
        let Ok(entries) = entries else { return };
        let Some(status) = self.engine.region(target) else {
            return;
        };
        let Some(described) = status.region else {
            return;
        };
        let command = Command::CommitMerge {
            epoch: described.epoch.into(),
            source: WireRegion::from(source),
            commit,
            entries: entries
                .iter()
                .filter_map(|entry| entry.write_to_bytes().ok())
                .collect(),
        };
        if let Some(index) = self.propose_once(target, &command)
            && let Some(task) = self.tasks.get_mut(&target)
        {
            task.suspend_lease(index);
        }
    }

    pub(super) fn apply_commit_merge(
        &mut self,
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        source: WireRegion,
        commit: u64,
        entries: Vec<Vec<u8>>,
    ) -> Result<Applied, HostError> {
        let source_id = RegionId(source.id);
        let Some(source) = source.into_region() else {
            return Err(HostError::Entry {
                region,
                index: position.index,
            });
        };
        let parsed: Vec<Entry> = entries
            .iter()
            .filter_map(|bytes| Entry::parse_from_bytes(bytes).ok())
            .collect();
        let mut tried = 0;
        loop {
            let answer =
                self.engine
                    .commit_merge(region, epoch, position, source.clone(), commit)?;
            if let Answer::Wait(WaitReason::SourceBehind { .. }) = answer {
                self.count_answer("commit-merge", &answer);
                if tried == 1 {
                    return Ok(Applied::Damaged);
                }
                tried += 1;
                self.catch_up(source_id, commit, &parsed)?;
                continue;
            }
            if answer.holds() {
                let moved = self.tasks.get(&source_id).map_or(0, |task| task.bytes);
                if let Some(task) = self.tasks.get_mut(&region) {
                    task.bytes += moved;
                }
            }
            return Ok(self.applied("commit-merge", &answer));
        }
    }

    /// Gives a source that is behind the entries that the target's entry carries, and applies them.
    fn catch_up(
        &mut self,
        source: RegionId,
        commit: u64,
        entries: &[Entry],
    ) -> Result<(), HostError> {
        let Some(task) = self.tasks.get_mut(&source) else {
            return Ok(());
        };
        let (incarnation, applied) = (task.incarnation, task.applied);
        let mut state = task.state.borrow_mut();
        let missing: Vec<Entry> = entries
            .iter()
            .filter(|entry| entry.index > applied.max(state.base.index))
            .cloned()
            .collect();
        let is_contiguous = missing
            .first()
            .is_none_or(|first| first.index == applied + 1);
        if !is_contiguous {
            return Ok(());
        }
        // The log first, durably, as for every entry that is handed over.
        let mut changes = LogChanges::durable();
        changes.append(incarnation, &missing)?;
        state.hard_state.commit = state.hard_state.commit.max(commit);
        changes.hard_state(incarnation, &state.hard_state)?;
        drop(state);
        self.logs.write(changes)?;
        for entry in &missing {
            if self
                .tasks
                .get(&source)
                .is_none_or(|task| task.incarnation != incarnation)
            {
                return Ok(());
            }
            let _ = self.apply_entry(source, entry)?;
            if let Some(task) = self.tasks.get_mut(&source) {
                task.applied = entry.index;
            }
        }
        self.shared.counters.add("merge", "source-caught-up");
        self.reopen(source)
    }

    /// Proposes what would be proposed again at every tick: not while an entry is not applied.
    fn propose_once(&mut self, region: RegionId, command: &Command) -> Option<u64> {
        let task = self.tasks.get(&region)?;
        if !task.leads_for_sure() || task.node.raft.raft_log.last_index() > task.applied {
            return None;
        }
        self.propose(region, command, None)
    }

    /// Regions that are known here to have been merged into that one: a snapshot covers them.
    pub(super) fn sources_of(&self, region: RegionId) -> Vec<u64> {
        let tombstones = self.engine.tombstones().into_iter();
        tombstones
            .filter(|(_, tombstone)| tombstone.merge_target() == Some(region))
            .map(|(id, _)| id.0)
            .collect()
    }
}

/// Keeps the encoder in one place.
pub(super) fn encode(command: &Command) -> Vec<u8> {
    wire::encode(command)
}
