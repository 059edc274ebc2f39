//! Looks at the directory, one at a time and only when somebody asks: all who ask at once share one.
//!
//! A look that takes long is shown for longer, so that looking never takes more than a fifth of one core.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use torrens::inspector::{Inspector, KeyForm};

use crate::exit::{Exit, Failure};
use crate::look;
use crate::progress::{self, ProgressWhen};
use crate::report::gather::{Scope, gather};
use crate::report::model::Report;

/// How long a client waits for a look before it gets the last one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer a look is shown than it took.
const REST: u32 = 4;

/// What one look found.
pub(super) struct Taken {
    /// The report, or why there is none.
    pub(super) outcome: Result<Report, Failure>,
    /// How long it took.
    pub(super) took: Duration,
    /// When it ended.
    pub(super) ended: Instant,
}

#[derive(Default)]
struct State {
    latest: Option<Arc<Taken>>,
    is_asked: bool,
    looks: u64,
    failures: u64,
}

/// The looks at one directory.
pub(super) struct Looks {
    path: PathBuf,
    keys: KeyForm,
    fresh_for: Duration,
    state: Mutex<State>,
    asked: Condvar,
    ended: Condvar,
}

impl Looks {
    /// None was taken yet; each is shown for `fresh_for` at least.
    pub(super) fn new(path: PathBuf, keys: KeyForm, fresh_for: Duration) -> Looks {
        Looks {
            path,
            keys,
            fresh_for,
            state: Mutex::new(State::default()),
            asked: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Takes looks, whenever one is asked for. Never returns.
    pub(super) fn take_when_asked(&self) {
        loop {
            let mut state = self.state.lock();
            while !state.is_asked {
                self.asked.wait(&mut state);
            }
            state.is_asked = false;
            drop(state);
            let taken = Arc::new(self.take());
            let mut state = self.state.lock();
            state.looks += 1;
            state.failures += u64::from(taken.outcome.is_err());
            state.latest = Some(taken);
            self.ended.notify_all();
        }
    }

    /// The last look, or a new one if that is too old; none if the first takes too long.
    pub(super) fn latest(&self) -> Option<Arc<Taken>> {
        let mut state = self.state.lock();
        let until = Instant::now() + PATIENCE;
        let seen = state.looks;
        loop {
            if let Some(taken) = &state.latest
                && (state.looks > seen || self.is_fresh(taken))
            {
                return Some(Arc::clone(taken));
            }
            state.is_asked = true;
            self.asked.notify_one();
            if self.ended.wait_until(&mut state, until).timed_out() {
                return state.latest.clone();
            }
        }
    }

    /// Looks that were taken, and those of them that found nothing to show.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.looks, state.failures)
    }

    fn is_fresh(&self, taken: &Taken) -> bool {
        taken.ended.elapsed() < self.fresh_for.max(taken.took.saturating_mul(REST))
    }

    fn take(&self) -> Taken {
        let began = Instant::now();
        // Whoever watches a store must not end because of what lies in its directory.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.look())).unwrap_or_else(|_| {
            Err(Failure {
                code: "internal",
                message: "the tool itself failed at this look".to_owned(),
                hint: None,
                exit: Exit::UNREADABLE,
            })
        });
        let ended = Instant::now();
        Taken {
            outcome,
            took: ended.duration_since(began),
            ended,
        }
    }

    fn look(&self) -> Result<Report, Failure> {
        let inspector = Inspector::open(&self.path).map_err(look::failure)?;
        let inspector = inspector.watched(progress::watch(ProgressWhen::Never));
        let (report, _) =
            gather(&inspector, &self.keys, &Scope::default()).map_err(look::failure)?;
        Ok(report)
    }
}
