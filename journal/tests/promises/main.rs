//! What the journal promises, through its public API only: one file per promise.
//!
//! The walker in `support` stands in for recovery. It is deliberately plain: it takes groups while
//! they follow each other and stops at the first that does not.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test that calls them"
)]

mod bit_flips;
mod crash_points;
mod enumeration;
mod faults;
mod following;
mod golden;
mod golden_dirs;
mod group_commit;
mod hooks;
mod large;
mod pins;
mod positions;
mod reading;
mod recycling;
mod resume;
mod rotation;
mod support;
mod tailing;
mod tickets;
mod writers;
