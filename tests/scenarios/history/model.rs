//! What a plain map says of a history: peers, their data, tombstones, and the host's log of each region.
//!
//! A step names regions, peers and keys and no indexes, so that it still means something when others
//! were left out before it. Not here: playing it (`run`).

use std::collections::BTreeMap;
use std::fmt;

/// Keys are a letter and a digit.
pub(super) type Data = BTreeMap<String, String>;
/// A value, or none for a deletion.
pub(super) type Puts = BTreeMap<String, Option<String>>;

/// Behind the last letter.
pub(super) const END: u8 = b'{';

/// Where choices come from: a seed, or a fuzzer's bytes.
pub(super) trait Draw {
    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: u64) -> u64;

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len().max(1) as u64) as usize;
        from.get(at).copied()
    }
}

/// A serving peer, as its host and the model know it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Serving {
    pub(super) start: u8,
    pub(super) end: u8,
    pub(super) version: u64,
    pub(super) meta: u64,
    pub(super) index: u64,
    pub(super) data: Data,
    /// What the host still has of its log: index and batch.
    pub(super) log: Vec<(u64, Puts)>,
    /// Up to here the host threw its log away.
    pub(super) truncated: u64,
}

/// Everything that is expected of a store.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    /// By region: the peer, and what it serves.
    pub(super) peers: BTreeMap<u64, (u64, Option<Serving>)>,
    /// By region: the highest peer that is gone.
    pub(super) tombstones: BTreeMap<u64, u64>,
    next_region: u64,
    next_peer: u64,
    /// A mistake on purpose: deletions are forgotten.
    pub(super) forgets_deletions: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Write(u64, Puts),
    /// Region, boundary, the child and its peer.
    Split(u64, u8, u64, u64),
    Create(u64, u64),
    Destroy(u64),
    /// Region, keys, rows.
    Snapshot(u64, (u8, u8), Data),
    Load(u64),
    /// A load reads that many rows and stands still.
    HoldLoad(u64),
    Resume,
    Evict(u64),
    View(u64),
    Truncate(u64),
    Flush,
    Checkpoint,
    Tick,
    Background,
}

/// `[a,m)`, as a scenario writes it; the first letter and the end are infinite.
pub(super) fn range(start: u8, end: u8) -> String {
    let letter = |letter: u8, infinite: u8| match letter == infinite {
        true => String::new(),
        false => char::from(letter).to_string(),
    };
    format!("[{},{})", letter(start, b'a'), letter(end, END))
}

fn is_inside(key: &str, start: u8, end: u8) -> bool {
    key.bytes()
        .next()
        .is_some_and(|letter| (start..end).contains(&letter))
}

impl Model {
    pub(super) fn new(forgets_deletions: bool) -> Model {
        let whole = Serving {
            start: b'a',
            end: END,
            version: 1,
            meta: 5,
            index: 5,
            data: Data::new(),
            log: vec![],
            truncated: 5,
        };
        Model {
            peers: BTreeMap::from([(1, (10, Some(whole)))]),
            tombstones: BTreeMap::new(),
            next_region: 2,
            next_peer: 11,
            forgets_deletions,
        }
    }

    pub(super) fn at(&self, region: u64) -> Option<&Serving> {
        self.peers.get(&region)?.1.as_ref()
    }

    pub(super) fn at_mut(&mut self, region: u64) -> Option<&mut Serving> {
        self.peers.get_mut(&region)?.1.as_mut()
    }

    pub(super) fn serving(&self) -> Vec<u64> {
        let regions = self.peers.keys().copied();
        regions
            .filter(|region| self.at(*region).is_some())
            .collect()
    }

    /// Whether nobody but `region` has keys of that range.
    fn is_free(&self, region: u64, (start, end): (u8, u8)) -> bool {
        let others = self.peers.keys().filter(|other| **other != region);
        let mut others = others.filter_map(|other| self.at(*other));
        !others.any(|other| other.start < end && start < other.end)
    }

    /// A range of letters that nobody has.
    fn gap(&self) -> Option<(u8, u8)> {
        let owned = self.peers.keys().filter_map(|region| self.at(*region));
        let mut owned: Vec<(u8, u8)> = owned.map(|s| (s.start, s.end)).collect();
        owned.sort_unstable();
        let mut at = b'a';
        for (start, end) in owned {
            if at < start {
                return Some((at, start));
            }
            at = end;
        }
        (at < END).then_some((at, END))
    }

    fn rows(random: &mut impl Draw, start: u8, end: u8) -> Data {
        let count = 1 + random.below(4);
        let row = |_| {
            let letter = start + random.below(u64::from(end - start)) as u8;
            let key = format!("{}{}", char::from(letter), random.below(3));
            (key, random.below(1000).to_string())
        };
        (0..count).map(row).collect()
    }

    /// What could be done now.
    pub(super) fn choose(&self, random: &mut impl Draw) -> Option<Step> {
        let serving = self.serving();
        let any = random.pick(&serving);
        Some(match random.below(28) {
            0..8 => {
                let (id, s) = (any?, self.at(any?)?);
                let rows = Model::rows(random, s.start, s.end).into_iter();
                let puts = rows.map(|(key, value)| (key, (random.below(4) > 0).then_some(value)));
                Step::Write(id, puts.collect())
            }
            8 | 9 => {
                let (id, s) = (any?, self.at(any?)?);
                let room = s.end - s.start;
                if room < 2 {
                    return None;
                }
                let boundary = s.start + 1 + random.below(u64::from(room) - 1) as u8;
                // A new region, one that a message made already, or one that came and went.
                let bare = self
                    .peers
                    .iter()
                    .filter(|(_, (_, serving))| serving.is_none());
                let bare = bare.map(|(region, (peer, _))| (*region, *peer));
                let gone = self
                    .tombstones
                    .iter()
                    .map(|(region, peer)| (*region, *peer));
                let known: Vec<(u64, u64)> = bare.chain(gone).collect();
                let new = (self.next_region, self.next_peer);
                let child = match random.below(2) {
                    0 => random.pick(&known).unwrap_or(new),
                    _ => new,
                };
                Step::Split(id, boundary, child.0, child.1)
            }
            10 => Step::Create(self.next_region, self.next_peer),
            11 => {
                let peers: Vec<u64> = self.peers.keys().copied().collect();
                Step::Destroy(random.pick(&peers)?)
            }
            12 | 13 => {
                let peers: Vec<u64> = self.peers.keys().copied().collect();
                let id = random.pick(&peers)?;
                let (start, end) = match self.at(id) {
                    Some(s) if random.below(3) == 0 && s.end - s.start > 1 => (s.start, s.end - 1),
                    Some(s) => (s.start, s.end),
                    None => self.gap()?,
                };
                Step::Snapshot(id, (start, end), Model::rows(random, start, end))
            }
            14 | 15 => Step::Load(any?),
            16 => Step::Evict(any?),
            17 => Step::View(any?),
            18 => Step::Truncate(any?),
            19 => Step::Flush,
            20 => Step::Checkpoint,
            21 => Step::Tick,
            22 | 23 => Step::HoldLoad(random.below(3)),
            24 => Step::Resume,
            _ => Step::Background,
        })
    }

    /// Whether the step means anything now: others before it may have been left out.
    pub(super) fn allows(&self, step: &Step) -> bool {
        match step {
            Step::Write(id, puts) => self
                .at(*id)
                .is_some_and(|s| puts.keys().all(|key| is_inside(key, s.start, s.end))),
            Step::Split(id, boundary, child, peer) => {
                let inside = self
                    .at(*id)
                    .is_some_and(|s| s.start < *boundary && *boundary < s.end);
                let live = self.peers.get(child);
                let fits = live.is_none_or(|(live, serving)| live == peer && serving.is_none());
                inside && fits && child != id
            }
            Step::Create(id, peer) => {
                let fenced = self.tombstones.get(id).is_some_and(|gone| gone >= peer);
                !self.peers.contains_key(id) && !fenced
            }
            Step::Destroy(id) => self.peers.contains_key(id),
            Step::Snapshot(id, (start, end), _) => {
                let fits = match self.at(*id) {
                    // It never grows here.
                    Some(s) => s.start == *start && *end <= s.end,
                    None => true,
                };
                self.peers.contains_key(id) && fits && self.is_free(*id, (*start, *end))
            }
            Step::Load(id) | Step::Evict(id) | Step::View(id) | Step::Truncate(id) => {
                self.at(*id).is_some()
            }
            Step::HoldLoad(_)
            | Step::Resume
            | Step::Flush
            | Step::Checkpoint
            | Step::Tick
            | Step::Background => true,
        }
    }

    /// Version and index of a snapshot of that range.
    pub(super) fn snapshot_at(&self, region: u64, end: u8) -> (u64, u64) {
        match self.at(region) {
            Some(s) => (s.version + u64::from(end != s.end), s.index + 3),
            None => (40, 30),
        }
    }

    /// The step was done.
    pub(super) fn apply(&mut self, step: &Step) {
        let forgets = self.forgets_deletions;
        match step {
            Step::Write(id, puts) => {
                let Some(s) = self.at_mut(*id) else { return };
                s.index += 1;
                s.log.push((s.index, puts.clone()));
                for (key, value) in puts {
                    match value {
                        Some(value) => drop(s.data.insert(key.clone(), value.clone())),
                        None if forgets => {}
                        None => drop(s.data.remove(key)),
                    }
                }
            }
            Step::Split(id, boundary, child, peer) => {
                let skips = self.tombstones.get(child).is_some_and(|gone| gone >= peer);
                let Some(s) = self.at_mut(*id) else { return };
                let data = s.data.split_off(&char::from(*boundary).to_string());
                (s.version, s.meta, s.index) = (s.version + 1, s.index + 1, s.index + 1);
                // What came before it belongs to another version: it cannot be sent again, and need not be.
                s.log.clear();
                let part = Serving {
                    start: *boundary,
                    end: s.end,
                    version: s.version,
                    meta: 5,
                    index: 5,
                    data,
                    log: vec![],
                    truncated: 5,
                };
                s.end = *boundary;
                if !skips {
                    self.peers.insert(*child, (*peer, Some(part)));
                }
                self.note(*child, *peer);
            }
            Step::Create(id, peer) => {
                self.peers.insert(*id, (*peer, None));
                self.note(*id, *peer);
            }
            Step::Destroy(id) => {
                if let Some((peer, _)) = self.peers.remove(id) {
                    self.tombstones.insert(*id, peer);
                }
            }
            Step::Snapshot(id, (start, end), rows) => {
                let (version, index) = self.snapshot_at(*id, *end);
                if let Some((_, serving)) = self.peers.get_mut(id) {
                    *serving = Some(Serving {
                        start: *start,
                        end: *end,
                        version,
                        meta: index,
                        index,
                        data: rows.clone(),
                        log: vec![],
                        truncated: index,
                    });
                }
            }
            Step::Load(_)
            | Step::HoldLoad(_)
            | Step::Resume
            | Step::Evict(_)
            | Step::View(_)
            | Step::Truncate(_)
            | Step::Flush
            | Step::Checkpoint
            | Step::Tick
            | Step::Background => {}
        }
    }

    fn note(&mut self, region: u64, peer: u64) {
        self.next_region = self.next_region.max(region + 1);
        self.next_peer = self.next_peer.max(peer + 1);
    }

    /// The parts of each peer's line that the model knows.
    pub(super) fn peer_lines(&self) -> Vec<Vec<String>> {
        let parts = |(region, (peer, serving)): (&u64, &(u64, Option<Serving>))| {
            let mut parts = vec![format!("r{region} p{peer}#")];
            match serving {
                None => parts.push(" uninitialized".to_owned()),
                Some(s) => {
                    let range = range(s.start, s.end);
                    parts.push(format!(" normal {range} c1.v{} p{peer}@s1 ", s.version));
                    parts.push(format!("meta i{}.", s.meta));
                }
            }
            parts
        };
        self.peers.iter().map(parts).collect()
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for parts in self.peer_lines() {
            writeln!(f, "{}", parts.concat())?;
        }
        Ok(())
    }
}
