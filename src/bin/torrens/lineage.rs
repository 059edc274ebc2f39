//! `torrens lineage`: which regions came of which, as a tree of text or as a graph for other tools.
//!
//! * `tree`: the order in which regions are shown, and the text. * `graph`: dot and mermaid. * `svg`: a
//!   picture.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::{Parser, ValueEnum};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::RegionId;
use torrens::inspector::lineage::{Descent, Edge, Lineage, LineageRegion};
use torrens::inspector::{FieldValue, KeyForm, Point};

use crate::exit::{Exit, Failure};
use crate::json::Value;
use crate::look;
use crate::paint::Paint;
use crate::select::region;
use crate::sheet::JSON_VERSION;
use crate::stores::{self, Looked, One};
use crate::view::{Output, Style, Targets, View};

mod graph;
mod svg;
mod tree;

/// Show which regions came of which, by splits and merges.
#[derive(Debug, Parser)]
#[command(
    after_help = "With --region: those, what they came of, and what came of them. \
Exit codes: 0; 1 there is no such region (of several stores: in none); 4 to 8 as `torrens verify`, after what can be shown was shown."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// Only these regions and their relatives: 7 or r7
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    region: Vec<RegionId>,
    /// As of this point: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// How it is drawn [default: text for people, json for -o ndjson, json and csv]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    view: View,
}

/// How a lineage is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree of text
    Text,
    /// A graph for Graphviz
    Dot,
    /// A graph for Mermaid
    Mermaid,
    /// A picture
    Svg,
    /// One JSON object
    Json,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match lineage(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn lineage(args: &Args) -> Result<Exit, Failure> {
    stores::each(&args.target, &args.view, |one, out| {
        lineage_one(args, one, out)
    })
}

fn lineage_one(args: &Args, one: &One, mut out: &mut dyn Write) -> Result<Looked, Failure> {
    let inspector = args.view.open_path(&one.path)?;
    let style = args.view.style(&inspector);
    let until = args
        .at
        .map(|point| inspector.resolve(point))
        .transpose()
        .map_err(look::failure)?;
    let (mut lineage, folded) = inspector.lineage_folded(until).map_err(look::failure)?;
    if !args.region.is_empty() {
        let known = args
            .region
            .iter()
            .filter(|region| lineage.regions.contains_key(*region));
        let wanted: BTreeSet<RegionId> =
            known.flat_map(|region| lineage.related(*region)).collect();
        lineage = lineage.only(&wanted);
    }
    let format = args.format.unwrap_or(match style.output {
        Output::Table | Output::Text => Format::Text,
        Output::Ndjson | Output::Json | Output::Csv => Format::Json,
    });
    // A graph is one file for one other tool.
    let is_graph = matches!(format, Format::Dot | Format::Mermaid | Format::Svg);
    if is_graph && one.name.is_some() {
        return Err(Exit::one_directory("a graph"));
    }
    let written = match format {
        Format::Text => {
            title(out, one, &style).and_then(|()| tree::write(&mut out, &lineage, &style))
        }
        Format::Dot => graph::dot(&mut out, &lineage, &style.keys),
        Format::Mermaid => graph::mermaid(&mut out, &lineage, &style.keys),
        Format::Svg => svg::write(&mut out, &lineage, &style.keys),
        Format::Json => json(&mut out, one, &lineage, &style),
    };
    let failure = look::folded_failure(&one.path, &folded, until);
    let exit = match (&failure, lineage.regions.is_empty()) {
        (Some(failure), _) => failure.exit,
        (None, true) => Exit::NEGATIVE,
        (None, false) => Exit::OK,
    };
    Ok(Looked {
        written,
        exit,
        failure,
    })
}

fn title(out: &mut dyn Write, one: &One, style: &Style) -> io::Result<()> {
    match one.name {
        Some(_) => writeln!(out, "{}", Paint::Head.on(&one.title(), style.color)),
        None => Ok(()),
    }
}

/// What became of a region, in few words: its stage, or why it is gone.
fn fate(lineage: &Lineage, region: &LineageRegion) -> String {
    if let Some(standing) = region.standing {
        return standing.to_owned();
    }
    let merged =
        lineage.edges.iter().rev().find(|edge| {
            edge.from == region.region && !matches!(edge.descent, Descent::Split { .. })
        });
    match (merged, region.gone) {
        (Some(edge), _) => format!("merged into {}", edge.to),
        (None, Some(why)) => format!("gone ({why})"),
        (None, None) => "not here".to_owned(),
    }
}

/// How one came of another, in few words.
fn edge_text(edge: &Edge, keys: &KeyForm) -> String {
    match &edge.descent {
        Descent::Split { boundary, fate } => {
            let note = match *fate {
                "created" => "",
                "adopted" => ", a peer made by a message",
                _ => ", not for this store",
            };
            format!("split at {}{note}", keys.quoted(boundary))
        }
        descent => descent.as_str().to_owned(),
    }
}

#[derive(JsonSchema, Serialize)]
struct Json<'a> {
    v: u32,
    start_lsn: u64,
    regions: Vec<RegionJson<'a>>,
    edges: Vec<EdgeJson>,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct RegionJson<'a> {
    region: u64,
    origin: &'static str,
    first_lsn: u64,
    last_lsn: u64,
    range: Option<Value<'a>>,
    epoch: Option<&'a str>,
    state: Option<&'static str>,
    gone: Option<&'static str>,
}

#[derive(JsonSchema, Serialize)]
struct EdgeJson {
    lsn: u64,
    from: u64,
    to: u64,
    by: &'static str,
    boundary: Option<String>,
    fate: Option<&'static str>,
}

fn json(out: &mut impl Write, one: &One, lineage: &Lineage, style: &Style) -> io::Result<()> {
    let ranges: Vec<Option<FieldValue>> = lineage
        .regions
        .values()
        .map(|region| region.range.as_ref().map(FieldValue::from))
        .collect();
    let regions = lineage
        .regions
        .values()
        .zip(&ranges)
        .map(|(region, range)| RegionJson {
            region: region.region.0,
            origin: region.origin.as_str(),
            first_lsn: region.first.lsn.get(),
            last_lsn: region.last.lsn.get(),
            range: range.as_ref().map(|range| Value(range, &style.keys)),
            epoch: region.epoch.as_deref(),
            state: region.standing,
            gone: region.gone,
        });
    let edges = lineage.edges.iter().map(|edge| {
        let (boundary, fate) = match &edge.descent {
            Descent::Split { boundary, fate } => (Some(style.keys.text(boundary)), Some(*fate)),
            _ => (None, None),
        };
        EdgeJson {
            lsn: edge.at.lsn.get(),
            from: edge.from.0,
            to: edge.to.0,
            by: edge.descent.as_str(),
            boundary,
            fate,
        }
    });
    let json = Json {
        v: JSON_VERSION,
        start_lsn: lineage.start.get(),
        regions: regions.collect(),
        edges: edges.collect(),
        dir: one.name.as_deref(),
    };
    // The format was asked for, whatever form the other commands would take on this output.
    let mut style = style.clone();
    if style.is_for_people() {
        style.output = Output::Json;
    }
    crate::sheet::object(out, &style, &json, |_| Ok(()))
}

/// The schema of `--format json`.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json<'_>>()
}
