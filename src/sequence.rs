//! Sequences: which version of a key a write makes and a read sees, and who may hand them out.
//!
//! A sequence is used once, also across restarts: [`Sequencer`] only hands out numbers below a
//! ceiling, and the ceiling is journaled (by the engine) before it is raised here. Readers use
//! [`Sequencer::visible`], below which every write is complete.
//!
//! Invariants
//! * No number is handed out twice; none above the ceiling.
//! * `visible` never goes down, and no write at or below it is still running.
//!
//! Not here: journaling the ceiling (`engine`), how a version lies in a store (`store::keys`).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

/// Position of a version in the order of all writes of one store.
///
/// The first write has sequence 1; [`Sequence::ZERO`] sees nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first write.
    pub const ZERO: Sequence = Sequence(0);
    /// After every write.
    pub const MAX: Sequence = Sequence(u64::MAX);

    /// Wraps a raw number.
    pub const fn new(number: u64) -> Self {
        Sequence(number)
    }

    /// The raw number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number `count` later, or the last one there is.
    pub const fn saturating_add(self, count: u64) -> Self {
        Sequence(self.0.saturating_add(count))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The leased block is used up: journal a higher ceiling, make it durable, then
/// [`Sequencer::raise_ceiling`] and begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequences up to {ceiling} are used up; a higher ceiling has to be journaled first")]
pub struct LeaseNeeded {
    /// The ceiling in force. A new one must be above it.
    pub ceiling: Sequence,
}

#[derive(Debug)]
struct Numbers {
    last_begun: u64,
    ceiling: u64,
    /// Begun and not finished.
    running: BTreeSet<u64>,
}

#[derive(Debug)]
struct Shared {
    numbers: Mutex<Numbers>,
    visible: AtomicU64,
    moved: Condvar,
}

/// Hands out sequences and knows up to where all writes are complete. Clones share one state.
#[derive(Clone, Debug)]
pub struct Sequencer {
    shared: Arc<Shared>,
}

impl Sequencer {
    /// A sequencer after a restart: everything up to the journaled `ceiling` counts as used and
    /// complete, so the first [`begin`](Self::begin) asks for a lease. `Sequence::ZERO` for a new
    /// store.
    pub fn new(ceiling: Sequence) -> Self {
        Sequencer {
            shared: Arc::new(Shared {
                numbers: Mutex::new(Numbers {
                    last_begun: ceiling.0,
                    ceiling: ceiling.0,
                    running: BTreeSet::new(),
                }),
                visible: AtomicU64::new(ceiling.0),
                moved: Condvar::new(),
            }),
        }
    }

    /// Takes the next sequence for one write.
    ///
    /// # Errors
    /// [`LeaseNeeded`] if the ceiling is reached; nothing was taken.
    pub fn begin(&self) -> Result<SequenceGuard, LeaseNeeded> {
        let mut numbers = self.shared.numbers.lock();
        let ceiling = Sequence(numbers.ceiling);
        let next = match numbers.last_begun.checked_add(1) {
            Some(next) if next <= ceiling.0 => next,
            _ => return Err(LeaseNeeded { ceiling }),
        };
        numbers.last_begun = next;
        numbers.running.insert(next);
        Ok(SequenceGuard {
            shared: self.shared.clone(),
            sequence: Sequence(next),
        })
    }

    /// Allows sequences up to `ceiling`, which the journal holds durably by now. A ceiling that is
    /// not higher changes nothing.
    pub fn raise_ceiling(&self, ceiling: Sequence) {
        let mut numbers = self.shared.numbers.lock();
        numbers.ceiling = numbers.ceiling.max(ceiling.0);
    }

    /// The ceiling in force.
    pub fn ceiling(&self) -> Sequence {
        Sequence(self.shared.numbers.lock().ceiling)
    }

    /// How many sequences can be taken before a lease is needed.
    pub fn remaining(&self) -> u64 {
        let numbers = self.shared.numbers.lock();
        numbers.ceiling.saturating_sub(numbers.last_begun)
    }

    /// The highest sequence with no running write at or below it: what a reader may use. Waits for
    /// nobody.
    pub fn visible(&self) -> Sequence {
        Sequence(self.shared.visible.load(Ordering::Acquire))
    }

    /// The highest sequence that was handed out so far.
    pub fn last_begun(&self) -> Sequence {
        Sequence(self.shared.numbers.lock().last_begun)
    }

    /// Waits until every write at or below `sequence` is complete, and returns what is visible
    /// then. The caller must not itself hold a guard at or below `sequence`, and `sequence` must
    /// have been handed out (otherwise this returns at once what is visible).
    pub fn wait_visible(&self, sequence: Sequence) -> Sequence {
        let mut numbers = self.shared.numbers.lock();
        while numbers
            .running
            .first()
            .is_some_and(|first| *first <= sequence.0)
        {
            self.shared.moved.wait(&mut numbers);
        }
        drop(numbers);
        self.visible()
    }
}

impl Shared {
    fn finish(&self, sequence: u64) {
        let mut numbers = self.numbers.lock();
        numbers.running.remove(&sequence);
        let visible = match numbers.running.first() {
            Some(first) => first.saturating_sub(1),
            None => numbers.last_begun,
        };
        // Under the lock, so that a slow thread cannot store an older value over a newer one.
        self.visible.store(visible, Ordering::Release);
        drop(numbers);
        self.moved.notify_all();
    }
}

/// One write's sequence; dropping it says that the write is complete (or was never made).
#[derive(Debug)]
#[must_use = "dropping the guard says that the write is complete"]
pub struct SequenceGuard {
    shared: Arc<Shared>,
    sequence: Sequence,
}

impl SequenceGuard {
    /// The sequence that the write's versions carry.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Says that the write is complete: the same as dropping, spelled out.
    pub fn finish(self) {}
}

impl Drop for SequenceGuard {
    fn drop(&mut self) {
        self.shared.finish(self.sequence.0);
    }
}

#[cfg(test)]
mod tests;
