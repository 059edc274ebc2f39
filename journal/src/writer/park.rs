//! Sleeping on one word of memory until somebody changes it: a futex where there is one.
//!
//! All who sleep on a word are woken by one call, and none of them has to take a lock before it goes
//! on: with many threads behind one sync, that is most of what a sync costs. Not here: what the word
//! says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A word, and how many sleep on it.
#[derive(Debug, Default)]
pub(super) struct Word {
    value: AtomicU32,
    /// Counted before a sleeper looks at the word for the last time. Who changes the word looks here
    /// afterwards. All of it is `SeqCst`: one of the two sees the other.
    sleepers: AtomicU32,
    #[cfg(not(target_os = "linux"))]
    plain: plain::Plain,
}

/// Whom a change of the word concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    One,
    All,
}

impl Word {
    pub(super) fn get(&self) -> u32 {
        self.value.load(Ordering::SeqCst)
    }

    /// Puts `to` in the place of `from`; whether that was there.
    pub(super) fn exchange(&self, from: u32, to: u32) -> bool {
        self.value
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Changes the word and wakes those who sleep on it.
    pub(super) fn set(&self, value: u32, wake: Wake) {
        self.value.store(value, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake(wake);
        }
    }

    /// Sleeps while the word is `value`, at most `timeout`. May return early: look again.
    pub(super) fn sleep_while(&self, value: u32, timeout: Option<Duration>) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if self.get() == value {
            self.wait(value, timeout);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    #[cfg(target_os = "linux")]
    fn wait(&self, value: u32, timeout: Option<Duration>) {
        use rustix::thread::{Timespec, futex};
        let timeout = timeout.and_then(|timeout| {
            Some(Timespec {
                tv_sec: i64::try_from(timeout.as_secs()).ok()?,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            })
        });
        // Changed before, woken, interrupted, timed out: the caller looks again in every case.
        let _ = futex::wait(&self.value, futex::Flags::PRIVATE, value, timeout.as_ref());
    }

    #[cfg(target_os = "linux")]
    fn wake(&self, wake: Wake) {
        let count = match wake {
            Wake::One => 1,
            Wake::All => i32::MAX.unsigned_abs(),
        };
        let _ =
            rustix::thread::futex::wake(&self.value, rustix::thread::futex::Flags::PRIVATE, count);
    }

    #[cfg(not(target_os = "linux"))]
    fn wait(&self, value: u32, timeout: Option<Duration>) {
        self.plain.wait(|| self.get() == value, timeout);
    }

    #[cfg(not(target_os = "linux"))]
    fn wake(&self, wake: Wake) {
        self.plain.wake(wake);
    }
}

#[cfg(not(target_os = "linux"))]
mod plain {
    //! The same with a lock and a condition.

    use std::time::Duration;

    use parking_lot::{Condvar, Mutex};

    use super::Wake;

    #[derive(Debug, Default)]
    pub(super) struct Plain {
        lock: Mutex<()>,
        changed: Condvar,
    }

    impl Plain {
        pub(super) fn wait(&self, still: impl Fn() -> bool, timeout: Option<Duration>) {
            let mut held = self.lock.lock();
            if still() {
                match timeout {
                    Some(timeout) => drop(self.changed.wait_for(&mut held, timeout)),
                    None => self.changed.wait(&mut held),
                }
            }
        }

        pub(super) fn wake(&self, wake: Wake) {
            // A sleeper looks under the lock: it has seen the change or hears of it.
            drop(self.lock.lock());
            match wake {
                Wake::One => drop(self.changed.notify_one()),
                Wake::All => drop(self.changed.notify_all()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_sleeper_hears_of_every_change() {
        let word = Word::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for value in 0..2000 {
                        // Without a limit: a wake-up that gets lost hangs the test.
                        while word.get() <= value {
                            word.sleep_while(value, None);
                        }
                    }
                });
            }
            for value in 1..=2000 {
                word.set(value, Wake::All);
                if value % 64 == 0 {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(word.sleepers.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_sleep_ends_when_its_time_is_up_and_when_the_word_is_another() {
        let word = Word::default();
        word.set(3, Wake::All);
        word.sleep_while(3, Some(Duration::from_millis(1)));
        word.sleep_while(4, None);
        assert!(word.exchange(3, 5));
        assert!(!word.exchange(3, 6));
        assert_eq!(word.get(), 5);
    }

    #[test]
    fn one_wake_up_serves_one_sleeper_after_the_other() {
        let word = Word::default();
        thread::scope(|scope| {
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        while !word.exchange(1, 0) {
                            word.sleep_while(0, None);
                        }
                    })
                })
                .collect();
            for _ in 0..3 {
                word.set(1, Wake::One);
                while word.get() == 1 {
                    thread::yield_now();
                }
            }
            for taker in takers {
                taker.join().unwrap();
            }
        });
    }
}
