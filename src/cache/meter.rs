//! `CacheMeter`: bytes that cached regions take, for quotas and metrics.
//!
//! Whatever holds memory owns a [`Charge`] for it, which goes back to the meter when its owner is
//! dropped, so the meter is right by construction: without cached regions and readers it is zero.

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

    /// Adds `bytes` until the answer is dropped.
    pub(super) fn charge(&self, bytes: u64) -> Charge {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            meter: self.clone(),
            bytes,
        }
    }
}

/// Bytes that count on a meter as long as this lives.
#[derive(Debug)]
pub(super) struct Charge {
    meter: CacheMeter,
    bytes: u64,
}

impl Charge {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
