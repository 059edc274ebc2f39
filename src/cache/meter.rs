//! `CacheMeter`: bytes that cached regions take, for quotas and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sum of what the cached regions that were made with it take. Clones are the same meter.
#[derive(Clone, Debug, Default)]
pub struct CacheMeter(Arc<AtomicU64>);

impl CacheMeter {
    /// A meter at zero.
    pub fn new() -> Self {
        CacheMeter::default()
    }

    /// Bytes of keys, values and what holds them.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
