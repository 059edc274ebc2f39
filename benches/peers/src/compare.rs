//! `Comparison`: one figure of Torrens beside one of somebody else's, with the bar that it must clear.
//! Suites whose every figure has one counterpart print one row for each.
//!
//! Not here: which figures there are and what they must reach (each suite), rows that compare with
//! many peers at once (`journal`).

use crate::bar::Better;
use crate::row::Row;
use crate::table::Line;

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) bench: String,
    pub(crate) threads: usize,
    /// Torrens' own figure.
    pub(crate) torrens: Option<f64>,
    /// Who is compared with.
    pub(crate) peer: String,
    /// Its figure, in the same unit.
    pub(crate) peer_value: Option<f64>,
    /// What is judged.
    pub(crate) judged: Judged,
    pub(crate) bar: Option<f64>,
    pub(crate) better: Better,
}

/// What a bar is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Judged {
    /// How Torrens' figure stands to the peer's.
    Ratio(Option<f64>),
    /// A figure that has its meaning without a peer.
    Value(Option<f64>),
}

impl Judged {
    fn key(self) -> &'static str {
        match self {
            Judged::Ratio(_) => "ratio",
            Judged::Value(_) => "value",
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Judged::Ratio(number) | Judged::Value(number) => number,
        }
    }
}

impl Comparison {
    pub(crate) fn row(&self) -> Row {
        let mut row = Row::new(&self.bench, self.threads);
        row.number("torrens", self.torrens);
        row.text("peer", self.peer.clone());
        row.number("peer_value", self.peer_value);
        row.number(self.judged.key(), self.judged.number());
        row.number("bar", self.bar);
        let better = match self.better {
            Better::Higher => "higher",
            Better::Lower => "lower",
        };
        row.text("better", better);
        if let (Some(bar), Some(number)) = (self.bar, self.judged.number()) {
            row.flag("met", self.better.is_met(number, bar));
        }
        row
    }
}

/// Whether a row is one of these.
pub(crate) fn is_comparison(row: &Row) -> bool {
    row.get_text("better").is_some()
}

/// The line of the table that a row is.
pub(crate) fn line(row: &Row) -> Line {
    let judged = row.get("ratio").or(row.get("value"));
    let better = match row.get_text("better") {
        Some("lower") => Better::Lower,
        _ => Better::Higher,
    };
    let bar = row.get("bar").zip(judged).map(|(bar, number)| {
        let sign = better.sign();
        (format!("{sign} {bar}"), better.is_met(number, bar))
    });
    Line {
        bench: row.bench().to_owned(),
        threads: row.threads(),
        torrens: row.get("torrens"),
        against: row.get_text("peer").unwrap_or_default().to_owned(),
        theirs: row.get("peer_value"),
        ratio: judged,
        bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(judged: Judged, better: Better) -> Row {
        let comparison = Comparison {
            bench: "b".to_owned(),
            threads: 1,
            torrens: Some(4.0),
            peer: "sled".to_owned(),
            peer_value: Some(2.0),
            judged,
            bar: Some(1.5),
            better,
        };
        comparison.row()
    }

    #[test]
    fn each_row_states_its_own_bar() {
        let row = comparison(Judged::Ratio(Some(2.0)), Better::Higher);
        assert_eq!(
            row.to_string(),
            r#"{"bench":"b","threads":1,"torrens":4.0,"peer":"sled","peer_value":2.0,"ratio":2.0,"bar":1.5,"better":"higher","met":true}"#
        );
        assert!(is_comparison(&row));
        let line = line(&row);
        assert_eq!(line.bar, Some(("≥ 1.5".to_owned(), true)));
        assert_eq!(
            (line.torrens, line.theirs, line.ratio),
            (Some(4.0), Some(2.0), Some(2.0))
        );
    }

    #[test]
    fn a_lower_figure_can_be_the_better_one() {
        let row = comparison(Judged::Value(Some(2.0)), Better::Lower);
        assert!(
            row.to_string()
                .contains(r#""value":2.0,"bar":1.5,"better":"lower","met":false"#)
        );
        assert_eq!(line(&row).bar, Some(("≤ 1.5".to_owned(), false)));
        let unmeasured = comparison(Judged::Value(None), Better::Lower).to_string();
        assert!(!unmeasured.contains("met"), "{unmeasured}");
    }
}
