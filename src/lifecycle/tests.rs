//! The machine held to a second, hand-written table, to worked epochs, to the sequences of events
//! that broke other systems, and to random histories.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one variant"
)]

mod apply_strict;
mod cache_overlap;
mod cache_table;
mod cases;
mod epochs;
mod gate_table;
mod histories;
mod merges;
mod observers;
mod observing;
mod orders;
mod reservations;
mod stage_table;
pub(crate) mod world;

pub(crate) use histories::history;
