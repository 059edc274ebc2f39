//! Clients: writes go through the log, reads wait for a proof of leadership or use one that still holds.

use std::time::{Duration, Instant};

use torrens::RegionId;

use super::{LEASE, Store};
use crate::command::{Command, Op};
use crate::peer::{Pending, ReadBatch, Reply};
use crate::wire::{Request, Response};

/// Reads whose proof does not come are sent back.
const PROOF_WAIT: Duration = Duration::from_secs(1);

impl Store {
    pub(super) fn on_request(&mut self, request: Request, reply: Reply) {
        let answer = |response| {
            let _ = reply.send(response);
        };
        let Some(status) = self.engine.region_for(request.key()) else {
            return answer(Response::NotLeader(None));
        };
        let (region, Some(described)) = (status.id, status.region) else {
            return answer(Response::NotLeader(None));
        };
        let Some(task) = self.tasks.get_mut(&region) else {
            return answer(Response::NotLeader(None));
        };
        if !task.is_leader() {
            let leader = task.node.raft.leader_id;
            let store = described
                .peers
                .iter()
                .find(|peer| peer.id.0 == leader)
                .map(|peer| peer.store.0);
            return answer(Response::NotLeader(store));
        }
        let op = match request {
            Request::Get { .. } | Request::Scan { .. } => {
                task.queued_reads.push((request, reply));
                self.dirty.insert(region);
                return;
            }
            Request::Set { key, value } => Op::Put { key, value },
            Request::Delete { key } => Op::Delete { key },
        };
        let command = Command::Write {
            epoch: described.epoch.into(),
            ops: vec![op],
        };
        self.propose(region, &command, Some(reply));
    }

    /// Proposes a command at the region's leader; answers its index. `reply` is told what comes of it.
    pub(super) fn propose(
        &mut self,
        region: RegionId,
        command: &Command,
        reply: Option<Reply>,
    ) -> Option<u64> {
        let refuse = |reply: Option<Reply>, reason: &str| {
            if let Some(reply) = reply {
                let _ = reply.send(Response::Retry(reason.into()));
            }
        };
        let Some(task) = self.tasks.get_mut(&region) else {
            refuse(reply, "no peer");
            return None;
        };
        let before = task.node.raft.raft_log.last_index();
        let data = super::merges::encode(command);
        if let Err(error) = task.node.propose(Vec::new(), data) {
            refuse(reply, &error.to_string());
            return None;
        }
        let index = task.node.raft.raft_log.last_index();
        if index == before {
            refuse(reply, "dropped");
            return None;
        }
        if let Some(reply) = reply {
            let term = task.node.raft.term;
            task.pending.push_back(Pending { index, term, reply });
        }
        self.dirty.insert(region);
        Some(index)
    }

    /// Asks for proofs of leadership for the reads that have come, or serves them under one.
    pub(super) fn start_reads(&mut self, now: Instant) {
        let regions: Vec<RegionId> = self
            .tasks
            .iter()
            .filter(|(_, task)| !task.queued_reads.is_empty() || !task.reads.is_empty())
            .map(|(region, _)| *region)
            .collect();
        for region in regions {
            let Some(task) = self.tasks.get_mut(&region) else {
                continue;
            };
            if task
                .reads
                .first()
                .is_some_and(|batch| now.duration_since(batch.asked) > PROOF_WAIT)
            {
                task.retry_reads("no proof of leadership");
            }
            if task.queued_reads.is_empty() {
                continue;
            }
            if task.has_lease(now) {
                let requests = std::mem::take(&mut task.queued_reads);
                for (request, reply) in requests {
                    self.shared.counters.add("read", "by-lease");
                    let response = self.read(region, &request);
                    let _ = reply.send(response);
                }
                continue;
            }
            if !task.leads_for_sure() {
                continue;
            }
            let context = self.next_context;
            self.next_context += 1;
            let requests = std::mem::take(&mut task.queued_reads);
            task.reads.push(ReadBatch {
                context,
                asked: now,
                index: None,
                requests,
            });
            task.node.read_index(context.to_le_bytes().to_vec());
            self.dirty.insert(region);
        }
    }

    /// Proofs of leadership have come.
    pub(super) fn note_read_states(&mut self, region: RegionId, states: Vec<raft::ReadState>) {
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        for state in states {
            let Ok(context) = <[u8; 8]>::try_from(state.request_ctx.as_slice()) else {
                continue;
            };
            let context = u64::from_le_bytes(context);
            for batch in task
                .reads
                .iter_mut()
                .filter(|batch| batch.context == context)
            {
                batch.index = Some(state.index);
                if task.lease_suspended_until <= task.applied
                    && task.node.raft.lead_transferee.is_none()
                {
                    task.lease_until = Some(batch.asked + LEASE);
                }
            }
        }
    }

    /// Serves the reads whose index is applied.
    pub(super) fn serve_reads(&mut self, region: RegionId) {
        let Some(task) = self.tasks.get_mut(&region) else {
            return;
        };
        let applied = task.applied;
        let (ready, waiting) = std::mem::take(&mut task.reads)
            .into_iter()
            .partition(|batch| batch.index.is_some_and(|index| index <= applied));
        task.reads = waiting;
        let ready: Vec<ReadBatch> = ready;
        for (request, reply) in ready.into_iter().flat_map(|batch| batch.requests) {
            self.shared.counters.add("read", "by-index");
            let response = self.read(region, &request);
            let _ = reply.send(response);
        }
    }

    /// Reads from the engine; whoever calls has proved that this peer leads.
    fn read(&self, region: RegionId, request: &Request) -> Response {
        let retry = |reason: &str| Response::Retry(reason.to_owned());
        let Some(described) = self.engine.region(region).and_then(|status| status.region) else {
            return retry("no region");
        };
        if !described.range.contains(request.key()) {
            return retry("the region changed");
        }
        let view = match self.engine.view(region, described.epoch) {
            Ok(view) => view,
            Err(error) => {
                self.shared.counters.add("read-refused", error.code());
                return retry(error.code());
            }
        };
        match request {
            Request::Get { key } => match view.get(key) {
                Ok(value) => Response::Value(value.map(|value| value.to_vec())),
                Err(error) => retry(error.code()),
            },
            Request::Scan { start, limit } => {
                let mut rows = Vec::new();
                let mut next = described.range.end().map(|end| end.to_vec());
                for row in view.scan(start.as_slice()..) {
                    match row {
                        Ok((key, _)) if rows.len() == *limit as usize => {
                            next = Some(key.to_vec());
                            break;
                        }
                        Ok((key, value)) => rows.push((key.to_vec(), value.to_vec())),
                        Err(error) => return retry(error.code()),
                    }
                }
                Response::Rows { rows, next }
            }
            Request::Set { .. } | Request::Delete { .. } => retry("not a read"),
        }
    }
}
