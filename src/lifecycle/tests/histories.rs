//! Random histories: whatever is asked in whatever order, the invariants hold, epochs and floors and
//! tombstones never go back, and the records alone rebuild the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens_journal::Lsn;

use super::world::{STORE, World, at, snapshot};
use crate::codec;
use crate::lifecycle::{
    AbortReason, CacheState, Change, ChildFate, DamageReason, DeletionId, Derive, DestroyCause,
    Event, EvictReason, Floor, FloorUpdate, NewRegion, Outcome, Owner, PeerChange, PeerStage,
    RaftPosition, Register, Split, WitnessSwitch, apply,
};
use crate::{
    Incarnation, KeyRange, Peer, PeerId, PeerRole, Region, RegionEpoch, RegionId, Sequence, StoreId,
};

const SEEDS: u64 = 150;
const EVENTS: usize = 800;

/// SplitMix64: small, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 .. n.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn key(&mut self) -> Vec<u8> {
        vec![b'a' + u8::try_from(self.below(20)).unwrap()]
    }

    pub(super) fn region(&mut self) -> RegionId {
        RegionId(1 + self.below(6))
    }
}

/// An event that has a fair chance to be legal, and a fair chance not to.
pub(super) fn event(register: &Register, random: &mut Random) -> Event {
    let region = random.region();
    let live = register.peer(region);
    let stale = Incarnation::new(Lsn::new(1 + random.below(40)));
    let incarnation = match live {
        Some(live) if !random.one_in(8) => live.incarnation,
        _ => stale,
    };
    let given = (!random.one_in(3)).then_some(incarnation);
    let description = live.and_then(|live| live.stage.region());
    let mut epoch = description.map_or(RegionEpoch::BOOTSTRAP, |region| region.epoch);
    if random.one_in(8) {
        epoch.version += random.below(3);
        epoch.conf_ver = epoch.conf_ver.saturating_sub(random.below(2));
    }
    let meta = live.and_then(|live| live.stage.meta_index());
    let index = meta.map_or(5, |meta| meta.index) + random.below(4);
    let peer = match live {
        Some(live) if !random.one_in(4) => live.peer,
        _ => PeerId(1 + random.below(40)),
    };
    match random.below(46) {
        36..=45 => super::observing::event(register, random),
        0 => Event::Identify { store: STORE },
        1 => first(region, random),
        30..=32 => merge(register, random),
        33 => {
            let begins = random.one_in(3);
            let position = at(index);
            let incarnation = given;
            match begins {
                true => Event::BeginFlashback {
                    region,
                    incarnation,
                    epoch,
                    position,
                },
                false => Event::EndFlashback {
                    region,
                    incarnation,
                    epoch,
                    position,
                },
            }
        }
        34 => ordered(region, (peer, epoch), given, random),
        2 | 3 => Event::CreateByMessage {
            region,
            peer,
            from_store: StoreId(2),
            message_epoch: epoch,
        },
        4 | 5 => {
            // Of a region that serves, if there is one.
            let serving: Vec<_> = register.normal_peers().map(|(id, _, _)| id).collect();
            let at = usize::try_from(random.below(8)).unwrap();
            let region = serving
                .get(at % serving.len().max(1))
                .copied()
                .unwrap_or(region);
            split(register, region, random)
        }
        6 | 7 => conf_change(region, given, epoch, at(index), (peer, description), random),
        8..=10 => {
            let mut new = new_region(region, random);
            new.epoch = epoch;
            new.epoch.version += random.below(2);
            let listed = new.peers.iter_mut().find(|listed| listed.store == STORE);
            if let (Some(listed), Some(live)) = (listed, live) {
                listed.id = live.peer;
                listed.is_witness = random.one_in(3);
                if listed.is_witness {
                    return Event::InstallWitness {
                        region,
                        incarnation,
                        description: new,
                        position: at(index + 1),
                        sources: vec![random.region()],
                    };
                }
            }
            if random.one_in(3) {
                return match random.one_in(4) {
                    true => Event::ReleaseSnapshot {
                        region,
                        incarnation,
                    },
                    false => Event::ReserveSnapshot {
                        region,
                        incarnation,
                        description: new,
                        position: at(index + 1),
                        sources: vec![random.region()],
                    },
                };
            }
            Event::BeginSnapshot {
                region,
                incarnation,
                description: new,
                snapshot: snapshot(index + 1),
                sources: vec![random.region(), random.region()],
            }
        }
        11 | 12 => Event::EndSnapshot {
            region,
            incarnation,
            floor: Floor {
                index: meta.map_or(5, |meta| meta.index),
                barrier: register.barrier().saturating_sub(random.below(2)),
            },
        },
        13 if random.one_in(2) => Event::AbortSnapshot {
            region,
            incarnation,
            reason: AbortReason::StagedFileLost,
        },
        13 => Event::Damage {
            region,
            incarnation,
            reason: DamageReason::RowMissing { floor: index },
        },
        14 if random.one_in(3) => Event::Destroy {
            region,
            incarnation: given,
            peer,
            cause: match random.below(3) {
                0 => DestroyCause::Operator,
                1 => DestroyCause::LargerPeer {
                    peer: PeerId(peer.0 + 1),
                },
                _ => DestroyCause::Removed {
                    epoch: RegionEpoch {
                        conf_ver: epoch.conf_ver + 1,
                        ..epoch
                    },
                },
            },
        },
        15 | 16 => {
            let pending = register.deletions().next().map(|(id, _)| id);
            let made_up = DeletionId {
                lsn: Lsn::new(1 + random.below(100)),
                ordinal: 0,
            };
            Event::FinishDeletion {
                deletion: pending.unwrap_or(made_up),
            }
        }
        17 => Event::Barrier {
            number: register.barrier() + random.below(3),
            floors: vec![FloorUpdate {
                region,
                incarnation,
                index: index + random.below(4),
            }],
        },
        18 if random.one_in(3) => Event::NewDataStore {
            generation: [u8::try_from(random.below(4)).unwrap(); 16],
        },
        18 => Event::SequenceLease {
            up_to: Sequence::new(random.below(1000)),
        },
        19 | 20 => {
            // Often a region over keys that memory on its way out still holds.
            let mut retiring = register.retiring();
            let held =
                retiring.find_map(|(_, range)| register.tenants(range).into_iter().next_back());
            let (region, incarnation) = match held {
                Some(held) if random.one_in(2) => held,
                _ => (region, incarnation),
            };
            let peer = register.peer(region);
            Event::LoadRequest {
                region,
                incarnation,
                epoch: peer.map_or(epoch, |peer| peer.stage.epoch()),
            }
        }
        _ => cache_event(register.cache_state(region), region, incarnation, random),
    }
}

/// Mostly what comes next in that state.
fn cache_event(
    state: CacheState,
    region: RegionId,
    incarnation: Incarnation,
    random: &mut Random,
) -> Event {
    let next = match state {
        _ if random.one_in(4) => random.below(7),
        CacheState::Absent | CacheState::LoadRequested | CacheState::LoadQueued => 0,
        CacheState::Loading => 1,
        CacheState::Active => 3,
        CacheState::Cancelled | CacheState::EvictPending => 4,
        CacheState::Evicting => 5,
    };
    let reason = EvictReason::MemoryLimit;
    match next {
        0 => Event::LoadBegin {
            region,
            incarnation,
        },
        1 => Event::LoadEnd {
            region,
            incarnation,
        },
        2 => Event::LoadCancel {
            region,
            incarnation,
            reason,
        },
        3 => Event::Evict { region, reason },
        4 => Event::EvictBegin { region },
        5 => Event::EvictEnd { region },
        _ => Event::CacheLost { region },
    }
}

/// The steps of a bootstrap, in any order.
fn first(region: RegionId, random: &mut Random) -> Event {
    let (store, id) = (STORE, region);
    let region = new_region(id, random);
    match random.below(6) {
        0 => Event::Bootstrap { store, region },
        1 | 2 => Event::PrepareBootstrap { store, region },
        3 => Event::AbandonBootstrap { region: id },
        _ => Event::ConfirmBootstrap { region: id },
    }
}

fn ordered(
    region: RegionId,
    (peer, epoch): (PeerId, RegionEpoch),
    incarnation: Option<Incarnation>,
    random: &mut Random,
) -> Event {
    match random.below(4) {
        0 => Event::RecoverRegion {
            region: new_region(region, random),
        },
        1 => Event::ForceVoters {
            region,
            incarnation,
            epoch,
            failed: vec![StoreId(1 + random.below(5))],
        },
        2 => Event::PlaceTombstone {
            region,
            peer,
            epoch,
        },
        _ => Event::CollectTombstone {
            region,
            highest_peer: PeerId(peer.0 + random.below(20)),
        },
    }
}

/// The next step of a merge that is under way, or the first of a new one between neighbours; or a
/// step that names something else.
fn merge(register: &Register, random: &mut Random) -> Event {
    let incarnation = None;
    let sources: Vec<_> = register
        .slots()
        .filter_map(|(id, slot)| {
            let stage = &slot.peer.as_ref()?.stage;
            Some((id, stage.region()?.clone(), stage.merging()?))
        })
        .collect();
    let next = |region: RegionId, random: &mut Random| {
        let meta = register
            .peer(region)
            .and_then(|live| live.stage.meta_index());
        at(meta.map_or(5, |meta| meta.index) + random.below(4))
    };
    let epoch_of = |region: RegionId| {
        let live = register.peer(region);
        live.map_or(RegionEpoch::BOOTSTRAP, |live| live.stage.epoch())
    };
    let pick = usize::try_from(random.below(16)).unwrap();
    if let Some((id, description, merging)) = sources.get(pick % sources.len().max(1))
        && !random.one_in(4)
    {
        let (source, commit) = (Region::clone(description), merging.commit + random.below(2));
        return match random.below(3) {
            0 => Event::RollbackMerge {
                region: *id,
                incarnation,
                epoch: description.epoch,
                position: next(*id, random),
                commit,
            },
            _ => Event::CommitMerge {
                region: merging.target,
                incarnation,
                epoch: epoch_of(merging.target),
                position: next(merging.target, random),
                source,
                commit,
            },
        };
    }
    let listed: Vec<_> = register
        .owners()
        .filter_map(|(_, owner)| match owner {
            Owner::Peer { region, .. } => Some(region),
            Owner::Deletion(_) | Owner::Reservation { .. } => None,
        })
        .collect();
    let source = listed.get(pick % listed.len().max(1)).copied();
    let source = source.unwrap_or(RegionId(1));
    let target = listed.get((pick + 1) % listed.len().max(1)).copied();
    let described = target.and_then(|id| register.peer(id)?.stage.region().cloned());
    let target = match described {
        Some(target) => Region::clone(&target),
        None => new_region(RegionId(6), random),
    };
    let position = next(source, random);
    match random.below(5) {
        // Taken in without having been prepared here: it is behind, or it is not here at all.
        0 => Event::CommitMerge {
            region: source,
            incarnation,
            epoch: epoch_of(source),
            position,
            source: target,
            commit: 1 + random.below(30),
        },
        _ => Event::PrepareMerge {
            region: source,
            incarnation,
            epoch: epoch_of(source),
            position,
            min_index: position.index.saturating_sub(random.below(3)),
            target,
        },
    }
}

fn new_region(id: RegionId, random: &mut Random) -> Region {
    let (a, b) = (random.key(), random.key());
    let (start, end) = if a < b { (a, b) } else { (b, a) };
    let range = KeyRange::new(start, Some(end)).unwrap_or_else(KeyRange::all);
    Region {
        id,
        range,
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![
            Peer {
                id: PeerId(1 + random.below(40)),
                store: STORE,
                role: PeerRole::Voter,
                is_witness: false,
            },
            Peer {
                id: PeerId(100 + id.0),
                store: StoreId(2),
                role: PeerRole::Voter,
                is_witness: false,
            },
        ],
    }
}

/// One change, several at once, the end of several, or a switch of witnesses.
fn conf_change(
    region: RegionId,
    incarnation: Option<Incarnation>,
    epoch: RegionEpoch,
    position: RaftPosition,
    (peer, description): (PeerId, Option<&Arc<Region>>),
    random: &mut Random,
) -> Event {
    let is_joint = description.is_some_and(|description| description.is_joint());
    if is_joint && !random.one_in(4) {
        return Event::LeaveJoint {
            region,
            incarnation,
            epoch,
            position,
        };
    }
    match random.below(4) {
        0 => Event::EnterJoint {
            region,
            incarnation,
            epoch,
            position,
            changes: joint_changes(peer, description, random),
        },
        1 => {
            let listed = description.and_then(|listed| listed.peer(peer));
            let witness = listed.is_some_and(|listed| !listed.is_witness);
            let switches = vec![WitnessSwitch { peer, witness }];
            Event::SwitchWitness {
                region,
                incarnation,
                epoch,
                position,
                switches,
            }
        }
        _ => Event::ChangePeers {
            region,
            incarnation,
            epoch,
            position,
            change: peer_change(peer, random),
        },
    }
}

/// Changes that lead into joint consensus, mostly.
fn joint_changes(
    peer: PeerId,
    description: Option<&Arc<Region>>,
    random: &mut Random,
) -> Vec<PeerChange> {
    if random.one_in(4) {
        return (0..=random.below(3))
            .map(|_| peer_change(peer, random))
            .collect();
    }
    let store = StoreId(3 + random.below(3));
    let mut changes = vec![PeerChange::Add {
        peer: Peer::voter(PeerId(200 + random.below(3)), store),
    }];
    let listed = description.map_or(&[][..], |description| &description.peers);
    for Peer { id, role, .. } in listed.iter().filter(|peer| peer.store != store) {
        match role {
            PeerRole::Learner if random.one_in(2) => {
                changes.push(PeerChange::Promote { peer: *id });
            }
            PeerRole::Voter if random.one_in(2) => changes.push(PeerChange::Demote { peer: *id }),
            _ => {}
        }
    }
    changes
}

fn peer_change(peer: PeerId, random: &mut Random) -> PeerChange {
    match random.below(6) {
        0 => PeerChange::Remove { peer },
        1 => PeerChange::Promote { peer },
        2 => PeerChange::Demote { peer },
        3 => PeerChange::Remove {
            peer: PeerId(200 + random.below(3)),
        },
        _ => PeerChange::Add {
            peer: Peer {
                id: PeerId(200 + random.below(3)),
                store: StoreId(3 + random.below(3)),
                role: PeerRole::Learner,
                is_witness: false,
            },
        },
    }
}

fn split(register: &Register, region: RegionId, random: &mut Random) -> Event {
    let live = register.peer(region);
    let description = live.and_then(|live| live.stage.region());
    let mut boundaries = vec![random.key(), random.key()];
    boundaries.sort();
    boundaries.dedup();
    if let Some(description) = description {
        boundaries.retain(|key| description.range.contains(key) || random.one_in(8));
    }
    boundaries.truncate(1 + usize::try_from(random.below(2)).unwrap());
    let listed = description.map_or(Vec::new(), |description| description.peers.clone());
    let mut child = |_| {
        let id = random.region();
        let known = register.peer(id).map(|known| known.peer);
        let own = match known {
            Some(known) if !random.one_in(3) => known,
            _ => PeerId(1 + random.below(40)),
        };
        let seat = |peer: &Peer| Peer {
            id: match peer.store {
                STORE => own,
                store => PeerId(1000 * id.0 + store.0),
            },
            ..*peer
        };
        let peers = listed.iter().map(seat).collect();
        NewRegion { id, peers }
    };
    let children = boundaries.iter().map(&mut child).collect();
    let meta = live.and_then(|live| live.stage.meta_index());
    Event::Split(Split {
        region,
        incarnation: live.map(|live| live.incarnation),
        epoch: description.map_or(RegionEpoch::BOOTSTRAP, |region| region.epoch),
        position: at(meta.map_or(5, |meta| meta.index) + random.below(4)),
        boundaries: boundaries.into_iter().map(Into::into).collect(),
        children,
        derive: if random.one_in(2) {
            Derive::Left
        } else {
            Derive::Right
        },
    })
}

/// What never goes back, of each region.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Marks {
    incarnation: Option<Incarnation>,
    epoch: RegionEpoch,
    floor: Option<u64>,
    highest_peer: u64,
}

fn marks(register: &Register) -> BTreeMap<RegionId, Marks> {
    let of = |region: RegionId| {
        let peer = register.peer(region);
        let floor = match peer.map(|peer| &peer.stage) {
            Some(PeerStage::Normal(normal)) => Some(normal.floor.index),
            Some(PeerStage::Damaged(damaged)) => Some(damaged.floor.index),
            // What the end will make of it.
            Some(PeerStage::Applying(applying)) => Some(applying.snapshot.position.index),
            // Nothing is here that could be durable.
            Some(PeerStage::Witness(_) | PeerStage::Waiting(_) | PeerStage::Uninitialized)
            | None => None,
        };
        let fence = register.tombstone(region);
        Marks {
            incarnation: peer.map(|peer| peer.incarnation),
            epoch: peer.map_or(RegionEpoch::NONE, |peer| peer.stage.epoch()),
            floor,
            highest_peer: fence.map_or(0, |fence| fence.highest_peer.0),
        }
    };
    register
        .slots()
        .map(|(region, _)| (region, of(region)))
        .collect()
}

fn nothing_goes_back(before: &Register, after: &Register) {
    assert!(after.barrier() >= before.barrier());
    assert!(after.sequence_ceiling() >= before.sequence_ceiling());
    let now = marks(after);
    for (region, was) in marks(before) {
        let Some(is) = now.get(&region).copied() else {
            // Only a tombstone that was collected, or a bootstrap that was given up.
            assert!(after.slot(region).is_none(), "{region}");
            continue;
        };
        assert!(
            is.highest_peer >= was.highest_peer,
            "{region}: {was:?} {is:?}"
        );
        // A new peer has a higher id than all that went.
        if was.incarnation.is_some() && was.incarnation == is.incarnation {
            // An aborted first snapshot takes the peer back to having nothing.
            let is_undone = is.epoch == RegionEpoch::NONE;
            assert!(
                is_undone || !is.epoch.is_stale_against(was.epoch),
                "{region}: {was:?} {is:?}"
            );
            assert!(
                is.floor.is_none() || is.floor >= was.floor,
                "{region}: {was:?} {is:?}"
            );
        }
        if let (Some(was), Some(is)) = (was.incarnation, is.incarnation) {
            assert!(is >= was, "{region}");
        }
    }
}

pub(crate) fn history(seed: u64, events: usize) -> World {
    let mut random = Random(seed);
    let mut world = if seed.is_multiple_of(4) {
        World::new()
    } else {
        World::bootstrapped("", "")
    };
    for turn in 0..events {
        // A store that begins empty tries to be the cluster's first for a while.
        let begins = seed.is_multiple_of(4) && turn < 10;
        let event = match begins {
            true => first(RegionId(1), &mut random),
            false => event(&world.register, &mut random),
        };
        let before = world.register.clone();
        match world.ask(&event) {
            Outcome::Accepted(_) => {
                nothing_goes_back(&before, &world.register);
                super::observing::nothing_goes_back(&before, &world.register, &event);
            }
            Outcome::AlreadyApplied | Outcome::Wait(_) | Outcome::Refused(_) => {
                assert_eq!(world.register, before, "{event:?}");
            }
        }
    }
    world
}

fn saved(register: &Register) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    let Ok(()) = codec::save_register::<std::convert::Infallible>(register, &mut |item| {
        items.push(item.to_vec());
        Ok(())
    });
    items
}

fn loaded(items: &[Vec<u8>]) -> Register {
    let mut register = Register::default();
    for item in items {
        codec::load_item(&mut register, item).unwrap();
    }
    register
}

#[test]
fn records_alone_rebuild_the_state_from_the_start_or_from_any_checkpoint() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let world = history(seed, EVENTS);
        let mut replayed = Register::default();
        let cut = usize::try_from(seed).unwrap() * 3 % world.records.len();
        let mut checkpoint = Vec::new();
        for (at, (lsn, record)) in world.records.iter().enumerate() {
            if at == cut {
                checkpoint = saved(&replayed);
            }
            apply(&mut replayed, *lsn, record).unwrap();
            // Handing a record over again changes nothing.
            let once = replayed.clone();
            apply(&mut replayed, *lsn, record).unwrap();
            assert_eq!(replayed, once);
        }
        assert_eq!(replayed, world.register);
        let mut resumed = loaded(&checkpoint);
        resumed.check_invariants().unwrap();
        for (lsn, record) in &world.records {
            apply(&mut resumed, *lsn, record).unwrap();
        }
        assert_eq!(resumed, world.register);
        assert_eq!(saved(&loaded(&saved(&replayed))), saved(&replayed));
    }
}

#[test]
fn random_histories_reach_every_kind_of_change_and_every_fate_of_a_child() {
    let mut seen = BTreeMap::new();
    let all = crate::lifecycle::ChangeKind::ALL;
    // What needs several rare things at once takes more histories than the rest.
    for seed in 0..10 * SEEDS {
        if seed >= SEEDS && all.iter().all(|kind| seen.contains_key(kind.name())) {
            break;
        }
        for (_, record) in history(seed, EVENTS).records {
            *seen.entry(record.change.kind_name()).or_insert(0) += 1;
            let Change::RegionSplit { children, .. } = &record.change else {
                continue;
            };
            for child in children {
                let fate = match child.fate {
                    ChildFate::Created => "created",
                    ChildFate::Adopted { .. } => "adopted",
                    ChildFate::Skipped { reason } => reason.as_str(),
                };
                *seen.entry(fate).or_insert(0) += 1;
            }
        }
    }
    println!("{seen:?}");
    for kind in all {
        assert!(seen.contains_key(kind.name()), "{}", kind.name());
    }
    for fate in [
        "created",
        "adopted",
        "tombstoned",
        "other-peer",
        "initialized",
    ] {
        assert!(seen.contains_key(fate), "{fate}");
    }
}
