//! `Watch`: how far a look is, told to whoever waits for it, who may stop it.
//!
//! Not here: how progress is shown (the tool).

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

type Tell = dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync;

/// Is told how far a look is, and may stop it. Without a function nobody is told anything.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Tell>>);

impl Watch {
    /// Calls `tell` now and then with the bytes read so far and in all; a break stops the look.
    pub fn new(tell: impl Fn(u64, u64) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Watch(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        match &self.0 {
            Some(tell) => tell(done_bytes, total_bytes),
            None => ControlFlow::Continue(()),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Watch(told)"
        } else {
            "Watch"
        })
    }
}
