//! The simulated disk, for tests of this crate and of everything above it (feature `testing`).
//!
//! Nothing here is used by a storage process.

pub use crate::disk::sim::{
    CutChoice, SimDisk, SimError, SimFault, SimHold, SimOp, SimWatch, Unsynced,
};
pub use crate::group::mend;

/// Says that a test cannot run here and why; the caller returns then. Where nothing may be skipped
/// (the environment variable `TORRENS_NO_SKIP` is set), that is a failure.
///
/// # Panics
/// If the variable is set.
#[expect(
    clippy::print_stderr,
    reason = "a skipped test must be seen to be skipped"
)]
pub fn skip(test: &str, reason: impl std::fmt::Display) {
    assert!(
        std::env::var_os("TORRENS_NO_SKIP").is_none(),
        "{test} cannot run here: {reason}"
    );
    eprintln!("SKIPPED {test}: {reason}");
}
