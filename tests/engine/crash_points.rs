//! A crash between any two steps: a fixed history of every kind of transition is played on a
//! simulated machine that dies at operation 1, 2, 3 … of the disk and of the data store, until a run
//! ends without dying. After each death the machine comes back in several ways (killed; power cut
//! with everything unsynced lost, kept, or any part of it), is opened, and must show the state before
//! or after the step that was under way: nothing else, nothing half. Then the host sends its log
//! again, the history goes on, and the end must be the same as without a crash.

use std::collections::BTreeMap;

use torrens::snapshot::SnapshotName;
use torrens::store::Lost;
use torrens::{
    Derive, Engine, EngineError, KeyRange, NewRegion, PeerChange, PeerId, Region, RegionEpoch,
    RegionId, Split, StoreId, Taken, WriteBatch,
};
use torrens_journal::testing::{CutChoice, SimFault};

type Rows = BTreeMap<(RegionId, Vec<u8>), Vec<u8>>;

use crate::support::*;

/// One thing that the host does; background work that follows from it is part of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Bootstrap,
    /// Region, version that the entry was proposed at, index, which rows.
    Write(u64, u64, u64, &'static [&'static str], &'static str),
    /// Region, conf_ver and version, index, boundary, child and its peer.
    Split(u64, (u64, u64), u64, &'static str, u64, u64),
    AddPeer(u64, u64, u64, (u64, u64)),
    RemovePeer(u64, u64, u64, u64),
    Create(u64, u64),
    /// Takes a snapshot that a later step applies; the host keeps the bytes.
    TakeSnapshot(u64),
    ApplySnapshot(u64),
    Destroy(u64, u64),
    Load(u64),
    Evict(u64),
    Flush,
    Checkpoint,
}

use Step as S;

const HISTORY: &[Step] = &[
    S::Bootstrap,
    S::Write(1, 1, 6, &["apple", "melon", "zebra"], "first"),
    S::Write(1, 1, 7, &["melon", "yak"], "second"),
    S::Split(1, (1, 1), 8, "m", 2, 20),
    S::Write(2, 2, 6, &["melon", "nut"], "third"),
    S::Load(2),
    S::Write(2, 2, 7, &["olive"], "mirrored"),
    S::Evict(2),
    S::AddPeer(1, 1, 9, (11, 5)),
    S::Write(1, 2, 10, &["apple", "fig"], "fourth"),
    S::Flush,
    S::TakeSnapshot(2),
    S::Load(2),
    S::Destroy(2, 20),
    S::Create(2, 21),
    S::ApplySnapshot(2),
    S::Write(2, 2, 8, &["nut", "pear"], "fifth"),
    S::Checkpoint,
    S::Create(3, 30),
    S::Split(1, (2, 2), 11, "d", 3, 30),
    S::Write(3, 3, 6, &["fig"], "sixth"),
    S::Checkpoint,
    S::RemovePeer(3, 2, 7, 30),
    S::Write(1, 3, 12, &["banana"], "seventh"),
    S::Flush,
];

/// What the host keeps over a crash.
#[derive(Clone, Default)]
struct Host {
    /// The snapshot as it came over the network, by region.
    snapshots: BTreeMap<u64, (SnapshotName, Vec<u8>)>,
}

impl Host {
    fn play(&mut self, engine: &Engine, step: Step) -> Result<(), EngineError> {
        match step {
            S::Bootstrap => {
                let region = Region {
                    id: RegionId(1),
                    range: KeyRange::all(),
                    epoch: RegionEpoch::BOOTSTRAP,
                    peers: vec![peer(10, STORE.0)],
                };
                holds(engine.bootstrap(region))?;
            }
            S::Write(region, version, index, keys, text) => {
                let epoch = RegionEpoch {
                    conf_ver: 1,
                    version,
                };
                let batch: WriteBatch = puts(keys, text);
                written(engine.write(RegionId(region), epoch, at(index), &batch))?;
            }
            S::Split(region, (conf_ver, version), index, boundary, child, child_peer) => {
                // A child has a peer on each store of the region, as Raft's entry says.
                let mut peers = vec![peer(child_peer, STORE.0)];
                if conf_ver > 1 {
                    peers.push(peer(child_peer + 1, 5));
                }
                let split = Split {
                    region: RegionId(region),
                    incarnation: None,
                    epoch: RegionEpoch { conf_ver, version },
                    position: at(index),
                    boundaries: vec![key(boundary)],
                    children: vec![NewRegion {
                        id: RegionId(child),
                        peers,
                    }],
                    derive: Derive::Left,
                };
                holds(engine.split(split))?;
            }
            S::AddPeer(region, conf_ver, index, (id, store)) => {
                let change = PeerChange::Add {
                    peer: peer(id, store),
                };
                let epoch = RegionEpoch {
                    conf_ver,
                    version: 2,
                };
                holds(engine.change_peers(RegionId(region), epoch, at(index), change))?;
            }
            S::RemovePeer(region, conf_ver, index, id) => {
                let change = PeerChange::Remove { peer: PeerId(id) };
                let epoch = RegionEpoch {
                    conf_ver,
                    version: 3,
                };
                holds(engine.change_peers(RegionId(region), epoch, at(index), change))?;
            }
            S::Create(region, id) => {
                let (region, id, from) = (RegionId(region), PeerId(id), StoreId(5));
                holds(engine.create_peer(region, id, from, RegionEpoch::BOOTSTRAP))?;
            }
            S::TakeSnapshot(region) => {
                let taken = engine.take_snapshot(RegionId(region), epoch(engine, region))?;
                let Taken::Snapshot(staged) = taken else {
                    panic!("{taken:?}")
                };
                let sent = resent(&engine.open_snapshot(staged.name)?, PeerId(21));
                engine.remove_snapshot(staged.name)?;
                self.snapshots.insert(region, sent);
            }
            S::ApplySnapshot(region) => {
                let (name, bytes) = &self.snapshots[&region];
                engine.remove_snapshot(*name)?;
                let staged = engine.receive_snapshot(*name, bytes.as_slice())?;
                let incarnation = incarnation(engine, region);
                holds(engine.apply_snapshot(RegionId(region), incarnation, &staged))?;
            }
            S::Destroy(region, id) => destroy(engine, region, id)?,
            S::Load(region) => {
                holds(engine.load(RegionId(region), epoch(engine, region)))?;
            }
            S::Evict(region) => holds(engine.evict(RegionId(region)))?,
            S::Flush => drop(engine.flush()?),
            S::Checkpoint => drop(engine.checkpoint()?),
        }
        engine.wait_idle()
    }
}

/// Plays the history without a crash: what is seen after each step, and how many operations it took.
fn reference() -> (Vec<Seen>, Vec<Rows>, u64) {
    let world = World::new(1);
    let (engine, _) = world.open().expect("a new store opens");
    let (mut host, mut seen, mut data) = (Host::default(), vec![Seen::of(&engine)], vec![]);
    data.push(rows(&engine));
    for step in HISTORY {
        host.play(&engine, *step)
            .unwrap_or_else(|error| panic!("{step:?}: {error}"));
        seen.push(Seen::of(&engine));
        data.push(rows(&engine));
    }
    engine.close().expect("an idle engine closes");
    (seen, data, world.disk.ops())
}

/// Plays until the machine dies; answers the world, the host, and the step that was under way
/// (`None`: it died while it opened).
fn play_until_dead(op: u64, fault: SimFault) -> Option<(World, Host, Option<usize>)> {
    let world = World::new(1);
    world.disk.fail_at(op, fault);
    let mut host = Host::default();
    let engine = match world.open() {
        Ok((engine, _)) => engine,
        Err(_) => return Some((world, host, None)),
    };
    for (number, step) in HISTORY.iter().enumerate() {
        let kept = host.clone();
        if host.play(&engine, *step).is_err() {
            assert!(world.disk.is_dead(), "{step:?} failed without a fault");
            return Some((world, kept, Some(number)));
        }
    }
    let closed = engine.close();
    match world.disk.is_dead() {
        true => Some((world, host, Some(HISTORY.len()))),
        false => closed.map(|()| None).expect("a run without a death closes"),
    }
}

/// The ways in which a machine comes back.
fn returns(dead: &World, seed: u64) -> Vec<(String, World)> {
    let mut returns = vec![];
    for lost in [
        Lost::Unflushed,
        Lost::AllButBatches(1),
        Lost::AllButBatches(usize::MAX),
    ] {
        returns.push((format!("killed, {lost:?}"), dead.kill(lost.clone())));
        for choice in [
            CutChoice::LoseAll,
            CutChoice::KeepAll,
            CutChoice::Seeded(seed),
        ] {
            let name = format!("power cut, {choice:?}, {lost:?}");
            returns.push((name, dead.power_cut(choice, lost.clone())));
        }
    }
    returns
}

/// Opens the machine that came back, compares, lets the host go on, and compares the end.
fn come_back(
    world: &World,
    host: &mut Host,
    step: Option<usize>,
    (seen, data, _): &(Vec<Seen>, Vec<Rows>, u64),
) {
    let (engine, _) = world.open().expect("whatever a crash leaves opens");
    engine.wait_idle().expect("and finishes what it finds");
    assert_eq!(
        orphans(world, &engine),
        Vec::<Vec<u8>>::new(),
        "keys that nobody owns"
    );
    let now = Seen::of(&engine);
    let (before, after) = match step {
        None => (0, 0),
        Some(step) => (step, (step + 1).min(HISTORY.len())),
    };
    assert!(
        now == seen[before] || now == seen[after],
        "neither the state before nor after step {step:?}:\n{now:#?}\nbefore {:#?}\nafter {:#?}",
        seen[before],
        seen[after]
    );
    // The host's log from its start: what is in answers "already applied", what was lost comes again.
    for step in &HISTORY[..before] {
        if matches!(step, S::Write(..)) && still_there(&engine, *step) {
            host.play(&engine, *step).expect("the log is sent again");
        }
    }
    if now == seen[before] {
        assert_eq!(
            rows(&engine),
            data[before],
            "rows after the log was sent again"
        );
    }
    let next = if now == seen[after] && !must_repeat(before) {
        after
    } else {
        before
    };
    for step in &HISTORY[next..] {
        host.play(&engine, *step)
            .unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
    assert_eq!(&Seen::of(&engine), seen.last().unwrap());
    assert_eq!(&rows(&engine), data.last().unwrap());
    engine.close().expect("and closes");
}

/// Whether the step changes nothing that is seen, so that one cannot see whether it happened.
fn must_repeat(step: usize) -> bool {
    HISTORY.get(step).is_some_and(|step| {
        matches!(
            step,
            S::Write(..) | S::TakeSnapshot(_) | S::Load(_) | S::Evict(_) | S::Flush | S::Checkpoint
        )
    })
}

/// Whether the peer that a log entry was for still lives, so that its host still sends the log.
fn still_there(engine: &Engine, step: Step) -> bool {
    let S::Write(region, _, index, ..) = step else {
        return false;
    };
    engine
        .raft_start(RegionId(region))
        .is_ok_and(|start| start.status.stage == "normal" && index > start.data.index)
}

#[test]
fn a_crash_at_any_operation_recovers_to_the_state_before_or_after_the_step() {
    let reference = reference();
    assert!(
        reference.2 > 150,
        "the history has {} operations",
        reference.2
    );
    let mut op = 1;
    let mut tried = 0;
    while let Some((dead, host, step)) = play_until_dead(op, SimFault::Dies) {
        for (name, world) in returns(&dead, op) {
            let context = format!("death at operation {op} in step {step:?}, then {name}");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                come_back(&world, &mut host.clone(), step, &reference);
            }));
            if let Err(panic) = result {
                eprintln!("{context}; the last operations were:");
                let log = dead.disk.op_log();
                for op in log.iter().rev().take(12).rev() {
                    eprintln!("  {op}");
                }
                std::panic::resume_unwind(panic);
            }
            tried += 1;
        }
        op += 1;
    }
    println!("{op} operations, {tried} crashes");
    assert!(op > reference.2, "the last run ended without a death");
}
