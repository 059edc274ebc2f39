//! `Machine`: one store of a scenario with everything that it stands on: a disk, a data store, the
//! engine while it is open, the views that somebody holds, and what was acknowledged.
//!
//! Not here: the commands (`commands`), how things look (`show`).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use torrens_journal::Lsn;
use torrens_journal::disk::{Disk, OpenMode as FileMode, RealDisk, RealDiskOptions, SyncChoice};
use torrens_journal::testing::{CutChoice, SimDisk};
use torrens_recovery::Item;

use super::held::{Gate, GatedFactory, Held, Release};
use super::points::Counter;
use super::world::Trouble;
use crate::engine::{Background, OpenMode, Options, Subscription, TransitionTicket, Transitions};
use crate::inspector::{Description, InspectError, Inspector, KeyForm, describe};
use crate::lifecycle::{DeletionId, Register};
use crate::observe::{Leadership, LeadershipSource, ObserverId};
use crate::store::{
    DataStore, DurableImage, Lost, MemoryFactory, MemoryStore, SledFactory, StoreFactory,
    StoreOpenError, StoreOpenMode,
};
use crate::{
    CacheTicket, Engine, Incarnation, LabelId, OpenReport, PreloadTicket, RegionId, RegionView,
    StoreId,
};

/// A segment that no ordinary scenario fills, so that a sync is the sync of the record at hand. One
/// that wants to see the journal rotate opens with smaller ones.
pub(super) const SEGMENT_BYTES: u64 = 64 * 1024;
/// The directory on a simulated disk.
pub(super) const SIM_DIR: &str = "store";

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The power went: only what was synced is there.
    Power,
    /// The process was killed: everything that was written is there, still not durable.
    Kill,
    /// The power went, and each unsynced sector, length and name is there or not, by seed.
    Sectors(u64),
    /// The power went, and each change of the data store since its last flush is there or not, by seed,
    /// without regard to batches and order.
    Scattered(u64),
}

/// What stands below an engine.
pub(super) enum Ground {
    Sim { disk: SimDisk, data: MemoryStore },
    Real { disk: Arc<RealDisk>, dir: PathBuf },
}

/// What a scenario waits for under a name.
#[derive(Clone, Debug)]
pub(super) enum Ticket {
    Cache(CacheTicket),
    Preload(PreloadTicket),
}

/// Who leads, for the audit to ask.
#[derive(Debug, Default)]
pub(super) struct Truth(Mutex<BTreeMap<RegionId, Leadership>>);

impl Truth {
    pub(super) fn tell(&self, region: RegionId, told: Leadership) {
        self.0.lock().insert(region, told);
    }
}

impl LeadershipSource for Truth {
    fn leadership(&self, region: RegionId) -> Option<Leadership> {
        self.0.lock().get(&region).copied()
    }
}

/// One store.
pub(super) struct Machine {
    pub(super) store: StoreId,
    ground: Ground,
    counter: Counter,
    /// Background work that stands still in its middle; ends before the engine does.
    pub(super) held: Option<Held>,
    gate: Gate,
    engine: Option<Engine>,
    /// A real data store cannot be read without being written to, so a store that is open for reading
    /// only has none.
    pub(super) has_metadata_only: bool,
    pub(super) tickets: BTreeMap<String, Ticket>,
    pub(super) labels: BTreeMap<String, LabelId>,
    /// Who leads, as the host knows it whether it reported it or not.
    pub(super) truth: Arc<Truth>,
    pub(super) views: BTreeMap<String, RegionView>,
    pub(super) subscriptions: BTreeMap<ObserverId, Subscription>,
    pub(super) followers: BTreeMap<String, Transitions>,
    pub(super) images: BTreeMap<String, DurableImage>,
    /// Every creation of each region's peer that was seen, in order.
    creations: BTreeMap<RegionId, Vec<Incarnation>>,
    deletions: Vec<DeletionId>,
    /// What was submitted and not answered yet, with what it is called.
    pub(super) submitted: Vec<(String, TransitionTicket)>,
    /// Transitions that were acknowledged as durable, and what the journal says there if that is known.
    acknowledged: BTreeMap<Lsn, Option<String>>,
    /// The last record that a trace showed.
    traced: Lsn,
    /// The last operation of its disk that a trace showed.
    operations: u64,
}

impl Machine {
    pub(super) fn simulated(store: StoreId, seed: u64, counter: &Counter) -> Machine {
        let ground = Machine::wire(SimDisk::new(seed), MemoryStore::new(), counter);
        Machine::on(store, ground, counter)
    }

    /// In the folder of its store below `dir`, with sled.
    pub(super) fn real(store: StoreId, dir: &Path, counter: &Counter) -> Result<Machine, Trouble> {
        let options = RealDiskOptions {
            sync: SyncChoice::Auto,
            // Background work advances by the scenario's steps alone, syncs among it.
            without_threads: true,
            ..RealDiskOptions::default()
        };
        let disk = RealDisk::with(options)
            .map_err(|error| Trouble::Script(format!("no real disk: {error}")))?;
        let ground = Ground::Real {
            disk: Arc::new(disk),
            dir: dir.join(store.to_string()),
        };
        Ok(Machine::on(store, ground, counter))
    }

    fn on(store: StoreId, ground: Ground, counter: &Counter) -> Machine {
        Machine {
            store,
            ground,
            counter: counter.clone(),
            held: None,
            gate: Gate::default(),
            engine: None,
            has_metadata_only: false,
            tickets: BTreeMap::new(),
            labels: BTreeMap::new(),
            truth: Arc::default(),
            views: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            followers: BTreeMap::new(),
            images: BTreeMap::new(),
            creations: BTreeMap::new(),
            deletions: Vec::new(),
            submitted: Vec::new(),
            acknowledged: BTreeMap::new(),
            traced: Lsn::ZERO,
            operations: 0,
        }
    }

    /// Calls of the data store count as operations of the disk.
    fn wire(disk: SimDisk, data: MemoryStore, counter: &Counter) -> Ground {
        disk.watch(counter.watch());
        let steps = disk.clone();
        let data = data.with_hook(Arc::new(move |name| steps.step(name)));
        Ground::Sim { disk, data }
    }

    pub(super) fn sim(&self) -> Result<(&SimDisk, &MemoryStore), Trouble> {
        match &self.ground {
            Ground::Sim { disk, data } => Ok((disk, data)),
            Ground::Real { .. } => Err(Trouble::NeedsSim),
        }
    }

    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        match &self.ground {
            Ground::Sim { disk, .. } => Arc::new(disk.clone()),
            Ground::Real { disk, .. } => Arc::clone(disk) as Arc<dyn Disk>,
        }
    }

    pub(super) fn dir(&self) -> &Path {
        match &self.ground {
            Ground::Sim { .. } => Path::new(SIM_DIR),
            Ground::Real { dir, .. } => dir,
        }
    }

    /// Whether an operation of its disk killed the process.
    pub(super) fn is_dead(&self) -> bool {
        self.sim().is_ok_and(|(disk, _)| disk.is_dead())
    }

    pub(super) fn is_open(&self) -> bool {
        self.engine.is_some()
    }

    pub(super) fn engine(&self) -> Result<&Engine, Trouble> {
        let closed = || Trouble::Script(format!("{} is not open", self.store));
        self.engine.as_ref().ok_or_else(closed)
    }

    pub(super) fn take_engine(&mut self) -> Result<Engine, Trouble> {
        self.views.clear();
        self.subscriptions.clear();
        self.followers.clear();
        self.labels.clear();
        let closed = || Trouble::Script(format!("{} is not open", self.store));
        self.engine.take().ok_or_else(closed)
    }

    /// Runs one piece of background work up to where it has read that many rows; says whether it
    /// stands there, and otherwise what it came to.
    pub(super) fn hold_background(
        &mut self,
        rows: u64,
    ) -> Result<Option<Option<&'static str>>, Trouble> {
        let engine = self.engine()?.clone();
        if self.held.is_some() {
            return Err(Trouble::Script("some work is held already".to_owned()));
        }
        let held = self.gate.run_until(engine, rows);
        let held = held.map_err(|error| Trouble::Script(format!("no thread: {error}")))?;
        if held.stands() {
            self.held = Some(held);
            return Ok(None);
        }
        Ok(Some(held.release(Release::GoOn)?))
    }

    /// How a store is opened, or made of a backup, on this ground.
    pub(super) fn options(&self, mode: OpenMode, segment_bytes: u64) -> Options {
        let options = Engine::options()
            .store(self.store)
            .segment_bytes(segment_bytes)
            .background(Background::Manual)
            .mode(mode)
            .disk(self.disk());
        let gate = self.gate.clone();
        match &self.ground {
            Ground::Sim { disk, data } => options.data(Arc::new(GatedFactory {
                inner: FolderedFactory {
                    inner: MemoryFactory::new(data.clone()),
                    disk: disk.clone(),
                },
                gate,
            })),
            Ground::Real { .. } => options.data(Arc::new(GatedFactory {
                inner: SledFactory::default(),
                gate,
            })),
        }
    }

    /// Opens the store; new segments of its journal have that many bytes, and its id is that one, if it
    /// says so.
    pub(super) fn open(
        &mut self,
        mode: OpenMode,
        segment_bytes: Option<u64>,
        id: Option<StoreId>,
    ) -> Result<OpenReport, Trouble> {
        let id = id.unwrap_or(self.store);
        if self.engine.is_some() {
            // As a second process would: it must not get in.
            let second = self.options(mode, segment_bytes.unwrap_or(SEGMENT_BYTES));
            return Err(match second.store(id).open(self.dir()) {
                Err(error) => Trouble::Open(Box::new(error)),
                Ok(_) => Trouble::Script(format!("{} was opened twice", self.store)),
            });
        }
        // The next process has the data store as the last one left it, without its failures.
        if let Ground::Sim { disk, data } = &self.ground
            && !disk.is_dead()
        {
            let data = data.process_kill(Lost::AllButBatches(usize::MAX));
            self.ground = Machine::wire(disk.clone(), data, &self.counter);
        }
        let (engine, report) = self
            .options(mode, segment_bytes.unwrap_or(SEGMENT_BYTES))
            .store(id)
            .open(self.dir())
            .map_err(|error| Trouble::Open(Box::new(error)))?;
        let is_real = matches!(self.ground, Ground::Real { .. });
        self.has_metadata_only = is_real && mode == OpenMode::ReadOnly;
        let truth = Arc::clone(&self.truth);
        engine.set_leadership_source(Some(truth));
        self.engine = Some(engine);
        self.note();
        Ok(report)
    }

    /// The machine dies. What the data store had in its own buffers is lost, but for the first
    /// `batches` of them after a power cut; a killed process's store has handed over all it took.
    pub(super) fn crash(&mut self, crash: Crash, batches: Option<u64>) -> Result<(), Trouble> {
        self.note_acknowledged();
        let after = match &self.ground {
            Ground::Sim { disk, data } => {
                let kept = usize::try_from(batches.unwrap_or(0)).unwrap_or(usize::MAX);
                let cut = |choice| {
                    (
                        disk.power_cut(choice),
                        data.power_cut(Lost::AllButBatches(kept)),
                    )
                };
                let (disk, data) = match crash {
                    Crash::Power => cut(CutChoice::LoseAll),
                    Crash::Sectors(seed) => cut(CutChoice::Seeded(seed)),
                    Crash::Scattered(seed) => (
                        disk.power_cut(CutChoice::LoseAll),
                        data.power_cut(Lost::Scattered(seed)),
                    ),
                    Crash::Kill => {
                        let kept = batches.map_or(usize::MAX, |_| kept);
                        let data = data.process_kill(Lost::AllButBatches(kept));
                        (disk.process_kill(), data)
                    }
                };
                Some(Machine::wire(disk, data, &self.counter))
            }
            // Nothing here can take a real machine's power. A handle that is dropped without being
            // closed is the nearest thing to a killed process.
            Ground::Real { .. } if crash != Crash::Kill || batches.is_some() => {
                return Err(Trouble::NeedsSim);
            }
            // Held work that ends on a real disk says so in the journal, which a dead process cannot.
            Ground::Real { .. } if self.held.is_some() => return Err(Trouble::NeedsSim),
            Ground::Real { .. } => None,
        };
        // The dead engine keeps its own disk, so nothing that it does from now on matters.
        self.held = None;
        self.views.clear();
        self.subscriptions.clear();
        self.followers.clear();
        self.labels.clear();
        self.tickets.clear();
        self.submitted.clear();
        self.engine = None;
        if let Some(after) = after {
            (self.ground, self.operations) = (after, 0);
        }
        self.traced = self.traced.min(self.last_record().unwrap_or_default());
        Ok(())
    }

    /// Removes everything of the closed store: what an operator does with one that was broken off while it
    /// was made.
    pub(super) fn remove_store(&mut self) -> Result<(), Trouble> {
        if self.engine.is_some() {
            let text = format!("{} is open; close or crash it first", self.store);
            return Err(Trouble::Script(text));
        }
        match &self.ground {
            Ground::Sim { .. } => {
                let ground = Machine::wire(
                    SimDisk::new(self.store.0),
                    MemoryStore::new(),
                    &self.counter,
                );
                (self.ground, self.operations) = (ground, 0);
            }
            Ground::Real { dir, .. } => match std::fs::remove_dir_all(dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Trouble::Script(format!("cannot remove the store: {error}")));
                }
                Ok(()) | Err(_) => {}
            },
        }
        self.creations.clear();
        self.deletions.clear();
        self.acknowledged.clear();
        self.traced = Lsn::ZERO;
        Ok(())
    }

    /// Puts another data store under the closed engine.
    pub(super) fn replace_data(&mut self, lost: Lost) -> Result<(), Trouble> {
        if self.engine.is_some() {
            let text = format!("{} is open; close or crash it first", self.store);
            return Err(Trouble::Script(text));
        }
        let (disk, data) = self.sim()?;
        self.ground = Machine::wire(disk.clone(), data.power_cut(lost), &self.counter);
        Ok(())
    }

    /// Remembers every creation and deletion that can be seen now, so that they have ordinals.
    pub(super) fn note(&mut self) {
        let Some(engine) = &self.engine else {
            return;
        };
        let register = engine.appended_register();
        for (region, slot) in register.slots() {
            let known = self.creations.entry(region).or_default();
            let peer = slot.peer.as_ref().map(|peer| peer.incarnation);
            let predecessor = slot.peer.as_ref().and_then(|peer| *peer.predecessor);
            for seen in predecessor
                .into_iter()
                .chain(peer)
                .chain(slot.cache.incarnation())
            {
                if !known.contains(&seen) {
                    known.push(seen);
                }
            }
        }
        for (deletion, _) in register.deletions() {
            if !self.deletions.contains(&deletion) {
                self.deletions.push(deletion);
            }
        }
    }

    /// The creation that `#ordinal` of a region means; `#0` is one that never was.
    pub(super) fn creation(&self, region: RegionId, ordinal: u64) -> Result<Incarnation, Trouble> {
        let Some(place) = ordinal.checked_sub(1) else {
            return Ok(Incarnation::new(Lsn::ZERO));
        };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let known = self
            .creations
            .get(&region)
            .and_then(|known| known.get(place));
        let unknown = || Trouble::Script(format!("{region} has had no creation #{ordinal}"));
        known.copied().ok_or_else(unknown)
    }

    /// The pending or finished deletion that was seen at this place, from 1.
    pub(super) fn deletion(&self, ordinal: u64) -> Option<DeletionId> {
        let place = usize::try_from(ordinal.checked_sub(1)?).ok()?;
        self.deletions.get(place).copied()
    }

    /// The ordinal of a creation, by its number alone: numbers are positions in one journal.
    pub(super) fn ordinal(&self, number: u64) -> Option<usize> {
        let wanted = Incarnation::new(Lsn::new(number));
        let place = |known: &Vec<Incarnation>| known.iter().position(|seen| *seen == wanted);
        self.creations
            .values()
            .find_map(place)
            .map(|place| place + 1)
    }

    /// The ordinal of a deletion.
    pub(super) fn deletion_ordinal(&self, lsn: u64, ordinal: u32) -> Option<usize> {
        let lsn = Lsn::new(lsn);
        let wanted = DeletionId { lsn, ordinal };
        let place = self.deletions.iter().position(|seen| *seen == wanted)?;
        Some(place + 1)
    }

    /// A transition was answered as durable.
    pub(super) fn acknowledge(&mut self, lsn: Lsn) {
        self.acknowledged.entry(lsn).or_default();
    }

    /// Before a crash: what the journal says of what was acknowledged, to compare with afterwards.
    fn note_acknowledged(&mut self) {
        if self.acknowledged.values().all(Option::is_some) {
            return;
        }
        let Ok(records) = self.records_from(Lsn::FIRST) else {
            return;
        };
        for (lsn, description) in records {
            if let Some(known) = self.acknowledged.get_mut(&lsn) {
                known.get_or_insert_with(|| gist(&description));
            }
        }
    }

    /// The first acknowledged transition that is gone or is another one now.
    pub(super) fn lost_acknowledgement(&self) -> Option<String> {
        let last = self.engine.as_ref().map(Engine::synced)?;
        let beyond = self
            .acknowledged
            .range(last..)
            .find(|(lsn, _)| **lsn > last);
        if let Some((lsn, _)) = beyond {
            return Some(format!("record {lsn} was acknowledged and is gone"));
        }
        // Without a crash in between nothing can have been put in a record's place.
        let crashed = |said: &Option<String>| said.is_some();
        self.acknowledged.values().any(crashed).then_some(())?;
        let records = self.records_from(Lsn::FIRST).ok()?;
        records.into_iter().find_map(|(lsn, description)| {
            let was = self.acknowledged.get(&lsn)?.as_ref()?;
            let is = gist(&description);
            (*was != is).then(|| format!("record {lsn} was {was}, and is {is} now"))
        })
    }

    pub(super) fn inspector(&self) -> Result<Inspector, InspectError> {
        Inspector::on(self.disk(), self.dir())
    }

    /// Every record in the journal's files from a position on.
    pub(super) fn records_from(&self, from: Lsn) -> Result<Vec<(Lsn, Description)>, InspectError> {
        let mut records = Vec::new();
        self.inspector()?.records(from, &mut |item| {
            if let Item::Record(record) = item {
                let record = record.record;
                records.push((
                    record.lsn,
                    describe(record.lsn, record.kind, record.payload),
                ));
            }
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    fn last_record(&self) -> Option<Lsn> {
        let picture = self.inspector().ok()?.look(None).ok()?;
        Some(picture.position)
    }

    /// The records that reached the journal's files since the last call.
    pub(super) fn new_records(&mut self) -> Vec<(Lsn, Description)> {
        let from = self.traced.next().unwrap_or_default();
        let records = self.records_from(from).unwrap_or_default();
        if let Some((last, _)) = records.last() {
            self.traced = *last;
        }
        records
    }

    /// The operations of the simulated disk and the data store since the last call.
    pub(super) fn new_operations(&mut self) -> Vec<String> {
        let Ground::Sim { disk, .. } = &self.ground else {
            return Vec::new();
        };
        let log = disk.op_log();
        let new = log.iter().filter(|op| op.number > self.operations);
        let lines = new.map(ToString::to_string).collect();
        self.operations = disk.ops();
        lines
    }

    /// What is durable, of an open engine.
    pub(super) fn durable(&self) -> Result<Register, Trouble> {
        Ok(self.engine()?.register())
    }
}

/// A simulated data store with a folder and a file on the disk, as a real one has: beside region data no
/// new journal is made.
#[derive(Debug)]
struct FolderedFactory {
    inner: MemoryFactory,
    disk: SimDisk,
}

impl StoreFactory for FolderedFactory {
    fn open(&self, dir: &Path, mode: StoreOpenMode) -> Result<Arc<dyn DataStore>, StoreOpenError> {
        let is_there = self.disk.list(dir).is_ok_and(|files| !files.is_empty());
        if !is_there && mode == StoreOpenMode::CreateOrOpen {
            let above = dir.parent().unwrap_or(dir);
            let file = || {
                self.disk.create_dir_all(dir)?;
                self.disk.sync_dir(above)?;
                self.disk.open(&dir.join("memory"), FileMode::CreateNew)?;
                self.disk.sync_dir(dir)
            };
            file().map_err(|source| StoreOpenError::Io {
                path: dir.to_owned(),
                source,
            })?;
        }
        self.inner.open(dir, mode)
    }

    fn set_aside(&self, disk: &dyn Disk, dir: &Path, aside: &Path) -> std::io::Result<()> {
        self.inner.set_aside(disk, dir, aside)
    }
}

/// What a record says, without when.
fn gist(description: &Description) -> String {
    let detail = description.detail(&KeyForm::Auto);
    format!("{} {detail}", description.kind)
}
