//! The engine's promises, one file each; `support` is the world that they share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]
#![allow(unreachable_pub, reason = "one binary, no library")]

mod attack;
mod backup;
mod caches;
mod crash_points;
mod data_store_lost;
mod exactly_once;
mod faults;
mod gate;
mod house;
mod linearizable;
mod merges;
mod observing;
mod open_modes;
mod real_faults;
mod rolled_back;
mod security;
mod snapshots;
mod stress;
mod submit;
mod submit_taking;
mod support;
mod threads;
mod versions;
mod views;
mod while_copied;
