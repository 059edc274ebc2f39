//! `torrens timeline`: the life of peers, as a list, as a chart of text, as a page, or as a trace for Perfetto.
//!
//! * `gantt`: the chart. * `perfetto`: the trace. The page is the report's (`report`), without its other parts.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::{Parser, ValueEnum};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::RegionId;
use torrens::inspector::clock::{duration, timestamp};
use torrens::inspector::timeline::{Life, Span, Timeline, TimelineOptions};
use torrens::inspector::{Folded, Inspector, Point};
use torrens_recovery::Verdict;

use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::Out;
use crate::paint::Paint;
use crate::report::{self, gather::Scope};
use crate::select::region;
use crate::sheet::{Column, JSON_VERSION, Sheet, left, right};
use crate::view::{Style, Targets, View};

mod gantt;
mod perfetto;

/// Show the life of each peer that was here: its stages, its cache, what happened to it.
#[derive(Debug, Parser)]
#[command(
    after_help = "Perfetto: open the trace at https://ui.perfetto.dev; nothing is sent anywhere, the page reads the \
file. Exit codes: 0; 1 no peer was here; 4 to 8 as `torrens verify`, after what can be shown was shown."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// Only these regions: 7 or r7
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    region: Vec<RegionId>,
    /// Only these, the regions that they came of, and those that came of them
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    lineage_of: Vec<RegionId>,
    /// Only up to this point: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    until: Option<Point>,
    /// How it is drawn [default: gantt for people, list for -o ndjson, json and csv]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Positions instead of times along the chart
    #[arg(long)]
    by_lsn: bool,
    #[command(flatten)]
    view: View,
}

/// How a timeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One row for each stage and each state of a cache
    List,
    /// A chart of text, one line for each peer
    Gantt,
    /// A trace in the JSON of Chrome and Perfetto
    Perfetto,
    /// A page for a browser, without a network, that can be zoomed and filtered
    Html,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match timeline(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

/// The timeline of one store among others.
struct OfStore {
    /// Empty if there is only one.
    name: String,
    timeline: Timeline,
    folded: Folded,
    /// Why it ends before it should.
    failure: Option<Failure>,
}

fn timeline(args: &Args) -> Result<Exit, Failure> {
    let stores = args.target.named();
    let of_several = stores.len() > 1;
    let mut read = Vec::new();
    let mut shown = None;
    for (name, path) in stores {
        let inspector = args.view.open_path(&path)?;
        let style = shown.get_or_insert_with(|| args.view.style(&inspector));
        let format = format_of(args, style);
        let until = args
            .until
            .map(|point| inspector.resolve(point))
            .transpose()
            .map_err(look::failure)?;
        let regions = regions(args, &inspector)?;
        match format {
            Format::Html if of_several => return Err(Exit::one_directory("a page")),
            Format::Html => return html(&inspector, Scope { until, regions }, style),
            _ => {}
        }
        let options = TimelineOptions {
            regions,
            until,
            occurrences: format == Format::Perfetto,
            keys: style.keys.clone(),
        };
        let (timeline, folded) = inspector.timeline(&options).map_err(look::failure)?;
        read.push(OfStore {
            name: match of_several {
                true => name,
                false => String::new(),
            },
            failure: look::folded_failure(&path, &folded, until),
            timeline,
            folded,
        });
    }
    let Some(style) = shown else {
        return Ok(Exit::NEGATIVE);
    };
    let mut out = Out::lock();
    let written = match format_of(args, &style) {
        Format::List => list(&mut out, &read, &style),
        Format::Gantt => gantt::draw(&mut out, &read, args.by_lsn, &style),
        Format::Perfetto => perfetto::write(&mut out, &read),
        Format::Html => Ok(()),
    };
    let failures: Vec<&Failure> = read.iter().filter_map(|one| one.failure.as_ref()).collect();
    let worst = failures.iter().map(|failure| failure.exit).max();
    let is_empty = read.iter().all(|one| one.timeline.lives.is_empty());
    let exit = match (worst, is_empty) {
        (Some(worst), _) => worst,
        (None, true) => Exit::NEGATIVE,
        (None, false) => Exit::OK,
    };
    let exit = out.finish(written, exit);
    for failure in failures {
        failure.report();
    }
    Ok(exit)
}

/// What was asked for, or what suits the form.
fn format_of(args: &Args, style: &Style) -> Format {
    let suits = match style.is_for_people() && style.fields.is_empty() {
        true => Format::Gantt,
        false => Format::List,
    };
    args.format.unwrap_or(suits)
}

/// The page. It shows damage as it shows everything else, as the report does.
fn html(inspector: &Inspector, scope: Scope, style: &Style) -> Result<Exit, Failure> {
    let (report, verdict) =
        report::gather::gather(inspector, &style.keys, &scope).map_err(look::failure)?;
    let exit = match (&verdict, report.lives.is_empty()) {
        (Verdict::NewerFormat(_) | Verdict::Unreadable(_), _) => Exit::of(verdict.exit_code()),
        (_, true) => Exit::NEGATIVE,
        (_, false) => Exit::OK,
    };
    let page = report::page(&report, report::Use::Timeline).map_err(io::Error::from);
    let mut out = Out::lock();
    let written = page.and_then(|page| out.write_all(page.as_bytes()));
    Ok(out.finish(written, exit))
}

fn regions(args: &Args, inspector: &Inspector) -> Result<BTreeSet<RegionId>, Failure> {
    let mut regions: BTreeSet<RegionId> = args.region.iter().copied().collect();
    if !args.lineage_of.is_empty() {
        let lineage = inspector.lineage(None).map_err(look::failure)?;
        for region in &args.lineage_of {
            regions.extend(lineage.related(*region));
        }
    }
    Ok(regions)
}

const COLUMNS: [Column; 9] = [
    left("REGION"),
    left("PEER"),
    left("TRACK"),
    left("STATE"),
    right("FROM"),
    right("TO"),
    left("SINCE"),
    left("FOR"),
    left("ENDED BY"),
];

#[derive(JsonSchema, Serialize)]
struct Row<'a> {
    v: u32,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
    region: u64,
    peer: u64,
    incarnation: u64,
    track: &'a str,
    state: &'a str,
    from_lsn: u64,
    from_ts: Option<String>,
    to_lsn: Option<u64>,
    to_ts: Option<String>,
    began_before: bool,
    ended_by: Option<&'a str>,
}

fn list(out: &mut Out, stores: &[OfStore], style: &Style) -> io::Result<()> {
    let of_several = (stores.len() > 1).then_some(left("DIR"));
    let columns: Vec<Column> = of_several.into_iter().chain(COLUMNS).collect();
    let mut sheet = Sheet::new(style, &columns);
    for store in stores {
        for life in &store.timeline.lives {
            let stages = life.stages.iter().map(|span| ("peer", span));
            let caches = life.caches.iter().map(|span| ("cache", span));
            for (track, span) in stages.chain(caches) {
                span_row(&mut sheet, out, store, life, track, span, style)?;
            }
        }
    }
    sheet.end(out)
}

fn span_row(
    sheet: &mut Sheet,
    out: &mut Out,
    store: &OfStore,
    life: &Life,
    track: &str,
    span: &Span,
    style: &Style,
) -> io::Result<()> {
    let ts = |micros: u64| (micros > 0).then(|| timestamp(micros));
    let is_last = track == "peer" && life.stages.last() == Some(span);
    let ended_by = life.ended_by.as_deref().filter(|_| is_last);
    let is_first = life.began_before && life.stages.first() == Some(span);
    let dir = (!store.name.is_empty()).then_some(store.name.as_str());
    let row = Row {
        v: JSON_VERSION,
        dir,
        region: life.region.0,
        peer: life.peer.0,
        incarnation: life.incarnation.lsn().get(),
        track,
        state: span.name,
        from_lsn: span.from.lsn.get(),
        from_ts: ts(span.from.micros),
        to_lsn: span.to.map(|to| to.lsn.get()),
        to_ts: span.to.and_then(|to| ts(to.micros)),
        began_before: is_first,
        ended_by,
    };
    let end = span.to.unwrap_or(store.timeline.end);
    let cells = || {
        let mut cells: Vec<String> = dir.map(str::to_owned).into_iter().collect();
        cells.extend([
            life.region.to_string(),
            format!("{}{}", life.peer, life.incarnation),
            track.to_owned(),
            span.name.to_owned(),
            match is_first {
                true => format!("before {}", span.from.lsn.get().saturating_add(1)),
                false => span.from.lsn.to_string(),
            },
            span.to.map_or("now".to_owned(), |to| to.lsn.to_string()),
            style.time(Some(span.from.micros)),
            duration(end.micros.saturating_sub(span.from.micros)),
            style.or_nothing(ended_by),
        ]);
        cells
    };
    let paint = match span.name {
        "damaged" => Paint::Bad,
        "applying" | "waiting-for-data" | "merging" | "flashback" => Paint::Warn,
        _ => Paint::Plain,
    };
    sheet.row(out, paint, cells, &row)
}

/// The schema of a span of a life.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Row<'_>>()
}
