//! `SyncedWatch`: the durable position, and who sleeps until it moves on.
//!
//! Publishing is one store and one load as long as nobody sleeps. Not here: who may publish (the
//! thread whose sync returned, under the journal's mutex) and what a follower reads when it wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::Poison;
use crate::lsn::Lsn;

/// Why the durable position will never move again.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The journal was closed.
    Closed,
    /// A failure ended it.
    Poisoned(Arc<Poison>),
}

/// What a sleeper woke up to, in the order in which it looks.
#[derive(Clone, Debug)]
pub(crate) enum Waited {
    /// It was told to stop.
    Stopped,
    /// The position is durable.
    Reached,
    /// It never will be, through this journal.
    Ended(Ended),
    /// The time was up.
    TimedOut,
}

/// The durable position of one open journal.
#[derive(Debug)]
pub(crate) struct SyncedWatch {
    synced: AtomicU64,
    /// Sleepers, counted before they look at `synced` for the last time. A publisher stores
    /// `synced` and then looks here; both are `SeqCst`, so at least one of the two sees the other.
    sleepers: AtomicUsize,
    /// Whether `ended` is set, for whoever only asks that.
    is_ended: AtomicBool,
    ended: Mutex<Option<Ended>>,
    moved: Condvar,
}

impl SyncedWatch {
    pub(crate) fn new(synced: Lsn) -> Self {
        SyncedWatch {
            synced: AtomicU64::new(synced.get()),
            sleepers: AtomicUsize::new(0),
            is_ended: AtomicBool::new(false),
            ended: Mutex::new(None),
            moved: Condvar::new(),
        }
    }

    /// The last durable LSN.
    pub(crate) fn synced(&self) -> Lsn {
        Lsn::new(self.synced.load(Ordering::Acquire))
    }

    /// Says that everything up to `lsn` is durable and wakes who sleeps. Calls do not overlap, and
    /// `lsn` never goes back.
    pub(crate) fn publish(&self, lsn: Lsn) {
        self.synced.store(lsn.get(), Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    /// Says that the position stays where it is. The first reason given is kept.
    pub(crate) fn end(&self, ended: Ended) {
        self.ended.lock().get_or_insert(ended);
        self.is_ended.store(true, Ordering::SeqCst);
        self.moved.notify_all();
    }

    /// Whether the position stays where it is.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::SeqCst)
    }

    /// Makes every sleeper look again, for example at its `stop`.
    pub(crate) fn wake(&self) {
        // A sleeper looks while it holds the lock. With the lock taken once, each has either seen
        // what changed or sleeps already and hears the notification.
        drop(self.ended.lock());
        self.moved.notify_all();
    }

    /// Sleeps until `lsn` is durable, `stop` is set, the journal has ended or `timeout` is over;
    /// without a timeout, as long as it takes.
    pub(crate) fn wait(&self, lsn: Lsn, timeout: Option<Duration>, stop: &AtomicBool) -> Waited {
        // A time that the clock cannot express is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut ended = self.ended.lock();
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut is_late = false;
        let waited = loop {
            if stop.load(Ordering::SeqCst) {
                break Waited::Stopped;
            }
            if self.synced.load(Ordering::SeqCst) >= lsn.get() {
                break Waited::Reached;
            }
            if let Some(ended) = &*ended {
                break Waited::Ended(ended.clone());
            }
            if is_late {
                break Waited::TimedOut;
            }
            match deadline {
                Some(deadline) => {
                    is_late = self.moved.wait_until(&mut ended, deadline).timed_out();
                }
                None => self.moved.wait(&mut ended),
            }
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        waited
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_position_that_is_durable_already_is_reached_without_sleeping() {
        let watch = SyncedWatch::new(Lsn::new(7));
        let waited = watch.wait(Lsn::new(7), Some(Duration::ZERO), &NEVER);
        assert!(matches!(waited, Waited::Reached), "{waited:?}");
        let waited = watch.wait(Lsn::new(8), Some(Duration::ZERO), &NEVER);
        assert!(matches!(waited, Waited::TimedOut), "{waited:?}");
        let waited = watch.wait(Lsn::FIRST, Some(Duration::MAX), &AtomicBool::new(true));
        assert!(matches!(waited, Waited::Stopped), "{waited:?}");
    }

    #[test]
    fn every_sleeper_hears_of_every_step() {
        let watch = SyncedWatch::new(Lsn::ZERO);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for lsn in 1..=2000 {
                        // Without a limit: a wake-up that gets lost hangs the test.
                        let waited = watch.wait(Lsn::new(lsn), None, &NEVER);
                        assert!(matches!(waited, Waited::Reached), "{waited:?}");
                    }
                });
            }
            for lsn in 1..=2000 {
                watch.publish(Lsn::new(lsn));
                if lsn % 64 == 0 {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(watch.sleepers.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_end_and_a_stop_wake_who_sleeps_for_ever() {
        let watch = SyncedWatch::new(Lsn::ZERO);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stopped = scope.spawn(|| watch.wait(Lsn::FIRST, None, &stop));
            while watch.sleepers.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
            watch.wake();
            assert!(matches!(stopped.join().unwrap(), Waited::Stopped));

            let ended = scope.spawn(|| watch.wait(Lsn::FIRST, None, &NEVER));
            while watch.sleepers.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            watch.end(Ended::Closed);
            let ended = ended.join().unwrap();
            assert!(matches!(ended, Waited::Ended(Ended::Closed)), "{ended:?}");
        });
        // What was durable before the end stays so.
        watch.publish(Lsn::FIRST);
        let waited = watch.wait(Lsn::FIRST, None, &NEVER);
        assert!(matches!(waited, Waited::Reached), "{waited:?}");
    }
}
