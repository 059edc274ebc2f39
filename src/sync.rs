//! Locks, atomics and the swapped pointer of the rooms whose threads are also run in many orders by a
//! scheduler (`cfg(shuttle)`, docs/RELIABILITY.md): publishing, the memory of caches, the pins of readers, whose
//! changes are kept.
//!
//! Without that they are parking_lot's, the standard library's and arc-swap's own, and cost nothing more.
//! With it nothing else of the crate may be run: a scheduled lock knows only scheduled threads. The scheduler
//! knows one order of all operations; what weaker orderings allow is not seen by it.

#[cfg(not(shuttle))]
mod imp {
    pub(crate) use arc_swap::{ArcSwap, Guard};
    pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
}

#[cfg(shuttle)]
mod imp {
    use std::fmt;
    use std::ops::Deref;
    use std::sync::Arc;

    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    const POISONED: &str = "no scheduled thread panics and goes on";

    /// As parking_lot's.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect(POISONED)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    impl<T> fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Mutex")
        }
    }

    /// As parking_lot's.
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            RwLock(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().expect(POISONED)
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().expect(POISONED)
        }
    }

    impl<T: Default> Default for RwLock<T> {
        fn default() -> Self {
            RwLock::new(T::default())
        }
    }

    impl<T> fmt::Debug for RwLock<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("RwLock")
        }
    }

    /// As arc-swap's: one pointer, read and replaced in one step each.
    pub(crate) struct ArcSwap<T>(shuttle::sync::Mutex<Arc<T>>);

    /// What was read.
    pub(crate) struct Guard<T>(T);

    impl<T> Deref for Guard<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            ArcSwap(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn from_pointee(value: T) -> Self {
            ArcSwap::new(Arc::new(value))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().expect(POISONED))
        }

        pub(crate) fn load(&self) -> Guard<Arc<T>> {
            Guard(self.load_full())
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock().expect(POISONED) = value;
        }
    }

    impl<T> fmt::Debug for ArcSwap<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("ArcSwap")
        }
    }

    /// Runs `test` in many orders of its threads: by chance, and with few switches that are chosen to hurt.
    /// A failure prints the schedule. `TORRENS_SEED` moves the seed.
    #[cfg(test)]
    pub(crate) fn explore(test: impl Fn() + Send + Sync + 'static) {
        use shuttle::scheduler::{PctScheduler, RandomScheduler};
        use shuttle::{Config, Runner};

        const ROUNDS: usize = 5000;
        let seed = std::env::var("TORRENS_SEED").ok();
        let seed = seed.map_or(1, |seed| seed.parse().expect("TORRENS_SEED is a number"));
        #[expect(clippy::print_stdout, reason = "a test prints its seed")]
        {
            println!("seed {seed}, {ROUNDS} orders by chance and as many with few switches");
        }
        let test = Arc::new(test);
        let chance = RandomScheduler::new_from_seed(seed, ROUNDS);
        let run = Arc::clone(&test);
        Runner::new(chance, Config::new()).run(move || run());
        let few = PctScheduler::new_from_seed(seed, 3, ROUNDS);
        Runner::new(few, Config::new()).run(move || test());
    }
}

pub(crate) use imp::*;
