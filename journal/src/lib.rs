//! torrens-journal
#![warn(missing_docs)]
pub mod disk;
mod lsn;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub use lsn::Lsn;
