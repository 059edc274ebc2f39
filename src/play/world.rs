//! `World`: everything of one scenario while it is played: its machines, the snapshots that are on
//! their way between them, and the count of operations that all of them share.
//!
//! Not here: what each command does (`commands`), whether an answer is right (`player`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::held::Release;
use super::machine::{Crash, Machine};
use super::player::Place;
use super::points::{Counter, Plan};
use super::scenario::Step;
use super::show;
use crate::engine::ObserveError;
use crate::lifecycle::OpenOperation;
use crate::snapshot::StagedSnapshot;
use crate::{Answer, EngineError, Incarnation, OpenError, ReadError, Refusal, RegionId, StoreId};

/// Why a command has no ordinary answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The engine could not do it.
    Engine(EngineError),
    /// A read could not be done.
    Read(ReadError),
    /// The store did not open.
    Open(Box<OpenError>),
    /// A subscription does not go on.
    Observe(ObserveError),
    /// The event may not happen.
    Refused(Refusal),
    /// The scenario asks for what is not there.
    Script(String),
    /// A command without an argument that its table promises.
    Argument(&'static str),
    /// What only a simulated disk can do.
    NeedsSim,
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Trouble::Engine(error)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) => Trouble::Refused(refusal),
            error => Trouble::Read(error),
        }
    }
}

/// The lines of an answer.
pub(super) type Lines = Vec<String>;

/// A snapshot that the scenario has a name for: the bytes as another store sends them.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) staged: StagedSnapshot,
    pub(super) bytes: Vec<u8>,
}

/// What a scenario is played in.
pub struct World {
    place: Place,
    seed: u64,
    counter: Counter,
    machines: BTreeMap<StoreId, Machine>,
    current: StoreId,
    pub(super) parcels: BTreeMap<String, Parcel>,
    /// How many snapshots were made up so far; part of their names.
    pub(super) made: u64,
    needs_sim: bool,
}

impl World {
    /// An empty world; its first machine is store 1, not yet opened.
    pub fn new(place: Place, seed: u64) -> World {
        World {
            place,
            seed,
            counter: Counter::default(),
            machines: BTreeMap::new(),
            current: StoreId(1),
            parcels: BTreeMap::new(),
            made: 0,
            needs_sim: false,
        }
    }

    /// Plays one step and says what it answers.
    pub fn run(&mut self, step: &Step) -> Vec<String> {
        // A store that opens or dies between has neither made nor ended anything.
        let (store, before) = (self.current, self.live());
        let outcome = (step.command.run)(self, &step.args);
        self.note_all();
        let mut lines = match outcome {
            Ok(lines) => lines,
            Err(trouble) => {
                self.needs_sim |= matches!(trouble, Trouble::NeedsSim);
                show::trouble(&trouble)
            }
        };
        // Another store's peers are neither.
        let now = self.live().filter(|_| self.current == store);
        if let (Some(before), Some(now)) = (before, now) {
            lines.extend(show::came_and_went(&before, &now));
        }
        // An armed point speaks of the command after it.
        if step.command.name != "arm" && step.command.name != "fail" {
            self.end_of_armed(&mut lines);
        }
        let machine = self.machines.get(&self.current);
        lines
            .iter()
            .flat_map(|line| line.split('\n'))
            .map(|line| match machine {
                Some(machine) => {
                    let names = self.parcels.iter();
                    let names =
                        names.map(|(given, parcel)| (given, parcel.staged.name.to_string()));
                    show::unplaced(&show::localized(machine, line), machine.dir(), names)
                }
                None => line.to_owned(),
            })
            .map(|line| line.trim_end().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// Whether the last step needs what a real disk cannot do.
    pub fn needs_sim(&self) -> bool {
        self.needs_sim
    }

    /// Operations of all simulated disks and data stores so far.
    pub fn operations(&self) -> u64 {
        self.counter.ops()
    }

    /// Which operations were at a named crash point since the last call, with the name.
    pub fn points_reached(&mut self) -> Vec<(u64, &'static str)> {
        self.counter.points_reached()
    }

    /// Lets the process die before the operation with this number (from 1, over all machines).
    pub fn die_at(&self, operation: Option<u64>) {
        self.counter.die_at(operation);
    }

    /// Whether that operation was reached. The machine that died is [`World::crash_dead`]'s.
    pub fn has_died(&self) -> bool {
        self.counter.died()
    }

    /// Crashes every machine whose process has died, in that way; says which stores that were.
    pub fn crash_dead(&mut self, crash: Crash) -> Vec<StoreId> {
        self.counter.die_at(None);
        let mut crashed = Vec::new();
        for (store, machine) in &mut self.machines {
            if machine.is_dead() && machine.crash(crash, None).is_ok() {
                crashed.push(*store);
            }
        }
        crashed
    }

    /// Opens a store's machine again after a crash, and checks everything that must hold then.
    ///
    /// # Errors
    /// What did not hold, in words.
    pub fn reopen(&mut self, store: StoreId) -> Result<(), String> {
        let words = |trouble: Trouble| show::trouble(&trouble).join("; ");
        let machine = self.machine_of(store).map_err(words)?;
        machine
            .open(crate::OpenMode::CreateIfMissing, None, None)
            .map_err(words)?;
        self.check(store)
    }

    /// Removes everything of a store that does not open, as an operator does with one that was never finished.
    ///
    /// # Errors
    /// Why it cannot be removed, in words.
    pub fn remove_store(&mut self, store: StoreId) -> Result<(), String> {
        let words = |trouble: Trouble| show::trouble(&trouble).join("; ");
        let machine = self.machine_of(store).map_err(words)?;
        machine.remove_store().map_err(words)
    }

    /// Checks everything that always holds of an open store; a store that is not open holds.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn check(&mut self, store: StoreId) -> Result<(), String> {
        let Some(machine) = self
            .machines
            .get(&store)
            .filter(|machine| machine.is_open())
        else {
            return Ok(());
        };
        super::commands::check(machine)
    }

    /// Runs all background work of an open store and checks that nothing but caches stays open, and
    /// everything that always holds. A store that is not open, or whose journal or data store has failed,
    /// is left as it is.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn settle(&mut self, store: StoreId) -> Result<(), String> {
        let Some(machine) = self.machines.get_mut(&store) else {
            return Ok(());
        };
        if let Some(held) = machine.held.take() {
            // What it fails of is found by what is checked below.
            let _ = held.release(Release::GoOn);
        }
        let Ok(engine) = machine.engine() else {
            return Ok(());
        };
        let settled = engine.wait_idle().and_then(|()| engine.flush().map(drop));
        if settled.is_err() {
            return Ok(());
        }
        let open = engine.register().open_operations();
        let left = open
            .iter()
            .find(|operation| !matches!(operation, OpenOperation::Cache { .. }));
        if let Some(left) = left {
            return Err(format!("{left:?} was begun and does not end"));
        }
        machine.note();
        self.check(store)
    }

    /// The stores of this world.
    pub fn stores(&self) -> Vec<StoreId> {
        self.machines.keys().copied().collect()
    }

    /// Records that reached the journals since the last call, as lines of a trace.
    pub fn trace(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let many = self.machines.len() > 1;
        for (store, machine) in &mut self.machines {
            for (lsn, description) in machine.new_records() {
                let whose = if many {
                    format!("{store} ")
                } else {
                    String::new()
                };
                lines.push(format!("{whose}{}", show::record(lsn, &description)));
            }
        }
        lines
    }

    /// Operations of the simulated disks and data stores since the last call, as lines of a trace. A disk
    /// that crashed takes its last ones with it.
    pub fn trace_operations(&mut self) -> Vec<String> {
        let machines = self.machines.values_mut();
        machines.flat_map(Machine::new_operations).collect()
    }

    pub(super) fn counter(&self) -> &Counter {
        &self.counter
    }

    pub(super) fn select(&mut self, store: StoreId) {
        self.current = store;
    }

    /// The machine that commands are for.
    pub(super) fn machine(&mut self) -> Result<&mut Machine, Trouble> {
        self.machine_of(self.current)
    }

    pub(super) fn machine_of(&mut self, store: StoreId) -> Result<&mut Machine, Trouble> {
        if store.0 == 0 {
            return Err(Trouble::Script("a store's id is at least 1".to_owned()));
        }
        match self.machines.entry(store) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(room) => Ok(room.insert(match &self.place {
                Place::Simulated => {
                    let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(store.0);
                    Machine::simulated(store, seed, &self.counter)
                }
                Place::Directory(dir) => Machine::real(store, dir, &self.counter)?,
            })),
        }
    }

    fn note_all(&mut self) {
        self.machines.values_mut().for_each(Machine::note);
    }

    /// The live creations of the current store, as far as anybody may know, if it is open.
    fn live(&self) -> Option<Vec<(RegionId, Incarnation)>> {
        let engine = self.machines.get(&self.current)?.engine().ok()?;
        let register = engine.register();
        let live = register
            .region_ids()
            .filter_map(|region| Some((region, register.incarnation(region)?)));
        Some(live.collect())
    }

    /// The answer of a transition, and the memory of what it acknowledged.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<Lines, Trouble> {
        if let Answer::Accepted { lsn } = answer {
            let machine = self.machine()?;
            if machine.engine().is_ok_and(|engine| engine.synced() >= lsn) {
                machine.acknowledge(lsn);
            }
        }
        Ok(show::answer(&answer))
    }

    /// What became of an armed point when the command after it ended.
    fn end_of_armed(&mut self, lines: &mut Lines) {
        let Some(armed) = self.counter.armed() else {
            return;
        };
        self.counter.arm(None);
        let name = armed.point.name;
        if !armed.hit {
            lines.push(format!("not reached: {name}"));
            return;
        }
        let Plan::Crash { crash, batches, .. } = armed.plan else {
            return;
        };
        let Some(machine) = self.machines.get_mut(&self.current) else {
            return;
        };
        if machine.is_dead() {
            // What the process answered in its last breath was heard by nobody.
            lines.clear();
            lines.push(format!("crashed at {name}"));
        } else {
            lines.push(format!("crashed after the answer, at {name}"));
        }
        if let Err(trouble) = machine.crash(crash, batches) {
            lines.extend(show::trouble(&trouble));
        }
    }
}
