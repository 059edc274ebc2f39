//! Results for people: a line per comparison, with the bar beside the figure.

use comfy_table::{CellAlignment, Table, presets};

/// One comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) bench: String,
    pub(crate) threads: usize,
    pub(crate) torrens: Option<f64>,
    /// Who is compared with, and in which setting.
    pub(crate) against: String,
    pub(crate) theirs: Option<f64>,
    pub(crate) ratio: Option<f64>,
    /// The bar, and whether the ratio meets it.
    pub(crate) bar: Option<(String, bool)>,
}

pub(crate) fn render(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "benchmark",
        "threads",
        "torrens",
        "against",
        "theirs",
        "ratio",
        "bar",
        "",
    ]);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if [1, 2, 4, 5, 6].contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut last = None;
    for line in lines {
        let first = last != Some((&line.bench, line.threads));
        last = Some((&line.bench, line.threads));
        let once = |text: String| if first { text } else { String::new() };
        let (bar, met) = match &line.bar {
            Some((bar, true)) => (bar.clone(), "met"),
            Some((bar, false)) => (bar.clone(), "NOT MET"),
            None => (String::new(), ""),
        };
        table.add_row([
            once(line.bench.clone()),
            once(line.threads.to_string()),
            line.torrens.map(count).unwrap_or_default(),
            line.against.clone(),
            line.theirs.map(count).unwrap_or_default(),
            line.ratio.map(|r| format!("{r:.2}")).unwrap_or_default(),
            bar,
            met.to_owned(),
        ]);
    }
    table.trim_fmt()
}

/// A number with its thousands apart, as in 1,234,567; with two digits after the point below 100.
fn count(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(999.6), "1,000");
        assert_eq!(count(123.0), "123");
        assert_eq!(count(2.018), "2.02");
    }

    #[test]
    fn bars_stand_beside_figures() {
        let line = |against: &str, ratio, bar| Line {
            bench: "journal.durable".to_owned(),
            threads: 4,
            torrens: Some(30_000.0),
            against: against.to_owned(),
            theirs: Some(20_000.0),
            ratio: Some(ratio),
            bar,
        };
        let text = render(&[
            line(
                "raft_engine (prefill)",
                1.5,
                Some(("≥ 1.5".to_owned(), true)),
            ),
            line("okaywal", 1.2, Some(("≥ 1.5".to_owned(), false))),
            line("raw", 1.1, None),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[1].contains("journal.durable") && lines[1].contains("30,000"),
            "{text}"
        );
        assert!(
            lines[1].ends_with(" met") && lines[1].contains("≥ 1.5"),
            "{text}"
        );
        assert!(
            lines[2].ends_with("NOT MET") && !lines[2].contains("journal"),
            "{text}"
        );
        assert!(!lines[3].contains("met"), "{text}");
    }
}
