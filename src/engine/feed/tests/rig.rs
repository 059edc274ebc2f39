//! A host with its log of every region, and the store that it works on.
//!
//! Not here: what happens to them (`super`).

use std::collections::BTreeMap;
use std::sync::Arc;

use torrens_journal::disk::Disk;
use torrens_journal::testing::{CutChoice, SimDisk, SimFault};

use super::consumer::Consumer;
use super::{Random, Rows};
use crate::engine::core::Core;
use crate::engine::{Background, Engine, Options};
use crate::lifecycle::{AttachRequest, Cause, Event, INITIAL_INDEX, Leads, ObserverEvent, Started};
use crate::observe::{ObserverId, ObserverName, ObserverPolicy, ObserverRanges};
use crate::store::{Lost, MemoryFactory, MemoryStore};
use crate::{
    Answer, Derive, Key, KeyRange, NewRegion, Peer, PeerId, RaftPosition, Region, RegionEpoch,
    RegionId, Split, StoreId, WriteAnswer, WriteBatch,
};

const STORE: StoreId = StoreId(4);
const TERM: u64 = 6;

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Write(WriteBatch),
    Split { boundary: Key, child: u64 },
    Prepare { target: u64 },
    Merge { source: u64, commit: u64 },
}

/// The host: its log of every region, which survives everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    logs: BTreeMap<u64, Vec<(u64, Entry)>>,
    pub(super) next_region: u64,
}

pub(super) struct Rig {
    disk: SimDisk,
    data: MemoryStore,
    engine: Option<Engine>,
    pub(super) host: Host,
}

fn at(index: u64) -> RaftPosition {
    RaftPosition { index, term: TERM }
}

fn peer(id: u64) -> Peer {
    Peer::voter(PeerId(id), STORE)
}

impl Rig {
    pub(super) fn new(seed: u64) -> Rig {
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
        self.open_only();
        self.resend();
    }

    /// Before the host has sent anything again.
    fn open_only(&mut self) {
        let (engine, _) = self.options().open("store").unwrap();
        self.engine = Some(engine);
    }

    /// The power goes, and takes everything that no barrier had reached; nothing was sent again yet.
    pub(super) fn back_to_the_barrier(&mut self) {
        self.engine = None;
        self.disk = self.disk.power_cut(CutChoice::LoseAll);
        self.data = self.data.power_cut(Lost::AllButBatches(0));
        self.open_only();
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub(super) fn core(&self) -> &Core {
        &self.engine().core
    }

    /// The process dies, and perhaps the power goes.
    pub(super) fn crash(&mut self, random: &mut Random) {
        self.engine = None;
        // What no barrier had reached is there wholly, in part, or not at all.
        let lost = match random.below(4) {
            0 => Lost::AllButBatches(0),
            1 => Lost::AllButBatches(usize::MAX),
            2 => Lost::AllButBatches(usize::try_from(random.below(20)).unwrap()),
            _ => Lost::Scattered(random.next()),
        };
        match random.below(3) {
            0 => {
                self.disk = self.disk.process_kill();
                self.data = self.data.process_kill(lost);
            }
            1 => {
                self.disk = self.disk.power_cut(CutChoice::Seeded(random.next()));
                self.data = self.data.power_cut(lost);
            }
            _ => {
                self.disk = self.disk.power_cut(CutChoice::LoseAll);
                self.data = self.data.power_cut(lost);
            }
        }
        self.open();
    }

    /// Carries `work` out with the process dying at one of the next operations of the disk; whether it did.
    pub(super) fn dies_in(&self, random: &mut Random, work: impl FnOnce(&Engine)) -> bool {
        let op = self.disk.ops() + 1 + random.below(14);
        self.disk.fail_at(op, SimFault::DiesMidway);
        work(self.engine());
        self.disk.clear_faults();
        self.disk.is_dead()
    }

    /// A host sends its log again, from where each region is.
    pub(super) fn resend(&mut self) {
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

    pub(super) fn epoch(&self, region: u64) -> RegionEpoch {
        let status = self.engine().region(RegionId(region)).unwrap();
        status.region.unwrap().epoch
    }

    pub(super) fn range(&self, region: u64) -> Option<KeyRange> {
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
    pub(super) fn propose(&mut self, region: u64, entry: Entry) -> u64 {
        let log = self.host.logs.get_mut(&region).unwrap();
        let index = log.last().map_or(INITIAL_INDEX, |(index, _)| *index) + 1;
        log.push((index, entry.clone()));
        assert!(
            self.apply(region, index, &entry),
            "{region} {index} {entry:?}"
        );
        index
    }

    pub(super) fn regions(&self) -> Vec<u64> {
        let regions = self.engine().regions();
        regions.iter().map(|status| status.id.0).collect()
    }

    /// What the engine holds, by family and key.
    pub(super) fn rows(&self) -> Rows {
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
    pub(super) fn observe(&self, name: &str, policy: ObserverPolicy) -> ObserverId {
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
    pub(super) fn explain(
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
    pub(super) fn attach(&self, observer: ObserverId) {
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
