//! The model: the real `step` and `apply` on a real register, with the journal reduced to append, sync
//! and crash, and the memory of caches reduced to whose and which range.
//!
//! `alphabet`: what may happen. `canon`: when two states are the same. `forced`: what a guard keeps from
//! happening. Not here: bounds and demands (`tests/model_check.rs`).

pub(crate) mod alphabet;
pub(crate) mod canon;
pub(crate) mod forced;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};
use torrens::lifecycle::{
    AbortReason, CacheState, Cause, Change, Event, Floor, OpenOperation, Outcome, PeerStage,
    PeerState, Record, Register, Stamp, apply, step,
};
use torrens::{DestroyCause, Incarnation, KeyRange, RegionId};
use torrens_journal::Lsn;

/// A store as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Store {
    /// Everything appended.
    pub(crate) decided: Register,
    /// Everything durable: what anybody may see.
    pub(crate) published: Register,
    /// Appended and not durable.
    pub(crate) tail: Vec<Record>,
    /// The last creation of each region's peer that ended: late work names it.
    pub(crate) ghosts: BTreeMap<RegionId, Incarnation>,
    /// Memory that reads use: whose it is, and which keys it holds all versions of.
    pub(crate) memory: BTreeMap<RegionId, (Incarnation, KeyRange)>,
    /// Crashes so far.
    pub(crate) crashes: u8,
    /// The first rule of change that was broken on the way here.
    pub(crate) broken: Option<Breach>,
}

/// A rule that a change of state broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Breach {
    /// `apply` refused what was decided.
    Apply,
    /// The published state went back.
    Durability,
    /// An epoch went back while its incarnation lived.
    Epoch,
    /// The index of the metadata went back while its incarnation lived.
    Index,
    /// A creation appeared that was not new.
    Resurrected,
    /// A tombstone went or sank.
    Tombstone,
    /// A peer went on the word of somebody who knew no more than it.
    Unasked,
    /// An operation did not end with recovery.
    Unfinished,
    /// Memory of another creation, or of keys that are not the region's, could be read.
    Cache,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Somebody asks for something.
    Event(Box<Event>),
    /// The journal is synced, and what it holds published.
    Sync,
    /// The power goes; that many unsynced records are on the device. Then the store is opened, with
    /// staged snapshots whole or lost.
    Crash {
        /// Records that survive.
        kept: usize,
        /// Whether the staged files are lost.
        is_file_lost: bool,
    },
}

/// What is reached, over the whole search.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Codes of refusals.
    pub(crate) refusals: BTreeSet<&'static str>,
    /// Stages of peers.
    pub(crate) stages: BTreeSet<&'static str>,
    /// States of caches.
    pub(crate) caches: BTreeSet<&'static str>,
    /// Kinds of records.
    pub(crate) records: BTreeSet<&'static str>,
}

/// Bounds, and what is left out on purpose.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// What may happen.
    pub(crate) alphabet: alphabet::Alphabet,
    /// Most crashes.
    pub(crate) crashes: u8,
    /// Most records that are appended and not synced.
    pub(crate) tail: usize,
    /// A guard that is taken out: the code of its refusal.
    pub(crate) without: Option<&'static str>,
    /// Publish when appending, as if the sync were no condition.
    pub(crate) publishes_early: bool,
}

/// The model of one store.
#[derive(Clone, Debug)]
pub(crate) struct StoreModel {
    /// Its bounds.
    pub(crate) bounds: Bounds,
    /// What the search reached.
    pub(crate) reached: Arc<Mutex<Reached>>,
}

fn stamp() -> Stamp {
    Stamp {
        wall_clock_micros: 0,
        boot: 1,
        cause: Cause::Host,
    }
}

/// Applies one change at the next position.
fn append(register: &mut Register, change: Change) -> Result<Record, Breach> {
    let record = Record::new(register, change, stamp());
    let lsn = register.last_lsn().next().unwrap_or(Lsn::FIRST);
    apply(register, lsn, &record).map_err(|_| Breach::Apply)?;
    Ok(record)
}

fn replay(register: &mut Register, record: &Record) {
    let lsn = register.last_lsn().next().unwrap_or(Lsn::FIRST);
    apply(register, lsn, record).expect("a record that applied once applies again");
}

impl StoreModel {
    /// A model within bounds.
    pub(crate) fn new(bounds: Bounds) -> StoreModel {
        StoreModel {
            bounds,
            reached: Arc::default(),
        }
    }

    fn note(&self, note: impl FnOnce(&mut Reached)) {
        note(&mut self.reached.lock().expect("nobody panics holding it"));
    }

    /// The change that the event makes, if it makes one.
    fn decided(&self, register: &Register, event: &Event) -> Option<Change> {
        match step(register, event) {
            Outcome::Accepted(accepted) => Some(accepted.change),
            Outcome::AlreadyApplied | Outcome::Wait(_) => None,
            Outcome::Refused(refusal) => {
                let code = refusal.code();
                self.note(|reached| reached.refusals.extend([code]));
                (self.bounds.without == Some(code)).then(|| forced::change(register, event))?
            }
        }
    }

    fn event(&self, mut store: Store, event: &Event) -> Option<Store> {
        let change = self.decided(&store.decided, event)?;
        let before = store.decided.clone();
        match append(&mut store.decided, change) {
            Err(breach) => {
                store.broken = Some(breach);
                return Some(store);
            }
            Ok(record) => {
                self.note(|reached| reached.records.extend([record.change.kind_name()]));
                store.tail.push(record);
            }
        }
        for region in before.region_ids() {
            let was = before.incarnation(region);
            if was != store.decided.incarnation(region) {
                store.ghosts.extend(was.map(|was| (region, was)));
            }
        }
        if let Event::Destroy { region, cause, .. } = event
            && let DestroyCause::Removed { epoch } = cause
            && let Some(peer) = before.peer(*region)
            && !peer.stage.epoch().is_stale_against(*epoch)
        {
            store.broken = Some(Breach::Unasked);
        }
        store.remember(event);
        if self.bounds.publishes_early {
            store.published = store.decided.clone();
        }
        self.note(|reached| {
            for (_, slot) in store.decided.slots() {
                reached.caches.insert(slot.cache.state().as_str());
                reached
                    .stages
                    .extend(slot.peer.as_ref().map(|peer| peer.stage.name()));
            }
        });
        store.look_at_caches();
        Some(store)
    }
}

impl Store {
    /// An open store with region 1 on it, everything durable.
    pub(crate) fn new(bootstrap: &[Event]) -> Store {
        let mut register = Register::default();
        for event in bootstrap {
            let Outcome::Accepted(accepted) = step(&register, event) else {
                panic!("{event:?} begins no store");
            };
            append(&mut register, accepted.change).expect("an accepted outcome applies");
        }
        Store {
            decided: register.clone(),
            published: register,
            tail: Vec::new(),
            ghosts: BTreeMap::new(),
            memory: BTreeMap::new(),
            crashes: 0,
            broken: None,
        }
    }

    fn range(&self, region: RegionId) -> Option<(Incarnation, KeyRange)> {
        let peer = self.decided.peer(region)?;
        Some((peer.incarnation, peer.stage.region()?.range.clone()))
    }

    /// What the engine does with the memory at a decision.
    fn remember(&mut self, event: &Event) {
        match event {
            Event::LoadBegin { region, .. } => {
                let begun = self.range(*region);
                self.memory.extend(begun.map(|begun| (*region, begun)));
            }
            Event::Evict { region, .. } => drop(self.memory.remove(region)),
            Event::Split(split) => {
                let was = self.memory.remove(&split.region);
                let parts = split.children.iter().map(|child| child.id);
                let parts = parts.chain([split.region]);
                let active =
                    |region: &RegionId| self.decided.cache_state(*region) == CacheState::Active;
                let parts: Vec<_> = parts
                    .filter(active)
                    .filter_map(|part| Some((part, self.range(part)?)))
                    .collect();
                if was.is_some() {
                    self.memory.extend(parts);
                }
            }
            _ => {}
        }
    }

    /// The memory that reads may use is of the peer that they see, and of its keys only.
    fn look_at_caches(&mut self) {
        for (region, (incarnation, range)) in &self.memory {
            if self.published.cache_state(*region) != CacheState::Active {
                continue;
            }
            let Some(peer) = self.published.peer(*region) else {
                self.broken = Some(Breach::Cache);
                continue;
            };
            let description = peer.stage.region();
            let is_inside = description.is_some_and(|region| region.range.covers(range));
            let is_settled = self.decided.peer(*region) == Some(peer);
            let is_whole = description.is_some_and(|region| region.range == *range);
            if peer.incarnation != *incarnation || !is_inside || (is_settled && !is_whole) {
                self.broken = Some(Breach::Cache);
            }
        }
    }

    /// What may never be seen of two published states, one after the other.
    fn look_back_at(&mut self, before: &Register) {
        let now = &self.published;
        let mut broken = (now.last_lsn() < before.last_lsn()).then_some(Breach::Durability);
        for region in now.region_ids().chain(before.region_ids()) {
            let (old, new) = (before.peer(region), now.peer(region));
            match (old, new) {
                (Some(old), Some(new)) if old.incarnation == new.incarnation => {
                    let back = new.stage.epoch().precedes(old.stage.epoch());
                    // A first snapshot that is given up takes its description with it.
                    let given_up = matches!(
                        (&old.stage, &new.stage),
                        (PeerStage::Applying(_), PeerStage::Uninitialized)
                    );
                    if back && !given_up {
                        broken = broken.or(Some(Breach::Epoch));
                    }
                    let index = |peer: &PeerState| peer.stage.meta_index().map(|meta| meta.index);
                    if index(new) < index(old) && !given_up {
                        broken = broken.or(Some(Breach::Index));
                    }
                }
                (_, Some(new)) if new.incarnation.lsn() <= before.last_lsn() => {
                    broken = broken.or(Some(Breach::Resurrected));
                }
                _ => {}
            }
        }
        for (region, old) in before.tombstones() {
            let new = now.tombstone(region);
            if new.is_none_or(|new| new.highest_peer < old.highest_peer) {
                broken = broken.or(Some(Breach::Tombstone));
            }
        }
        self.broken = self.broken.or(broken);
    }

    fn sync(mut self) -> Store {
        let before = self.published.clone();
        for record in std::mem::take(&mut self.tail) {
            if self.published.last_lsn() < self.decided.last_lsn() {
                replay(&mut self.published, &record);
            }
        }
        let published = &self.published;
        self.memory.retain(|region, (incarnation, _)| {
            let is_held = matches!(
                published.cache_state(*region),
                CacheState::Active | CacheState::Loading
            );
            is_held && published.incarnation(*region) == Some(*incarnation)
        });
        self.look_back_at(&before);
        self.look_at_caches();
        self
    }

    fn crash(mut self, kept: usize, is_file_lost: bool) -> Store {
        let seen = self.published.clone();
        let first = self.decided.last_lsn().get() - self.tail.len() as u64;
        if seen.last_lsn().get() > first + kept as u64 {
            // What somebody saw is not on the device.
            self.broken = Some(Breach::Durability);
            return self;
        }
        let mut register = seen.clone();
        // What was published early is there already.
        let shown = usize::try_from(seen.last_lsn().get() - first).unwrap_or(usize::MAX);
        let kept = self.tail.drain(..).take(kept).skip(shown);
        kept.for_each(|record| replay(&mut register, &record));
        (self.published, self.decided) = (register.clone(), register);
        self.look_back_at(&seen);
        self.memory.clear();
        self.crashes += 1;
        for operation in self.decided.open_operations() {
            let event = ending(&self.decided, &operation, is_file_lost);
            match step(&self.decided, &event) {
                Outcome::Accepted(accepted) => {
                    if let Err(breach) = append(&mut self.decided, accepted.change) {
                        self.broken = Some(breach);
                        return self;
                    }
                }
                Outcome::AlreadyApplied => {}
                Outcome::Refused(_) | Outcome::Wait(_) => {
                    self.broken = Some(Breach::Unfinished);
                }
            }
        }
        let before = std::mem::replace(&mut self.published, self.decided.clone());
        self.look_back_at(&before);
        let is_open = |operation: &OpenOperation| match operation {
            OpenOperation::SnapshotApply { .. } | OpenOperation::Reservation { .. } => true,
            OpenOperation::Deletion { .. } => !is_file_lost,
            OpenOperation::Cache { state, .. } => {
                !matches!(state, CacheState::LoadRequested | CacheState::LoadQueued)
            }
        };
        if self.decided.open_operations().iter().any(is_open) {
            self.broken = Some(Breach::Unfinished);
        }
        self
    }
}

/// How opening ends what a crash had left open.
fn ending(register: &Register, operation: &OpenOperation, is_file_lost: bool) -> Event {
    match operation {
        OpenOperation::SnapshotApply {
            region,
            incarnation,
            ..
        } if is_file_lost => Event::AbortSnapshot {
            region: *region,
            incarnation: *incarnation,
            reason: AbortReason::StagedFileLost,
        },
        OpenOperation::SnapshotApply {
            region,
            incarnation,
            snapshot,
            ..
        } => Event::EndSnapshot {
            region: *region,
            incarnation: *incarnation,
            floor: Floor {
                index: snapshot.position.index,
                barrier: register.barrier(),
            },
        },
        OpenOperation::Reservation {
            region,
            incarnation,
            ..
        } => Event::ReleaseSnapshot {
            region: *region,
            incarnation: *incarnation,
        },
        OpenOperation::Deletion { deletion, .. } => Event::FinishDeletion {
            deletion: *deletion,
        },
        OpenOperation::Cache { region, .. } => Event::CacheLost { region: *region },
    }
}

impl Model for StoreModel {
    type State = Store;
    type Action = Action;

    fn init_states(&self) -> Vec<Store> {
        vec![Store::new(&alphabet::bootstrap())]
    }

    fn actions(&self, store: &Store, actions: &mut Vec<Action>) {
        if store.broken.is_some() {
            return;
        }
        if store.tail.len() < self.bounds.tail {
            let events = self.bounds.alphabet.events(store);
            actions.extend(
                events
                    .into_iter()
                    .map(|event| Action::Event(Box::new(event))),
            );
        }
        if !store.tail.is_empty() {
            actions.push(Action::Sync);
        }
        if store.crashes < self.bounds.crashes {
            for kept in 0..=store.tail.len() {
                for is_file_lost in [false, true] {
                    actions.push(Action::Crash { kept, is_file_lost });
                }
            }
        }
    }

    fn next_state(&self, store: &Store, action: Action) -> Option<Store> {
        let store = store.clone();
        match action {
            Action::Event(event) => self.event(store, &event),
            Action::Sync => Some(store.sync()),
            Action::Crash { kept, is_file_lost } => Some(store.crash(kept, is_file_lost)),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "what always holds holds, ranges are disjoint",
                |_, store: &Store| {
                    store.decided.check_invariants().is_ok()
                        && store.published.check_invariants().is_ok()
                },
            ),
            Property::always("what was decided applies", |_, store: &Store| {
                store.broken != Some(Breach::Apply)
            }),
            Property::always(
                "nothing is visible before it is durable",
                |_, store: &Store| store.broken != Some(Breach::Durability),
            ),
            Property::always("epochs never go back", |_, store: &Store| {
                store.broken != Some(Breach::Epoch)
            }),
            Property::always("indexes never go back", |_, store: &Store| {
                store.broken != Some(Breach::Index)
            }),
            Property::always("no incarnation is resurrected", |_, store: &Store| {
                store.broken != Some(Breach::Resurrected)
            }),
            Property::always("tombstones fence", |_, store: &Store| {
                store.broken != Some(Breach::Tombstone)
            }),
            Property::always("a peer goes on newer word only", |_, store: &Store| {
                store.broken != Some(Breach::Unasked)
            }),
            Property::always("what was begun ends with recovery", |_, store: &Store| {
                store.broken != Some(Breach::Unfinished)
            }),
            Property::always(
                "the cache is of the region that is seen",
                |_, store: &Store| store.broken != Some(Breach::Cache),
            ),
        ]
    }
}
