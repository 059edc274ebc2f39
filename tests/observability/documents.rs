//! The page, the dashboard and the alerts against the list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use torrens::metrics::{self, ENGINE, Metric, MetricKind, TOOL};
use torrens::trace::{EVENTS, SPANS};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).expect("the document is there")
}

/// The rows of tables whose first cell is a name in the form of `prefix`, as trimmed cells.
fn rows<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let is_row = move |line: &&str| line.starts_with(&format!("| `{prefix}"));
    let cells = |line: &'a str| {
        let inner = line.trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect()
    };
    text.lines().filter(is_row).map(cells)
}

#[test]
fn the_page_lists_every_number_with_all_that_is_said_of_it_and_no_other() {
    let page = document("OBSERVABILITY.md");
    let told: Vec<Vec<&str>> = rows(&page, "torrens_").collect();
    let row = |metric: &Metric| {
        vec![
            metric.name.to_owned(),
            format!("{}, {}", metric.kind.name(), metric.unit),
            metric.label.unwrap_or("").to_owned(),
            metric.meaning.to_owned(),
        ]
    };
    let listed: Vec<Vec<String>> = metrics::all().map(row).collect();
    assert_eq!(told, listed);
    assert_eq!(listed.len(), ENGINE.len() + TOOL.len());
}

#[test]
fn the_page_lists_every_span_and_event_with_its_level_and_no_other() {
    let page = document("OBSERVABILITY.md");
    let told: Vec<(&str, &str)> = rows(&page, "torrens.")
        .filter_map(|cells| Some((*cells.first()?, *cells.get(1)?)))
        .collect();
    let listed: Vec<(&str, &str)> = SPANS.into_iter().chain(EVENTS).collect();
    assert_eq!(told, listed);
}

/// Every name of a number in `text`, as Prometheus has it.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(|letter| !is_part(letter))
        .filter(|word| word.starts_with("torrens_"))
        .collect()
}

fn check_names(text: &str) {
    let names = names(text);
    assert!(!names.is_empty());
    for name in names {
        let histogram = name.strip_suffix("_bucket");
        let found = metrics::find(histogram.unwrap_or(name));
        let metric = found.unwrap_or_else(|| panic!("nobody gives {name}"));
        // Only the distribution of a histogram has buckets, and nothing else of it is a series.
        let is_histogram = metric.kind == MetricKind::Histogram;
        assert_eq!(histogram.is_some(), is_histogram, "{name}");
    }
}

/// Every label that is chosen by a value in `text`, with the number that it is of: `name{label="value"`.
fn check_labels(text: &str) {
    for piece in text.split("torrens_").skip(1) {
        let Some((name, rest)) = piece.split_once('{') else {
            continue;
        };
        let name = format!("torrens_{name}");
        let stem = name.strip_suffix("_bucket").unwrap_or(&name);
        let Some(metric) = metrics::find(stem) else {
            // A brace that belongs to something else.
            continue;
        };
        let chosen = rest.split('}').next().unwrap_or_default();
        for pair in chosen.split(',').filter(|pair| pair.contains('=')) {
            let label = pair.split(['=', '!']).next().unwrap_or_default().trim();
            let is_known = ["job", "instance"].contains(&label) || metric.label == Some(label);
            assert!(is_known, "{name} has no label {label}");
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_shows_numbers_that_are_given() {
    let text = document("grafana/torrens.json");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    assert!(panels.len() >= 20, "{}", panels.len());
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "an id is there twice");
        let title = panel["title"].as_str().expect("each has a title");
        let targets = panel["targets"].as_array().expect("each has targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let query = target["expr"].as_str().expect("each has a query");
            check_names(query);
            check_labels(query);
        }
    }
    check_names(&text);
}

#[test]
fn there_are_five_alerts_on_numbers_that_are_given_and_the_page_says_what_to_do_about_each() {
    let (text, page) = (document("grafana/alerts.yml"), document("OBSERVABILITY.md"));
    let alerts: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let told: Vec<&str> = rows(&page, "Torrens")
        .filter_map(|cells| cells.first().copied())
        .collect();
    assert_eq!(alerts.len(), 5);
    assert_eq!(alerts, told);
    let queries: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert_eq!(queries.len(), 5);
    for query in queries {
        check_names(query);
        check_labels(query);
    }
    check_names(&text);
}
