//! What to do next: drawn from the seed by weights, fitted to what the model says is possible.
//!
//! Parent plays the host and the rest of the cluster: it grows regions until they split, moves
//! peers, kills replicas and lets newer ones come, sends messages too late. It knows the model only;
//! whatever it wishes must come true, but for the probes that must be refused.

use std::collections::{BTreeSet, VecDeque};

use super::data::{DataSet, PREFIXES_MAX};
use super::model::{Merging, Mode, Model, Normal, PeerModel, Replicated};
use super::protocol::{Do, Epoch, Key, KeyBounds, PeerChangeLine, PeerLine, RowChange, STORE};
use super::random::Random;

mod entries;
mod modes;

use entries::delete_range;
pub(super) use entries::{bootstrap, change_peers, end_merge, prepare_merge, split, write};

/// Regions smaller than this are never split.
const SPLIT_ROWS_MIN: u64 = 1_500;
/// Regions that the store is to have when it is large.
const REGIONS_WANTED: u64 = 40;
/// The data grows up to this many rows; from then on it is only changed.
const ROWS_WANTED: u64 = 600_000;
/// Most rows of one write.
const BATCH_ROWS_MAX: u64 = 300;
/// Replicas are destroyed only while at least this many initialised ones are left.
const NORMALS_MIN: usize = 4;
/// Regions merge only while there are at least so many initialised ones.
const MERGE_NORMALS_MIN: usize = 8;
/// At most this many regions live on other stores only.
const ELSEWHERE_MAX: usize = 6;
/// How many of the regions that were loaded last are remembered.
const LOADED_MAX: usize = 8;
/// The highest store id in the model's cluster.
const STORES: u64 = 5;

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// An operation that moves the model.
    Track(Do),
    /// A question, or something that must be refused.
    Probe(Do),
    /// Entries are committed without this store, and a snapshot brings it up to date.
    CatchUp { region: u64, unseen: Vec<Do> },
    /// A replica made by a message gets its snapshot.
    Feed { region: u64 },
}

/// The random workload.
#[derive(Debug)]
pub(super) struct Workload {
    random: Random,
    /// Regions that were to be loaded last: reads prefer them, to be served from memory.
    loaded: VecDeque<u64>,
}

/// What the workload may look at.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) model: &'a Model,
    pub(super) data: &'a DataSet,
    /// Regions with something under way.
    pub(super) busy: &'a BTreeSet<u64>,
}

impl Scene<'_> {
    fn idle(&self, region: u64) -> bool {
        let mode = self.model.normal(region).map(|peer| peer.mode);
        let is_in_mode = mode.is_some_and(|mode| mode != Mode::Serving);
        !self.busy.contains(&region) && !self.model.is_in_merge(region) && !is_in_mode
    }

    /// A region in joint consensus or flashback that can leave it now.
    fn in_mode(&self) -> Option<(u64, &Normal)> {
        let mut normals = self.model.normals();
        normals.find(|(id, peer)| peer.mode != Mode::Serving && !self.busy.contains(id))
    }

    /// A merge that was prepared and can be ended now.
    fn prepared(&self) -> Option<(u64, Merging)> {
        let free = |region: u64| !self.busy.contains(&region);
        let mut merging = self
            .model
            .normals()
            .filter_map(|(region, peer)| Some((region, peer.merging?)));
        merging.find(|(region, merging)| free(*region) && free(merging.target))
    }

    /// Replicas made by a message and not yet fed.
    fn uninitialized(&self) -> impl Iterator<Item = (u64, &PeerModel)> {
        let peers = self.model.peers.iter().map(|(id, peer)| (*id, peer));
        peers.filter(|(id, peer)| peer.normal().is_none() && self.idle(*id))
    }

    /// Whether the region exists in the cluster already, or is only to come from a split.
    fn is_known(&self, region: u64) -> bool {
        self.model.elsewhere.contains_key(&region)
    }
}

impl Workload {
    pub(super) fn new(seed: u64) -> Self {
        Workload {
            random: Random::new(seed ^ 0x776f_726b),
            loaded: VecDeque::new(),
        }
    }

    /// The next wish; none if everything that could be wished for is busy.
    pub(super) fn next(&mut self, scene: Scene<'_>) -> Option<Wish> {
        let model = scene.model;
        if model.peers.is_empty() && model.elsewhere.is_empty() {
            let first = scene.busy.is_empty() && model.flights.is_empty();
            return first.then(|| Wish::Track(bootstrap(model)));
        }
        let idle: Vec<u64> = model
            .normals()
            .map(|(id, _)| id)
            .filter(|id| scene.idle(*id))
            .collect();
        if let Some((region, merging)) = scene.prepared()
            && self.random.percent(20)
        {
            let takes_place = self.random.percent(75);
            return end_merge(model, region, merging, takes_place).map(Wish::Track);
        }
        if let Some((region, peer)) = scene.in_mode()
            && self.random.percent(15)
        {
            return Some(Wish::Track(entries::end_mode(model, region, peer)));
        }
        let grown = idle.iter().copied().find(|id| {
            let rows = model
                .normal(*id)
                .map_or(0, |peer| peer.state.rows.len() as u64);
            rows > SPLIT_ROWS_MIN.max(model.rows() / REGIONS_WANTED)
        });
        if let Some(region) = grown {
            return self.split(scene, region);
        }
        let fed = scene
            .uninitialized()
            .find(|(id, _)| scene.is_known(*id))
            .map(|(id, _)| id);
        if let Some(region) = fed
            && self.random.percent(30)
        {
            return Some(Wish::Feed { region });
        }
        if idle.is_empty() {
            return self.rejoin(scene);
        }
        match self.random.below(1000) {
            0..668 => self.write(scene),
            668..674 => self.delete_range(scene, &idle),
            674..676 => self.label(scene, &idle),
            676..688 => self.prepare_merge(scene, &idle),
            688..694 => self.hold(scene, &idle),
            694..697 => Some(Wish::Probe(Do::CompareCaches)),
            697..700 => Some(Wish::Probe(Do::Collect)),
            700..770 => self.read(scene, &idle),
            770..800 => self.scan(scene, &idle),
            800..822 => self.change_peers(scene, &idle),
            822..830 => self.enter_joint(scene, &idle),
            830..835 => self.switch_witness(scene, &idle),
            835..840 => self.begin_flashback(scene, &idle),
            840..860 => self.take_snapshot(scene, &idle),
            860..872 => self.destroy(scene, &idle),
            872..897 => self.rejoin(scene),
            897..905 => self.message_before_split(scene),
            905..930 => self.load(scene, &idle),
            930..937 => self.preload(scene, &idle),
            937 if self.random.percent(30) => Some(Wish::Probe(Do::Backup {
                // The driver fills in where it goes.
                to: Default::default(),
            })),
            937 => None,
            938..945 => Some(Wish::Probe(Do::Evict {
                region: *self.random.pick(&idle)?,
            })),
            945..960 => Some(Wish::Track(Do::Flush)),
            960..963 => Some(Wish::Probe(Do::Checkpoint)),
            963..975 => self.late_message(scene),
            975..985 => self.stale_write(scene, &idle),
            _ => self.catch_up(scene, &idle),
        }
    }

    /// A region to read: more often than not one that may be in memory.
    fn readable<'a>(&mut self, scene: Scene<'a>, idle: &[u64]) -> Option<(u64, &'a Normal)> {
        let loaded: Vec<u64> = self
            .loaded
            .iter()
            .copied()
            .filter(|id| scene.idle(*id))
            .collect();
        match self.random.percent(70) && !loaded.is_empty() {
            true => self
                .normal(scene, &loaded)
                .or_else(|| self.normal(scene, idle)),
            false => self.normal(scene, idle),
        }
    }

    fn normal<'a>(&mut self, scene: Scene<'a>, among: &[u64]) -> Option<(u64, &'a Normal)> {
        let region = *self.random.pick(among)?;
        Some((region, scene.model.normal(region)?))
    }

    /// A batch of neighbouring rows at a random place of the key space that this store owns.
    fn write(&mut self, scene: Scene<'_>) -> Option<Wish> {
        let (region, rows) = self.batch(scene, None)?;
        let state = &scene.model.normal(region)?.state;
        Some(Wish::Track(write(scene.model, region, state, rows)))
    }

    /// Rows for a batch, in the region asked for or wherever the draw falls.
    fn batch(&mut self, scene: Scene<'_>, wanted: Option<u64>) -> Option<(u64, Vec<RowChange>)> {
        let Scene { model, data, .. } = scene;
        // Moves on with every row ever written, so that the data grows whatever is destroyed.
        let filled = model.next.revision / (2 * u64::from(data.len()));
        let frontier = u32::try_from(filled)
            .unwrap_or(u32::MAX)
            .min(PREFIXES_MAX - 1);
        // A few draws: much of the key space may be busy or on other stores.
        for _ in 0..12 {
            let grow = model.rows() < ROWS_WANTED && self.random.percent(45);
            let prefix = if grow {
                frontier
            } else {
                self.random.below(u64::from(frontier) + 1) as u32
            };
            let first = self.random.below(u64::from(data.len())) as u32;
            let key = data.key(prefix, first)?;
            let Some(region) = model.owner_of(&key).filter(|id| scene.idle(*id)) else {
                continue;
            };
            if wanted.is_some_and(|wanted| wanted != region) {
                continue;
            }
            let description = &model.normal(region)?.state.description;
            let rows = self.random.between(1, BATCH_ROWS_MAX) as u32;
            let delete_percent = if grow { 0 } else { 15 };
            let mut revision = model.next.revision;
            let changes = (first..first.saturating_add(rows).min(data.len()))
                .take_while(|row| {
                    data.key(prefix, *row)
                        .is_some_and(|key| description.contains(&key))
                })
                .map(|row| {
                    let deleted = self.random.percent(delete_percent);
                    revision += 1;
                    RowChange(prefix, row, (!deleted).then_some(revision))
                })
                .collect();
            return Some((region, changes));
        }
        None
    }

    /// Cuts a region into two or three.
    fn split(&mut self, scene: Scene<'_>, region: u64) -> Option<Wish> {
        let parts = if self.random.percent(25) { 3 } else { 2 };
        let derive_right = self.random.percent(50);
        split(scene, region, parts, derive_right).map(Wish::Track)
    }

    fn read(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.readable(scene, idle)?;
        let all = &peer.state.rows;
        let skip = self.random.below(all.len() as u64) as usize;
        // Some that are there, and some neighbours that may never have been or are deleted.
        let mut rows: Vec<(u32, u32)> = all
            .values()
            .skip(skip)
            .take(8)
            .map(|row| (row.prefix, row.row))
            .collect();
        let neighbours: Vec<(u32, u32)> = rows
            .iter()
            .map(|(prefix, row)| (*prefix, row.saturating_add(9)))
            .filter(|(prefix, row)| {
                let key = scene.data.key(*prefix, *row);
                key.is_some_and(|key| peer.state.description.contains(&key))
            })
            .collect();
        rows.extend(neighbours);
        let epoch = peer.state.description.epoch;
        Some(Wish::Probe(Do::Read {
            region,
            epoch,
            rows,
        }))
    }

    fn scan(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.readable(scene, idle)?;
        let Replicated {
            description, rows, ..
        } = &peer.state;
        let skip = self.random.below(rows.len() as u64) as usize;
        let mut keys = rows.keys().skip(skip);
        let start = keys.next().cloned().map_or(description.start.clone(), Key);
        let end = keys.nth(self.random.below(400) as usize).cloned().map(Key);
        let end = end.or_else(|| description.end.clone());
        let (epoch, reverse) = (description.epoch, self.random.percent(40));
        Some(Wish::Probe(Do::Scan {
            region,
            epoch,
            start,
            end,
            reverse,
        }))
    }

    fn change_peers(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let description = &peer.state.description;
        let others: Vec<PeerLine> = description
            .peers
            .iter()
            .filter(|peer| peer.store != STORE)
            .copied()
            .collect();
        let learner = others.iter().find(|peer| peer.learner);
        let own_may_go = others.iter().any(|peer| !peer.learner)
            && scene.model.normals().count() > NORMALS_MIN
            && scene.model.elsewhere.len() < ELSEWHERE_MAX;
        let change = if own_may_go && self.random.percent(10) {
            PeerChangeLine::Remove(peer.peer)
        } else if let Some(learner) = learner
            && self.random.percent(50)
        {
            PeerChangeLine::Promote(learner.id)
        } else if others.len() < 2 || (others.len() < 4 && self.random.percent(40)) {
            let free = |store: &u64| others.iter().all(|peer| peer.store != *store);
            let store = (STORE + 1..=STORES).find(free)?;
            let learner = self.random.percent(50);
            PeerChangeLine::Add(PeerLine {
                learner,
                ..PeerLine::voter(scene.model.next.peer, store)
            })
        } else {
            PeerChangeLine::Remove(self.random.pick(&others)?.id)
        };
        Some(Wish::Track(change_peers(
            scene.model,
            region,
            &peer.state,
            change,
        )))
    }

    fn take_snapshot(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let epoch = peer.state.description.epoch;
        // The driver fills in where the file goes.
        Some(Wish::Track(Do::TakeSnapshot {
            region,
            epoch,
            to: Default::default(),
        }))
    }

    fn destroy(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        if scene.model.normals().count() <= NORMALS_MIN
            || scene.model.elsewhere.len() >= ELSEWHERE_MAX
        {
            return None;
        }
        let epoch = peer.state.description.epoch;
        let removed = Epoch {
            conf_ver: epoch.conf_ver + 1,
            ..epoch
        };
        let removed = self.random.percent(50).then_some(removed);
        let (incarnation, peer) = (peer.incarnation, peer.peer);
        Some(Wish::Track(Do::Destroy {
            region,
            incarnation,
            peer,
            removed,
        }))
    }

    /// A region that lives elsewhere gets a new replica here: first by a message.
    fn rejoin(&mut self, scene: Scene<'_>) -> Option<Wish> {
        let mut absent: Vec<u64> = scene.model.elsewhere.keys().copied().collect();
        absent.retain(|id| !scene.model.peers.contains_key(id) && scene.idle(*id));
        let region = *self.random.pick(&absent)?;
        let epoch = scene.model.elsewhere.get(&region)?.description.epoch;
        let peer = scene.model.next.peer;
        Some(Wish::Track(Do::CreatePeer {
            region,
            peer,
            from_store: STORE + 1,
            epoch,
        }))
    }

    /// A message for a region that a split is yet to make; some such replicas die before it.
    fn message_before_split(&mut self, scene: Scene<'_>) -> Option<Wish> {
        let waiting = scene.uninitialized().find(|(id, _)| !scene.is_known(*id));
        match waiting {
            Some((region, peer)) if self.random.percent(30) => {
                let (incarnation, peer) = (peer.incarnation(), peer.peer());
                Some(Wish::Track(Do::Destroy {
                    region,
                    incarnation,
                    peer,
                    removed: None,
                }))
            }
            Some(_) => None,
            None => {
                let (region, peer) = (scene.model.next.region, scene.model.next.peer);
                let epoch = Epoch {
                    conf_ver: 1,
                    version: 2,
                };
                Some(Wish::Track(Do::CreatePeer {
                    region,
                    peer,
                    from_store: STORE + 1,
                    epoch,
                }))
            }
        }
    }

    fn load(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        self.loaded.push_back(region);
        if self.loaded.len() > LOADED_MAX {
            self.loaded.pop_front();
        }
        Some(Wish::Probe(Do::Load {
            region,
            epoch: peer.state.description.epoch,
        }))
    }

    /// A message for a replica that is dead: it must not come back.
    fn late_message(&mut self, scene: Scene<'_>) -> Option<Wish> {
        let dead: Vec<(u64, u64)> = scene
            .model
            .tombstones
            .iter()
            .map(|(region, peer)| (*region, *peer))
            .collect();
        let (region, peer) = *self.random.pick(&dead)?;
        let epoch = Epoch {
            conf_ver: 1,
            version: 1,
        };
        let late = Do::CreatePeer {
            region,
            peer,
            from_store: STORE + 1,
            epoch,
        };
        scene.idle(region).then_some(Wish::Probe(late))
    }

    /// A write with the epoch of before the last split.
    fn stale_write(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let Epoch { conf_ver, version } = peer.state.description.epoch;
        let epoch = Epoch {
            conf_ver,
            version: version.checked_sub(1).filter(|v| *v > 0)?,
        };
        let row = peer.state.rows.values().next()?;
        let rows = vec![RowChange(row.prefix, row.row, None)];
        let at = peer.state.next_position(scene.model.next.term);
        Some(Wish::Probe(Do::Write {
            region,
            epoch,
            at,
            rows,
            range: None,
        }))
    }

    /// Some neighbouring rows of a region, all at once.
    fn delete_range(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.normal(scene, idle)?;
        let state = &peer.state;
        let skip = self.random.below(state.rows.len() as u64) as usize;
        let mut keys = state.rows.keys().skip(skip);
        let start = Key(keys.next()?.clone());
        let end = keys.nth(self.random.below(200) as usize).cloned().map(Key);
        let end = end.or_else(|| state.description.end.clone());
        let range = KeyBounds { start, end };
        Some(Wish::Track(delete_range(scene.model, region, state, range)))
    }

    /// Two neighbours with replicas on the same stores, of which one is to become a part of the other.
    fn prepare_merge(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        if scene.model.normals().count() < MERGE_NORMALS_MIN {
            return None;
        }
        let seats = |peer: &Normal| {
            let peers = peer.state.description.peers.iter();
            peers
                .map(|one| (one.store, one.learner, one.witness))
                .collect::<BTreeSet<_>>()
        };
        let (region, source) = self.normal(scene, idle)?;
        let own = &source.state.description;
        let is_next = |other: &Normal| {
            let other = &other.state.description;
            other.end.as_ref() == Some(&own.start) || own.end.as_ref() == Some(&other.start)
        };
        let mut others = scene.model.normals();
        let (_, target) = others.find(|(id, other)| {
            *id != region && scene.idle(*id) && is_next(other) && seats(other) == seats(source)
        })?;
        let target = &target.state.description;
        Some(Wish::Track(prepare_merge(
            scene.model,
            region,
            &source.state,
            target,
        )))
    }

    fn hold(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let (region, peer) = self.readable(scene, idle)?;
        let epoch = peer.state.description.epoch;
        Some(Wish::Probe(Do::Hold { region, epoch }))
    }

    fn catch_up(&mut self, scene: Scene<'_>, idle: &[u64]) -> Option<Wish> {
        let region = *self.random.pick(idle)?;
        let (region, rows) = self.batch(scene, Some(region))?;
        let state = &scene.model.normal(region)?.state;
        let unseen = vec![write(scene.model, region, state, rows)];
        Some(Wish::CatchUp { region, unseen })
    }
}
