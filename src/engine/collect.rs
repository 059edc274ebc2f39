//! Which versions readers still need, and the background work that takes away the others.
//!
//! A reader *pins* the sequence that it reads at, for the keys of the region as it was then: a split
//! later on moves no pin. The collector keeps of each key what the pins over it see, and everything
//! above the safe point: what is visible everywhere, or what the host wants kept, whichever is lower.
//! It walks the whole store in bounded steps, paced by how much is written, so garbage stays
//! a fraction of the data; what a range deletion hides it walks at once.
//!
//! Why no reader loses a version: pins are taken, and safe points are computed, under one lock. A pin
//! that comes first is seen. One that comes second reads at a sequence at or above every version of
//! its region that is visible, because a write is noted in its region's row before it counts as
//! complete; so what the reader needs is the newest version of each key, and that one stays.
//!
//! Not here: what a step does to the versions of a key (`store::collect`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use torrens_journal::planted;

use super::EngineError;
use super::core::Core;
use crate::store::{Collector, DataStore, RangeDeletion, remove_range_deletion};
use crate::{KeyRange, Sequence};

/// Versions that the collector looks at for each one that is written.
const PACE: u64 = 4;
/// Written versions below which no step is worth its walk.
const STEP_CREDIT: u64 = 4096;
/// Steps of one tick; each looks at a few thousand versions.
const TICK_STEPS: usize = 16;

/// Who reads at which sequence, and what was collected so far.
#[derive(Debug)]
pub(super) struct ReadPins {
    state: crate::sync::Mutex<PinState>,
}

#[derive(Debug)]
struct PinState {
    pins: HashMap<u64, (Sequence, KeyRange)>,
    next: u64,
    /// The highest safe point so far: below it reads may find versions missing.
    collected: Sequence,
    /// What the host wants to be able to read at.
    keep_from: Option<Sequence>,
}

/// Keeps the versions of a range that a read at its sequence needs.
#[derive(Debug)]
pub(super) struct ReadPin {
    pins: Arc<ReadPins>,
    id: u64,
    sequence: Sequence,
}

impl ReadPin {
    pub(super) fn sequence(&self) -> Sequence {
        self.sequence
    }
}

impl Drop for ReadPin {
    fn drop(&mut self) {
        self.pins.state.lock().pins.remove(&self.id);
    }
}

/// Where each key is read, and from where on everything stays.
#[derive(Debug)]
struct SafePoints {
    general: Sequence,
    /// Those below the general one.
    pins: Vec<(Sequence, KeyRange)>,
}

impl SafePoints {
    /// The sequences at which somebody reads a key now or will.
    fn of_key(&self, key: &[u8], points: &mut Vec<Sequence>) {
        points.push(self.general);
        let over = self.pins.iter().filter(|(_, range)| range.contains(key));
        points.extend(over.map(|(pin, _)| *pin));
    }

    /// The lowest of those over a range.
    fn lowest_over(&self, range: &KeyRange) -> Sequence {
        let over = self
            .pins
            .iter()
            .filter(|(_, pinned)| pinned.overlaps(range));
        over.map(|(pin, _)| *pin).min().unwrap_or(self.general)
    }
}

impl ReadPins {
    /// Nothing below `opened_at` can be read: the process before may have collected up to there.
    pub(super) fn new(opened_at: Sequence) -> Arc<Self> {
        Arc::new(ReadPins {
            state: crate::sync::Mutex::new(PinState {
                pins: HashMap::new(),
                next: 0,
                collected: opened_at,
                keep_from: None,
            }),
        })
    }

    /// Pins `range` at the sequence that `choose` answers. It is given the oldest sequence that can
    /// still be read at, and must choose none below it.
    pub(super) fn pin<E>(
        self: &Arc<Self>,
        range: &KeyRange,
        choose: impl FnOnce(Sequence) -> Result<Sequence, E>,
    ) -> Result<ReadPin, E> {
        let mut state = self.state.lock();
        let sequence = choose(state.collected)?;
        let id = state.next;
        state.next += 1;
        state.pins.insert(id, (sequence, range.clone()));
        drop(state);
        let pins = Arc::clone(self);
        Ok(ReadPin { pins, id, sequence })
    }

    /// What the host wants to be able to read at, if it said so.
    pub(super) fn keep_from(&self) -> Option<Sequence> {
        self.state.lock().keep_from
    }

    fn safe_points(&self, visible: impl FnOnce() -> Sequence) -> SafePoints {
        let mut state = self.state.lock();
        let general = visible().min(state.keep_from.unwrap_or(Sequence::MAX));
        state.collected = state.collected.max(general);
        let below = state.pins.values().filter(|(pin, _)| *pin < general);
        let below = below.filter(|_| !planted!("pinned-versions-collected"));
        SafePoints {
            general,
            pins: below.cloned().collect(),
        }
    }
}

/// What the collector has done since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectionStats {
    /// Versions that it looked at.
    pub versions_seen: u64,
    /// Versions that it removed.
    pub versions_removed: u64,
    /// Times that it walked through the whole store.
    pub walks: u64,
    /// Range deletions that are still there to be worked off.
    pub range_deletions: u64,
    /// Readers that keep versions at this moment.
    pub pins: u64,
    /// The oldest sequence that a reader keeps, if there is one.
    pub oldest_pin: Option<Sequence>,
    /// Reads below this sequence are refused: their versions may be gone.
    pub collected: Sequence,
}

/// The collector's place, and what it has done.
#[derive(Debug, Default)]
pub(super) struct Collection {
    /// Versions that it may still look at.
    credit: AtomicU64,
    walk: Mutex<Walk>,
    seen: AtomicU64,
    removed: AtomicU64,
    walks: AtomicU64,
}

#[derive(Debug, Default)]
struct Walk {
    whole: Option<Collector>,
    /// The last walk removed something, and no barrier came since.
    needs_barrier: bool,
    /// Deletions that the walk left to the next one.
    postponed: u64,
    hidden: Option<(RangeDeletion, Collector)>,
}

impl Collection {
    /// Notes how many versions were written.
    pub(super) fn note_written(&self, versions: usize) {
        let credit = (versions as u64).saturating_mul(PACE);
        self.credit.fetch_add(credit, Ordering::Relaxed);
    }

    fn take_credit(&self, seen: u64) {
        let spent = |credit: u64| Some(credit.saturating_sub(seen));
        // Cannot fail: the closure always answers.
        let _ = self
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent);
    }
}

impl Core {
    /// Sets from where on the host wants to be able to read; see [`super::Engine::set_safe_point`].
    pub(super) fn set_safe_point(&self, keep_from: Option<Sequence>) {
        self.pins.state.lock().keep_from = keep_from;
    }

    pub(super) fn collection_stats(&self) -> CollectionStats {
        let (pins, oldest_pin, collected) = {
            let state = self.pins.state.lock();
            let oldest = state.pins.values().map(|(pin, _)| *pin).min();
            (state.pins.len() as u64, oldest, state.collected)
        };
        let hidden = self.data.range_deletions().map_or(0, |hidden| hidden.len());
        CollectionStats {
            versions_seen: self.collection.seen.load(Ordering::Relaxed),
            versions_removed: self.collection.removed.load(Ordering::Relaxed),
            walks: self.collection.walks.load(Ordering::Relaxed),
            range_deletions: hidden as u64,
            pins,
            oldest_pin,
            collected,
        }
    }

    /// Background: a few steps, if enough was written or deleted since the last ones.
    pub(super) fn collect_some(&self) -> Result<(), EngineError> {
        // Somebody else is at it.
        let Some(mut walk) = self.collection.walk.try_lock() else {
            return Ok(());
        };
        for _ in 0..TICK_STEPS {
            if self.collect_hidden(&mut walk)? {
                continue;
            }
            if self.collection.credit.load(Ordering::Relaxed) < STEP_CREDIT {
                break;
            }
            self.collect_step(&mut walk)?;
        }
        Ok(())
    }

    /// Walks through everything once, whatever was written: for tests, and for an operator who wants
    /// the space back now. Answers how many versions were removed.
    pub(super) fn collect_all(&self) -> Result<u64, EngineError> {
        self.check_open()?;
        let mut walk = self.collection.walk.lock();
        let before = self.collection.removed.load(Ordering::Relaxed);
        // What no barrier covers stays.
        self.barrier()?;
        while self.collect_hidden(&mut walk)? {}
        walk.whole = None;
        loop {
            self.collect_step(&mut walk)?;
            if walk.whole.is_none() && walk.postponed == 0 {
                break;
            }
        }
        Ok(self.collection.removed.load(Ordering::Relaxed) - before)
    }

    /// Not above what a barrier covers: until then the version that replaces another may be lost, or
    /// taken back, and the other is what counts.
    fn safe_points(&self) -> SafePoints {
        let seen = || self.sequencer.visible().min(self.barriers.covered());
        self.pins.safe_points(seen)
    }

    /// One step of the walk over everything.
    fn collect_step(&self, walk: &mut Walk) -> Result<(), EngineError> {
        self.barriers.check()?;
        if walk.whole.is_none() {
            if std::mem::take(&mut walk.needs_barrier) {
                self.barrier()?;
            }
            walk.postponed = 0;
        }
        let safe_points = self.safe_points();
        let collector = walk.whole.get_or_insert_with(Collector::all);
        let step = collector.step(&*self.data, |key, points| safe_points.of_key(key, points))?;
        self.note_step(step.seen, step.removed);
        walk.needs_barrier |= step.removed > 0;
        walk.postponed += step.postponed;
        if step.finished {
            walk.whole = None;
            self.collection.walks.fetch_add(1, Ordering::Relaxed);
        }
        // A walk through next to nothing costs a step all the same, or it would never pause.
        self.collection.take_credit(step.seen.max(STEP_CREDIT));
        Ok(())
    }

    /// One step over what a range deletion hides; `false` if there is none that may be worked off.
    fn collect_hidden(&self, walk: &mut Walk) -> Result<bool, EngineError> {
        let Some(deletions) = self.data.range_deletions() else {
            return Ok(false);
        };
        if walk.hidden.is_none() && deletions.is_empty() {
            return Ok(false);
        }
        self.barriers.check()?;
        let safe_points = self.safe_points();
        if walk.hidden.is_none() {
            // One that a reader still looks behind would have to be walked again.
            let is_free = |one: &RangeDeletion| one.sequence <= safe_points.lowest_over(&one.range);
            walk.hidden = deletions.list().into_iter().find(is_free).map(|deletion| {
                let collector = Collector::of(&deletion);
                (deletion, collector)
            });
        }
        let Some((deletion, collector)) = &mut walk.hidden else {
            return Ok(false);
        };
        let step = collector.step(&*self.data, |key, points| safe_points.of_key(key, points))?;
        walk.needs_barrier |= step.removed > 0;
        if step.finished {
            // What it hid must not come back when it is gone.
            self.barrier()?;
            remove_range_deletion(&*self.data, deletion)?;
            walk.hidden = None;
        }
        self.note_step(step.seen, step.removed);
        Ok(true)
    }

    fn note_step(&self, seen: u64, removed: u64) {
        self.collection.seen.fetch_add(seen, Ordering::Relaxed);
        self.collection
            .removed
            .fetch_add(removed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange::new(start.as_bytes(), Some(end.as_bytes())).unwrap()
    }

    fn pin(pins: &Arc<ReadPins>, range: &KeyRange, at: u64) -> ReadPin {
        let chosen = pins.pin(range, |_| Ok::<_, ()>(Sequence::new(at)));
        chosen.unwrap()
    }

    #[test]
    fn a_pin_holds_its_own_keys_and_no_others_until_it_is_gone() {
        let pins = ReadPins::new(Sequence::new(5));
        let held = pin(&pins, &range("b", "d"), 7);
        let newer = pin(&pins, &range("a", "c"), 9);
        let points = pins.safe_points(|| Sequence::new(20));
        let of = |points: &SafePoints, key: &[u8]| {
            let mut found = Vec::new();
            points.of_key(key, &mut found);
            found.into_iter().min().unwrap().get()
        };
        assert_eq!(of(&points, b"a"), 9);
        assert_eq!(of(&points, b"b"), 7);
        assert_eq!(of(&points, b"d"), 20);
        assert_eq!(points.lowest_over(&range("a", "z")).get(), 7);
        assert_eq!(points.lowest_over(&range("d", "z")).get(), 20);
        drop(held);
        let points = pins.safe_points(|| Sequence::new(21));
        assert_eq!((of(&points, b"b"), of(&points, b"cc")), (9, 21));
        drop(newer);
        assert_eq!(of(&pins.safe_points(|| Sequence::new(21)), b"b"), 21);
    }

    #[test]
    fn whoever_pins_is_told_what_is_gone_and_the_host_can_hold_it_back() {
        let pins = ReadPins::new(Sequence::new(5));
        let told = |pins: &Arc<ReadPins>| {
            let all = KeyRange::all();
            pins.pin(&all, Err::<Sequence, _>).unwrap_err()
        };
        assert_eq!(told(&pins).get(), 5);
        pins.state.lock().keep_from = Some(Sequence::new(8));
        assert_eq!(pins.safe_points(|| Sequence::new(20)).general.get(), 8);
        assert_eq!(told(&pins).get(), 8);
        // What is gone does not come back by asking for it.
        pins.state.lock().keep_from = Some(Sequence::new(3));
        assert_eq!(pins.safe_points(|| Sequence::new(20)).general.get(), 3);
        assert_eq!(told(&pins).get(), 8);
        assert!(pins.state.lock().pins.is_empty());
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use std::sync::atomic::Ordering;

    use shuttle::thread;

    use super::*;
    use crate::sync::{AtomicU64, explore};

    #[test]
    fn nothing_that_a_reader_pinned_is_collected() {
        explore(|| {
            let pins = ReadPins::new(Sequence::new(1));
            let visible = Arc::new(AtomicU64::new(1));
            let removed = Arc::new(AtomicU64::new(0));
            let readers = (0..2).map(|_| {
                let (pins, visible) = (Arc::clone(&pins), Arc::clone(&visible));
                let removed = Arc::clone(&removed);
                thread::spawn(move || {
                    let newest = visible.load(Ordering::SeqCst);
                    let pin = pins.pin(&KeyRange::all(), |collected| {
                        Ok::<_, ()>(collected.max(Sequence::new(newest)))
                    });
                    let pin = pin.expect("it is given a sequence that can be read");
                    // A read needs every version that its sequence sees: what was removed is older.
                    let at = pin.sequence().get();
                    for _ in 0..2 {
                        let removed = removed.load(Ordering::SeqCst);
                        assert!(removed <= at, "{removed} is removed, {at} is read");
                        thread::yield_now();
                    }
                })
            });
            let readers: Vec<_> = readers.collect();
            for sequence in 2..4 {
                visible.store(sequence, Ordering::SeqCst);
                let points = pins.safe_points(|| Sequence::new(visible.load(Ordering::SeqCst)));
                // What a collector removes is hidden at the lowest point.
                let lowest = points.lowest_over(&KeyRange::all());
                removed.fetch_max(lowest.get(), Ordering::SeqCst);
            }
            for reader in readers {
                reader.join().expect("no reader fails");
            }
        });
    }
}
