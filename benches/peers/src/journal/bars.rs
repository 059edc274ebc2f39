//! What each figure of the suite must reach.

use crate::bar::{Bar, Better};

const fn at_least(
    bench: &'static str,
    threads: &'static [usize],
    key: &'static str,
    value: f64,
) -> Bar {
    Bar {
        bench,
        threads,
        key,
        value,
        better: Better::Higher,
    }
}

/// Device operations equal those of raw; the disk's counters hold what others wrote meanwhile too,
/// hence a twentieth more.
const fn at_most(key: &'static str) -> Bar {
    Bar {
        bench: "journal.durable",
        threads: &[1],
        key,
        value: 1.05,
        better: Better::Lower,
    }
}

pub(super) const BARS: &[Bar] = &[
    at_least("journal.durable", &[1], "ratio_raw", 0.95),
    at_least("journal.durable", &[1], "ratio_raft_engine", 0.95),
    at_least("journal.durable", &[4], "ratio_raft_engine", 1.5),
    at_least("journal.durable", &[16], "ratio_raft_engine", 1.8),
    at_least("journal.durable", &[64], "ratio_raft_engine", 2.2),
    at_most("device_ios_over_raw"),
    at_most("device_kib_over_raw"),
    at_least("journal.ticket", &[1], "ratio_raft_engine", 25.0),
    at_least("journal.buffered", &[1, 4], "ratio_raft_engine", 10.0),
    at_least("journal.replay", &[1], "ratio_raft_engine", 10.0),
    at_least("journal.replay", &[1], "ratio_okaywal", 2.5),
];
