//! Ready: what Raft wants written, sent and applied. The log of all peers is written and synced
//! together, before anything that rests on it leaves the process or reaches the engine.

use raft::eraftpb::{Entry, Message};
use raft::{ReadState, Ready};
use torrens::{RaftPosition, RegionId};

use super::Store;
use crate::HostError;
use crate::peer::PeerTask;
use crate::raft_log::LogChanges;

/// A Ready on its way.
struct Underway {
    region: RegionId,
    opening: u64,
    ready: Ready,
    committed: Vec<Entry>,
    persisted: Vec<Message>,
    read_states: Vec<ReadState>,
}

impl Store {
    /// Does what the Raft nodes of all dirty peers want.
    pub(super) fn handle_ready(&mut self) -> Result<(), HostError> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut changes = LogChanges::default();
        let mut underway = Vec::new();
        for region in &dirty {
            self.report_role(*region);
            let Some(task) = self.tasks.get_mut(region) else {
                continue;
            };
            if !task.node.has_ready() {
                continue;
            }
            let mut ready = task.node.ready();
            let messages = ready.take_messages();
            if ready.snapshot().get_metadata().index == 0 {
                note_log(task, &mut ready, &mut changes)?;
            }
            underway.push(Underway {
                region: *region,
                opening: task.opening,
                committed: ready.take_committed_entries(),
                persisted: ready.take_persisted_messages(),
                read_states: ready.take_read_states(),
                ready,
            });
            self.send_messages(*region, messages);
        }
        self.logs.write(changes)?;
        for one in underway {
            self.finish_ready(one)?;
        }
        for region in &dirty {
            self.start_snapshots(*region);
        }
        for envelope in std::mem::take(&mut self.deferred) {
            self.on_message(envelope)?;
        }
        Ok(())
    }

    /// The log is durable: now the rest.
    fn finish_ready(&mut self, underway: Underway) -> Result<(), HostError> {
        let Underway {
            region,
            opening,
            ready,
            committed,
            persisted,
            read_states,
        } = underway;
        let is_same = |task: &&mut PeerTask| task.opening == opening;
        let Some(task) = self.tasks.get_mut(&region).filter(is_same) else {
            return Ok(());
        };
        let incarnation = task.incarnation;
        let metadata = ready.snapshot().get_metadata();
        if metadata.index > 0 {
            let position = RaftPosition {
                index: metadata.index,
                term: metadata.term,
            };
            if !self.apply_snapshot(region, position, &ready)? {
                // Raft took it in memory, the engine did not: Raft starts again from what is durable.
                return self.reopen(region);
            }
        }
        self.send_messages(region, persisted);
        let Some(task) = self.tasks.get_mut(&region) else {
            return Ok(());
        };
        let mut light = task.node.advance_append(ready);
        if let Some(commit) = light.commit_index() {
            // Need not be durable: a start raises it to what the engine has.
            let mut state = task.state.borrow_mut();
            state.hard_state.commit = commit;
            let mut changes = LogChanges::default();
            changes.hard_state(incarnation, &state.hard_state)?;
            drop(state);
            self.logs.write(changes)?;
        }
        let messages = light.take_messages();
        let more = light.take_committed_entries();
        self.send_messages(region, messages);
        self.note_read_states(region, read_states);
        for entry in committed.into_iter().chain(more) {
            self.apply_committed(region, incarnation, entry)?;
            if self
                .tasks
                .get(&region)
                .is_none_or(|task| task.incarnation != incarnation)
            {
                return Ok(());
            }
        }
        let Some(task) = self.tasks.get_mut(&region) else {
            return Ok(());
        };
        task.node
            .advance_apply_to(task.applied.max(task.node.raft.raft_log.applied()));
        self.serve_reads(region);
        self.report_role(region);
        // What came of it may be ready already.
        if self
            .tasks
            .get(&region)
            .is_some_and(|task| task.node.has_ready())
        {
            self.dirty.insert(region);
        }
        Ok(())
    }

    /// Lets go of entries that the data no longer needs and no replica is likely to ask for.
    pub(super) fn compact_logs(&mut self) -> Result<(), HostError> {
        let mut changes = LogChanges::default();
        for (region, task) in &mut self.tasks {
            let Ok(floor) = self.engine.truncate_floor(*region) else {
                continue;
            };
            // A little more than is needed, for replicas that are a moment late.
            let spare = self.log_entries_max / 8;
            let mut to = floor.min(task.applied.saturating_sub(spare));
            if task.is_leader() {
                let raft = &task.node.raft;
                let slowest = raft
                    .prs()
                    .iter()
                    .map(|(_, progress)| progress.matched)
                    .min();
                let slowest = slowest.unwrap_or(0);
                // One that is far behind gets a snapshot, sooner than everybody keeps its log.
                to = match slowest + self.log_entries_max < to {
                    true => to - self.log_entries_max / 5 * 4,
                    false => to.min(slowest),
                };
            }
            let base = task.state.borrow().base;
            if to < base.index + spare.max(1) {
                continue;
            }
            let Ok(term) = task.node.raft.raft_log.term(to) else {
                continue;
            };
            let new = RaftPosition { index: to, term };
            changes.base(task.incarnation, new)?;
            changes.compact(task.incarnation, to + 1);
            task.state.borrow_mut().base = new;
        }
        Ok(self.logs.write(changes)?)
    }
}

/// Puts a Ready's entries and hard state into the changes.
fn note_log(
    task: &mut PeerTask,
    ready: &mut Ready,
    changes: &mut LogChanges,
) -> Result<(), HostError> {
    let taken = ready.take_entries();
    let mut state = task.state.borrow_mut();
    if let Some(last) = taken.last() {
        changes.append(task.incarnation, &taken)?;
        state.last = RaftPosition {
            index: last.index,
            term: last.term,
        };
    }
    if let Some(hard) = ready.hs() {
        state.hard_state = hard.clone();
        changes.hard_state(task.incarnation, hard)?;
    }
    changes.must_sync |= ready.must_sync();
    Ok(())
}
