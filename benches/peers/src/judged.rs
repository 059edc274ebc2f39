//! `Judged`: a figure that has a row of its own, alone or beside a peer, with its bar; rows and lines of them.
//!
//! Not here: which figures there are, which is said by each suite.

use crate::bar::{Bar, Better};
use crate::job::figure;
use crate::rounds::Outcome;
use crate::row::Row;
use crate::stats;
use crate::table::Line;

/// One figure that a row states, with its bar.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) bench: &'static str,
    pub(crate) threads: usize,
    /// The column beside Torrens; none for a figure that stands alone.
    pub(crate) peer: Option<&'static str>,
    /// The figure of the run; the rate if none.
    pub(crate) figure: Option<&'static str>,
    pub(crate) bar: Option<(f64, Better)>,
}

/// The rate beside a peer's: their ratio is judged.
pub(crate) const fn beside(
    bench: &'static str,
    threads: usize,
    peer: &'static str,
    bar: Option<(f64, Better)>,
) -> Judged {
    let (peer, figure) = (Some(peer), None);
    Judged {
        bench,
        threads,
        peer,
        figure,
        bar,
    }
}

/// A figure that is judged by itself, and may be at most so much.
pub(crate) const fn alone(bench: &'static str, figure: &'static str, most: f64) -> Judged {
    Judged {
        bench,
        threads: 1,
        peer: None,
        figure: Some(figure),
        bar: Some((most, Better::Lower)),
    }
}

/// A row for each figure that has a bar or a peer.
pub(crate) fn rows(judged: &[Judged], outcome: &Outcome) -> Vec<Row> {
    let judged = judged
        .iter()
        .filter(|judged| judged.bench == outcome.bench && judged.threads == outcome.threads);
    judged.filter_map(|judged| row(outcome, judged)).collect()
}

fn row(outcome: &Outcome, judged: &Judged) -> Option<Row> {
    let (torrens, _) = outcome.best("torrens")?;
    let mut row = Row::new(judged.bench, judged.threads);
    let of_run = |name: Option<&str>, series: &crate::rounds::Series| match name {
        Some(name) => series.figure(name),
        None => series.rate(),
    };
    let value = of_run(judged.figure, torrens);
    row.number("torrens", value);
    if let Some(figure) = judged.figure {
        row.text("figure", figure);
    }
    let measured = match judged.peer {
        Some(peer) => {
            let (theirs, _) = outcome.best(peer)?;
            row.text("peer", peer);
            row.number("peer_value", of_run(judged.figure, theirs));
            let runs = |series: &crate::rounds::Series| match judged.figure {
                Some(name) => series.values(|sample| sample.figures.get(name).copied()),
                None => series.rates(),
            };
            let ratio = stats::ratio(&runs(torrens), &runs(theirs));
            row.number("ratio", ratio);
            for name in [figure::P50_US, figure::P99_US, figure::CPU_US] {
                row.number(format!("peer_{name}"), theirs.figure(name));
            }
            ratio
        }
        None => {
            row.number("value", value);
            value
        }
    };
    if let Some(((bar, better), measured)) = judged.bar.zip(measured) {
        row.number("bar", Some(bar));
        row.text(
            "better",
            match better {
                Better::Higher => "higher",
                Better::Lower => "lower",
            },
        );
        let bar = Bar {
            bench: judged.bench,
            threads: &[],
            key: "",
            value: bar,
            better,
        };
        row.flag("met", bar.is_met(measured));
    }
    row.number("rounds", Some(torrens.runs.len() as f64));
    for name in figure::BESIDE_A_ROW {
        row.number(*name, torrens.figure(name));
    }
    Some(row)
}

/// The lines of the table.
pub(crate) fn lines(rows: &[Row]) -> Vec<Line> {
    let line = |row: &Row| {
        let ratio = row.get("ratio").or(row.get("value"))?;
        let bar = row.get("bar").map(|bar| match row.get_text("better") {
            Some("lower") => (format!("≤ {bar}"), ratio <= bar),
            _ => (format!("≥ {bar}"), ratio >= bar),
        });
        let against: Vec<&str> = [row.get_text("figure"), row.get_text("peer")]
            .into_iter()
            .flatten()
            .collect();
        Some(Line {
            bench: row.bench().to_owned(),
            threads: row.threads(),
            torrens: row.get("torrens"),
            against: against.join(" / "),
            theirs: row.get("peer_value"),
            ratio: Some(ratio),
            bar,
        })
    };
    rows.iter().filter_map(line).collect()
}
