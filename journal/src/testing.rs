//! The simulated disk, for tests of this crate and of everything above it (feature `testing`).
//!
//! Nothing here is used by a storage process.

pub use crate::group::mend;
pub use crate::disk::sim::{CutChoice, SimDisk, SimError, SimFault, SimOp, Unsynced};
