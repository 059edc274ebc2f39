//! What each figure of the suite must reach.

use crate::bar::Better;

/// The bar of a benchmark against a peer; `None` if it has none.
pub(super) fn bar(bench: &str, peer: &str) -> Option<f64> {
    let bar = BARS
        .iter()
        .find(|(of, against, _)| *of == bench && *against == peer);
    bar.map(|(.., value)| *value)
}

/// Which way a benchmark's figure is better.
pub(super) fn better(bench: &str) -> Better {
    let is_cost = ["data.memory", "data.write_p99", "data.open"].contains(&bench)
        || bench.starts_with("data.cached_write");
    if is_cost {
        Better::Lower
    } else {
        Better::Higher
    }
}

pub(super) const BARS: &[(&str, &str, f64)] = &[
    ("data.cached_get", "sled", 5.0),
    ("data.cached_get", "redb", 2.0),
    ("data.cached_scan", "sled", 15.0),
    ("data.cached_scan", "redb", 2.0),
    ("data.load", "sled", 0.5),
    ("data.memory", "logical", 1.5),
    ("data.cached_write.1", "uncached", 1.15),
    ("data.cached_write.10", "uncached", 1.15),
    ("data.cached_write.100", "uncached", 1.15),
    ("data.snapshot", "sled", 0.5),
];
