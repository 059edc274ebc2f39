//! `Cohort`: how long the next sync waits for threads that are likely to come.
//!
//! When a sync returns, the threads that it served go on, and usually come back with their next
//! record a few microseconds later. A sync that starts at once leaves them all behind: half of the
//! threads ride on every other sync. So the leader gives its processor away until as many wait as
//! the last two syncs served, for at most half a sync. Where threads do not come back it learns that
//! and waits ever more rarely. Pure arithmetic; not here: the waiting itself (`commit`).

use std::time::Duration;

/// Syncs that start without waiting after the first disappointment; doubled by each further one.
const FIRST_PENALTY: u32 = 1;
const PENALTY_MAX: u32 = 63;
/// The longest wait, whatever a sync takes here.
const WAIT_MAX: Duration = Duration::from_micros(200);

/// What the last syncs say about the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cohort {
    /// Threads that the last sync served, with those that waited when it returned.
    expected: u32,
    /// Syncs that are still to start without waiting.
    skip: u32,
    penalty: u32,
    /// How long a sync takes here, in nanoseconds, smoothed.
    sync_nanos: u64,
}

impl Cohort {
    /// How many threads the next sync should carry, and how long it may wait for them; `None` if it
    /// should start at once. `waiting` are there now.
    pub(super) fn wait_for(&mut self, waiting: u32) -> Option<(u32, Duration)> {
        if waiting >= self.expected {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let limit = Duration::from_nanos(self.sync_nanos / 2).min(WAIT_MAX);
        (!limit.is_zero()).then_some((self.expected, limit))
    }

    /// Says whether the wait was worth it.
    pub(super) fn waited(&mut self, came: bool) {
        if came {
            self.penalty = 0;
        } else {
            self.penalty = (self.penalty * 2).clamp(FIRST_PENALTY, PENALTY_MAX);
            self.skip = self.penalty;
        }
    }

    /// A sync returned that served `served` threads, while `waiting` others came.
    pub(super) fn returned(&mut self, served: u32, waiting: u32, took: Duration) {
        self.expected = served.saturating_add(waiting);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sync_nanos = match self.sync_nanos {
            0 => nanos,
            before => before - before / 8 + nanos / 8,
        };
    }

    /// How long a sync takes here.
    pub(super) fn sync_time(&self) -> Duration {
        Duration::from_nanos(self.sync_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(80);

    #[test]
    fn a_lone_thread_never_waits_for_others() {
        let mut cohort = Cohort::default();
        for _ in 0..100 {
            assert_eq!(cohort.wait_for(1), None);
            cohort.returned(1, 0, SYNC);
        }
        assert_eq!(cohort.sync_time(), SYNC);
    }

    #[test]
    fn threads_that_come_back_are_waited_for_up_to_half_a_sync() {
        let mut cohort = Cohort::default();
        assert_eq!(cohort.wait_for(1), None, "nothing is known yet");
        cohort.returned(1, 3, SYNC);
        assert_eq!(cohort.wait_for(3), Some((4, SYNC / 2)));
        cohort.waited(true);
        cohort.returned(4, 0, SYNC);
        assert_eq!(cohort.wait_for(4), None);
        assert_eq!(cohort.wait_for(1), Some((4, SYNC / 2)));
        cohort.returned(4, 0, Duration::from_secs(8));
        assert_eq!(cohort.wait_for(1), Some((4, WAIT_MAX)), "a slow disk");
    }

    #[test]
    fn threads_that_do_not_come_are_waited_for_ever_more_rarely() {
        let mut cohort = Cohort::default();
        let mut waits = 0;
        for _ in 0..1000 {
            cohort.returned(4, 0, SYNC);
            if cohort.wait_for(1).is_some() {
                waits += 1;
                cohort.waited(false);
            }
        }
        assert!((15..25).contains(&waits), "{waits}");
        while cohort.wait_for(1).is_none() {}
        cohort.waited(true);
        assert!(cohort.wait_for(1).is_some(), "one success is believed");
    }
}
