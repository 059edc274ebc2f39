//! `/metrics`: the last look in the text format of Prometheus. Names carry their unit.
//!
//! No series is of a region, a peer or a key: how many series there are does not grow with the store.

use std::fmt::Write;

use torrens::lifecycle::{CacheState, ChangeKind};

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
    out.one(
        "torrens_up",
        "gauge",
        "Whether the last look could read the directory.",
        u64::from(report.is_some()),
    );
    out.many(
        "torrens_build_info",
        "gauge",
        "The version of the tool that answers.",
        "version",
        &[(env!("CARGO_PKG_VERSION"), 1)],
    );
    out.one(
        "torrens_looks_total",
        "counter",
        "Looks at the directory since the server started.",
        counted.looks,
    );
    out.one(
        "torrens_look_failures_total",
        "counter",
        "Looks that could not read the directory.",
        counted.look_failures,
    );
    let statuses: Vec<(String, u64)> = counted
        .responses
        .iter()
        .map(|(status, count)| (status.to_string(), *count))
        .collect();
    out.many(
        "torrens_http_responses_total",
        "counter",
        "Answers of the server by HTTP status.",
        "status",
        &statuses,
    );
    if let Some(taken) = taken {
        out.number(
            "torrens_look_duration_seconds",
            "How long the last look took.",
            taken.took.as_secs_f64(),
        );
        out.number(
            "torrens_look_age_seconds",
            "How long ago the last look ended.",
            taken.ended.elapsed().as_secs_f64(),
        );
    }
    if let Some(report) = report {
        of_report(&mut out, report);
    }
    out.0
}

fn of_report(out: &mut Text, report: &Report) {
    let gauge = "gauge";
    let verdict = [(report.verdict.name, 1)];
    out.many(
        "torrens_verdict",
        gauge,
        "1 for the verdict about the journal, 0 for all others.",
        "verdict",
        &with_zeros(VERDICTS, &verdict),
    );
    out.one(
        "torrens_writer_open",
        gauge,
        "Whether a process has the store open.",
        u64::from(report.is_open),
    );
    out.one(
        "torrens_boots_total",
        "counter",
        "Openings of the store since it was created.",
        report.boots_total,
    );
    out.one(
        "torrens_journal_bytes",
        gauge,
        "Size of the segment files.",
        report.journal_bytes,
    );
    out.one(
        "torrens_journal_segments",
        gauge,
        "Segment files.",
        report.segments,
    );
    out.one(
        "torrens_journal_records",
        gauge,
        "Records that the journal still holds.",
        report.records,
    );
    out.one(
        "torrens_journal_last_lsn",
        gauge,
        "Position of the last record; it grows by one with each record.",
        report.last_lsn,
    );
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
    out.many(
        "torrens_journal_kind_records",
        gauge,
        "Records that the journal still holds, by kind.",
        "kind",
        &kinds,
    );
    // Where opening refuses, nothing is replayed.
    if matches!(report.verdict.name, "clean" | "torn-tail") {
        out.one(
            "torrens_replay_records",
            gauge,
            "Records that a restart would replay: those behind the newest checkpoint.",
            report.replays,
        );
    }
    for (name, help, micros) in [
        (
            "torrens_last_record_timestamp_seconds",
            "When the last record was decided, since the Unix epoch.",
            report.last_micros,
        ),
        (
            "torrens_checkpoint_timestamp_seconds",
            "When the newest valid checkpoint was written, since the Unix epoch.",
            report.checkpoint_micros,
        ),
    ] {
        // A time that nobody knows is no time.
        if micros > 0 {
            out.number(name, help, micros as f64 / 1e6);
        }
    }
    out.one(
        "torrens_data_bytes",
        gauge,
        "Size of the data store's files.",
        report.data_bytes,
    );
    out.many(
        "torrens_regions",
        gauge,
        "Regions with a peer on this store, by stage.",
        "stage",
        &with_zeros(STAGES, &report.stages_now),
    );
    let states = CacheState::ALL.map(CacheState::as_str);
    let mut caches = with_zeros(states, &report.caches_now);
    // A region without a cache is not one of the caches.
    caches.retain(|(state, _)| *state != CacheState::Absent.as_str());
    out.many(
        "torrens_caches",
        gauge,
        "Caches of regions, by state.",
        "state",
        &caches,
    );
    out.one(
        "torrens_tombstones",
        gauge,
        "Regions of which a peer was destroyed here.",
        report.tombstones,
    );
    out.one(
        "torrens_pending_deletions",
        gauge,
        "Ranges of keys that are still to be cleared.",
        report.deletions,
    );
    let observers = report.observers.len() as u64 + report.observers_left_out;
    out.one("torrens_observers", gauge, "Observers.", observers);
    let observed = report.samples.last().map_or(0, |sample| sample[2]);
    out.one(
        "torrens_observed_regions",
        gauge,
        "Regions that at least one observer is attached to.",
        observed,
    );
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
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn number(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value:.6}");
    }

    fn many<L: AsRef<str>>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: &[(L, u64)],
    ) {
        if values.is_empty() {
            return;
        }
        self.head(name, kind, help);
        for (of, value) in values {
            let of = of.as_ref();
            let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }
}
