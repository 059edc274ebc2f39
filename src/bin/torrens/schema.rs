//! `torrens schema`: the JSON Schema of every object that the tool writes, made from the very types that
//! it is written from.
//!
//! Not here: the types. Each lives with its command.

use std::io::Write;

use clap::Parser;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{
    bundle, diff, explain, extract, gate, info, lineage, observers, owner, parts, progress, record,
    repair, show, simulate, state, stats, timeline, verify, why,
};

/// Print the JSON Schema of what a command writes as ndjson or json.
#[derive(Debug, Parser)]
#[command(
    after_help = "A command with rows writes one such object per line as ndjson and an array of them as json; a \
command with one answer writes one object. Keys are added in later versions, and none changes its meaning while \"v\" \
stays the same. With --fields an object has those keys alone. Exit codes: 0 done; 2 no such output."
)]
pub(crate) struct Args {
    /// The command, as in `dump`, or one of its other outputs, as in `explain CODE` [default: all of them]
    #[arg(value_name = "COMMAND", allow_hyphen_values = true)]
    output: Vec<String>,
}

/// Whether an output is one object or one per row.
#[derive(Clone, Copy)]
enum Form {
    One,
    Rows,
}

/// One output of the tool.
struct Shape {
    name: &'static str,
    form: Form,
    schema: fn(&mut SchemaGenerator) -> Vec<Schema>,
}

const fn one(name: &'static str, schema: fn(&mut SchemaGenerator) -> Vec<Schema>) -> Shape {
    Shape {
        name,
        form: Form::One,
        schema,
    }
}

const fn rows(name: &'static str, schema: fn(&mut SchemaGenerator) -> Vec<Schema>) -> Shape {
    Shape {
        name,
        form: Form::Rows,
        schema,
    }
}

/// Every output that is JSON of this tool's own; of `bundle` its manifest. Not here: `timeline --format perfetto`, which is Perfetto's.
const SHAPES: [Shape; 24] = [
    one("info", |made| vec![info::json::schema(made)]),
    rows("dump", |made| record::schema(made).into()),
    rows("dump --raw", |made| {
        let [record, _] = record::schema(made);
        vec![record, parts::schema(made)]
    }),
    rows("tail", |made| record::schema(made).into()),
    one("show", |made| vec![show::schema(made)]),
    rows("state", |made| state::schema(made).into()),
    rows("observers", |made| vec![observers::schema(made)]),
    rows("diff", |made| vec![diff::schema(made)]),
    rows("timeline", |made| vec![timeline::schema(made)]),
    one("lineage", |made| vec![lineage::schema(made)]),
    rows("owner", |made| vec![owner::schema(made)]),
    one("why", |made| vec![why::schema(made)]),
    one("gate", |made| vec![gate::schema(made)]),
    rows("stats", |made| stats::schema(made).into()),
    one("verify", |made| vec![verify::schema(made)]),
    one("verify --quiet", |made| vec![verify::verdict_schema(made)]),
    one("explain", |made| vec![explain::schema(made)]),
    rows("explain CODE", |made| vec![explain::code_schema(made)]),
    one("repair plan", |made| vec![repair::show::plan_schema(made)]),
    rows("repair list", |made| vec![repair::show::list_schema(made)]),
    one("extract --json", |made| vec![extract::schema(made)]),
    one("simulate", |made| vec![simulate::schema(made)]),
    one("bundle", |made| vec![bundle::schema(made)]),
    rows("--progress json", |made| vec![progress::schema(made)]),
];

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    let name = args.output.join(" ");
    let document = match name.as_str() {
        "" => json!({
            "v": crate::sheet::JSON_VERSION,
            "torrens": env!("CARGO_PKG_VERSION"),
            "outputs": SHAPES
                .iter()
                .map(|shape| (shape.name.to_owned(), document(shape)))
                .collect::<Map<String, Value>>(),
        }),
        name => match SHAPES.iter().find(|shape| shape.name == name) {
            Some(shape) => document(shape),
            None => return no_such_output(name).report(),
        },
    };
    let mut out = Out::lock();
    let written = serde_json::to_writer_pretty(&mut out, &document)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"));
    out.finish(written, Exit::OK)
}

fn no_such_output(name: &str) -> Failure {
    let names: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
    Failure {
        code: "no-such-output",
        message: format!("there is no output {name:?}"),
        hint: Some(format!("there are {}", names.join(", "))),
        exit: Exit::USAGE,
    }
}

/// The schema of one object of an output.
fn document(shape: &Shape) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let mut schemas = (shape.schema)(&mut generator);
    let definitions = generator.take_definitions(true);
    let mut root = match (schemas.pop(), schemas.is_empty()) {
        (Some(only), true) => only.to_value(),
        (last, _) => {
            json!({"anyOf": schemas.into_iter().chain(last).map(Schema::to_value).collect::<Vec<_>>()})
        }
    };
    if let Some(root) = root.as_object_mut() {
        let head = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": format!("torrens {}", shape.name),
            "description": match shape.form {
                Form::One => "The output as ndjson or json.",
                Form::Rows => "A line of the output as ndjson; an element of the array as json.",
            },
            "$defs": definitions,
        });
        if let Value::Object(head) = head {
            root.extend(head);
        }
    }
    root
}
