//! What a real kernel can do to a storage process: calls that it forbids, limits that it sets, a file system that
//! turns read-only, a second process, a copied directory, a clock that goes back.
//!
//! The store runs in a child process that does what it is told line by line (`child`), so that a limit, a filter of
//! system calls or a signal hits it and not the runner. What is demanded of each fault: a typed answer, nothing lost
//! that was acknowledged, and work goes on when the cause is gone. The table of all faults, with those that are tested
//! elsewhere, is in docs/RELIABILITY.md. Where a fault cannot be made here the test says so and passes; with
//! `TORRENS_NO_SKIP` it fails.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]

mod calls;
mod child;
mod clock;
mod directories;
mod limits;
mod read_only;

/// What a child process runs; by itself it does nothing.
#[test]
fn child_process() {
    child::serve();
}
