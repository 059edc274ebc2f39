//! A host that calls from many threads in any order gets answers that some order of the calls, one after the
//! other, gives too: an order in which no call moves before one that had ended when it began.
//!
//! The one-after-the-other machine is `step` and `apply` on a register. Only transitions whose answers rest
//! on durable records are asked, and what everybody can see; caches answer before they are durable.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use torrens::lifecycle::{
    Cause, Event, Outcome, PeerChange, Record, Register, Split, Stamp, apply, step,
};
use torrens::{
    Answer, Derive, DestroyCause, Engine, EngineError, NewRegion, PeerId, RegionEpoch, RegionId,
    StoreId,
};

use crate::support::*;

const THREADS: usize = 3;
const CALLS: usize = 4;
const ROUNDS: u64 = 300;
const WHOLE: RegionId = RegionId(1);
const PART: RegionId = RegionId(2);

/// One call of a host.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    /// The split of region 1; `grown` is whether the host has seen the change of peers.
    Split { grown: bool },
    /// The change of peers of region 1, which names the first part of the epoch only.
    Add,
    /// A message for a peer of region 2.
    Create(u64),
    /// A message says that a peer of region 2 is not wanted any more.
    Destroy(u64),
    /// What everybody can see of a region.
    Look(RegionId),
}

/// What came of a call.
type Answered = (&'static str, Option<(PeerId, RegionEpoch)>);

fn epoch(conf_ver: u64) -> RegionEpoch {
    RegionEpoch {
        conf_ver,
        version: 1,
    }
}

impl Call {
    fn any(random: &mut u64) -> Call {
        // A linear congruential generator: the seed is printed, and any order will do.
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match (*random >> 33) % 9 {
            0 => Call::Split { grown: false },
            1 => Call::Split { grown: true },
            2 => Call::Add,
            3 => Call::Create(20),
            4 => Call::Create(22),
            5 => Call::Destroy(20),
            6 => Call::Destroy(22),
            7 => Call::Look(WHOLE),
            _ => Call::Look(PART),
        }
    }

    /// The event that it is; none for a look.
    fn event(&self) -> Option<Event> {
        Some(match *self {
            Call::Split { grown } => Event::Split(Split {
                region: WHOLE,
                incarnation: None,
                epoch: epoch(if grown { 2 } else { 1 }),
                position: at(8),
                boundaries: vec![key("m")],
                children: vec![NewRegion {
                    id: PART,
                    peers: match grown {
                        true => vec![peer(20, STORE.0), peer(21, 9)],
                        false => vec![peer(20, STORE.0)],
                    },
                }],
                derive: Derive::Left,
            }),
            Call::Add => Event::ChangePeers {
                region: WHOLE,
                incarnation: None,
                epoch: epoch(1),
                position: at(7),
                change: PeerChange::Add { peer: peer(11, 9) },
            },
            Call::Create(id) => Event::CreateByMessage {
                region: PART,
                peer: PeerId(id),
                from_store: StoreId(9),
                message_epoch: epoch(1),
            },
            Call::Destroy(id) => Event::Destroy {
                region: PART,
                incarnation: None,
                peer: PeerId(id),
                cause: cause(),
            },
            Call::Look(_) => return None,
        })
    }

    fn ask(&self, engine: &Engine) -> Answered {
        let answer = match self.event() {
            None => {
                let Call::Look(region) = self else {
                    unreachable!("every other call is an event")
                };
                return ("seen", seen(&engine.register(), *region));
            }
            Some(Event::Split(split)) => engine.split(split),
            Some(Event::ChangePeers {
                region,
                epoch,
                position,
                change,
                ..
            }) => engine.change_peers(region, epoch, position, change),
            Some(Event::CreateByMessage {
                region,
                peer,
                from_store,
                message_epoch,
            }) => engine.create_peer(region, peer, from_store, message_epoch),
            Some(Event::Destroy {
                region,
                peer,
                cause,
                ..
            }) => destroy(engine, region, peer, cause),
            Some(other) => unreachable!("{other:?} is not called"),
        };
        let word = match answer.expect("the store is well") {
            Answer::Accepted { .. } => "accepted",
            Answer::AlreadyApplied => "already applied",
            Answer::Wait(reason) => reason.code(),
            Answer::Refused(refusal) => refusal.code(),
        };
        (word, None)
    }
}

fn cause() -> DestroyCause {
    let newer = RegionEpoch {
        conf_ver: 9,
        version: 9,
    };
    DestroyCause::Removed { epoch: newer }
}

/// Names whatever epoch is seen; a region that moved meanwhile is asked again, as one call.
fn destroy(
    engine: &Engine,
    region: RegionId,
    peer: PeerId,
    cause: DestroyCause,
) -> Result<Answer, EngineError> {
    loop {
        let seen = engine.region(region).and_then(|status| status.region);
        let epoch = seen.map_or(RegionEpoch::NONE, |region| region.epoch);
        match engine.destroy(region, epoch, None, peer, cause)? {
            Answer::Refused(refusal) if matches!(refusal.code(), "epoch-stale" | "epoch-ahead") => {
            }
            answer => return Ok(answer),
        }
    }
}

fn seen(register: &Register, region: RegionId) -> Option<(PeerId, RegionEpoch)> {
    let peer = register.peer(region)?;
    Some((peer.peer, peer.stage.epoch()))
}

/// The machine without threads.
#[derive(Clone, Debug)]
struct Sequential(Register);

impl SequentialSpec for Sequential {
    type Op = Call;
    type Ret = Answered;

    fn invoke(&mut self, call: &Call) -> Answered {
        let Some(event) = call.event() else {
            let Call::Look(region) = call else {
                unreachable!("every other call is an event")
            };
            return ("seen", seen(&self.0, *region));
        };
        let word = match step(&self.0, &event) {
            Outcome::Accepted(accepted) => {
                let stamp = Stamp {
                    wall_clock_micros: 0,
                    boot: 1,
                    cause: Cause::Host,
                };
                let record = Record::new(&self.0, accepted.change, stamp);
                let lsn = self.0.last_lsn().next().expect("there is a next one");
                apply(&mut self.0, lsn, &record).expect("what is accepted applies");
                "accepted"
            }
            Outcome::AlreadyApplied => "already applied",
            Outcome::Wait(reason) => reason.code(),
            Outcome::Refused(refusal) => refusal.code(),
        };
        (word, None)
    }
}

type History = LinearizabilityTester<usize, Sequential>;

/// One history of calls from several threads on a store of its own.
fn round(seed: u64) -> History {
    let (engine, _) = World::new(seed).open().expect("an empty machine opens");
    bootstrap(&engine).expect("an empty store is bootstrapped");
    let history = Arc::new(Mutex::new(History::new(Sequential(engine.register()))));
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for id in 0..THREADS {
            let (engine, history, start) = (&engine, Arc::clone(&history), &start);
            scope.spawn(move || {
                let mut random = seed * 31 + id as u64;
                start.wait();
                for _ in 0..CALLS {
                    let call = Call::any(&mut random);
                    let begun = history.lock().expect("nobody panics");
                    note(begun, |history| {
                        history.on_invoke(id, call.clone()).map(drop)
                    });
                    let answered = call.ask(engine);
                    let ended = history.lock().expect("nobody panics");
                    note(ended, |history| history.on_return(id, answered).map(drop));
                }
            });
        }
    });
    history.lock().expect("nobody panics").clone()
}

fn note(
    mut history: std::sync::MutexGuard<'_, History>,
    add: impl FnOnce(&mut History) -> Result<(), String>,
) {
    add(&mut history).expect("a thread calls one thing at a time");
}

#[test]
fn calls_from_many_threads_answer_as_if_one_came_after_the_other() {
    for seed in 1..=ROUNDS {
        let history = round(seed);
        assert!(
            history.serialized_history().is_some(),
            "seed {seed}: no order gives these answers: {history:#?}"
        );
    }
    println!("seeds 1 to {ROUNDS}, {THREADS} threads with {CALLS} calls each");
}

/// The checker itself: an answer that no order gives is found.
#[test]
fn an_answer_that_no_order_gives_is_found() {
    let (engine, _) = World::new(1).open().expect("an empty machine opens");
    bootstrap(&engine).expect("an empty store is bootstrapped");
    let mut history = History::new(Sequential(engine.register()));
    let mut call = |call: Call, answered: Answered| {
        history.on_invoke(0, call).expect("one at a time");
        history.on_return(0, answered).expect("one at a time");
    };
    call(Call::Create(20), ("accepted", None));
    // Acknowledged, and not seen by whoever looks after that.
    call(Call::Look(PART), ("seen", None));
    assert!(!history.is_consistent());
}
