//! `/metrics`: the last look in the text format of Prometheus.
//!
//! Not here: what each number is called and means (`torrens::metrics`).

use std::fmt::Write;

use torrens::lifecycle::{CacheState, ChangeKind};
use torrens::metrics::{self, Metric};

use super::looks::Taken;
use crate::report::model::Report;

/// Verdicts; exactly one is 1.
const VERDICTS: [&str; 7] = [
    "clean",
    "torn-tail",
    "corrupt-acked-loss",
    "corrupt-mid-log",
    "impossible-sequence",
    "newer-format",
    "unreadable",
];
/// Stages of a peer.
const STAGES: [&str; 6] = [
    "uninitialized",
    "normal",
    "witness",
    "waiting-for-data",
    "applying",
    "damaged",
];

/// What the server counted of itself.
pub(super) struct Counted {
    pub(super) looks: u64,
    pub(super) look_failures: u64,
    /// Status and answers with it.
    pub(super) responses: Vec<(u16, u64)>,
}

/// The page.
pub(super) fn text(taken: Option<&Taken>, counted: &Counted) -> String {
    let mut out = Text::default();
    let report = taken.and_then(|taken| taken.outcome.as_ref().ok());
    out.one("torrens_up", u64::from(report.is_some()));
    out.many("torrens_build_info", &[(env!("CARGO_PKG_VERSION"), 1)]);
    out.one("torrens_looks_total", counted.looks);
    out.one("torrens_look_failures_total", counted.look_failures);
    let statuses: Vec<(String, u64)> = counted
        .responses
        .iter()
        .map(|(status, count)| (status.to_string(), *count))
        .collect();
    out.many("torrens_http_responses_total", &statuses);
    if let Some(taken) = taken {
        out.number("torrens_look_duration_seconds", taken.took.as_secs_f64());
        out.number(
            "torrens_look_age_seconds",
            taken.ended.elapsed().as_secs_f64(),
        );
    }
    if let Some(report) = report {
        of_report(&mut out, report);
    }
    out.0
}

fn of_report(out: &mut Text, report: &Report) {
    let verdict = [(report.verdict.name, 1)];
    out.many("torrens_verdict", &with_zeros(VERDICTS, &verdict));
    out.one("torrens_writer_open", u64::from(report.is_open));
    out.one("torrens_boots_total", report.boots_total);
    out.one("torrens_journal_bytes", report.journal_bytes);
    out.one("torrens_journal_segments", report.segments);
    out.one("torrens_journal_records", report.records);
    out.one("torrens_journal_last_lsn", report.last_lsn);
    let kinds: Vec<(&str, u64)> = report
        .kinds
        .iter()
        .filter(|kind| {
            ChangeKind::ALL
                .iter()
                .any(|known| known.name() == kind.name)
        })
        .map(|kind| (kind.name.as_str(), kind.records))
        .collect();
    let other = report.records - kinds.iter().map(|(_, records)| records).sum::<u64>();
    let kinds = [kinds, vec![("other", other)]].concat();
    out.many("torrens_journal_kind_records", &kinds);
    // Where opening refuses, nothing is replayed.
    if matches!(report.verdict.name, "clean" | "torn-tail") {
        out.one("torrens_replay_records", report.replays);
    }
    for (name, micros) in [
        ("torrens_last_record_timestamp_seconds", report.last_micros),
        (
            "torrens_checkpoint_timestamp_seconds",
            report.checkpoint_micros,
        ),
    ] {
        // A time that nobody knows is no time.
        if micros > 0 {
            out.number(name, micros as f64 / 1e6);
        }
    }
    out.one("torrens_data_bytes", report.data_bytes);
    out.many("torrens_regions", &with_zeros(STAGES, &report.stages_now));
    let states = CacheState::ALL.map(CacheState::as_str);
    let mut caches = with_zeros(states, &report.caches_now);
    // A region without a cache is not one of the caches.
    caches.retain(|(state, _)| *state != CacheState::Absent.as_str());
    out.many("torrens_caches", &caches);
    out.one("torrens_tombstones", report.tombstones);
    out.one("torrens_pending_deletions", report.deletions);
    let observers = report.observers.len() as u64 + report.observers_left_out;
    out.one("torrens_observers", observers);
    let observed = report.samples.last().map_or(0, |sample| sample[2]);
    out.one("torrens_observed_regions", observed);
}

/// Each of `names` with its number, 0 if it has none; then what else there is.
fn with_zeros<const N: usize>(
    names: [&'static str; N],
    counts: &[(&'static str, u64)],
) -> Vec<(&'static str, u64)> {
    let count = |name: &str| {
        let found = counts.iter().find(|(known, _)| *known == name);
        found.map_or(0, |(_, count)| *count)
    };
    let known = names.iter().map(|name| (*name, count(name)));
    let others = counts.iter().filter(|(name, _)| !names.contains(name));
    known.chain(others.copied()).collect()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str) -> &'static Metric {
        let metric = metrics::find(name).expect("whatever is given is in the list");
        let (kind, help) = (metric.kind.name(), metric.meaning);
        // Writing into a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        metric
    }

    fn one(&mut self, name: &str, value: u64) {
        self.head(name);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn number(&mut self, name: &str, value: f64) {
        self.head(name);
        let _ = writeln!(self.0, "{name} {value:.6}");
    }

    fn many<L: AsRef<str>>(&mut self, name: &str, values: &[(L, u64)]) {
        if values.is_empty() {
            return;
        }
        let label = self.head(name).label.unwrap_or_default();
        for (of, value) in values {
            let of = of.as_ref();
            let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }
}
