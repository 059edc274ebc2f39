//! Feeds against a plain model: a consumer that crashes with its store, or alone, rebuilds the whole store
//! from what it is told, and it is the same, byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk};

use super::*;
use crate::engine::{Background, Engine, Options};
use crate::lifecycle::{
    AttachRequest, Cause, Event, INITIAL_INDEX, Leads, ObserverEvent, Observers, Started,
};
use crate::observe::feed::FeedItem;
use crate::observe::{ChangeOp, LineageEvent, ObserverName, ObserverPolicy, ObserverRanges};
use crate::store::{Lost, MemoryFactory, MemoryStore};
use crate::{
    Answer, Derive, Key, KeyRange, NewRegion, Peer, PeerId, RaftPosition, Region, RegionEpoch,
    Split, StoreId, WriteAnswer, WriteBatch,
};

const STORE: StoreId = StoreId(4);
const TERM: u64 = 6;

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// A small generator: the seed is all that a failure needs.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Write(WriteBatch),
    Split { boundary: Key, child: u64 },
    Prepare { target: u64 },
    Merge { source: u64, commit: u64 },
}

/// The host: its log of every region, which survives everything.
#[derive(Clone, Debug, Default)]
struct Host {
    logs: BTreeMap<u64, Vec<(u64, Entry)>>,
    next_region: u64,
}

struct Rig {
    disk: SimDisk,
    data: MemoryStore,
    engine: Option<Engine>,
    host: Host,
}

fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: TERM }
}

fn peer(id: u64) -> Peer {
    Peer::voter(PeerId(id), STORE)
}

impl Rig {
    fn new(seed: u64) -> Rig {
        let mut rig = Rig {
            disk: SimDisk::new(seed),
            data: MemoryStore::new(),
            engine: None,
            host: Host {
                next_region: 2,
                ..Host::default()
            },
        };
        rig.open();
        let (id, range, epoch) = (RegionId(1), KeyRange::all(), RegionEpoch::BOOTSTRAP);
        let peers = vec![peer(10)];
        let answer = rig.engine().bootstrap(Region {
            id,
            range,
            epoch,
            peers,
        });
        assert!(answer.unwrap().holds());
        rig.host.logs.insert(1, Vec::new());
        rig
    }

    fn options(&self) -> Options {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        Engine::options()
            .store(STORE)
            .segment_bytes(64 * 1024)
            .background(Background::Manual)
            .disk(disk)
            .data(Arc::new(MemoryFactory::new(self.data.clone())))
    }

    fn open(&mut self) {
        let (engine, _) = self.options().open("store").unwrap();
        self.engine = Some(engine);
        self.resend();
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn core(&self) -> &Core {
        &self.engine().core
    }

    /// The process dies, and perhaps the power goes.
    fn crash(&mut self, random: &mut Random) {
        self.engine = None;
        match random.below(3) {
            0 => {
                self.disk = self.disk.process_kill();
                self.data = self.data.process_kill(Lost::AllButBatches(0));
            }
            1 => {
                let kept = 0;
                self.disk = self.disk.power_cut(CutChoice::Seeded(random.next()));
                self.data = self.data.power_cut(Lost::AllButBatches(kept));
            }
            _ => {
                self.disk = self.disk.power_cut(CutChoice::LoseAll);
                self.data = self.data.power_cut(Lost::AllButBatches(0));
            }
        }
        self.open();
    }

    /// A host sends its log again, from where each region is.
    fn resend(&mut self) {
        let mut again = true;
        while again {
            again = false;
            for (region, log) in self.host.logs.clone() {
                let Ok(start) = self.engine().raft_start(RegionId(region)) else {
                    continue;
                };
                for (index, entry) in &log {
                    let meta = start.status.meta.map_or(0, |meta| meta.index);
                    let from = match entry {
                        Entry::Write(_) => start.data.index,
                        _ => meta,
                    };
                    if *index > from && !self.apply(region, *index, entry) {
                        break;
                    }
                    // A merge takes its source away; whoever is next looks anew.
                    again |= *index > from && !matches!(entry, Entry::Write(_));
                }
            }
        }
    }

    fn epoch(&self, region: u64) -> RegionEpoch {
        let status = self.engine().region(RegionId(region)).unwrap();
        status.region.unwrap().epoch
    }

    fn range(&self, region: u64) -> Option<KeyRange> {
        let status = self.engine().region(RegionId(region))?;
        Some(status.region?.range.clone())
    }

    /// Applies an entry; false if it has to wait.
    fn apply(&mut self, region: u64, index: u64, entry: &Entry) -> bool {
        let (id, epoch) = (RegionId(region), self.epoch(region));
        match entry {
            Entry::Write(batch) => {
                let answer = self.engine().write(id, epoch, at(index), batch).unwrap();
                !matches!(answer, WriteAnswer::Refused(_))
            }
            Entry::Split { boundary, child } => {
                let split = Split {
                    region: id,
                    incarnation: None,
                    epoch,
                    position: at(index),
                    boundaries: vec![boundary.clone()],
                    children: vec![NewRegion {
                        id: RegionId(*child),
                        peers: vec![peer(100 + child)],
                    }],
                    derive: Derive::Left,
                };
                let answer = self.engine().split(split).unwrap();
                self.host.logs.entry(*child).or_default();
                answer.holds()
            }
            Entry::Prepare { target } => {
                let Some(description) = self.engine().region(RegionId(*target)) else {
                    return true;
                };
                let target = (*description.region.unwrap()).clone();
                let prepared = self
                    .engine()
                    .prepare_merge(id, epoch, at(index), target, index);
                prepared.unwrap().holds()
            }
            Entry::Merge { source, commit } => {
                let Some(description) = self.engine().region(RegionId(*source)) else {
                    return true;
                };
                let source = (*description.region.unwrap()).clone();
                let merged = self
                    .engine()
                    .commit_merge(id, epoch, at(index), source, *commit);
                !matches!(merged.unwrap(), Answer::Wait(_))
            }
        }
    }

    /// Adds an entry to a region's log and applies it.
    fn propose(&mut self, region: u64, entry: Entry) -> u64 {
        let log = self.host.logs.get_mut(&region).unwrap();
        let index = log.last().map_or(INITIAL_INDEX, |(index, _)| *index) + 1;
        log.push((index, entry.clone()));
        assert!(
            self.apply(region, index, &entry),
            "{region} {index} {entry:?}"
        );
        index
    }

    fn regions(&self) -> Vec<u64> {
        let regions = self.engine().regions();
        regions.iter().map(|status| status.id.0).collect()
    }

    /// What the engine holds, by family and key.
    fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for region in self.regions() {
            let view = self.engine().view(RegionId(region), self.epoch(region));
            let view = view.unwrap();
            for cf in self.engine().column_families().iter() {
                for row in view.scan_cf(cf, .., crate::store::Direction::Forward) {
                    let (key, value) = row.unwrap();
                    rows.insert((cf.number(), key.to_vec()), value.to_vec());
                }
            }
        }
        rows
    }

    /// Adds an observer of everything, from now on.
    fn observe(&self, name: &str, policy: ObserverPolicy) -> ObserverId {
        let core = self.core();
        core.history.ensure().unwrap();
        let started = |region: u64| {
            let id = RegionId(region);
            let live = core.published().incarnation(id).unwrap();
            let acked = core.applied_index(id, live);
            let meta = core.published().normal(id, live).unwrap().meta_index.index;
            Started {
                region: id,
                acked: acked.max(meta),
            }
        };
        let event = ObserverEvent::Add {
            name: ObserverName::new(name).unwrap(),
            ranges: ObserverRanges::new(vec![KeyRange::all()]).unwrap(),
            policy,
            starts: self.regions().into_iter().map(started).collect(),
        };
        let answer = core.commit(&Event::Observer(event), Cause::Host).unwrap();
        assert!(answer.holds(), "{answer:?}");
        let named = core.published().observers().named(name);
        named.unwrap()
    }

    /// Why a copy differs, for whoever looks into it.
    fn explain(
        &self,
        observer: ObserverId,
        consumer: &Consumer,
        key: &(u8, Vec<u8>),
        value: &[u8],
    ) -> String {
        let mut text = format!(
            "{} is {:?} of {} bytes, the copy has {:?}\n",
            key.1.escape_ascii(),
            value.first(),
            value.len(),
            consumer
                .rows
                .get(key)
                .map(|copy| (copy.first(), copy.len()))
        );
        for (region, log) in &self.host.logs {
            for (index, entry) in log {
                let touches = match entry {
                    Entry::Write(batch) => {
                        batch.ops().iter().any(|op| *op.key == *key.1)
                            || batch
                                .range_deletes()
                                .iter()
                                .any(|one| one.range.contains(&key.1))
                    }
                    Entry::Split { .. } | Entry::Prepare { .. } | Entry::Merge { .. } => true,
                };
                if touches {
                    let shown = match entry {
                        Entry::Write(batch) => format!("write of {}", batch.len()),
                        other => format!("{other:?}"),
                    };
                    text.push_str(&format!("r{region} {index} {shown}\n"));
                }
            }
        }
        let published = self.core().published();
        let known = published.observers().get(observer).unwrap();
        for (region, attachment) in known.attachments() {
            text.push_str(&format!(
                "{region} {:?} acked {} consumer {:?} history {:?}\n",
                attachment.state,
                attachment.acked,
                consumer.positions.get(&region),
                self.core().history.newest(region)
            ));
        }
        text
    }

    /// Attaches what is wanted, as the reconciler does.
    fn attach(&self, observer: ObserverId) {
        let core = self.core();
        let attachments = {
            let published = core.published();
            let known = published.observers().get(observer).unwrap();
            let wanted = known.attachments().filter(|(_, one)| !one.is_attached());
            let request = |region: RegionId| {
                let leads = published.incarnation(region).map(|incarnation| Leads {
                    incarnation,
                    term: TERM,
                    version: published
                        .peer(region)
                        .map_or(0, |peer| peer.stage.epoch().version),
                    applied: core.applied_index(region, incarnation),
                });
                AttachRequest {
                    observer,
                    region,
                    leads,
                }
            };
            wanted.map(|(region, _)| request(region)).collect()
        };
        let event = ObserverEvent::Attach { attachments };
        let _ = core.commit(&Event::Observer(event), Cause::Host).unwrap();
        // What the reconciler does for regions that were destroyed or taken in.
        let ends: Vec<crate::lifecycle::Ended> = {
            let published = core.published();
            let known = published.observers().get(observer).unwrap();
            let open = known
                .attachments()
                .filter_map(|(region, one)| match &one.state {
                    crate::lifecycle::AttachmentState::Draining(drain) if drain.end.is_none() => {
                        let end = core
                            .history
                            .newest(region)
                            .map_or(one.acked, |span| span.end_index);
                        Some(crate::lifecycle::Ended {
                            observer,
                            region,
                            end,
                        })
                    }
                    _ => None,
                });
            open.collect()
        };
        if !ends.is_empty() {
            let event = ObserverEvent::End { attachments: ends };
            let _ = core.commit(&Event::Observer(event), Cause::Host).unwrap();
        }
    }
}

/// A consumer: what it has durably, and what it has done since.
#[derive(Clone, Debug, Default)]
struct Consumer {
    rows: Rows,
    /// How far it is in each region.
    positions: BTreeMap<RegionId, u64>,
    generations: BTreeMap<RegionId, Generation>,
    /// How many entries it was told of a second time under one generation.
    repeats: u64,
    events: Vec<&'static str>,
}

impl Consumer {
    fn take(&mut self, item: &FeedItem) {
        if std::env::var_os("TRACE_FEED").is_some() {
            let text = format!("{item:?}");
            println!("  {}", text.chars().take(150).collect::<String>());
        }
        match item {
            FeedItem::Attached {
                region, generation, ..
            } => {
                self.generations.insert(*region, *generation);
            }
            FeedItem::Entry(entry) => {
                assert_eq!(Some(&entry.generation), self.generations.get(&entry.region));
                let known = self.positions.get(&entry.region).copied().unwrap_or(0);
                if entry.position.index <= known {
                    self.repeats += 1;
                    return;
                }
                for change in &entry.changes {
                    apply(&mut self.rows, &change.change.op, change.change.cf.number());
                }
                if entry.is_last {
                    self.positions.insert(entry.region, entry.position.index);
                }
            }
            FeedItem::Event(event) => {
                let known = self.positions.entry(event.region).or_insert(0);
                let is_new = event.position.index > *known;
                *known = (*known).max(event.position.index);
                self.events.push(event.event.as_str());
                if let LineageEvent::Split { children, .. } = &event.event
                    && is_new
                {
                    for child in children {
                        // Nothing of a part before its whole.
                        let part = self.positions.get(&child.region).copied().unwrap_or(0);
                        assert!(
                            part <= INITIAL_INDEX,
                            "{part} of {}: {event:?}",
                            child.region
                        );
                    }
                }
            }
            FeedItem::Progress { region, index, .. } => {
                let known = self.positions.get(region).copied().unwrap_or(0);
                assert!(known <= *index, "{region} is at {known}, progress {index}");
                self.positions.insert(*region, *index);
            }
            FeedItem::Reset { range, .. } => self.rows.retain(|(_, key), _| !range.contains(key)),
            FeedItem::Rows { rows, .. } => {
                for row in rows {
                    let key = (row.cf.number(), row.key.to_vec());
                    self.rows.insert(key, row.value.to_vec());
                }
            }
            FeedItem::Detached { .. } => {}
            FeedItem::Invalidated { .. } => self.events.push("invalidated"),
        }
    }

    fn acks(&self, published: &Observers, observer: ObserverId) -> Vec<Ack> {
        let positions = self.positions.iter().filter_map(|(region, index)| {
            let attachment = published.attachment(observer, *region)?;
            let generation = *self.generations.get(region)?;
            (attachment.generation == generation && attachment.acked < *index).then_some(Ack {
                region: *region,
                generation,
                index: *index,
            })
        });
        positions.collect()
    }
}

fn apply(rows: &mut Rows, op: &ChangeOp, cf: u8) {
    match op {
        ChangeOp::Put { key, value } => {
            rows.insert((cf, key.to_vec()), value.to_vec());
        }
        ChangeOp::Delete { key } => {
            rows.remove(&(cf, key.to_vec()));
        }
        ChangeOp::DeleteRange { range } => {
            rows.retain(|(family, key), _| *family != cf || !range.contains(key));
        }
    }
}

fn key_of(random: &mut Random, range: &KeyRange) -> Option<Key> {
    for _ in 0..40 {
        let key: Key = format!("k{:03}", random.below(300)).into_bytes().into();
        if range.contains(&key) {
            return Some(key);
        }
    }
    None
}

fn some_batch(random: &mut Random, range: &KeyRange) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..random.below(4) + 1 {
        let Some(key) = key_of(random, range) else {
            break;
        };
        let cf = crate::ColumnFamily::ALL[random.below(3) as usize];
        match random.below(8) {
            0 => {
                batch.delete_cf(cf, key);
            }
            1 => {
                let mut end = key.to_vec();
                end.push(b'9');
                let span = KeyRange::new(key, Some(end)).unwrap();
                if let Some(span) = span.intersection(range) {
                    batch.delete_range_cf(cf, span);
                }
            }
            2 => {
                let bytes = random.below(90_000) as usize;
                batch.put_cf(cf, key, vec![random.below(256) as u8; bytes]);
            }
            _ => {
                batch.put_cf(cf, key, random.next().to_le_bytes());
            }
        }
    }
    batch
}

fn drain(subscription: &mut Subscription, consumer: &mut Consumer, most: u64) -> u64 {
    let mut count = 0;
    while count < most
        && let Some(item) = subscription.try_next().unwrap()
    {
        consumer.take(&item);
        count += 1;
    }
    count
}

fn history(seed: u64, steps: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let mut rig = Rig::new(seed);
    let observer = rig.observe("copy", ObserverPolicy::default());
    rig.attach(observer);
    let mut durable = Consumer::default();
    let mut consumer = durable.clone();
    let mut subscription = Some(
        rig.engine()
            .observe(observer, ObserveOptions::default())
            .unwrap(),
    );
    let (mut crashes, mut acks) = (0, 0);
    for _ in 0..steps {
        match random.below(100) {
            0..55 => {
                let regions = rig.regions();
                let region = regions[random.below(regions.len() as u64) as usize];
                let range = rig.range(region).unwrap();
                let batch = some_batch(&mut random, &range);
                rig.propose(region, Entry::Write(batch));
            }
            55..60 => {
                let regions = rig.regions();
                let region = regions[random.below(regions.len() as u64) as usize];
                let range = rig.range(region).unwrap();
                let boundary = key_of(&mut random, &range);
                if let Some(boundary) = boundary.filter(|key| key != range.start()) {
                    let child = rig.host.next_region;
                    rig.host.next_region += 1;
                    rig.propose(region, Entry::Split { boundary, child });
                }
            }
            60..63 => merge_some(&mut rig, &mut random),
            63..70 => drop(rig.engine().flush().unwrap()),
            70..72 => drop(rig.engine().checkpoint().unwrap()),
            72..74 => drop(rig.engine().retain_history().unwrap()),
            74..90 => {
                rig.attach(observer);
                let most = random.below(40);
                drain(subscription.as_mut().unwrap(), &mut consumer, most);
            }
            90..96 => {
                let published = rig.core().published().observers().clone();
                let positions = consumer.acks(&published, observer);
                let is_durable = random.below(2) == 0;
                // What it has is durable before it says so.
                durable = consumer.clone();
                let answer = rig.engine().ack(observer, &positions, is_durable).unwrap();
                assert!(!matches!(answer, AckAnswer::Refused(_)), "{answer:?}");
                acks += 1;
            }
            96..98 => {
                // The consumer dies alone.
                if std::env::var_os("TRACE_FEED").is_some() {
                    println!("  consumer dies");
                }
                consumer = durable.clone();
                consumer.generations.clear();
                drop(subscription.take());
                detach_all(&rig, observer);
                rig.attach(observer);
                let again = rig.engine().observe(observer, ObserveOptions::default());
                subscription = Some(again.unwrap());
            }
            _ => {
                if std::env::var_os("TRACE_FEED").is_some() {
                    println!("  crash");
                }
                crashes += 1;
                drop(subscription.take());
                rig.crash(&mut random);
                let restart = Event::Observer(ObserverEvent::Restart);
                let _ = rig.core().commit(&restart, Cause::Recovery).unwrap();
                consumer = durable.clone();
                consumer.generations.clear();
                rig.attach(observer);
                let again = rig.engine().observe(observer, ObserveOptions::default());
                subscription = Some(again.unwrap());
            }
        }
    }
    rig.engine().flush().unwrap();
    for _ in 0..3 {
        rig.attach(observer);
        drain(subscription.as_mut().unwrap(), &mut consumer, u64::MAX);
    }
    assert!(!consumer.events.contains(&"invalidated"), "seed {seed}");
    let expected = rig.rows();
    let missing = expected
        .iter()
        .find(|(key, value)| consumer.rows.get(*key) != Some(*value));
    if let Some((key, value)) = missing {
        panic!(
            "seed {seed}: {}",
            rig.explain(observer, &consumer, key, value)
        );
    }
    let more = consumer
        .rows
        .keys()
        .find(|key| !expected.contains_key(*key));
    if let Some(key) = more {
        panic!(
            "seed {seed}: {}",
            rig.explain(observer, &consumer, key, &[])
        );
    }
    (crashes, acks)
}

/// Ends every attachment, as when a consumer's connection ends.
fn detach_all(rig: &Rig, observer: ObserverId) {
    let restart = Event::Observer(ObserverEvent::Restart);
    let _ = rig.core().commit(&restart, Cause::Host).unwrap();
    let _ = observer;
}

fn merge_some(rig: &mut Rig, random: &mut Random) {
    let regions = rig.regions();
    let source = regions[random.below(regions.len() as u64) as usize];
    let range = rig.range(source).unwrap();
    let target = regions.iter().copied().find(|target| {
        let other = rig.range(*target).unwrap();
        *target != source && other.end() == Some(range.start())
    });
    if let Some(target) = target {
        let commit = rig.propose(source, Entry::Prepare { target });
        rig.propose(target, Entry::Merge { source, commit });
    }
}

/// All, or the one that `TRACE_FEED` names.
fn seeds() -> std::ops::Range<u64> {
    let one = std::env::var("TRACE_FEED").ok();
    let one = one.and_then(|seed| seed.parse().ok());
    one.map_or(0..40, |seed: u64| seed..seed + 1)
}

#[test]
fn a_consumer_rebuilds_the_store_whatever_crashes() {
    let (mut crashes, mut acks) = (0, 0);
    for seed in seeds() {
        println!("seed {seed}");
        let (crashed, acked) = history(seed, 300);
        crashes += crashed;
        acks += acked;
    }
    assert!(
        crashes > 100 && acks > 200,
        "{crashes} crashes, {acks} acks"
    );
}
