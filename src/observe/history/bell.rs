//! `Bell`: what readers of the history sleep on, threads and tasks alike.
//!
//! Not here: what there is to read.

use std::task::Waker;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct State {
    /// How often it rang.
    rings: u64,
    is_closed: bool,
    wakers: Vec<Waker>,
    /// Readers that want what is not durable yet.
    early: usize,
}

/// Rung when there may be more to read, or something else to look at.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

impl Bell {
    /// How often it rang: to be read before looking whether there is anything.
    pub(crate) fn rings(&self) -> u64 {
        self.state.lock().rings
    }

    /// Wakes everybody.
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        state.rings = state.rings.wrapping_add(1);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes everybody if there is a reader of what is not durable yet.
    pub(crate) fn ring_early(&self) {
        if self.state.lock().early > 0 {
            self.ring();
        }
    }

    /// One more, or one less, reader of what is not durable yet.
    pub(crate) fn count_early(&self, is_more: bool) {
        let mut state = self.state.lock();
        state.early = match is_more {
            true => state.early.saturating_add(1),
            false => state.early.saturating_sub(1),
        };
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.ring();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Sleeps until it has rung since `seen` was read, or until `due`; whether it rang.
    pub(crate) fn wait(&self, seen: u64, due: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.rings == seen && !state.is_closed {
            match due {
                None => self.changed.wait(&mut state),
                Some(due) => {
                    if self.changed.wait_until(&mut state, due).timed_out() {
                        return state.rings != seen;
                    }
                }
            }
        }
        true
    }

    #[cfg(feature = "stream")]
    /// Wakes the task at the next ring; false if it has rung since `seen` was read.
    pub(crate) fn register(&self, seen: u64, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.rings != seen || state.is_closed {
            return false;
        }
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ring_between_the_look_and_the_sleep_is_heard() {
        let bell = Arc::new(Bell::default());
        let seen = bell.rings();
        bell.ring();
        assert!(bell.wait(seen, None));
        let seen = bell.rings();
        assert!(!bell.wait(seen, Some(Instant::now() + Duration::from_millis(1))));
        // Nobody wants early news, so nobody is woken by it.
        bell.ring_early();
        assert_eq!(bell.rings(), seen);
        bell.count_early(true);
        bell.ring_early();
        assert!(bell.rings() > seen);
        let seen = bell.rings();
        let waiting = Arc::clone(&bell);
        let thread = std::thread::spawn(move || waiting.wait(seen, None));
        bell.close();
        assert!(thread.join().unwrap());
        assert!(bell.is_closed());
    }
}
