//! What each transition does to the model once it has happened: an independent, plain telling of
//! the rules that the engine's lifecycle implements.

use super::{Merging, Mode, Model, Normal, PeerModel, Replicated, Uninitialized, without_own_peer};
use crate::torture::data::DataSet;
use crate::torture::protocol::{
    Do, FIRST, NewChild, PeerChangeLine, PeerLine, Position, STORE, SnapshotLine, SplitLine,
};

impl Model {
    /// Issues an operation: an entry of a Raft log is committed by it.
    pub(in crate::torture) fn issue(&mut self, op: u64, what: Do, data: &DataSet) {
        self.next.op = self.next.op.max(op.saturating_add(1));
        self.reserve_numbers(&what);
        match &what {
            Do::Write {
                region, at, rows, ..
            } => {
                let (at, rows) = (*at, rows.clone());
                if let Some(peer) = self.normal_mut(*region) {
                    peer.state.push_write(what.clone(), at, &rows, data);
                }
            }
            Do::Split(SplitLine { region, at, .. })
            | Do::ChangePeers { region, at, .. }
            | Do::EnterJoint { region, at, .. }
            | Do::LeaveJoint { region, at, .. }
            | Do::SwitchWitness { region, at, .. }
            | Do::BeginFlashback { region, at, .. }
            | Do::EndFlashback { region, at, .. }
            | Do::PrepareMerge { region, at, .. }
            | Do::CommitMerge { region, at, .. }
            | Do::RollbackMerge { region, at, .. } => {
                let at = *at;
                if let Some(peer) = self.normal_mut(*region) {
                    peer.state.push_write(what.clone(), at, &[], data);
                }
            }
            _ => {}
        }
        let covers = match what {
            Do::Flush => self
                .normals()
                .map(|(id, peer)| (id, peer.incarnation, peer.acked))
                .collect(),
            _ => Vec::new(),
        };
        self.flights.insert(op, super::Flight { what, covers });
    }

    /// Commits a write that this store is not told of: it learns it from a snapshot.
    pub(in crate::torture) fn commit_unseen(&mut self, what: Do, data: &DataSet) {
        self.reserve_numbers(&what);
        if let Do::Write {
            region, at, rows, ..
        } = &what
        {
            let (at, rows) = (*at, rows.clone());
            if let Some(peer) = self.normal_mut(*region) {
                peer.state.push_write(what.clone(), at, &rows, data);
            }
        }
    }

    /// Numbers that an operation uses are never given out again.
    fn reserve_numbers(&mut self, what: &Do) {
        let next = &mut self.next;
        let mut region = |id: u64| next.region = next.region.max(id.saturating_add(1));
        let mut peers = Vec::new();
        match what {
            Do::Bootstrap { description } => {
                region(description.id);
                peers.extend(description.peers.iter().map(|peer| peer.id));
            }
            Do::Split(split) => {
                for NewChild {
                    id,
                    peers: of_child,
                } in &split.children
                {
                    region(*id);
                    peers.extend(of_child.iter().map(|peer| peer.id));
                }
            }
            Do::CreatePeer {
                region: id, peer, ..
            } => {
                region(*id);
                peers.push(*peer);
            }
            Do::ChangePeers {
                change: PeerChangeLine::Add(peer),
                ..
            } => peers.push(peer.id),
            Do::EnterJoint { changes, .. } => {
                peers.extend(changes.iter().filter_map(|change| match change {
                    PeerChangeLine::Add(peer) => Some(peer.id),
                    _ => None,
                }));
            }
            Do::ApplySnapshot(snapshot) => {
                peers.extend(snapshot.description.peers.iter().map(|peer| peer.id));
            }
            Do::Write { rows, .. } => {
                let highest = rows.iter().filter_map(|change| change.2).max();
                self.next.revision = self.next.revision.max(highest.map_or(0, |r| r + 1));
                return;
            }
            _ => {}
        }
        let highest = peers.into_iter().max().unwrap_or(0);
        self.next.peer = self.next.peer.max(highest.saturating_add(1));
    }

    /// Moves the model by a transition that has happened. `incarnation` is of the peers that it
    /// created, if it created any.
    pub(super) fn happened(&mut self, what: &Do, incarnation: u64) {
        match what {
            Do::Bootstrap { description } => {
                let peer = description.own_peer().unwrap_or_default();
                let state = Replicated {
                    description: description.clone(),
                    last: FIRST,
                    rows: Default::default(),
                    log: Default::default(),
                };
                let normal = fresh(peer, incarnation, state, FIRST);
                self.peers.insert(description.id, PeerModel::Normal(normal));
            }
            Do::Split(split) => self.split(split, incarnation),
            Do::ChangePeers {
                region, at, change, ..
            } => self.change_peers(*region, *at, *change),
            Do::EnterJoint {
                region,
                at,
                changes,
                ..
            } => self.enter_joint(*region, *at, changes),
            Do::LeaveJoint { region, at, .. } => self.leave_joint(*region, *at),
            Do::SwitchWitness {
                region,
                at,
                peer,
                witness,
                ..
            } => self.switch_witness(*region, *at, *peer, *witness),
            Do::BeginFlashback { region, at, .. } => {
                self.change_flashback(*region, *at, Mode::Flashback);
            }
            Do::EndFlashback { region, at, .. } => {
                self.change_flashback(*region, *at, Mode::Serving);
            }
            Do::CreatePeer { region, peer, .. } => {
                let made = Uninitialized {
                    peer: *peer,
                    incarnation,
                };
                self.peers.insert(*region, PeerModel::Uninitialized(made));
            }
            Do::Destroy { region, .. } => self.destroy(*region),
            Do::ApplySnapshot(snapshot) => self.apply_snapshot(snapshot),
            Do::PrepareMerge {
                region, at, target, ..
            } => {
                let merging = Merging {
                    target: target.id,
                    commit: at.index,
                };
                self.change_merging(*region, *at, Some(merging));
            }
            Do::RollbackMerge { region, at, .. } => self.change_merging(*region, *at, None),
            Do::CommitMerge {
                region, at, source, ..
            } => self.commit_merge(*region, *at, source.id),
            _ => {}
        }
    }

    /// A merge is prepared, or rolled back: what came before is durable.
    fn change_merging(&mut self, region: u64, at: Position, merging: Option<Merging>) {
        let Some(peer) = self.normal_mut(region) else {
            return;
        };
        (peer.meta, peer.merging) = (at, merging);
        peer.floor = peer.floor.max(peer.acked);
        let epoch = &mut peer.state.description.epoch;
        epoch.version += 1;
        epoch.conf_ver += u64::from(merging.is_some());
        self.forget_taken(region);
    }

    /// The source's keys are the region's from now on, and its peer here is gone.
    fn commit_merge(&mut self, region: u64, at: Position, source: u64) {
        let Some(PeerModel::Normal(gone)) = self.peers.remove(&source) else {
            return;
        };
        self.bury(source, gone.peer);
        self.taken.remove(&source);
        self.merged.insert(source);
        let Some(peer) = self.normal_mut(region) else {
            return;
        };
        peer.meta = at;
        peer.floor = peer.floor.max(peer.acked);
        let (whole, part) = (&mut peer.state.description, gone.state.description);
        whole.epoch.version = whole.epoch.version.max(part.epoch.version) + 1;
        match part.start < whole.start {
            true => whole.start = part.start,
            false => whole.end = part.end,
        }
        peer.state.rows.extend(gone.state.rows);
        self.forget_taken(region);
    }

    fn split(&mut self, split: &SplitLine, incarnation: u64) {
        let Some(peer) = self.normal_mut(split.region) else {
            return;
        };
        peer.meta = split.at;
        // Nothing of before the split will ever be sent again: the store flushed it first.
        peer.floor = peer.floor.max(peer.acked);
        let description = &mut peer.state.description;
        description.epoch.version += split.children.len() as u64;

        let bounds: Vec<_> = split.keys.iter().cloned().map(Some).collect();
        let starts = std::iter::once(Some(description.start.clone())).chain(bounds.clone());
        let ends = bounds
            .into_iter()
            .chain(std::iter::once(description.end.clone()));
        let mut parts: Vec<_> = starts.flatten().zip(ends).collect();
        let own = match split.derive_right {
            true => parts.pop(),
            false => (!parts.is_empty()).then(|| parts.remove(0)),
        };
        let Some((start, end)) = own else { return };
        (description.start, description.end) = (start, end);

        let template = description.clone();
        let mut moved = std::mem::take(&mut peer.state.rows);
        let description = &peer.state.description;
        moved.retain(|key, row| {
            let stays = description.contains(key);
            if stays {
                peer.state.rows.insert(key.clone(), *row);
            }
            !stays
        });
        self.forget_taken(split.region);
        for ((start, end), child) in parts.into_iter().zip(&split.children) {
            let mut description = template.clone();
            (description.id, description.start, description.end) = (child.id, start, end);
            description.peers.clone_from(&child.peers);
            let mut rows = moved.split_off(&description.start.0);
            if let Some(end) = &description.end {
                let mut rest = rows.split_off(&end.0);
                moved.append(&mut rest);
            }
            self.place_child(
                Replicated {
                    description,
                    last: FIRST,
                    rows,
                    log: Default::default(),
                },
                incarnation,
            );
        }
    }

    /// A new region comes to life here, unless its peer is dead already or a newer one lives.
    fn place_child(&mut self, mut state: Replicated, incarnation: u64) {
        let id = state.description.id;
        let Some(peer) = state.description.own_peer() else {
            return;
        };
        let dead = self
            .tombstones
            .get(&id)
            .is_some_and(|highest| *highest >= peer);
        let newer = self
            .peers
            .get(&id)
            .is_some_and(|living| living.peer() != peer);
        if dead || newer {
            // The cluster replaces the dead replica: from now on the region lives elsewhere.
            state.description = without_own_peer(state.description);
            self.elsewhere.insert(id, state);
        } else {
            let normal = fresh(peer, incarnation, state, FIRST);
            self.peers.insert(id, PeerModel::Normal(normal));
        }
    }

    fn change_peers(&mut self, region: u64, at: Position, change: PeerChangeLine) {
        let Some(peer) = self.normal_mut(region) else {
            return;
        };
        peer.meta = at;
        let description = &mut peer.state.description;
        if let PeerChangeLine::Remove(id) = change
            && id == peer.peer
        {
            // The removal of the own peer is the destroy; what was taken is older than it.
            self.forget_taken(region);
            return self.destroy(region);
        }
        description.epoch.conf_ver += 1;
        match change {
            PeerChangeLine::Add(added) => description.peers.push(added),
            PeerChangeLine::Remove(id) => description.peers.retain(|peer| peer.id != id),
            PeerChangeLine::Promote(id) => {
                for peer in description.peers.iter_mut().filter(|peer| peer.id == id) {
                    peer.learner = false;
                }
            }
            PeerChangeLine::Demote(id) => {
                for peer in description.peers.iter_mut().filter(|peer| peer.id == id) {
                    peer.learner = true;
                }
            }
        }
        self.forget_taken(region);
    }

    /// Whoever becomes a voter or a learner by it is on its way until joint consensus is left.
    fn enter_joint(&mut self, region: u64, at: Position, changes: &[PeerChangeLine]) {
        let Some(normal) = self.normal_mut(region) else {
            return;
        };
        (normal.meta, normal.mode) = (at, Mode::Joint);
        let description = &mut normal.state.description;
        description.epoch.conf_ver += changes.len() as u64;
        for change in changes {
            let (id, learner) = match change {
                PeerChangeLine::Add(added) => {
                    let joint = !added.learner;
                    description.peers.push(PeerLine { joint, ..*added });
                    continue;
                }
                PeerChangeLine::Remove(id) => {
                    description.peers.retain(|peer| peer.id != *id);
                    continue;
                }
                PeerChangeLine::Promote(id) => (*id, false),
                PeerChangeLine::Demote(id) => (*id, true),
            };
            for peer in description.peers.iter_mut().filter(|peer| peer.id == id) {
                (peer.learner, peer.joint) = (learner, true);
            }
        }
        self.forget_taken(region);
    }

    fn leave_joint(&mut self, region: u64, at: Position) {
        let Some(normal) = self.normal_mut(region) else {
            return;
        };
        (normal.meta, normal.mode) = (at, Mode::Serving);
        let description = &mut normal.state.description;
        for peer in description.peers.iter_mut().filter(|peer| peer.joint) {
            peer.joint = false;
            description.epoch.conf_ver += 1;
        }
        self.forget_taken(region);
    }

    fn switch_witness(&mut self, region: u64, at: Position, id: u64, witness: bool) {
        let Some(normal) = self.normal_mut(region) else {
            return;
        };
        normal.meta = at;
        let description = &mut normal.state.description;
        description.epoch.conf_ver += 1;
        for peer in description.peers.iter_mut().filter(|peer| peer.id == id) {
            peer.witness = witness;
        }
        self.forget_taken(region);
    }

    /// A flashback begins or ends: what came before is durable.
    fn change_flashback(&mut self, region: u64, at: Position, mode: Mode) {
        let Some(normal) = self.normal_mut(region) else {
            return;
        };
        (normal.meta, normal.mode) = (at, mode);
        normal.floor = normal.floor.max(normal.acked);
        self.forget_taken(region);
    }

    fn destroy(&mut self, region: u64) {
        let Some(peer) = self.peers.remove(&region) else {
            return;
        };
        self.bury(region, peer.peer());
        if let PeerModel::Normal(peer) = peer {
            let mut state = peer.state;
            state.description = without_own_peer(state.description);
            self.elsewhere.insert(region, state);
        }
    }

    fn apply_snapshot(&mut self, snapshot: &SnapshotLine) {
        let (region, at) = (snapshot.description.id, snapshot.at);
        let before = self.peers.remove(&region);
        let state = match before {
            Some(PeerModel::Normal(peer)) => Some(peer.state),
            Some(PeerModel::Uninitialized(_)) | None => self.elsewhere.remove(&region),
        };
        let Some(mut state) = state else { return };
        state.description = snapshot.description.clone();
        let peer = snapshot.description.own_peer().unwrap_or_default();
        let mut normal = fresh(peer, snapshot.incarnation, state, at);
        (normal.acked, normal.floor) = (at.index, at.index);
        self.peers.insert(region, PeerModel::Normal(normal));
        self.forget_taken(region);
    }
}

/// A peer that has just come into being, or started anew from a snapshot.
fn fresh(peer: u64, incarnation: u64, state: Replicated, meta: Position) -> Normal {
    let (acked, floor) = (FIRST.index, FIRST.index);
    debug_assert!(
        state
            .description
            .peers
            .iter()
            .any(|p| p.id == peer && p.store == STORE)
    );
    Normal {
        peer,
        incarnation,
        state,
        meta,
        acked,
        floor,
        merging: None,
        mode: Mode::Serving,
    }
}
