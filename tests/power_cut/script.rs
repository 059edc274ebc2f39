//! What the storage process does, step by step, the same for the same seed; and what must be there
//! after any number of steps.

use std::collections::BTreeMap;

use torrens::{
    Derive, KeyRange, NewRegion, Peer, PeerChange, PeerId, RaftPosition, RegionEpoch, RegionId,
    RegionStatus, Split, StoreId, WriteBatch,
};

/// The store that the script plays.
pub const STORE: StoreId = StoreId(4);
const OTHER: StoreId = StoreId(5);
const STEPS: usize = 20_000;
const REGIONS_MAX: usize = 12;

/// SplitMix64: the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// An entry with data. Deleted first, then put.
    Write {
        region: RegionId,
        index: u64,
        delete: Option<KeyRange>,
        puts: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Split(Split),
    Change {
        region: RegionId,
        epoch: RegionEpoch,
        position: RaftPosition,
        change: PeerChange,
    },
    Destroy {
        region: RegionId,
        epoch: RegionEpoch,
        peer: PeerId,
    },
    Flush,
    Checkpoint,
}

/// What can be seen of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub peer: PeerId,
    pub range: KeyRange,
    pub epoch: RegionEpoch,
    pub peers: Vec<Peer>,
}

impl Described {
    /// What the engine shows.
    pub fn of(status: &RegionStatus) -> Described {
        let region = status.region.clone().unwrap();
        let mut peers = region.peers.clone();
        peers.sort_by_key(|peer| peer.id);
        Described {
            peer: status.peer,
            range: region.range.clone(),
            epoch: region.epoch,
            peers,
        }
    }
}

/// All regions and tombstones, after some steps.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub regions: BTreeMap<RegionId, Described>,
    pub graves: Vec<RegionId>,
}

/// The steps, and the states between those that change the register.
#[derive(Debug)]
pub struct Script {
    pub steps: Vec<Step>,
    /// By the number of steps taken.
    states: BTreeMap<usize, State>,
}

impl Script {
    /// The script of a seed, with values `scale` times as long as usual. The first region is there
    /// before its first step.
    pub fn of(seed: u64, scale: usize) -> Script {
        let mut random = Random(seed);
        let mut state = State::default();
        let peers = vec![Peer::voter(PeerId(10), STORE)];
        let first = Described {
            peer: PeerId(10),
            range: KeyRange::all(),
            epoch: RegionEpoch::BOOTSTRAP,
            peers,
        };
        state.regions.insert(RegionId(1), first);
        let mut script = Script {
            steps: Vec::new(),
            states: BTreeMap::from([(0, state.clone())]),
        };
        let mut indexes = BTreeMap::from([(RegionId(1), 5)]);
        let mut next_id = 100;
        while script.steps.len() < STEPS / scale {
            let nth = random.below(state.regions.len() as u64) as usize;
            let (region, described) = state.regions.iter().nth(nth).unwrap();
            let (region, described) = (*region, described.clone());
            let step = match random.below(100) {
                0..4 if state.regions.len() < REGIONS_MAX => split(
                    &mut state,
                    region,
                    &described,
                    &mut random,
                    &mut next_id,
                    &mut indexes,
                ),
                4..7 => change(&mut state, region, &mut next_id, &mut indexes),
                7 if state.regions.len() > 4 => {
                    state.regions.remove(&region);
                    state.graves.push(region);
                    state.graves.sort_unstable();
                    let (epoch, peer) = (described.epoch, described.peer);
                    Some(Step::Destroy {
                        region,
                        epoch,
                        peer,
                    })
                }
                8..10 => Some(Step::Flush),
                10 if random.below(5) == 0 => Some(Step::Checkpoint),
                _ => Some(write(
                    (region, scale),
                    &described,
                    &mut random,
                    &mut indexes,
                )),
            };
            script.steps.extend(step);
            if script.is_transition(script.steps.len().saturating_sub(1)) {
                script.states.insert(script.steps.len(), state.clone());
            }
        }
        script
    }

    /// Whether a step changes the register.
    pub fn is_transition(&self, step: usize) -> bool {
        matches!(
            self.steps.get(step),
            Some(Step::Split(_) | Step::Change { .. } | Step::Destroy { .. })
        )
    }

    /// What must be there after that many steps.
    pub fn after(&self, steps: usize) -> &State {
        self.states.range(..=steps).next_back().unwrap().1
    }

    /// The rows of a region after that many steps, of its own entries those up to `index`.
    pub fn rows(
        &self,
        region: RegionId,
        described: &Described,
        steps: usize,
        index: u64,
    ) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for step in &self.steps[..steps] {
            let Step::Write {
                region: of,
                index: at,
                delete,
                puts,
            } = step
            else {
                continue;
            };
            // Entries of the regions that it was split from came before the split.
            if *of == region && *at > index {
                continue;
            }
            if let Some(range) = delete {
                rows.retain(|key: &Vec<u8>, _| !range.contains(key));
            }
            for (key, value) in puts.iter().filter(|(key, _)| described.range.contains(key)) {
                rows.insert(key.clone(), value.clone());
            }
        }
        rows
    }

    /// The batch of a write.
    pub fn batch(delete: &Option<KeyRange>, puts: &[(Vec<u8>, Vec<u8>)]) -> WriteBatch {
        let mut batch = WriteBatch::new();
        if let Some(range) = delete {
            batch.delete_range(range.clone());
        }
        for (key, value) in puts {
            batch.put(key.clone(), value.clone());
        }
        batch
    }
}

fn next(indexes: &mut BTreeMap<RegionId, u64>, region: RegionId) -> u64 {
    let index = indexes.entry(region).or_insert(5);
    *index += 1;
    *index
}

/// A key of the region: keys are 8 big-endian bytes, so every region has some.
fn key_in(range: &KeyRange, random: &mut Random) -> Option<Vec<u8>> {
    let number = |bytes: &[u8]| {
        let mut padded = [0; 8];
        padded[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
        u64::from_be_bytes(padded)
    };
    let start = number(range.start());
    let end = range.end().map_or(u64::MAX, |end| number(end));
    let width = end.checked_sub(start).filter(|width| *width > 0)?;
    // A few thousand different keys, so that they are written again.
    let step = (width / 4096).max(1);
    Some(
        (start + random.below(4096) % width * step % width)
            .to_be_bytes()
            .to_vec(),
    )
}

fn write(
    (region, scale): (RegionId, usize),
    described: &Described,
    random: &mut Random,
    indexes: &mut BTreeMap<RegionId, u64>,
) -> Step {
    let key = |random: &mut Random| key_in(&described.range, random);
    let index = next(indexes, region);
    let delete = match random.below(40) {
        0 => {
            let (a, b) = (key(random), key(random));
            a.zip(b)
                .and_then(|(a, b)| KeyRange::new(a.clone().min(b.clone()), Some(a.max(b))))
        }
        _ => None,
    };
    let mut puts = Vec::new();
    for _ in 0..1 + random.below(20) {
        let bytes = scale * (10 + random.below(200) as usize);
        puts.extend(key(random).map(|key| (key, vec![index as u8; bytes])));
    }
    Step::Write {
        region,
        index,
        delete,
        puts,
    }
}

fn split(
    state: &mut State,
    region: RegionId,
    described: &Described,
    random: &mut Random,
    next_id: &mut u64,
    indexes: &mut BTreeMap<RegionId, u64>,
) -> Option<Step> {
    let boundary = key_in(&described.range, random)?;
    if boundary.as_slice() <= &**described.range.start() {
        return None;
    }
    let child = RegionId(*next_id);
    let ids: Vec<u64> = (1..=described.peers.len() as u64)
        .map(|n| *next_id + n)
        .collect();
    *next_id += 1 + ids.len() as u64;
    let of_child = |(mut peer, id): (Peer, &u64)| {
        peer.id = PeerId(*id);
        peer
    };
    let peers: Vec<Peer> = described
        .peers
        .iter()
        .copied()
        .zip(&ids)
        .map(of_child)
        .collect();
    let own = peers.iter().find(|peer| peer.store == STORE)?.id;
    let index = next(indexes, region);
    let version = described.epoch.version + 1;
    let epoch = RegionEpoch {
        version,
        ..described.epoch
    };
    let left = KeyRange::new(described.range.start().clone(), Some(boundary.clone()))?;
    let right = KeyRange::new(boundary.clone(), described.range.end().cloned())?;
    let whole = state.regions.get_mut(&region)?;
    (whole.range, whole.epoch) = (left, epoch);
    let born = Described {
        peer: own,
        range: right,
        epoch,
        peers: peers.clone(),
    };
    state.regions.insert(child, born);
    Some(Step::Split(Split {
        region,
        incarnation: None,
        epoch: described.epoch,
        position: RaftPosition { index, term: 6 },
        boundaries: vec![boundary.into()],
        children: vec![NewRegion { id: child, peers }],
        derive: Derive::Left,
    }))
}

/// Adds a learner elsewhere, or removes the one that is there.
fn change(
    state: &mut State,
    region: RegionId,
    next_id: &mut u64,
    indexes: &mut BTreeMap<RegionId, u64>,
) -> Option<Step> {
    let described = state.regions.get_mut(&region)?;
    let epoch = described.epoch;
    let position = RaftPosition {
        index: next(indexes, region),
        term: 6,
    };
    let elsewhere = described
        .peers
        .iter()
        .find(|peer| peer.store == OTHER)
        .copied();
    let change = match elsewhere {
        Some(learner) => {
            described.peers.retain(|peer| peer.id != learner.id);
            PeerChange::Remove { peer: learner.id }
        }
        None => {
            *next_id += 1;
            let learner = Peer::learner(PeerId(*next_id), OTHER);
            described.peers.push(learner);
            PeerChange::Add { peer: learner }
        }
    };
    described.peers.sort_by_key(|peer| peer.id);
    described.epoch.conf_ver += 1;
    Some(Step::Change {
        region,
        epoch,
        position,
        change,
    })
}
