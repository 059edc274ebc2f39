//! `METRICS`: every number that Torrens gives to a monitoring system, once, with its kind, unit, labels and
//! meaning.
//!
//! Two programs give them. The process that embeds the engine gives what the engine counts, through the
//! facade of the crate `metrics` (feature `metrics`); names begin with `torrens_engine_`. `torrens serve`
//! gives what a look at the directory from outside shows. No series is of a region, a peer, a key or an
//! observer: how many there are does not grow with the store.
//!
//! Names, kinds, units and labels are stable. Tests compare the list with what is given and with
//! docs/OBSERVABILITY.md, both ways. Not here: the counting (`engine::counting`), the giving
//! (`engine::export`, and the tool's `serve`).

mod engine;
mod tool;

pub use engine::ENGINE;
pub use tool::TOOL;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Many values, of which a monitoring system keeps the distribution.
    Histogram,
}

impl MetricKind {
    /// The name in the text format of Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// Who gives a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricSource {
    /// The process that embeds the engine, through the facade `metrics`.
    Engine,
    /// `torrens serve`, from outside.
    Tool,
}

/// One number, or one for each value of its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, which is stable.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it counts: `seconds`, `bytes`, or the plural of a thing. Sums of times are counters of
    /// microseconds, since a counter of the facade is a whole number.
    pub unit: &'static str,
    /// Its label, if it has one. Each has a bounded number of values.
    pub label: Option<&'static str>,
    /// What it says, as a sentence.
    pub meaning: &'static str,
    /// Who gives it.
    pub source: MetricSource,
}

/// A row of a table: name, kind, unit, label (empty for none), meaning.
type Row = (
    &'static str,
    MetricKind,
    &'static str,
    &'static str,
    &'static str,
);

const fn row(source: MetricSource, (name, kind, unit, label, meaning): Row) -> Metric {
    let label = if label.is_empty() { None } else { Some(label) };
    Metric {
        name,
        kind,
        unit,
        label,
        meaning,
        source,
    }
}

/// A table as metrics.
const fn rows<const N: usize>(source: MetricSource, table: [Row; N]) -> [Metric; N] {
    let mut metrics = [row(source, ("", MetricKind::Gauge, "", "", "")); N];
    let mut at = 0;
    while at < N {
        #[expect(
            clippy::indexing_slicing,
            reason = "constant, and below the length of both"
        )]
        {
            metrics[at] = row(source, table[at]);
        }
        at += 1;
    }
    metrics
}

/// Every metric, those of the engine first.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    ENGINE.iter().chain(TOOL)
}

/// The metric of that name.
pub fn find(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_none_is_there_twice() {
        let mut seen = BTreeSet::new();
        for metric in all() {
            let name = metric.name;
            assert!(seen.insert(name), "twice: {name}");
            let is_plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            assert!(name.chars().all(is_plain), "{name}");
            assert_eq!(
                name.starts_with("torrens_engine_"),
                metric.source == MetricSource::Engine,
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{name}"
            );
            let stem = name.trim_end_matches("_total");
            for unit in ["seconds", "microseconds", "bytes"] {
                let ends = stem.ends_with(&format!("_{unit}"));
                assert_eq!(ends, metric.unit == unit, "{name}");
            }
            assert!(
                metric.meaning.ends_with('.') && !metric.meaning.contains('|'),
                "{name}"
            );
            assert!(!["region", "peer", "key", "observer"].contains(&metric.label.unwrap_or("")));
        }
    }
}
