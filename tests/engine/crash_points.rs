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
    Derive, Engine, EngineError, KeyRange, NewRegion, Peer, PeerChange, PeerId, Region,
    RegionEpoch, RegionId, Split, StoreId, Taken, WitnessSwitch, WriteBatch,
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
    /// The same for a peer that stays, as it will be at a later index.
    TakeSnapshotAt(u64, u64, u64),
    ApplySnapshot(u64),
    Destroy(u64, u64),
    /// Source, target, index of the entry.
    PrepareMerge(u64, u64, u64),
    /// Target, source, index of the entry, index of the entry that prepared it.
    CommitMerge(u64, u64, u64, u64),
    RollbackMerge(u64, u64, u64),
    BeginFlashback(u64, u64),
    EndFlashback(u64, u64),
    /// As `Write`, by whoever sets the region back.
    SetBack(u64, u64, &'static [&'static str], &'static str),
    Joint(u64, u64),
    LeaveJoint(u64, u64),
    /// Region, index, peer, whether it is a witness from now on.
    Witness(u64, u64, u64, bool),
    PrepareBootstrap,
    ConfirmBootstrap,
    AbandonBootstrap,
    Recover(u64, &'static str, &'static str),
    Force(u64, u64),
    PlaceTombstone(u64, u64),
    CollectTombstone(u64, u64),
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

/// Merges, flashback, joint consensus, witnesses and orders.
const MERGING: &[Step] = &[
    S::PrepareBootstrap,
    S::AbandonBootstrap,
    S::PrepareBootstrap,
    S::ConfirmBootstrap,
    S::Write(1, 1, 6, &["apple", "melon", "zebra"], "first"),
    S::Split(1, (1, 1), 7, "m", 2, 20),
    S::Write(2, 2, 6, &["melon", "nut"], "second"),
    S::Load(1),
    S::PrepareMerge(2, 1, 7),
    S::RollbackMerge(2, 8, 7),
    S::Write(2, 4, 9, &["nut", "yak"], "third"),
    S::PrepareMerge(2, 1, 10),
    S::CommitMerge(1, 2, 8, 10),
    S::Write(1, 6, 9, &["melon", "fig"], "fourth"),
    S::CollectTombstone(2, 20),
    S::BeginFlashback(1, 10),
    S::SetBack(1, 11, &["melon", "apple"], "as before"),
    S::EndFlashback(1, 12),
    S::Joint(1, 13),
    S::LeaveJoint(1, 14),
    S::Force(1, 5),
    S::Checkpoint,
    S::Split(1, (6, 6), 15, "h", 3, 30),
    S::Write(3, 7, 6, &["nut"], "fifth"),
    S::TakeSnapshotAt(3, 30, 8),
    S::Witness(3, 7, 30, true),
    S::Witness(3, 8, 30, false),
    S::ApplySnapshot(3),
    S::Write(3, 7, 9, &["olive"], "sixth"),
    S::PlaceTombstone(7, 70),
    S::Destroy(3, 30),
    S::Recover(8, "h", ""),
    S::Write(8, 1, 6, &["pear"], "seventh"),
    S::Flush,
];

/// What the host keeps over a crash.
#[derive(Clone, Default)]
struct Host {
    /// The snapshot as it came over the network, by region.
    snapshots: BTreeMap<u64, (SnapshotName, Vec<u8>)>,
}

fn first_region() -> Region {
    Region {
        id: RegionId(1),
        range: KeyRange::all(),
        epoch: RegionEpoch::BOOTSTRAP,
        peers: vec![peer(10, STORE.0)],
    }
}

fn described(engine: &Engine, region: u64) -> Region {
    let status = engine.region(RegionId(region)).expect("the region is here");
    (*status.region.expect("it has a description")).clone()
}

impl Host {
    fn play(&mut self, engine: &Engine, step: Step) -> Result<(), EngineError> {
        match step {
            S::Bootstrap => {
                holds(engine.bootstrap(first_region()))?;
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
                let _ = conf_ver;
                let whole = engine
                    .region(RegionId(region))
                    .and_then(|whole| whole.region);
                let whole = whole.map_or_else(Vec::new, |whole| whole.peers.clone());
                let seat = |listed: &Peer| Peer {
                    id: match listed.store {
                        STORE => PeerId(child_peer),
                        store => PeerId(child_peer + store.0 - 4),
                    },
                    ..*listed
                };
                let peers = whole.iter().map(seat).collect();
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
            S::TakeSnapshotAt(region, id, index) => {
                let taken = engine.take_snapshot(RegionId(region), epoch(engine, region))?;
                let Taken::Snapshot(staged) = taken else {
                    panic!("{taken:?}")
                };
                let sent = resent_at(&engine.open_snapshot(staged.name)?, PeerId(id), index);
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
            S::PrepareMerge(source, target, index) => {
                let target = described(engine, target);
                holds(engine.prepare_merge(
                    RegionId(source),
                    epoch(engine, source),
                    at(index),
                    target,
                    index,
                ))?;
            }
            S::CommitMerge(target, source, index, commit) => {
                // Asked again when it is done, the source is gone; the entry carries what it was.
                let source = match engine.region(RegionId(source)) {
                    Some(_) => described(engine, source),
                    None => described(engine, target),
                };
                holds(engine.commit_merge(
                    RegionId(target),
                    epoch(engine, target),
                    at(index),
                    source,
                    commit,
                ))?;
            }
            S::RollbackMerge(region, index, commit) => holds(engine.rollback_merge(
                RegionId(region),
                epoch(engine, region),
                at(index),
                commit,
            ))?,
            S::BeginFlashback(region, index) => {
                let epoch = epoch(engine, region);
                holds(engine.begin_flashback(RegionId(region), epoch, at(index)))?;
            }
            S::EndFlashback(region, index) => {
                let epoch = epoch(engine, region);
                holds(engine.end_flashback(RegionId(region), epoch, at(index)))?;
            }
            S::SetBack(region, index, keys, text) => {
                let epoch = epoch(engine, region);
                let batch = puts(keys, text);
                written(engine.write_in_flashback(RegionId(region), epoch, at(index), &batch))?;
            }
            S::Joint(region, index) => {
                let changes = vec![
                    PeerChange::Add { peer: peer(11, 5) },
                    PeerChange::Add { peer: peer(12, 6) },
                ];
                let epoch = epoch(engine, region);
                holds(engine.enter_joint(RegionId(region), epoch, at(index), changes))?;
            }
            S::LeaveJoint(region, index) => {
                let epoch = epoch(engine, region);
                holds(engine.leave_joint(RegionId(region), epoch, at(index)))?;
            }
            S::Witness(region, index, id, witness) => {
                let peer = PeerId(id);
                let switches = vec![WitnessSwitch { peer, witness }];
                let epoch = epoch(engine, region);
                holds(engine.switch_witness(RegionId(region), epoch, at(index), switches))?;
            }
            S::PrepareBootstrap => holds(engine.prepare_bootstrap(first_region()))?,
            S::ConfirmBootstrap => holds(engine.confirm_bootstrap(RegionId(1)))?,
            S::AbandonBootstrap => holds(engine.abandon_bootstrap(RegionId(1)))?,
            S::Recover(id, start, end) => {
                let end = (!end.is_empty()).then(|| key(end));
                let region = Region {
                    id: RegionId(id),
                    range: KeyRange::new(key(start), end).expect("a range that is not empty"),
                    epoch: RegionEpoch::BOOTSTRAP,
                    peers: vec![peer(10 * id, STORE.0)],
                };
                holds(engine.recover_region(region))?;
            }
            S::Force(region, store) => {
                let epoch = epoch(engine, region);
                holds(engine.force_voters(RegionId(region), epoch, vec![StoreId(store)]))?;
            }
            S::PlaceTombstone(region, id) => {
                let (region, id) = (RegionId(region), PeerId(id));
                holds(engine.place_tombstone(region, id, RegionEpoch::BOOTSTRAP))?;
            }
            S::CollectTombstone(region, id) => {
                for answer in engine.collect_tombstones(&[(RegionId(region), PeerId(id))])? {
                    holds(Ok(answer))?;
                }
            }
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
fn reference(history: &[Step]) -> (Vec<Seen>, Vec<Rows>, u64) {
    let world = World::new(1);
    let (engine, _) = world.open().expect("a new store opens");
    let (mut host, mut seen, mut data) = (Host::default(), vec![Seen::of(&engine)], vec![]);
    data.push(rows(&engine));
    for step in history {
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
fn play_until_dead(
    history: &[Step],
    op: u64,
    fault: SimFault,
) -> Option<(World, Host, Option<usize>)> {
    let world = World::new(1);
    world.disk.fail_at(op, fault);
    let mut host = Host::default();
    let engine = match world.open() {
        Ok((engine, _)) => engine,
        Err(_) => return Some((world, host, None)),
    };
    for (number, step) in history.iter().enumerate() {
        let kept = host.clone();
        if host.play(&engine, *step).is_err() {
            assert!(world.disk.is_dead(), "{step:?} failed without a fault");
            return Some((world, kept, Some(number)));
        }
    }
    let closed = engine.close();
    match world.disk.is_dead() {
        true => Some((world, host, Some(history.len()))),
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
        Lost::Scattered(seed),
        Lost::Scattered(seed ^ 0x5eed),
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
    history: &[Step],
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
        Some(step) => (step, (step + 1).min(history.len())),
    };
    assert!(
        now == seen[before] || now == seen[after],
        "neither the state before nor after step {step:?}:\n{now:#?}\nbefore {:#?}\nafter {:#?}",
        seen[before],
        seen[after]
    );
    // The host's log from its start: what is in answers "already applied", what was lost comes again.
    for step in &history[..before] {
        if matches!(step, S::Write(..) | S::SetBack(..)) && still_there(&engine, *step) {
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
    let next = if now == seen[after] && !must_repeat(history, before) {
        after
    } else {
        before
    };
    for step in &history[next..] {
        host.play(&engine, *step)
            .unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
    assert_eq!(&Seen::of(&engine), seen.last().unwrap());
    assert_eq!(&rows(&engine), data.last().unwrap());
    engine.close().expect("and closes");
}

/// Whether the step changes nothing that is seen, so that one cannot see whether it happened.
fn must_repeat(history: &[Step], step: usize) -> bool {
    history.get(step).is_some_and(|step| {
        matches!(
            step,
            S::Write(..)
                | S::SetBack(..)
                | S::TakeSnapshot(_)
                | S::TakeSnapshotAt(..)
                | S::Load(_)
                | S::Evict(_)
                | S::Flush
                | S::Checkpoint
        )
    })
}

/// Whether the peer that a log entry was for still lives, so that its host still sends the log.
fn still_there(engine: &Engine, step: Step) -> bool {
    let (S::Write(region, _, index, ..) | S::SetBack(region, index, ..)) = step else {
        return false;
    };
    engine
        .raft_start(RegionId(region))
        .is_ok_and(|start| start.status.stage == "normal" && index > start.data.index)
}

#[test]
fn a_crash_at_any_operation_recovers_to_the_state_before_or_after_the_step() {
    crash_everywhere(HISTORY);
}

#[test]
fn a_crash_at_any_operation_of_merges_and_orders_recovers_likewise() {
    crash_everywhere(MERGING);
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is the body of tests, which say what they tried"
)]
fn crash_everywhere(history: &[Step]) {
    let reference = reference(history);
    assert!(
        reference.2 > 150,
        "the history has {} operations",
        reference.2
    );
    let mut op = 1;
    let mut tried = 0;
    while let Some((dead, host, step)) = play_until_dead(history, op, SimFault::Dies) {
        for (name, world) in returns(&dead, op) {
            let context = format!("death at operation {op} in step {step:?}, then {name}");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                come_back(&world, &mut host.clone(), step, history, &reference);
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
