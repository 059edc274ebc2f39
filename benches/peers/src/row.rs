//! `Row`: one line of results, an ordered JSON object.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One line of results. Keys keep the order in which they were put.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Row(Map<String, Value>);

impl Row {
    pub(crate) fn new(bench: &str, threads: usize) -> Self {
        let mut row = Row::default();
        row.0.insert("bench".to_owned(), bench.into());
        row.0.insert("threads".to_owned(), threads.into());
        row
    }

    /// A figure, with as many digits as it deserves: three after the point below 1,000, none above.
    /// Nothing is put for a figure that was not measured.
    pub(crate) fn number(&mut self, key: impl Into<String>, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            return;
        };
        let value = if value.abs() >= 1000.0 {
            Value::from(value.round() as i64)
        } else {
            Value::from((value * 1000.0).round() / 1000.0)
        };
        self.0.insert(key.into(), value);
    }

    pub(crate) fn text(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), Value::String(value.into()));
    }

    pub(crate) fn flag(&mut self, key: impl Into<String>, value: bool) {
        self.0.insert(key.into(), Value::Bool(value));
    }

    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64()
    }

    pub(crate) fn get_text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    pub(crate) fn bench(&self) -> &str {
        self.get_text("bench").unwrap_or_default()
    }

    pub(crate) fn threads(&self) -> usize {
        self.0
            .get("threads")
            .and_then(Value::as_u64)
            .map_or(0, |threads| threads as usize)
    }

    /// The keys that start with `prefix`, in order, without it.
    pub(crate) fn keys_after<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .keys()
            .filter_map(move |key| key.strip_prefix(prefix))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_json_object_in_the_order_of_putting() {
        let mut row = Row::new("journal.durable", 4);
        row.number("torrens", Some(25_123.4));
        row.text("writer", "mapped");
        row.number("raft_engine", Some(f64::NAN));
        row.number("okaywal", None);
        row.number("ratio_raw", Some(1.234_56));
        row.flag("met_raw", true);
        assert_eq!(
            row.to_string(),
            r#"{"bench":"journal.durable","threads":4,"torrens":25123,"writer":"mapped","ratio_raw":1.235,"met_raw":true}"#
        );
        assert_eq!(serde_json::from_str::<Row>(&row.to_string()).unwrap(), row);
        assert_eq!(row.get("ratio_raw"), Some(1.235));
        assert_eq!(row.keys_after("ratio_").collect::<Vec<_>>(), ["raw"]);
        assert_eq!((row.bench(), row.threads()), ("journal.durable", 4));
    }
}
