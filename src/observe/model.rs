//! A model check of the registry: the real step, apply, judgement of reports and reconciler, with every
//! interleaving of elections, reports (late, repeated, lost), splits, writes, acknowledgements, failures,
//! pauses, syncs and crashes within bounds.
//!
//! What must hold in every state that can be reached: the register's invariants; nothing is attached in a
//! term that this store did not lead; and *one audit makes it right*: from that state, whatever was lost,
//! it attaches exactly what is led, in the term in which it is, and finds nothing to do the second time.
//!
//! `cargo test --release -p torrens --lib observe::model`; `TORRENS_MODEL=big` for larger bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use stateright::{Checker, Model, Property};

use super::leadership::judge;
use super::reconcile::{Plan, Scope, Truth, reconcile};
use super::{HistoryFacts, Leadership, LeadershipRole, Noted};
use crate::lifecycle::tests::world::{STORE, epoch, region, split};
use crate::lifecycle::{
    Acknowledged, Attachment, AttachmentState, Cause, Derive, Detached, Event, Mode, ObserverEvent,
    Outcome, PeerStage, Record, Register, Stamp, Started, WantReason, apply, step,
};
use crate::{
    Generation, Incarnation, KeyRange, ObserverId, ObserverName, ObserverPolicy, ObserverRanges,
    RegionId,
};

/// A history that lets nothing go.
#[derive(Debug)]
struct KeptWhole;

impl HistoryFacts for KeptWhole {
    fn oldest(&self, _: RegionId) -> Option<u64> {
        Some(0)
    }

    fn newest(&self, _: RegionId) -> Option<u64> {
        None
    }
}

const O1: ObserverId = ObserverId(1);
const REGIONS: [RegionId; 2] = [RegionId(1), RegionId(2)];

#[derive(Clone, Debug)]
struct State {
    decided: Register,
    synced: Register,
    /// What each region's peer is, term and role; and what it told so far, to be heard at any time, or
    /// again, or never.
    truth: BTreeMap<RegionId, (u64, LeadershipRole)>,
    told: BTreeSet<(RegionId, u64, u8)>,
    known: BTreeMap<RegionId, Leadership>,
    applied: BTreeMap<RegionId, u64>,
    dirty: BTreeSet<RegionId>,
    crashes: u8,
    failures: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Elect(RegionId),
    StepDown(RegionId),
    Hear(RegionId, u64, u8),
    Write(RegionId),
    Add,
    Split,
    Pause,
    Resume,
    Reconcile,
    Acknowledge(RegionId, Generation),
    Fail(RegionId, Generation),
    Sync,
    Crash,
}

struct Registry {
    terms: u64,
    index: u64,
    generations: u64,
    crashes: u8,
    failures: u8,
}

const ROLES: [LeadershipRole; 3] = [
    LeadershipRole::Candidate,
    LeadershipRole::Leader,
    LeadershipRole::Follower,
];

impl State {
    /// What makes two states the same: positions in the journal do not.
    fn essence(&self) -> String {
        let of = |register: &Register| {
            let observers = register.observers();
            let all: Vec<_> = observers
                .iter()
                .map(|(id, one)| (id, one.paused, one.attachments().collect::<Vec<_>>()))
                .collect();
            let regions: Vec<_> = register.region_ids().collect();
            format!("{all:?} {:?} {regions:?}", observers.last_generation())
        };
        let State {
            decided,
            synced,
            truth,
            told,
            known,
            applied,
            dirty,
            crashes,
            failures,
        } = self;
        let known: Vec<_> = known
            .iter()
            .map(|(region, one)| (region, one.term, one.role))
            .collect();
        let rest =
            format!("{truth:?} {told:?} {known:?} {applied:?} {dirty:?} {crashes} {failures}");
        format!("{} | {} | {rest}", of(decided), of(synced))
    }

    fn ask(&mut self, event: &Event) -> bool {
        let Outcome::Accepted(accepted) = step(&self.decided, event) else {
            return false;
        };
        let stamp = Stamp {
            wall_clock_micros: 0,
            boot: 1,
            cause: Cause::Host,
        };
        let record = Record::new(&self.decided, accepted.change, stamp);
        let lsn = self.decided.last_lsn().next().unwrap();
        apply(&mut self.decided, lsn, &record).unwrap();
        self.dirty.extend(record.change.region());
        self.dirty.extend(record.change.also());
        true
    }

    fn observe(&mut self, event: ObserverEvent) -> bool {
        self.ask(&Event::Observer(event))
    }

    fn hear(&mut self, region: RegionId, term: u64, role: LeadershipRole) {
        let Some(incarnation) = self.decided.incarnation(region) else {
            return;
        };
        let reported = Leadership {
            incarnation,
            term,
            role,
        };
        if let Noted::News(_) = judge(self.known.get(&region).copied(), reported) {
            self.known.insert(region, reported);
            self.dirty.insert(region);
        }
    }

    fn plan(&self, scope: Scope<'_>) -> Plan {
        reconcile(&self.decided, scope, self)
    }

    fn carry_out(&mut self, plan: Plan) {
        for event in plan.into_events() {
            self.observe(event);
        }
    }

    fn audit(&mut self) -> usize {
        for (region, (term, role)) in self.truth.clone() {
            self.hear(region, term, role);
        }
        let plan = self.plan(Scope::All);
        let count = plan.count();
        self.carry_out(plan);
        count
    }

    /// Why one audit does not make it right, if it does not.
    fn unsettled(&self) -> Option<String> {
        let mut after = self.clone();
        after.audit();
        if after.audit() > 0 {
            return Some("a second audit finds something".to_owned());
        }
        let observer = after.decided.observers().get(O1)?;
        for region in after.decided.region_ids() {
            let Some(one) = observer.attachment(region) else {
                return Some(format!("{region} is not observed"));
            };
            let led = match after.truth.get(&region) {
                Some((term, LeadershipRole::Leader)) if !observer.paused => Some(*term),
                Some(_) | None => None,
            };
            if one.term() != led {
                return Some(format!("{region} is led in {led:?} and is {:?}", one.state));
            }
            // What is led is told: nothing comes before it that nobody tells here.
            if let (Some(_), Some((whole, _))) = (led, observer.comes_after(one))
                && !observer
                    .attachment(whole)
                    .is_some_and(Attachment::is_attached)
            {
                return Some(format!("{region} waits for {whole}, which is not told"));
            }
        }
        None
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl Truth for State {
    fn leads(&self, region: RegionId, incarnation: Incarnation) -> Option<u64> {
        self.known.get(&region)?.leads(incarnation)
    }

    fn applied(&self, region: RegionId, _: Incarnation) -> u64 {
        self.applied.get(&region).copied().unwrap_or(5)
    }

    fn history(&self) -> &dyn HistoryFacts {
        &KeptWhole
    }

    fn may_try(&self, _: ObserverId, _: RegionId) -> bool {
        true
    }
}

impl Model for Registry {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            decided: Register::default(),
            synced: Register::default(),
            truth: BTreeMap::new(),
            told: BTreeSet::new(),
            known: BTreeMap::new(),
            applied: BTreeMap::from([(REGIONS[0], 5)]),
            dirty: BTreeSet::new(),
            crashes: 0,
            failures: 0,
        };
        let region = region(1, "", "", (1, 1));
        let store = STORE;
        assert!(state.ask(&Event::Bootstrap { store, region }));
        state.synced = state.decided.clone();
        state.dirty.clear();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let observers = state.decided.observers();
        if observers.last_generation().0 >= self.generations {
            return;
        }
        for region in state.decided.region_ids() {
            let (term, role) = state.truth.get(&region).copied().unwrap_or((0, ROLES[2]));
            if role == LeadershipRole::Leader {
                actions.push(Action::StepDown(region));
                if state.applied.get(&region).copied().unwrap_or(5) < self.index {
                    actions.push(Action::Write(region));
                }
            } else if term < self.terms {
                actions.push(Action::Elect(region));
            }
        }
        for (region, term, role) in &state.told {
            actions.push(Action::Hear(*region, *term, *role));
        }
        match observers.get(O1) {
            None => actions.push(Action::Add),
            Some(observer) => {
                actions.push(if observer.paused {
                    Action::Resume
                } else {
                    Action::Pause
                });
                for (region, one) in observer.attachments() {
                    let below = one.acked < state.applied.get(&region).copied().unwrap_or(5);
                    if below && one.is_attached() {
                        actions.push(Action::Acknowledge(region, one.generation));
                    }
                    if one.generation.0 > 0 && state.failures < self.failures {
                        actions.push(Action::Fail(region, one.generation));
                        actions.push(Action::Fail(region, Generation(one.generation.0 - 1)));
                    }
                }
            }
        }
        if state.decided.peer(REGIONS[1]).is_none() {
            actions.push(Action::Split);
        }
        if !state.dirty.is_empty() {
            actions.push(Action::Reconcile);
        }
        actions.push(Action::Sync);
        if state.crashes < self.crashes {
            actions.push(Action::Crash);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Elect(region) => {
                let (term, _) = state.truth.get(&region).copied().unwrap_or((0, ROLES[2]));
                state
                    .truth
                    .insert(region, (term + 1, LeadershipRole::Leader));
                state
                    .told
                    .extend([(region, term + 1, 0), (region, term + 1, 1)]);
            }
            Action::StepDown(region) => {
                let (term, _) = state.truth.get(&region).copied()?;
                state.truth.insert(region, (term, LeadershipRole::Follower));
                state.told.insert((region, term, 2));
            }
            Action::Hear(region, term, role) => {
                state.hear(region, term, *ROLES.get(usize::from(role))?);
            }
            Action::Write(region) => {
                let applied = state.applied.entry(region).or_insert(5);
                *applied += 1;
            }
            Action::Add => {
                let ranges = ObserverRanges::new(vec![KeyRange::all()]).ok()?;
                let applied = |region: &RegionId| state.applied.get(region).copied().unwrap_or(5);
                let regions: Vec<RegionId> = state.decided.region_ids().collect();
                let starts = regions.iter().map(|region| Started {
                    region: *region,
                    acked: applied(region),
                });
                let event = ObserverEvent::Add {
                    name: ObserverName::new("a")?,
                    starts: starts.collect(),
                    ranges,
                    policy: ObserverPolicy::default(),
                };
                assert!(state.observe(event));
                state.dirty.extend(regions);
            }
            Action::Split => {
                let index = state.applied.get(&REGIONS[0]).copied()? + 1;
                assert!(state.ask(&split(1, epoch(1, 1), index, "m", 2, Derive::Left)));
                state.applied.insert(REGIONS[0], index);
                state.applied.insert(REGIONS[1], 5);
            }
            Action::Pause => assert!(state.observe(ObserverEvent::Pause { observer: O1 })),
            Action::Resume => {
                assert!(state.observe(ObserverEvent::Resume { observer: O1 }));
                state.dirty.extend(REGIONS);
            }
            Action::Reconcile => {
                let regions: Vec<RegionId> = std::mem::take(&mut state.dirty).into_iter().collect();
                let plan = state.plan(Scope::Regions(&regions));
                state.carry_out(plan);
            }
            Action::Acknowledge(region, generation) => {
                let one = state.decided.observers().attachment(O1, region)?;
                let positions = vec![Acknowledged {
                    region,
                    generation,
                    index: one.acked + 1,
                }];
                let observer = O1;
                assert!(state.observe(ObserverEvent::Acknowledge {
                    observer,
                    positions
                }));
            }
            Action::Fail(region, generation) => {
                state.failures += 1;
                let attachments = vec![Detached {
                    observer: O1,
                    region,
                    generation,
                    reason: WantReason::Stale,
                }];
                state.observe(ObserverEvent::Detach { attachments });
                state.dirty.insert(region);
            }
            Action::Sync => state.synced = state.decided.clone(),
            Action::Crash => {
                state.crashes += 1;
                state.decided = state.synced.clone();
                state.observe(ObserverEvent::Restart);
                state.synced = state.decided.clone();
                state.known.clear();
                state.dirty = state.decided.region_ids().collect();
                // Writes and elections of a region that a crash took away are the host's to repeat.
                let lives: BTreeSet<RegionId> = state.decided.region_ids().collect();
                state.truth.retain(|region, _| lives.contains(region));
                state.told.retain(|(region, ..)| lives.contains(region));
                state.applied.retain(|region, _| lives.contains(region));
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the invariants hold", |_: &Registry, state: &State| {
                state.decided.check_invariants().is_ok() && state.synced.check_invariants().is_ok()
            }),
            Property::always(
                "nothing is attached in a term that was not led",
                |_, state: &State| {
                    let Some(observer) = state.decided.observers().get(O1) else {
                        return true;
                    };
                    observer.attachments().all(|(region, one)| {
                        one.term()
                            .is_none_or(|term| state.told.contains(&(region, term, 1)))
                    })
                },
            ),
            Property::always("one audit makes it right", |_, state: &State| {
                state.unsettled().is_none()
            }),
            Property::always(
                "only data that can be read is attached",
                |_, state: &State| {
                    let Some(observer) = state.decided.observers().get(O1) else {
                        return true;
                    };
                    observer.attachments().all(|(region, one)| {
                        let peer = state.decided.peer(region);
                        let serves = peer.is_some_and(|peer| match &peer.stage {
                            PeerStage::Normal(normal) => *normal.mode == Mode::Serving,
                            _ => false,
                        });
                        serves || one.term().is_none()
                    })
                },
            ),
            Property::sometimes("both parts are live", |_, state: &State| {
                let Some(observer) = state.decided.observers().get(O1) else {
                    return false;
                };
                let live = |region| {
                    let one = observer.attachment(region);
                    one.is_some_and(|one| matches!(one.state, AttachmentState::Live { .. }))
                };
                REGIONS.into_iter().all(live)
            }),
        ]
    }
}

#[test]
fn from_every_state_one_audit_attaches_what_is_led_and_nothing_else() {
    let is_big = std::env::var("TORRENS_MODEL").is_ok_and(|bounds| bounds == "big");
    let bounds = match (is_big, cfg!(debug_assertions)) {
        (true, _) => Registry {
            terms: 2,
            index: 6,
            generations: 3,
            crashes: 1,
            failures: 1,
        },
        (false, false) => Registry {
            terms: 1,
            index: 6,
            generations: 2,
            crashes: 1,
            failures: 1,
        },
        (false, true) => Registry {
            terms: 1,
            index: 5,
            generations: 2,
            crashes: 1,
            failures: 1,
        },
    };
    let checker = bounds.checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}
