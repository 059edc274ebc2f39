//! Everything at once on the real disk: each thread owns a slice of the keys and does all that a host
//! does to it (writes, splits, destroys, peers made again from snapshots, loads, evictions) while
//! others look at it, flush, write checkpoints and collect old versions. Each slice is compared with a plain model all the
//! time, and all of them after a restart. It lasts `TORRENS_STRESS_SECONDS`, or 2.5 s.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use torrens::{
    Derive, DestroyCause, Engine, KeyRange, NewRegion, PeerId, ReadError, Region, RegionEpoch,
    RegionId, Split, StoreId, Taken,
};

use crate::support::*;

const SLICES: u64 = 4;
const LASTS: Duration = Duration::from_millis(2500);

fn lasts() -> Duration {
    let seconds = std::env::var("TORRENS_STRESS_SECONDS");
    seconds.map_or(LASTS, |seconds| {
        Duration::from_secs(seconds.parse().expect("TORRENS_STRESS_SECONDS is a number"))
    })
}

type Data = BTreeMap<String, String>;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One region of a slice: keys from `start` on, ten to a slice.
struct Part {
    id: u64,
    peer: u64,
    index: u64,
    from: u64,
    to: u64,
    data: Data,
}

fn name(slice: u64, key: u64) -> String {
    format!("{slice}/{key}")
}

fn read(engine: &Engine, id: u64) -> Result<Data, ReadError> {
    let view = engine.view(RegionId(id), epoch(engine, id))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    view.scan(..)
        .map(|row| row.map(|(key, value)| (text(&key), text(&value))))
        .collect()
}

fn split(engine: &Engine, part: &Part, boundary: String, child: (u64, u64)) {
    let split = Split {
        region: RegionId(part.id),
        incarnation: None,
        epoch: epoch(engine, part.id),
        position: at(part.index),
        boundaries: vec![key(&boundary)],
        children: vec![NewRegion {
            id: RegionId(child.0),
            peers: vec![peer(child.1, STORE.0)],
        }],
        derive: Derive::Left,
    };
    holds(engine.split(split)).unwrap();
}

/// A destroyed peer comes back: taken as a snapshot, destroyed, made by a message, applied.
fn replace(engine: &Engine, part: &mut Part, newer: u64) {
    let (id, now) = (RegionId(part.id), epoch(engine, part.id));
    let Taken::Snapshot(taken) = engine.take_snapshot(id, now).unwrap() else {
        panic!("a serving region gives a snapshot")
    };
    let reader = engine.open_snapshot(taken.name).unwrap();
    let sent = resent(&reader, PeerId(newer));
    engine.remove_snapshot(taken.name).unwrap();
    let view = engine.view(id, now).unwrap();
    holds(engine.destroy(
        id,
        known_epoch(engine, id),
        None,
        PeerId(part.peer),
        DestroyCause::Operator,
    ))
    .unwrap();
    assert!(matches!(
        view.get(&reader.meta().region.range.start()[..]),
        Err(ReadError::ViewEnded { .. })
    ));
    drop(view);
    holds(engine.create_peer(id, PeerId(newer), StoreId(5), now)).unwrap();
    engine.wait_idle().unwrap();
    engine.remove_snapshot(sent.0).unwrap();
    let staged = engine.receive_snapshot(sent.0, sent.1.as_slice()).unwrap();
    holds(engine.apply_snapshot(id, incarnation(engine, part.id), &staged)).unwrap();
    part.peer = newer;
}

/// What one host does to its slice until the time is up; answers its parts.
fn host(engine: &Engine, slice: u64, seed: u64, until: Instant) -> Vec<Part> {
    let mut random = Random(seed + slice);
    let mut parts = vec![Part {
        id: slice,
        peer: slice * 10,
        index: 10,
        from: 0,
        to: 10,
        data: Data::new(),
    }];
    let mut next = slice * 1000;
    while Instant::now() < until {
        next += 1;
        let at_part = random.below(parts.len() as u64) as usize;
        let part = &mut parts[at_part];
        let id = RegionId(part.id);
        part.index += 1;
        match random.below(20) {
            0..11 => {
                let text = format!("{next}");
                let low = name(slice, part.from + random.below(part.to - part.from));
                let batch = puts(&[&low], &text);
                let now = epoch(engine, part.id);
                written(engine.write(id, now, at(part.index), &batch)).unwrap();
                part.data.insert(low, text);
            }
            11 if part.to - part.from > 1 => {
                let boundary = part.from + 1 + random.below(part.to - part.from - 1);
                split(engine, part, name(slice, boundary), (next, next));
                let data = part.data.split_off(&name(slice, boundary));
                let (to, index) = (part.to, 10);
                part.to = boundary;
                parts.push(Part {
                    id: next,
                    peer: next,
                    index,
                    from: boundary,
                    to,
                    data,
                });
            }
            12 => {
                replace(engine, part, next);
                part.index += 10;
            }
            13..16 => holds(engine.load(id, epoch(engine, part.id))).unwrap(),
            16 => holds(engine.evict(id)).unwrap(),
            17 => drop(engine.checkpoint().unwrap()),
            18 => drop(engine.flush().unwrap()),
            _ => engine.wait_idle().unwrap(),
        }
        let part = &parts[at_part];
        assert_eq!(
            read(engine, part.id).unwrap(),
            part.data,
            "seed {seed}, {id}"
        );
    }
    parts
}

#[test]
fn everything_at_once_keeps_each_region_what_its_host_made_it() {
    let seed = std::env::var("TORRENS_SEED").map_or(0x5eed, |seed| seed.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let options = || Engine::options().store(STORE).segment_bytes(256 * 1024);
    let (engine, _) = options().open(place.path()).unwrap();
    let whole = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer(10, STORE.0)],
    };
    holds(engine.bootstrap(whole)).unwrap();
    for slice in 2..=SLICES {
        let (id, index) = (slice - 1, 6);
        let part = Part {
            id,
            peer: 0,
            index,
            from: 0,
            to: 0,
            data: Data::new(),
        };
        split(&engine, &part, format!("{slice}/"), (slice, slice * 10));
    }
    let (until, done) = (Instant::now() + lasts(), AtomicBool::new(false));
    let parts: Vec<Part> = thread::scope(|scope| {
        let hosts: Vec<_> = (1..=SLICES)
            .map(|slice| {
                let engine = &engine;
                scope.spawn(move || host(engine, slice, seed, until))
            })
            .collect();
        let looker = scope.spawn(|| {
            // Whoever can be seen can be read, whole and more than once the same.
            while !done.load(Ordering::Relaxed) {
                for status in engine.regions() {
                    let Some(region) = status.region else {
                        continue;
                    };
                    let Ok(view) = engine.view(region.id, region.epoch) else {
                        continue;
                    };
                    let rows = || view.scan(..).collect::<Result<Vec<_>, _>>();
                    if let (Ok(first), Ok(second)) = (rows(), rows()) {
                        assert_eq!(first, second, "a view of {} changed", region.id);
                    }
                }
            }
        });
        let collector = scope.spawn(|| {
            // What no view and no safe point holds goes, while it is written, split and cleared.
            let (mut collected, mut held) = (0, false);
            while !done.load(Ordering::Relaxed) {
                let newest = engine.regions().iter().find_map(|status| {
                    let region = status.region.as_ref()?;
                    Some(engine.view(region.id, region.epoch).ok()?.sequence())
                });
                held = !held;
                engine.set_safe_point(newest.filter(|_| held));
                collected += engine.collect_versions().unwrap();
            }
            engine.set_safe_point(None);
            collected
        });
        let parts = hosts
            .into_iter()
            .flat_map(|host| host.join().expect("a host ends"))
            .collect();
        done.store(true, Ordering::Relaxed);
        looker.join().expect("the looker ends");
        let collected = collector.join().expect("the collector ends");
        assert!(collected > 0, "nothing was collected, seed {seed}");
        parts
    });
    let check = |engine: &Engine| {
        for part in &parts {
            assert_eq!(read(engine, part.id).unwrap(), part.data, "seed {seed}");
        }
    };
    check(&engine);
    for part in &parts {
        holds(engine.evict(RegionId(part.id))).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while engine.cache_bytes() > 0 {
        assert!(Instant::now() < deadline, "memory that nobody frees");
        thread::sleep(Duration::from_millis(5));
    }
    engine.close().unwrap();
    let (engine, report) = options().open(place.path()).unwrap();
    assert!(report.damaged.is_empty(), "{report}");
    check(&engine);
    println!("{} regions, seed {seed}", parts.len());
}
