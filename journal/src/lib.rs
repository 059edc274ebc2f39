//! torrens-journal
#![warn(missing_docs)]
pub mod disk;
mod lsn;
pub use lsn::Lsn;
