//! The promises of recovery, on a simulated disk. One binary, one room per promise.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that slices out of bounds fails, as it should"
)]

mod applying;
mod checkpoints;
mod crash_points;
mod damage;
mod every_subset;
mod forged;
mod host;
mod live;
mod odd;
mod reading_ahead;
mod refusals;
mod repairing;
mod resolving;
mod tally;
mod torn_tail;
mod walking;
