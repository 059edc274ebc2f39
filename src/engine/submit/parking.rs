//! `Parking`: submitted transitions that wait for a barrier, and the thread that has it come about.
//!
//! A split of a region that was written to needs a barrier before its record, and a barrier takes as long as
//! the data store's flush. The thread that submitted it goes on; the region waits: its latch stays with the
//! transition, so whatever comes after it waits for it. All that are parked at one moment share a barrier and
//! a sync.
//!
//! Without background threads nothing is parked, and `submit` waits itself. Not here: what is carried out
//! (`super`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use torrens_journal::Lsn;

use super::super::core::Core;
use super::super::latch::RegionLatches;
use super::Submission;
use super::told::{Lost, Told};

/// A transition that waits, with the latches of its regions.
pub(super) struct Parked {
    pub(super) latches: RegionLatches,
    pub(super) submission: Submission,
    pub(super) told: Arc<Told>,
    /// Since when.
    pub(super) since: Instant,
}

/// Those that wait.
#[derive(Default)]
pub(in crate::engine) struct Parking {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Parked>,
    /// There is a thread that carries them out.
    is_served: bool,
    /// It is doing so.
    is_busy: bool,
}

impl std::fmt::Debug for Parking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.state.lock().waiting.len();
        f.debug_struct("Parking")
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl Parking {
    /// Leaves a transition to the thread; gives it back if there is none.
    pub(super) fn park(&self, parked: Parked) -> Option<Parked> {
        let mut state = self.state.lock();
        if !state.is_served {
            return Some(parked);
        }
        state.waiting.push_back(parked);
        self.changed.notify_all();
        None
    }

    /// From now on there is a thread.
    pub(in crate::engine) fn serve(&self) {
        self.state.lock().is_served = true;
    }

    /// Ends the thread, if there is one. What waits is not carried out.
    pub(in crate::engine) fn stop(&self) {
        let mut state = self.state.lock();
        state.is_served = false;
        let waiting = std::mem::take(&mut state.waiting);
        self.changed.notify_all();
        drop(state);
        for parked in waiting {
            parked.told.complete(Err(Lost::Closed));
        }
    }

    /// Waits until nothing is parked.
    pub(in crate::engine) fn wait_empty(&self) {
        let mut state = self.state.lock();
        while state.is_busy || !state.waiting.is_empty() {
            self.changed.wait(&mut state);
        }
    }

    /// Everything that waits, as soon as there is something; none once the thread is to end.
    fn take(&self) -> Option<VecDeque<Parked>> {
        let mut state = self.state.lock();
        state.is_busy = false;
        self.changed.notify_all();
        while state.is_served && state.waiting.is_empty() {
            self.changed.wait(&mut state);
        }
        if !state.is_served {
            return None;
        }
        state.is_busy = true;
        Some(std::mem::take(&mut state.waiting))
    }
}

/// Whoever is parked must not wait for a thread that is gone, however it went.
struct Gone<'a>(&'a Parking);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.stop();
        self.0.state.lock().is_busy = false;
        self.0.changed.notify_all();
    }
}

/// The thread's life.
pub(in crate::engine) fn run(core: &Arc<Core>) {
    let _gone = Gone(&core.parking);
    while let Some(parked) = core.parking.take() {
        let mut last = Lsn::ZERO;
        for Parked {
            latches,
            submission,
            told,
            since,
        } in parked
        {
            match core.undertake(submission, Some(since)) {
                Ok(underway) => {
                    last = last.max(underway.basis);
                    let latches = underway.keeping(latches);
                    Told::complete_when_durable(&told, core, underway, latches);
                }
                Err(error) => told.complete(Err(Lost::from(error))),
            }
        }
        // Those who are told hear of a failure.
        let _ = core.wait_durable(last);
    }
}
