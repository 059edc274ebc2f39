//! How a run is measured: threads that do one thing again and again, and what was used meanwhile.
//!
//! ```text
//! gauge.rs          threads, counters, latencies
//! gauge/device.rs   what reached the disk      gauge/cpu.rs   processor time
//! ```
//!
//! Rates are taken from counters read at two moments, so that neither the start of the threads nor
//! their end is part of them.

pub(crate) mod cpu;
pub(crate) mod device;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;

use crate::job::{Sample, Time, figure};
use cpu::cpu_seconds;
use device::Device;

/// A counter that no other thread's counter shares a cache line with.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Only its own thread calls this.
    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }
}

/// What a measured thread sees of the run that it is part of.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Which of the threads it is.
    pub(crate) thread: usize,
    stop: &'a AtomicBool,
    measuring: &'a AtomicBool,
    counter: &'a Counter,
    done: u64,
    latencies: Option<Histogram<u64>>,
}

impl Turn<'_> {
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Counts what was just done.
    pub(crate) fn count(&mut self, done: u64) {
        self.done += done;
        self.counter.set(self.done);
    }

    /// Does one thing and notes how long it took. Reading the clock twice costs some 40 ns, so this
    /// is for things that take a sync.
    pub(crate) fn timed(&mut self, thing: impl FnOnce() -> Result<()>) -> Result<()> {
        let started = Instant::now();
        thing()?;
        self.took(started.elapsed());
        self.count(1);
        Ok(())
    }

    /// Notes how long something took.
    pub(crate) fn took(&mut self, time: Duration) {
        if self.measuring.load(Ordering::Relaxed)
            && let Some(latencies) = &mut self.latencies
        {
            latencies.saturating_record(time.as_nanos() as u64);
        }
    }
}

/// Runs `body` on each of `threads` threads for the time given, and measures. `body` comes back when
/// [`Turn::goes_on`] says no more.
pub(crate) fn measure(
    dir: &Path,
    threads: usize,
    time: Time,
    body: impl Fn(&mut Turn<'_>) -> Result<()> + Sync,
) -> Result<Sample> {
    let stop = AtomicBool::new(false);
    let measuring = AtomicBool::new(false);
    let counters: Vec<Counter> = (0..threads).map(|_| Counter::default()).collect();
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let latencies: Mutex<Option<Histogram<u64>>> = Mutex::new(None);
    let ready = Barrier::new(threads + 1);
    let device = Device::below(dir);

    let mut sample = std::thread::scope(|scope| {
        for (thread, counter) in counters.iter().enumerate() {
            let (stop, measuring, failure, ready) = (&stop, &measuring, &failure, &ready);
            let (body, latencies) = (&body, &latencies);
            scope.spawn(move || {
                let mut turn = Turn {
                    thread,
                    stop,
                    measuring,
                    counter,
                    done: 0,
                    latencies: Histogram::new_with_bounds(1, 60_000_000_000, 3).ok(),
                };
                ready.wait();
                if let Err(error) = body(&mut turn) {
                    let error = error.context(format!("thread {thread} of {threads}"));
                    lock(failure).get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
                merge(&mut lock(latencies), turn.latencies);
            });
        }
        ready.wait();
        std::thread::sleep(time.warm_up);
        let before = Reading::take(&counters, device.as_ref());
        measuring.store(true, Ordering::Relaxed);
        std::thread::sleep(time.measured);
        measuring.store(false, Ordering::Relaxed);
        let after = Reading::take(&counters, device.as_ref());
        stop.store(true, Ordering::Relaxed);
        after.since(&before)
    });
    if let Some(error) = lock(&failure).take() {
        return Err(error);
    }
    if sample.rate <= 0.0 {
        return Err(anyhow!("nothing was done in {:?}", time.measured));
    }
    if let Some(latencies) = lock(&latencies).as_ref().filter(|all| !all.is_empty()) {
        for (name, quantile) in [
            (figure::P50_US, 0.5),
            (figure::P99_US, 0.99),
            (figure::MAX_US, 1.0),
        ] {
            let micros = latencies.value_at_quantile(quantile) as f64 / 1000.0;
            sample.figures.insert(name.to_owned(), micros);
        }
    }
    Ok(sample)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn merge(into: &mut Option<Histogram<u64>>, one: Option<Histogram<u64>>) {
    let Some(one) = one else { return };
    match into {
        // All have the same bounds, which is the only way for this to fail.
        Some(all) => all.add(one).unwrap_or_default(),
        None => *into = Some(one),
    }
}

/// Everything that is counted, at one moment.
#[derive(Debug)]
struct Reading {
    records: u64,
    at: Instant,
    cpu_seconds: f64,
    device: Option<device::Counts>,
}

impl Reading {
    fn take(counters: &[Counter], device: Option<&Device>) -> Reading {
        let device = device.and_then(Device::read);
        let cpu_seconds = cpu_seconds();
        let count = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        Reading {
            records: counters.iter().map(count).sum(),
            at: Instant::now(),
            cpu_seconds,
            device,
        }
    }

    fn since(&self, before: &Reading) -> Sample {
        let records = self.records.saturating_sub(before.records) as f64;
        let mut sample = Sample {
            rate: records / self.at.duration_since(before.at).as_secs_f64(),
            ..Sample::default()
        };
        let mut put = |name: &str, total: f64| {
            if records > 0.0 {
                sample.figures.insert(name.to_owned(), total / records);
            }
        };
        put(
            figure::CPU_US,
            (self.cpu_seconds - before.cpu_seconds) * 1e6,
        );
        if let (Some(after), Some(before)) = (&self.device, &before.device) {
            put(
                figure::DEVICE_IOS,
                after.writes.wrapping_sub(before.writes) as f64,
            );
            let sectors = after.sectors_written.wrapping_sub(before.sectors_written);
            put(figure::DEVICE_KIB, sectors as f64 / 2.0);
            if let (Some(after), Some(before)) = (after.flushes, before.flushes) {
                put(figure::DEVICE_FLUSHES, after.wrapping_sub(before) as f64);
            }
        }
        sample
    }
}

/// Runs `body` once and measures how long it takes for each of `records`.
pub(crate) fn once(records: u64, body: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let cpu_before = cpu_seconds();
    let started = Instant::now();
    body()?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_us = (cpu_seconds() - cpu_before) * 1e6 / records as f64;
    let mut sample = Sample {
        rate: records as f64 / seconds,
        ..Sample::default()
    };
    sample.figures.insert(figure::CPU_US.to_owned(), cpu_us);
    Some(sample)
        .filter(|sample| sample.rate.is_finite())
        .context("the clock stood still")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Time = Time {
        warm_up: Duration::from_millis(5),
        measured: Duration::from_millis(30),
    };

    #[test]
    fn all_threads_count_and_come_back() {
        let sample = measure(Path::new("."), 3, TIME, |turn| {
            while turn.goes_on() {
                turn.timed(|| {
                    std::thread::sleep(Duration::from_millis(1));
                    Ok(())
                })?;
            }
            Ok(())
        })
        .unwrap();
        assert!(sample.rate > 0.0 && sample.rate <= 3100.0, "{sample:?}");
        assert!(sample.figures[figure::P50_US] >= 1000.0, "{sample:?}");
        assert!(sample.figures[figure::P99_US] >= sample.figures[figure::P50_US]);
    }

    #[test]
    fn an_error_of_one_thread_ends_the_run() {
        let error = measure(Path::new("."), 2, TIME, |turn| {
            if turn.thread == 1 {
                return Err(anyhow!("broken on purpose"));
            }
            while turn.goes_on() {
                std::thread::sleep(Duration::from_millis(1));
                turn.count(1);
            }
            Ok(())
        })
        .unwrap_err();
        assert!(
            format!("{error:#}").contains("broken on purpose"),
            "{error:#}"
        );
    }

    #[test]
    fn a_run_that_does_nothing_is_an_error() {
        assert!(measure(Path::new("."), 1, TIME, |_| Ok(())).is_err());
    }
}
