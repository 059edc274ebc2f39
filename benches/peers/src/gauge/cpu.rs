//! Processor time of this process.

use rustix::time::{ClockId, clock_gettime};

/// User and system time of all threads of this process, those that the kernel runs for its io_uring
/// among them: the sum that `getrusage` gives, in nanoseconds instead of microseconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_costs_and_sleeping_does_not() {
        let start = cpu_seconds();
        let mut spins = 0_u64;
        while cpu_seconds() - start < 0.02 {
            spins += 1;
        }
        assert!(spins > 0);
    }
}
