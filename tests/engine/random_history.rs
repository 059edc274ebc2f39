//! Random histories against a plain model, on the simulated machine: it dies at random operations,
//! comes back with a random part of what was not synced, dies again while it opens, and must always
//! show the state before or after what was under way. The host sends its log again from `data_index`
//! and truncates it at `truncate_floor`, nothing else; views are held over everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use torrens::snapshot::{SnapshotMeta, SnapshotName, SnapshotWriter};
use torrens::store::Lost;
use torrens::{
    Answer, Derive, DestroyCause, Engine, EngineError, Incarnation, KeyRange, NewRegion, PeerId,
    ReadError, Region, RegionEpoch, RegionId, RegionView, Sequence, Split, StoreId, WriteBatch,
};
use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};

use crate::support::*;

type Data = BTreeMap<Vec<u8>, Vec<u8>>;
type Puts = Vec<(Vec<u8>, Option<Vec<u8>>)>;

const HISTORIES: u64 = 150;
const STEPS: u64 = 60;

/// Small numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len().max(1) as u64) as usize;
        from.get(at).copied()
    }
}

/// A serving peer, as its host and the model know it.
#[derive(Clone, Debug, PartialEq)]
struct Serving {
    start: u8,
    end: u8,
    version: u64,
    meta: u64,
    index: u64,
    data: Data,
    /// What the host still has of its log: index, version, batch.
    log: Vec<(u64, u64, Puts)>,
    /// Up to here the host threw its log away.
    truncated: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Model {
    peers: BTreeMap<u64, (u64, Option<Serving>)>,
    tombstones: BTreeMap<u64, u64>,
    next_region: u64,
    next_peer: u64,
}

/// What a step does, decided from the model alone.
#[derive(Clone, Debug)]
enum Step {
    Write(u64, u64, Puts),
    Split(u64, u64, u8, u64, u64),
    Create(u64, u64),
    Destroy(u64, u64),
    /// Region, peer, start, end, version, index, rows.
    Snapshot(u64, u64, (u8, u8), u64, u64, Data),
    Load(u64),
    Evict(u64),
    View(u64),
    Truncate(u64),
    Flush,
    Checkpoint,
    Tick,
    Background,
}

/// What identifies a store's state: peer, and of a serving one version, range and meta index.
type Summary = (
    BTreeMap<u64, (u64, Option<(u64, Vec<u8>, Option<Vec<u8>>, u64)>)>,
    BTreeMap<u64, u64>,
);

/// Keys are one letter and a digit; `{` ends the key space.
fn bound(letter: u8) -> Option<Vec<u8>> {
    (letter < b'{').then(|| vec![letter])
}

fn range(start: u8, end: u8) -> KeyRange {
    let first = if start == b'a' { vec![] } else { vec![start] };
    KeyRange::new(first, bound(end)).unwrap()
}

impl Model {
    fn new() -> Model {
        let whole = Serving {
            start: b'a',
            end: b'{',
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
        }
    }

    fn serving(&self) -> Vec<u64> {
        let serving =
            |(id, (_, serving)): (&u64, &(u64, Option<Serving>))| serving.as_ref().map(|_| *id);
        self.peers.iter().filter_map(serving).collect()
    }

    fn at(&self, region: u64) -> &Serving {
        self.peers[&region].1.as_ref().unwrap()
    }

    fn at_mut(&mut self, region: u64) -> &mut Serving {
        self.peers.get_mut(&region).unwrap().1.as_mut().unwrap()
    }

    fn summary(&self) -> Summary {
        let peer = |(id, (peer, serving)): (&u64, &(u64, Option<Serving>))| {
            let serving = serving.as_ref().map(|s| {
                let range = range(s.start, s.end);
                let end = range.end().map(|end| end.to_vec());
                (s.version, range.start().to_vec(), end, s.meta)
            });
            (*id, (*peer, serving))
        };
        (
            self.peers.iter().map(peer).collect(),
            self.tombstones.clone(),
        )
    }

    /// A letter range that nobody owns.
    fn gap(&self) -> Option<(u8, u8)> {
        let mut owned: Vec<(u8, u8)> = self
            .peers
            .values()
            .filter_map(|(_, serving)| serving.as_ref().map(|s| (s.start, s.end)))
            .collect();
        owned.sort_unstable();
        let mut at = b'a';
        for (start, end) in owned {
            if at < start {
                return Some((at, start));
            }
            at = end;
        }
        (at < b'{').then_some((at, b'{'))
    }

    fn rows(random: &mut Random, start: u8, end: u8) -> Data {
        let row = |random: &mut Random| {
            let letter = start + random.below(u64::from(end - start)) as u8;
            let key = vec![letter, b'0' + random.below(3) as u8];
            (key, random.below(1000).to_string().into_bytes())
        };
        (0..1 + random.below(4)).map(|_| row(random)).collect()
    }

    fn choose(&self, random: &mut Random) -> Option<Step> {
        let serving = self.serving();
        let any = random.pick(&serving);
        Some(match random.below(24) {
            0..8 => {
                let (id, s) = (any?, self.at(any?));
                let puts = Model::rows(random, s.start, s.end).into_iter();
                let puts = puts.map(|(key, value)| (key, (random.below(4) > 0).then_some(value)));
                Step::Write(id, s.index + 1, puts.collect())
            }
            8 | 9 => {
                let (id, s) = (any?, self.at(any?));
                let room = s.end - s.start;
                if room < 2 {
                    return None;
                }
                let boundary = s.start + 1 + random.below(u64::from(room) - 1) as u8;
                // A new region, one that a message made already, or one that came and went.
                let known: Vec<(u64, u64)> = self
                    .peers
                    .iter()
                    .filter(|(_, (_, serving))| serving.is_none())
                    .map(|(id, (peer, _))| (*id, *peer))
                    .chain(self.tombstones.iter().map(|(id, peer)| (*id, *peer)))
                    .filter(|(child, _)| *child != id)
                    .collect();
                let new = (self.next_region, self.next_peer);
                let child = match random.below(2) {
                    0 => random.pick(&known).unwrap_or(new),
                    _ => new,
                };
                Step::Split(id, s.index + 1, boundary, child.0, child.1)
            }
            10 => Step::Create(self.next_region, self.next_peer),
            11 => {
                let peers: Vec<u64> = self.peers.keys().copied().collect();
                let id = random.pick(&peers)?;
                Step::Destroy(id, self.peers[&id].0)
            }
            12 | 13 => {
                let bare: Vec<u64> = self.peers.keys().copied().collect();
                let id = random.pick(&bare)?;
                let (peer, serving) = &self.peers[&id];
                let (start, end, version, index) = match serving {
                    Some(s) if random.below(3) == 0 && s.end - s.start > 1 => {
                        (s.start, s.end - 1, s.version + 1, s.index + 3)
                    }
                    Some(s) => (s.start, s.end, s.version, s.index + 3),
                    None => {
                        let (start, end) = self.gap()?;
                        (start, end, 40, 30)
                    }
                };
                let rows = Model::rows(random, start, end);
                Step::Snapshot(id, *peer, (start, end), version, index, rows)
            }
            14 | 15 => Step::Load(any?),
            16 => Step::Evict(any?),
            17 => Step::View(any?),
            18 => Step::Truncate(any?),
            19 => Step::Flush,
            20 => Step::Checkpoint,
            21 => Step::Tick,
            _ => Step::Background,
        })
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Write(id, index, puts) => {
                let s = self.at_mut(*id);
                s.log.push((*index, s.version, puts.clone()));
                s.index = *index;
                for (key, value) in puts {
                    match value {
                        Some(value) => s.data.insert(key.clone(), value.clone()),
                        None => s.data.remove(key),
                    };
                }
            }
            Step::Split(id, index, boundary, child, peer) => {
                let is_skipped = self
                    .tombstones
                    .get(child)
                    .is_some_and(|highest| highest >= peer);
                let s = self.at_mut(*id);
                let data = s.data.split_off(&vec![*boundary]);
                s.version += 1;
                (s.meta, s.index) = (*index, *index);
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
                if !is_skipped {
                    self.peers.insert(*child, (*peer, Some(part)));
                }
                self.note(*child, *peer);
            }
            Step::Create(id, peer) => {
                self.peers.insert(*id, (*peer, None));
                self.note(*id, *peer);
            }
            Step::Destroy(id, peer) => {
                self.peers.remove(id);
                self.tombstones.insert(*id, *peer);
            }
            Step::Snapshot(id, _, (start, end), version, index, rows) => {
                let serving = Serving {
                    start: *start,
                    end: *end,
                    version: *version,
                    meta: *index,
                    index: *index,
                    data: rows.clone(),
                    log: vec![],
                    truncated: *index,
                };
                self.peers.get_mut(id).unwrap().1 = Some(serving);
            }
            Step::Load(_)
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
}

fn summary(engine: &Engine) -> Summary {
    let peers = engine.regions().into_iter().map(|status| {
        assert!(
            ["normal", "uninitialized"].contains(&status.stage),
            "{status:?}"
        );
        let serving = status.region.map(|region| {
            let end = region.range.end().map(|end| end.to_vec());
            let start = region.range.start().to_vec();
            (region.epoch.version, start, end, status.meta.unwrap().index)
        });
        (status.id.0, (status.peer.0, serving))
    });
    let tombstones = engine.tombstones().into_iter();
    (
        peers.collect(),
        tombstones.map(|(id, t)| (id.0, t.highest_peer.0)).collect(),
    )
}

fn batch(puts: &Puts) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (key, value) in puts {
        match value {
            Some(value) => batch.put(key.clone(), value.clone()),
            None => batch.delete(key.clone()),
        };
    }
    batch
}

fn version(version: u64) -> RegionEpoch {
    RegionEpoch {
        conf_ver: 1,
        version,
    }
}

fn sent(step: &Step) -> (SnapshotName, Vec<u8>) {
    let Step::Snapshot(id, own, (start, end), epoch, index, rows) = step else {
        panic!("no snapshot: {step:?}")
    };
    let (elsewhere, dir) = (Arc::new(SimDisk::new(5)), Path::new("other"));
    elsewhere.create_dir_all(dir).unwrap();
    let meta = SnapshotMeta {
        region: Region {
            id: RegionId(*id),
            range: range(*start, *end),
            epoch: version(*epoch),
            peers: vec![peer(*own, STORE.0)],
        },
        index: *index,
        term: 6,
        sequence: Sequence::new(1),
    };
    let mut writer = SnapshotWriter::create(elsewhere.clone(), dir, *index, &meta).unwrap();
    for (key, value) in rows {
        writer.push(key, value).unwrap();
    }
    let name = writer.finish().unwrap().name;
    (name, elsewhere.contents(&name.path_in(dir)).unwrap())
}

/// Everything of a run.
struct Run {
    engine: Engine,
    model: Model,
    views: Vec<(RegionView, Data)>,
}

impl Run {
    fn play(&mut self, step: &Step) -> Result<(), EngineError> {
        let engine = &self.engine;
        match step {
            Step::Write(id, index, puts) => {
                let epoch = version(self.model.at(*id).version);
                written(engine.write(RegionId(*id), epoch, at(*index), &batch(puts)))
            }
            Step::Split(id, index, boundary, child, own) => {
                let split = Split {
                    region: RegionId(*id),
                    incarnation: None,
                    epoch: version(self.model.at(*id).version),
                    position: at(*index),
                    boundaries: vec![vec![*boundary].into()],
                    children: vec![NewRegion {
                        id: RegionId(*child),
                        peers: vec![peer(*own, STORE.0)],
                    }],
                    derive: Derive::Left,
                };
                holds(engine.split(split))
            }
            Step::Create(id, own) => {
                let (id, own) = (RegionId(*id), PeerId(*own));
                holds(engine.create_peer(id, own, StoreId(5), version(1)))
            }
            Step::Destroy(id, own) => {
                let (id, own) = (RegionId(*id), PeerId(*own));
                holds(engine.destroy(
                    id,
                    known_epoch(engine, id),
                    None,
                    own,
                    DestroyCause::Operator,
                ))
            }
            Step::Snapshot(id, ..) => {
                let (name, bytes) = sent(step);
                // Ranges that are being cleared have to be clear.
                engine.wait_idle()?;
                engine.remove_snapshot(name)?;
                let staged = engine.receive_snapshot(name, bytes.as_slice())?;
                let own: Incarnation = incarnation(engine, *id);
                holds(engine.apply_snapshot(RegionId(*id), own, &staged))
            }
            Step::Load(id) => {
                let epoch = version(self.model.at(*id).version);
                holds(engine.load(RegionId(*id), epoch))
            }
            Step::Evict(id) => holds(engine.evict(RegionId(*id))),
            Step::View(id) => {
                let s = self.model.at(*id);
                let view = engine.view(RegionId(*id), version(s.version)).unwrap();
                self.views.push((view, s.data.clone()));
                Ok(())
            }
            Step::Truncate(id) => {
                let floor = engine.raft_start(RegionId(*id)).unwrap().truncate_floor;
                let s = self.model.at_mut(*id);
                s.log.retain(|(index, ..)| *index > floor);
                s.truncated = s.truncated.max(floor);
                Ok(())
            }
            Step::Flush => engine.flush().map(drop),
            Step::Checkpoint => engine.checkpoint().map(drop),
            Step::Tick => engine.tick(),
            Step::Background => engine.step_background().map(drop),
        }
    }

    /// What everybody sees is what the model says; a view shows its moment or says that it ended.
    fn check(&mut self) {
        assert_eq!(summary(&self.engine), self.model.summary());
        for (id, (_, serving)) in &self.model.peers {
            let Some(s) = serving else { continue };
            let view = self.engine.view(RegionId(*id), version(s.version)).unwrap();
            assert_eq!(read(&view).unwrap(), s.data, "region {id}");
        }
        self.views.retain(|(view, data)| match read(view) {
            Ok(seen) => {
                assert_eq!(seen, *data, "a view of {}", view.region().id);
                true
            }
            Err(ReadError::ViewEnded { .. }) => false,
            Err(error) => panic!("{error}"),
        });
    }

    /// The host after a restart: sends again what the store says that it lacks.
    fn send_again(&mut self) -> Result<(), EngineError> {
        for id in self.model.serving() {
            let s = self.model.at(id);
            let have = self.engine.raft_start(RegionId(id))?.data.index;
            assert!(
                have >= s.truncated,
                "{id}: {have}, log from {}",
                s.truncated
            );
            for (index, of_version, puts) in s.log.iter().filter(|entry| entry.0 > have) {
                assert_eq!(*of_version, s.version, "{id}: {index} cannot be sent again");
                let epoch = version(s.version);
                written(
                    self.engine
                        .write(RegionId(id), epoch, at(*index), &batch(puts)),
                )?;
            }
        }
        Ok(())
    }
}

fn read(view: &RegionView) -> Result<Data, ReadError> {
    let text = |row: Result<(torrens::Key, _), ReadError>| {
        row.map(|(key, value): (_, torrens::store::Value)| (key.to_vec(), value.to_vec()))
    };
    view.scan(..).map(text).collect()
}

/// The machine comes back in some way.
fn come_back(world: &World, random: &mut Random) -> World {
    let lost = match random.below(4) {
        0 => Lost::Unflushed,
        1 => Lost::AllButBatches(random.below(8) as usize),
        _ => Lost::AllButBatches(usize::MAX),
    };
    match random.below(6) {
        0 => world.power_cut(CutChoice::LoseAll, lost),
        1 => world.power_cut(CutChoice::Seeded(random.below(u64::MAX)), lost),
        2 => world.power_cut(CutChoice::KeepAll, lost),
        _ => world.kill(lost),
    }
}

/// Opens until it survives; the machine may die while it opens.
fn reopen(world: &mut World, random: &mut Random) -> Engine {
    loop {
        *world = come_back(world, random);
        if random.below(3) == 0 {
            let op = world.disk.ops() + 1 + random.below(30);
            world.disk.fail_at(op, SimFault::Dies);
        }
        match world.open() {
            Ok((engine, report)) => {
                assert!(report.damaged.is_empty(), "{report}");
                world.disk.clear_faults();
                if engine.wait_idle().is_ok() {
                    return engine;
                }
                assert!(world.disk.is_dead(), "work fails without a fault");
            }
            Err(error) => assert!(world.disk.is_dead(), "{error:?}"),
        }
    }
}

fn play_history(seed: u64) -> u64 {
    let mut random = Random(seed);
    let mut world = World::new(seed);
    let (engine, _) = world.open().unwrap();
    let whole = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer(10, STORE.0)],
    };
    let bootstrapped: Answer = engine.bootstrap(whole).unwrap();
    assert!(bootstrapped.holds());
    let (model, views) = (Model::new(), vec![]);
    let mut run = Run {
        engine,
        model,
        views,
    };
    let mut crashes = 0;
    for _ in 0..STEPS {
        if random.below(4) == 0 {
            let op = world.disk.ops() + 1 + random.below(25);
            world.disk.fail_at(op, SimFault::Dies);
        }
        let Some(step) = run.model.choose(&mut random) else {
            continue;
        };
        let before = run.model.clone();
        let outcome = run.play(&step);
        run.model.apply(&step);
        if outcome.is_ok() {
            if !world.disk.is_dead() {
                run.check();
            }
            continue;
        }
        assert!(world.disk.is_dead(), "{step:?} failed: {outcome:?}");
        crashes += 1;
        run.views.clear();
        run.engine = reopen(&mut world, &mut random);
        if summary(&run.engine) == before.summary() && !matches!(step, Step::Write(..)) {
            run.model = before;
        }
        run.send_again().unwrap();
        run.check();
        assert_eq!(orphans(&world, &run.engine), Vec::<Vec<u8>>::new());
    }
    crashes
}

#[test]
fn any_history_with_crashes_is_what_the_model_says() {
    let first: u64 = match std::env::var("TORRENS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => 1,
    };
    let mut crashes = 0;
    for seed in (first..).take(HISTORIES as usize) {
        let played = std::panic::catch_unwind(|| play_history(seed * 0x9e37_79b9));
        crashes += played.unwrap_or_else(|panic| {
            eprintln!("play it again with TORRENS_SEED={seed}");
            std::panic::resume_unwind(panic)
        });
    }
    println!("{HISTORIES} histories from seed {first}, {crashes} crashes");
    assert!(crashes > HISTORIES, "{crashes} crashes are too few");
}
