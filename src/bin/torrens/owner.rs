//! `torrens owner`: who owned a key, through time.

use std::io;

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::Key;
use torrens::inspector::owner::Ownership;
use torrens::inspector::{FieldValue, KeyForm, Point, parse_key};
use torrens::lifecycle::Owner;

use crate::exit::{Exit, Failure};
use crate::json::Value;
use crate::look;
use crate::output::Out;
use crate::paint::Paint;
use crate::sheet::{Column, JSON_VERSION, Sheet, left, right};
use crate::stores::{self, Gathered};
use crate::view::{Style, Targets, View};

const COLUMNS: [Column; 6] = [
    right("FROM"),
    right("TO"),
    left("TIME").shown_from(60),
    left("OWNER"),
    left("RANGE THEN").shown_from(60),
    left("BY"),
];

/// Show who owned a key, through time: a region, a pending deletion, or nobody.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 somebody owns it, 1 nobody does at the end (of several stores: in none), 4 to 8 as `torrens verify`."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// The key; 0x… is hexadecimal
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    key: Key,
    /// Only up to this point: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    #[command(flatten)]
    view: View,
}

#[derive(JsonSchema, Serialize)]
struct Row<'a> {
    v: u32,
    from_lsn: u64,
    to_lsn: Option<u64>,
    ts: Option<String>,
    owner: Option<OwnerJson>,
    range: Option<Value<'a>>,
    by: Option<&'a str>,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct OwnerJson {
    kind: &'static str,
    region: Option<u64>,
    incarnation: Option<u64>,
    deletion: Option<String>,
}

fn owner_json(owner: Owner) -> OwnerJson {
    let of = |kind, region: torrens::RegionId, incarnation: torrens::Incarnation| OwnerJson {
        kind,
        region: Some(region.0),
        incarnation: Some(incarnation.lsn().get()),
        deletion: None,
    };
    match owner {
        Owner::Peer {
            region,
            incarnation,
        } => of("peer", region, incarnation),
        Owner::Reservation {
            region,
            incarnation,
        } => of("reservation", region, incarnation),
        Owner::Deletion(deletion) => OwnerJson {
            kind: "pending-deletion",
            region: None,
            incarnation: None,
            deletion: Some(deletion.to_string()),
        },
    }
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match owner(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn owner(args: &Args) -> Result<Exit, Failure> {
    let gathered = stores::gather(&args.target, &args.view, |one, inspector| {
        let until = args
            .at
            .map(|point| inspector.resolve(point))
            .transpose()
            .map_err(look::failure)?;
        let (owners, folded) = inspector.owners(&args.key, until).map_err(look::failure)?;
        let exit = match owners.last().and_then(|last| last.owner) {
            Some(_) => Exit::OK,
            None => Exit::NEGATIVE,
        };
        let failure = look::folded_failure(&one.path, &folded, until);
        Ok((owners, exit, failure))
    })?;
    let mut out = Out::lock();
    let written = show(&mut out, &gathered);
    Ok(gathered.finish(out, written))
}

fn show(out: &mut Out, gathered: &Gathered<Vec<Ownership>>) -> io::Result<()> {
    let style = &gathered.style;
    let columns = stores::columns(gathered.is_several(), &COLUMNS);
    let mut sheet = Sheet::new(style, &columns);
    for seen in &gathered.seen {
        let dir = seen.name.as_deref();
        for one in &seen.what {
            let range = one.range.as_ref().map(FieldValue::from);
            let row = Row {
                v: JSON_VERSION,
                from_lsn: one.from.lsn.get(),
                to_lsn: one.to.map(|to| to.get()),
                ts: (one.from.micros > 0)
                    .then(|| torrens::inspector::clock::timestamp(one.from.micros)),
                owner: one.owner.map(owner_json),
                range: range.as_ref().map(|range| Value(range, &style.keys)),
                by: (!one.kind.is_empty()).then_some(one.kind),
                dir,
            };
            let paint = match one.owner {
                Some(Owner::Peer { .. }) => Paint::Plain,
                Some(_) => Paint::Warn,
                None => Paint::Dim,
            };
            let cells = || stores::cells(dir, cells(one, style, &style.keys));
            sheet.row(out, paint, cells, &row)?;
        }
    }
    sheet.end(out)
}

fn cells(one: &Ownership, style: &Style, keys: &KeyForm) -> Vec<String> {
    vec![
        one.from.lsn.to_string(),
        one.to.map_or("now".to_owned(), |to| to.to_string()),
        style.time(Some(one.from.micros)),
        one.text.clone(),
        style.or_nothing(one.range.as_ref().map(|range| keys.range(range))),
        style.or_nothing(Some(one.kind).filter(|kind| !kind.is_empty())),
    ]
}

/// The schema of a time under one owner.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Row<'_>>()
}
