//! Many threads on one engine, on the real disk with sled and the background thread: every
//! acknowledged operation is there afterwards, and readers only ever see whole states.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use torrens::{
    Derive, Engine, KeyRange, NewRegion, RaftPosition, Region, RegionEpoch, RegionId, Split,
    StoreId, WriteAnswer,
};

use crate::support::*;

const THREADS: u64 = 6;
const ROUNDS: u64 = 40;

/// Each thread's own region: id 1 to THREADS, keys "1/" up to "2/" and so on.
fn options() -> torrens::Options {
    Engine::options().store(STORE).segment_bytes(256 * 1024)
}

fn furnish(engine: &Engine) {
    let peers = vec![peer(10, STORE.0)];
    let epoch = RegionEpoch::BOOTSTRAP;
    let region = Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch,
        peers,
    };
    holds(engine.bootstrap(region)).unwrap();
    for id in 2..=THREADS {
        // Each split takes everything from "id/" on; the next one splits that part again.
        let parent = RegionId(id - 1);
        let split = Split {
            region: parent,
            incarnation: None,
            epoch: RegionEpoch {
                conf_ver: 1,
                version: id - 1,
            },
            position: at(6),
            boundaries: vec![key(&format!("{id}/"))],
            children: vec![NewRegion {
                id: RegionId(id),
                peers: vec![peer(id * 10, STORE.0)],
            }],
            derive: Derive::Left,
        };
        holds(engine.split(split)).unwrap();
    }
}

#[test]
fn threads_share_syncs_and_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (engine, _) = options().open(place.path()).unwrap();
    furnish(&engine);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 1..=THREADS {
            let engine = engine.clone();
            scope.spawn(move || {
                let region = RegionId(id);
                for round in 0..ROUNDS {
                    let position = RaftPosition {
                        index: 100 + round * 2,
                        term: 6,
                    };
                    let names = [format!("{id}/a{round:03}"), format!("{id}/z{round:03}")];
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    let epoch = epoch(&engine, id);
                    let answer = engine
                        .write(region, epoch, position, &puts(&names, "x"))
                        .unwrap();
                    assert!(matches!(answer, WriteAnswer::Applied { .. }), "{answer:?}");
                    // Read what was just acknowledged, whatever the other threads are at.
                    let view = engine.view(region, epoch).unwrap();
                    assert!(
                        view.get(names[1].as_bytes()).unwrap().is_some(),
                        "read your write"
                    );
                    let (other, peer_id) = (RegionId(1000 * id + round), torrens::PeerId(1));
                    holds(engine.create_peer(other, peer_id, StoreId(5), epoch)).unwrap();
                    match round % 8 {
                        2 => holds(engine.load(region, epoch)).unwrap(),
                        5 => drop(engine.evict(region).unwrap()),
                        7 => drop(engine.checkpoint().unwrap()),
                        _ => {}
                    }
                }
            });
        }
        let (engine, stop) = (&engine, &stop);
        scope.spawn(move || {
            // A pair of rows is written in one batch: no view may show one without the other.
            while !stop.load(Ordering::Relaxed) {
                for id in 1..=THREADS {
                    let view = engine.view(RegionId(id), epoch(engine, id)).unwrap();
                    let rows = view.scan(..).map(|row| row.unwrap().0[2]);
                    let (low, high): (Vec<u8>, Vec<u8>) = rows.partition(|letter| *letter == b'a');
                    assert_eq!(low.len(), high.len(), "half of a batch is seen");
                }
            }
        });
        // The writers end by themselves; then the reader may.
        let waiter = engine.clone();
        scope.spawn(move || {
            while waiter.regions().len() < (THREADS + THREADS * ROUNDS) as usize {
                thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    let stats = engine.journal_stats();
    assert!(stats.syncs < stats.appended_records, "{stats:?}");
    let (seen, data) = (Seen::of(&engine), rows(&engine));
    assert_eq!(data.len() as u64, THREADS * ROUNDS * 2);
    engine.close().unwrap();
    let (engine, report) = options().open(place.path()).unwrap();
    assert_eq!(report.recovery.verdict.exit_code(), 0, "{report}");
    assert_eq!(Seen::of(&engine), seen);
    assert_eq!(rows(&engine), data);
}
