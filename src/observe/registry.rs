//! What of the registry is memory only: which regions have to be looked at, which attempts failed and
//! when the next is due, and whose changes have to be kept.
//!
//! All of it may be lost at any moment: the audit looks at everything. Not here: what is journaled
//! (`lifecycle::observer`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ObserverId, ObserverRanges};
use crate::lifecycle::Register;
use crate::sync::{AtomicBool, AtomicU64, Mutex, RwLock};
use crate::{KeyRange, RegionId};

/// Wait before the second attempt, in microseconds; each further wait is twice the one before.
const RETRY_MICROS: u64 = 250_000;
/// Longest wait, in microseconds.
const RETRY_MICROS_MAX: u64 = 16_000_000;

/// Regions whose attachments have to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    state: Mutex<DirtyState>,
}

#[derive(Debug, Default)]
struct DirtyState {
    regions: BTreeSet<RegionId>,
    all: bool,
}

/// What was marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// Every region.
    All,
    /// These.
    Regions(Vec<RegionId>),
}

impl Dirty {
    /// Marks regions.
    pub(crate) fn mark(&self, regions: impl IntoIterator<Item = RegionId>) {
        let mut state = self.state.lock();
        if !state.all {
            state.regions.extend(regions);
        }
    }

    /// Marks every region.
    pub(crate) fn mark_all(&self) {
        let mut state = self.state.lock();
        state.all = true;
        state.regions.clear();
    }

    /// Takes what is marked; none if nothing is.
    pub(crate) fn take(&self) -> Option<Marked> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.all) {
            return Some(Marked::All);
        }
        let regions = std::mem::take(&mut state.regions);
        (!regions.is_empty()).then(|| Marked::Regions(regions.into_iter().collect()))
    }
}

/// Attempts that failed for a reason that may pass.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    failed: Mutex<HashMap<(ObserverId, RegionId), Failed>>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    /// Failures in a row without anything acknowledged in between.
    count: u32,
    acked: u64,
    /// When the next attempt is due, in microseconds of the wall clock; none while one is under way.
    next_micros: Option<u64>,
}

impl Retries {
    /// Notes a failure at `acked`; answers when the next attempt is due.
    pub(crate) fn note(&self, at: (ObserverId, RegionId), acked: u64, now_micros: u64) -> u64 {
        let mut failed = self.failed.lock();
        let before = failed.get(&at).filter(|before| before.acked == acked);
        let count = before.map_or(0, |before| before.count.saturating_add(1));
        let wait = RETRY_MICROS.saturating_mul(1_u64.checked_shl(count).unwrap_or(u64::MAX));
        let next_micros = now_micros.saturating_add(wait.min(RETRY_MICROS_MAX));
        let entry = Failed {
            count,
            acked,
            next_micros: Some(next_micros),
        };
        failed.insert(at, entry);
        next_micros
    }

    /// When the next attempt is due, in microseconds of the wall clock; none if nothing waits for one.
    pub(crate) fn next_micros(&self, at: (ObserverId, RegionId)) -> Option<u64> {
        self.failed
            .lock()
            .get(&at)
            .and_then(|failed| failed.next_micros)
    }

    /// Whether an attempt may be made.
    pub(crate) fn is_due(&self, at: (ObserverId, RegionId), now_micros: u64) -> bool {
        self.next_micros(at).is_none_or(|next| next <= now_micros)
    }

    /// The regions in which an attempt is due.
    pub(crate) fn due(&self, now_micros: u64) -> Vec<RegionId> {
        let failed = self.failed.lock();
        let is_due = |failed: &Failed| failed.next_micros.is_some_and(|next| next <= now_micros);
        let due = failed.iter().filter(|(_, failed)| is_due(failed));
        due.map(|((_, region), _)| *region).collect()
    }

    /// Attempts are made.
    pub(crate) fn attempt(&self, all: impl IntoIterator<Item = (ObserverId, RegionId)>) {
        let mut failed = self.failed.lock();
        if failed.is_empty() {
            return;
        }
        for at in all {
            if let Some(failed) = failed.get_mut(&at) {
                failed.next_micros = None;
            }
        }
    }

    /// Forgets what is not wanted any more: it succeeded, or it is gone.
    pub(crate) fn retain(&self, is_wanted: impl Fn(ObserverId, RegionId) -> bool) {
        let mut failed = self.failed.lock();
        failed.retain(|(observer, region), _| is_wanted(*observer, *region));
    }

    /// Forgets a failure.
    pub(crate) fn forget(&self, at: (ObserverId, RegionId)) {
        self.failed.lock().remove(&at);
    }
}

/// Whose changes have to be kept: of every region with keys that an observer asks for, paused or not,
/// and of those that one is about to ask for.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    any: AtomicBool,
    ranges: RwLock<Arc<Vec<ObserverRanges>>>,
    coming: Mutex<Vec<(u64, ObserverRanges)>>,
    next: AtomicU64,
}

impl Captures {
    /// Whether changes of a region over `range` are kept. Ask it under the region's latch, for each
    /// write: whoever registers looks at the region's position under the same latch, after it.
    pub(crate) fn wants(&self, range: &KeyRange) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let ranges = Arc::clone(&self.ranges.read());
        ranges.iter().any(|ranges| ranges.overlaps(range))
    }

    /// From now on changes of these keys are kept, until [`Captures::end`].
    pub(crate) fn begin(
        &self,
        ranges: &ObserverRanges,
        published: impl FnOnce() -> Register,
    ) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.coming.lock().push((number, ranges.clone()));
        self.follow(published);
        number
    }

    /// The registration came about, or did not.
    pub(crate) fn end(&self, number: u64, published: impl FnOnce() -> Register) {
        self.coming.lock().retain(|(other, _)| *other != number);
        self.follow(published);
    }

    /// Takes over who observes now, durably: what is being removed is kept until it is.
    pub(crate) fn follow(&self, published: impl FnOnce() -> Register) {
        let coming = self.coming.lock();
        // Looked at under the lock, so that whoever comes later has seen at least as much.
        let register = published();
        let observers = register.observers().iter();
        let known = observers.map(|(_, observer)| observer.ranges.clone());
        let all: Vec<_> = known
            .chain(coming.iter().map(|(_, ranges)| ranges.clone()))
            .collect();
        // Changed while nobody else comes or goes: the lock of what is coming is still held.
        let any = !all.is_empty();
        *self.ranges.write() = Arc::new(all);
        self.any.store(any, Ordering::Release);
    }
}

/// What happened since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) reports_late: AtomicU64,
    pub(crate) failures_ignored: AtomicU64,
    pub(crate) audits: AtomicU64,
    pub(crate) audit_repairs: AtomicU64,
}

/// Counters of the registry since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserverCounters {
    /// Reports of leadership that said less than was known.
    pub reports_late: u64,
    /// Reports of a failure of an attachment that was not the current one.
    pub failures_ignored: u64,
    /// Audits.
    pub audits: u64,
    /// Attachments and leaderships that an audit found other than they should be: each means that a
    /// notification was lost.
    pub audit_repairs: u64,
}

impl Counting {
    pub(crate) fn read(&self) -> ObserverCounters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ObserverCounters {
            reports_late: of(&self.reports_late),
            failures_ignored: of(&self.failures_ignored),
            audits: of(&self.audits),
            audit_repairs: of(&self.audit_repairs),
        }
    }
}

/// All of it, for one engine.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) dirty: Dirty,
    pub(crate) retries: Retries,
    pub(crate) captures: Captures,
    pub(crate) counting: Counting,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_wait_longer_and_progress_begins_anew() {
        let retries = Retries::default();
        let at = (ObserverId(1), RegionId(7));
        assert!(retries.is_due(at, 0));
        let waits: Vec<u64> = (0..9).map(|_| retries.note(at, 5, 1000) - 1000).collect();
        let expected = [1, 2, 4, 8, 16, 32, 64, 64, 64].map(|times| times * RETRY_MICROS);
        assert_eq!(waits, expected);
        assert!(!retries.is_due(at, 1000) && retries.is_due(at, 17_000_000));
        assert_eq!(retries.note(at, 6, 1000), 1000 + RETRY_MICROS);
        assert_eq!(retries.due(1000 + RETRY_MICROS), [RegionId(7)]);
        retries.retain(|_, region| region != RegionId(7));
        assert_eq!(retries.next_micros(at), None);
        for _ in 0..100 {
            retries.note(at, 5, u64::MAX - 1);
        }
    }

    #[test]
    fn marks_are_taken_once_and_all_covers_each() {
        let dirty = Dirty::default();
        assert_eq!(dirty.take(), None);
        dirty.mark([RegionId(9), RegionId(7), RegionId(9)]);
        let both = Marked::Regions(vec![RegionId(7), RegionId(9)]);
        assert_eq!(dirty.take(), Some(both));
        dirty.mark([RegionId(9)]);
        dirty.mark_all();
        dirty.mark([RegionId(7)]);
        assert_eq!(dirty.take(), Some(Marked::All));
        assert_eq!(dirty.take(), None);
    }

    #[test]
    fn keys_that_somebody_is_about_to_observe_are_kept_already() {
        let captures = Captures::default();
        let ranges = |start: &str, end: &str| {
            let range = KeyRange::new(start.as_bytes(), Some(end.as_bytes())).unwrap();
            ObserverRanges::new(vec![range]).unwrap()
        };
        let of = |start: &str, end: &str| ranges(start, end).iter().next().unwrap().clone();
        assert!(!captures.wants(&of("a", "b")));
        let first = captures.begin(&ranges("a", "c"), Register::default);
        let second = captures.begin(&ranges("b", "d"), Register::default);
        assert!(captures.wants(&of("b", "c")) && !captures.wants(&of("x", "y")));
        captures.end(first, Register::default);
        assert!(captures.wants(&of("c", "d")) && !captures.wants(&of("a", "b")));
        captures.end(second, Register::default);
        assert!(!captures.wants(&of("b", "c")));
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use shuttle::thread;

    use super::*;
    use crate::lifecycle::{Cause, Event, ObserverEvent, Outcome, Record, Stamp, apply, step};
    use crate::sync::explore;
    use crate::{ObserverName, ObserverPolicy};

    /// One region, of which each write is kept or not.
    struct Store {
        captures: Captures,
        published: Mutex<Register>,
        /// The region's latch, and whether each of its writes was kept.
        writes: Mutex<Vec<bool>>,
        ranges: ObserverRanges,
    }

    fn publish(register: &mut Register, event: ObserverEvent) {
        let Outcome::Accepted(accepted) = step(register, &Event::Observer(event)) else {
            panic!("refused");
        };
        let stamp = Stamp {
            wall_clock_micros: 0,
            boot: 1,
            cause: Cause::Host,
        };
        let record = Record::new(register, accepted.change, stamp);
        let lsn = register.last_lsn().next().expect("there is room");
        apply(register, lsn, &record).expect("it was decided on this state");
    }

    impl Store {
        fn new() -> Arc<Self> {
            let range = KeyRange::new(b"a".as_slice(), Some(b"c".as_slice())).expect("a range");
            let store = Store {
                captures: Captures::default(),
                published: Mutex::new(Register::default()),
                writes: Mutex::new(Vec::new()),
                ranges: ObserverRanges::new(vec![range]).expect("one range"),
            };
            Arc::new(store)
        }

        fn follow(&self) {
            self.captures.follow(|| self.published.lock().clone());
        }

        /// As the engine does: captured first, then the position, then the record, then published.
        fn register(&self, name: &str) -> usize {
            let published = || self.published.lock().clone();
            let number = self.captures.begin(&self.ranges, published);
            let from = self.writes.lock().len();
            let event = ObserverEvent::Add {
                name: ObserverName::new(name).expect("a name"),
                ranges: self.ranges.clone(),
                policy: ObserverPolicy::default(),
                starts: Vec::new(),
            };
            publish(&mut self.published.lock(), event);
            self.follow();
            self.captures.end(number, published);
            from
        }

        fn remove(&self, observer: ObserverId) {
            publish(
                &mut self.published.lock(),
                ObserverEvent::Remove { observer },
            );
            self.follow();
        }

        fn write(&self) {
            let mut writes = self.writes.lock();
            let kept = self.ranges.iter().any(|range| self.captures.wants(range));
            writes.push(kept);
        }
    }

    /// Whoever registers misses no write behind the position that it was told, whoever else comes or goes.
    #[test]
    fn every_write_behind_a_registration_is_kept() {
        explore(|| {
            let store = Store::new();
            let first = ObserverId(1);
            let _from = store.register("first");
            let spawn = |work: fn(&Store)| {
                let store = Arc::clone(&store);
                thread::spawn(move || work(&store))
            };
            let others = [
                spawn(|store| (0..3).for_each(|_| store.write())),
                spawn(|store| store.remove(ObserverId(1))),
                spawn(|store| {
                    let _from = store.register("other");
                }),
            ];
            let from = store.register("second");
            store.write();
            for other in others {
                other.join().expect("nobody fails");
            }
            store.write();
            let writes = store.writes.lock();
            let kept = writes.iter().skip(from);
            assert!(kept.copied().all(|kept| kept), "{from}: {writes:?}");
            assert!(store.published.lock().observers().get(first).is_none());
        });
    }
}
