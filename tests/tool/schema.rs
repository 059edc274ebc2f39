//! What the tool writes for programs is what `torrens schema` says, object for object.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::GATE;
use super::fixture::{Closed, Store, answer, torrens};

/// Every output with a schema.
fn schemas() -> Map<String, Value> {
    let all = answer_of(&["schema"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["v"], 1);
    all["outputs"].as_object().unwrap().clone()
}

fn answer_of(words: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_torrens"));
    let answer = answer(command.args(words).output().unwrap());
    assert_eq!(answer.code, 0, "{words:?}: {}", answer.err);
    answer.out
}

/// A schema that refuses keys that it does not name, so that none is forgotten. For readers it is open.
fn closed(mut schema: Value) -> Value {
    fn close(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.contains_key("properties") {
                    map.insert("additionalProperties".to_owned(), false.into());
                }
                map.values_mut().for_each(close);
            }
            Value::Array(values) => values.iter_mut().for_each(close),
            _ => {}
        }
    }
    close(&mut schema);
    schema
}

/// Checks objects and counts them.
struct Judge {
    validators: BTreeMap<String, Validator>,
    seen: BTreeMap<String, usize>,
}

impl Judge {
    fn new() -> Judge {
        let validators = schemas().into_iter().map(|(name, schema)| {
            let validator = jsonschema::validator_for(&closed(schema)).unwrap();
            (name, validator)
        });
        Judge {
            validators: validators.collect(),
            seen: BTreeMap::new(),
        }
    }

    fn check(&mut self, name: &str, object: &Value) {
        let validator = &self.validators[name];
        let faults: Vec<String> = validator
            .iter_errors(object)
            .map(|fault| format!("{fault}"))
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:?} in {object}");
        *self.seen.entry(name.to_owned()).or_default() += 1;
    }

    /// Runs a command in both forms.
    fn output(&mut self, name: &str, dir: &Path, verb: &str, args: &[&str]) {
        for form in ["ndjson", "json"] {
            let mut command = torrens(dir, verb);
            let answer = answer(command.args(args).args(["-o", form]).output().unwrap());
            self.objects(name, form, &answer.out);
        }
    }

    fn objects(&mut self, name: &str, form: &str, out: &str) {
        assert!(!out.is_empty(), "{name} as {form} is empty");
        match form {
            "ndjson" => out
                .lines()
                .for_each(|line| self.check(name, &serde_json::from_str(line).unwrap())),
            _ => match serde_json::from_str(out).unwrap() {
                Value::Array(objects) => {
                    objects.iter().for_each(|object| self.check(name, object));
                }
                object => self.check(name, &object),
            },
        }
    }
}

/// Every read verb on one directory.
fn look(judge: &mut Judge, dir: &Path) {
    for (name, verb, args) in [
        ("info", "info", &[][..]),
        ("dump", "dump", &[]),
        ("dump", "dump", &["--keys", "redact"]),
        ("tail", "tail", &["--count", "3", "--last", "3"]),
        ("verify", "verify", &[]),
        ("verify --quiet", "verify", &["--quiet"]),
        ("explain", "explain", &[]),
        ("stats", "stats", &[]),
    ] {
        judge.output(name, dir, verb, args);
    }
}

/// The read verbs that need a history that can be folded.
fn ask(judge: &mut Judge, dir: &Path) {
    for (name, verb, args) in [
        ("state", "state", &[][..]),
        ("diff", "diff", &["2", "last"]),
        ("timeline", "timeline", &["--format", "list"]),
        ("lineage", "lineage", &["--format", "json"]),
        ("owner", "owner", &["--key", "zebra"]),
        ("why", "why", &["--region", "102"]),
        ("gate", "gate", &GATE),
    ] {
        judge.output(name, dir, verb, args);
    }
    for lsn in ["1", "3", "9"] {
        judge.output("show", dir, "show", &[lsn]);
    }
}

/// Prints every object that could be wrong, on every kind of directory.
#[test]
fn every_object_is_what_its_schema_says() {
    let mut judge = Judge::new();
    let stores: [Closed; 6] = [
        super::closed(),
        super::torn(),
        super::damaged_in_the_middle(),
        super::last_group_gone(),
        super::impossible(),
        Store::with_history().stop(),
    ];
    for store in &stores {
        look(&mut judge, store.path());
    }
    for store in [&stores[0], &stores[1]] {
        ask(&mut judge, store.path());
    }
    super::observers::store_for(|dir| judge.output("observers", dir, "observers", &[]));
    let market = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stores/market");
    look(&mut judge, &market);
    judge.output("state", &market, "state", &[]);

    for form in ["ndjson", "json"] {
        let one = answer_of(&["explain", "epoch-stale", "-o", form]);
        judge.objects("explain CODE", form, &one);
        let all = answer_of(&["explain", "--codes", "-o", form]);
        judge.objects("explain CODE", form, &all);
    }
    let scratch = tempfile::tempdir().unwrap();
    let bundle = scratch.path().join("bundle");
    let made = super::fixture::run(
        stores[2].path(),
        "bundle",
        &["-o", bundle.to_str().unwrap()],
    );
    assert_eq!(made.code, 0, "{}", made.err);
    let manifest = &super::bundle::unpacked(&bundle)["manifest.json"];
    judge.check("bundle", &serde_json::from_slice(manifest).unwrap());
    rebuilt(&mut judge, &stores);
    let damaged = &stores[3];
    repaired(&mut judge, damaged);
    let line = r#"{"v":1,"progress":{"bytes":1,"of":2}}"#;
    judge.check("--progress json", &serde_json::from_str(line).unwrap());

    let unseen: Vec<&String> = judge
        .validators
        .keys()
        .filter(|name| !judge.seen.contains_key(*name))
        .collect();
    assert!(unseen.is_empty(), "nothing was checked of {unseen:?}");
}

/// Directories taken apart, salvaged and crashed.
fn rebuilt(judge: &mut Judge, stores: &[Closed]) {
    let scratch = tempfile::tempdir().unwrap();
    for (number, store) in stores.iter().enumerate() {
        let raw = super::fixture::run(store.path(), "dump", &["--raw"]);
        judge.objects("dump --raw", "ndjson", &raw.out);
        for option in ["--to", "-o"] {
            let to = scratch.path().join(format!("{number}{option}"));
            let args = ["--json", option, to.to_str().unwrap()];
            let made = super::fixture::run(store.path(), "extract", &args);
            judge.objects("extract --json", "json", &made.out);
            if option == "-o" {
                let lines = std::fs::read_to_string(to).unwrap();
                for line in lines.lines() {
                    let line: Value = serde_json::from_str(line).unwrap();
                    // A gap is as in a dump.
                    let name = if line["gap"].is_null() {
                        "dump --raw"
                    } else {
                        "dump"
                    };
                    judge.check(name, &line);
                }
            }
        }
    }
    judge.output("simulate", stores[0].path(), "simulate", &["--at", "4"]);
    judge.output(
        "simulate",
        stores[0].path(),
        "simulate",
        &["--at", "4", "--byte", "90"],
    );
}

/// A repair that is planned, applied and listed.
fn repaired(judge: &mut Judge, store: &Closed) {
    let dir = store.path().to_str().unwrap();
    let tool = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_torrens"));
        answer(command.args(words).output().unwrap())
    };
    let scratch = tempfile::tempdir().unwrap();
    let plan = scratch.path().join("plan");
    let plan = plan.to_str().unwrap();
    for form in ["ndjson", "json"] {
        let answer = tool(&["repair", "plan", dir, "-o", form]);
        judge.objects("repair plan", form, &answer.out);
    }
    assert_eq!(tool(&["repair", "plan", dir, "--save", plan]).code, 0);
    assert_eq!(tool(&["repair", "apply", dir, plan]).code, 0);
    for form in ["ndjson", "json"] {
        let answer = tool(&["repair", "list", dir, "-o", form]);
        judge.objects("repair list", form, &answer.out);
    }
}

#[test]
fn a_schema_is_printed_for_one_output_and_refused_for_none() {
    let one: Value = serde_json::from_str(&answer_of(&["schema", "explain"])).unwrap();
    let other: Value = serde_json::from_str(&answer_of(&["schema", "explain", "CODE"])).unwrap();
    assert_eq!(other["title"], "torrens explain CODE");
    assert_ne!(one, other);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_torrens"));
    let refused = answer(command.args(["schema", "nonsense"]).output().unwrap());
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("no-such-output"), "{}", refused.err);
}

#[test]
fn objects_of_several_stores_are_what_the_schema_says() {
    let stores = [Store::with_history().close(), Store::with_history().close()];
    let other = stores[1].path().to_str().unwrap();
    let mut judge = Judge::new();
    for (name, verb, args) in [
        ("info", "info", &[other][..]),
        ("verify", "verify", &[other]),
        ("verify --quiet", "verify", &[other, "--quiet"]),
        ("dump", "dump", &[other]),
        ("tail", "tail", &[other, "--count", "3", "--last", "3"]),
        ("state", "state", &[other]),
        ("stats", "stats", &[other]),
        ("timeline", "timeline", &[other, "--format", "list"]),
        ("lineage", "lineage", &[other]),
        ("owner", "owner", &[other, "--key", "a"]),
        ("why", "why", &[other, "--region", "1"]),
    ] {
        let before = judge.seen.get(name).copied().unwrap_or_default();
        judge.output(name, stores[0].path(), verb, args);
        let objects = judge.seen[name] - before;
        assert!(
            objects >= 4,
            "{name}: {objects}, of two stores in two forms"
        );
    }
}
