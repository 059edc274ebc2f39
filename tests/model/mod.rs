//! The model: the real `step` and `apply` on a real register, with the journal reduced to append, sync
//! and crash, and the memory of caches reduced to whose and which range.
//!
//! There are several models, each closed by itself: an alphabet says what may happen, and one large enough for
//! everything at once could not be searched through. `alphabet`: the alphabets. `store`: the state. `canon`:
//! when two states are the same. `laws`: what may never be, of a `picture`, which is a store in outline.
//! Not here: bounds and demands (`tests/model_check.rs`).

pub(crate) mod alphabet;
pub(crate) mod canon;
pub(crate) mod laws;
pub(crate) mod picture;
pub(crate) mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};
use torrens::lifecycle::{Change, Event, Outcome, preceding, step};

use self::laws::Breach;
use self::picture::Picture;
use self::store::{Store, append};

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
    /// Codes of what has to be waited for.
    pub(crate) waits: BTreeSet<&'static str>,
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

    /// What the event does to the store; none if it does nothing.
    fn event(&self, mut store: Store, event: &Event) -> Option<Store> {
        let mut before = Picture::of(&store.decided);
        let mut accepted = match step(&store.decided, event) {
            Outcome::Accepted(accepted) => accepted,
            Outcome::AlreadyApplied => return None,
            Outcome::Wait(reason) => {
                self.note(|reached| reached.waits.extend([reason.code()]));
                return None;
            }
            Outcome::Refused(refusal) => {
                let code = refusal.code();
                self.note(|reached| reached.refusals.extend([code]));
                if self.bounds.without != Some(code) {
                    return None;
                }
                // The guard is taken out: the event happens, whatever it makes of the store.
                store.broken = Some(laws::broken(&before, event, &before.careless(event))?);
                return Some(store);
            }
        };
        let lived: Vec<_> = before
            .regions
            .iter()
            .map(|(region, seen)| (*region, seen.incarnation))
            .collect();
        if let Some(first) = preceding(&store.decided, event) {
            if let Outcome::Accepted(first) = step(&store.decided, &first) {
                self.append(&mut store, first.change);
            }
            if let Outcome::Accepted(again) = step(&store.decided, event) {
                accepted = again;
            }
            before = Picture::of(&store.decided);
        }
        self.append(&mut store, accepted.change);
        if store.broken.is_some() {
            return Some(store);
        }
        store.broken = laws::broken(&before, event, &Picture::of(&store.decided));
        for (region, was) in lived {
            if store.decided.incarnation(region) != Some(was) {
                store.ghosts.insert(region, was);
            }
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

    /// Appends the record of a change; a store that `apply` refuses it to is broken.
    fn append(&self, store: &mut Store, change: Change) {
        match append(&mut store.decided, change) {
            Err(breach) => store.broken = Some(breach),
            Ok(record) => {
                self.note(|reached| reached.records.extend([record.change.kind_name()]));
                store.tail.push(record);
            }
        }
    }
}

impl Model for StoreModel {
    type State = Store;
    type Action = Action;

    fn init_states(&self) -> Vec<Store> {
        vec![Store::new(&self.bounds.alphabet.beginning())]
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
        /// One property for each law, since a property is a plain function.
        macro_rules! law {
            ($($breach:ident)+) => {
                vec![$(Property::always(Breach::$breach.says(), |_: &StoreModel, store: &Store| {
                    store.broken != Some(Breach::$breach)
                })),+]
            };
        }
        let mut properties = law![
            Apply Durability Overlap Epoch Index Resurrected Tombstone Unasked Late Diverged Merge
            Flashback Description Data Unbegun Identity Unfinished Cache
        ];
        properties.push(Property::always(
            "what always holds of a register holds",
            |_, store: &Store| {
                store.decided.check_invariants().is_ok()
                    && store.published.check_invariants().is_ok()
            },
        ));
        properties
    }
}
