//! What the engine really gives to a recorder of the crate `metrics`, against the list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use torrens::metrics::{ENGINE, MetricKind};
use torrens::{KeyRange, ObserverName, ObserverPolicy, RegionEpoch, RegionId, StartFrom};

use super::world::{World, bootstrap, split, write};

/// What was given: kind, labels and the last value of each series.
#[derive(Default)]
struct Given {
    described: BTreeMap<String, (MetricKindName, Option<Unit>, String)>,
    series: BTreeMap<SeriesName, (MetricKindName, f64)>,
}

type MetricKindName = &'static str;

/// A name with its labels.
type SeriesName = (String, Vec<(String, String)>);

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Given>>);

/// One series.
struct Series {
    key: Key,
    kind: MetricKindName,
    given: Listener,
}

impl Series {
    fn note(&self, change: impl FnOnce(f64) -> f64) {
        let labels = self.key.labels();
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
        let name = self.key.name().to_owned();
        let mut given = self.given.0.lock().expect("nothing panics here");
        let series = given.series.entry((name, labels.collect()));
        let value = series.or_insert((self.kind, 0.0));
        assert_eq!(value.0, self.kind);
        value.1 = change(value.1);
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.note(|before| before + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.note(|before| {
            assert!(value as f64 >= before, "a counter only grows: {}", self.key);
            value as f64
        });
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.note(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.note(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.note(|_| value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        // How many values there were.
        assert!(value >= 0.0);
        self.note(|before| before + 1.0);
    }
}

impl Listener {
    fn series(&self, key: &Key, kind: MetricKindName) -> Arc<Series> {
        let (key, given) = (key.clone(), self.clone());
        Arc::new(Series { key, kind, given })
    }

    fn describe(&self, key: KeyName, kind: MetricKindName, unit: Option<Unit>, text: SharedString) {
        let mut given = self.0.lock().expect("nothing panics here");
        let name = key.as_str().to_owned();
        given
            .described
            .insert(name, (kind, unit, text.into_owned()));
    }
}

impl Recorder for Listener {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key, "counter", unit, text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key, "gauge", unit, text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(key, "histogram", unit, text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key, "counter"))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key, "gauge"))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key, "histogram"))
    }
}

#[test]
fn the_engine_gives_every_number_of_the_list_as_it_says_and_no_other() {
    let listener = Listener::default();
    metrics::with_local_recorder(&listener, || {
        let engine = World::new().open();
        bootstrap(&engine);
        write(&engine, 6);
        assert!(engine.split(split(7)).expect("it can").holds());
        assert!(!engine.split(wrong()).expect("it can").holds());
        let name = ObserverName::new("copy").expect("a name");
        let (ranges, policy) = (vec![KeyRange::all()], ObserverPolicy::default());
        let added = engine.add_observer(name, ranges, StartFrom::Now, policy);
        assert!(added.is_ok());
        let taken = engine.take_snapshot(RegionId(2), engine_epoch(&engine));
        assert!(matches!(taken, Ok(torrens::Taken::Snapshot(_))));
        engine.checkpoint().expect("it can");
        engine.export_metrics();
        // What was given once may only grow.
        engine.export_metrics();
    });
    let given = listener.0.lock().expect("nothing panics here");
    let names: BTreeSet<&str> = given.series.keys().map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = ENGINE.iter().map(|metric| metric.name).collect();
    assert_eq!(names, listed);
    let described: BTreeSet<&str> = given.described.keys().map(String::as_str).collect();
    assert_eq!(described, listed);
    for metric in ENGINE {
        let (kind, unit, text) = &given.described[metric.name];
        assert_eq!((*kind, text.as_str()), (metric.kind.name(), metric.meaning));
        let is_unit = |unit: &Unit| match metric.unit {
            "seconds" => *unit == Unit::Seconds,
            "microseconds" => *unit == Unit::Microseconds,
            "bytes" => *unit == Unit::Bytes,
            _ => *unit == Unit::Count,
        };
        assert!(
            unit.as_ref().is_some_and(is_unit),
            "{}: {unit:?}",
            metric.name
        );
    }
    for ((name, labels), (kind, _)) in &given.series {
        let metric = torrens::metrics::find(name).expect("it is in the list");
        assert_eq!(*kind, metric.kind.name(), "{name}");
        let labels: Vec<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
        let expected: Vec<&str> = metric.label.into_iter().collect();
        assert_eq!(labels, expected, "{name}");
    }
    let value = |name: &str, label: Option<&str>| {
        let mut found = given.series.iter().filter(|((each, labels), _)| {
            each == name && labels.first().map(|(_, value)| value.as_str()) == label
        });
        found.next().map(|(_, (_, value))| *value)
    };
    for (name, label, expected) in [
        ("torrens_engine_writes_total", Some("applied"), 1.0),
        ("torrens_engine_transitions_total", Some("refused"), 1.0),
        ("torrens_engine_refusals_total", Some("epoch-stale"), 1.0),
        ("torrens_engine_records_total", Some("region.split"), 1.0),
        ("torrens_engine_regions", Some("normal"), 2.0),
        ("torrens_engine_regions", Some("damaged"), 0.0),
        ("torrens_engine_snapshots_total", Some("taken"), 1.0),
        ("torrens_engine_checkpoints_total", Some("done"), 1.0),
        ("torrens_engine_checkpoint_seconds", None, 1.0),
        ("torrens_engine_poisoned", None, 0.0),
        ("torrens_engine_observers", None, 1.0),
    ] {
        assert_eq!(value(name, label), Some(expected), "{name} {label:?}");
    }
    let published = value("torrens_engine_transition_seconds", Some("total"));
    let accepted = value("torrens_engine_transitions_total", Some("accepted"));
    assert_eq!(
        published, accepted,
        "each that is published is measured once"
    );
    assert!(
        ENGINE
            .iter()
            .any(|metric| metric.kind == MetricKind::Histogram)
    );
}

fn wrong() -> torrens::Split {
    let mut wrong = split(8);
    wrong.epoch = RegionEpoch::NONE;
    wrong
}

fn engine_epoch(engine: &torrens::Engine) -> RegionEpoch {
    let region = engine.region(RegionId(2)).and_then(|status| status.region);
    region.expect("the child is there").epoch
}
