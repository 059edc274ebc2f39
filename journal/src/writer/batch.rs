//! `Batch`: the threads whose records one sync makes durable, and how they wait for it.
//!
//! A waiter first gives its processor away again and again, as long as a sync usually takes, and
//! sleeps only then: being woken costs as much as half a sync on some machines. (The write threads
//! of RocksDB wait the same way.) Each batch has one word; one change of it reaches all who wait.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::error::Poison;
use crate::writer::park::{Wake, Word};

/// Wait on.
const WAITING: u32 = 0;
/// One waiter takes this and leads.
const LEAD: u32 = 1;
/// The batch is durable.
const DONE: u32 = 2;
/// It never will be.
const FAILED: u32 = 3;

/// Threads whose records the same sync makes durable.
#[derive(Debug, Default)]
pub(super) struct Batch {
    word: Word,
    /// Those who wait and were not told to lead. Changed under the journal's mutex only.
    waiters: AtomicU32,
    poison: OnceLock<Arc<Poison>>,
}

/// What a waiter woke up to.
#[derive(Debug)]
pub(super) enum Woken {
    Lead,
    Done,
    Failed(Arc<Poison>),
}

impl Batch {
    /// Counts the caller in. Called under the journal's mutex, so that a leader who finds no waiter
    /// there may free the lead.
    pub(super) fn join(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have joined and not been told to lead.
    pub(super) fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Waits until the batch ends or this thread is to lead, without sleeping for the first
    /// `awake`. Who takes the lead calls [`Batch::leave`] under the journal's mutex.
    pub(super) fn wait(&self, awake: Duration) -> Woken {
        let mut deadline = None;
        loop {
            match self.word.get() {
                DONE => return Woken::Done,
                FAILED => return Woken::Failed(self.failure()),
                LEAD if self.word.exchange(LEAD, WAITING) => return Woken::Lead,
                _ => {}
            }
            if awake.is_zero() || is_over(&mut deadline, awake) {
                self.word.sleep_while(WAITING, None);
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// One waiter less: it leads.
    pub(super) fn leave(&self) {
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }

    /// Hands the lead to one waiter; `false` if nobody waits. Called under the journal's mutex.
    pub(super) fn offer_lead(&self) -> bool {
        if self.waiters() == 0 || self.poison.get().is_some() {
            return false;
        }
        self.word.set(LEAD, Wake::One);
        true
    }

    pub(super) fn finish(&self) {
        if self.poison.get().is_none() {
            self.word.set(DONE, Wake::All);
        }
    }

    pub(super) fn fail(&self, poison: &Arc<Poison>) {
        let _ = self.poison.set(Arc::clone(poison));
        self.word.set(FAILED, Wake::All);
    }

    fn failure(&self) -> Arc<Poison> {
        let poison = self.poison.get();
        Arc::clone(poison.expect("a batch fails with its reason in place"))
    }
}

/// Whether `awake` has passed since the first call.
fn is_over(deadline: &mut Option<Instant>, awake: Duration) -> bool {
    let now = Instant::now();
    match deadline {
        Some(deadline) => now >= *deadline,
        None => {
            *deadline = now.checked_add(awake);
            deadline.is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;

    use super::*;
    use crate::error::PoisonedBy;
    use crate::ids::SegmentId;

    #[test]
    fn one_waiter_leads_and_the_others_hear_the_end() {
        for awake in [Duration::ZERO, Duration::from_millis(1)] {
            let batch = Batch::default();
            assert!(!batch.offer_lead(), "nobody waits");
            for _ in 0..4 {
                batch.join();
            }
            thread::scope(|scope| {
                let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| batch.wait(awake))).collect();
                assert!(batch.offer_lead());
                while waiters.iter().all(|waiter| !waiter.is_finished()) {
                    thread::yield_now();
                }
                batch.leave();
                assert_eq!(batch.waiters(), 3);
                batch.finish();
                let woken: Vec<_> = waiters.into_iter().map(|w| w.join().unwrap()).collect();
                let leads = woken.iter().filter(|w| matches!(w, Woken::Lead)).count();
                let done = woken.iter().filter(|w| matches!(w, Woken::Done)).count();
                assert_eq!((leads, done), (1, 3));
            });
        }
    }

    #[test]
    fn a_failed_batch_stays_failed() {
        let batch = Batch::default();
        batch.join();
        let poison = Arc::new(Poison {
            by: PoisonedBy::Sync,
            segment: SegmentId::FIRST,
            source: io::Error::other("the device is gone"),
        });
        batch.fail(&poison);
        batch.finish();
        assert!(!batch.offer_lead());
        assert!(matches!(batch.wait(Duration::ZERO), Woken::Failed(_)));
    }
}
