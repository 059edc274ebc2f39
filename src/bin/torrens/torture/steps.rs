//! `--every-step`: one short fixed history, run with an abort at the first, second, third …
//! operation that changes the disk, until a run comes to its end without one.
//!
//! Each run works on a store of its own in the folder beside, which is made anew every time, so the
//! space stays bounded and the tortured directory itself is not touched. After each abort the store
//! is opened again (every other time with a second abort, inside that recovery), checked, the
//! history is carried to its end, checked again and closed.

use std::fs;
use std::io;
use std::path::Path;

use super::data::DataSet;
use super::driver::{Driver, LifeEnd, Progress, Source, Stop};
use super::error::TortureError;
use super::kills::{Kills, Plan};
use super::model::{Model, Normal};
use super::oracle::Oracle;
use super::process::Launch;
use super::protocol::{Do, PeerChangeLine, PeerLine, RowChange, STORE};
use super::tally::Tally;
use super::workload::{self, Scene, Wish};

/// Lives that one step may take: the abort, one more in its recovery, and the rest of the history.
const LIVES_MAX: u64 = 16;

/// The fixed history, one wish at a time. Its place survives the lives of the storage process.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    place: usize,
}

impl Script {
    /// The next wish; none at the end.
    pub(super) fn next(&mut self, scene: Scene<'_>) -> Option<Wish> {
        loop {
            let step = STEPS.get(self.place)?;
            self.place += 1;
            // A step may find nothing to do only if the history was changed: the test would see it.
            if let Some(wish) = step(scene) {
                return Some(wish);
            }
        }
    }
}

type Step = fn(Scene<'_>) -> Option<Wish>;

/// Bootstrap, writes, a split, a snapshot, load and evict, a destroy, the replica's return, a split
/// that meets a replica made by a message, a removal; checkpoints and, with small segments,
/// rotations on the way.
const STEPS: &[Step] = &[
    |scene| Some(Wish::Track(workload::bootstrap(scene.model))),
    |scene| write(scene, First, 0, 40),
    |scene| write(scene, First, 40, 40),
    |_| Some(Wish::Track(Do::Flush)),
    |scene| split(scene, First, true),
    |scene| write(scene, Last, 60, 5),
    |scene| add_peer(scene, Last),
    take_snapshot,
    |scene| write(scene, Last, 70, 10),
    |scene| {
        peer(
            scene,
            Last,
            |region, peer| Do::Load {
                region,
                epoch: peer.state.description.epoch,
            },
            Wish::Probe,
        )
    },
    scan,
    |scene| peer(scene, Last, |region, _| Do::Evict { region }, Wish::Probe),
    |scene| {
        peer(
            scene,
            Last,
            |region, peer| Do::Destroy {
                region,
                incarnation: peer.incarnation,
                peer: peer.peer,
                removed: None,
            },
            Wish::Track,
        )
    },
    return_by_message,
    feed,
    |_| Some(Wish::Probe(Do::Checkpoint)),
    announce,
    |scene| write(scene, First, 20, 10),
    |scene| split(scene, First, false),
    |scene| write(scene, Last, 75, 5),
    |scene| {
        peer(
            scene,
            Last,
            |region, peer| {
                let change = PeerChangeLine::Remove(peer.peer);
                workload::change_peers(scene.model, region, &peer.state, change)
            },
            Wish::Track,
        )
    },
    |scene| write(scene, First, 0, 30),
    |_| Some(Wish::Track(Do::Flush)),
    |_| Some(Wish::Probe(Do::Checkpoint)),
    |scene| write(scene, First, 10, 30),
];

/// Which end of the key space.
#[derive(Clone, Copy)]
enum At {
    First,
    Last,
}
use At::{First, Last};

fn region(scene: Scene<'_>, at: At) -> Option<(u64, &Normal)> {
    let by_start = |(_, peer): &(u64, &Normal)| peer.state.description.start.clone();
    match at {
        First => scene.model.normals().min_by_key(by_start),
        Last => scene.model.normals().max_by_key(by_start),
    }
}

fn peer(
    scene: Scene<'_>,
    at: At,
    make: impl FnOnce(u64, &Normal) -> Do,
    wish: fn(Do) -> Wish,
) -> Option<Wish> {
    let (region, peer) = region(scene, at)?;
    Some(wish(make(region, peer)))
}

fn write(scene: Scene<'_>, at: At, first: u32, rows: u32) -> Option<Wish> {
    let (region, peer) = region(scene, at)?;
    let mut revision = scene.model.next.revision;
    let inside = |row: &u32| {
        let key = scene.data.key(0, *row);
        key.is_some_and(|key| peer.state.description.contains(&key))
    };
    let rows = (first..first.saturating_add(rows))
        .filter(inside)
        .map(|row| {
            revision += 1;
            RowChange(0, row, (row % 7 != 3).then_some(revision))
        });
    let rows = rows.collect();
    Some(Wish::Track(workload::write(
        scene.model,
        region,
        &peer.state,
        rows,
    )))
}

fn split(scene: Scene<'_>, at: At, derive_right: bool) -> Option<Wish> {
    let (region, _) = region(scene, at)?;
    workload::split(scene, region, 2, derive_right).map(Wish::Track)
}

fn add_peer(scene: Scene<'_>, at: At) -> Option<Wish> {
    let added = PeerLine::voter(scene.model.next.peer, STORE + 1);
    let change = PeerChangeLine::Add(added);
    let make =
        |region, peer: &Normal| workload::change_peers(scene.model, region, &peer.state, change);
    peer(scene, at, make, Wish::Track)
}

fn take_snapshot(scene: Scene<'_>) -> Option<Wish> {
    let make = |region, peer: &Normal| Do::TakeSnapshot {
        region,
        epoch: peer.state.description.epoch,
        to: Default::default(),
    };
    peer(scene, Last, make, Wish::Track)
}

fn scan(scene: Scene<'_>) -> Option<Wish> {
    let make = |region, peer: &Normal| Do::Scan {
        region,
        epoch: peer.state.description.epoch,
        start: peer.state.description.start.clone(),
        end: peer.state.description.end.clone(),
        reverse: true,
    };
    peer(scene, Last, make, Wish::Probe)
}

fn return_by_message(scene: Scene<'_>) -> Option<Wish> {
    let (region, state) = scene.model.elsewhere.iter().next()?;
    let (peer, epoch) = (scene.model.next.peer, state.description.epoch);
    Some(Wish::Track(Do::CreatePeer {
        region: *region,
        peer,
        from_store: STORE + 1,
        epoch,
    }))
}

fn feed(scene: Scene<'_>) -> Option<Wish> {
    let mut waiting = scene
        .model
        .peers
        .iter()
        .filter(|(_, peer)| peer.normal().is_none());
    waiting
        .next()
        .map(|(region, _)| Wish::Feed { region: *region })
}

fn announce(scene: Scene<'_>) -> Option<Wish> {
    let Model { next, .. } = scene.model;
    let epoch = super::protocol::Epoch {
        conf_ver: 1,
        version: 2,
    };
    let (region, peer) = (next.region, next.peer);
    Some(Wish::Track(Do::CreatePeer {
        region,
        peer,
        from_store: STORE + 1,
        epoch,
    }))
}

/// Ends a life only on request from outside.
#[derive(Debug)]
struct Interrupted<'a>(&'a dyn Stop);

impl Stop for Interrupted<'_> {
    fn stop(&self, _kills: u64) -> bool {
        self.0.stop(0)
    }
}

/// What all steps together did.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) kills: Kills,
    pub(super) tally: Tally,
    pub(super) steps: u64,
    /// Whether the last run came to its end without an abort.
    pub(super) complete: bool,
    pub(super) regions: u64,
    pub(super) rows: u64,
}

/// Runs the history once for every operation on the disk.
pub(super) fn run(
    folder: &Path,
    data: &DataSet,
    data_file: Option<&Path>,
    seed: u64,
    stop: &dyn Stop,
    progress: &dyn Progress,
) -> Result<Outcome, TortureError> {
    let mut outcome = Outcome {
        kills: Kills::new(seed),
        tally: Tally::default(),
        steps: 0,
        complete: false,
        regions: 0,
        rows: 0,
    };
    let dir = folder.join("store");
    let interrupted = Interrupted(stop);
    for step in 1.. {
        if stop.stop(outcome.kills.kills) {
            break;
        }
        remove(folder)?;
        fs::create_dir_all(folder).map_err(TortureError::io("create", folder))?;
        let oracle = Oracle::open(&dir, data.clone())?;
        let launch = Launch {
            dir: dir.clone(),
            data: data_file.map(Path::to_owned),
            child_log: oracle.beside().child_log(),
            // A consumer's own operations would move the numbers of all others.
            copy: None,
            other: None,
            abort_at: None,
            settings: None,
        };
        let mut driver = Driver {
            oracle,
            launch,
            source: Source::Script(Script::default()),
            lives: None,
            image: None,
            kills: outcome.kills,
            tally: outcome.tally,
            outlined: Default::default(),
            stop: &interrupted,
            progress,
        };
        let first = driver.live(Plan::AtOperation(step))?;
        let mut end = first;
        let mut life = 0;
        while end == LifeEnd::Killed && life < LIVES_MAX {
            // Recovery is aborted too, at a place that moves along with the step.
            let plan = match life {
                0 if step % 2 == 0 => Plan::AtOperation(step / 2 % 24 + 1),
                _ => Plan::None,
            };
            life += 1;
            end = driver.live(plan)?;
        }
        let model = driver.oracle.model();
        (outcome.regions, outcome.rows) = (model.normals().count() as u64, model.rows());
        (outcome.kills, outcome.tally, outcome.steps) = (driver.kills, driver.tally, step);
        if end == LifeEnd::Wrong {
            return Ok(outcome);
        }
        if first == LifeEnd::Closed {
            outcome.complete = !stop.stop(0);
            break;
        }
    }
    remove(folder)?;
    Ok(outcome)
}

fn remove(folder: &Path) -> Result<(), TortureError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(TortureError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}
