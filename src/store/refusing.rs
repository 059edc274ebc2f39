//! `Refusing`: calls into a store's own code, with its panics caught; a store that panicked or failed
//! to write is refused for good.
//!
//! Not here: any store.

use std::sync::OnceLock;

use super::StoreError;
use super::panic_guard::catch;

/// What failed first, if anything has.
#[derive(Debug, Default)]
pub(super) struct Refusing {
    first: OnceLock<(&'static str, String)>,
}

impl Refusing {
    /// An error if the store is refused.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.first.get() {
            None => Ok(()),
            Some((operation, reason)) => Err(StoreError::Refused {
                operation,
                reason: reason.clone(),
            }),
        }
    }

    /// Runs a store's own code. A panic in it refuses the store, and so does an error if it `writes`.
    pub(super) fn run<T>(
        &self,
        operation: &'static str,
        writes: bool,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check()?;
        let (error, fatal) = match catch(work) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (error, writes),
            Err(message) => (StoreError::Panicked { operation, message }, true),
        };
        if fatal {
            self.refuse(operation, &error);
        }
        Err(error)
    }

    /// Refuses the store for good.
    pub(super) fn refuse(&self, operation: &'static str, error: &StoreError) {
        let reason = match error {
            StoreError::Io { source, .. } => source.to_string(),
            error => error.to_string(),
        };
        // Whoever failed first stays the reason.
        let _ = self.first.set((operation, reason));
    }
}
