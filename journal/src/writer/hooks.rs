//! `SyncHooks`: what the owner of a journal does around its syncs, on the thread that leads one.
//!
//! An owner that builds a picture of what the records mean needs one picture for each sync, the one behind
//! its last record, and not one for each record. Which record that is, only the thread knows that seals the
//! group. Not here: when syncs happen (`commit`).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use crate::lsn::Lsn;
use crate::writer::Inner;

/// What the owner of a journal does around each sync.
///
/// Both are called on whichever thread leads the sync. That may be one that appends: a full segment or a
/// journal without threads has records written while they come. So an owner that appends under a lock which
/// [`SyncHooks::seal`] takes appends with [`Journal::append_ahead`](crate::Journal::append_ahead), and calls
/// [`Journal::relieve`](crate::Journal::relieve) without the lock.
pub trait SyncHooks: Send + Sync {
    /// Calls `seal` once, which decides that the sync covers everything appended up to then. It may take
    /// the lock under which the owner appends, and hold it meanwhile: then nothing is appended between what
    /// it did before and the seal. It must not append, sync or wait for a record. It may be called again for
    /// the same sync.
    fn seal(&self, seal: &mut dyn FnMut());

    /// Everything up to `lsn` is durable. Called before anybody who waits for a record of that sync goes on,
    /// so it must be short, and must not wait for a record. A panic in it is counted as one of a callback.
    /// Of two syncs in flight the later may call first.
    fn durable(&self, lsn: Lsn);
}

/// The owner's hooks, set once.
#[derive(Default)]
pub(super) struct Hooks(OnceLock<Arc<dyn SyncHooks>>);

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_set = self.0.get().is_some();
        f.debug_tuple("Hooks").field(&is_set).finish()
    }
}

impl Hooks {
    pub(super) fn set(&self, hooks: Arc<dyn SyncHooks>) -> bool {
        self.0.set(hooks).is_ok()
    }

    pub(super) fn get(&self) -> Option<&Arc<dyn SyncHooks>> {
        self.0.get()
    }
}

impl Inner {
    /// Tells the owner what is durable.
    pub(super) fn tell_owner(&self, lsn: Lsn) {
        let Some(hooks) = self.hooks.get() else {
            return;
        };
        // It is not ours, and must take nobody with it who waits for the sync.
        if catch_unwind(AssertUnwindSafe(|| hooks.durable(lsn))).is_err() {
            self.state.lock().stats.callback_panics += 1;
        }
    }
}
