//! Rows and lines from samples.

use anyhow::{Result, ensure};

use super::bars::BARS;
use super::{OTHER_WRITER, TICKET_PEER_THREADS, TICKETS_IN_FLIGHT};
use crate::bar;
use crate::job::figure;
use crate::peers::Tally;
use crate::rounds::{Outcome, Series};
use crate::row::Row;
use crate::stats;
use crate::table::Line;

/// The rows of one cell: one for the default writer, and one for the other if it ran.
pub(super) fn rows(outcome: &Outcome) -> Vec<Row> {
    let mut rows = Vec::new();
    for column in ["torrens", OTHER_WRITER] {
        let Some((torrens, _)) = outcome.best(column) else {
            continue;
        };
        let bench = if column == OTHER_WRITER {
            format!("{}.{}", outcome.bench, torrens.setting)
        } else {
            outcome.bench.to_owned()
        };
        rows.push(row(outcome, &bench, torrens));
    }
    rows
}

fn row(outcome: &Outcome, bench: &str, torrens: &Series) -> Row {
    let peers: Vec<(&str, &Series, usize)> = outcome
        .columns()
        .into_iter()
        .filter(|column| !column.starts_with("torrens"))
        .filter_map(|column| {
            let (best, settings) = outcome.best(column)?;
            Some((column, best, settings))
        })
        .collect();

    let mut row = Row::new(bench, outcome.threads);
    row.number("torrens", torrens.rate());
    for key in ["writer", "sync"] {
        if let Some(value) = torrens.about(key) {
            row.text(key, value);
        }
    }
    for (column, best, _) in &peers {
        row.number(*column, best.rate());
    }
    for (column, best, _) in &peers {
        let ratio = stats::ratio(&torrens.rates(), &best.rates());
        row.number(format!("ratio_{column}"), ratio);
    }
    for (column, best, settings) in &peers {
        if *settings > 1 {
            row.text(format!("{column}_setting"), best.setting.clone());
        }
    }
    if outcome.bench == "journal.ticket" {
        row.number("in_flight", Some(TICKETS_IN_FLIGHT as f64));
        row.number("peer_threads", Some(TICKET_PEER_THREADS as f64));
    }
    row.number("rounds", Some(torrens.runs.len() as f64));
    let rates = torrens.rates();
    row.number(
        "torrens_min",
        rates.iter().flatten().copied().reduce(f64::min),
    );
    row.number(
        "torrens_max",
        rates.iter().flatten().copied().reduce(f64::max),
    );
    for name in [figure::P50_US, figure::P99_US, figure::CPU_US] {
        row.number(name, torrens.figure(name));
        for (column, best, _) in &peers {
            row.number(format!("{name}_{column}"), best.figure(name));
        }
    }
    // One thread that waits makes one sync per record.
    if outcome.bench == "journal.durable" && outcome.threads == 1 {
        device(&mut row, torrens, &peers);
    }
    bar::judge(&mut row, BARS);
    row
}

fn device(row: &mut Row, torrens: &Series, peers: &[(&str, &Series, usize)]) {
    let kinds = [
        ("device_ios", figure::DEVICE_IOS),
        ("device_kib", figure::DEVICE_KIB),
        ("device_flushes", figure::DEVICE_FLUSHES),
    ];
    for (kind, name) in kinds {
        row.number(format!("{kind}_per_sync"), torrens.figure(name));
        for (column, best, _) in peers {
            row.number(format!("{kind}_per_sync_{column}"), best.figure(name));
        }
    }
    if let Some((_, raw, _)) = peers.iter().find(|(column, ..)| *column == "raw") {
        for (key, name) in [
            ("device_ios_over_raw", figure::DEVICE_IOS),
            ("device_kib_over_raw", figure::DEVICE_KIB),
        ] {
            let of = |series: &Series| series.values(|run| run.figures.get(name).copied());
            row.number(key, stats::ratio(&of(torrens), &of(raw)));
        }
    }
}

/// Everyone must have read exactly what was written, or the figures say nothing.
pub(super) fn check_replay(outcome: &Outcome, expected: Tally) -> Result<()> {
    for column in outcome.columns() {
        for series in outcome.all(column) {
            for run in series.runs.iter().flatten() {
                let read = |name: &str| run.figures.get(name).copied().unwrap_or(-1.0);
                let (records, sum) = (read(figure::RECORDS), read(figure::SUM));
                ensure!(
                    records == expected.records as f64 && sum == expected.sum as f64,
                    "{column} ({}) read {records} records with sum {sum} instead of {expected:?}",
                    series.setting
                );
            }
        }
    }
    Ok(())
}

/// The lines of the table.
pub(crate) fn lines(rows: &[Row]) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in rows {
        for column in row.keys_after("ratio_") {
            let setting = row.get_text(&format!("{column}_setting"));
            lines.push(Line {
                torrens: row.get("torrens"),
                against: match setting {
                    Some(setting) => format!("{column} ({setting})"),
                    None => column.to_owned(),
                },
                theirs: row.get(column),
                ..line(row, &format!("ratio_{column}"))
            });
        }
        for kind in ["device_ios", "device_kib"] {
            let key = format!("{kind}_over_raw");
            if row.get(&key).is_some() {
                let unit = if kind == "device_ios" { "I/Os" } else { "KiB" };
                lines.push(Line {
                    torrens: row.get(&format!("{kind}_per_sync")),
                    against: format!("raw, {unit} per sync"),
                    theirs: row.get(&format!("{kind}_per_sync_raw")),
                    ..line(row, &key)
                });
            }
        }
    }
    lines
}

/// A line about the figure `key` of a row.
fn line(row: &Row, key: &str) -> Line {
    let ratio = row.get(key);
    let bar = BARS.iter().find(|bar| bar.applies(row) && bar.key == key);
    Line {
        bench: row.bench().to_owned(),
        threads: row.threads(),
        ratio,
        bar: bar.zip(ratio).map(|(bar, ratio)| {
            let sign = bar.better.sign();
            (format!("{sign} {}", bar.value), bar.is_met(ratio))
        }),
        ..Line::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::tests::outcome;

    #[test]
    fn a_row_compares_runs_of_the_same_round_with_the_best_setting() {
        let outcome = outcome(
            "journal.durable",
            4,
            &[
                ("torrens", "default", &[200.0, 20.0, 220.0]),
                (OTHER_WRITER, "direct", &[100.0, 10.0, 110.0]),
                ("raft_engine", "recycle", &[90.0, 9.0, 90.0]),
                ("raft_engine", "prefill", &[100.0, 10.0, 110.0]),
                ("raw", "default", &[400.0, 40.0, 440.0]),
            ],
        );
        let rows = rows(&outcome);
        let text: Vec<String> = rows.iter().map(ToString::to_string).collect();
        assert_eq!(rows.len(), 2, "{text:?}");
        assert!(
            text[0].starts_with(
                r#"{"bench":"journal.durable","threads":4,"torrens":200.0,"raft_engine":100.0,"raw":400.0,"ratio_raft_engine":2.0,"ratio_raw":0.5,"raft_engine_setting":"prefill""#
            ),
            "{text:?}"
        );
        assert!(
            text[0].contains(r#""met_ratio_raft_engine":true"#),
            "{text:?}"
        );
        assert!(
            text[1].starts_with(r#"{"bench":"journal.durable.direct","threads":4,"torrens":100.0"#),
            "{text:?}"
        );
        assert!(
            !text[1].contains("met_"),
            "only the default writer has bars: {text:?}"
        );
        let lines = lines(&rows);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].against, "raft_engine (prefill)");
        assert_eq!(lines[0].bar, Some(("≥ 1.5".to_owned(), true)));
        assert_eq!(lines[1].bar, None);
    }

    #[test]
    fn a_replay_that_read_something_else_is_an_error() {
        let outcome = outcome("journal.replay", 1, &[("torrens", "default", &[5.0])]);
        let expected = Tally { records: 3, sum: 9 };
        let error = check_replay(&outcome, expected).unwrap_err().to_string();
        assert!(
            error.contains("torrens (default) read -1 records"),
            "{error}"
        );
    }

    #[test]
    fn every_bar_is_for_a_benchmark_and_thread_count_that_runs() {
        for bar in BARS {
            let threads = match bar.bench {
                "journal.durable" => crate::journal::DURABLE_THREADS,
                "journal.buffered" => crate::journal::BUFFERED_THREADS,
                _ => &[1],
            };
            assert!(bar.threads.iter().all(|t| threads.contains(t)), "{bar:?}");
        }
    }
}
