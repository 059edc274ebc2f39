//! Faults of real file systems and a real kernel: full, failing, shut down, cut and read-only ones.
//!
//! Each test makes a small file system of its own in a file and mounts it through a loop device, which
//! needs root; where that is not allowed it says so and passes (`skip`). The journal runs in a child
//! process, so that a signal that kills it (SIGBUS, SIGXFSZ) fails the test and not the runner.
//!
//! Not here: power cuts at every moment and every subset of sectors (`promises`, on the simulated
//! disk). What is asked here is whether real kernels do what the simulated disk takes them to do.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test that calls them"
)]

mod child;
mod file_size_limit;
mod full;
mod overlapping;
mod place;
mod power_cut;
mod read_only;
mod sigbus;
#[path = "../promises/support.rs"]
#[expect(dead_code, reason = "shared with the tests on the simulated disk")]
mod support;
mod sync_failure;

/// What a child process runs; by itself it does nothing.
#[test]
fn child_process() {
    child::serve();
}
