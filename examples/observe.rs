//! An observer that keeps a copy of the store through splits, a crash and a restart:
//! `cargo run --example observe`.
//!
//! One promise: the copy equals the store, and nothing that was acknowledged comes a second time. The disk
//! and the data store are simulated, so that the power can be cut: what was not synced is gone, and the
//! host sends its log again.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use torrens::engine::{Ack, AckAnswer, ObserveOptions, Subscription};
use torrens::observe::{ChangeOp, FeedItem};
use torrens::store::{Lost, MemoryFactory, MemoryStore};
use torrens::{
    AddedObserver, Background, Derive, Engine, Key, KeyRange, LeadershipRole, NewRegion,
    ObserverId, ObserverName, ObserverPolicy, Peer, PeerId, RaftPosition, Region, RegionId, Split,
    StartFrom, StoreId, Value, WriteBatch,
};
use torrens_journal::testing::{CutChoice, SimDisk};

type Rows = BTreeMap<Key, Value>;

/// The term in which this store leads every region.
const TERM: u64 = 6;

/// What the host's Raft log has of one region, and sends again after a crash.
#[derive(Clone)]
enum Entry {
    Put(&'static str, &'static str),
    Delete(&'static str),
    Split(&'static str, u64),
}

/// The host: its log is kept whatever happens to the store.
#[derive(Default)]
struct Host {
    log: Vec<(RegionId, u64, Entry)>,
}

impl Host {
    /// Commits an entry of a region and applies it.
    fn commit(&mut self, engine: &Engine, region: u64, entry: Entry) -> Result<(), Box<dyn Error>> {
        let region = RegionId(region);
        let of_region = self.log.iter().filter(|(id, ..)| *id == region);
        let index = 6 + of_region.count() as u64;
        self.log.push((region, index, entry));
        self.send_from(engine, self.log.len() - 1)
    }

    /// Sends the log from a place on; what the store has it answers as applied already.
    fn send_from(&self, engine: &Engine, place: usize) -> Result<(), Box<dyn Error>> {
        for (region, index, entry) in self.log.iter().skip(place) {
            let status = engine.region(*region).ok_or("no such region")?;
            let epoch = status.region.ok_or("no description")?.epoch;
            let position = RaftPosition {
                index: *index,
                term: TERM,
            };
            let mut batch = WriteBatch::new();
            match entry {
                Entry::Put(key, value) => batch.put(key.as_bytes(), value.as_bytes()),
                Entry::Delete(key) => batch.delete(key.as_bytes()),
                Entry::Split(boundary, child) => {
                    // A replayed record has made it already: its region is there.
                    if engine.region(RegionId(*child)).is_none() {
                        let split = Split {
                            region: *region,
                            incarnation: None,
                            epoch,
                            position,
                            boundaries: vec![boundary.as_bytes().into()],
                            children: vec![NewRegion {
                                id: RegionId(*child),
                                peers: vec![Peer::voter(PeerId(*child), StoreId(1))],
                            }],
                            derive: Derive::Left,
                        };
                        assert!(engine.split(split)?.holds());
                    }
                    continue;
                }
            };
            let _ = engine.write(*region, epoch, position, &batch)?;
        }
        // Raft has elected this store's peers.
        for status in engine.regions() {
            let leader = LeadershipRole::Leader;
            let _ = engine.report_leadership(status.id, status.incarnation, TERM, leader)?;
        }
        Ok(())
    }
}

/// The consumer: a copy of the rows, and how far it has been told of each region.
#[derive(Default)]
struct Copy {
    rows: Rows,
    told: BTreeMap<RegionId, u64>,
    entries: usize,
    repeated: usize,
}

impl Copy {
    /// Takes what there is, and acknowledges it durably.
    fn follow(&mut self, engine: &Engine, feed: &mut Subscription) -> Result<(), Box<dyn Error>> {
        // A barrier makes the data durable; only then is it told.
        engine.flush()?;
        engine.wait_idle()?;
        let mut acks = BTreeMap::new();
        while let Some(item) = feed.try_next()? {
            if let FeedItem::Entry(entry) = &item {
                self.entries += 1;
                let told = self.told.entry(entry.region).or_default();
                self.repeated += usize::from(entry.position.index <= *told);
                *told = entry.position.index;
                for change in &entry.changes {
                    match &change.change.op {
                        ChangeOp::Put { key, value } => {
                            self.rows.insert(key.clone(), value.clone());
                        }
                        ChangeOp::Delete { key } => drop(self.rows.remove(key)),
                        ChangeOp::DeleteRange { range } => {
                            self.rows.retain(|key, _| !range.contains(key));
                        }
                    }
                }
            }
            if let Some(index) = item.acknowledges() {
                let (region, generation) = (item.region(), item.generation());
                let ack = Ack {
                    region,
                    generation,
                    index,
                };
                acks.insert(region, ack);
            }
        }
        let acks: Vec<Ack> = acks.into_values().collect();
        let answer = engine.ack(feed.observer(), &acks, true)?;
        assert!(!matches!(answer, AckAnswer::Refused(_)), "{answer:?}");
        Ok(())
    }
}

/// Every row of the store.
fn rows(engine: &Engine) -> Result<Rows, Box<dyn Error>> {
    let mut rows = Rows::new();
    for status in engine.regions() {
        let region = status.region.ok_or("no description")?;
        for row in engine.view(region.id, region.epoch)?.scan(..) {
            let (key, value) = row?;
            rows.insert(Key::from(&*key), Value::from(&*value));
        }
    }
    Ok(rows)
}

fn open(disk: &SimDisk, data: &MemoryStore) -> Result<Engine, Box<dyn Error>> {
    let options = Engine::options()
        .store(StoreId(1))
        .segment_bytes(64 * 1024)
        .background(Background::Manual)
        .disk(Arc::new(disk.clone()))
        .data(Arc::new(MemoryFactory::new(data.clone())));
    Ok(options.open("store")?.0)
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(what: &str, engine: &Engine, copy: &Copy) -> Result<(), Box<dyn Error>> {
    let rows = rows(engine)?;
    let is_same = rows == copy.rows;
    println!(
        "{what}: {} regions, {} rows, the copy {}; {} entries told, {} of them twice",
        engine.regions().len(),
        rows.len(),
        if is_same { "is the same" } else { "DIFFERS" },
        copy.entries,
        copy.repeated,
    );
    assert!(is_same && copy.repeated == 0);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (disk, data) = (SimDisk::new(7), MemoryStore::new());
    let (mut host, mut copy) = (Host::default(), Copy::default());
    let engine = open(&disk, &data)?;
    let answer = engine.bootstrap(Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: torrens::RegionEpoch::BOOTSTRAP,
        peers: vec![Peer::voter(PeerId(1), StoreId(1))],
    })?;
    assert!(answer.holds());
    let observer: ObserverId = match engine.add_observer(
        ObserverName::new("copy").ok_or("no name")?,
        vec![KeyRange::all()],
        StartFrom::Now,
        ObserverPolicy::default(),
    )? {
        AddedObserver::Added { observer, .. } => observer,
        AddedObserver::Refused(refusal) => return Err(refusal.to_string().into()),
    };

    let mut feed = engine.observe(observer, ObserveOptions::default())?;
    host.commit(&engine, 1, Entry::Put("apple", "1"))?;
    host.commit(&engine, 1, Entry::Put("melon", "2"))?;
    host.commit(&engine, 1, Entry::Put("zebra", "3"))?;
    copy.follow(&engine, &mut feed)?;
    say("written", &engine, &copy)?;

    // The changes of the keys from "m" on go on in region 2, at the exact entry.
    host.commit(&engine, 1, Entry::Split("m", 2))?;
    host.commit(&engine, 2, Entry::Put("zebra", "4"))?;
    host.commit(&engine, 1, Entry::Delete("apple"))?;
    copy.follow(&engine, &mut feed)?;
    say("split", &engine, &copy)?;

    // None of this is durable when the power goes, and the feed has not been read either.
    host.commit(&engine, 2, Entry::Put("quince", "5"))?;
    host.commit(&engine, 2, Entry::Split("t", 3))?;
    host.commit(&engine, 3, Entry::Delete("zebra"))?;
    host.commit(&engine, 3, Entry::Put("tangerine", "6"))?;
    drop((feed, engine));
    let (disk, data) = (
        disk.power_cut(CutChoice::LoseAll),
        data.power_cut(Lost::Unflushed),
    );
    let engine = open(&disk, &data)?;
    host.send_from(&engine, 0)?;
    let mut feed = engine.observe(observer, ObserveOptions::default())?;
    copy.follow(&engine, &mut feed)?;
    say("after the power cut", &engine, &copy)?;
    drop(feed);
    engine.close()?;

    let engine = open(&disk, &data)?;
    host.send_from(&engine, 0)?;
    host.commit(&engine, 1, Entry::Put("cherry", "7"))?;
    let mut feed = engine.observe(observer, ObserveOptions::default())?;
    copy.follow(&engine, &mut feed)?;
    say("opened again", &engine, &copy)?;
    drop(feed);
    engine.close()?;
    Ok(())
}
