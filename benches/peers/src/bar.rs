//! `Bar`: what a figure must reach, as data beside the suite that measures it.

use crate::row::Row;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl Better {
    /// Whether a figure clears a bar.
    pub(crate) fn is_met(self, figure: f64, bar: f64) -> bool {
        match self {
            Better::Higher => figure >= bar,
            Better::Lower => figure <= bar,
        }
    }

    /// What stands before a bar.
    pub(crate) fn sign(self) -> char {
        match self {
            Better::Higher => '≥',
            Better::Lower => '≤',
        }
    }
}

/// The least (or most) that a figure of a row may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) bench: &'static str,
    /// The thread counts that it holds for.
    pub(crate) threads: &'static [usize],
    /// The key of the figure in the row.
    pub(crate) key: &'static str,
    pub(crate) value: f64,
    pub(crate) better: Better,
}

impl Bar {
    pub(crate) fn applies(&self, row: &Row) -> bool {
        self.bench == row.bench() && self.threads.contains(&row.threads())
    }

    pub(crate) fn is_met(&self, figure: f64) -> bool {
        self.better.is_met(figure, self.value)
    }
}

/// Puts each bar beside its figure: `bar_KEY` and `met_KEY`.
pub(crate) fn judge(row: &mut Row, bars: &[Bar]) {
    for bar in bars {
        if let Some(figure) = row.get(bar.key).filter(|_| bar.applies(row)) {
            row.number(format!("bar_{}", bar.key), Some(bar.value));
            row.flag(format!("met_{}", bar.key), bar.is_met(figure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARS: &[Bar] = &[
        Bar {
            bench: "b",
            threads: &[4],
            key: "ratio_x",
            value: 1.5,
            better: Better::Higher,
        },
        Bar {
            bench: "b",
            threads: &[4],
            key: "bytes",
            value: 10.0,
            better: Better::Lower,
        },
    ];

    fn judged(threads: usize, ratio: f64, bytes: f64) -> String {
        let mut row = Row::new("b", threads);
        row.number("ratio_x", Some(ratio));
        row.number("bytes", Some(bytes));
        judge(&mut row, BARS);
        row.to_string()
    }

    #[test]
    fn bars_stand_beside_their_figures() {
        let met = judged(4, 1.5, 10.0);
        assert!(
            met.contains(r#""bar_ratio_x":1.5,"met_ratio_x":true"#),
            "{met}"
        );
        assert!(met.contains(r#""met_bytes":true"#), "{met}");
        let missed = judged(4, 1.499, 11.0);
        assert!(missed.contains(r#""met_ratio_x":false"#), "{missed}");
        assert!(missed.contains(r#""met_bytes":false"#), "{missed}");
        assert!(!judged(1, 0.1, 99.0).contains("bar_"));
    }
}
