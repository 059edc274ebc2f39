//! Wishes that put a region into a mode, change what other stores hold of it, or only ask for memory.
//!
//! What ends a mode is `entries::end_mode`. Not here: how often each is wished for (`workload`).

use super::{STORES, Scene, Wish, Workload, entries};
use crate::torture::protocol::{Description, Do, KeyBounds, PeerChangeLine, PeerLine, STORE};

impl Workload {
    /// Two changes of peers at once; one that takes a vote and one that gives one where that is possible.
    pub(super) fn enter_joint(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let peers = &peer.state.description.peers;
        let others: Vec<&PeerLine> = peers.iter().filter(|one| one.store != STORE).collect();
        let mut changes = Vec::new();
        let is_voter = |one: &&&PeerLine| !one.learner && !one.witness;
        changes.extend(
            others
                .iter()
                .find(is_voter)
                .map(|one| PeerChangeLine::Demote(one.id)),
        );
        let learner = others.iter().find(|one| one.learner);
        changes.extend(learner.map(|one| PeerChangeLine::Promote(one.id)));
        let free = |store: &u64| others.iter().all(|one| one.store != *store);
        let store = (STORE + 1..=STORES).find(free);
        changes.extend(
            store.map(|store| PeerChangeLine::Add(PeerLine::voter(scene.model.next.peer, store))),
        );
        if changes.len() < 2 {
            return None;
        }
        let (epoch, at) = entries::next(scene.model, &peer.state);
        Some(Wish::Track(Do::EnterJoint {
            region,
            epoch,
            at,
            changes,
        }))
    }

    /// A replica of another store gives its data up, or gets it again.
    pub(super) fn switch_witness(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let mut peers = peer.state.description.peers.iter();
        // The second store plays its part in snapshots, which a witness gets none of.
        let other = peers.rfind(|one| one.store > STORE + 1)?;
        let (epoch, at) = entries::next(scene.model, &peer.state);
        Some(Wish::Track(Do::SwitchWitness {
            region,
            epoch,
            at,
            peer: other.id,
            witness: !other.witness,
        }))
    }

    pub(super) fn begin_flashback(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let (epoch, at) = entries::next(scene.model, &peer.state);
        Some(Wish::Track(Do::BeginFlashback { region, epoch, at }))
    }

    pub(super) fn preload(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let epoch = peer.state.description.epoch;
        Some(Wish::Probe(Do::Preload { region, epoch }))
    }

    /// The keys of a region and whatever has them meanwhile.
    pub(super) fn label(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (_, peer) = self.normal(scene, idle)?;
        let Description { start, end, .. } = peer.state.description.clone();
        Some(Wish::Probe(Do::Label(KeyBounds { start, end })))
    }
}
