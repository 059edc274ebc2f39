//! The journal's two threads: one syncs for those who do not wait, one prepares segments ahead.
//!
//! Neither is needed for anything to be right. Where a disk does not allow threads, or none can be
//! started, syncs happen when somebody waits and segments are prepared when one is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::MarkError;
use crate::lsn::Lsn;
use crate::writer::Inner;
use crate::writer::append::wants_spare;
use crate::writer::marks::Effort;
use crate::writer::park::{Wake, Word};
use crate::writer::state::State;

/// The thread sleeps, or is about to.
const ASLEEP: u32 = 0;
/// Somebody wants it to look.
const NUDGED: u32 = 1;

/// How one thread of the journal is woken and ended.
#[derive(Debug, Default)]
pub(super) struct Bell {
    word: Word,
    stop: AtomicBool,
    exists: AtomicBool,
    /// It sleeps for long, because there was nothing to do.
    dozes: AtomicBool,
}

/// How long the thread sleeps when there is nothing to do. It is woken by whatever happens; should
/// that cross with its falling asleep, this is what a record waits that nobody waits for.
const DOZE: Duration = Duration::from_secs(1);

impl Bell {
    /// Whether there is a thread that hears it.
    pub(super) fn is_heard(&self) -> bool {
        self.exists.load(Ordering::Acquire)
    }

    /// Makes the thread look. Cheap when it looks anyway.
    pub(super) fn nudge(&self) {
        if self.word.get() != NUDGED && self.is_heard() {
            self.word.set(NUDGED, Wake::One);
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.word.set(NUDGED, Wake::One);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Takes the nudges so far: what is looked at afterwards is as new as they are.
    fn listen(&self) {
        self.word.set(ASLEEP, Wake::One);
    }

    /// Sleeps until the next nudge since [`Bell::listen`], at most `timeout`.
    fn sleep(&self, timeout: Option<Duration>) {
        self.word.sleep_while(ASLEEP, timeout);
    }

    /// Sleeps for long, and says so first. Not at all if there `is_work` by then.
    fn doze(&self, is_work: impl Fn() -> bool) {
        self.dozes.store(true, Ordering::SeqCst);
        if !is_work() {
            self.sleep(Some(DOZE));
        }
        self.dozes.store(false, Ordering::SeqCst);
    }
}

/// The threads of one open journal.
#[derive(Debug, Default)]
pub(super) struct Workers {
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(super) fn start(inner: &Arc<Inner>) -> Workers {
        let workers = Workers::default();
        if inner.workshop.disk.allows_threads() {
            let mut threads = workers.threads.lock();
            threads.extend(spawn(
                "torrens-sync",
                inner,
                |inner| &inner.flusher,
                Inner::flush_loop,
            ));
            threads.extend(spawn(
                "torrens-prep",
                inner,
                |inner| &inner.preparer,
                Inner::prepare_loop,
            ));
        }
        workers
    }

    /// Ends the threads and waits for them, unless the caller is one of them.
    pub(super) fn stop(&self, inner: &Inner) {
        inner.flusher.stop();
        inner.preparer.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // The last handle may be dropped in a callback.
            if thread.thread().id() != std::thread::current().id() {
                // A panic of the thread has been printed; there is nothing to add to it here.
                let _ = thread.join();
            }
        }
    }
}

/// Starts a thread, if the system allows one more.
fn spawn(
    name: &str,
    inner: &Arc<Inner>,
    bell: fn(&Inner) -> &Bell,
    run: fn(&Inner),
) -> Option<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    let shared = Arc::clone(inner);
    bell(inner).exists.store(true, Ordering::Release);
    let spawned = builder.spawn(move || {
        run(&shared);
        bell(&shared).exists.store(false, Ordering::Release);
    });
    if spawned.is_err() {
        bell(inner).exists.store(false, Ordering::Release);
    }
    spawned.ok()
}

impl Inner {
    pub(super) fn has_flusher(&self) -> bool {
        self.flusher.is_heard()
    }

    pub(super) fn nudge_flusher(&self) {
        self.flusher.nudge();
    }

    /// Syncs while somebody holds a ticket, tells them, marks when it is quiet.
    fn flush_loop(&self) {
        let mut seen = Seen::default();
        loop {
            self.flusher.listen();
            let stopped = self.flusher.is_stopped();
            self.serve();
            if stopped {
                return;
            }
            if self.completions.wanted_durable() > self.synced() && !self.is_ended() {
                continue;
            }
            match self.idle(&mut seen) {
                Some(pause) => self.flusher.sleep(Some(pause)),
                None => self.flusher.doze(|| self.appended() > seen.appended),
            }
        }
    }

    /// Something happened that a dozing thread should know of.
    pub(super) fn wake_from_doze(&self) {
        if self.flusher.dozes.load(Ordering::Relaxed) {
            self.flusher.nudge();
        }
    }

    /// One round of what tickets ask for.
    fn serve(&self) {
        if self.completions.wanted_durable() > self.synced() || self.has_much_waiting() {
            // Who asked hears of a failure below.
            let _ = self.commit(self.appended());
        }
        if self.completions.wanted_witnessed() > self.witnessed() {
            let reached = self.synced();
            match self.put_mark(Effort::Synced) {
                Ok(()) | Err(MarkError::Poisoned(_) | MarkError::Closed) => {}
                Err(error) => self.refuse_witnesses(reached, &Arc::new(error)),
            }
        }
        self.run_completions();
    }

    fn is_ended(&self) -> bool {
        let state = self.state.lock();
        state.poison.is_some() || state.closed
    }

    /// What is done when nobody asks: records that nobody waits for are synced after a while, and
    /// when nothing moved for a while, a mark says how far all is durable. Gives the time until the
    /// next look; `None` if there is nothing left to do.
    fn idle(&self, seen: &mut Seen) -> Option<Duration> {
        if self.is_ended() {
            // What was appended and is lost is no reason to look again.
            seen.appended = self.appended();
            return None;
        }
        let pause = self.options.get_idle();
        let now = Seen {
            appended: self.appended(),
            synced: self.synced(),
        };
        let is_quiet = now == *seen;
        *seen = now;
        if now.appended > now.synced {
            if is_quiet {
                let _ = self.commit(now.appended);
            }
            return Some(pause);
        }
        if now.synced > self.witnessed() {
            if is_quiet && self.put_mark(Effort::Synced).is_err() {
                // The next sync is the next occasion.
                return None;
            }
            return Some(pause);
        }
        None
    }

    /// Prepares segments as long as fewer wait than should.
    fn prepare_loop(&self) {
        loop {
            self.preparer.listen();
            if self.preparer.is_stopped() {
                return;
            }
            // A full disk is told to the append that needs the segment, and tried again then.
            let ahead = self.options.get_segments_ahead();
            let wanted = |state: &State| wants_spare(state, ahead);
            if self.wants_spare() && self.prepare_spare(wanted).is_ok() {
                continue;
            }
            self.preparer.sleep(None);
        }
    }
}

/// Positions at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    appended: Lsn,
    synced: Lsn,
}
