//! Rows from samples.

use super::BATCHES;
use super::bars;
use super::work::figure;
use crate::compare::{Comparison, Judged};
use crate::job::figure as job;
use crate::rounds::{Outcome, Series};
use crate::row::Row;
use crate::stats;

/// What comes out of the runs that read: the benchmark, Torrens' figure, the peers' figure.
const OF_READS: [(&str, &str, &str); 5] = [
    ("data.cached_get", figure::CACHED_GET, figure::GET),
    ("data.cached_scan", figure::CACHED_SCAN, figure::SCAN),
    ("data.load", figure::LOAD, figure::ITERATE),
    ("data.get", figure::GET, figure::GET),
    ("data.scan", figure::SCAN, figure::SCAN),
];

/// Everything that one run of reads is good for.
pub(super) const READS: [&str; 6] = [
    "data.cached_get",
    "data.cached_scan",
    "data.load",
    "data.get",
    "data.scan",
    "data.memory",
];

/// A benchmark's name for each size of a batch.
pub(super) fn by_batch(bench: &str) -> Vec<String> {
    BATCHES
        .iter()
        .map(|rows| format!("{bench}.{rows}"))
        .collect()
}

/// The rows of one cell.
pub(super) fn rows(outcome: &Outcome) -> Vec<Row> {
    let Some((torrens, _)) = outcome.best("torrens") else {
        return Vec::new();
    };
    let peers: Vec<(&str, &Series)> = outcome
        .columns()
        .into_iter()
        .filter(|column| *column != "torrens")
        .filter_map(|column| Some((column, outcome.best(column)?.0)))
        .collect();
    match outcome.bench {
        "data.read" => {
            let compared = OF_READS.iter().flat_map(|(bench, ours, theirs)| {
                let all = peers.iter();
                all.map(|(peer, series)| {
                    compare((bench, 1), (torrens, ours), (peer, series, theirs))
                })
            });
            compared.chain([memory(torrens)]).collect()
        }
        "data.write" => {
            let by_size = BATCHES.iter().zip(by_batch("data.write"));
            let compared = by_size.flat_map(|(rows, bench)| {
                let key = figure::of_batch(figure::WRITE, *rows);
                let all = peers.iter();
                let rows = all.map(move |(peer, series)| {
                    let bench = (bench.as_str(), outcome.threads);
                    compare(bench, (torrens, &key), (peer, series, &key))
                });
                rows.collect::<Vec<_>>()
            });
            compared.collect()
        }
        "data.cached_write" => {
            let by_size = BATCHES.iter().zip(by_batch("data.cached_write"));
            by_size
                .map(|(rows, bench)| cost(&bench, torrens, *rows))
                .collect()
        }
        bench => peers
            .iter()
            .map(|(peer, series)| {
                let name = match bench {
                    "data.write_p99" => job::P99_US,
                    "data.open" => job::SECONDS,
                    _ => figure::RATE,
                };
                let mut row = compare((bench, 1), (torrens, name), (peer, series, name));
                if bench == "data.write_p99" {
                    for (key, name) in [("p50_us", job::P50_US), ("max_us", job::MAX_US)] {
                        row.number(key, torrens.figure(name));
                        row.number(format!("peer_{key}"), series.figure(name));
                    }
                }
                row
            })
            .collect(),
    }
}

fn values(series: &Series, name: &str) -> Vec<Option<f64>> {
    match name {
        figure::RATE => series.rates(),
        _ => series.values(|run| run.figures.get(name).copied()),
    }
}

fn median(values: &[Option<f64>]) -> Option<f64> {
    stats::median(values.iter().copied().flatten())
}

/// One figure beside a peer's of the same rounds.
fn compare(
    (bench, threads): (&str, usize),
    (torrens, ours): (&Series, &str),
    (peer, series, theirs): (&str, &Series, &str),
) -> Row {
    let (ours, theirs) = (values(torrens, ours), values(series, theirs));
    let comparison = Comparison {
        bench: bench.to_owned(),
        threads,
        torrens: median(&ours),
        peer: peer.to_owned(),
        peer_value: median(&theirs),
        judged: Judged::Ratio(stats::ratio(&ours, &theirs)),
        bar: bars::bar(bench, peer),
        better: bars::better(bench),
    };
    let mut row = comparison.row();
    row.number("rounds", Some(ours.iter().flatten().count() as f64));
    row
}

/// Time that a write takes with a region in memory over the time without.
fn cost(bench: &str, torrens: &Series, rows: usize) -> Row {
    let figure = |name| values(torrens, &figure::of_batch(name, rows));
    let (cached, uncached) = (figure(figure::CACHED_WRITE), figure(figure::UNCACHED_WRITE));
    let comparison = Comparison {
        bench: bench.to_owned(),
        threads: 1,
        torrens: median(&cached),
        peer: "uncached".to_owned(),
        peer_value: median(&uncached),
        judged: Judged::Value(median(&figure(figure::WRITE_COST))),
        bar: bars::bar(bench, "uncached"),
        better: bars::better(bench),
    };
    let mut row = comparison.row();
    for (key, name) in [
        ("cpu_us_per_row", figure::CACHED_WRITE_CPU),
        ("cpu_us_per_row_uncached", figure::UNCACHED_WRITE_CPU),
    ] {
        row.number(key, median(&figure(name)));
    }
    row.number("rounds", Some(cached.iter().flatten().count() as f64));
    row
}

fn memory(torrens: &Series) -> Row {
    let bytes = |name| median(&values(torrens, name));
    let (taken, logical) = (bytes(figure::MEMORY), bytes(figure::LOGICAL));
    let comparison = Comparison {
        bench: "data.memory".to_owned(),
        threads: 1,
        torrens: taken,
        peer: "logical".to_owned(),
        peer_value: logical,
        judged: Judged::Value(taken.zip(logical).map(|(taken, logical)| taken / logical)),
        bar: bars::bar("data.memory", "logical"),
        better: bars::better("data.memory"),
    };
    let mut row = comparison.row();
    // What the process grew by when the region was loaded, allocator and all.
    row.number("resident_bytes", bytes(figure::RESIDENT));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::tests::outcome;

    #[test]
    fn every_bar_is_for_a_benchmark_that_runs() {
        let mut benches: Vec<String> = READS.map(str::to_owned).into();
        benches.extend(by_batch("data.cached_write"));
        benches.push("data.snapshot".to_owned());
        for (bench, ..) in bars::BARS {
            assert!(benches.iter().any(|each| each == bench), "{bench}");
        }
    }

    #[test]
    fn a_snapshot_is_compared_with_the_better_way_to_copy() {
        let outcome = outcome(
            "data.snapshot",
            1,
            &[
                ("torrens", "default", &[60.0, 6.0]),
                ("sled", "insert", &[50.0, 5.0]),
                ("sled", "batch", &[100.0, 10.0]),
            ],
        );
        let rows: Vec<String> = rows(&outcome).iter().map(Row::to_string).collect();
        assert_eq!(
            rows,
            [
                r#"{"bench":"data.snapshot","threads":1,"torrens":33.0,"peer":"sled","peer_value":55.0,"ratio":0.6,"bar":0.5,"better":"higher","met":true,"rounds":2.0}"#
            ]
        );
    }
}
