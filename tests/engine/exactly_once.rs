//! Each observed change takes effect exactly once, whatever crash comes: with the acknowledgement in the
//! consumer's own write into the same store, and with a position that the consumer keeps elsewhere and hands
//! back.
//!
//! The effect is one that a repetition or an omission shows: a count, and a chain over the indexes. The host's
//! log survives everything, and is sent again before the consumer begins. Not here: what is told (`feed`).

use std::collections::BTreeMap;

use torrens::engine::{Ack, AckAnswer, ObserveOptions, Subscription};
use torrens::lifecycle::Reset;
use torrens::observe::FeedItem;
use torrens::store::Lost;
use torrens::{
    AddedObserver, Answer, Engine, EngineError, KeyRange, LeadershipRole, ObserverId, ObserverName,
    ObserverPolicy, Rebase, RegionId, StartFrom, WriteBatch,
};
use torrens_journal::testing::{CutChoice, SimFault};

use crate::support::{World, at, bootstrap, epoch, key, split_at_m, written};

/// Where changes come from, and where their effect goes.
const SOURCE: u64 = 1;
const SINK: u64 = 2;
const TOTAL: &[u8] = b"total";

/// A small generator: the seed is all that a failure needs.
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % count
    }
}

/// The effect so far: how many changes, and a chain over their indexes in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    count: u64,
    chain: u64,
}

impl Total {
    fn add(&mut self, index: u64) {
        self.count += 1;
        self.chain = self.chain.wrapping_mul(1_000_003).wrapping_add(index);
    }

    fn encode(self) -> Vec<u8> {
        [self.count.to_le_bytes(), self.chain.to_le_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Total {
        let field = |at| u64::from_le_bytes(*bytes[at..].first_chunk::<8>().unwrap());
        Total {
            count: field(0),
            chain: field(8),
        }
    }
}

/// Where the consumer keeps what it made of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// In a region of this store, with the acknowledgement in the same batch.
    Here,
    /// Elsewhere, with its position, in one atomic step.
    Elsewhere,
}

/// What survives every crash.
struct Rig {
    world: World,
    effect: Effect,
    /// The host's log.
    log: BTreeMap<u64, Vec<(u64, WriteBatch)>>,
    observer: ObserverId,
    /// The consumer's other store.
    elsewhere: (Total, u64),
}

/// What a process has.
struct Process {
    engine: Engine,
    feed: Subscription,
    total: Total,
}

impl Rig {
    fn new(seed: u64, effect: Effect) -> Rig {
        let world = World::new(seed);
        let (engine, _) = world.open().unwrap();
        bootstrap(&engine).unwrap();
        split_at_m(&engine).unwrap();
        let name = ObserverName::new("consumer").unwrap();
        let range = KeyRange::new(b"".as_slice(), Some(b"m".as_slice())).unwrap();
        let policy = ObserverPolicy::default();
        let added = engine.add_observer(name, vec![range], StartFrom::Now, policy);
        let AddedObserver::Added {
            observer, starts, ..
        } = added.unwrap()
        else {
            panic!("not added");
        };
        engine.flush().unwrap();
        let position = starts.first().unwrap().1;
        Rig {
            world,
            effect,
            log: BTreeMap::new(),
            observer,
            elsewhere: (Total::default(), position),
        }
    }

    /// Opens the store, sends the log again, and begins to consume.
    fn start(&mut self) -> Result<Process, EngineError> {
        let (engine, _) = self.world.open().map_err(|error| match error {
            torrens::OpenError::Finish(error) => error,
            error => panic!("{error}"),
        })?;
        for (region, log) in &self.log {
            for (index, batch) in log {
                let answer = engine.write(
                    RegionId(*region),
                    epoch(&engine, *region),
                    at(*index),
                    batch,
                );
                written(answer)?;
            }
        }
        for status in engine.regions() {
            let _ = engine.report_leadership(
                status.id,
                status.incarnation,
                6,
                LeadershipRole::Leader,
            )?;
        }
        self.consume(engine)
    }

    fn consume(&mut self, engine: Engine) -> Result<Process, EngineError> {
        let total = match self.effect {
            Effect::Elsewhere => {
                let (total, position) = self.elsewhere;
                let after = Rebase::After(vec![(RegionId(SOURCE), position)]);
                let rebased = engine.rebase_observer(self.observer, &[], after)?;
                assert!(matches!(rebased, Answer::Accepted { .. }), "{rebased:?}");
                total
            }
            Effect::Here => {
                let sink = RegionId(SINK);
                let view = engine.view(sink, epoch(&engine, SINK)).unwrap();
                let row = view.get(TOTAL).unwrap();
                row.map_or(Total::default(), |row| Total::decode(&row))
            }
        };
        engine.wait_idle()?;
        let feed = engine
            .observe(self.observer, ObserveOptions::default())
            .map_err(|error| match error {
                torrens::engine::ObserveError::Engine(error) => error,
                error => panic!("{error}"),
            })?;
        Ok(Process {
            engine,
            feed,
            total,
        })
    }

    /// Commits an entry in the host's log, then applies it.
    fn propose(
        &mut self,
        engine: &Engine,
        region: u64,
        batch: WriteBatch,
    ) -> Result<(), EngineError> {
        let log = self.log.entry(region).or_default();
        let index = log.last().map_or(20, |(index, _)| *index) + 1;
        log.push((index, batch.clone()));
        let epoch = epoch(engine, region);
        written(engine.write(RegionId(region), epoch, at(index), &batch))
    }

    fn change(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let number = self.log.get(&SOURCE).map_or(0, Vec::len);
        let mut batch = WriteBatch::new();
        batch.put(key("apple"), number.to_string().as_bytes());
        self.propose(engine, SOURCE, batch)
    }

    /// Takes up to `most` items, and what they come to takes effect in one step.
    fn take(&mut self, process: &mut Process, most: u64) -> Result<bool, EngineError> {
        let (mut total, mut last) = (process.total, None);
        for _ in 0..most {
            let item = process.feed.try_next().map_err(|error| match error {
                torrens::engine::ObserveError::Engine(error) => error,
                error => panic!("{error}"),
            })?;
            match item {
                None => break,
                Some(FeedItem::Entry(entry)) => {
                    total.add(entry.position.index);
                    last = Some((entry.position.index, entry.generation));
                }
                Some(_) => {}
            }
        }
        let Some((index, generation)) = last else {
            return Ok(false);
        };
        match self.effect {
            Effect::Here => {
                let mut batch = WriteBatch::new();
                batch.put(TOTAL, total.encode());
                batch.acknowledge(self.observer, RegionId(SOURCE), index);
                self.propose(&process.engine, SINK, batch)?;
            }
            Effect::Elsewhere => {
                self.elsewhere = (total, index);
                // Now and then it lets the store know, so that history may go.
                if total.count.is_multiple_of(3) {
                    let region = RegionId(SOURCE);
                    let ack = Ack {
                        region,
                        generation,
                        index,
                    };
                    let answer = process.engine.ack(self.observer, &[ack], false)?;
                    assert!(!matches!(answer, AckAnswer::Refused(_)), "{answer:?}");
                }
            }
        }
        process.total = total;
        Ok(true)
    }

    /// The machine after a crash.
    fn crash(&mut self, power: u64) {
        self.world = match power % 3 {
            0 => self.world.kill(Lost::AllButBatches(0)),
            1 => self
                .world
                .power_cut(CutChoice::Seeded(power), Lost::Scattered(power)),
            _ => self.world.power_cut(CutChoice::LoseAll, Lost::Unflushed),
        };
    }

    /// Consumes to the end and compares.
    fn finish(&mut self, mut process: Process, what: &str) {
        loop {
            process.engine.flush().unwrap();
            process.engine.wait_idle().unwrap();
            if !self.take(&mut process, 3).unwrap() {
                break;
            }
        }
        let mut wanted = Total::default();
        for (index, _) in self.log.get(&SOURCE).into_iter().flatten() {
            wanted.add(*index);
        }
        assert_eq!(process.total, wanted, "{what}");
        // And it stands after an end in order.
        drop(process.feed);
        process.engine.close().unwrap();
        let again = self.start().unwrap();
        assert_eq!(again.total, wanted, "{what}, opened again");
        if self.effect == Effect::Here {
            let regions = again.engine.observed_regions(self.observer);
            let acked = regions.first().unwrap().acked;
            let last = self.log.get(&SOURCE).and_then(|log| log.last());
            assert_eq!(acked, last.map_or(acked, |(index, _)| *index), "{what}");
        }
    }
}

#[test]
fn every_change_takes_effect_once_in_random_histories_with_crashes() {
    for effect in [Effect::Here, Effect::Elsewhere] {
        for seed in 0..60 {
            let what = format!("seed {seed}, {effect:?}");
            let mut random = Random(seed);
            let mut rig = Rig::new(seed, effect);
            let mut process = rig.start().unwrap();
            for _ in 0..60 {
                match random.below(12) {
                    0..=3 => rig.change(&process.engine).unwrap(),
                    4..=7 => {
                        let most = 1 + random.below(4);
                        rig.take(&mut process, most).unwrap();
                    }
                    8 | 9 => {
                        process.engine.flush().unwrap();
                        process.engine.wait_idle().unwrap();
                    }
                    10 => {
                        // The consumer dies alone.
                        drop(process.feed);
                        process = rig.consume(process.engine).unwrap();
                    }
                    _ => {
                        drop(process);
                        rig.crash(random.below(1000));
                        process = rig.start().unwrap();
                    }
                }
            }
            rig.finish(process, &what);
        }
    }
}

/// Changes, effects of them, and a barrier that makes the effects stand; from `dies_at` on nothing works.
fn short_history(rig: &mut Rig, process: &mut Process) -> Result<(), EngineError> {
    for _ in 0..4 {
        rig.change(&process.engine)?;
    }
    process.engine.flush()?;
    process.engine.wait_idle()?;
    rig.take(process, 3)?;
    process.engine.flush()?;
    rig.take(process, 20)?;
    process.engine.flush()?;
    process.engine.flush().map(drop)
}

#[test]
fn every_change_takes_effect_once_whichever_operation_the_machine_dies_at() {
    for effect in [Effect::Here, Effect::Elsewhere] {
        for kind in 0..3 {
            let mut after = 1;
            loop {
                let what = format!("{effect:?}, crash {kind}, dies {after} operations on");
                let mut rig = Rig::new(after, effect);
                let mut process = rig.start().unwrap();
                let disk = rig.world.disk.clone();
                disk.fail_at(disk.ops() + after, SimFault::Dies);
                let is_over = short_history(&mut rig, &mut process).is_ok();
                drop(process);
                rig.crash(3 * after + kind);
                // It dies once more while it is opened, at another place each time.
                let disk = rig.world.disk.clone();
                disk.fail_at(disk.ops() + after % 40, SimFault::Dies);
                drop(rig.world.open());
                rig.crash(3 * after + kind);
                let process = rig.start().unwrap();
                rig.finish(process, &what);
                if is_over {
                    break;
                }
                after += 1;
            }
            assert!(after > 20, "only {after} operations");
        }
    }
}

/// A consumer that chooses an earlier place is not pushed on by what it acknowledged before, whatever
/// crash comes.
#[test]
fn an_acknowledgement_before_a_rebase_does_not_undo_it() {
    for (power, is_covered) in [(0, false), (1, false), (2, false), (2, true)] {
        let what = format!("crash {power}, covered {is_covered}");
        let mut rig = Rig::new(power, Effect::Here);
        let mut process = rig.start().unwrap();
        for _ in 0..4 {
            rig.change(&process.engine).unwrap();
        }
        process.engine.flush().unwrap();
        process.engine.wait_idle().unwrap();
        while rig.take(&mut process, 9).unwrap() {}
        let place = 22;
        let back = Rebase::After(vec![(RegionId(SOURCE), place)]);
        let answer = process.engine.rebase_observer(rig.observer, &[], back);
        assert!(answer.unwrap().holds(), "{what}");
        // It is attached again, so that an acknowledgement would count.
        process.engine.wait_idle().unwrap();
        if is_covered {
            process.engine.flush().unwrap();
        }
        let acked = |engine: &Engine| engine.observed_regions(rig.observer)[0].acked;
        assert_eq!(acked(&process.engine), place, "{what}");
        drop(process);
        rig.crash(power);
        let (engine, _) = rig.world.open().unwrap();
        assert_eq!(
            engine.observed_regions(rig.observer)[0].acked,
            place,
            "{what}"
        );
    }
}

/// A write that acknowledges the place at which a scan is to begin, before the rows were told, does not end
/// the scan; neither does the same entry when it is sent again after a crash. One that acknowledges the rows does.
#[test]
fn an_acknowledgement_in_a_write_does_not_pass_for_rows_that_were_not_told() {
    for sent_again in [false, true] {
        let what = format!("sent again: {sent_again}");
        let mut rig = Rig::new(3, Effect::Here);
        let mut process = rig.start().unwrap();
        for _ in 0..4 {
            rig.change(&process.engine).unwrap();
        }
        process.engine.flush().unwrap();
        process.engine.wait_idle().unwrap();
        while rig.take(&mut process, 9).unwrap() {}
        process.engine.flush().unwrap();
        let answer =
            process
                .engine
                .rebase_observer(rig.observer, &[RegionId(SOURCE)], Rebase::Scan);
        assert!(answer.unwrap().holds(), "{what}");
        process.engine.wait_idle().unwrap();
        let observer = rig.observer;
        let at_start = |engine: &Engine| engine.observed_regions(observer)[0].clone();
        let start = at_start(&process.engine);
        assert_eq!(start.reset, Reset::Scan, "{what}");
        // The subscription sees the new attachment and begins; its consumer has taken nothing of it yet.
        let generation = start.generation;
        let plain = Ack {
            region: RegionId(SOURCE),
            generation,
            index: start.acked,
        };
        let said = process.engine.ack(rig.observer, &[plain], true).unwrap();
        assert_eq!(said, AckAnswer::Already, "{what}");
        let mut batch = WriteBatch::new();
        batch.put(key("x"), b"late".as_slice());
        batch.acknowledge(rig.observer, RegionId(SOURCE), start.acked);
        rig.propose(&process.engine, SINK, batch).unwrap();
        if sent_again {
            drop(process);
            rig.crash(2);
            process = rig.start().unwrap();
        }
        process.engine.flush().unwrap();
        process.engine.flush().unwrap();
        process.engine.wait_idle().unwrap();
        assert_eq!(at_start(&process.engine).reset, Reset::Scan, "{what}");
        // The rows come, and acknowledging them in a write ends it.
        let mut is_reset = false;
        let last = loop {
            match process.feed.try_next().unwrap() {
                Some(FeedItem::Reset { is_scanned, .. }) => is_reset = is_scanned,
                Some(FeedItem::Rows {
                    index,
                    is_last: true,
                    ..
                }) => break index,
                Some(_) => {}
                None => panic!("no rows, {what}"),
            }
        };
        assert!(is_reset, "{what}");
        let mut batch = WriteBatch::new();
        batch.put(key("x"), b"in time".as_slice());
        batch.acknowledge(rig.observer, RegionId(SOURCE), last);
        rig.propose(&process.engine, SINK, batch).unwrap();
        process.engine.flush().unwrap();
        let now = at_start(&process.engine);
        assert_eq!((now.reset, now.acked), (Reset::None, last), "{what}");
        // More than was told is left out too.
        let mut batch = WriteBatch::new();
        batch.put(key("x"), b"beyond".as_slice());
        batch.acknowledge(rig.observer, RegionId(SOURCE), last + 7);
        rig.propose(&process.engine, SINK, batch).unwrap();
        process.engine.flush().unwrap();
        assert_eq!(at_start(&process.engine).acked, last, "{what}");
    }
}
