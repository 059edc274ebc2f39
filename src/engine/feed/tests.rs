//! Feeds against a plain model: a consumer that crashes with its store, or alone, rebuilds the whole store
//! from what it is told, and it is the same, byte by byte.

mod consumer;
mod rig;

use std::collections::BTreeMap;

use self::consumer::Consumer;
use self::rig::{Entry, Rig};
use super::*;
use crate::engine::Rebase;
use crate::lifecycle::{Cause, Event, ObserverEvent};
use crate::observe::{Index, ObserverPolicy};
use crate::{Key, KeyRange, WriteBatch};

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

/// How often something came about.
#[derive(Debug, Default)]
struct Counts {
    crashes: u64,
    acks: u64,
    scans: u64,
    /// The observer's progress reached all that there is.
    reached_all: u64,
}

/// The progress of the observer never goes back while a subscription is open and the consumer chooses no
/// earlier place, and it says that all is told only
/// to who has it all.
fn check_progress(
    seed: u64,
    rig: &Rig,
    observer: ObserverId,
    consumer: &Consumer,
    reached: &mut Lsn,
) -> bool {
    let progress = rig.engine().observer_progress(observer).unwrap();
    assert!(
        progress.up_to >= *reached,
        "seed {seed}: from {reached} back to {progress:?}"
    );
    *reached = progress.up_to;
    let all = rig.core().history.with_index(Index::last_lsn);
    let has_reached_all = progress.pinned.is_empty() && all > Lsn::ZERO && progress.up_to >= all;
    if has_reached_all {
        let rows = rig.rows();
        let differs = |key: &&(u8, Vec<u8>)| rows.get(*key) != consumer.rows.get(*key);
        let wrong = rows.keys().chain(consumer.rows.keys()).find(differs);
        if let Some(key) = wrong {
            let value = rows.get(key).map_or(&[][..], Vec::as_slice);
            let why = rig.explain(observer, consumer, key, value);
            panic!("seed {seed}: not all was told, and {progress:?}: {why}");
        }
    }
    has_reached_all
}

fn history(seed: u64, steps: u64) -> Counts {
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
    let mut counts = Counts::default();
    let mut reached = Lsn::ZERO;
    for _ in 0..steps {
        match random.below(102) {
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
                counts.acks += 1;
            }
            100..102 => {
                let regions = rig.regions();
                let region = RegionId(regions[random.below(regions.len() as u64) as usize]);
                let chosen = rig
                    .engine()
                    .rebase_observer(observer, &[region], Rebase::Scan);
                counts.scans += u64::from(chosen.unwrap().holds());
                // It chose an earlier place.
                reached = Lsn::ZERO;
            }
            96..98 => {
                // The consumer dies alone.
                if std::env::var_os("TRACE_FEED").is_some() {
                    println!("  consumer dies");
                }
                consumer = durable.clone();
                consumer.generations.clear();
                drop(subscription.take());
                reached = Lsn::ZERO;
                detach_all(&rig, observer);
                rig.attach(observer);
                let again = rig.engine().observe(observer, ObserveOptions::default());
                subscription = Some(again.unwrap());
            }
            _ => {
                if std::env::var_os("TRACE_FEED").is_some() {
                    println!("  crash");
                }
                counts.crashes += 1;
                reached = Lsn::ZERO;
                // Anywhere, or in the middle of what makes things durable or lets them go.
                let _died = match random.below(4) {
                    0 => rig.dies_in(&mut random, |engine| drop(engine.flush())),
                    1 => rig.dies_in(&mut random, |engine| drop(engine.checkpoint())),
                    2 => rig.dies_in(&mut random, |engine| drop(engine.retain_history())),
                    _ => false,
                };
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
        let is_all = check_progress(seed, &rig, observer, &consumer, &mut reached);
        counts.reached_all += u64::from(is_all);
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
    counts
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
    let mut all = Counts::default();
    for seed in seeds() {
        println!("seed {seed}");
        let counts = history(seed, 300);
        all.crashes += counts.crashes;
        all.acks += counts.acks;
        all.scans += counts.scans;
        all.reached_all += counts.reached_all;
    }
    println!("{all:?}");
    assert!(all.crashes > 100 && all.acks > 200, "{all:?}");
    assert!(all.scans > 100 && all.reached_all > 20, "{all:?}");
}

/// The history is durable before the data is. What a crash takes of the data alone comes again, and may have been let go
/// by then, because whoever observed had acknowledged it: it is kept anew for who did not have it.
#[test]
fn what_comes_again_after_a_crash_is_told_to_who_lacks_it() {
    let seed = 207;
    println!("seed {seed}");
    let mut rig = Rig::new(seed);
    let first = rig.observe("first", ObserverPolicy::default());
    rig.attach(first);
    let mut consumer = Consumer::default();
    let mut subscription = rig
        .engine()
        .observe(first, ObserveOptions::default())
        .unwrap();
    for key in ["a", "b", "c"] {
        let mut batch = WriteBatch::new();
        batch.put(key.as_bytes(), key.as_bytes());
        rig.propose(1, Entry::Write(batch));
    }
    rig.core().history.sync();
    drain(&mut subscription, &mut consumer, u64::MAX);
    let acks = consumer.acks(&rig.core().published().observers().clone(), first);
    assert_eq!(acks.first().map(|ack| ack.index), Some(8));
    let answer = rig.engine().ack(first, &acks, true).unwrap();
    assert_eq!(answer, AckAnswer::Acknowledged);
    rig.engine().retain_history().unwrap();
    drop(subscription);
    rig.back_to_the_barrier();
    assert_eq!(rig.rows(), Rows::new());
    let late = rig.observe("late", ObserverPolicy::default());
    let mut subscription = rig
        .engine()
        .observe(late, ObserveOptions::default())
        .unwrap();
    rig.attach(late);
    let mut consumer = Consumer::default();
    // Nothing is there yet, and nothing is lost.
    drain(&mut subscription, &mut consumer, u64::MAX);
    rig.resend();
    rig.engine().flush().unwrap();
    drain(&mut subscription, &mut consumer, u64::MAX);
    assert_eq!(consumer.events, Vec::<&str>::new());
    assert_eq!(consumer.rows, rig.rows());
    assert_eq!(consumer.rows.len(), 3);
}
