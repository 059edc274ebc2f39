//! A store in outline: what the laws look at, and what a careless engine would make of an event.
//!
//! The outline of a register is read off it. The outline after an event that a guard refuses is what an
//! engine would have that looked at nothing: the event simply happens. Not here: what may never be (`laws`).

use std::collections::{BTreeMap, BTreeSet};

use torrens::lifecycle::{
    CacheState, DeletionId, Event, Floor, MergeSource, Mode, Owner, PeerChange, PeerStage, Register,
};
use torrens::{
    Incarnation, KeyRange, PeerId, PeerRole, Region, RegionEpoch, RegionId, Split, StoreId,
};
use torrens_journal::Lsn;

/// What a peer has of its region's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// No description, no data.
    Nothing,
    /// A snapshot at this index is on its way in.
    Incoming(u64),
    /// All of it.
    Data,
    /// Nobody knows what.
    Lost,
    /// Nothing, as it should be.
    Witness,
    /// Nothing, until a snapshot comes.
    Waiting,
}

/// One live peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) peer: PeerId,
    pub(crate) incarnation: Incarnation,
    pub(crate) description: Option<Region>,
    pub(crate) index: u64,
    pub(crate) floor: Floor,
    pub(crate) holds: Holds,
    pub(crate) mode: Mode,
}

/// A store in outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) store: Option<StoreId>,
    pub(crate) generation: Option<[u8; 16]>,
    pub(crate) barrier: u64,
    pub(crate) regions: BTreeMap<RegionId, Seen>,
    /// The highest peer of each region that is gone for ever.
    pub(crate) buried: BTreeMap<RegionId, PeerId>,
    pub(crate) deletions: BTreeSet<DeletionId>,
    /// Keys that a deletion owns, and keys that one clears for a witness.
    pub(crate) clearing: Vec<KeyRange>,
    pub(crate) cleared_below: Vec<KeyRange>,
    pub(crate) reserved: BTreeMap<RegionId, Vec<KeyRange>>,
    pub(crate) caches: BTreeMap<RegionId, (CacheState, Option<Incarnation>)>,
    pub(crate) retiring: BTreeMap<RegionId, KeyRange>,
    next: Lsn,
}

impl Seen {
    pub(crate) fn epoch(&self) -> RegionEpoch {
        let described = self.description.as_ref();
        described.map_or(RegionEpoch::NONE, |region| region.epoch)
    }

    pub(crate) fn range(&self) -> Option<&KeyRange> {
        self.description.as_ref().map(|region| &region.range)
    }
}

impl Picture {
    pub(crate) fn of(register: &Register) -> Picture {
        let mut picture = Picture {
            store: register.store(),
            generation: register.generation(),
            barrier: register.barrier(),
            regions: BTreeMap::new(),
            buried: BTreeMap::new(),
            deletions: BTreeSet::new(),
            clearing: Vec::new(),
            cleared_below: Vec::new(),
            reserved: BTreeMap::new(),
            caches: BTreeMap::new(),
            retiring: BTreeMap::new(),
            next: register.last_lsn().next().unwrap_or(Lsn::FIRST),
        };
        for (id, slot) in register.slots() {
            let cache = (slot.cache.state(), slot.cache.incarnation());
            picture.caches.insert(id, cache);
            let fence = slot.tombstone.as_ref();
            let fence = fence.map(|fence| (id, fence.highest_peer));
            picture.buried.extend(fence);
            let Some(peer) = &slot.peer else { continue };
            let (holds, floor) = match &peer.stage {
                PeerStage::Uninitialized => (Holds::Nothing, Floor::default()),
                PeerStage::Normal(normal) => (Holds::Data, normal.floor),
                PeerStage::Witness(witness) => (Holds::Witness, witness.floor),
                PeerStage::Waiting(_) => (Holds::Waiting, Floor::default()),
                PeerStage::Applying(applying) => {
                    let index = applying.snapshot.position.index;
                    (Holds::Incoming(index), Floor::default())
                }
                PeerStage::Damaged(damaged) => (Holds::Lost, damaged.floor),
            };
            let seen = Seen {
                peer: peer.peer,
                incarnation: peer.incarnation,
                description: peer.stage.region().map(|region| Region::clone(region)),
                index: peer.stage.meta_index().map_or(0, |meta| meta.index),
                floor,
                holds,
                mode: peer.stage.mode(),
            };
            picture.regions.insert(id, seen);
        }
        for (id, deletion) in register.deletions() {
            picture.deletions.insert(id);
            if !deletion.cause.owns_range() {
                picture.cleared_below.push(deletion.range.clone());
            }
        }
        for (range, owner) in register.owners() {
            match owner {
                Owner::Peer { .. } => {}
                Owner::Deletion(_) => picture.clearing.push(range),
                Owner::Reservation { region, .. } => {
                    picture.reserved.entry(region).or_default().push(range);
                }
            }
        }
        let retiring = register.retiring();
        picture.retiring = retiring
            .map(|(region, range)| (region, range.clone()))
            .collect();
        picture
    }

    /// The region's peer; out of nowhere, if there is none.
    fn at(&mut self, region: RegionId) -> &mut Seen {
        let nobody = self.nobody(PeerId(0));
        self.regions.entry(region).or_insert(nobody)
    }

    fn nobody(&self, peer: PeerId) -> Seen {
        Seen {
            peer,
            incarnation: Incarnation::new(self.next),
            description: None,
            index: 0,
            floor: Floor::default(),
            holds: Holds::Nothing,
            mode: Mode::Serving,
        }
    }

    fn found(&mut self, region: &Region, mode: Mode) {
        let own = region.peer_on(self.store.unwrap_or(StoreId(1)));
        let mut seen = self.nobody(own.map_or(PeerId(0), |own| own.id));
        seen.description = Some(region.clone());
        seen.index = 5;
        (seen.holds, seen.mode) = (Holds::Data, mode);
        self.regions.insert(region.id, seen);
    }

    fn gone(&mut self, region: RegionId, peer: PeerId) {
        self.regions.remove(&region);
        self.buried.insert(region, peer);
    }

    fn entry(&mut self, region: RegionId, index: u64, change: impl FnOnce(&mut Region)) {
        let seen = self.at(region);
        seen.index = index;
        if let Some(description) = &mut seen.description {
            change(description);
        }
    }

    fn split(&mut self, split: &Split) {
        let grown = split.children.len() as u64;
        let version = split.epoch.version + grown;
        let whole = self.at(split.region).description.clone();
        let range = whole.as_ref().map_or(KeyRange::all(), |w| w.range.clone());
        let cut = split.boundaries.first().cloned();
        let (left, right) = match cut {
            Some(key) if range.contains(&key) && *range.start() != key => {
                let left = KeyRange::new(range.start().clone(), Some(key.clone()));
                (left, KeyRange::new(key, range.end().cloned()))
            }
            _ => (Some(range.clone()), Some(range)),
        };
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        self.entry(split.region, split.position.index, |region| {
            region.range = left;
            region.epoch.version = version;
        });
        let epoch = RegionEpoch {
            version,
            ..split.epoch
        };
        for child in &split.children {
            let region = Region {
                id: child.id,
                range: right.clone(),
                epoch,
                peers: child.peers.clone(),
            };
            self.found(&region, Mode::Serving);
        }
    }

    fn change_peers(&mut self, region: RegionId, index: u64, changes: &[PeerChange], joint: bool) {
        let own = self.at(region).peer;
        if changes.contains(&PeerChange::Remove { peer: own }) {
            return self.gone(region, own);
        }
        self.entry(region, index, |region| {
            region.epoch.conf_ver += changes.len() as u64;
            for change in changes {
                let role = |to: PeerRole, id: PeerId, region: &mut Region| {
                    let mut peers = region.peers.iter_mut();
                    if let Some(peer) = peers.find(|peer| peer.id == id) {
                        peer.role = to;
                    }
                };
                match *change {
                    PeerChange::Add { peer } => region.peers.push(peer),
                    PeerChange::Remove { peer } => region.peers.retain(|each| each.id != peer),
                    PeerChange::Promote { peer } if joint => {
                        role(PeerRole::IncomingVoter, peer, region);
                    }
                    PeerChange::Demote { peer } if joint => {
                        role(PeerRole::DemotingVoter, peer, region);
                    }
                    PeerChange::Promote { peer } => role(PeerRole::Voter, peer, region),
                    PeerChange::Demote { peer } => role(PeerRole::Learner, peer, region),
                }
            }
        });
    }

    fn cache(&mut self, region: RegionId, state: CacheState, given: Option<Incarnation>) {
        let now = self.caches.get(&region).and_then(|(_, whose)| *whose);
        self.caches.insert(region, (state, given.or(now)));
    }

    /// What a store is after an event that nobody has looked at.
    pub(crate) fn careless(&self, event: &Event) -> Picture {
        let mut after = self.clone();
        after.happen(event);
        after
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Identify { store } => self.store = Some(*store),
            Event::Bootstrap { store, region } => {
                self.store = Some(*store);
                self.found(region, Mode::Serving);
            }
            Event::PrepareBootstrap { store, region } => {
                self.store = Some(*store);
                self.found(region, Mode::Unconfirmed);
            }
            Event::ConfirmBootstrap { region } => self.at(*region).mode = Mode::Serving,
            Event::AbandonBootstrap { region } => drop(self.regions.remove(region)),
            Event::RecoverRegion { region } => self.found(region, Mode::Serving),
            Event::ForceVoters { region, failed, .. } => {
                let index = self.at(*region).index;
                self.entry(*region, index, |region| {
                    region.epoch.conf_ver += 1;
                    let lost = region.peers.iter_mut();
                    lost.filter(|peer| failed.contains(&peer.store))
                        .for_each(|peer| peer.role = PeerRole::Learner);
                });
            }
            Event::PlaceTombstone { region, peer, .. } => drop(self.buried.insert(*region, *peer)),
            Event::CollectTombstone { region, .. } => {
                self.regions.remove(region);
                self.buried.remove(region);
            }
            Event::PrepareMerge {
                region,
                position,
                target,
                min_index,
                ..
            } => {
                self.at(*region).mode = Mode::Merging(MergeSource {
                    target: target.id,
                    target_epoch: target.epoch,
                    min_index: *min_index,
                    commit: position.index,
                });
                self.entry(*region, position.index, |region| {
                    region.epoch.version += 1;
                    region.epoch.conf_ver += 1;
                });
            }
            Event::CommitMerge {
                region,
                position,
                source,
                ..
            } => {
                self.entry(*region, position.index, |region| {
                    let joined = region.range.join(&source.range);
                    region.range = joined.unwrap_or_else(|| source.range.clone());
                    region.epoch.version = region.epoch.version.max(source.epoch.version) + 1;
                });
                if let Some(gone) = self.regions.get(&source.id).map(|seen| seen.peer) {
                    self.gone(source.id, gone);
                }
            }
            Event::RollbackMerge {
                region, position, ..
            } => {
                self.at(*region).mode = Mode::Serving;
                self.entry(*region, position.index, |region| region.epoch.version += 1);
            }
            Event::BeginFlashback {
                region, position, ..
            } => {
                self.at(*region).mode = Mode::Flashback;
                self.entry(*region, position.index, |_| {});
            }
            Event::EndFlashback {
                region, position, ..
            } => {
                self.at(*region).mode = Mode::Serving;
                self.entry(*region, position.index, |_| {});
            }
            Event::CreateByMessage { region, peer, .. } => {
                let seen = self.nobody(*peer);
                self.regions.insert(*region, seen);
            }
            Event::Split(split) => self.split(split),
            Event::ChangePeers {
                region,
                position,
                change,
                ..
            } => self.change_peers(*region, position.index, &[*change], false),
            Event::EnterJoint {
                region,
                position,
                changes,
                ..
            } => self.change_peers(*region, position.index, changes, true),
            Event::LeaveJoint {
                region, position, ..
            } => self.entry(*region, position.index, |region| {
                region.epoch.conf_ver += 1;
                for peer in &mut region.peers {
                    peer.role = match peer.role {
                        PeerRole::Voter | PeerRole::IncomingVoter => PeerRole::Voter,
                        PeerRole::Learner | PeerRole::DemotingVoter => PeerRole::Learner,
                    };
                }
            }),
            Event::SwitchWitness {
                region,
                position,
                switches,
                ..
            } => {
                let own = self.at(*region).peer;
                self.entry(*region, position.index, |region| {
                    region.epoch.conf_ver += switches.len().max(1) as u64;
                    for switch in switches {
                        let mut peers = region.peers.iter_mut();
                        if let Some(peer) = peers.find(|peer| peer.id == switch.peer) {
                            peer.is_witness = switch.witness;
                        }
                    }
                });
                if let Some(switch) = switches.iter().find(|switch| switch.peer == own) {
                    self.at(*region).holds = match switch.witness {
                        true => Holds::Witness,
                        false => Holds::Waiting,
                    };
                }
            }
            Event::ReserveSnapshot {
                region,
                description,
                ..
            } => {
                let own = self.at(*region).range().cloned();
                let parts = match own {
                    Some(own) => description.range.difference(&own),
                    None => vec![description.range.clone()],
                };
                self.reserved.insert(*region, parts);
            }
            Event::ReleaseSnapshot { region, .. } => {
                self.at(*region);
                self.reserved.remove(region);
            }
            Event::InstallWitness {
                region,
                description,
                position,
                ..
            } => {
                let seen = self.at(*region);
                seen.description = Some(description.clone());
                seen.index = position.index;
                (seen.holds, seen.mode) = (Holds::Witness, Mode::Serving);
            }
            Event::BeginSnapshot {
                region,
                description,
                snapshot,
                ..
            } => {
                self.reserved.remove(region);
                let seen = self.at(*region);
                seen.description = Some(description.clone());
                seen.index = snapshot.position.index;
                (seen.holds, seen.mode) = (Holds::Incoming(seen.index), Mode::Serving);
            }
            Event::EndSnapshot { region, floor, .. } => {
                let seen = self.at(*region);
                (seen.holds, seen.floor) = (Holds::Data, *floor);
            }
            Event::AbortSnapshot { region, .. } | Event::Damage { region, .. } => {
                self.at(*region).holds = Holds::Lost;
            }
            Event::Destroy { region, peer, .. } => self.gone(*region, *peer),
            Event::FinishDeletion { deletion } => drop(self.deletions.remove(deletion)),
            Event::Barrier { number, .. } => self.barrier = *number,
            Event::NewDataStore { generation } => self.generation = Some(*generation),
            // No model has observers yet; an alphabet of theirs says here what a careless engine makes of them.
            Event::SequenceLease { .. } | Event::Observer(_) => {}
            Event::LoadRequest {
                region,
                incarnation,
                ..
            } => self.cache(*region, CacheState::LoadRequested, Some(*incarnation)),
            Event::LoadBegin {
                region,
                incarnation,
            } => self.cache(*region, CacheState::Loading, Some(*incarnation)),
            Event::LoadEnd {
                region,
                incarnation,
            } => self.cache(*region, CacheState::Active, Some(*incarnation)),
            Event::LoadCancel {
                region,
                incarnation,
                ..
            } => self.cache(*region, CacheState::Cancelled, Some(*incarnation)),
            Event::Evict { region, .. } => self.cache(*region, CacheState::EvictPending, None),
            Event::EvictBegin { region } => self.cache(*region, CacheState::Evicting, None),
            Event::EvictEnd { region } | Event::CacheLost { region } => {
                self.caches.insert(*region, (CacheState::Absent, None));
            }
        }
    }
}
