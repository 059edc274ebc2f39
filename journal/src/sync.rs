//! The lock of the pins, which is also run by a scheduler that tries many orders of threads (`cfg(shuttle)`,
//! docs/RELIABILITY.md). Without that it is parking_lot's. With it nothing else of the crate may be run.

#[cfg(not(shuttle))]
mod imp {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
}

#[cfg(shuttle)]
mod imp {
    pub(crate) use shuttle::sync::MutexGuard;

    /// As parking_lot's.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .expect("no scheduled thread panics and goes on")
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
        let test = std::sync::Arc::new(test);
        let chance = RandomScheduler::new_from_seed(seed, ROUNDS);
        let run = std::sync::Arc::clone(&test);
        Runner::new(chance, Config::new()).run(move || run());
        let few = PctScheduler::new_from_seed(seed, 3, ROUNDS);
        Runner::new(few, Config::new()).run(move || test());
    }
}

pub(crate) use imp::*;
